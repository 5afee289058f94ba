"""Averages of arms over those who received them, by group, and against a baseline of choice."""

import numpy as np
import pandas as pd
import pytest
from normalised_averages import effect_among, left_out
from scipy import stats
from sklearn.linear_model import LogisticRegression
from test_inference import FAST, linear_design

import causalkit as ck
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    IdentificationError,
    OverlapWarning,
)
from causalkit.inference.arm_means import arm_means
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.transtee import crossfit
from causalkit.transtee.arm_averages import _score_among, _within

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


@pytest.fixture(scope="module")
def two():
    """A binary trial with a region, and a fit."""
    frame = linear_design(3).frame.assign(region=np.resize(["north", "south", "west"], 500))
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], extra="region"
    )
    return data, ck.TransTEE(**FAST, random_state=0).fit(data)


@pytest.fixture(scope="module")
def three():
    return ck.TransTEE(**FAST, random_state=0).fit(linear_design(4, levels=3))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", ["att", "atc"])
def test_scores_among_two_arms_tell_what_leaving_out_a_cluster_does(target, weighted, clustered):
    rng = np.random.default_rng(0)
    y, arm = rng.standard_normal(60), rng.integers(0, 3, 60)
    mu, chances = rng.standard_normal((60, 3)), rng.dirichlet([5, 5, 5], 60)
    weight = rng.uniform(0.5, 2.0, 60) if weighted else np.ones(60)
    codes = np.arange(60) // 3 if clustered else np.arange(60)
    how = {"names": "abc", "weight": weight, "clusters": [codes] if clustered else []}
    score, _ = _score_among(y, arm, (2, 0), mu=mu, chances=chances, target=target, **how)
    own, other, sign = (2, 0, 1.0) if target == "att" else (0, 2, -1.0)

    def estimate(share):
        ratio = chances[:, own] / chances[:, other]
        return sign * effect_among(y, arm == own, arm == other, mu[:, other], ratio, share)

    (found,) = solve_linear(score, weights=weight)
    assert found.theta[0] == pytest.approx(estimate(weight), rel=1e-10)
    moved = np.bincount(codes, found.influence[:, 0]) / 60
    np.testing.assert_allclose(moved, left_out(estimate, weight, codes), atol=1e-12)


@pytest.mark.parametrize("wrong", ["outcomes", "propensities"])
@pytest.mark.parametrize(("target", "among"), [("att", 2), ("atc", 0)])
def test_one_wrong_nuisance_does_no_harm_among_those_of_an_arm(wrong, target, among):
    """Arm 2 against arm 0 of three, whose effect rises with what decides about the arm."""
    errors, held = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(600)
        odds = np.exp(np.outer(x, [0.0, 0.4, 0.8]))
        chances = odds / odds.sum(axis=1, keepdims=True)
        arm = (chances.cumsum(axis=1) < rng.random((600, 1))).sum(axis=1)
        mu = np.column_stack([x, 1.0 + x, 1.0 + 2.0 * x])
        y = mu[np.arange(600), arm] + rng.standard_normal(600)
        # Among arm 2 the mean of the effect 1 + x is 1 + E[X p_2(X)] / E[p_2(X)].
        grid = np.linspace(-8.0, 8.0, 4001)
        shape = np.exp(-(grid**2) / 2)
        part = np.exp(0.4 * among * grid) / np.exp(np.outer(grid, [0.0, 0.4, 0.8])).sum(axis=1)
        truth = 1.0 + (grid * part * shape).sum() / (part * shape).sum()
        score, _ = _score_among(
            y,
            arm,
            (2, 0),
            mu=np.zeros((600, 3)) if wrong == "outcomes" else mu,
            chances=np.full((600, 3), 1 / 3) if wrong == "propensities" else chances,
            target=target,
            names=range(3),
        )
        (found,) = solve_linear(score)
        error = float(np.sqrt(sandwich(found.influence)[0, 0]))
        errors.append(found.theta[0] - truth)
        held.append(abs(errors[-1]) < 1.96 * error)
    assert abs(np.mean(errors)) < 3.0 * np.std(errors) / np.sqrt(200)
    if wrong == "outcomes":  # a wrong propensity leaves the error as it is only by chance
        assert abs(np.mean(held) - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / 200)


def test_those_who_received_an_arm_are_told_from_everyone(two):
    data, fit = two
    frame = data.frame
    effect = 1.0 + 0.5 * frame["c"].to_numpy()
    for target, rows in (("ate", slice(None)), ("att", frame["t"] == 1), ("atc", frame["t"] == 0)):
        found = fit.estimate(target, propensity=LogisticRegression())
        assert found.estimand == target
        assert found.contrast == ("1 vs 0",)
        assert abs(found.estimate - effect[rows].mean()) < 3.0 * found.std_error


def test_the_effect_of_a_group_is_that_among_its_rows(two):
    data, fit = two
    model = LogisticRegression()
    found = fit.estimate("gate", groups="region", propensity=model)
    assert found.terms == ("region=north", "region=south", "region=west")
    assert found.contrast == ("1 vs 0",) * 3
    for k, region in enumerate(("north", "south", "west")):
        mine = (data.frame["region"] == region).to_numpy()
        assert not found.influence[~mine, k].any()
        told, n = found.influence[mine, k] * mine.sum() / mine.size, mine.sum()
        error = np.sqrt((told**2).sum() / n / (n - 1))
        assert found.df_by_term[k] < n - 1
        reach = stats.t.ppf(0.975, found.df_by_term[k]) * error
        assert np.array(found.bounds())[:, k] == pytest.approx(
            [found.estimates[k] - reach, found.estimates[k] + reach], rel=1e-9
        )
    turned = data.frame["region"].sample(frac=1.0, random_state=0)
    with pytest.raises(ArgumentError, match="groups has"):
        fit.estimate("gate", groups=turned.set_axis(range(7, 507)), propensity=model)
    same = fit.estimate("gate", groups=turned, propensity=model)
    np.testing.assert_array_equal(same.estimates, found.estimates)


def test_groups_of_every_arm(three):
    labels = np.resize(["x", "y"], three._data.n)
    found = three.estimate("gate", groups=labels, propensity=LogisticRegression())
    assert found.terms == ("t=1, group=x", "t=1, group=y", "t=2, group=x", "t=2, group=y")
    assert found.contrast == ("1 vs 0", "1 vs 0", "2 vs 0", "2 vs 0")


def test_groups_that_lack_an_arm_are_refused_and_few_rows_of_one_are_told(two, monkeypatch):
    data, fit = two
    t = data.frame["t"].to_numpy()
    some, few = np.flatnonzero(t == 0)[:30], np.flatnonzero(t == 1)[:9]
    labels = np.full(t.size, "old")
    labels[[*some, *few]] = "new"
    with pytest.warns(OverlapWarning, match=r"E19.*fewer than 10 rows of an arm: group=new \(9 of"):
        found = fit.estimate("gate", groups=labels, propensity=LogisticRegression())
    assert any("group=new (9 of arm 1)" in told for told in found.warnings)
    labels[np.flatnonzero(t == 1)[9]] = "new"
    found = fit.estimate("gate", groups=labels, propensity=LogisticRegression())
    assert not any("rows of an arm" in told for told in found.warnings)
    labels[t == 1] = "old"
    monkeypatch.setattr(crossfit, "fit_ensembles", None)  # before anything is trained
    with pytest.raises(IdentificationError, match=r"group=new has no row of arm 1.*data\.subset"):
        fit.estimate("gate", groups=labels, propensity=LogisticRegression())


def test_any_arm_may_be_the_baseline(two, three):
    model = LogisticRegression()
    first, last = three.estimate(propensity=model), three.estimate(baseline=2, propensity=model)
    assert last.terms == ("t=0", "t=1")
    assert last.contrast == ("0 vs 2", "1 vs 2")
    wanted = [-first.estimates[1], first.estimates[0] - first.estimates[1]]
    np.testing.assert_allclose(last.estimates, wanted, rtol=1e-9)
    turn = np.array([[0.0, -1.0], [1.0, -1.0]])
    np.testing.assert_allclose(last.vcov, turn @ first.vcov @ turn.T, rtol=1e-9)
    slopes = two[1].estimate("calibration", baseline=1, propensity=model)
    same = two[1].estimate("calibration", propensity=model)
    np.testing.assert_allclose(slopes.estimates, [-same.estimates[0], same.estimates[1]])


def test_the_range_of_propensities_is_told_before_it_is_bounded():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(600) * 3
    t = (rng.random(600) < 1 / (1 + np.exp(-2 * x))).astype(int)
    frame = pd.DataFrame({"y": x + t, "t": t, "x": x})
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates="x")
    fit = ck.TransTEE(**FAST, random_state=0).fit(data)
    low, high = fit.estimate(propensity=LogisticRegression()).diagnostics["range of propensities"]
    table = fit.overlap(propensity=LogisticRegression())
    assert (low, high) == pytest.approx((table["least"].min(), table["largest"].max()))
    assert low < 0.01


def test_what_does_not_go_together_is_refused(two, three):
    _, fit = two
    with pytest.raises(ArgumentError, match="baseline=7 is no arm of 't'; name one of 0, 1, 2"):
        three.estimate(baseline=7)
    with pytest.raises(ArgumentError, match="groups= and estimand='gate' go together"):
        fit.estimate("gate")
    with pytest.raises(ArgumentError, match="got estimand='att' and groups"):
        fit.estimate("att", groups="region")
    with pytest.raises(ArgumentError, match="unknown propensity 'tree'"):
        fit.estimate(propensity="tree")
    with pytest.raises(ArgumentTypeError, match="propensity"):
        fit.estimate(propensity=object())


def test_networks_wrong_about_a_group_are_averaged_over_in_it():
    """The group is a hundred lower than they say, and three in four of it were treated."""
    rng = np.random.default_rng(0)
    group, arm = np.arange(400) < 40, rng.integers(0, 2, 400)
    arm[:40] = np.arange(40) < 30
    y = rng.standard_normal(400) - 100.0 * group

    def contrasts(weight):
        how = {"mu": np.zeros((400, 2)), "propensity": np.full((400, 2), 0.5), "weight": weight}
        return (part[:, [1]] - part[:, [0]] for part in arm_means(y, arm, **how))

    found = _within(contrasts, np.column_stack([group, ~group]) * 1.0, ("a", "b"), None)
    for place, rows in enumerate((group, ~group)):
        wanted = y[rows & (arm == 1)].mean() - y[rows & (arm == 0)].mean()
        assert found.theta[place] == pytest.approx(wanted, rel=1e-10)


def test_a_group_with_one_row_of_an_arm_is_refused_by_name(two):
    data, fit = two
    t = data.frame["t"].to_numpy()
    labels = np.where(t == 0, "old", "rest")
    labels[np.flatnonzero(t == 0)[:200]] = "rest"
    labels[np.flatnonzero(t == 1)[0]] = "old"
    with pytest.raises(
        IdentificationError, match=r"group=old: one row carries 100\.0% of the mean"
    ):
        fit.estimate("gate", groups=labels, propensity=LogisticRegression())
