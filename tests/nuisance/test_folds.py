import numpy as np
import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.nuisance.folds import FoldKeys, draw_folds, external_folds, units_torn_apart


def panel_keys(n_units=30, n_periods=12):
    return FoldKeys(
        n_units * n_periods,
        unit=np.repeat(np.arange(n_units), n_periods),
        period=np.tile(np.arange(n_periods), n_units),
    )


@pytest.mark.parametrize(
    "rule", ["unit", "observation", "period", "time_block", "neighbors_left_out", "unit_time"]
)
def test_every_row_is_tested_once_and_never_trains_its_own_fold(rule):
    folds = draw_folds(panel_keys(), rule=rule, n_folds=4, n_rep=2, seed=1)
    for repeat in range(2):
        tested = np.zeros(360, dtype=int)
        for train, test in folds.splits(repeat):
            tested[test] += 1
            assert not np.intersect1d(train, test).size
        assert (tested == 1).all()


def test_unit_split_keeps_units_together_and_inner_folds_do_too():
    keys = panel_keys()
    folds = draw_folds(keys, rule="unit", n_folds=5, seed=3)
    for labels in (folds.fold_ids()[0], folds.inner[0]):
        for unit in range(30):
            assert np.unique(labels[keys.unit == unit]).size == 1
    assert units_torn_apart(folds, keys.unit).size == 0


def test_unit_folds_have_near_equal_unit_counts():
    keys = panel_keys(n_units=33)
    ids = draw_folds(keys, rule="unit", n_folds=5, seed=3).fold_ids()[0]
    counts = [np.unique(keys.unit[ids == fold]).size for fold in range(5)]
    assert max(counts) - min(counts) <= 1


def test_unit_time_trains_only_where_both_unit_and_period_are_unseen():
    keys = panel_keys()
    folds = draw_folds(keys, rule="unit_time", n_folds=3, seed=0)
    assert folds.n_folds == 9
    for train, test in folds.splits(0):
        assert not np.intersect1d(keys.unit[train], keys.unit[test]).size
        assert not np.intersect1d(keys.period[train], keys.period[test]).size


def test_neighbours_of_the_test_block_do_not_train():
    keys = panel_keys(n_periods=20)
    folds = draw_folds(keys, rule="neighbors_left_out", n_folds=10)
    for train, test in folds.splits(0):
        gap = np.abs(keys.period[train][:, None] - np.unique(keys.period[test])[None, :]).min()
        assert gap > 2  # blocks of two periods: a whole block lies between


def test_observation_folds_do_not_depend_on_the_order_of_rows():
    keys = panel_keys()
    shuffle = np.random.default_rng(0).permutation(keys.n)
    shuffled = FoldKeys(keys.n, unit=keys.unit[shuffle], period=keys.period[shuffle])
    plain = draw_folds(keys, rule="observation", n_folds=5, seed=2).fold_ids()[0]
    moved = draw_folds(shuffled, rule="observation", n_folds=5, seed=2).fold_ids()[0]
    np.testing.assert_array_equal(plain[shuffle], moved)


def test_clusters_are_not_torn_apart():
    keys = panel_keys()
    cluster = keys.unit // 3
    with_cluster = FoldKeys(keys.n, unit=keys.unit, period=keys.period, cluster=cluster)
    folds = draw_folds(with_cluster, rule="unit", n_folds=5, seed=1)
    assert units_torn_apart(folds, cluster).size == 0


def test_external_folds_give_back_the_same_sets():
    rng = np.random.default_rng(5)
    parts = np.array_split(rng.permutation(100), 4)
    splits = [[(np.setdiff1d(np.arange(100), part), np.sort(part)) for part in parts]]
    folds = external_folds(splits, FoldKeys(100))
    for (train, test), (want_train, want_test) in zip(folds.splits(0), splits[0], strict=True):
        np.testing.assert_array_equal(train, want_train)
        np.testing.assert_array_equal(test, want_test)


def test_one_fold_trains_and_tests_every_row():
    folds = draw_folds(panel_keys(), rule="unit", n_folds=1)
    train, test = folds.split(0, 0)
    np.testing.assert_array_equal(train, test)
    assert train.size == 360


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"rule": "units", "n_folds": 5}, ArgumentError, "Did you mean 'unit'"),
        ({"rule": "unit", "n_folds": 31}, ArgumentError, "number of units \\(30\\)"),
        ({"rule": "period", "n_folds": 13}, ArgumentError, "number of periods \\(12\\)"),
        ({"rule": "unit", "n_folds": 2.5}, ArgumentTypeError, "n_folds must be a whole number"),
        ({"rule": "unit", "n_folds": 0}, ArgumentError, "at least 1"),
        ({"rule": "unit", "n_folds": 2, "n_rep": 0}, ArgumentError, "n_rep must be at least 1"),
        ({"rule": "neighbors_left_out", "n_folds": 3}, ArgumentError, "n_folds of at least 4"),
    ],
)
def test_impossible_splits_say_what_to_change(arguments, error, says):
    with pytest.raises(error, match=says):
        draw_folds(panel_keys(), **arguments)


def test_a_split_without_its_key_names_the_argument():
    with pytest.raises(ArgumentError, match=r'time="\.\.\."'):
        draw_folds(FoldKeys(10, unit=np.arange(10)), rule="period", n_folds=2)


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ([], "at least one repeat"),
        ([[(np.arange(5), np.arange(5, 10)), (np.arange(5, 9), np.r_[0:5, 9])]], "tested 2 times"),
        ([[(np.arange(5), np.arange(5, 9)), (np.arange(5, 10), np.arange(5))]], "tested 0 times"),
        ([[(np.arange(6), np.arange(5, 10)), (np.arange(5, 10), np.arange(5))]], "both trains"),
        (
            [[(np.arange(5), np.arange(5, 11)), (np.arange(5, 10), np.arange(5))]],
            "outside the data",
        ),
    ],
)
def test_wrong_external_folds_say_which_row(splits, says):
    with pytest.raises(ArgumentError, match=says):
        external_folds(splits, FoldKeys(10))


@pytest.mark.parametrize(
    ("rule", "n_folds", "n_periods"),
    [
        ("time_block", 2, 8),
        ("time_block", 2, 2),
        ("neighbors_left_out", 4, 8),
        ("neighbors_left_out", 4, 4),
        ("period", 2, 2),
        ("unit", 2, 4),
    ],
)
def test_every_training_set_can_be_tuned(rule, n_folds, n_periods):
    n_units = 2 if rule == "unit" else 12
    unit = np.repeat(np.arange(n_units), n_periods)
    keys = FoldKeys(unit.size, unit=unit, period=np.tile(np.arange(n_periods), n_units))
    folds = draw_folds(keys, rule=rule, n_folds=n_folds, seed=0)
    for train, _ in folds.splits(0):
        assert np.unique(folds.inner[0][train]).size >= 2


def test_inner_folds_of_time_blocks_are_stretches_of_periods():
    unit, period = np.repeat(np.arange(5), 20), np.tile(np.arange(20), 5)
    folds = draw_folds(
        FoldKeys(100, unit=unit, period=period), rule="time_block", n_folds=2, seed=0
    )
    inner = folds.inner[0].reshape(5, 20)
    assert (inner == inner[0]).all()
    for block in (inner[0, :10], inner[0, 10:]):
        # Five inner folds in ten periods, each one stretch of adjacent periods.
        assert (np.diff(block) != 0).sum() == 4
        assert np.unique(block).size == 5
