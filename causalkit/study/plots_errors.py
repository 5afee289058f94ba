"""Swarm: the estimates of all replications around the truth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.metrics import mean_of
from causalkit.results import canvas
from causalkit.study.plots_pick import (
    Series,
    choose,
    counted,
    panel_rows,
    said_failed,
    said_left,
    said_replications,
    series_of,
)
from causalkit.study.plots_sheet import PANELS, Style, finish, panel_title, sheet, styles
from causalkit.study.results import Results
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

# Share of the row that a swarm fills on either side; interquartile ranges that the axis shows.
_SPREAD, _REACH = 0.36, 6.0
_GOLDEN = 0.6180339887498949


def plot_swarm(
    results: Results,
    *,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    most_points: int = 400,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """Estimates of every replication, with their mean and the truth, by estimator.

    Where the truth varies between replications, errors are drawn and the truth is zero. Points
    farther than six interquartile ranges from the quartiles stand at the edge as triangles.

    Parameters
    ----------
    results : Results
    where, estimators, estimand
        What to draw; see :func:`~causalkit.study.plots_pick.choose`.
    most_panels : int
        Cells (times estimands) drawn; a note says what is left out.
    most_points : int
        Points per estimator, evenly spaced in rank with the extremes kept; means use all.
    ax : Axes, optional
        Only where one panel is left.
    title : str
        Replaces the one that names the replications.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``, one row per point: ``panel, estimator,
        estimand, rep, value, y, mean, mean_low, mean_high, truth``.

    Raises
    ------
    ArgumentError
        If there is no estimate to draw.
    """
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    pairs, left = panel_rows(choice, most=most_panels)
    panels = series_of(results, choice, pairs)
    centred = any(one.rows["truth"].nunique() > 1 for row in panels for one in row)
    found = [
        [_points(one, centred=centred, most=most_points, at=-place) for place, one in enumerate(r)]
        for r in panels
    ]
    every = pd.concat([frame for row in found for frame in row], ignore_index=True)
    if every.empty:
        raise ArgumentError("no successful replication has an estimate to draw.")
    height = 0.7 + 0.4 * len(choice.estimators)
    drawn = sheet(
        len(panels),
        ax=ax,
        size=(3.3, height) if len(panels) > 1 else (6.6, height + 0.4),
        needed_by="plot_swarm",
    )
    window = _window(found)
    looks = styles(len(choice.estimators))
    for panel, row, frames in zip(drawn.axes, panels, found, strict=True):
        panel_title(panel, row[0].panel)
        for frame, look in zip(frames, looks, strict=True):
            _swarm(panel, frame, look=look, window=window)
        _failures(panel, row)
        truth = 0.0 if centred else _truth(row)
        panel.axvline(truth, color=canvas.INK, lw=1.0, ls=(0, (4, 3)), zorder=4)
        names = [canvas.literal(one.label) for one in row]
        panel.set_yticks([-float(place) for place in range(len(row))], names)
        panel.set_ylim(0.6 - len(row), 0.6)
        panel.tick_params(axis="y", length=0)
        pad = 0.03 * (window[1] - window[0])
        panel.set_xlim(window[0] - pad, window[1] + pad)
        panel.grid(axis="x", color=canvas.PALE, lw=0.7)
    drawn.label(x="Estimate − truth" if centred else "Estimate", y="")
    heading = title or (
        f"Estimates, {said_replications(panels)} "
        "(bar: mean; box: its 95% Monte-Carlo interval; dashed: truth)"
    )
    outside = int((~every["value"].between(*window)).sum())
    beyond = (
        f"{outside:,} of the points lie beyond the axis, more than {_REACH:g} interquartile "
        "ranges from the quartiles; triangles at the edge."
    )
    notes = [
        *choice.notes,
        left,
        said_left(panels, most=most_points),
        beyond if outside else "",
        said_failed(panels),
    ]
    return finish(drawn, every, title=heading, notes=notes, legend=False)


def _points(series: Series, *, centred: bool, most: int, at: float) -> pd.DataFrame:
    """Points of one estimator, thinned evenly in rank, with their heights and mean."""
    rows = series.rows
    values = rows["estimate"].to_numpy(dtype=np.float64)
    truth = rows["truth"].to_numpy(dtype=np.float64)
    if centred:
        values = values - truth
    kept = np.flatnonzero(np.isfinite(values))
    mean = mean_of(values[kept])
    low, high = mean.interval
    order = kept[np.argsort(values[kept], kind="stable")]
    spaced = np.linspace(0, len(order) - 1, min(len(order), most)).round().astype(int)
    shown = order[np.unique(spaced)]
    return pd.DataFrame(
        {
            "panel": series.panel,
            "estimator": series.label,
            "estimand": series.estimand,
            "rep": rows["rep"].to_numpy()[shown],
            "value": values[shown],
            "y": at + _heights(values[shown]),
            "mean": mean.value,
            "mean_low": low,
            "mean_high": high,
            "truth": 0.0 if centred else truth[shown],
        }
    )


def _heights(values: Floats) -> Floats:
    """Offsets of sorted values: a low-discrepancy sequence, as wide as the values are dense."""
    if values.size < 3:
        return np.zeros(values.size)
    low, high = np.quantile(values, [0.01, 0.99])
    bins = np.clip((values - low) / max(high - low, 1e-300) * 25.0, -1, 26).astype(np.int64) + 1
    counts = np.bincount(bins, minlength=28).astype(np.float64)
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    offset = (np.arange(values.size) * _GOLDEN) % 1.0 - 0.5
    return np.asarray(2.0 * _SPREAD * offset * smooth[bins] / smooth.max(), dtype=np.float64)


def _window(found: Sequence[Sequence[pd.DataFrame]]) -> tuple[float, float]:
    """Range of the axis: all points, but none farther from its quartiles than the reach."""
    ends = []
    for frame in (frame for row in found for frame in row if len(frame)):
        low, high = np.quantile(frame["value"], [0.25, 0.75])
        reach = _REACH * (high - low)
        inside = frame["value"].clip(low - reach, high + reach)
        ends += [inside.min(), inside.max(), *frame["truth"].dropna().head(1)]
    return float(min(ends)), float(max(ends))


def _failures(ax: "Axes", row: Sequence[Series]) -> None:
    """Failed replications of each estimator, at the right of its row."""
    for place, one in enumerate(row):
        if one.n_failed:
            ax.text(
                0.99,
                0.3 - place,
                counted("", len(one.rows), one.n_failed).strip(),
                transform=ax.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=canvas.SMALL - 2,
                color=canvas.GREY,
                zorder=6,
            )


def _truth(row: Sequence[Series]) -> float:
    """The one truth of a panel; NaN where the generator has none."""
    known = pd.concat([one.rows["truth"] for one in row]).dropna()
    return float(known.iloc[0]) if len(known) else float("nan")


def _swarm(ax: "Axes", frame: pd.DataFrame, *, look: Style, window: tuple[float, float]) -> None:
    """Points, those beyond the axis at its edge, and the mean with its Monte-Carlo interval."""
    if frame.empty:
        return
    inside = frame["value"].between(*window)
    style: dict[str, Any] = {"ls": "", "color": look.colour, "alpha": 0.55, "mew": 0, "zorder": 2}
    ax.plot(frame.loc[inside, "value"], frame.loc[inside, "y"], "o", ms=2.6, **style)
    for edge, marker, far in (
        (window[0], "<", frame["value"] < window[0]),
        (window[1], ">", frame["value"] > window[1]),
    ):
        if far.any():
            style["alpha"] = 0.9
            ax.plot([edge] * int(far.sum()), frame.loc[far, "y"], marker, ms=4.0, **style)
    first = frame.iloc[0]
    centre = round(float(frame["y"].mean()))
    ax.fill_betweenx(
        [centre - 0.3, centre + 0.3],
        first["mean_low"],
        first["mean_high"],
        facecolor="white",
        edgecolor=canvas.INK,
        lw=0.6,
        alpha=0.75,
        zorder=3,
    )
    ax.vlines(first["mean"], centre - 0.42, centre + 0.42, color=canvas.INK, lw=1.8, zorder=5)
