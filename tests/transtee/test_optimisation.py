"""Steps of training: their rates, clipping and decay, and the weights that are kept in the end."""

import numpy as np
import pytest
import torch
from test_training import Breaks
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.transtee.layout import Layout
from causalkit.transtee.optimiser import AdamW
from causalkit.transtee.plan import Plan
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape
from causalkit.transtee.training import State, train

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def test_weights_that_are_returned_have_the_least_validation_loss():
    # Outcomes are noise, of which more epochs learn more.
    noise = np.random.default_rng(0).standard_normal(80)
    data = ck.CausalData.from_frame(
        arms_frame(80).assign(y=noise), outcome="y", treatment="t", covariates=["a", "b", "c"]
    )
    fit = ck.TransTEE(**(SMALL | {"lr": 0.05, "batch_size": 16})).fit(data)
    losses = fit.history_["validation_loss"].to_numpy()
    stack = fit.model_.stacks[0]
    valid = data.subset(stack.members[0].valid)
    residual = valid.column("outcome") - fit.predict(valid, treatment=valid.frame["t"].to_numpy())
    found = ((residual / stack.scales.y_spread.item()) ** 2).mean()
    assert found == pytest.approx(losses.min(), rel=1e-3)
    assert found < 0.95 * losses[-1], "the last epoch must be worse for this to be a test"


def expected_rates(lr, n_steps):
    """Fifty steps up and a cosine down to zero, the one times the other."""
    step = np.arange(n_steps)
    return lr * np.minimum(1.0, (step + 1) / 50) * 0.5 * (1.0 + np.cos(np.pi * step / n_steps))


def test_the_rate_warms_up_for_fifty_steps_and_ends_at_zero():
    plan = Plan(lr=0.01, max_epochs=10)
    found = [plan.rate(step, 100) for step in (0, 24, 49, 500, 1000)]
    cosine = 0.5 * (1.0 + np.cos(np.pi * np.array([0.0, 0.024, 0.049, 0.5, 1.0])))
    np.testing.assert_allclose(found, 0.01 * cosine * [0.02, 0.5, 1.0, 1.0, 1.0], atol=1e-12)
    np.testing.assert_allclose([plan.rate(s, 100) for s in range(1000)], expected_rates(0.01, 1000))


@pytest.mark.parametrize("regularizer", [None, "tr"])
def test_every_step_of_a_fit_has_its_rate_its_clip_and_its_decay(monkeypatch, regularizer):
    rates, decays, clips = [], [], set()
    update = AdamW.update

    def watched(self, flat, gradient, *, lr, decay, clip=0.0):
        rates.append(float(lr))
        decays.append(decay)
        clips.add(clip)
        return update(self, flat, gradient, lr=lr, decay=decay, clip=clip)

    monkeypatch.setattr(AdamW, "update", watched)
    arguments = SMALL | {"batch_size": 16, "max_epochs": 5, "lr": 0.01}
    fit = ck.TransTEE(**arguments, regularizer=regularizer).fit(arms_data())
    assert len(rates) == 5 * 12
    np.testing.assert_allclose(rates, expected_rates(0.01, 60), rtol=1e-5)
    assert clips == {1.0}
    blocks = fit.model_.stacks[0].network.layout.unpack(decays[-1][None])
    assert blocks["head.out.weight"].unique().tolist() == pytest.approx([0.01])
    assert not blocks["arm"].any()


class Slope(Breaks):
    """An objective whose gradient is the same everywhere."""

    def __init__(self, slope):
        super().__init__(at=())
        self.slope = slope

    def gradient(self, flat, rows):
        return (flat * self.slope).sum(dim=1), self.slope.expand_as(flat).clone()


def stepped(slope, **arguments):
    """State after one step from ones."""
    plan = Plan(batch_size=20, max_epochs=1, **arguments)
    kept = []
    train(
        State.of(torch.ones(1, 3)),
        Slope(torch.tensor(slope)),
        [np.arange(20)],
        [0],
        plan,
        torch.tensor([1.0, 0.0, 1.0]),
        save=lambda state, _: kept.append((state.flat.clone(), state.adam.first.clone())),
    )
    return kept[0]


@pytest.mark.parametrize(("length", "clipped"), [(100.0, 1.0), (1.5, 1.0), (0.5, 0.5)])
def test_gradients_longer_than_one_are_cut_to_one(length, clipped):
    _, first = stepped([0.6 * length, 0.8 * length, 0.0])
    # The running mean of gradients has a tenth of the first.
    torch.testing.assert_close(first, 0.1 * clipped * torch.tensor([[0.6, 0.8, 0.0]]))


def test_decay_pulls_what_the_mask_names_and_nothing_else():
    # The first step has a fiftieth of the rate.
    flat, _ = stepped([0.0, 0.0, 0.0], lr=0.5, weight_decay=10.0)
    torch.testing.assert_close(flat, torch.tensor([[0.9, 1.0, 0.9]]))


def test_norms_biases_and_embeddings_do_not_decay():
    table = TableShape(3, levels=(2, 4), native_missing=True, sequences=((5, 2),), node_features=2)
    actions = ActionShape(2, (True, True), 2, item_features=3, item_kind="graph")
    layouts = [
        NetShape(table, actions, width=8, n_heads=2, normed_memory=True).layout(),
        NetShape(TableShape(9, levels=(3,)), actions, width=8, n_heads=2, bottleneck=2).layout(),
    ]
    blocks = {name: block for layout in layouts for name, block in layout.blocks.items()}
    layout = Layout(blocks)
    mask = layout.unpack(layout.decay_mask()[None])
    decaying = {name for name, values in mask.items() if values.all()}
    assert all(not mask[name].any() for name in mask.keys() - decaying)
    # Matrices of linear maps; tokens of numeric covariates are looked up by column, as levels are.
    maps = {name for name in blocks if name.endswith(".weight")} - {"table.weight"}
    maps.add("linear.scores")
    assert decaying == maps
    kept = {"arm", "table.bias", "table.level1", "sequence0.position", "head.norm.scale"}
    assert kept | {"dose.scale", "memory.shift", "head.out.bias"} <= mask.keys() - decaying
