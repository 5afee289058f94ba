"""Arms that take a dose and arms that take none, where a treatment is a category with an amount.

An arm takes no dose if all of its rows have none. Where only some have none, nobody can tell an arm
that takes none from doses that were lost.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import Candidate, is_category, is_number, plain
from causalkit.data.roles import AMOUNTS, ARMS, Roles, with_kinds
from causalkit.errors import Problem
from causalkit.typing import Bools

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData

CODE = "E05-nan-treatment"


def dose_columns(roles: Roles) -> tuple[str, str] | None:
    """Columns of the arm and of its dose, if the treatment is such a pair."""
    if len(roles.treatment) != 2 or len(roles.kinds) != 2:
        return None
    paired = roles.kinds[0] in ARMS and roles.kinds[1] == "dose"
    return (roles.treatment[0], roles.treatment[1]) if paired else None


def arms_without_dose(frame: pd.DataFrame, roles: Roles) -> tuple[Any, ...]:
    """Arms of the rows that take no dose, in sorted order or that of the levels."""
    found = _missing_by_arm(frame, roles)
    if found is None:
        return ()
    return tuple(plain(arm) for arm, missing in found.items() if missing.all())


def rows_without_dose(frame: pd.DataFrame, roles: Roles) -> Bools:
    """Rows ``(n,)`` of arms that take no dose."""
    pair = dose_columns(roles)
    if pair is None:
        return np.zeros(len(frame), dtype=bool)
    return frame[pair[0]].isin(arms_without_dose(frame, roles)).to_numpy(dtype=bool)


def lost_doses(given: Candidate) -> Iterator[Problem]:
    """E05: a dose is missing in some rows of an arm, and given in others."""
    found = _missing_by_arm(given.frame, given.roles)
    if found is None:
        return
    arm_column, name = given.roles.treatment
    arms = given.frame[arm_column]
    for arm, missing in found.items():
        if not missing.any() or missing.all():
            continue
        level = plain(arm)
        where = given.where((given.frame[name].isna() & (arms == arm)).to_numpy(dtype=bool))
        message = (
            f"column {name!r} (treatment) is missing in {where} of the {len(missing)} of arm "
            f"{level!r} and given in the others; an arm takes a dose in all of its rows or in "
            "none. Fill these in, leave them out with missing='drop', or, if the arm takes none, "
            f"empty all: df.loc[df[{arm_column!r}] == {level!r}, {name!r}] = float('nan')."
        )
        yield Problem(CODE, message, name, where.ten)


def mend_of_dose(given: Candidate, name: str, gone: Bools, mend: str) -> str:
    """What to do about a missing amount that may be that of the treatment before it; else mend.

    Parameters
    ----------
    given : Candidate
    name : str
        Treatment.
    gone : (n,) bool array
        Where it is missing.
    mend : str
        Of any other column.
    """
    roles, place = given.roles, given.roles.treatment.index(name)
    if not place:
        return mend
    arm = roles.treatment[place - 1]
    if len(roles.treatment) == 2:
        return (
            f"{mend}; if it is the dose of {arm!r} and some arms take none, declare "
            "kinds=('multi', 'dose')"
        )
    kinds = with_kinds(roles, given.frame).kinds[place - 1 : place + 1]
    without = set(given.frame[arm][gone].tolist())
    if kinds[0] not in ARMS or kinds[1] not in AMOUNTS:
        return mend
    if without & set(given.frame[arm][~gone].tolist()) or len(without) != 1:
        return mend
    return (
        f"it is so wherever {arm!r} is {plain(without.pop())!r}: of several treatments with doses "
        f"one that is not taken has dose 0, df[{name!r}] = df[{name!r}].fillna(0)"
    )


def no_doses(given: Candidate) -> Iterator[Problem]:
    """E09: no arm takes a dose."""
    pair = dose_columns(given.roles)
    if pair is None or not len(given.frame) or not given.frame[pair[1]].isna().all():
        return
    message = (
        f"column {pair[1]!r} (treatment) is missing in every row, so that no arm takes a dose; "
        f"leave it out: treatment={pair[0]!r}, without kinds."
    )
    yield Problem("E09-constant-treatment", message, pair[1])


def other_doses(data: "CausalData", frame: pd.DataFrame, roles: Roles) -> list[Problem]:
    """E05: an arm takes a dose in the data and none in further rows, or the other way round."""
    pair, found = dose_columns(roles), _missing_by_arm(frame, roles)
    if pair is None:
        return []
    known = arms_without_dose(data.frame, data.roles)
    seen = [plain(arm) for arm in frame[pair[0]].dropna().unique()]
    without = [] if found is None else [plain(arm) for arm, gone in found.items() if gone.all()]
    problems = []
    for arm in seen:
        if (arm in known) == (arm in without):
            continue
        here, there, mend = (
            ("a dose", "none", f"make it missing where {pair[0]!r} is {arm!r}")
            if arm in known
            else ("none", "a dose", f"fill in {pair[1]!r}")
        )
        message = f"arm {arm!r} has {here} in these rows and takes {there} in the data; {mend}."
        problems.append(Problem(CODE, message, pair[1]))
    return problems


def _missing_by_arm(frame: pd.DataFrame, roles: Roles) -> "dict[Any, pd.Series[bool]] | None":
    """Whether the dose of each row is missing, by arm; None if none is, or there are no arms."""
    pair = dose_columns(roles)
    if pair is None:
        return None
    arms, missing = frame[pair[0]], frame[pair[1]].isna()
    # What is neither is no arm, and E03 says so.
    if not missing.any() or not (is_number(arms) or is_category(arms)):
        return None
    return dict(iter(missing.groupby(arms, observed=True)))
