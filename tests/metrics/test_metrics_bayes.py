"""Posterior measures against a conjugate normal model, whose posterior is known, and scipy."""

import math

import numpy as np
import pytest
from scipy.stats import chisquare

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    divergence_share,
    ess_share,
    posterior_coverage,
    rhat_share,
    sbc_ranks,
    sbc_uniformity,
    share_of,
)


def conjugate(
    *, fits: int = 2000, draws: int = 99, width: float = 1.0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Truths from N(0, 1) and posterior draws given one N(truth, 1) datum: N(y/2, 1/2)."""
    rng = np.random.default_rng(20260103)
    truth = rng.standard_normal(fits)
    datum = truth + rng.standard_normal(fits)
    noise = rng.standard_normal((fits, draws)) * math.sqrt(0.5) * width
    return truth, datum[:, None] / 2 + shift + noise


def test_posterior_intervals_of_four_fits_by_hand():
    draws = np.tile(np.arange(101.0), (4, 1))
    # The 90 % interval of 0, ..., 100 ends at 5 and 95.
    measure = posterior_coverage([5.0, 4.9, 95.0, 96.0], draws, level=0.9)
    assert measure == share_of(2, 4)


def test_intervals_of_the_right_posterior_cover_at_their_level():
    measure = posterior_coverage(*conjugate(draws=2000), level=0.8)
    assert measure.value == pytest.approx(0.8, abs=4 * measure.mcse)
    narrow = posterior_coverage(*conjugate(draws=2000, width=0.7), level=0.8)
    # 2 Φ(0.7 · 1.2816) - 1.
    assert narrow.value == pytest.approx(0.6303, abs=4 * narrow.mcse)


def test_fits_that_did_not_converge_are_counted_by_their_worst_parameter():
    rhat = [[1.0, 1.005], [1.0, 1.02], [1.01, 1.01], [math.nan, 1.0]]
    assert rhat_share(rhat) == share_of(2, 4)
    assert rhat_share([1.0, 1.02, 1.2], bound=1.1) == share_of(1, 3)
    assert ess_share([[400.0, 900.0], [399.0, 900.0], [math.nan, 900.0]]) == share_of(2, 3)
    assert divergence_share([0, 3, 1, 0]) == share_of(2, 4)
    assert divergence_share([0, 3, 1, 0], allowed=1) == share_of(1, 4)
    with pytest.raises(ArgumentError, match=r"shape \(R,\) or \(R, k\)"):
        rhat_share(np.ones((2, 2, 2)))


def test_ranks_count_the_draws_below():
    draws = [[0.1, 0.7, 0.2], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    assert sbc_ranks([0.5, 0.0, 4.0], draws).tolist() == [2, 0, 3]


def test_ties_are_broken_at_random_and_only_if_asked():
    draws = np.tile([0.0, 1.0, 1.0, 2.0], (6000, 1))
    truth = np.ones(6000)
    with pytest.raises(ArgumentError, match="6000 truths equal one of their draws: pass rng="):
        sbc_ranks(truth, draws)
    ranks = sbc_ranks(truth, draws, rng=np.random.default_rng(0))
    # One draw lies below, two are tied: ranks 1, 2, 3 alike.
    assert np.unique(ranks).tolist() == [1, 2, 3]
    assert np.bincount(ranks)[1:] == pytest.approx([2000] * 3, abs=4 * math.sqrt(6000 * 2 / 9))


def test_uniformity_is_pearsons_test():
    ranks = np.repeat(np.arange(10), [12, 8, 11, 9, 10, 15, 5, 10, 13, 7])
    found = sbc_uniformity(ranks, n_draws=9, bins=5)
    expected = chisquare([20, 20, 25, 15, 20])
    assert found.counts.tolist() == [20, 20, 25, 15, 20]
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected))
    assert found.df == 4


def test_bins_of_unequal_numbers_of_ranks_expect_unequal_counts():
    ranks = np.repeat(np.arange(7), 30)
    found = sbc_uniformity(ranks, n_draws=6, bins=3)
    # Seven ranks in three bins; every rank came equally often.
    assert sorted(found.expected.tolist()) == pytest.approx([60.0, 60.0, 90.0])
    assert found.statistic == pytest.approx(0.0)
    assert found.p_value == pytest.approx(1.0)


def test_the_right_posterior_passes_and_wrong_ones_do_not():
    def p_value(**how: float) -> float:
        return sbc_uniformity(sbc_ranks(*conjugate(**how)), n_draws=99).p_value

    assert p_value() > 1e-3
    assert p_value(width=0.8) < 1e-6
    assert p_value(width=1.25) < 1e-6
    assert p_value(shift=0.2) < 1e-6


def test_p_values_of_uniform_ranks_are_uniform():
    rng = np.random.default_rng(1)
    ranks = rng.integers(0, 100, (2000, 400))
    small = np.mean([sbc_uniformity(r, n_draws=99).p_value < 0.1 for r in ranks])
    assert small == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 2000))


@pytest.mark.parametrize(("fits", "n_draws", "bins"), [(1000, 99, 20), (60, 99, 11), (20, 2, 3)])
def test_default_bins_expect_five_ranks_each(fits, n_draws, bins):
    # Of 100 ranks in 12 bins some bin holds 8, and 60 fits put 4.8 there; 11 bins hold 9 or 10.
    ranks = np.arange(fits) % (n_draws + 1)
    found = sbc_uniformity(ranks, n_draws=n_draws)
    assert found.counts.size == bins
    assert found.expected.min() >= 5.0
    assert found.expected.sum() == pytest.approx(fits)
    # Bins differ by one rank at most.
    assert np.ptp(found.expected) <= fits / (n_draws + 1) + 1e-9
    assert (np.ptp(found.expected) == 0) == ((n_draws + 1) % bins == 0)


def test_too_few_fits_and_wrong_ranks_are_refused():
    with pytest.raises(ArgumentError, match="use fewer bins or more fits"):
        sbc_uniformity(np.arange(8), n_draws=9)
    with pytest.raises(ArgumentError, match="use fewer bins or more fits"):
        sbc_uniformity(np.arange(100) % 10, n_draws=99, bins=30)
    with pytest.raises(ArgumentError, match="10 possible ranks cannot fill 20 bins"):
        sbc_uniformity(np.arange(1000) % 10, n_draws=9, bins=20)
    with pytest.raises(ArgumentError, match="whole numbers from 0 to 9"):
        sbc_uniformity(np.arange(1000), n_draws=9)
    with pytest.raises(ArgumentError, match="a row for each of 2 replications"):
        sbc_ranks([0.0, 1.0], [[1.0]])
