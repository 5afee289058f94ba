"""What is asked of a panel fit afterwards: sensitivity, robust errors, bootstrap."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from doubleml import DoubleMLData, DoubleMLIRM, DoubleMLPLR
from doubleml.utils import DMLDummyClassifier, DMLDummyRegressor
from scipy import stats

import causalkit as ck
from causalkit.errors import ArgumentError

N_UNITS, N_PERIODS = 80, 5
N = N_UNITS * N_PERIODS


def table(seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(N_UNITS), N_PERIODS)
    level = rng.standard_normal(N_UNITS)[unit]
    x1, x2 = level + rng.standard_normal((2, unit.size))
    d = x1 + level + rng.standard_normal(unit.size)
    b = (d > 0).astype(float)
    y = d + x1 + level + rng.standard_normal(unit.size)
    columns = {"y": y, "d": d, "b": b, "x1": x1, "x2": x2, "unit": unit}
    return pd.DataFrame(columns | {"time": np.tile(np.arange(N_PERIODS), N_UNITS)})


def panel(frame=None, **roles):
    known = {"outcome": "y", "treatment": "d", "covariates": ["x1", "x2"], "unit": "unit"}
    known["time"] = "time"
    return ck.CausalData.from_frame(table() if frame is None else frame, **(known | roles))


def fit(data=None, **arguments):
    known = {"learner": "linear", "random_state": 0}
    return ck.PanelDML(**(known | arguments)).fit(panel() if data is None else data)


# Sensitivity --------------------------------------------------------------------------------------


def test_sensitivity_of_the_iv_type_score_is_that_of_doubleml():
    frame = table()
    rng = np.random.default_rng(1)
    outcome = 2.0 * frame["x1"].to_numpy() + 0.1 * rng.standard_normal(N)
    treatment = frame["x1"].to_numpy() + 0.1 * rng.standard_normal(N)
    g = 1.3 * frame["x1"].to_numpy()
    given = {"outcome": outcome, "treatment": treatment, "g": g}
    arguments = {"approach": "pooled", "score": "iv-type", "ssc": "none", "use_t": False}
    fitted = ck.PanelDML(cov_type="robust", random_state=0, **arguments).fit(
        panel(frame), predictions=given
    )
    dummy = DMLDummyRegressor()
    data = DoubleMLData(frame, "y", "d", x_cols=["x1", "x2"])
    peer = DoubleMLPLR(data, dummy, dummy, dummy, score="IV-type", n_folds=5)
    hats = {"ml_l": outcome[:, None], "ml_m": treatment[:, None], "ml_g": g[:, None]}
    peer.fit(external_predictions={"d": hats})
    peer.sensitivity_analysis(cf_y=0.05, cf_d=0.1, rho=0.8, null_hypothesis=0.1)
    theirs = peer.sensitivity_params
    ours = fitted.sensitivity(cf_y=0.05, cf_d=0.1, rho=0.8, null=0.1)
    assert ours.estimate == pytest.approx(peer.coef[0], rel=1e-9)
    assert ours.low == pytest.approx(theirs["theta"]["lower"][0], rel=1e-8)
    assert ours.high == pytest.approx(theirs["theta"]["upper"][0], rel=1e-8)
    assert ours.robustness_value == pytest.approx(theirs["rv"][0], abs=1e-4)


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_sensitivity_of_the_interactive_model_is_that_of_doubleml():
    frame = table()
    rng = np.random.default_rng(1)
    chance = np.clip(0.5 + 0.2 * np.tanh(frame["x1"].to_numpy()), 0.05, 0.95)
    frame["b"] = (rng.random(N) < chance).astype(float)
    low = 2.0 * frame["x1"].to_numpy() + 0.1 * rng.standard_normal(N)
    given = {"mu0": low, "mu1": low + 0.4, "propensity": chance}
    arguments = {"approach": "pooled", "model": "interactive", "ssc": "none", "use_t": False}
    fitted = ck.PanelDML(cov_type="robust", random_state=0, **arguments).fit(
        panel(frame, treatment="b"), predictions=given
    )
    data = DoubleMLData(frame, "y", "b", x_cols=["x1", "x2"])
    peer = DoubleMLIRM(data, DMLDummyRegressor(), DMLDummyClassifier(), n_folds=5)
    names = {"ml_g0": "mu0", "ml_g1": "mu1", "ml_m": "propensity"}
    peer.fit(external_predictions={"b": {name: given[key][:, None] for name, key in names.items()}})
    peer.sensitivity_analysis(cf_y=0.05, cf_d=0.1, rho=0.8, null_hypothesis=0.1)
    theirs = peer.sensitivity_params
    ours = fitted.sensitivity(cf_y=0.05, cf_d=0.1, rho=0.8, null=0.1)
    assert ours.estimate == pytest.approx(peer.coef[0], rel=1e-9)
    assert ours.low == pytest.approx(theirs["theta"]["lower"][0], rel=1e-8)
    assert ours.high == pytest.approx(theirs["theta"]["upper"][0], rel=1e-8)
    assert ours.robustness_value == pytest.approx(theirs["rv"][0], abs=1e-4)
    # DoubleML takes the errors of its two bounds for each other's: see test_sensitivity.
    swapped = [theirs["se"][end][0] for end in ("upper", "lower")]
    ends = [(ours.low - ours.conf_low), (ours.conf_high - ours.high)]
    np.testing.assert_allclose(ends, 1.6448536269514722 * np.array(swapped), rtol=1e-7)
    assert "of the variance of inverse-propensity weights" in repr(ours)


def test_sensitivity_with_frequency_weights_is_that_of_repeated_rows():
    frame = table().drop(columns="time")
    times = np.random.default_rng(2).integers(1, 4, N)
    roles = {"time": None, "weights": "times", "weight_kind": "frequency"}
    weighted = panel(frame.assign(times=times), **roles)
    repeated = panel(frame.loc[np.repeat(np.arange(N), times)].reset_index(drop=True), time=None)
    exact = {"approach": "pooled", "mundlak_terms": "means", "n_folds": 1, "cov_type": "robust"}
    ours, theirs = (fit(data, **exact).sensitivity() for data in (weighted, repeated))
    for name in ("estimate", "low", "conf_low", "conf_high", "robustness_value_ci"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-7)


def test_limits_of_sensitivity_use_the_quantiles_of_the_interval():
    with_t, normal = fit(), fit(use_t=False)
    ours, theirs = with_t.sensitivity(level=0.9), normal.sensitivity(level=0.9)
    ratio = stats.t.ppf(0.9, N_UNITS - 1) / stats.norm.ppf(0.9)
    assert (ours.low - ours.conf_low) / (theirs.low - theirs.conf_low) == pytest.approx(ratio)
    # Without a confounder the limits are those of the two-sided interval at twice the error.
    none = with_t.sensitivity(cf_y=0.0, cf_d=0.0, level=0.95)
    low, high = with_t.estimate().conf_int(0.9)
    assert (none.conf_low, none.conf_high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_sensitivity_combines_repeats_as_the_estimate_does(aggregation):
    fitted = fit(n_rep=4, aggregation=aggregation, n_folds=2)
    by_repeat = fitted.diagnostics_["theta_by_repeat"][:, 0]
    found = fitted.sensitivity()
    assert found.estimate == fitted.estimate().estimate
    assert found.estimate == getattr(np, aggregation)(by_repeat)
    assert np.mean(by_repeat) != np.median(by_repeat)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda e: e.sensitivity(cf_y="a"), "cf_y must be one number, got str 'a'"),
        (lambda e: e.sensitivity(cf_d=np.ones(3)), r"cf_d must be one number, got ndarray of sh"),
        (lambda e: e.sensitivity(null=float("nan")), "null must be a finite number, got nan"),
        (lambda e: e.bootstrap(n_boot=1), "n_boot must be at least 99, got 1"),
        (lambda e: e.bootstrap(null=np.zeros(2)), r"null must be one number, got ndarray"),
        (lambda e: e.bootstrap(level="0.9"), "confidence level must be one number, got str"),
    ],
)
def test_numbers_that_are_none_are_named(ask, words):
    with pytest.raises(ArgumentError, match=words):
        ask(fit())


def test_one_covariate_may_be_benchmarked_by_its_name():
    found = fit().benchmark("x1")
    assert found["covariate"].tolist() == ["x1"]
    assert found["cf_d"].iloc[0] > 0.1


# Variance -----------------------------------------------------------------------------------------


def test_robust_errors_of_two_treatments_are_hc1_of_statsmodels():
    fitted = fit(panel(treatment=["d", "b"]), cov_type="robust")
    rows = fitted.augment()
    peer = sm.OLS(rows["outcome_residual"], rows[["treatment:d_residual", "treatment:b_residual"]])
    np.testing.assert_allclose(
        fitted.estimate().vcov, peer.fit(cov_type="HC1").cov_params(), rtol=1e-8
    )


# Bootstrap ----------------------------------------------------------------------------------------


def test_the_wild_bootstrap_does_not_invert_an_average_of_folds():
    with pytest.raises(ArgumentError, match=r'dml_procedure="dml1".*Refit with "dml2"'):
        fit(dml_procedure="dml1").bootstrap(kind="wild")
    assert len(fit(dml_procedure="dml1").bootstrap(n_boot=99)) == 1


def test_the_wild_bootstrap_of_the_iv_type_score_is_that_of_its_slope():
    fitted = fit(score="iv-type")
    row = fitted.bootstrap(kind="wild").iloc[0]
    low, high = fitted.estimate().conf_int()
    assert row["conf_low"] == pytest.approx(low, abs=0.2 * (high - low))
    assert row["conf_high"] == pytest.approx(high, abs=0.2 * (high - low))


def test_p_values_and_limits_of_the_bootstrap_agree_for_several_terms():
    fitted = fit(panel(treatment=["d", "b"]))
    found = fitted.bootstrap(n_boot=999).set_index("term")
    for term in ("d", "b"):
        for p, low, high in (
            ("p_value", "conf_low", "conf_high"),
            ("p_value_joint", "uniform_low", "uniform_high"),
        ):
            row = found.loc[term]
            for null in (row[low] - 1e-9, row[low] + 1e-9):
                again = fitted.bootstrap(n_boot=999, null=float(null)).set_index("term").loc[term]
                assert (again[p] < 0.05) == (null < row[low])
            assert row[high] - row["estimate"] == pytest.approx(row["estimate"] - row[low])
    assert (found["uniform_low"] < found["conf_low"]).all()


def test_augment_keeps_identifiers_that_share_a_name_with_a_column_of_its_own():
    frame = table().rename(columns={"unit": "row", "time": "fold"})
    rows = fit(panel(frame, unit="row", time="fold"), n_folds=3).augment()
    assert list(rows.columns[:4]) == ["row", "unit:row", "time:fold", "fold"]
    assert (rows["row"] == np.arange(len(frame))).all()
    assert (rows["unit:row"] == frame["row"]).all()
    assert (rows["time:fold"] == frame["fold"]).all()
    assert set(rows["fold"]) == {0, 1, 2}
