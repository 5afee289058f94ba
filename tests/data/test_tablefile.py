"""Tables in parquet files come back bit for bit, with every type of column."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from causalkit.data import CausalData
from causalkit.data.tablefile import read_table, write_table
from causalkit.errors import ArgumentError

# NaN as zero divided by zero gives it on common processors, with the sign bit set.
OTHER_NAN = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
DAYS = pd.date_range("2020-02-28", periods=6)

COLUMNS = {
    "floats": np.array([0.0, -0.0, np.nan, OTHER_NAN, np.inf, 5e-324]),
    "float32": np.array([1, 2, 3, 4, np.nan, 6], dtype=np.float32),
    "int8": np.arange(6, dtype=np.int8),
    "uint64": np.array([0, 1, 2, 3, 4, 2**64 - 1], dtype=np.uint64),
    "bool": np.array([True, False] * 3),
    "text": list("abcdef"),
    "text-with-gaps": pd.Series(["a", None] * 3),
    "text-objects": pd.Series(["a", None] * 3, dtype=object),
    "text-objects-nan": pd.Series(["a", np.nan] * 3, dtype=object),
    "text-na": pd.array(["a", None] * 3, dtype="string"),
    "text-python": pd.array(["a", None] * 3, dtype=pd.StringDtype("python", na_value=np.nan)),
    "text-arrow": pd.array(["a", None] * 3, dtype=pd.ArrowDtype(pa.string())),
    "category": pd.Categorical(list("ababab"), categories=["z", "b", "a"]),
    "ordered": pd.Categorical(list("ab") * 3, categories=["z", "b", "a"], ordered=True),
    "integer-levels": pd.Categorical([3, 1, None] * 2, categories=[7, 3, 1]),
    "boolean-levels": pd.Categorical([True, False] * 3, categories=[True, False]),
    "date-levels": pd.Categorical(DAYS, categories=list(DAYS[::-1]), ordered=True),
    "interval-levels": pd.cut(np.arange(6), 3),
    "period-levels": pd.Categorical(pd.period_range("2020-01", periods=6, freq="M")),
    "object-levels": pd.Categorical(["a", "b"] * 3, categories=pd.Index(["b", "a"], dtype=object)),
    "seconds": DAYS.as_unit("s"),
    "nanoseconds": DAYS.as_unit("ns"),
    "zone": DAYS.tz_localize("Europe/Berlin"),
    "zone-seconds": DAYS.as_unit("s").tz_localize("America/New_York"),
    "offset": DAYS.tz_localize("+05:30"),
    "durations": pd.to_timedelta(np.arange(6), unit="s"),
    "quarters": pd.period_range("2020Q1", periods=6, freq="Q"),
    "half-years": pd.period_range("2020-01", periods=6, freq="6M"),
    "Int64": pd.array([1, None, 2**60 + 1, 4, 5, 6], dtype="Int64"),
    "Float32": pd.array([1, None, 3, 4, 5, 6], dtype="Float32"),
    "boolean": pd.array([True, None, False] * 2, dtype="boolean"),
    "arrow": pd.array([1, None, 3, 4, 5, 6], dtype=pd.ArrowDtype(pa.int32())),
}


def assert_bits(back, frame):
    """Types, levels and bits agree, also the kind of missing values."""
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    for name in frame:
        old, new = frame[name], back[name]
        if old.dtype == object:
            assert list(map(type, old)) == list(map(type, new))
        elif isinstance(old.dtype, np.dtype):
            assert old.to_numpy().tobytes() == new.to_numpy().tobytes()


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_of_column_comes_back_bit_for_bit(name, tmp_path):
    frame = pd.DataFrame({"column": COLUMNS[name]})
    write_table(frame, tmp_path / "table.parquet")
    assert_bits(read_table(tmp_path / "table.parquet"), frame)


@pytest.mark.parametrize("name", COLUMNS)
def test_without_rows_types_and_levels_still_come_back(name, tmp_path):
    frame = pd.DataFrame({"column": COLUMNS[name]}).iloc[:0]
    write_table(frame, tmp_path / "table.parquet")
    assert_bits(read_table(tmp_path / "table.parquet"), frame)


def test_data_with_all_of_them_come_back_from_a_folder_and_from_pickle(tmp_path):
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0, 1] * 3}).assign(**COLUMNS)
    data = CausalData.from_frame(frame, outcome="y", treatment="d", extra=list(COLUMNS))
    data.save(tmp_path / "data")
    for back in (CausalData.load(tmp_path / "data"), pickle.loads(pickle.dumps(data))):
        assert_bits(back.frame, data.frame)
        assert back.digest() == data.digest()


def test_text_categories_can_be_read_by_any_reader(tmp_path):
    frame = pd.DataFrame({"column": COLUMNS["category"], "other": COLUMNS["floats"]})
    write_table(frame, tmp_path / "table.parquet")
    table = pa.parquet.read_table(tmp_path / "table.parquet")
    assert table.column("column").to_pylist() == list("ababab")
    assert pd.read_parquet(tmp_path / "table.parquet")["other"][5] == 5e-324


def test_row_labels_are_left_out(tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"])
    write_table(frame, tmp_path / "table.parquet")
    assert_bits(read_table(tmp_path / "table.parquet"), frame.reset_index(drop=True))
    assert pa.parquet.read_schema(tmp_path / "table.parquet").names == ["x"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.Series([1, "a"], dtype=object), r"column 'odd' \(object\) cannot .*astype\(str\)"),
        (pd.arrays.SparseArray([0, 1]), r"column 'odd' \(Sparse\[int64, 0\]\) cannot be saved"),
        (np.array([1j, 2]), r"column 'odd' \(complex128\) cannot be saved"),
        (pd.Series([None, 2**60 + 1], dtype=object), "would not come back as it is"),
        (pd.Series([None, np.nan], dtype=object), "would not come back as it is"),
    ],
    ids=["mixed", "sparse", "complex", "digits", "holes"],
)
def test_a_column_that_would_change_is_refused_by_name(values, message, tmp_path):
    frame = pd.DataFrame({"fine": [1.0, 2.0], "odd": values})
    with pytest.raises(ArgumentError, match=message):
        write_table(frame, tmp_path / "table.parquet")


def test_columns_are_named_by_text_each_once(tmp_path):
    with pytest.raises(ArgumentError, match="table 'e' has a column named 1, which is no text"):
        write_table(pd.DataFrame({1: [2]}), tmp_path / "e.parquet")
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ArgumentError, match="table 'e' has a column named 'a' twice"):
        write_table(twice, tmp_path / "e.parquet")
