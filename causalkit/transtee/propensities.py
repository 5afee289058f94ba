"""How likely every arm was for every row, by models that did not see it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalkit.data.roles import AMOUNTS
from causalkit.errors import ArgumentError, OverlapWarning
from causalkit.nuisance import DenseFeatures, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.nuisance.learners import plan
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.flat_features import flat_features
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.settings import Settings
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

CLIP = 0.01
OF_SHARE = 0.1
FEW_EFFECTIVE, EFFECTIVE_SHARE = 20.0, 0.2
_NEVER = 1e-12


def arm_chances(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> tuple[Floats, Mapping[str, str]]:
    """P(A = k | X) as ``(n, K)``, rows summing to one, cross-fitted or known; what learned it.

    Of more than two arms each is learned against all others. A tree may exclude every one of them
    for some row; that says nothing of which, and the shares of the arms stand in.
    """
    if isinstance(learner, np.ndarray):
        return learner, dict.fromkeys(coding.actions.labels, "known")
    arm, n_arms = coded.actions.arms[:, 0], len(coding.actions.arms)
    features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
    fitter = Fitter(seed=settings.seed, weights=mean_weight(coded))
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
    else:
        chances = np.maximum(chances, _NEVER * arm_shares(arm, n_arms, mean_weight(coded)))
    told = {coding.actions.labels[k]: found.chosen[f"arm{k}"] for k in asked}
    return np.asarray(chances / chances.sum(axis=1, keepdims=True)), told


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
    if kind != "continuous" and not isinstance(pair[0], np.ndarray):
        plan(pair[0], "probability", argument="propensity")
    if kind in AMOUNTS:
        plan(pair[1], "mean", argument="propensity")
    return pair


def arm_shares(arm: Ints, n_arms: int, weight: Floats | None) -> Floats:
    """Share ``(K,)`` of the rows that received each arm, weighted."""
    return np.bincount(arm, weights=weight, minlength=n_arms) / (
        arm.size if weight is None else weight.sum()
    )


def least_chances(arm: Ints, n_arms: int, weight: Floats | None) -> Floats:
    """Propensities ``(K,)`` that smaller ones are raised to: .01, or a tenth of the arm's share.

    Of an arm that few receive, small propensities are no sign of missing overlap, and .01 would be
    more than most of them.
    """
    return np.asarray(np.minimum(CLIP, OF_SHARE * arm_shares(arm, n_arms, weight)))


def clipped(
    chances: Floats,
    arm: Ints,
    *,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
) -> Floats:
    """Propensities ``(n, K)`` away from 0, with a warning where that moves those of arms received.

    Parameters
    ----------
    chances : (n, K) array
    arm : (n,) int array
    weight, multiplicity : (n,) array, optional
        Row weights; rows that each row stands for.
    """
    least = least_chances(arm, chances.shape[1], weight)
    small = chances[np.arange(arm.size), arm] < least[arm]
    if small.any():
        share = np.average(small, weights=multiplicity)
        bounds = np.unique(least[np.unique(arm[small])])
        told = f"{bounds[0]:.3g}" + (f" to {bounds[-1]:.3g} by arm" if bounds.size > 1 else "")
        warn(
            f"[E19-overlap] {share:.1%} of the rows received an arm with a propensity below the "
            f"bound ({told}), and it was raised to that; they count for less than they stand for, "
            "so that averages rest on predicted outcomes there and may be biased.",
            OverlapWarning,
        )
    return np.asarray(np.clip(chances, least, 1.0))


def effective_rows(inverse: Floats, multiplicity: Floats | None = None) -> float:
    """Rows of one weight whose mean would have the variance of the weighted one (Kish)."""
    times = np.ones(inverse.size) if multiplicity is None else multiplicity
    return float((times @ inverse) ** 2 / (times @ inverse**2))


def warn_if_few_count(
    inverse: Floats, received: Bools, name: Any, *, multiplicity: Floats | None
) -> None:
    """Warn where a few rows of an arm carry its average, the others counting for next to nothing.

    Parameters
    ----------
    inverse : (n,) array
        Weights of rows in the arm.
    received : (n,) bool array
        Who got the arm.
    name : level
    multiplicity : (n,) array or None
        Rows that each row stands for.
    """
    times = None if multiplicity is None else multiplicity[received]
    rows = received.sum() if times is None else times.sum()
    worth = effective_rows(inverse[received], times)
    if worth < min(FEW_EFFECTIVE, EFFECTIVE_SHARE * rows):
        warn(
            f"[E19-overlap] the {rows:g} rows of arm {name!r} count for {worth:.1f} once weighted "
            "by inverse propensities: few carry its average, and its error may be too small. See "
            "overlap(); take a smoother propensity, such as propensity='linear', or leave out rows "
            "that are unlike any of the arm.",
            OverlapWarning,
        )
