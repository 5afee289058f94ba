"""Tables of Stata files: value labels as categories, every missing code as missing."""

import re
import struct
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_category
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.warn import warn


def read_stata(path: Path, *, numbers: Collection[str | None] = ()) -> pd.DataFrame:
    """Read a ``.dta`` file.

    A column whose values all have a label becomes a category, its levels in the order of the
    codes. One of which only some values have a label, such as an age with a label at 99, stays a
    number; so does one of which two values have the same label, with a warning. The codes ``.`` and
    ``.a`` to ``.z`` are all missing, which of them is not kept; empty text is missing, as in Stata.

    Parameters
    ----------
    path : Path
    numbers : collection of str
        Columns to read by their codes, whatever labels they have.

    Raises
    ------
    ArgumentError
        If it is no Stata file.
    """
    try:
        codes = pd.read_stata(path, convert_categoricals=False)
    except (OSError, ValueError, struct.error) as error:
        said = " ".join(str(error).split())
        raise ArgumentError(
            f"cannot read {path.name!r} as a Stata file: {said}. Save it again with Stata, or as "
            ".csv."
        ) from error
    labelled = _labelled(path, [str(name) for name in codes if name not in numbers])
    levels = {name: values for name, values in labelled.items() if _all_labelled(values)}
    frame = pd.DataFrame(dict(codes.items()) | levels)
    texts = frame.select_dtypes(include=["object", "string"]).columns
    frame[texts] = frame[texts].replace("", np.nan)
    return frame


def _labelled(path: Path, names: list[str]) -> "dict[str, pd.Series[Any]]":
    """Columns with labels for codes; those of which labels repeat are left out, with a warning."""
    if not names:
        return {}
    try:
        found = pd.read_stata(path, columns=names, order_categoricals=False)
    except ValueError:
        if len(names) == 1:
            warn(
                f"two values of column {names[0]!r} have the same label in {path.name!r}, so that "
                "it keeps its codes.",
                CausalKitWarning,
            )
        half = len(names) // 2
        parts = (names[:half], names[half:]) if half else ()
        return {name: values for part in parts for name, values in _labelled(path, part).items()}
    return {name: found[name] for name in names}


def write_stata(frame: pd.DataFrame, path: Path) -> None:
    """Write a table to a file for Stata 14 and later; categories become value labels.

    Raises
    ------
    ArgumentError
        If Stata cannot hold a column or its name.
    """
    categories = [name for name in frame if is_category(frame[name])]
    try:
        levels = {name: frame[name].cat.rename_categories(str) for name in categories}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.InvalidColumnName)
            warnings.simplefilter("error", pd.errors.PossiblePrecisionLoss)
            made = pd.DataFrame(dict(frame.items()) | levels)
            made.to_stata(path, write_index=False, version=118)
    except pd.errors.InvalidColumnName as error:
        names = re.findall(r"^ +(.*?) +->", str(error), flags=re.MULTILINE)
        raise ArgumentError(
            f"Stata cannot hold the column names {', '.join(map(repr, names))}: at most 32 "
            "letters, digits and underscores, and no word of its own such as 'int'. Rename them, "
            "or write .parquet or .csv."
        ) from error
    except (ValueError, TypeError, NotImplementedError, pd.errors.PossiblePrecisionLoss) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise ArgumentError(
            f"Stata cannot hold this table: {said}. Write .parquet or .csv."
        ) from error


def _all_labelled(values: "pd.Series[str]") -> bool:
    """Whether a category has a label, which is text, for each of its values."""
    if not is_category(values):
        return False
    return all(isinstance(level, str) for level in values.cat.categories)
