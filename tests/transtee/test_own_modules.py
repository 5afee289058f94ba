"""Encoders of the user: what they hide is not seen, what they have is learned."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn
from transtee_designs import SMALL, arms_data, with_steps

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
WIDTH = SMALL["d_model"]
N = 240
TWO = SMALL | {"n_ensemble": 2}


class FirstFeature(nn.Module):
    """Sees the first feature of an item alone."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(1, WIDTH)

    def forward(self, features):
        return self.map(features[:, :1])


class Neighbours(nn.Module):
    """Mean of first features over the edges of a graph."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(1, WIDTH)

    def forward(self, nodes, edges, owner, n_items):
        sums = torch.zeros(n_items, 1).index_add(0, owner[edges[1]], nodes[edges[0], :1])
        return self.map(sums)


class MeanStep(nn.Module):
    """Two tokens from the mean over steps of the first channel."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(1, 2 * WIDTH)

    def forward(self, steps, mask):
        weight = mask[..., None].float()
        mean = (steps[..., :1] * weight).sum(dim=1) / weight.sum(dim=1)
        return self.map(mean).view(len(steps), 2, WIDTH)


class Wrong(nn.Module):
    """Forgets the width."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(2, 3)

    def forward(self, features):
        return self.map(features)


def items(features=None, seed=0):
    rng = np.random.default_rng(seed)
    if features is None:
        features = rng.standard_normal((12, 2))
    frame = pd.DataFrame({"item": rng.integers(0, 12, N), "a": rng.standard_normal(N)})
    frame["y"] = frame["a"] + rng.standard_normal((12, 2))[frame["item"], 0]
    vectors = pd.DataFrame(features, columns=["f", "g"]).assign(item=range(12))
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="item",
        kinds=("structured",),
        covariates="a",
        tables={"item_vectors": vectors},
    )


def visits(values):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"t": rng.integers(0, 2, N), "a": rng.standard_normal(N)})
    frame["y"] = values[:, 0, 0] + frame["t"]
    return with_steps(frame, values)


def steps(seed=2):
    return np.random.default_rng(seed).standard_normal((N, 3, 2)).astype(np.float32)


def test_what_an_action_encoder_hides_is_not_seen():
    features = np.random.default_rng(5).standard_normal((12, 2))
    fit = ck.TransTEE(**TWO, action_encoder=FirstFeature()).fit(items(features))
    other = items(features * np.array([1.0, 0.0]) + np.array([0.0, 9.0]))
    new = items(features + np.array([1.0, 0.0]))
    before = fit.predict(items(features), treatment=[3, 4])
    np.testing.assert_array_equal(fit.predict(other, treatment=[3, 4]), before)
    assert np.abs(fit.predict(new, treatment=[3, 4]) - before).max() > 1e-3


def test_parameters_start_at_the_module_and_are_learned_by_every_network():
    module = FirstFeature()
    start = module.map.weight.detach().clone()
    fit = ck.TransTEE(**TWO, action_encoder=module).fit(items())
    network = fit.model_.stacks[0].network
    learned = network.layout.unpack(fit.model_.stacks[0].flat)["action_encoder.map.weight"]
    assert torch.equal(module.map.weight, start)
    assert not torch.equal(learned[0], learned[1])
    assert (learned - start).abs().max() < 0.2, "training starts elsewhere"
    moved = (learned - start).abs().amax(dim=(1, 2))
    assert (moved > 1e-3).all(), "an encoder is not trained"
    assert not any(name.startswith("item.") for name in network.layout.blocks)


def test_graphs_reach_the_module():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"mol": rng.integers(0, 6, N), "a": rng.standard_normal(N)})
    frame["y"] = frame["a"] + frame["mol"]
    nodes = pd.DataFrame({"mol": np.repeat(range(6), 4), "node": np.tile(range(4), 6), "f": 1.0})
    nodes["f"] = rng.random(24)
    edges = pd.DataFrame({"mol": range(6), "source": 0, "target": [1, 2, 3, 1, 2, 3]})
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="mol",
        kinds=("structured",),
        covariates="a",
        tables={"mol_nodes": nodes, "mol_edges": edges},
    )
    fit = ck.TransTEE(**SMALL, action_encoder=Neighbours()).fit(data)
    assert (np.ptp(fit.predict(data, treatment=[0, 5]), axis=1) > 1e-3).all()


def test_what_a_covariate_encoder_hides_is_not_seen():
    values = steps()
    fit = ck.TransTEE(**SMALL, covariate_encoder=MeanStep()).fit(visits(values))
    before = fit.predict(visits(values), treatment=1)
    hidden, padded, moved = values.copy(), values.copy(), values.copy()
    hidden[:, :, 1] = 7.0
    moved[:, :, 0] += 1.0
    padded = np.concatenate([values, np.full((N, 2, 2), np.nan, dtype=np.float32)], axis=1)
    np.testing.assert_array_equal(fit.predict(visits(hidden), treatment=1), before)
    np.testing.assert_allclose(fit.predict(visits(padded), treatment=1), before, atol=1e-6)
    assert np.abs(fit.predict(visits(moved), treatment=1) - before).max() > 1e-3
    with pytest.raises(ArgumentError, match="belong to no step"):
        fit.attention(visits(values), treatment=1)


def test_a_saved_fit_asks_for_its_modules(tmp_path):
    data = items()
    fit = ck.TransTEE(**SMALL, action_encoder=FirstFeature()).fit(data)
    fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path, action_encoder=FirstFeature())
    np.testing.assert_array_equal(
        again.predict(data, treatment=[0, 1]), fit.predict(data, treatment=[0, 1])
    )
    for wrong in ({}, {"action_encoder": Wrong()}):
        with pytest.raises(ArgumentError, match=r"FirstFeature as its action_encoder, got"):
            ck.TransTEE.load(tmp_path, **wrong)
    with pytest.raises(ArgumentError, match="has no covariate_encoder"):
        ck.TransTEE.load(tmp_path, action_encoder=FirstFeature(), covariate_encoder=MeanStep())


class Scaled(FirstFeature):
    """The first feature times a plain number, and what a digest has to tell apart or leave out."""

    def __init__(self, scale=1.0, hidden=0.0):
        super().__init__()
        self.scale, self.n_seen = scale, 0
        shift = nn.Linear(1, 1, bias=False)
        nn.init.constant_(shift.weight, hidden)
        self.kept_elsewhere = [shift]
        self.register_buffer("drawn", torch.rand(3), persistent=False)

    def forward(self, features):
        self.n_seen += len(features)
        return self.scale * super().forward(features)


def test_a_module_with_another_attribute_is_not_that_of_the_fit(tmp_path):
    data = items()
    fit = ck.TransTEE(**SMALL, action_encoder=Scaled(2.0)).fit(data)
    asked = fit.predict(data, treatment=[0, 1])
    assert fit.model_.stacks[0].network.action_encoder.module.n_seen > 0
    fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path, action_encoder=Scaled(2.0))
    np.testing.assert_array_equal(again.predict(data, treatment=[0, 1]), asked)
    with pytest.raises(ArgumentError, match=r"differs .* scale, which is 3.0 and was 2.0;"):
        ck.TransTEE.load(tmp_path, action_encoder=Scaled(3.0))
    with pytest.raises(ArgumentError, match=r"Scaled passed as action_encoder differs .* code or"):
        ck.TransTEE.load(tmp_path, action_encoder=Scaled(2.0, hidden=1.0))


def test_modules_that_cannot_work_are_refused():
    class Hidden(FirstFeature):
        pass

    for arguments, error, said in (
        ({"action_encoder": Hidden()}, ArgumentError, "made inside of a function"),
        ({"action_encoder": "gnn"}, ArgumentTypeError, "must be a torch.nn.Module, got a str"),
        ({"action_encoder": Wrong()}, ArgumentError, r"must return \(items, d_model\)"),
        ({"covariate_encoder": MeanStep()}, ArgumentError, "the one sequence of the data"),
    ):
        with pytest.raises(error, match=said):
            ck.TransTEE(**SMALL, **arguments).fit(items())
    with pytest.raises(ArgumentError, match="the treatment is 'binary'"):
        ck.TransTEE(**SMALL, action_encoder=FirstFeature()).fit(arms_data())


def test_a_module_is_not_shared_by_threads():
    # It holds the parameters of one network at a time.
    threads, module, found = torch.get_num_threads(), FirstFeature(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            fit = ck.TransTEE(action_encoder=module, **TWO).fit(items())
            found.append(fit.model_.stacks[0].flat)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


class Halved(nn.Module):
    """One token of the first feature, with a buffer that numpy has no type for."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(1, WIDTH)
        self.register_buffer("scale", torch.ones(WIDTH, dtype=torch.bfloat16))

    def forward(self, features):
        return self.map(features[:, :1]) * self.scale.float()


def test_modules_are_hashed_whatever_their_types_and_clones_are_alike(tmp_path):
    quick = SMALL | {"max_epochs": 1}
    est = ck.TransTEE(**quick, action_encoder=Halved(), checkpoint=tmp_path / "checkpoint")
    data = items()
    fitted = clone(est).fit(data)
    fitted.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit", action_encoder=Halved())
    asked = [fit.predict(data, treatment=3) for fit in (fitted, again)]
    np.testing.assert_array_equal(*asked)
    two = [clone(est).set_params(random_state=seed, checkpoint=None) for seed in (0, 1)]
    assert len(ck.TransTEE.fit_many([data, data], estimators=two)) == 2
