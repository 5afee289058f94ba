"""TARNet, Dragonnet, DRNet and VCNet: whose weights act, what is smooth, what is learned."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch.nn.functional import elu, relu
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import ArgumentError, DataError
from causalkit.transtee.baseline_networks import (
    decode,
    encode,
    log_density,
    own_loss,
    power_basis,
    stratum,
)
from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.baselines import DragonNet, DRNet, TARNet, VCNet
from causalkit.transtee.networks import Actions, Rows
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape

NETWORKS = [TARNet, DragonNet, DRNet, VCNet]
SIZES = {
    "d_model": 16,
    "d_head": 16,
    "max_epochs": 40,
    "n_ensemble": 1,
    "lr": 1e-2,
    "random_state": 0,
}
N = 6


def network(name, n_arms=2, *, dosed=True, members=2, **sizes):
    shape = NetShape(
        table=TableShape(n_numeric=3, levels=(2,)),
        actions=ActionShape(n_arms, (dosed,) * n_arms, n_slots=1),
        width=5,
        baseline=Baseline(name, width_head=4, **sizes),
    )
    layout = shape.layout()
    flat = layout.initial([torch.Generator().manual_seed(seed) for seed in range(members)])
    return shape, layout.unpack(flat + 0.05)


def rows(members=2):
    g = torch.Generator().manual_seed(5)
    return Rows(
        torch.randn(members, N, 3, generator=g),
        codes=torch.randint(0, 3, (1, N, 1), generator=g).expand(members, -1, -1),
    )


def actions(arms, doses=None, members=2):
    """The same actions of every row."""
    shape = (members, 1, len(arms), 1)
    given = torch.zeros(len(arms)) if doses is None else torch.as_tensor(doses).float()
    wide = torch.as_tensor(arms)[None, None, :, None].expand(shape)
    return Actions(wide, given[None, None, :, None].expand(shape))


def output(shape, p, made):
    return decode(p, shape, encode(p, shape, rows(len(p["body0.weight"]))), made)


def test_the_basis_is_of_truncated_powers_with_even_knots():
    t = torch.tensor([0.2, 0.5, 1.0])
    expected = [
        [1.0, 0.2, 0.04, 0.0, 0.0],
        [1.0, 0.5, 0.25, (0.5 - 1 / 3) ** 2, 0.0],
        [1.0, 1.0, 1.0, 4 / 9, 1 / 9],
    ]
    np.testing.assert_allclose(power_basis(t, 2, 2), expected, atol=1e-6)


def test_strata_are_of_equal_length_and_the_outermost_hold_what_lies_beyond():
    doses = torch.tensor([-0.3, 0.0, 0.19, 0.2, 0.99, 1.0, 1.4])
    assert stratum(doses, 5).tolist() == [0, 0, 0, 1, 4, 4, 4]


def test_the_density_of_the_dose_has_area_one_and_is_linear_between_grid_points():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 1, 5001)
    density = log_density(logits[:, None].expand(-1, 5001, -1), t.expand(4, -1)).exp()
    np.testing.assert_allclose(torch.trapezoid(density, t), np.ones(4), rtol=1e-5)
    middle = density[:, 1500]  # 0.3, half way between 0.2 and 0.4
    np.testing.assert_allclose(middle, (density[:, 1000] + density[:, 2000]) / 2, rtol=1e-5)
    heights = density[:, ::1000]
    np.testing.assert_allclose(heights / heights[:, :1], (logits - logits[:, :1]).exp(), rtol=1e-4)


@pytest.mark.parametrize(("name", "strata"), [("tarnet", 5), ("drnet", 5), ("drnet", 1)])
def test_heads_by_arm_and_stratum_equal_a_plain_network_with_their_weights(name, strata):
    shape, p = network(name, n_strata=strata)
    doses = [0.05, 0.33, 0.61, 1.2]
    found = output(shape, p, actions([1, 0, 1, 1], doses))
    r = encode(p, shape, rows()).tokens[:, :, 0]
    for place, (arm, t) in enumerate(zip([1, 0, 1, 1], doses, strict=True)):
        head = arm * strata + min(int(t * strata), strata - 1)
        hidden = r
        for layer in range(3):
            weight, bias = p[f"head{layer}.weight"][:, head], p[f"head{layer}.bias"][:, head]
            hidden = hidden @ weight + bias[:, None]
            if layer == 0 or name == "drnet":
                hidden = hidden + t * p[f"head{layer}.dose"][:, None, head]
            hidden = elu(hidden) if layer < 2 else hidden
        torch.testing.assert_close(found[:, :, place], hidden[..., 0], atol=1e-5, rtol=1e-5)


def test_varying_heads_equal_a_plain_network_with_the_weights_of_the_dose():
    shape, p = network("vcnet")
    doses = [0.1, 0.4, 0.9, 1.3]
    found = output(shape, p, actions([1, 0, 1, 1], doses))
    r = encode(p, shape, rows()).tokens[:, :, 0]
    for place, (arm, t) in enumerate(zip([1, 0, 1, 1], doses, strict=True)):
        phi = power_basis(torch.tensor(t), 2, 2)
        hidden = r
        for layer in range(3):
            weight, bias = p[f"head{layer}.weight"][:, arm], p[f"head{layer}.bias"][:, arm]
            at = torch.einsum("miln,l->min", weight.view(2, weight.shape[1], 5, -1), phi)
            hidden = hidden @ at + torch.einsum("mln,l->mn", bias.view(2, 5, -1), phi)[:, None]
            hidden = relu(hidden) if layer < 2 else hidden
        torch.testing.assert_close(found[:, :, place], hidden[..., 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["tarnet", "dragonnet", "drnet", "vcnet"])
def test_the_head_of_an_arm_moves_no_other_arm(name):
    shape, p = network(name, dosed=name in ("drnet", "vcnet"))
    asked = actions([0, 1], [0.5, 0.5])
    before = output(shape, p, asked)
    half = p["head1.weight"].shape[1] // 2
    p["head1.weight"][:, half:] += 1.0
    after = output(shape, p, asked)
    assert (after[:, :, 0] == before[:, :, 0]).all()
    assert ((after[:, :, 1] - before[:, :, 1]).abs() > 1e-4).any()


@pytest.mark.parametrize("name", ["drnet", "vcnet"])
def test_one_of_many_actions_and_members_is_as_alone(name):
    shape, p = network(name, n_strata=3 if name == "drnet" else 1)
    asked = actions([0, 1, 1], [0.2, 0.5, 0.8])
    memory = encode(p, shape, rows())
    full = decode(p, shape, memory, asked)
    for g in range(3):
        one = Actions(asked.arms[:, :, [g]], asked.doses[:, :, [g]])
        torch.testing.assert_close(decode(p, shape, memory, one), full[:, :, [g]])
    own = {key: value[1:] for key, value in p.items()}
    x = rows()
    memory = encode(own, shape, Rows(x.numeric[1:], codes=x.codes[1:]))
    alone = decode(own, shape, memory, Actions(asked.arms[1:], asked.doses[1:]))
    torch.testing.assert_close(alone, full[1:])


def test_curves_are_smooth_in_the_dose_for_vcnet_and_jump_between_strata_for_drnet():
    # Steps of 1e-3 around every stratum's end, and everywhere else.
    t = torch.linspace(0, 1, 1001)
    steps = {}
    for name, strata in (("vcnet", 1), ("drnet", 5)):
        shape, p = network(name, n_arms=1, n_strata=strata)
        curve = output(shape, p, actions([0] * 1001, t))
        steps[name] = curve.diff(dim=-1).abs().amax(dim=(0, 1))
    edges = np.array([199, 399, 599, 799])
    inside = np.setdiff1d(np.arange(1000), [*edges, *(edges + 1), *(edges - 1)])
    assert steps["vcnet"].max() < 0.01
    assert steps["drnet"][inside].max() < 0.01
    assert all(steps["drnet"][e - 1 : e + 2].max() > 0.05 for e in edges)


@pytest.mark.parametrize("name", ["tarnet", "drnet"])
def test_a_dose_matters_within_its_stratum_before_training_as_covariates_do(name):
    shape, p = network(name, n_arms=1, n_strata=5)
    found = output(shape, p, actions([0] * 20, torch.linspace(0.21, 0.39, 20)))
    assert found.std(dim=2).mean() > found.std(dim=1).mean()


def test_dragonnet_adds_the_cross_entropy_and_the_loss_of_the_tilted_outcome():
    shape, p = network(
        "dragonnet", dosed=False, members=1, treatment_weight=0.7, targeted_weight=1.3
    )
    p["targeted"] = torch.tensor([[0.4]])
    t = torch.tensor([0, 1, 1, 0, 1, 0])
    memory = encode(p, shape, rows(1))
    received = Actions(t[None, :, None, None], torch.zeros(1, N, 1, 1))
    out, y = decode(p, shape, memory, received)[:, :, 0], torch.linspace(-1, 1, N)[None]
    found = own_loss(p, shape, memory, received, out, y, "gaussian")
    logits = memory.tokens[0, :, 0] @ p["propensity.weight"][0] + p["propensity.bias"][0]
    g = torch.softmax(logits, dim=-1)[:, 1]
    h = t / g - (1 - t) / (1 - g)
    entropy = -(t * g.log() + (1 - t) * (1 - g).log())
    expected = 1.3 * (y[0] - out[0] - 0.4 * h) ** 2 + 0.7 * entropy
    torch.testing.assert_close(found[0], expected)


def test_vcnet_adds_the_log_density_of_the_dose_given_its_arm():
    shape, p = network("vcnet", members=1, treatment_weight=0.5, n_cells=4)
    memory = encode(p, shape, rows(1))
    arms, doses = torch.tensor([0, 1, 0, 1, 1, 0]), torch.linspace(0.05, 0.95, N)
    received = Actions(arms[None, :, None, None], doses[None, :, None, None])
    zeros = torch.zeros(1, N)
    found = own_loss(p, shape, memory, received, zeros, zeros, "gaussian")
    logits = memory.tokens[0, :, 0] @ p["density.weight"][0] + p["density.bias"][0]
    own = logits.view(N, 2, 5)[torch.arange(N), arms]
    torch.testing.assert_close(found[0], -0.5 * log_density(own, doses))


def test_dropout_reaches_the_heads_even_of_a_single_arm():
    shape, p = network("vcnet", n_arms=1, n_layers=1, n_head_layers=1)
    memory = encode(p, shape, rows())
    seen = []

    def drop(x):
        seen.append(x.shape)
        return x * 0.0

    made = actions([0] * 3, [0.1, 0.5, 0.9])
    found = decode(p, shape, memory, made, drop=drop)
    assert seen == [(2, N, 1, 3, 4)]
    bias = power_basis(torch.tensor([0.1, 0.5, 0.9]), 2, 2) @ p["head1.bias"][:, 0, :, None]
    torch.testing.assert_close(found, bias[:, None, :, 0].expand(-1, N, -1))


@pytest.mark.parametrize(
    ("cls", "argument"), [(DragonNet, "propensity_weight"), (VCNet, "density_weight")]
)
def test_what_a_network_learns_beside_the_outcome_does_not_stop_it(cls, argument, arms, doses):
    data = arms if cls is DragonNet else doses
    still = {**SIZES, "lr": 1e-12, "max_epochs": 1}
    some, more = (cls(**still, **{argument: w}).fit(data).history_ for w in (1.0, 50.0))
    assert more["train_loss"][0] != pytest.approx(some["train_loss"][0], abs=1e-3)
    assert more["validation_loss"][0] == pytest.approx(some["validation_loss"][0], abs=1e-6)


@pytest.mark.parametrize("cls", [TARNet, DragonNet])
def test_effects_by_row_are_learned_on_arms(cls, arms):
    # The effect is 1 + c; a constant leaves all of its variance.
    est = cls(**SIZES).fit(arms)
    tau = 1.0 + arms.frame["c"]
    error = np.mean((est.effect(arms).effect - tau) ** 2)
    assert error < 0.2 * np.var(tau)


@pytest.mark.parametrize("cls", [TARNet, DRNet, VCNet])
def test_curves_are_learned(cls):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal(400), rng.random(400)
    y = x + 2.0 * np.sin(np.pi * t) + 0.1 * rng.standard_normal(400)
    data = ck.CausalData.from_frame(
        pd.DataFrame({"y": y, "t": t, "x": x}), outcome="y", treatment="t", covariates="x"
    )
    grid = np.linspace(0.05, 0.95, 10)
    truth = x.mean() + 2.0 * np.sin(np.pi * grid)
    est = cls(**SIZES, batch_size=32).fit(data)
    curve = est.dose_response(data, grid=grid, individual=False).adrf
    assert np.mean((curve - truth) ** 2) < 0.15 * np.var(truth)


def test_arms_with_doses_have_a_curve_each():
    rng = np.random.default_rng(0)
    x, arm, t = rng.standard_normal(400), rng.integers(0, 2, 400), rng.random(400)
    y = x + np.where(arm == 0, t, -2.0 * t) + 0.1 * rng.standard_normal(400)
    frame = pd.DataFrame({"y": y, "arm": np.array(["a", "b"])[arm], "t": t, "x": x})
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["arm", "t"],
        kinds=("binary", "dose"),
        covariates="x",
    )
    for cls in (TARNet, DRNet, VCNet):
        est = cls(**SIZES).fit(data)
        for name, slope in (("a", 1.0), ("b", -2.0)):
            curve = est.dose_response(data, grid=[0.25, 0.75], arm=name).adrf.to_numpy()
            assert curve[1] - curve[0] == pytest.approx(slope / 2, abs=0.3)


@pytest.mark.parametrize("cls", NETWORKS)
def test_budgets_are_those_of_transtee_unless_others_are_asked_for(cls):
    # The release gave its rivals half the epochs, and TransTEE alone a least number of them.
    mine, theirs = cls().get_params(), ck.TransTEE().get_params()
    shared = mine.keys() & theirs.keys() - {"d_model"}
    assert {"lr", "batch_size", "max_epochs", "patience", "n_ensemble", "n_folds"} < shared
    assert {name: mine[name] for name in shared} == {name: theirs[name] for name in shared}


def test_splits_and_scales_are_those_of_transtee(arms, arms_fit):
    stack = TARNet(**SIZES).fit(arms).model_.stacks[0]
    rival = arms_fit.model_.stacks[0]
    np.testing.assert_array_equal(stack.members[0].train, rival.members[0].train)
    np.testing.assert_array_equal(stack.members[0].valid, rival.members[0].valid)
    assert (stack.scales.centre == rival.scales.centre).all()
    assert SMALL["random_state"] == SIZES["random_state"]


@pytest.mark.parametrize("cls", NETWORKS)
def test_trained_together_is_trained_alone(cls, arms, doses):
    sizes = {**SIZES, "max_epochs": 3, "lr": 2e-3}
    if cls in (TARNet, DragonNet):
        data, ask = [arms, arms_data(seed=1)], lambda e, d: e.effect(d).effect
    else:
        data = [doses, ck.generators.dose_synthetic(1, n=300).blind()]
        ask = lambda e, d: e.dose_response(d, grid=5).individual  # noqa: E731
    together = cls.fit_many(data, **sizes)
    alone = cls(**{**sizes, "random_state": 1}).fit(data[1])
    np.testing.assert_allclose(ask(together[1], data[1]), ask(alone, data[1]), atol=1e-4)


@pytest.mark.parametrize("cls", NETWORKS)
def test_a_saved_network_predicts_the_same(cls, arms, doses, tmp_path):
    data, action = (arms, 1) if cls in (TARNet, DragonNet) else (doses, 0.4)
    est = cls(**{**SIZES, "max_epochs": 2}).fit(data)
    est.save(tmp_path / "net")
    again = cls.load(tmp_path / "net")
    assert again.get_params() == est.get_params() == clone(est).get_params()
    assert (again.predict(data, treatment=action) == est.predict(data, treatment=action)).all()


def test_averages_carry_the_name_of_the_network_and_its_own_outcomes(arms):
    sizes = {**SIZES, "max_epochs": 4}
    rivals = [cls(**sizes).fit(arms).estimate() for cls in (TARNet, DragonNet)]
    assert [r.estimator for r in rivals] == ["TARNet (AIPW)", "DragonNet (AIPW)"]
    assert rivals[0].estimate != rivals[1].estimate
    assert all(abs(r.estimate - 1.0) < 5 * r.std_error for r in rivals)


def test_treatments_without_a_head_are_refused(arms, doses):
    with pytest.raises(ArgumentError, match="drnet needs a dose"):
        DRNet(**SIZES).fit(arms)
    with pytest.raises(ArgumentError, match="vcnet needs a dose"):
        VCNet(**SIZES).fit(arms)
    with pytest.raises(DataError, match="binary"):
        DragonNet(**SIZES).fit(doses)
    frame = arms.frame.assign(u=np.arange(len(arms)) % 2)
    several = ck.CausalData.from_frame(
        frame, outcome="y", treatment=["t", "u"], covariates=["a", "b", "c"]
    )
    with pytest.raises(ArgumentError, match="several treatments"):
        TARNet(**SIZES).fit(several)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (TARNet, {"n_layers": 0}),
        (DragonNet, {"targeted_weight": -1.0}),
        (DragonNet, {"propensity_weight": "1"}),
        (VCNet, {"density_weight": float("inf")}),
        (DRNet, {"n_strata": 0}),
        (VCNet, {"degree": 0}),
        (VCNet, {"density_weight": float("nan")}),
    ],
)
def test_wrong_sizes_and_weights_are_named(cls, wrong, arms):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        cls(**wrong).baseline  # noqa: B018
