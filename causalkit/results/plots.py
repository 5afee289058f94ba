"""Pictures of estimates: forest, event study, group effects.

Every function takes ``ax=None``, returns the axes, and leaves the numbers drawn in its
``plot_data``. None shows the figure or changes a global setting.
"""

from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.results import canvas
from causalkit.results.effect import EffectResult
from causalkit.results.numerals import decimals, interval, number, percent
from causalkit.results.summary import LEVELS
from causalkit.results.tables import ResultTable, table
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results = EffectResult | ResultTable | Sequence[EffectResult] | Mapping[str, EffectResult]
_ROW = 0.36
_SPREAD = 0.6
_TICKS = 16
_LABEL = 28


def forest_data(results: Results, *, level: float | None = None) -> pd.DataFrame:
    """Numbers of a forest plot: tidy rows with the model, a row label and a height.

    Returns
    -------
    DataFrame
        Columns of ``tidy()``, before them ``model``, after them ``label`` and ``y``. Rows are
        labelled by term, or by model where all models estimate one term.
    """
    shown = _as_table(results)
    frame: pd.DataFrame = shown.tidy(level=level)
    terms = list(dict.fromkeys(frame["term"]))
    many = len(shown.results) > 1
    if many and len(terms) == 1:
        frame["label"], frame["y"] = frame["model"], -np.arange(len(frame), dtype=float)
        return frame
    # Models of one term share a row of the axis and stand a little apart.
    offsets = np.linspace(_SPREAD / 2, -_SPREAD / 2, len(shown.names)) if many else [0.0]
    shift = dict(zip(shown.names, offsets, strict=True))
    frame["label"] = frame["term"]
    frame["y"] = [
        -terms.index(term) + shift[model]
        for term, model in zip(frame["term"], frame["model"], strict=True)
    ]
    return frame


def plot_forest(
    results: Results,
    *,
    ax: "Axes | None" = None,
    level: float | None = None,
    null: float = 0.0,
    annotate: bool = True,
    title: str = "",
) -> "Axes":
    """Estimates and confidence intervals, one below the other, with a line at the null.

    Mean outcomes by dose have no null, and no line.

    Parameters
    ----------
    results : EffectResult, ResultTable, or sequence or mapping of EffectResult
    ax : Axes, optional
        Default: a new figure.
    level : float, optional
        Confidence level; default is each result's own.
    null : float, default 0
        Where the reference line stands.
    annotate : bool, default True
        Write estimates and intervals in figures, right of the axes.
    title : str

    Returns
    -------
    Axes
        With :func:`forest_data` as ``plot_data``.
    """
    frame = forest_data(results, level=level)
    coloured = frame["label"].nunique() < len(frame)
    height = 1.1 + _ROW * (len(frame) if not coloured else 0.75 * len(frame))
    ax = canvas.axes(ax, size=(6.6, height), needed_by="plot_forest")
    if not set(frame["estimand"]) <= LEVELS:
        _null_line(ax, null)
    models = list(dict.fromkeys(frame["model"])) if coloured else [None]
    for model, (colour, marker) in zip(models, canvas.colours(len(models)), strict=True):
        rows = frame if model is None else frame[frame["model"] == model]
        _intervals(ax, rows, colour=colour, marker=marker, name=model or "")
    _rows(ax, frame, coloured=coloured)
    if annotate:
        _written(ax, frame, headed=not coloured)
    canvas.label(ax, x=_effect_label(frame, what="confidence interval"))
    canvas.head(ax, title=title, legend=coloured)
    return canvas.finish(ax, frame)


def plot_gate(
    result: EffectResult,
    *,
    average: EffectResult | None = None,
    ax: "Axes | None" = None,
    level: float | None = None,
    title: str = "",
) -> "Axes":
    """Group effects: pointwise intervals, wider simultaneous ones, and the average effect.

    Parameters
    ----------
    result : EffectResult
        One term per group.
    average : EffectResult, optional
        One term; drawn as a vertical line with its interval shaded.
    ax, level, title
        As in :func:`plot_forest`.
    """
    canvas.check_drawn(result, EffectResult, "plot_gate draws one EffectResult, a term per group")
    frame = forest_data(result, level=level)
    low, high = result.bounds(level, kind="uniform")
    frame["uniform_low"], frame["uniform_high"] = low, high
    ax = canvas.axes(ax, size=(6.6, 1.5 + _ROW * len(frame)), needed_by="plot_gate")
    _null_line(ax, 0.0)
    words = percent(float(frame["conf_level"].iloc[0]))
    if average is not None:
        centre, (least, most) = float(average.estimates[0]), average.bounds(level)
        ax.axvspan(least[0], most[0], color=canvas.ORANGE, alpha=0.2, lw=0)
        ax.axvline(centre, color=canvas.ORANGE, lw=1.4, label="average effect")
    _shade(ax.hlines, frame["y"], low, high, name=f"{words} simultaneous")
    _intervals(ax, frame, colour=canvas.BLUE, marker="o", name=f"{words} pointwise")
    _rows(ax, frame, coloured=False)
    _written(ax, frame, headed=False)
    canvas.label(ax, x=_effect_label(frame, what="pointwise interval in figures"))
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, frame)


def plot_event_study(
    result: EffectResult,
    *,
    times: Sequence[float] | Floats,
    reference: float | None = -1.0,
    ax: "Axes | None" = None,
    level: float | None = None,
    title: str = "",
) -> "Axes":
    """Effects by time since treatment: pointwise bars, simultaneous band, reference period.

    Parameters
    ----------
    result : EffectResult
        One term per period relative to treatment.
    times : sequence of float, length k
        Period of each term, relative to the start of treatment.
    reference : float or None, default -1
        Omitted period, drawn hollow at zero.
    ax, level, title
        As in :func:`plot_forest`.

    Raises
    ------
    ArgumentError
        If there is not one time per term, or the reference is among the estimated periods.
    """
    frame = event_study_data(result, times=times, reference=reference, level=level)
    ax = canvas.axes(ax, size=(6.6, 3.8), needed_by="plot_event_study")
    ax.axhline(0.0, color=canvas.GREY, lw=0.9, zorder=1)
    ax.axvline(-0.5, color=canvas.GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    words = percent(result.level if level is None else level)
    drawn = frame[~frame["reference"]]
    ax.plot(frame["time"], frame["estimate"], color=canvas.BLUE, lw=0.8, alpha=0.5, zorder=2)
    limits = drawn["uniform_low"], drawn["uniform_high"]
    _shade(ax.vlines, drawn["time"], *limits, name=f"{words} simultaneous")
    ax.vlines(drawn["time"], drawn["conf_low"], drawn["conf_high"], color=canvas.BLUE, lw=2.2)
    point: dict[str, Any] = {"marker": "o", "ls": "", "mec": canvas.BLUE, "ms": 6.0, "zorder": 4}
    name = f"{words} pointwise"
    ax.plot(drawn["time"], drawn["estimate"], mfc=canvas.BLUE, label=name, **point)
    base = frame[frame["reference"]]
    if len(base):
        ax.plot(base["time"], base["estimate"], mfc="white", label="reference period", **point)
    if len(frame) <= _TICKS:
        ax.set_xticks(frame["time"])
    ax.grid(axis="y", color=canvas.PALE, lw=0.7)
    canvas.label(ax, x="Periods since treatment", y=f"Effect on {result.outcome}")
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, frame)


def event_study_data(
    result: EffectResult,
    *,
    times: Sequence[float] | Floats,
    reference: float | None,
    level: float | None = None,
) -> pd.DataFrame:
    """Numbers of an event-study plot, in order of time, the reference period at zero."""
    canvas.check_drawn(result, EffectResult, "plot_event_study draws one EffectResult")
    moments = canvas.numbers("times", times)
    if moments.shape != result.estimates.shape or reference in moments:
        raise ArgumentError(
            f"times needs one period per term ({len(result.terms)}) without the reference "
            f"period {reference!r}, got {moments.tolist()}."
        )
    frame: pd.DataFrame = result.tidy(level=level)
    frame["time"], frame["reference"] = moments, False
    frame["uniform_low"], frame["uniform_high"] = result.bounds(level, kind="uniform")
    if reference is not None:
        limits = ("conf_low", "conf_high", "uniform_low", "uniform_high")
        frame.loc[len(frame)] = {
            **{name: None for name in frame.columns},
            **dict.fromkeys(("estimate", *limits), 0.0),
            "term": "reference",
            "time": reference,
            "reference": True,
        }
    return frame.sort_values("time", ignore_index=True)


def _as_table(results: Results) -> ResultTable:
    """Whatever holds results, as a table of them."""
    if isinstance(results, ResultTable):
        return results
    return table(results)


def _null_line(ax: "Axes", null: float) -> None:
    """Vertical line at the hypothesised effect."""
    ax.axvline(null, color=canvas.GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)


def _intervals(ax: "Axes", rows: pd.DataFrame, *, colour: str, marker: str, name: str) -> None:
    """Points and intervals."""
    ax.hlines(rows["y"], rows["conf_low"], rows["conf_high"], color=colour, lw=2.2)
    style: dict[str, Any] = {"marker": marker, "ls": "", "color": colour, "ms": 6.5, "zorder": 4}
    ax.plot(rows["estimate"], rows["y"], label=canvas.literal(name), **style)


def _shade(lines: Callable[..., Any], at: Any, low: Any, high: Any, *, name: str) -> None:
    """Broad pale bars, behind the intervals."""
    lines(at, low, high, color=canvas.SKY, alpha=0.4, lw=8, label=name, zorder=1.5)


def _written(ax: "Axes", frame: pd.DataFrame, *, headed: bool) -> None:
    """Estimate and interval in figures, right of the axes; ``headed`` where no legend is."""
    places = decimals(frame["std_error"])
    lines = [(ax.get_ylim()[1], "Estimate [interval]", "bottom")] if headed else []
    for row in frame.to_dict("records"):
        limits = interval(row["conf_low"], row["conf_high"], places)
        lines.append((row["y"], f"{number(row['estimate'], places)} {limits}", "center"))
    for height, text, align in lines:
        ax.annotate(
            text.replace("-", "−"),
            (1.03, height),
            xycoords=ax.get_yaxis_transform(),
            va=align,
            fontsize=canvas.SMALL,
            color=canvas.INK,
            annotation_clip=False,
        )


def _rows(ax: "Axes", frame: pd.DataFrame, *, coloured: bool) -> None:
    """Row labels on the left, no spine, light guide lines."""
    rows = frame.drop_duplicates("label")
    # Models that share a row stand around its centre.
    heights = [-float(place) for place in range(len(rows))] if coloured else list(rows["y"])
    ax.set_yticks(heights, [canvas.literal(fill(text, _LABEL)) for text in rows["label"]])
    ax.set_ylim(min(heights) - 0.6, max(heights) + 0.6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=canvas.PALE, lw=0.7)


def _effect_label(frame: pd.DataFrame, *, what: str) -> str:
    """Label of the effect axis: treatment, outcome and level, where all rows share them."""
    one = {name: frame[name].nunique() == 1 for name in ("treatment", "outcome", "conf_level")}
    first = frame.iloc[0]
    if set(frame["estimand"]) <= LEVELS:
        text = f"Mean {first['outcome']}" if one["outcome"] else "Mean outcome"
    else:
        text = f"Effect of {first['treatment']}" if one["treatment"] else "Effect"
        text += f" on {first['outcome']}" if one["outcome"] else ""
    level = f"{percent(float(first['conf_level']))} " if one["conf_level"] else ""
    return f"{text} ({level}{what})"
