"""Zip plot: every confidence interval of a study, ranked by how far it lies from the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.metrics import coverage
from causalkit.results import canvas
from causalkit.results.intervals import quantile_value
from causalkit.results.numerals import percent
from causalkit.study.plots_pick import Series, capped, choose, series_of
from causalkit.study.plots_sheet import PANELS, finish, panel_title, sheet
from causalkit.study.results import Results
from causalkit.study.words import span
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

_MISSED, _HIT = canvas.VERMILION, "#a9bccb"


@dataclass(frozen=True, slots=True)
class Zipped:
    """Ranked intervals of one estimator in one cell.

    Attributes
    ----------
    series : Series
    frame : DataFrame
        ``rep, low, high, truth, z, centile, covers`` of the intervals drawn.
    share : tuple of float
        Coverage and its Monte-Carlo interval, from all intervals.
    n_ranked, n_zoomed : int
        Intervals that have a rank, and those of them inside the zoom.
    """

    series: Series
    frame: pd.DataFrame
    share: tuple[float, float, float]
    n_ranked: int
    n_zoomed: int


def plot_zip(
    results: Results,
    *,
    worst: float = 1.0,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    most_intervals: int = 1000,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """Confidence intervals ranked by the centile of |z|, those that miss the truth marked.

    Intervals of a valid method turn from covering to missing where the centile is the level. The
    band is Wilson's 95 % Monte-Carlo interval of the coverage.

    Parameters
    ----------
    results : Results
    worst : float, default 1
        Share of intervals to zoom to, from the top: 0.1 shows the tenth with largest |z|.
    where, estimators, estimand
        What to draw; see :func:`~causalkit.study.plots_pick.choose`.
    most_panels : int
        Panels drawn, one for each estimator in each cell; a note says what is left out.
    most_intervals : int
        Intervals drawn per panel, evenly spaced in rank; the coverage and its band use all.
    ax : Axes, optional
        Only where one panel is left.
    title : str
        Replaces the one that names the level and the replications.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data`` has one row per interval drawn: ``panel,
        estimator, estimand, rep, low, high, truth, z, centile, covers, coverage, band_low,
        band_high``.

    Raises
    ------
    ArgumentError
        If ``worst`` is no share, or nothing can be drawn.

    References
    ----------
    Morris, White & Crowther (2019). Using simulation studies to evaluate statistical methods.
    Statistics in Medicine 38, 2074-2102.
    """
    if not 0.0 < worst <= 1.0:
        raise ArgumentError(f"worst must be a share of the intervals in (0, 1], got {worst}.")
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    cells = [(cell, name) for cell in choice.cells["cell_id"] for name in choice.estimands]
    wide = len(choice.estimators)
    # A row of panels is a cell, so the cells beyond the cap need not be split into series.
    rows = series_of(results, choice, cells[: max(1, -(-most_panels // wide))])
    flat = [one for row in rows for one in row]
    shown = flat[:most_panels]
    found = [_ranked(one, level=results.level, worst=worst, most=most_intervals) for one in shown]
    if not any(len(one.frame) for one in found):
        raise ArgumentError("no successful replication has a truth and an interval to draw.")
    every = pd.concat([_labelled(one) for one in found], ignore_index=True)
    centred = bool((every.groupby(["panel", "estimand"])["truth"].nunique() > 1).any())
    drawn = sheet(
        len(shown),
        ax=ax,
        size=(2.7, 2.6) if len(shown) > 1 else (5.6, 4.2),
        columns=wide if 1 < wide <= 4 else None,
        share=(False, True),
        needed_by="plot_zip",
    )
    for panel, one in zip(drawn.axes, found, strict=True):
        _panel(panel, one, centred=centred, level=results.level)
        panel.set_ylim(100.0 * (1.0 - worst), 100.0)
    drawn.label(x="Interval − truth" if centred else "Confidence interval", y="Centile of |z|")
    counts = span(len(one.series.rows) for one in found)
    heading = title or (
        f"Coverage of {percent(results.level)} intervals, {counts} "
        "(shaded: 95% Monte-Carlo interval of the coverage)"
    )
    pairs = range(len(cells) * wide)
    how = 'where={"parameter": value} and estimators=[...]'
    _, left = capped(pairs, most_panels, what="pairs of cell and estimator", how=how)
    return finish(drawn, every, title=heading, notes=[*choice.notes, left, *_notes(found, worst)])


def _ranked(series: Series, *, level: float, worst: float, most: int) -> Zipped:
    """Intervals by rank of |z|, thinned evenly in rank."""
    columns = ["rep", "estimate", "std_error", "conf_low", "conf_high", "truth"]
    frame = series.rows[columns].rename(columns={"conf_low": "low", "conf_high": "high"})
    frame = frame.dropna(subset=["estimate", "low", "high", "truth"])
    frame["z"] = _z(frame, level)
    order = np.argsort(frame["z"].abs().to_numpy(), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    n = len(frame)
    frame["centile"] = 100.0 * (np.arange(n) + 0.5) / max(n, 1)
    frame["covers"] = frame["truth"].between(frame["low"], frame["high"])
    measure = coverage(frame["truth"], frame["low"], frame["high"])
    share = (measure.value, *measure.interval)
    zoomed = frame[frame["centile"] >= 100.0 * (1.0 - worst)]
    picked = np.unique(np.linspace(0, len(zoomed) - 1, min(len(zoomed), most)).round().astype(int))
    drawn = zoomed.iloc[picked].drop(columns=["estimate", "std_error"])
    return Zipped(series, drawn.reset_index(drop=True), share, n, len(zoomed))


def _z(frame: pd.DataFrame, level: float) -> Floats:
    """Error in standard errors; half-widths stand in for standard errors that are not given."""
    error = (frame["estimate"] - frame["truth"]).to_numpy(dtype=np.float64)
    given = frame["std_error"].to_numpy(dtype=np.float64)
    half = (frame["high"] - frame["low"]).to_numpy(dtype=np.float64) / 2.0
    scale = np.where(given > 0, given, half / quantile_value("normal", level=level))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0.0, 0.0, error / scale)


def _labelled(one: Zipped) -> pd.DataFrame:
    """Intervals drawn, with what they belong to."""
    names = {"panel": one.series.panel, "estimator": one.series.label}
    band = dict(zip(("coverage", "band_low", "band_high"), one.share, strict=True))
    frame = one.frame.assign(**names, estimand=one.series.estimand, **band)
    first = ["panel", "estimator", "estimand"]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _panel(ax: "Axes", one: Zipped, *, centred: bool, level: float) -> None:
    """Band of the coverage, nominal level, intervals and truth."""
    series, frame = one.series, one.frame
    name = series.name
    panel_title(ax, f"{series.panel}: {name}" if series.panel else name)
    if not one.n_ranked:
        ax.text(0.5, 0.5, "no interval", transform=ax.transAxes, ha="center", color=canvas.GREY)
        return
    value, low, high = one.share
    band = f"coverage {100 * value:.1f}%"
    ax.axhspan(100.0 * low, 100.0 * high, color=canvas.ORANGE, alpha=0.35, lw=0, zorder=1)
    ax.axhline(100.0 * level, color=canvas.INK, lw=0.9, ls=(0, (4, 3)), zorder=4)
    shift = frame["truth"] if centred else 0.0 * frame["truth"]
    width = float(np.clip(500.0 / max(len(frame), 1), 0.4, 1.6))
    for covers, colour, label in ((True, _HIT, "covers"), (False, _MISSED, "misses the truth")):
        rows = frame["covers"] == covers
        ax.hlines(
            frame.loc[rows, "centile"],
            (frame["low"] - shift)[rows],
            (frame["high"] - shift)[rows],
            color=colour,
            lw=width if covers else max(width, 0.8),
            label=label,
            zorder=2 if covers else 3,
        )
    truth = 0.0 if centred else float(frame["truth"].iloc[0])
    ax.axvline(truth, color=canvas.INK, lw=1.1, zorder=5, label="truth")
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5}
    ax.text(
        0.03, 0.04, band, transform=ax.transAxes, fontsize=canvas.SMALL - 0.5, bbox=box, zorder=6
    )


def _notes(found: Sequence[Zipped], worst: float) -> list[str]:
    """Sentences on the zoom, thinning, and replications without an interval."""
    notes = []
    if worst < 1.0:
        notes.append(f"Shown are the {100 * worst:g}% of intervals with the largest |z|.")
    thinned = [one for one in found if len(one.frame) < one.n_zoomed]
    if thinned:
        most = max(one.n_zoomed for one in thinned)
        kept = max(len(one.frame) for one in thinned)
        notes.append(
            f"Of up to {most:,} intervals in a panel {kept:,} are drawn, evenly spaced in rank; "
            "coverage and its band use all."
        )
    lost = sum(len(one.series.rows) - one.n_ranked for one in found)
    if lost:
        notes.append(
            f"{lost:,} successful replications lack a truth or an interval and have no rank."
        )
    notes.append("Dashed: nominal level.")
    return notes
