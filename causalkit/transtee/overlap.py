"""Who could have received what: propensities of arms, and doses by what was expected of the row."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import IdentificationError
from causalkit.nuisance import Folds
from causalkit.transtee.crossfit import folds_of
from causalkit.transtee.dose_density import DoseDensity
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.inference import ESTIMANDS
from causalkit.transtee.observations import observations
from causalkit.transtee.propensities import CLIP, arm_chances
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats

N_PARTS = 5
QUANTILES = {"least": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "largest": 1.0}


def overlap_table(
    coding: Coding, coded: Coded, settings: Settings, *, learner: Any
) -> pd.DataFrame:
    """Propensities by arm, or doses seen and expected by region of the covariates.

    Raises
    ------
    IdentificationError
        If the treatment has neither arms alone nor one dose alone.
    """
    kind = coding.actions.kind
    if kind not in ESTIMANDS:
        raise IdentificationError(
            f"overlap() is for arms or for one dose, and the treatment is {kind}; compare two "
            "actions as a binary treatment."
        )
    folds = folds_of(coded, settings)
    made = _of_doses if kind == "continuous" else _of_arms
    return made(coding, coded, settings, folds, learner)


def _of_arms(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> pd.DataFrame:
    chances = observations(arm_chances(coding, coded, settings, folds, learner), coded.multiplicity)
    arm = observations(coded.actions.arms[:, 0], coded.multiplicity)
    lines = []
    for code, name in enumerate(coding.actions.arms):
        chance = chances[:, code]
        weight = 1.0 / np.maximum(chance[arm == code], CLIP)
        lines.append(
            {
                "arm": name,
                "rows": int((arm == code).sum()),
                "effective_rows": float(weight.sum() ** 2 / (weight**2).sum()),
                **{key: float(np.quantile(chance, at)) for key, at in QUANTILES.items()},
                "below": float((chance < CLIP).mean()),
            }
        )
    return pd.DataFrame(lines).set_index("arm")


def _of_doses(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> pd.DataFrame:
    dose = coded.actions.doses[:, 0].astype(np.float64)
    known = DoseDensity.of(coding, coded, settings, folds, learner, dose)
    dose, centre = (observations(values, coded.multiplicity) for values in (dose, known.centre))
    regions, parts = _ends(centre), _ends(dose)
    region, part = _places(centre, regions), _places(dose, parts)
    lines = []
    for j, (low, high) in enumerate(pairwise(parts)):
        chance = observations(known.within(low, high), coded.multiplicity)
        lines += [
            {
                "expected_low": regions[k],
                "expected_high": regions[k + 1],
                "dose_low": low,
                "dose_high": high,
                "rows": int(((region == k) & (part == j)).sum()),
                "share": float(chance[region == k].mean()),
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
