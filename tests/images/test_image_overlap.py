"""Propensities near 0 and 1, of which the effects by image warn as the scores do."""

import re

import numpy as np
import pytest

from causalkit import CausalData, EmbeddingEffectClusters, generators
from causalkit.errors import OverlapWarning


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_rows_of_propensity_near_zero_and_one_are_counted():
    trial = generators.embedding_rct(seed=0, n=600)
    chance = np.full(600, 0.5)
    chance[:25], chance[25:50] = 0.03, 0.97
    data = CausalData.from_frame(
        trial.frame.assign(chance=chance),
        outcome="y",
        treatment="t",
        covariates=["E1", "E2"],
        extra="chance",
    )
    estimator = EmbeddingEffectClusters(
        n_clusters=1, inference="map", n_ensemble=1, propensity="chance", random_state=0
    )
    with pytest.warns(OverlapWarning, match="propensity") as told:
        fit = estimator.fit(data)
    texts = [str(one.message) for one in told if one.category is OverlapWarning]
    assert any(re.search(r"\b50\b", text) for text in texts)
    assert set(texts) <= set(fit.estimate("ate").warnings)
