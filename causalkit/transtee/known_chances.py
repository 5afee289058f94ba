"""Known propensities of arms, as a trial has them, given in place of a learner."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.data.roles import ARMS
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.nuisance import LEARNERS
from causalkit.transtee.actions import ActionCode
from causalkit.transtee.points import place_of_arm
from causalkit.typing import Floats, Learner

Known = float | str | Floats | pd.Series | pd.DataFrame | Mapping[Any, Any]
Propensity = Learner | Known | tuple[Learner | Known, str | Learner]
_SUM = 1e-6


def known_chances(given: Any, data: CausalData, code: ActionCode) -> Any:
    """Known P(A = k | X) as ``(n, K)``; a learner, or its name, as it is.

    Parameters
    ----------
    given : learner, number, str, array, mapping or pair
        A number, a column of the data or an ``(n,)`` array is the propensity of the second of two
        arms. A mapping or DataFrame has these by arm, and one arm may be left out, which has the
        rest; an ``(n, K)`` array has arms in the order of their levels. Of a pair, as arms with
        doses have, the first.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If these are no propensities of the arms of these rows.
    """
    if isinstance(given, tuple) and given:
        return (known_chances(given[0], data, code), *given[1:])
    named = isinstance(given, str) and (given in LEARNERS or given not in data.frame)
    of_arms = code.kind in (*ARMS, "dose")
    if not of_arms or named or hasattr(given, "fit") or isinstance(given, type):
        return given
    levels = code.labels
    if isinstance(given, pd.DataFrame):
        given = dict(in_row_order(data, given, what="propensity").items())
    if isinstance(given, Mapping):
        by_arm = {
            place_of_arm(code, arm, name="propensity"): _column(value, data)
            for arm, value in given.items()
        }
    else:
        values = _column(given, data)
        if values.ndim == 2 and values.shape[1] == len(levels):
            by_arm = dict(enumerate(values.T))
        elif values.ndim == 1 and len(levels) == 2:
            by_arm = {1: values}
        else:
            raise ArgumentError(
                f"propensity has shape {values.shape}, and there are {len(levels)} arms "
                f"({', '.join(map(str, levels))}); give an array with a column for each, or a "
                "mapping of arms to numbers, columns or arrays."
            )
    return _checked(by_arm, levels)


def _column(values: Any, data: CausalData) -> Floats:
    """Numbers by row, of a column of the data, an array or one number for all."""
    if isinstance(values, str):
        if values not in data.frame:
            raise ArgumentError(f"propensity names {values!r}, which is no column of the data.")
        values = data.frame[values]
    try:
        found = np.asarray(in_row_order(data, values, what="propensity"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            "propensity must be a learner or its name, a number, a column of the data, numbers by "
            f"row or a mapping of arms to these, got {values!r}."
        ) from error
    if found.ndim == 0:
        found = np.full(data.n, float(found))
    if found.shape[0] != data.n:
        raise ArgumentError(f"propensity has {found.shape[0]} rows; the data have {data.n}.")
    return found


def _checked(by_arm: dict[int, Floats], levels: Any) -> Floats:
    """Columns in the order of the arms, the one that is left out filled in."""
    left = [place for place in range(len(levels)) if place not in by_arm]
    if len(left) > 1:
        raise ArgumentError(
            f"propensity lacks the arms {', '.join(repr(levels[place]) for place in left)}; one "
            "may be left out, which has the rest."
        )
    for place in left:
        by_arm[place] = 1.0 - np.sum(list(by_arm.values()), axis=0)
    found = np.column_stack([by_arm[place] for place in range(len(levels))])
    bad = ~((found > 0.0) & (found < 1.0)).all(axis=1) | (abs(found.sum(axis=1) - 1.0) > _SUM)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        told = ", ".join(f"{value:.4g}" for value in found[row])
        raise ArgumentError(
            f"propensities of a row must lie between 0 and 1 and add up to one; row {row} has "
            f"{told} ({int(bad.sum())} rows in all)."
        )
    return found
