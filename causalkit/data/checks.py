"""Checks of data at construction: one small function per code, collected and raised together.

Every check takes the columns and roles and yields findings; none stops at the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.missing import keeps_missing
from causalkit.data.roles import WEIGHT_KINDS, Roles
from causalkit.errors import DataError, Problem
from causalkit.typing import Bools, Floats

_EXACT = 2**53  # integers beyond this lose digits as float64
_NUMERIC_ROLES = ("outcome", "treatment", "covariates", "modifiers", "instruments", "weights")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Columns and roles on their way to becoming data.

    Attributes
    ----------
    frame : DataFrame
        Columns as given.
    roles : Roles
    missing : str or imputer
        Policy for missing values.
    on_duplicate : str
        Policy for repeated (unit, time) rows.
    nested : bool
        Whether units are claimed to lie within clusters.
    """

    frame: pd.DataFrame
    roles: Roles
    missing: Any = "raise"
    on_duplicate: str = "raise"
    nested: bool = False


def missing_column(given: Candidate) -> Iterator[Problem]:
    """E01: a named column is absent."""
    for role, columns in given.roles.named().items():
        for name in columns:
            if name not in given.frame.columns:
                known = [str(column) for column in given.frame.columns]
                close = get_close_matches(str(name), known, n=1)
                hint = (
                    f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:20])}."
                )
                message = f"there is no column {name!r} (named as {role}). {hint}"
                yield Problem("E01-missing-column", message, str(name))


def duplicate_role(given: Candidate) -> Iterator[Problem]:
    """E02: a column has two roles, or is named twice in one."""
    seen: dict[str, str] = {}
    legal = {("covariates", "modifiers"), ("unit", "cluster"), ("time", "cluster")}
    for role, columns in given.roles.named().items():
        for name in columns:
            first = seen.setdefault(name, role)
            twice = columns.count(name) > 1
            if (first != role and (first, role) not in legal) or twice:
                where = f"twice as {role}" if twice else f"both as {first} and as {role}"
                message = f"column {name!r} is named {where}; a column has one role. Remove one."
                yield Problem("E02-duplicate-role", message, name)
                break
    repeated = given.frame.columns[given.frame.columns.duplicated()]
    for name in dict.fromkeys(repeated):
        message = f"the frame has several columns called {name!r}; rename all but one."
        yield Problem("E02-duplicate-role", message, str(name))


def non_numeric(given: Candidate) -> Iterator[Problem]:
    """E03: text where a number is needed."""
    for role in _NUMERIC_ROLES:
        for name in given.roles.columns(role):
            values = given.frame[name]
            if _is_category(values) and role not in ("outcome", "weights"):
                continue
            if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
                example = values.dropna().iloc[0] if values.notna().any() else None
                mend = (
                    "convert it to numbers"
                    if role in ("outcome", "weights")
                    else f"use frame[{name!r}].astype('category'), or C({name}) in a formula"
                )
                message = (
                    f"column {name!r} ({role}) holds {values.dtype} values such as {example!r} "
                    f"where a number is needed; {mend}."
                )
                yield Problem("E03-non-numeric", message, name)


def missing_values(given: Candidate) -> Iterator[Problem]:
    """E04 to E07: missing outcome, treatment, identifier or covariate."""
    if given.missing == "drop":
        return
    codes = {"outcome": "E04-nan-outcome", "treatment": "E05-nan-treatment"}
    codes |= dict.fromkeys(("unit", "time", "cluster", "strata"), "E06-nan-id")
    if not keeps_missing(given.missing):
        codes |= dict.fromkeys(("covariates", "modifiers", "instruments"), "E07-nan-covariate")
    for role, code in codes.items():
        for name in given.roles.columns(role):
            gone = given.frame[name].isna().to_numpy()
            if gone.any():
                rows = np.flatnonzero(gone)
                mend = "drop these rows with missing='drop', or mend the column"
                if code == "E07-nan-covariate":
                    mend = "set missing='drop', 'indicator', 'native' or an imputer"
                message = (
                    f"column {name!r} ({role}) is missing in {rows.size} rows (first: "
                    f"{int(rows[0])}); {mend}."
                )
                yield Problem(code, message, name, _first(rows))


def infinite_values(given: Candidate) -> Iterator[Problem]:
    """E08: infinite values."""
    for name in _numeric_columns(given):
        values = given.frame[name]
        if not pd.api.types.is_float_dtype(values):
            continue
        infinite = np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan))
        if infinite.any():
            rows = np.flatnonzero(infinite)
            message = (
                f"column {name!r} is infinite in {rows.size} rows (first: {int(rows[0])}); replace "
                "these values or drop the rows."
            )
            yield Problem("E08-inf", message, name, _first(rows))


def constant_columns(given: Candidate) -> Iterator[Problem]:
    """E09 and E10: a treatment or an outcome without variation."""
    for role, code in (
        ("treatment", "E09-constant-treatment"),
        ("outcome", "E10-constant-outcome"),
    ):
        for name in given.roles.columns(role):
            values = given.frame[name].dropna()
            if len(values) and (values == values.iloc[0]).all():
                message = (
                    f"column {name!r} ({role}) is {_plain(values.iloc[0])!r} in every row; "
                    "an effect needs variation. Check the column or the sample."
                )
                yield Problem(code, message, name)


def duplicate_unit_time(given: Candidate) -> Iterator[Problem]:
    """E12: a (unit, time) pair is repeated."""
    unit, time = given.roles.unit, given.roles.time
    if unit is None or time is None or given.on_duplicate == "mean":
        return
    repeated = given.frame.duplicated([unit, time]).to_numpy()
    if repeated.any():
        rows = np.flatnonzero(repeated)
        row = given.frame.iloc[int(rows[0])]
        message = (
            f"row {int(rows[0])} repeats unit {_plain(row[unit])!r} at time {_plain(row[time])!r} "
            f"({rows.size} such rows). Aggregate them first, or pass on_duplicate='mean'."
        )
        yield Problem("E12-duplicate-unit-time", message, unit, _first(rows))


def unit_split_across_clusters(given: Candidate) -> Iterator[Problem]:
    """E13: a unit lies in two clusters although nesting is claimed."""
    if not given.nested or given.roles.unit is None:
        return
    for name in given.roles.cluster:
        if name == given.roles.unit:
            continue
        counts = given.frame.groupby(given.roles.unit, observed=True)[name].nunique()
        torn = counts[counts > 1]
        if len(torn):
            message = (
                f"{len(torn)} units lie in several clusters {name!r} (first: "
                f"{_plain(torn.index[0])!r} in {int(torn.iloc[0])}). Give each unit one cluster, or "
                "set nested=False."
            )
            yield Problem("E13-unit-split-across-clusters", message, name)


def weight_values(given: Candidate) -> Iterator[Problem]:
    """E16: unusable weights, or weights whose meaning is not said."""
    name, kind = given.roles.weights, given.roles.weight_kind
    if name is None:
        return
    if kind not in WEIGHT_KINDS:
        message = (
            f"weights {name!r} need weight_kind: 'sampling' (inverse inclusion probability), "
            "'frequency' (identical rows) or 'precision' (inverse variance)."
        )
        yield Problem("E16-weights", message, name)
    if not pd.api.types.is_numeric_dtype(given.frame[name]):
        return
    values = given.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~(values >= 0)
    if bad.any():
        rows = np.flatnonzero(bad)
        message = (
            f"weights {name!r} are negative or missing in {rows.size} rows (first: row "
            f"{int(rows[0])}, {values[rows[0]]:g}); weights must be numbers of at least 0."
        )
        yield Problem("E16-weights", message, name, _first(rows))
    elif not (values > 0).any():
        yield Problem("E16-weights", f"weights {name!r} are all zero.", name)
    elif kind == "frequency" and (values != np.round(values)).any():
        row = int(np.flatnonzero(values != np.round(values))[0])
        message = (
            f"frequency weights {name!r} must be whole numbers; row {row} has {values[row]:g}. Use "
            "weight_kind='sampling' for survey weights."
        )
        yield Problem("E16-weights", message, name, (row,))


def too_few_instruments(given: Candidate) -> Iterator[Problem]:
    """E17: fewer instruments than treatments."""
    n_instruments, n_treatments = len(given.roles.instruments), len(given.roles.treatment)
    if 0 < n_instruments < n_treatments:
        message = (
            f"{n_instruments} instrument(s) for {n_treatments} treatments; name at least as many "
            "instruments as treatments."
        )
        yield Problem("E17-rank", message, given.roles.instruments[0])


def leaks(given: Candidate) -> Iterator[Problem]:
    """E20: a covariate is the outcome or a treatment, up to scale and shift."""
    targets = [*given.roles.outcome, *given.roles.treatment]
    numeric = [name for name in targets if _is_number(given.frame[name])]
    spread = given.frame.iloc[:: max(len(given.frame) // 256, 1)]
    for name in given.roles.covariates:
        if not _is_number(given.frame[name]):
            continue
        for target in numeric:
            # A spread of rows rules out nearly every pair; only survivors cost a pass.
            if _affine(spread[name], spread[target]) and _affine(
                given.frame[name], given.frame[target]
            ):
                message = (
                    f"covariate {name!r} equals {target!r} up to scale and shift, so conditioning "
                    "on it leaves nothing to estimate; remove it from the covariates."
                )
                yield Problem("E20-leak", message, name)


def unordered_time(given: Candidate) -> Iterator[Problem]:
    """E21: values of time that cannot be put in order."""
    if given.roles.time is None:
        return
    values = given.frame[given.roles.time].dropna()
    try:
        pd.Index(values.unique()).sort_values()
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values.unique()})
        message = (
            f"time column {given.roles.time!r} mixes {' and '.join(kinds)}, which have no order; "
            "use numbers, dates or periods."
        )
        yield Problem("E21-time-order", message, given.roles.time)


def integer_overflow(given: Candidate) -> Iterator[Problem]:
    """E22: integers too large to keep their digits as numbers."""
    for name in _numeric_columns(given):
        values = given.frame[name]
        if not pd.api.types.is_integer_dtype(values) or not len(values):
            continue
        largest = max(abs(int(values.max())), abs(int(values.min()))) if values.notna().any() else 0
        if largest > _EXACT:
            message = (
                f"column {name!r} holds integers up to {largest}, which lose digits as numbers "
                "(beyond 2**53); if it is an identifier give it the role of unit or cluster, else "
                "rescale it."
            )
            yield Problem("E22-dtype-int-overflow", message, name)
    time = given.roles.time
    if time is not None and pd.api.types.is_unsigned_integer_dtype(given.frame[time]):
        largest = int(given.frame[time].max())
        if largest > np.iinfo(np.int64).max:
            message = f"time column {time!r} holds {largest}, beyond 64-bit integers; rescale it."
            yield Problem("E22-dtype-int-overflow", message, time)


STRUCTURE: tuple[Callable[[Candidate], Iterator[Problem]], ...] = (missing_column, duplicate_role)

VALUES: tuple[Callable[[Candidate], Iterator[Problem]], ...] = (
    non_numeric,
    missing_values,
    infinite_values,
    constant_columns,
    duplicate_unit_time,
    unit_split_across_clusters,
    weight_values,
    too_few_instruments,
    leaks,
    unordered_time,
    integer_overflow,
)


def check(given: Candidate) -> None:
    """Run every check and raise once with all findings.

    Values are looked at only where the columns exist and have one role each.

    Raises
    ------
    DataError
    """
    problems = [problem for rule in STRUCTURE for problem in rule(given)]
    if not problems:
        problems = [problem for rule in VALUES for problem in rule(given)]
    if problems:
        raise DataError(problems)


def _numeric_columns(given: Candidate) -> list[str]:
    names = [name for role in _NUMERIC_ROLES for name in given.roles.columns(role)]
    return list(dict.fromkeys(names))


def _is_category(values: "pd.Series[Any]") -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


def _is_number(values: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))


def _affine(left: "pd.Series[Any]", right: "pd.Series[Any]") -> bool:
    """Whether one column is a nonconstant affine map of the other."""
    x: Floats = left.to_numpy(dtype=np.float64, na_value=np.nan)
    y: Floats = right.to_numpy(dtype=np.float64, na_value=np.nan)
    seen: Bools = np.isfinite(x) & np.isfinite(y)
    if seen.sum() < 3:
        return False
    x, y = x[seen] - x[seen].mean(), y[seen] - y[seen].mean()
    xx, yy = float(x @ x), float(y @ y)
    if xx == 0.0 or yy == 0.0:
        return False
    slope = float(x @ y) / xx
    return bool(np.abs(y - slope * x).max() <= 1e-9 * np.abs(y).max())


def _first(rows: Any) -> tuple[int, ...]:
    return tuple(int(row) for row in rows[:10])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
