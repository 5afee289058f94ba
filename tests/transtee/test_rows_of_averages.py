"""What averages say of the predictions that they rest on, in one row and row by row."""

import numpy as np
import pytest
from arm_dose_designs import data_of, frame_of
from test_inference import FAST, linear_design

import causalkit as ck

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
QUICK = FAST | {"max_epochs": 5, "n_folds": 2, "random_state": 0}


def chances():
    """Known propensities of the second arm, between .3 and .8."""
    return np.linspace(0.3, 0.8, 500)


@pytest.fixture(scope="module", params=[1, 2])
def two(request):
    """Two arms, with one split and with two."""
    return ck.TransTEE(**QUICK, n_rep=request.param).fit(linear_design(0))


@pytest.fixture(scope="module")
def three():
    return ck.TransTEE(**QUICK).fit(linear_design(1, levels=3))


def test_the_glance_has_the_error_of_the_outcome_and_the_propensities_of_the_second_arm(two):
    glance = two.estimate(propensity=chances()).glance().iloc[0]
    assert (glance["overlap_min"], glance["overlap_max"]) == (0.3, 0.8)
    arm = two._data.frame["t"].to_numpy()
    wrong = np.sqrt(np.mean((arm - chances()) ** 2))
    assert glance["nuisance_rmse_d"] == pytest.approx(wrong, rel=1e-12)
    # Of a fit that knows something of outcomes, and not of the residuals of its own rows.
    assert 1.0 < glance["nuisance_rmse_y"] < np.sqrt(2.0) * two._data.frame["y"].std()


def test_propensities_of_three_arms_are_all_in_the_range_that_the_glance_has(three):
    result = three.estimate(propensity="linear")
    glance = result.glance().iloc[0]
    told = result.diagnostics["range of propensities"]
    assert (glance["overlap_min"], glance["overlap_max"]) == told
    assert glance.isna()["nuisance_rmse_d"]


def test_a_dose_has_an_error_of_the_outcome_and_no_propensity(doses):
    glance = ck.TransTEE(**QUICK).fit(doses).estimate(doses=[0.5]).glance().iloc[0]
    assert glance["nuisance_rmse_y"] > 0.0
    assert glance[["nuisance_rmse_d", "overlap_min", "overlap_max"]].isna().all()


def test_arms_with_doses_have_the_propensities_of_the_arms():
    fit = ck.TransTEE(**QUICK).fit(data_of(frame_of(0, 300)))
    glance = fit.estimate(arm="up", doses=[0.0], propensity="linear").glance().iloc[0]
    assert 0.0 < glance["overlap_min"] < glance["overlap_max"] < 1.0
    assert glance["nuisance_rmse_y"] > 0.0
