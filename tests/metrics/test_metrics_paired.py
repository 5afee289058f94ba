"""Paired comparisons against arithmetic on a dozen numbers."""

import math
import statistics

import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import paired_difference, relative_precision

A = [0.3, -0.1, 0.4, 0.1, -0.5, 0.9, -0.2, 0.2, 0.6, -0.7, 0.05, 0.15]
B = [0.1, -0.2, 0.2, 0.15, -0.1, 0.5, 0.1, 0.0, 0.3, -0.4, 0.1, -0.05]


def test_a_paired_difference_has_the_error_of_the_differences():
    gaps = [a - b for a, b in zip(A, B, strict=True)]
    measure = paired_difference(A, B)
    assert measure.value == pytest.approx(statistics.fmean(gaps))
    assert measure.mcse == pytest.approx(statistics.stdev(gaps) / math.sqrt(12))


def test_relative_precision_is_positive_where_b_is_the_more_precise():
    ratio = statistics.variance(A) / statistics.variance(B)
    measure = relative_precision(A, B)
    assert measure.value == pytest.approx(100 * (ratio - 1))
    assert measure.value > 0 > relative_precision(B, A).value
    squares = [[((x - statistics.fmean(v)) / statistics.stdev(v)) ** 2 for x in v] for v in (A, B)]
    gaps = [a - b for a, b in zip(*squares, strict=True)]
    assert measure.mcse == pytest.approx(100 * ratio * statistics.stdev(gaps) / math.sqrt(12))
    same = relative_precision(A, A)
    assert (same.value, same.mcse) == (0.0, 0.0)


def test_a_multiple_of_the_same_errors_is_compared_without_error():
    measure = relative_precision([2 * a for a in A], A)
    assert measure.value == pytest.approx(300.0)
    assert measure.mcse == pytest.approx(0.0, abs=1e-5)


def test_without_spread_there_is_no_ratio():
    assert math.isnan(relative_precision(A, [0.1] * 12).value)
    assert relative_precision([0.1] * 12, A).value == -100.0
    assert math.isnan(relative_precision([1.0], [2.0]).value)


def test_pairs_must_be_pairs():
    with pytest.raises(
        ArgumentError, match=r"lengths differ: a 2, b 1; pass the same replications"
    ):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ArgumentError, match="error_b is nan in 1 of 2"):
        relative_precision([1.0, 2.0], [1.0, math.nan])
