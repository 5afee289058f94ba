"""Measures of errors against arithmetic on a dozen numbers, by the statistics module."""

import math
import statistics

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    bias,
    empirical_se,
    mae,
    median_bias,
    model_se,
    mse,
    relative_bias,
    relative_se_error,
    rmse,
    standardised_bias,
)

ERROR = [0.3, -0.1, 0.4, 0.1, -0.5, 0.9, -0.2, 0.2, 0.6, -0.7, 0.05, 0.15]
TRUTH = [1.0, 2.0, -1.0, 0.5, 4.0, 1.0, 2.0, -2.0, 1.5, 3.0, 0.25, 1.0]
SE = [0.4, 0.5, 0.45, 0.38, 0.52, 0.6, 0.41, 0.39, 0.44, 0.47, 0.5, 0.36]
R = 12


def test_bias_is_the_mean_error():
    measure = bias(ERROR)
    assert measure.value == pytest.approx(0.1)
    assert measure.mcse == pytest.approx(statistics.stdev(ERROR) / math.sqrt(R))


def test_relative_bias_divides_each_error_by_the_truth_of_its_replication():
    ratios = [e / t for e, t in zip(ERROR, TRUTH, strict=True)]
    measure = relative_bias(ERROR, TRUTH)
    assert measure.value == pytest.approx(statistics.fmean(ratios))
    assert measure.mcse == pytest.approx(statistics.stdev(ratios) / math.sqrt(R))


def test_relative_bias_refuses_a_truth_of_zero():
    with pytest.raises(ArgumentError, match=r"truth is 0 in 1 of 12 .*use bias"):
        relative_bias(ERROR, [0.0, *TRUTH[1:]])


def test_standardised_bias_is_in_units_of_the_empirical_se():
    b = 0.1 / statistics.stdev(ERROR)
    assert standardised_bias(ERROR).value == pytest.approx(b)
    # Two replications tell no fourth moment, and the error is that of normal ones.
    measure = standardised_bias([1.0, 2.0])
    assert measure.value == pytest.approx(1.5 * math.sqrt(2))
    assert measure.mcse == pytest.approx(math.sqrt(1 / 2 + 4.5 / 2))


def test_median_bias_is_the_median_error():
    measure = median_bias(ERROR, rng=np.random.default_rng(0))
    assert measure.value == pytest.approx(0.125)
    assert 0 < measure.mcse < statistics.stdev(ERROR)


def test_empirical_se_has_a_fourth_moment_and_a_normal_error():
    s = statistics.stdev(ERROR)
    m4 = statistics.fmean((e - 0.1) ** 4 for e in ERROR)
    robust, normal = empirical_se(ERROR), empirical_se(ERROR, method="normal")
    assert robust.value == normal.value == pytest.approx(s)
    assert robust.mcse == pytest.approx(math.sqrt((m4 - s**4) / (4 * 12 * s**2)))
    assert normal.mcse == pytest.approx(s / math.sqrt(22))
    with pytest.raises(ArgumentError, match="unknown method"):
        empirical_se(ERROR, method="jackknife")


@pytest.mark.parametrize("error", [[1.0, 3.0], [-1.0, 1.0] * 6])
def test_where_the_fourth_moment_leaves_nothing_the_error_is_not_zero(error):
    assert empirical_se(error).mcse == empirical_se(error, method="normal").mcse > 0


def test_mean_squared_error_and_its_root():
    squares = [e * e for e in ERROR]
    value = statistics.fmean(squares)
    error = math.sqrt(sum((x - value) ** 2 for x in squares) / (12 * 11))
    assert (mse(ERROR).value, mse(ERROR).mcse) == pytest.approx((value, error))
    root = rmse(ERROR)
    assert root.value == pytest.approx(math.sqrt(value))
    assert root.mcse == pytest.approx(error / (2 * math.sqrt(value)))


def test_mean_absolute_error():
    sizes = [abs(e) for e in ERROR]
    assert mae(ERROR).value == pytest.approx(4.2 / 12)
    assert mae(ERROR).mcse == pytest.approx(statistics.stdev(sizes) / math.sqrt(12))


def test_model_se_is_the_root_mean_variance_with_the_square_in_its_error():
    v = [x * x for x in SE]
    root = math.sqrt(statistics.fmean(v))
    measure = model_se(SE)
    assert measure.value == pytest.approx(root)
    assert measure.mcse == pytest.approx(math.sqrt(statistics.variance(v) / (4 * 12 * root**2)))
    with pytest.raises(ArgumentError, match="negative in 1 of 2"):
        model_se([0.1, -0.1])


def test_relative_error_of_the_model_se_is_in_per_cent():
    v = [x * x for x in SE]
    root, s = math.sqrt(statistics.fmean(v)), statistics.stdev(ERROR)
    assert relative_se_error(ERROR, SE).value == pytest.approx(100 * (root / s - 1))
    # Two replications tell no fourth moment, and the error is that of normal ones.
    measure = relative_se_error([1.0, 2.0], [1.0, 1.0])
    assert measure.value == pytest.approx(100 * (math.sqrt(2) - 1))
    assert measure.mcse == pytest.approx(100 * math.sqrt(2) * math.sqrt(1 / 2))
    with pytest.raises(ArgumentError, match="lengths differ: error 12, std_error 1"):
        relative_se_error(ERROR, [0.1])


def test_without_spread_nothing_is_relative_to_it():
    # The mean of twelve tenths is not a tenth in binary, so deviations are not quite zero.
    same = [0.1] * 12
    assert math.isnan(standardised_bias(same).value)
    assert math.isnan(relative_se_error(same, SE).value)
    assert (empirical_se(same).value, empirical_se(same).mcse) == (0.0, 0.0)
    assert (rmse([0.0, 0.0]).value, rmse([0.0, 0.0]).mcse) == (0.0, 0.0)


@pytest.mark.parametrize("measure", [empirical_se, standardised_bias])
def test_one_replication_has_no_spread(measure):
    assert math.isnan(measure([1.0]).value)
    assert math.isnan(measure([1.0]).mcse)


def test_an_infinite_error_is_refused():
    with pytest.raises(ArgumentError, match="error is inf in 1 of 2"):
        bias([math.inf, 1.0])
