"""Curves of rows that go to a store block by block."""

import numpy as np
import pytest

from causalkit.errors import ArgumentError

pytest.importorskip("zarr", reason="curves on disk need zarr")
BUDGET = 2**21  # some tens of rows at once


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("causalkit.transtee.curve_store.BLOCK", 2**11)


@pytest.mark.usefixtures("small_blocks")
def test_curves_in_a_store_are_those_in_memory(dose_fit, doses, tmp_path):
    kept = dose_fit.dose_response(doses, grid=9)
    stored = dose_fit.dose_response(doses, grid=9, to_zarr=tmp_path / "a", memory_budget=BUDGET)
    assert set(stored) == set(kept)
    for name in kept:
        assert stored[name].dims == kept[name].dims
        np.testing.assert_allclose(stored[name], kept[name], atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(stored["obs"], kept["obs"])
    np.testing.assert_array_equal(stored["dose"], kept["dose"])
    assert stored.attrs["interval"] == kept.attrs["interval"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.usefixtures("small_blocks")
def test_a_store_is_written_in_blocks_and_read_when_asked_for(dose_fit, doses, tmp_path):
    stored = dose_fit.dose_response(doses, grid=9, to_zarr=tmp_path / "a", memory_budget=BUDGET)
    rows, width = stored["individual"].encoding["chunks"]
    assert (width, rows < len(doses) / 3) == (9, True)
    assert not stored["individual"].variable._in_memory


def test_pieces_wait_until_there_is_enough_for_a_block(dose_fit, doses, tmp_path):
    stored = dose_fit.dose_response(doses, grid=9, to_zarr=tmp_path / "a", memory_budget=BUDGET)
    assert stored["individual"].encoding["chunks"] == (len(doses), 9)


def test_nothing_is_overwritten_and_nothing_is_left_half(dose_fit, doses, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.mkdir()
    (path / "mine").write_text("")
    with pytest.raises(ArgumentError, match="nothing is overwritten"):
        dose_fit.dose_response(doses, to_zarr=path)
    with pytest.raises(ArgumentError, match="individual=False"):
        dose_fit.dose_response(doses, to_zarr=tmp_path / "b", individual=False)

    def full(store, block):
        store.folder.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("causalkit.transtee.curve_store.CurveStore.add", full)
    with pytest.raises(KeyboardInterrupt):
        dose_fit.dose_response(doses, to_zarr=tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_named_alike_is_left_alone(dose_fit, doses, tmp_path):
    mine = tmp_path / "curves.new" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    dose_fit.dose_response(doses, grid=3, to_zarr=tmp_path / "deep" / "er" / "curves")
    dose_fit.dose_response(doses, grid=3, to_zarr=tmp_path / "curves")
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "curves.new", "deep"]
