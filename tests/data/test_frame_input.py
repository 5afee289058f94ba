"""Any table gives the same data, and nobody else's changes reach them."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError

ROLES = {
    "outcome": "y",
    "treatment": "d",
    "covariates": ["x", "g", "b"],
    "unit": "id",
    "time": "t",
}


def table():
    """Numbers, booleans, text, a category whose levels do not appear in sorted order, dates."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=8),
            "d": [True, False, True, False, False, True, True, False],
            "x": rng.normal(size=8),
            "g": pd.Categorical(list("cabbacab")),
            "b": rng.integers(0, 9, 8),
            "id": ["u", "u", "v", "v", "w", "w", "z", "z"],
            "t": pd.to_datetime(["2020-01-01", "2021-01-01"] * 4),
            "unused": [object()] * 8,
        }
    )


def usable():
    """The same without the column that other libraries cannot hold."""
    return table().drop(columns="unused")


def as_polars():
    """Polars table with a categorical column."""
    frame = usable()
    text = frame.assign(g=frame["g"].astype(str))
    return pl.from_pandas(text).with_columns(pl.col("g").cast(pl.Categorical))


@pytest.mark.parametrize(
    "make",
    [as_polars, lambda: as_polars().lazy(), lambda: pa.Table.from_pandas(usable())],
    ids=["polars", "polars-lazy", "pyarrow"],
)
def test_every_library_gives_the_data_that_pandas_gives(make):
    ours = CausalData.from_frame(table(), **ROLES)
    theirs = CausalData.from_frame(make(), **ROLES)
    assert theirs.matrix_names("covariates") == ("x", "g=b", "g=c", "b")
    for role in ("outcome", "treatment", "covariates"):
        np.testing.assert_array_equal(theirs.matrix(role), ours.matrix(role))
    for role in ("unit", "time"):
        np.testing.assert_array_equal(theirs.codes(role), ours.codes(role))
    assert theirs.digest() == ours.digest()


@pytest.mark.parametrize("day", [pa.timestamp("us"), pa.timestamp("s", "UTC"), pa.date32()])
def test_columns_of_types_of_arrow_are_those_of_pandas(day):
    kinds = {"id": pa.dictionary(pa.int8(), pa.string()), "t": day}
    table_of_arrow = pa.Table.from_pandas(usable())
    for name, kind in kinds.items():
        column = table_of_arrow[name].cast(kind)
        place = table_of_arrow.column_names.index(name)
        table_of_arrow = table_of_arrow.set_column(place, name, column)
    frame = table_of_arrow.to_pandas(types_mapper=pd.ArrowDtype)
    assert {str(frame[name].dtype) for name in kinds} == {f"{k}[pyarrow]" for k in kinds.values()}
    theirs = CausalData.from_frame(frame, **ROLES, freq="Y")
    ours = CausalData.from_frame(table(), **ROLES, freq="Y")
    for role in ("outcome", "treatment", "covariates"):
        np.testing.assert_array_equal(theirs.matrix(role), ours.matrix(role))
    np.testing.assert_array_equal(theirs.codes("unit"), ours.codes("unit"))
    np.testing.assert_array_equal(theirs.periods(), ours.periods())


def test_only_columns_with_a_role_are_held():
    assert "unused" not in CausalData.from_frame(table(), **ROLES).frame


def test_a_lazy_table_is_read_for_those_columns_only():
    def fail(column):
        raise AssertionError("an unused column was read")

    bomb = pl.col("x").map_batches(fail, return_dtype=pl.Float64)
    lazy = as_polars().lazy().with_columns(bomb=bomb)
    assert CausalData.from_frame(lazy, **ROLES).n == 8


def test_row_labels_are_ignored():
    shuffled = table().set_index(np.array([5, 3, 8, 1, 2, 9, 4, 7]))
    data = CausalData.from_frame(shuffled, **ROLES)
    assert data.frame.index.tolist() == list(range(8))
    np.testing.assert_array_equal(data.column("outcome"), table()["y"])


def test_a_multiindex_is_refused_with_the_mend():
    with pytest.raises(ArgumentError, match=r"MultiIndex \(id, t\).*df\.reset_index\(\)"):
        CausalData.from_frame(table().set_index(["id", "t"]), **ROLES)


def test_columns_of_several_levels_are_refused():
    wide = table()[["y", "d"]]
    wide.columns = pd.MultiIndex.from_tuples([("a", "y"), ("a", "d")])
    with pytest.raises(ArgumentError, match="columns of several levels"):
        CausalData.from_frame(wide, outcome="y", treatment="d")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (np.zeros((3, 2)), "from_arrays"),
        ("panel.parquet", "CausalData.scan"),
        ({"y": [1]}, "from_arrays"),
    ],
)
def test_what_is_no_table_is_refused_with_a_hint(given, hint):
    with pytest.raises(ArgumentTypeError, match=f"expected a pandas.*{hint}"):
        CausalData.from_frame(given, outcome="y", treatment="d")


def change_by_location(frame):
    frame.loc[0, "x"] = 99.0


def change_in_place(frame):
    frame["x"] += 1.0


def change_the_category(frame):
    frame["g"] = frame["g"].cat.rename_categories({"a": "changed"})


@pytest.mark.parametrize("change", [change_by_location, change_in_place, change_the_category])
def test_later_changes_of_the_users_table_are_not_seen(change):
    frame = usable()
    data = CausalData.from_frame(frame, **ROLES)
    before = data.frame.copy(deep=True)
    change(frame)
    pd.testing.assert_frame_equal(data.frame, before)
    np.testing.assert_array_equal(data.matrix("covariates")[:, 0], before["x"])


def test_changes_of_what_is_handed_out_are_not_seen():
    data = CausalData.from_frame(usable(), **ROLES)
    before = data.digest()
    handed = data.frame
    handed.loc[:, "x"] = 0.0
    handed["new"] = 1
    assert "new" not in data.frame
    assert data.subset(slice(None)).digest() == before
    with pytest.raises(ValueError, match="read-only"):
        data.matrix("covariates")[0, 0] = 1.0
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        data.matrix("covariates").setflags(write=True)


def test_tables_are_handed_out_the_same_way():
    edges = pd.DataFrame({"src": [0, 1], "dst": [1, 0]})
    data = CausalData.from_frame(
        usable(), outcome="y", treatment="d", graph="edges", tables={"edges": edges}
    )
    edges.loc[0, "src"] = 7
    handed = data.tables["edges"]
    handed.loc[1, "dst"] = 7
    assert data.tables["edges"].to_numpy().tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DataError, match=r"E01.*'edge'.*Did you mean 'edges'"):
        CausalData.from_frame(
            usable(), outcome="y", treatment="d", graph="edge", tables={"edges": edges}
        )


def test_tables_beside_the_data_may_be_of_any_library_and_nothing_else():
    edges = pl.DataFrame({"src": [0, 1], "dst": [1, 0]})
    roles = {"outcome": "y", "treatment": "d", "graph": "edges"}
    data = CausalData.from_frame(usable(), **roles, tables={"edges": edges})
    assert data.tables["edges"].to_numpy().tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ArgumentTypeError, match=r"tables\['edges'\]: expected .* got ndarray"):
        CausalData.from_frame(usable(), **roles, tables={"edges": edges.to_numpy()})
    nested = edges.to_pandas().set_index(["src", "dst"])
    with pytest.raises(ArgumentError, match=r"tables\['edges'\]: the table has a MultiIndex"):
        CausalData.from_frame(usable(), **roles, tables={"edges": nested})


def test_objects_that_are_booleans_decimals_or_dates_get_their_type():
    frame = pd.DataFrame(
        {
            "y": [Decimal("1.5"), Decimal("2.5"), Decimal("4")],
            "d": pd.Series([True, None, False], dtype=object),
            "t": [datetime.date(2020, 1, day) for day in (1, 2, 3)],
        }
    )
    data = CausalData.from_frame(frame, outcome="y", treatment="d", time="t", missing="drop")
    assert data.column("outcome").tolist() == [1.5, 4.0]
    assert data.column("treatment").tolist() == [1.0, 0.0]
    assert pd.api.types.is_datetime64_any_dtype(data.frame["t"])


def test_arrays_get_names_and_roles():
    rng = np.random.default_rng(1)
    y, t, x, z = rng.normal(size=9), np.arange(9) % 2, rng.normal(size=(9, 2)), rng.normal(size=9)
    data = CausalData.from_arrays(y, t, x, z, unit=np.repeat([1, 2, 3], 3))
    assert data.roles.covariates == ("x1", "x2")
    assert data.roles.unit == "unit"
    np.testing.assert_array_equal(data.matrix("covariates"), x)
    np.testing.assert_array_equal(data.matrix("instruments")[:, 0], z)
    named = CausalData.from_arrays(y, t, x, names={"covariates": ["age", "size"]})
    assert named.roles.covariates == ("age", "size")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((range(4)), [0, 1, 0]), "shape .3,.; expected 4 rows"),
        ((np.zeros((2, 2, 2)), [0, 1]), "outcome has shape .2, 2, 2.; expected one or two dim"),
    ],
)
def test_arrays_of_other_shapes_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        CausalData.from_arrays(*arguments)


def test_an_xarray_dataset_gives_columns_and_images():
    import xarray as xr

    ds = xr.Dataset(
        {
            "y": ("obs", [1.0, 2.0, 4.0]),
            "d": ("obs", [0, 1, 1]),
            "tile": (("obs", "px"), np.arange(6.0).reshape(3, 2)),
        },
        coords={"obs": ["c", "a", "b"]},
    )
    data = CausalData.from_xarray(ds, outcome="y", treatment="d", unit="obs", image="tile")
    assert data.frame["obs"].tolist() == ["c", "a", "b"]
    np.testing.assert_array_equal(data.arrays["tile"], ds["tile"])
    with pytest.raises(ArgumentError, match="no 'obs'; rename"):
        CausalData.from_xarray(ds.rename(obs="row"), outcome="y", treatment="d")


def test_columns_of_an_array_of_several_types_keep_theirs():
    x = pd.DataFrame(
        {
            "age": [30, 40, 50, 60],
            "old": [True, False, False, True],
            "g": pd.Categorical(list("abca")),
        }
    )
    data = CausalData.from_arrays([1.0, 2.0, 3.0, 5.0], [0, 1, 0, 1], x)
    expected = [[30, 1, 0, 0], [40, 0, 1, 0], [50, 0, 0, 1], [60, 1, 0, 0]]
    assert data.matrix("covariates").tolist() == expected


def test_numbers_in_columns_of_objects_are_numbers():
    frame = pd.DataFrame(
        {"y": [1.5, None, 3.0, 4.0], "d": [0, 1, 0, 1], "x": [1, 2, 4, 3]}, dtype=object
    )
    data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x", missing="drop")
    assert data.column("outcome").tolist() == [1.5, 3.0, 4.0]
    assert data.matrix("covariates").ravel().tolist() == [1.0, 4.0, 3.0]


def test_an_infinite_time_is_refused():
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0], "d": [0, 1, 0], "t": [1.0, np.inf, 2.0]})
    with pytest.raises(DataError, match=r"\[E08-inf\] column 't' is infinite in row 1"):
        CausalData.from_frame(frame, outcome="y", treatment="d", unit=None, time="t")


def test_objects_that_no_column_of_numbers_holds_stay_as_they_are():
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "d": [0, 1, 0, 1]})
    frame["id"] = pd.Series([2**63 + k for k in range(4)], dtype=object)
    data = CausalData.from_frame(frame, outcome="y", treatment="d", unit="id")
    assert data.frame["id"].tolist() == frame["id"].tolist()
    frame["x"] = pd.Series([pd.NA, 0.5, 1.5, 0.25], dtype=object)
    found = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x", missing="drop")
    assert found.matrix("covariates").ravel().tolist() == [0.5, 1.5, 0.25]
