"""Pictures that check an estimate: balance, overlap, sensitivity, residuals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, check_level
from causalkit.inference.arguments import check_number
from causalkit.metrics.measure import as_numbers
from causalkit.optional import require
from causalkit.results import canvas
from causalkit.results.intervals import quantile_value
from causalkit.results.numerals import decimals, number, percent
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_love(
    differences: pd.DataFrame,
    *,
    threshold: float = 0.1,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Standardised mean differences per covariate, before and after adjustment.

    Parameters
    ----------
    differences : DataFrame
        Covariates in the index; one column per stage, such as ``unadjusted`` and ``weighted``,
        holding differences in standard deviations.
    threshold : float, default 0.1
        Dotted lines at plus and minus this value, a common mark of imbalance.
    ax : Axes, optional
    title : str

    Returns
    -------
    Axes
        ``plot_data``: columns ``covariate, stage, difference, y``.

    References
    ----------
    Austin, P. (2009). Balance diagnostics for comparing the distribution of baseline covariates.
    Statistics in Medicine 28, 3083-3107.
    """
    words = 'plot_love draws a frame such as data.balance().set_index("covariate")[["smd"]]'
    canvas.check_drawn(differences, pd.DataFrame, words)
    if differences.empty:
        raise ArgumentError("plot_love needs at least one covariate and one column of differences.")
    values = pd.DataFrame(
        as_numbers("differences", differences), differences.index, differences.columns
    )
    order = values.iloc[:, 0].abs().sort_values(kind="stable").index
    values = values.loc[order]
    heights = np.arange(len(values), dtype=float)
    ax = canvas.axes(ax, size=(6.0, 1.3 + 0.28 * len(values)), needed_by="plot_love")
    ax.axvline(0.0, color=canvas.GREY, lw=0.9, zorder=1)
    for side in (-threshold, threshold):
        ax.axvline(side, color=canvas.GREY, lw=0.9, ls=":", zorder=1)
    ax.hlines(heights, values.min(axis=1), values.max(axis=1), color=canvas.PALE, lw=2.5, zorder=2)
    stages = list(values.columns)
    shades = (canvas.VERMILION, canvas.BLUE, canvas.GREEN, canvas.PURPLE)
    for place, stage in enumerate(stages):
        colour, marker = shades[place % 4], canvas.MARKERS[place % 6]
        face = "white" if place == 0 and len(stages) > 1 else colour
        name = canvas.literal(str(stage))
        style: dict[str, Any] = {"mfc": face, "mec": colour, "mew": 1.5, "ms": 6.0}
        ax.plot(values[stage], heights, marker, label=name, zorder=3, **style)
    ax.set_yticks(heights, [canvas.literal(str(name)) for name in values.index])
    ax.set_ylim(-0.7, len(values) - 0.3)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=canvas.PALE, lw=0.7)
    canvas.label(ax, x="Difference in means, in standard deviations")
    canvas.head(ax, title=title, legend=len(stages) > 1)
    frame = values.reset_index(names="covariate").melt(
        id_vars="covariate", var_name="stage", value_name="difference"
    )
    frame["y"] = np.tile(heights, len(stages))
    return canvas.finish(ax, frame)


def plot_overlap(
    propensity: Floats,
    treated: Floats,
    *,
    n_bins: int = 40,
    eps: float = 0.01,
    names: tuple[str, str] = ("untreated", "treated"),
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Estimated propensities by arm: treated above the axis, untreated below.

    Parameters
    ----------
    propensity : (n,) array
        Out-of-fold probabilities of treatment.
    treated : (n,) array
        1 for treated, 0 for not.
    n_bins : int, default 40
    eps : float, default 0.01
        Regions below ``eps`` and above ``1 - eps`` are shaded and their share is written.
    names : pair of str
        Names of the arms, untreated first.
    ax, title
        As in :func:`plot_love`.

    Returns
    -------
    Axes
        ``plot_data``: columns ``arm, left, right, share``.
    """
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    chance = canvas.numbers("propensity", propensity)
    arm = canvas.numbers("treated", treated, n=chance.size) > 0.5
    ax = canvas.axes(ax, size=(6.4, 3.6), needed_by="plot_overlap")
    frames = []
    for name, rows, sign, colour in (
        (names[1], arm, 1.0, canvas.BLUE),
        (names[0], ~arm, -1.0, canvas.ORANGE),
    ):
        share = np.histogram(chance[rows], bins=edges)[0] / max(int(rows.sum()), 1)
        text = f"{name} (n = {int(rows.sum()):,})"
        ax.bar(
            edges[:-1],
            sign * share,
            width=np.diff(edges),
            align="edge",
            color=colour,
            alpha=0.85,
            edgecolor="white",
            linewidth=0.4,
            label=canvas.literal(text),
        )
        frames.append(
            pd.DataFrame({"arm": name, "left": edges[:-1], "right": edges[1:], "share": share})
        )
    outside = float(np.mean((chance < eps) | (chance > 1.0 - eps)))
    for left, right in ((0.0, eps), (1.0 - eps, 1.0)):
        ax.axvspan(left, right, color=canvas.VERMILION, alpha=0.25, lw=0)
    ax.axhline(0.0, color=canvas.INK, lw=0.8)
    ax.set_xlim(0.0, 1.0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):g}%")
    note = f"Propensity of treatment ({100 * outside:.1f}% outside [{eps:g}, {1 - eps:g}])"
    canvas.label(ax, x=note, y="Share of arm")
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, pd.concat(frames, ignore_index=True))


def plot_sensitivity(
    cf_d: Floats,
    cf_y: Floats,
    bound: Floats,
    *,
    estimate: float,
    null: float = 0.0,
    benchmarks: Mapping[str, tuple[float, float]] | None = None,
    robustness_value: float | None = None,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """Contours of how strong an omitted confounder must be to explain the effect away.

    They join equal bounds on the effect; the heavy line is where the bound reaches the null.
    Benchmarks show the strength of observed covariates.

    Parameters
    ----------
    cf_d : (p,) array
        Strength for the treatment (partial R²), the horizontal axis.
    cf_y : (q,) array
        Strength for the outcome (partial R²), the vertical axis.
    bound : (q, p) array
        Bound on the effect at each strength: the one nearer to the null.
    estimate : float
        Effect without omitted confounding, at the origin.
    null : float, default 0
    benchmarks : mapping of str to (cf_d, cf_y), optional
        Strength of observed covariates, by name.
    robustness_value : float, optional
        Equal strength on both axes at which the bound reaches the null.
    ax, title
        As in :func:`plot_love`.

    Returns
    -------
    Axes
        ``plot_data``: columns ``cf_d, cf_y, bound, kind`` with kind ``grid`` or a benchmark.

    References
    ----------
    Chernozhukov, Cinelli, Newey, Sharma & Syrgkanis (2022). Long story short: omitted variable
    bias in causal machine learning. NBER working paper 30302.
    """
    across, up = np.meshgrid(as_numbers("cf_d", cf_d), as_numbers("cf_y", cf_y))
    bound = as_numbers("bound", bound)
    if bound.shape != across.shape:
        raise ArgumentError(
            f"bound must have one row per cf_y and one column per cf_d, {across.shape}, "
            f"got {bound.shape}."
        )
    ax = canvas.axes(ax, size=(5.6, 4.6), needed_by="plot_sensitivity")
    spaced = [at for at in _round_levels(bound, estimate) if not np.isclose(at, null)]
    lines = ax.contour(
        across, up, bound, levels=spaced, colors=canvas.GREY, linewidths=0.8, linestyles="solid"
    )
    ax.clabel(lines, fontsize=canvas.SMALL - 1, fmt=_signed)
    if bound.min() < null < bound.max():
        heavy = ax.contour(across, up, bound, levels=[null], colors=canvas.VERMILION, linewidths=2)
        ax.clabel(heavy, fontsize=canvas.SMALL, fmt=_signed)
    marks = {f"estimate {_signed(estimate)}": (0.0, 0.0, "^", canvas.INK)}
    if robustness_value is not None:
        name = f"robustness value {100 * robustness_value:.1f}%"
        marks[name] = (robustness_value, robustness_value, "o", canvas.VERMILION)
    for name, (strength_d, strength_y) in (benchmarks or {}).items():
        marks[name] = (strength_d, strength_y, "D", canvas.BLUE)
    places = np.array([mark[:2] for mark in marks.values()]) / [np.max(cf_d), np.max(cf_y)]
    for place, (name, mark) in enumerate(marks.items()):
        _marked(ax, name, *mark, **_label_place(places, place))
    grid = pd.DataFrame(
        {"cf_d": across.ravel(), "cf_y": up.ravel(), "bound": bound.ravel(), "kind": "grid"}
    )
    named = [(*strengths, np.nan, name) for name, strengths in (benchmarks or {}).items()]
    rows = pd.concat([grid, pd.DataFrame(named, columns=grid.columns)]) if named else grid
    canvas.label(
        ax,
        x="Confounder's partial R² with the treatment",
        y="Confounder's partial R² with the outcome",
    )
    canvas.head(ax, title=title, legend=False)
    return canvas.finish(ax, rows.reset_index(drop=True))


def _round_levels(bound: Floats, estimate: float) -> list[float]:
    """About eight round numbers over the range of the bound.

    Both axes are where the bound is the estimate, so a level close to it would run, and have its
    number, along them.
    """
    ticker = require("matplotlib.ticker", extra="plots", needed_by="plot_sensitivity")
    levels = ticker.MaxNLocator(8).tick_values(float(bound.min()), float(bound.max()))
    step = float(levels[1] - levels[0])
    return [float(at) for at in levels if abs(at - estimate) > 0.5 * step]


def _signed(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


def _label_place(places: Floats, at: int) -> dict[str, Any]:
    """Where to write the name of one of several points, in shares of the axes ``(m, 2)``.

    Names of points that lie together are stacked; a point far right has its name on its left; a
    lone benchmark has it below, away from the other points' names.
    """
    x, y = places[at]
    near = (np.abs(places - places[at]) < [0.3, 0.05]).all(axis=1)
    earlier = int(near[:at].sum())
    alone = near.sum() == 1 and y > 0.05
    side = -1 if x > 0.75 else 1
    return {"offset": (8 * side, 7 + 12 * earlier), "left": side < 0, "alone": bool(alone)}


def _marked(
    ax: "Axes",
    name: str,
    x: float,
    y: float,
    marker: str,
    colour: str,
    *,
    offset: tuple[int, int],
    left: bool,
    alone: bool,
) -> None:
    """A point and its name, with a white rim so that contours do not cross the letters."""
    effects = require("matplotlib.patheffects", extra="plots", needed_by="plot_sensitivity")
    ax.plot([x], [y], marker, color=colour, ms=6.5, clip_on=False, zorder=4)
    ax.annotate(
        canvas.literal(name),
        (x, y),
        xytext=(offset[0], -12) if marker == "D" and alone else offset,
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=canvas.SMALL,
        color=colour,
        path_effects=[effects.withStroke(linewidth=3, foreground="white")],
        zorder=5,
    )


def binned_residuals(
    treatment_residual: Floats, outcome_residual: Floats, *, n_bins: int = 20
) -> pd.DataFrame:
    """Means of both residuals within quantile bins of the treatment's.

    Returns
    -------
    DataFrame
        Columns ``treatment, outcome, std_error, n``; bins that repeated values leave empty are
        absent.
    """
    d = canvas.numbers("treatment_residual", treatment_residual)
    y = canvas.numbers("outcome_residual", outcome_residual, n=d.size)
    cuts = np.unique(np.quantile(d, np.linspace(0.0, 1.0, n_bins + 1)))
    bins = np.clip(np.searchsorted(cuts, d, side="right") - 1, 0, len(cuts) - 2)
    frame = pd.DataFrame({"bin": bins, "d": d, "y": y})
    means = frame.groupby("bin").agg(
        treatment=("d", "mean"), outcome=("y", "mean"), std_error=("y", "sem"), n=("y", "size")
    )
    return means.reset_index(drop=True)


def plot_residuals(
    treatment_residual: Floats,
    outcome_residual: Floats,
    *,
    estimate: float,
    std_error: float,
    treatment: str = "treatment",
    outcome: str = "outcome",
    df: float = np.inf,
    level: float = 0.95,
    n_bins: int = 20,
    ax: "Axes | None" = None,
    title: str = "",
) -> "Axes":
    """The partialled-out regression: outcome residuals against treatment residuals, binned.

    The slope of the line is the estimate; the fan is its confidence interval.

    Parameters
    ----------
    treatment_residual, outcome_residual : (n,) arrays
        Out-of-fold residuals.
    estimate, std_error : float
        Slope and its standard error.
    treatment, outcome : str
        Names, for the labels.
    df : float, default inf
        Degrees of freedom of the interval.
    level : float, default 0.95
    n_bins : int, default 20
        Quantile bins of the treatment residual.
    ax, title
        As in :func:`plot_love`.

    Returns
    -------
    Axes
        ``plot_data``: see :func:`binned_residuals`.
    """
    estimate, std_error = check_number("estimate", estimate), check_number("std_error", std_error)
    frame = binned_residuals(treatment_residual, outcome_residual, n_bins=n_bins)
    reach = float(quantile_value("t", level=check_level(level), df=df)) * std_error
    ax = canvas.axes(ax, size=(5.6, 4.2), needed_by="plot_residuals")
    ends = np.array([frame["treatment"].min(), frame["treatment"].max()])
    x = np.array([ends[0] - 0.05 * np.ptp(ends), 0.0, ends[1] + 0.05 * np.ptp(ends)])
    places = decimals([std_error])
    sides = np.sort([(estimate - reach) * x, (estimate + reach) * x], axis=0)
    fan = f"{percent(level)} confidence interval of the slope"
    ax.fill_between(x, *sides, color=canvas.SKY, alpha=0.3, lw=0, label=fan)
    slope = f"slope {number(estimate, places)} (std. error {number(std_error, places)})"
    ax.plot(x, estimate * x, color=canvas.BLUE, lw=1.8, label=slope.replace("-", "−"))
    ax.vlines(
        frame["treatment"],
        frame["outcome"] - frame["std_error"],
        frame["outcome"] + frame["std_error"],
        color=canvas.GREY,
        lw=1.0,
    )
    ax.plot(
        frame["treatment"],
        frame["outcome"],
        "o",
        color=canvas.INK,
        ms=4.5,
        label="bin mean ± 1 std. error",
    )
    ax.axhline(0.0, color=canvas.PALE, lw=0.9, zorder=0)
    ax.axvline(0.0, color=canvas.PALE, lw=0.9, zorder=0)
    canvas.label(ax, x=f"{treatment}, minus its prediction", y=f"{outcome}, minus its prediction")
    # Points run along the line, so the corner across from it is free.
    ax.margins(y=0.25)
    handles, names = ax.get_legend_handles_labels()
    ax.legend(handles, names, loc="upper left" if estimate >= 0 else "upper right", **canvas.LEGEND)
    canvas.head(ax, title=title, legend=False)
    return canvas.finish(ax, frame)
