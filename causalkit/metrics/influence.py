"""What each replication adds to a measure that is no mean: the delta method, value by value.

A measure that is a smooth function of moments differs from what it estimates by the mean of its
influence values ψ, to first order. Its MCSE is sd(ψ)/√R, and that of the difference of two
estimators sd(ψ_A − ψ_B)/√R, whatever the distribution of the errors and however the two depend on
each other. In units of the spread s, z = (e − ē)/s:

==================== ==========================================================
spread s             s(z² − 1)/2
root of a mean x²    (x² − mean x²)/(2 root)
ModSE/EmpSE = q      q(V/V̄ − z²)/2, V = std_error²
ē/s = b              z − b(z² − 1)/2
100(s_A²/s_B² − 1)   100 (s_A²/s_B²)(z_A² − z_B²)
==================== ==========================================================

References
----------
van der Vaart (1998), Asymptotic Statistics, chapter 3.
"""

import math
from typing import Any

import numpy as np

from causalkit.metrics.measure import as_values, spread
from causalkit.typing import Floats


def squared_deviations(error: Any) -> Floats:
    """Squares of z = (e − ē)/s, ``(R,)``; NaN where they do not tell how far s may err.

    That is so where their variance is none, as of two replications: zero would claim certainty.
    """
    e = as_values("error", error)
    s = spread(e)
    if not s > 0.0:
        return np.full(e.size, np.nan)
    # In units of s, so that no fourth power can overflow or vanish.
    squares = np.square((e - e.mean()) / s)
    return squares if float(np.mean(squares**2)) > 1.0 else np.full(e.size, np.nan)


def of_spread(error: Any) -> Floats:
    """Of the empirical SE, ``(R,)``; zero where errors do not vary."""
    s = spread(as_values("error", error))
    if s == 0.0:
        return np.zeros(np.shape(error)[0])
    return s / 2.0 * (squared_deviations(error) - 1.0)


def of_root(values: Any) -> Floats:
    """Of the root of the mean square, ``(R,)``: RMSE of errors, model SE of standard errors."""
    squares = np.square(as_values("values", values))
    if not squares.any():
        return squares
    return np.asarray((squares - squares.mean()) / (2.0 * math.sqrt(squares.mean())))


def of_se_ratio(error: Any, std_error: Any) -> Floats:
    """Of ModSE/EmpSE, ``(R,)``."""
    variances = np.square(as_values("std_error", std_error))
    if not variances.any():
        return variances
    s = spread(as_values("error", error))
    ratio = math.sqrt(variances.mean()) / s if s > 0.0 else math.nan
    return np.asarray(ratio / 2.0 * (variances / variances.mean() - squared_deviations(error)))


def of_percent(error: Any, std_error: Any) -> Floats:
    """Of 100(ModSE/EmpSE − 1), ``(R,)``."""
    return 100.0 * of_se_ratio(error, std_error)


def of_standardised_bias(error: Any) -> Floats:
    """Of ē/s, ``(R,)``."""
    e, squares = as_values("error", error), squared_deviations(error)
    s = spread(e)
    if not s > 0.0:
        return squares
    b = float(e.mean()) / s
    return np.asarray((e - e.mean()) / s - b / 2.0 * (squares - 1.0))


def of_variance_ratio(error_a: Any, error_b: Any) -> Floats:
    """Of 100(s_A²/s_B² − 1), ``(R,)``."""
    ratio = (spread(as_values("error_a", error_a)) / spread(as_values("error_b", error_b))) ** 2
    return 100.0 * ratio * (squared_deviations(error_a) - squared_deviations(error_b))


def mcse_of(influence: Floats, *, otherwise: float) -> float:
    """sd(ψ)/√R; another formula's value where there is no ψ."""
    found = spread(influence) / math.sqrt(influence.size) if influence.size else math.nan
    return otherwise if math.isnan(found) else found
