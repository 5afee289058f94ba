"""Losses of outcomes that were observed, by which settings are compared."""

import numpy as np
import pytest
from scipy.special import huber, xlogy
from sklearn.metrics import log_loss, mean_poisson_deviance
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.errors import ArgumentError

FEW = SMALL | {"max_epochs": 2}


def data_of(frame, **roles):
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], **roles
    )


def received(fit, data):
    return fit.predict(data, treatment=data.frame["t"].to_numpy())


def test_the_loss_of_rows_is_that_of_the_action_that_they_received(arms_fit):
    data = arms_data(150, seed=3)
    found = arms_fit.loss(data)
    expected = (data.column("outcome") - received(arms_fit, data)) ** 2
    np.testing.assert_allclose(found.by_row, expected, rtol=1e-6)
    assert found.mean == pytest.approx(expected.mean())
    assert found.std_error == pytest.approx(expected.std(ddof=1) / np.sqrt(150))
    assert arms_fit.score(data) == -found.mean


def test_losses_are_those_of_the_family():
    frame = arms_frame()
    for family, y, of in (
        ("bernoulli", (frame["y"] > 0).astype(float), log_loss),
        (
            "poisson",
            np.floor(np.exp(frame["y"] / 2)),
            # Half the deviance leaves out the largest log-likelihood that an outcome can have.
            lambda y, mu: 0.5 * mean_poisson_deviance(y, mu) + (y - xlogy(y, y)).mean(),
        ),
        ("huber", frame["y"], lambda y, mu: huber(y.std(), y - mu).mean()),
    ):
        data = data_of(frame.assign(y=y))
        fit = ck.TransTEE(outcome=family, **FEW).fit(data)
        found = of(data.column("outcome"), received(fit, data))
        assert fit.loss(data).mean == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("family", ["gaussian", "huber"])
def test_a_frequency_is_as_many_rows(family):
    count = np.arange(240) % 3 + 1
    frame = arms_frame()
    fit = ck.TransTEE(outcome=family, **FEW).fit(data_of(frame))
    counted = data_of(frame.assign(w=count), weights="w", weight_kind="frequency")
    found, every = fit.loss(counted), fit.loss(data_of(frame.loc[frame.index.repeat(count)]))
    assert found.mean == pytest.approx(every.mean)
    assert found.std_error == pytest.approx(every.std_error)


def test_rows_of_a_unit_count_once_in_the_error(arms_fit):
    frame = arms_frame()
    twice = frame.loc[frame.index.repeat(2)].assign(unit=np.repeat(np.arange(240), 2))
    alone, both = arms_fit.loss(data_of(frame)), arms_fit.loss(data_of(twice, unit="unit"))
    assert both.mean == pytest.approx(alone.mean)
    assert both.std_error == pytest.approx(alone.std_error)


def test_outcomes_are_needed_and_must_be_possible(arms, arms_fit):
    with pytest.raises(ArgumentError, match="needs outcomes and treatments, and these"):
        arms_fit.loss(arms.like(arms.frame.drop(columns="y")))
    binary = data_of(arms_frame().assign(y=np.arange(240) % 2))
    fit = ck.TransTEE(outcome="bernoulli", **FEW).fit(binary)
    with pytest.raises(ArgumentError, match="outcome='bernoulli' is for outcomes between 0 and 1"):
        fit.loss(arms)


def test_all_estimators_of_networks_have_losses(arms):
    from causalkit.transtee.baselines import TARNet
    from causalkit.transtee.released import ReleasedTransTEE

    for made in (TARNet(max_epochs=1, n_ensemble=1), ReleasedTransTEE(max_epochs=1)):
        fit = made.fit(arms)
        expected = ((arms.column("outcome") - received(fit, arms)) ** 2).mean()
        assert fit.loss(arms).mean == pytest.approx(expected, rel=1e-6)


def test_items_of_new_rows_are_judged_by_their_own_tables():
    data = ck.generators.graph_sw(0, n=60, n_test=20, n_graphs=6, n_covariates=2).blind()
    fit = ck.TransTEE(**FEW).fit(data)
    expected = fit.predict(data, treatment=data.frame["graph"].to_numpy())
    np.testing.assert_allclose(
        fit.loss(data).by_row, (data.column("outcome") - expected) ** 2, rtol=1e-4
    )
