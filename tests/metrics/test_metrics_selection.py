"""Choices of one fit: counting by hand, brute-force matching, and the definition of ARI."""

import itertools
import math

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    adjusted_rand,
    bias_against_oracle,
    matched_clusters,
    matched_effect_rmse,
    nmi,
    selection_precision,
    selection_recall,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
LABELS_HAT = np.array([2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1, 1])


def pairs_index(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index from all pairs of units (Hubert & Arabie, eq. 5)."""
    pairs = list(itertools.combinations(range(a.size), 2))
    in_a = np.array([a[i] == a[j] for i, j in pairs])
    in_b = np.array([b[i] == b[j] for i, j in pairs])
    chance = in_a.sum() * in_b.sum() / len(pairs)
    return ((in_a & in_b).sum() - chance) / ((in_a.sum() + in_b.sum()) / 2 - chance)


def test_precision_and_recall_of_selected_instruments():
    valid = [True, True, True, True, False, False]
    selected = [True, True, False, False, True, False]
    assert selection_precision(selected, valid) == pytest.approx(2 / 3)
    assert selection_recall(selected, valid) == pytest.approx(2 / 4)


def test_precision_of_nothing_and_recall_of_nothing_are_undefined():
    nothing, some = [False, False], [True, False]
    assert math.isnan(selection_precision(nothing, some))
    assert selection_recall(nothing, some) == 0.0
    assert math.isnan(selection_recall(some, nothing))
    assert selection_precision(some, nothing) == 0.0


def test_positions_are_not_a_mask():
    with pytest.raises(ArgumentError, match=r"selected must say yes or no .* not list positions"):
        selection_precision([0, 2, 5], [True, True, False])
    with pytest.raises(ArgumentError, match="lengths differ: selected 1, valid 2"):
        selection_recall([True], [True, False])


def test_adjusted_rand_counts_pairs_and_ignores_names():
    assert adjusted_rand(LABELS_HAT, LABELS) == pytest.approx(pairs_index(LABELS_HAT, LABELS))
    assert adjusted_rand(np.array(["c", "a", "b"])[LABELS], LABELS) == 1.0


def test_mutual_information_over_the_mean_entropy():
    table = np.array([[1, 0, 3], [4, 0, 0], [0, 4, 0]]) / 12
    table[1] = np.array([3, 1, 0]) / 12
    rows, columns = table.sum(1), table.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.nansum(table * np.log(table / np.outer(rows, columns)))
    entropies = [-(p * np.log(p)).sum() for p in (rows, columns)]
    assert nmi(LABELS_HAT, LABELS) == pytest.approx(information / np.mean(entropies))
    assert nmi(LABELS, LABELS) == pytest.approx(1.0)


def test_clusters_are_matched_by_the_units_they_share():
    assert matched_clusters(LABELS_HAT, LABELS, k_hat=3, k=3).tolist() == [2, 0, 1]
    # An estimated cluster too many stays alone; one too few leaves a true one alone.
    assert matched_clusters(LABELS_HAT, LABELS, k_hat=4, k=3).tolist() == [2, 0, 1]
    merged = np.where(LABELS == 2, 1, LABELS)
    assert matched_clusters(merged, LABELS, k_hat=2, k=3).tolist().count(-1) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_shares_most_units_of_all_permutations(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (2, 40))
    best = max(
        sum(((b == k) & (a == p[k])).sum() for k in range(4))
        for p in itertools.permutations(range(4))
    )
    found = matched_clusters(a, b, k_hat=4, k=4)
    assert sorted(found.tolist()) == [0, 1, 2, 3]
    assert (found[b] == a).sum() == best


def test_effect_error_after_matching():
    # Partners 2, 0, 1: gaps 0.5, -1, 0, each with a third of the units.
    found = matched_effect_rmse(
        LABELS_HAT, LABELS, effects_hat=[1.0, 3.0, 0.5], effects=[0.0, 2.0, 3.0]
    )
    assert found == pytest.approx(math.sqrt((0.25 + 1.0) / 3))


def test_effect_error_weighs_clusters_by_their_units():
    labels = np.array([0, 1, 1, 1])
    found = matched_effect_rmse(labels, labels, effects_hat=[3.0, 1.0], effects=[1.0, 0.0])
    assert found == pytest.approx(math.sqrt(4.0 / 4 + 3 / 4))
    # A type that holds nobody costs nothing.
    empty = matched_effect_rmse(labels, labels, effects_hat=[3.0, 1.0], effects=[1.0, 0.0, 9.0])
    assert empty == found


def test_merged_clusters_have_no_effect_error():
    merged = np.where(LABELS == 2, 1, LABELS)
    with pytest.raises(ArgumentError, match="2 estimated clusters leave 1 of 3 true ones"):
        matched_effect_rmse(merged, LABELS, effects_hat=[1.0, 2.0], effects=[0.0, 2.0, 3.0])


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_labels_are_named(missing):
    known = np.array(["a", "b", "c"], dtype=object)
    holed = known.copy()
    holed[1] = missing
    with pytest.raises(ArgumentError, match=r"labels_hat is missing for 1 of 3 .*position 1\)"):
        adjusted_rand(holed, known)
    with pytest.raises(ArgumentError, match=r"labels is missing for 1 of 3 units"):
        adjusted_rand(known, holed)


def test_labels_out_of_range_are_named():
    with pytest.raises(ArgumentError, match="labels_hat must be whole numbers from 0 to 1"):
        matched_clusters(LABELS_HAT, LABELS, k_hat=2, k=3)
    with pytest.raises(
        ArgumentError, match=r"k_hat must be a whole number of at least 1, got 2\.5"
    ):
        matched_clusters(LABELS_HAT, LABELS, k_hat=2.5, k=3)
    with pytest.raises(ArgumentError, match=r"got shapes \(1,\) and \(2,\)"):
        adjusted_rand([1], [1, 2])


def test_the_oracle_shares_the_luck_of_the_data():
    luck = np.array([0.5, -1.0, 0.25, 2.0, -0.75])
    own = np.array([0.1, 0.0, 0.2, 0.1, 0.1])
    measure = bias_against_oracle(luck + own, luck)
    assert measure.value == pytest.approx(0.1)
    assert measure.mcse == pytest.approx(np.std(own, ddof=1) / math.sqrt(5))
