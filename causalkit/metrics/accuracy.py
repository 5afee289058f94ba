"""Bias, spread and standard errors: measures of errors e = estimate − truth.

Errors, not estimates, enter throughout: with a truth that differs between replications the
spread of estimates is not the spread of errors, and with a constant truth they are equal.
"""

import math
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_choice
from causalkit.metrics.influence import mcse_of, of_percent, of_standardised_bias
from causalkit.metrics.measure import (
    Measure,
    as_values,
    check_together,
    mean_of,
    median_of,
    spread,
)
from causalkit.typing import Floats

SE_METHODS = ("robust", "normal")
_NOTHING = Measure(math.nan, math.nan)


def bias(error: Any) -> Measure:
    """Mean error, in units of the estimand; MCSE s/√R.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.

    Raises
    ------
    ArgumentError
        If an error is not finite.

    References
    ----------
    Morris, White & Crowther (2019), Statistics in Medicine 38:2074, table 6.
    """
    return mean_of(as_values("error", error))


def relative_errors(error: Any, truth: Any) -> Floats:
    """Errors as a share of the truth of their replication, ``(R,)``.

    Raises
    ------
    ArgumentError
        If a truth is zero.
    """
    e, t = as_values("error", error), as_values("truth", truth)
    check_together(error=e, truth=t)
    if not t.all():
        raise ArgumentError(
            f"truth is 0 in {int((t == 0).sum())} of {t.size} replications: no error is relative "
            "to nothing; use bias or standardised_bias."
        )
    return e / t


def relative_bias(error: Any, truth: Any) -> Measure:
    """Mean of error/truth (a share, not a percentage); MCSE sd(e/truth)/√R.

    Parameters
    ----------
    error, truth : (R,) arrays
        In units of the estimand.

    Raises
    ------
    ArgumentError
        If a truth is zero.

    References
    ----------
    Morris, White & Crowther (2019), section 5.2.
    """
    return mean_of(relative_errors(error, truth))


def standardised_bias(error: Any) -> Measure:
    """Bias in units of the empirical SE, b = ē/s.

    MCSE √((1 − bγ + b²(κ − 1)/4)/R), with skewness γ = m3/s³ and kurtosis κ = m4/s⁴ of the errors,
    right for any of them. For normal errors it is √((1 + b²/2)/R), which stands in where κ ≤ 1.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth. Without any spread the measure is NaN.

    References
    ----------
    Delta method; see :mod:`causalkit.metrics.influence`.
    """
    e = as_values("error", error)
    s = spread(e)
    if not s > 0.0:
        return _NOTHING
    b = float(e.mean()) / s
    normal = math.sqrt(1.0 / e.size + b**2 / (2.0 * (e.size - 1)))
    return Measure(b, mcse_of(of_standardised_bias(e), otherwise=normal))


def median_bias(error: Any, *, rng: np.random.Generator) -> Measure:
    """Median error, for estimators without moments; MCSE by the bootstrap.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.
    rng : Generator
        Source of the bootstrap; see :func:`~causalkit.metrics.measure.quantile_of`.
    """
    return median_of(as_values("error", error), rng=rng)


def empirical_se(error: Any, *, method: str = "robust") -> Measure:
    """Standard deviation s of errors over replications.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.
    method : {"robust", "normal"}
        MCSE. ``"robust"``: √((m4 − s⁴)/(4 R s²)) with the fourth central moment m4, right for
        any tails. ``"normal"``: s/√(2(R − 1)), far too small for heavy tails. The robust form
        falls back on it where m4 ≤ s⁴, as with two replications: zero would claim certainty.

    Raises
    ------
    ArgumentError
        If an error is not finite or the method unknown.

    References
    ----------
    Morris, White & Crowther (2019), table 6, for the normal form; delta method for the other.

    Examples
    --------
    >>> round(empirical_se([1.0, 2.0, 3.0, 4.0]).value, 4)
    1.291
    """
    check_choice("method of the empirical SE", method, SE_METHODS)
    e = as_values("error", error)
    s = spread(e)
    if math.isnan(s) or s == 0.0:
        return Measure(s, s)
    normal = s / math.sqrt(2.0 * (e.size - 1))
    # In units of s, so that no fourth power can overflow or vanish.
    excess = float(np.mean(((e - e.mean()) / s) ** 4)) - 1.0
    if method == "normal" or excess <= 0.0:
        return Measure(s, normal)
    return Measure(s, s * math.sqrt(excess / (4.0 * e.size)))


def mse(error: Any) -> Measure:
    """Mean squared error; MCSE √(Σ(e² − MSE)²/(R(R − 1))).

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.

    References
    ----------
    Morris, White & Crowther (2019), table 6.
    """
    return mean_of(as_values("error", error) ** 2)


def rmse(error: Any) -> Measure:
    """Root mean squared error; MCSE of the MSE divided by 2 RMSE.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.
    """
    return root_of(mse(error))


def root_of(measure: Measure) -> Measure:
    """Square root of a mean of squares, its MCSE by the delta method."""
    root = math.sqrt(measure.value)
    return Measure(root, measure.mcse / (2.0 * root) if root > 0.0 else measure.mcse)


def mae(error: Any) -> Measure:
    """Mean absolute error; MCSE sd|e|/√R.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth.
    """
    return mean_of(np.abs(as_values("error", error)))


def model_se(std_error: Any) -> Measure:
    """Root of the mean reported variance; MCSE √(Var(V)/(4 R ModSE²)), V = std_error².

    Parameters
    ----------
    std_error : (R,) array
        Reported standard errors.

    Raises
    ------
    ArgumentError
        If a standard error is negative or not finite.

    References
    ----------
    Morris, White & Crowther (2019), table 6, as the delta method gives it: the denominator
    holds the square of ModSE, which a widely read web page leaves out.
    """
    se = as_values("std_error", std_error)
    if (se < 0).any():
        raise ArgumentError(
            f"std_error is negative in {int((se < 0).sum())} of {se.size} replications."
        )
    return root_of(mean_of(se**2))


def relative_se_error(error: Any, std_error: Any) -> Measure:
    """Per cent by which the model SE misses the empirical SE, 100(ModSE/EmpSE − 1).

    MCSE 100 (ModSE/EmpSE) √((Var(V)/V̄² + κ − 1 − 2 Cov(V, (e − ē)²)/(V̄ s²))/(4R)), with
    V = std_error² and kurtosis κ = m4/s⁴ of the errors: right for any errors, and for variances
    that are large where errors are. For normal errors with independent variances it is the
    published 100 (ModSE/EmpSE) √(Var(V)/(4 R V̄²) + 1/(2(R − 1))), which stands in where κ ≤ 1;
    with heavier tails that is too small (by half for Student's t with 5 degrees of freedom).

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth. Without any spread the measure is NaN.
    std_error : (R,) array
        Reported standard errors.

    References
    ----------
    Morris, White & Crowther (2019), table 6, for normal errors; delta method, as
    :mod:`causalkit.metrics.influence` has it.
    """
    e = as_values("error", error)
    reported = model_se(std_error)
    check_together(error=e, std_error=np.asarray(std_error))
    s = spread(e)
    if not s > 0.0:
        return _NOTHING
    ratio = reported.value / s
    own = reported.mcse / s
    normal = 100.0 * math.hypot(own, ratio / math.sqrt(2.0 * (e.size - 1)))
    return Measure(100.0 * (ratio - 1.0), mcse_of(of_percent(e, std_error), otherwise=normal))


def se_ratio(error: Any, std_error: Any) -> Measure:
    """Model SE over empirical SE, ModSE/EmpSE; its MCSE is that of :func:`relative_se_error`/100.

    Parameters are those of :func:`relative_se_error`.

    References
    ----------
    "SE/SD" of Clarke & Polselli (2026); Morris, White & Crowther (2019), table 6.
    """
    percent = relative_se_error(error, std_error)
    return Measure(1.0 + percent.value / 100.0, percent.mcse / 100.0)
