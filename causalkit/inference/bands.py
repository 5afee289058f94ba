"""Simultaneous confidence bands from draws of several estimates."""

from dataclasses import dataclass

import numpy as np

from causalkit.errors import ArgumentError, check_level
from causalkit.typing import Floats


@dataclass(frozen=True, slots=True)
class Band:
    """Intervals that hold all coefficients at once with the stated probability.

    Attributes
    ----------
    critical : float
        Standard errors on each side of the estimate.
    low, high : (k,) arrays
        Limits.
    p_values : (k,) array
        Of each coefficient being zero, adjusted for looking at all k (single step).
    level : float
    """

    critical: float
    low: Floats
    high: Floats
    p_values: Floats
    level: float


def simultaneous(
    estimates: Floats,
    std_errors: Floats,
    draws: Floats,
    *,
    level: float = 0.95,
    scale: Floats | None = None,
) -> Band:
    """Band from the largest absolute t-ratio of each draw.

    Parameters
    ----------
    estimates, std_errors : (k,) arrays
        θ̂ and the standard errors to report, with their small-sample factors.
    draws : (n_boot, k) array
        Draws of θ̂* − θ̂, from :func:`~causalkit.inference.bootstrap.multiplier_bootstrap`.
    level : float, default 0.95
        Probability that the band holds all coefficients.
    scale : (k,) array, optional
        Standard errors of the draws, by which each column is divided. Default: the root mean
        square of the draws. The reported standard errors would let their small-sample factors
        cancel out of the band.

    Returns
    -------
    Band

    Raises
    ------
    ArgumentError
        If shapes disagree, or there are too few draws for the level.

    Notes
    -----
    The critical value is the order statistic number ⌈level (n_boot + 1)⌉, so that zero is
    outside the interval of a coefficient exactly where its adjusted p-value,
    (1 + #{draws at least as large}) / (n_boot + 1), is at most 1 − level.

    References
    ----------
    Chernozhukov, Chetverikov & Kato (2013); Montiel Olea & Plagborg-Møller (2019).
    """
    check_level(level)
    if draws.ndim != 2 or estimates.shape != std_errors.shape or draws.shape[1:] != estimates.shape:
        raise ArgumentError(
            f"estimates {estimates.shape}, std_errors {std_errors.shape} and draws {draws.shape} "
            "do not belong together; expected (k,), (k,) and (n_boot, k)."
        )
    n_boot = draws.shape[0]
    spread = np.sqrt((draws**2).mean(axis=0)) if scale is None else scale
    largest = np.sort(_ratio(np.abs(draws), spread).max(axis=1))
    # Rounded: 0.95 * 20 is a rounding error above 19, which would take the next draw.
    rank = int(np.ceil(round(level * (n_boot + 1), 6)))
    if rank > n_boot:
        least = int(np.ceil(round(1.0 / (1.0 - level), 6))) - 1
        raise ArgumentError(
            f"{n_boot} draws cannot give a {100 * level:g} % band; draw {least} or more."
        )
    critical = float(largest[rank - 1])
    observed = _ratio(np.abs(estimates), std_errors)
    beyond = n_boot - np.searchsorted(largest, observed, side="left")
    return Band(
        critical=critical,
        low=estimates - critical * std_errors,
        high=estimates + critical * std_errors,
        p_values=(1.0 + beyond) / (n_boot + 1.0),
        level=level,
    )


def _ratio(values: Floats, scale: Floats) -> Floats:
    """Ratios, zero where both are zero: a coefficient without any spread decides nothing."""
    present = (scale > 0) | (values > 0)
    with np.errstate(divide="ignore"):
        return np.divide(values, scale, out=np.zeros(values.shape), where=present)
