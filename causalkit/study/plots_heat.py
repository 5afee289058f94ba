"""Heatmap: a measure over two factors, one panel per estimator and combination of the others."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, unknown_name
from causalkit.results import canvas
from causalkit.study.plots_pick import Choice, capped, choose, one_estimand
from causalkit.study.plots_sheet import PANELS, finish, panel_title, sheet, tick_places
from causalkit.study.plots_summary import measured, said_failed_rows, said_missing
from causalkit.study.results import Results
from causalkit.study.summary import target_of
from causalkit.study.words import cell_labels, factors, level_text, levels, span, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

# cividis runs from dark to light for every reader, and in grey.
_MAP = "cividis"
# Inches that a tile needs for a number.
_WIDE, _HIGH = 0.36, 0.17
ESTIMATOR = "estimator"


def plot_heatmap(
    results: Results,
    *,
    measure: str = "coverage",
    x: str | None = None,
    y: str | None = None,
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """A measure in colour over two factors; combinations the study does not have are hatched.

    Parameters
    ----------
    results : Results
    measure : str, default "coverage"
        Name in :data:`causalkit.metrics.MEASURES`.
    x, y : str, optional
        Factors of the axes, ``"estimator"`` among them. Default: the factor with most levels
        across; up the next one, or the estimators where there is none.
    summary, where, estimators, estimand
        As in :func:`~causalkit.study.plots_nested.plot_nested_loop`.
    most_panels : int
        Panels drawn; a note says what is left out.
    ax : Axes, optional
        Only where one panel is left.
    title : str

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: rows of the summary with ``panel``,
        ``x``, ``y`` (levels as text), and ``off``: the Monte-Carlo interval excludes the target.

    Raises
    ------
    ArgumentError
        If there is no value to draw, or a factor is unknown.
    """
    choice, other = one_estimand(
        choose(results, where=where, estimators=estimators, estimand=estimand)
    )
    rows = measured(results, choice, measures=[measure], summary=summary)
    across, up = _axes_factors(choice, x, y)
    frame, ticks = _placed(rows, choice, across, up)
    goal = target_of(measure, level=results.level, null=results.null, truth=float("nan"))
    frame["off"] = False if goal is None else ~_holds(frame, goal)
    panels = list(dict.fromkeys(frame["panel"]))
    shown, left = capped(
        panels, most_panels, what="panels", how='where={"parameter": value} or estimators=[...]'
    )
    frame = frame[frame["panel"].isin(shown)]
    count, (n_x, n_y) = len(shown), (len(ticks[0]), len(ticks[1]))
    size = (
        float(np.clip(1.2 + 0.6 * n_x, 5.5 if count == 1 else 2.6, 9.0 if count == 1 else 3.8)),
        float(np.clip(0.9 + 0.32 * n_y, 1.6, 8.0 if count == 1 else 3.2)),
    )
    legible = (size[0] - 1.0) / n_x > _WIDE and (size[1] - 0.7) / n_y > _HIGH
    drawn = sheet(count, ax=ax, size=size, needed_by="plot_heatmap")
    finite = frame["value"][np.isfinite(frame["value"])]
    ends = [*finite, *([] if goal is None else [goal])]
    scale = float(min(ends)), float(max(ends))
    for panel, name in zip(drawn.axes, shown, strict=True):
        panel_title(panel, name)
        image = _tiles(panel, frame[frame["panel"] == name], ticks, scale=scale, figures=legible)
    bar = canvas.colour_bar(image, drawn.axes, words(measure))
    if goal is not None:
        bar.ax.axhline(goal, color=canvas.VERMILION, lw=2.0)
    drawn.label(x=across, y=up)
    heading = title or (
        f"{words(measure)}, {span(frame['n_ok'])} "
        f"(largest Monte-Carlo standard error {frame['mcse'].max():.2g})"
    )
    missing = n_x * n_y * count - len(frame)
    notes = [
        *choice.notes,
        other,
        left,
        f"{missing:,} combinations are not in the study (hatched)." if missing else "",
        f"*: the 95% Monte-Carlo interval excludes the target, {goal:g} (line in the colour bar)."
        if goal is not None
        else "",
        said_missing(frame),
        said_failed_rows(frame),
    ]
    return finish(drawn, frame.reset_index(drop=True), title=heading, notes=notes, legend=False)


def _axes_factors(choice: Choice, x: str | None, y: str | None) -> tuple[str, str]:
    """Factors across and up."""
    found = factors(choice.cells)
    known = [*found, ESTIMATOR]
    for name in (x, y):
        if name is not None and name not in known:
            raise unknown_name("factor", name, known)
    if x is not None and x == y:
        raise ArgumentError(f"x and y are both {x!r}; choose two of {', '.join(known)}.")
    longest = sorted(found, key=lambda name: -len(levels(choice.cells[name])))
    free = [name for name in [*longest, ESTIMATOR, "generator"] if name not in (x, y)]
    across = x if x is not None else free.pop(0)
    return across, y if y is not None else free.pop(0)


def _placed(
    rows: pd.DataFrame, choice: Choice, across: str, up: str
) -> tuple[pd.DataFrame, tuple[list[str], list[str]]]:
    """Rows with their panel and levels on both axes, and the levels of the axes."""
    cells = choice.cells.set_index("cell_id")
    frame = rows.copy()
    ticks = []
    for axis, name in (("x", across), ("y", up)):
        if name == ESTIMATOR:
            frame[axis] = frame["estimator"].astype(str)
            ticks.append([str(label) for label in choice.estimators["label"]])
        else:
            frame[axis] = frame["cell_id"].map(cells[name].map(level_text))
            ticks.append([level_text(value) for value in levels(cells[name])])
    used = [name for name in (across, up) if name not in (ESTIMATOR, "generator")]
    others = choice.cells.drop(columns=[*used, "label"])
    rest = factors(others)
    rest = [name for name in rest if name not in (across, up)]
    if "generator" in (across, up):
        others = others.assign(generator="")
    names = dict(zip(others["cell_id"], cell_labels(others), strict=True)) if rest else {}
    labelled = ESTIMATOR not in (across, up)
    frame["panel"] = [
        ": ".join([*([str(label)] if labelled else []), *([names[cell]] if rest else [])])
        for cell, label in zip(frame["cell_id"], frame["estimator"], strict=True)
    ]
    return frame, (ticks[0], ticks[1])


def _holds(frame: pd.DataFrame, goal: float) -> pd.Series:
    """Whether the Monte-Carlo interval has the target, or there is no value."""
    return frame["value"].isna() | ((frame["lo"] <= goal) & (goal <= frame["hi"]))


def _tiles(
    ax: "Axes",
    rows: pd.DataFrame,
    ticks: tuple[list[str], list[str]],
    *,
    scale: tuple[float, float],
    figures: bool,
) -> Any:
    """Coloured tiles, with their numbers if these are legible; hatched where there is no cell."""
    across, up = ticks
    values = np.full((len(up), len(across)), np.nan)
    known = np.zeros(values.shape, dtype=bool)
    places = [(up.index(b), across.index(a)) for a, b in zip(rows["x"], rows["y"], strict=True)]
    for place, value in zip(places, rows["value"], strict=True):
        values[place], known[place] = value, True
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=_MAP,
        vmin=scale[0],
        vmax=scale[1],
        aspect="auto",
        origin="lower",
    )
    for at_y, at_x in np.argwhere(~known):
        box = (at_x - 0.5, at_x + 0.5)
        ax.fill_between(
            box,
            at_y - 0.5,
            at_y + 0.5,
            facecolor="#f4f4f4",
            hatch="////",
            edgecolor="#bbbbbb",
            lw=0,
        )
    middle = (scale[0] + scale[1]) / 2.0
    for place, value, off in zip(places, rows["value"], rows["off"], strict=True):
        written: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "fontsize": canvas.SMALL - 1,
            "color": canvas.INK if not value < middle else "white",
        }
        text = _figure(value, scale) if figures else ""
        text += "*" if off else ""
        if text:
            ax.text(place[1], place[0], text, **written)
    for put, names in ((ax.set_xticks, across), (ax.set_yticks, up)):
        at = tick_places(len(names))
        put(at, [canvas.literal(names[place]) for place in at])
    ax.tick_params(length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return image


def _figure(value: float, scale: tuple[float, float]) -> str:
    """Value in as many decimals as tell the tiles apart."""
    if not np.isfinite(value):
        return "–"
    largest = max(abs(scale[0]), abs(scale[1]))
    text = f"{value:.3f}" if 0.01 <= largest < 100.0 else f"{value:.2g}"
    return text.replace("-", "−")
