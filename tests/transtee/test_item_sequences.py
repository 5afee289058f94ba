"""Treatments that are sequences: their order counts, and their padding does not."""

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import DataError

KINDS = ((0, 1), (1, 0), (2, 0), (0, 2))
EFFECTS = np.array([0.0, 3.0, 6.0, -2.0])


def steps_of(sequences):
    """Table of sequences of events, of which each has an indicator."""
    parts = [
        pd.DataFrame(np.eye(3)[list(events)], columns=["e0", "e1", "e2"]).assign(
            plan=name, step=range(len(events))
        )
        for name, events in sequences.items()
    ]
    return pd.concat(parts, ignore_index=True)


def plans(sequences=None, n=400):
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, n)
    frame = pd.DataFrame({"a": rng.standard_normal(n), "plan": [f"p{k}" for k in which]})
    frame["y"] = frame["a"] + EFFECTS[which] + 0.1 * rng.standard_normal(n)
    sequences = sequences or {f"p{k}": events for k, events in enumerate(KINDS)}
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="plan",
        kinds=("structured",),
        covariates="a",
        tables={"plan_steps": steps_of(sequences)},
    )


@pytest.fixture(scope="module")
def fit():
    arguments = SMALL | {"d_model": 16, "max_epochs": 60, "lr": 1e-2}
    return ck.TransTEE(**arguments).fit(plans())


def test_the_effect_of_an_order_is_learned(fit):
    found = fit.effect(plans(), treatment=["p1", "p2", "p3"], baseline="p0")["effect"]
    np.testing.assert_allclose(found.mean("obs"), EFFECTS[1:], atol=0.5)


def test_the_same_steps_in_another_order_are_another_treatment():
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(plans())
    one, other = fit.predict(plans(), treatment=["p0", "p1"]).T
    assert np.abs(one - other).min() > 1e-3


def test_steps_that_are_not_there_change_nothing(fit):
    # Beside a longer sequence the others are padded, and so are all beside none.
    alone = {"p0": (0, 1), "p1": (1,), "p2": (2,), "p3": (0,)}
    long = alone | {"p0": (0,)}
    for name in ("p1", "p2", "p3"):
        beside = fit.predict(plans(alone), treatment=name)
        np.testing.assert_allclose(fit.predict(plans(long), treatment=name), beside, atol=1e-5)


def test_a_sequence_longer_than_those_of_training_is_refused(fit):
    longer = plans({f"p{k}": events for k, events in enumerate(KINDS)} | {"p2": (2, 0, 1)})
    with pytest.raises(DataError, match="at most 2 steps in training, and 'p2' has 3"):
        fit.predict(longer, treatment="p0")


def test_networks_of_sequences_come_back(fit, tmp_path):
    fit.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    expected = fit.predict(plans(), treatment="p1")
    assert np.array_equal(again.predict(plans(), treatment="p1"), expected)
