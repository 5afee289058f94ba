"""Networks whose data have parts of other sizes, and so train in stacks of their own."""

import numpy as np
import pytest
import torch
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.transtee.predicting import mean_outcomes, representation


@pytest.fixture(scope="module")
def uneven():
    """Clusters of one to three rows: parts of two ensemble members are seldom of one size."""
    sizes = np.random.default_rng(0).integers(1, 4, 240)
    frame = arms_frame().assign(place=np.repeat(np.arange(240), sizes)[:240])
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], cluster="place"
    )


@pytest.fixture(scope="module")
def fit(uneven):
    made = ck.TransTEE(**(SMALL | {"n_ensemble": 4, "max_epochs": 2})).fit(uneven)
    assert len(made.model_.stacks) > 1
    return made


def test_predicting_leaves_torch_as_it_was(fit, uneven):
    fit.effect(uneven)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    weight = torch.ones(2, requires_grad=True)
    (2.0 * weight).sum().backward()
    assert weight.grad.tolist() == [2.0, 2.0]


def test_stacks_with_other_numbers_of_networks_answer_in_pieces_of_the_same_rows(fit, uneven):
    first, asked = fit.model_.stacks[0], fit._asked(uneven)
    twice = first.kept([0, 0, 0])
    actions = [fit.model_.action(arm, asked) for arm in (0, 1)]
    alone = [mean_outcomes([stack], asked.covariates, actions) for stack in (first, twice)]
    # A budget of some rows at once, of fewer where a stack has more networks.
    both = mean_outcomes([first, twice], asked.covariates, actions, memory_budget=2**19)
    np.testing.assert_allclose(both, np.concatenate(alone), atol=1e-6)


def test_representations_come_in_pieces(fit, uneven):
    stack, covariates = fit.model_.stacks[0], fit._asked(uneven).covariates
    whole = representation(stack, covariates)
    np.testing.assert_allclose(
        representation(stack, covariates, memory_budget=2**17), whole, atol=1e-6
    )
