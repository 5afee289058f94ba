from dataclasses import replace

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import AdaBoostRegressor, BaggingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge

from causalkit.errors import ArgumentError
from causalkit.nuisance import (
    BasisFeatures,
    DenseFeatures,
    DifferencedFeatures,
    FoldKeys,
    JoinedFeatures,
    Nuisance,
    TableFeatures,
    cross_fit,
    draw_folds,
)
from causalkit.nuisance.features import missing_columns

KINDS = ("mean", "probability")


def problem(kind, *, curved=False, n_units=60, t=5, p=6):
    rng = np.random.default_rng(11)
    n = n_units * t
    x = rng.lognormal(size=(n, p)) * np.linspace(0.5, 3.0, p) + 2.0
    if curved:
        # Few values: where single rows are leaves, many splits tie, and rounding picks among them.
        x = np.round(np.clip(x[:, :2], 2.0, 5.0))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    if curved:
        signal = 3.0 * (np.abs(z[:, 0]) > 0.8) * np.sign(z[:, 1])
    else:
        signal = 2.0 * z[:, 0] - 0.6 * z[:, 1] + 0.4 * z[:, 2]
    y = signal - signal.mean() + rng.logistic(size=n)
    target = y if kind == "mean" else (y > 0).astype(float)
    keys = FoldKeys(n, unit=np.repeat(np.arange(n_units), t))
    folds = draw_folds(keys, rule="unit", n_folds=3, seed=1)
    # Skewed on purpose, and related to x: means, scales and penalties then differ by weight.
    counts = 1 + rng.poisson(np.clip(np.exp(z[:, 0]), 0.0, 4.0))
    return x, target, folds, counts


def fitted(x, target, folds, learner, kind, weights=None, **more):
    nuisance = Nuisance("a", target, DenseFeatures(x), learner, kind=kind)
    return cross_fit([nuisance], folds, seed=3, weights=weights, store_models=True, **more)


def both(learner, kind, **settings):
    """Fits with weights k and with k copies of each row, in the same outer and inner folds."""
    x, target, folds, counts = problem(kind, **settings)
    row = np.repeat(np.arange(target.size), counts)
    copied = replace(folds, block=folds.block[:, row], inner=folds.inner[:, row])
    a = fitted(x, target, folds, learner, kind, counts.astype(float))
    b = fitted(x[row], target[row], copied, learner, kind)
    first = np.cumsum(counts) - counts
    plain = fitted(x, target, folds, learner, kind)["a"]
    assert np.abs(a["a"] - plain).max() > 1e-3  # the weights matter
    return a, b, b["a"][first]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("learner", ["linear", "ridge", "lasso", "auto"])
def test_weights_count_like_copies_of_rows(learner, kind):
    a, b, copies = both(learner, kind, n_units=100 if learner == "auto" else 60)
    np.testing.assert_allclose(a["a"], copies, atol=1e-7)
    assert "boosting" not in a.chosen["a"]
    assert a.chosen == b.chosen
    for key, model in a.models.items():
        # The penalty and every inner loss, not only what they lead to.
        assert model.description == b.models[key].description
        assert model.losses.keys() == b.models[key].losses.keys()
        for fold, loss in model.losses.items():
            assert loss == pytest.approx(b.models[key].losses[fold], rel=1e-6)


@pytest.mark.parametrize("learner", ["boosting", "auto"])
def test_weights_count_like_copies_of_rows_in_boosting(learner):
    a, b, copies = both(learner, "mean", curved=True)
    assert a.chosen == b.chosen
    assert "boosting in 3" in a.chosen["a"] or learner == "boosting"
    # Gradients are in single precision, and rounds end where the held-out loss is flat.
    np.testing.assert_allclose(a["a"], copies, atol=1e-3)


# By default LightGBM wants rows in bins and leaves, and guesses those of a leaf from its weight.
EXACT = {"min_data_in_bin": 1, "min_child_samples": 0, "num_leaves": 7, "verbose": -1}


@pytest.mark.parametrize(
    ("kind", "learner"),
    [
        ("mean", Ridge()),
        ("probability", LogisticRegression(tol=1e-10, max_iter=1000)),
        ("mean", LGBMRegressor(n_estimators=40, **EXACT)),
        ("probability", LGBMClassifier(n_estimators=40, **EXACT)),
    ],
)
def test_weights_reach_objects_like_copies_of_rows(kind, learner):
    a, _, copies = both(learner, kind, curved="LGBM" in type(learner).__name__)
    np.testing.assert_allclose(a["a"], copies, atol=1e-5)


@pytest.mark.parametrize("ensemble", [AdaBoostRegressor, BaggingRegressor])
def test_weights_reach_ensembles_of_a_default_that_has_no_name(ensemble):
    x, target, folds, counts = problem("mean")
    model, w = ensemble(n_estimators=5, random_state=0), counts.astype(float)
    found = fitted(x, target, folds, model, "mean", w)["a"][:, 0]
    for train, test in folds.splits(0):
        own = model.fit(x[train], target[train], sample_weight=w[train]).predict(x[test])
        np.testing.assert_array_equal(found[test], own)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("learner", ["linear", "ridge", "lasso"])
def test_the_scale_of_weights_does_not_matter_and_weight_zero_is_absence(learner, kind):
    x, target, folds, counts = problem(kind)
    w = np.where(np.arange(target.size) % 7 == 0, 0.0, counts)
    kept = np.flatnonzero(w)
    fewer = replace(folds, block=folds.block[:, kept], inner=folds.inner[:, kept])
    a = fitted(x, target, folds, learner, kind, w / 1e3)["a"]
    b = fitted(x[kept], target[kept], fewer, learner, kind, w[kept])["a"]
    np.testing.assert_allclose(a[kept], b, atol=1e-7)


def missing_problem(kind):
    x, target, folds, _ = problem(kind)
    x = x.copy()
    x[::9, 1], x[3, 4] = np.nan, np.nan
    return x, target, folds


@pytest.mark.parametrize("kind", KINDS)
def test_auto_is_boosting_alone_where_covariates_are_missing_and_says_so(kind):
    x, target, folds = missing_problem(kind)
    auto = fitted(x, target, folds, "auto", kind)
    boosting = fitted(x, target, folds, "boosting", kind)
    assert auto.chosen["a"] == "auto: boosting alone for missing values in 3 of 3"
    np.testing.assert_array_equal(auto["a"], boosting["a"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("learner", ["linear", "ridge", "lasso"])
def test_penalised_learners_refuse_missing_covariates(learner, kind):
    x, target, folds = missing_problem(kind)
    says = rf"which '{learner}' does not take \(feature columns 1, 4.*'indicator'.*'boosting'"
    with pytest.raises(ArgumentError, match=says):
        fitted(x, target, folds, learner, kind)
    filled = fitted(x, target, folds, learner, kind, imputer=SimpleImputer())
    assert np.isfinite(filled["a"]).all()


def test_a_missing_value_in_rows_that_never_train_is_found():
    x, target, folds = missing_problem("mean")
    x[np.isnan(x)] = 1.0
    x[5, 2] = np.nan
    train_on = np.arange(target.size) != 5
    nuisance = Nuisance("a", target, DenseFeatures(x), "lasso", train_on=train_on)
    with pytest.raises(ArgumentError, match="feature columns 2, counted"):
        cross_fit([nuisance], folds, seed=0)


def test_missing_columns_are_those_of_the_assembled_matrix():
    rng = np.random.default_rng(0)
    x, table = rng.normal(size=(50, 3)), rng.normal(size=(10, 2))
    x[7, 1], table[4, 0] = np.nan, np.nan
    x[9, 0], x[10, 0] = np.inf, -np.inf  # whose sum is not a number, though none is missing
    codes = np.repeat(np.arange(10), 5)
    parts = (
        DenseFeatures(x),
        TableFeatures(table, codes),
        BasisFeatures(x, lambda v: np.hstack([v, v[:, 1:] ** 2]), np.array([0, 1, 3, 4])),
        DifferencedFeatures(DenseFeatures(x[:, 1:]), TableFeatures(table, codes)),
    )
    joined = JoinedFeatures(parts)
    want = np.flatnonzero(np.isnan(joined.take(np.arange(50))).any(axis=0))
    np.testing.assert_array_equal(missing_columns(joined), want)
    assert want.size == 5
