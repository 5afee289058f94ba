"""Linear regressions as estimators: linearmodels' numbers, and the rows of compare()."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.panel import PanelOLS

import causalkit as ck
from causalkit.errors import ArgumentError, DataError
from causalkit.panel.linear import LINEAR
from causalkit.panel.regression import PanelRegression


def data():
    return ck.generators.panel_cp2025(3, n_units=60, n_periods=5, n_covariates=3)


def test_fixed_effects_are_those_of_linearmodels():
    frame = data().frame.set_index(["unit", "time"])
    peer = PanelOLS(frame["y"], frame[["d", "x1", "x2", "x3"]], entity_effects=True).fit(
        cov_type="clustered", cluster_entity=True, count_effects=False, debiased=False
    )
    ours = PanelRegression(method="fixed effects", ssc="none").fit(data()).estimate()
    assert ours.estimate == pytest.approx(peer.params["d"], rel=1e-10)
    assert ours.std_error == pytest.approx(peer.std_errors["d"], rel=1e-8)


def two_periods(*, weights=False):
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(150), 2)
    level, x = rng.standard_normal(150)[unit], rng.standard_normal(unit.size)
    d = x + level + rng.standard_normal(unit.size)
    y = d + x + level + rng.standard_normal(unit.size)
    time, sex = np.tile([0, 1], 150), unit % 3
    frame = pd.DataFrame({"y": y, "d": d, "x": x, "sex": sex, "unit": unit, "time": time})
    return frame.assign(w=rng.integers(1, 4, unit.size)) if weights else frame


def causal(frame, **roles):
    covariates = roles.pop("covariates", ["x", "sex"])
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=covariates,
        unit="unit",
        time="time",
        **roles,
    )


@pytest.mark.parametrize(("cov_type", "theirs"), [("nonrobust", "unadjusted"), ("robust",) * 2])
@pytest.mark.parametrize("time_effects", [None, "dummies"])
def test_without_clusters_absorbed_effects_cost_degrees_of_freedom(cov_type, theirs, time_effects):
    frame = two_periods()
    panel = frame.set_index(["unit", "time"])
    within = PanelOLS(
        panel["y"], panel[["d", "x"]], entity_effects=True, time_effects=time_effects is not None
    ).fit(cov_type=theirs)
    how = {"cov_type": cov_type, "time_effects": time_effects}
    # The sex of a unit is in its effect: it costs no degree of freedom more.
    ours = PanelRegression(method="fixed effects", **how).fit(causal(frame)).estimate()
    assert ours.std_error == pytest.approx(within.std_errors["d"], rel=1e-8)
    assert ours.df == within.df_resid
    regressors = frame[["d", "x", "sex"]]
    if time_effects is not None:
        regressors = regressors.assign(later=frame["time"])
    design = sm.add_constant(regressors)
    pooled = sm.OLS(frame["y"], design).fit(
        cov_type="HC1" if cov_type == "robust" else "nonrobust", use_t=True
    )
    ours = PanelRegression(method="pooled OLS", **how).fit(causal(frame)).estimate()
    assert ours.std_error == pytest.approx(pooled.bse["d"], rel=1e-8)
    assert ours.p_value() == pytest.approx(pooled.pvalues["d"], rel=1e-6)
    assert ours.df == pooled.df_resid


@pytest.mark.parametrize("approach", ["within", "hybrid", "late_within"])
@pytest.mark.parametrize(("cov_type", "theirs"), [("nonrobust", "unadjusted"), ("robust",) * 2])
def test_residuals_freed_of_unit_effects_have_as_many_degrees_of_freedom_less(
    approach, cov_type, theirs
):
    frame = two_periods()
    panel = frame.set_index(["unit", "time"])
    peer = PanelOLS(panel["y"], panel[["d"]], entity_effects=True).fit(cov_type=theirs)
    fitted = ck.PanelDML(
        approach=approach, learner="linear", n_folds=1, cov_type=cov_type, random_state=0
    ).fit(causal(frame, covariates=()))
    ours = fitted.estimate()
    assert ours.std_error == pytest.approx(peer.std_errors["d"], rel=1e-8)
    assert ours.df == peer.df_resid
    if cov_type == "robust":
        bound = fitted.sensitivity(cf_y=0.0, cf_d=0.0).conf_high
        assert bound == pytest.approx(ours.conf_int(level=0.9)[1], rel=1e-8)


@pytest.mark.parametrize("cov_type", ["nonrobust", "robust"])
def test_frequency_weights_have_the_degrees_of_freedom_of_the_repeated_rows(cov_type):
    frame = two_periods(weights=True)
    data = causal(frame, weights="w", weight_kind="frequency")
    ours = PanelRegression(method="fixed effects", cov_type=cov_type).fit(data).estimate()
    repeated = frame.loc[frame.index.repeat(frame["w"])]
    dummies = pd.get_dummies(repeated["unit"], dtype=float)
    peer = sm.OLS(repeated["y"], pd.concat([repeated[["d", "x"]], dummies], axis=1)).fit(
        cov_type="HC1" if cov_type == "robust" else "nonrobust"
    )
    assert ours.std_error == pytest.approx(peer.bse["d"], rel=1e-8)
    assert ours.df == peer.df_resid


def test_every_method_is_a_row_of_compare():
    rows = ck.PanelDML(learner="linear", random_state=0).fit(data()).compare().tidy()
    rows = rows.set_index("model")["estimate"]
    for name in LINEAR:
        found = PanelRegression(method=name).fit(data()).estimate().estimate
        assert np.isclose(found, rows[name], rtol=1e-12)


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'fixed effects'"):
        PanelRegression(method="fixed effect").fit(data())


def test_period_means_are_no_regression_of_its_own_and_are_refused():
    with pytest.raises(ArgumentError, match=r"'means'.*dummies"):
        PanelRegression(time_effects="means").fit(data())


def test_differences_ask_for_the_period_of_every_row():
    timeless = data().with_roles(time=None)
    with pytest.raises(DataError, match="PanelRegression needs the role 'time'"):
        PanelRegression(method="first differences").fit(timeless)


def test_a_regression_says_what_it_compares():
    frame = two_periods().assign(arm=lambda df: (df["d"] > 0).map({True: "yes", False: "no"}))
    roles = {"outcome": "y", "covariates": "x", "unit": "unit", "time": "time"}
    text = ck.CausalData.from_frame(frame, treatment=["arm", "d"], **roles)
    found = PanelRegression().fit(text).estimate()
    assert found.contrast == ("yes vs no", "dY/dD")
    coded = frame.assign(arm=np.where(frame["arm"] == "yes", 7, 2))
    data = ck.CausalData.from_frame(
        coded, treatment=["arm", "d"], kinds=["binary", "continuous"], **roles
    )
    again = PanelRegression().fit(data).estimate()
    assert again.contrast == ("7 vs 2", "dY/dD")
    np.testing.assert_array_equal(again.estimates, found.estimates)
