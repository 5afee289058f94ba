"""Errors where treatments are many and have structure: graphs, texts.

Each is one number per replication; ``mean_of`` summarises them over replications.
"""

from itertools import combinations
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_count
from causalkit.metrics.effects import as_table
from causalkit.metrics.measure import as_values
from causalkit.typing import Floats, Ints


def most_likely(propensity: Any, k: int) -> Ints:
    """Numbers of the k most likely treatments of each unit, the likeliest first.

    Treatments of equal probability come in the order of their columns, and none is lost.

    Parameters
    ----------
    propensity : (n, g) array
        Probability of each treatment given the unit's covariates.
    k : int
        1 to g.

    Returns
    -------
    (n, k) int array
        Columns of ``propensity``.

    Raises
    ------
    ArgumentError
        If ``k`` is out of range, or a probability is negative or not finite.

    Examples
    --------
    >>> most_likely([[0.2, 0.5, 0.3]], 2)
    array([[1, 2]])
    """
    p = as_table("propensity", propensity)
    if check_count("k", k, least=1) > p.shape[1]:
        raise ArgumentError(f"k must be at most {p.shape[1]}, the number of treatments; got {k}.")
    if (p < 0).any():
        raise ArgumentError(f"propensity is negative in {int((p < 0).sum())} places.")
    return np.argsort(-p, axis=1, kind="stable")[:, :k].astype(np.int64)


def upehe(outcomes_hat: Any, outcomes: Any, *, propensity: Any, k: int) -> float:
    r"""Unweighted PEHE at K: mean squared error of contrasts of a unit's K likeliest treatments.

    .. math:: \frac{1}{n} \sum_i \binom{K}{2}^{-1} \sum_{a < b \le K} (\hat τ_i(a, b) - τ_i(a, b))^2

    No root is taken.

    Parameters
    ----------
    outcomes_hat, outcomes : (n, g) arrays
        Predicted and true mean outcome of each unit under each treatment (or under its likeliest
        ones, in any order, if ``propensity`` has the same columns).
    propensity : (n, g) array
        Probability of each treatment given the unit's covariates.
    k : int
        2 to g.

    Raises
    ------
    ArgumentError
        If shapes disagree, or a value is not finite.

    References
    ----------
    Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS 34, section 5.
    """
    return float(_contrasts(outcomes_hat, outcomes, propensity, k)[0].mean())


def wpehe(outcomes_hat: Any, outcomes: Any, *, propensity: Any, k: int) -> float:
    r"""Weighted PEHE at K: as :func:`upehe`, each pair of a unit weighted by its two propensities.

    .. math:: \frac{1}{n} \sum_i \frac{\sum_{a < b} p_{ia} p_{ib} (\hat τ_i(a, b) - τ_i(a, b))^2}
        {\sum_{a < b} p_{ia} p_{ib}}

    over pairs of the unit's K likeliest treatments: weights sum to one within each unit. (In
    :func:`~causalkit.metrics.effects.pair_pehe` they do so over all units.) The released code takes
    propensities with the strength of selection left out of the softmax, so compare with its
    numbers only after doing the same.

    Parameters
    ----------
    outcomes_hat, outcomes, propensity : (n, g) arrays
        As in :func:`upehe`.
    k : int
        2 to g.

    Raises
    ------
    ArgumentError
        If shapes disagree, a value is not finite, or only one treatment of a unit has positive
        probability.

    References
    ----------
    Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS 34, section 5.
    """
    squares, weights = _contrasts(outcomes_hat, outcomes, propensity, k)
    total = weights.sum(axis=1)
    if not (total > 0.0).all():
        row = int((total <= 0.0).argmax())
        raise ArgumentError(
            f"fewer than two treatments of unit {row} have positive probability, so its pairs have "
            "no weights."
        )
    return float(((squares * weights).sum(axis=1) / total).mean())


def concept_effect_error(with_concept: Any, without: Any, *, truth: float) -> float:
    r"""Error of the size of a concept's effect on class probabilities.

    .. math:: \left| \frac{1}{n} \sum_i || \hat p_i(1) - \hat p_i(0) ||_2 - truth \right|

    Parameters
    ----------
    with_concept, without : (n, C) arrays
        Predicted class probabilities of each unit and of its twin.
    truth : float
        True mean of the norm.

    Raises
    ------
    ArgumentError
        If shapes differ, or rows are no probabilities.

    References
    ----------
    Feder, Oved, Shalit & Reichart (2021), Computational Linguistics 47:333, section 4.
    """
    one, zero = as_table("with_concept", with_concept), as_table("without", without)
    if one.shape != zero.shape:
        raise ArgumentError(f"shapes differ: with_concept {one.shape}, without {zero.shape}.")
    for name, p in (("with_concept", one), ("without", zero)):
        if (p < 0).any() or not np.allclose(p.sum(axis=1), 1.0, atol=1e-4):
            raise ArgumentError(f"{name} must hold probabilities, each row summing to one.")
    (known,) = as_values("truth", [truth])
    return float(abs(np.linalg.norm(one - zero, axis=1).mean() - known))


def _contrasts(outcomes_hat: Any, outcomes: Any, propensity: Any, k: int) -> tuple[Floats, Floats]:
    """Squared errors and weights ``(n, pairs)`` of the pairs of likely treatments."""
    hat, true = as_table("outcomes_hat", outcomes_hat), as_table("outcomes", outcomes)
    p = as_table("propensity", propensity)
    if not hat.shape == true.shape == p.shape:
        raise ArgumentError(
            f"shapes differ: outcomes_hat {hat.shape}, outcomes {true.shape}, propensity {p.shape}."
        )
    columns = most_likely(p, check_count("k", k, least=2))
    error = np.take_along_axis(hat - true, columns, axis=1)
    chance = np.take_along_axis(p, columns, axis=1)
    first, second = np.array(list(combinations(range(columns.shape[1]), 2))).T
    # Only ratios to the likeliest pair matter; tiny propensities must not vanish in a product.
    top = np.where(chance[:, :2] > 0.0, chance[:, :2], 1.0)
    weights = (chance[:, first] / top[:, :1]) * (chance[:, second] / top[:, 1:])
    return (error[:, first] - error[:, second]) ** 2, weights
