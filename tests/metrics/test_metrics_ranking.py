"""Rankings against published values, the definition written as loops, and all half samples."""

import itertools
import math

import numpy as np
import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.metrics import autoc, qini, rank_effects, toc, toc_difference_in_means

SCORES = [1.0, 2.0, 3.0, 4.0]


def by_definition(priority, score, weight) -> tuple[float, float]:
    """AUTOC and QINI of weighted units as double sums, ties broken in every order."""
    units = [i for i in range(len(score)) if weight[i] > 0]
    tied: dict[float, list[int]] = {}
    for i in units:
        tied.setdefault(priority[i], []).append(i)
    mean_of_tie = {
        p: sum(weight[i] * score[i] for i in group) / sum(weight[i] for i in group)
        for p, group in tied.items()
    }
    total = sum(weight[i] for i in units)
    mean = sum(weight[i] * score[i] for i in units) / total
    area = area_q = held = gained = 0.0
    for i in sorted(units, key=lambda i: -priority[i]):
        held += weight[i]
        gained += weight[i] * mean_of_tie[priority[i]]
        area += weight[i] / total * (gained / held - mean)
        area_q += weight[i] / total * held / total * (gained / held - mean)
    return area, area_q


@pytest.mark.parametrize(
    ("priority", "weights", "area", "area_q", "curve"),
    [
        ([1, 2, 3, 4], None, 0.75, 0.3125, [1.5, 1.0, 0.5, 0.0]),
        ([1, 1, 2, 2], None, 0.583333, 0.25, [1.0, 1.0, 1 / 3, 0.0]),
        ([1, 2, 3, 4], [1, 2, 1, 2], 0.722222, 0.324074, None),
        ([1, 1, 1, 1], None, 0.0, 0.0, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_exact_values_of_four_units(priority, weights, area, area_q, curve):
    assert autoc(priority, SCORES, weights=weights) == pytest.approx(area, abs=5e-7)
    assert qini(priority, SCORES, weights=weights) == pytest.approx(area_q, abs=5e-7)
    if curve is not None:
        assert toc(priority, SCORES, q=[0.25, 0.5, 0.75, 1.0]) == pytest.approx(curve, abs=1e-15)


def test_a_weighted_curve_is_over_fractions_of_weight():
    found = toc([1, 2, 3, 4], SCORES, q=[2 / 6, 3 / 6, 5 / 6, 1.0], weights=[1, 2, 1, 2])
    assert found == pytest.approx([4 / 3, 1.0, 1 / 3, 0.0], abs=1e-14)


def test_a_unit_that_the_fraction_cuts_counts_in_part():
    # Top 3/8 of four units: all of the 4 and half of the 3.
    expected = (4.0 + 0.5 * 3.0) / 1.5 - 2.5
    assert toc([1, 2, 3, 4], SCORES, q=0.375)[0] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_areas_are_the_double_sums_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    priority, score = rng.integers(0, 8, 30).astype(float), 5.0 + rng.normal(size=30)
    weight = rng.integers(0, 4, 30).astype(float)
    found = autoc(priority, score, weights=weight), qini(priority, score, weights=weight)
    assert found == pytest.approx(by_definition(priority, score, weight), abs=1e-12)


def test_population_values_of_normal_effects_ranked_by_themselves():
    tau = np.random.default_rng(0).normal(size=400_000)
    assert autoc(tau, tau) == pytest.approx(0.903197, abs=0.006)
    assert qini(tau, tau) == pytest.approx(1 / (2 * math.sqrt(math.pi)), abs=0.003)


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_population_values_of_two_types(p):
    n = 100_000
    tau = 3.0 * (np.arange(n) < p * n)
    assert autoc(tau, tau) == pytest.approx(-3.0 * p * math.log(p), rel=1e-3)
    assert qini(tau, tau) == pytest.approx(3.0 * p * (1 - p) / 2, rel=1e-3)


def test_the_opposite_ranking_has_the_opposite_qini():
    rng = np.random.default_rng(1)
    priority, score = rng.normal(size=(2, 50))
    assert qini(-priority, score) == pytest.approx(-qini(priority, score), abs=1e-13)


def test_a_large_common_effect_does_not_blur_a_ranking():
    # Scores in steps of 2^-10 keep all their bits beside 2^40.
    rng = np.random.default_rng(10)
    priority, score = rng.normal(size=200), rng.integers(0, 4096, 200) / 1024
    assert autoc(priority, score + 2.0**40) == pytest.approx(autoc(priority, score), abs=1e-10)
    assert qini(priority, score + 2.0**40) == pytest.approx(qini(priority, score), abs=1e-10)


def test_half_sample_errors_are_the_spread_over_all_half_samples():
    rng = np.random.default_rng(2)
    priority, score = rng.integers(0, 4, 12).astype(float), rng.normal(size=12)
    clusters = np.repeat(list("abcdef"), 2)
    halves = [
        by_definition(priority, score, np.isin(clusters, half).astype(float))
        for half in itertools.combinations("abcdef", 3)
    ]
    expected = np.std(halves, axis=0)
    found = rank_effects(
        priority, score, clusters=clusters, draws=8000, rng=np.random.default_rng(3)
    )
    assert (found.autoc_se, found.qini_se) == pytest.approx(tuple(expected), rel=0.04)
    assert (found.n_clusters, found.draws) == (6, 8000)


def test_an_odd_number_of_clusters_is_halved_downwards():
    rng = np.random.default_rng(4)
    priority, score = rng.normal(size=(2, 5))
    halves = [
        by_definition(priority, score, np.isin(np.arange(5), half).astype(float))
        for half in itertools.combinations(range(5), 2)
    ]
    found = rank_effects(priority, score, draws=8000, rng=np.random.default_rng(5))
    assert found.autoc_se == pytest.approx(np.std(halves, axis=0)[0], rel=0.04)


def test_half_sample_errors_are_the_spread_over_data_sets():
    rng = np.random.default_rng(6)
    fits = []
    for _ in range(300):
        tau = rng.normal(size=400)
        fits.append(rank_effects(tau, tau + rng.normal(size=400), rng=rng, draws=50))
    for name in ("qini", "autoc"):
        values = np.array([getattr(fit, name) for fit in fits])
        told = np.sqrt(np.mean([getattr(fit, f"{name}_se") ** 2 for fit in fits]))
        # Four standard errors of a standard deviation from 300 data sets, below and above.
        assert told == pytest.approx(values.std(ddof=1), rel=4 / math.sqrt(600))
    curves = np.array([fit.toc for fit in fits])
    told = np.sqrt(np.mean([fit.toc_se**2 for fit in fits], axis=0))
    assert told[:-1] == pytest.approx(curves[:, :-1].std(axis=0, ddof=1), rel=4 / math.sqrt(600))


def test_repeated_units_have_larger_errors_when_their_cluster_is_told():
    rng = np.random.default_rng(7)
    tau = rng.normal(size=100)
    score = np.repeat(tau + rng.normal(size=100), 9)
    group = np.repeat(np.arange(100), 9)
    apart = rank_effects(np.repeat(tau, 9), score, rng=rng)
    together = rank_effects(np.repeat(tau, 9), score, rng=rng, clusters=group)
    # Nine copies look like nine times the data: errors too small by three.
    assert together.qini_se / apart.qini_se == pytest.approx(3.0, rel=0.3)
    assert together.qini == apart.qini


def test_the_report_holds_the_curve_and_repeats_itself_under_one_seed():
    rng = np.random.default_rng(8)
    priority, score = rng.normal(size=(2, 40))
    first = rank_effects(priority, score, rng=np.random.default_rng(9))
    again = rank_effects(priority, score, rng=np.random.default_rng(9))
    assert (first.autoc, first.qini) == (autoc(priority, score), qini(priority, score))
    assert np.array_equal(first.toc, toc(priority, score))
    assert first.q.tolist() == [k / 10 for k in range(1, 11)]
    assert (first.autoc_se, first.toc_se.tolist()) == (again.autoc_se, again.toc_se.tolist())
    assert first.toc[-1] == pytest.approx(0.0, abs=1e-14)


def test_differences_in_means_rank_randomised_effects():
    priority = np.array([8, 7, 6, 5, 4, 3, 2, 1], dtype=float)
    treated = np.array([1, 0, 1, 0, 1, 0, 1, 0])
    outcome = np.array([9.0, 1.0, 7.0, 3.0, 4.0, 2.0, 2.0, 2.0])
    # Top half: 8 - 2; all: 5.5 - 2.
    found = toc_difference_in_means(
        priority, outcome, treated, randomised=True, q=[0.125, 0.5, 1.0]
    )
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([2.5, 0.0])


def test_differences_in_means_need_the_word_that_treatment_was_randomised():
    with pytest.raises(ArgumentError, match="pass randomised=True if this is one, else doubly"):
        toc_difference_in_means([1.0, 2.0], [1.0, 2.0], [0, 1], randomised=False)
    with pytest.raises(ArgumentError, match="both zeros and ones"):
        toc_difference_in_means([1.0, 2.0], [1.0, 2.0], [1, 1], randomised=True)
    with pytest.raises(ArgumentError, match="break the ties"):
        toc_difference_in_means([1.0, 1.0], [1.0, 2.0], [0, 1], randomised=True)


@pytest.mark.parametrize("clustered", [False, True])
def test_units_without_weight_are_neither_units_nor_clusters(clustered):
    rng = np.random.default_rng(3)
    priority, score = rng.standard_normal((2, 60))
    weights = np.where(np.arange(60) % 3 == 0, 0.0, rng.uniform(0.5, 2.0, 60))
    # Of the clusters of two rows, one in three has no weight at all.
    weights[np.arange(60) // 2 % 3 == 0] = 0.0
    clusters = np.arange(60) // 2 if clustered else None
    kept = weights > 0
    every = rank_effects(
        priority, score, weights=weights, clusters=clusters, rng=np.random.default_rng(0)
    )
    some = rank_effects(
        priority[kept],
        score[kept],
        weights=weights[kept],
        clusters=None if clusters is None else clusters[kept],
        rng=np.random.default_rng(0),
    )
    assert every.n_clusters == some.n_clusters == (20 if clustered else kept.sum())
    for name in ("autoc", "qini", "autoc_se", "qini_se", "toc", "toc_se"):
        np.testing.assert_allclose(getattr(every, name), getattr(some, name), rtol=1e-9, atol=1e-12)


def test_what_is_no_number_is_named():
    with pytest.raises(ArgumentTypeError, match="priority must hold numbers, and cannot be read"):
        autoc(["a"], [1.0])
    with pytest.raises(ArgumentTypeError, match="q must hold numbers"):
        toc([1.0, 2.0], [1.0, 2.0], q="abc")


def test_rankings_refuse_what_they_cannot_use():
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="score is nan in 1 of 2"):
        autoc([1.0, 2.0], [math.nan, 1.0])
    with pytest.raises(ArgumentError, match="lengths differ: priority 1, score 2"):
        qini([1.0], [1.0, 2.0])
    with pytest.raises(ArgumentError, match="fractions above 0"):
        toc([1.0, 2.0], [1.0, 2.0], q=[0.0, 0.5])
    with pytest.raises(ArgumentError, match="at least one unit"):
        autoc([1.0], [1.0], weights=[-1.0])
    with pytest.raises(ArgumentError, match="at least 4 clusters, got 2"):
        rank_effects(SCORES, SCORES, rng=rng, clusters=[0, 0, 1, 1])
    with pytest.raises(ArgumentError, match="one label for each of 4 units"):
        rank_effects(SCORES, SCORES, rng=rng, clusters=[0, 1])
    with pytest.raises(ArgumentError, match="half samples need at least 4 clusters, got 1"):
        rank_effects(SCORES, SCORES, rng=rng, weights=[1.0, 0.0, 0.0, 0.0])
