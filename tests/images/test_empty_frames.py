"""Dates on which a place has no pixels: rules over time leave them out, or a warning says so."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import causalkit as ck
from causalkit.errors import CausalKitWarning, DataError
from causalkit.images.networks import BandMoments, ConvEncoder, SequenceEncoder

torch.set_num_threads(1)
DATES = pd.to_datetime(["2010-01-01", "2011-03-01", "2012-01-01", "2015-07-01"])
FEW = ck.ImageEncoder.random(n_filters=4)
KEPT = [1, 3]


def films(n=6, *, empty=True, seed=0):
    """Sequences of four dates; the first place lacks the first and the third."""
    pixels = np.random.default_rng(seed).normal(50.0, 9.0, (n, 4, 2, 8, 8)).astype(np.float32)
    pixels += 20.0 * np.arange(4, dtype=np.float32)[:, None, None, None]
    if empty:
        pixels[0, [0, 2]] = np.nan
        pixels[0, 1, :, :2] = np.nan  # some pixels of a date are no gap in time
    return xr.DataArray(
        pixels,
        dims=("place", "time", "band", "y", "x"),
        coords={"place": np.arange(n), "time": DATES, "band": ["a", "b"]},
        name="image",
    )


def embedded(images, temporal, **more):
    return ck.embed_images(images, FEW, temporal=temporal, **{"nan_policy": "mean"} | more)


@pytest.mark.parametrize("policy", ["mean", "mask"])
@pytest.mark.parametrize("temporal", ["mean", "last", "difference", "variance"])
def test_a_place_is_that_of_the_dates_that_it_has(temporal, policy):
    images = films()
    found = embedded(images, temporal, nan_policy=policy)
    alone = images.isel(place=[0], time=KEPT)
    wanted = embedded(alone, temporal, nan_policy=policy, bands=found)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
    full = embedded(films(empty=False), temporal, nan_policy=policy, bands=found)
    np.testing.assert_allclose(found[1:], full[1:], atol=1e-6)
    assert found.attrs["empty_frames"] == 2


def test_a_single_date_changes_and_varies_by_nothing():
    images = films()
    images[1, [0, 1, 3]] = np.nan
    for temporal in ("difference", "variance"):
        mean, change = np.split(embedded(images, temporal).values[1], 2)
        assert np.abs(mean).max() > 0.1
        np.testing.assert_array_equal(change, 0.0)


def test_the_last_date_of_a_place_is_the_last_that_it_has():
    images = films(empty=False)
    images[2, 3] = np.nan
    found = embedded(images, "last")
    wanted = embedded(films(empty=False).isel(time=slice(3)), "last", bands=found)
    np.testing.assert_allclose(found[2], wanted[2], atol=1e-6)


@pytest.mark.parametrize("temporal", ["transformer", "difference"])
def test_encoders_that_are_trained_do_not_see_empty_dates(temporal):
    torch.manual_seed(0)
    years = torch.tensor([0.0, 1.0, 2.0, 5.0])
    network = SequenceEncoder(ConvEncoder(2, 8), temporal, years)
    pixels = torch.randn((3, 4, 2, 8, 8))
    gaps = pixels.clone()
    gaps[0, [0, 2]] = torch.nan
    asked = gaps.clone().requires_grad_()
    found = network(asked)
    found.square().sum().backward()
    network.register_buffer("years", years[KEPT])
    torch.testing.assert_close(found[:1], network(pixels[:1, KEPT]), atol=1e-5, rtol=1e-4)
    assert torch.isfinite(asked.grad).all()
    assert (asked.grad[0, [0, 2]] == 0.0).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_moments_are_of_the_frames_that_have_pixels():
    pixels = torch.randn((2, 4, 3, 5, 5), dtype=torch.float64)
    pixels[..., 2, :, :] = 0.0
    wanted = BandMoments()(pixels[:1, KEPT])
    pixels[0, [0, 2], :2], pixels[0, [0, 2], 2] = torch.nan, 1.0  # a mask beside the bands
    torch.testing.assert_close(BandMoments()(pixels)[:1], wanted)


class Whole(torch.nn.Module):
    def forward(self, images):
        return images.mean(dim=(1, 3, 4))


@pytest.mark.parametrize(("temporal", "whole"), [("concat", False), ("mean", True)])
def test_what_cannot_leave_empty_dates_out_is_told(temporal, whole):
    encoder = ck.ImageEncoder.of(Whole(), name="whole", sequence=True) if whole else FEW
    words = "an encoder of whole sequences takes" if whole else "'concat' takes them .* other rules"
    with pytest.warns(CausalKitWarning, match=rf"2 frames of 1 images .*first: 0.*{words}"):
        found = ck.embed_images(films(), encoder, temporal=temporal, nan_policy="mean")
    assert np.isfinite(found).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ck.embed_images(films(empty=False), encoder, temporal=temporal)
        embedded(films(), "mean")


def test_fits_predict_explain_and_transport_places_with_empty_dates():
    rct = ck.generators.image_sequence_rct(0, n_images=520, frames=3, size=8)
    arrays = rct.arrays.copy(deep=True)
    arrays["image"] = arrays["image"].transpose("place", "time", "band", "y", "x")
    arrays["image"].values[::4, 1] = np.nan
    data = ck.CausalData.from_frame(
        rct.frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=arrays,
        max_nan_pixels=0.5,
    )
    options = {"n_components": 4, "n_restarts": 1, "n_draws": 50, "random_state": 0}
    fit = ck.ImageEffectClusters(encoder=FEW, nan_policy="mean", **options)
    with pytest.raises(DataError, match="missing or infinite"):
        fit.set_params(nan_policy="error").fit(data)
    fit.set_params(nan_policy="mean").fit(data)
    assert np.isfinite(fit.predict_cate(data)).all()
    keys = arrays["place"].values[:2].tolist()
    seen = fit.salience(data, images=keys, noise=0.5, occlusion=True)
    assert (seen["magnitude"].values[0, 1] == 0.0).all()
    assert (seen["magnitude"].values[0, [0, 2]] > 0.0).any()
    assert np.isfinite(seen["occlusion"]).all()
    far = fit.transport(data).places["extrapolating"].values
    assert far[::4].mean() < 0.1
