"""What one batch asks of the parameters: the push against a treatment model, and dropout."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.transtee import fitting
from causalkit.transtee.coding import code_data, coding_of
from causalkit.transtee.fitting import fit_members
from causalkit.transtee.membership import members_of
from causalkit.transtee.objective import _dropout
from causalkit.transtee.regulariser import hsic
from causalkit.transtee.settings import Settings


@pytest.fixture
def begun(monkeypatch):
    """Function from data and arguments to what training would begin from."""

    def begin(data, **arguments):
        kept = []

        def keep(state, objective, rows, *rest, **more):
            kept.append((state.flat, objective, torch.as_tensor(rows[0])[None]))
            return state

        coding = coding_of(data)
        coded = code_data(coding, data)
        settings = Settings.of(ck.TransTEE(**(SMALL | arguments)), seed=0)
        members = members_of(coded, 0, settings, 0, np.arange(coded.n))
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "train", keep)
            fit_members(coding, [coded], members, settings)
        return kept[0]

    return begin


def push(flat, objective, rows, progress):
    """What the regulariser adds to the gradient of the outcome loss."""
    both, alone = deepcopy(objective), replace(objective, adversary=None, hsic_weight=0.0)
    for one in (both, alone):
        one.start_epoch(0, progress)
    return both.gradient(flat, rows)[1] - alone.gradient(flat, rows)[1]


@pytest.mark.parametrize("regularizer", ["tr", "ptr"])
def test_the_push_grows_over_the_first_fifth_of_training(begun, regularizer):
    flat, objective, rows = begun(arms_data(), regularizer=regularizer, regularizer_weight=0.5)
    none, half, full, later = (push(flat, objective, rows, p) for p in (0.0, 0.1, 0.2, 0.7))
    assert not none.any()
    assert 1e-4 < full.norm() < 1.0, "a push that is clipped tells nothing of its strength"
    torch.testing.assert_close(2.0 * half, full, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(later, full, atol=1e-6, rtol=1e-3)


def test_the_push_is_no_longer_than_one_however_large_its_weight(begun):
    for weight in (1e3, 1e5):
        part = begun(arms_data(), regularizer="tr", regularizer_weight=weight)
        assert float(push(*part, 1.0).norm()) == pytest.approx(1.0, rel=1e-3)


def molecules(**treatments):
    """Vectors as treatments, chosen by a covariate, and perhaps two arms beside them."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((12, 2))
    x = rng.standard_normal((160, 2))
    chosen = (x @ features.T + rng.gumbel(size=(160, 12))).argmax(axis=1)
    frame = pd.DataFrame({"y": x[:, 0] + features[chosen, 0], "m": chosen, "a": x[:, 0]})
    return ck.CausalData.from_frame(
        frame.assign(b=x[:, 1], **treatments),
        outcome="y",
        treatment=["m", *treatments],
        kinds=("structured", *["binary"] * len(treatments)),
        covariates=["a", "b"],
        tables={"m_vectors": pd.DataFrame(features, columns=["f", "g"]).assign(m=range(12))},
    )


def test_structured_treatments_and_the_representation_are_pushed_apart(begun):
    flat, objective, rows = begun(molecules(), regularizer="tr", regularizer_weight=2.0)

    def dependence(at):
        with torch.no_grad():
            _, memory, received = objective._forward(at, rows, None)
            weight = objective._weights(rows)
            return float(hsic(memory.pooled(), received.items[:, :, 0], weight))

    before, step = dependence(flat), push(flat, objective, rows, 1.0)
    assert before > 0.05
    assert dependence(flat - 0.1 * step) < before < dependence(flat + 0.1 * step)


def test_arms_beside_a_structured_treatment_are_pushed_against_as_well(begun):
    arm = (np.arange(160) % 3 == 0).astype(int)
    flat, objective, rows = begun(molecules(arm=arm), regularizer="tr", regularizer_weight=0.5)
    items, arms = replace(objective, adversary=None), replace(objective, hsic_weight=0.0)
    parts = [push(flat, one, rows, 1.0) for one in (items, arms)]
    assert all(1e-4 < part.norm() < 0.5 for part in parts)
    torch.testing.assert_close(push(flat, objective, rows, 1.0), sum(parts), atol=1e-6, rtol=1e-3)


def test_the_loss_of_huber_is_no_square_of_large_residuals(begun):
    frame = arms_frame()
    frame.loc[frame.index % 15 == 0, "y"] += 40.0
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
    rows = torch.arange(240)[None]
    squares, bent = (
        objective._forward(flat, rows, None)[0]
        for flat, objective, _ in (begun(data, outcome=name) for name in ("gaussian", "huber"))
    )
    size = squares.sqrt()
    assert (size > 2.0).sum() > 10
    torch.testing.assert_close(bent, torch.where(size < 1.0, 0.5 * squares, size - 0.5))


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = torch.ones(2, 50, 40, 8)
    drop = _dropout(0.3, [1, 2], 0, "cpu")
    found = drop(x)
    assert float((found == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(found.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(found, drop(x))
    assert not torch.equal(found[0], found[1])


def test_dropout_is_of_training_alone(begun):
    flat, objective, rows = begun(arms_data(), dropout=0.4)
    plain = begun(arms_data())[1]
    for one in (objective, plain):
        one.start_epoch(0, 0.0)
    dropped, whole = (one.gradient(flat, rows)[0] for one in (objective, plain))
    assert not torch.isclose(dropped, whole, rtol=1e-3)
    assert torch.equal(objective.validation(flat), plain.validation(flat))
