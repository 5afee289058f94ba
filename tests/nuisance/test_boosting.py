"""Boosting: leaves of rare classes, whether it is chosen, and objects with a loss of their own."""

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor

from causalkit.nuisance import DenseFeatures, FoldKeys, Nuisance, cross_fit, draw_folds


def fitted(y, x, learner, kind, seed=0):
    folds = draw_folds(FoldKeys(y.size), rule="observation", n_folds=2, seed=seed)
    nuisance = Nuisance("y", y, DenseFeatures(x), learner, kind=kind)
    return cross_fit([nuisance], folds, seed=seed, store_models=True)


@pytest.mark.parametrize(("kind", "least"), [("probability", 20), ("mean", 1)])
def test_leaves_of_a_rare_class_hold_enough_rows_to_tell_its_probability(kind, least):
    """One in thirty, so that p(1 − p) is .03 in the first tree, and about 30 rows make one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1600, 2))
    y = (rng.random(1600) < 1 / 30).astype(float)
    model = fitted(y, x, "boosting", kind).models["y", 0, 0]
    trees = model.trees_to_dataframe()
    leaves = trees.loc[(trees["tree_index"] == 0) & trees["left_child"].isna(), "count"]
    assert leaves.min() >= least
    assert kind == "probability" or leaves.min() < 5


def test_boosting_is_seldom_chosen_where_there_is_nothing_to_learn():
    """Judged at the rounds that suit the rows of the judgement it was chosen in 12 of these 24."""
    chosen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((200, 4)), rng.standard_normal(200)
        label = fitted(y, x, "auto", "mean", seed).chosen["y"]
        chosen += sum(k * (f"boosting in {k}" in label) for k in (1, 2))
    assert chosen <= 8


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("mean", LGBMRegressor(objective="quantile", alpha=0.2)),
        ("mean", LGBMRegressor(objective=lambda y, hat: (np.tanh(hat - y), np.ones_like(y)))),
        ("probability", LGBMClassifier(class_weight={0: 1.0, 1: 9.0})),
    ],
)
def test_an_object_keeps_its_loss_and_its_weights_of_classes(kind, model):
    model.set_params(n_estimators=10, n_jobs=1, verbose=-1, random_state=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    y = np.exp(x[:, 0] + rng.standard_normal(400))
    y = (y > 3).astype(float) if kind == "probability" else y
    folds = draw_folds(FoldKeys(400), rule="observation", n_folds=2, seed=0)
    train, test = folds.split(0, 0)
    model.fit(x[train], y[train])
    own = model.predict(x[test]) if kind == "mean" else model.predict_proba(x[test])[:, 1]
    np.testing.assert_allclose(fitted(y, x, model, kind)["y"][test, 0], own, rtol=1e-12)
