"""Calibration of predicted effects: a peer, the truth, and the coverage of its interval."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression
from test_inference import FAST, linear_design
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.heterogeneity.calibration import calibration
from causalkit.inference.variance import sandwich

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
ONE_FOLD = np.zeros(200, dtype=np.int64)


def sample(seed, n=200):
    """Effects that differ, and scores that are the effects and noise of unequal size."""
    rng = np.random.default_rng(seed)
    effect = 1.0 + rng.standard_normal(n)
    return effect, effect + 0.5 * np.exp(0.5 * effect) * rng.standard_normal(n)


def test_in_one_fold_it_is_a_mean_and_least_squares_with_robust_errors():
    effect, score = sample(0)
    predicted = np.column_stack([effect, np.sin(effect)])
    scores = np.column_stack([score, score])
    found = calibration(scores, predicted, ONE_FOLD)
    errors = np.sqrt(np.diag(sandwich(found.influence, ssc="none")))
    for k in range(2):
        x = predicted[:, k] - predicted[:, k].mean()
        peer = sm.OLS(score, sm.add_constant(x)).fit(cov_type="HC0")
        mean = sm.OLS(score, np.ones(200)).fit(cov_type="HC0")
        np.testing.assert_allclose(found.theta[2 * k : 2 * k + 2], peer.params, rtol=1e-9)
        wanted = [mean.bse[0], peer.bse[1]]
        np.testing.assert_allclose(errors[2 * k : 2 * k + 2], wanted, rtol=1e-9)


def test_weights_are_those_of_weighted_least_squares():
    effect, score = sample(1)
    weight = np.linspace(0.5, 3.0, 200)
    found = calibration(score[:, None], effect[:, None], ONE_FOLD, weight=weight)
    x = effect - np.average(effect, weights=weight)
    peer = sm.WLS(score, sm.add_constant(x), weight).fit()
    np.testing.assert_allclose(found.theta, peer.params, rtol=1e-9)


def test_slopes_are_one_for_the_truth_and_a_half_for_what_is_twice_as_wide():
    held = []
    for seed in range(300):
        effect, score = sample(seed)
        found = calibration(
            np.column_stack([score, score]), np.column_stack([effect, 2.0 * effect]), ONE_FOLD
        )
        errors = np.sqrt(np.diag(sandwich(found.influence)))
        held.append(np.abs(found.theta - [1.0, 1.0, 1.0, 0.5]) < 1.96 * errors)
    # Average effects are of the sample's rows: their errors count the draw of rows too.
    slack = 3.0 * np.sqrt(0.95 * 0.05 / 300)
    assert (np.abs(np.mean(held, axis=0) - 0.95) < slack).all()


def test_levels_of_folds_do_not_count():
    # A network is high where its own rows are high, and then its other rows are low.
    effect, score = sample(2)
    fold = np.arange(200) % 2
    found = calibration(score[:, None], effect[:, None], fold)
    moved = calibration(score[:, None], (effect + 100.0 * fold)[:, None], fold)
    np.testing.assert_allclose(moved.theta, found.theta, rtol=1e-9)


def test_predictions_that_do_not_vary_cannot_be_calibrated():
    _, score = sample(3)
    with pytest.raises(IdentificationError, match="do not vary between rows"):
        calibration(score[:, None], np.full((200, 1), 0.3), ONE_FOLD)


def test_networks_that_learn_the_effect_have_slope_one():
    fit = ck.TransTEE(**FAST, random_state=0).fit(linear_design(0, n=1000))
    found = fit.estimate("calibration", propensity=LogisticRegression())
    assert found.terms == ("t: average effect", "t: slope")
    assert found.estimand == "calibration"
    assert found.contrast == ("", "")
    assert abs(found.estimates[1] - 1.0) < 3.0 * found.std_errors[1] < 0.5
    average = fit.estimate(propensity=LogisticRegression())
    assert found.estimates[0] == pytest.approx(average.estimate, rel=1e-9)
    factor = np.sqrt(1000 / 999)  # the correction for small samples counts both terms
    assert found.std_errors[0] == pytest.approx(average.std_error * factor, rel=1e-6)
    assert "One where predicted differences" in found.summary()


def test_every_arm_has_its_slope():
    fit = ck.TransTEE(**FAST, random_state=0).fit(linear_design(0, levels=3))
    found = fit.estimate("calibration", propensity=LogisticRegression())
    names = [f"t={k}: {part}" for k in (1, 2) for part in ("average effect", "slope")]
    assert list(found.terms) == names


def test_estimands_that_the_treatment_lacks_are_refused():
    arms = ck.TransTEE(**SMALL).fit(linear_design(0))
    with pytest.raises(ArgumentError, match="'gate', 'calibration', got 'adrf'"):
        arms.estimate("adrf")
    with pytest.raises(ArgumentError, match="doses=: only for treatments with a dose"):
        arms.estimate(doses=[0.5])
    doses = ck.TransTEE(**SMALL).fit(ck.generators.dose_synthetic(0, n=200).blind())
    with pytest.raises(ArgumentError, match="continuous treatment are 'adrf', got 'ate'"):
        doses.estimate("ate")
