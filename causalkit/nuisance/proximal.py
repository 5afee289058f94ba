"""Minimum of a quadratic plus a penalty, by direct solves on the coefficients that matter."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dposv

from causalkit.typing import Bools, Floats

_DAMPING = 1e-12  # of the largest second derivative: duplicated columns share their coefficient


@dataclass(frozen=True)
class Curvature:
    """Second derivatives of a loss, ``(1 + p, 1 + p)``, those of the intercept first."""

    matrix: Floats

    @cached_property
    def damping(self) -> float:
        """Added to the diagonal, so that no system is singular."""
        return _DAMPING * max(float(np.diag(self.matrix).max()), 1e-300)

    @cached_property
    def gram(self) -> Floats:
        """Second derivatives ``(p, p)`` once the intercept is at its best, damped."""
        ratio = self.matrix[0, 1:] / self.matrix[0, 0]
        gram = self.matrix[1:, 1:] - np.multiply.outer(self.matrix[1:, 0], ratio)
        gram.flat[:: gram.shape[0] + 1] += self.damping
        return np.asarray(gram)


def minimise(
    curvature: Curvature, gradient: Floats, beta: Floats, kind: str, penalty: float
) -> Floats:
    """Minimiser of a penalised quadratic model of a loss.

    With d = b − beta: g'd + d'Hd / 2 + penalty · (Σ|b_j|, or Σ b_j² / 2 for ridge), sums without
    the first coefficient, the intercept.

    Parameters
    ----------
    curvature : Curvature
        H, positive semidefinite, its first diagonal element positive.
    gradient : (1 + p,) array
        g, at ``beta``.
    beta : (1 + p,) array
        Where the model was taken.
    kind : {"linear", "ridge", "lasso"}
        Penalty.
    penalty : float
        Its strength; ignored for ``"linear"``.
    """
    matrix = curvature.matrix
    if kind != "lasso":
        ridge = np.full(beta.size, penalty if kind == "ridge" else 0.0)
        ridge[0] = 0.0
        step = solve(matrix + np.diag(ridge), -gradient - ridge * beta, curvature.damping)
        return np.asarray(beta + step)
    used = np.flatnonzero(beta)
    pull = matrix[used].T @ beta[used] - gradient
    ratio = pull[0] / matrix[0, 0]
    # The damping pulls towards beta, not zero, so that it moves no optimum.
    cross = pull[1:] - matrix[1:, 0] * ratio + curvature.damping * beta[1:]
    slopes = signed_search(curvature.gram, cross, penalty, beta[1:])
    return np.append(ratio - matrix[0, 1:] @ slopes / matrix[0, 0], slopes)


def solve(matrix: Floats, right: Floats, damping: float) -> Floats:
    """Solution of a positive definite system, made so by damping where it is not."""
    size = np.arange(right.size)
    while True:
        damped = matrix.copy()
        damped[size, size] += damping
        _, found, failed = dposv(damped, right, lower=1, overwrite_a=1)
        if not failed:
            return np.asarray(found)
        damping = max(100.0 * damping, _DAMPING * float(np.diag(matrix).max()), 1e-300)


def signed_search(gram: Floats, cross: Floats, penalty: float, start: Floats) -> Floats:
    """Minimiser of b'Gb/2 − c'b + penalty Σ|b_j|, G positive definite.

    Feature-sign search (Lee, Battle, Raina & Ng 2007): solve exactly for the signs at hand, stop
    where a coefficient meets zero, then let in the coefficients whose gradient exceeds the
    penalty. Every step lowers the objective, so it ends.
    """
    beta = start.copy()
    sign = np.sign(beta)
    slack = penalty * (1.0 + 1e-10) + 1e-15 * float(np.abs(cross).max(initial=0.0))
    for _ in range(50 + 10 * beta.size):
        _settle(gram, cross, penalty, beta, sign)
        used = np.flatnonzero(beta)
        slope = cross - beta[used] @ gram[used]
        enters: Bools = (sign == 0.0) & (np.abs(slope) > slack)
        if not enters.any():
            break
        sign[enters] = np.sign(slope[enters])
    return beta


def _settle(gram: Floats, cross: Floats, penalty: float, beta: Floats, sign: Floats) -> None:
    """Minimise over the coefficients with a sign; those that would change it become zero."""
    while True:
        active = np.flatnonzero(sign)
        if not active.size:
            return
        old, signs = beta[active], sign[active]
        new = solve(gram[np.ix_(active, active)], cross[active] - penalty * signs, 0.0)
        crossing = new * signs <= 0.0
        if not crossing.any():
            beta[active] = new
            return
        reach = old[crossing] / (old[crossing] - new[crossing] + 1e-300 * signs[crossing])
        share = float(np.clip(reach, 0.0, 1.0).min())
        leaves = np.flatnonzero(crossing)[np.clip(reach, 0.0, 1.0) <= share]
        beta[active] = old + share * (new - old)
        beta[active[leaves]] = 0.0
        sign[active[leaves]] = 0.0
