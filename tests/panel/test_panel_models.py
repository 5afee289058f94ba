"""Interactive and IV models, heterogeneity, sensitivity and bootstrap, against peers."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from doubleml import DoubleMLData, DoubleMLIRM
from linearmodels.iv import IV2SLS
from sklearn.linear_model import LinearRegression, LogisticRegression

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError

COVARIATES = ["x1", "x2"]


def table(n_units=120, n_periods=5, seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    level = rng.standard_normal(n_units)[unit]
    x1, x2 = level + rng.standard_normal((2, unit.size))
    chance = 1.0 / (1.0 + np.exp(-0.3 * (x1 + level)))
    b = (rng.random(unit.size) < chance).astype(float)
    d = x1 + level + rng.standard_normal(unit.size)
    z = level + rng.standard_normal((2, unit.size))
    group = np.where(x2 > 0, "high", "low")
    y = d * (1 + 0.5 * (x2 > 0)) + x1 + level + rng.standard_normal(unit.size)
    return pd.DataFrame(
        {
            "y": y,
            "y2": b * (1 + x1) + x1 + level + rng.standard_normal(unit.size),
            "d": d,
            "b": b,
            "x1": x1,
            "x2": x2,
            "z1": z[0],
            "z2": z[1],
            "w": z.sum(axis=0) + d,
            "group": group,
            "unit": unit,
            "time": np.tile(np.arange(n_periods), n_units),
        }
    )


def panel(frame=None, *, outcome="y", treatment="d", **roles):
    return ck.CausalData.from_frame(
        table() if frame is None else frame,
        outcome=outcome,
        treatment=treatment,
        covariates=COVARIATES,
        unit="unit",
        time="time",
        **({"extra": ["group"]} | roles),
    )


# Interactive ------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_interactive_scores_equal_doubleml_on_the_same_predictions(estimand):
    frame = table()
    data = panel(frame, outcome="y2", treatment="b")
    fitted = ck.PanelDML(
        model="interactive",
        approach="pooled",
        learner="linear",
        learner_treatment=LogisticRegression(),
        trim=0.0,
        ssc="none",
        cov_type="robust",
        use_t=False,
        random_state=0,
    ).fit(data)
    rows = fitted.augment().sort_values("row")
    predictions = {
        "ml_g0": rows["mu0_hat"].to_numpy(),
        "ml_g1": rows["mu1_hat"].to_numpy(),
        "ml_m": rows["propensity_hat"].to_numpy(),
    }
    peer = DoubleMLIRM(
        DoubleMLData(frame, "y2", "b", COVARIATES),
        LinearRegression(),
        LogisticRegression(),
        score="ATTE" if estimand == "att" else "ATE",
        n_folds=2,
    )
    peer.fit(external_predictions={"b": {k: v[:, None] for k, v in predictions.items()}})
    found = fitted.estimate(estimand)
    assert found.estimand == estimand
    assert found.estimate == pytest.approx(peer.coef[0], rel=1e-8)
    assert found.std_error == pytest.approx(peer.se[0], rel=1e-8)


def test_interactive_effects_of_the_treated_and_the_untreated_average_to_the_ate():
    data = panel(outcome="y2", treatment="b")
    fitted = ck.PanelDML(
        model="interactive", approach="pooled", learner="ridge", trim=0.0, random_state=0
    ).fit(data)
    share = data.column("treatment").mean()
    mixed = share * fitted.estimate("att").estimate + (1 - share) * fitted.estimate("atc").estimate
    # The two have their own finite-sample remainders, so they agree to sampling error, not exactly.
    assert mixed == pytest.approx(fitted.estimate("ate").estimate, abs=0.05)
    with pytest.raises(ArgumentError, match=r"'late'.*ate, att, atc|'late'.*atc, ate, att"):
        fitted.estimate("late")


def test_units_that_never_switch_are_counted_and_left_out():
    frame = table()
    frame.loc[frame["unit"] < 10, "b"] = 1.0
    frame.loc[(frame["unit"] >= 10) & (frame["unit"] < 15), "b"] = 0.0
    never = frame.groupby("unit")["b"].transform("mean").isin([0.0, 1.0]).sum()
    data = panel(frame, outcome="y2", treatment="b")
    result = ck.PanelDML(model="interactive", learner="ridge", random_state=0).fit(data).estimate()
    assert never >= 75
    assert result.dropped["unit always or never treated"] == never
    outside = result.dropped.get("propensity outside the trimming bounds", 0)
    assert result.n == len(frame) - never - outside
    frame["b"] = (frame["unit"] % 2).astype(float)
    with pytest.raises(IdentificationError, match=r"never (changes|varies) within a unit"):
        ck.PanelDML(model="interactive", learner="ridge").fit(
            panel(frame, outcome="y2", treatment="b")
        )


def test_too_few_switchers_for_the_folds_are_explained():
    frame = table()
    frame["b"] = (frame["unit"] % 2).astype(float)
    frame.loc[frame["unit"].isin([1, 2]) & (frame["time"] > 2), "b"] = 0.5
    frame["b"] = np.where(frame["b"] == 0.5, 1 - frame["unit"] % 2, frame["b"]).astype(float)
    with pytest.raises(IdentificationError, match=r"only 2 of 120 units change.*5 folds"):
        ck.PanelDML(model="interactive", learner="linear").fit(
            panel(frame, outcome="y2", treatment="b")
        )


@pytest.mark.parametrize("approach", ["within", "fd", "cre_general", "late_within", "hybrid"])
def test_interactive_models_need_levels(approach):
    with pytest.raises(ArgumentError, match=rf'interactive.*approach="{approach}".*"cre"'):
        ck.PanelDML(model="interactive", approach=approach).fit(panel(treatment="b"))


# Instruments --------------------------------------------------------------------------------------


@pytest.mark.parametrize("instruments", [["w"], ["w", "z2"]])
@pytest.mark.parametrize("approach", ["cre", "within"])
def test_iv_equals_fixed_effects_2sls_with_its_clustered_error(instruments, approach):
    frame = table()
    data = panel(frame, instruments=instruments, extra=())
    found = (
        ck.PanelDML(
            model="iv",
            approach=approach,
            mundlak_terms="means",
            learner="linear",
            n_folds=1,
            ssc="none",
        )
        .fit(data)
        .estimate()
    )
    columns = ["y", "d", *instruments, *COVARIATES]
    within = frame[columns] - frame.groupby("unit")[columns].transform("mean")
    peer = IV2SLS(within["y"], within[COVARIATES], within["d"], within[instruments]).fit(
        cov_type="clustered", clusters=frame["unit"], debiased=False
    )
    assert found.estimand == "late"
    assert found.estimate == pytest.approx(peer.params["d"], rel=1e-9)
    if approach == "within":
        assert found.std_error == pytest.approx(peer.std_errors["d"], rel=1e-9)


@pytest.mark.parametrize("time_effects", ["dummies", "means"])
def test_two_way_iv_needs_the_period_means_of_the_instrument(time_effects):
    frame = table()
    shock = np.random.default_rng(9).standard_normal(5)[frame["time"]]
    for name in ("w", "d", "y"):
        frame[name] += 3.0 * shock
    found = (
        ck.PanelDML(
            model="iv",
            mundlak_terms="means",
            time_effects=time_effects,
            learner="linear",
            n_folds=1,
        )
        .fit(panel(frame, instruments="w", extra=()))
        .estimate()
    )
    columns = ["y", "d", "w", *COVARIATES]
    twice = frame[columns] - frame.groupby("unit")[columns].transform("mean")
    twice = twice - frame.groupby("time")[columns].transform("mean") + frame[columns].mean()
    peer = IV2SLS(twice["y"], twice[COVARIATES], twice["d"], twice[["w"]]).fit()
    assert found.estimate == pytest.approx(peer.params["d"], rel=1e-9)


@pytest.mark.parametrize("approach", ["cre", "within", "fd"])
def test_an_instrument_that_never_moves_within_units_is_named(approach):
    frame = table()
    frame["w"] = frame["unit"] % 7 + 0.1 * (frame["unit"] % 3)
    with pytest.raises(IdentificationError, match=r"instrument 'w' never varies within a unit"):
        ck.PanelDML(model="iv", approach=approach, learner="linear").fit(
            panel(frame, instruments="w", extra=())
        )


def test_first_stage_is_on_the_result_and_a_weak_one_warns():
    strong = ck.PanelDML(model="iv", learner="linear", random_state=0).fit(
        panel(instruments="w", extra=())
    )
    glance = strong.estimate().glance()
    stage = strong.diagnostics_["first_stage"]["d"]
    assert glance["first_stage_f"].iloc[0] == stage.test.statistic > 23.1
    assert not stage.weak
    frame = table()
    frame["w"] = np.random.default_rng(1).standard_normal(len(frame)) + 0.02 * frame["d"]
    with pytest.warns(ck.errors.WeakInstrumentWarning, match=r"'d'.*Anderson-Rubin"):
        weak = ck.PanelDML(model="iv", learner="linear", random_state=0).fit(
            panel(frame, instruments="w", extra=())
        )
    assert weak.anderson_rubin().shape != "interval"


def test_anderson_rubin_inverts_the_test_of_the_reduced_form():
    frame = table()
    data = panel(frame, instruments="w", extra=())
    fitted = ck.PanelDML(
        model="iv",
        approach="within",
        mundlak_terms="means",
        learner="linear",
        n_folds=1,
        ssc="none",
        use_t=False,
    ).fit(data)
    found = fitted.anderson_rubin(level=0.9)
    columns = ["y", "d", "w", *COVARIATES]
    within = frame[columns] - frame.groupby("unit")[columns].transform("mean")
    for end in found.intervals[0]:
        left = within["y"] - end * within["d"]
        peer = sm.OLS(left, within[["w", *COVARIATES]]).fit(
            cov_type="cluster",
            cov_kwds={"groups": frame["unit"], "use_correction": False},
            use_t=False,
        )
        # At an end of the 90 % set the reduced form has a p-value of exactly 10 %.
        assert peer.pvalues["w"] == pytest.approx(0.10, abs=1e-6)
    with pytest.raises(ArgumentError, match=r'model="iv"'):
        ck.PanelDML(learner="linear").fit(panel()).anderson_rubin()


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
