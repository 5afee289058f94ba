"""Networks of structured treatments begin where a linear regression on covariates ends."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck

pytest.importorskip("torch")

from causalkit.transtee import linear_start as module
from causalkit.transtee.linear_start import linear_start

QUICK = {"d_model": 16, "n_ensemble": 1, "max_epochs": 40, "patience": 10, "random_state": 0}


def linear_rows(n=400, p=5, noise=0.7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    return x, 3.0 + x @ np.arange(1.0, p + 1) + noise * rng.standard_normal(n)


def test_of_many_rows_slopes_are_least_squares_and_what_is_left_is_the_error_of_rows_left_out():
    x, y = linear_rows()
    design = np.column_stack([np.ones(len(y)), x])
    beta = np.linalg.lstsq(design, y)[0]
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    left_out = (y - design @ beta) / (1.0 - leverage)
    slopes, left = linear_start(x, y, None)
    np.testing.assert_allclose(slopes, beta[1:], rtol=1e-3)
    assert left == pytest.approx(np.sqrt((left_out**2).mean()), rel=1e-3)


def test_weights_count():
    x, y = linear_rows()
    weight = np.random.default_rng(1).uniform(0.0, 2.0, len(y))
    slopes, _ = linear_start(x, y, weight)
    # Of a penalised fit X'W(y - Xb) is a multiple of b, here with means by weight taken out.
    x, y = (values - np.average(values, axis=0, weights=weight) for values in (x, y))
    pull = x.T @ (weight / weight.mean() * (y - x @ slopes)) / slopes
    np.testing.assert_allclose(pull, pull[0], rtol=1e-6)
    unweighted = x.T @ (y - x @ slopes) / slopes
    assert np.ptp(unweighted) > 10.0


def test_covariates_that_tell_nothing_have_no_slopes_and_leave_all():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 80)), rng.standard_normal(60)
    slopes, left = linear_start(x, y, None)
    assert left == pytest.approx(y.std(), rel=0.05)
    assert np.abs(slopes).max() < 0.1


def test_what_is_left_of_a_linear_outcome_stays_a_unit():
    x, y = linear_rows(noise=0.0)
    assert linear_start(x, y, None)[1] == pytest.approx(1e-3 * y.std(), rel=1e-6)
    assert linear_start(x, np.ones(len(x)), None)[1] == 0.0


def with_items(seed=0, n=500, spread=20.0, noise=0.3, gap=None):
    """Rows whose covariates move the outcome by ``spread`` and items by about one."""
    rng = np.random.default_rng(seed)
    x, received = rng.uniform(-1.0, 1.0, (n, 4)), rng.integers(0, 25, n)
    items = pd.DataFrame(
        np.random.default_rng(99).uniform(-1.0, 1.0, (30, 2)), columns=["g0", "g1"]
    )
    effects = np.outer(x[:, 0], items["g0"]) + np.outer(1.0 + x[:, 1], items["g1"])
    y = spread * x.mean(axis=1) + effects[np.arange(n), received]
    y += noise * rng.standard_normal(n)
    frame = pd.DataFrame(x, columns=list("abcd")).assign(item=received, y=y)
    if gap is not None:
        frame.loc[::gap, "a"] = np.nan
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="item",
        kinds="structured",
        covariates=list("abcd"),
        missing="native",
        tables={"item_vectors": items.assign(item=range(30))},
    )
    return data, effects


def test_effects_beneath_a_larger_linear_outcome_are_found():
    left = []
    for seed in range(2):
        data, effects = with_items(seed)
        fit = ck.TransTEE(**QUICK).fit(data)
        found = fit.effect(data, treatment=list(range(1, 30)), baseline=0)["effect"].values
        true = effects[:, 1:] - effects[:, :1]
        left.append(np.sqrt(((found - true) ** 2).mean()) / true.std())
    # From slopes of zero .92 of the spread of the effects is left.
    assert np.mean(left) < 0.3


def test_the_size_of_the_linear_part_changes_no_effect():
    found = []
    for spread in (20.0, 200.0):
        data, _ = with_items(spread=spread)
        fit = ck.TransTEE(**QUICK).fit(data)
        found.append(fit.effect(data, treatment=[1, 2], baseline=0)["effect"].values)
    gap = np.sqrt(((found[0] - found[1]) ** 2).mean())
    assert gap < 0.1 * found[0].std()


def test_networks_together_start_as_alone():
    sets = [with_items(seed, gap=gap)[0] for seed, gap in ((0, 5), (1, 7))]
    for k, together in enumerate(ck.TransTEE.fit_many(sets, **QUICK)):
        data, alone = sets[k], ck.TransTEE(**(QUICK | {"random_state": k})).fit(sets[k])
        np.testing.assert_allclose(
            together.predict(data, treatment=[0, 29]),
            alone.predict(data, treatment=[0, 29]),
            rtol=1e-4,
            atol=1e-4,
        )


def test_only_numbers_under_structured_treatments_begin_at_a_regression(monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(module, "linear_start", refuse)
    data, _ = with_items(n=200)
    won = data.assign(y=(data.frame["y"] > 0).astype(int))
    few = QUICK | {"max_epochs": 2}
    ck.TransTEE(outcome="bernoulli", **few).fit(won)
    ck.TransTEE(**few).fit(ck.generators.multi_arm(0, n=200).blind())
    with pytest.raises(AssertionError):
        ck.TransTEE(**few).fit(data)
