"""Checks of data at construction: one small function per code, collected and raised together.

Every check takes the columns and roles and yields findings; none stops at the first.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.calendar import sorts_as_time
from causalkit.data.candidate import (
    ID_ROLES,
    NUMERIC_ROLES,
    Candidate,
    all_finite,
    is_category,
    is_number,
    numbers,
    plain,
)
from causalkit.data.checks_fit import unit_in_clusters
from causalkit.data.doses import dose_columns, lost_doses, mend_of_dose, no_doses
from causalkit.data.kinds import wrong_kind
from causalkit.data.leaks import leaks
from causalkit.data.missing import empty_covariates, keeps_missing
from causalkit.data.roles import WEIGHT_KINDS
from causalkit.errors import DataError, Problem, did_you_mean

Check = Callable[[Candidate], Iterator[Problem]]

_EXACT = 2**53  # integers beyond this lose digits as float64
_LEGAL = {
    ("covariates", "modifiers"),
    ("unit", "cluster"),
    ("time", "cluster"),
    ("unit", "image_key"),
    ("cluster", "image_key"),
}


def missing_column(given: Candidate) -> Iterator[Problem]:
    """E01: a named column is absent."""
    known = list(map(str, given.frame.columns)) if given.known is None else list(given.known)
    for role, columns in given.roles.named().items():
        for name in columns:
            if name not in given.frame.columns:
                yield absent_column(name, role, known)


def absent_column(name: str, role: str, known: list[str]) -> Problem:
    """E01 for one column, with the closest match or what there is."""
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    hint = did_you_mean(name, known, otherwise=f"Known: {listed}.")
    message = f"there is no column {name!r} (named as {role}). {hint}"
    return Problem("E01-missing-column", message, name)


def duplicate_role(given: Candidate) -> Iterator[Problem]:
    """E02: a column has two roles, is named twice in one, or is twice in the table."""
    seen: dict[str, str] = {}
    for role, columns in given.roles.named().items():
        for name in dict.fromkeys(columns):
            first = seen.setdefault(name, role)
            twice = columns.count(name) > 1
            if twice or (first != role and (first, role) not in _LEGAL):
                where = f"twice as {role}" if twice else f"both as {first} and as {role}"
                message = f"column {name!r} is named {where}; a column has one role. Remove one."
                yield Problem("E02-duplicate-role", message, name)
    repeated = given.frame.columns[given.frame.columns.duplicated()]
    yield from (several_columns(str(name)) for name in dict.fromkeys(repeated))


def several_columns(name: str) -> Problem:
    """E02 for a name that several columns of the table have."""
    message = f"the table has several columns called {name!r}; rename all but one."
    return Problem("E02-duplicate-role", message, name)


def non_numeric(given: Candidate) -> Iterator[Problem]:
    """E03: text, dates or other objects where a number is needed."""
    for role in NUMERIC_ROLES:
        for name in given.roles.columns(role):
            values = given.frame[name]
            allowed = is_category(values) and role not in ("outcome", "weights")
            if is_number(values) or allowed:
                continue
            shown = values.dropna()
            example = f" such as {plain(shown.iloc[0])!r}" if len(shown) else ""
            mend = "convert it, for example with pd.to_numeric"
            if pd.api.types.is_datetime64_any_dtype(values):
                mend = f"count days, (df[{name!r}] - df[{name!r}].min()).dt.days, or take its year"
            elif pd.api.types.is_timedelta64_dtype(values):
                mend = f"count days, df[{name!r}].dt.days"
            elif role not in ("outcome", "weights"):
                mend += f", or use C({name}) in a formula or df[{name!r}].astype('category')"
            message = (
                f"column {name!r} ({role}) holds {values.dtype} values{example} where a number is "
                f"needed; {mend}."
            )
            yield Problem("E03-non-numeric", message, name)


def missing_values(given: Candidate) -> Iterator[Problem]:
    """E04 to E07: missing outcome, treatment, identifier, instrument or covariate."""
    codes = {"outcome": "E04-nan-outcome", "treatment": "E05-nan-treatment"}
    codes |= dict.fromkeys(ID_ROLES, "E06-nan-id")
    codes |= {"instruments": "E07-nan-covariate"}
    if not keeps_missing(given.missing):
        codes |= dict.fromkeys(("covariates", "modifiers"), "E07-nan-covariate")
    # Of a category with an amount, whether an amount may be missing depends on the arm.
    reported = set((dose_columns(given.roles) or ())[1:])
    yield from lost_doses(given)
    for role, code in codes.items():
        for name in given.roles.columns(role):
            gone = _missing(given.frame[name])
            if gone is None or name in reported:
                continue
            reported.add(name)
            where = given.where(gone)
            mend = "leave these rows out with missing='drop', or mend the column"
            if code == "E07-nan-covariate":
                mend = "set missing='drop', 'indicator', 'native' or a scikit-learn imputer"
            elif role == "treatment":
                mend = mend_of_dose(given, name, gone, mend)
            message = f"column {name!r} ({role}) is missing in {where}; {mend}."
            yield Problem(code, message, name, where.ten)


def infinite_values(given: Candidate) -> Iterator[Problem]:
    """E08: infinite values."""
    time = given.roles.time
    timed = [] if time is None or not is_number(given.frame[time]) else [time]
    for name in [*given.numeric_columns(), *timed]:
        values = numbers(given.frame[name])
        if all_finite(values):
            continue
        infinite = np.isinf(values)
        if infinite.any():
            where = given.where(infinite)
            message = (
                f"column {name!r} is infinite in {where}; replace these values or drop the rows "
                "before building the data."
            )
            yield Problem("E08-inf", message, name, where.ten)


def constant_columns(given: Candidate) -> Iterator[Problem]:
    """E09 and E10: a treatment or an outcome without variation."""
    if not len(given.frame):
        yield _no_rows(given)
        return
    for role, code in (
        ("treatment", "E09-constant-treatment"),
        ("outcome", "E10-constant-outcome"),
    ):
        for name in given.roles.columns(role):
            value = _only_value(given.frame[name])
            if value is not None:
                rows = "row" if _missing(given.frame[name]) is None else "row that has a value"
                message = (
                    f"column {name!r} ({role}) is {plain(value)!r} in every {rows}; an effect "
                    "needs variation. Check the column or the sample."
                )
                yield Problem(code, message, name)


def _no_rows(given: Candidate) -> Problem:
    """E10 for a table without rows, with what took them away."""
    if not given.dropped:
        name = given.roles.outcome[0] if given.roles.outcome else None
        return Problem("E10-constant-outcome", "the table has no rows; check the sample.", name)
    listed = ", ".join(f"{why} in {count}" for why, count in given.dropped.items())
    message = (
        f"no rows are left of {sum(given.dropped.values())}: {listed}. Take the column that is "
        "missing most out of its role, or keep missing covariates with missing='indicator'."
    )
    most = max(given.dropped, key=lambda why: given.dropped[why]).removesuffix(" missing")
    name = most if most in given.frame.columns else None
    return Problem("E10-constant-outcome", message, name)


def duplicate_unit_time(given: Candidate) -> Iterator[Problem]:
    """E12: a (unit, time) pair is repeated."""
    unit, time = given.roles.unit, given.roles.time
    if unit is None or time is None or not len(given.frame):
        return
    u, t = given.codes(unit), given.codes(time)
    repeated = repeated_pairs(u, t)
    if repeated is not None:
        repeated = repeated & (u >= 0) & (t >= 0)
    if repeated is not None and repeated.any():
        where, row = given.where(repeated), int(np.flatnonzero(repeated)[0])
        message = (
            f"row {where.first} repeats unit {plain(given.frame[unit].iloc[row])!r} at time "
            f"{plain(given.frame[time].iloc[row])!r} ({where.rows.size} such rows). Aggregate them "
            "first, or pass on_duplicate='mean'."
        )
        yield Problem("E12-duplicate-unit-time", message, unit, where.ten)


def repeated_pairs(left: Any, right: Any) -> Any:
    """Rows ``(n,)`` whose pair of codes stands in an earlier row, or None if there are none."""
    key = left * (int(right.max()) + 1) + right
    if key.size < 2 or (key[1:] > key[:-1]).all():
        return None
    repeated = pd.Series(key).duplicated().to_numpy()
    return repeated if repeated.any() else None


def torn_units(given: Candidate) -> Iterator[Problem]:
    """E13: a unit lies in two clusters although nesting is claimed."""
    unit = given.roles.unit
    if not given.nested or unit is None:
        return
    for name in given.roles.cluster:
        problem = unit_in_clusters(
            given.codes(unit), given.codes(name), labels=given.memo["codes", unit][1], column=name
        )
        if problem is not None:
            yield problem


def weight_values(given: Candidate) -> Iterator[Problem]:
    """E16: unusable weights, or weights whose meaning is not said."""
    name, kind = given.roles.weights, given.roles.weight_kind
    if name is None:
        if kind is not None:
            message = f"weight_kind is {kind!r} but no column is named as weights; name it."
            yield Problem("E16-weights", message)
        return
    if kind not in WEIGHT_KINDS:
        message = (
            f"weights {name!r} need weight_kind: 'sampling' (inverse inclusion probability), "
            "'frequency' (identical rows) or 'precision' (inverse variance)."
        )
        yield Problem("E16-weights", message, name)
    if not is_number(given.frame[name]):
        return
    values = given.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~(values >= 0)
    if bad.any():
        where = given.where(bad)
        message = (
            f"weights {name!r} are negative or missing in {where}: {values[bad][0]:g}; weights "
            "must be numbers of at least 0."
        )
        yield Problem("E16-weights", message, name, where.ten)
    elif values.size and not (values > 0).any():
        yield Problem("E16-weights", f"weights {name!r} are all zero; give some rows weight.", name)
    elif kind == "frequency" and (values != np.round(values)).any():
        part = values != np.round(values)
        where = given.where(part)
        message = (
            f"frequency weights {name!r} must be whole numbers; row {where.first} has "
            f"{values[part][0]:g}. Use weight_kind='sampling' for survey weights."
        )
        yield Problem("E16-weights", message, name, where.ten)


def too_few_instruments(given: Candidate) -> Iterator[Problem]:
    """E17: fewer instruments than treatments."""
    n_instruments, n_treatments = len(given.roles.instruments), len(given.roles.treatment)
    if 0 < n_instruments < n_treatments:
        message = (
            f"{n_instruments} instrument(s) ({', '.join(given.roles.instruments)}) for "
            f"{n_treatments} treatments; name at least as many instruments as treatments, or a "
            "single treatment, which is all that InvalidIV takes."
        )
        yield Problem("E17-rank", message, given.roles.instruments[0])


def unordered_time(given: Candidate) -> Iterator[Problem]:
    """E21: values of time that cannot be put in order."""
    name = given.roles.time
    if name is None or getattr(given.frame[name].dtype, "kind", "O") in "iufMmb":
        return
    labels = pd.Series(given.frame[name].dropna().unique())
    if isinstance(labels.dtype, pd.CategoricalDtype):
        if labels.dtype.ordered:
            return
        labels = labels.astype(labels.dtype.categories.dtype)
    if is_number(labels) or pd.api.types.is_datetime64_any_dtype(labels):
        return
    kinds = sorted({type(value).__name__ for value in labels})
    if len(kinds) > 1:
        seen = f"mixes {' and '.join(kinds)}"
    elif kinds == ["str"] and not sorts_as_time(labels):
        seen = (
            f"holds text such as {labels.iloc[0]!r}, whose alphabetical order is not that of time"
        )
    elif kinds in (["str"], ["Period"], []):
        return
    else:
        seen = f"holds {kinds[0]} values"
    message = (
        f"time column {name!r} {seen}; use numbers, dates, periods or an ordered category, such as "
        "pd.to_datetime(...) or pd.Categorical(..., categories=[...], ordered=True)."
    )
    yield Problem("E21-time-order", message, name)


def integer_overflow(given: Candidate) -> Iterator[Problem]:
    """E22: integers that lose digits when they become numbers, or have lost them already."""
    for name in given.numeric_columns():
        largest = _largest(given.frame[name], "iu")
        if largest > _EXACT:
            message = (
                f"column {name!r} holds integers up to {largest}, which lose digits as numbers "
                "(beyond 2**53); if it is an identifier give it the role of unit or cluster, else "
                "rescale it."
            )
            yield Problem("E22-dtype-int-overflow", message, name)
    named = [name for role in ID_ROLES for name in given.roles.columns(role)]
    for name in dict.fromkeys(named):
        if _largest(given.frame[name], "f") > _EXACT:
            message = (
                f"identifier {name!r} is stored as floating-point numbers beyond 2**53, which have "
                "lost digits, so that different identifiers became equal; read it as integers or "
                "text."
            )
            yield Problem("E22-dtype-int-overflow", message, name)
    time = given.roles.time
    if time is not None and _largest(given.frame[time], "u") > np.iinfo(np.int64).max:
        message = f"time column {time!r} goes beyond 64-bit integers; rescale it."
        yield Problem("E22-dtype-int-overflow", message, time)


STRUCTURE: tuple[Check, ...] = (missing_column, duplicate_role)

# What any table must satisfy, also one that only asks for effects at new covariates.
ENCODING: tuple[Check, ...] = (non_numeric, missing_values, infinite_values, integer_overflow)

VALUES: tuple[Check, ...] = (
    *ENCODING,
    constant_columns,
    empty_covariates,
    wrong_kind,
    no_doses,
    duplicate_unit_time,
    torn_units,
    weight_values,
    too_few_instruments,
    leaks,
    unordered_time,
)


def findings(given: Candidate, checks: tuple[Check, ...] = VALUES) -> list[Problem]:
    """Every finding of some checks."""
    return [problem for check in checks for problem in check(given)]


def raise_any(problems: list[Problem]) -> None:
    """Raise once with every finding, if there are any.

    Raises
    ------
    DataError
    """
    if problems:
        raise DataError(problems)


def _missing(values: "pd.Series[Any]") -> Any:
    """Rows ``(n,)`` that are missing, or None if none is."""
    simple = isinstance(values.dtype, np.dtype) and values.dtype.kind in "iubf"
    if simple and all_finite(values.to_numpy()):
        return None
    gone = values.isna().to_numpy()
    return gone if gone.any() else None


def _only_value(values: "pd.Series[Any]") -> Any:
    """The value that all rows share, or None."""
    observed = values.dropna() if _missing(values) is not None else values
    if not len(observed):
        return None
    first = observed.iloc[0]
    if bool((observed.iloc[:1000] == first).all()) and bool((observed == first).all()):
        return first
    return None


def _largest(values: "pd.Series[Any]", kinds: str) -> int:
    """Largest magnitude in a column of a numeric kind; 0 for any other column."""
    if getattr(values.dtype, "kind", "O") not in kinds or not is_number(values):
        return 0
    observed = values.dropna()
    ends = (observed.max(), observed.min()) if len(observed) else ()
    return max((abs(int(end)) for end in ends if np.isfinite(end)), default=0)
