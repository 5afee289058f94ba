"""Salience: the derivative that is promised, and that it finds the motif that decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import logit

import causalkit as ck
from benchmarks.image_checks import (
    mass_inside,
    overlapping,
    pointing,
    shown_motifs,
    without_learning,
)
from causalkit.errors import ArgumentError, DataError, IdentificationError, StorageError
from causalkit.images.salience import Wish, _asked_gradient
from causalkit.rng import seed_of

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def motifs(motif_rct, motif_fit):
    return shown_motifs(motif_rct, motif_fit)


@pytest.fixture(scope="module")
def found(motif_rct, motif_fit, motifs):
    return motif_fit.salience(motif_rct, images=motifs[0], occlusion=True, at="mode")


def test_the_peak_of_the_gradient_lies_on_the_motif(found, motifs):
    assert pointing(found["magnitude"].values, motifs[1]) >= 0.9  # 99 % here; chance is 6 %


def test_so_does_the_peak_of_what_is_explained_where_nothing_is_asked_for(
    motif_rct, motif_fit, motifs
):
    shown = motif_fit.salience(motif_rct, images=motifs[0])
    assert shown.attrs["at"] == "posterior"
    assert pointing(shown["magnitude"].values, motifs[1]) >= 0.9  # 99 % here
    assert mass_inside(shown["magnitude"].values, motifs[1]) >= 0.15  # .21 here


def test_the_motif_has_more_than_its_part_of_the_gradient(found, motifs):
    # .22 here; its part of the pixels is 1/16.
    assert mass_inside(found["magnitude"].values, motifs[1]) >= 0.15


@pytest.mark.parametrize("at", ["mode", "posterior"])
def test_the_square_whose_cover_costs_most_lies_on_the_motif(motif_rct, motif_fit, motifs, at):
    fall = motif_fit.salience(motif_rct, images=motifs[0], occlusion=True, at=at)["occlusion"]
    assert overlapping(fall.values, motifs[1]) >= 0.95  # 100 % here


@pytest.mark.parametrize(
    ("what", "found_in"), [("magnitude", pointing), ("occlusion", overlapping)]
)
def test_salience_tells_the_motif_from_decoys_and_random_weights_do_not(decoyed, what, found_in):
    """Five decoys as strong as the motif: what stands out is not yet what matters."""
    rct, fit, random = decoyed
    keys, boxes = shown_motifs(rct, fit)
    trained = fit.salience(rct, images=keys, occlusion=True, at="mode")
    assert found_in(trained[what].values, boxes) >= 0.9
    # A peak on one of six patterns is on the motif in one image of six.
    shares = [found_in(each[what].values, boxes) for each in random]
    assert np.mean(shares) <= 0.2
    assert max(shares) < 0.4


@pytest.fixture(scope="module")
def decoyed():
    """A trial with decoys, a fit, and the salience of five networks that learned nothing."""
    rct = ck.generators.image_rct(0, n_images=1200, decoys=5)
    fit = ck.ImageEffectClusters(
        likelihood="normal", epochs=30, n_restarts=1, n_draws=200, random_state=0
    ).fit(rct.blind())
    keys, _ = shown_motifs(rct, fit)
    random = [
        fit.salience(rct, images=keys, occlusion=True, at="mode") for _ in without_learning(fit)
    ]
    return rct, fit, random


def test_salience_is_the_derivative_of_the_smoothed_logit(motif_rct, motif_fit, found):
    """Central differences of what predict_proba says, over all draws, in raw units."""
    key = found["place"].values[0]
    exact = motif_fit.salience(motif_rct, images=[key], n_draws=10**6)
    image = motif_rct.arrays["image"].sel(place=[key])
    member = motif_fit.members_[0]
    network = member.network.double()
    try:
        assert exact.attrs["cluster"] == "cluster 2"
        sd = motif_fit._fitted.lens.bands.sd
        np.testing.assert_allclose(exact.attrs["raw_factor"], 1.0 / sd)
        pixels = motif_fit._fitted.lens.pixels(image.values).double()

        def smoothed(values):
            with torch.no_grad():
                raw = network(values).numpy()
            chance = member.posterior.mean_types(raw)[:, 1]
            return logit(0.99 * chance + 0.005)[0]

        peak = np.unravel_index(exact["magnitude"].values[0].argmax(), (32, 32))
        slopes = []
        for band in range(3):
            ends = []
            for step in (1e-4, -1e-4):
                moved = pixels.clone()
                moved[0, band, peak[0], peak[1]] += step
                ends.append(smoothed(moved))
            slopes.append((ends[0] - ends[1]) / 2e-4)
    finally:
        member.network.float()
    assert exact["direction"].values[0][peak] == pytest.approx(np.mean(slopes), rel=1e-3)
    assert exact["magnitude"].values[0][peak] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)


def test_the_mode_is_one_point_of_the_posterior(motif_rct, motif_fit):
    some = motif_rct.arrays["image"].isel(place=slice(0, 5))
    member = motif_fit.members_[0]
    raw = motif_fit._fitted.features(_images(some), np.arange(5))[0]
    one = replace(member.posterior, draws=member.mode[None])
    found = motif_fit.salience(some, at="mode")["probability"]
    np.testing.assert_allclose(found, one.types(raw)[0, :, 1], atol=1e-5)


def test_probability_is_that_of_the_prediction(motif_rct, motif_fit):
    some = motif_rct.arrays["image"].isel(place=slice(0, 50))
    found = motif_fit.salience(some, n_draws=10**6)
    wanted = motif_fit.predict_proba(some)
    np.testing.assert_allclose(found["probability"], wanted[:, 1], atol=1e-5)


def test_nothing_is_left_on_the_network(motif_rct, motif_fit):
    network = motif_fit.members_[0].network
    before = {name: values.clone() for name, values in network.state_dict().items()}
    network.zero_grad(set_to_none=True)  # of training
    network.train()
    some = motif_rct.arrays["image"].isel(place=slice(0, 8))
    motif_fit.salience(some, occlusion=True)
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())


def test_the_batch_does_not_matter_and_results_are_single(motif_rct, motif_fit):
    some = motif_rct.arrays["image"].isel(place=slice(0, 10))
    one = motif_fit.salience(some, batch_size=3, occlusion=True, segments="blocks")
    two = motif_fit.salience(some, batch_size=64, occlusion=True, segments="blocks")
    for name in ("magnitude", "direction", "segment", "occlusion", "probability"):
        assert one[name].dtype == np.float32
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-6)
    assert one["magnitude"].dims == ("place", "y", "x")
    assert one["lon"].equals(some["lon"])


def test_noise_averages_the_derivative_over_copies_with_noise(motif_rct, motif_fit):
    some = motif_rct.arrays["image"].isel(place=slice(0, 4))
    found = motif_fit.salience(some, noise=0.5)
    generator = torch.Generator().manual_seed(seed_of(motif_fit.seed_, "salience") % 2**63)
    sd = motif_fit._fitted.lens.bands.sd[:, None, None]
    each = []
    for _ in range(20):
        drawn = torch.randn((3, 32, 32), generator=generator).numpy()
        each.append(motif_fit.salience(some + 0.5 * sd * drawn)["direction"])
    np.testing.assert_allclose(found["direction"], np.mean(each, axis=0), rtol=1e-3, atol=1e-5)
    plain = motif_fit.salience(some)
    np.testing.assert_allclose(found["probability"], plain["probability"], rtol=1e-5)
    assert np.abs(found["direction"] - plain["direction"]).max() > 1e-3
    apart = motif_fit.salience(some, noise=0.5, batch_size=1)
    xr.testing.assert_allclose(apart, found, rtol=1e-4)


def test_noise_leaves_alone_where_pixels_are_missing():
    seen = []

    class View:
        def types(self, pixels):
            seen.append(pixels.detach())
            first = torch.sigmoid(pixels.flatten(1).mean(dim=1))
            return torch.stack([1.0 - first, first], dim=1)

    wish = Wish(
        cluster=1,
        occlusion=False,
        block=8,
        segments=None,
        at="mode",
        n_draws=1,
        batch_size=2,
        noise=0.7,
        seed=0,
    )
    pixels = torch.zeros((2, 3, 4, 4))
    _asked_gradient([View()], pixels, 2, wish)
    drawn = torch.stack(seen[:-1])
    assert (drawn[:, :, 2] == 0.0).all()
    # Of 640 numbers the deviation errs by 3 %.
    assert float(drawn[:, 0, :2].std()) == pytest.approx(0.7, rel=0.15)
    assert torch.equal(seen[-1], pixels)


def test_segments_average_the_magnitude_over_their_pixels(motif_rct, motif_fit):
    some = motif_rct.arrays["image"].isel(place=slice(0, 4))
    labels = np.random.default_rng(0).integers(0, 5, (4, 32, 32))
    given = xr.DataArray(labels[::-1], dims=("place", "y", "x"), coords={"place": [4, 3, 2, 1]})
    out = motif_fit.salience(some, segments=given)
    size, mean = out["magnitude"].values, out["segment"].values
    for image in range(4):
        for piece in range(5):
            here = labels[image] == piece
            np.testing.assert_allclose(mean[image][here], size[image][here].mean(), rtol=1e-5)
    whole = motif_fit.salience(some, segments=np.zeros((32, 32), dtype=int))
    np.testing.assert_allclose(
        whole["segment"][:, 0, 0], whole["magnitude"].mean(("y", "x")), rtol=1e-5
    )
    with pytest.raises(ArgumentError, match=r"1 images have no segments \(first: 4\)"):
        motif_fit.salience(some, segments=given.isel(place=slice(1, 4)))
    with pytest.raises(DataError, match="the segments have 1 keys more than once"):
        motif_fit.salience(some, segments=given.isel(place=[0, 1, 1, 2]))
    with pytest.raises(ArgumentError, match="expected"):
        motif_fit.salience(some, segments=labels[:, :16])
    with pytest.raises(ArgumentError, match=r"dimensions \(row, col\); expected \(y, x\)"):
        motif_fit.salience(some, segments=xr.DataArray(np.zeros((32, 32)), dims=("row", "col")))


# zarr says so of every store of its third format, whatever is in it.
def test_salience_goes_to_a_store_as_it_is_or_batch_by_batch(motif_rct, motif_fit, tmp_path):
    some = motif_rct.arrays["image"].isel(place=slice(0, 20))
    inside_memory = motif_fit.salience(some, batch_size=8)
    inside_memory.to_zarr(tmp_path / "salience.zarr")
    again = xr.open_zarr(tmp_path / "salience.zarr")
    xr.testing.assert_identical(again.load(), inside_memory)
    written = motif_fit.salience(some, batch_size=8, to_zarr=tmp_path / "parts.zarr")
    xr.testing.assert_identical(written.load(), inside_memory)
    with pytest.raises(ArgumentError, match="nothing is overwritten"):
        motif_fit.salience(some, to_zarr=tmp_path / "parts.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        motif_fit.salience(some, to_zarr=tmp_path / "file" / "parts.zarr")
    (tmp_path / "file").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.zarr", "salience.zarr"]


def test_sequences_keep_their_time_and_members_are_averaged():
    data = ck.generators.image_sequence_rct(0, n_images=520, size=12)
    encoder = ck.ImageEncoder.random(n_filters=8)
    fit = ck.ImageEffectClusters(
        encoder=encoder, inference="map", n_restarts=1, n_ensemble=2, random_state=0
    ).fit(data.blind())
    some = data.arrays["image"].isel({data.arrays["image"].dims[0]: slice(0, 6)})
    out = fit.salience(some, occlusion=True, block=6, segments="blocks", cluster="cluster 1")
    frames = some.sizes["time"]
    assert out["magnitude"].shape == out["segment"].shape == (6, frames, 12, 12)
    assert out["occlusion"].shape == (6, 12, 12)
    singles = []
    for member in fit.members_:
        raw = fit._fitted.features(_images(some), np.arange(6))[0]
        singles.append(member.posterior.mean_types(raw)[:, 0])
    np.testing.assert_allclose(out["probability"], np.mean(singles, axis=0), atol=1e-4)


def _images(pixels):
    from causalkit.data.images import ImageStore
    from causalkit.images.batches import Images

    return Images.of(ImageStore.bare(pixels))


def test_what_cannot_be_asked_is_refused(motif_rct, motif_fit):
    with pytest.raises(ArgumentError, match="cluster must be one of 1 to 2, got 3"):
        motif_fit.salience(motif_rct, cluster=3)
    with pytest.raises(ArgumentError, match="1 images are not in 'image'"):
        motif_fit.salience(motif_rct, images=[5, 99_999])
    with pytest.raises(ArgumentError, match="unknown at 'mean'"):
        motif_fit.salience(motif_rct, images=[5], at="mean")
    with pytest.raises(ArgumentError, match=r"noise must be at least 0, got -0\.5"):
        motif_fit.salience(motif_rct, images=[5], noise=-0.5)
    with pytest.raises(ArgumentError, match="'blocks' or an array"):
        motif_fit.salience(motif_rct, images=[5], segments="squares")
    small = ck.generators.image_rct(0, n_images=520, size=8)
    single = ck.ImageEffectClusters(
        n_clusters=1,
        encoder=ck.ImageEncoder.random(n_filters=4),
        inference="map",
        n_restarts=1,
        n_ensemble=1,
        random_state=0,
    ).fit(small.blind())
    with pytest.raises(IdentificationError, match="one cluster"):
        single.salience(small)
