"""``causalkit fit``: arguments of estimators, categories and modifiers from the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import LINEAR, ROLES, check_refused, run

import causalkit as ck
from causalkit.data.stata import read_stata
from causalkit.errors import ArgumentError
from causalkit.panel.regression import PanelRegression
from causalkit.registry import ESTIMATORS, load


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """40 firms over 4 years with effect 1, in regions that are text and codes."""
    rng = np.random.default_rng(7)
    firm = np.repeat(np.arange(40), 4)
    year, code = np.tile(np.arange(4), 40), 10 * (np.arange(160) % 3)
    x = rng.standard_normal(40)[firm] + rng.standard_normal(160)
    d = x + rng.standard_normal(160)
    y = d + x + code / 10.0 + rng.standard_normal(160)
    region = np.array(["north", "south", "west"])[code // 10]
    return pd.DataFrame(
        {"firm": firm, "year": year, "y": y, "d": d, "x": x, "region": region, "code": code}
    )


@pytest.fixture(scope="module")
def csv(frame, tmp_path_factory) -> Path:
    """The frame as a file."""
    path: Path = tmp_path_factory.mktemp("files") / "firms.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_registered_estimator_is_made_and_fitted(name, csv, monkeypatch):
    made = []

    def fit(self, data):
        made.append(self)
        raise ArgumentError("fitted")

    monkeypatch.setattr(load("estimator", name, ESTIMATORS), "fit", fit)
    result = run("fit", csv, "--estimator", name, *ROLES, "--seed", 3)
    assert "fitted" in result.stderr
    assert result.exit_code == 2
    assert made[0].get_params().get("random_state", 3) == 3


def test_a_linear_regression_is_that_of_the_library(csv, frame):
    more = ["--set", "method=pooled OLS", "--set", "time_effects=dummies", "--time", "year"]
    facts = json.loads(
        run("fit", csv, "--estimator", "panel-regression", *ROLES, *more, "--json").stdout
    )
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates="x", unit="firm", time="year"
    )
    same = PanelRegression(method="pooled OLS", time_effects="dummies").fit(data).estimate()
    assert facts["estimates"] == pytest.approx(same.estimates.tolist(), rel=1e-10)
    assert np.array(facts["vcov"]) == pytest.approx(same.vcov, rel=1e-10)


def test_arguments_are_set_by_name_as_numbers_lists_and_text(csv, monkeypatch):
    made = []

    def fit(self, data):
        made.append(self.get_params())
        raise ArgumentError("fitted")

    monkeypatch.setattr(ck.InvalidIV, "fit", fit)
    values = ["method=debiased", "n_rep=3", "basis=None", "clip=0.02", "calibrate=False"]
    values += ["learners={'effect': 'lasso'}", "random_state=5"]
    run("fit", csv, "--estimator", "invalid-iv", *ROLES, *(f"--set={value}" for value in values))
    assert made[0]["method"] == "debiased"
    assert (made[0]["n_rep"], made[0]["basis"], made[0]["clip"]) == (3, None, 0.02)
    assert made[0]["calibrate"] is False
    assert (made[0]["learners"], made[0]["random_state"]) == ({"effect": "lasso"}, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "aproach=cre"], "Did you mean 'approach'? Known: "),
        (["--set", "approach=cree"], "Did you mean 'cre'?"),
        (["--set", "n_rep"], "--set n_rep: give name=value"),
        (["--category", "regoin"], "Did you mean 'region'? Known: "),
        (["--modifier", "regoin"], "regoin"),
    ],
)
def test_what_is_not_known_is_answered_with_what_is(options, message, csv):
    result = run("fit", csv, *LINEAR, *ROLES, *options)
    check_refused(result, message)


@pytest.mark.parametrize("column", ["region", "code"])
def test_text_and_codes_are_categories_on_request(column, csv, frame):
    asked = [*LINEAR, *ROLES, "--covariate", column, "--json"]
    data = ck.CausalData.from_frame(
        frame.astype({column: "category"}),
        outcome="y",
        treatment="d",
        covariates=["x", column],
        unit="firm",
    )
    same = ck.PanelDML(learner="linear", random_state=0).fit(data).estimate()
    facts = json.loads(run("fit", csv, *asked, "--category", column).stdout)
    assert facts["estimates"] == pytest.approx(same.estimates.tolist(), rel=1e-10)
    if column == "region":
        assert "E03-non-numeric" in run("fit", csv, *asked).stderr


def test_columns_of_a_store_are_categories_and_modifiers_too(frame, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    path = tmp_path / "firms.zarr"
    frame.drop(columns="region").rename_axis("obs").to_xarray().to_zarr(path)
    seen = []

    def fit(_, data):
        seen.append(data)
        raise ArgumentError("fitted")

    monkeypatch.setattr(ck.PanelDML, "fit", fit)
    run("fit", path, *LINEAR, *ROLES, "--category", "code", "--modifier", "code")
    assert seen[0].roles.modifiers == ("code",)
    assert seen[0].frame["code"].cat.categories.tolist() == [0, 10, 20]


@pytest.mark.parametrize("name", ck.list_datasets()["name"])
def test_every_example_is_written_to_a_stata_file_that_fit_reads(name, tmp_path):
    path = tmp_path / "data.DTA"
    try:
        frame = ck.load_dataset(name).frame
    except ImportError:
        pytest.skip("a package with the file is absent")
    assert run("data", "export", name, path).exit_code == 0
    read = read_stata(path)
    assert read.columns.tolist() == frame.columns.tolist()
    for column in frame:
        if frame[column].dtype.kind in "if":
            pd.testing.assert_series_equal(read[column], frame[column], check_dtype=False)
        else:
            assert read[column].isna().equals(frame[column].isna())
            assert read[column].dropna().tolist() == frame[column].dropna().map(str).tolist()
