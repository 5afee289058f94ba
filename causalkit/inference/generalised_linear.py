"""Regressions with a canonical link, with the influence of every row on their coefficients."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from causalkit.errors import ConvergenceWarning, IdentificationError
from causalkit.typing import Floats
from causalkit.warn import warn

_STEPS = 100
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Regression:
    """A fitted regression, and the influence of each row on it.

    Attributes
    ----------
    coefficients : (k,) array
    influence : (n, k) array
    """

    coefficients: Floats
    influence: Floats


def generalised_linear(target: Floats, x: Floats, w: Floats, *, link: str, what: str) -> Regression:
    """Weighted regression with the canonical link, by Newton's method.

    Parameters
    ----------
    target : (n,) array
    x : (n, k) array
    w : (n,) array
    link : {"logit", "log", "identity"}
        The mean is expit(x'c), exp(x'c) or x'c; the score Σ w x (target − mean) in each case.
    what : str
        Name for messages.

    Raises
    ------
    IdentificationError
        If the regressors are collinear.
    """
    coefficients = np.zeros(x.shape[1])
    if link == "log":
        coefficients[0] = np.log(np.average(target, weights=w))
    for _ in range(_STEPS):
        mean, slope = _mean_and_slope(x @ coefficients, link)
        hessian = (x * (w * slope)[:, None]).T @ x / w.sum()
        gradient = x.T @ (w * (target - mean)) / w.sum()
        step = _solve(hessian, gradient, what)
        # Damped, so that a nearly separated sample climbs instead of jumping.
        coefficients = coefficients + step * min(
            1.0, 5.0 / max(float(np.abs(x @ step).max()), 1e-9)
        )
        if float(np.abs(gradient).max()) < _TOLERANCE:
            break
    else:
        warn(
            f"the regression of {what} did not converge in {_STEPS} steps: the covariates may "
            "separate its values. Use fewer terms, or method='debiased'.",
            ConvergenceWarning,
        )
    mean, slope = _mean_and_slope(x @ coefficients, link)
    hessian = (x * (w * slope)[:, None]).T @ x / w.sum()
    scores = x * (w * (target - mean))[:, None]
    return Regression(coefficients, scores @ np.linalg.inv(hessian).T)


def _mean_and_slope(index: Floats, link: str) -> tuple[Floats, Floats]:
    """Mean at an index x'c, and its derivative."""
    if link == "identity":
        return index, np.ones_like(index)
    if link == "log":
        mean = np.exp(np.clip(index, -500.0, 500.0))
        return mean, mean
    mean = np.asarray(expit(index))
    return mean, mean * (1.0 - mean)


def _solve(matrix: Floats, right: Floats, what: str) -> Floats:
    size = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    scaled = matrix / np.outer(size, size)
    if not np.isfinite(scaled).all() or np.linalg.svd(scaled, compute_uv=False)[-1] < 1e-12:
        raise IdentificationError(
            f"the equations for {what} are singular: terms are collinear, or a regressor never "
            "varies in one arm of the instrument. Use fewer terms."
        )
    return np.asarray(np.linalg.solve(scaled, right / size) / size)
