"""What shuffling a covariate does: to the loss of the family, and of sequences and graphs too."""

import numpy as np
import pandas as pd
import pytest
from test_covariate_graphs import data_of, graphs
from transtee_designs import SMALL, arms_frame, with_steps

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.transtee.attention import _shuffled
from causalkit.transtee.covariates import encode_covariates

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def with_visits(n=200):
    rng = np.random.default_rng(0)
    visits = rng.standard_normal((n, 3, 2)).astype(np.float32)
    t = np.arange(n) % 2
    y = 3.0 * visits[:, :, 0].mean(axis=1) * (1.0 + t) + 0.1 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "t": t, "a": rng.standard_normal(n)})
    return with_steps(frame, visits)


@pytest.mark.parametrize("family", ["gaussian", "huber", "bernoulli", "poisson"])
def test_the_loss_of_shuffled_rows_is_that_of_the_family(family, monkeypatch):
    """Shuffled into its own place a covariate changes nothing; in another, loss() says by what."""
    from causalkit.transtee import attention

    frame = arms_frame()
    frame["y"] = (frame["y"] > 0).astype(float)
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
    fit = ck.TransTEE(**SMALL | {"max_epochs": 2}, outcome=family).fit(data)
    turned = np.arange(240)[::-1]

    class Draws:
        def permutation(self, n):
            return turned

    monkeypatch.setattr(attention, "stream", lambda *_: Draws())
    found = fit.permutation_importance(data, n_repeats=1).set_index("covariate")["loss_increase"]
    for name in "abc":
        moved = data.like(frame.assign(**{name: frame[name].to_numpy()[turned]}))
        rise = fit.loss(moved).mean - fit.loss(data).mean
        assert found[name] == pytest.approx(rise, rel=1e-5, abs=1e-9)


def test_a_sequence_is_shuffled_as_one_covariate_and_has_the_attention_of_its_steps():
    data = with_visits(400)
    fit = ck.TransTEE(**SMALL | {"max_epochs": 60, "lr": 1e-2}).fit(data)
    found = fit.permutation_importance(data, n_repeats=2).set_index("covariate")
    assert found.index.tolist() == ["a", "visits"]
    assert found["loss_increase"]["visits"] > 5.0 * abs(found["loss_increase"]["a"])
    assert found["attention"].sum() == pytest.approx(1.0, abs=1e-5)


def test_a_graph_is_shuffled_as_one_covariate():
    data = data_of(*graphs(60))
    fit = ck.TransTEE(**SMALL | {"max_epochs": 1}).fit(data)
    found = fit.permutation_importance(data, n_repeats=1).set_index("covariate")
    assert found.index.tolist() == ["x", "site"]
    assert found["effect_change"]["site"] > 0
    assert found["attention"].sum() == pytest.approx(1.0, abs=1e-5)


def test_steps_move_with_their_mask_and_nothing_else_moves():
    data = with_visits(10)
    covariates = encode_covariates(
        ck.TransTEE(**SMALL | {"max_epochs": 1}).fit(with_visits()).model_.coding.covariates, data
    )
    order = np.arange(10)[::-1]
    found = _shuffled(covariates, 1, order)
    np.testing.assert_array_equal(found.sequences[0], covariates.sequences[0][order])
    np.testing.assert_array_equal(found.masks[0], covariates.masks[0][order])
    assert found.numeric is covariates.numeric


@pytest.mark.parametrize("missing", ["y", "t"])
def test_rows_without_outcomes_or_treatments_have_no_factual_loss(arms_fit, missing):
    data = arms_fit._data.like(arms_frame().drop(columns=missing))
    for ask in (arms_fit.permutation_importance, arms_fit.score, arms_fit.loss):
        with pytest.raises(ArgumentError, match="needs outcomes and treatments, and these rows"):
            ask(data)
