"""Folds from elsewhere in InvalidIV: what it refuses, and what it makes of them."""

import re
import warnings

import iv_designs as designs
import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, SplitWarning

N = 1200
ROWS = np.arange(N)
ANY = "ignore::causalkit.errors.CausalKitWarning"


def dataset(**roles):
    return designs.as_data(*designs.draw(np.random.default_rng(30), N), **roles)


def by(group, n_folds):
    return [(ROWS[group % n_folds != k], ROWS[group % n_folds == k]) for k in range(n_folds)]


def fit(folds, data=None, **arguments):
    plain = {"method": "debiased", "learners": "linear", "basis": None, "random_state": 0}
    made = ck.InvalidIV(**(plain | arguments))
    return made.fit(dataset() if data is None else data, folds=folds)


def selective(folds, **arguments):
    return fit(folds, method="selective", learners=["linear", "ridge"], **arguments)


def with_first(repeat, *, train=None, test=None):
    """The same folds with other rows in the first."""
    first = (repeat[0][0] if train is None else train, repeat[0][1] if test is None else test)
    return [[first, *repeat[1:]]]


THIRDS = by(ROWS, 3)


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (
            with_first(THIRDS, train=np.append(THIRDS[0][0], 6)),
            "fold 0 of repeat 0 has row 6 both in training and in test. Take them out of one",
        ),
        (
            with_first(THIRDS, test=np.append(THIRDS[0][1], [1, 4])),
            "has rows 1 and 4 both in training and in test",
        ),
        (
            with_first(THIRDS, train=THIRDS[0][0][2:], test=np.append(THIRDS[0][1], [1, 2])),
            "repeat 0 tests rows 1 and 2 more than once (row 1 in folds 0 and 1). Test every row",
        ),
        (
            [THIRDS, *with_first(THIRDS, test=THIRDS[0][1][2:])],
            "repeat 1 never tests rows 0 and 3, which leaves no prediction there. Test every row",
        ),
        (
            with_first(THIRDS, train=np.append(THIRDS[0][0], 1)),
            "fold 0 of repeat 0 repeats row 1 in its training rows. Name each row once",
        ),
        # As many rows on both sides as the data have, half of them predicted by their own model.
        (
            [[(np.tile(ROWS[: N // 2], 2), ROWS)]],
            "repeats rows 0, 1, 2, 3, 4 and 595 more in its",
        ),
    ],
)
def test_folds_that_break_cross_fitting_are_refused_by_row_fold_and_mend(folds, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        fit(folds)


def test_folds_that_tear_a_cluster_are_refused_and_the_mend_is_one_that_exists():
    data = dataset(cluster=ROWS // 4)
    words = (
        "InvalidIV keeps the rows of a cluster together, but fold 0 of repeat 0 has 300 clusters "
        "both in training and in test (such as that of row 1, which trains, and row 0, which is "
        "tested). Group the folds by cluster."
    )
    with pytest.raises(ArgumentError, match=re.escape(words) + "$"):
        fit([THIRDS], data)
    assert fit([by(ROWS // 4, 3)], data).result_.n_folds == 3


@pytest.mark.filterwarnings("ignore::causalkit.errors.FewClustersWarning")
def test_two_clusters_of_which_neither_holds_the_other_are_said_to_be_torn():
    frame = dataset().frame.assign(c=ROWS // 20, d=ROWS % 40, e=ROWS // 10)
    roles = {"outcome": "y", "treatment": "a", "instruments": "z", "covariates": ["l1", "l2"]}
    crossed = ck.CausalData.from_frame(frame, cluster=["c", "d"], **roles)
    with pytest.warns(SplitWarning, match="of one cluster of another are in training and test"):
        fit(None, crossed)
    nested = ck.CausalData.from_frame(frame, cluster=["c", "e"], **roles)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SplitWarning)
        fit(None, nested)
        fit(None, crossed, n_folds=1)


def test_one_fold_of_every_row_on_both_sides_means_no_cross_fitting():
    given, drawn = fit([[(ROWS, ROWS)]]), fit(None, n_folds=1)
    assert given.result_.estimate == pytest.approx(drawn.result_.estimate, rel=1e-10)


def test_selection_needs_rows_that_candidates_did_not_train_on():
    words = "repeat 1 of the folds has one fold, and method='selective' judges candidates on rows"
    with pytest.raises(ArgumentError, match=words):
        selective([THIRDS, [(ROWS, ROWS)]])


@pytest.mark.filterwarnings(ANY)
def test_repeats_may_have_different_numbers_of_folds():
    # The mean over two repeats is their median, which the result is.
    folds = [THIRDS, by(ROWS, 5)]
    found = selective(folds)
    chosen = found.fit_.selection
    assert chosen.parts.estimates[chosen.choice] == pytest.approx(found.result_.estimate, rel=1e-9)
    means = [each[(slice(None), *chosen.choice)].mean() for each in chosen.parts.by_fold]
    thetas = [solution.theta[0] for solution in found.fit_.solutions("ate")]
    assert means == pytest.approx(thetas, rel=1e-9)
    alone = [fit([repeat], method="selective", learners=["linear"]) for repeat in folds]
    both = fit(folds, method="selective", learners=["linear"])
    assert both.fit_.selection.n_fits == sum(each.fit_.selection.n_fits for each in alone)


def test_the_parametric_method_has_no_folds_and_compare_leaves_them_out():
    words = "method='parametric' fits all rows at once and has no folds; leave out folds="
    with pytest.raises(ArgumentError, match=words):
        fit([THIRDS], method="parametric", learners="auto")
    rows = fit([THIRDS]).compare()
    assert {"GENIUS, constant effect", "InvalidIV (parametric)"} <= set(rows.names)
