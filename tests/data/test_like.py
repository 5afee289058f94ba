"""Further rows with all that they bring: columns, arrays and tables, encoded as the data were."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError, DroppedRowsWarning

ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x", "g"], "unit": "id"}
N = 8


def table(n=N, start=0):
    rng = np.random.default_rng(start)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": np.arange(n) % 2,
            "x": rng.normal(size=n),
            "g": pd.Categorical(["a", "b", "b", "a"] * (n // 4)),
            "id": [f"u{start + k}" for k in range(n)],
            "farm": [f"f{start + k}" for k in range(n)],
            "text": [f"note {start + k}" for k in range(n)],
        }
    )


def steps(n=N, start=0, length=3):
    values = np.arange(n * length * 2, dtype=np.float32).reshape(n, length, 2) + start
    return xr.DataArray(
        values,
        dims=("obs", "step", "feature"),
        coords={"obs": [f"u{start + k}" for k in range(n)][::-1], "feature": ["pulse", "heat"]},
        name="visits",
    )


def pictures(n=N, start=0):
    values = np.arange(n * 2 * 9, dtype=np.float32).reshape(n, 2, 3, 3) + start
    coords = {"obs": [f"u{start + k}" for k in range(n)], "band": ["red", "nir"]}
    return xr.DataArray(values, dims=("obs", "band", "y", "x"), coords=coords, name="tile")


def graphs(n=N, start=0):
    names = [f"f{start + k}" for k in range(n)]
    nodes = pd.DataFrame({"farm": np.repeat(names, 2), "node": [0, 1] * n, "area": 1.0})
    return {
        "farm_nodes": nodes,
        "farm_edges": pd.DataFrame({"farm": names, "source": 0, "target": 1}),
    }


def visited(**more):
    made = {"sequence": "visits", "arrays": {"visits": steps()}} | ROLES | more
    return CausalData.from_frame(table(), **made)


def pictured(**more):
    made = {"image": "tile", "arrays": pictures().to_dataset()} | ROLES | more
    return CausalData.from_frame(table(), **made)


def networked(start=0):
    roles = ROLES | {"extra": "farm", "graph": "farm_edges", "tables": graphs(start=start)}
    return CausalData.from_frame(table(start=start), **roles)


def structured():
    items = pd.DataFrame({"drug": ["p", "q", "r"], "size": [1.0, 2.0, 3.0]})
    frame = table().assign(drug=list("pqpqpqpq"))
    roles = ROLES | {"treatment": "drug", "kinds": "structured"}
    return CausalData.from_frame(frame, tables={"drug_vectors": items}, **roles)


@pytest.mark.parametrize(
    "data",
    [
        visited(),
        visited(text="text"),
        visited(unit=None, arrays={"visits": steps().drop_vars("obs")}),
        pictured(),
        networked(),
        structured(),
        CausalData.from_formula(
            "y ~ d | C(g) + bs(x, 4)",
            table(),
            unit="id",
            extra="farm",
            sequence="visits",
            arrays={"visits": steps()},
            graph="farm_edges",
            tables=graphs(),
        ),
    ],
    ids=["sequence", "text", "without-unit", "image", "graph", "structured", "formula"],
)
def test_the_rows_of_the_data_become_the_data_again(data):
    frame = data.frame if data.spec is None else table()
    arrays = {} if data.arrays is None else {"arrays": data.arrays}
    made = data.like(frame, tables=data.tables, **arrays)
    assert made.digest() == data.digest()
    assert made.roles == data.roles


def shared():
    arrays = pictures().rename(obs="where").assign_coords(where=table()["farm"].to_numpy())
    return CausalData.from_frame(
        table(), image="tile", image_key="farm", arrays=arrays.to_dataset(), **ROLES
    )


def test_images_that_rows_share_are_found_by_their_key():
    data = shared()
    assert data.like(data.frame, arrays=data.arrays).digest() == data.digest()
    with pytest.raises(DataError, match=r"E01.*no column 'farm' \(named as image_key\)"):
        data.like(data.frame.drop(columns="farm"), arrays=data.arrays)
    with pytest.raises(DataError, match=r"E14.*1 of 8 rows name an image in 'farm' .* 'far'"):
        data.like(data.frame.assign(farm=["far", *data.frame["farm"][1:]]), arrays=data.arrays)


def test_new_units_are_as_those_of_data_built_from_them():
    frame = table(start=20)
    for data, arrays, built in (
        (visited(), {"visits": steps(start=20)}, {"sequence": "visits"}),
        (pictured(), pictures(start=20).to_dataset(), {"image": "tile"}),
    ):
        alone = CausalData.from_frame(frame, arrays=arrays, **built, **ROLES)
        assert data.like(frame, arrays=arrays).digest() == alone.digest()
    made = networked().like(frame, tables=graphs(start=20))
    assert made.digest() == networked(start=20).digest()


def test_a_dataset_is_read_as_by_from_xarray():
    roles = {"outcome": "pay", "treatment": "d", "covariates": "age", "unit": "obs"}
    roles |= {"sequence": "visits", "image": "tile"}

    def dataset(start):
        names = {"id": "obs", "y": "pay", "d": "d", "x": "age"}
        frame = table(start=start)[list(names)].rename(columns=names).set_index("obs")
        mask = xr.DataArray(np.arange(3) < 2, dims="step").expand_dims(obs=frame.index)
        parts = (frame.to_xarray(), steps(start=start), pictures(start=start))
        return xr.merge([*parts, mask.rename("visits_mask")], join="left")

    data = CausalData.from_xarray(dataset(0), **roles)
    assert "visits_mask" in data.arrays
    new = dataset(20)
    made = data.like(new)
    assert made.digest() == CausalData.from_xarray(new, **roles).digest()
    assert made.roles.sequence == ("visits",)
    assert data.like(new[["age"]]).arrays is None
    with pytest.raises(ArgumentError, match="a dataset brings its arrays along"):
        data.like(new, arrays=new)
    with pytest.raises(ArgumentError, match="no 'obs'"):
        data.like(new.rename(obs="row"))


def test_dimensions_are_found_by_name():
    data = visited()
    turned = steps().transpose("feature", "obs", "step")
    made = data.like(table(), arrays={"visits": turned})
    xr.testing.assert_identical(made.arrays, data.arrays)


def test_steps_may_be_more_than_in_the_data():
    assert visited().like(table(), arrays={"visits": steps(length=5)}).arrays.sizes["step"] == 5


def test_rows_without_arrays_or_graphs_have_no_such_role():
    for data in (visited(), pictured(), networked()):
        made = data.like(data.frame)
        assert (made.roles.sequence, made.roles.image, made.roles.graph) == ((), (), None)
        assert made.arrays is None
        assert dict(made.tables) == {}


def test_of_several_sequences_some_may_be_absent():
    arrays = {"visits": steps(), "calls": steps().rename("calls")}
    data = visited(sequence=["visits", "calls"], arrays=arrays)
    assert data.like(table(), arrays={"calls": arrays["calls"]}).roles.sequence == ("calls",)


def test_images_may_have_holes_as_in_the_data():
    holes = pictures()
    holes.values[0, 0] = np.nan
    data = pictured(arrays=holes.to_dataset(), max_nan_pixels=0.1)
    again = data.like(table(), arrays=holes.to_dataset())
    assert again.digest() == data.digest()
    with pytest.raises(DataError, match=r"E15.*6\.2% of the values of 'tile'.*max_nan_pixels"):
        data.like(table(), arrays=holes.to_dataset(), max_nan_pixels=0.05)


def test_items_of_a_treatment_stay_those_of_the_data_unless_there_are_others():
    data = structured()
    made = data.like(table(start=20)[["x", "g"]])
    pd.testing.assert_frame_equal(made.tables["drug_vectors"], data.tables["drug_vectors"])
    more = pd.DataFrame({"drug": ["s"], "size": [9.0]})
    other = data.like(table(start=20), tables={"drug_vectors": more})
    pd.testing.assert_frame_equal(other.tables["drug_vectors"], more)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"visits": steps().isel(feature=[0])},
            r"E03.*sequence 'visits' has 1 along 'feature' in place of 2; select arrays.sel\(feat",
        ),
        (
            {"visits": steps().drop_vars("feature").isel(feature=[0, 1, 1])},
            "has 3 along 'feature' in place of 2; select the same in the same order",
        ),
        (
            {"visits": steps().isel(feature=[1, 0])},
            "'visits' has feature 'heat' in place of 'pulse'; select arrays.sel",
        ),
        (
            {"visits": steps().rename(step="week")},
            "has the dimensions week, feature within a row in place of step, feature; rename",
        ),
        ({"visits": steps().rename(obs="who")}, r"E01.*no variable 'visits' with dimension 'obs'"),
        ({"visit": steps()}, r"E01.*no column 'visits' \(named as sequence, among the arrays\)"),
        (
            {"visits": steps(start=20)},
            r"E14.*8 values of 'id' have no entry in the arrays \(first: 'u0', 'u1', 'u2'\)",
        ),
        (
            {"visits": steps().isel(obs=slice(1, None))},
            r"1 values of 'id' have no entry in the arrays \(first: 'u7'\) and 0 entries",
        ),
    ],
)
def test_sequences_of_another_shape_or_of_other_rows_are_refused(arrays, words):
    with pytest.raises(DataError, match=words):
        visited().like(table(), arrays=arrays)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (pictures().isel(band=[0]), r"E14.*image 'tile' has 1 along 'band' in place of 2; select"),
        (
            pictures().isel(band=[1, 0]),
            "'tile' has band 'nir' in place of 'red'; select arrays.sel",
        ),
        (pictures().isel(y=slice(2)), "'tile' has 2 along 'y' in place of 3; select the same"),
        (pictures().rename(band="channel"), "has dimensions obs, channel, y, x"),
    ],
)
def test_images_of_another_shape_are_refused(image, words):
    with pytest.raises(DataError, match=words):
        pictured().like(table(), arrays={"tile": image})


def test_entries_named_after_units_need_the_units_of_the_rows():
    frame = table().drop(columns="id")
    with pytest.raises(DataError, match=r"E01.*'obs'.*such as 'u7'.*no column 'id'.*drop_vars"):
        visited().like(frame, arrays={"visits": steps()})
    bare = steps().drop_vars("obs")
    made = visited().like(frame, arrays={"visits": bare})
    np.testing.assert_array_equal(made.arrays["visits"], bare)


def test_padding_that_a_mask_tells_is_not_read_as_steps():
    mask = xr.DataArray(np.ones((N, 3), dtype=bool), dims=("obs", "step"))
    arrays = {"visits": steps(), "visits_mask": mask.assign_coords(obs=steps()["obs"])}
    data = visited(arrays=arrays)
    assert data.like(table(), arrays=arrays).digest() == data.digest()
    with pytest.raises(DataError, match=r"E01.*'visits_mask' says in the data which steps"):
        data.like(table(), arrays={"visits": steps()})


def test_arrays_that_nobody_asked_for_are_refused():
    with pytest.raises(ArgumentError, match="neither image nor sequence"):
        networked().like(table(), arrays={"visits": steps()})
    with pytest.raises(ArgumentTypeError, match="is a ndarray, whose dimensions have no names"):
        visited().like(table(), arrays={"visits": steps().values})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t | {"farm_nodes": t["farm_nodes"].drop(columns="area")},
            r"table 'farm_nodes' lacks area, which that of the data has \(here are farm, node\)",
        ),
        (
            lambda t: {"farm_nodes": t["farm_nodes"]},
            "no table 'farm_edges', which goes with 'farm_nodes'; pass both, an empty one",
        ),
        (
            lambda t: {"farm_node": t["farm_nodes"]},
            "the data have no table 'farm_node'. Did you mean 'farm_nodes'",
        ),
        (
            lambda t: {name: part[part["farm"] != "f3"] for name, part in t.items()},
            r"E07.*1 rows name something in 'farm' that the tables lack \(first: row 3, 'f3'\)",
        ),
    ],
)
def test_graphs_that_do_not_go_with_the_rows_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        networked().like(table(), tables=change(graphs()))


def test_graphs_need_the_column_that_says_whose_they_are():
    with pytest.raises(DataError, match=r"E01.*no column 'farm', which says what in the tables"):
        networked().like(table().drop(columns="farm"), tables=graphs())


def test_rows_may_have_graphs_without_an_edge():
    tables = graphs() | {"farm_edges": pd.DataFrame()}
    assert networked().like(table(), tables=tables).tables["farm_edges"].empty


def test_every_problem_of_arrays_and_tables_is_told_at_once():
    roles = {"extra": "farm", "graph": "farm_edges", "tables": graphs()}
    tables = {"farm_nodes": graphs()["farm_nodes"]}
    with pytest.raises(DataError) as caught:
        visited(**roles).like(table(), arrays={"visits": steps().isel(feature=[0])}, tables=tables)
    assert [problem.column for problem in caught.value.problems] == ["visits", "farm_edges"]


def test_units_that_are_a_category_may_be_new():
    frame = table().astype({"id": "category", "farm": "category"})
    data = CausalData.from_frame(frame, extra="farm", **ROLES)
    new = table(start=4)
    for given in (new, new.astype({"id": "category"})):
        made = data.like(given)
        assert made.frame["id"].tolist() == new["id"].tolist()
        assert made.frame["farm"].tolist() == new["farm"].tolist()
    assert data.like(frame).digest() == data.digest()
    with pytest.raises(DataError, match="'g' has levels that the data do not have: 'c'"):
        data.like(new.assign(g="c"))


def test_periods_that_are_a_category_may_not_be_new():
    waves = pd.Categorical(["i", "ii"] * 4, categories=["i", "ii"], ordered=True)
    data = CausalData.from_frame(table().assign(wave=waves), time="wave", **ROLES)
    with pytest.raises(DataError, match="'wave' has levels that the data do not have: 'iii'"):
        data.like(table().assign(wave="iii"))


def test_formulas_take_arrays_and_tables_as_frames_do():
    words = "is a ndarray, whose dimensions have no names"
    with pytest.raises(ArgumentTypeError, match=words):
        CausalData.from_formula(
            "y ~ d | x", table(), sequence="visits", arrays={"visits": steps().values}
        )
    with pytest.raises(DataError, match=r"no column 'farm_edges' \(named as graph"):
        CausalData.from_formula("y ~ d | x", table(), graph="farm_edges")


def test_new_rows_that_are_left_out_are_told():
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0, 1] * 3, "x": np.arange(6.0) ** 2})
    data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x", missing="drop")
    new = pd.DataFrame({"x": [1.0, np.nan, 3.0]})
    with pytest.warns(DroppedRowsWarning, match=r"1 of the 3 new rows .*\(1: x missing\).* 2 oth"):
        assert len(data.like(new)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.like(new.dropna())) == 2


def test_new_rows_keep_the_labels_of_their_table():
    frame = table()
    data = CausalData.from_frame(frame, **ROLES)
    new = frame.set_index(pd.Index(list("hgfedcba"), name="key"))
    assert data.like(new).labels.equals(new.index)
