"""One estimate from repeated sample splits."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from causalkit.errors import ArgumentError, check_choice
from causalkit.inference.solve import Solution
from causalkit.typing import Floats

Aggregation = Literal["median", "mean", "bounds"]
AGGREGATIONS: tuple[Aggregation, ...] = ("median", "mean", "bounds")

# DoubleML rounds the normal quantile so, and the rule depends on it.
_DOUBLEML_QUANTILE = 1.96


def aggregate(
    solutions: Sequence[Solution], variances: Sequence[Floats], *, method: str = "median"
) -> tuple[Floats, Floats]:
    """Estimate and variance over repeated splits.

    Parameters
    ----------
    solutions : sequence of Solution
        One per repeat s.
    variances : sequence of (k, k) arrays
        Their variances V_s.
    method : {"median", "mean", "bounds"}
        ``"median"``: median of θ̂_s; variances are the median of se_s² + (θ̂_s − θ̂)².
        ``"mean"``: the same with means. ``"bounds"``: median of θ̂_s; standard errors such that
        the upper 95 % bound is the median of upper bounds, as in DoubleML 0.11.

    Returns
    -------
    theta : (k,) array
    vcov : (k, k) array
        Variances as above. Medians of covariances, element by element, need not make a
        positive semi-definite matrix; so correlations are those of the mean over repeats of
        V_s + (θ̂_s − θ̂)(θ̂_s − θ̂)', which always do.

    References
    ----------
    Chernozhukov et al. (2018), definition 3.3.
    """
    check_choice("aggregation", method, AGGREGATIONS)
    theta_s, se_s = by_repeat(solutions, variances)
    if len(theta_s) == 1:
        return theta_s[0], variances[0]
    theta = np.asarray((np.mean if method == "mean" else np.median)(theta_s, axis=0))
    gap = theta_s - theta
    mixed = (np.stack(variances) + gap[:, :, None] * gap[:, None, :]).mean(axis=0)
    if method == "mean":
        return theta, mixed
    if method == "median":
        error = np.sqrt(np.median(se_s**2 + gap**2, axis=0))
    else:
        upper = np.median(theta_s + _DOUBLEML_QUANTILE * se_s, axis=0)
        error = (upper - theta) / _DOUBLEML_QUANTILE
    size = np.sqrt(np.diag(mixed))
    ratio = np.divide(error, size, out=np.zeros_like(size), where=size > 0)
    return theta, mixed * np.outer(ratio, ratio)


def by_repeat(solutions: Sequence[Solution], variances: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Estimates and standard errors of each repeat, two ``(n_rep, k)`` arrays.

    Raises
    ------
    ArgumentError
        If there is no repeat, or not one variance for each.
    """
    if not solutions or len(solutions) != len(variances):
        raise ArgumentError(
            f"{len(solutions)} solutions and {len(variances)} variances: give one variance for "
            "each of at least one repeat."
        )
    theta = np.stack([solution.theta for solution in solutions])
    return theta, np.sqrt(np.stack([np.diag(variance) for variance in variances]))
