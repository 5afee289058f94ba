"""Replications against what theory says: z against the normal, p-values against the uniform."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from causalkit.errors import ArgumentError
from causalkit.results import canvas
from causalkit.study.plots_pick import (
    Choice,
    Series,
    capped,
    choose,
    panel_rows,
    said_failed,
    said_left,
    said_replications,
    series_of,
)
from causalkit.study.plots_sheet import PANELS, finish, panel_title, sheet, styles
from causalkit.study.results import Results
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.study.plots_sheet import Drawn

# A quantile of z beyond it is no normal one, and would flatten all others.
_FAR = 10.0
_BAND: dict[str, Any] = {"color": canvas.GREY, "alpha": 0.22, "lw": 0, "zorder": 1}


def plot_qq(
    results: Results,
    *,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    most_points: int = 100,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """Quantiles of z = (estimate − truth)/std. error against those of the standard normal.

    The band holds each quantile of truly normal z with probability 95 %, one at a time: order
    statistics of a uniform sample are Beta. It is that of the fewest replications in the panel.

    Parameters
    ----------
    results : Results
    where, estimators, estimand
        What to draw; see :func:`~causalkit.study.plots_pick.choose`.
    most_panels : int
        Cells (times estimands) drawn; a note says what is left out.
    most_points : int
        Points per estimator, evenly spaced in the normal quantile, so that tails keep theirs.
    ax : Axes, optional
        Only where one panel is left.
    title : str
        Replaces the one that names the replications and the band.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: ``panel, estimator, estimand, rank,
        expected, z, band_low, band_high``, the band being the estimator's own.

    Raises
    ------
    ArgumentError
        If no replication has a z.
    """
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    pairs, left = panel_rows(choice, most=most_panels)
    panels = series_of(results, choice, pairs)
    scores = [[_z(one) for one in row] for row in panels]
    if not any(len(z) for row in scores for z in row):
        raise ArgumentError("no successful replication has a truth and a positive standard error.")
    size = (3.0, 2.7) if len(panels) > 1 else (5.4, 4.6)
    drawn = sheet(len(panels), ax=ax, size=size, needed_by="plot_qq")
    frames = []
    for panel, row, sorted_z in zip(drawn.axes, panels, scores, strict=True):
        panel_title(panel, row[0].panel)
        _qq_band(panel, min((len(z) for z in sorted_z if len(z)), default=0))
        panel.axline((0.0, 0.0), slope=1.0, color=canvas.INK, lw=0.9, zorder=2)
        for one, z, look in zip(row, sorted_z, styles(len(row)), strict=True):
            frame = _quantiles(one, z, most=most_points)
            style = look.point | {"mew": 0.8, "ms": 3.6, "ls": ""}
            panel.plot(frame["expected"], frame["z"], label=canvas.literal(one.label), **style)
            frames.append(frame)
        low, high = panel.get_ylim()
        panel.set_ylim(max(low, -_FAR), min(high, _FAR))
    drawn.label(x="Standard normal quantile", y="Quantile of z")
    lost = sum(
        len(one.rows) - len(z)
        for row, sorted_z in zip(panels, scores, strict=True)
        for one, z in zip(row, sorted_z, strict=True)
    )
    unusable = f"{lost:,} successful replications lack a truth or a positive standard error."
    heading = title or (
        f"z against the standard normal, {said_replications(panels)} "
        "(shaded: 95% Monte-Carlo band, pointwise)"
    )
    notes = [
        *choice.notes,
        left,
        said_left(panels, most=most_points, how="in the normal quantile"),
        unusable if lost else "",
        _said_far(frames),
        said_failed(panels),
    ]
    return finish(drawn, pd.concat(frames, ignore_index=True), title=heading, notes=notes)


def _said_far(frames: Sequence[pd.DataFrame]) -> str:
    """Sentence on points beyond the picture, by estimator; empty if there are none."""
    frame = pd.concat(frames, ignore_index=True)
    beyond = frame.loc[frame["z"].abs() > _FAR, "estimator"].value_counts(sort=False)
    told = "; ".join(f"{name} {count:,}" for name, count in beyond.items())
    return f"Points beyond |z| = {_FAR:g} lie outside the picture: {told}." if told else ""


def plot_p_values(
    results: Results,
    *,
    upto: float = 1.0,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_panels: int = PANELS,
    most_points: int = 400,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Drawn":
    """Distribution of p-values in cells where the null is true; it should be the diagonal.

    The band holds the whole curve of uniform p-values with probability 95 % (Kolmogorov's exact
    distribution), for the fewest replications in the panel.

    Parameters
    ----------
    results, where, estimators, estimand, most_panels, ax, title
        As in :func:`plot_qq`. Cells whose truth is not the null are left out, which a note says.
    upto : float, default 1
        Right end of the axis, to zoom to small p-values.
    most_points : int
        Steps per estimator, evenly spaced in rank; with fewer replications all are drawn.

    Returns
    -------
    Axes or Figure
        The axes where there is one panel. ``plot_data``: ``panel, estimator, estimand, p, share,
        band``, the band being the half-width for the estimator's own replications.

    Raises
    ------
    ArgumentError
        If the null is true in no cell, or no replication has a p-value.
    """
    if not 0.0 < upto <= 1.0:
        raise ArgumentError(f"upto must lie in (0, 1], got {upto}.")
    choice = choose(results, where=where, estimators=estimators, estimand=estimand)
    pairs, notes = _null_pairs(results, choice)
    shown, left = capped(pairs, most_panels, what="such cells", how='where={"parameter": value}')
    panels = series_of(results, choice, shown)
    if all(one.rows["p_value"].isna().all() for row in panels for one in row):
        raise ArgumentError("no successful replication has a p-value to draw.")
    size = (3.0, 2.7) if len(panels) > 1 else (5.4, 4.6)
    drawn = sheet(len(panels), ax=ax, size=size, needed_by="plot_p_values")
    alpha = 1.0 - results.level
    frames = []
    for panel, row in zip(drawn.axes, panels, strict=True):
        panel_title(panel, row[0].panel)
        sorted_p = [np.sort(one.rows["p_value"].dropna().to_numpy()) for one in row]
        fewest = min((len(p) for p in sorted_p if len(p)), default=0)
        _uniform_band(panel, fewest, upto=upto)
        panel.axvline(alpha, color=canvas.GREY, lw=0.9, ls=":", zorder=2)
        for one, p, look in zip(row, sorted_p, styles(len(row)), strict=True):
            frame = _steps(one, p, most=most_points)
            panel.step(
                frame["p"],
                frame["share"],
                where="post",
                color=look.colour,
                ls=look.line,
                lw=1.5,
                label=canvas.literal(one.label),
                zorder=3,
            )
            frames.append(frame)
        panel.set_xlim(0.0, upto)
        panel.set_ylim(0.0, min(1.0, _top(frames[-len(row) :], fewest, upto)))
    drawn.label(x="p-value", y="Share at or below")
    heading = title or (
        f"p-values where the null ({results.null:g}) is true, {said_replications(panels)} "
        "(shaded: 95% Monte-Carlo band of the whole curve)"
    )
    said = [
        *choice.notes,
        *notes,
        left,
        said_left(panels, most=most_points),
        said_failed(panels),
        f"Dotted: {alpha:.3g}.",
    ]
    return finish(drawn, pd.concat(frames, ignore_index=True), title=heading, notes=said)


def _z(series: Series) -> Floats:
    """Sorted z of the replications that have one."""
    rows = series.rows
    error = (rows["estimate"] - rows["truth"]).to_numpy(dtype=np.float64)
    scale = rows["std_error"].to_numpy(dtype=np.float64)
    usable = np.isfinite(error) & np.isfinite(scale) & (scale > 0)
    return np.sort(error[usable] / scale[usable])


def _quantiles(series: Series, z: Floats, *, most: int) -> pd.DataFrame:
    """Order statistics with the normal quantiles and band limits that belong to their ranks."""
    rank = _ranks(len(z), most)
    low, high = _order_band(rank, len(z))
    return pd.DataFrame(
        {
            "panel": series.panel,
            "estimator": series.label,
            "estimand": series.estimand,
            "rank": rank,
            "expected": stats.norm.ppf((rank - 0.5) / max(len(z), 1)),
            "z": z[rank - 1],
            "band_low": low,
            "band_high": high,
        }
    )


def _ranks(n: int, most: int) -> Ints:
    """At most ``most`` of the ranks 1 to n, evenly spaced in the normal quantile, ends kept."""
    if n <= most:
        return np.arange(1, n + 1)
    end = stats.norm.ppf(1.0 - 0.5 / n)
    share = stats.norm.cdf(np.linspace(-end, end, most))
    ranks = np.clip(np.round(share * n + 0.5), 1, n).astype(np.int64)
    return np.asarray(np.unique(ranks), dtype=np.int64)


def _order_band(rank: Ints, n: int) -> tuple[Floats, Floats]:
    """Limits between which each order statistic of n normal numbers lies with 95 %."""
    low, high = (stats.norm.ppf(stats.beta.ppf(q, rank, n - rank + 1)) for q in (0.025, 0.975))
    return low, high


def _qq_band(ax: "Axes", n: int) -> None:
    """Pointwise band for n replications."""
    if n:
        rank = _ranks(n, 200)
        low, high = _order_band(rank, n)
        ax.fill_between(stats.norm.ppf((rank - 0.5) / n), low, high, **_BAND)


def _null_pairs(results: Results, choice: Choice) -> tuple[list[tuple[str, str]], list[str]]:
    """Cells and estimands whose truth is the null in every replication, and what is left out."""
    records = results.records
    rows = records[records["cell_id"].isin(choice.cells["cell_id"]) & records["truth"].notna()]
    gap = (rows["truth"] - results.null).abs().groupby([rows["cell_id"], rows["estimand"]]).max()
    every, _ = panel_rows(choice, most=len(choice.cells) * len(choice.estimands))
    pairs = [pair for pair in every if gap.get(pair, np.inf) <= 1e-12]
    if not pairs:
        raise ArgumentError(
            f"the truth is the null ({results.null:g}) in none of the {len(every):,} cells "
            "chosen, so p-values have no distribution to be compared with; add a cell without "
            "an effect to the study."
        )
    left = len(every) - len(pairs)
    return pairs, [
        f"Left out: {left:,} of {len(every):,} cells, where the null is false."
    ] if left else []


def _steps(series: Series, p: Floats, *, most: int) -> pd.DataFrame:
    """Steps of the empirical distribution, evenly spaced in rank."""
    n = len(p)
    rank = np.unique(np.linspace(0, n, min(n, most) + 1).round().astype(np.int64))
    frame = pd.DataFrame({"p": np.append(0.0, p)[rank], "share": rank / max(n, 1)})
    frame["band"] = _uniform_reach(n)
    frame.insert(0, "estimand", series.estimand)
    frame.insert(0, "estimator", series.label)
    frame.insert(0, "panel", series.panel)
    return frame


def _uniform_reach(n: int) -> float:
    """Largest distance of n uniform numbers' distribution from the diagonal, at 95 %."""
    return float(stats.kstwo.ppf(0.95, n)) if n else float("nan")


def _uniform_band(ax: "Axes", n: int, *, upto: float) -> None:
    """Diagonal and simultaneous band for n replications."""
    x = np.linspace(0.0, upto, 201)
    ax.plot(x, x, color=canvas.INK, lw=0.9, zorder=2)
    if n:
        reach = _uniform_reach(n)
        ax.fill_between(x, np.maximum(x - reach, 0.0), np.minimum(x + reach, 1.0), **_BAND)


def _top(frames: Sequence[pd.DataFrame], n: int, upto: float) -> float:
    """Upper end of the axis: the band and all curves up to the right end."""
    inside = [frame.loc[frame["p"] <= upto, "share"].max() for frame in frames if len(frame)]
    return 1.03 * float(max([upto + (_uniform_reach(n) if n else 0.0), *inside]))
