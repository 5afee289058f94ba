"""Does the treatment look randomised? A test of whether images and covariates predict it."""

from dataclasses import dataclass

import numpy as np

from causalkit.typing import Floats, Ints

_FOLDS = 5
_RIDGE = 0.1  # of the trace of the second moments, per column
_STRATA = 5  # of groups by propensity, where it takes more values than that


@dataclass(frozen=True, slots=True)
class Balance:
    """Held-out correlation of treatment and its prediction, and how often chance does as well.

    Attributes
    ----------
    correlation, p_value : float
    n_permutations : int
    """

    correlation: float
    p_value: float
    n_permutations: int


def balance_test(
    features: Floats,
    treatment: Floats,
    groups: Ints,
    *,
    propensity: Floats,
    n_permutations: int = 199,
    rng: np.random.Generator,
) -> Balance:
    """Predict the treatment from features by ridge regression on other groups, and permute.

    Parameters
    ----------
    features : (n, d) array
    treatment : (n,) array
        0 or 1.
    groups : (n,) int array
        Rows that are predicted together and permuted together, as they were assigned.
    propensity : (n,) array
        Known probability of treatment. What is predicted is the treatment less this, and groups
        are permuted among those with about the same.
    n_permutations : int
    rng : Generator

    Notes
    -----
    The treatments of groups are permuted whole, so that under assignment by group the permutations
    are draws of the design; groups of the same size and propensity make that exact.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    surprise = treatment - propensity
    strata = _strata(np.bincount(codes, propensity) / counts)
    permuted = [_permuted(surprise, order, counts, strata, rng) for _ in range(n_permutations)]
    outcomes = np.stack([surprise, *permuted], axis=1)
    fold = rng.permutation(counts.size)[codes] % _FOLDS
    x = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-12)
    fitted = np.empty_like(outcomes)
    for number in range(_FOLDS):
        test = fold == number
        fitted[test] = _ridge(x[~test], outcomes[~test], x[test])
    centred = outcomes - outcomes.mean(axis=0)
    moved = fitted - fitted.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0) * (moved**2).sum(axis=0))
    correlation = np.divide(
        (centred * moved).sum(axis=0), size, out=np.zeros(size.size), where=size > 0
    )
    as_well = int((correlation[1:] >= correlation[0]).sum())
    return Balance(float(correlation[0]), (1 + as_well) / (1 + n_permutations), n_permutations)


def _strata(propensity: Floats) -> Ints:
    """Stratum of each group: those of its propensity, or of its fifth where there are many."""
    values, codes = np.unique(propensity.round(9), return_inverse=True)
    if values.size > _STRATA:
        inner = np.linspace(0.0, 1.0, _STRATA + 1)[1:-1]
        codes = np.searchsorted(np.quantile(propensity, inner), propensity)
    return np.asarray(codes, dtype=np.int64)


def _permuted(
    treatment: Floats, order: Ints, counts: Ints, strata: Ints, rng: np.random.Generator
) -> Floats:
    """Treatments moved between groups of one size and stratum, whole groups at a time."""
    starts = np.cumsum(counts) - counts
    kind = counts * (int(strata.max()) + 1) + strata
    source = np.arange(counts.size)
    for value in np.unique(kind):
        mine = np.flatnonzero(kind == value)
        source[mine] = rng.permutation(mine)
    found = np.empty(treatment.size)
    within = np.arange(treatment.size) - np.repeat(starts, counts)
    found[order] = treatment[order[np.repeat(starts[source], counts) + within]]
    return found


def _ridge(x: Floats, y: Floats, at: Floats) -> Floats:
    """Predictions for several outcomes at once."""
    centre = y.mean(axis=0)
    gram = x.T @ x
    penalty = _RIDGE * np.trace(gram) / gram.shape[0]
    weights = np.linalg.solve(gram + penalty * np.eye(gram.shape[0]), x.T @ (y - centre))
    return np.asarray(at @ weights + centre)
