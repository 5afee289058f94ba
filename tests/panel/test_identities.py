"""Exact identities between Mundlak regressions and fixed effects (panel identities I1 to I6)."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS
from linearmodels.panel import PanelOLS, PooledOLS

import causalkit as ck
from causalkit.panel.regression import PanelRegression

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def make_panel(*, balanced: bool, n_units: int = 40, n_periods: int = 6, seed: int = 0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    time = np.tile(np.arange(2000, 2000 + n_periods), n_units)
    alpha = rng.normal(size=n_units)[unit]
    shock = rng.normal(size=n_periods)[time - 2000]
    x1 = alpha + rng.normal(size=unit.size)
    x2 = 0.5 * x1 + shock + rng.normal(size=unit.size)
    z = rng.normal(size=unit.size) + 0.5 * alpha
    error = rng.normal(size=unit.size)
    d = 0.7 * x1 - 0.3 * x2 + alpha + z + 0.5 * error + shock + rng.normal(size=unit.size)
    d2 = 0.4 * x1 + alpha + rng.normal(size=unit.size)
    y = 1.5 * d - 0.8 * d2 + x1 + x2 + 2 * alpha + shock + error
    columns = {"y": y, "d": d, "d2": d2, "x1": x1, "x2": x2, "z": z, "unit": unit, "time": time}
    frame = pd.DataFrame(columns)
    if balanced:
        return frame
    keep = rng.uniform(size=len(frame)) > 0.3
    frame = frame[keep]
    return frame[frame.groupby("unit")["y"].transform("size") > 1].reset_index(drop=True)


def causal(frame, **roles):
    settings = {
        "outcome": "y",
        "treatment": "d",
        "covariates": ["x1", "x2"],
        "unit": "unit",
        "time": "time",
    }
    return ck.CausalData.from_frame(frame, **(settings | roles))


def linear(frame, data=None, **arguments):
    settings = {
        "learner": "linear",
        "mundlak_terms": "means",
        "n_folds": 1,
        "ssc": "none",
        "random_state": 0,
    }
    est = ck.PanelDML(**(settings | arguments))
    return est.fit(causal(frame) if data is None else data).estimate()


def fixed_effects(frame, regressors=("d", "x1", "x2"), *, time_effects=False):
    panel = frame.set_index(["unit", "time"])
    model = PanelOLS(
        panel["y"], panel[list(regressors)], entity_effects=True, time_effects=time_effects
    )
    fit = model.fit(cov_type="clustered", cluster_entity=True, debiased=False, group_debias=False)
    return fit.params["d"], fit.std_errors["d"]


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("approach", ["cre", "cre_normal", "cre_general", "within", "hybrid"])
def test_i1_every_mundlak_form_equals_fixed_effects(approach, balanced):
    frame = make_panel(balanced=balanced)
    ours = linear(frame, approach=approach)
    np.testing.assert_allclose(ours.estimate, fixed_effects(frame)[0], **TIGHT)


@pytest.mark.parametrize("balanced", [True, False])
def test_i1_needs_the_treatment_mean(balanced):
    frame = make_panel(balanced=balanced)
    pooled_with_means = linear(
        frame, approach="cre", model="iv", data=causal(frame, instruments="z")
    )
    assert abs(pooled_with_means.estimate - fixed_effects(frame)[0]) > 0.01


@pytest.mark.parametrize("balanced", [True, False])
def test_i2_time_dummies_with_their_means_equal_two_way_fixed_effects(balanced):
    frame = make_panel(balanced=balanced)
    ours = linear(frame, time_effects="dummies")
    want = fixed_effects(frame, time_effects=True)[0]
    np.testing.assert_allclose(ours.estimate, want, **TIGHT)


def test_i2_period_means_equal_two_way_only_when_balanced():
    balanced, thinned = make_panel(balanced=True), make_panel(balanced=False)
    want = fixed_effects(balanced, time_effects=True)[0]
    np.testing.assert_allclose(linear(balanced, time_effects="means").estimate, want, **TIGHT)
    off = linear(thinned, time_effects="means", panel_length=False).estimate
    assert abs(off - fixed_effects(thinned, time_effects=True)[0]) > 1e-3


@pytest.mark.parametrize("balanced", [True, False])
def test_i3_cluster_se_equals_that_of_the_fixed_effects_regression(balanced):
    frame = make_panel(balanced=balanced)
    ours = linear(frame)
    np.testing.assert_allclose(ours.std_error, fixed_effects(frame)[1], **TIGHT)


@pytest.mark.parametrize("balanced", [True, False])
def test_i4_instrument_means_give_fixed_effects_2sls(balanced):
    frame = make_panel(balanced=balanced)
    columns = ["y", "d", "x1", "x2", "z"]
    demeaned = frame[columns] - frame.groupby("unit")[columns].transform("mean")
    peer = IV2SLS(demeaned["y"], demeaned[["x1", "x2"]], demeaned["d"], demeaned["z"]).fit(
        cov_type="clustered", clusters=frame["unit"], debiased=False
    )
    ours = linear(frame, model="iv", data=causal(frame, instruments="z"))
    np.testing.assert_allclose(ours.estimate, peer.params["d"], **TIGHT)
    np.testing.assert_allclose(ours.std_error, peer.std_errors["d"], **TIGHT)


@pytest.mark.parametrize("balanced", [True, False])
def test_i5_several_treatments_equal_fixed_effects_with_all(balanced):
    frame = make_panel(balanced=balanced)
    ours = linear(frame, data=causal(frame, treatment=["d", "d2"]))
    panel = frame.set_index(["unit", "time"])
    model = PanelOLS(panel["y"], panel[["d", "d2", "x1", "x2"]], entity_effects=True)
    peer = model.fit(cov_type="clustered", cluster_entity=True, debiased=False, group_debias=False)
    names = ["d", "d2"]
    np.testing.assert_allclose(ours.estimate[names], peer.params[names], **TIGHT)
    np.testing.assert_allclose(ours.vcov, peer.cov.loc[names, names], **TIGHT)


def test_i6_cross_fitted_forms_agree_on_a_balanced_panel():
    frame = make_panel(balanced=True)
    found = [
        linear(frame, approach=approach, n_folds=5)
        for approach in ("cre_normal", "cre_general", "within")
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.estimate, found[0].estimate, **TIGHT)
        np.testing.assert_allclose(other.std_error, found[0].std_error, **TIGHT)


def test_two_way_clustered_se_equals_linearmodels():
    frame = make_panel(balanced=True, n_units=50, n_periods=30, seed=3)
    # The within form: Mundlak residuals keep a unit part, which only unit clusters cancel.
    ours = linear(frame, approach="within", cov_type="two-way")
    columns = ["y", "d", "x1", "x2"]
    demeaned = frame.set_index(["unit", "time"])[columns]
    demeaned = demeaned - demeaned.groupby("unit").transform("mean")
    peer = PooledOLS(demeaned["y"], demeaned[["d", "x1", "x2"]]).fit(
        cov_type="clustered",
        cluster_entity=True,
        cluster_time=True,
        debiased=False,
        group_debias=False,
    )
    np.testing.assert_allclose(ours.estimate, peer.params["d"], **TIGHT)
    np.testing.assert_allclose(ours.std_error, peer.std_errors["d"], rtol=1e-9)


def test_hybrid_equals_cre_general_with_any_learner():
    frame = make_panel(balanced=False)
    one = linear(frame, approach="hybrid", learner="boosting", n_folds=3)
    two = linear(frame, approach="cre_general", learner="boosting", n_folds=3)
    np.testing.assert_allclose(one.estimate, two.estimate, **TIGHT)


def test_means_of_a_basis_equal_fixed_effects_with_that_dictionary():
    frame = make_panel(balanced=False)
    ours = linear(frame, mundlak_terms="basis", panel_length=False)
    wide = frame.assign(
        a2=frame.x1**2, a3=frame.x1**3, b2=frame.x2**2, b3=frame.x2**3, ab=frame.x1 * frame.x2
    )
    want = fixed_effects(wide, ("d", "x1", "x2", "a2", "a3", "b2", "b3", "ab"))
    np.testing.assert_allclose([ours.estimate, ours.std_error], want, rtol=1e-8)


@pytest.mark.parametrize("kind", ["sampling", "precision", "frequency"])
def test_weights_that_vary_within_units_give_weighted_two_way_fixed_effects(kind):
    frame = make_panel(balanced=True)
    frame["w"] = np.random.default_rng(1).integers(1, 5, len(frame))
    data = causal(frame, weights="w", weight_kind=kind)
    dummies = pd.get_dummies(frame[["unit", "time"]].astype(str), drop_first=True, dtype=float)
    design = sm.add_constant(pd.concat([frame[["d", "x1", "x2"]], dummies], axis=1))
    want = sm.WLS(frame["y"], design, weights=frame["w"]).fit().params["d"]
    for approach in ("cre", "cre_general", "within"):
        ours = linear(frame, data=data, approach=approach, time_effects="dummies")
        np.testing.assert_allclose(ours.estimate, want, rtol=1e-9)
    ours = PanelRegression(method="Mundlak OLS", time_effects="dummies").fit(data)
    np.testing.assert_allclose(ours.estimate().estimate, want, rtol=1e-9)


def test_weights_give_weighted_fixed_effects():
    frame = make_panel(balanced=False)
    frame["w"] = np.random.default_rng(1).uniform(0.5, 3.0, len(frame))
    data = causal(frame, weights="w", weight_kind="sampling")
    ours = linear(frame, data=data)
    panel = frame.set_index(["unit", "time"])
    peer = PanelOLS(
        panel["y"], panel[["d", "x1", "x2"]], entity_effects=True, weights=panel["w"]
    ).fit(cov_type="clustered", cluster_entity=True, debiased=False, group_debias=False)
    np.testing.assert_allclose(ours.estimate, peer.params["d"], rtol=1e-9)
    np.testing.assert_allclose(ours.std_error, peer.std_errors["d"], rtol=1e-9)
