"""Errors over likely treatments and of concepts by hand, on three units; the truth scores 0."""

import math

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import concept_effect_error, most_likely, pair_pehe, upehe, wpehe

# Errors of three units under three treatments: 1, 0, 3; 0, 0, 2; 5, 5, 5.
TRUE = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
HAT = TRUE + np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 2.0], [5.0, 5.0, 5.0]])
CHANCE = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])


def test_likely_treatments_come_in_order_and_ties_lose_none():
    assert most_likely(CHANCE, 2).tolist() == [[0, 1], [2, 0], [1, 0]]
    assert most_likely(np.full((2, 4), 0.25), 4).tolist() == [[0, 1, 2, 3]] * 2


def test_errors_of_the_two_likeliest_by_hand():
    # Pairs (0, 1), (2, 0), (1, 0): contrasts are off by 1, 2, 0.
    assert upehe(HAT, TRUE, propensity=CHANCE, k=2) == pytest.approx((1 + 4 + 0) / 3)
    # One pair has all the weight of its unit.
    assert wpehe(HAT, TRUE, propensity=CHANCE, k=2) == pytest.approx((1 + 4 + 0) / 3)


def test_errors_of_all_three_by_hand():
    # Unit 0: pairs 01, 02, 12 off by 1, -2, -3; unit 1: 0, -2, -2; unit 2: nothing.
    assert upehe(HAT, TRUE, propensity=CHANCE, k=3) == pytest.approx((14 / 3 + 8 / 3) / 3)
    # Weights .15, .10, .06 of unit 0 and .04, .12, .12 of unit 1.
    first = (0.15 * 1 + 0.10 * 4 + 0.06 * 9) / 0.31
    second = (0.12 * 4 + 0.12 * 4) / 0.28
    assert wpehe(HAT, TRUE, propensity=CHANCE, k=3) == pytest.approx((first + second) / 3)


def test_the_truth_scores_nothing_and_a_shift_of_all_outcomes_is_no_error():
    for measure in (upehe, wpehe):
        assert measure(TRUE, TRUE, propensity=CHANCE, k=3) == 0.0
        shifted = measure(TRUE + np.array([[1.0], [2.0], [3.0]]), TRUE, propensity=CHANCE, k=3)
        assert shifted == pytest.approx(0.0, abs=1e-20)


def test_equal_chances_make_the_weights_drop_out_and_the_root_is_the_other_measure():
    equal = np.full((3, 3), 1 / 3)
    plain = upehe(HAT, TRUE, propensity=equal, k=3)
    assert wpehe(HAT, TRUE, propensity=equal, k=3) == pytest.approx(plain)
    assert pair_pehe(HAT, TRUE) == pytest.approx(math.sqrt(plain))


def test_tiny_chances_still_weigh():
    tiny = CHANCE * [[1e-200], [1.0], [1.0]]
    assert wpehe(HAT, TRUE, propensity=tiny, k=3) == pytest.approx(
        wpehe(HAT, TRUE, propensity=CHANCE, k=3)
    )


def test_error_of_a_concept_by_hand():
    one = [[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]]
    zero = [[0.3, 0.7], [0.5, 0.5], [0.6, 0.4]]
    # Norms .3 √2, 0, .4 √2.
    size = 0.7 * math.sqrt(2) / 3
    assert concept_effect_error(one, zero, truth=size) == pytest.approx(0.0, abs=1e-15)
    assert concept_effect_error(one, zero, truth=0.5) == pytest.approx(0.5 - size)
    assert concept_effect_error(one, one, truth=0.5) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: upehe(HAT, TRUE, propensity=CHANCE, k=4), "k must be at most 3.*got 4"),
        (lambda: upehe(HAT, TRUE, propensity=CHANCE, k=1), "k must be at least 2, got 1"),
        (lambda: wpehe(HAT, TRUE, propensity=-CHANCE, k=2), "propensity is negative in 9 places"),
        (lambda: wpehe(HAT, TRUE[:2], propensity=CHANCE, k=2), "shapes differ: outcomes_hat"),
        (
            lambda: wpehe(HAT, TRUE, propensity=[[1.0, 0.0, 0.0]] * 3, k=2),
            "fewer than two treatments of unit 0",
        ),
        (lambda: concept_effect_error([[1.0]], [[1.0, 0.0]], truth=0.0), "shapes differ"),
        (lambda: concept_effect_error([[0.2, 0.2]], [[1.0, 0.0]], truth=0.0), "summing to one"),
        (lambda: concept_effect_error([[1.0]], [[1.0]], truth=math.nan), "truth is nan"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
