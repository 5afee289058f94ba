"""Solve a linear score for θ, with the influence of every row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints

_SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class Solution:
    """θ̂ of one repeat and its influence values.

    Attributes
    ----------
    theta : (k,) array
    influence : (n, k) array
        Mean zero, but for what leverage adds; θ̂ − θ is about its mean. A row's weight is inside
        its influence.
    """

    theta: Floats
    influence: Floats


def solve_linear(
    score: LinearScore,
    *,
    weights: Floats | None = None,
    test_folds: Sequence[Sequence[Ints]] | None = None,
) -> list[Solution]:
    """Solve Σ w z (y − x'θ) = 0 for every repeat.

    Parameters
    ----------
    score : LinearScore
        Evaluated at cross-fitted nuisances.
    weights : (n,) array, optional
        Row weights w; their scale does not matter.
    test_folds : list over repeats of lists of row arrays, optional
        Solve in every fold and average the solutions (DML1). The influence values then use the
        Jacobian of all rows, and have mean zero only approximately. Default: solve once over all
        rows (DML2).

    Returns
    -------
    list of Solution
        θ̂ = (Σ w z x')⁻¹ Σ w z y, one per repeat.

    Raises
    ------
    ArgumentError
        If the score is not finite.
    IdentificationError
        If Σ w z x' is singular: a treatment is fully explained, or several are collinear.

    References
    ----------
    Chernozhukov et al. (2018), definitions 3.1 (DML1) and 3.2 (DML2).
    """
    solutions = []
    for repeat in range(score.response.shape[1]):
        z, x = score.instrument[:, repeat], score.regressor[:, repeat]
        y = score.response[:, repeat]
        zw = z if weights is None else z * weights[:, None]
        jacobian = _jacobian(zw, x)
        if test_folds is None:
            theta: Floats = np.asarray(np.linalg.solve(jacobian, zw.T @ y), dtype=np.float64)
        else:
            parts = [
                np.linalg.solve(_jacobian(zw[rows], x[rows]), zw[rows].T @ y[rows])
                for rows in test_folds[repeat]
            ]
            theta = np.asarray(np.mean(parts, axis=0), dtype=np.float64)
        told = y if score.leverage is None else y + score.leverage[:, repeat]
        moments = zw * (told - x @ theta)[:, None]
        influence = y.size * (moments @ np.linalg.inv(jacobian).T)
        if not np.isfinite(influence).all():
            raise ArgumentError(
                "the outcome, or its predictions, are missing or infinite in some rows; check the "
                "learner of the outcome."
            )
        solutions.append(Solution(theta, influence))
    return solutions


def _jacobian(zw: Floats, x: Floats) -> Floats:
    """Σ w z x', refused if it is singular beside the size of its parts."""
    jacobian: Floats = zw.T @ x
    if not np.isfinite(jacobian).all():
        raise ArgumentError(
            "treatments, weights or predictions of the treatment are missing or infinite in some "
            "rows; check the learner of the treatment."
        )
    size = np.outer(np.linalg.norm(zw, axis=0), np.linalg.norm(x, axis=0))
    scaled = jacobian / np.where(size > 0, size, 1.0)
    if np.linalg.svd(scaled, compute_uv=False)[-1] < _SINGULAR:
        raise IdentificationError(
            "the moment equations are singular: the treatment is fully explained by the "
            "covariates, or several treatments are collinear. Remove the covariates or treatments "
            "that determine the others."
        )
    return jacobian
