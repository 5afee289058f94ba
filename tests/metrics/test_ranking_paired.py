"""Paired half samples of two rankings, and what must hold exactly whatever rounding does."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import chi2

from causalkit.metrics import autoc, qini, rank_effects, toc
from causalkit.metrics.ranking import _half, paired_rank_effects


def paired(first, second, score, *, seed=0, **more):
    return paired_rank_effects(first, second, score, rng=np.random.default_rng(seed), **more)


@pytest.fixture
def two_rankings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A good ranking, a noisy copy of it, and scores; 300 units."""
    rng = np.random.default_rng(0)
    tau = rng.normal(size=300)
    return tau, tau + 0.5 * rng.normal(size=300), tau + rng.normal(size=300)


def test_the_first_of_two_rankings_is_what_it_is_alone(two_rankings):
    first, second, score = two_rankings
    alone = rank_effects(first, score, rng=np.random.default_rng(0))
    one, two, _ = paired(first, second, score)
    assert (one.autoc, one.autoc_se, one.qini_se) == (alone.autoc, alone.autoc_se, alone.qini_se)
    assert one.toc_se.tolist() == alone.toc_se.tolist()
    assert two.autoc == autoc(second, score)


def test_the_difference_is_that_of_the_estimates(two_rankings):
    one, two, gap = paired(*two_rankings)
    assert gap.autoc == pytest.approx(one.autoc - two.autoc, abs=1e-14)
    assert gap.qini == pytest.approx(one.qini - two.qini, abs=1e-14)
    assert gap.toc == pytest.approx(one.toc - two.toc, abs=1e-14)


def test_the_error_of_a_difference_is_the_spread_over_all_common_half_samples():
    rng = np.random.default_rng(1)
    first, second, score = rng.normal(size=(3, 8))
    halves = [list(half) for half in itertools.combinations(range(8), 4)]
    autocs = [autoc(first[h], score[h]) - autoc(second[h], score[h]) for h in halves]
    qinis = [qini(first[h], score[h]) - qini(second[h], score[h]) for h in halves]
    gap = paired(first, second, score, draws=8000)[2]
    # Four standard errors of a standard deviation from 8000 draws are 3.2 %.
    assert gap.autoc_se == pytest.approx(np.std(autocs), rel=0.032)
    assert gap.qini_se == pytest.approx(np.std(qinis), rel=0.032)


def test_equal_rankings_do_not_differ_and_similar_ones_differ_by_less_than_apart(two_rankings):
    first, second, score = two_rankings
    same = paired(first, first, score)[2]
    assert (same.autoc, same.autoc_se, same.qini_se) == (0.0, 0.0, 0.0)
    one, two, gap = paired(first, second, score)
    # Half samples that were not common would give the hypotenuse.
    assert gap.autoc_se < 0.7 * math.hypot(one.autoc_se, two.autoc_se)


def test_a_ranking_of_equal_priorities_is_worth_exactly_nothing():
    rng = np.random.default_rng(2)
    score, weights = 1e3 + rng.normal(size=777), rng.random(777)
    nobody_first = np.full(777, 0.1)
    found = rank_effects(nobody_first, score, weights=weights, rng=rng)
    assert (found.autoc, found.qini, found.autoc_se, found.qini_se) == (0.0, 0.0, 0.0, 0.0)
    assert not found.toc.any()
    assert not found.toc_se.any()


def test_the_curve_ends_at_exactly_zero_in_every_half_sample():
    rng = np.random.default_rng(3)
    score, weights = 1e3 + rng.normal(size=777), rng.random(777)
    found = rank_effects(rng.normal(size=777), score, weights=weights, rng=rng)
    assert (found.toc[-1], found.toc_se[-1]) == (0.0, 0.0)
    assert toc(score, score, q=1.0).tolist() == [0.0]


@pytest.mark.parametrize("n", [4, 5, 9])
def test_every_half_is_equally_likely(n):
    rng = np.random.default_rng(n)
    draws = 5_000
    seen = [tuple(np.flatnonzero(_half(rng, n))) for _ in range(draws)]
    halves = list(itertools.combinations(range(n), n // 2))
    expected = draws / len(halves)
    statistic = sum((seen.count(half) - expected) ** 2 / expected for half in halves)
    # A false alarm in one of ten thousand seeds.
    assert statistic < chi2.ppf(0.9999, len(halves) - 1)
    assert set(seen) == set(halves)
