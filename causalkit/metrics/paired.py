"""Comparison of two estimators that saw the same data in every replication.

Measures of estimators in one cell are correlated, so the MCSE of a difference is not made of
their two MCSEs; rankings rest on the differences below.
"""

import math
from typing import Any

import numpy as np

from causalkit.metrics.influence import mcse_of, of_variance_ratio
from causalkit.metrics.measure import Measure, as_values, check_together, mean_of, spread


def paired_difference(a: Any, b: Any) -> Measure:
    """Mean of a − b over replications; MCSE sd(a − b)/√R.

    Parameters
    ----------
    a, b : (R,) arrays
        What each replication contributes to any measure that is a mean over replications
        (``MeasureSpec.terms``): errors, squared errors, covered or not, widths, seconds.

    Raises
    ------
    ArgumentError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> paired_difference([1.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]).value
    0.5
    """
    x, y = as_values("a", a), as_values("b", b)
    check_together(a=x, b=y)
    return mean_of(x - y)


def relative_precision(error_a: Any, error_b: Any) -> Measure:
    """Per cent by which B is more precise than A, 100((EmpSE_A/EmpSE_B)² − 1).

    MCSE 100 r √(Var(z_A² − z_B²)/R), r = (EmpSE_A/EmpSE_B)², with z the errors less their mean, in
    units of their spread: right for any errors. For jointly normal ones with correlation ρ it is
    the published 200 r √((1 − ρ²)/(R − 1)), which stands in where squares have no variance.

    Parameters
    ----------
    error_a, error_b : (R,) arrays
        Estimate minus truth, in the same replications.

    Returns
    -------
    Measure
        NaN if B has no spread or there are fewer than two replications.

    Raises
    ------
    ArgumentError
        If lengths differ or an error is not finite.

    References
    ----------
    Morris, White & Crowther (2019), table 6, for normal errors; delta method, as
    :mod:`causalkit.metrics.influence` has it.
    """
    a, b = as_values("error_a", error_a), as_values("error_b", error_b)
    check_together(error_a=a, error_b=b)
    s_a, s_b = spread(a), spread(b)
    if not s_b > 0.0:
        return Measure(math.nan, math.nan)
    ratio = (s_a / s_b) ** 2
    if s_a == 0.0:
        return Measure(-100.0, 0.0)
    # Scaled before the product, so that neither tiny nor huge units lose it.
    rho = float(np.mean((a - a.mean()) / s_a * ((b - b.mean()) / s_b))) * a.size / (a.size - 1)
    normal = 200.0 * ratio * math.sqrt(max(0.0, 1.0 - rho**2) / (a.size - 1))
    mcse = mcse_of(of_variance_ratio(a, b), otherwise=normal)
    return Measure(100.0 * (ratio - 1.0), mcse)
