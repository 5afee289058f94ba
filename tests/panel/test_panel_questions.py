"""Heterogeneity, several treatments, sensitivity and bootstrap, against closed forms and peers."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from switching_design import COVARIATES, panel, table

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning, IdentificationError

# Heterogeneity --------------------------------------------------------------------------------


def residual_frame(fitted, frame):
    rows = fitted.augment().sort_values("row").reset_index(drop=True)
    return rows.assign(x2=frame["x2"], group=frame["group"])


def test_blp_equals_least_squares_of_residuals_with_clustered_errors():
    frame = table()
    fitted = ck.PanelDML(learner="ridge", random_state=0, ssc="none").fit(panel(frame))
    found = fitted.blp("x2")
    rows = residual_frame(fitted, frame)
    moved = pd.DataFrame(
        {
            "constant": rows["treatment_residual"],
            "x2": rows["treatment_residual"] * rows["x2"],
        }
    )
    peer = sm.OLS(rows["outcome_residual"], moved).fit(
        cov_type="cluster", cov_kwds={"groups": rows["unit"], "use_correction": False}
    )
    assert found.terms == ("constant", "x2")
    np.testing.assert_allclose(found.estimates, peer.params, rtol=1e-9)
    np.testing.assert_allclose(found.vcov, peer.cov_params(), rtol=1e-8)


def test_gate_equals_the_slope_of_each_group():
    frame = table()
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(panel(frame))
    found = fitted.gate("group")
    rows = residual_frame(fitted, frame)
    slopes = [
        float(part["treatment_residual"] @ part["outcome_residual"])
        / float(part["treatment_residual"] @ part["treatment_residual"])
        for _, part in rows.groupby("group")
    ]
    assert found.terms == ("group=high", "group=low")
    np.testing.assert_allclose(found.estimates, slopes, rtol=1e-10)
    # The truth is 1.5 and 1.0; the groups' bands leave no doubt which is larger.
    band = found.conf_int(kind="uniform")
    assert 1.0 < band.loc["group=high", "conf_low"] < 1.5 < band.loc["group=high", "conf_high"]


def test_effects_of_new_rows_follow_the_projection():
    frame = table()
    data = panel(frame, modifiers=["x2"])
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(data)
    projection = fitted.blp("x2")
    new = data.subset(np.arange(7))
    effects = fitted.effect(new)
    x2 = frame["x2"].to_numpy()[:7]
    np.testing.assert_allclose(
        effects["effect"], projection.estimates[0] + projection.estimates[1] * x2, rtol=1e-12
    )
    design = np.column_stack([np.ones(7), x2])
    variance = np.diag(design @ projection.vcov @ design.T)
    np.testing.assert_allclose(effects["std_error"] ** 2, variance, rtol=1e-10)
    assert (effects["conf_low"] < effects["effect"]).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.blp("x9"), "no column 'x9'"),
        (lambda e: e.blp(pd.DataFrame({"a": [1.0]})), "1 rows; the data have 600"),
        (lambda e: e.gate(["a", "b"]), "2 entries; expected one per row"),
        (lambda e: e.gate(["a"] * 600), "single value 'a'"),
        (lambda e: e.benchmark(["x7"]), "'x7' is not a covariate.*x1, x2"),
        (lambda e: e.benchmark([3]), "3 is not a covariate.*x1, x2"),
        (lambda e: e.benchmark(3), "a column or a list of columns, got 3"),
        (lambda e: e.benchmark(None), "a column or a list of columns, got None"),
    ],
)
def test_questions_that_do_not_fit_the_data_are_refused(call, words):
    fitted = ck.PanelDML(learner="linear", random_state=0).fit(panel())
    with pytest.raises(ArgumentError, match=words):
        call(fitted)


def test_collinear_moderators_are_refused_by_name():
    fitted = ck.PanelDML(learner="linear", random_state=0).fit(panel())
    basis = pd.DataFrame({"a": table()["x1"], "twice": 2 * table()["x1"]})
    with pytest.raises(IdentificationError, match=r"constant, a, twice.*dependent"):
        fitted.blp(basis)


def test_several_treatments_have_effects_of_their_own_but_no_blp():
    data = panel(treatment=["d", "b"])
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(data)
    assert fitted.estimate().terms == ("d", "b")
    with pytest.raises(ArgumentError, match=r"one treatment; this fit has 2: d, b"):
        fitted.gate("group")


def test_one_by_one_estimates_each_treatment_given_the_others():
    data = panel(treatment=["d", "b"])
    arguments = {"mundlak_terms": "means", "learner": "linear", "n_folds": 1, "ssc": "none"}
    fitted = ck.PanelDML(**arguments).fit(data)
    found, joint = fitted.one_by_one(), fitted.estimate()
    # With least squares, one treatment given the other is a row of the joint regression.
    np.testing.assert_allclose(found.estimates, joint.estimates, rtol=1e-9)
    np.testing.assert_allclose(found.std_errors, joint.std_errors, rtol=1e-9)
    np.testing.assert_allclose(found.vcov, joint.vcov, rtol=1e-6, atol=1e-12)
    alone = ck.PanelDML(**arguments).fit(
        data.with_roles(treatment="b", covariates=[*COVARIATES, "d"])
    )
    assert found.estimates[1] == pytest.approx(alone.estimate().estimate, rel=1e-12)
    with pytest.raises(ArgumentError, match=r"one treatment \(d\)"):
        ck.PanelDML(**arguments).fit(panel()).one_by_one()


def test_one_by_one_of_rows_that_stand_for_several_is_that_of_as_many_rows():
    frame = table()
    frame["w"] = 1 + np.arange(len(frame)) % 3
    copies = frame.loc[frame.index.repeat(frame["w"])].reset_index(drop=True)
    copies["time"] = copies.groupby("unit").cumcount()
    weighted = {"weights": "w", "weight_kind": "frequency"}
    once, each = (
        ck.PanelDML(cov_type="robust", learner="linear", n_folds=1)
        .fit(panel(rows, treatment=["d", "b"], **more))
        .one_by_one()
        for rows, more in ((frame, weighted), (copies, {}))
    )
    np.testing.assert_allclose(once.estimates, each.estimates, rtol=1e-9)
    np.testing.assert_allclose(once.vcov, each.vcov, rtol=1e-7)


def test_one_by_one_refuses_endogenous_treatments_as_covariates():
    frame = table()
    frame[["d", "b"]] += frame[["z1", "z2"]].to_numpy()
    data = panel(frame, treatment=["d", "b"], instruments=["z1", "z2"])
    fitted = ck.PanelDML(model="iv", learner="linear", random_state=0).fit(data)
    with pytest.raises(ArgumentError, match=r"endogenous.*joint effect"):
        fitted.one_by_one()


# Sensitivity and bootstrap ------------------------------------------------------------------------


def test_sensitivity_bounds_follow_the_published_formula():
    frame = table()
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(panel(frame))
    found = fitted.sensitivity(cf_y=0.04, cf_d=0.05, rho=0.8)
    rows = residual_frame(fitted, frame)
    theta = fitted.estimate().estimate
    error = rows["outcome_residual"] - theta * rows["treatment_residual"]
    sigma2, nu2 = (error**2).mean(), 1.0 / (rows["treatment_residual"] ** 2).mean()
    reach = 0.8 * np.sqrt(sigma2 * nu2 * 0.04 * 0.05 / 0.95)
    assert found.low == pytest.approx(theta - reach, rel=1e-9)
    assert found.high == pytest.approx(theta + reach, rel=1e-9)
    # The robustness value is the common strength that moves the estimate just to zero.
    value = found.robustness_value
    edge = 0.8 * np.sqrt(sigma2 * nu2 * value * value / (1 - value))
    assert edge == pytest.approx(abs(theta), rel=1e-6)


def test_benchmark_of_a_strong_confounder_is_larger_than_of_noise():
    found = ck.PanelDML(learner="linear", random_state=0).fit(panel()).benchmark(COVARIATES)
    by_name = found.set_index("covariate")
    assert by_name.loc["x1", "cf_d"] > 10 * abs(by_name.loc["x2", "cf_d"])


@pytest.mark.parametrize("weights", ["normal", "rademacher", "exponential"])
def test_multiplier_bootstrap_interval_is_close_to_the_analytic_one(weights):
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(panel())
    row = fitted.bootstrap(n_boot=4999, weights=weights).iloc[0]
    low, high = fitted.estimate().conf_int()
    width = high - low
    # 4,999 draws leave about 1 % error in a 95 % quantile.
    assert row["conf_low"] == pytest.approx(low, abs=0.05 * width)
    assert row["conf_high"] == pytest.approx(high, abs=0.05 * width)
    assert row["uniform_low"] == pytest.approx(row["conf_low"])


def test_wild_bootstrap_agrees_with_many_clusters_and_needs_one_dimension():
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(panel())
    row = fitted.bootstrap(kind="wild", n_boot=999).iloc[0]
    low, high = fitted.estimate().conf_int()
    assert row["conf_low"] == pytest.approx(low, abs=0.15 * (high - low))
    assert row["conf_high"] == pytest.approx(high, abs=0.15 * (high - low))
    assert row["p_value"] == pytest.approx(1 / 1000)


def test_a_j_test_that_too_few_clusters_leave_untold_is_left_out_with_a_warning():
    rng = np.random.default_rng(0)
    n = 300
    z = rng.normal(size=(n, 5))
    d = z.sum(axis=1) + rng.normal(size=n)
    frame = pd.DataFrame(z, columns=[f"z{j}" for j in range(5)]).assign(
        d=d, y=d + rng.normal(size=n), u=np.arange(n) // 5, t=np.arange(n) % 5
    )
    frame["c"] = frame["u"] % 5
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        instruments=[f"z{j}" for j in range(5)],
        unit="u",
        time="t",
        cluster="c",
    )
    with pytest.warns(CausalKitWarning) as caught:
        fit = ck.PanelDML(model="iv", approach="pooled", learner="linear", random_state=0).fit(data)
    assert any("over-identification test is left out" in str(w.message) for w in caught)
    assert "overidentification" not in fit.diagnostics_


def test_what_a_session_shows_of_an_answer_is_its_sentence():
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(panel())
    for answer in (fitted.sensitivity(), fitted.mundlak_test(), fitted.estimate()):
        assert repr(answer) == str(answer)
        assert "array(" not in repr(answer)
