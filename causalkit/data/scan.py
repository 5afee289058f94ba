"""Data from parquet files of which only the columns with a role are read."""

from pathlib import Path
from typing import Any

from causalkit.data.build import from_frame
from causalkit.data.dataset import CausalData
from causalkit.data.parquet import ParquetColumns
from causalkit.errors import ArgumentError


def scan(path: Any, **arguments: Any) -> CausalData:
    """Data from a parquet file, or a folder of such files.

    Today the columns that have a role are read into memory, and no others. Nothing is streamed or
    pushed down to an engine, so these columns must fit into memory.

    Parameters
    ----------
    path : str or path
        File, or folder whose files make one table (``key=value`` subfolders become columns).
    **arguments
        Roles and options of :func:`causalkit.data.build.from_frame`.

    Raises
    ------
    ArgumentError
        If there is no such file, or it is not parquet.
    DataError
        Once, with every problem found.
    """
    if (Path(path) / "roles.json").exists():
        raise ArgumentError(f"{str(path)!r} holds saved data with roles; use CausalData.load.")
    return from_frame(ParquetColumns(path), **arguments)
