"""Nested loop: a measure over every cell of a grid, the factors as step lines below."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import unknown_name
from causalkit.results import canvas
from causalkit.results.numerals import number
from causalkit.study.plots_pick import choose, one_estimand
from causalkit.study.plots_sheet import Style, finish, sheet, styles
from causalkit.study.plots_summary import measured, said_failed_rows, said_missing
from causalkit.study.results import Results
from causalkit.study.summary import target_of
from causalkit.study.words import factors, is_absent, level_text, levels, span, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 40
# Shares of the height of the data: gap above the first strip, distance and height of strips.
_GAP, _PITCH, _STRIP = 0.10, 0.17, 0.08


def plot_nested_loop(
    results: Results,
    *,
    measure: str = "bias",
    order: Sequence[str] | None = None,
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """A measure over all cells in nested order; step lines below say which cell it is.

    Only cells that are in the study have a place on the axis, so a grid with excluded cells has
    neither gaps nor shifted factor lines.

    Parameters
    ----------
    results : Results
    measure : str, default "bias"
        Name in :data:`causalkit.metrics.MEASURES`.
    order : sequence of str, optional
        Factors from the slowest to the fastest; those not named follow in the study's order.
    summary : DataFrame, optional
        What ``summarise(results)`` returned, to save computing it again.
    where, estimators, estimand
        What to draw; see :func:`~causalkit.study.plots_pick.choose`. Of several estimands the
        first is drawn, which a note says.
    ax : Axes, optional
    title : str

    Returns
    -------
    Axes
        ``plot_data``: rows of the summary with ``x`` (place of the cell) and one column per
        factor.

    Raises
    ------
    ArgumentError
        If there is no value to draw, or a factor is unknown.

    References
    ----------
    Rücker & Schwarzer (2014). Presenting simulation results in a nested loop plot. BMC Medical
    Research Methodology 14, 129.
    """
    choice, other = one_estimand(
        choose(results, where=where, estimators=estimators, estimand=estimand)
    )
    rows = measured(results, choice, measures=[measure], summary=summary)
    names = _order(factors(choice.cells), order)
    cells = nested(choice.cells, names)
    rows["x"] = rows["cell_id"].map(dict(zip(cells["cell_id"], range(len(cells)), strict=True)))
    frame = rows.merge(cells[["cell_id", *names]], on="cell_id").sort_values(["x", "est_id"])
    size = (float(np.clip(0.16 * len(cells), 6.8, 11.0)), 3.0 + 0.42 * len(names))
    drawn = sheet(1, ax=ax, size=size, needed_by="plot_nested_loop")
    panel = drawn.axes[0]
    looks = styles(len(choice.estimators))
    bars = len(cells) <= _MOST_BARS
    for place, (est_id, name) in enumerate(choice.pairs()):
        some = frame[frame["est_id"] == est_id]
        shift = 0.6 * ((place + 0.5) / len(looks) - 0.5)
        _steps(panel, some, len(cells), name=name, look=looks[place], bars=bars, shift=shift)
    low, high = _extent(frame, bars=bars)
    goal = target_of(measure, level=results.level, null=results.null, truth=float("nan"))
    if goal is not None:
        panel.axhline(goal, color=canvas.INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
        low, high = min(low, goal), max(high, goal)
    _factor_lines(panel, cells, names, low=low, high=high)
    panel.set_xlim(-0.5, len(cells) - 0.5)
    panel.set_xticks([])
    drawn.label(x="1 cell" if len(cells) == 1 else f"{len(cells):,} cells", y=words(measure))
    largest = number(float(frame["mcse"].max()), 4)
    level = "bars: 95% Monte-Carlo intervals" if bars else f"largest Monte-Carlo error {largest}"
    heading = title or f"{words(measure)} by cell, {span(frame['n_ok'])} ({level})"
    dashed = "Dashed: target." if goal is not None else ""
    notes = [
        *choice.notes,
        other,
        _excluded(cells, names),
        said_missing(frame),
        said_failed_rows(frame),
        dashed,
    ]
    finish(drawn, frame.reset_index(drop=True), title=heading, notes=notes)
    return panel


def nested(cells: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Cells sorted by factors, the first the slowest."""
    keys = pd.DataFrame(index=cells.index)
    for name in names:
        rank = {level_text(value): place for place, value in enumerate(levels(cells[name]))}
        keys[name] = cells[name].map(level_text).map(rank)
    order = keys.sort_values(list(names), kind="stable").index if names else cells.index
    return cells.loc[order].reset_index(drop=True)


def _order(found: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Factors from the slowest to the fastest."""
    for name in wanted or ():
        if name not in found:
            raise unknown_name("factor", name, found)
    return list(dict.fromkeys([*(wanted or ()), *found]))


def _steps(
    ax: "Axes",
    rows: pd.DataFrame,
    n_cells: int,
    *,
    name: str,
    look: Style,
    bars: bool,
    shift: float,
) -> None:
    """Step line of one estimator, broken where it has no value, with its Monte-Carlo bars."""
    values = np.full(n_cells, np.nan)
    values[rows["x"].to_numpy(dtype=np.int64)] = rows["value"].to_numpy(dtype=np.float64)
    edges = np.arange(n_cells + 1) - 0.5
    label = canvas.literal(name)
    ax.stairs(
        values, edges, baseline=None, color=look.colour, ls=look.line, lw=1.5, label=label, zorder=3
    )
    if bars:
        x = rows["x"] + shift
        ax.vlines(x, rows["lo"], rows["hi"], color=look.colour, lw=1.0, alpha=0.8, zorder=2)


def _extent(frame: pd.DataFrame, *, bars: bool) -> tuple[float, float]:
    """Range of what is drawn, never of no height."""
    columns = ["value", "lo", "hi"] if bars else ["value"]
    numbers = frame[columns].to_numpy(dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    low, high = float(numbers.min()), float(numbers.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _factor_lines(
    ax: "Axes", cells: pd.DataFrame, names: Sequence[str], *, low: float, high: float
) -> None:
    """One step line per factor below the data, its levels named; the axis numbers stay above."""
    height = high - low
    edges = np.arange(len(cells) + 1) - 0.5
    for place, name in enumerate(names):
        known = [value for value in levels(cells[name]) if not is_absent(value)]
        rank = {level_text(value): at for at, value in enumerate(known)}
        part = cells[name].map(level_text).map(rank).to_numpy(dtype=np.float64)
        base = low - height * (_GAP + _PITCH * place + 0.05 + _STRIP)
        steps = base + height * _STRIP * part / max(len(known) - 1, 1)
        ax.stairs(steps, edges, baseline=None, color=canvas.GREY, lw=1.1)
        shown = [level_text(value) for value in known]
        text = ", ".join(shown if len(shown) <= 8 else [*shown[:3], "…", *shown[-2:]])
        ax.text(
            -0.4,
            base + height * (_STRIP + 0.012),
            canvas.literal(f"{name}: {text}"),
            fontsize=canvas.SMALL - 1,
            color=canvas.INK,
            va="bottom",
        )
    bottom = low - height * (_GAP + _PITCH * len(names)) if names else low - 0.05 * height
    ax.set_ylim(bottom, high + 0.05 * height)
    ax.set_yticks([at for at in ax.get_yticks() if low - 0.02 * height <= at <= high * 1.0001])
    ax.set_ylim(bottom, high + 0.05 * height)
    ax.hlines(ax.get_yticks(), -0.5, len(cells) - 0.5, color=canvas.PALE, lw=0.7, zorder=0)


def _excluded(cells: pd.DataFrame, names: Sequence[str]) -> str:
    """Sentence on combinations of factors that the study does not have."""
    if not names or "generator" in names:
        return ""
    full = int(np.prod([len(levels(cells[name])) for name in names]))
    if full <= len(cells):
        return ""
    return (
        f"{full - len(cells):,} of {full:,} combinations of the factors are not in the study and "
        "have no place on the axis."
    )
