"""Moderators: what an effect may vary with, as numbers with names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.typing import Floats

_WANTED = (
    "name one or more columns of the data, or give a DataFrame or a 2-D array with a row for each "
    "row of the data"
)


def moderator_frame(data: CausalData, basis: Any) -> pd.DataFrame:
    """Moderator columns in the data's row order.

    Parameters
    ----------
    data : CausalData
    basis : str, sequence of str, DataFrame, Series or (n,) or (n, q) array
        Columns of an array are named ``b1``, ``b2``, ...; rows of a pandas object are found by
        their labels.

    Raises
    ------
    ArgumentError
        If nothing is named, a column is unknown, is the outcome or the treatment, or the length or
        the row labels are not those of the data.
    """
    frame = _frame(data, basis)
    if frame.shape[1] == 0:
        raise ArgumentError(f"the basis has no column; {_WANTED}.")
    frame.columns = pd.Index([str(name) for name in frame.columns])
    for name in frame.columns:
        check_moderator(data, name)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise ArgumentError(f"column {twice[0]!r} is in the basis twice; name it once.")
    if len(frame) != len(data):
        raise ArgumentError(f"the basis has {len(frame)} rows; the data have {len(data)}.")
    return frame


def check_moderator(data: CausalData, name: str) -> None:
    """Refuse the outcome and the treatments: an effect cannot vary with what it concerns."""
    for role in ("outcome", "treatment"):
        if name in getattr(data.roles, role):
            raise ArgumentError(
                f"{name!r} is the {role}; effects can vary with what precedes the treatment: name "
                "a covariate or another column."
            )


def _frame(data: CausalData, basis: Any) -> pd.DataFrame:
    """Whatever a basis may be, as a DataFrame of its own."""
    basis = in_row_order(data, basis, what="the basis")
    if hasattr(basis, "to_pandas"):
        basis = basis.to_pandas()
    if isinstance(basis, pd.Series):
        basis = basis.to_frame("b1" if basis.name is None else basis.name)
    if isinstance(basis, pd.DataFrame):
        return basis.reset_index(drop=True)
    if isinstance(basis, np.ndarray) and basis.dtype.kind in "biuf" and basis.ndim in (1, 2):
        columns = basis[:, None] if basis.ndim == 1 else basis
        return pd.DataFrame(columns, columns=[f"b{j + 1}" for j in range(columns.shape[1])])
    if isinstance(basis, np.ndarray) and basis.ndim != 1:
        raise ArgumentError(
            f"the basis is a {basis.ndim}-D array of {basis.dtype} values; {_WANTED}."
        )
    names = [basis] if isinstance(basis, str) else basis
    if isinstance(names, np.ndarray | pd.Index):
        names = names.tolist()
    if not isinstance(names, Sequence) or any(not isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"the basis is of type {type(basis).__name__}; {_WANTED}.")
    for name in names:
        if name not in data.frame.columns:
            raise ArgumentError(
                f"the data have no column {name!r}; name a column of the data (pass it as "
                "`extra` when building the data if it has no other role), or a DataFrame."
            )
    return data.frame[list(names)].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How moderators become numbers: as they are, or an indicator for each level but the first.

    Attributes
    ----------
    levels : mapping of str to tuple or None
        Levels of each column that was seen, the base level first; None for numbers.
    """

    levels: dict[str, tuple[Any, ...] | None]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Encoding":
        """Encoding of the columns of a frame, with the levels that occur in it."""
        levels: dict[str, tuple[Any, ...] | None] = {}
        for name, values in frame.items():
            if pd.api.types.is_numeric_dtype(values):
                levels[str(name)] = None
                continue
            if not _is_category(values):
                raise ArgumentError(
                    f"column {name!r} of the basis is not numeric ({values.dtype}); encode it "
                    "first."
                )
            found = values.astype("category").cat.remove_unused_categories().cat.categories
            if len(found) < 2:
                raise ArgumentError(
                    f"column {name!r} of the basis has fewer than two levels; leave it out."
                )
            levels[str(name)] = tuple(found)
        return cls(levels)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numeric columns; ``"column=level"`` for indicators."""
        found: list[str] = []
        for name, levels in self.levels.items():
            shown = [name] if levels is None else [f"{name}={level}" for level in levels[1:]]
            found += shown
        return tuple(found)

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """Columns as numbers ``(n, q)``.

        Raises
        ------
        ArgumentError
            If a value is missing, or is a level that was not seen.
        """
        parts: list[Floats] = []
        for name, levels in self.levels.items():
            values = frame[name]
            parts += [_numbers(values)] if levels is None else [_indicators(values, levels)]
        return np.column_stack(parts)

    def absent(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Levels, as ``"column=level"``, that no row of a frame has."""
        return tuple(
            f"{name}={level}"
            for name, levels in self.levels.items()
            if levels is not None
            for level in levels
            if not (frame[name].astype(object) == level).any()
        )


def _is_category(values: "pd.Series[Any]") -> bool:
    """Whether values stand for levels: categories, text or mixed objects."""
    return (
        isinstance(values.dtype, pd.CategoricalDtype)
        or pd.api.types.is_object_dtype(values)
        or pd.api.types.is_string_dtype(values)
    )


def _numbers(values: "pd.Series[Any]") -> Floats:
    if not pd.api.types.is_numeric_dtype(values):
        raise ArgumentError(
            f"column {values.name!r} of the basis is not numeric ({values.dtype}), as it was where "
            "the effect was fitted; encode it first."
        )
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ArgumentError(
            f"column {values.name!r} of the basis is missing or infinite at row {row}; drop or "
            "impute it."
        )
    return numbers[:, None]


def _indicators(values: "pd.Series[Any]", levels: tuple[Any, ...]) -> Floats:
    if values.isna().any():
        row = int(np.flatnonzero(values.isna().to_numpy())[0])
        raise ArgumentError(
            f"column {values.name!r} of the basis is missing at row {row}; drop or impute it."
        )
    codes = pd.Index(levels, dtype=object).get_indexer(pd.Index(values.astype(object)))
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise ArgumentError(
            f"column {values.name!r} has the level {values.iloc[row]!r} at row {row}, which the "
            f"fit has not seen; it knows {', '.join(map(repr, levels))}. Leave such rows out, or "
            "fit on data that have the level."
        )
    return np.asarray(codes[:, None] == np.arange(1, len(levels)), dtype=np.float64)
