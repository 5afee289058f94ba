"""Degrees of freedom of differences of arms: Welch's, and that few rows are told as few."""

import numpy as np
import pytest
from scipy import stats

from causalkit.inference.arm_means import arm_means, freedom_by_arm, freedom_of_mean
from causalkit.inference.variance import sandwich


def difference(y, arm, weight=None, **how):
    """Difference of two means, with its influence, leverage inside."""
    chances, told = np.full((y.size, 2), 0.5), {"weight": weight} | how
    found = arm_means(y, arm, mu=np.zeros((y.size, 2)), propensity=chances, **told)
    score, leverage = (part @ [-1.0, 1.0] for part in found)
    mean = np.average(score, weights=weight)
    share = np.ones(y.size) if weight is None else weight / weight.mean()
    return mean, (share * (score + leverage - mean))[:, None]


def test_two_means_have_the_degrees_of_welch():
    rng = np.random.default_rng(0)
    arm = np.repeat([0, 1], [30, 6])
    y = rng.standard_normal(36) * np.where(arm, 2.0, 1.0)
    _, influence = difference(y, arm)
    found = freedom_by_arm(influence, arm, np.ones((36, 1)))
    rows, variance = np.array([30, 6]), np.array([y[arm == k].var() for k in (0, 1)])
    squares = variance / (1.0 - 1.0 / rows) ** 2 / rows  # HC3: residuals by what is left of one
    welch = squares.sum() ** 2 / (squares**2 / (rows - 1)).sum()
    assert found == pytest.approx([welch], rel=1e-12)
    assert welch < 10.0


def test_rows_of_one_arm_are_worth_their_number_or_less():
    assert freedom_of_mean(np.full(8, 3.0)) == pytest.approx(7.0)
    assert freedom_of_mean(np.array([2.0, 1.0, 1.0])) == pytest.approx(16.0 / 6.0 - 1.0)
    assert freedom_of_mean(np.array([1.0, 1e-9])) == 1.0
    twos = np.repeat(np.arange(4), 2)
    assert freedom_of_mean(np.ones(8), [twos]) == pytest.approx(3.0)
    assert freedom_of_mean(np.ones(8), [twos, np.arange(8)]) == pytest.approx(3.0)


@pytest.mark.parametrize("clustered", [False, True])
def test_counted_rows_are_those_repeated_in_any_order_and_scale(clustered):
    rng = np.random.default_rng(1)
    y, arm, counts = rng.standard_normal(40), np.arange(40) % 2, rng.integers(0, 4, 40)
    codes, rows = rng.integers(0, 12, 40), rng.permutation(np.repeat(np.arange(40), counts))
    weight = counts.astype(float)
    how = {"clusters": [codes] if clustered else [], "multiplicity": weight}
    found = freedom_by_arm(difference(y, arm, weight, **how)[1], arm, weight[:, None], **how)
    each = {"clusters": [codes[rows]] if clustered else []}
    repeated = difference(y[rows], arm[rows], np.full(rows.size, 7.0), **each)[1]
    loads = np.full((rows.size, 1), 7.0)
    assert found == pytest.approx(freedom_by_arm(repeated, arm[rows], loads, **each), rel=1e-9)


def test_rows_that_an_effect_is_not_of_have_no_part_in_it():
    rng = np.random.default_rng(2)
    arm, inside = np.arange(60) % 3, (np.arange(60) < 24).astype(float)
    influence = rng.standard_normal((60, 1)) * inside[:, None]
    found = freedom_by_arm(influence, arm, inside[:, None])
    mine = inside > 0.0
    alone = freedom_by_arm(influence[mine], arm[mine], np.ones((24, 1)))
    assert found == pytest.approx(alone, rel=1e-9)


def test_clusters_bound_the_degrees_of_arms_within_them():
    rng = np.random.default_rng(3)
    arm, codes = np.arange(80) % 2, np.arange(80) // 8
    influence = rng.standard_normal((80, 1))
    found = freedom_by_arm(influence, arm, np.ones((80, 1)), clusters=[codes])
    assert found == pytest.approx([9.0])


def test_intervals_hold_where_few_rows_got_an_arm():
    """Five of fifty, with three times the noise; as if all rows told the error, 92 %."""
    arm, held = (np.arange(50) < 5).astype(int), []
    for seed in range(1000):
        y = np.random.default_rng(seed).standard_normal(50) * np.where(arm, 3.0, 1.0)
        estimate, influence = difference(y, arm)
        error = np.sqrt(sandwich(influence)[0, 0])
        degrees = np.append(freedom_by_arm(influence, arm, np.ones((50, 1))), 49.0)
        held.append(abs(estimate) < stats.t.ppf(0.975, degrees) * error)
    ours, pooled = np.mean(held, axis=0)
    assert 0.95 < ours < 0.98
    assert pooled < 0.935
