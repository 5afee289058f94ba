"""The network: who sees whom, what order and padding may change, and what it can tell apart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from transtee_designs import SMALL, arms_data, arms_frame, scales_of

import causalkit as ck
from causalkit.transtee.coding import code_data, coding_of
from causalkit.transtee.layout import Layout, apply_linear, linear
from causalkit.transtee.networks import Actions, Rows, decode, encode, encode_graphs, graph_matrices
from causalkit.transtee.objective import Network
from causalkit.transtee.products import member_products
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape


def network(**changed):
    shape = NetShape(
        table=TableShape(n_numeric=4, **changed.pop("table", {})),
        actions=ActionShape(n_arms=3, dosed=(False, True, True), n_slots=changed.pop("slots", 1)),
        width=8,
        n_heads=2,
        width_ff=16,
        **changed,
    )
    layout = shape.layout()
    flat = layout.initial([torch.Generator().manual_seed(seed) for seed in (0, 1)])
    return shape, layout.unpack(flat)


def actions(arms, doses, active=None):
    return Actions(torch.as_tensor(arms), torch.as_tensor(doses, dtype=torch.float32), active)


def asked(n_rows, n_actions, slots=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (2, n_rows, n_actions, slots)
    arms = torch.randint(0, 3, shape[1:], generator=g).expand(shape)
    doses = torch.rand(shape[1:], generator=g).expand(shape)
    active = torch.rand(shape[1:], generator=g) > 0.5
    active[..., 0] = True
    return Actions(arms, doses, active.expand(shape) if slots > 1 else None)


def rows(n, seed=1):
    g = torch.Generator().manual_seed(seed)
    return Rows(numeric=torch.randn(2, n, 4, generator=g))


def some(made, pick):
    return Actions(
        made.arms[:, :, pick],
        made.doses[:, :, pick],
        None if made.active is None else made.active[:, :, pick],
    )


@pytest.mark.parametrize("slots", [1, 3])
def test_an_action_never_sees_the_others_that_are_asked_about(slots):
    shape, p = network(slots=slots)
    memory = encode(p, shape, rows(5))
    many = asked(5, 1000, slots)
    every = decode(p, shape, memory, many)
    for g in (0, 517, 999):
        one = decode(p, shape, memory, some(many, [g]))
        torch.testing.assert_close(one[..., 0], every[..., g], atol=1e-6, rtol=1e-5)


def test_a_row_never_sees_the_other_rows():
    shape, p = network()
    batch, made = rows(64), asked(64, 2)
    every = decode(p, shape, encode(p, shape, batch), made)
    alone = Rows(numeric=batch.numeric[:, 7:8])
    mine = Actions(made.arms[:, 7:8], made.doses[:, 7:8])
    one = decode(p, shape, encode(p, shape, alone), mine)
    torch.testing.assert_close(one[:, 0], every[:, 7], atol=1e-6, rtol=1e-5)


def test_what_an_empty_slot_holds_changes_nothing():
    shape, p = network(slots=3)
    memory, made = encode(p, shape, rows(6)), asked(6, 4, slots=3)
    junk = torch.where(made.active, made.doses, 99.0)
    arms = torch.where(made.active, made.arms, 0)
    left = decode(p, shape, memory, made)
    right = decode(p, shape, memory, Actions(arms, junk, made.active))
    torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-6)


def test_the_order_of_slots_changes_nothing():
    shape, p = network(slots=3)
    memory, made = encode(p, shape, rows(6)), asked(6, 4, slots=3)
    everything = torch.ones_like(made.active)
    turn = [2, 0, 1]
    left = decode(p, shape, memory, Actions(made.arms, made.doses, everything))
    right = decode(
        p, shape, memory, Actions(made.arms[..., turn], made.doses[..., turn], everything)
    )
    torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)


def test_padding_is_neutral():
    shape, p = network(table={"sequences": ((6, 2),)})
    g = torch.Generator().manual_seed(3)
    steps = torch.randn(2, 5, 6, 2, generator=g)
    mask = torch.zeros(2, 5, 6, dtype=torch.bool)
    mask[:, :, :4] = True
    made = asked(5, 3)
    short = Rows(rows(5).numeric, sequences=(steps[:, :, :4],), masks=(mask[:, :, :4],))
    long = Rows(rows(5).numeric, sequences=(steps,), masks=(mask,))
    outs = [decode(p, shape, encode(p, shape, one), made) for one in (short, long)]
    torch.testing.assert_close(*outs, atol=1e-6, rtol=1e-5)


def test_members_of_a_stack_do_not_mix():
    layout = Layout(linear("one", 3, 2))
    flat = layout.initial([torch.Generator().manual_seed(seed) for seed in (0, 1, 2)])
    x = torch.randn(3, 7, 3)
    together = apply_linear(layout.unpack(flat), "one", x)
    for m in range(3):
        alone = apply_linear(layout.unpack(flat[m : m + 1]), "one", x[m : m + 1])
        torch.testing.assert_close(together[m : m + 1], alone)
        weight, bias = layout.unpack(flat)["one.weight"][m], layout.unpack(flat)["one.bias"][m]
        torch.testing.assert_close(alone[0], x[m] @ weight + bias)


@pytest.mark.parametrize("biased", [False, True])
def test_products_of_members_have_the_derivatives_of_numerical_differences(biased):
    g = torch.Generator().manual_seed(0)
    shapes = [(2, 5, 3), (2, 3, 4), *([(2, 4)] if biased else [])]
    inputs = [
        torch.randn(shape, generator=g, dtype=torch.float64, requires_grad=True) for shape in shapes
    ]
    assert torch.autograd.gradcheck(member_products, inputs)
    batched = torch.bmm(*inputs[:2]) + (inputs[2][:, None] if biased else 0.0)
    torch.testing.assert_close(member_products(*inputs), batched)


@pytest.mark.parametrize("sizes", [(96, 50, 9), (96, 8, 8), (33, 5, 1)])
def test_a_product_is_the_same_to_the_last_bit_wherever_it_stands(sizes):
    # Results and gradients of later members do not begin at an aligned address.
    rows, n_in, n_out = sizes

    def all_of(*inputs):
        leaves = [values.clone().requires_grad_() for values in inputs]
        out = member_products(*leaves)
        return out, *torch.autograd.grad(out.square().sum(), leaves)

    draw = torch.Generator().manual_seed(0)
    shapes = ((5, rows, n_in), (5, n_in, n_out), (5, n_out))
    inputs = [torch.randn(shape, generator=draw) for shape in shapes]
    together = all_of(*inputs)
    for m in range(5):
        alone = all_of(*(values[m : m + 1] for values in inputs))
        for whole, one in zip(together, alone, strict=True):
            assert torch.equal(whole[m], one[0])


def test_norms_folded_for_prediction_change_nothing():
    shape = network(n_decoder_layers=2)[0]
    whole = Network(shape, shape.layout(), "gaussian")
    g = torch.Generator().manual_seed(4)
    flat = torch.randn(2, whole.layout.size, generator=g, dtype=torch.float64)
    p, folded = whole.layout.unpack(flat), whole.for_prediction(flat)
    assert {name for name in p if name not in folded} == {
        f"{norm}.{part}"
        for norm in ("decoder0.feed.norm", "decoder1.feed.norm", "head.norm")
        for part in ("scale", "shift")
    }
    x = Rows(numeric=rows(5).numeric.double())
    made = asked(5, 3)
    made = replace(made, doses=made.doses.double())
    plain, quick = (whole.decode(q, whole.encode(q, x), made) for q in (p, folded))
    torch.testing.assert_close(quick, plain)


def test_columns_are_found_by_name_and_not_by_position(arms_fit):
    frame = arms_frame()
    turned = ck.CausalData.from_frame(
        frame[["c", "t", "a", "y", "b"]], outcome="y", treatment="t", covariates=["c", "b", "a"]
    )
    straight = arms_data()
    assert np.array_equal(
        arms_fit.predict(turned, treatment=1), arms_fit.predict(straight, treatment=1)
    )
    swapped = ck.CausalData.from_frame(
        frame.rename(columns={"a": "b", "b": "a"}),
        outcome="y",
        treatment="t",
        covariates=["a", "b", "c"],
    )
    moved = arms_fit.predict(swapped, treatment=1) - arms_fit.predict(straight, treatment=1)
    assert np.abs(moved).max() > 0.1


def test_covariates_with_equal_marginals_are_told_apart():
    # One embedding for all, as in the released code, makes the output blind to which is which.
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2))
    frame = pd.DataFrame({"y": x[:, 0] - x[:, 1], "t": rng.integers(0, 2, 600)})
    frame[["a", "b"]] = x
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data.subset(np.arange(400)))
    test = data.subset(np.arange(400, 600))
    error = test.column("outcome") - fit.predict(test, treatment=test.frame["t"].to_numpy())
    assert 1.0 - error.var() / test.column("outcome").var() > 0.95


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_graph_is_its_own_whatever_graphs_are_beside_it():
    shape = NetShape(
        table=TableShape(n_numeric=1),
        actions=ActionShape(item_features=3, item_kind="graph"),
        width=8,
        n_heads=2,
    )
    p = shape.layout().unpack(shape.layout().initial([torch.Generator().manual_seed(0)]))
    g = torch.Generator().manual_seed(1)
    nodes = torch.randn(7, 3, generator=g)
    edges = torch.tensor([[0, 1, 1, 2, 3, 4, 5, 6], [1, 0, 2, 1, 4, 3, 6, 5]])
    owner = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    near, mean = graph_matrices(edges, owner, 2)
    np.testing.assert_array_equal(near.to_dense()[1], [1, 0, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(mean.to_dense(), [[1 / 3] * 3 + [0] * 4, [0] * 3 + [1 / 4] * 4])
    both = encode_graphs(p, nodes[None], near, mean)
    first = encode_graphs(p, nodes[None, :3], *graph_matrices(edges[:, :4], owner[:3], 1))
    torch.testing.assert_close(both[:, :1], first)
    cut = encode_graphs(p, nodes[None, :3], *graph_matrices(edges[:, :2], owner[:3], 1))
    assert (cut - first).abs().max() > 1e-4


def visits(scale=1.0, shift=0.0):
    """Outcomes that are sums of up to five steps, whose feature is given on some scale."""
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((300, 5, 1)).astype(np.float32)
    steps[:150, 3:] = np.nan
    total = np.nansum(steps[:, :, 0], axis=1)
    frame = pd.DataFrame({"y": total, "t": rng.integers(0, 2, 300), "x": rng.standard_normal(300)})
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["x"],
        arrays=xr.Dataset({"visits": (("obs", "step", "feature"), shift + scale * steps)}),
        sequence="visits",
    )


def test_a_sequence_is_read_whatever_its_scale():
    found = []
    for data in (visits(), visits(scale=256.0, shift=1024.0)):
        fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
        found.append(fit.predict(data, treatment=data.frame["t"].to_numpy()))
    total = data.frame["y"].to_numpy()
    assert 1.0 - (total - found[0]).var() / total.var() > 0.8
    np.testing.assert_allclose(*found, atol=0.05 * total.std())


def test_steps_are_standardised_by_those_that_are_there_in_training_rows():
    data = visits(scale=3.0, shift=5.0)
    coded, rows = code_data(coding_of(data), data), np.r_[0:40, 200:280]
    scales = scales_of(coded, rows)
    seen = data.arrays["visits"].to_numpy()[rows].ravel()
    assert scales.step_centre.item() == pytest.approx(np.nanmean(seen), rel=1e-5)
    assert scales.step_spread.item() == pytest.approx(np.nanstd(seen), rel=1e-5)
    assert scales_of(coded, rows, raw_steps=True).step_centre.shape == (1, 0)


@pytest.mark.parametrize("n_rows", [240, 241, 247])
def test_a_feature_that_all_steps_share_is_not_divided_by_rounding(n_rows):
    data = visits(scale=0.0, shift=1.0 / 3.0)
    coded = code_data(coding_of(data), data)
    scales = scales_of(coded, np.arange(n_rows))
    assert scales.step_spread.item() == 1.0


def test_structured_treatments_have_slopes_that_depend_on_the_treatment():
    shape = NetShape(
        table=TableShape(n_numeric=4),
        actions=ActionShape(n_arms=0, dosed=(), n_slots=0, item_features=2, item_kind="vector"),
        width=8,
        n_heads=2,
        width_ff=16,
    )
    layout = shape.layout()
    p = layout.unpack(layout.initial([torch.Generator().manual_seed(seed) for seed in (0, 1)]))
    assert not any(p[f"linear.{name}"].any() for name in ("level", "weights.weight"))
    x, items = rows(5), torch.randn(2, 1, 3, 8, generator=torch.Generator().manual_seed(2))
    memory, asked = encode(p, shape, x), Actions(items=items)
    plain = decode(p, shape, memory, asked)
    g = torch.Generator().manual_seed(3)
    for name, size in (("level", (4,)), ("weights.weight", (8, 4)), ("weights.bias", (4,))):
        p[f"linear.{name}"] = torch.randn(2, *size, generator=g)
    slopes = torch.einsum("mgd,mdr->mgr", items[:, 0], p["linear.weights.weight"])
    slopes = torch.einsum(
        "mgr,mpr->mgp", slopes + p["linear.weights.bias"][:, None], p["linear.scores"]
    )
    slopes = slopes + p["linear.level"][:, None]
    moved = decode(p, shape, memory, asked)
    torch.testing.assert_close(moved - plain, torch.einsum("mbp,mgp->mbg", x.numeric, slopes))
    each = Actions(items=items.expand(-1, 5, -1, -1))
    torch.testing.assert_close(decode(p, shape, memory, each), moved)
    assert "linear.level" not in network()[1]


@pytest.mark.slow
def test_slopes_find_effects_beneath_a_larger_outcome_that_treatments_share():
    # Without slopes .84 of the standard deviation of the effects is left, with them .61.
    left = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, shares = rng.uniform(-1.0, 1.0, (600, 10)), rng.random((3, 10))
        shares /= np.linalg.norm(shares, axis=1, keepdims=True)
        shared, curved, straight = (x @ shares.T).T
        items = pd.DataFrame(rng.uniform(-1.0, 1.0, (30, 2)), columns=["g0", "g1"])
        received = rng.integers(0, 30, 600)
        effects = 2.0 * np.outer(curved, items["g0"] ** 2) + np.outer(straight, items["g1"])
        y = 20.0 * shared + effects[np.arange(600), received] + 0.5 * rng.standard_normal(600)
        frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(10)]).assign(a=received, y=y)
        data = ck.CausalData.from_frame(
            frame,
            outcome="y",
            treatment="a",
            kinds="structured",
            covariates=list(frame.columns[:10]),
            tables={"a_vectors": items.assign(a=range(30))},
        )
        fit = ck.TransTEE(n_ensemble=1, random_state=0).fit(data)
        found = fit.effect(data, treatment=list(range(1, 10)), baseline=0)["effect"].values
        true = effects[:, 1:10] - effects[:, :1]
        left.append(np.sqrt(((found - true) ** 2).mean()) / true.std())
    assert np.mean(left) < 0.72
