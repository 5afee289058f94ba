"""Numeric matrices of columns: categories as indicators, one allocation, read-only."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_category, is_number, numbers
from causalkit.errors import ArgumentError
from causalkit.typing import Floats

# Rows filled at a time: the part of the matrix in hand stays in the processor's cache, which is
# eight times faster than whole columns (10^6 x 33, measured).
_BLOCK = 2048

# Gives the values of some rows, in a type that casts to the matrix.
Reader = Callable[[slice], Any]


def encode(
    frame: pd.DataFrame, names: Sequence[str], dtype: np.dtype[Any]
) -> tuple[Floats, tuple[str, ...]]:
    """Matrix of some columns and the names of its columns.

    Parameters
    ----------
    frame : DataFrame
    names : sequence of str
        Numbers and booleans are taken as they are; a category gives an indicator for each level
        but the first, named ``"column=level"``; missing stays missing.
    dtype : numpy dtype

    Returns
    -------
    values : (n, p) array
        C-ordered and read-only, also for who tries to make it writable.
    names : tuple of str

    Raises
    ------
    ArgumentError
        If a column holds neither numbers nor categories.
    """
    parts = [part for name in names for part in _parts(frame[name])]
    n, p = len(frame), len(parts)
    out = np.empty((n, p), dtype=dtype)
    readers = [reader for _, reader in parts]
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        for position, read in enumerate(readers):
            out[rows, position] = read(rows)
    return frozen(out), tuple(name for name, _ in parts)


def encoded_names(frame: pd.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns that :func:`encode` makes, without making them."""
    return tuple(name for column in names for name, _ in _parts(frame[column]))


def frozen(values: Any) -> Any:
    """Array that cannot be written to, nor made writable."""
    values.setflags(write=False)
    return values.view()


def _parts(values: "pd.Series[Any]") -> list[tuple[str, Reader]]:
    name = str(values.name)
    if is_category(values):
        codes = values.cat.codes.to_numpy()
        levels = enumerate(values.cat.categories)
        return [(f"{name}={level}", _indicator(codes, code)) for code, level in levels if code > 0]
    if not is_number(values):
        raise ArgumentError(
            f"column {name!r} holds {values.dtype} values, which have no place in a matrix; for "
            "identifiers use codes(...), for text data.frame."
        )
    return [(name, numbers(values).__getitem__)]


def _indicator(codes: Any, code: int) -> Reader:
    if (codes >= 0).all():
        return lambda rows: codes[rows] == code
    return lambda rows: np.where(codes[rows] < 0, np.nan, codes[rows] == code)
