"""Ensembles of scikit-learn as learners."""

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from causalkit.errors import ArgumentError
from causalkit.nuisance import DenseFeatures, FoldKeys, Nuisance, cross_fit, draw_folds
from causalkit.nuisance.learners import inner_splits

REGRESSORS = [("line", LinearRegression()), ("tree", DecisionTreeRegressor(random_state=0))]
CLASSIFIERS = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(random_state=0))]


@pytest.mark.parametrize(
    ("kind", "stack"),
    [("mean", StackingRegressor(REGRESSORS)), ("probability", StackingClassifier(CLASSIFIERS))],
)
def test_a_stack_with_the_default_on_top_is_a_learner_tuned_by_inner_folds(kind, stack):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((240, 2))
    y = x[:, 0] + rng.standard_normal(240)
    y = (y > 0).astype(float) if kind == "probability" else y
    folds = draw_folds(FoldKeys(240), rule="observation", n_folds=2, seed=0)
    found = cross_fit([Nuisance("a", y, DenseFeatures(x), stack, kind=kind)], folds, seed=0)
    train, test = folds.split(0, 0)
    stack.set_params(cv=inner_splits(folds.inner[0, train])).fit(x[train], y[train])
    own = stack.predict(x[test]) if kind == "mean" else stack.predict_proba(x[test])[:, 1]
    np.testing.assert_allclose(found["a"][test, 0], own, rtol=1e-12)


def test_a_stack_of_regressors_predicts_no_probabilities():
    y = np.arange(20) % 2.0
    nuisance = Nuisance(
        "a", y, DenseFeatures(y[:, None]), StackingRegressor(REGRESSORS), kind="probability"
    )
    folds = draw_folds(FoldKeys(20), rule="observation", n_folds=2, seed=0)
    with pytest.raises(ArgumentError, match="predicts no probabilities"):
        cross_fit([nuisance], folds, seed=0)
