"""Tables in files of other programs, read by the ending of their name."""

import csv
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from causalkit.data.candidate import is_number
from causalkit.data.stata import read_stata
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.warn import warn

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_file(path: Path, *, numbers: Collection[str | None] = ()) -> pd.DataFrame:
    """Read a ``.parquet``, ``.csv`` or ``.dta`` file.

    Parameters
    ----------
    path : Path
    numbers : collection of str
        Columns that are no categories, whatever labels a Stata file has for them.

    Raises
    ------
    ArgumentError
        If it cannot be read, or its name has another ending.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": pd.read_parquet,
        ".csv": _read_csv,
        ".dta": partial(read_stata, numbers=numbers),
    }
    if path.suffix.lower() not in readers:
        raise ArgumentError(
            f"cannot tell the format of {path.name!r}; give a file that ends in .parquet, .csv "
            "or .dta, or a store that ends in .zarr."
        )
    try:
        return readers[path.suffix.lower()](path)
    except ArgumentError:
        raise
    except (OSError, ValueError) as error:
        raise ArgumentError(f"cannot read {path.name!r}: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    """Frame from text with commas between columns, or whatever else the head of the table has."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        head = next((line for line in lines if line.strip()), "")
    # One column would hold no treatment beside the outcome, so that commas are not what separates.
    parts = {each: _parts(head, each) for each in (",", *_SEPARATORS)}
    separator = "," if parts[","] > 1 else max(parts, key=lambda each: parts[each])

    def read(decimal: str) -> pd.DataFrame:
        return pd.read_csv(path, sep=separator, decimal=decimal)

    frame = read(".")
    if isinstance(frame.index, pd.MultiIndex):
        raise ArgumentError(
            f"cannot read {path.name!r}: its rows have more columns than its head. Where commas "
            "are in numbers or text, separate columns by semicolons."
        )
    if separator == ",":
        return frame
    told, with_commas = f"{_SEPARATORS[separator]} between columns", read(",")
    if _numeric(with_commas) > _numeric(frame):
        frame, told = with_commas, f"{told} and decimal commas"
    warn(f"{path.name!r} was read with {told}.", CausalKitWarning)
    return frame


def _parts(head: str, separator: str) -> int:
    """Columns that a separator makes of the first line, which may have it in quotes."""
    return len(next(csv.reader([head], delimiter=separator), []))


def _numeric(frame: "pd.DataFrame") -> int:
    """How many columns hold numbers."""
    columns: list[Any] = [frame[name] for name in frame]
    return sum(map(is_number, columns))
