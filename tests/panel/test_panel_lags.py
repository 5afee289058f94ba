"""Lags of a panel's columns: what they refuse, and the outcome's own among the covariates."""

import warnings

import pytest
from switching_design import panel

import causalkit as ck
from causalkit.errors import ArgumentTypeError, IdentificationWarning


@pytest.mark.parametrize("k", [1.5, 1.0, "1", True, None])
def test_a_lag_is_a_whole_number_of_periods(k):
    with pytest.raises(ArgumentTypeError, match=f"k must be a whole number.*got {k!r}"):
        panel().lag("x1", k)


@pytest.mark.parametrize("method", ["lag", "diff"])
@pytest.mark.parametrize("columns", [["x1", "x2"], ("x1",), 3])
def test_a_lag_is_of_one_column(method, columns):
    with pytest.raises(ArgumentTypeError, match=r"name of one column, got .*once for each"):
        getattr(panel(), method)(columns)


def test_a_lagged_outcome_among_the_covariates_is_warned_of():
    data = panel()
    outcome = data.roles.outcome[0]
    lags = data.assign(before=2.0 * data.lag(outcome), other=data.lag("x1"))
    lags = lags.filter("before.notna()")
    fit = ck.PanelDML(learner="linear", random_state=0).fit
    with pytest.warns(IdentificationWarning, match="'before' is the outcome of the period before"):
        found = fit(lags.with_roles(covariates=("before", "x1")))
    assert any("Nickell" in message for message in found.estimate().warnings)
    pooled = ck.PanelDML(approach="pooled", learner="linear", random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*of the period before")
        fit(lags.with_roles(covariates=("other", "x1")))
        pooled.fit(lags.with_roles(covariates=("before", "x1")))
