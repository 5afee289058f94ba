"""Splits of units and clusters: together, stratified by arm, and with every arm to train on."""

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.errors import CausalKitWarning, DataError
from causalkit.transtee.coding import code_data, coding_of
from causalkit.transtee.crossfit import folds_of
from causalkit.transtee.membership import members_of
from causalkit.transtee.settings import Settings
from causalkit.transtee.split import (
    split_groups,
    split_rows,
    strata_of,
    strata_of_groups,
)


def clustered(treated, n_clusters=6, size=20, **roles):
    """Clusters of which some are treated, all of their rows."""
    frame = arms_frame(n_clusters * size).assign(c=np.repeat(np.arange(n_clusters), size))
    frame["t"] = np.isin(frame["c"], treated).astype(int)
    frame["y"] = frame["a"] + 3.0 * frame["t"]
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["a", "b"],
        **({"cluster": "c"} | roles),
    )


def parts_of(data, seeds=range(40), **arguments):
    """Training and validation rows of many seeds."""
    coded = code_data(coding_of(data), data)
    settings = Settings.of(ck.TransTEE(**(SMALL | arguments)), seed=0)
    rows = np.arange(coded.n)
    return [one for seed in seeds for one in members_of(coded, 0, settings, seed, rows)]


def test_the_only_treated_cluster_trains():
    data = clustered([0])
    for member in parts_of(data):
        assert set(data.frame["t"].iloc[member.train]) == {0, 1}
        clusters = [set(data.frame["c"].iloc[rows]) for rows in (member.train, member.valid)]
        assert not clusters[0] & clusters[1]


@pytest.mark.parametrize("fraction", [0.2, 0.4])
def test_groups_held_out_are_shared_out_by_the_arms_that_they_have(fraction):
    # 20 groups have arm 0 alone, 30 arm 1 alone, 10 both.
    kinds, order = np.repeat([0, 1, 2], [20, 30, 10]), np.random.default_rng(0).permutation(240)
    groups = np.repeat(np.arange(60), 4)
    arms = np.where(kinds[groups] == 2, np.arange(240) % 2, kinds[groups])
    strata = strata_of_groups(arms[order, None], np.zeros((240, 0)), groups[order])
    _, valid = split_groups(groups[order], strata, fraction, 3)
    held = np.unique(groups[order][valid])
    assert np.bincount(kinds[held]).tolist() == (fraction * np.bincount(kinds)).tolist()
    assert valid.size == 4 * held.size


def test_every_group_is_held_out_with_the_same_chance():
    # Eight of 40 groups, most of which are alone with their arms: 60 of 300 times each, with a
    # standard deviation of 6.9. One of 40 is four away in one of 400 runs.
    groups, rng = np.repeat(np.arange(40), 3), np.random.default_rng(0)
    strata = strata_of_groups(rng.integers(0, 6, (120, 1)), np.zeros((120, 0)), groups)
    assert np.unique(strata).size > 20
    held = [groups[split_groups(groups, strata, 0.2, seed)[1]] for seed in range(300)]
    assert {np.unique(one).size for one in held} == {8}
    assert np.abs(np.bincount(np.concatenate(held)) / 3 - 60).max() < 4 * 6.9


def test_an_arm_that_no_split_leaves_to_train_on_is_named():
    # Two clusters: whichever is held out, an arm is gone.
    with pytest.raises(DataError, match=r"no row of arm [01] is left to train on.*20 draws"):
        ck.TransTEE(**SMALL).fit(clustered([0], n_clusters=2, size=60))
    # One of the folds has the only treated cluster.
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(clustered([0]))
    with pytest.raises(DataError, match=r"no row of arm 1 is left to train on.*n_folds"):
        fit.estimate()


def test_folds_deal_out_treated_clusters():
    data = clustered([1, 4])
    coded = code_data(coding_of(data), data)
    for seed in range(20):
        folds = folds_of(coded, Settings.of(ck.TransTEE(n_folds=2), seed=seed))
        treated = [set(data.frame["t"].iloc[train]) for train, _ in folds.splits(0)]
        assert treated == [{0, 1}, {0, 1}]
        tests = [set(data.frame["c"].iloc[test]) for _, test in folds.splits(0)]
        assert not tests[0] & tests[1]


def test_splits_of_rows_are_what_they_were():
    # The rule written once more: largest remainder, then the first of every permuted stratum.
    rng = np.random.default_rng(0)
    strata = strata_of(np.repeat([0, 1, 2], [150, 40, 11])[:, None], rng.random((201, 1)))
    counts = np.bincount(strata)
    exact = 40 * counts / 201
    share = np.floor(exact).astype(int)
    share[np.argsort(share - exact, kind="stable")[: 40 - share.sum()]] += 1
    drawing = ck.rng.stream(7, "validation")
    held = [drawing.permutation(np.flatnonzero(strata == k))[: share[k]] for k in range(len(share))]
    assert np.array_equal(split_rows(strata, 0.2, 7)[1], np.sort(np.concatenate(held)))


def panel(**roles):
    frame = arms_frame(240).assign(unit=np.repeat(np.arange(80), 3), year=np.tile(range(3), 80))
    # Every unit is in one of twenty places but the first two, which move.
    frame["place"] = frame["unit"] // 4
    frame.loc[[0, 3], "place"] = [5, 7]
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], unit="unit", time="year", **roles
    )


def test_units_stay_together_where_a_cluster_tears_them():
    data = panel(cluster="place")
    for member in parts_of(data, seeds=range(10)):
        for name in ("unit", "place"):
            sides = [set(data.frame[name].iloc[rows]) for rows in (member.train, member.valid)]
            assert not sides[0] & sides[1]


def test_units_decide_where_clusters_cross_them():
    data = panel(cluster="year")
    with pytest.warns(CausalKitWarning, match=r"'unit' and 'year' cross.*tear those of 'year'"):
        coded = code_data(coding_of(data), data)
    assert np.array_equal(coded.groups, data.codes("unit"))


def test_a_bootstrap_draws_whole_clusters():
    data = clustered([0, 3], n_clusters=12, size=10)
    for member in parts_of(data, seeds=range(5), bootstrap=True, n_ensemble=2):
        times = np.bincount(member.train, minlength=data.n).reshape(12, 10)
        assert (times == times[:, :1]).all()
        assert times.sum() == member.train.size == 100
        assert set(data.frame["t"].iloc[member.train]) == {0, 1}


def test_networks_on_bootstrapped_clusters_of_other_sizes_answer_together():
    frame = arms_frame().assign(c=np.repeat(np.arange(30), np.arange(30) % 3 + 7)[:240])
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], cluster="c"
    )
    fit = ck.TransTEE(**(SMALL | {"n_ensemble": 3, "max_epochs": 2}), bootstrap=True).fit(data)
    assert fit.effect(data)["std_error"].notnull().all()
    assert isinstance(fit.history_, pd.DataFrame)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_a_training_fold_of_one_cluster_is_refused_with_the_folds_that_would_do():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.standard_normal(60), "x": rng.standard_normal(60)})
    frame = frame.assign(t=np.arange(60) % 2, c=np.arange(60) // 20)
    roles = {"outcome": "y", "treatment": "t", "covariates": "x", "cluster": "c"}
    few = SMALL | {"max_epochs": 1, "n_folds": 2}
    fit = ck.TransTEE(**few).fit(ck.CausalData.from_frame(frame, **roles))
    with pytest.raises(DataError, match=r"one of the 3 units or clusters.*up to n_folds=3"):
        fit.estimate(propensity="linear")
    assert fit.set_params(n_folds=3).estimate(propensity="linear").n_clusters == 3
    with pytest.raises(DataError, match="all rows belong to one unit or cluster"):
        ck.TransTEE(**SMALL).fit(ck.CausalData.from_frame(frame.assign(c=1), **roles))
