"""Errors of dose curves by hand, on three units; the truth itself scores 0."""

import math

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    amise,
    amse,
    dose_policy_error,
    policy_error,
    root_mise,
    root_squared_loss,
)

# Three units at two doses; the first two are the test units.
TRUE = np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 0.0]])
HAT = np.array([[1.0, 2.0], [2.0, 1.0]])


def test_curve_error_of_three_units_by_hand():
    # Means of the test units: predicted 1.5, 1.5; true 1, 3; errors .5 and -1.5.
    assert amse(HAT, TRUE, test=[0, 1]) == pytest.approx((0.25 + 2.25) / 2)
    assert amse(HAT, TRUE, test=np.array([True, True, False])) == pytest.approx(1.25)
    assert amse(HAT, TRUE[:2]) == pytest.approx(1.25)
    # Over all three the true means are 2 and 2: errors -.5 and -.5.
    assert amse(HAT, TRUE, population="all") == pytest.approx(0.25)
    assert amse([1.5, 1.5], [2.0, 2.0], population="all") == pytest.approx(0.25)


def test_the_true_curves_score_nothing_over_their_own_population_and_something_over_another():
    assert amse(TRUE[:2], TRUE, test=[0, 1]) == 0.0
    assert amse(TRUE[:2], TRUE, population="all") == pytest.approx(1.0)
    # Errors of units that cancel in the mean are no error of the average curve.
    assert amse(TRUE[:2] + np.array([[1.0], [-1.0]]), TRUE, test=[0, 1]) == 0.0


def test_integrated_error_weighs_doses_by_their_density_and_leaves_out_rare_ones():
    dose = np.linspace(0.0, 1.0, 2001)
    error = {"curve_hat": dose, "curve": np.zeros(2001), "dose": dose}
    # ∫ t² dt = 1/3; with density 2(1 - t) it is 1/6.
    assert amise(density=np.ones(2001), **error) == pytest.approx(1 / 3, rel=1e-6)
    assert amise(density=2 * (1 - dose), **error) == pytest.approx(1 / 6, rel=1e-6)
    # From a density of 1 on, t is at most 1/2: ∫ t² 2(1-t) / ∫ 2(1-t) = (1/12 - 1/32) / (3/4).
    assert amise(density=2 * (1 - dose), floor=1.0, **error) == pytest.approx(
        (1 / 12 - 1 / 32) / 0.75, rel=2e-3
    )
    assert amise(density=np.full(2001, 7.0), **error) == pytest.approx(1 / 3, rel=1e-6)
    assert amise(dose, dose, dose=dose, density=np.ones(2001)) == 0.0


def test_integrated_error_of_three_units_by_hand():
    # Squared errors (1, 0, 4), (0, 0, 0), (1, 1, 1) at 0, .5, 1: integrals .25 + 1, 0, 1.
    hat = [[1.0, 0.0, 2.0], [5.0, 5.0, 5.0], [1.0, 1.0, 1.0]]
    true = [[0.0, 0.0, 0.0], [5.0, 5.0, 5.0], [0.0, 2.0, 0.0]]
    expected = math.sqrt((1.25 + 0.0 + 1.0) / 3)
    assert root_mise(hat, true, dose=[0.0, 0.5, 1.0]) == pytest.approx(expected)
    # The range of the dose does not matter, the arms are averaged over.
    assert root_mise(hat, true, dose=[10.0, 15.0, 20.0]) == pytest.approx(expected)
    arms = np.stack([hat, true], axis=1), np.stack([true, true], axis=1)
    assert root_mise(*arms, dose=[0.0, 0.5, 1.0]) == pytest.approx(expected / math.sqrt(2))
    assert root_mise(true, true, dose=[0.0, 0.5, 1.0]) == 0.0


# Three units, two arms, two doses.
OUTCOMES = np.array([[[1.0, 3.0], [2.0, 0.0]], [[5.0, 4.0], [1.0, 1.0]], [[0.0, 1.0], [2.0, 6.0]]])
PREDICTED = np.array([[[9.0, 1.0], [3.0, 0.0]], [[0.0, 8.0], [0.0, 2.0]], [[0.0, 1.0], [5.0, 4.0]]])


def test_loss_by_the_recommended_dose_by_hand():
    # Chosen doses (0, 0), (1, 1), (1, 0): outcomes 1, 2; 4, 1; 1, 2 against 3, 2; 5, 1; 1, 6.
    assert dose_policy_error(PREDICTED, OUTCOMES) == pytest.approx(math.sqrt((4 + 1 + 16) / 6))
    assert dose_policy_error(OUTCOMES, OUTCOMES) == 0.0
    one_arm = dose_policy_error(PREDICTED[:, 0], OUTCOMES[:, 0])
    assert one_arm == pytest.approx(math.sqrt((4 + 1) / 3))


def test_loss_by_the_recommended_arm_and_dose_by_hand():
    # Predicted best: arm 0 dose 0; arm 0 dose 1; arm 1 dose 0: true 1, 4, 2 against 3, 5, 6.
    assert policy_error(PREDICTED, OUTCOMES) == pytest.approx(math.sqrt((4 + 1 + 16) / 3))
    assert policy_error(OUTCOMES, OUTCOMES) == 0.0
    # What the prediction is worth in its own eyes does not matter, only what it picks.
    assert policy_error(100.0 * PREDICTED - 7.0, OUTCOMES) == policy_error(PREDICTED, OUTCOMES)


def test_a_better_dose_between_the_grid_counts_as_lost():
    best = OUTCOMES.max(axis=2) + 1.0
    assert dose_policy_error(OUTCOMES, OUTCOMES, best=best) == pytest.approx(1.0)
    assert policy_error(OUTCOMES, OUTCOMES, best=best) == pytest.approx(1.0)
    assert root_squared_loss([1.0, 2.0, 3.0], [1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(3.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: amse(HAT, TRUE), r"must hold the test units of outcomes_hat, \(2, 2\), got"),
        (lambda: amse(HAT, TRUE, population="train"), "unknown population 'train'"),
        (lambda: amse(HAT, TRUE[:, :1], population="all"), "lengths differ: outcomes_hat 2"),
        (lambda: amse([[math.nan]], [[1.0]]), "outcomes_hat must hold finite numbers"),
        (
            lambda: amise([1.0, 1.0], [0.0, 0.0], dose=[0.0, 1.0], density=[1.0, 1.0], floor=2.0),
            "no dose has a density of at least 2.0; the largest is 1.0",
        ),
        (
            lambda: amise([1.0, 1.0], [0.0, 0.0], dose=[0.0, 1.0], density=[1.0, 1.0], floor=-1.0),
            "floor must not be negative, got -1.0",
        ),
        (
            lambda: amise([1.0, 1.0], [0.0, 0.0], dose=[1.0, 0.0], density=[1.0, 1.0]),
            "increase strictly",
        ),
        (
            lambda: amise([1.0, 2.0], [1.0, 2.0], dose=[], density=[]),
            "dose must hold at least two values, got 0",
        ),
        (lambda: amse(HAT, TRUE, test=[5]), "test names row 5; outcomes has rows 0 to 2"),
        (lambda: amse(HAT, TRUE, test=[-1]), "test must be a mask of 3 rows, or positions from 0"),
        (lambda: amse(HAT, TRUE, test=[True]), "test must be a mask of 3 rows"),
        (lambda: amse([["a"]], [[1.0]]), "outcomes_hat must hold numbers, and cannot be read"),
        (lambda: root_mise(TRUE, TRUE, dose=[0.0]), "dose must hold 2 values that increase"),
        (lambda: root_mise(HAT, TRUE, dose=[0.0, 1.0]), r"got \(2, 2\) and \(3, 2\)"),
        (
            lambda: policy_error(OUTCOMES, OUTCOMES, best=[1.0, 2.0]),
            r"best must hold a number for each unit and arm, \(3, 2\), got \(2, 1\)",
        ),
        (lambda: root_squared_loss([1.0], [1.0, 2.0]), "finite and of one shape"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused_by_name(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
