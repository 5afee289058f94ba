"""What a folder of a fit holds: all of it, nothing else, and nothing that was changed."""

import numpy as np
import pytest
import torch
from test_item_tables import MOLS, data_of, vectors
from test_own_modules import MeanStep, steps, visits
from torch import nn
from transtee_designs import SMALL

import causalkit as ck
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
    interrupted(tmp_path, data, covariate_encoder=Waves())
    for other in (Waves(seed=1), MeanStep()):
        with pytest.raises(StorageError, match="a training with other arguments or data"):
            ck.TransTEE(**SMALL, checkpoint=tmp_path, covariate_encoder=other).fit(data)


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
