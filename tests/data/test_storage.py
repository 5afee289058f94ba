"""Saved data come back bit for bit, or are refused before anything is written."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from sklearn.impute import KNNImputer

from causalkit.data import CausalData, Truth, storage
from causalkit.data.tablefile import read_table
from causalkit.errors import ArgumentError, MissingDependencyError, StorageError

DAYS = pd.date_range("2020-02-28", periods=6)


def made(**columns):
    """Six rows with some further columns."""
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0, 1] * 3}).assign(**columns)
    return CausalData.from_frame(frame, outcome="y", treatment="d", extra=list(columns))


def assert_same(back, data):
    """Content, types and bits agree."""
    assert back.digest() == data.digest()
    pd.testing.assert_frame_equal(back.frame, data.frame, check_exact=True)
    for name in data.frame:
        old, new = data.frame[name], back.frame[name]
        if old.dtype == object:
            assert list(map(type, old)) == list(map(type, new))
        elif isinstance(old.dtype, np.dtype):
            assert old.to_numpy().tobytes() == new.to_numpy().tobytes()
    for name in ("roles", "missing", "dropped", "freq", "name", "citation", "published"):
        assert getattr(back, name) == getattr(data, name)


@pytest.fixture
def rich():
    """Panel with every kind of fact."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=24),
            "d": pd.Categorical(["none", "some"] * 12),
            "x": rng.normal(size=24),
            "w": rng.uniform(1, 2, 24),
            "unit": np.repeat([f"firm {i}" for i in range(6)], 4),
            "month": pd.PeriodIndex(np.tile(pd.period_range("2020-01", periods=4, freq="M"), 6)),
        }
    )
    frame.loc[[2, 7], "y"] = np.nan
    edges = pd.DataFrame({"src": [0, 1], "dst": [1, 0], "strength": [0.5, np.nan]}, index=[7, 3])
    truth = Truth(
        {"ate": 0.5, "late": np.nan},
        cate=rng.normal(size=24),
        cluster_labels=rng.integers(0, 3, 24),
        valid_instruments=np.array([True, False]),
        scope="sample",
    )
    data = CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates="x",
        unit="unit",
        time="month",
        cluster="unit",
        weights="w",
        weight_kind="sampling",
        graph="trade/with spaces",
        tables={"trade/with spaces": edges},
        truth=truth,
        missing="drop",
        name="made up",
    )
    published = {"estimate": 0.1, "se": None, "others": {"Ä": (1, np.inf)}, "dates": [DAYS[0]]}
    return replace(data, citation="Doe (2020)", published=published)


def test_every_fact_comes_back(rich, tmp_path):
    rich.save(tmp_path / "deep" / "data")
    back = CausalData.load(tmp_path / "deep" / "data")
    assert_same(back, rich)
    assert back.dropped == {"y missing": 2}
    assert back.dropped_ids == rich.dropped_ids
    assert isinstance(back.dropped_ids[0][1], pd.Period)
    assert back.truth.scope == "sample"
    assert back.truth.estimands["ate"] == 0.5
    assert np.isnan(back.truth.estimands["late"])
    for name in ("cate", "cluster_labels", "valid_instruments"):
        np.testing.assert_array_equal(getattr(back.truth, name), getattr(rich.truth, name))
        assert getattr(back.truth, name).dtype == getattr(rich.truth, name).dtype
    (name,) = rich.tables
    pd.testing.assert_frame_equal(back.tables[name], rich.tables[name].reset_index(drop=True))
    np.testing.assert_array_equal(back.periods(), rich.periods())


@pytest.mark.parametrize(
    "label",
    [
        7,
        7.5,
        np.nan,
        "seven",
        True,
        pd.Timestamp("2020-01-01 12:00", tz="Europe/Berlin"),
        pd.Timestamp("2020-01-01").as_unit("s"),
        pd.NaT,
        pd.NA,
        None,
        (1, (2.0, "three")),
    ],
    ids=str,
)
def test_identities_of_dropped_rows_come_back_as_they_were(label, tmp_path):
    data = replace(made(), dropped_ids=(label, (label, 1)))
    data.save(tmp_path / "data")
    (back, pair) = CausalData.load(tmp_path / "data").dropped_ids
    assert type(back) is type(label)
    assert back is label or back == label or (back != back and label != label)
    assert pair[1] == 1
    if isinstance(label, pd.Timestamp):
        assert (back.tz, back.unit) == (label.tz, label.unit)


def test_a_formula_is_learned_again_from_its_own_table(tmp_path):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=50),
            "d": rng.integers(0, 2, 50),
            "x": rng.uniform(0, 1, 50),
            "g": rng.choice(["a", "b", "c"], 50),
        }
    )
    data = CausalData.from_formula("y ~ d | bs(x, 5) + center(x):g", frame)
    part = data.subset(range(20))
    part.save(tmp_path / "data")
    back = CausalData.load(tmp_path / "data")
    assert_same(back, part)
    assert back.spec.formula == data.spec.formula
    new = pd.DataFrame({"x": [frame["x"].min(), 0.5, frame["x"].max()], "g": ["c", "a", "b"]})
    np.testing.assert_array_equal(
        back.like(new).matrix("covariates"), data.like(new).matrix("covariates")
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            lambda: replace(made(), missing=KNNImputer()),
            r"imputer \(KNNImputer\(\)\), which only pickle.*missing='native'",
        ),
        (
            lambda: replace(made(), truth=Truth({"ate": 1.0}, mu0=len, dose_response=max)),
            r"function \(mu0, dose_response\).*data\.blind\(\)",
        ),
        (
            lambda: replace(made(), truth=Truth({}, cate=np.array([{}] * 6))),
            "truth.cate holds objects such as {}",
        ),
        (
            lambda: replace(made(), published={"source": object}),
            "published holds <class 'object'>",
        ),
        (lambda: replace(made(), published={1: 2}), "published has the key 1"),
        (
            lambda: replace(made(), tables={"e": pd.DataFrame({1: [2]})}),
            "table 'e' has a column named 1, which is no text",
        ),
    ],
    ids=[
        *("imputer", "function", "objects", "published", "key", "table"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_left_behind(data, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        data().save(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_a_folder_with_anything_else_is_not_overwritten(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ArgumentError, match=r"mine' holds other files \('thesis.tex'\), which are"):
        made().save(folder)
    with pytest.raises(ArgumentError, match=r"thesis.tex' is a file; name a folder"):
        made().save(folder / "thesis.tex")
    (tmp_path / "store" / "arrays.zarr").mkdir(parents=True)
    (tmp_path / "store" / "arrays.zarr" / "0.0").write_text("someone's images")
    with pytest.raises(ArgumentError, match=r"holds other files \('arrays.zarr'\)"):
        made().save(tmp_path / "store")
    (folder / "roles.json").write_text('{"roles": "of a play"}')
    with pytest.raises(ArgumentError, match="holds other files"):
        made().save(folder)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_file_beside_saved_data_is_no_obstacle_to_reading_but_is_not_deleted(tmp_path):
    data = made(x=1.0)
    data.save(tmp_path / "data")
    (tmp_path / "data" / "notes.txt").write_text("years of work")
    assert_same(CausalData.load(tmp_path / "data"), data)
    with pytest.raises(ArgumentError, match=r"holds other files \('notes.txt'\)"):
        made(x=2.0).save(tmp_path / "data")
    assert (tmp_path / "data" / "notes.txt").read_text() == "years of work"


def test_an_empty_folder_is_filled_and_saved_data_are_replaced_whole(rich, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rich.save(folder)
    made(new=1.5).save(folder)
    assert_same(CausalData.load(folder), made(new=1.5))
    assert sorted(file.name for file in folder.iterdir()) == ["data.parquet", "roles.json"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_save_that_fails_leaves_the_former_data(rich, tmp_path, monkeypatch):
    rich.save(tmp_path / "data")

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(pa.parquet, "write_table", fail)
    with pytest.raises(StorageError, match=r"cannot write .*data: no space left"):
        made().save(tmp_path / "data")
    monkeypatch.undo()
    assert_same(CausalData.load(tmp_path / "data"), rich)
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_rename_that_fails_puts_the_former_data_back(rich, tmp_path, monkeypatch):
    rich.save(tmp_path / "data")
    rename = Path.rename

    def fail(self, target):
        if ".new-" in self.name:
            raise OSError("lost the disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(StorageError, match=r"cannot write .*data: lost the disk"):
        made().save(tmp_path / "data")
    assert_same(CausalData.load(tmp_path / "data"), rich)
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_after_a_kill_between_two_folders_the_message_names_the_former(rich, tmp_path, monkeypatch):
    folder, rename = tmp_path / "data", Path.rename
    rich.save(folder)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(
            Path, "rename", lambda a, b: os._exit(9) if ".new-" in a.name else rename(a, b)
        )
        made().save(folder)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with pytest.raises(ArgumentError, match=r"rename that folder to 'data'") as said:
        CausalData.load(folder)
    Path(re.search(r"whole in '(.*?)';", str(said.value))[1]).rename(folder)
    assert_same(CausalData.load(folder), rich)


def test_what_is_written_is_read_back_before_it_counts(rich, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "read_table", lambda path: read_table(path).iloc[::-1])
    with pytest.raises(ArgumentError, match="would not come back from a folder as they are"):
        rich.save(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def edit(folder, **changes):
    """Change entries of ``roles.json``."""
    file = folder / "roles.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(facts | changes), encoding="utf-8")


def test_another_layout_version_is_refused_by_number(tmp_path):
    made().save(tmp_path / "data")
    edit(tmp_path / "data", schema=99, causalkit="9.9.9")
    with pytest.raises(ArgumentError, match=r"layout version 99, written by causalkit 9\.9\.9"):
        CausalData.load(tmp_path / "data")


@pytest.mark.parametrize(
    "file", ["data.parquet", "truth.npz", "tables/trade%2Fwith%20spaces.parquet"]
)
def test_a_file_that_was_altered_or_is_gone_is_named(rich, tmp_path, file):
    rich.save(tmp_path / "data")
    place = tmp_path / "data" / file
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with pytest.raises(ArgumentError, match=f"altered after saving: '{file}' is not what"):
        CausalData.load(tmp_path / "data")
    place.unlink()
    with pytest.raises(ArgumentError, match=f"altered after saving: '{file}' is not what"):
        CausalData.load(tmp_path / "data")


def test_roles_that_were_edited_by_hand_do_not_match_the_digest(rich, tmp_path):
    rich.save(tmp_path / "data")
    facts = json.loads((tmp_path / "data" / "roles.json").read_text(encoding="utf-8"))
    edit(tmp_path / "data", roles=facts["roles"] | {"covariates": [], "extra": ["x"]})
    with pytest.raises(ArgumentError, match="does not have the digest that was saved with it"):
        CausalData.load(tmp_path / "data")


@pytest.mark.parametrize("content", [None, "", "[1]", '{"format": "other"}'])
def test_a_folder_without_saved_data_is_refused_with_the_mend(content, tmp_path):
    if content is not None:
        (tmp_path / "roles.json").write_text(content)
    with pytest.raises(ArgumentError, match=r"holds no saved causalkit data.*CausalData\.scan"):
        CausalData.load(tmp_path)


def test_saved_data_can_be_moved(rich, tmp_path):
    rich.save(tmp_path / "data")
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    assert_same(CausalData.load(str(tmp_path / "elsewhere")), rich)


def with_image():
    """Six rows with images, of which a value is missing, and dates by step."""
    rng = np.random.default_rng(1)
    tiles = rng.normal(size=(6, 2, 3)).astype("float32")
    tiles[0, 0, 0] = np.nan
    arrays = xr.Dataset(
        {
            "tile": (("obs", "step", "px"), tiles, {"unit": "m"}),
            "id": ("obs", 2**60 + np.arange(6)),
        },
        coords={"obs": list("fedcba"), "step": DAYS[:2]},
        attrs={"source": "made up"},
    )
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0, 1] * 3, "key": list("abcdef")})
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        unit="key",
        image="tile",
        arrays=arrays,
        max_nan_pixels=0.5,
    )


def test_arrays_without_zarr_name_the_extra_and_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match=r'zarr.*pip install "\.\[images\]"'):
        with_image().save(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_arrays_come_back_with_types_and_coordinates(tmp_path):
    pytest.importorskip("zarr")
    data = with_image()
    data.save(tmp_path / "data")
    back = CausalData.load(tmp_path / "data")
    assert_same(back, data)
    xr.testing.assert_identical(back.arrays, data.arrays)
    assert {k: v.dtype for k, v in back.arrays.variables.items()} == {
        k: v.dtype for k, v in data.arrays.variables.items()
    }


def test_arrays_that_were_lazy_stay_so(tmp_path):
    pytest.importorskip("zarr")
    with_image().arrays.to_zarr(tmp_path / "store", zarr_format=2)
    lazy = xr.open_zarr(tmp_path / "store", chunks=None)
    data = CausalData.from_frame(
        with_image().frame, outcome="y", treatment="d", unit="key", image="tile", arrays=lazy
    )
    data.save(tmp_path / "data")
    for _ in range(2):
        back = CausalData.load(tmp_path / "data")
        assert not back.arrays["tile"].variable._in_memory
        assert back.digest() == data.digest()
        back.save(tmp_path / "data")
    np.testing.assert_array_equal(back.arrays["tile"], with_image().arrays["tile"])


def test_the_errors_of_a_simulated_truth_come_back(tmp_path):
    truth = Truth({"ate": 1.0}, mcse={"ate": 0.1})
    replace(made(), truth=truth).save(tmp_path / "saved")
    assert CausalData.load(tmp_path / "saved").truth.mcse == {"ate": 0.1}
