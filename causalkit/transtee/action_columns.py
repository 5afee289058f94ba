"""Levels and amounts in the columns of an action, refused where they say nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import numbers, plain
from causalkit.errors import DataError, Problem
from causalkit.typing import Bools, Floats, Ints

CODE = "E05-nan-treatment"


def level_codes(name: str, frame: pd.DataFrame, levels: Sequence[Any]) -> Ints:
    """Place ``(n,)`` of every value among the levels.

    Raises
    ------
    DataError
        If a level was never seen in training.
    """
    place: dict[Any, int] = {level: position for position, level in enumerate(levels)}
    number, distinct = pd.factorize(frame[name])
    known = [place.get(plain(value), -1) for value in distinct.astype(object)]
    # The number of what is missing is -1: the last.
    codes = np.array([*known, -1], dtype=np.int64)[number]
    if (codes < 0).any():
        unseen = frame[name][codes < 0].unique()[:5]
        message = (
            f"{name!r} has values never seen in training: "
            f"{', '.join(repr(plain(value)) for value in unseen)}; known: "
            f"{', '.join(repr(level) for level in levels)}."
        )
        raise DataError(Problem("E25-unknown-level", message, name))
    return codes


def amounts(name: str, frame: pd.DataFrame) -> Floats:
    """Doses ``(n,)`` of actions that all need one.

    Raises
    ------
    DataError
        If one is not a finite number.
    """
    values = _as_numbers(frame[name])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        message = (
            f"dose {name!r} is not a finite number in {bad.size} rows (first: "
            f"{plain(frame[name].iloc[bad[0]])!r}); every action needs its dose."
        )
        raise _problem(message, name, bad)
    return values


def arm_amounts(
    name: str, frame: pd.DataFrame, levels: Sequence[Any], arms: Ints, takes: Bools
) -> Floats:
    """Doses ``(n,)`` of arms, 0 where an arm takes none.

    Parameters
    ----------
    name : str
        Column of the doses.
    frame : DataFrame
    levels : sequence
        All arms.
    arms : (n,) int array
        Place of the arm of every row.
    takes : (n,) bool array
        Whether it takes a dose.

    Raises
    ------
    DataError
        If a dose is missing where it is needed, or given where none is taken.
    """
    # Whatever stands there, also what is no number.
    given = np.flatnonzero(~takes & frame[name].notna().to_numpy())
    if given.size:
        arm = levels[arms[given[0]]]
        message = (
            f"arm {arm!r} takes no dose: it had none in training, and {name!r} is given in "
            f"{given.size} rows (first: {plain(frame[name].iloc[given[0]])!r}). Ask for it without "
            f"one, ({arm!r}, None), or for an arm that takes one."
        )
        raise _problem(message, name, given)
    values = _as_numbers(frame[name])
    bad = np.flatnonzero(takes & ~np.isfinite(values))
    if bad.size:
        arm = levels[arms[bad[0]]]
        message = (
            f"arm {arm!r} takes a dose, and {name!r} is not a finite number in {bad.size} rows "
            f"(first: {plain(frame[name].iloc[bad[0]])!r}); say at which dose, ({arm!r}, dose)."
        )
        raise _problem(message, name, bad)
    return np.where(takes, values, np.float32(0.0))


def _as_numbers(values: "pd.Series[Any]") -> Floats:
    found: Floats = numbers(pd.to_numeric(values, errors="coerce")).astype(np.float32)
    return found


def _problem(message: str, name: str, rows: Ints) -> DataError:
    return DataError(Problem(CODE, message, name, tuple(int(row) for row in rows[:10])))
