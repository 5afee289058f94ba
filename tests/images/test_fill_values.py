"""Numbers that stand for missing pixels: taken by name, and told of where nothing names them."""

import warnings

import numpy as np
import pytest
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.errors import CausalKitWarning, DataError
from causalkit.images.survey import check_pixels, survey

CODE = -9999


def shades(dtype="int16", seed=0):
    return np.random.default_rng(seed).normal(800.0, 60.0, (12, 2, 8, 8)).astype(dtype)


def gone(share=0.1):
    return np.random.default_rng(1).random((12, 1, 8, 8)).repeat(2, axis=1) < share


def images(dtype="int16", code=CODE, **attrs):
    pixels = np.where(gone(), np.array(code, dtype=dtype), shades(dtype))
    return xr.DataArray(
        pixels,
        dims=("place", "band", "y", "x"),
        coords={"place": np.arange(12), "band": ["red", "nir"]},
        name="image",
        attrs=attrs,
    )


def expected(dtype):
    return np.where(gone(), np.nan, shades(dtype).astype(np.float64))


@pytest.mark.parametrize("name", ["_FillValue", "missing_value", "nodata"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("kept", ["memory", "zarr", "dask"])
def test_a_value_that_an_attribute_names_is_a_gap(tmp_path, name, dtype, kept):
    given = images(dtype, **{name: CODE})
    if kept != "memory":
        plain = given.assign_attrs({name: None}).drop_attrs().to_dataset()
        plain.to_zarr(tmp_path / "s.zarr", zarr_format=2)
        chunks = {} if kept == "dask" else None
        opened = xr.open_zarr(tmp_path / "s.zarr", chunks=chunks, mask_and_scale=False)["image"]
        given = opened.assign_attrs({name: CODE})
    store = ImageStore.bare(given)
    np.testing.assert_array_equal(store.read(np.arange(12)), expected(dtype))
    assert store.name == "image"
    if kept == "zarr":
        assert not given.variable._in_memory  # and is still read when it is needed


def test_several_codes_are_gaps():
    given = images(nodata=[CODE, -1], _FillValue=-2)
    given[3, 0, 0, :2] = [-1, -2]
    found = ImageStore.bare(given).read(np.array([3]))
    assert np.isnan(found[0, 0, 0, :2]).all()


@pytest.mark.parametrize(
    "attrs", [{"_FillValue": 0}, {"nodata": np.nan}, {"nodata": "none"}, {"nodata": 1e9}, {}]
)
def test_what_is_no_code_changes_nothing(attrs):
    given = images(code=0, **attrs)
    found = ImageStore.bare(given).read(np.arange(12))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, given)


def test_pixels_with_a_code_are_embedded_as_missing():
    encoder = ck.ImageEncoder.random(n_filters=4)
    given = images(nodata=CODE)
    with pytest.raises(DataError, match="missing or infinite"):
        ck.embed_images(given, encoder)
    found = ck.embed_images(given, encoder, nan_policy="mean")
    decoded = images().astype("float32").where(~gone())
    np.testing.assert_array_equal(found, ck.embed_images(decoded, encoder, nan_policy="mean"))


@pytest.mark.parametrize(
    ("dtype", "code"), [("int16", -9999), ("float32", -9999), ("int16", 32767)]
)
def test_a_far_value_that_many_pixels_share_is_told(dtype, code):
    store = ImageStore.bare(images(dtype, code))
    share = gone()[:, 0].mean()
    words = rf"{share:.1%} of the pixels of 'image' are {code} in band 'red', .*'nodata'\] = {code}"
    with pytest.warns(CausalKitWarning, match=words) as told:
        check_pixels(survey(store), store, nan_policy="error")
    assert len(told) == 1
    others = shades(dtype)[:, 0][~gone()[:, 0]].astype(np.float64)
    assert f", {abs(code - others.mean()) / others.std():.0f} standard" in str(told[0].message)


def test_shades_that_many_pixels_share_are_no_codes():
    """Saturated pixels, a mask of zeros and ones, and lights that are mostly off."""
    rng = np.random.default_rng(0)
    lights = rng.exponential(5.0, (12, 1, 8, 8)) * (rng.random((12, 1, 8, 8)) < 0.1)
    mask = (rng.random((12, 1, 8, 8)) < 0.02) * 1.0
    bright = np.minimum(rng.normal(200.0, 60.0, (12, 1, 8, 8)), 255.0)
    rare = rng.normal(size=(12, 1, 8, 8))
    rare[0, 0, 0, :2] = -9999.0  # two of 768
    pixels = np.concatenate([lights, mask, bright, rare], axis=1)
    store = ImageStore.bare(xr.DataArray(pixels, dims=("place", "band", "y", "x"), name="image"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_pixels(survey(store), store, nan_policy="error")
