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


def tenth(training, points):
    """Distance from each point to its tenth neighbour among the training points."""
    return np.sort(np.linalg.norm(points[:, None] - training, axis=2), axis=1)[:, 9]


def below(values, found):
    return np.array([100 * (values < one).mean() for one in found])


def standing(usual, found):
    """Percentage of the usual that is less, or beyond them all the ratio to the largest."""
    return np.where(found > usual.max(), 100 * found / usual.max(), below(usual, found))


def own(usual):
    return np.array([standing(np.delete(usual, i), usual[i : i + 1])[0] for i in range(usual.size)])


def test_support_is_the_percentile_of_the_distance_to_the_tenth_neighbour():
    rng = np.random.default_rng(0)
    training, held, new = (rng.normal(size=(n, 3)) * s for n, s in ((80, 1), (40, 1), (7, 2)))
    usual = tenth(training, held)
    learned = Neighbours.of(training, held)
    found = standing(usual, tenth(training, new))
    assert found.min() < 100 < found.max()
    np.testing.assert_allclose(learned.standing(new), found)
    np.testing.assert_allclose(learned.own_standing(), own(usual))


def mahalanobis(training, points):
    """Distance from each point to its tenth training image, by their shrunk covariance."""
    centre, sd = training.mean(axis=0), training.std(axis=0)
    inverse = np.linalg.inv(ledoit_wolf((training - centre) / sd)[0])
    apart = (points[:, None] - training) / sd
    return np.sort(np.sqrt(np.einsum("npi,ij,npj->np", apart, inverse, apart)), axis=1)[:, 9]


def test_the_space_in_which_a_place_is_further_away_counts():
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(4, 4)) * [1, 5, 0.1, 2]
    trained, held, new = (
        (rng.normal(size=(n, 3)) * s, rng.normal(size=(n, 4)) @ mix * s**0.5)
        for n, s in ((90, 1), (60, 1), (9, 2))
    )
    usual = [tenth(trained[0], held[0]), mahalanobis(trained[1], held[1])]
    found = [tenth(trained[0], new[0]), mahalanobis(trained[1], new[1])]
    by_space = [standing(*pair) for pair in zip(usual, found, strict=True)]
    assert len(set(np.argmax(by_space, axis=0))) == 2
    of_held = np.max([own(one) for one in usual], axis=0)
    wanted = below(of_held, np.max(by_space, axis=0))
    np.testing.assert_allclose(Reference.of(trained, held).percentile(*new), wanted)


def test_a_band_that_leaves_the_others_is_unusual_before_it_is_so_by_itself():
    rng = np.random.default_rng(4)
    bright, features = rng.normal(size=(900, 1)), rng.normal(size=(900, 2))
    moments = np.hstack([bright, bright]) + 0.1 * rng.normal(size=(900, 2))
    parts = [(features[k : k + 300], moments[k : k + 300]) for k in (0, 300, 600)]
    learned, new = Reference.of(*parts[:2]), parts[2]
    assert (learned.percentile(*new) > 99).mean() <= 0.05
    new[1][:, 0] += 0.8
    assert (learned.percentile(*new) > 99).mean() > 0.9


def test_images_like_the_held_out_ones_are_flagged_as_seldom_as_promised_if_there_are_few():
    """Also where an encoder knows its training images, and has them closer to each other."""
    rng = np.random.default_rng(5)
    mix = 1.0 + 0.25 * rng.normal(size=(26, 26))
    shares = []
    for _ in range(20):
        moments, features = rng.normal(size=(1120, 26)) @ mix, rng.normal(size=(1120, 8))
        features[:60] *= 0.5
        learned = Reference.of((features[:60], moments[:60]), (features[60:120], moments[60:120]))
        shares.append((learned.percentile(features[120:], moments[120:]) > 99).mean())
    # Beyond the largest of 60 lies 1 in 61 on average, with a standard deviation of as much; three
    # standard errors of the mean of twenty.
    assert abs(np.mean(shares) - 1 / 61) <= 3 / 61 / np.sqrt(20)


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_bands_that_do_not_vary_flag_images_that_differ_and_no_others(noise):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 3))
    flat = np.ones((400, 2)) + noise * rng.normal(size=(400, 2))
    learned = Reference.of((features[:200], flat[:200]), (features[200:], flat[200:]))
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

    # Support is a rank among the evaluation images, so that theirs are evenly spread.
    keys = trial.frame["place"].to_numpy()[fit.parts_.evaluate]
    own = fit.transport(trial.arrays, images=keys).places["support"]
    np.testing.assert_allclose(np.sort(own), 100 * np.arange(own.size) / own.size, atol=2.0)

    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit", encoder=encoder)
    xr.testing.assert_identical(loaded.transport(other).places, same.places)
