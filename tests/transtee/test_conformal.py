"""Conformal intervals of rows, each under an arm of its own, whoever else is asked about."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.transtee.coding import code_data
from causalkit.transtee.conformal import Calibration, Conformal, half_widths

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


@pytest.mark.filterwarnings("ignore:the conformal intervals of")
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
        own[-1]
        <= half_widths(
            Calibration(own[:-1], arm, chances, np.ones(n), np.ones(())),
            1,
            np.array([2.0]),
            level=level,
        )
        for own in residuals
    ]
    share = np.ceil(level * (n + 1)) / (n + 1)
    assert abs(np.mean(held) - share) < 3.0 * np.sqrt(share * (1.0 - share) / n_draws)


def test_an_arm_that_few_receive_is_weighted_by_who_receives_it():
    """Half of all rows get arm 1 ten times as rarely, and their residuals are three times as wide.

    With propensities raised to .01 all would weigh alike, and the width hold 61 %.
    """
    rng = np.random.default_rng(0)
    wide = np.repeat([1.0, 3.0], 20_000)
    chance = np.where(wide > 1.0, 0.001, 0.01)
    held = []
    for _ in range(100):
        arm = (rng.random(wide.size) < chance).astype(np.int64)
        residual = np.abs(wide * rng.standard_normal(wide.size))
        chances = np.column_stack([1.0 - chance, chance])
        seen = Calibration(residual, arm, chances, np.ones(wide.size), np.ones(()))
        half = half_widths(seen, 1, 1.0 / chance, level=0.8)
        held.append(np.mean(np.abs(wide * rng.standard_normal(wide.size)) <= half))
    assert abs(np.mean(held) - 0.8) < 0.02


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


def weighted(kind, values=1.0):
    frame = three_arms().frame.assign(w=values)
    roles = {"weights": "w", "weight_kind": kind}
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", kinds=("multi",), covariates=["a", "b"], **roles
    )


def held_out(weight, chance=0.5):
    """Held-out residuals 0, 1, ... of one arm."""
    n = len(weight)
    return Calibration(
        np.arange(n, dtype=float),
        np.zeros(n, dtype=int),
        np.full((n, 2), chance),
        np.asarray(weight, dtype=float),
        np.ones(()),
    )


def test_a_held_out_row_with_a_weight_of_two_is_that_row_twice():
    weight = np.array([1, 2, 1, 3, 2])
    counted = held_out(weight)
    rows = np.repeat(np.arange(5), weight)
    repeated = held_out(np.ones(9))
    repeated = replace(repeated, residual=counted.residual[rows])
    own = np.array([0.5, 2.0, 5.0])
    for level in (0.2, 0.5, 0.8):
        found = half_widths(counted, 0, own, level=level)
        assert found.tolist() == half_widths(repeated, 0, own, level=level).tolist()


@pytest.mark.parametrize("kind", ["sampling", "frequency"])
def test_intervals_honour_weights(kind):
    # Rows with much noise weigh little: an interval of the weighted population is narrower.
    plain = three_arms()
    noisy = np.abs(plain.column("outcome") - plain.frame["a"]) > 4.0 ** plain.frame["t"]
    data = weighted(kind, np.where(noisy, 1, 20))
    fit = ck.TransTEE(**ARGUMENTS).fit(data)
    calm = width(fit.outcome_interval(data, treatment=2, level=0.8))
    held = fit._conformal.calibration
    flat = Calibration(
        held.residual, held.arm, held.propensity, np.ones(held.arm.size), np.ones(())
    )
    fit._conformal = Conformal(flat, fit._conformal.propensity)
    wide = width(fit.outcome_interval(plain, treatment=2, level=0.8))
    assert np.median(calm) < 0.9 * np.median(wide)


def test_a_row_asked_about_counts_by_its_own_sampling_weight():
    data = weighted("sampling", np.where(np.arange(400) < 200, 1.0, 60.0))
    fit = ck.TransTEE(**ARGUMENTS).fit(data)
    coded = code_data(fit.model_.coding, data)
    assert float(fit._conformal.calibration.unit) == pytest.approx(coded.weight.mean())
    # A row of large weight is a larger part of what its quantile is taken of.
    chances = fit._conformal.chances(fit.model_, fit.model_.asked(data))
    found = width(fit.outcome_interval(data, treatment=1, level=0.9))
    order = np.argsort(coded.weight / chances[:, 1])
    assert (np.diff(found[order]) >= -1e-9).all()
    assert found[order][0] < found[order][-1]


def test_propensities_are_of_the_weighted_rows():
    plain = three_arms()
    arm = plain.frame["t"].to_numpy()
    data = weighted("frequency", 1 + 3 * (arm == 2))
    fit = ck.TransTEE(**ARGUMENTS).fit(data)
    found = fit._conformal.chances(fit.model_, fit.model_.asked(data)).mean(axis=0)
    times = np.bincount(arm, weights=data.weights())
    np.testing.assert_allclose(found, times / times.sum(), atol=0.05)


def test_precisions_are_refused():
    with pytest.raises(ArgumentError, match="precision weights say how noisy"):
        ck.TransTEE(**ARGUMENTS).fit(weighted("precision"))


def test_unbounded_intervals_are_told_with_what_to_do(fit, data):
    with pytest.warns(CausalKitWarning) as said:
        found = fit.effect(data, level=0.95)
    endless = np.isinf(found["conf_high"]).any("treatment").sum()
    held = np.bincount(fit._conformal.calibration.arm)
    assert held.max() < 39
    assert str(said[0].message) == (
        f"the conformal intervals of {int(endless)} of {len(data)} rows are unbounded: at level "
        "0.95 (each of the two outcomes is held at 0.975) an arm needs at least 39 held-out rows, "
        f"more where it is rare, and the arms have {held[0]}, {held[1]}, {held[2]}. Fit with a "
        "larger validation_fraction, or ask for a lower level."
    )
    with pytest.warns(CausalKitWarning, match="at level 0.99 an arm needs at least 99 held-out"):
        fit.outcome_interval(data, treatment=1, level=0.99)


def test_weights_are_saved_with_the_intervals(tmp_path):
    data = weighted("sampling", np.linspace(1.0, 9.0, 400))
    fit = ck.TransTEE(**ARGUMENTS).fit(data)
    fit.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    expected = fit.outcome_interval(data, treatment=1, level=0.8)
    assert again.outcome_interval(data, treatment=1, level=0.8).identical(expected)
