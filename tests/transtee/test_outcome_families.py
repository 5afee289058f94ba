"""Families of outcomes: answers in the user's units, and how far an outlier pulls."""

import numpy as np
import torch
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.transtee.families import mean_outcome, outcome_loss


def test_losses_have_the_derivatives_of_their_families():
    y = torch.tensor([0.0, 0.0, 1.0, 3.0])
    out = torch.tensor([10.0, -0.5, 0.3, 0.3], requires_grad=True)
    slopes = {
        "gaussian": 2.0 * (out - y),
        "huber": (out - y).clamp(-1.0, 1.0),
        "bernoulli": out.sigmoid() - y,
        "poisson": out.exp() - y,
    }
    for family, expected in slopes.items():
        (found,) = torch.autograd.grad(outcome_loss(family, out, y).sum(), out)
        torch.testing.assert_close(found, expected.detach())


def test_means_are_in_the_units_of_the_outcome():
    out, centre, spread = torch.tensor([-1.0, 2.0]), torch.tensor(5.0), torch.tensor(3.0)
    expected = {
        "gaussian": [2.0, 11.0],
        "huber": [2.0, 11.0],
        "bernoulli": [0.26894, 0.88080],
        "poisson": [0.36788, 7.38906],
    }
    for family, values in expected.items():
        found = mean_outcome(family, out, centre, spread)
        np.testing.assert_allclose(found, values, rtol=1e-4)


def test_counts_are_answered_as_counts():
    frame = arms_frame(100)
    frame["y"] = np.random.default_rng(0).poisson(np.exp(1.5 + 0.5 * frame["t"]))
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
    arguments = SMALL | {"outcome": "poisson", "batch_size": 20, "lr": 2e-2}
    mu = ck.TransTEE(**arguments).fit(data).predict(data, treatment=[0, 1])
    np.testing.assert_allclose(mu.mean(axis=0), frame.groupby("t")["y"].mean(), rtol=0.2)
