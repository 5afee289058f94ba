"""Support of a place: its distance to the training images, by features and by bands."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.covariance import ledoit_wolf

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.images.batches import Images
from causalkit.images.networks import BandMoments
from causalkit.images.support import Neighbours, Reference, thinned

torch.set_num_threads(1)


def tenth(training, points=None):
    """Distance from each point, or each training point, to its tenth neighbour."""
    away = np.linalg.norm((training if points is None else points)[:, None] - training, axis=2)
    if points is None:
        np.fill_diagonal(away, np.inf)
    return np.sort(away, axis=1)[:, 9]


def below(values, found):
    return np.array([100 * (values < one).mean() for one in found])


def test_support_is_the_percentile_of_the_distance_to_the_tenth_neighbour():
    rng = np.random.default_rng(0)
    training, new = rng.normal(size=(80, 3)), rng.normal(size=(7, 3)) * 2
    own = tenth(training)
    learned = Neighbours.of(training)
    np.testing.assert_allclose(learned.percentile(new), below(own, tenth(training, new)))
    np.testing.assert_allclose(learned.own_percentile(), below(own, own))


def mahalanobis(moments, training, points):
    """Distance from each point to its tenth training image, by the shrunk covariance of all."""
    centre, sd = moments.mean(axis=0), moments.std(axis=0)
    inverse = np.linalg.inv(ledoit_wolf((moments - centre) / sd)[0])
    apart = (points[:, None] - training) / sd
    return np.sort(np.sqrt(np.einsum("npi,ij,npj->np", apart, inverse, apart)), axis=1)[:, 9]


def test_the_space_in_which_a_place_is_further_away_counts():
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(4, 4)) * [1, 5, 0.1, 2]
    features, moments = rng.normal(size=(90, 3)), rng.normal(size=(90, 4)) @ mix
    new, of_new = rng.normal(size=(9, 3)) * 2, rng.normal(size=(9, 4)) @ mix * 1.5
    own = np.empty(90)
    for k in range(5):
        others = moments[np.arange(90) % 5 != k]
        own[k::5] = mahalanobis(others, others, moments[k::5])
    by_features, of_features = tenth(features), tenth(features, new)
    trained = np.maximum(below(by_features, by_features), below(own, own))
    found = [below(by_features, of_features), below(own, mahalanobis(moments, moments, of_new))]
    assert len(set(np.argmax(found, axis=0))) == 2
    wanted = below(trained, np.max(found, axis=0))
    np.testing.assert_allclose(Reference.of(features, moments).percentile(new, of_new), wanted)


def test_a_band_that_leaves_the_others_is_unusual_before_it_is_so_by_itself():
    rng = np.random.default_rng(4)
    bright, features = rng.normal(size=(600, 1)), rng.normal(size=(600, 2))
    moments = np.hstack([bright, bright]) + 0.1 * rng.normal(size=(600, 2))
    learned = Reference.of(features[:300], moments[:300])
    new = features[300:], moments[300:]
    assert (learned.percentile(*new) > 99).mean() <= 0.05
    new[1][:, 0] += 0.8
    assert (learned.percentile(*new) > 99).mean() > 0.9


def test_images_like_those_of_training_are_not_flagged_if_these_are_few_beside_the_bands():
    rng = np.random.default_rng(5)
    mix = 1.0 + 0.25 * rng.normal(size=(26, 26))
    shares = []
    for _ in range(5):
        moments, features = rng.normal(size=(1060, 26)) @ mix, rng.normal(size=(1060, 2))
        learned = Reference.of(features[:60], moments[:60])
        shares.append((learned.percentile(features[60:], moments[60:]) > 99).mean())
    # The share beyond the largest of 60 is 1 in 61 on average, and .05 with probability .05; the
    # mean of five is above it less than once in a thousand times.
    assert np.mean(shares) <= 0.05


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_bands_that_do_not_vary_flag_images_that_differ_and_no_others(noise):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 3))
    flat = np.ones((400, 2)) + noise * rng.normal(size=(400, 2))
    learned = Reference.of(features, flat)
    new = rng.normal(size=(400, 3))
    # One in a hundred by construction; more than twenty of 400 by chance hardly ever.
    assert (learned.percentile(new, flat[::-1]) > 99).mean() <= 0.05
    assert (learned.percentile(new, flat + 0.5) > 99).all()


def test_references_are_thinned_evenly():
    kept = thinned(np.arange(100, 200), 5)
    assert kept.tolist() == [100, 125, 150, 174, 199]
    assert thinned(kept, 5) is kept


@pytest.mark.parametrize("frames", [(), (3,)])
def test_moments_are_of_all_pixels_and_frames_of_a_band(frames):
    pixels = np.random.default_rng(3).normal(2.0, 3.0, size=(4, *frames, 2, 5, 6))
    found = BandMoments()(torch.as_tensor(pixels)).numpy()
    for image, row in zip(pixels, found, strict=True):
        bands = [image[..., band, :, :].ravel() for band in range(2)]
        wanted = [*(band.mean() for band in bands), *(band.std() for band in bands)]
        np.testing.assert_allclose(row, wanted)


class Blind(torch.nn.Module):
    """Maxima and means of filters that do not look at the first band."""

    def __init__(self, bands):
        super().__init__()
        torch.manual_seed(1)
        self.filters = torch.nn.Conv2d(bands, 6, 3)
        torch.nn.init.zeros_(self.filters.weight[:, 0])

    def forward(self, image):
        found = self.filters(image)
        return torch.cat([found.amax(dim=(2, 3)), found.mean(dim=(2, 3))], dim=1)


def changed(images):
    """As the shifted design: the first band times 1.5, plus 1."""
    first = images["band"] == images["band"][0]
    return xr.where(first, images * 1.5 + 1.0, images).transpose(*images.dims)


def clouded(images, seed):
    """A twentieth of the pixels missing, in all bands."""
    one = images.isel(band=0, drop=True)
    there = np.random.default_rng(seed).random(one.shape) > 0.05
    return images.where(one.copy(data=there)).transpose(*images.dims)


def trial_and_other(kind):
    """A trial and images of the same design, 520 each."""
    make = ck.generators.image_sequence_rct if kind == "sequences" else ck.generators.image_rct
    trial, other = (make(seed, n_images=520, size=24) for seed in (0, 1))
    if kind != "clouds":
        return trial.blind(), other.arrays["image"]
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    images = clouded(trial.arrays["image"], 0).to_dataset(name="image")
    data = ck.CausalData.from_frame(trial.frame, arrays=images, max_nan_pixels=0.1, **roles)
    return data, clouded(other.arrays["image"], 1)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("kind", ["images", "clouds", "sequences"])
def test_a_changed_band_that_the_encoder_does_not_see_is_flagged(tmp_path, monkeypatch, kind):
    trial, other = trial_and_other(kind)
    encoder = ck.ImageEncoder.of(lambda bands: Blind(bands), name="blind")
    policy = "mask" if kind == "clouds" else "error"
    fit = ck.ImageEffectClusters(
        encoder=encoder, nan_policy=policy, inference="map", n_ensemble=2, random_state=0
    ).fit(trial)

    read = []
    real = ImageStore.read
    monkeypatch.setattr(
        ImageStore, "read", lambda store, which: (read.extend(which), real(store, which))[1]
    )
    monkeypatch.setattr(Images, "of", staticmethod(partial(Images.of, most_bytes=0)))
    same = fit.transport(other)
    assert sorted(read) == list(range(520))  # each image once, for features and bands alike
    assert same.share_outside <= 0.05
    shifted = fit.transport(changed(other))
    assert shifted.share_outside > 0.5
    np.testing.assert_allclose(shifted.places["effect"], same.places["effect"], rtol=1e-4)

    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit", encoder=encoder)
    xr.testing.assert_identical(loaded.transport(other).places, same.places)
