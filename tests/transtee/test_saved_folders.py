"""What a folder of a fit holds: all of it, nothing else, and nothing that was changed."""

import copy
import json
import shutil
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from test_item_tables import MOLS, data_of, vectors
from test_own_modules import MeanStep, steps, visits
from torch import nn
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.data.plainjson import from_plain, to_plain
from causalkit.errors import ArgumentError, StorageError

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
WIDTH = SMALL["d_model"]


class Waves(nn.Module):
    """Cosines of random frequencies, which are a buffer, below a map that is trained."""

    def __init__(self, seed=0, n_waves=6):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.register_buffer("frequency", torch.randn(2, n_waves, generator=draw))
        self.base, self.map = nn.Linear(n_waves, WIDTH), nn.Linear(WIDTH, WIDTH)
        for values in self.base.parameters():
            values.requires_grad_(requires_grad=False)

    def forward(self, values, mask):
        return self.map(torch.relu(self.base(torch.cos(values @ self.frequency))))


def test_buffers_and_frozen_parameters_come_back_as_they_were(tmp_path):
    data = visits(steps())
    fit = ck.TransTEE(**SMALL, covariate_encoder=Waves()).fit(data)
    fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path, covariate_encoder=Waves(seed=1))
    np.testing.assert_array_equal(
        again.predict(data, treatment=[0, 1]), fit.predict(data, treatment=[0, 1])
    )
    # What trains anew starts where the fit started.
    assert again.estimate(data=data).estimate == fit.estimate().estimate
    with pytest.raises(
        ArgumentError, match=r"base.weight of shape \(8, 4\), and the fit of \(8, 6"
    ):
        ck.TransTEE.load(tmp_path, covariate_encoder=Waves(n_waves=4))


def test_parameters_that_need_no_gradient_are_not_trained():
    module = Waves()
    start = {name: values.clone() for name, values in module.state_dict().items()}
    fit = ck.TransTEE(**SMALL, covariate_encoder=module).fit(visits(steps()))
    network = fit.model_.stacks[0].network
    blocks = [name for name in network.layout.blocks if name.startswith("covariate_encoder")]
    assert blocks == ["covariate_encoder.map.weight", "covariate_encoder.map.bias"]
    kept = network.covariate_encoder.module.state_dict()
    assert all(torch.equal(kept[name], start[name]) for name in start)
    learned = network.layout.unpack(fit.model_.stacks[0].flat)["covariate_encoder.map.weight"]
    assert (learned[0] - start["map.weight"]).abs().max() > 1e-3


def interrupted(folder, data, **arguments):
    def stop(line):
        if "epoch 3/" in line:
            raise KeyboardInterrupt

    ck.TransTEE(**SMALL, checkpoint=folder, progress=stop, **arguments).fit(data)


def test_a_checkpoint_belongs_to_one_start_of_a_module(tmp_path):
    data = visits(steps())
    first = Waves()
    interrupted(tmp_path, data, covariate_encoder=first)
    moved, noted = copy.deepcopy(first), copy.deepcopy(first)
    moved.frequency += 1.0
    noted.note = "another attribute"
    for other in (moved, noted, MeanStep()):
        with pytest.raises(StorageError, match="a training with other arguments or data"):
            ck.TransTEE(**SMALL, checkpoint=tmp_path, covariate_encoder=other).fit(data)
    resumed = ck.TransTEE(**SMALL, checkpoint=tmp_path, covariate_encoder=first).fit(data)
    assert resumed.diagnostics_["epochs trained"] == [SMALL["max_epochs"]]


@pytest.mark.parametrize(
    "table",
    [
        vectors().assign(f=-vectors()["f"]),
        vectors().rename(columns={"f": "h"}),
        vectors().assign(mol=[*MOLS[1:], MOLS[0]]),
    ],
)
def test_a_checkpoint_belongs_to_one_table_of_items(tmp_path, table):
    interrupted(tmp_path, data_of(mol_vectors=vectors()))
    again = {"checkpoint": tmp_path, **SMALL}
    with pytest.raises(StorageError, match="a training with other arguments or data"):
        ck.TransTEE(**again).fit(data_of(mol_vectors=table))
    resumed = ck.TransTEE(**again).fit(data_of(mol_vectors=vectors()))
    assert resumed.diagnostics_["epochs trained"] == [SMALL["max_epochs"]]


FEW = SMALL | {"max_epochs": 2}


def test_arguments_come_back_whatever_kind_of_number_they_were(doses, tmp_path):
    numbers = {name: np.int64(value) for name, value in FEW.items()}
    given = numbers | {"lr": np.float64(1e-3), "d_model": np.int64(16), "support": [0, np.int64(2)]}
    fit = ck.TransTEE(**given, checkpoint=tmp_path / "state").fit(doses)
    fit.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    kept = again.get_params() | {"checkpoint": tmp_path / "state"}
    assert kept == fit.get_params()
    assert (again.d_model, again.support, again.lr) == (16, [0, 2], 1e-3)
    again.set_params(support=np.array([0.0, 2.0])).fit(doses).save(tmp_path / "array")
    assert ck.TransTEE.load(tmp_path / "array").support == (0.0, 2.0)


def test_a_generator_comes_back_as_the_seed_that_it_gave(arms, tmp_path):
    fit = ck.TransTEE(**(FEW | {"random_state": np.random.default_rng(5)})).fit(arms)
    fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path).fit(arms)
    np.testing.assert_array_equal(again.effect(arms).effect, fit.effect(arms).effect)


def test_an_argument_that_text_cannot_hold_is_named(arms, tmp_path):
    fit = ck.TransTEE(**FEW, lr=Fraction(1, 500)).fit(arms)
    with pytest.raises(ArgumentError, match=r"argument lr holds Fraction\(1, 500\)"):
        fit.save(tmp_path)
    assert not list(tmp_path.iterdir())


def weights(folder):
    (file,) = folder.glob("weights-*.pt")
    return file


def _swap_levels(folder, _):
    facts = json.loads((folder / "config.json").read_text())
    facts["actions"]["levels"] = [["t", [1, 0]]]
    (folder / "config.json").write_text(json.dumps(facts))


def _other_weights(folder, other):
    shutil.copy(weights(other), weights(folder))


def _one_number(folder, _):
    tensors = torch.load(weights(folder), weights_only=True)
    tensors["0.flat"][0, 7] += 1.0
    torch.save(tensors, weights(folder))


@pytest.mark.parametrize("change", [_swap_levels, _other_weights, _one_number])
def test_no_part_of_a_folder_can_be_another(arms, arms_fit, tmp_path, change):
    arms_fit.save(tmp_path / "fit")
    ck.TransTEE(**(SMALL | {"random_state": 9})).fit(arms).save(tmp_path / "other")
    text = (tmp_path / "fit" / "config.json").read_text()
    (tmp_path / "fit" / "config.json").write_text(json.dumps(json.loads(text), sort_keys=True))
    ck.TransTEE.load(tmp_path / "fit")
    change(tmp_path / "fit", tmp_path / "other")
    with pytest.raises(StorageError, match="was changed: its files are not those that were saved"):
        ck.TransTEE.load(tmp_path / "fit")


@pytest.mark.parametrize("name", ["config.json", "weights.pt", "thesis.txt"])
def test_nothing_of_the_user_is_overwritten(arms_fit, tmp_path, name):
    (tmp_path / name).write_text('{"schema": 1, "mine": true}')
    with pytest.raises(StorageError, match=f"holds {name}, which is no part of a fit"):
        arms_fit.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    arms_fit.save(tmp_path / "new")
    arms_fit.save(tmp_path / "new")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"actoin_encoder": nn.Linear(1, 1)}, "Did you mean 'action_encoder'"),
        ({"d_model": 64}, "unknown argument of load 'd_model'"),
    ],
)
def test_loading_takes_modules_and_nothing_else(arms_fit, tmp_path, given, said):
    arms_fit.save(tmp_path)
    with pytest.raises(ArgumentError, match=said):
        ck.TransTEE.load(tmp_path, **given)


def test_arms_and_categories_that_are_intervals_come_back(tmp_path):
    frame = arms_frame().assign(t=lambda f: pd.cut(f["c"], 3), b=lambda f: pd.cut(f["b"], 2))
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b"])
    fit = ck.TransTEE(**FEW).fit(data)
    fit.save(tmp_path)
    again, asked = ck.TransTEE.load(tmp_path), frame["t"].cat.categories[2]
    assert again.model_.coding == fit.model_.coding
    np.testing.assert_array_equal(
        again.predict(data, treatment=asked), fit.predict(data, treatment=asked)
    )


def test_items_that_are_dates_come_back(tmp_path):
    days = pd.date_range("2020-01-01", periods=len(MOLS))
    plain = data_of(mol_vectors=vectors())
    data = ck.CausalData.from_frame(
        plain.frame.assign(mol=plain.frame["mol"].map(dict(zip(MOLS, days, strict=True)))),
        outcome="y",
        treatment="mol",
        kinds=("structured",),
        covariates=["a", "b"],
        tables={"mol_vectors": vectors().assign(mol=days)},
    )
    fit = ck.TransTEE(**FEW).fit(data)
    fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path)
    assert list(again.model_.coding.library.place) == list(days)
    # The names of items say nothing, so that other names give the same.
    expected = ck.TransTEE(**FEW).fit(plain).predict(plain, treatment=MOLS)
    np.testing.assert_array_equal(again.predict(data, treatment=list(days)), expected)


@pytest.mark.parametrize(
    "value", [pd.Interval(0, 1), pd.Interval(pd.Timestamp(0), pd.Timestamp(1), closed="both")]
)
def test_an_interval_is_written_as_it_is(value):
    assert from_plain(json.loads(json.dumps(to_plain(value, what="it")))) == value


def test_items_are_encoded_as_before_to_the_bit(tmp_path):
    # Features that are rounded otherwise where their scales are double.
    table = vectors(seed=5).assign(f=lambda t: 11.1 + 97.3 * t["f"])
    x = table["f"].to_numpy(dtype=np.float32)
    ends = (x.mean(), x.std())
    single, double = ((x - kind(ends[0])) / kind(ends[1]) for kind in (np.float32, np.float64))
    assert (single != double.astype(np.float32)).any()
    data = data_of(mol_vectors=table)
    fit = ck.TransTEE(**FEW).fit(data)
    fit.save(tmp_path)
    expected = fit.predict(data, treatment=MOLS)
    np.testing.assert_array_equal(
        ck.TransTEE.load(tmp_path).predict(data, treatment=MOLS), expected
    )
