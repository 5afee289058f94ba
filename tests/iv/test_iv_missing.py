"""Missing covariates that the data leave to the learners, of which some take them."""

import iv_designs as designs
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.nuisance.fitter import Fitter


def with_gaps():
    """Missing values in a number and in a category."""
    l1, l2, z, a, y = designs.draw(np.random.default_rng(1), 1200)
    region = pd.Categorical(np.random.default_rng(0).choice(list("pqr"), 1200))
    frame = pd.DataFrame({"y": y, "a": a, "z": z, "l1": l1, "l2": l2, "region": region})
    frame.loc[3, "l1"] = np.nan
    frame.loc[5, "region"] = None
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="a",
        instruments="z",
        covariates=["l1", "l2", "region"],
        missing="native",
    )


def fit(**arguments):
    plain = {"method": "debiased", "basis": None, "n_folds": 2, "random_state": 0}
    return ck.InvalidIV(**(plain | arguments)).fit(with_gaps())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"learners": "linear"}, "'linear' for the instrument cannot take them"),
        ({"method": "selective", "learners": ["linear", "lasso"]}, "'linear' or 'lasso' for the i"),
        ({"learners": {"outcome": LinearRegression()}}, "'LinearRegression' for the outcome"),
        ({"method": "parametric", "n_folds": 5}, "which method='parametric' cannot take"),
    ],
)
def test_learners_that_cannot_take_gaps_are_told_before_fits_with_the_columns(
    arguments, words, monkeypatch
):
    def fitted(*_, **__):
        raise AssertionError("a nuisance was fitted")

    monkeypatch.setattr(Fitter, "run", fitted)
    with pytest.raises(ArgumentError, match=words) as said:
        fit(**arguments)
    assert "covariates are missing in some rows ('l1', 'region')" in str(said.value)


@pytest.mark.filterwarnings("ignore:candidate lasso:causalkit.errors.CausalKitWarning")
def test_a_candidate_that_takes_gaps_suffices():
    forest = RandomForestRegressor(n_estimators=10, min_samples_leaf=20)
    both = ["lasso", "boosting"]
    learners = {"instrument": both, "treatment": both, "outcome": [forest], "effect": both}
    found = fit(method="selective", learners=learners)
    assert np.isfinite(found.estimate("variance-weighted").estimate)
