"""At which arms and doses mean outcomes are asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.nuisance import Folds
from causalkit.transtee.actions import ActionArrays, ActionCode, action_frame, encode_actions
from causalkit.transtee.coding import Coded
from causalkit.transtee.few_doses import values_given
from causalkit.transtee.observations import observations
from causalkit.typing import Bools, Floats, Ints

QUARTILES = (0.25, 0.5, 0.75)
LEAST_ROWS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Actions with one arm each, and whether the others are compared with the last.

    Attributes
    ----------
    code : ActionCode
    arms : (k,) int array
        Places among the arms.
    doses : (k,) array
        NaN where the arm takes none.
    compared : bool
    """

    code: ActionCode
    arms: Ints
    doses: Floats
    compared: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Arm and dose in words, with as many digits as tell all of them apart."""
        names: tuple[str, ...] = ()
        for digits in range(4, 18):
            names = tuple(self._name(k, digits) for k in range(self.arms.size))
            if len(set(names)) == len(names):
                break
        return names

    def _name(self, k: int, digits: int) -> str:
        dose = "" if np.isnan(self.doses[k]) else f"{self.doses[k]:.{digits}g}"
        if self.code.kind == "continuous":
            return dose
        return ", ".join(filter(None, (self.code.arms[self.arms[k]], dose)))

    def actions(self) -> list[ActionArrays]:
        """What networks are asked, each action for all rows."""
        found = []
        for place, dose in zip(self.arms.tolist(), self.doses.tolist(), strict=True):
            action: Any = dose
            if self.code.kind != "continuous":
                level = self.code.labels[place]
                action = (level, None if np.isnan(dose) else dose)
            found.append(encode_actions(self.code, action_frame(self.code, action, 1)))
        return found


def points_of(code: ActionCode, coded: Coded, *, arm: Any, doses: Any, baseline: Any) -> Points:
    """Points from the arguments of a user, refused where no row says anything of them.

    Parameters
    ----------
    code : ActionCode
        Of one dose, or of arms with doses.
    coded : Coded
    arm : level or None
        None: all.
    doses : array or None
        Of every arm that takes one; None: quartiles of those seen in it, or all if they are few.
    baseline : action or None

    Raises
    ------
    ArgumentError, DataError
        If there is no such arm, it takes no dose and one is given, or a dose was not seen.
    """
    arms: list[int] = []
    at: list[float] = []
    places = range(len(code.arms)) if arm is None else [place_of_arm(code, arm)]
    for place in places:
        found = _asked_doses(code, coded, place, doses, named=arm is not None)
        arms += [place] * len(found)
        at += found
    if baseline is None:
        return Points(code, np.array(arms), np.array(at), compared=False)
    place, dose = _baseline(code, coded, baseline)
    kept = [
        k
        for k in range(len(arms))
        if arms[k] != place or not np.isclose(at[k], dose, rtol=1e-6, atol=0.0, equal_nan=True)
    ]
    if not kept:
        raise ArgumentError(
            f"baseline={baseline!r} is all that is asked for, and its difference from itself is "
            "zero; name another arm or dose, or leave baseline out."
        )
    arms, at = [arms[k] for k in kept], [at[k] for k in kept]
    return Points(code, np.array([*arms, place]), np.array([*at, dose]), compared=True)


def rows_and_doses(coded: Coded, place: int) -> tuple[Bools, Floats]:
    """Rows ``(n,)`` that received an arm, and the doses ``(n,)`` of all, in double precision."""
    rows = coded.actions.arms[:, 0] == place
    return rows, coded.actions.doses[:, 0].astype(np.float64)


def doses_seen(coded: Coded, place: int) -> Floats:
    """Doses of the observations that received an arm."""
    rows, t = rows_and_doses(coded, place)
    counts = None if coded.multiplicity is None else coded.multiplicity[rows]
    return np.asarray(observations(t[rows], counts))


def check_doses_vary(code: ActionCode, coded: Coded, folds: Folds, place: int) -> None:
    """Refuse an arm whose doses cannot be learned from the folds.

    Raises
    ------
    IdentificationError
        If a fold leaves fewer than ten rows of the arm, or all have one dose; names it.
    """
    if code.kind == "continuous":
        return
    (column, dose), level = code.columns, code.labels[place]
    rows, t = rows_and_doses(coded, place)
    least = min(int(rows[train].sum()) for train, _ in folds.splits(0))
    if least < LEAST_ROWS:
        raise IdentificationError(
            f"arm {level!r} of {column!r} has {rows.sum()} rows, of which a fold leaves {least} to "
            f"learn the density of {dose!r} from, and {LEAST_ROWS} are the least; ask for other "
            "arms (arm=), merge it with another, or use more folds (n_folds)."
        )
    if np.ptp(t[rows]) == 0.0:
        raise IdentificationError(
            f"arm {level!r} of {column!r} has the single dose {t[rows][0]:.7g} in {dose!r}, so "
            f"that it has no curve; make {dose!r} missing in its rows, and it is an arm that takes "
            "none."
        )


def place_of_arm(code: ActionCode, arm: Any, *, name: str = "arm", dosed: bool = False) -> int:
    """Place of the arm that an argument names; of one continuous treatment none is to be named.

    Parameters
    ----------
    code : ActionCode
        Of one treatment, with a dose or without.
    arm : level, or None of one continuous treatment
    name : str
        The argument.
    dosed : bool
        Whether arms that take no dose are no answer.

    Raises
    ------
    ArgumentError
        If there is no such arm.
    """
    column = code.columns[0]
    if code.kind == "continuous":
        if arm is None:
            return 0
        raise ArgumentError(
            f"{name}={arm!r}, and {column!r} is one continuous treatment; leave {name} out."
        )
    levels = code.levels[column]
    if np.ndim(arm) or arm not in levels:
        known = _listed(code, dosed=dosed)
        raise ArgumentError(f"{name}={arm!r} is no arm of {column!r}; name one of {known}.")
    return levels.index(arm)


def dosed_arm(code: ActionCode, arm: Any, *, then: str) -> int:
    """Place of an arm that takes a dose; ``then`` says what follows where it takes none.

    Raises
    ------
    ArgumentError
        If there is no such arm, or it takes none.
    """
    place = place_of_arm(code, arm, dosed=True)
    if not code.dosed[place]:
        raise ArgumentError(
            f"arm={arm!r} takes no dose, so that {then}; arms with a dose: "
            f"{_listed(code, dosed=True)}."
        )
    return place


def _asked_doses(
    code: ActionCode, coded: Coded, place: int, doses: Any, *, named: bool
) -> list[float]:
    """Doses of one arm, NaN where it takes none."""
    if not code.dosed[place]:
        if doses is not None and named:
            raise ArgumentError(
                f"arm={code.labels[place]!r} takes no dose, got doses={doses!r}; "
                f"leave doses out, or name an arm with a dose: {_listed(code, dosed=True)}."
            )
        return [float("nan")]
    if doses is None:
        seen = doses_seen(coded, place)
        given = values_given(seen)
        return list(np.unique(np.quantile(seen, QUARTILES)) if given is None else given)
    try:
        at = np.asarray(doses, dtype=np.float64)
    except (TypeError, ValueError):
        at = np.empty(0)
    if at.ndim != 1 or not at.size or np.unique(at).size < at.size:
        raise ArgumentError(f"doses must be a list of different numbers, got {doses!r}.")
    _check_seen(code, coded, place, at, f"doses must lie within those seen{_of(code, place)}")
    return list(at)


def _baseline(code: ActionCode, coded: Coded, baseline: Any) -> tuple[int, float]:
    """Place and dose of the action that others are compared with."""
    frame = action_frame(code, baseline, 1)
    place = int(encode_actions(code, frame).arms[0, 0])
    if not code.dosed[place]:
        return place, float("nan")
    dose = float(frame[code.columns[-1]].iloc[0])
    words = f"the dose of baseline must lie within those seen{_of(code, place)}"
    _check_seen(code, coded, place, np.array([dose]), words)
    return place, dose


def _check_seen(code: ActionCode, coded: Coded, place: int, at: Floats, words: str) -> None:
    rows, t = rows_and_doses(coded, place)
    low, high = t[rows].min(), t[rows].max()
    # Doses are kept in single precision, in which the largest may be a little less than it was.
    slack = 1e-6 * np.abs(t[rows]).max()
    if not (np.abs(at - np.clip(at, low, high)) <= slack).all():
        raise ArgumentError(
            f"{words} in {code.columns[-1]!r}, {low:.7g} to {high:.7g}, got {at.tolist()}; ask "
            "where there are rows."
        )


def _of(code: ActionCode, place: int) -> str:
    if code.kind == "continuous":
        return ""
    return f" with arm {code.labels[place]!r}"


def _listed(code: ActionCode, *, dosed: bool = False) -> str:
    levels = zip(code.labels, code.dosed, strict=True)
    return ", ".join(repr(level) for level, takes in levels if takes or not dosed)
