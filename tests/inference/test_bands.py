"""Simultaneous bands, against quantiles of the multivariate normal distribution."""

import numpy as np
import pytest
from scipy import optimize, stats

from causalkit.errors import ArgumentError
from causalkit.inference.bands import simultaneous


def critical_value(draws, level=0.95):
    k = draws.shape[1]
    return simultaneous(np.zeros(k), np.ones(k), draws, level=level).critical


def tolerance(level, critical, n_boot, k):
    """Four standard errors of a quantile of the largest of k absolute normals, independent."""
    density = 2 * k * stats.norm.pdf(critical) * (2 * stats.norm.cdf(critical) - 1) ** (k - 1)
    return 4 * np.sqrt(level * (1 - level) / n_boot) / density


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_independent_terms_have_the_sidak_value(level):
    draws = np.random.default_rng(0).standard_normal((20000, 4)) * [1.0, 5.0, 0.1, 2.0]
    sidak = stats.norm.ppf(0.5 * (1 + level ** (1 / 4)))
    ours = critical_value(draws, level)
    assert ours == pytest.approx(sidak, abs=tolerance(level, sidak, 20000, 4))


def test_identical_terms_have_the_pointwise_value():
    draws = np.random.default_rng(1).standard_normal((20000, 1)) * np.ones(5)
    pointwise = stats.norm.ppf(0.975)
    assert critical_value(draws) == pytest.approx(
        pointwise, abs=tolerance(0.95, pointwise, 20000, 1)
    )


def test_correlated_terms_have_the_multivariate_normal_value():
    vcov = np.array([[1.0, 0.8], [0.8, 1.0]])
    normal = stats.multivariate_normal(np.zeros(2), vcov)

    def gap(c):
        box = normal.cdf([c, c]) - 2 * normal.cdf([-c, c]) + normal.cdf([-c, -c])
        return box - 0.95

    exact = optimize.brentq(gap, 1.5, 3.0)
    draws = np.random.default_rng(2).standard_normal((20000, 2)) @ np.linalg.cholesky(vcov).T
    assert critical_value(draws) == pytest.approx(exact, abs=tolerance(0.95, exact, 20000, 2))


def test_limits_are_the_critical_value_times_the_reported_errors():
    draws = np.random.default_rng(3).standard_normal((999, 3))
    estimates, errors = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.5, 1.0])
    band = simultaneous(estimates, errors, draws)
    np.testing.assert_allclose(band.high - estimates, band.critical * errors)
    np.testing.assert_allclose(estimates - band.low, band.critical * errors)


def test_a_small_sample_factor_of_the_errors_widens_the_band():
    draws = np.random.default_rng(3).standard_normal((999, 3))
    narrow = simultaneous(np.zeros(3), np.ones(3), draws)
    wide = simultaneous(np.zeros(3), 1.1 * np.ones(3), draws)
    np.testing.assert_allclose(wide.high, 1.1 * narrow.high)


def test_zero_is_outside_exactly_where_the_adjusted_p_value_rejects():
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((199, 6))
    for level in (0.9, 0.95, 0.8):
        band = simultaneous(3.0 * rng.standard_normal(6), np.ones(6), draws, level=level)
        outside = (band.low > 0) | (band.high < 0)
        np.testing.assert_array_equal(outside, band.p_values <= 1 - level + 1e-12)


def test_the_order_statistic_leaves_the_stated_share_of_nineteen_draws():
    # 0.95 of 20 is the 19th: the largest of 19 draws, and one draw fewer is too few.
    draws = np.arange(1.0, 20.0)[:, None]
    scale = np.ones(1)
    band = simultaneous(np.zeros(1), np.ones(1), draws, scale=scale)
    assert band.critical == 19.0
    with pytest.raises(ArgumentError, match="18 draws cannot give a 95 % band; draw 19 or more"):
        simultaneous(np.zeros(1), np.ones(1), draws[:18], scale=scale)


def test_a_term_without_spread_decides_nothing():
    draws = np.random.default_rng(5).standard_normal((999, 2))
    with_zero = np.column_stack([draws, np.zeros(999)])
    band = simultaneous(np.array([1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0]), with_zero)
    assert band.critical == critical_value(draws)
    assert band.low[2] == band.high[2] == 0.0


def test_wrong_shapes_and_levels_are_named():
    draws = np.ones((99, 2))
    with pytest.raises(ArgumentError, match=r"draws \(99, 2\) do not belong together"):
        simultaneous(np.zeros(3), np.ones(3), draws)
    with pytest.raises(ArgumentError, match=r"use 0\.95 for a 95 % interval"):
        simultaneous(np.zeros(2), np.ones(2), draws, level=95)
