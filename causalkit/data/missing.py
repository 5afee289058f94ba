"""Policies for missing values and repeated rows.

Covariates are imputed inside training folds only: imputing before splitting would leak held-out
rows into training. What cannot be imputed (outcome, treatment, instruments, identifiers, weights)
leaves its row out, counted and named.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import ID_ROLES, Candidate, plain
from causalkit.data.doses import dose_columns, rows_without_dose
from causalkit.data.roles import ARMS, Roles, with_kinds
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError, Problem, unknown_name
from causalkit.typing import Bools, Ints

POLICIES = ("raise", "drop", "indicator", "native")
_IMPUTABLE = ("covariates", "modifiers")
_IGNORED = ("extra", "text")


def check_policy(policy: Any) -> Any:
    """Return a policy name or a scikit-learn imputer; raise for anything else."""
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise unknown_name("missing", policy, POLICIES)
        return policy
    usable = all(callable(getattr(policy, name, None)) for name in ("fit", "transform"))
    if isinstance(policy, type) or not usable:
        raise ArgumentTypeError(
            f"missing must be one of {', '.join(POLICIES)} or a scikit-learn imputer (an object, "
            f"not a class), got {policy!r}."
        )
    return policy


def check_on_duplicate(on_duplicate: str) -> str:
    """Return how repeated (unit, time) rows are treated."""
    if on_duplicate not in ("raise", "mean"):
        raise ArgumentError(
            f"on_duplicate must be 'raise' or 'mean', got {on_duplicate!r}; 'mean' averages "
            "repeated (unit, time) rows."
        )
    return on_duplicate


def keeps_missing(policy: Any) -> bool:
    """Whether missing covariates stay in the data for the estimator to deal with."""
    return not isinstance(policy, str) or policy in ("indicator", "native")


def empty_covariates(given: Candidate) -> Iterator[Problem]:
    """E07: a covariate or modifier without any value, where the policy lets values be missing."""
    named = [name for role in _IMPUTABLE for name in given.roles.columns(role)]
    for name in dict.fromkeys(named) if len(given.frame) and keeps_missing(given.missing) else ():
        if given.frame[name].isna().all():
            message = (
                f"column {name!r} is missing in every row, so there is nothing to impute or to "
                "learn from; take it out of the covariates and modifiers, or check how it was read."
            )
            yield Problem("E07-nan-covariate", message, name)


def training_fold_imputer(policy: Any) -> Any:
    """Transformer to fit inside each training fold, or None if nothing is imputed.

    Parameters
    ----------
    policy : str or imputer
        ``CausalData.missing``.

    Returns
    -------
    transformer or None
        ``"indicator"`` gives the median (the mode of 0/1 columns) and a flag per pattern of
        missing columns; an imputer is returned as it is; everything else gives None.

    Examples
    --------
    >>> training_fold_imputer("native") is None
    True
    """
    if not isinstance(policy, str):
        return policy
    if policy != "indicator":
        return None
    from causalkit.data.imputer import MedianModeImputer

    return MedianModeImputer()


def drop_incomplete(
    frame: pd.DataFrame, roles: Roles, policy: Any
) -> tuple[Bools | None, dict[str, int], tuple[Any, ...]]:
    """Rows that a policy keeps ``(n,)``, with counts and identities of the others.

    Returns
    -------
    kept : (n,) bool array, or None if all rows stay
    dropped : dict
        Rows left out by reason; a row counts once, under the first column that lacks it.
    ids : tuple
        What they were: (unit, time), unit or row number.
    """
    if isinstance(policy, str) and policy == "raise":
        return None, {}, ()
    skipped = (*_IGNORED, *_IMPUTABLE) if keeps_missing(policy) else _IGNORED
    named = [c for role, cs in roles.named().items() if role not in skipped for c in cs]
    gone = np.zeros(len(frame), dtype=bool)
    dose = (dose_columns(roles) or ())[1:]
    dropped: dict[str, int] = {}
    for name in dict.fromkeys(named):
        here = frame[name].isna().to_numpy() & ~gone
        if name in dose:
            here &= ~rows_without_dose(frame, roles)
        if here.any():
            dropped[f"{name} missing"] = int(here.sum())
            gone |= here
    if not dropped:
        return None, {}, ()
    return ~gone, dropped, row_ids(frame, roles, np.flatnonzero(gone))


def row_ids(frame: pd.DataFrame, roles: Roles, rows: Ints) -> tuple[Any, ...]:
    """Identities of rows: (unit, time) in a panel, unit, or row number."""
    keys = [name for name in (roles.unit, roles.time) if name is not None]
    if not keys:
        return tuple(rows.tolist())
    found = frame[keys].iloc[rows]
    if len(keys) == 1:
        return tuple(found[keys[0]].tolist())
    return tuple(found.itertuples(index=False, name=None))


def average_repeats(
    frame: pd.DataFrame, roles: Roles, policy: Any
) -> tuple[pd.DataFrame, Ints, int]:
    """One row per (unit, time): means of numbers, the common value of everything else.

    Identifiers and treatments with levels are no numbers: their mean would be another unit's
    cluster, or no treatment that anybody had. A mean is of the values that are there, where the
    policy lets some be missing.

    Returns
    -------
    frame : DataFrame
    first : (m,) int array
        First of the rows that each row stands for.
    n_merged : int
        Rows that went into another.
    """
    if roles.unit is None or roles.time is None:
        raise ArgumentError(
            "on_duplicate='mean' averages repeated (unit, time) rows; name both columns."
        )
    keys = [roles.unit, roles.time]
    repeated = frame.duplicated(keys).to_numpy()
    first = np.flatnonzero(~repeated)
    if not repeated.any():
        return frame, first, 0
    if roles.weights is not None:
        raise ArgumentError(
            f"on_duplicate='mean' cannot tell what the weights {roles.weights!r} of an average "
            "are; aggregate the repeated rows before building the data."
        )
    groups = frame.groupby(keys, sort=False, observed=True, dropna=False)
    named = {name for role in ID_ROLES for name in roles.columns(role)}
    kinds = zip(roles.treatment, with_kinds(roles, frame).kinds, strict=True)
    whole = named | {name for name, kind in kinds if kind in ARMS}
    spared = (*_IGNORED, *_IMPUTABLE) if keeps_missing(policy) else _IGNORED
    gaps = {name for role in spared for name in roles.columns(role)}
    number = groups.ngroup().to_numpy()
    kept = frame.iloc[first].reset_index(drop=True)
    merged = {
        name: kept[name]
        if name in keys
        else _averaged(
            frame[name], groups[name], kept[name], whole=name in whole, gaps=name in gaps
        )
        for name in frame.columns
    }
    # Groups are numbered by first appearance, as the kept rows are.
    assert (number[first] == np.arange(first.size)).all()
    return pd.DataFrame(merged), first, int(repeated.sum())


def _averaged(
    values: "pd.Series[Any]", groups: Any, kept: "pd.Series[Any]", *, whole: bool, gaps: bool
) -> Any:
    """Mean of numbers by group; of anything else, and if whole, the value that a group shares."""
    numeric = pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
    if numeric and not whole:
        if not gaps:
            there = groups.count()
            _refuse(
                (there > 0) & (there < groups.size()),
                values.name,
                "is missing in some of the rows of (unit, time) {} and given in others, which a "
                "mean would not show; fill it in, or leave these rows out with missing='drop'.",
            )
        return groups.mean().to_numpy(dtype=np.float64, na_value=np.nan)
    mend = "choose one row" if whole else "make it numeric, or choose one row"
    _refuse(
        groups.nunique(dropna=False) > 1,
        values.name,
        f"has several values for (unit, time) {{}}, which cannot be averaged; {mend}.",
    )
    return kept


def _refuse(found: "pd.Series[bool]", column: Any, message: str) -> None:
    """Raise if a group of repeated rows has no mean, with the first of them in the message."""
    if found.any():
        where = tuple(plain(key) for key in found.index[found][0])
        raise DataError(
            Problem(
                "E12-duplicate-unit-time",
                f"column {column!r} {message.format(repr(where))}",
                str(column),
            )
        )
