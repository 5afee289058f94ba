"""Reading images: ahead, in batches, shuffled, surveyed, standardised."""

import shutil
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from causalkit.data import CausalData
from causalkit.data.images import ImageStore, lazy_images
from causalkit.errors import ArgumentError, CausalKitWarning, DataError, StorageError
from causalkit.images.ahead import ahead
from causalkit.images.batches import Images, Lens, Rows, batches
from causalkit.images.survey import Bands, _moments, check_pixels, survey

CPU = torch.device("cpu")


def trial(pixels, of_row=None, **more):
    """Data whose rows have images by number."""
    m = pixels.shape[0]
    of_row = np.arange(m) if of_row is None else np.asarray(of_row)
    dims = ("place", "time", "band", "y", "x") if pixels.ndim == 5 else ("place", "band", "y", "x")
    images = xr.DataArray(pixels, dims=dims, coords={"place": np.arange(m)})
    frame = pd.DataFrame(
        {"y": np.arange(of_row.size) * 1.0, "t": np.arange(of_row.size) % 2, "place": of_row}
    )
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=images.to_dataset(name="image"),
        max_nan_pixels=1.0,
        **more,
    )


def numbered(m, **shape):
    """Images that hold their own number."""
    sizes = {"band": 2, "y": 3, "x": 3} | shape
    return np.arange(m, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones(
        tuple(sizes.values()), dtype=np.float32
    )


def on_disk(tmp_path, m, chunk, **shape):
    pixels = numbered(m, **shape)
    numbered_images = xr.Dataset({"image": (("place", "band", "y", "x"), pixels)})
    numbered_images.assign_coords(place=np.arange(m)).chunk(place=chunk).to_zarr(
        tmp_path / "store.zarr", zarr_format=2
    )
    data = trial(pixels)
    lazy = xr.open_zarr(tmp_path / "store.zarr", chunks=None)[["image"]]
    return CausalData.from_frame(
        data.frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=lazy,
    )


def test_ahead_keeps_order_and_reads_in_one_thread():
    seen = []

    def items():
        for item in range(20):
            seen.append(threading.current_thread().name)
            yield item

    assert list(ahead(items())) == list(range(20))
    assert len(set(seen)) == 1
    assert seen[0] != threading.current_thread().name


def test_ahead_makes_no_more_than_its_depth():
    made = []

    def items():
        for item in range(20):
            made.append(item)
            yield item

    reader = ahead(items())
    for _ in range(3):
        next(reader)
    reader.close()
    assert len(made) <= 3 + 2 + 1


def test_ahead_raises_what_its_thread_raised():
    def items():
        yield 1
        raise OSError("the disk is gone")

    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        list(reader)


def test_rows_of_images_are_found_in_any_order():
    store = ImageStore.of(trial(numbered(5), [3, 1, 3, 0, 4, 3]))
    rows = Rows.of(store, np.array([0, 1, 2, 3, 5]))
    assert rows.images.tolist() == [0, 1, 3]
    found, inverse = rows.having(np.array([3, 0]))
    assert sorted(found[inverse == 0].tolist()) == [0, 2, 5]
    assert found[inverse == 1].tolist() == [3]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("most_bytes", [0, 2**30])
def test_every_image_and_row_comes_once_with_its_own_pixels(tmp_path, shuffled, most_bytes):
    data = on_disk(tmp_path, 43, 5)
    store = ImageStore.of(data)
    images = Images.of(store, most_bytes=most_bytes)
    assert (images.held is None) == (most_bytes == 0)
    rows = Rows.of(store, np.arange(2, 41))
    rng = np.random.default_rng(0) if shuffled else None
    seen, sizes = [], []
    for batch in batches(images, rows, size=8, rng=rng):
        np.testing.assert_array_equal(batch.pixels[:, 0, 0, 0], batch.images)
        np.testing.assert_array_equal(batch.images[batch.inverse], store.of_row[batch.rows])
        seen.extend(batch.rows.tolist())
        sizes.append(batch.images.size)
    assert sorted(seen) == list(range(2, 41))
    assert (seen == sorted(seen)) != shuffled
    if shuffled:
        assert sizes == [8, 8, 8, 8, 7]


def test_shuffles_mix_the_chunks_of_a_store(tmp_path):
    store = ImageStore.of(on_disk(tmp_path, 64, 4))
    images = Images.of(store, most_bytes=0)
    orders = []
    for seed in (0, 1, 0):
        rng = np.random.default_rng(seed)
        parts = list(images.shuffled(np.arange(64), 8, rng))
        orders.append(np.concatenate([part for part, _ in parts]))
        # Eight images of a batch come from more chunks than the two that hold as many.
        assert np.mean([np.unique(part // 4).size for part, _ in parts]) > 4
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


@pytest.mark.parametrize("most_bytes", [0, 2**30])
def test_batches_of_a_store_sorted_by_treatment_have_both_arms(tmp_path, most_bytes):
    """Each chunk of the store has one arm only: controls first, then the treated."""
    store = ImageStore.of(on_disk(tmp_path, 64, 4))
    images = Images.of(store, most_bytes=most_bytes)
    rows = Rows.of(store, np.arange(64))
    shares = []
    for seed in range(5):
        found = batches(images, rows, size=8, rng=np.random.default_rng(seed))
        shares.append([(batch.images >= 32).mean() for batch in found])
    mixed = (np.array(shares) > 0.0) & (np.array(shares) < 1.0)
    assert mixed.mean() >= 0.9
    # Nor do the arms come one after the other.
    assert abs(np.mean(shares, axis=0) - 0.5).max() <= 0.25


def test_statistics_are_those_of_numpy_for_any_part():
    rng = np.random.default_rng(1)
    pixels = rng.normal(3.0, 2.0, (11, 4, 2, 5, 5)).astype(np.float32)
    pixels[2, 1, 0, 3, 3] = np.nan
    found = survey(ImageStore.of(trial(pixels)))
    part = np.array([1, 2, 7])
    bands = found.bands(part)
    chosen = pixels[part].astype(np.float64)
    np.testing.assert_allclose(bands.mean, np.nanmean(chosen, axis=(0, 1, 3, 4)), rtol=1e-12)
    np.testing.assert_allclose(bands.sd, np.nanstd(chosen, axis=(0, 1, 3, 4)), rtol=1e-12)
    assert found.count[2].tolist() == [99.0, 100.0]


def test_statistics_are_exact_where_float32_would_not_be():
    pixels = (np.arange(400, dtype=np.uint16).reshape(4, 1, 10, 10) % 7) + 60_000
    bands = survey(ImageStore.of(trial(pixels))).bands(np.arange(4))
    assert bands.sd[0] == pytest.approx(pixels.astype(np.float64).std(), rel=1e-12)


def test_images_without_rows_are_not_looked_at():
    pixels = numbered(4) + np.arange(9, dtype=np.float32).reshape(3, 3)
    pixels[3] = np.nan
    found = survey(ImageStore.of(trial(pixels, [0, 1, 2, 0])))
    assert found.positions.tolist() == [0, 1, 2]
    check_pixels(found, ImageStore.of(trial(pixels, [0, 1, 2, 0])), nan_policy="error")


def varied(m=6):
    return np.random.default_rng(2).normal(size=(m, 2, 3, 3)).astype(np.float32)


def test_twins_and_blanks_are_told():
    pixels = varied()
    pixels[4] = pixels[1]
    pixels[5] = 0.0
    store = ImageStore.of(trial(pixels))
    found = survey(store)
    assert found.twin.tolist() == [0, 1, 2, 3, 1, 5]
    with pytest.warns(CausalKitWarning) as told:
        check_pixels(found, store, nan_policy="error")
    texts = " ".join(str(one.message) for one in told)
    assert "1 images of 'image' are constant (first: 5)" in texts
    assert "1 images of 'image' have the same pixels as another (first: 4)" in texts


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.__setitem__((2, 1, 0, 0), np.nan), r"\(1: 1; first images: 2\).*nan_policy"),
        (lambda p: p.__setitem__((slice(None), 1), np.nan), "band '1' of 'image' is missing in"),
        (lambda p: p.__setitem__((slice(None), 0), 5.0), "band '0' of 'image' is constant in"),
        (lambda p: p.__setitem__((3, 0, 0, 0), np.inf), r"missing or infinite \(0: 1"),
        (lambda p: p.__setitem__(slice(None), 0.0), "the store may be empty, or its chunks gone"),
    ],
)
def test_pixels_that_cannot_be_used(spoil, message):
    pixels = varied()
    spoil(pixels)
    store = ImageStore.of(trial(pixels))
    with pytest.raises(DataError, match=message):
        check_pixels(survey(store), store, nan_policy="error")


@pytest.mark.parametrize("kept", ["memory", "store", "loaded"])
def test_the_share_of_missing_pixels_is_limited_wherever_images_are_kept(tmp_path, kept):
    """A ninth of them; images in memory are counted when the data are built."""
    pixels = varied()
    pixels[:, :, 0, 0] = np.nan
    images = trial(pixels).arrays[["image"]]
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    if kept != "memory":
        images.to_zarr(tmp_path / "store.zarr", zarr_format=2)
        images = xr.open_zarr(tmp_path / "store.zarr", chunks=None)

    def looked_at(most):
        data = CausalData.from_frame(trial(pixels).frame, arrays=images, **roles, **most)
        if kept == "loaded":
            data.save(tmp_path / "data")
            data = CausalData.load(tmp_path / "data")
        store = ImageStore.of(data)
        check_pixels(survey(store), store, nan_policy="mask")

    with pytest.raises(DataError, match=r"11.1% .*at most 5%.*from_frame\(..., max_nan_pixels="):
        looked_at({})
    looked_at({"max_nan_pixels": 0.2})


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_store_that_is_gone_is_refused_and_not_read_as_zeros(tmp_path, chunks):
    data = on_disk(tmp_path, 6, 3)
    lazy = xr.open_zarr(tmp_path / "store.zarr", chunks=chunks)["image"]
    stores = ImageStore.of(data), ImageStore.bare(lazy)
    for store in stores:
        assert store.read(np.array([5, 2])).max() == 5.0
    shutil.rmtree(tmp_path / "store.zarr")
    for store in stores:
        with pytest.raises(StorageError, match=r"store.zarr/image', which was moved"):
            store.read(np.array([5, 2]))


def test_missing_pixels_become_the_mean_or_a_mask():
    raw = np.full((1, 2, 2, 2), 5.0, dtype=np.float32)
    raw[0, 1, 0, 0] = np.nan
    bands = Bands(np.array([3.0, 1.0]), np.array([2.0, 4.0]))
    filled = Lens(bands, "mean", CPU).pixels(raw)
    assert filled[0, 0].unique().tolist() == [1.0]
    assert filled[0, 1].flatten().tolist() == [0.0, 1.0, 1.0, 1.0]
    masked = Lens(bands, "mask", CPU).pixels(raw)
    assert masked.shape == (1, 3, 2, 2)
    assert masked[0, 2].flatten().tolist() == [1.0, 0.0, 0.0, 0.0]
    torch.testing.assert_close(masked[:, :2], filled)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float64"])
def test_stored_types_are_scaled_alike(dtype):
    raw = np.arange(18).reshape(1, 2, 3, 3).astype(dtype)
    raw.setflags(write=False)
    bands = Bands(np.array([4.0, 13.0]), np.array([2.0, 2.0]))
    found = Lens(bands, "error", CPU).pixels(raw)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0, 1].numpy(), (raw[0, 1].astype(float) - 13) / 2)


def test_moments_in_blocks_of_images_are_those_at_once(monkeypatch):
    pixels = np.random.default_rng(0).normal(size=(7, 2, 5, 6)).astype(np.float32)
    pixels[3, 1, 2] = np.nan
    expected = _moments(pixels)
    monkeypatch.setattr("causalkit.images.survey._MOMENT_PIXELS", 2 * pixels[0].size)
    for found, whole in zip(_moments(pixels), expected, strict=True):
        np.testing.assert_array_equal(found, whole)


def test_a_survey_holds_little_beside_the_chunk():
    """Twenty-five times the chunk where it is done at once."""
    pixels = np.ones((64, 3, 256, 256), dtype=np.uint8)
    tracemalloc.start()
    _moments(pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * pixels.nbytes


@pytest.mark.parametrize("most_bytes", [0, 2**20])
def test_pixels_are_read_once_where_there_is_room_for_them(tmp_path, monkeypatch, most_bytes):
    store = ImageStore.of(on_disk(tmp_path, 23, 5))
    some = replace(store, of_row=np.array([4, 21, 7, 7, 12]))
    read, real = [], ImageStore.read
    monkeypatch.setattr(
        ImageStore, "read", lambda self, at: read.extend(at.tolist()) or real(self, at)
    )
    images = Images.unread(some, most_bytes=most_bytes)
    survey(some, into=images.held)
    taken = images.take(np.array([21, 4, 12]))
    np.testing.assert_array_equal(taken[:, 0, 0, 0], [21.0, 4.0, 12.0])
    assert read == [4, 7, 12, 21] + ([] if most_bytes else [21, 4, 12])


def test_images_that_are_kept_take_their_own_size_and_that_of_a_run(tmp_path):
    store = ImageStore.of(on_disk(tmp_path, 400, 10, y=32, x=32))
    tracemalloc.start()
    held = Images.of(store).held
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * held.nbytes


def test_a_lazy_array_that_holds_another_type_than_it_says_is_refused():
    da = pytest.importorskip("dask.array")
    lying = da.from_array(numbered(4), chunks=2).map_blocks(lambda x: x + 0.5, dtype="uint8")
    store = ImageStore.bare(xr.DataArray(lying, dims=("place", "band", "y", "x"), name="image"))
    with pytest.raises(ArgumentError, match="returned float32 where dtype='uint8' was said"):
        Images.of(store)


@pytest.mark.parametrize("most_bytes", [0, 2**20])
def test_pixels_of_another_byte_order_are_read(most_bytes):
    straight, turned = (trial(numbered(6).astype(kind)) for kind in ("<f4", ">f4"))
    for data in (straight, turned):
        store = ImageStore.of(data)
        images = Images.of(store, most_bytes=most_bytes)
        raw = images.take(np.array([4, 2]))
        assert raw.dtype.isnative
        lens = Lens(Bands(np.zeros(2), np.ones(2)), "error", CPU)
        np.testing.assert_array_equal(lens.pixels(raw)[:, 0, 0, 0], [4.0, 2.0])


@pytest.mark.parametrize(
    ("pixels", "dtype", "message"),
    [
        (np.float64(0.7), "uint8", "returned float64 where dtype='uint8' was said"),
        (np.int64(300), "uint8", "returned 300, which dtype='uint8' cannot hold"),
        (np.int16(-1), "uint16", "returned -1, which"),
        (np.float64(1e300), "float32", r"returned 1e\+300, which"),
    ],
)
def test_pixels_that_a_type_cannot_hold_are_no_other_pixels(pixels, dtype, message):
    pytest.importorskip("dask")
    images = lazy_images(
        lambda keys: np.full((len(keys), 1, 2, 2), pixels), [1, 2], shape=(1, 2, 2), dtype=dtype
    )
    with pytest.raises(ArgumentError, match=message):
        images.compute()


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [(np.int64(255), "uint8"), (np.float64(0.5), "float32"), (np.uint8(3), "float32")],
)
def test_pixels_that_a_type_holds_are_cast(pixels, dtype):
    pytest.importorskip("dask")
    images = lazy_images(
        lambda keys: np.full((len(keys), 1, 2, 2), pixels), [1, 2], shape=(1, 2, 2), dtype=dtype
    )
    assert images.values.dtype == dtype
    assert (images.values == pixels).all()
