"""Types that hardly occur, or have too few units for an effect, are told of and not dropped."""

import numpy as np
import pandas as pd
import pytest

from causalkit import CausalData, EmbeddingEffectClusters
from causalkit.errors import CausalKitWarning
from causalkit.images.cluster_map import cluster_table, warn_of_clusters
from causalkit.images.honest import Evaluation, honest_effect

N = 600
FACTS = {"estimator": "test", "outcome": "y", "treatment": ("t",)}


def evaluation(shares):
    """Rows of types that are known, treated and control in turn within each."""
    types = np.repeat(np.eye(len(shares)), np.rint(np.array(shares) * N).astype(int), axis=0)
    score = np.random.default_rng(0).normal(size=N) + types @ np.arange(len(shares))
    rows = np.arange(N)
    return Evaluation(rows, score, rows % 2 * 1.0, types @ np.arange(len(shares)), types, None)


def told_of(found):
    """Texts of the warnings."""
    with pytest.warns(CausalKitWarning) as told:
        warn_of_clusters(found)
    return [str(one.message) for one in told]


def test_a_type_that_hardly_occurs_is_named():
    (text,) = told_of(evaluation([0.49, 0.5, 0.01]))
    assert text.startswith("cluster 3 is inactive: its mean probability is 0.010 on the evaluation")
    assert "Fewer clusters may do" in text


def test_a_type_with_fewer_than_twenty_in_an_arm_is_named():
    """Thirty rows, half of them treated."""
    (text,) = told_of(evaluation([0.05, 0.45, 0.5]))
    assert text.startswith("cluster 1 has fewer than 20 treated or control units")
    assert "its honest effect is not reported" in text


def test_the_table_has_no_effect_and_a_note_for_types_with_too_few_units():
    found = evaluation([0.05, 0.45, 0.5])
    model = pd.DataFrame({"model_effect": [0.0, 1.0, 2.0]})
    table = cluster_table(found, honest_effect(found, "clusters", **FACTS), model)
    assert table["note"].tolist() == [
        "fewer than 20 treated or control units at evaluation",
        "",
        "",
    ]
    assert table["estimate"].isna().tolist() == [True, False, False]
    np.testing.assert_allclose(
        table["estimate"][1:], [found.score[30:300].mean(), found.score[300:].mean()]
    )
    assert table["model_effect"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_results_of_a_fit_keep_what_is_said_of_small_types():
    """A trial of 1,000 units, of which 40 have an effect of ten and the others none."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1000, 2))
    few = features[:, 0] > np.quantile(features[:, 0], 0.96)
    t = np.arange(1000) % 2
    data = CausalData.from_frame(
        pd.DataFrame({"y": 10.0 * few * t + rng.normal(size=1000), "t": t}),
        outcome="y",
        treatment="t",
    )
    estimator = EmbeddingEffectClusters(
        likelihood="normal", inference="map", n_ensemble=1, random_state=0, propensity=0.5
    )
    fit = estimator.fit(data, np.column_stack([features, few]))
    texts = fit.estimate("ate").warnings
    assert sum(text.startswith("cluster 2 has fewer than 20") for text in texts) == 1
    table = fit.cluster_effects()
    assert table["note"].str.contains("fewer than 20").tolist() == [False, True]
    assert table["estimate"].isna().tolist() == [False, True]
