"""Critical values of draws, for one term and for all at once, against normal theory."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.stats import studentized_range

from causalkit.errors import ArgumentError
from causalkit.inference.bands import absolute_ratios, critical_values, p_values


def critical_value(draws, level=0.95, *, joint=True):
    """Half-width of the band, in standard errors."""
    scale = np.sqrt((draws**2).mean(axis=0))
    return critical_values(absolute_ratios(draws, scale, joint=joint), level=level)[0]


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


@pytest.mark.parametrize("joint", [True, False])
def test_identical_terms_have_the_pointwise_value(joint):
    draws = np.random.default_rng(1).standard_normal((20000, 1)) * np.ones(5)
    pointwise = stats.norm.ppf(0.975)
    assert critical_value(draws, joint=joint) == pytest.approx(
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


def test_all_differences_of_independent_means_have_tukeys_value():
    # Tukey (1953): q/√2, with q of the studentised range and infinite degrees of freedom.
    means = np.random.default_rng(6).standard_normal((40000, 4))
    first, second = np.triu_indices(4, 1)
    tukey = studentized_range.ppf(0.95, 4, np.inf) / np.sqrt(2)
    ours = critical_value(means[:, first] - means[:, second])
    # The density of the largest of six correlated ratios at its quantile is about 0.2.
    assert ours == pytest.approx(tukey, abs=4 * np.sqrt(0.05 * 0.95 / 40000) / 0.2)


def test_zero_is_outside_exactly_where_the_adjusted_p_value_rejects():
    rng = np.random.default_rng(4)
    ratios = absolute_ratios(rng.standard_normal((199, 6)), np.ones(6), joint=True)
    for level in (0.9, 0.95, 0.8):
        statistics = 3.0 * rng.standard_normal(6)
        outside = np.abs(statistics) > critical_values(ratios, level=level)
        np.testing.assert_array_equal(outside, p_values(statistics, ratios) < 1 - level - 1e-12)


def test_the_order_statistic_is_the_draw_that_makes_p_exact():
    ratios = np.arange(19.0, 0.0, -1.0)[:, None]  # 19 draws: p of the largest is 1/20
    # p < 0.2 needs at most two draws at or above |t|, so |t| must exceed the third largest.
    assert critical_values(ratios, level=0.8)[0] == 17.0
    assert p_values(np.array([17.0]), ratios)[0] == pytest.approx(0.2)
    assert p_values(np.array([17.1]), ratios)[0] == pytest.approx(0.15)


def test_the_order_statistic_is_exact_at_the_usual_level_in_spite_of_rounding():
    # 1 - 0.95 exceeds 0.05 in floating point; p = 50/1000 must still count as not below 0.05.
    ratios = np.arange(999.0, 0.0, -1.0)[:, None]
    assert critical_values(ratios, level=0.95)[0] == 951.0
    assert p_values(np.array([951.0]), ratios)[0] == 0.05
    assert p_values(np.array([951.5]), ratios)[0] == 0.049


def test_too_few_draws_for_the_level_say_how_many_are_needed():
    with pytest.raises(ArgumentError, match=r"19 bootstrap draws.*95 %.*n_boot=40 or more"):
        critical_values(np.ones((19, 1)), level=0.95)
    assert critical_values(np.ones((40, 1)), level=0.95)[0] == 1.0


def test_a_term_without_spread_decides_nothing():
    draws = np.random.default_rng(5).standard_normal((999, 2))
    with_zero = np.column_stack([draws, np.zeros(999)])
    assert critical_value(with_zero) == critical_value(draws)
