"""Right and wrong choices in one fit: valid instruments, cluster labels, and an oracle.

Each is one number per replication, which ``mean_of`` summarises, but for the comparison with an
oracle, which is over replications.
"""

import math
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_count
from causalkit.metrics.measure import Measure, as_values, check_together
from causalkit.metrics.paired import paired_difference
from causalkit.typing import Bools, Floats, Ints


def selection_precision(selected: Any, valid: Any) -> float:
    """Share of selected instruments that are valid; NaN if none is selected.

    Parameters
    ----------
    selected, valid : (L,) boolean arrays
        Instruments chosen as valid, and those that are.

    Raises
    ------
    ArgumentError
        If the arrays are not boolean (or zeros and ones) of one length.

    Examples
    --------
    >>> selection_precision([True, True, False, False], [True, False, True, True])
    0.5
    """
    chosen, right = _masks(selected, valid)
    return float(right[chosen].mean()) if chosen.any() else math.nan


def selection_recall(selected: Any, valid: Any) -> float:
    """Share of valid instruments that are selected; NaN if none is valid.

    Parameters and errors as in :func:`selection_precision`.
    """
    chosen, right = _masks(selected, valid)
    return float(chosen[right].mean()) if right.any() else math.nan


def adjusted_rand(labels_hat: Any, labels: Any) -> float:
    """Adjusted Rand index: 1 for the same partition, 0 on average for a random one.

    Parameters
    ----------
    labels_hat, labels : (n,) arrays
        Estimated and true cluster of each unit; names do not matter.

    Raises
    ------
    ArgumentError
        If lengths differ or there is no unit.

    References
    ----------
    Hubert & Arabie (1985), J. Classification 2:193; computed by scikit-learn.
    """
    from sklearn.metrics import adjusted_rand_score

    a, b = _labels(labels_hat, labels)
    return float(adjusted_rand_score(b, a))


def nmi(labels_hat: Any, labels: Any) -> float:
    """Mutual information of two partitions over the mean of their entropies, 0 to 1.

    Parameters and errors as in :func:`adjusted_rand`. Not adjusted for chance.

    References
    ----------
    Vinh, Epps & Bailey (2010), JMLR 11:2837; computed by scikit-learn.
    """
    from sklearn.metrics import normalized_mutual_info_score

    a, b = _labels(labels_hat, labels)
    return float(normalized_mutual_info_score(b, a))


def matched_clusters(labels_hat: Any, labels: Any, *, k_hat: int, k: int) -> Ints:
    """Estimated cluster that stands for each true one: the matching with most units in common.

    Parameters
    ----------
    labels_hat, labels : (n,) integer arrays
        Estimated clusters 0, ..., k_hat − 1 and true ones 0, ..., k − 1.
    k_hat, k : int
        Numbers of clusters, empty ones included.

    Returns
    -------
    (k,) integer array
        −1 for a true cluster that finds no partner, as when ``k_hat < k``.

    Raises
    ------
    ArgumentError
        If a label is out of range, or a number of clusters is no whole number.
    """
    from scipy.optimize import linear_sum_assignment

    k_hat, k = check_count("k_hat", k_hat, least=1), check_count("k", k, least=1)
    a, b = _labels(labels_hat, labels)
    a, b = _in_range("labels_hat", a, k_hat), _in_range("labels", b, k)
    common = np.bincount(b * k_hat + a, minlength=k * k_hat).reshape(k, k_hat)
    rows, columns = linear_sum_assignment(common, maximize=True)
    partner = np.full(k, -1, dtype=np.int64)
    partner[rows] = columns
    return partner


def matched_effect_rmse(labels_hat: Any, labels: Any, *, effects_hat: Any, effects: Any) -> float:
    """Error of cluster effects after the clusters are matched by the units they share.

    √Σ_k π_k (τ̂_{m(k)} − τ_k)², with π_k the share of units in true cluster k and m(k) its
    partner. Matching by units rather than by effects keeps estimates from choosing the truth
    that flatters them.

    Parameters
    ----------
    labels_hat, labels : (n,) integer arrays
        Positions in ``effects_hat`` and ``effects``.
    effects_hat, effects : arrays
        Estimated and true effect of each cluster.

    Raises
    ------
    ArgumentError
        If labels are out of range, or there are fewer estimated than true clusters that hold
        units: no partner, no error.
    """
    tau_hat, tau = as_values("effects_hat", effects_hat), as_values("effects", effects)
    partner = matched_clusters(labels_hat, labels, k_hat=tau_hat.size, k=tau.size)
    share = np.bincount(np.asarray(labels), minlength=tau.size) / np.asarray(labels).size
    alone = (partner < 0) & (share > 0)
    if alone.any():
        raise ArgumentError(
            f"{tau_hat.size} estimated clusters leave {int(alone.sum())} of {tau.size} true ones "
            "without a partner; compare unit-level effects by pehe() instead."
        )
    gap = np.where(share > 0, tau_hat[partner] - tau, 0.0)
    return math.sqrt(float(share @ gap**2))


def bias_against_oracle(estimate: Any, oracle: Any) -> Measure:
    """Mean difference from an estimator that knew what had to be learned.

    The oracle (2SLS with the valid instruments only) sees the same data, so what the two share
    by chance cancels; MCSE sd(difference)/√R.

    Parameters
    ----------
    estimate, oracle : (R,) arrays
        Estimates in the same replications.
    """
    return paired_difference(estimate, oracle)


def _masks(selected: Any, valid: Any) -> tuple[Bools, Bools]:
    """Two boolean masks of one length."""
    chosen: Floats = as_values("selected", selected)
    right: Floats = as_values("valid", valid)
    check_together(selected=chosen, valid=right)
    for name, mask in (("selected", chosen), ("valid", right)):
        if not np.isin(mask, (0.0, 1.0)).all():
            raise ArgumentError(
                f"{name} must say yes or no for each instrument (a boolean mask), not list "
                "positions."
            )
    return chosen == 1.0, right == 1.0


def _labels(labels_hat: Any, labels: Any) -> tuple[Any, Any]:
    """Two label arrays of one length, none missing."""
    from pandas import isna

    a, b = np.asarray(labels_hat), np.asarray(labels)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ArgumentError(
            "labels need one entry per unit in both partitions, got shapes "
            f"{a.shape} and {b.shape}."
        )
    for name, known in (("labels_hat", a), ("labels", b)):
        missing = np.flatnonzero(isna(known))
        if missing.size:
            raise ArgumentError(
                f"{name} is missing for {missing.size} of {known.size} units (first: position "
                f"{missing[0]}); leave these units out of both partitions."
            )
    return a, b


def _in_range(name: str, labels: Any, k: int) -> Ints:
    """Integer labels 0, ..., k − 1."""
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise ArgumentError(
            f"{name} must be whole numbers from 0 to {k - 1}, got {labels.dtype} from "
            f"{labels.min()} to {labels.max()}."
        )
    return np.asarray(labels, dtype=np.int64)
