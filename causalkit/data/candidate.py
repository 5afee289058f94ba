"""Columns and roles on their way to becoming data, and what the checks read off them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.labels import sorted_codes
from causalkit.data.roles import Roles
from causalkit.typing import Bools, Ints

NUMERIC_ROLES = ("outcome", "treatment", "covariates", "modifiers", "instruments", "weights")
ID_ROLES = ("unit", "time", "cluster", "strata", "image_key")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Columns and roles that the checks look at.

    Attributes
    ----------
    frame : DataFrame
        Columns that have a role.
    roles : Roles
    missing : str or imputer
        Policy for missing values.
    nested : bool
        Whether units are claimed to lie within clusters.
    origin : (n,) int array or None
        Row numbers in the table that the user gave, if rows were left out since.
    known : sequence of str or None
        Columns of the table that the user gave, of which the frame holds those with a role.
    dropped : dict
        Rows left out before, by reason.
    memo : dict
        Codes of identifiers, computed once and passed on to the data.
    """

    frame: pd.DataFrame
    roles: Roles
    missing: Any = "raise"
    nested: bool = False
    origin: Ints | None = None
    known: Sequence[str] | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)

    def codes(self, name: str) -> Ints:
        """Codes of an identifier column; -1 where missing."""
        key = ("codes", name)
        if key not in self.memo:
            self.memo[key] = sorted_codes(self.frame[name])
        codes: Ints = self.memo[key][0]
        return codes

    def numeric_columns(self) -> list[str]:
        """Columns that an estimator reads as numbers and that hold numbers."""
        named = [name for role in NUMERIC_ROLES for name in self.roles.columns(role)]
        return [name for name in dict.fromkeys(named) if is_number(self.frame[name])]

    def where(self, hit: Bools) -> "Where":
        """Rows that a check found."""
        rows = np.flatnonzero(hit)
        return Where(rows if self.origin is None else self.origin[rows])


@dataclass(frozen=True, slots=True)
class Where:
    """Rows of the user's table, for a message."""

    rows: Ints

    @property
    def first(self) -> int:
        """First row."""
        return int(self.rows[0])

    @property
    def ten(self) -> tuple[int, ...]:
        """First ten rows."""
        return tuple(self.rows[:10].tolist())

    def __str__(self) -> str:
        if self.rows.size == 1:
            return f"row {self.first}"
        first = ", ".join(map(str, self.rows[:3].tolist()))
        return f"{self.rows.size} rows (first: {first})"


def is_number(values: "pd.Series[Any]") -> bool:
    """Whether a column holds real numbers or booleans."""
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values)
    return bool(numeric or pd.api.types.is_bool_dtype(values))


def is_category(values: "pd.Series[Any]") -> bool:
    """Whether a column is of category type."""
    return isinstance(values.dtype, pd.CategoricalDtype)


def is_text(values: "pd.Series[Any]") -> bool:
    """Whether a column holds text, and nothing else but gaps."""
    return pd.api.types.is_string_dtype(values.dropna())


def numbers(values: "pd.Series[Any]") -> Any:
    """Values ``(n,)`` as a numpy array of numbers, without a copy where there need be none."""
    if isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def all_finite(values: Any) -> bool:
    """Whether there is neither NaN nor infinity, in one pass without a temporary array."""
    if values.dtype.kind != "f":
        return True
    # A sum is not finite if a term is not; overflow of finite terms needs the slow answer.
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def plain(value: Any) -> Any:
    """Value as Python prints it: numpy scalars show their type otherwise."""
    return value.item() if isinstance(value, np.generic) else value
