"""Estimators that return numbers, with a standard error or without."""

import numpy as np
import pandas as pd
import pytest
from study_toys import HERE, difference

from causalkit.study.pilot import pilot
from causalkit.study.study import Study


def number(data):
    return float(difference(data).estimate)


def named(data):
    return {"ate": np.float64(difference(data).estimate), "att": 0.0}


def pair(data):
    found = difference(data)
    return found.estimate, found.std_error


def named_pair(data):
    return {"ate": pair(data)}


class Fitted:
    def fit(self, data):
        self.data = data
        return self

    def get_params(self, *, deep=False):
        return {}

    def estimate(self):
        return number(self.data)


def study_of(tmp_path, **more):
    return Study(
        name="points",
        seed=4,
        aims="x",
        reps=40,
        generators=[{"name": "study_toys:toy"}],
        estimators={
            "full": difference,
            "number": number,
            "named": named,
            "class": Fitted(),
            "pair": pair,
            "named pair": named_pair,
        },
        run_options={"backend": "serial", "out": str(tmp_path)},
        folder=HERE,
        **more,
    )


@pytest.mark.parametrize("label", ["number", "named", "class"])
def test_a_number_is_an_estimate_without_coverage(tmp_path, label):
    study = study_of(tmp_path)
    study.run()
    table = study.summarise().query("estimand == 'ate'").set_index(["estimator", "measure"])
    for measure in ("bias", "rmse", "empirical_se", "median_bias", "failure_share"):
        for column in ("value", "mcse", "n_ok", "n_failed"):
            assert table.loc[(label, measure), column] == table.loc[("full", measure), column]
    for measure, lacks in (
        ("coverage", "conf_low"),
        ("mean_width", "conf_low"),
        ("model_se", "std_error"),
        ("se_ratio", "std_error"),
        ("rejection", "p_value"),
    ):
        assert np.isnan(table.loc[(label, measure), "value"])
        assert f"no {lacks}" in table.loc[(label, measure), "flag"]


@pytest.mark.parametrize("label", ["pair", "named pair"])
def test_a_pair_of_numbers_is_an_estimate_with_its_standard_error(tmp_path, label):
    study = study_of(tmp_path)
    study.run()
    table = study.summarise(measures=["bias", "model_se", "coverage", "rejection"])
    table = table.set_index("estimator")[["estimand", "measure", "value", "mcse", "flag"]]
    pd.testing.assert_frame_equal(
        table.loc[label].reset_index(drop=True), table.loc["full"].reset_index(drop=True)
    )
    (result,) = study.replay({}, 0, label).results
    assert result.inference == f"standard error as {label!r} returned it"


def test_the_name_of_a_number_is_kept_where_it_has_one(tmp_path):
    study = study_of(tmp_path)
    study.run()
    rows = study.summarise(measures=["bias"]).query("estimator == 'named'")
    assert dict(zip(rows["estimand"], rows["flag"], strict=True)) == {"ate": "", "att": "no truth"}
    assert study.replay({}, 0, "number").to_dict()["results"][0]["estimand"] == "effect"


def test_a_pilot_counts_replications_where_a_measure_exists(tmp_path):
    found = pilot(study_of(tmp_path, stop={"bias": 0.1, "model_se": 0.001}), reps=30)
    assert (found.needed["replications"] > 0).all()
