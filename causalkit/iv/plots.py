"""Pictures of an invalid-instrument fit: bounds under departures, and where ΔV(L) is small."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.iv.sensitivity import DepartureBounds
from causalkit.results import canvas
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_departure(bounds: DepartureBounds, *, ax: "Axes | None" = None) -> "Axes":
    """Bounds on the effect and their interval, as the departure from the model grows.

    Parameters
    ----------
    bounds : DepartureBounds
    ax : Axes, optional

    Returns
    -------
    Axes
        ``plot_data``: the frame of ``bounds.curve()``.
    """
    what = "plot_departure draws bounds under departures; pass those of est.sensitivity()"
    canvas.check_drawn(bounds, DepartureBounds, what)
    frame = bounds.curve()
    ax = canvas.axes(ax, size=(6.0, 3.8), needed_by="plot_departure")
    ax.fill_between(
        frame["departure"],
        frame["conf_low"],
        frame["conf_high"],
        color=canvas.SKY,
        alpha=0.25,
        lw=0,
        label=f"{100 * bounds.level:g}% interval under the departure",
    )
    ax.fill_between(
        frame["departure"],
        frame["low"],
        frame["high"],
        color=canvas.BLUE,
        alpha=0.35,
        lw=0,
        label="bounds on the estimate",
    )
    ax.axhline(bounds.estimate, color=canvas.BLUE, lw=1.2)
    ax.axhline(bounds.null, color=canvas.INK, lw=0.8, ls="--")
    ax.axvline(bounds.robustness_value, color=canvas.VERMILION, lw=1.2)
    ax.annotate(
        f"{bounds.robustness_value:.2g}: estimate reaches {bounds.null:g}",
        (bounds.robustness_value, float(frame["conf_high"].iloc[0])),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=canvas.SMALL,
        color=canvas.VERMILION,
    )
    ax.set_xlim(0.0, float(frame["departure"].iloc[-1]))
    canvas.label(ax, x="Departure: |ρ₁ − ρ₀| in units of sd(Ã) sd(Ỹ)", y="Average effect")
    canvas.head(ax, title="", legend=True)
    return canvas.finish(ax, frame)


def plot_delta_v(
    delta_v: Floats, *, trim: float = 0.02, n_bins: int = 60, ax: "Axes | None" = None
) -> "Axes":
    """Histogram of ΔV(L), what identifies the effect, with the rows left out shaded.

    Parameters
    ----------
    delta_v : (n,) array
        Out-of-fold V_1(L) − V_0(L): ``est.augment()["delta_v"]``.
    trim : float
        Bound on |ΔV| below which rows are left out.
    n_bins : int
    ax : Axes, optional

    Returns
    -------
    Axes
        ``plot_data``: columns ``left, right, share``.
    """
    try:
        delta_v = canvas.numbers("delta_v", delta_v)
    except ArgumentError as error:
        raise type(error)(f'{error} Of a fit it is est.augment()["delta_v"].') from error
    share, edges = np.histogram(delta_v, bins=n_bins)
    share = share / delta_v.size
    ax = canvas.axes(ax, size=(6.0, 3.4), needed_by="plot_delta_v")
    ax.bar(
        edges[:-1], share, width=np.diff(edges), align="edge", color=canvas.BLUE, edgecolor="white"
    )
    ax.axvspan(-trim, trim, color=canvas.VERMILION, alpha=0.2, lw=0)
    ax.axvline(0.0, color=canvas.INK, lw=0.8)
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    small = float(np.mean(np.abs(delta_v) < trim))
    canvas.label(
        ax, x=f"ΔV(L): {100 * small:.1f}% of rows below {trim:g} in size", y="Share of rows"
    )
    canvas.head(ax, title="", legend=False)
    return canvas.finish(ax, pd.DataFrame({"left": edges[:-1], "right": edges[1:], "share": share}))
