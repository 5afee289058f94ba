"""Errors of dose-response curves and of the doses that they recommend, in one fit.

Each is one number per replication; ``mean_of`` summarises them over replications.
"""

import math
from typing import Any, Literal

import numpy as np

from causalkit.errors import ArgumentError, check_choice
from causalkit.metrics.effects import dose_response_ise
from causalkit.metrics.measure import as_numbers, as_values, check_together
from causalkit.typing import Floats, Ints

POPULATIONS = ("test", "all")


def amse(
    outcomes_hat: Any,
    outcomes: Any,
    *,
    population: Literal["test", "all"] = "test",
    test: Any = None,
) -> float:
    r"""Mean squared error of the average dose-response curve at the doses that test units had.

    .. math:: \frac{1}{m} \sum_j (\hat ψ(t_j) - ψ(t_j))^2

    with :math:`\hat ψ(t)` the mean prediction over test units. ``population="test"`` takes the true
    curve ψ over the same units, and then the true model scores 0. ``"all"`` takes it over all
    units, as the released code of VCNet and TransTEE does, for comparison with their numbers; even
    the true model then has an error, which depends on the split.

    Parameters
    ----------
    outcomes_hat : (n_test, m) array
        Predicted outcome of each test unit at each of m doses (the observed doses of test units).
        Curves that are averaged already have shape (m,).
    outcomes : (n, m) array
        True mean outcomes at these doses, of all units; of test units alone if ``test`` is None.
    population : {"test", "all"}
        Over whom the true curve is averaged.
    test : (n,) bool array or array of positions, optional
        Test units among the rows of ``outcomes``.

    Raises
    ------
    ArgumentError
        If shapes disagree, or a value is not finite.

    References
    ----------
    Nie, Ye, Liu & Nicolae (2021), ICLR, section 5.

    Examples
    --------
    >>> amse([[1.0, 2.0]], [[1.0, 2.0], [3.0, 0.0]], test=[0])
    0.0
    >>> amse([[1.0, 2.0]], [[1.0, 2.0], [3.0, 0.0]], population="all")
    1.0
    """
    check_choice("population", population, POPULATIONS)
    hat, true = _curves("outcomes_hat", outcomes_hat), _curves("outcomes", outcomes)
    if population == "test" and test is not None:
        true = true[_positions(test, len(true))]
    if population == "test" and true.shape != hat.shape:
        raise ArgumentError(
            f"outcomes must hold the test units of outcomes_hat, {hat.shape}, got {true.shape}; "
            "say with test=... which rows they are."
        )
    a, b = (values.mean(axis=0) if values.ndim == 2 else values for values in (hat, true))
    check_together(outcomes_hat=a, outcomes=b)
    return float(np.mean((a - b) ** 2))


def amise(curve_hat: Any, curve: Any, *, dose: Any, density: Any, floor: float = 0.0) -> float:
    r"""Squared error of an average dose-response curve, integrated over the density of the dose.

    .. math::

        \int (\hat ψ(t) - ψ(t))^2 w(t) dt \Big/ \int w(t) dt, \quad w(t) = p(t) 1\{p(t) \ge floor\}

    by the trapezoidal rule. Doses that hardly anybody had are left out by ``floor``; the division
    makes the result a mean over the rest, and changes nothing where p is a density on the range of
    the doses and nothing is left out.

    Parameters
    ----------
    curve_hat, curve : (m,) arrays
        Estimated and true mean outcome at each dose.
    dose : (m,) array
        Increasing.
    density : (m,) array
        Density p of the dose.
    floor : float, default 0
        Least density that counts.

    Raises
    ------
    ArgumentError
        If doses do not increase, lengths differ, a density is negative, or none reaches the floor.

    References
    ----------
    Kennedy, Ma, McHugh & Small (2017), JRSS B 79:1229, section 4; Nie et al. (2021), section 5.
    """
    t, p = as_values("dose", dose), as_values("density", density)
    if not floor >= 0.0:
        raise ArgumentError(f"floor must not be negative, got {floor!r}.")
    check_together(dose=t, density=p)
    if t.size < 2:
        raise ArgumentError(f"dose must hold at least two values, got {t.size}.")
    weight = np.where(p >= floor, p, 0.0)
    if not weight.any():
        raise ArgumentError(f"no dose has a density of at least {floor}; the largest is {p.max()}.")
    span = (float(t[0]), float(t[-1]))
    error = dose_response_ise(curve_hat, curve, dose=t, dose_range=span, weight=weight)
    return error / float(np.trapezoid(weight, t))


def root_mise(outcomes_hat: Any, outcomes: Any, *, dose: Any) -> float:
    r"""Root of the mean integrated squared error of the curves of units.

    .. math:: \left[ \frac{1}{nK} \sum_i \sum_k \int (\hat y_{ik}(u) - y_{ik}(u))^2 du
        \right]^{1/2}

    over doses u that are a share, from 0 to 1, of the range given; by the trapezoidal rule.

    Parameters
    ----------
    outcomes_hat, outcomes : (n, K, m) or (n, m) arrays
        Predicted and true mean outcome of each unit, in each of K arms, at each dose.
    dose : (m,) array
        Increasing, the same for all units and arms.

    Raises
    ------
    ArgumentError
        If shapes disagree, doses do not increase, or a value is not finite.

    References
    ----------
    Silva (2016), NeurIPS; Schwab et al. (2020), AAAI 34, section 4.
    """
    hat, true = _units(outcomes_hat, outcomes)
    t = as_values("dose", dose)
    if t.size != true.shape[2] or t.size < 2 or (np.diff(t) <= 0).any():
        raise ArgumentError(
            f"dose must hold {true.shape[2]} values that increase strictly, at least two; got "
            f"{t.size}."
        )
    share = (t - t[0]) / (t[-1] - t[0])
    return math.sqrt(float(np.trapezoid((hat - true) ** 2, share, axis=2).mean()))


def dose_policy_error(outcomes_hat: Any, outcomes: Any, *, best: Any = None) -> float:
    r"""Root mean squared loss of outcome by taking the dose that the predicted curve likes best.

    .. math:: \left[ \frac{1}{nK} \sum_i \sum_k (y_{ik}(u^*_{ik}) - y_{ik}(\hat u_{ik}))^2
        \right]^{1/2}

    with u* the best and û the predicted best dose; both terms are true outcomes.

    Parameters
    ----------
    outcomes_hat, outcomes : (n, K, m) or (n, m) arrays
        Predicted and true mean outcome of each unit, in each of K arms, at each dose of a grid,
        larger being better.
    best : (n, K) array, optional
        True outcome at the truly best dose, where that lies between doses of the grid; by default
        the best on the grid.

    Raises
    ------
    ArgumentError
        If shapes disagree, or a value is not finite.

    References
    ----------
    Schwab et al. (2020), AAAI 34, section 4; Bica et al. (2020), NeurIPS 33, section 5.
    """
    hat, true = _units(outcomes_hat, outcomes)
    chosen = np.take_along_axis(true, hat.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    return root_squared_loss(chosen, _best(best, true))


def policy_error(outcomes_hat: Any, outcomes: Any, *, best: Any = None) -> float:
    r"""Root mean squared loss of outcome by the predicted best arm at its predicted best dose.

    .. math:: \left[ \frac{1}{n} \sum_i (y_i(best) - y_i(predicted\ best))^2 \right]^{1/2}

    Both terms are true outcomes. The released code of SCIGAN, DRNet and TransTEE puts the
    predicted outcome in the place of the second and picks the arm by true outcomes; its numbers
    are of something else.

    Parameters
    ----------
    outcomes_hat, outcomes : (n, K, m) arrays
        Predicted and true mean outcome of each unit, in each of K arms, at each dose of a grid,
        larger being better.
    best : (n, K) array, optional
        True outcome of each arm at its truly best dose; by default the best on the grid.

    Raises
    ------
    ArgumentError
        If shapes disagree, or a value is not finite.

    References
    ----------
    Schwab et al. (2020), AAAI 34, section 4.
    """
    hat, true = _units(outcomes_hat, outcomes)
    flat = hat.reshape(len(hat), -1).argmax(axis=1)
    chosen = true.reshape(len(true), -1)[np.arange(len(true)), flat]
    return root_squared_loss(chosen, _best(best, true).max(axis=1))


def root_squared_loss(chosen: Any, best: Any) -> float:
    """Root mean squared difference of two true outcomes, of what was chosen and what is best.

    For doses that were found by other means than a grid: evaluate the truth at both, and compare.

    Parameters
    ----------
    chosen, best : arrays of one shape
        True mean outcomes.

    Raises
    ------
    ArgumentError
        If shapes differ or a value is not finite.
    """
    a, b = as_numbers("chosen", chosen), as_numbers("best", best)
    if a.shape != b.shape or not a.size or not (np.isfinite(a) & np.isfinite(b)).all():
        raise ArgumentError(
            f"chosen and best must be finite and of one shape, got {a.shape} and {b.shape}."
        )
    return math.sqrt(float(np.mean((b - a) ** 2)))


def _positions(test: Any, n: int) -> Ints:
    """Rows that a mask or positions name."""
    rows = np.asarray(test)
    if rows.dtype.kind == "b" and rows.shape == (n,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min(initial=0) < 0:
        raise ArgumentError(
            f"test must be a mask of {n} rows, or positions from 0 to {n - 1}, got {rows.dtype} "
            f"of shape {rows.shape}."
        )
    if rows.max(initial=0) >= n:
        raise ArgumentError(f"test names row {rows.max()}; outcomes has rows 0 to {n - 1}.")
    return rows


def _curves(name: str, values: Any) -> Floats:
    """Finite numbers ``(n, m)`` or ``(m,)``."""
    array = as_numbers(name, values)
    if array.ndim not in (1, 2) or not array.size or not np.isfinite(array).all():
        raise ArgumentError(
            f"{name} must hold finite numbers, a column per dose and a row per unit; got shape "
            f"{array.shape}."
        )
    return array


def _units(outcomes_hat: Any, outcomes: Any) -> tuple[Floats, Floats]:
    """Predicted and true outcomes ``(n, K, m)``."""
    hat, true = as_numbers("outcomes_hat", outcomes_hat), as_numbers("outcomes", outcomes)
    finite = np.isfinite(hat).all() and np.isfinite(true).all()
    if hat.shape != true.shape or true.ndim not in (2, 3) or not true.size or not finite:
        raise ArgumentError(
            "predicted and true outcomes must be finite and of one shape, (units, doses) or "
            f"(units, arms, doses); got {hat.shape} and {true.shape}."
        )
    return (hat, true) if true.ndim == 3 else (hat[:, None, :], true[:, None, :])


def _best(best: Any, true: Floats) -> Floats:
    """True outcome of each unit and arm at its best dose ``(n, K)``."""
    if best is None:
        return np.asarray(true.max(axis=2))
    given = as_numbers("best", best)
    given = given[:, None] if given.ndim == 1 else given
    if given.shape != true.shape[:2]:
        raise ArgumentError(
            f"best must hold a number for each unit and arm, {true.shape[:2]}, got {given.shape}."
        )
    return given
