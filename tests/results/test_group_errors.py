"""Errors of group effects count the group alone: t intervals, Welch, and coverage."""

import numpy as np
import pytest
from scipy import stats

from causalkit.errors import IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import freedom_within, sandwich
from causalkit.results import effect_from_solutions
from causalkit.scores import LinearScore

FACTS = {"estimand": "gate", "estimator": "test", "outcome": "y", "treatment": ("d",)}


def means(score, labels, **settings):
    """Mean score of every group; of several columns of scores, group by group in each."""
    basis = np.eye(labels.max() + 1)[labels][:, None]
    known = {"terms": tuple("abcd")[: labels.max() + 1], "cov_type": "robust", **FACTS}
    weights = settings.pop("weights", None)
    solutions = solve_linear(LinearScore(basis, basis, score[:, None]), weights=weights)
    return effect_from_solutions(solutions, **(known | settings))


def small_groups(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [3, 12, 60])
    return rng.standard_normal(75) * np.array([1.0, 2.0, 0.5])[labels], labels


def test_the_interval_of_a_group_is_the_t_interval_of_its_mean():
    score, labels = small_groups()
    found = means(score, labels)
    for place, (low, high) in enumerate(np.column_stack(found.bounds())):
        own = score[labels == place]
        peer = stats.ttest_1samp(own, 0.0)
        assert (low, high) == pytest.approx(tuple(peer.confidence_interval(0.95)), rel=1e-9)
        assert found.p_values()[place] == pytest.approx(peer.pvalue, rel=1e-9)
    np.testing.assert_array_equal(found.df_by_term, [2, 11, 59])
    assert found.inference.endswith("small-sample factor n/(n-k) of each group")


def test_the_interval_of_a_group_of_clusters_is_that_of_their_sums():
    """Clusters of one size: the mean of a group is that of its clusters' means."""
    rng = np.random.default_rng(1)
    codes, labels = np.repeat(np.arange(25), 4), np.repeat([0, 1], [12, 88])
    score = rng.standard_normal(25)[codes] + rng.standard_normal(100)
    found = means(score, labels, clusters=(codes,), cov_type="clustered")
    by_cluster = score.reshape(25, 4).mean(axis=1)
    for place, own in enumerate((by_cluster[:3], by_cluster[3:])):
        peer = stats.ttest_1samp(own, 0.0).confidence_interval(0.95)
        assert tuple(np.array(found.bounds())[:, place]) == pytest.approx(tuple(peer), rel=1e-9)


def test_differences_of_groups_are_welchs():
    score, labels = small_groups()
    found = means(score, labels)
    pairs, sums = found.pairwise(), found.combine([{"a": 1, "b": -1}, {"a": 1, "c": -1}])
    for place, (first, second) in enumerate(((0, 1), (0, 2), (1, 2))):
        peer = stats.ttest_ind(score[labels == first], score[labels == second], equal_var=False)
        assert pairs.df_by_term[place] == pytest.approx(peer.df, rel=1e-9)
        assert pairs.p_values(kind="t")[place] == pytest.approx(peer.pvalue, rel=1e-9)
    np.testing.assert_allclose(sums.df_by_term, pairs.df_by_term[:2])
    # A pair of large groups is as narrow as without the small one.
    alone = means(score[3:], labels[3:] - 1).pairwise()
    wide = np.ptp(np.array(pairs.bounds(kind="t"))[:, 2])
    assert wide == pytest.approx(np.ptp(alone.conf_int(kind="t")), rel=1e-9)


def test_groups_that_share_clusters_have_covariances_and_the_least_degrees():
    rng = np.random.default_rng(2)
    codes, labels = np.repeat(np.arange(10), 4), np.tile([0, 0, 0, 1], 10)
    labels[codes > 5] = 0
    found = means(rng.standard_normal(40), labels, clusters=(codes,), cov_type="clustered")
    np.testing.assert_array_equal(found.df_by_term, [9, 5])
    assert found.vcov[0, 1] != 0.0
    assert found.combine({"a": 1, "b": -1}).df == 5.0
    sums = np.array([found.influence[codes == g].sum(axis=0) for g in range(10)])
    factor = np.sqrt(np.array([10 / 9, 6 / 5]))
    np.testing.assert_allclose(found.vcov, np.outer(factor, factor) * (sums.T @ sums) / 1600)


def test_rows_that_stand_for_several_are_as_many():
    score, labels = small_groups()
    counts = np.random.default_rng(3).integers(1, 4, 75).astype(float)
    found = means(score, labels, weights=counts, multiplicity=counts)
    repeated = means(*(np.repeat(part, counts.astype(int)) for part in (score, labels)))
    np.testing.assert_allclose(found.vcov, repeated.vcov, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(found.df_by_term, repeated.df_by_term)


def test_a_group_loses_its_share_of_the_effects_absorbed():
    """Of units absorbed in groups of whole units, each group is a regression of its own."""
    rng = np.random.default_rng(4)
    unit, labels = np.repeat(np.arange(30), 3), np.repeat([0, 1], [15, 75])
    score = rng.standard_normal(90)
    found = means(score, labels, n_absorbed=30)
    np.testing.assert_allclose(found.df_by_term, [15 - 5 - 1, 75 - 25 - 1])
    own = score[labels == 0]
    alone = sandwich((own - own.mean())[:, None], n_params=1 + np.unique(unit[labels == 0]).size)
    assert found.vcov[0, 0] == pytest.approx(alone[0, 0], rel=1e-9)


def test_two_ways_of_clustering_count_the_scarcer_within_the_group():
    first, second = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    within = np.column_stack([first < 3, first >= 0])
    np.testing.assert_array_equal(freedom_within(within, (first, second)), [2, 3])


def test_a_group_within_one_cluster_is_named():
    codes, labels = np.repeat(np.arange(5), 4), np.repeat([0, 1], [4, 16])
    score = np.random.default_rng(5).standard_normal(20)
    with pytest.raises(IdentificationError, match=r"group a lies within a single cluster of city"):
        means(score, labels, clusters=(codes,), cluster_names=("city",), cov_type="clustered")


def test_scores_that_are_all_equal_have_no_error():
    found = means(np.ones(6), np.repeat([0, 1], 3))
    np.testing.assert_array_equal(found.std_errors, [0.0, 0.0])


@pytest.mark.parametrize(("rows", "clustered"), [(2, False), (5, False), (3, True)])
def test_intervals_of_small_groups_cover(rows, clustered):
    held = []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        if clustered:
            codes = np.repeat(np.arange(20), 5)
            score = rng.standard_normal(20)[codes] + rng.standard_normal(100)
            how = {"clusters": (codes,), "cov_type": "clustered"}
            found = means(score, (codes >= rows).astype(int), **how)
        else:
            found = means(rng.standard_normal(60), (np.arange(60) >= rows).astype(int))
        low, high = found.bounds()
        held.append(low[0] < 0.0 < high[0])
    # Three Monte-Carlo errors; with the rows of everybody 59 % of pairs cover.
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 600))
