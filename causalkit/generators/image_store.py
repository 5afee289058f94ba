"""Where simulated images go: into memory, or chunk by chunk into a zarr store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from causalkit.data.new_folder import free_folder, new_folder
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.image_patterns import BLOCK
from causalkit.optional import require
from causalkit.typing import Ints, Singles

if TYPE_CHECKING:
    import xarray as xr

Paint = Callable[[Ints], Singles]
PixelType = Literal["float32", "uint16"]

_LEVELS = 65534  # of uint16, of which the last value stands for a missing pixel


@dataclass(frozen=True, slots=True)
class Shelf:
    """Store that images go to.

    Attributes
    ----------
    path : Path or None
        New zarr store; None is memory.
    chunk : int
        Images in a chunk, and so in memory at once.
    dtype : {"float32", "uint16"}
        Type of pixels in the store.
    """

    path: Path | None
    chunk: int
    dtype: PixelType

    @classmethod
    def checked(cls, to_zarr: Any, *, chunk: int, dtype: PixelType, by: str) -> "Shelf":
        """The shelf, if it is free.

        Raises
        ------
        ArgumentError
            If there is something at the path, or an argument makes no sense.
        MissingDependencyError
            If zarr is needed and absent.
        """
        check_count("chunk", chunk, least=1)
        check_choice("dtype", dtype, ("float32", "uint16"))
        if to_zarr is None:
            if dtype != "float32":
                raise ArgumentError(
                    f"dtype={dtype!r} is a way to store pixels, and images in memory are float32; "
                    "give to_zarr=... as well."
                )
            return cls(None, chunk, dtype)
        require("zarr", extra="images", needed_by=f"{by}(to_zarr=...)")
        return cls(free_folder(to_zarr), chunk, dtype)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images that can be painted, in the order of the store.

    Attributes
    ----------
    paint : callable
        Numbers of images ``(b,)`` to their pixels ``(b, [time,] band, y, x)``.
    order : (m,) int array
        Number of the image at each place of the store; its key is one more.
    dims : tuple of str
        Of the pixels of one image.
    shape : tuple of int
        Likewise.
    coords : mapping
        Further coordinates of the images.
    reach : float
        Size that no pixel exceeds, which scales integers.
    """

    paint: Paint
    order: Ints
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping[str, Any]
    reach: float

    def part(self, start: int, stop: int) -> Singles:
        """Pixels of consecutive places of the store."""
        chosen = self.order[start:stop]
        pixels = np.empty((chosen.size, *self.shape), dtype=np.float32)
        for low in range(0, chosen.size, BLOCK):
            pixels[low : low + BLOCK] = self.paint(chosen[low : low + BLOCK])
        return pixels


def band_names(count: int) -> list[str]:
    """Names of bands, ``b1``, ``b2``, ...."""
    return [f"b{j + 1}" for j in range(count)]


def kept(pictures: Pictures, rows: pd.DataFrame, shelf: Shelf) -> "xr.Dataset":
    """Images on a shelf, with the columns of the rows beside them if it is a store.

    Parameters
    ----------
    pictures : Pictures
    rows : DataFrame
        Columns that go into the store over the dimension ``obs``; ``place`` becomes ``obs_place``,
        since ``place`` is the key of the images there.
    shelf : Shelf

    Returns
    -------
    xarray.Dataset
        Variable ``image`` with dimension ``place`` first: in memory, or lazy from the store.

    Raises
    ------
    StorageError
        If the store cannot be written.
    """
    import xarray as xr

    count = pictures.order.size
    coords = {"place": pictures.order + 1, **pictures.coords}
    if shelf.path is None:
        pixels = (("place", *pictures.dims), pictures.part(0, count))
        return xr.Dataset({"image": pixels}, coords=coords)
    columns = rows.rename(columns={"place": "obs_place"})
    table = {str(name): ("obs", columns[name].to_numpy()) for name in columns}
    with new_folder(shelf.path) as folder:
        for start in range(0, count, shelf.chunk):
            _write_chunk(pictures, start, shelf, folder)
        xr.Dataset(table, coords=coords).to_zarr(folder, mode="a", zarr_format=2, consolidated=True)
    stored: xr.Dataset = xr.open_zarr(shelf.path, chunks=None, consolidated=True)
    return stored[["image"]]


def _write_chunk(pictures: Pictures, start: int, shelf: Shelf, folder: Path) -> None:
    """Write the first chunk, which brings the encoding, or one more."""
    import xarray as xr

    pixels = pictures.part(start, start + shelf.chunk)
    part = xr.Dataset({"image": (("place", *pictures.dims), pixels)})
    first: dict[str, Any] = {"encoding": {"image": _encoding(pictures, shelf)}}
    # Consolidated once, at the end.
    part.to_zarr(
        folder,
        zarr_format=2,
        consolidated=False,
        **({"append_dim": "place"} if start else first),
    )


def _encoding(pictures: Pictures, shelf: Shelf) -> dict[str, Any]:
    chunks: Sequence[int] = (min(shelf.chunk, pictures.order.size), *pictures.shape)
    if shelf.dtype == "float32":
        return {"chunks": chunks}
    return {
        "chunks": chunks,
        "dtype": shelf.dtype,
        "scale_factor": 2.0 * pictures.reach / _LEVELS,
        "add_offset": -pictures.reach,
        "_FillValue": _LEVELS + 1,
    }
