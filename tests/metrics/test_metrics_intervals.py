"""Measures of intervals and p-values against a table that was filled in by hand."""

import math
import statistics

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    bias_eliminated_coverage,
    coverage,
    failure_share,
    interval_score,
    lower_miss,
    mean_width,
    median_width,
    rejection,
    upper_miss,
)

#           inside   above   below   on low   on high  inside  above  inside
TRUTH = [1.0, 1.0, 1.0, 2.0, 3.0, 2.0, 0.0, 5.0]
LOW = [0.0, 1.5, -1.0, 2.0, 1.0, 1.0, 0.5, 4.0]
HIGH = [2.0, 2.5, 0.0, 4.0, 3.0, 4.0, 1.0, 6.0]
ESTIMATE = [1.0, 2.0, -0.5, 3.0, 2.0, 2.5, 0.75, 5.0]


def test_coverage_counts_bounds_as_inside():
    measure = coverage(TRUTH, LOW, HIGH)
    assert measure.value == 5 / 8
    assert measure.mcse == pytest.approx(math.sqrt(5 / 8 * 3 / 8 / 8))
    assert measure.low < 5 / 8 < measure.high


def test_misses_have_sides_and_complete_coverage():
    assert lower_miss(TRUTH, LOW, HIGH).value == 2 / 8
    assert upper_miss(TRUTH, LOW, HIGH).value == 1 / 8
    assert lower_miss(TRUTH, LOW, HIGH).mcse == pytest.approx(math.sqrt(1 / 4 * 3 / 4 / 8))
    assert upper_miss(TRUTH, LOW, HIGH).mcse == pytest.approx(math.sqrt(1 / 8 * 7 / 8 / 8))


def test_bias_eliminated_coverage_moves_every_truth_by_the_mean_error():
    # Errors 0, 1, -1.5, 1, -1, .5, .75, 0 sum to .75: the fifth truth moves past its bound.
    moved = [t + 0.75 / 8 for t in TRUTH]
    inside = [lo <= t <= hi for t, lo, hi in zip(moved, LOW, HIGH, strict=True)]
    assert sum(inside) == 4
    measure = bias_eliminated_coverage(ESTIMATE, TRUTH, LOW, HIGH)
    assert (measure.value, measure.mcse) == pytest.approx((0.5, math.sqrt(0.25 / 8)))


def test_a_constant_shift_of_estimates_and_intervals_leaves_bias_eliminated_coverage():
    rng = np.random.default_rng(0)
    estimate = rng.normal(size=200)
    low, high = estimate - 1.5, estimate + 1.5
    zero = np.zeros(200)
    here = bias_eliminated_coverage(estimate, zero, low, high)
    shifted = bias_eliminated_coverage(estimate + 64.0, zero, low + 64.0, high + 64.0)
    assert here == shifted
    assert coverage(zero, low + 64.0, high + 64.0).value == 0.0


def test_rejection_is_strict():
    measure = rejection([0.01, 0.05, 0.049, 0.5, 1.0, 0.0, 0.2, 0.06])
    assert measure.value == 3 / 8
    assert measure.mcse == pytest.approx(math.sqrt(3 / 8 * 5 / 8 / 8))
    assert rejection([0.01, 0.05, 0.1], alpha=0.1).value == pytest.approx(2 / 3)


def test_widths_by_mean_and_median():
    widths = [2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 0.5, 2.0]
    mean = mean_width(LOW, HIGH)
    assert mean.value == 13.5 / 8
    assert mean.mcse == pytest.approx(statistics.stdev(widths) / math.sqrt(8))
    assert median_width(LOW, HIGH, rng=np.random.default_rng(0)).value == 2.0


def test_interval_score_adds_forty_times_a_miss_at_the_95_level():
    # Misses: .5 below the second, 1 above the third, .5 below the seventh.
    scores = [2.0, 1 + 20.0, 1 + 40.0, 2.0, 2.0, 3.0, 0.5 + 20.0, 2.0]
    measure = interval_score(TRUTH, LOW, HIGH)
    assert measure.value == pytest.approx(statistics.fmean(scores))
    assert measure.mcse == pytest.approx(statistics.stdev(scores) / math.sqrt(8))
    half = interval_score(TRUTH, LOW, HIGH, level=0.5)
    assert half.value == pytest.approx((13.5 + 4 * 2.0) / 8)


def test_the_interval_score_is_smallest_at_the_true_quantiles():
    x = np.random.default_rng(1).normal(size=200_000)
    half_widths = np.array([1.2, 1.5, 1.96, 2.4, 3.0])
    scores = [interval_score(x, np.full_like(x, -h), np.full_like(x, h)).value for h in half_widths]
    assert half_widths[int(np.argmin(scores))] == 1.96


def test_unbounded_intervals_cover_and_are_infinitely_wide():
    low, high = [-math.inf, 0.0], [math.inf, 1.0]
    assert coverage([7.0, 0.5], low, high).value == 1.0
    assert mean_width(low, high).value == math.inf
    assert interval_score([7.0, 0.5], low, high).value == math.inf


def test_failures_are_a_share_of_what_was_planned():
    measure = failure_share(3, 200)
    assert measure.value == 0.015
    assert measure.mcse == pytest.approx(math.sqrt(0.015 * 0.985 / 200))
    with pytest.raises(ArgumentError, match="between 0 and 2, got 3"):
        failure_share(3, 2)


def test_bad_intervals_and_p_values_are_named():
    with pytest.raises(ArgumentError, match=r"1 of 2 intervals end before they begin .*position 1"):
        coverage([0.0, 0.0], [0.0, 1.0], [1.0, 0.0])
    with pytest.raises(ArgumentError, match=r"1 of 1 intervals end .*from inf to inf"):
        mean_width([math.inf], [math.inf])
    with pytest.raises(ArgumentError, match="low is nan in 1 of 2"):
        mean_width([math.nan, 0.0], [1.0, 1.0])
    with pytest.raises(ArgumentError, match="truth is inf in 1 of 1"):
        coverage([math.inf], [0.0], [1.0])
    with pytest.raises(ArgumentError, match="lengths differ: truth 1, low 2"):
        coverage([0.0], [0.0, 0.0], [1.0, 1.0])
    with pytest.raises(ArgumentError, match=r"got values from 0\.2 to 95\.0"):
        rejection([0.2, 95.0])
    with pytest.raises(ArgumentError, match="alpha must lie"):
        rejection([0.2], alpha=5)
