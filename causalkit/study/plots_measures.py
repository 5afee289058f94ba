"""Measures by estimator: lollipops with Monte-Carlo bars, and bias against empirical SE."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.results import canvas
from causalkit.study.plots_pick import choose, counted, panel_rows
from causalkit.study.plots_sheet import PANELS, Style, finish, panel_title, sheet, styles
from causalkit.study.plots_summary import beside, measured, said_failed_rows, said_missing
from causalkit.study.results import Results
from causalkit.study.summary import target_of
from causalkit.study.words import span, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

MOST_ROWS = 40
_MOST_BARS = 60


def plot_lollipop(
    results: Results,
    *,
    measure: str = "coverage",
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """A measure by estimator, with its 95 % Monte-Carlo interval and its target.

    Parameters
    ----------
    results : Results
    measure : str, default "coverage"
        Name in :data:`causalkit.metrics.MEASURES`.
    summary : DataFrame, optional
        What ``summarise(results)`` returned, to save computing it again.
    where, estimators, estimand
        What to draw; see :func:`~causalkit.study.plots_pick.choose`.
    most_panels : int
        Cells (times estimands) drawn; a note says what is left out.
    ax : Axes, optional
        Only where one panel is left.
    title : str
        Replaces the one that names measure and replications.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: rows of the summary with ``panel``,
        ``y`` and ``target``.

    Raises
    ------
    ArgumentError
        If there is no value to draw, or the measure is unknown.
    """
    choice = choose(
        results,
        where=where,
        estimators=estimators,
        estimand=estimand,
        most_estimators=MOST_ROWS,
    )
    pairs, left = panel_rows(choice, most=most_panels)
    frame = measured(results, choice, measures=[measure], summary=summary)
    rank = {est_id: -float(place) for place, est_id in enumerate(choice.estimators["est_id"])}
    frame["y"] = frame["est_id"].map(rank)
    frame["target"] = [
        target_of(measure, level=results.level, null=results.null, truth=truth)
        for truth in frame["truth"]
    ]
    frame["target"] = frame["target"].astype(float)
    wanted = set(pairs)
    kept = [key in wanted for key in zip(frame["cell_id"], frame["estimand"], strict=True)]
    frame = frame[kept].reset_index(drop=True)
    height = 0.75 + 0.27 * len(choice.estimators)
    drawn = sheet(
        len(pairs),
        ax=ax,
        size=(3.3, height) if len(pairs) > 1 else (6.4, height + 0.3),
        needed_by="plot_lollipop",
    )
    names = choice.estimators["label"]
    labels = choice.panel_labels(pairs)
    for panel, (cell_id, name), label in zip(drawn.axes, pairs, labels, strict=True):
        rows = frame[(frame["cell_id"] == cell_id) & (frame["estimand"] == name)]
        panel_title(panel, label)
        _lollipops(panel, rows, looks=styles(len(names)))
        panel.set_yticks(list(rank.values()), [canvas.literal(str(text)) for text in names])
        panel.set_ylim(0.6 - len(names), 0.6)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x", color=canvas.PALE, lw=0.7)
    drawn.label(x=words(measure), y="")
    heading = title or (
        f"{words(measure)}, {span(frame['n_ok'])} (bars: 95% Monte-Carlo intervals)"
    )
    dashed = "Dashed: target." if frame["target"].notna().any() else ""
    notes = [*choice.notes, left, said_missing(frame), said_failed_rows(frame), dashed]
    return finish(drawn, frame, title=heading, notes=notes, legend=False)


def plot_bias_spread(
    results: Results,
    *,
    summary: pd.DataFrame | None = None,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Bias against empirical standard error, one point per cell and estimator.

    Arcs join points of equal RMSE, which is the distance from the origin.

    Parameters
    ----------
    results, summary, where, estimators, estimand, ax, title
        As in :func:`plot_lollipop`. Up to 60 points carry Monte-Carlo bars.

    Returns
    -------
    Axes
        ``plot_data``: ``panel, estimator, estimand, bias, bias_lo, bias_hi, empirical_se,
        empirical_se_lo, empirical_se_hi, n_ok``.

    Raises
    ------
    ArgumentError
        If no estimator has both measures.
    """
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    rows = measured(results, choice, measures=["bias", "empirical_se"], summary=summary)
    frame = beside(rows, "bias", "empirical_se")
    if frame.empty:
        raise ArgumentError(f"no estimator has bias and empirical SE. {said_missing(rows)}")
    drawn = sheet(1, ax=ax, size=(6.2, 4.6), needed_by="plot_bias_spread")
    panel = drawn.axes[0]
    panel.axvline(0.0, color=canvas.INK, lw=0.9, ls=(0, (4, 3)), zorder=1)
    bars = len(frame) <= _MOST_BARS
    looks = styles(len(choice.estimators))
    for (est_id, label), look in zip(choice.pairs(), looks, strict=True):
        some = frame[frame["est_id"] == est_id]
        if bars:
            panel.hlines(some["empirical_se"], some["bias_lo"], some["bias_hi"], color=look.colour)
            panel.vlines(
                some["bias"], some["empirical_se_lo"], some["empirical_se_hi"], color=look.colour
            )
        size = 6.0 if bars else 3.5
        name = canvas.literal(label)
        panel.plot(some["bias"], some["empirical_se"], ls="", ms=size, label=name, **look.point)
    _arcs(panel, frame)
    drawn.label(x="Bias", y="Empirical SE")
    what = "bars: 95% Monte-Carlo intervals" if bars else "Monte-Carlo bars left out for legibility"
    heading = title or f"Bias against empirical SE, {span(frame['n_ok'])} ({what})"
    several = "A point is a cell. " if frame["cell_id"].nunique() > 1 else ""
    notes = [
        *choice.notes,
        said_missing(rows),
        said_failed_rows(rows),
        f"{several}Arcs: equal RMSE.",
    ]
    finish(drawn, frame.reset_index(drop=True), title=heading, notes=notes)
    return panel


def _lollipops(ax: "Axes", rows: pd.DataFrame, *, looks: Sequence[Style]) -> None:
    """Stems from the target, bars of the Monte-Carlo interval, heads; hollow where R is small."""
    target = rows["target"].dropna()
    if len(target):
        at = float(target.iloc[0])
        ax.axvline(at, color=canvas.INK, lw=1.0, ls=(0, (4, 3)), zorder=1)
        ax.hlines(rows["y"], at, rows["value"], color=canvas.GREY, lw=0.8, zorder=2)
    row: Any
    for row in rows.to_dict("records"):
        look = looks[round(-row["y"])]
        if not np.isfinite(row["value"]):
            place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
            place |= {"fontsize": canvas.SMALL - 1, "color": canvas.GREY}
            ax.text(0.02, row["y"], "no value", **place)
            continue
        ax.hlines(row["y"], row["lo"], row["hi"], color=look.colour, lw=2.4, alpha=0.8, zorder=3)
        few = "insufficient" in row["flag"]
        point = look.point | ({"mfc": "white"} if few else {})
        ax.plot([row["value"]], [row["y"]], ls="", ms=5.5, zorder=4, **point)
        if row["n_failed"]:
            ax.annotate(
                counted("", row["n_ok"], row["n_failed"]).strip(),
                (row["value"], row["y"]),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=canvas.SMALL - 2,
                color=canvas.GREY,
            )


def _arcs(ax: "Axes", frame: pd.DataFrame) -> None:
    """Quarter-circles of equal RMSE at the quartiles of what is drawn."""
    ax.set_ylim(bottom=0.0)
    limits = ax.get_xlim(), ax.get_ylim()
    far = np.hypot(frame["bias"], frame["empirical_se"])
    angle = np.linspace(0.0, np.pi, 181)
    for radius in np.unique(np.quantile(far, [0.25, 0.75])):
        ax.plot(
            radius * np.cos(angle),
            radius * np.sin(angle),
            color=canvas.GREY,
            lw=0.6,
            alpha=0.7,
            zorder=0,
        )
        # At the top of the arc or, where that lies above the picture, where the arc leaves it.
        height = min(radius, limits[1][1])
        place = float(np.sqrt(radius**2 - height**2))
        side: dict[str, Any] = {"ha": "right", "va": "bottom" if height == radius else "top"}
        if not limits[0][0] <= place <= limits[0][1]:
            place, side["ha"] = -place, "left"
        if limits[0][0] <= place <= limits[0][1]:
            small: dict[str, Any] = {"fontsize": canvas.SMALL - 2, "color": canvas.GREY}
            ax.text(place, height, f"RMSE {radius:.2g}", **side, **small)
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])
