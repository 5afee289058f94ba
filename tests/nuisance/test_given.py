"""Folds from elsewhere: what breaks cross-fitting is refused by row, fold and mend."""

import re

import numpy as np
import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.nuisance.folds import FoldKeys, external_folds
from causalkit.nuisance.given import kept_together, placed_folds

N = 12
ROWS = np.arange(N)
part = ROWS % 3  # fold 0 tests rows 0, 3, 6 and 9


def thirds():
    return [(ROWS[part != k], ROWS[part == k]) for k in range(3)]


def placed(folds, rows=ROWS, together=None, **more):
    return placed_folds([folds], rows, together or {}, who="The fit", n=N, **more)


def changed(fold, *, train=None, test=None):
    """Three folds of which one is another."""
    folds = thirds()
    folds[fold] = (
        folds[fold][0] if train is None else np.asarray(train),
        folds[fold][1] if test is None else np.asarray(test),
    )
    return folds


TRAIN, TEST = thirds()[0]


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (
            changed(0, train=[*TRAIN, 3, 9]),
            "fold 0 of repeat 0 has rows 3 and 9 both in training and in test. Take them out of",
        ),
        (
            [*changed(1, train=[0, 2, 3, 5, 6, 8, 9, 11, 1, 4, 7, 10])],
            "fold 1 of repeat 0 has rows 1, 4, 7 and 10 both in training and in test",
        ),
        (
            changed(0, train=[*TRAIN, 4, 4]),
            "fold 0 of repeat 0 repeats row 4 in its training rows. Name each row once",
        ),
        (changed(2, test=[2, 5, 8, 11, 8]), "fold 2 of repeat 0 repeats row 8 in its test rows"),
        (
            changed(1, train=[2, 5, 8], test=[1, 4, 7, 10, 0, 6]),
            "repeat 0 tests rows 0 and 6 more than once (row 0 in folds 0 and 1). Test every row",
        ),
        (changed(0, test=[0, 3]), "repeat 0 never tests rows 6 and 9, which leaves no prediction"),
        (thirds()[:2], "repeat 0 never tests rows 2, 5, 8 and 11, which leaves no prediction"),
        (changed(1, train=[]), "fold 1 of repeat 0 has no training row that the fit uses; give it"),
        # One fold: half of the rows would be predicted by a model that has seen them.
        (
            [(ROWS[:6], ROWS)],
            "fold 0 of repeat 0 has rows 0, 1, 2, 3, 4 and 1 more both in training and in test. "
            "Take them out of one; one fold with every row on both sides means no cross-fitting",
        ),
        ([(np.r_[ROWS[:6], ROWS[:6]], ROWS)], "repeats rows 0, 1, 2, 3, 4 and 1 more in its tr"),
    ],
)
def test_folds_that_break_cross_fitting_are_refused_by_row_fold_and_mend(folds, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        placed(folds)


def test_rows_and_folds_are_counted_in_the_data_where_the_sample_sorts_and_drops():
    # Rows 0 to 2 are not in the sample, whose order is that of the data turned round.
    rows = ROWS[:2:-1]
    first = (ROWS[part != 0], np.array([1]))  # tests a row that is not in the sample
    with pytest.raises(ArgumentError, match=r"never tests row 11, which"):
        placed([first, *changed(2, test=[2, 5, 8])], rows)
    with pytest.raises(ArgumentError, match=r"fold 2 of repeat 0 has row 4 both in training"):
        placed([first, *changed(1, train=[3, 4])], rows)
    with pytest.raises(ArgumentError, match=r"tests row 9 more than once \(row 9 in folds 1 and 2"):
        placed([first, *changed(1, train=[5, 8], test=[1, 4, 7, 10, 9])], rows)
    with pytest.raises(ArgumentError, match=r"fold 1 of repeat 0 has no training row that the fit"):
        placed([first, *changed(0, train=[1, 2])], rows)
    kept = placed([first, *changed(0, train=[4, 5])], rows)[0]
    assert [rows[side].tolist() for side in kept[0]] == [[4, 5], [3, 6, 9]]
    assert len(kept) == 3


def test_one_fold_of_every_row_on_both_sides_means_no_cross_fitting():
    folds = external_folds(placed([(ROWS[::-1], ROWS)]), FoldKeys(N))
    for side in folds.split(0, 0):
        np.testing.assert_array_equal(side, ROWS)
    with pytest.raises(ArgumentError, match="row 0 both trains and is tested in fold 0"):
        external_folds([[(ROWS[:6], ROWS)]], FoldKeys(N))


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (thirds(), "fold 0 of repeat 0 is array([ 1, 2, 4, 5, 7, 8, 10, 11]); give a list over"),
        (iter([thirds()]), "folds must be a list over repeats of lists of (train_rows, test_rows)"),
        ([[(part != 0, part == 0)]], "must hold row positions (whole numbers), got bool of shape"),
        ([[(TRAIN, TEST, TEST)]], "give a list over repeats"),
    ],
)
def test_folds_of_another_form_are_refused_in_one_line(splits, words):
    with pytest.raises(ArgumentTypeError, match=re.escape(words)) as caught:
        placed_folds(splits, ROWS, {}, who="The fit", n=N)
    assert "\n" not in str(caught.value)


def test_groups_on_both_sides_of_a_fold_are_named_with_a_row_on_each_side():
    pairs = {"cluster": ROWS // 2}
    words = (
        "The fit keeps the rows of a cluster together, but fold 0 of repeat 0 has 4 clusters both "
        "in training and in test (such as that of row 1, which trains, and row 0, which is "
        "tested). Group the folds by cluster, or pray."
    )
    with pytest.raises(ArgumentError, match=re.escape(words)):
        placed(thirds(), together=pairs, otherwise=", or pray")
    # Tested in two folds, but a training set without them: no model sees its own cluster.
    sides = [(ROWS[~np.isin(ROWS // 2, ROWS[part == k] // 2)], ROWS[part == k]) for k in range(3)]
    assert len(placed(sides, together=pairs)[0]) == 3


def test_what_is_kept_together_is_what_the_drawn_split_keeps_together():
    unit, period, cluster = ROWS // 2, ROWS % 2, ROWS // 4
    keys = FoldKeys(N, unit=unit, period=period, cluster=cluster)
    for rule, names in {
        "unit": ["unit", "cluster"],
        "unit_time": ["unit", "period"],
        "time_block": ["period"],
        "observation": [],
        None: [],
    }.items():
        assert list(kept_together(rule, keys)) == names
    assert list(kept_together("unit", FoldKeys(N, unit=unit))) == ["unit"]
