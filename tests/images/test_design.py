"""Estimators of effects by image say that they are for randomised trials."""

import pytest

from causalkit import EmbeddingEffectClusters, ImageCausalForest, ImageEffectClusters, generators
from causalkit.errors import ArgumentError


@pytest.mark.parametrize(
    "estimator", [EmbeddingEffectClusters, ImageCausalForest, ImageEffectClusters]
)
def test_observational_designs_are_refused_with_what_to_do_instead(estimator):
    data = generators.image_rct(0, n_images=60, size=8).blind()
    with pytest.raises(NotImplementedError, match=r"embed_images.* as covariates .*ck\.TransTEE"):
        estimator(design="observational").fit(data)
    with pytest.raises(ArgumentError, match="design"):
        estimator(design="quasi").fit(data)
