"""Data passed again after a fit: the same wherever they lie, and other places are refused."""

import numpy as np
import pytest
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore, lazy_images
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.images.seal import Seal

pytestmark = pytest.mark.usefixtures("close_figures")


def with_images(data, arrays, frame=None):
    frame = data.frame if frame is None else frame
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    return ck.CausalData.from_frame(frame, arrays=arrays, **roles)


@pytest.fixture(scope="module")
def trial():
    data = ck.generators.image_rct(0, n_images=40, size=8).blind()
    return with_images(data, data.arrays[["image"]])


def seal(data):
    return Seal.of(data, ImageStore.of(data))


def check(data, given):
    seal(data).check(given, ImageStore.of(given))


@pytest.mark.parametrize("chunks", [None, {}])
def test_the_same_pixels_in_a_store_are_the_same_data(trial, tmp_path, chunks):
    trial.arrays.to_zarr(tmp_path / "store.zarr", zarr_format=2)
    stored = with_images(trial, xr.open_zarr(tmp_path / "store.zarr", chunks=chunks))
    assert seal(stored) == seal(trial)
    check(stored, with_images(trial, trial.arrays.isel(place=slice(None, None, -1))))


def test_gaps_are_equal_to_gaps(trial):
    arrays = trial.arrays.astype("float32")
    arrays["image"][0, 0, 0] = np.nan
    given = ck.CausalData.from_frame(
        trial.frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=arrays,
        max_nan_pixels=1.0,
    )
    check(given, given)


def test_pixels_of_other_places_under_the_same_keys_are_refused_in_a_store_too(trial):
    other = ck.generators.image_rct(1, n_images=40, size=8).arrays["image"]
    keys = trial.arrays["place"].values.tolist()
    lazy = lazy_images(
        lambda names: other.values[[keys.index(name) for name in names]],
        keys,
        shape=other.shape[1:],
        dtype=other.dtype,
        bands=other["band"].values.tolist(),
    )
    message = r"the images 'image' differ from those .* 8 of 8 looked at have other pixels"
    for arrays in (lazy.to_dataset(), other.assign_coords(place=keys).to_dataset(name="image")):
        with pytest.raises(ArgumentError, match=message):
            check(trial, with_images(trial, arrays))


def test_rows_in_another_order_are_refused_as_such(trial):
    turned = with_images(trial, trial.arrays, trial.frame.iloc[::-1].reset_index(drop=True))
    with pytest.raises(ArgumentError, match=r"rows, columns or roles .* differ from those"):
        check(trial, turned)


def test_a_loaded_fit_knows_its_images(motif_fit, motif_rct, tmp_path):
    motif_fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit")
    data = motif_rct.blind()
    darker = data.arrays.assign(image=data.arrays["image"] - 1.0)
    for fit in (motif_fit, loaded):
        assert fit.plot_clusters(data).plot_data["images"].notna().all()
        with pytest.raises(ArgumentError, match="have other pixels"):
            fit.plot_clusters(data.like(data.frame, arrays=darker))
        with pytest.raises(ArgumentTypeError, match="needs a CausalData"):
            fit.report(tmp_path / "report.html", data.frame)
