"""Inverse variances of outcomes weight what is learned of them, and no average over rows."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.transtee.coding import code_data
from causalkit.transtee.crossfit import Split

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def fitted(frame, monkeypatch, **weights):
    """A fit whose folds are answered by networks that do not depend on the weights."""
    frame = frame.assign(w=np.exp(0.7 * frame["c"]), side=np.where(frame["b"] > 0.8, "x", "y"))
    frame["total"] = 4096.0 * frame["w"]

    def data_of(**roles):
        return ck.CausalData.from_frame(
            frame, outcome="y", treatment="t", covariates=["a", "b", "c"], extra="side", **roles
        )

    fit = ck.TransTEE(**SMALL | {"max_epochs": 2}).fit(data_of())
    monkeypatch.setattr(Split, "networks", lambda _: [(fit.model_, np.arange(240))])
    fit._data = data_of(**weights)
    fit._digest = fit._data.digest()
    return fit


@pytest.mark.parametrize("estimand", ["ate", "att", "atc", "gate", "calibration", "adrf"])
def test_averages_are_those_without_precision_weights(estimand, monkeypatch):
    frame, learner = arms_frame(), LogisticRegression()
    if estimand == "adrf":
        rng = np.random.default_rng(3)
        frame["t"], learner = 0.5 * frame["a"] + rng.standard_normal(240), LinearRegression()
    ask = {"estimand": estimand, "propensity": learner}
    ask |= {"groups": "side"} if estimand == "gate" else {}
    plain = fitted(frame, monkeypatch).estimate(**ask)
    precise = fitted(frame, monkeypatch, weights="w", weight_kind="precision").estimate(**ask)
    sampled = fitted(frame, monkeypatch, weights="w", weight_kind="sampling").estimate(**ask)
    np.testing.assert_array_equal(precise.estimates, plain.estimates)
    np.testing.assert_array_equal(precise.vcov, plain.vcov)
    assert not np.allclose(sampled.estimates, plain.estimates, rtol=1e-3)


def test_the_mean_curve_and_overlap_are_those_without_precision_weights(monkeypatch):
    frame, rng = arms_frame(), np.random.default_rng(3)
    frame["t"] = 0.5 * frame["a"] + rng.standard_normal(240)
    plain = fitted(frame, monkeypatch)
    curve = plain.dose_response(plain._data, grid=5)["adrf"].values
    table = plain.overlap(propensity=LinearRegression())
    precise = fitted(frame, monkeypatch, weights="w", weight_kind="precision")
    np.testing.assert_array_equal(precise.dose_response(precise._data, grid=5)["adrf"], curve)
    assert precise.overlap(propensity=LinearRegression()).equals(table)
    assert code_data(precise.model_.coding, precise._data).weight is not None


def test_what_sampling_weights_add_up_to_moves_no_propensity(monkeypatch):
    """A sum of a million would leave trees without a penalty."""
    kind = {"weight_kind": "sampling"}
    one, other = (
        fitted(arms_frame(), monkeypatch, weights=name, **kind).estimate(propensity="boosting")
        for name in ("w", "total")
    )
    np.testing.assert_allclose(other.estimates, one.estimates, rtol=1e-9)
    np.testing.assert_allclose(other.vcov, one.vcov, rtol=1e-9)
