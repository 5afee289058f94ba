"""Critical values: bootstrap against closed forms."""

import numpy as np
import pytest
from scipy import stats

from causalkit.errors import ArgumentError
from causalkit.results import intervals


def test_uniform_critical_value_is_the_sidak_one_for_independent_terms():
    rng = np.random.default_rng(1)
    influence = rng.standard_normal((4000, 5))
    influence -= influence.mean(axis=0)
    ratios = intervals.bootstrap_t(influence, clusters=(), n_boot=4999, seed=0, largest=True)
    sidak = stats.norm.ppf(0.5 * (1 + 0.95 ** (1 / 5)))
    # The draws give the quantile with sd sqrt(p(1-p)/B)/density, about 0.02 here.
    assert intervals.order_value(ratios, level=0.95)[0] == pytest.approx(sidak, abs=0.08)


def test_pointwise_critical_value_is_the_normal_quantile():
    rng = np.random.default_rng(2)
    influence = rng.standard_normal((4000, 1))
    influence -= influence.mean(axis=0)
    ratios = intervals.bootstrap_t(influence, clusters=(), n_boot=4999, seed=0, largest=False)
    assert intervals.order_value(ratios, level=0.95)[0] == pytest.approx(1.96, abs=0.08)


def test_bootstrap_spread_comes_from_clusters_not_rows():
    # Rows of a cluster are copies: 50 clusters of 20 rows know no more than 50 rows.
    rng = np.random.default_rng(3)
    core = rng.standard_normal((50, 1))
    core -= core.mean(axis=0)
    copies = np.repeat(core, 20, axis=0)
    codes = np.repeat(np.arange(50), 20)
    settings = {"n_boot": 199, "seed": 5, "largest": False}
    clustered = intervals.bootstrap_t(copies, clusters=(codes,), **settings)
    alone = intervals.bootstrap_t(core, clusters=(), **settings)
    assert np.allclose(clustered, alone, rtol=1e-10)


def test_draws_are_in_units_of_their_own_standard_error_even_for_few_clusters():
    influence = np.array([[1.0], [-2.0], [0.5], [0.5]])
    ratios = intervals.bootstrap_t(influence, clusters=(), n_boot=4999, seed=0, largest=False)
    # Normal multipliers give exactly standard normal ratios; the mean square has sd sqrt(2/B).
    assert np.mean(ratios**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 4999))


def test_two_way_draws_are_in_units_of_their_own_standard_error_too():
    rng = np.random.default_rng(4)
    influence = rng.standard_normal((60, 1))
    codes = (np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6))
    ratios = intervals.bootstrap_t(influence, clusters=codes, n_boot=4999, seed=0, largest=False)
    assert np.mean(ratios**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 4999))


def test_order_value_takes_the_draw_that_makes_p_exact():
    ratios = np.arange(19.0, 0.0, -1.0)[:, None]  # 19 draws: p of the largest is 1/20
    # p < 0.2 needs at most two draws at or above |t|, so |t| must exceed the third largest.
    assert intervals.order_value(ratios, level=0.8)[0] == 17.0
    assert intervals.order_p(np.array([17.0]), ratios)[0] == pytest.approx(0.2)
    assert intervals.order_p(np.array([17.1]), ratios)[0] == pytest.approx(0.15)


def test_order_value_is_exact_at_the_usual_level_in_spite_of_rounding():
    # 1 - 0.95 exceeds 0.05 in floating point; p = 50/1000 must still count as not below 0.05.
    ratios = np.arange(999.0, 0.0, -1.0)[:, None]
    assert intervals.order_value(ratios, level=0.95)[0] == 951.0
    assert intervals.order_p(np.array([951.0]), ratios)[0] == 0.05
    assert intervals.order_p(np.array([951.5]), ratios)[0] == 0.049


def test_too_few_draws_for_the_level_say_how_many_are_needed():
    with pytest.raises(ArgumentError, match="pass n_boot=40 or more"):
        intervals.order_value(np.ones((19, 1)), level=0.95)
    assert intervals.order_value(np.ones((40, 1)), level=0.95)[0] == 1.0


def test_zero_influence_gives_zero_ratios_without_a_warning():
    ratios = intervals.bootstrap_t(np.zeros((10, 1)), clusters=(), n_boot=5, seed=0, largest=False)
    assert (ratios == 0).all()
