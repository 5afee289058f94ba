"""Who could have received what: propensities of arms, and doses by what was expected of the row."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.roles import ARMS
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.nuisance import Folds
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.crossfit import folds_of
from causalkit.transtee.dose_density import DoseDensity
from causalkit.transtee.inference import ESTIMANDS
from causalkit.transtee.observations import mean_weight, observations
from causalkit.transtee.points import check_doses_vary, dosed_arm
from causalkit.transtee.propensities import (
    arm_chances,
    effective_rows,
    learners_of,
    least_chances,
)
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats

N_PARTS = 5
QUANTILES = {"least": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "largest": 1.0}


def overlap_table(
    coding: Coding, coded: Coded, settings: Settings, *, learner: Any, arm: Any
) -> pd.DataFrame:
    """Propensities by arm, or doses seen and expected by region of the covariates.

    Raises
    ------
    ArgumentError
        If the treatment has no such arm with a dose.
    IdentificationError
        If the treatment has neither arms nor one dose, or the arm too few rows.
    """
    code = coding.actions
    if code.kind not in ESTIMANDS:
        raise IdentificationError(
            f"overlap() is for arms or for one dose, and the treatment is {code.kind}; compare two "
            "actions as a binary treatment."
        )
    learners = learners_of(code.kind, learner)
    if code.kind != "continuous" and arm is None:
        return _of_arms(coding, coded, settings, folds_of(coded, settings), learners[0])
    if code.kind in ARMS:
        raise ArgumentError(
            f"arm= shows the doses of an arm, and the treatment is {code.kind}, without a dose; "
            "leave it out."
        )
    place = dosed_arm(code, arm, then="there is nothing to show of its doses")
    return _of_doses(coding, coded, settings, folds_of(coded, settings), learners, place)


def _of_arms(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> pd.DataFrame:
    found, _ = arm_chances(coding, coded, settings, folds, learner)
    chances = observations(found, coded.multiplicity)
    arm = observations(coded.actions.arms[:, 0], coded.multiplicity)
    lines = []
    least = least_chances(coded.actions.arms[:, 0], len(coding.actions.labels), mean_weight(coded))
    for code, name in enumerate(coding.actions.labels):
        chance = chances[:, code]
        weight = 1.0 / np.maximum(chance[arm == code], least[code])
        lines.append(
            {
                "arm": name,
                "rows": int((arm == code).sum()),
                "effective_rows": effective_rows(weight),
                **{key: float(np.quantile(chance, at)) for key, at in QUANTILES.items()},
                "below": float((chance < least[code]).mean()),
            }
        )
    return pd.DataFrame(lines).set_index("arm")


def _of_doses(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    folds: Folds,
    learners: tuple[Any, Any],
    place: int,
) -> pd.DataFrame:
    check_doses_vary(coding.actions, coded, folds, place)
    chance = np.ones(coded.n)
    if coding.actions.kind != "continuous":
        chance = arm_chances(coding, coded, settings, folds, learners[0])[0][:, place]
    known = DoseDensity.of(coding, coded, settings, folds, learners[1], place)
    dose, centre, own, chance = (
        observations(values, coded.multiplicity)
        for values in (known.dose, known.centre, known.rows, chance)
    )
    regions, parts = _ends(centre), _ends(dose[own])
    region, part = _places(centre, regions), _places(dose, parts)
    lines = []
    for j, (low, high) in enumerate(pairwise(parts)):
        within = chance * observations(known.within(low, high), coded.multiplicity)
        lines += [
            {
                "expected_low": regions[k],
                "expected_high": regions[k + 1],
                "dose_low": low,
                "dose_high": high,
                "rows": int((own & (region == k) & (part == j)).sum()),
                "share": float(within[region == k].mean()),
            }
            for k in range(len(regions) - 1)
        ]
    keys = ["expected_low", "expected_high", "dose_low", "dose_high"]
    return pd.DataFrame(lines).set_index(keys).sort_index()


def _ends(values: Floats) -> Floats:
    """Ends of fifths; fewer parts where values repeat, and one where there is a single value."""
    ends = np.unique(np.quantile(values, np.linspace(0.0, 1.0, N_PARTS + 1), method="lower"))
    return ends if ends.size > 1 else np.repeat(ends, 2)


def _places(values: Floats, ends: Floats) -> Any:
    """Part of every value; the last holds its upper end."""
    return np.clip(np.searchsorted(ends, values, side="right") - 1, 0, ends.size - 2)
