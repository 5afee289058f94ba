"""Doses of which a few values only were given."""

import warnings

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import CausalKitWarning

ROLES = {"outcome": "y", "treatment": "t", "covariates": "x"}
BRIEF = SMALL | {"max_epochs": 2}


@pytest.fixture(scope="module")
def table():
    """Doses 0, 10 and 20, a third of the rows each; the outcome bends."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(240), "t": np.repeat([0, 10, 20], 80)})
    frame["y"] = frame["x"] + (frame["t"] == 10) + rng.standard_normal(240)
    return frame


@pytest.fixture(scope="module")
def fit(table):
    return ck.TransTEE(**BRIEF).fit(ck.CausalData.from_frame(table, **ROLES, kinds="dose"))


def test_numbers_that_may_be_arms_are_told_of_with_both_ways_out(table):
    data = ck.CausalData.from_frame(table, **ROLES)
    told = r"'t' has only the values 0, 10, 20 and is taken as a dose.*kinds='multi'.*kinds='dose'"
    with pytest.warns(CausalKitWarning, match=told):
        ck.TransTEE(**BRIEF).fit(data)


@pytest.mark.parametrize("kind", ["dose", "multi"])
def test_a_declared_kind_is_not_doubted(table, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ck.TransTEE(**BRIEF).fit(ck.CausalData.from_frame(table, **ROLES, kinds=kind))


def test_many_values_are_a_dose_without_a_word(table):
    rng = np.random.default_rng(1)
    data = ck.CausalData.from_frame(table.assign(t=rng.integers(0, 30, 240)), **ROLES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ck.TransTEE(**BRIEF).fit(data)


def test_averages_are_at_the_values_given_unless_others_are_asked(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit.estimate().terms == ("E[Y(0)]", "E[Y(10)]", "E[Y(20)]")


def test_an_average_at_a_given_dose_is_that_of_an_arm(table, fit):
    """By least squares on the covariate within the arm, a randomised one."""
    found = fit.estimate(doses=[10.0]).estimate
    own = table[table["t"] == 10]
    slope, level = np.polyfit(own["x"], own["y"], 1)
    assert found == pytest.approx(level + slope * table["x"].mean(), abs=0.1)


def test_an_average_between_the_values_given_says_so(fit):
    told = r"no row received the dose 5; those given are 0, 10, 20"
    with pytest.warns(CausalKitWarning, match=told):
        fit.estimate(doses=[5.0, 10.0])


def test_doses_in_single_precision_are_the_values_given(table):
    tenths = table.assign(t=np.repeat([0.1, 0.2, 0.3], 80))
    fit = ck.TransTEE(**BRIEF).fit(ck.CausalData.from_frame(tenths, **ROLES, kinds="dose"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.estimate(doses=[0.1, 0.3])
