"""Errors of averages of arms count what each row or cluster takes of the mean that it follows."""

import numpy as np
import pytest
from normalised_averages import left_out, mean_outcome
from scipy import stats
from scipy.special import expit

from causalkit.errors import IdentificationError
from causalkit.inference.arm_means import arm_mean, arm_means
from causalkit.inference.variance import sandwich


@pytest.mark.parametrize("weighted", [False, True])
def test_leverage_adds_to_the_influence_of_clusters_what_leaving_them_out_does(weighted):
    """Networks that say zero, so that the mean is that of residuals alone."""
    rng = np.random.default_rng(0)
    y, arm, chances = rng.standard_normal(60), rng.integers(0, 2, 60), rng.uniform(0.2, 0.8, 60)
    weight = rng.uniform(0.5, 2.0, 60) if weighted else np.ones(60)
    first, second = np.arange(60) // 5, np.arange(60) // 20
    given = {"mu": np.zeros(60), "propensity": chances, "weight": weight}

    def estimate(share):
        return mean_outcome(y, arm == 1, np.zeros(60), chances, share)

    for codes in (first, second):
        score, leverage = arm_mean(y, arm == 1, **given, clusters=[codes])
        told = weight / weight.sum() * (score + leverage - estimate(weight))
        moved = left_out(estimate, weight, codes)
        np.testing.assert_allclose(np.bincount(codes, told), moved, atol=1e-12)
    two_way = arm_mean(y, arm == 1, **given, clusters=[first, second])[1]
    np.testing.assert_allclose(two_way, leverage, rtol=1e-12)  # coarser clusters carry more


def test_a_row_that_stands_for_several_is_left_out_one_at_a_time():
    rng = np.random.default_rng(0)
    y, arm, chances = rng.standard_normal(40), np.arange(40) % 2, rng.uniform(0.2, 0.8, 40)
    times = rng.integers(1, 4, 40)
    counted = arm_mean(
        y, arm == 1, mu=np.zeros(40), propensity=chances, weight=times, multiplicity=times
    )
    rows = np.repeat(np.arange(40), times)
    repeated = arm_mean(y[rows], arm[rows] == 1, mu=np.zeros(rows.size), propensity=chances[rows])
    for one, many in zip(counted, repeated, strict=True):
        np.testing.assert_allclose(one[rows], many, rtol=1e-10)


def test_an_arm_that_one_cluster_carries_has_no_error():
    arm = np.array([1, 1, 0, 0])
    with pytest.raises(IdentificationError, match=r"one cluster carries 100\.0% of the mean"):
        arm_mean(
            np.arange(4.0),
            arm == 1,
            mu=np.zeros(4),
            propensity=np.full(4, 0.5),
            clusters=[np.array([0, 0, 1, 2])],
        )


def test_an_arm_without_weight_has_no_mean():
    arm, weight = np.array([1, 1, 0, 0]), np.array([0.0, 0.0, 1.0, 1.0])
    given = {"mu": np.zeros(4), "propensity": np.full(4, 0.5), "weight": weight}
    with pytest.raises(IdentificationError, match="no row of an arm has weight"):
        arm_mean(np.arange(4.0), arm == 1, **given)


def test_errors_of_few_clusters_with_learned_propensities_hold():
    """Twenty clusters, half of them treated, and log odds learned of a covariate that says nothing.

    Without leverage the intervals of 95 % held 90 %; the band has three Monte-Carlo errors.
    """
    held = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(20), rng.integers(5, 45, 20))
        arm = rng.permutation(np.arange(20) % 2)[codes]
        y = rng.standard_normal(20)[codes] + rng.standard_normal(codes.size)
        chance = expit(rng.standard_normal(20))[codes]  # as good as learned: it knows nothing
        chances, mu = np.column_stack([1.0 - chance, chance]), np.zeros((codes.size, 2))
        score, leverage = arm_means(y, arm, mu=mu, propensity=chances, clusters=[codes])
        effect = score[:, 1] - score[:, 0]
        told = effect - effect.mean() + leverage[:, 1] - leverage[:, 0]
        error = np.sqrt(sandwich(told[:, None], [codes])[0, 0])
        held.append(abs(effect.mean()) < stats.t.ppf(0.975, 19) * error)
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 400))
