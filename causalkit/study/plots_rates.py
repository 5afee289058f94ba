"""How error falls with the sample size, and what it costs in time or memory."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, unknown_name
from causalkit.optional import require
from causalkit.results import canvas
from causalkit.study.plots_pick import Choice, capped, choose, panel_rows
from causalkit.study.plots_sheet import PANELS, finish, panel_title, sheet, styles, tick_places
from causalkit.study.plots_summary import beside, measured, said_failed_rows, said_missing
from causalkit.study.results import Results
from causalkit.study.words import cell_labels, factors, level_text, span, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

_SIZES = ("n", "n_obs", "n_units", "sample_size", "n_clusters", "n_periods")
CONTENDED = (
    "Times are contended: several workers shared the machine. Compare times from a run with "
    'backend = "serial" or workers = 1.'
)


def plot_rate(
    results: Results,
    *,
    n: str | None = None,
    measure: str = "rmse",
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """An error measure against the sample size, both logarithmic, with fitted slopes.

    The slope is that of least squares weighted by the Monte-Carlo errors; a root-n estimator has
    −1/2, drawn dotted through the first estimator's first point.

    Parameters
    ----------
    results : Results
    n : str, optional
        Parameter that is the sample size; default: the first of ``n, n_obs, n_units,
        sample_size, n_clusters, n_periods`` that varies.
    measure : str, default "rmse"
        A positive measure.
    summary, where, estimators, estimand
        As in :func:`~causalkit.study.plots_measures.plot_lollipop`.
    most_panels : int
        Combinations of the other parameters drawn; a note says what is left out.
    ax, title
        As in :func:`~causalkit.study.plots_measures.plot_lollipop`.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: rows of the summary with ``panel``,
        ``n``, ``slope`` and ``slope_se`` (NaN for fewer than two sizes).

    Raises
    ------
    ArgumentError
        If no parameter is a sample size that varies, or no value is positive.
    """
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    size = _size_factor(choice.cells, n)
    rows = measured(results, choice, measures=[measure], summary=summary)
    rows["n"] = (
        rows["cell_id"]
        .map(dict(zip(choice.cells["cell_id"], choice.cells[size], strict=True)))
        .astype(float)
    )
    rows["panel"] = _panels(rows, choice, size)
    usable = rows[(rows["value"] > 0) & (rows["n"] > 0)]
    if usable.empty:
        raise ArgumentError(f"no positive value of {measure} to draw. {said_missing(rows)}")
    groups = list(dict.fromkeys(usable["panel"]))
    shown, left = capped(groups, most_panels, what="panels", how='where={"parameter": value}')
    frame = usable[usable["panel"].isin(shown)].sort_values("n", kind="stable")
    frame = _with_slopes(frame)
    count = len(shown)
    drawn = sheet(count, ax=ax, size=(3.2, 2.8) if count > 1 else (6.2, 4.2), needed_by="plot_rate")
    for panel, name in zip(drawn.axes, shown, strict=True):
        panel_title(panel, name)
        _rates(panel, frame[frame["panel"] == name], choice)
        _log_ticks(panel, np.sort(frame["n"].unique()))
    drawn.label(x=size, y=words(measure))
    heading = title or (
        f"{words(measure)} against {size}, {span(frame['n_ok'])} "
        "(bars: 95% Monte-Carlo intervals; in brackets: Monte-Carlo error of the slope)"
    )
    lost = len(rows) - len(usable)
    notes = [
        *choice.notes,
        left,
        f"{lost:,} values are missing or not positive and have no logarithm." if lost else "",
        said_failed_rows(rows),
        "Dotted: slope −1/2.",
    ]
    return finish(drawn, frame.reset_index(drop=True), title=heading, notes=notes)


def slope(n: Any, value: Any, mcse: Any) -> tuple[float, float]:
    """Slope of log value on log n, weighted by Monte-Carlo errors, and its Monte-Carlo error.

    The error of log value is mcse/value. Where one is unknown or zero all weights are equal and
    the slope has no error.

    Parameters
    ----------
    n, value, mcse : (k,) arrays

    Returns
    -------
    tuple of float
        NaN where there are fewer than two sizes.
    """
    x, y = np.log(np.asarray(n, dtype=np.float64)), np.log(np.asarray(value, dtype=np.float64))
    if np.unique(x).size < 2:
        return float("nan"), float("nan")
    error = np.asarray(mcse, dtype=np.float64) / np.asarray(value, dtype=np.float64)
    known = bool(np.all(np.isfinite(error) & (error > 0)))
    weight = 1.0 / error**2 if known else np.ones_like(x)
    centred = x - np.average(x, weights=weight)
    spread = float(weight @ centred**2)
    fitted = float(weight @ (centred * y)) / spread
    return fitted, spread**-0.5 if known else float("nan")


def plot_frontier(
    results: Results,
    *,
    cost: str = "mean_wall_s",
    measure: str = "rmse",
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """An error measure against what a fit costs; a line joins estimators that none beats in both.

    Parameters
    ----------
    results : Results
    cost : str, default "mean_wall_s"
        Measure of time or memory. Times of a run with several workers are marked "contended".
    measure : str, default "rmse"
    summary, where, estimators, estimand, most_panels, ax, title
        As in :func:`~causalkit.study.plots_measures.plot_lollipop`.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: ``panel, estimator, estimand``, both
        measures with ``_lo`` and ``_hi``, ``n_ok``, ``efficient``.

    Raises
    ------
    ArgumentError
        If no estimator has both measures.
    """
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    pairs, left = panel_rows(choice, most=most_panels)
    rows = measured(results, choice, measures=[cost, measure], summary=summary)
    wanted = set(pairs)
    rows = rows[[k in wanted for k in zip(rows["cell_id"], rows["estimand"], strict=True)]]
    frame = beside(rows, cost, measure)
    frame = frame[frame[cost] > 0]
    if frame.empty:
        raise ArgumentError(f"no estimator has {cost} and {measure}. {said_missing(rows)}")
    frame["efficient"] = False
    many = len(pairs) > 1
    drawn = sheet(
        len(pairs), ax=ax, size=(3.2, 2.7) if many else (6.2, 4.2), needed_by="plot_frontier"
    )
    if np.isclose(frame[cost].min(), frame[[cost, f"{cost}_hi"]].max().max()):
        # Equal costs have no width that an axis could take; the panels share theirs.
        drawn.axes[0].set_xlim(frame[cost].min() / 2.0, frame[cost].max() * 2.0)
    labels = choice.panel_labels(pairs)
    for panel, (cell_id, name), label in zip(drawn.axes, pairs, labels, strict=True):
        inside = (frame["cell_id"] == cell_id) & (frame["estimand"] == name)
        frame.loc[inside, "efficient"] = efficient(
            frame.loc[inside, cost], frame.loc[inside, measure]
        )
        panel_title(panel, label)
        _costs(panel, frame[inside], choice, cost=cost, measure=measure)
    contended = results.contended and cost.endswith(("wall_s", "cpu_s"))
    drawn.label(x=words(cost) + (" (contended)" if contended else ""), y=words(measure))
    heading = title or (
        f"{words(measure)} against cost, {span(frame['n_ok'])} (bars: 95% Monte-Carlo intervals)"
        + (" – contended" if contended else "")
    )
    lost = len(rows) // 2 - len(frame)
    notes = [
        *choice.notes,
        left,
        CONTENDED if contended else "",
        f"{lost:,} estimators lack one of the two." if lost > 0 else "",
        said_failed_rows(rows),
        "Line: no other estimator is both cheaper and more exact.",
    ]
    return finish(drawn, frame.reset_index(drop=True), title=heading, notes=notes)


def efficient(cost: Any, error: Any) -> Any:
    """Whether no other entry is at most as costly and as large, and better in one, ``(k,)``."""
    a, b = np.asarray(cost, dtype=np.float64), np.asarray(error, dtype=np.float64)
    no_worse = (a[:, None] <= a) & (b[:, None] <= b)
    better = (a[:, None] < a) | (b[:, None] < b)
    return ~(no_worse & better).any(axis=0)


def _size_factor(cells: pd.DataFrame, n: str | None) -> str:
    """Parameter that is the sample size."""
    varying = factors(cells)
    numeric = [
        name for name in varying if name != "version" and pd.api.types.is_numeric_dtype(cells[name])
    ]
    if n is not None:
        if n not in numeric:
            raise unknown_name("sample size (a number that varies)", n, numeric)
        return n
    found = [name for name in _SIZES if name in numeric]
    if not found:
        raise ArgumentError(
            f"none of {', '.join(_SIZES)} varies over the cells; name the sample size by n=. "
            f"Numbers that vary: {', '.join(numeric) or 'none'}."
        )
    return found[0]


def _panels(rows: pd.DataFrame, choice: Choice, size: str) -> list[str]:
    """Name of each row's panel: the cell without the sample size, and the estimand."""
    others = choice.cells.drop(columns=[size, "label"])
    varies = bool(factors(others))
    name = dict(zip(others["cell_id"], cell_labels(others), strict=True))
    many = len(choice.estimands) > 1
    return [
        ", ".join([*([name[cell]] if varies else []), *([estimand] if many else [])])
        for cell, estimand in zip(rows["cell_id"], rows["estimand"], strict=True)
    ]


def _with_slopes(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with the slope of their estimator in their panel."""
    found = {
        key: slope(rows["n"], rows["value"], rows["mcse"])
        for key, rows in frame.groupby(["panel", "est_id"], sort=False)
    }
    keys = list(zip(frame["panel"], frame["est_id"], strict=True))
    return frame.assign(
        slope=[found[key][0] for key in keys], slope_se=[found[key][1] for key in keys]
    )


def _rates(ax: "Axes", rows: pd.DataFrame, choice: Choice) -> None:
    """Lines of a panel, with the slopes in figures, and the dotted slope of −1/2."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    sizes = np.sort(rows["n"].unique())
    first = rows.iloc[0]
    root = float(first["value"]) * (sizes / float(first["n"])) ** -0.5
    ax.plot(sizes, root, color=canvas.INK, lw=1.0, ls=":", zorder=1)
    lines = []
    looks = styles(len(choice.estimators))
    for (est_id, label), look in zip(choice.pairs(), looks, strict=True):
        some = rows[rows["est_id"] == est_id]
        if some.empty:
            continue
        floor = some["lo"].where(some["lo"] > 0, some["value"])
        ax.vlines(some["n"], floor, some["hi"], color=look.colour, lw=1.4, zorder=2)
        name = canvas.literal(label)
        style: dict[str, Any] = look.point | {"color": look.colour, "ls": look.line}
        ax.plot(some["n"], some["value"], lw=1.3, ms=4.5, label=name, zorder=3, **style)
        fitted, error = float(some["slope"].iloc[0]), float(some["slope_se"].iloc[0])
        if np.isfinite(fitted):
            spread = f" ({error:.2f})" if np.isfinite(error) else ""
            lines.append(f"{label}: {fitted:.2f}{spread}".replace("-", "−"))
    if lines:
        told = canvas.literal("\n".join(["slope", *lines]))
        small: dict[str, Any] = {"fontsize": canvas.SMALL - 1.5, "color": canvas.INK}
        ax.text(0.02, 0.02, told, transform=ax.transAxes, va="bottom", **small)


def _log_ticks(ax: "Axes", sizes: Any) -> None:
    """Ticks at the sizes of the study, and at 1, 2 and 5 times powers of ten."""
    named = [float(sizes[at]) for at in tick_places(len(sizes), most=8)]
    ax.set_xticks(named, [level_text(at) for at in named])
    _plain_powers(ax.yaxis)
    ax.minorticks_off()


def _plain_powers(axis: Any) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times powers of ten, as plain numbers."""
    ticker = require("matplotlib.ticker", extra="plots", needed_by="logarithmic axes")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(ticker.NullFormatter())


def _costs(ax: "Axes", rows: pd.DataFrame, choice: Choice, *, cost: str, measure: str) -> None:
    """Points with bars, and the frontier as a step line."""
    ax.set_xscale("log")
    _plain_powers(ax.xaxis)
    front = rows[rows["efficient"]].sort_values(cost)
    ax.step(front[cost], front[measure], where="post", color=canvas.GREY, lw=1.2, zorder=1)
    looks = styles(len(choice.estimators))
    for (est_id, label), look in zip(choice.pairs(), looks, strict=True):
        some = rows[rows["est_id"] == est_id]
        floor = some[f"{cost}_lo"].where(some[f"{cost}_lo"] > 0, some[cost])
        ax.hlines(some[measure], floor, some[f"{cost}_hi"], color=look.colour, lw=1.4, zorder=2)
        ax.vlines(
            some[cost], some[f"{measure}_lo"], some[f"{measure}_hi"], color=look.colour, lw=1.4
        )
        name = canvas.literal(label)
        ax.plot(some[cost], some[measure], ls="", ms=6.0, label=name, zorder=3, **look.point)
    ax.grid(color=canvas.PALE, lw=0.7)
