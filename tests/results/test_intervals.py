"""Bootstrap t-ratios of a result: their law is that of its variance matrix."""

import numpy as np
import pytest
from scipy import stats

from causalkit.errors import ArgumentError
from causalkit.inference.bands import critical_values
from causalkit.results import intervals


def test_uniform_critical_value_is_the_sidak_one_for_independent_terms():
    ratios = intervals.bootstrap_t(np.diag([1.0, 4.0, 9.0]), n_boot=4999, seed=0, joint=True)
    sidak = stats.norm.ppf(0.5 * (1 + 0.95 ** (1 / 3)))
    # The draws give the quantile with sd sqrt(p(1-p)/B)/density, about 0.02 here.
    assert critical_values(ratios, level=0.95)[0] == pytest.approx(sidak, abs=0.08)


def test_pointwise_critical_value_is_the_normal_quantile():
    ratios = intervals.bootstrap_t(np.array([[7.0]]), n_boot=4999, seed=0, joint=False)
    assert critical_values(ratios, level=0.95)[0] == pytest.approx(1.96, abs=0.08)


def test_a_band_over_one_term_is_its_t_interval():
    ratios = intervals.bootstrap_t(np.eye(1), n_boot=40000, seed=0, joint=True, df=5.0)
    exact = stats.t.ppf(0.975, 5)
    tolerance = 4 * np.sqrt(0.05 * 0.95 / 40000) / (2 * stats.t.pdf(exact, 5))
    assert critical_values(ratios, level=0.95)[0] == pytest.approx(exact, abs=tolerance)


def test_terms_that_are_one_count_once():
    # Of a singular matrix of rank one the largest ratio is any of them.
    vcov = np.outer([1.0, 2.0, -3.0], [1.0, 2.0, -3.0])
    alone = intervals.bootstrap_t(vcov, n_boot=199, seed=1, joint=False)
    joint = intervals.bootstrap_t(vcov, n_boot=199, seed=1, joint=True)
    # A root of the matrix has the square root of its rounding.
    np.testing.assert_allclose(joint, alone, rtol=0, atol=1e-7)


def test_draws_are_in_units_of_their_own_standard_error():
    ratios = intervals.bootstrap_t(np.array([[1e-12]]), n_boot=4999, seed=0, joint=False)
    # Normal multipliers give exactly standard normal ratios; the mean square has sd sqrt(2/B).
    assert np.mean(ratios**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 4999))


def test_zero_variance_gives_zero_ratios_without_a_warning():
    ratios = intervals.bootstrap_t(np.zeros((1, 1)), n_boot=5, seed=0, joint=False)
    assert (ratios == 0).all()


def test_a_number_of_draws_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match="n_boot must be at least 1, got 0"):
        intervals.bootstrap_t(np.eye(2), n_boot=0, seed=0, joint=False)
