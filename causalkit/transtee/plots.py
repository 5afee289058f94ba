"""Dose-response curves, with what the networks agree on and where nobody has been."""

from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.errors import ArgumentTypeError
from causalkit.results import canvas
from causalkit.results.numerals import percent
from causalkit.typing import Floats

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

_NEEDED = ("adrf", "conf_low", "conf_high", "band_low", "band_high", "extrapolated")
_MARKS = 500


def plot_dose_response(
    curve: "xr.Dataset",
    *,
    ax: "Axes | None" = None,
    title: str = "",
    individual: int = 0,
    seen: Any = None,
) -> "Axes":
    """Average mean outcome along the dose, with its band; dashed where no dose was seen.

    Parameters
    ----------
    curve : xarray.Dataset
        What :meth:`causalkit.TransTEE.dose_response` gives.
    ax : Axes, optional
        Default: a new figure.
    title : str
    individual : int, default 0
        Curves of so many rows, evenly taken, as thin lines behind.
    seen : 1-D array-like, optional
        Doses that were received, such as ``data.column("treatment")``: marks along the axis, of at
        most 500 that are evenly taken from the sorted ones. Those beyond the grid are not drawn.

    Returns
    -------
    Axes
        ``plot_data``: the average curve as a frame.

    Raises
    ------
    ArgumentTypeError
        If it is no dose-response curve, or doses are no numbers.
    ArgumentError
        If doses are missing, infinite or not one-dimensional.
    """
    import xarray as xr

    words = "plot_dose_response draws what dose_response() gives"
    canvas.check_drawn(curve, xr.Dataset, words)
    if not all(name in curve for name in _NEEDED):
        raise ArgumentTypeError(
            f"{words}, with adrf and its band; got a dataset of "
            f"{', '.join(map(str, curve.data_vars)) or 'nothing'}."
        )
    ax = canvas.axes(ax, size=(6.6, 3.8), needed_by="plot_dose_response")
    frame = curve[list(_NEEDED)].to_dataframe().reset_index()
    dose = frame["dose"]
    if individual and "individual" in curve:
        picked = np.linspace(0, curve.sizes["obs"] - 1, individual).round().astype(int)
        lines = curve["individual"].isel(obs=np.unique(picked)).values
        names = [f"mean outcomes of {len(lines)} rows", *[""] * (len(lines) - 1)]
        grey: dict[str, Any] = {"color": canvas.GREY, "lw": 0.6, "alpha": 0.5, "zorder": 1}
        ax.plot(dose, lines.T, label=names, **grey)
    if np.isfinite(frame["band_low"]).all():
        told = percent(float(curve.attrs.get("level", 0.95)))
        shades: tuple[tuple[str, float, str], ...] = (
            ("band", 0.18, f"{told} band of the whole curve"),
            ("conf", 0.25, f"{told} interval at each dose"),
        )
        for name, alpha, words in shades:
            low, high = frame[f"{name}_low"], frame[f"{name}_high"]
            ax.fill_between(dose, low, high, color=canvas.BLUE, alpha=alpha, lw=0, label=words)
    style: dict[str, Any] = {"color": canvas.BLUE, "lw": 1.8, "zorder": 3}
    trained = ~frame["extrapolated"].to_numpy(dtype=bool)
    if not trained.all():
        ax.plot(dose, frame["adrf"], ls=(0, (2, 2)), label="no such dose in training", **style)
    ax.plot(
        dose.where(trained), frame["adrf"].where(trained), label="average mean outcome", **style
    )
    if seen is not None:
        _rug(ax, canvas.numbers("seen", seen), dose)
    canvas.label(
        ax,
        x=str(curve.attrs.get("dose", "dose")),
        y=f"Mean {curve.attrs.get('outcome', 'outcome')}",
    )
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, frame)


def _rug(ax: "Axes", doses: Floats, grid: "pd.Series[float]") -> None:
    """Marks of doses on the lower axis; sorted first, so that the few drawn keep their spread."""
    within = np.sort(doses[(doses >= grid.min()) & (doses <= grid.max())])
    picked = within[np.linspace(0, within.size - 1, min(within.size, _MARKS)).round().astype(int)]
    ax.plot(
        picked,
        np.zeros(picked.size),
        ls="",
        marker="|",
        ms=7.0,
        color=canvas.INK,
        alpha=0.35,
        transform=ax.get_xaxis_transform(),
        clip_on=False,
        label="doses received",
    )
