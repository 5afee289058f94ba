"""What averages say of the predictions that they rest on, in one row and row by row."""

import numpy as np
import pandas as pd
import pytest
from arm_dose_designs import data_of, frame_of
from test_inference import FAST, linear_design

import causalkit as ck
from causalkit.errors import ArgumentError

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


def test_rows_of_two_arms_have_what_the_estimate_was_made_of(two):
    rows = two.augment(propensity=chances())
    result = two.estimate(propensity=chances())
    assert rows.columns.tolist() == [
        "row",
        "fold",
        "outcome_hat",
        "outcome:0_hat",
        "outcome:1_hat",
        "propensity_hat",
        "outcome_residual",
        "effect_t",
        "influence_t",
    ]
    frame = two._data.frame
    np.testing.assert_allclose(rows["propensity_hat"], chances())
    own = np.where(frame["t"] == 1, rows["outcome:1_hat"], rows["outcome:0_hat"])
    np.testing.assert_array_equal(rows["outcome_hat"], own)
    np.testing.assert_allclose(rows["outcome_residual"], frame["y"] - own)
    np.testing.assert_allclose(rows["effect_t"], rows["outcome:1_hat"] - rows["outcome:0_hat"])
    plug_in = result.diagnostics["plug-in"]["t"]
    assert rows["effect_t"].mean() == pytest.approx(plug_in, rel=1e-10)
    np.testing.assert_array_equal(rows["influence_t"], result.influence[:, 0])
    if two.n_rep == 1:
        error = rows["influence_t"].std() / np.sqrt(500)
        assert error == pytest.approx(result.std_error, rel=1e-2)
        rmse = np.sqrt(np.mean(rows["outcome_residual"] ** 2))
        assert rmse == pytest.approx(result.glance()["nuisance_rmse_y"].item(), rel=1e-12)


def test_a_row_is_predicted_by_networks_that_did_not_see_its_fold(two):
    rows = two.augment(propensity=chances())
    networks = next(iter(two._fold_networks.values()))
    for fold, (_, unseen) in enumerate(networks):
        np.testing.assert_array_equal(np.flatnonzero(rows["fold"] == fold), unseen)


def test_rows_of_several_arms_name_them_by_label_and_follow_the_baseline(three):
    rows = three.augment(propensity="linear", baseline=1)
    chances = rows[[f"propensity:{arm}_hat" for arm in (0, 1, 2)]]
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    effect = rows["outcome:2_hat"] - rows["outcome:1_hat"]
    np.testing.assert_allclose(rows["effect_t=2"], effect)
    assert {"effect_t=0", "influence_t=0", "influence_t=2"} < set(rows)


def test_rows_of_a_dose_have_the_influence_of_every_average_asked_for(doses):
    fit = ck.TransTEE(**QUICK).fit(doses)
    rows = fit.augment(doses=[0.3, 0.6])
    assert rows.columns.tolist() == [
        "row",
        "fold",
        "outcome_hat",
        "outcome_residual",
        "influence_E[Y(0.3)]",
        "influence_E[Y(0.6)]",
    ]
    influence = fit.estimate(doses=[0.3, 0.6]).influence
    np.testing.assert_array_equal(rows.filter(like="influence"), influence)


def test_a_loaded_fit_needs_the_data_for_its_rows(tmp_path, three):
    three.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    with pytest.raises(ArgumentError, match="pass the data again"):
        again.augment()
    pd.testing.assert_frame_equal(
        again.augment(propensity="linear", data=three._data), three.augment(propensity="linear")
    )
