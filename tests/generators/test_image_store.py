"""Simulated images in a zarr store: chunks, memory, names, and what must not be there."""

import sys
import tracemalloc

import numpy as np
import pytest
import xarray as xr

import causalkit as ck
from causalkit.errors import ArgumentError, MissingDependencyError, StorageError
from causalkit.generators.images import _Scene

pytest.importorskip("zarr")
G = ck.generators
SMALL = {"n_images": 30, "size": 9, "bands": 2}


def same(one, other):
    assert one.frame.equals(other.frame)
    for name in ("image", "place", "band", "lon", "lat"):
        np.testing.assert_array_equal(one.arrays[name].values, other.arrays[name].values)


@pytest.mark.parametrize(
    ("chunk", "sort_by"), [(1, None), (7, "treatment"), (30, None), (1000, "treatment")]
)
def test_the_store_holds_what_memory_does_whatever_the_chunk(tmp_path, chunk, sort_by):
    more = {**SMALL, "design": "shared", "sort_by": sort_by}
    stored = G.image_rct(seed=1, to_zarr=tmp_path / "s.zarr", chunk=chunk, **more)
    same(stored, G.image_rct(seed=1, **more))
    assert stored.arrays["image"].encoding["preferred_chunks"]["place"] == min(chunk, 30)


def test_images_do_not_depend_on_what_is_painted_together(tmp_path):
    more = {"n_images": 150, "size": 8, "bands": 1}
    stored = G.image_rct(seed=2, to_zarr=tmp_path / "s.zarr", chunk=100, **more)
    same(stored, G.image_rct(seed=2, **more))


def test_images_stay_in_the_store_until_they_are_read(tmp_path):
    stored = G.image_rct(seed=0, to_zarr=str(tmp_path / "rct.zarr"), **SMALL)
    assert not stored.arrays["image"].variable._in_memory
    part = stored.subset([3, 1])
    assert not part.arrays["image"].variable._in_memory
    np.testing.assert_array_equal(part.truth.image_box, stored.truth.image_box[[3, 1]])


@pytest.mark.parametrize("make", [G.image_rct, G.image_sequence_rct])
def test_the_truth_is_neither_in_the_store_nor_in_arrays_or_frame(tmp_path, make):
    data = make(seed=0, n_images=20, to_zarr=tmp_path / "s.zarr")
    time = {"time"} & set(data.arrays.variables)
    with xr.open_zarr(tmp_path / "s.zarr") as store:
        names = {"image", "place", "band", "lon", "lat", "y", "t", "obs_place"} | time
        assert set(store.variables) == names
        assert not store.attrs
        assert not any(variable.attrs for variable in store.variables.values())
    assert {file.name for file in (tmp_path / "s.zarr").iterdir() if file.is_dir()} == names
    for held in (data, make(seed=0, n_images=20)):
        assert set(held.arrays.variables) == {"image", "place", "band", "lon", "lat"} | time
        assert set(held.frame) == {"y", "t", "place"}


def test_a_store_alone_makes_the_same_data(tmp_path):
    made = G.image_rct(seed=4, design="shared", to_zarr=tmp_path / "s.zarr", **SMALL)
    read = ck.CausalData.from_xarray(
        xr.open_zarr(tmp_path / "s.zarr", chunks=None),
        outcome="y",
        treatment="t",
        image="image",
        image_key="obs_place",
    )
    assert read.frame["obs_place"].tolist() == made.frame["place"].tolist()
    assert read.frame[["y", "t"]].equals(made.frame[["y", "t"]])
    assert read.truth is None
    np.testing.assert_array_equal(read.arrays["image"].values, made.arrays["image"].values)


@pytest.mark.parametrize("design", ["motif", "shifted"])
def test_integers_are_off_by_half_a_step_at_most(tmp_path, design):
    more = {**SMALL, "design": design}
    stored = G.image_rct(seed=5, to_zarr=tmp_path / "s.zarr", dtype="uint16", chunk=8, **more)
    exact = G.image_rct(seed=5, **more)
    encoding = stored.arrays["image"].encoding
    assert encoding["dtype"] == np.uint16
    step = encoding["scale_factor"]
    assert step < 1e-3
    error = np.abs(stored.arrays["image"].values - exact.arrays["image"].values)
    # Half a step, and the rounding of float32.
    assert 0.0 < error.max() < 0.5 * step + 1e-5
    assert stored.frame.equals(exact.frame)


def test_integers_of_sequences_too(tmp_path):
    more = {"seed": 5, "n_images": 20, "size": 6}
    stored = G.image_sequence_rct(to_zarr=tmp_path / "s.zarr", dtype="uint16", **more)
    error = stored.arrays["image"] - G.image_sequence_rct(**more).arrays["image"]
    assert np.abs(error).max() < 0.5 * stored.arrays["image"].encoding["scale_factor"] + 1e-5


@pytest.mark.parametrize("design", ["motif", "soft-kernel"])
def test_no_more_than_a_chunk_of_images_is_in_memory(tmp_path, design):
    def peak(n_images):
        tracemalloc.start()
        store = tmp_path / f"{n_images}.zarr"
        more = {"size": 64, "bands": 2, "chunk": 64, "design": design}
        G.image_rct(seed=0, n_images=n_images, to_zarr=store, **more)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(64)
    chunk = 64 * 2 * 64 * 64 * 4
    # The chunk, what xarray writes of it, and what is at work on 16 images.
    assert peak(512) < 4 * chunk


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_overwritten(tmp_path, kind):
    path = tmp_path / "s.zarr"
    if kind == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    with pytest.raises(ArgumentError, match=r"exists and is not an empty folder.*Remove it"):
        G.image_rct(seed=0, to_zarr=path, **SMALL)
    assert (path if kind == "file" else path / "mine").read_text() == "mine"


def test_an_empty_folder_and_a_missing_parent_will_do(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "new" / "s.zarr"):
        same(G.image_rct(seed=0, to_zarr=path, **SMALL), G.image_rct(seed=0, **SMALL))


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        G.image_rct(seed=0, to_zarr=tmp_path / "file" / "s.zarr", **SMALL)


def test_what_fails_on_the_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(scene, images):
        if 12 in images:
            raise MemoryError
        return np.zeros((len(images), *scene.shape), dtype=np.float32)

    monkeypatch.setattr(_Scene, "paint", fail)
    with pytest.raises(MemoryError):
        G.image_rct(seed=0, to_zarr=tmp_path / "s.zarr", chunk=10, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_without_zarr_the_mend_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match=r"image_rct\(to_zarr=.*\.\[images\]"):
        G.image_rct(seed=0, to_zarr=tmp_path / "s.zarr", **SMALL)


def test_boxes_are_kept_in_files(tmp_path):
    data = G.image_rct(seed=6, **SMALL)
    data.save(tmp_path / "d")
    back = ck.CausalData.load(tmp_path / "d")
    np.testing.assert_array_equal(back.truth.image_box, data.truth.image_box)
    assert back.truth.image_box.dtype == data.truth.image_box.dtype
    assert back.arrays["image"].equals(data.arrays["image"])
