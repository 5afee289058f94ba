"""Modules that take sequences whole, in place of a frame at a time and a rule over time."""

import numpy as np
import pytest
import torch
from torch import nn

import causalkit as ck
from causalkit.errors import ArgumentError

torch.set_num_threads(1)


class Video(nn.Module):
    """A convolution over time and place."""

    def __init__(self, reach=2, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv3d(3, 4, (reach, 3, 3))

    def forward(self, images):
        assert images.dim() == 5
        return torch.relu(self.layer(images.transpose(1, 2)))


def own(**more):
    module = more.pop("module", None) or Video()
    return ck.ImageEncoder.of(module, name="video", sequence=True, **more)


@pytest.fixture(scope="module")
def films():
    return ck.generators.image_sequence_rct(0, n_images=520, frames=3, size=8)


def test_vectors_are_what_the_module_makes_of_whole_sequences(films):
    found = ck.embed_images(films, own(mean=[0.0] * 3, sd=[1.0] * 3, bands=bands(films)))
    pixels = torch.from_numpy(films.arrays["image"].transpose("place", "time", ...).values.copy())
    with torch.no_grad():
        expected = Video()(pixels.float()).mean(dim=(2, 3, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found.attrs["temporal"] == ""


def bands(data):
    return [str(band) for band in data.arrays["image"]["band"].values]


def test_chunks_and_the_rule_over_time_change_nothing_and_crops_and_sizes_are_taken(films):
    whole = ck.embed_images(films, own())
    few = ck.embed_images(films, own(), frame_chunk=7, temporal="mean")
    np.testing.assert_allclose(few, whole, rtol=1e-5, atol=1e-7)
    assert few.attrs["digest"] == whole.attrs["digest"]
    assert ck.embed_images(films, own(size=6), crop_sizes=(6, 7)).sizes["feature"] == 8


def test_the_digest_tells_weights_and_layers(films):
    digests = {
        ck.embed_images(films, own(module=module)).attrs["encoder_digest"]
        for module in (Video(), Video(seed=1), Video(reach=1))
    }
    assert len(digests) == 3


def test_fits_are_trained_stored_and_checked_against_the_module(films, tmp_path):
    fast = {"epochs": 1, "n_restarts": 1, "inference": "map", "n_ensemble": 1, "random_state": 0}
    fit = ck.ImageEffectClusters(encoder=own(trained=True), recompute=True, **fast)
    fit = fit.fit(films.blind())
    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit", encoder=own(trained=True))
    np.testing.assert_allclose(loaded.predict_cate(films), fit.predict_cate(films), rtol=1e-5)
    with pytest.raises(ArgumentError, match="differs from the one of the fit"):
        ck.ImageEffectClusters.load(
            tmp_path / "fit", encoder=own(module=Video(reach=1), trained=True)
        )
    with pytest.raises(ArgumentError, match="with sequence True, got False"):
        ck.ImageEffectClusters.load(
            tmp_path / "fit", encoder=ck.ImageEncoder.of(Video(), name="video", trained=True)
        )


def test_single_images_and_short_sequences_are_refused(films):
    pixels = films.arrays["image"]
    with pytest.raises(ArgumentError, match="takes sequences, and the images 'image' have no dim"):
        ck.embed_images(pixels.isel(time=0), own())
    with pytest.raises(ArgumentError, match="cannot take images of 3 frames, 3 bands, and 8 by 8"):
        ck.embed_images(films, own(module=Video(reach=5)))
