"""Images that rows share: keys, reading run by run, functions as stores."""

import threading

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit.data import CausalData
from causalkit.data.images import ImageStore, lazy_images
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError

KEYS = ["a", "b", "c", "d"]


def pictures(keys=KEYS, **more):
    pixels = np.arange(len(keys) * 2 * 3 * 3, dtype=np.float32).reshape(len(keys), 2, 3, 3)
    return xr.DataArray(
        pixels,
        dims=("place", "band", "y", "x"),
        coords={"place": list(keys), "band": ["red", "nir"]},
        name="tile",
        **more,
    )


def people(where=("c", "a", "c", "d", "a", "c")):
    n = len(where)
    rng = np.random.default_rng(0)
    return pd.DataFrame({"y": rng.normal(size=n), "t": np.arange(n) % 2, "village": list(where)})


def shared(frame=None, images=None, **more):
    frame = people() if frame is None else frame
    arrays = (pictures() if images is None else images).to_dataset(name="tile")
    roles = {"outcome": "y", "treatment": "t", "image": "tile", "image_key": "village"}
    return CausalData.from_frame(frame, arrays=arrays, **(roles | more))


def test_rows_share_images_by_their_key():
    store = ImageStore.of(shared())
    assert store.of_row.tolist() == [2, 0, 2, 3, 0, 2]
    assert store.used().tolist() == [0, 2, 3]
    assert (store.n_images, store.shape, store.bands) == (4, (2, 3, 3), ("red", "nir"))
    np.testing.assert_array_equal(store.read([3, 0]), pictures().values[[3, 0]])


def test_some_rows_keep_the_images_whole():
    data = shared()
    for part in (data.subset([3, 1]), data.filter("village != 'c'")):
        store = ImageStore.of(part)
        wanted = part.frame["village"].to_list()
        assert [store.keys[i] for i in store.of_row] == wanted
        np.testing.assert_array_equal(store.pixels.values, pictures().values)


def test_the_key_may_be_the_cluster():
    assert shared(cluster="village").roles.cluster == ("village",)


def test_one_image_per_row_is_a_store_too():
    frame = people().assign(who=list("uvwxyz"))
    tile = pictures(list("zyxwvu")).rename(place="obs").to_dataset(name="tile")
    roles = {"outcome": "y", "treatment": "t", "unit": "who", "image": "tile"}
    store = ImageStore.of(CausalData.from_frame(frame, arrays=tile, **roles))
    assert list(store.keys) == list("uvwxyz")
    np.testing.assert_array_equal(store.read(np.arange(6)), tile["tile"].values[::-1])


def test_a_picture_without_bands_gets_one():
    grey = pictures().isel(band=0, drop=True)
    assert ImageStore.of(shared(images=grey)).shape == (1, 3, 3)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_store_without_bands_is_not_read_to_give_it_one(tmp_path):
    single = pictures(range(4)).isel(band=0, drop=True)
    single.chunk(place=2).to_dataset().to_zarr(tmp_path / "tiles.zarr")
    lazy = xr.open_zarr(tmp_path / "tiles.zarr", chunks=None)["tile"]
    store = ImageStore.bare(lazy)
    assert not lazy.variable._in_memory
    assert not store.pixels.variable._in_memory
    assert (store.run, store.shape) == (2, (1, 3, 3))
    np.testing.assert_array_equal(store.read([3, 0]), single.values[[3, 0], None])


@pytest.mark.parametrize(
    ("frame", "images", "message"),
    [
        (people(("c", "a", "q", "d", "r", "q")), None, r"E14.*3 of 6 rows.*first: 'q', 'r'\)"),
        (people().assign(village=[1, 2, 3, 1, 2, 3]), None, r"integers \(first: 1\).*text.*astype"),
        (None, pictures(["a", "c", "c", "d"]), r"not unique \(first: 'c'\)"),
        (None, pictures().drop_vars("place"), r"'place' of 'tile' has no coordinate"),
        (None, pictures().rename(band="channel"), r"has dimensions place, channel, y, x.*Rename"),
    ],
)
def test_e14_keys_that_do_not_match(frame, images, message):
    with pytest.raises(DataError, match=message):
        shared(frame, images)


def test_a_key_without_images_is_refused():
    with pytest.raises(DataError, match="'village' says which image a row has, but no image"):
        shared(image=())


def test_which_image_must_be_clear():
    both = xr.Dataset({"tile": pictures(), "old": pictures()})
    roles = {"outcome": "y", "treatment": "t", "image_key": "village"}
    data = CausalData.from_frame(people(), image=["tile", "old"], arrays=both, **roles)
    with pytest.raises(ArgumentError, match="several images"):
        ImageStore.of(data)
    assert ImageStore.of(data, "old").name == "old"
    with pytest.raises(ArgumentError, match="no image 'new'"):
        ImageStore.of(data, "new")


def test_images_that_new_rows_do_not_bring_are_named_with_the_call_that_brings_them():
    data = shared()
    with pytest.raises(ArgumentError, match=r"no image 'tile'.*training_data.like\(df, arrays="):
        ImageStore.of(data.like(people()), "tile")
    brought = data.like(people(), arrays=pictures().to_dataset(name="tile"))
    assert ImageStore.of(brought, "tile").of_row.tolist() == ImageStore.of(data).of_row.tolist()


def test_saved_images_come_back(tmp_path):
    data = shared()
    data.save(tmp_path / "d")
    again = ImageStore.of(CausalData.load(tmp_path / "d"))
    np.testing.assert_array_equal(again.read([1, 2]), pictures().values[[1, 2]])
    assert again.of_row.tolist() == [2, 0, 2, 3, 0, 2]


def test_a_zarr_store_is_read_chunk_by_chunk(tmp_path):
    pictures(range(10)).to_dataset().chunk(place=4).to_zarr(tmp_path / "s.zarr", zarr_format=2)
    frame = people().assign(village=[9, 0, 1, 5, 7, 3])
    for chunks in (None, {}):
        images = xr.open_zarr(tmp_path / "s.zarr", chunks=chunks)["tile"]
        store = ImageStore.of(shared(frame, images))
        assert store.run == 4
        assert [run.tolist() for run in store.runs(store.used())] == [[0, 1, 3], [5, 7], [9]]
        for run, pixels in store.read_runs(store.used()):
            np.testing.assert_array_equal(pixels, pictures(range(10)).values[run])


def test_a_function_is_asked_for_what_is_read_and_no_more():
    asked = []

    def read(keys):
        asked.append((list(keys), threading.current_thread().name))
        return pictures().sel(place=keys).values

    images = lazy_images(read, KEYS, shape=(2, 3, 3), chunk=2, bands=["red", "nir"], name="tile")
    store = ImageStore.of(shared(images=images))
    assert asked == []
    np.testing.assert_array_equal(store.read([3]), pictures().values[[3]])
    assert [keys for keys, _ in asked] == [["c", "d"]]


def test_a_function_that_returns_another_shape_is_refused():
    images = lazy_images(lambda keys: np.zeros((len(keys), 3, 3)), KEYS, shape=(2, 3, 3))
    with pytest.raises(ArgumentError, match=r"returned shape \(4, 3, 3\) for 4 keys"):
        ImageStore.of(shared(images=images.rename("tile"))).read([0])
    with pytest.raises(ArgumentError, match="shape must be"):
        lazy_images(lambda keys: keys, KEYS, shape=(2, 3))


def test_a_mapping_of_arrays_is_a_dataset():
    other = pictures().isel(band=[0]).drop_vars("band").rename(band="channel", y="row", x="column")
    roles = {"outcome": "y", "treatment": "t", "image": "tile", "image_key": "village"}
    arrays = {"tile": pictures(), "old": other}
    data = CausalData.from_frame(people(), arrays=arrays, **roles)
    assert ImageStore.of(data).of_row.tolist() == [2, 0, 2, 3, 0, 2]
    shifted = other.assign_coords(place=list("bcde"))
    with pytest.raises(ArgumentError, match="the arrays do not fit together"):
        CausalData.from_frame(people(), arrays=arrays | {"old": shifted}, **roles)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"tile": pictures().values}, r"'tile'\] is a ndarray.*images have \(\"obs\", \"band\""),
        (pictures(), r"got a DataArray.*to_dataset\(name='tile'\)"),
        (pictures().values, "a mapping of names to DataArrays, got ndarray"),
    ],
)
def test_arrays_without_named_dimensions_say_how_to_name_them(arrays, message):
    roles = {"outcome": "y", "treatment": "t", "image": "tile", "image_key": "village"}
    with pytest.raises(ArgumentTypeError, match=message):
        CausalData.from_frame(people(), arrays=arrays, **roles)
