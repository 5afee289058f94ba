"""Curves of rows on disk, written block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.data.new_folder import free_folder, new_folder
from causalkit.optional import require
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr

BLOCK = 2**22


def free_path(to_zarr: Any) -> Path:
    """Where a new store may be written.

    Raises
    ------
    ArgumentError
        If something is there.
    MissingDependencyError
        If zarr is not installed.
    """
    require("zarr", extra="images", needed_by="dose_response(to_zarr=...)")
    return free_folder(to_zarr)


class CurveStore:
    """A store that is being written, blocks of rows of some megabytes one after the other."""

    def __init__(self, folder: Path, doses: Floats) -> None:
        self.folder, self.doses, self.rows = folder, doses, 0
        self._waiting: list[Floats] = []

    def add(self, piece: Floats) -> None:
        """Take curves of the next rows, ``(rows, doses)``, and write when there are enough."""
        self._waiting.append(piece)
        if sum(one.nbytes for one in self._waiting) >= BLOCK:
            self._write()

    def _write(self) -> None:
        """Append what waits; the first block sizes the chunks."""
        import xarray as xr

        block = np.concatenate(self._waiting)
        self._waiting.clear()
        part = xr.Dataset(
            {"individual": (("obs", "dose"), block)},
            coords={"obs": np.arange(self.rows, self.rows + len(block)), "dose": self.doses},
        )
        if self.rows:
            part.to_zarr(self.folder, append_dim="obs", zarr_format=2, consolidated=False)
        else:
            sizes = {"individual": {"chunks": block.shape}}
            part.to_zarr(self.folder, encoding=sizes, zarr_format=2, consolidated=False)
        self.rows += len(block)

    def close(self, averages: "xr.Dataset") -> None:
        """Write the rest, and what belongs to the doses alone."""
        if self._waiting:
            self._write()
        averages.to_zarr(self.folder, mode="a", zarr_format=2, consolidated=True)


@contextmanager
def new_store(path: Path, doses: Floats) -> Iterator[CurveStore]:
    """A store that is at its path once it is whole, and nowhere if writing fails."""
    with new_folder(path) as folder:
        yield CurveStore(folder, doses)


def opened(path: Path) -> "xr.Dataset":
    """The store, read when its values are asked for."""
    import xarray as xr

    stored: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=True)
    return stored
