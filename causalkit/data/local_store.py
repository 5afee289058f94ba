"""Local zarr stores behind lazy arrays: once such a folder is gone, it is read as fill values."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalkit.errors import StorageError

if TYPE_CHECKING:
    import xarray as xr


def local_stores(pixels: "xr.DataArray") -> tuple[Path, ...]:
    """Folders of the zarr arrays that are read when values are asked for; none in memory."""
    held = pixels.variable._data
    graph = getattr(held, "dask", None)
    if graph is None:
        sources = [held]
    else:  # dask keeps what it reads from in layers of their own
        layers = graph.layers.items()
        named = [layer for name, layer in layers if str(name).startswith("original-")]
        sources = [source for layer in named for source in layer.values()]
    return tuple(dict.fromkeys(folder for source in sources for folder in _folder(source)))


def check_stores(folders: tuple[Path, ...], name: str) -> None:
    """Refuse to read from a store that was moved or deleted since it was opened.

    Raises
    ------
    StorageError
        zarr would give its fill value, mostly zero, for every pixel.
    """
    for folder in folders:
        if not folder.exists():
            raise StorageError(
                f"{name!r} is read from {str(folder)!r}, which was moved or deleted since it was "
                "opened; put it back, or open the store where it lies now: xr.open_zarr(...)."
            )


def _folder(source: Any) -> Iterator[Path]:
    """Folder of a zarr array, if it is a local one, through what xarray wraps round it."""
    source = getattr(source, "value", source)  # of a node of a graph
    while source is not None and not hasattr(source, "store"):
        source = getattr(source, "array", getattr(source, "_array", None))
    root = getattr(getattr(source, "store", None), "root", None)
    if isinstance(root, Path):
        yield root / str(getattr(source, "path", ""))
