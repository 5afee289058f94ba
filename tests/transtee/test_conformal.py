"""Conformal intervals of rows, each under an arm of its own, whoever else is asked about."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.transtee.conformal import Calibration, Conformal, half_widths
from causalkit.transtee.fitting import code_data

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


def test_propensities_are_learned_on_training_rows_alone(fit, data):
    coded = code_data(fit.model_.coding, data)
    valid = fit.model_.stacks[0].members[0].valid
    arms, numeric = coded.actions.arms.copy(), coded.covariates.numeric.copy()
    arms[valid] = (arms[valid] + 1) % 3
    numeric[valid] += 10.0 * arms[valid]
    planted = replace(
        coded,
        actions=replace(coded.actions, arms=arms),
        covariates=replace(coded.covariates, numeric=numeric),
    )
    plain, other = (Conformal.of(fit.model_, one) for one in (coded, planted))
    assert not np.array_equal(plain.calibration.residual, other.calibration.residual)
    for name in ("fill", "centre", "spread", "slope", "intercept"):
        np.testing.assert_array_equal(
            getattr(plain.propensity, name), getattr(other.propensity, name)
        )


def test_a_half_width_covers_as_often_as_ranks_say():
    # Of 13 exchangeable residuals the smallest of the 12 seen that holds .9 of them is the last.
    n, level, n_draws = 12, 0.9, 4000
    residuals = np.random.default_rng(0).exponential(size=(n_draws, n + 1))
    arm, chances = np.ones(n, dtype=np.int64), np.full((n, 2), 0.5)
    held = [
        own[-1] <= half_widths(Calibration(own[:-1], arm, chances), 1, np.array([2.0]), level=level)
        for own in residuals
    ]
    share = np.ceil(level * (n + 1)) / (n + 1)
    assert abs(np.mean(held) - share) < 3.0 * np.sqrt(share * (1.0 - share) / n_draws)


def randomised(seed, n=600):
    """Both outcomes of every row, whose noises are opposite; arms by a coin."""
    rng = np.random.default_rng(seed)
    x, noise, t = rng.standard_normal((n, 2)), rng.standard_normal(n), rng.integers(0, 2, n)
    both = np.column_stack([x[:, 0] + noise, x[:, 1] + 1.0 - 2.0 * noise])
    frame = pd.DataFrame({"y": both[np.arange(n), t], "t": t, "a": x[:, 0], "b": x[:, 1]})
    roles = {"outcome": "y", "treatment": "t", "covariates": ["a", "b"]}
    return ck.CausalData.from_frame(frame, **roles), both


def test_intervals_in_randomised_data_cover_as_often_as_they_say():
    level, seen, drawn = 0.8, np.arange(400), [randomised(seed) for seed in range(40)]
    fits = ck.TransTEE.fit_many(
        [data.subset(seen) for data, _ in drawn],
        **(ARGUMENTS | {"n_heads": 1, "max_epochs": 2, "validation_fraction": 0.5}),
    )
    covered = {0: [], 1: [], "effect": []}
    for fit, (data, both) in zip(fits, drawn, strict=True):
        test, truth = data.subset(np.arange(400, 600)), both[400:]
        for arm in (0, 1):
            found = fit.outcome_interval(test, treatment=arm, level=level)
            inside = (found["conf_low"] <= truth[:, arm]) & (truth[:, arm] <= found["conf_high"])
            covered[arm].append(float(inside.mean()))
        found, effect = fit.effect(test, level=level), truth[:, 1] - truth[:, 0]
        inside = (found["conf_low"] <= effect) & (effect <= found["conf_high"])
        covered["effect"].append(float(inside.mean()))
    error = {name: np.std(shares, ddof=1) / np.sqrt(40) for name, shares in covered.items()}
    for arm in (0, 1):
        # Of about 100 held-out rows of an arm the row's own share adds half a hundredth at most.
        assert abs(np.mean(covered[arm]) - level) < 3.0 * error[arm]
    assert np.mean(covered["effect"]) > level - 3.0 * error["effect"]
