"""Outcomes that a likelihood cannot have."""

import numpy as np
import pytest

from causalkit import EmbeddingEffectClusters, generators
from causalkit.errors import DataError
from causalkit.images.outcomes import check_outcome


@pytest.mark.parametrize("arm", [0, 1])
def test_an_outcome_that_does_not_vary_within_an_arm_is_refused(arm):
    rng = np.random.default_rng(0)
    t = np.arange(80) % 2
    y = np.where(t == arm, 3.0, rng.normal(size=80))
    for likelihood in ("normal", "student_t"):
        with pytest.raises(DataError, match="constant within an arm of the training rows") as told:
            check_outcome(y, t * 1.0, likelihood)
        assert told.value.code == "E10-constant-outcome"


@pytest.mark.parametrize("arm", [0, 1])
def test_a_fit_refuses_it_too(arm):
    data = generators.embedding_rct(seed=0, n=600).blind()
    y = data.frame["y"].where(data.frame["t"] != arm, 2.0)
    with pytest.raises(DataError, match=r"E10-constant-outcome.*within an arm"):
        EmbeddingEffectClusters(random_state=0).fit(data.assign(y=y))
