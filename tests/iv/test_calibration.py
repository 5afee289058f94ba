"""Calibration of what is divided by: closed forms, and the tails that it takes off."""

import iv_designs as designs
import numpy as np
import pytest

import causalkit as ck
from causalkit.iv.calibration import calibrated
from causalkit.iv.sample import iv_sample

ANY = "ignore::causalkit.errors.CausalKitWarning"


@pytest.fixture(scope="module")
def sample():
    return iv_sample(designs.as_data(*designs.draw(np.random.default_rng(40), 2000)))


@pytest.fixture(scope="module")
def draws(sample):
    rng = np.random.default_rng(41)
    truth, swing, noise, chance = rng.standard_normal((4, sample.n, 1))
    return truth, swing, noise, chance


def test_level_and_slope_are_those_of_least_squares(sample, draws):
    truth, swing, noise, chance = draws
    hats, target = 2.0 + truth + chance, swing * (1.0 + truth) + noise
    design = np.column_stack([swing, swing * (hats - hats.mean())])
    level, slope = np.linalg.lstsq(design, target[:, 0], rcond=None)[0]
    assert 0.0 < slope < 1.0
    expected = level + slope * (hats - hats.mean())
    np.testing.assert_allclose(calibrated(sample, hats, target, swing), expected, rtol=1e-10)


def test_a_prediction_of_pure_chance_becomes_its_level(sample, draws):
    _, swing, noise, chance = draws
    found = calibrated(sample, -chance, swing * (3.0 + chance) + noise, swing)
    assert np.ptp(found) == 0.0
    assert found[0, 0] == pytest.approx(
        (swing * (swing * (3.0 + chance) + noise)).mean() / (swing**2).mean()
    )


def test_a_flat_prediction_and_a_perfect_one_are_kept(sample, draws):
    truth, swing, *_ = draws
    flat = calibrated(sample, np.full_like(truth, 5.0), 2.0 * swing, swing)
    np.testing.assert_allclose(flat, 2.0, rtol=1e-10)
    np.testing.assert_allclose(calibrated(sample, truth, swing * truth, swing), truth, atol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
def test_calibration_takes_the_tails_off_the_average_with_few_rows_to_learn_from():
    # Nonlinear design, cubic dictionary, two folds: fitted values of ΔV near zero are chance.
    spread = {}
    for calibrate in (True, False):
        found = [
            ck.InvalidIV(
                method="debiased", learners="lasso", n_folds=2, calibrate=calibrate, random_state=0
            )
            .fit(ck.generators.invalid_iv(seed, n=1000, nuisance="nonlinear").blind())
            .result_.estimate
            for seed in range(60)
        ]
        spread[calibrate] = np.std(found)
    assert spread[True] < 0.8 * spread[False]
