"""Coverage, misses, tests and widths: measures of intervals and p-values."""

from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_count, check_level
from causalkit.metrics.measure import (
    Measure,
    as_values,
    check_together,
    mean_of,
    median_of,
    share_of,
)
from causalkit.typing import Bools, Floats


def coverage(truth: Any, low: Any, high: Any) -> Measure:
    """Share of intervals that hold the truth; bounds are inside, and may be infinite.

    Parameters
    ----------
    truth, low, high : (R,) arrays
        In units of the estimand.

    Returns
    -------
    Measure
        MCSE √(p(1 − p)/R); ``low`` and ``high`` are Wilson's 95 % interval.

    Raises
    ------
    ArgumentError
        If a truth or bound is NaN, or an interval ends before it begins.

    References
    ----------
    Morris, White & Crowther (2019), table 6.

    Examples
    --------
    >>> coverage([0.0, 0.0, 0.0, 0.0], [-1, -1, 1, -1], [1, 1, 2, 0]).value
    0.75
    """
    return _share(covered(truth, low, high))


def bias_eliminated_coverage(estimate: Any, truth: Any, low: Any, high: Any) -> Measure:
    """Coverage of truth + mean error: what is lost by wrong widths, not by bias.

    The MCSE takes the mean error to be known.

    Parameters
    ----------
    estimate, truth, low, high : (R,) arrays
        In units of the estimand.

    References
    ----------
    Morris, White & Crowther (2019), table 6.
    """
    return _share(bias_eliminated_covered(estimate, truth, low, high))


def lower_miss(truth: Any, low: Any, high: Any) -> Measure:
    """Share of intervals that lie wholly above the truth, 1{truth < low}."""
    return _share(missed_below(truth, low, high))


def upper_miss(truth: Any, low: Any, high: Any) -> Measure:
    """Share of intervals that lie wholly below the truth, 1{truth > high}."""
    return _share(missed_above(truth, low, high))


def rejection(p_value: Any, *, alpha: float = 0.05) -> Measure:
    """Share of tests with p < alpha: power, or the type I error where the null is true.

    Parameters
    ----------
    p_value : (R,) array
        Between 0 and 1.
    alpha : float
        Nominal size.

    Raises
    ------
    ArgumentError
        If a p-value is outside [0, 1] or NaN.
    """
    return _share(rejected(p_value, alpha=alpha))


def failure_share(n_failed: int, n_planned: int) -> Measure:
    """Share of planned replications without a result."""
    check_count("n_failed", n_failed, least=0)
    check_count("n_planned", n_planned, least=0)
    return share_of(n_failed, n_planned)


def mean_width(low: Any, high: Any) -> Measure:
    """Mean width of intervals; infinite, with an MCSE of NaN, if one of them is unbounded."""
    return mean_of(widths(low, high))


def median_width(low: Any, high: Any, *, rng: np.random.Generator) -> Measure:
    """Median width of intervals, of use where some are unbounded; MCSE by the bootstrap."""
    return median_of(widths(low, high), rng=rng)


def interval_score(truth: Any, low: Any, high: Any, *, level: float = 0.95) -> Measure:
    """Mean of width + (2/α)(low − θ)₊ + (2/α)(θ − high)₊, α = 1 − level; smaller is better.

    Parameters
    ----------
    truth, low, high : (R,) arrays
        In units of the estimand.
    level : float
        Nominal level of the intervals.

    References
    ----------
    Gneiting & Raftery (2007), JASA 102:359, eq. 43.
    """
    return mean_of(interval_scores(truth, low, high, level=level))


# ---- what one replication contributes, for means over them and paired differences -------------


def covered(truth: Any, low: Any, high: Any) -> Bools:
    """Whether each interval holds the truth, ``(R,)``."""
    t, lo, hi = _against(truth, low, high)
    return np.asarray((lo <= t) & (t <= hi))


def bias_eliminated_covered(estimate: Any, truth: Any, low: Any, high: Any) -> Bools:
    """Whether each interval holds truth + mean error, ``(R,)``."""
    est, t = as_values("estimate", estimate), as_values("truth", truth)
    check_together(estimate=est, truth=t)
    return covered(t + (est - t).mean() if t.size else t, low, high)


def missed_below(truth: Any, low: Any, high: Any) -> Bools:
    """Whether each interval lies above the truth, ``(R,)``."""
    t, lo, _ = _against(truth, low, high)
    return np.asarray(t < lo)


def missed_above(truth: Any, low: Any, high: Any) -> Bools:
    """Whether each interval lies below the truth, ``(R,)``."""
    t, _, hi = _against(truth, low, high)
    return np.asarray(t > hi)


def rejected(p_value: Any, *, alpha: float = 0.05) -> Bools:
    """Whether each p-value is below alpha, ``(R,)``."""
    if not 0.0 < alpha < 1.0:
        raise ArgumentError(f"alpha must lie strictly between 0 and 1, got {alpha}.")
    p = as_values("p_value", p_value)
    if p.size and (p.min() < 0.0 or p.max() > 1.0):
        raise ArgumentError(
            f"p_value must lie between 0 and 1, got values from {p.min()} to {p.max()}."
        )
    return np.asarray(p < alpha)


def widths(low: Any, high: Any) -> Floats:
    """Width of each interval, ``(R,)``."""
    lo, hi = _bounds(low, high)
    return hi - lo


def interval_scores(truth: Any, low: Any, high: Any, *, level: float = 0.95) -> Floats:
    """Interval score of each replication, ``(R,)``."""
    t, lo, hi = _against(truth, low, high)
    penalty = 2.0 / (1.0 - check_level(level))
    return np.asarray(
        hi - lo + penalty * (np.maximum(lo - t, 0.0) + np.maximum(t - hi, 0.0)), dtype=np.float64
    )


def _share(event: Bools) -> Measure:
    """Share of replications with an event."""
    return share_of(int(event.sum()), event.size)


def _bounds(low: Any, high: Any) -> tuple[Floats, Floats]:
    """Interval bounds, checked to be in order."""
    lo, hi = as_values("low", low, infinite=True), as_values("high", high, infinite=True)
    check_together(low=lo, high=hi)
    # An interval that is one infinite point has no width, and comes from a swap or a bug too.
    bad = (lo > hi) | (np.isinf(lo) & (lo == hi))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ArgumentError(
            f"{int(bad.sum())} of {lo.size} intervals end before they begin (first: position "
            f"{first}, from {lo[first]} to {hi[first]}); pass the lower bound first."
        )
    return lo, hi


def _against(truth: Any, low: Any, high: Any) -> tuple[Floats, Floats, Floats]:
    """Truths and checked bounds, of one length."""
    t = as_values("truth", truth)
    lo, hi = _bounds(low, high)
    check_together(truth=t, low=lo)
    return t, lo, hi
