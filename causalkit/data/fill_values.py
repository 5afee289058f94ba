"""Numbers that stand for missing pixels, as an attribute of the images says."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_NAMES = ("_FillValue", "missing_value", "nodata")


def with_gaps(pixels: "xr.DataArray") -> "xr.DataArray":
    """Pixels that are missing where they have a value that an attribute calls so; lazy as before.

    A ``_FillValue`` of 0 is not taken: zarr gives it to every store, and who opens one with
    ``mask_and_scale=False`` says that 0 is a shade.
    """
    import xarray as xr

    codes = {
        code
        for name in _NAMES
        for code in _codes(pixels.attrs.get(name), pixels.dtype)
        if name != "_FillValue" or code != 0
    }
    found = pixels
    for code in sorted(codes):
        coded = found.copy(deep=False)
        coded.attrs, coded.encoding = {"_FillValue": found.dtype.type(code)}, {}
        decoded = xr.decode_cf(
            coded.to_dataset(name="pixels"), decode_times=False, decode_coords=False
        )
        found = decoded["pixels"].rename(pixels.name)
    if codes:
        # Chunks of the store, by which it is read.
        found.encoding = pixels.encoding
    return found


def _codes(given: Any, dtype: Any) -> list[float]:
    """Finite numbers of an attribute that pixels of this type can have."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=np.float64)).ravel()
    except (TypeError, ValueError):
        return []
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    possible = np.isfinite(values) & (values >= limits.min) & (values <= limits.max)
    return [float(value) for value in values[possible]]
