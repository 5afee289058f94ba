"""Columns that cannot identify an effect together are refused by name, whatever the learner."""

import warnings

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, DataError, IdentificationError
from causalkit.panel.regression import PanelRegression

ROLES = {"outcome": "y", "treatment": "d", "covariates": "x", "unit": "unit", "time": "time"}


def frame():
    rng = np.random.default_rng(5)
    unit, time = np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60)
    x, d, noise, z = rng.standard_normal((4, unit.size))
    group = rng.integers(0, 3, unit.size)
    columns = {"unit": unit, "time": time, "x": x, "d": d + z, "z": z, "y": d + x + noise}
    columns |= {name: (group == code) * 1 for code, name in enumerate("abc")}
    late = time >= 2
    columns |= {"late": late * 1, "late1": ((unit < 20) & late) * 1}
    return pd.DataFrame(columns | {"late2": columns["late"] - columns["late1"]})


def fit(table=None, *, roles, **arguments):
    data = ck.CausalData.from_frame(frame() if table is None else table, **(ROLES | roles))
    return ck.PanelDML(learner="lasso", random_state=0, **arguments).fit(data)


@pytest.mark.parametrize(
    ("roles", "arguments", "words"),
    [
        ({"treatment": ["a", "b", "c"]}, {}, "treatments 'a', 'b', 'c' add up to a constant"),
        ({"treatment": ["a", "b", "c"]}, {"approach": "pooled"}, "'a', 'b', 'c' add up"),
        ({"instruments": ["a", "b", "c"]}, {"model": "iv"}, "instruments 'a', 'b', 'c' add up"),
        ({"treatment": ["d", "a", "b", "c"]}, {}, "treatments 'a', 'b', 'c' add up"),
        (
            {"treatment": ["late1", "late2"]},
            {"time_effects": "dummies"},
            "'late1', 'late2' add up to a constant, unit effects or period effects",
        ),
        ({"treatment": "late"}, {"time_effects": "dummies"}, "'late' is determined by"),
        ({"treatment": "late"}, {"time_effects": "dummies", "approach": "fd"}, "determined by"),
    ],
)
def test_columns_that_effects_determine_are_named(roles, arguments, words):
    with pytest.raises(IdentificationError, match=words):
        fit(roles=roles, **arguments)


def test_gaps_in_the_panel_do_not_hide_what_period_effects_determine():
    table = frame().sample(frac=0.8, random_state=1)
    with pytest.raises(IdentificationError, match="'late' is determined by"):
        fit(table, roles={"treatment": "late"}, time_effects="dummies")


@pytest.mark.parametrize(
    "roles", [{"treatment": ["a", "b"]}, {"treatment": ["late1", "late2"]}, {"treatment": "late"}]
)
def test_dummies_with_a_reference_and_steps_without_period_effects_are_let_through(roles):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(fit(roles=roles).result_.estimates).all()


@pytest.mark.parametrize("other", ["y", "d", "x"])
def test_an_instrument_that_is_another_column_is_refused_by_both_names(other):
    table = frame()
    table["z"] = 3.0 * table[other] + 1.0
    with pytest.raises(DataError, match=f"E20-leak.*'z' is the same as '{other}' up to scale"):
        fit(table, roles={"instruments": "z"}, model="iv")


@pytest.mark.parametrize("model", ["partially-linear", "iv"])
def test_a_treatment_that_is_the_outcome_is_refused(model):
    table = frame().assign(d=lambda f: 2.0 * f["y"] - 1.0)
    instruments = {"instruments": "z"} if model == "iv" else {}
    with pytest.raises(DataError, match=r"E20-leak.*'d' is the same as the outcome 'y'"):
        fit(table, roles=instruments, model=model)


@pytest.mark.parametrize(
    ("roles", "arguments", "advice"),
    [
        ({}, {}, 'bootstrap(kind="wild") of the estimator'),
        ({}, {"cov_type": "two-way"}, 'cov_type="clustered" on the scarcer clusters'),
        ({}, {"dml_procedure": "dml1"}, "name finer clusters"),
        ({"treatment": ["d", "z"]}, {}, "name finer clusters"),
        ({"instruments": "z"}, {"model": "iv"}, "name finer clusters"),
        ({"treatment": "a"}, {"model": "interactive"}, "name finer clusters"),
    ],
)
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_few_clusters_advise_a_bootstrap_only_where_the_fit_has_it(roles, arguments, advice):
    few = frame().query("unit < 24")
    fitted = fit(few, roles=roles, **arguments)
    told = [text for text in fitted.result_.warnings if "E18" in text]
    assert told
    assert all(advice in text for text in told)
    if "of the estimator" in advice:
        assert len(fitted.bootstrap(kind="wild", n_boot=99)) == 1
    elif "scarcer" not in advice:
        with pytest.raises((ArgumentError, IdentificationError)):
            fitted.bootstrap(kind="wild", n_boot=99)


@pytest.mark.parametrize("method", ["pooled OLS", "fixed effects", "first differences"])
def test_a_regression_names_the_treatment_that_its_covariates_determine(method):
    table = frame().assign(w=lambda f: f["d"] - f["x"])
    data = ck.CausalData.from_frame(table, **(ROLES | {"covariates": ["x", "w"]}))
    with pytest.raises(IdentificationError, match="treatment 'd' is a linear combination"):
        PanelRegression(method=method).fit(data)


def test_rows_of_one_cluster_are_told_that_they_cannot_be_split():
    with pytest.raises(ArgumentError, match="all rows are of one cluster, which cannot be split"):
        fit(frame().assign(land=1), roles={"cluster": "land"})


@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
def test_dummies_of_units_seen_once_are_not_told_to_split_by_row_as_they_do():
    once = frame()[lambda f: (f["unit"] > 0) | (f["time"] == 0)]
    with pytest.raises(ArgumentError, match="leave out units that are seen once") as caught:
        fit(once, roles={}, approach="dummies", split="observation")
    assert 'split="observation"' not in str(caught.value)
