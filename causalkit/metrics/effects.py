"""Errors of effect functions in one fit: over units, over treatments, over doses.

Each is one number per replication; ``mean_of`` summarises them over replications.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.metrics.intervals import covered
from causalkit.metrics.measure import as_numbers, as_values, check_together, is_constant
from causalkit.typing import Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """Line of doubly robust scores on predicted effects: 0 and 1 if predictions are calibrated.

    Attributes
    ----------
    intercept : float
        In units of the effect, at a predicted effect of zero.
    slope : float
        Change of the mean score per unit of predicted effect.
    """

    intercept: float
    slope: float


def pehe(effect_hat: Any, effect: Any, *, normalised: bool = False) -> float:
    """Root mean squared error of unit-level effects, √mean(τ̂ − τ)².

    Parameters
    ----------
    effect_hat, effect : (n,) arrays
        Predicted and true effects.
    normalised : bool
        Divide by the standard deviation (divisor n) of true effects, so that predicting their
        mean scores 1. NaN if they do not vary.

    Raises
    ------
    ArgumentError
        If lengths differ, there is no unit, or a value is not finite.

    References
    ----------
    Hill (2011), J. Comp. Graph. Statistics 20:217.

    Examples
    --------
    >>> pehe([1.0, 2.0, 0.0], [4.0, 5.0, 3.0])
    3.0
    """
    hat, true = _pair(effect_hat, effect)
    error = math.sqrt(float(np.mean((hat - true) ** 2)))
    if not normalised:
        return error
    return math.nan if is_constant(true) else error / float(true.std())


def ate_error(effect_hat: Any, effect: Any) -> float:
    """Absolute error of the mean effect, |mean τ̂ − mean τ|, known as ε_ATE.

    Parameters
    ----------
    effect_hat, effect : (n,) arrays
        Predicted and true effects.

    Raises
    ------
    ArgumentError
        If lengths differ, there is no unit, or a value is not finite.

    References
    ----------
    Shalit, Johansson & Sontag (2017), ICML, section 5.

    Examples
    --------
    >>> ate_error([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    return abs(cate_bias(effect_hat, effect))


def cate_bias(effect_hat: Any, effect: Any) -> float:
    """Mean over units of predicted minus true effect."""
    hat, true = _pair(effect_hat, effect)
    return float(np.mean(hat - true))


def cate_correlation(effect_hat: Any, effect: Any) -> float:
    """Pearson correlation of predicted and true effects; NaN if either does not vary."""
    hat, true = _pair(effect_hat, effect)
    if is_constant(hat) or is_constant(true):
        return math.nan
    a, b = (hat - hat.mean()) / hat.std(), (true - true.mean()) / true.std()
    return float(np.mean(a * b))


def cate_coverage(effect: Any, low: Any, high: Any) -> float:
    """Share of units whose pointwise interval holds their true effect.

    Parameters
    ----------
    effect, low, high : (n,) arrays
        True effects and interval bounds.
    """
    inside = covered(effect, low, high)
    return float(inside.mean()) if inside.size else math.nan


def calibration(score: Any, effect_hat: Any, *, weights: Any = None) -> Calibration:
    """Least-squares line of doubly robust scores on predicted effects.

    Parameters
    ----------
    score : (n,) array
        Doubly robust scores of units whose data did not train ``effect_hat``.
    effect_hat : (n,) array
        Predicted effects. If they do not vary, the slope is NaN and so is the intercept.
    weights : (n,) array, optional
        Sampling weights.

    Raises
    ------
    ArgumentError
        If lengths differ, a value is not finite, or weights are negative or all zero.

    References
    ----------
    Chernozhukov, Demirer, Duflo & Fernández-Val (2025), Econometrica 93:1121, section 3.
    """
    hat, gamma = _pair(effect_hat, score)
    w = _weights(weights, hat.size)
    if is_constant(hat[w > 0]):
        return Calibration(math.nan, math.nan)
    x_bar, y_bar = float(w @ hat), float(w @ gamma)
    slope = float(w @ ((hat - x_bar) * (gamma - y_bar))) / float(w @ (hat - x_bar) ** 2)
    return Calibration(y_bar - slope * x_bar, slope)


def policy_regret(chosen: Any, mean_outcomes: Any) -> float:
    """Mean outcome lost against the best arm of every unit, max_a μ(a) − μ(chosen).

    Parameters
    ----------
    chosen : (n,) integer array
        Arm that the policy assigns, a column of ``mean_outcomes``.
    mean_outcomes : (n, k) array
        True mean outcome of each unit under each arm, costs deducted; larger is better.

    Raises
    ------
    ArgumentError
        If shapes disagree or an arm has no column.
    """
    mu = as_table("mean_outcomes", mean_outcomes)
    arms = np.asarray(chosen)
    if arms.shape != (mu.shape[0],) or arms.dtype.kind not in "iub":
        raise ArgumentError(
            f"chosen must hold one whole number for each of {mu.shape[0]} units, got shape "
            f"{arms.shape} of {arms.dtype}."
        )
    arms = arms.astype(np.int64)
    if arms.min() < 0 or arms.max() >= mu.shape[1]:
        raise ArgumentError(
            f"chosen must name one of {mu.shape[1]} arms by 0 to {mu.shape[1] - 1}, got values "
            f"from {arms.min()} to {arms.max()}."
        )
    return float(np.mean(mu.max(axis=1) - mu[np.arange(arms.size), arms]))


def pair_pehe(outcomes_hat: Any, outcomes: Any, *, propensity: Any = None) -> float:
    """Root mean squared error of the contrasts between every pair of treatments.

    The mean runs over units and over the k(k − 1)/2 unordered pairs, weighted by the product of
    the two propensities if these are given, the weights of all pairs of all units summing to
    one. Other normalisations of the weights are in use under similar names, so compare
    with published numbers only after checking theirs.

    Parameters
    ----------
    outcomes_hat, outcomes : (n, k) arrays
        Predicted and true mean outcomes under each treatment (of each unit: the columns may
        stand for different treatments in different rows, such as its most likely ones).
    propensity : (n, k) array, optional
        Probability of each treatment given the unit's covariates.

    Raises
    ------
    ArgumentError
        If shapes differ, there are fewer than two treatments, or weights are negative or all
        zero.
    """
    hat, true = as_table("outcomes_hat", outcomes_hat), as_table("outcomes", outcomes)
    if hat.shape != true.shape or true.shape[1] < 2:
        raise ArgumentError(
            "predicted and true outcomes need one shape with at least two treatments, got "
            f"{hat.shape} and {true.shape}."
        )
    weights = np.ones(true.shape) if propensity is None else as_table("propensity", propensity)
    if weights.shape != true.shape or (weights < 0).any():
        raise ArgumentError(
            f"propensity must be nonnegative and of shape {true.shape}, got {weights.shape} with "
            f"smallest value {weights.min()}."
        )
    error = hat - true
    total = weight = 0.0
    for a, b in combinations(range(true.shape[1]), 2):
        w = weights[:, a] * weights[:, b]
        total += float(w @ (error[:, a] - error[:, b]) ** 2)
        weight += float(w.sum())
    if not weight > 0.0:
        raise ArgumentError("no pair of treatments has positive probability in any unit.")
    return math.sqrt(total / weight)


def dose_response_ise(
    curve_hat: Any, curve: Any, *, dose: Any, dose_range: tuple[float, float], weight: Any
) -> float:
    """Integrated squared error ∫ (m̂(t) − m(t))² w(t) dt of a dose-response curve.

    The integral is over the declared range, by the trapezoidal rule on the given doses, with
    the error and the weight interpolated linearly at the ends.

    Parameters
    ----------
    curve_hat, curve : (m,) arrays
        Estimated and true mean outcome at each dose.
    dose : (m,) array
        Increasing doses that reach both ends of ``dose_range``.
    dose_range : (float, float)
        Doses between which the curve is judged.
    weight : (m,) array or "uniform"
        w at each dose: a density of doses, or ones for the plain integral. ``"uniform"`` is the
        density 1/(high − low), which makes the result a mean squared error.

    Raises
    ------
    ArgumentError
        If doses do not increase, do not reach the ends of the range, lengths differ, or weights
        are negative.
    """
    hat, true = _pair(curve_hat, curve)
    t = as_values("dose", dose)
    ends = as_values("dose_range", dose_range)
    if ends.size != 2:
        raise ArgumentError(f"dose_range must be two numbers, (low, high), got {dose_range!r}.")
    low, high = ends.tolist()
    if t.size < 2 or (np.diff(t) <= 0).any():
        raise ArgumentError("dose must hold at least two values that increase strictly.")
    if not t[0] <= low < high <= t[-1]:
        raise ArgumentError(
            f"the range from {low} to {high} must lie within the doses, {t[0]} to {t[-1]}; "
            "evaluate the curves out to its ends."
        )
    if isinstance(weight, str):
        if weight != "uniform":
            raise ArgumentError(f"weight must be an array or 'uniform', got {weight!r}.")
        w = np.full(t.size, 1.0 / (high - low))
    else:
        w = as_values("weight", weight)
    check_together(dose=t, curve=true, weight=w)
    if (w < 0).any():
        raise ArgumentError(f"weight is negative at {int((w < 0).sum())} doses.")
    grid = np.concatenate([[low], t[(t > low) & (t < high)], [high]])
    values = np.interp(grid, t, hat - true) ** 2 * np.interp(grid, t, w)
    return float(np.sum(np.diff(grid) * (values[1:] + values[:-1])) / 2.0)


def _pair(hat: Any, true: Any) -> tuple[Floats, Floats]:
    """Two arrays of one number per unit, of one length."""
    a, b = as_values("the first array", hat), as_values("the second array", true)
    check_together(first=a, second=b)
    if not a.size:
        raise ArgumentError("there is no unit to average over.")
    return a, b


def as_table(name: str, values: Any) -> Floats:
    """Finite numbers of shape ``(n, k)``."""
    array = as_numbers(name, values)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ArgumentError(
            f"{name} must hold finite numbers, a row per unit and a column per treatment; got "
            f"shape {array.shape}."
        )
    return array


def _weights(weights: Any, n: int) -> Floats:
    """Weights that sum to one."""
    if weights is None:
        return np.full(n, 1.0 / n)
    w = as_values("weights", weights)
    if w.size != n or (w < 0).any() or not w.sum() > 0:
        raise ArgumentError(
            f"weights must be {n} nonnegative numbers, not all zero; got {w.size} numbers with "
            f"sum {w.sum()}."
        )
    return np.asarray(w / w.sum())
