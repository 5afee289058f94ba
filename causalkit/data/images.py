"""Images of the rows: which image each row has, and how images are read, a run at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import plain
from causalkit.data.fill_values import with_gaps
from causalkit.data.local_store import check_stores, local_stores
from causalkit.data.roles import Roles
from causalkit.errors import ArgumentError, DataError, Problem, check_count
from causalkit.optional import require
from causalkit.typing import Ints

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data.dataset import CausalData

_PIXELS = ("band", "y", "x")
_RUN_BYTES = 32 * 2**20  # read at once where a store says nothing about its chunks
_RUN = 256


@dataclass(frozen=True, slots=True, eq=False)
class ImageStore:
    """Distinct images, lazy or in memory, and the image of every row.

    Attributes
    ----------
    name : str
        Variable that holds the images.
    pixels : (m, [time,] band, y, x) DataArray
        Whatever type they are stored in.
    keys : (m,) array
        Key of each image.
    of_row : (n,) int array
        Position of the image of each row.
    run : int
        Images that are read at once: those of a chunk of the store.
    folders : tuple of Path
        Local zarr arrays that the pixels are read from.
    max_nan_pixels : float
        Largest share of pixel values that may be missing.
    """

    name: str
    pixels: "xr.DataArray"
    keys: Any
    of_row: Ints
    run: int
    folders: tuple[Path, ...] = ()
    max_nan_pixels: float = 1.0

    @classmethod
    def of(cls, data: "CausalData", name: str | None = None) -> "ImageStore":
        """Images of a data set.

        Parameters
        ----------
        data : CausalData
        name : str, optional
            Which of several image variables.

        Raises
        ------
        ArgumentError
            If there are several images and none is named, or no image.
        DataError
            If the dimensions are not ``(..., [time,] band, y, x)``.
        """
        named = data.roles.image
        if data.arrays is None or not named or (name is not None and name not in named):
            known = ", ".join(named) or "none"
            raise ArgumentError(
                f"the data have no image {name or ''!r} (images: {known}); name one when building "
                'them: CausalData.from_xarray(ds, image="...", ...), or, for new rows, bring it '
                "along: training_data.like(df, arrays=...)."
            )
        if name is None and len(named) > 1:
            raise ArgumentError(
                f"the data have several images ({', '.join(named)}); say which: image=..."
            )
        chosen = name or named[0]
        pixels = data.arrays[chosen]
        folders, key_dim = local_stores(pixels), key_dimension(pixels)
        pixels = _ordered(with_gaps(pixels), key_dim)
        if key_dim == "obs":
            unit = data.roles.unit
            keys = np.arange(data.n) if unit is None else data.frame[unit].to_numpy()
            of_row = np.arange(data.n)
        else:
            keys = pixels[key_dim].values
            of_row = pd.Index(keys).get_indexer(pd.Index(data.frame[str(data.roles.image_key)]))
        of_row, run = of_row.astype(np.int64), _run_length(pixels)
        return cls(chosen, pixels, keys, of_row, run, folders, data.max_nan_pixels)

    @classmethod
    def bare(cls, pixels: "xr.DataArray") -> "ImageStore":
        """Images without rows: every image stands for itself.

        Raises
        ------
        DataError
            If the dimensions are not ``(..., [time,] band, y, x)``.
        """
        key_dim, folders = key_dimension(pixels), local_stores(pixels)
        ordered = _ordered(with_gaps(pixels), key_dim)
        size = ordered.sizes[key_dim]
        keys = ordered[key_dim].values if key_dim in ordered.coords else np.arange(size)
        run = _run_length(ordered)
        return cls(str(pixels.name), ordered, keys, np.arange(size), run, folders)

    @property
    def n_images(self) -> int:
        """Images in the store."""
        return int(self.pixels.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, ``([time,] band, y, x)``."""
        return tuple(self.pixels.shape[1:])

    @property
    def nbytes(self) -> int:
        """Size of all images as stored, in bytes."""
        return int(np.prod(self.pixels.shape, dtype=np.int64)) * self.pixels.dtype.itemsize

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands; numbers where they have none."""
        if "band" in self.pixels.coords:
            return tuple(str(plain(band)) for band in self.pixels["band"].values)
        return tuple(map(str, range(self.pixels.sizes["band"])))

    def band_labels(self, names: Iterable[str]) -> list[Any]:
        """Bands of these names as the coordinate holds them; names that it lacks as they are."""
        coords = self.pixels.coords
        labels = map(plain, coords["band"].values) if "band" in coords else range(len(self.bands))
        known = {str(label): label for label in labels}
        return [known.get(name, name) for name in names]

    def used(self) -> Ints:
        """Positions of the images that some row has, ascending."""
        return np.unique(self.of_row)

    def runs(self, positions: Ints) -> list[Ints]:
        """Positions ``(m,)``, ascending within each run, split as the store is chunked."""
        ordered = np.sort(positions)
        cuts = np.flatnonzero(np.diff(ordered // self.run)) + 1
        return np.split(ordered, cuts) if ordered.size else []

    def read(self, positions: Ints) -> Any:
        """Pixels of some images, ``(b, [time,] band, y, x)`` in the order asked for.

        Safe to call from several threads.

        Raises
        ------
        ArgumentError
            If a lazy array holds what the type that it says cannot hold.
        StorageError
            If the store was moved or deleted since it was opened.
        """
        check_stores(self.folders, self.name)
        part = self.pixels[np.asarray(positions)]
        # One thread: the caller reads ahead already, and schedulers within schedulers stall.
        lazy = part.chunks is not None
        pixels = part.data.compute(scheduler="synchronous") if lazy else part.values
        # In the byte order of the machine, the only one that torch takes, and of the type that the
        # array says, which of lazy ones is a promise.
        return _cast(pixels, self.pixels.dtype.newbyteorder("="))

    def read_runs(self, positions: Ints) -> Iterator[tuple[Ints, Any]]:
        """Positions and pixels of some images, run by run in stored order."""
        for run in self.runs(positions):
            yield run, self.read(run)


def key_dimension(pixels: "xr.DataArray") -> str:
    """Dimension that tells images apart: ``obs``, or the one that is neither pixel nor time."""
    others = [str(dim) for dim in pixels.dims if dim not in (*_PIXELS, "time")]
    if len(others) != 1 or not {"y", "x"} <= set(pixels.dims):
        raise DataError(
            [
                Problem(
                    "E01-missing-column",
                    f"image {str(pixels.name)!r} has dimensions "
                    f"{', '.join(map(str, pixels.dims))}; expected one for the images, then "
                    "[time], band, y, x. Rename them: "
                    'ds.rename(channel="band", lat="y", lon="x").',
                    str(pixels.name),
                )
            ]
        )
    return others[0]


def shared_image_problems(
    arrays: "xr.Dataset", roles: Roles, frame: pd.DataFrame
) -> Iterator[Problem]:
    """E14 where rows name images that are not there, or keys are repeated or of another type."""
    if roles.image_key is None:
        return
    if not roles.image:
        message = (
            f"{roles.image_key!r} says which image a row has, but no image is named; pass image=..."
        )
        yield Problem("E14-image-key-mismatch", message, roles.image_key)
    for name in roles.image:
        if name in arrays and "obs" not in arrays[name].dims:
            yield from _key_problems(arrays[name], frame[roles.image_key], roles.image_key)


def _key_problems(
    pixels: "xr.DataArray", wanted: "pd.Series[Any]", column: str
) -> Iterator[Problem]:
    name, dim = str(pixels.name), key_dimension(pixels)
    code = "E14-image-key-mismatch"
    if dim not in pixels.coords:
        message = (
            f"dimension {dim!r} of {name!r} has no coordinate, which should hold the key of each "
            f"image; add it: ds.assign_coords({dim}=[...])."
        )
        yield Problem(code, message, column)
        return
    have = pd.Index(pixels[dim].values)
    if have.has_duplicates:
        again = have[have.duplicated()][:3].tolist()
        message = (
            f"the keys of {name!r} are not unique (first: {_listed(again)}); give each its own."
        )
        yield Problem(code, message, column)
        return
    kinds = (_kind(have), _kind(pd.Index(wanted.dropna())))
    if kinds[0] != kinds[1]:
        message = (
            f"column {column!r} holds {kinds[1]} (first: {plain(wanted.iloc[0])!r}) and the keys "
            f"of {name!r} are {kinds[0]} (first: {plain(have[0])!r}); convert one of them, such "
            f"as df[{column!r}].astype(...)."
        )
        yield Problem(code, message, column)
        return
    lost = have.get_indexer(pd.Index(wanted)) < 0
    if lost.any():
        rows = np.flatnonzero(lost)
        message = (
            f"{rows.size} of {len(wanted)} rows name an image in {column!r} that {name!r} lacks "
            f"(first: {_listed(wanted.iloc[rows].unique()[:3])}). Drop these rows, or add the "
            "images to the store."
        )
        yield Problem(code, message, column, tuple(rows[:10].tolist()))


def lazy_images(
    read: Callable[[Any], Any],
    keys: Sequence[Any],
    *,
    shape: Sequence[int],
    dtype: Any = "float32",
    bands: Sequence[str] | None = None,
    chunk: int = _RUN,
    name: str = "image",
) -> "xr.DataArray":
    """Images behind a function, read only when they are needed.

    Parameters
    ----------
    read : callable
        Takes keys ``(b,)`` and returns their pixels ``(b, band, y, x)`` or ``(b, time, band, y,
        x)``, of this shape and type; called from several threads.
    keys : (m,) sequence
        One per image, unique.
    shape : sequence of int
        Of one image: ``(band, y, x)`` or ``(time, band, y, x)``.
    dtype : dtype, default "float32"
    bands : sequence of str, optional
        Names of the bands.
    chunk : int, default 256
        Images asked for at once.
    name : str, default "image"

    Returns
    -------
    (place, [time,] band, y, x) DataArray
        To go into ``CausalData.from_frame(..., arrays=images.to_dataset(), image="image",
        image_key=...)``.

    Raises
    ------
    ArgumentError
        If ``shape`` has not three or four entries; when read, if the function returns another
        shape, or pixels that ``dtype`` cannot hold.
    """
    require("dask", extra="images", needed_by="images behind a function")
    import dask.array as da
    import xarray as xr

    check_count("chunk", chunk, least=1)
    if len(shape) not in (3, 4):
        raise ArgumentError(f"shape must be ([time,] band, y, x), got {tuple(shape)!r}.")
    known = np.asarray(keys)

    def block(block_info: Any = None) -> Any:
        low, high = block_info[None]["array-location"][0]
        pixels = _cast(np.asarray(read(known[low:high])), np.dtype(dtype))
        if pixels.shape != (high - low, *shape):
            raise ArgumentError(
                f"the function that reads images returned shape {pixels.shape} for {high - low} "
                f"keys; expected {(high - low, *shape)}."
            )
        return pixels

    sizes = tuple(min(chunk, known.size - low) for low in range(0, known.size, chunk))
    pixels = da.map_blocks(  # type: ignore[no-untyped-call]  # dask's own signature
        block,
        dtype=np.dtype(dtype),
        chunks=(sizes, *((size,) for size in shape)),
        meta=np.empty((0,) * (1 + len(shape)), dtype=dtype),
    )
    dims = ("place", *(("time",) if len(shape) == 4 else ()), *_PIXELS)
    coords: dict[str, Any] = {"place": known} | ({} if bands is None else {"band": list(bands)})
    return xr.DataArray(pixels, dims=dims, coords=coords, name=name)


def _cast(pixels: Any, wanted: "np.dtype[Any]") -> Any:
    """Pixels as another type that holds them: no fraction is cut, and no number wraps round."""
    given = pixels.dtype
    if np.can_cast(given, wanted):
        return pixels.astype(wanted, copy=False)
    whole = given.kind in "biu" and wanted.kind in "iu"
    if not whole and not np.can_cast(given, wanted, "same_kind"):
        raise ArgumentError(
            f"the function that reads images returned {given} where dtype={str(wanted)!r} was "
            f"said; pass dtype={str(given)!r}, or round and convert in the function."
        )
    limits = np.iinfo(wanted) if whole else np.finfo(wanted)
    outside = pixels[np.isfinite(pixels) & ((pixels < limits.min) | (pixels > limits.max))]
    if outside.size:
        raise ArgumentError(
            f"the function that reads images returned {plain(outside[0])!r}, which "
            f"dtype={str(wanted)!r} cannot hold; pass dtype={str(given)!r}."
        )
    return pixels.astype(wanted)


def _ordered(pixels: "xr.DataArray", key_dim: str) -> "xr.DataArray":
    """Dimensions in one order, with a band dimension even where there is one band."""
    time = ("time",) if "time" in pixels.dims else ()
    if "band" in pixels.dims:
        return pixels.transpose(key_dim, *time, *_PIXELS)
    single = pixels.transpose(key_dim, *time, "y", "x")
    if single.chunks is None and not single.variable._in_memory:
        # A new dimension would read all of an array that is lazy without dask.
        single = single.chunk({key_dim: _run_length(single)})
    return single.expand_dims("band").transpose(key_dim, *time, *_PIXELS)


def _run_length(pixels: "xr.DataArray") -> int:
    """Images in a chunk of the store, if it has chunks."""
    if pixels.chunks is not None:
        return int(pixels.chunks[0][0])
    stored = pixels.encoding.get("preferred_chunks", {}).get(pixels.dims[0])
    if stored:
        return int(stored)
    one = max(1, int(np.prod(pixels.shape[1:], dtype=np.int64)) * pixels.dtype.itemsize)
    return max(1, min(_RUN, _RUN_BYTES // one))


def _kind(keys: "pd.Index[Any]") -> str:
    kind = pd.api.types.infer_dtype(keys, skipna=True)
    return {"string": "text", "integer": "integers", "floating": "decimal numbers"}.get(kind, kind)


def _listed(keys: Any) -> str:
    return ", ".join(repr(plain(key)) for key in keys)
