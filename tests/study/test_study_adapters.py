"""Adapters of peers: their numbers to the last digit, causalkit's roles, nobody's random state."""

# ruff: noqa: NPY002 - peers draw from the global generator, which is what is tested here

import pickle
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

import causalkit as ck
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError, DataError
from causalkit.study import adapters
from causalkit.study.adapters_common import peer_learner
from causalkit.study.attempt import fit_of
from causalkit.study.design import EstimatorSpec

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # EconML says that it refits a nuisance model for every treatment.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
SEED = 11


def table(n=240, *, binary=False, seed=0):
    """Confounded data with an instrument, a cluster and 2 covariates."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    z = (rng.random(n) < 0.5).astype(float)
    d = x[:, 0] + 1.5 * z + rng.standard_normal(n)
    if binary:
        d = (d > 0.75).astype(float)
    y = 0.5 * d + x[:, 0] + rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "d": d, "a": x[:, 0], "b": x[:, 1], "z": z})
    return frame.assign(g=np.repeat(np.arange(n // 8), 8))


def data_of(frame, **roles):
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates=["a", "b"], **roles
    )


def numbers(estimator, data):
    result = estimator.fit(data).estimate()
    return [result.estimate, result.std_error]


def exactly(found, wanted):
    np.testing.assert_allclose(found, np.ravel(wanted), rtol=1e-10, atol=0)


def forests():
    return (
        RandomForestRegressor(10, max_depth=3, random_state=1),
        RandomForestClassifier(10, max_depth=3, random_state=1),
    )


# ---- EconML ------------------------------------------------------------------------------------


def econml_by_hand(model, frame, x=None, w=("a", "b"), **more):
    """Fit an EconML object as its own users do."""
    np.random.seed(SEED)
    columns = {
        "X": None if x is None else frame[list(x)].to_numpy(),
        "W": None if w is None else frame[list(w)].to_numpy(),
    }
    model.fit(frame["y"].to_numpy(), frame["d"].to_numpy(), **columns, **more)
    return model, columns["X"]


def population(model, x):
    inference = model.ate_inference(X=x, T0=0, T1=1)
    return [inference.mean_point, inference.stderr_mean]


@pytest.mark.parametrize("modifiers", [(), ("a",)])
def test_linear_dml_is_econmls_with_modifiers_as_x_and_the_rest_as_w(modifiers):
    from econml.dml import LinearDML

    frame, (mean, _) = table(), forests()
    made = adapters.EconMLLinearDML(learner=mean, n_folds=3, random_state=SEED)
    found = numbers(made, data_of(frame, modifiers=list(modifiers)))
    model = LinearDML(model_y=mean, model_t=mean, cv=3, random_state=SEED)
    w = [name for name in "ab" if name not in modifiers]
    exactly(found, population(*econml_by_hand(model, frame, x=modifiers or None, w=w)))


def test_linear_dml_keeps_clusters_together_and_says_that_its_errors_do_not():
    from econml.dml import LinearDML

    frame, (mean, _) = table(), forests()
    made = adapters.EconMLLinearDML(learner=mean, random_state=SEED)
    found = numbers(made, data_of(frame, cluster="g"))
    model = LinearDML(model_y=mean, model_t=mean, cv=2, random_state=SEED)
    exactly(found, population(*econml_by_hand(model, frame, groups=frame["g"].to_numpy())))
    assert found != numbers(clone(made), data_of(frame))
    assert "folds keep g together" in made.estimate().inference
    assert made.estimate().n_clusters is None


def test_causal_forest_of_a_binary_treatment_reports_the_doubly_robust_average():
    from econml.dml import CausalForestDML

    frame, (mean, chance) = table(binary=True), forests()
    trees = {"n_estimators": 20}
    made = adapters.EconMLCausalForestDML(
        learner=mean, treatment_learner=chance, options=trees, random_state=SEED
    )
    found = numbers(made, data_of(frame))
    model = CausalForestDML(
        model_y=mean, model_t=chance, discrete_treatment=True, random_state=SEED, **trees
    )
    model, x = econml_by_hand(model, frame, x="ab", w=None)
    exactly(found, [model.ate_, model.ate_stderr_])
    assert found[0] != pytest.approx(float(population(model, x)[0]), rel=1e-6)


def test_causal_forest_of_a_number_reports_the_mean_of_its_effects():
    from econml.dml import CausalForestDML

    frame, (mean, _) = table(), forests()
    trees = {"n_estimators": 20}
    made = adapters.EconMLCausalForestDML(learner=mean, options=trees, random_state=SEED)
    found = numbers(made, data_of(frame, modifiers=["a"]))
    model = CausalForestDML(model_y=mean, model_t=mean, random_state=SEED, **trees)
    exactly(found, population(*econml_by_hand(model, frame, x="a", w="b")))
    # Conservative as its inference says: the root mean square of the pointwise errors.
    pointwise = model.effect_inference(frame[["a"]].to_numpy()).stderr
    assert found[1] == pytest.approx(np.sqrt(np.mean(np.square(pointwise))))


def test_dr_learner_is_econmls_and_takes_binary_treatments_only():
    from econml.dr import DRLearner

    frame, (mean, chance) = table(binary=True), forests()
    made = adapters.EconMLDRLearner(
        outcome_learner=mean, treatment_learner=chance, random_state=SEED
    )
    found = numbers(made, data_of(frame))
    model = DRLearner(model_regression=mean, model_propensity=chance, random_state=SEED)
    exactly(found, population(*econml_by_hand(model, frame)))
    with pytest.raises(DataError, match="takes a treatment that is binary; 'd' is continuous"):
        made.fit(data_of(table()))


def test_driv_is_econmls_linear_one_and_of_a_dose_its_estimand_is_a_slope():
    from econml.iv.dr import LinearDRIV

    frame, (mean, chance) = table(), forests()
    made = adapters.EconMLDRIV(learner=mean, instrument_learner=chance, random_state=SEED)
    found = numbers(made, data_of(frame, instruments="z"))
    model = LinearDRIV(
        model_y_xw=mean,
        model_t_xw=mean,
        model_tz_xw=mean,
        model_z_xw=chance,
        discrete_instrument=True,
        random_state=SEED,
    )
    z = frame["z"].to_numpy()
    exactly(found, population(*econml_by_hand(model, frame, Z=z)))
    assert made.estimate().estimand == "iv-slope"


def test_driv_refuses_two_instruments_and_no_instrument():
    frame = table().assign(v=1.0 * np.arange(240))
    made = adapters.EconMLDRIV(learner="linear")
    with pytest.raises(DataError, match=r"takes one instrument, and the data have 2 \(z, v\)"):
        made.fit(data_of(frame, instruments=["z", "v"]))
    with pytest.raises(DataError, match="EconMLDRIV needs the role 'instruments'"):
        made.fit(data_of(frame))


# ---- DoubleML ----------------------------------------------------------------------------------


def doubleml_by_hand(make, frame, *, z=None, clusters=None):
    """Fit a DoubleML object as its own users do."""
    import doubleml

    np.random.seed(SEED)
    held = doubleml.DoubleMLData(
        frame, "y", "d", x_cols=["a", "b"], z_cols=z, cluster_cols=clusters
    )
    model = make(doubleml, held)
    model.fit()
    return [model.coef[0], model.se[0]]


@pytest.mark.parametrize("clusters", [None, "g"])
def test_plr_is_doublemls_with_the_clusters_of_the_data(clusters):
    frame, mean = table(), LinearRegression()
    made = adapters.DoubleMLPLR(learner=mean, n_folds=3, n_rep=2, random_state=SEED)
    found = numbers(made, data_of(frame, cluster=clusters))
    wanted = doubleml_by_hand(
        lambda dml, held: dml.DoubleMLPLR(held, mean, mean, n_folds=3, n_rep=2),
        frame,
        clusters=clusters,
    )
    exactly(found, wanted)
    told = "cluster-robust (g, 30 clusters)" if clusters else "heteroskedasticity-robust"
    assert told in made.estimate().inference
    assert made.estimate().n_clusters == (30 if clusters else None)


def test_plr_with_the_iv_type_score_gets_its_third_learner():
    frame, mean = table(), LinearRegression()
    made = adapters.DoubleMLPLR(learner=mean, score="IV-type", random_state=SEED)
    wanted = doubleml_by_hand(
        lambda dml, held: dml.DoubleMLPLR(held, mean, mean, mean, score="IV-type"), frame
    )
    exactly(numbers(made, data_of(frame)), wanted)


@pytest.mark.parametrize(("score", "estimand"), [("ATE", "ate"), ("ATTE", "att")])
def test_irm_is_doublemls_and_names_the_estimand_of_the_score(score, estimand):
    frame, (mean, chance) = table(binary=True), forests()
    made = adapters.DoubleMLIRM(
        learner=mean, treatment_learner=chance, score=score, random_state=SEED
    )
    wanted = doubleml_by_hand(
        lambda dml, held: dml.DoubleMLIRM(held, mean, chance, score=score), frame
    )
    exactly(numbers(made, data_of(frame)), wanted)
    assert made.estimate().estimand == estimand


def test_pliv_is_doublemls_with_a_learner_for_each_of_three_variables():
    frame, mean, (forest, _) = table(), LinearRegression(), forests()
    made = adapters.DoubleMLPLIV(
        outcome_learner=mean, treatment_learner=mean, instrument_learner=forest, random_state=SEED
    )
    wanted = doubleml_by_hand(
        lambda dml, held: dml.DoubleMLPLIV(held, ml_l=mean, ml_m=forest, ml_r=mean), frame, z="z"
    )
    exactly(numbers(made, data_of(frame, instruments="z")), wanted)
    assert made.estimate().estimand == "iv-slope"


@pytest.mark.parametrize("peer", [adapters.DoubleMLPLIV, adapters.EconMLDRIV])
def test_an_instrumented_effect_is_local_where_treatment_and_instrument_have_two_values(peer):
    made = peer(learner="linear", random_state=SEED)
    made.fit(data_of(table(binary=True), instruments="z"))
    assert made.estimate().estimand == "late"


@pytest.mark.parametrize("approach", ["fd_exact", "cre_general", "cre_normal", "wg_approx"])
def test_plpr_is_doublemls_static_panel(approach):
    import doubleml

    data = ck.generators.panel_cp2025(1, n_units=40, n_periods=4, n_covariates=3).blind()
    frame, mean = data.frame, LinearRegression()
    made = adapters.DoubleMLPLPR(approach=approach, learner=mean, random_state=SEED)
    found = numbers(made, data)
    np.random.seed(SEED)
    held = doubleml.DoubleMLPanelData(
        frame.copy(), "y", "d", "time", "unit", x_cols=["x1", "x2", "x3"], static_panel=True
    )
    model = doubleml.DoubleMLPLPR(held, mean, mean, approach=approach).fit()
    exactly(found, [model.coef[0], model.se[0]])
    result = made.estimate()
    assert result.n == (120 if approach == "fd_exact" else 160)
    assert (result.n_units, result.n_clusters) == (40, 40)


def test_plpr_says_what_it_cannot_use():
    made = adapters.DoubleMLPLPR(learner="linear")
    with pytest.raises(DataError, match="DoubleMLPLPR needs the role 'unit'"):
        made.fit(data_of(table()))
    data = ck.generators.panel_cp2025(1, n_units=20, n_periods=3, n_covariates=3).blind()
    with pytest.raises(ArgumentError, match=r"unknown approach 'cre'.*Known: cre_general"):
        adapters.DoubleMLPLPR(learner="linear", approach="cre").fit(data)
    regions = data.assign(region=np.repeat([0, 1, 2, 3], 15)).with_roles(cluster="region")
    with pytest.raises(DataError, match="clusters by unit 'unit', and the data declare the clus"):
        made.fit(regions)


# ---- what all of them promise ------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        adapters.DoubleMLPLR(learner=RandomForestRegressor(5), random_state=3),
        adapters.EconMLLinearDML(learner=RandomForestRegressor(5), random_state=3),
    ],
)
def test_the_global_generator_is_left_as_it_was_and_has_no_say(made):
    data = data_of(table())
    np.random.seed(1)
    first = numbers(clone(made), data)
    after = np.random.random(3)
    np.random.seed(1)
    np.testing.assert_array_equal(after, np.random.random(3))
    np.random.seed(2)
    assert numbers(clone(made), data) == first
    assert numbers(clone(made).set_params(random_state=4), data) != first


def test_the_global_generator_is_put_back_when_the_peer_fails():
    np.random.seed(1)
    wanted = np.random.random(3)
    np.random.seed(1)
    with pytest.raises(ValueError, match="score"):
        adapters.DoubleMLPLR(learner="linear", score="none", random_state=3).fit(data_of(table()))
    np.testing.assert_array_equal(np.random.random(3), wanted)


def test_a_result_says_whose_numbers_it_holds():
    result = adapters.DoubleMLPLR(learner="linear", random_state=3).fit(data_of(table())).estimate()
    assert result.inference.startswith(f"DoubleML {version('DoubleML')}: DoubleMLPLR")
    assert result.provenance["peer"] == f"DoubleML {version('DoubleML')}"
    assert (result.seed, result.n, result.n_folds, result.contrast) == (3, 240, 5, ("dY/dD",))
    low, high = result.conf_int()
    assert high - low == pytest.approx(2 * 1.959964 * result.std_error, rel=1e-6)


def test_peers_that_ignore_weights_refuse_them():
    data = data_of(table().assign(w=1.0), weights="w", weight_kind="sampling")
    for name in ("DoubleMLPLR", "EconMLLinearDML"):
        with pytest.raises(DataError, match=f"{name} does not honour sampling weights"):
            getattr(adapters, name)(learner="linear").fit(data)


def test_a_study_builds_seeds_and_runs_them_by_name():
    spec = EstimatorSpec("peer", "causalkit.study.adapters:DoubleMLPLR", {"learner": "linear"})
    data = data_of(table(), truth=Truth({"ate": 0.5}))
    (result,), _ = fit_of(spec, data.blind(), 99)
    own = adapters.DoubleMLPLR(learner="linear", random_state=99).fit(data.blind()).estimate()
    assert (result.estimate, result.seed) == (own.estimate, 99)


def test_a_fitted_adapter_survives_pickling():
    made = adapters.EconMLLinearDML(learner="linear", random_state=1).fit(data_of(table()))
    again = pickle.loads(pickle.dumps(made))
    assert again.estimate().estimate == made.estimate().estimate


# ---- learners ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "ridge", "lasso", "boosting", "forest"])
@pytest.mark.parametrize("kind", ["mean", "probability"])
def test_every_named_learner_learns_what_it_should(name, kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    chance = 1 / (1 + np.exp(-2 * x[:, 0]))
    y = 3 * x[:, 0] if kind == "mean" else (rng.random(400) < chance).astype(float)
    model = peer_learner(name, kind).fit(x[:200], y[:200])
    if kind == "mean":
        assert np.corrcoef(model.predict(x[200:]), y[200:])[0, 1] > 0.95
    else:
        assert np.corrcoef(model.predict_proba(x[200:])[:, 1], chance[200:])[0, 1] > 0.7


def test_learners_that_cannot_serve_are_refused_by_name():
    with pytest.raises(ArgumentError, match="learner='auto' is a choice that the peer does not"):
        adapters.DoubleMLPLR(learner="auto").fit(data_of(table()))
    with pytest.raises(ArgumentError, match=r"unknown treatment_learner 'laso'.*'lasso'"):
        adapters.DoubleMLPLR(treatment_learner="laso").fit(data_of(table()))
    with pytest.raises(ArgumentError, match="predicts no probabilities"):
        adapters.DoubleMLIRM(learner=LinearRegression()).fit(data_of(table(binary=True)))
    with pytest.raises(ArgumentError, match="n_folds must be at least 2, got 1"):
        adapters.DoubleMLPLR(learner="linear", n_folds=1).fit(data_of(table()))


def test_a_given_learner_is_never_fitted_itself():
    chance = LogisticRegression()
    made = adapters.DoubleMLIRM(learner="linear", treatment_learner=chance)
    made.fit(data_of(table(binary=True)))
    assert not hasattr(chance, "coef_")
