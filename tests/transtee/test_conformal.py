"""Conformal intervals of rows, each under an arm of its own, whoever else is asked about."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck

ARGUMENTS = {
    "d_model": 8,
    "n_ensemble": 1,
    "max_epochs": 4,
    "random_state": 0,
    "interval": "conformal",
}


def three_arms(**roles):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((400, 2)), columns=["a", "b"])
    frame["t"] = rng.integers(0, 3, 400)
    # The noise of an arm grows with it, and so do its intervals.
    frame["y"] = frame["a"] + 4.0 ** frame["t"] * rng.standard_normal(400)
    if roles:
        frame["a"] = frame["a"].where(rng.random(400) < 0.7) + 3.0 * frame["t"]
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", kinds=("multi",), covariates=["a", "b"], **roles
    )


@pytest.fixture(scope="module")
def data():
    return three_arms()


@pytest.fixture(scope="module")
def fit(data):
    return ck.TransTEE(**ARGUMENTS).fit(data)


def width(found):
    return (found["conf_high"] - found["conf_low"]).values


def test_a_row_has_the_interval_of_its_own_arm(fit, data):
    received = data.frame["t"].to_numpy()
    every = fit.outcome_interval(data, treatment=received, level=0.8)
    each = [width(fit.outcome_interval(data, treatment=arm, level=0.8)) for arm in range(3)]
    np.testing.assert_allclose(width(every), np.choose(received, each))
    assert np.mean(each[2]) > 2.0 * np.mean(each[0])


def test_an_effect_has_the_intervals_of_both_of_its_arms(fit, data):
    arms = np.arange(data.n) % 3, np.arange(data.n) // 3 % 3
    found = fit.effect(data, treatment=arms[0], baseline=arms[1], level=0.8)
    # Two outcomes, each with half of the error.
    each = [width(fit.outcome_interval(data, treatment=arm, level=0.9)) for arm in range(3)]
    np.testing.assert_allclose(width(found), sum(np.choose(arm, each) for arm in arms))


def test_an_interval_does_not_hang_on_who_else_is_asked_about():
    data = three_arms(missing="native")
    fit = ck.TransTEE(**ARGUMENTS).fit(data)
    holes = data.frame["a"].isna().to_numpy()
    row = int(np.flatnonzero(holes)[0])
    low = np.flatnonzero(data.frame["a"].to_numpy() < -0.5)
    asked = [[row], [row, *low], np.flatnonzero(holes), np.r_[row, np.arange(data.n)]]
    seen = [fit.outcome_interval(data.subset(rows), treatment=1, level=0.8) for rows in asked]
    widths = [width(one)[0] for one in seen]
    np.testing.assert_allclose(widths, widths[0], rtol=1e-5)
