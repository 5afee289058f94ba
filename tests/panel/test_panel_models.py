"""Interactive and IV models, against DoubleML, linearmodels and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from doubleml import DoubleMLData, DoubleMLIRM
from linearmodels.iv import IV2SLS
from sklearn.linear_model import LinearRegression, LogisticRegression
from switching_design import COVARIATES, panel, table

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError

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


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_an_effect_for_switchers_says_so_and_shows_its_overlap():
    data = panel(outcome="y2", treatment="b")
    fitted = ck.PanelDML(model="interactive", learner="ridge", random_state=0).fit(data)
    chance = fitted.augment()["propensity_hat"]
    for found in (fitted.estimate(), fitted.estimate("att")):
        assert "units that change treatment" in " ".join(found.summary().split())
        glance = found.glance().iloc[0]
        assert (glance["overlap_min"], glance["overlap_max"]) == (chance.min(), chance.max())
    whole = ck.PanelDML(model="interactive", approach="pooled", learner="ridge").fit(data)
    assert "units that change treatment" not in " ".join(whole.estimate().summary().split())


def test_a_period_that_trimming_leaves_out_is_not_counted():
    frame = table()
    chance = np.where(frame["time"] == frame["time"].max(), 0.001, 0.5)
    model = ck.PanelDML(model="interactive", approach="pooled", learner="linear", random_state=0)
    with pytest.warns(ck.errors.OverlapWarning):
        found = model.fit(panel(frame, treatment="b"), predictions={"propensity": chance})
    assert found.estimate().n_periods == frame["time"].nunique() - 1


@pytest.mark.parametrize("levels", [("no", "yes"), (False, True), (0, 1)])
def test_a_binary_treatment_of_any_type_is_a_contrast_of_its_levels(levels):
    frame = table()
    values = np.where(frame["b"] == 1.0, levels[1], levels[0])
    frame["b"] = pd.Categorical(values) if levels[0] == "no" else values
    data = panel(frame, treatment=["b", "d"])
    found = ck.PanelDML(learner="ridge", random_state=0).fit(data).estimate()
    assert found.contrast == ("yes vs no" if levels[0] == "no" else "1 vs 0", "dY/dD")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"score": "iv-type"},
        {"model": "interactive"},
        {"model": "interactive", "approach": "pooled"},
        {"model": "iv"},
        {"approach": "fd"},
    ],
    ids=lambda given: " ".join(given.values()) or "default",
)
def test_two_numbers_declared_binary_have_the_effect_of_zero_and_one(arguments):
    frame = table(seed=1).assign(z1=lambda df: df["z1"] + 4 * df["b"])
    instruments = {"instruments": "z1"} if arguments.get("model") == "iv" else {}
    found = [
        ck.PanelDML(learner="ridge", random_state=0, **arguments)
        .fit(panel(shown, outcome="y2", treatment="b", kinds="binary", **instruments))
        .estimate()
        for shown in (frame, frame.assign(b=1 + 2 * frame["b"].astype(int)))
    ]
    assert (found[0].contrast, found[1].contrast) == (("1 vs 0",), ("3 vs 1",))
    assert (found[0].terms, found[1].terms) == (("b",), ("b=3",))
    assert found[1].estimate == found[0].estimate
    assert found[1].std_error == found[0].std_error


def test_the_interactive_model_names_the_treatments_among_which_to_choose():
    data = panel(table().assign(c=lambda df: df["d"] > 0), treatment=["b", "c"])
    with pytest.raises(ArgumentError, match=r"got 2: b, c\. Choose one with data\.with_roles"):
        ck.PanelDML(model="interactive").fit(data)
    chosen = panel(table(seed=1), treatment=["b", "d"]).with_roles(treatment="b")
    found = ck.PanelDML(model="interactive", learner="ridge", random_state=0).fit(chosen)
    assert found.estimate().terms == ("b",)


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
    assert found.estimand == "iv-slope"
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
    with pytest.warns(ck.errors.WeakInstrumentWarning, match=r"'d'.*anderson_rubin\(\)"):
        weak = ck.PanelDML(model="iv", learner="linear", random_state=0).fit(
            panel(frame, instruments="w", extra=())
        )
    assert weak.anderson_rubin().shape != "interval"


def test_anderson_rubin_inverts_the_test_of_the_reduced_form():
    frame = table()
    data = panel(frame, instruments="w", extra=())
    how = {
        "model": "iv",
        "approach": "within",
        "mundlak_terms": "means",
        "learner": "linear",
        "n_folds": 1,
    }
    fitted = ck.PanelDML(**how, ssc="none", use_t=False).fit(data)
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
    by_row = ck.PanelDML(**how, cov_type="robust").fit(data)
    stage = by_row.diagnostics_["first_stage"]["d"].test
    plain = sm.OLS(within["d"], within[["w", *COVARIATES]]).fit(cov_type="HC0")
    n, n_units = len(frame), frame["unit"].nunique()
    factor = n / (n - 1 - n_units)
    assert stage.statistic == pytest.approx(plain.tvalues["w"] ** 2 / factor, rel=1e-6)
    assert stage.df == (1, n - 1 - n_units)
    with pytest.raises(ArgumentError, match=r'model="iv"'):
        ck.PanelDML(learner="linear").fit(panel()).anderson_rubin()


@pytest.mark.filterwarnings("ignore::causalkit.errors.WeakInstrumentWarning")
def test_only_two_arms_moved_by_two_arms_have_a_local_average_effect():
    frame = table()
    frame["offer"] = (frame["z1"] > 0) * 1.0
    frame["b"] = (frame["b"] + frame["offer"] > 0) * 1.0
    cases = {("b", "offer"): "late", ("d", "offer"): "iv-slope", ("b", "z1"): "iv-slope"}
    for (treatment, instruments), estimand in cases.items():
        data = panel(frame, treatment=treatment, instruments=instruments)
        result = ck.PanelDML(model="iv", learner="ridge", random_state=0).fit(data).estimate()
        assert result.estimand == estimand
        local = "local average treatment effect" in result.summary()
        assert local is (estimand == "late")
