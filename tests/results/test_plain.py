"""Results as dictionaries and JSON."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.results import EffectResult
from causalkit.results.plain import plain


@dataclass(frozen=True)
class Fit:
    rmse: float
    r2: np.float64


def test_json_and_back_keeps_every_field(make_clustered):
    result = make_clustered([0.1, 0.2])
    text = result.to_json(arrays=True)
    again = EffectResult.from_dict(json.loads(text))
    assert again.to_dict(arrays=True) == result.to_dict(arrays=True)
    assert np.array_equal(again.influence, result.influence)
    assert np.array_equal(again.clusters[0], result.clusters[0])


def test_a_record_with_a_field_too_many_or_too_few_names_it(make):
    record = make().to_dict()
    with pytest.raises(ArgumentError, match=r"unknown field of a result 'estimats'.*'estimates'"):
        EffectResult.from_dict({**record, "estimats": [1.0]})
    del record["vcov"], record["n"]
    with pytest.raises(ArgumentError, match="the record lacks vcov, n; give all that"):
        EffectResult.from_dict(record)


def test_arrays_of_length_n_stay_out_unless_asked(make_clustered):
    result = make_clustered([0.1])
    assert not {"influence", "clusters", "draws"} & result.to_dict().keys()
    assert EffectResult.from_dict(result.to_dict()).influence is None


def test_infinite_df_is_null_in_json_and_infinite_again(make):
    text = make(df=math.inf).to_json()
    assert json.loads(text)["df"] is None
    assert EffectResult.from_dict(json.loads(text)).df == math.inf


def test_json_has_no_nan_which_the_format_lacks(make):
    text = make(diagnostics={"r2": math.nan, "seen": [math.inf, 1.0]}).to_json()
    record = json.loads(text, parse_constant=pytest.fail)
    assert record["diagnostics"] == {"r2": None, "seen": [None, 1.0]}


def test_draws_survive(make):
    draws = xr.Dataset({"theta": (("chain", "draw"), np.ones((1, 3)))})
    again = EffectResult.from_dict(make(draws=draws).to_dict(arrays=True))
    xr.testing.assert_identical(again.draws, draws)


def test_numpy_pandas_and_records_become_built_in_types():
    value = {
        1: np.int64(3),
        "float": np.float64(0.5),
        "flag": np.bool_(True),
        "array": np.arange(2),
        "fit": Fit(rmse=0.1, r2=np.float64(0.2)),
        "frame": pd.DataFrame({"a": [1]}),
        "series": pd.Series({"x": 1.5}),
        "day": pd.Timestamp("2020-01-02"),
        "set": {2},
        "other": int,
    }
    assert plain(value) == {
        "1": 3,
        "float": 0.5,
        "flag": True,
        "array": [0, 1],
        "fit": {"rmse": 0.1, "r2": 0.2},
        "frame": {"a": [1]},
        "series": {"x": 1.5},
        "day": "2020-01-02T00:00:00",
        "set": [2],
        "other": "<class 'int'>",
    }
    assert type(plain(np.float64(1.0))) is float
    assert type(plain(np.bool_(True))) is bool


@pytest.mark.parametrize("name", ["contrast", "notes", "warnings", "df"])
def test_a_record_without_a_field_that_has_a_default_is_read(make, name):
    record = make().to_dict()
    del record[name]
    assert EffectResult.from_dict(record).estimate == make().estimate


def test_a_record_of_another_schema_is_refused(make):
    with pytest.raises(ArgumentError, match="schema 99"):
        EffectResult.from_dict(make().to_dict() | {"schema": 99})


def test_a_record_says_the_same_in_its_summary_and_keeps_its_tests():
    data = ck.generators.panel_fp2024(0, n_units=60).blind()
    result = ck.PanelDML(learner="ridge", random_state=0).fit(data).estimate()
    again = EffectResult.from_dict(json.loads(result.to_json()))
    assert "Diagnostics" in result.summary()
    assert again.summary() == result.summary()
    (name,) = (key for key in result.diagnostics["leftover"] if key.startswith("outcome"))
    test = again.diagnostics["leftover"][name]["test"]
    assert test == result.diagnostics["leftover"][name].test
