from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from lightgbm import LGBMRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    LeaveOneGroupOut,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.nuisance import (
    BasisFeatures,
    DenseFeatures,
    FoldKeys,
    JoinedFeatures,
    Nuisance,
    TableFeatures,
    cross_fit,
    draw_folds,
    quality,
)

N, T = 60, 5


def panel(seed=0, p=3):
    rng = np.random.default_rng(seed)
    n = N * T
    x = rng.normal(size=(n, p))
    y = x[:, 0] + 0.5 * x[:, 1] ** 2 + rng.normal(size=n)
    unit = np.repeat(np.arange(N), T)
    folds = draw_folds(FoldKeys(n, unit=unit), rule="unit", n_folds=3, n_rep=2, seed=seed)
    return x, y, unit, folds


def by_hand(model, x, y, folds, repeat=0):
    predicted = np.empty(y.size)
    for train, test in folds.splits(repeat):
        predicted[test] = model.fit(x[train], y[train]).predict(x[test])
    return predicted


def test_sklearn_learner_gives_the_predictions_of_a_loop_by_hand():
    x, y, _, folds = panel()
    fit = cross_fit([Nuisance("outcome", y, DenseFeatures(x), LinearRegression())], folds, seed=0)
    for repeat in range(2):
        want = by_hand(LinearRegression(), x, y, folds, repeat)
        np.testing.assert_allclose(fit["outcome"][:, repeat], want, atol=1e-12)


def test_named_linear_learner_equals_least_squares_by_hand():
    x, y, _, folds = panel()
    fit = cross_fit([Nuisance("outcome", y, DenseFeatures(x), "linear")], folds, seed=0)
    want = by_hand(LinearRegression(), x, y, folds)
    np.testing.assert_allclose(fit["outcome"][:, 0], want, atol=1e-11)


def test_lightgbm_object_gives_exactly_the_predictions_of_its_own_fits():
    x, y, _, folds = panel()
    model = LGBMRegressor(
        n_estimators=30, num_leaves=7, min_child_samples=5, reg_lambda=0.5, verbose=-1
    )
    fit = cross_fit([Nuisance("outcome", y, DenseFeatures(x), model)], folds, seed=0)
    np.testing.assert_allclose(fit["outcome"][:, 0], by_hand(model, x, y, folds), atol=1e-12)


@pytest.mark.parametrize("learner", ["auto", "boosting", "lasso", RandomForestRegressor(10)])
def test_results_do_not_depend_on_the_number_of_jobs(learner):
    x, y, _, folds = panel()
    nuisances = [Nuisance("a", y, DenseFeatures(x), learner)]
    one = cross_fit(nuisances, folds, seed=4, n_jobs=1)["a"]
    two = cross_fit(nuisances, folds, seed=4, n_jobs=2)["a"]
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("layout", [{}, {"force_row_wise": True}, {"force_col_wise": True}])
def test_trees_depend_neither_on_threads_nor_on_how_histograms_are_summed(layout):
    # Training sets of 20,000 rows, from which on LightGBM has threads of its own.
    rng = np.random.default_rng(8)
    unit = np.repeat(np.arange(3_000), 10)
    level = rng.normal(size=3_000)[unit]
    x = np.column_stack([rng.normal(size=(unit.size, 3)), level, level])
    x[rng.random(unit.size) < 0.9, 1] = 0.0
    x[rng.random(unit.size) < 0.2, 2] = np.nan
    y = x[:, 0] ** 2 + x[:, 1] + level + rng.normal(size=unit.size)
    folds = draw_folds(FoldKeys(unit.size, unit=unit), rule="unit", n_folds=3, seed=8)

    def predicted(n_jobs, **settings):
        model = LGBMRegressor(n_estimators=5, num_leaves=15, verbose=-1, **settings)
        nuisances = [Nuisance("a", y, DenseFeatures(x), model)]
        return cross_fit(nuisances, folds, seed=4, n_jobs=n_jobs)["a"]

    want = predicted(1)  # one fit at a time, on all threads
    np.testing.assert_array_equal(want, predicted(1, **layout))
    np.testing.assert_array_equal(want, predicted(2, **layout))  # two fits, a thread each


def test_adding_a_nuisance_changes_no_other():
    x, y, _, folds = panel()
    features, forest = DenseFeatures(x), RandomForestRegressor(5)
    alone = cross_fit([Nuisance("a", y, features, forest)], folds, seed=4)["a"]
    both = [Nuisance("b", -y, features, forest), Nuisance("a", y, features, forest)]
    np.testing.assert_array_equal(alone, cross_fit(both, folds, seed=4)["a"])


def test_auto_takes_the_line_where_it_is_right_and_trees_where_they_are():
    rng = np.random.default_rng(3)
    n = 600
    x = rng.normal(size=(n, 2))
    folds = draw_folds(FoldKeys(n, unit=np.arange(n)), rule="unit", n_folds=3, seed=0)
    straight = x[:, 0] + rng.normal(size=n)
    steps = 3.0 * (np.abs(x[:, 0]) > 0.7) + 0.3 * rng.normal(size=n)
    features = DenseFeatures(x)
    fit = cross_fit(
        [Nuisance("s", straight, features, "auto"), Nuisance("t", steps, features, "auto")],
        folds,
        seed=0,
    )
    assert "boosting" not in fit.chosen["s"]
    assert fit.chosen["t"] == "auto: boosting in 3 of 3"


class SpyCV(DecisionTreeRegressor):
    """Records the tuning folds that it is given through ``cv``."""

    seen: ClassVar[list] = []

    def __init__(self, cv=None):
        super().__init__()
        self.cv = cv

    def fit(self, X, y):
        SpyCV.seen.append((self.cv, len(y)))
        return super().fit(X, y)


def test_inner_tuning_never_splits_a_unit():
    x, y, unit, folds = panel()
    SpyCV.seen.clear()
    cross_fit([Nuisance("outcome", y, DenseFeatures(x), SpyCV())], folds, seed=0)
    assert len(SpyCV.seen) == 6
    sets = [folds.split(r, k)[0] for r in range(2) for k in range(3)]
    for (splits, size), train in zip(SpyCV.seen, sets, strict=True):
        assert size == train.size
        for inner_train, validation in splits:
            units = unit[train]
            assert not np.intersect1d(units[inner_train], units[validation]).size


def test_search_object_is_tuned_inside_training_folds_only():
    x, y, _, folds = panel()
    search = GridSearchCV(DecisionTreeRegressor(random_state=0), {"max_depth": [1, 3]})
    fit = cross_fit(
        [Nuisance("outcome", y, DenseFeatures(x), search)], folds, seed=0, store_models=True
    )
    assert {m.best_params_["max_depth"] for m in fit.models.values()} <= {1, 3}
    assert search.cv is None


@pytest.mark.parametrize("tune", ["once", "repeat"])
def test_a_search_outside_of_the_folds_is_one_search_on_all_rows(tune):
    x, y, _, folds = panel()
    inner = [
        (np.flatnonzero(folds.inner[0] != k), np.flatnonzero(folds.inner[0] == k)) for k in range(5)
    ]
    grid = {"alpha": [0.01, 1.0, 30.0, 1000.0]}
    best = GridSearchCV(Ridge(), grid, cv=inner).fit(x, y).best_estimator_
    found = cross_fit(
        [Nuisance("outcome", y, DenseFeatures(x), GridSearchCV(Ridge(), grid))],
        folds,
        seed=0,
        tune=tune,
    )
    np.testing.assert_allclose(found["outcome"][:, 0], by_hand(best, x, y, folds), rtol=1e-10)
    with pytest.raises(ArgumentError, match=r"tune='.*imputed inside folds"):
        cross_fit(
            [Nuisance("outcome", y, DenseFeatures(x), GridSearchCV(Ridge(), grid))],
            folds,
            seed=0,
            tune=tune,
            imputer=SimpleImputer(),
        )


def test_lasso_cv_object_accepts_grouped_folds():
    x, y, _, folds = panel()
    fit = cross_fit([Nuisance("outcome", y, DenseFeatures(x), LassoCV())], folds, seed=0)
    assert np.isfinite(fit["outcome"]).all()


def test_train_on_restricts_training_but_predicts_every_row():
    x, y, _, folds = panel()
    treated = x[:, 2] > 0
    fit = cross_fit(
        [Nuisance("mu1", y, DenseFeatures(x), "linear", train_on=treated)], folds, seed=0
    )
    train, test = folds.split(0, 0)
    rows = train[treated[train]]
    want = LinearRegression().fit(x[rows], y[rows]).predict(x[test])
    np.testing.assert_allclose(fit["mu1"][test, 0], want, atol=1e-11)


def test_imputer_is_fitted_in_training_folds_only():
    x, y, _, folds = panel()
    x = x.copy()
    x[::7, 0] = np.nan
    fit = cross_fit(
        [Nuisance("outcome", y, DenseFeatures(x), "linear")],
        folds,
        seed=0,
        imputer=SimpleImputer(strategy="median", add_indicator=True),
    )
    train, test = folds.split(0, 1)
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(x[train])
    model = LinearRegression().fit(imputer.transform(x[train]), y[train])
    np.testing.assert_allclose(
        fit["outcome"][test, 0], model.predict(imputer.transform(x[test])), atol=1e-10
    )


def test_weights_reach_every_kind_of_learner():
    x, y, _, folds = panel()
    w = np.where(np.arange(y.size) % 2 == 0, 1.0, 1e-9)
    even = np.arange(y.size) % 2 == 0
    for learner in ("linear", LinearRegression()):
        fit = cross_fit([Nuisance("a", y, DenseFeatures(x), learner)], folds, seed=0, weights=w)
        train, test = folds.split(0, 0)
        rows = train[even[train]]
        want = LinearRegression().fit(x[rows], y[rows]).predict(x[test])
        np.testing.assert_allclose(fit["a"][test, 0], want, atol=1e-5)


def test_a_learner_without_sample_weight_is_refused_for_weighted_data():
    x, y, _, folds = panel()

    with pytest.raises(ArgumentError, match=r"KNeighborsRegressor.fit\(\) does not take"):
        cross_fit(
            [Nuisance("a", y, DenseFeatures(x), KNeighborsRegressor())],
            folds,
            seed=0,
            weights=np.ones(y.size),
        )


def test_joined_features_assemble_what_hstack_would():
    rng = np.random.default_rng(0)
    x, codes = rng.normal(size=(20, 2)), np.repeat(np.arange(4), 5)
    table = rng.normal(size=(4, 3))
    features = JoinedFeatures(
        (
            BasisFeatures(x, lambda v: np.hstack([v, v**2]), np.array([0, 1, 3])),
            TableFeatures(table, codes),
        )
    )
    rows = np.array([3, 17, 4])
    want = np.hstack([x, x[:, 1:] ** 2, table[codes]])[rows]
    np.testing.assert_array_equal(features.take(rows), want)
    assert features.n_features == 6


def test_probability_of_a_binary_target_uses_predict_proba():
    x, y, _, folds = panel()
    d = (y > 0).astype(float)
    for learner in (LogisticRegression(), "linear", "ridge", "lasso", "boosting", "auto"):
        nuisance = Nuisance("propensity", d, DenseFeatures(x), learner, kind="probability")
        p = cross_fit([nuisance], folds, seed=0)["propensity"]
        assert ((p > 0) & (p < 1)).all()
        assert np.corrcoef(p[:, 0], d)[0, 1] > 0.3


@pytest.mark.parametrize(
    ("learner", "kind", "error", "says"),
    [
        ("boost", "mean", ArgumentError, "Did you mean 'boosting'"),
        (LinearRegression, "mean", ArgumentTypeError, r"pass an instance: LinearRegression\(\)"),
        (object(), "mean", ArgumentTypeError, r"object without fit\(\)"),
        (LinearRegression(), "propensity", ArgumentError, "predicts no probabilities"),
        (LogisticRegression(), "probability", ArgumentError, "values other than 0 and 1"),
    ],
)
def test_unusable_learners_say_what_to_pass(learner, kind, error, says):
    x, y, _, folds = panel()
    target = (y > 0).astype(float) if kind == "propensity" else y
    kind = "probability" if kind == "propensity" else kind
    with pytest.raises(error, match=says):
        cross_fit(
            [Nuisance("outcome", target, DenseFeatures(x), learner, kind=kind)], folds, seed=0
        )


def test_given_predictions_must_fit_the_data():
    x, y, _, folds = panel()
    nuisance = Nuisance("outcome", y, DenseFeatures(x), "linear")
    with pytest.raises(ArgumentError, match=r"expected\s+\(300, 2\)"):
        cross_fit([nuisance], folds, seed=0, given={"outcome": np.zeros(300)})
    wrong = np.zeros((300, 2))
    wrong[5, 1] = np.inf
    with pytest.raises(ArgumentError, match="row 5 is not finite"):
        cross_fit([nuisance], folds, seed=0, given={"outcome": wrong})


def test_quality_matches_its_definition():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(50), 4)
    y = rng.normal(size=200) + rng.normal(size=50)[unit]
    hat = DummyRegressor().fit(y[:, None], y).predict(y[:, None])[:, None] + 0.5 * y[:, None]
    found = quality(y, hat, unit=unit)
    error = y - hat[:, 0]
    assert found.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert found.r2 == pytest.approx(1 - (error**2).mean() / y.var())
    assert found.r2_within == pytest.approx(0.75)


@pytest.mark.parametrize("judged", [4, 0])
def test_auto_allows_for_inner_folds_that_a_classifier_cannot_judge(judged):
    rng = np.random.default_rng(0)
    _, _, unit, folds = panel()
    target = np.isin(unit, [0, 1, 2]).astype(float)
    # All treated rows lie in the first inner fold, or in an inner fold without any other.
    inner = np.where(target == 1.0, 0, unit % 5 if judged else 1)
    features = DenseFeatures(rng.standard_normal((unit.size, 2)))
    folds = replace(folds, block=np.tile(unit % 3, (2, 1)), inner=np.tile(inner, (2, 1)))
    nuisance = Nuisance("propensity", target, features, "auto", kind="probability")
    hats = cross_fit([nuisance], folds, seed=0)["propensity"]
    assert ((hats > 0.0) & (hats < 1.0)).all()


@pytest.mark.parametrize("splitter", [GroupKFold(3), LeaveOneGroupOut(), GroupShuffleSplit(2)])
def test_splitters_that_need_groups_give_way_to_the_inner_folds_as_numbers_do(splitter):
    x, y, _, folds = panel()

    def predicted(cv):
        learners = {
            "search": GridSearchCV(Ridge(), {"alpha": [1.0, 100.0]}, cv=cv),
            "pipeline": make_pipeline(StandardScaler(), RidgeCV([1.0, 100.0], cv=cv)),
        }
        features = DenseFeatures(x)
        nuisances = [Nuisance(name, y, features, learner) for name, learner in learners.items()]
        return cross_fit(nuisances, folds, seed=0).predictions

    for name, want in predicted(5).items():
        np.testing.assert_array_equal(predicted(splitter)[name], want)


class Faulty(DecisionTreeRegressor):
    """Fails where a training fold begins with a later row; predicts a row too few if it is told."""

    def __init__(self, *, short=False):
        super().__init__()
        self.short = short

    def fit(self, X, y):
        if not self.short and X[0, 0] > 0:
            raise ValueError("no luck")
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X)[int(self.short) :]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_error_of_a_users_learner_says_which_nuisance_and_fold_it_was(n_jobs):
    x = np.arange(20.0)[:, None]
    folds = draw_folds(FoldKeys(20), rule="observation", n_folds=2, seed=0)
    first = next(f for f, (train, _) in enumerate(folds.splits(0)) if train.min() > 0)
    nuisance = Nuisance("outcome", x[:, 0], DenseFeatures(x), Faulty())
    with pytest.raises(ValueError, match="no luck") as caught:
        cross_fit([nuisance], folds, seed=0, n_jobs=n_jobs)
    assert f"Faulty for 'outcome', repeat 1, fold {first + 1}" in caught.value.__notes__[0]


def test_a_learner_that_predicts_another_number_of_rows_is_refused():
    x = np.arange(20.0)[:, None]
    folds = draw_folds(FoldKeys(20), rule="observation", n_folds=2, seed=0)
    with pytest.raises(ArgumentError, match="Faulty predicted 9 values for 10 rows"):
        cross_fit([Nuisance("y", x[:, 0], DenseFeatures(x), Faulty(short=True))], folds, seed=0)
