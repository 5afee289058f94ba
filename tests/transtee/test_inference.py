"""Averages and conformal intervals: closed forms, and the coverage that they claim."""

import numpy as np
import pandas as pd
import pytest
from normalised_averages import influence, mean_outcome
from sklearn.linear_model import LogisticRegression

import causalkit as ck
from causalkit.inference.arm_means import arm_means
from causalkit.scores import aipw
from causalkit.transtee.conformal import Calibration, half_widths

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
FAST = {
    "d_model": 8,
    "n_heads": 1,
    "n_encoder_layers": 0,
    "max_epochs": 60,
    "patience": 15,
    "n_ensemble": 1,
    "lr": 1e-2,
}


def linear_design(seed, n=500, levels=2):
    """Arms chosen by the first covariate; effects of arm k are k on average."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    score = np.outer(x[:, 0], np.arange(levels)) * 0.6
    t = (score + rng.gumbel(size=(n, levels))).argmax(axis=1)
    y = x[:, 0] + 0.5 * x[:, 1] + t * (1.0 + 0.5 * x[:, 2]) + rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "t": t, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    kind = "binary" if levels == 2 else "multi"
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], kinds=(kind,)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_arms_are_normalised_with_the_influence_of_that(weighted):
    rng = np.random.default_rng(0)
    y, arm = rng.standard_normal(60), rng.integers(0, 3, 60)
    mu, chances = rng.standard_normal((60, 3)), rng.uniform(0.2, 0.8, (60, 3))
    weight = rng.uniform(0.5, 2.0, 60) if weighted else np.ones(60)
    found = arm_means(y, arm, mu=mu, propensity=chances, weight=weight)[0]
    for k in range(3):

        def estimate(share, k=k):
            return mean_outcome(y, arm == k, mu[:, k], chances[:, k], share)

        mean = np.average(found[:, k], weights=weight)
        assert mean == pytest.approx(estimate(weight), rel=1e-10)
        own = weight / weight.mean() * (found[:, k] - mean)
        np.testing.assert_allclose(own, influence(estimate, weight), atol=1e-6)


def test_normalised_scores_of_true_propensities_are_those_of_a_binary_treatment():
    """Cells where the arm's share is the propensity: inverses have a mean of one already."""
    arm = np.tile([0, 1, 1, 1], 10)
    rng = np.random.default_rng(0)
    y, mu = rng.standard_normal(40), rng.standard_normal((40, 2))
    for k in range(2):  # residuals of mean zero in the arm
        y[arm == k] -= (y - mu[:, k])[arm == k].mean()
    e = np.full(40, 0.75)
    found = arm_means(y, arm, mu=mu, propensity=np.column_stack([1.0 - e, e]))[0]
    peer = aipw(y, arm.astype(float), mu0=mu[:, [0]], mu1=mu[:, [1]], propensity=e[:, None])
    np.testing.assert_allclose(found[:, 1] - found[:, 0], peer.response[:, 0], rtol=1e-10)


def test_propensities_too_small_by_a_factor_move_no_average():
    """A constant in every inverse cancels; left in, it would multiply what μ gets wrong."""
    rng = np.random.default_rng(1)
    y, arm = 5.0 + rng.standard_normal(80), np.arange(80) % 2
    chances = np.full((80, 2), 0.5)
    right = arm_means(y, arm, mu=np.zeros((80, 2)), propensity=chances)[0]
    wrong = arm_means(y, arm, mu=np.zeros((80, 2)), propensity=chances * [1.0, 0.1])[0]
    np.testing.assert_allclose(wrong, right, rtol=1e-10)
    assert right.mean(axis=0) == pytest.approx([y[arm == k].mean() for k in range(2)])


def test_the_estimate_names_arms_and_shows_the_plug_in():
    fit = ck.TransTEE(**FAST, random_state=0).fit(linear_design(0, levels=3))
    found = fit.estimate(propensity=LogisticRegression())
    assert found.terms == ("t=1", "t=2")
    assert found.contrast == ("1 vs 0", "2 vs 0")
    assert "Plug-in mean of the networks, no interval" in " ".join(found.notes)
    assert found.n_folds == 5
    assert found.std_errors.shape == (2,)


def test_folds_may_be_set_after_the_fit():
    fit = ck.TransTEE(**FAST | {"max_epochs": 2}, random_state=0).fit(linear_design(0))
    five = fit.estimate(propensity=LogisticRegression())
    three = fit.set_params(n_folds=3).estimate(propensity=LogisticRegression())
    assert (five.n_folds, three.n_folds) == (5, 3)
    assert three.estimate != five.estimate


def test_clusters_reach_the_variance():
    data = linear_design(1)
    frame = data.frame.copy()
    twice = pd.concat([frame, frame], ignore_index=True).assign(who=np.tile(np.arange(500), 2))
    both = ck.CausalData.from_frame(
        twice, outcome="y", treatment="t", covariates=["a", "b", "c"], cluster="who"
    )
    found = ck.TransTEE(**FAST, random_state=0).fit(both).estimate(propensity=LogisticRegression())
    assert found.n_clusters == 500
    influence = found.influence[:, 0]
    plain = influence.std() / np.sqrt(1000)
    assert found.std_error > 1.2 * plain


@pytest.mark.slow
def test_the_interval_of_the_average_covers():
    # T7: 500 replications; the share covered has a Monte-Carlo error of 1 %. A small network, and
    # all replications in one stack.
    covered, errors, ses = [], [], []
    for batch in range(10):
        datasets = [linear_design(1000 + 50 * batch + k, n=600) for k in range(50)]
        for fit in ck.TransTEE.fit_many(datasets, **(FAST | {"max_epochs": 1}), random_state=batch):
            fit.set_params(max_epochs=60)
            fit._settings = type(fit._settings).of(fit, seed=fit.seed_)
            found = fit.estimate(propensity=LogisticRegression(C=1e6))
            errors.append(found.estimate - 1.0)
            ses.append(found.std_error)
            low, high = found.conf_int()
            covered.append(low <= 1.0 <= high)
    errors, ses = np.array(errors), np.array(ses)
    assert abs(np.mean(covered) - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / 500)
    assert abs(errors.mean()) < 4.0 * errors.std() / np.sqrt(500)
    assert abs(np.sqrt((ses**2).mean()) / errors.std() - 1.0) < 0.12


def test_half_widths_are_weighted_quantiles_by_hand():
    calibration = Calibration(
        residual=np.array([3.0, 1.0, 2.0, 9.0]),
        arm=np.array([1, 1, 1, 0]),
        propensity=np.full((4, 2), 0.5),
        weight=np.ones(4),
        unit=np.ones(()),
    )
    # Weights 2, 2, 2 and the row's own w: level (6 + w) is reached at residual 1, 2, 3 or never.
    found = half_widths(calibration, 1, np.array([2.0, 2.0, 10.0]), level=0.5)
    assert found.tolist() == [2.0, 2.0, np.inf]
    assert half_widths(calibration, 1, np.array([0.0]), level=1.0).tolist() == [3.0]


@pytest.mark.slow
def test_conformal_intervals_cover_outcomes_under_selection():
    # Y(1) over everyone, although who received 1 depends on the covariates and noise grows with
    # them: without the weights the intervals would cover too little.
    share, plain = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((900, 2))
        t = (rng.random(900) < 1.0 / (1.0 + np.exp(1.5 * x[:, 0]))).astype(int)
        y1 = x[:, 1] + np.exp(0.7 * x[:, 0]) * rng.standard_normal(900)
        frame = pd.DataFrame({"y": np.where(t, y1, 0.0), "t": t, "a": x[:, 0], "b": x[:, 1]})
        data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
        fit = ck.TransTEE(
            **FAST, random_state=seed, interval="conformal", validation_fraction=0.4
        ).fit(data.subset(np.arange(600)))
        test = data.subset(np.arange(600, 900))
        found = fit.outcome_interval(test, treatment=1, level=0.9)
        inside = (found["conf_low"].values <= y1[600:]) & (y1[600:] <= found["conf_high"].values)
        share.append(inside.mean())
        flat = fit._conformal.calibration.residual[fit._conformal.calibration.arm == 1]
        plain.append((np.abs(y1[600:] - found["outcome"]) <= np.quantile(flat, 0.9)).mean())
    error = np.std(share, ddof=1) / np.sqrt(len(share))
    assert np.mean(share) > 0.9 - 3.0 * error
    assert np.mean(plain) < np.mean(share) - 3.0 * error


def test_conformal_intervals_of_effects_hold_both_outcomes():
    data = linear_design(5, n=900)
    fit = ck.TransTEE(**FAST, random_state=0, interval="conformal").fit(data)
    found = fit.effect(data, level=0.8)
    assert (found["conf_low"] < found["effect"]).all()
    each = [fit.outcome_interval(data, treatment=t, level=0.9) for t in (0, 1)]
    width = sum((one["conf_high"] - one["conf_low"]).values for one in each)
    np.testing.assert_allclose(found["conf_high"] - found["conf_low"], width, rtol=1e-6)
