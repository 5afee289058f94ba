"""How likely every arm was for every row, by models that did not see it."""

from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, OverlapWarning
from causalkit.nuisance import DenseFeatures, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.nuisance.learners import plan
from causalkit.transtee.actions import AMOUNT
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.flat_features import flat_features
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

CLIP = 0.01


def arm_chances(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> Floats:
    """Cross-fitted P(A = k | X) as ``(n, K)``, rows summing to one."""
    arm, n_arms = coded.actions.arms[:, 0], len(coding.actions.arms)
    features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
    fitter = Fitter(seed=settings.seed, weights=coded.weight)
    asked = range(1, n_arms) if n_arms == 2 else range(n_arms)
    found = fitter.run(
        [
            Nuisance(f"arm{k}", (arm == k).astype(float), features, learner, kind="probability")
            for k in asked
        ],
        folds,
    )
    chances = np.column_stack([found[f"arm{k}"][:, 0] for k in asked])
    if n_arms == 2:
        chances = np.hstack([1.0 - chances, chances])
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def learners_of(kind: str, propensity: Any) -> tuple[Any, Any]:
    """Learners of P(arm | X) and of the mean of the dose, checked before anything is trained.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If there is no such learner, or it predicts something else; or arms with doses have one
        object for both: a classifier, or a regressor.
    """
    pair = propensity if kind == "dose" else (propensity, propensity)
    if isinstance(propensity, str):
        pair = (propensity, propensity)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ArgumentError(
            "propensity of arms with doses is a name, or two learners, (classifier of the arm, "
            f"regressor of the dose), got {propensity!r}."
        )
    if kind != "continuous":
        plan(pair[0], "probability", argument="propensity")
    if kind in AMOUNT:
        plan(pair[1], "mean", argument="propensity")
    return pair


def clipped(chances: Floats, arm: Ints, coded: Coded) -> Floats:
    """Propensities away from 0, with a warning where that moves those of arms received."""
    small = chances[np.arange(arm.size), arm] < CLIP
    if small.any():
        share = np.average(small, weights=coded.multiplicity)
        warn(
            f"[E19-overlap] {share:.1%} of the rows received an arm with a propensity below "
            f"{CLIP:g}, which was moved to that bound; effects there rest on extrapolation.",
            OverlapWarning,
        )
    return np.asarray(np.clip(chances, CLIP, 1.0))
