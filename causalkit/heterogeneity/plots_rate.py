"""TOC curves: the effect in the top fractions of a ranking, above that of all."""

from typing import TYPE_CHECKING

import pandas as pd

from causalkit.results import canvas
from causalkit.results.numerals import decimals, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causalkit.heterogeneity.rate import RateResult


def plot_toc(
    result: "RateResult", *, ax: "Axes | None" = None, level: float = 0.95, title: str = ""
) -> "Axes":
    """TOC curve with its pointwise band; of a difference, the curves of both rankings.

    Parameters
    ----------
    result : RateResult
    ax : Axes, optional
        Default: a new figure.
    level : float
        Of the band.
    title : str

    Returns
    -------
    Axes
        ``plot_data``: the curves drawn, one below the other, with the name of each.
    """
    from causalkit.heterogeneity.rate import RateResult

    what = "plot_toc draws what rank_average_treatment_effect() gives"
    canvas.check_drawn(result, RateResult, what)
    ax = canvas.axes(ax, size=(6.6, 3.8), needed_by="plot_toc")
    ax.axhline(0.0, color=canvas.GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    drawn = []
    shown = result.parts or (result,)
    for one, (colour, marker) in zip(shown, canvas.colours(len(shown)), strict=True):
        frame = one.curve(level)
        words = f"{canvas.literal(one.name)}, " if one.name else ""
        places = decimals([10.0 * one.std_err])
        ax.fill_between(
            frame["q"],
            frame["conf_low"],
            frame["conf_high"],
            color=colour,
            alpha=0.18,
            lw=0,
            label=f"{words}{percent(level)} pointwise band",
        )
        ax.plot(
            frame["q"],
            frame["estimate"],
            color=colour,
            marker=marker,
            ms=4.5,
            lw=1.6,
            label=f"{words}{one.target} {number(one.estimate, places)} "
            f"({number(one.std_err, places)})",
            zorder=3,
        )
        drawn.append(frame.assign(ranking=one.name))
    ax.set_xlim(0.0, 1.0)
    ax.grid(axis="y", color=canvas.PALE, lw=0.7)
    ax.xaxis.set_major_formatter(lambda share, _: percent(round(share, 6)))
    canvas.label(ax, x="Fraction treated, largest priority first", y="Effect beyond the average")
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, pd.concat(drawn, ignore_index=True))
