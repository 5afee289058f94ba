"""Encoders trained with the effects: units that share images, and stores that are streamed."""

from functools import partial

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.images.batches import Images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning"),
]
torch.set_num_threads(1)


def accuracy(data, fit):
    """Share of the evaluation rows that are assigned to their type."""
    found = fit.evaluation_
    return (found.assigned == data.truth.cluster_labels[found.rows]).mean()


@pytest.mark.parametrize("level", ["unit", "image"])
def test_types_and_effects_are_recovered_where_units_share_images(level):
    """Three units at a place, which share a shock of its own and not their treatment."""
    data = ck.generators.image_rct(
        0, n_images=800, size=16, units_per_image=3, assignment="unit", village_sd=0.3
    )
    fit = ck.ImageEffectClusters(
        likelihood="normal", latent_level=level, epochs=15, n_restarts=1, random_state=0
    ).fit(data.blind())
    assert accuracy(data, fit) > 0.9
    found = fit.evaluation_
    truth = data.truth.cate[found.rows]
    ate, gates = fit.estimate("ate"), fit.estimate("clusters")
    assert ate.n_clusters == np.unique(data.frame["place"].to_numpy()[found.rows]).size
    assert abs(ate.estimates[0] - truth.mean()) < 3.5 * ate.std_errors[0]
    means = [truth[found.assigned == k].mean() for k in (0, 1)]
    assert (np.abs(gates.estimates - means) < 3.5 * gates.std_errors).all()
    np.testing.assert_allclose(fit.cluster_effects()["model_effect"], [-0.5, 1.5], atol=0.4)
    assert np.sqrt(((found.cate - truth) ** 2).mean()) < 0.4


def test_a_streamed_store_sorted_by_treatment_trains_as_well(monkeypatch, tmp_path):
    """Chunks of one arm each, read again in every pass."""
    monkeypatch.setattr(Images, "of", staticmethod(partial(Images.of, most_bytes=0)))
    for order in (None, "treatment"):
        data = ck.generators.image_rct(
            0, n_images=800, size=16, sort_by=order, to_zarr=tmp_path / f"{order}.zarr", chunk=50
        )
        fit = ck.ImageEffectClusters(
            likelihood="normal", epochs=15, n_restarts=1, random_state=0
        ).fit(data.blind())
        assert accuracy(data, fit) > 0.9
        np.testing.assert_allclose(fit.cluster_effects()["model_effect"], [-0.5, 1.5], atol=0.4)
