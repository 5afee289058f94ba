"""Rows of compare() equal what other packages compute; tests and bounds beside the estimate."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.iv import baselines, compare
from causalkit.iv.specification import left_out_moments

SEEN = ("y", "a", "z", "l1", "l2")


@pytest.fixture(scope="module")
def data():
    return ck.generators.invalid_iv(3, n=1600).blind()


@pytest.fixture(scope="module")
def fit(data):
    return ck.InvalidIV(
        method="debiased", learners="linear", basis=None, ssc="none", random_state=0
    ).fit(data)


@pytest.fixture(scope="module")
def table(fit):
    return fit.compare()


def row(table, name):
    result = dict(zip(table.names, table.results, strict=True))[name]
    return result.estimate, result.std_error


def test_regression_and_2sls_equal_linearmodels(data, table):
    from linearmodels.iv import IV2SLS

    y, a, z, *x = (data.frame[name].to_numpy(dtype=float) for name in SEEN)
    exogenous = np.column_stack([np.ones(len(y)), *x])
    ols = IV2SLS(y, np.column_stack([a, exogenous]), None, None).fit(cov_type="robust")
    two = IV2SLS(y, exogenous, a, z).fit(cov_type="robust")
    np.testing.assert_allclose(
        row(table, "OLS"), (ols.params.iloc[0], ols.std_errors.iloc[0]), rtol=1e-9
    )
    np.testing.assert_allclose(
        row(table, "2SLS"), (two.params.iloc[-1], two.std_errors.iloc[-1]), rtol=1e-9
    )


def test_liml_equals_linearmodels_with_two_instruments(data):
    from linearmodels.iv import IVLIML

    second = np.random.default_rng(0).standard_normal(len(data)) + 0.5 * data.frame["a"].to_numpy()
    both = data.assign(z2=second).with_roles(instruments=("z", "z2"))
    fit = ck.InvalidIV(
        method="debiased", learners="linear", basis=None, ssc="none", random_state=0
    ).fit(both)
    y, a, z, *x = (data.frame[name].to_numpy(dtype=float) for name in SEEN)
    exogenous = np.column_stack([np.ones(len(y)), *x])
    theirs = IVLIML(y, exogenous, a, np.column_stack([z, second])).fit(cov_type="robust")
    expected = theirs.params.iloc[-1], theirs.std_errors.iloc[-1]
    estimate, error = row(fit.compare(), "LIML")
    assert estimate == pytest.approx(expected[0], rel=1e-8)
    # Their variance has the fitted first stage in place of the k-class instrument.
    assert error == pytest.approx(expected[1], rel=0.02)


def test_late_equals_doubleml_on_the_same_folds(data, fit, table):
    doubleml = pytest.importorskip("doubleml")
    from sklearn.linear_model import LinearRegression, LogisticRegression

    rows = fit.fit_.sample.rows
    splits = [(rows[train], rows[test]) for train, test in fit.fit_.folds.splits(0)]
    frame = data.frame[list(SEEN)].astype(float)
    theirs = doubleml.DoubleMLData(frame, "y", "a", x_cols=["l1", "l2"], z_cols="z")
    chance = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500)
    model = doubleml.DoubleMLIIVM(theirs, LinearRegression(), chance, chance)
    model.set_sample_splitting(splits)
    model.fit()
    estimate, error = row(table, "LATE (IIVM)")
    # Logistic regressions of the two libraries stop at slightly different points.
    assert estimate == pytest.approx(model.coef[0], abs=1e-5)
    assert error == pytest.approx(model.se[0], rel=1e-4)


def test_pliv_is_the_ratio_of_residual_covariances(data, fit, table):
    from sklearn.linear_model import LinearRegression, LogisticRegression

    y, a, z, *x = (data.frame[name].to_numpy(dtype=float) for name in SEEN)
    x = np.column_stack(x)
    rows = fit.fit_.sample.rows
    left = np.empty((3, len(y)))
    for train, test in fit.fit_.folds.splits(0):
        train, test = rows[train], rows[test]
        left[0, test] = y[test] - LinearRegression().fit(x[train], y[train]).predict(x[test])
        for place, target in ((1, a), (2, z)):
            model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500)
            chance = model.fit(x[train], target[train]).predict_proba(x[test])[:, 1]
            left[place, test] = target[test] - chance
    expected = (left[2] @ left[0]) / (left[2] @ left[1])
    assert row(table, "PLIV")[0] == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_computed_is_named_with_its_reason(table):
    text = " ".join(str(table).split())
    assert "LIML not available: with one instrument it is 2SLS" in text
    assert "2SLS: Assumes that the instrument does not affect the outcome directly" in text


def test_differences_are_those_of_the_rows_with_their_joint_error(fit, table):
    frame = fit.hausman().set_index("method")
    own = fit.estimate()
    for name, result in zip(table.names, table.results, strict=True):
        if name == own.estimator:
            continue
        assert frame.loc[name, "difference"] == pytest.approx(result.estimate - own.estimate)
        # Correlated estimates: never more than independence to the worst side would give.
        assert frame.loc[name, "std_error"] <= result.std_error + own.std_error + 1e-12
    assert frame.loc["2SLS", "p_value"] < 0.001


def test_a_row_that_coincides_with_the_fit_has_no_test_and_stops_no_other(data):
    # One candidate each: what is selected is what the debiased row fits on the same folds.
    selective = ck.InvalidIV(learners=["linear"], basis=None, n_folds=2, random_state=0).fit(data)
    frame = selective.hausman().set_index("method")
    assert frame["p_value"].isna().to_dict() == {
        name: name == "InvalidIV (debiased)" for name in frame.index
    }
    assert frame.loc["InvalidIV (debiased)", "difference"] == pytest.approx(0.0, abs=1e-10)
    line = "InvalidIV (debiased) − InvalidIV (selective, minimax): the two coincide."
    assert line in selective.compare().notes


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_hausman_rejects_a_true_null_as_often_as_it_says(monkeypatch):
    kept = {name: baselines.BASELINES[name] for name in ("OLS", "2SLS")}
    monkeypatch.setattr(compare, "BASELINES", kept)
    monkeypatch.setattr(compare, "_relatives", lambda *_: [])
    rejected = {"OLS": 0, "2SLS": 0}
    for seed in range(300):
        data = ck.generators.invalid_iv(
            seed, n=1500, direct=0.0, confounding=0.0, effect="constant"
        )
        frame = ck.InvalidIV(method="parametric", random_state=0).fit(data.blind()).hausman()
        for name, p in zip(frame["method"], frame["p_value"], strict=True):
            rejected[name] += p < 0.05
    # Four Monte-Carlo errors around 5 %: a false alarm in 10,000.
    for share in (count / 300 for count in rejected.values()):
        assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_left_out_moments_reject_a_varying_effect_and_not_a_constant_one():
    rejected = {}
    for effect in ("constant", "linear"):
        tests = []
        for seed in range(200):
            data = ck.generators.invalid_iv(seed, n=3000, effect=effect)
            fit = ck.InvalidIV(method="parametric", random_state=0).fit(data.blind())
            planned = left_out_moments(fit.fit_, fit._settings, fit.fit_.sample.x)
            tests.append([make().p_value < 0.05 for make in planned.values()])
        rejected[effect] = np.mean(tests, axis=0)
    error = np.sqrt(0.05 * 0.95 / 200)
    assert (np.abs(rejected["constant"] - 0.05) < 4 * error).all()
    assert abs(rejected["linear"][1] - 0.05) < 4 * error
    assert rejected["linear"][0] > 0.8


def test_instruments_that_agree_and_one_that_does_not():
    rng = np.random.default_rng(5)
    data = ck.generators.invalid_iv(5, n=4000, exposure="continuous", effect="constant").blind()
    coin = (rng.random(len(data)) < 0.5).astype(float)
    frame = data.frame
    noise = 0.8 * coin * rng.standard_normal(len(data))
    good = data.assign(z2=coin, a=frame["a"] + noise, y=frame["y"] + noise)
    # Interaction of confounder and second instrument: its own effect is off by design.
    u = np.random.default_rng(6).uniform(-1, 1, len(data))
    bad = data.assign(z2=coin, a=frame["a"] + noise + coin * u, y=frame["y"] + noise + 3 * u)
    p = {}
    for name, made in (("good", good), ("bad", bad)):
        both = made.with_roles(instruments=("z", "z2"))
        fit = ck.InvalidIV(method="debiased", learners="linear", random_state=0).fit(both)
        (agreement, *_) = fit.specification()
        p[name] = agreement.p_value
        assert agreement.null.startswith("every instrument alone")
    assert p["good"] > 0.001
    assert p["bad"] < 0.001


def test_iivm_is_not_computed_on_the_few_rows_with_an_instrument_of_some_chance():
    # Take-up of the instrument is all but certain for seven rows of ten.
    l1 = np.linspace(-1.0, 1.0, 1600)
    rng = np.random.default_rng(4)
    z = (rng.random(1600) < np.where(l1 < 0.4, 0.002, 0.5)).astype(float)
    a = (rng.random(1600) < 0.5 - 0.3 * z).astype(float)
    frame = pd.DataFrame({"y": a + rng.standard_normal(1600), "a": a, "z": z, "l1": l1})
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates="l1"
    )
    learners = {"instrument": DecisionTreeClassifier(max_depth=1)}
    learners |= dict.fromkeys(("treatment", "outcome", "effect"), "linear")
    fitted = ck.InvalidIV(method="debiased", learners=learners, basis=None, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        notes = " ".join(fitted.fit(data).compare().notes)
    assert re.search(r"LATE \(IIVM\) not available: 70% of the propensities of the instr", notes)


def three_levels(n=1200):
    """One instrument of three levels, by which the variance of the exposure rises."""
    rng = np.random.default_rng(5)
    level = rng.integers(0, 3, n)
    l1, a = rng.uniform(-1.0, 1.0, n), np.sqrt(0.5 + level) * rng.standard_normal(n)
    frame = pd.DataFrame({"y": a + rng.standard_normal(n), "a": a, "l1": l1})
    frame["z"] = pd.Categorical(np.array(["p", "q", "r"])[level])
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates="l1"
    )


def test_one_instrument_of_three_levels_has_none_to_agree_with():
    fit = ck.InvalidIV(method="debiased", learners="linear", basis=None, n_folds=2, random_state=0)
    names = [test.name for test in fit.fit(three_levels()).specification()]
    assert names == ["Left-out moments (Hansen J)"] * 2


def test_agreement_needs_learners_that_serve_one_instrument_too_and_pliv_does_not():
    rng = np.random.default_rng(6)
    z1, z2 = (rng.random((2, 800)) < 0.5).astype(float)
    a = np.sqrt(0.5 + 1.2 * z1 + 0.9 * z2) * rng.standard_normal(800)
    frame = pd.DataFrame({"y": a + rng.standard_normal(800), "a": a, "z": z1, "z2": z2})
    data = ck.CausalData.from_frame(
        frame.assign(l1=rng.uniform(-1.0, 1.0, 800)),
        outcome="y",
        treatment="a",
        instruments=["z", "z2"],
        covariates="l1",
    )
    fit = ck.InvalidIV(
        method="debiased", learners=LinearRegression(), basis=None, n_folds=2, random_state=0
    ).fit(data)
    words = (
        "instruments agree fits 'z' alone, and .* predicts no probabilities.* Named learners serve"
    )
    assert "PLIV" in fit.compare().names
    with pytest.warns(CausalKitWarning, match=words):
        names = [test.name for test in fit.specification()]
    assert names == ["Left-out moments (Hansen J)"] * 2


@pytest.mark.filterwarnings("ignore::causalkit.errors.DroppedRowsWarning")
def test_agreement_is_the_clustered_test_of_a_difference_whatever_rows_have_no_weight():
    rng = np.random.default_rng(6)
    l1, z1, z2 = rng.uniform(-1.0, 1.0, 1200), *(rng.random((2, 1200)) < 0.5).astype(float)
    cluster, shock = np.arange(1200) // 10, np.repeat(rng.standard_normal(120), 10)
    a = np.sqrt(0.5 + 1.2 * z1 + 0.9 * z2) * (rng.standard_normal(1200) + shock)
    frame = pd.DataFrame({"y": a + rng.standard_normal(1200) + a * shock, "a": a, "z": z1})
    frame = frame.assign(z2=z2, l1=l1, c=cluster, w=np.where(rng.random(1200) < 0.1, 0.0, 1.0))
    roles = {"outcome": "y", "treatment": "a", "cluster": "c"}
    weights = {"weights": "w", "weight_kind": "sampling"}
    fit = ck.InvalidIV(method="debiased", learners="linear", basis=None, n_folds=2, random_state=0)

    def data(instruments, covariates):
        more = {"instruments": instruments, "covariates": covariates}
        return ck.CausalData.from_frame(frame, **roles, **weights, **more)

    test = fit.fit(data(["z", "z2"], "l1")).specification()[0]
    theta, influence = [], []
    for alone, other in (("z", "z2"), ("z2", "z")):
        made = fit.fit(data(alone, ["l1", other]))
        result = made.estimate("variance-weighted")
        theta.append(result.estimate)
        influence.append(np.zeros(1200))
        influence[-1][made.fit_.sample.rows] = result.influence[:, 0]
    kept = frame["w"].to_numpy() > 0
    sums = pd.Series(influence[0] - influence[1]).groupby(cluster).sum()
    variance = 120 / 119 * (sums**2).sum() / kept.sum() ** 2
    assert test.statistic == pytest.approx((theta[0] - theta[1]) ** 2 / variance, rel=1e-8)


def test_departure_bounds_hold_the_bias_of_a_confounder_that_interacts_with_the_instrument():
    data = ck.generators.invalid_iv(7, n=60_000, interaction=1.0)
    fit = ck.InvalidIV(method="parametric", random_state=0).fit(data.blind())
    result = fit.estimate()
    # U acts on the exposure in one arm only: ρ_0 = .07 · 1.5/3 = .035 and ρ_1 = 0.
    delta_v = fit.fit_.fitted.hats.delta_v[:, 0]
    expected = float(np.mean(-0.035 / delta_v))
    assert abs(result.estimate - 1.0 - expected) < 4 * result.std_error
    assert expected > 8 * result.std_error
    a_res = fit.fit_.sample.a - fit.fit_.fitted.hats.mu[:, 0]
    hats, sample = fit.fit_.fitted.hats, fit.fit_.sample
    y_res = sample.y - hats.omega[:, 0] - hats.beta[:, 0] * hats.mu[:, 0]
    departure = 0.035 / (a_res.std() * y_res.std())
    low, high = fit.sensitivity(departure=departure).conf_int
    assert low < 1.0 < high
    plain = fit.sensitivity(departure=0.0, null=1.0)
    assert plain.bounds == (result.estimate, result.estimate)
    assert plain.robustness_value == pytest.approx(expected / plain.unit, rel=0.2)
    assert not low < 1.0 - 2 * expected < high


def test_hiding_a_covariate_that_drives_everything_is_the_larger_departure(data):
    fit = ck.InvalidIV(method="parametric", random_state=0).fit(data)
    frame = fit.benchmark()
    assert list(frame["covariate"]) == ["l1", "l2"]
    unit = fit.sensitivity().unit
    np.testing.assert_allclose(frame["departure"], frame["change"].abs() / unit)


def test_terms_of_a_hidden_covariate_leave_the_working_models_with_it(data):
    level = pd.Categorical(np.random.default_rng(0).choice(list("pqr"), len(data)))
    made = data.assign(region=level).with_roles(covariates=("l1", "l2", "region"))
    for terms in ("l1", ("l1", "region=q"), ("region",)):
        fit = ck.InvalidIV(method="parametric", effect_terms=terms, random_state=0).fit(made)
        frame = fit.benchmark().set_index("covariate")
        listed = (terms,) if isinstance(terms, str) else terms
        left = tuple(term for term in listed if not term.startswith("region"))
        short = ck.InvalidIV(method="parametric", effect_terms=left, random_state=0).fit(
            made.with_roles(covariates=("l1", "l2"))
        )
        assert (frame["failure"] == "").all()
        assert frame.loc["region", "estimate"] == pytest.approx(short.estimate().estimate)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_a_covariate_without_which_nothing_identifies_is_a_row_with_its_reason():
    # Over both halves of l1 the variance moves up and down by as much.
    rng = np.random.default_rng(0)
    n = 3000
    l1, z = rng.choice([-1.0, 1.0], n), rng.integers(0, 2, n).astype(float)
    a = (rng.random(n) < np.where((z == 1) == (l1 > 0), 0.1, 0.5)).astype(float)
    frame = pd.DataFrame({"y": a + l1 + rng.standard_normal(n), "a": a, "z": z, "l1": l1})
    made = ck.CausalData.from_frame(
        frame.assign(l2=rng.standard_normal(n)),
        outcome="y",
        treatment="a",
        instruments="z",
        covariates=["l1", "l2"],
    )
    fit = ck.InvalidIV(method="parametric", trim_delta_v=0.1, random_state=0).fit(made)
    found = fit.benchmark().set_index("covariate")
    assert np.isnan(found.loc["l1", ["estimate", "change", "departure"]].to_numpy(float)).all()
    assert "|ΔV| is below 0.1 in every row" in found.loc["l1", "failure"]
    assert np.isfinite(found.loc["l2", "departure"])
    assert found.loc["l2", "failure"] == ""


def test_departures_below_zero_and_candidates_of_one_learner_are_refused(fit):
    with pytest.raises(ArgumentError, match="departure must be at least 0"):
        fit.sensitivity(departure=-0.1)
    with pytest.raises(ArgumentError, match=r'candidates\(\) is for method="selective"'):
        fit.candidates()
