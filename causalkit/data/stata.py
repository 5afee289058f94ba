"""Tables of Stata files: value labels as categories, every missing code as missing."""

import struct
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_category
from causalkit.errors import ArgumentError


def read_stata(path: Path, *, numbers: Collection[str | None] = ()) -> pd.DataFrame:
    """Read a ``.dta`` file.

    A column whose values all have a label becomes a category, its levels in the order of the
    codes. One of which only some values have a label, such as an age with a label at 99, stays a
    number. The codes ``.`` and ``.a`` to ``.z`` are all missing, which of them is not kept; empty
    text is missing, as in Stata.

    Parameters
    ----------
    path : Path
    numbers : collection of str
        Columns to read by their codes, whatever labels they have.

    Raises
    ------
    ArgumentError
        If it is no Stata file, or two values of a column have one label.
    """
    try:
        codes = pd.read_stata(path, convert_categoricals=False)
        labelled = pd.read_stata(path, order_categoricals=False)
    except (OSError, ValueError, struct.error) as error:
        said = " ".join(str(error).split())
        raise ArgumentError(
            f"cannot read {path.name!r} as a Stata file: {said}. Save it again with Stata, or as "
            ".csv."
        ) from error
    made = {
        name: labelled[name] if name not in numbers and _all_labelled(labelled[name]) else values
        for name, values in codes.items()
    }
    frame = pd.DataFrame(made)
    texts = frame.select_dtypes(include=["object", "string"]).columns
    frame[texts] = frame[texts].replace("", np.nan)
    return frame


def _all_labelled(values: "pd.Series[str]") -> bool:
    """Whether a category has a label, which is text, for each of its values."""
    if not is_category(values):
        return False
    return all(isinstance(level, str) for level in values.cat.categories)
