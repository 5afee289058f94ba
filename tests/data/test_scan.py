"""Parquet files and folders give the data that the table itself gives, role columns only."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causalkit.data import CausalData
from causalkit.data.parquet import ParquetColumns
from causalkit.errors import ArgumentError, DataError

ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x", "g"], "unit": "unit"}


@pytest.fixture
def frame():
    """Ten rows with a category and a column without a role."""
    rng = np.random.default_rng(6)
    return pd.DataFrame(
        {
            "y": rng.normal(size=10),
            "d": rng.integers(0, 2, 10),
            "x": rng.normal(size=10),
            "g": pd.Categorical(list("bacbacbacb")),
            "unit": np.repeat(range(5), 2),
            "unused": rng.normal(size=10),
        }
    )


def test_a_file_gives_the_data_of_its_table(frame, tmp_path):
    frame.to_parquet(tmp_path / "panel.parquet")
    scanned = CausalData.scan(tmp_path / "panel.parquet", **ROLES)
    assert scanned.digest() == CausalData.from_frame(frame, **ROLES).digest()
    assert "unused" not in scanned.frame


def test_only_columns_with_a_role_are_read(frame, tmp_path, monkeypatch):
    frame.to_parquet(tmp_path / "panel.parquet")
    read = []
    whole = ParquetColumns.read

    def spy(self, wanted=None):
        made = whole(self, wanted)
        read.extend(made.columns)
        return made

    monkeypatch.setattr(ParquetColumns, "read", spy)
    CausalData.scan(tmp_path / "panel.parquet", **ROLES)
    assert read == ["y", "d", "x", "g", "unit"]


def test_a_folder_of_files_is_one_table_and_its_subfolders_are_columns(frame, tmp_path):
    for unit, rows in frame.groupby("unit"):
        folder = tmp_path / f"unit={unit}"
        folder.mkdir()
        rows.drop(columns="unit").to_parquet(folder / "part.parquet", index=False)
    scanned = CausalData.scan(tmp_path, **ROLES)
    np.testing.assert_array_equal(
        scanned.matrix("covariates"), CausalData.from_frame(frame, **ROLES).matrix("covariates")
    )
    assert scanned.codes("unit").tolist() == frame["unit"].tolist()


def test_row_labels_that_pandas_stored_are_columns_here(frame, tmp_path):
    frame.set_index("unit").to_parquet(tmp_path / "panel.parquet")
    scanned = CausalData.scan(tmp_path / "panel.parquet", **ROLES)
    assert scanned.codes("unit").tolist() == frame["unit"].tolist()
    assert scanned.frame.index.tolist() == list(range(10))


def test_problems_are_those_of_any_table(frame, tmp_path):
    frame.assign(x=frame["x"].where(frame.index != 2)).to_parquet(tmp_path / "panel.parquet")
    with pytest.raises(DataError) as caught:
        CausalData.scan(tmp_path / "panel.parquet", **(ROLES | {"strata": "unusd"}))
    assert "Did you mean 'unused'" in str(caught.value)
    with pytest.raises(DataError, match=r"E07.*'x'.*row 2"):
        CausalData.scan(tmp_path / "panel.parquet", **ROLES)


def test_what_is_no_parquet_is_refused_with_the_mend(frame, tmp_path):
    with pytest.raises(ArgumentError, match="there is no file or folder"):
        CausalData.scan(tmp_path / "absent.parquet", **ROLES)
    frame.to_csv(tmp_path / "panel.csv")
    with pytest.raises(ArgumentError, match=r"as parquet: .*CausalData\.from_frame"):
        CausalData.scan(tmp_path / "panel.csv", **ROLES)


def test_saved_data_are_to_be_loaded(frame, tmp_path):
    CausalData.from_frame(frame, **ROLES).save(tmp_path / "saved")
    with pytest.raises(ArgumentError, match=r"saved data with roles; use CausalData\.load"):
        CausalData.scan(tmp_path / "saved", **ROLES)


def test_chunks_of_a_file_are_joined(frame, tmp_path):
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "panel.parquet", row_group_size=3)
    scanned = CausalData.scan(tmp_path / "panel.parquet", **ROLES)
    assert scanned.digest() == CausalData.from_frame(frame, **ROLES).digest()
