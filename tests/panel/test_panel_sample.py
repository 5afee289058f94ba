"""Rows of a panel fit: their order and their weights."""

import warnings

import numpy as np
import pytest
from linearmodels.panel import FirstDifferenceOLS
from sklearn.linear_model import Ridge
from switching_design import COVARIATES, table

import causalkit as ck
from causalkit.panel.regression import PanelRegression


def numbers(frame, arguments, **roles):
    """Estimate and standard error."""
    roles = {"outcome": "y", "treatment": "d", "covariates": COVARIATES, "unit": "unit"} | roles
    data = ck.CausalData.from_frame(frame, **roles)
    result = ck.PanelDML(random_state=5, **arguments).fit(data).estimate()
    return np.array([result.estimate, result.std_error])


@pytest.mark.parametrize("learner", [Ridge(50.0), "boosting"])
def test_rows_without_weight_do_not_scale_those_of_others(learner):
    frame = table()
    frame["w"] = np.random.default_rng(0).uniform(0.5, 2.0, len(frame)) * (frame.index % 3 > 0)
    present = frame[frame["w"] > 0].reset_index(drop=True)
    weights = {"weights": "w", "weight_kind": "sampling", "time": "time"}
    found = [numbers(rows, {"learner": learner}, **weights) for rows in (frame, present)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize("by", ["x1", "weights"])
@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
def test_rows_that_tie_in_outcome_and_treatment_have_an_order_too(by):
    frame = table()
    frame[["y", "d"]] = (frame[["y", "d"]] > 0).astype(int)
    roles = {"covariates": "x1"}
    if by == "weights":
        frame["x1"] = (frame["x1"] > 0).astype(float)
        frame["w"] = np.random.default_rng(0).uniform(0.5, 2.0, len(frame))
        roles |= {"weights": "w", "weight_kind": "sampling"}
    shuffled = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    arguments = {"learner": "ridge", "split": "observation"}
    found = [numbers(rows, arguments, **roles) for rows in (frame, shuffled)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_rows_left_out_are_counted_as_the_observations_that_they_stand_for():
    frame = table()
    frame["b"] = np.where(frame["unit"] < 10, 1.0, frame["b"])
    frame["count"] = 1 + frame["unit"] % 3
    always = frame.groupby("unit")["b"].transform("mean").isin([0.0, 1.0])
    roles = {"outcome": "y2", "treatment": "b", "covariates": COVARIATES, "unit": "unit"}
    data = ck.CausalData.from_frame(frame, **roles, weights="count", weight_kind="frequency")
    fitted = ck.PanelDML(model="interactive", learner="linear", random_state=0, trim=0.0)
    found = fitted.fit(data).estimate()
    assert found.dropped == {"unit always or never treated": frame["count"][always].sum()}
    assert found.n + found.dropped["unit always or never treated"] == frame["count"].sum()


def weighted_table():
    frame = table()
    return frame.assign(w=np.random.default_rng(2).integers(1, 5, len(frame)))


def test_precisions_of_changes_are_those_of_linearmodels():
    frame = weighted_table()
    data = {"weights": "w", "weight_kind": "precision"}
    columns = {"outcome": "y", "treatment": "d", "covariates": "x1"}
    causal = ck.CausalData.from_frame(frame, **columns, unit="unit", time="time", **data)
    ours = PanelRegression(method="first differences", ssc="none").fit(causal).estimate()
    indexed = frame.assign(trend=frame["time"]).set_index(["unit", "time"])
    peer = FirstDifferenceOLS(
        indexed["y"], indexed[["d", "x1", "trend"]], weights=indexed["w"]
    ).fit(cov_type="clustered", cluster_entity=True, debiased=False, group_debias=False)
    assert ours.estimate == pytest.approx(peer.params["d"], rel=1e-9)
    assert ours.std_error == pytest.approx(peer.std_errors["d"], rel=1e-9)


@pytest.mark.parametrize("approach", ["regression", "PanelDML"])
def test_frequencies_of_changes_are_those_of_rows_that_are_written_out(approach):
    frame = weighted_table()
    long = frame.loc[frame.index.repeat(frame["w"])].reset_index(drop=True)
    # Copies of a row are other units of the same cluster: so many have a row in either period.
    long["firm"] = long["unit"]
    long["unit"] += 1000 * long.groupby(["unit", "time"]).cumcount()
    roles = {"outcome": "y", "treatment": "d", "covariates": "x1", "unit": "unit", "time": "time"}
    weights = {"weights": "w", "weight_kind": "frequency"}
    if approach == "regression":
        estimator = PanelRegression(method="first differences")
    else:
        estimator = ck.PanelDML(
            approach="fd", mundlak_terms="means", learner="linear", n_folds=1, random_state=0
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ck.errors.DroppedRowsWarning)
        ours = estimator.fit(ck.CausalData.from_frame(frame, **roles, **weights)).estimate()
        peer = estimator.fit(ck.CausalData.from_frame(long, **roles, cluster="firm")).estimate()
    assert ours.estimate == pytest.approx(peer.estimate, rel=1e-9)
    assert ours.std_error == pytest.approx(peer.std_error, rel=1e-9)
    assert (ours.n, dict(ours.dropped)) == (peer.n, dict(peer.dropped))
