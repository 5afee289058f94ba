"""Stata files: what labels, partial labels and missing codes become."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.data.stata import read_stata, write_stata
from causalkit.errors import ArgumentError, CausalKitWarning


def written(frame, path, **more):
    """The frame as a file for Stata 14 and later."""
    frame.to_stata(path, write_index=False, version=118, **more)
    return path


@pytest.fixture
def people(tmp_path):
    """Labels on every value of two columns, on one value of another, and gaps."""
    frame = pd.DataFrame(
        {
            "wage": [1.5, np.nan, 3.0],
            "union": [0, 1, 0],
            "size": pd.Categorical(["small", "large", None], ["small", "large"], ordered=True),
            "age": [20, 21, 99],
            "town": ["a", "", "b"],
        }
    )
    labels = {"union": {1: "yes", 0: "no"}, "age": {99: "99 or older"}}
    return written(frame, tmp_path / "people.dta", value_labels=labels)


def test_labels_of_every_value_are_levels_and_of_some_are_not(people):
    frame = read_stata(people)
    assert frame["union"].tolist() == ["no", "yes", "no"]
    # In the order of the codes, so that the first level is the reference.
    assert frame["union"].cat.categories.tolist() == ["no", "yes"]
    assert not frame["size"].cat.ordered
    assert frame["age"].tolist() == [20, 21, 99]
    assert frame.isna().sum().to_dict() == {"wage": 1, "union": 0, "size": 1, "age": 0, "town": 1}


def test_columns_that_must_be_numbers_keep_their_codes(people):
    assert read_stata(people, numbers=("union", None))["union"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("code", [101, 102, 127])
def test_every_missing_code_is_missing(tmp_path, code):
    path = written(pd.DataFrame({"m": np.array([1, 2, 77], dtype=np.int8)}), tmp_path / "m.dta")
    raw = path.read_bytes()
    place = raw.index(b"<data>") + len(b"<data>") + 2
    assert raw[place] == 77
    # In a column of bytes 101 is the code ".", 102 is ".a" and 127 is ".z".
    path.write_bytes(raw[:place] + bytes([code]) + raw[place + 1 :])
    assert read_stata(path)["m"].isna().tolist() == [False, False, True]


def test_what_is_no_stata_file_is_refused(tmp_path):
    for name, content in (("a.dta", b"no table"), ("b.dta", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArgumentError, match=f"cannot read '{name}' as a Stata file"):
            read_stata(tmp_path / name)


def test_columns_with_a_label_twice_keep_their_codes_and_the_others_their_labels(tmp_path):
    frame = pd.DataFrame({name: [1, 2, 3] for name in ("race", "wage", "union", "town")})
    once, twice = {1: "a", 2: "b", 3: "c"}, {1: "a", 2: "a", 3: "b"}
    labels = {"race": twice, "union": once, "town": twice}
    path = written(frame, tmp_path / "twice.dta", value_labels=labels)
    with pytest.warns(CausalKitWarning, match="have the same label") as said:
        read = read_stata(path)
    assert [str(warning.message).split("'")[1] for warning in said] == ["race", "town"]
    assert read.columns.tolist() == frame.columns.tolist()
    assert read["union"].tolist() == ["a", "b", "c"]
    pd.testing.assert_frame_equal(
        read.drop(columns="union"), frame.drop(columns="union"), check_dtype=False
    )
    # Of columns that are numbers anyway nobody asked for labels.
    assert read_stata(path, numbers=("race", "town"))["race"].tolist() == [1, 2, 3]


def test_a_table_is_written_with_its_categories_as_labels(tmp_path):
    frame = pd.DataFrame(
        {
            "y": [1.5, np.nan, 2.0],
            "arm": pd.Categorical(["low", "none", None], ["none", "low"]),
            "village": pd.Categorical([7, 5, 7]),
            "town": ["a", "é", "b"],
        }
    )
    write_stata(frame, tmp_path / "all.dta")
    read = read_stata(tmp_path / "all.dta")
    expected = frame.assign(village=frame["village"].cat.rename_categories(str))
    pd.testing.assert_frame_equal(
        read, expected, check_dtype=False, check_categorical=False, check_index_type=False
    )
    assert read["arm"].cat.categories.tolist() == ["none", "low"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"a b": [1.0]}, "Stata cannot hold the column names 'a b'"),
        ({"int": [1.0]}, "Stata cannot hold the column names 'int'"),
        ({"x": [np.inf]}, "Stata cannot hold this table: .*'?x.*Write .parquet or .csv"),
        ({"x": [2**60]}, "Stata cannot hold this table"),
        ({"x": [(1, 2)]}, "Stata cannot hold this table"),
        ({"x": pd.period_range("2000", periods=1, freq="M")}, "Stata cannot hold this table"),
    ],
)
def test_what_stata_cannot_hold_is_named(column, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        write_stata(pd.DataFrame(column), tmp_path / "x.dta")
    assert not (tmp_path / "x.dta").exists()


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_a_fit_is_that_of_the_codes_with_levels_named(tmp_path):
    made = ck.generators.invalid_iv(1, n=1200).frame[["y", "a", "z", "l1", "l2"]]
    frame = made.astype({"a": "int8", "z": "int8"})
    labels = {"a": {0: "no", 1: "yes"}, "z": {0: "out", 1: "in"}}
    path = written(frame, tmp_path / "iv.dta", value_labels=labels)
    fit = ck.InvalidIV(method="debiased", learners="ridge", n_folds=2, random_state=0)
    found = [
        fit.fit(
            ck.CausalData.from_frame(
                table, outcome="y", treatment="a", instruments="z", covariates=["l1", "l2"]
            )
        ).estimate()
        for table in (read_stata(path), frame)
    ]
    assert found[0].contrast == ("yes vs no",)
    assert found[0].estimate == pytest.approx(found[1].estimate, rel=1e-12)
