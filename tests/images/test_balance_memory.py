"""The balance test holds a bounded number of permutations at a time, and they change nothing."""

import tracemalloc

import numpy as np
import pytest

from causalkit.images import balance
from causalkit.images.balance import balance_test


def trial(n, *, per_group=1, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6))
    treatment = (rng.random(n) < 1.0 / (1.0 + np.exp(-0.3 * features[:, 0]))).astype(float)
    return features, treatment, np.arange(n) // per_group


def test_permutations_of_many_rows_are_not_held_all_at_once():
    """At once they take 800 bytes a row in each of several arrays, 76 MiB here."""
    features, treatment, groups = trial(100_000)
    even = np.full(groups.size, 0.5)
    tracemalloc.start()
    balance_test(
        features,
        treatment,
        groups,
        propensity=even,
        n_permutations=99,
        rng=np.random.default_rng(1),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 75 * 2**20


def test_permutations_in_blocks_are_those_of_one_block(monkeypatch):
    features, treatment, groups = trial(500, per_group=3)
    even = np.full(groups.size, 0.5)

    def tested():
        rng = np.random.default_rng(1)
        return balance_test(features, treatment, groups, propensity=even, rng=rng)

    whole = tested()
    monkeypatch.setattr(balance, "_BLOCK", 7 * groups.size)
    parts = tested()
    assert parts.correlation == pytest.approx(whole.correlation, rel=1e-12)
    assert 0.0 < parts.p_value == whole.p_value < 1.0


def test_the_correlation_is_that_of_ridge_regressions_on_other_groups():
    features, treatment, groups = trial(400)
    # Of folds that balance_test draws first.
    fold = np.random.default_rng(1).permutation(400) % 5
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    y, fitted = treatment - 0.5, np.empty(400)
    for number in range(5):
        train, test = x[fold != number], fold == number
        centre = y[~test].mean()
        gram = train.T @ train
        gram += 0.1 * np.trace(gram) / 6 * np.eye(6)
        fitted[test] = x[test] @ np.linalg.solve(gram, train.T @ (y[~test] - centre)) + centre
    found = balance_test(
        features,
        treatment,
        groups,
        propensity=np.full(400, 0.5),
        n_permutations=1,
        rng=np.random.default_rng(1),
    )
    assert found.correlation == pytest.approx(np.corrcoef(y, fitted)[0, 1], rel=1e-9)
