"""The door through which every table passes: policies, checks and treatment kinds, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import calendar
from causalkit.data.candidate import Candidate, is_category, is_number, is_text, plain
from causalkit.data.checks import STRUCTURE, VALUES, Check, findings, raise_any, repeated_pairs
from causalkit.data.checks_fit import MAX_NAN_PIXELS, array_problems, match_keys, nonfinite_shares
from causalkit.data.images import shared_image_problems
from causalkit.data.kinds import as_declared, declared_kinds
from causalkit.data.levels import warn_of_turned_arms
from causalkit.data.missing import (
    average_repeats,
    check_on_duplicate,
    check_policy,
    drop_incomplete,
)
from causalkit.data.roles import Roles, with_kinds
from causalkit.errors import Problem
from causalkit.typing import Ints

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to do where a table is not as it should be.

    Attributes
    ----------
    missing : {"raise", "drop", "indicator", "native"} or imputer
    on_duplicate : {"raise", "mean"}
    freq : str, number or None
        Calendar step of time.
    nested : bool
        Whether units are claimed to lie within clusters.
    max_nan_pixels : float
        Largest share of image values that need not be finite.
    """

    missing: Any = "raise"
    on_duplicate: str = "raise"
    freq: calendar.Freq = None
    nested: bool = False
    max_nan_pixels: float = MAX_NAN_PIXELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A table that passed, and what happened to it on the way.

    Attributes
    ----------
    frame : DataFrame
        Columns with a role, rows kept.
    roles : Roles
        With treatment kinds.
    arrays : xarray.Dataset or None
        Entries in the order of the rows.
    rows : (n,) int array or None
        Rows of the given table that are kept; None if all are.
    dropped : dict
        Rows left out, by reason.
    dropped_ids : tuple
    memo : dict
        Codes and periods computed on the way.
    """

    frame: pd.DataFrame
    roles: Roles
    arrays: "xr.Dataset | None" = None
    rows: Ints | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    dropped_ids: tuple[Any, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict)


def admit(
    frame: pd.DataFrame,
    roles: Roles,
    policy: Policy,
    *,
    arrays: "xr.Dataset | None" = None,
    checks: tuple[Check, ...] = VALUES,
    known: Sequence[str] | None = None,
) -> Admitted:
    """Apply the policies, run the checks and infer the treatment kinds.

    Parameters
    ----------
    frame : DataFrame
        With a plain index.
    roles : Roles
    policy : Policy
    arrays : xarray.Dataset, optional
    checks : tuple of checks
        Checks of values; those of structure always run.
    known : sequence of str, optional
        Columns of the table that the user gave, for messages.

    Raises
    ------
    DataError
        Once, with every problem found.
    """
    check_policy(policy.missing)
    check_on_duplicate(policy.on_duplicate)
    raise_any(findings(Candidate(frame, roles, known=known), STRUCTURE))
    frame = _as_categories(frame[list(roles.all_columns())], roles)
    arrays, problems = _with_rows(arrays, frame, roles, policy)
    kept, dropped, ids = drop_incomplete(frame, roles, policy.missing)
    rows = None if kept is None else np.flatnonzero(kept)
    if rows is not None:
        frame = frame.iloc[rows].reset_index(drop=True)
    if policy.on_duplicate == "mean":
        frame, first, merged = average_repeats(frame, roles, policy.missing)
        if merged:
            rows = first if rows is None else rows[first]
            dropped |= {"repeats of a (unit, time) pair, averaged": merged}
    given = Candidate(frame, roles, policy.missing, policy.nested, rows, dropped=dropped)
    raise_any([*findings(given, checks), *problems])
    periods = _periods(given, policy)
    frame = _without_unused_levels(frame, roles) if rows is not None else frame
    return Admitted(
        frame=frame,
        roles=with_kinds(roles, frame),
        arrays=arrays if rows is None else rows_of(arrays, rows),
        rows=rows,
        dropped=dropped,
        dropped_ids=ids,
        memo=given.memo | periods,
    )


def _as_categories(frame: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Treatments of arms as categories in sorted order, without levels that do not occur.

    Levels are fixed here, once, so that a subset keeps the columns of the whole.
    """
    changed: dict[str, Any] = {}
    kinds = declared_kinds(roles)
    for name in roles.treatment:
        given = frame[name]
        values = as_declared(given, kinds.get(name))
        if values is not given:
            changed[name] = values
        if is_number(values) or is_category(values) or not is_text(values):
            continue
        # Text that differs from row to row names rows, not arms; E03 will say so.
        if values.nunique() <= max(2, len(values) // 2):
            changed[name] = values.astype("category")
            # Of several arms none is treated: effects name what they compare.
            if kinds.get(name) in (None, "binary"):
                warn_of_turned_arms(name, changed[name].cat.categories)
    return _without_unused_levels(frame.assign(**changed) if changed else frame, roles)


def rows_of(arrays: "xr.Dataset | None", rows: Ints) -> "xr.Dataset | None":
    """Entries of some rows; images that rows share stay whole."""
    return None if arrays is None else arrays.isel(obs=rows, missing_dims="ignore")


def _without_unused_levels(frame: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    changed: dict[str, Any] = {}
    for name in frame.columns:
        # The levels of an ordered time are its calendar, with the periods that nobody is seen in.
        if is_category(frame[name]) and name != roles.time:
            changed[name] = frame[name].cat.remove_unused_categories()
    return frame.assign(**changed) if changed else frame


def _periods(given: Candidate, policy: Policy) -> dict[Any, Any]:
    """Calendar positions if a step is given, which must fit, one row of a unit a period."""
    time, unit = given.roles.time, given.roles.unit
    if policy.freq is None or time is None:
        return {}
    found = calendar.positions(given.frame[time], policy.freq)
    repeated = None if unit is None else repeated_pairs(given.codes(unit), found)
    if repeated is not None:
        where, row = given.where(repeated), int(np.flatnonzero(repeated)[0])
        label = plain(given.frame[str(unit)].iloc[row])
        message = (
            f"row {where.first} is a second row of unit {label!r} in the period of "
            f"{plain(given.frame[time].iloc[row])!s} ({where.rows.size} such "
            f"rows); aggregate them first, or choose a finer step than freq={policy.freq!r}."
        )
        raise_any([Problem("E12-duplicate-unit-time", message, unit, where.ten)])
    return {"periods": found}


def _with_rows(
    arrays: "xr.Dataset | None", frame: pd.DataFrame, roles: Roles, policy: Policy
) -> tuple["xr.Dataset | None", list[Problem]]:
    """Arrays in the order of the rows, with a mask beside images that are not finite throughout."""
    if arrays is None:
        named = (*roles.image, *roles.sequence)
        message = "{!r} is named as image or sequence, but there are no arrays; pass arrays=..."
        return None, [Problem("E01-missing-column", message.format(name), name) for name in named]
    keys = np.arange(len(frame)) if roles.unit is None else frame[roles.unit].to_numpy()
    shared = roles.image_key is not None and "obs" not in arrays.dims
    place, problems = (np.arange(0), []) if shared else match_keys(arrays, keys, roles.unit)
    problems += array_problems(arrays, roles, max_nan_pixels=policy.max_nan_pixels)
    problems += shared_image_problems(arrays, roles, frame)
    if problems:
        return None, problems
    if not np.array_equal(place, np.arange(arrays.sizes.get("obs", 0))):
        arrays = arrays.isel(obs=place)
    masks = {f"{name}_mask": np.isfinite(arrays[name]) for name in nonfinite_shares(arrays, roles)}
    return arrays.assign(masks), []
