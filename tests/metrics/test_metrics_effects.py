"""Errors of effect functions against hand arithmetic, statsmodels and closed-form integrals."""

import math

import numpy as np
import pytest
import statsmodels.api as sm

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    ate_error,
    calibration,
    cate_bias,
    cate_correlation,
    cate_coverage,
    dose_response_ise,
    mean_of,
    pair_pehe,
    pehe,
    policy_regret,
)

HAT = [1.0, 2.0, 0.5, 3.0, -1.0, 0.0, 2.5, 1.5, 4.0, 2.0, 1.0, 0.5]
TAU = [1.5, 1.0, 0.5, 2.0, 0.0, 0.5, 2.0, 2.5, 3.0, 2.0, 1.5, -0.5]
# Gaps -.5 1 0 1 -1 -.5 .5 -1 1 0 -.5 1: six ones and four halves, squared 7.


def test_pehe_of_twelve_units():
    assert pehe(HAT, TAU) == pytest.approx(math.sqrt(7 / 12))
    assert pehe(HAT, TAU, normalised=True) == pytest.approx(math.sqrt(7 / 12) / np.std(TAU))


def test_predicting_the_mean_effect_has_normalised_pehe_one():
    assert pehe([np.mean(TAU)] * 12, TAU, normalised=True) == pytest.approx(1.0)
    assert math.isnan(pehe(HAT, [1.0] * 12, normalised=True))
    assert math.isnan(pehe(HAT, [0.1] * 12, normalised=True))


def test_bias_and_correlation_of_effects():
    assert cate_bias(HAT, TAU) == pytest.approx(1.0 / 12)
    assert ate_error(HAT, TAU) == ate_error(TAU, HAT) == pytest.approx(1.0 / 12)
    assert ate_error([1.0, 5.0, 0.0], [2.0, 3.0, 1.0]) == 0.0
    assert cate_correlation(HAT, TAU) == pytest.approx(np.corrcoef(HAT, TAU)[0, 1])
    # The mean of twelve tenths is not a tenth in binary, so the spread is not quite zero.
    assert math.isnan(cate_correlation([0.1] * 12, TAU))


def test_pointwise_coverage_is_the_share_of_units():
    low = np.array(HAT) - 0.75
    high = np.array(HAT) + 0.75
    assert cate_coverage(TAU, low, high) == 6 / 12
    assert math.isnan(cate_coverage([], [], []))


def test_measures_of_one_fit_are_summarised_by_their_mean_over_replications():
    rng = np.random.default_rng(0)
    fits = [pehe(TAU + rng.normal(size=12), TAU) for _ in range(40)]
    assert mean_of(fits).mcse == pytest.approx(np.std(fits, ddof=1) / math.sqrt(40))


def test_calibration_is_the_line_of_least_squares():
    rng = np.random.default_rng(1)
    hat = rng.normal(size=60)
    score = 0.3 + 0.7 * hat + rng.normal(size=60)
    weights = rng.random(60)
    plain = sm.OLS(score, sm.add_constant(hat)).fit().params
    weighted = sm.WLS(score, sm.add_constant(hat), weights=weights).fit().params
    line = calibration(score, hat)
    assert (line.intercept, line.slope) == pytest.approx(tuple(plain), rel=1e-10)
    line = calibration(score, hat, weights=weights)
    assert (line.intercept, line.slope) == pytest.approx(tuple(weighted), rel=1e-10)


def test_calibration_of_overconfident_effects_has_a_slope_below_one():
    tau = np.linspace(-1.0, 1.0, 21)
    line = calibration(tau + 2.0, 2.0 * tau)
    assert (line.intercept, line.slope) == pytest.approx((2.0, 0.5))
    assert math.isnan(calibration(tau, np.ones(21)).slope)
    assert math.isnan(calibration(tau, tau, weights=tau == 0.5).slope)


def test_regret_is_what_the_best_arm_would_have_added():
    outcomes = np.array([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0], [5.0, 5.0, 4.0], [1.0, 2.0, 9.0]])
    # Lost: 3 - 2, 0, 5 - 4, 9 - 2.
    assert policy_regret([2, 0, 2, 1], outcomes) == 9 / 4
    assert policy_regret([1, 0, 1, 2], outcomes) == 0.0


def test_regret_names_bad_arms():
    outcomes = np.ones((2, 3))
    with pytest.raises(ArgumentError, match="one of 3 arms by 0 to 2, got values from 0 to 3"):
        policy_regret([0, 3], outcomes)
    with pytest.raises(ArgumentError, match="one whole number for each of 2 units"):
        policy_regret([0.0, 1.0], outcomes)


def test_pairs_of_treatments_by_hand():
    hat = [[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]]
    true = [[0.0, 2.0, 3.0], [0.0, 1.0, 1.0]]
    # Errors 1, 0, 1 and 0, -1, 0: gaps of pairs 1, 0, -1 and 1, 0, -1.
    assert pair_pehe(hat, true) == pytest.approx(math.sqrt(4 / 6))
    propensity = [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]
    # Weights 1/8, 1/8, 1/16 and .04, .12, .12, of which pairs 1, 3 of each unit are wrong.
    wrong, all_pairs = 1 / 8 + 1 / 16 + 0.04 + 0.12, 1 / 8 + 1 / 8 + 1 / 16 + 0.28
    assert pair_pehe(hat, true, propensity=propensity) == pytest.approx(
        math.sqrt(wrong / all_pairs)
    )


def test_with_two_arms_pairs_are_the_usual_effects():
    rng = np.random.default_rng(2)
    hat, true = rng.normal(size=(2, 30, 2))
    expected = pehe(hat[:, 1] - hat[:, 0], true[:, 1] - true[:, 0])
    assert pair_pehe(hat, true) == pytest.approx(expected)
    assert pair_pehe(hat, true, propensity=np.full((30, 2), 0.5)) == pytest.approx(expected)


def test_pairs_need_tables_of_one_shape_and_some_weight():
    with pytest.raises(ArgumentError, match=r"got \(2, 2\) and \(3, 2\)"):
        pair_pehe(np.ones((2, 2)), np.ones((3, 2)))
    with pytest.raises(ArgumentError, match="outcomes_hat must hold numbers, and cannot be read"):
        pair_pehe([[1.0, 2.0], [3.0]], np.ones((2, 2)))
    with pytest.raises(ArgumentError, match="no pair of treatments"):
        pair_pehe(np.ones((2, 2)), np.ones((2, 2)), propensity=[[0.0, 1.0], [0.0, 1.0]])


def test_dose_response_error_over_the_declared_range():
    dose = np.linspace(0.0, 1.0, 2001)
    curve_hat, curve = dose + dose**2, dose**2
    # The error is t: ∫ t² from a to b is (b³ - a³)/3.
    whole = dose_response_ise(
        curve_hat, curve, dose=dose, dose_range=(0.0, 1.0), weight=np.ones(2001)
    )
    assert whole == pytest.approx(1 / 3, rel=1e-6)
    part = {"dose": dose, "dose_range": (0.20005, 0.70005)}
    exact = (0.70005**3 - 0.20005**3) / 3
    assert dose_response_ise(curve_hat, curve, weight=np.ones(2001), **part) == pytest.approx(
        exact, rel=1e-6
    )
    assert dose_response_ise(curve_hat, curve, weight="uniform", **part) == pytest.approx(
        exact / 0.5, rel=1e-6
    )


def test_dose_response_error_weighs_doses_by_the_declared_weight():
    dose = np.linspace(0.0, 1.0, 4001)
    # ∫ t² · 2(1 - t) dt = 2/3 - 2/4.
    found = dose_response_ise(
        dose, np.zeros(4001), dose=dose, dose_range=(0.0, 1.0), weight=2 * (1 - dose)
    )
    assert found == pytest.approx(1 / 6, rel=1e-6)


def test_dose_response_error_on_a_coarse_uneven_grid_is_the_trapezoidal_rule():
    dose = np.array([0.0, 0.5, 2.0])
    # Squared errors 1, 4, 0: .5 * 2.5 + 1.5 * 2.
    found = dose_response_ise(
        [1.0, 2.0, 0.0], [0.0, 0.0, 0.0], dose=dose, dose_range=(0.0, 2.0), weight=np.ones(3)
    )
    assert found == pytest.approx(4.25)
    # Cut at 1.25, half-way down from 2 to 0: squared errors 1, 4, 1.
    cut = dose_response_ise(
        [1.0, 2.0, 0.0], [0.0, 0.0, 0.0], dose=dose, dose_range=(0.0, 1.25), weight=np.ones(3)
    )
    assert cut == pytest.approx(0.5 * 2.5 + 0.75 * 2.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dose_range": (-1.0, 1.0)}, r"range from -1\.0 to 1\.0 must lie within the doses"),
        ({"dose_range": (0.5, 0.5)}, "must lie within the doses"),
        ({"dose_range": (0,)}, r"dose_range must be two numbers, \(low, high\), got \(0,\)"),
        ({"dose": [0.0, 0.0, 1.0]}, "increase strictly"),
        ({"weight": "density"}, "an array or 'uniform', got 'density'"),
        ({"weight": [1.0, -1.0, 1.0]}, "weight is negative at 1 doses"),
        ({"weight": [1.0]}, "lengths differ: dose 3, curve 3, weight 1"),
    ],
)
def test_dose_grids_that_cannot_be_integrated(change, message):
    good = {"dose": [0.0, 0.5, 1.0], "dose_range": (0.0, 1.0), "weight": "uniform"}
    with pytest.raises(ArgumentError, match=message):
        dose_response_ise([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], **{**good, **change})


def test_effects_of_no_unit_and_of_other_units_are_refused():
    with pytest.raises(ArgumentError, match="no unit"):
        pehe([], [])
    with pytest.raises(ArgumentError, match="lengths differ"):
        pehe([1.0], [1.0, 2.0])
    with pytest.raises(ArgumentError, match="3 nonnegative numbers"):
        calibration([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], weights=[1.0, -1.0, 1.0])
