"""Pictures of places: salience over images, and maps of effects at a target."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, check_choice
from causalkit.images.inputs import bare_store, restricted
from causalkit.images.thumbnails import bands_in_words, thumbnails
from causalkit.optional import require
from causalkit.results import canvas
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from causalkit.images.transport import TransportMap

_TILE = 1.35  # inches
_MOST = 6
_SAME = 1e-9  # relative difference that is rounding
VALUES = {
    "effect": "Effect",
    "std_error": "Posterior standard deviation",
    "support": "Distance to the training images (percentile)",
}


def plot_salience(
    found: "xr.Dataset",
    data: Any,
    *,
    images: Sequence[Any] | None = None,
    value: str = "magnitude",
    rgb: Sequence[str] | None = None,
) -> "Figure":
    """Images, and below each where it speaks for the cluster.

    Parameters
    ----------
    found : Dataset
        Of :meth:`~causalkit.ImageEffectClusters.salience`.
    data : CausalData, or xarray Dataset or DataArray of images
        Where the images are.
    images : sequence of keys, optional
        Which to show. Default: the six of ``found`` most probably of the cluster.
    value : {"magnitude", "direction", "segment", "occlusion"}, default "magnitude"
        Of sequences the last frame is shown.
    rgb : sequence of str, optional
        Bands to show.

    Returns
    -------
    Figure
        ``plot_data``: the key and probability of every image, and where its peak is.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If ``found`` is something else or lacks ``value``, or a key is absent.
    """
    import xarray as xr

    canvas.check_drawn(found, xr.Dataset, "plot_salience draws what salience() gives")
    names = [name for name in ("magnitude", "direction", "segment", "occlusion") if name in found]
    check_choice("value", value, names)
    store = _store(data, str(found.attrs["image"]))
    dim = str(found["probability"].dims[0])
    if images is None:
        order = np.argsort(-found["probability"].values, kind="stable")
        images = found[dim].values[order[:_MOST]].tolist()
    lost = [key for key in images if key not in found[dim].values]
    if lost or not len(images):
        raise ArgumentError(f"the salience has no images {lost[:3]!r}; compute it for them.")
    heat = found[value].sel({dim: list(images)})
    if "time" in heat.dims:
        heat = heat.isel(time=-1)
    pictures = thumbnails(store, restricted(store, images).of_row, rgb=rgb)
    chances = found["probability"].sel({dim: list(images)}).values
    pyplot = require("matplotlib.pyplot", extra="plots", needed_by="plot_salience")
    size = (_TILE * len(images) + 1.1, 2 * _TILE + 0.6)
    figure, cells = pyplot.subplots(
        2, len(images), figsize=size, squeeze=False, layout="constrained"
    )
    shown = _overlaid(cells, pictures, heat.values)
    for cell, key, chance in zip(cells[0], images, chances, strict=True):
        cell.set_title(
            canvas.literal(f"{key}: {chance:.2f}"), fontsize=canvas.SMALL, color=canvas.INK
        )
    bar = canvas.colour_bar(shown, cells[1], value, aspect=12.0)
    bar.ax.set_facecolor("0.5")  # where colours fade the picture shows through
    figure.suptitle(
        f"Image: probability of {found.attrs['cluster']}", fontsize=canvas.BODY, x=0.01, ha="left"
    )
    canvas.below(figure, f"Images: {bands_in_words(store, rgb)}")
    figure.plot_data = _peaks(heat, list(images), chances, dim)
    return figure  # type: ignore[no-any-return]  # matplotlib has no types here


def _store(data: Any, name: str) -> ImageStore:
    """Images by the name that they had in the salience, if there are several."""
    if isinstance(data, CausalData):
        return ImageStore.of(data, name if name in data.roles.image else None)
    return bare_store(data, name, needed_by="plot_salience")


def _overlaid(cells: Any, pictures: Floats, heat: Any) -> Any:
    """Images above, the same in grey under the heat below; returns the last layer of heat."""
    signed = float(heat.min()) < 0.0
    # The largest few pixels would leave the rest dark.
    top = float(np.quantile(np.abs(heat), 0.995)) or 1.0
    colours: dict[str, Any] = {"cmap": _fading("RdBu_r" if signed else "inferno", signed=signed)}
    colours |= {"vmin": -top if signed else 0.0, "vmax": top}
    layer = None
    for above, below, picture, warmth in zip(*cells, pictures, heat, strict=True):
        above.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0)
        grey = picture if picture.ndim == 2 else picture.mean(axis=-1)
        below.imshow(grey, cmap="gray", vmin=0.0, vmax=1.0)
        layer = below.imshow(warmth, **colours)
        canvas.bare(above)
        canvas.bare(below)
    return layer


def _fading(name: str, *, signed: bool) -> Any:
    """Colours that are opaque from half of the scale on, as in the bar whatever lies below."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    shares = np.linspace(-1.0 if signed else 0.0, 1.0, 256)
    colours = matplotlib.colormaps[name](np.linspace(0.0, 1.0, 256))
    colours[:, 3] = np.minimum(1.0, 2.0 * np.abs(shares))
    return ListedColormap(colours)


def _peaks(heat: "xr.DataArray", keys: list[Any], chances: Floats, dim: str) -> pd.DataFrame:
    values = np.abs(heat.values)
    peak = values.reshape(len(keys), -1).argmax(axis=1)
    rows, columns = np.unravel_index(peak, values.shape[1:])
    return pd.DataFrame({dim: keys, "probability": chances, "peak_y": rows, "peak_x": columns})


def plot_transport(
    shown: "TransportMap", *, ax: "Axes | None" = None, value: str = "effect", title: str = ""
) -> "Axes":
    """Effects where the places are; those unlike the trial's images as crosses.

    Places without coordinates stand on a grid in their order.

    Parameters
    ----------
    shown : TransportMap
    ax : Axes, optional
    value : {"effect", "std_error", "support"}, default "effect"
    title : str

    Returns
    -------
    Axes
        With the table of the places as ``plot_data``.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If ``shown`` is something else, or there is no such ``value``.
    """
    from causalkit.images.transport import TransportMap

    canvas.check_drawn(shown, TransportMap, "plot_transport draws what transport() gives")
    check_choice("value", value, VALUES)
    frame = shown.to_frame()
    ax = canvas.axes(ax, size=(6.6, 4.8), needed_by="plot_transport")
    mapped = {"lon", "lat"} <= set(frame)
    if not mapped:
        side = int(np.ceil(np.sqrt(len(frame))))
        frame["column"], frame["row"] = np.arange(len(frame)) % side, np.arange(len(frame)) // side
    x, y = (frame["lon"], frame["lat"]) if mapped else (frame["column"], frame["row"])
    values, out = frame[value].to_numpy(), frame["extrapolating"].to_numpy()
    shared = {"s": _spot(len(frame)), "ec": canvas.GREY, "lw": 0.4, **_scale(values)}
    names = (
        f"like places of the trial ({(~out).sum():,})",
        f"unlike them: do not rely on it ({out.sum():,})",
    )
    # Shapes, not shades, so that the effect stays legible where it is extrapolated.
    for rows, marker, name in zip((~out, out), ("o", "X"), names, strict=True):
        spots = ax.scatter(x[rows], y[rows], c=values[rows], marker=marker, label=name, **shared)
    if _differ(values):
        on = f" on {shown.outcome}" if shown.outcome and value == "effect" else ""
        canvas.colour_bar(spots, [ax], f"{VALUES[value]}{on}")
    if mapped:
        # A degree of longitude is shorter away from the equator.
        ax.set_aspect(1.0 / max(0.1, float(np.cos(np.deg2rad(y.mean())))))
        canvas.label(ax, x="Longitude", y="Latitude")
    else:
        ax.invert_yaxis()
        ax.set_aspect("equal")
        canvas.bare(ax)
        canvas.label(ax, x="Places in their order, row by row")
    canvas.head(ax, title=title, legend=True)
    # Colours are for effects alone.
    for handle in ax.get_legend().legend_handles:  # type: ignore[union-attr]  # drawn by head
        handle.set_facecolor(canvas.PALE)  # type: ignore[union-attr]  # of a scatter
    return canvas.finish(ax, frame)


def _spot(n: int) -> float:
    """Area of a spot, so that many places do not cover each other."""
    return float(np.clip(24_000.0 / n, 4.0, 80.0))


def _differ(values: Floats) -> bool:
    return bool(np.ptp(values) > _SAME * (1.0 + np.abs(values).max()))


def _scale(values: Floats) -> dict[str, Any]:
    """Two colours about zero where values change sign, else one ramp; grey for one value."""
    low, high = float(values.min()), float(values.max())
    if not _differ(values):
        return {"cmap": "Greys", "vmin": low - 1.0, "vmax": high + 1.0}
    if low < 0.0 < high:
        most = max(-low, high)
        return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": low, "vmax": high}
