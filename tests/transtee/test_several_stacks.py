"""Networks whose data have parts of other sizes, and so train in stacks of their own."""

import numpy as np
import pytest
import torch
from transtee_designs import SMALL, uneven

import causalkit as ck
from causalkit.transtee.predicting import mean_outcomes, representation


@pytest.fixture(scope="module")
def data():
    return uneven()


@pytest.fixture(scope="module")
def fit(data):
    made = ck.TransTEE(**(SMALL | {"n_ensemble": 4, "max_epochs": 2})).fit(data)
    assert len(made.model_.stacks) > 1
    return made


def test_predicting_leaves_torch_as_it_was(fit, data):
    fit.effect(data)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    weight = torch.ones(2, requires_grad=True)
    (2.0 * weight).sum().backward()
    assert weight.grad.tolist() == [2.0, 2.0]


def test_stacks_with_other_numbers_of_networks_answer_in_pieces_of_the_same_rows(fit, data):
    first, asked = fit.model_.stacks[0], fit._asked(data)
    twice = first.kept([0, 0, 0])
    actions = [fit.model_.action(arm, asked) for arm in (0, 1)]
    alone = [mean_outcomes([stack], asked.covariates, actions) for stack in (first, twice)]
    # A budget of some rows at once, of fewer where a stack has more networks.
    both = mean_outcomes([first, twice], asked.covariates, actions, memory_budget=2**19)
    np.testing.assert_allclose(both, np.concatenate(alone), atol=1e-6)


def test_representations_come_in_pieces(fit, data):
    stack, covariates = fit.model_.stacks[0], fit._asked(data).covariates
    whole = representation(stack, covariates)
    np.testing.assert_allclose(
        representation(stack, covariates, memory_budget=2**17), whole, atol=1e-6
    )
