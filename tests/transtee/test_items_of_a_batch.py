"""Of a library with more items than a batch has rows, those of the batch are encoded, each once."""

import numpy as np
import pytest
import torch
from test_item_tables import data_of, graphs, steps, vectors
from test_training import flat
from transtee_designs import SMALL

import causalkit as ck
from causalkit.transtee.items import Library

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
FEW = SMALL | {"batch_size": 4, "max_epochs": 2}


def typed():
    tables = graphs()
    return tables | {"mol_edges": tables["mol_edges"].assign(type=np.arange(16) % 3)}


MAKERS = [lambda: {"mol_vectors": vectors()}, lambda: {"mol_steps": steps()}, graphs, typed]
IDS = ["vectors", "sequences", "graphs", "typed graphs"]


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_some_items_are_encoded_as_among_all(make):
    network = ck.TransTEE(**FEW).fit(data_of(**make())).model_.stacks[0].network
    flats = network.layout.initial([torch.Generator().manual_seed(1)])
    p, some = network.layout.unpack(flats), torch.tensor([1, 4, 6])
    torch.testing.assert_close(network.items(p, some=some), network.items(p)[:, some])


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_networks_trained_together_on_items_of_their_batches_are_those_trained_alone(make):
    data = data_of(**make())
    together = ck.TransTEE.fit_many([data, data], **FEW)
    alone = ck.TransTEE(**(FEW | {"random_state": 1})).fit(data)
    assert torch.equal(flat(together[1]), flat(alone))


@pytest.mark.parametrize("batch_size", [4, 64])
def test_no_more_items_are_encoded_than_a_batch_has(monkeypatch, batch_size):
    encoded, encode = [], Library.encode

    def counted(self, *arguments, **more):
        found = encode(self, *arguments, **more)
        if torch.is_grad_enabled():
            encoded.append(found.shape[1])
        return found

    monkeypatch.setattr(Library, "encode", counted)
    ck.TransTEE(**(FEW | {"batch_size": batch_size})).fit(data_of(mol_vectors=vectors()))
    if batch_size == 4:
        assert max(encoded) == 4
        assert min(encoded) < 4, "no batch had an item twice"
    else:
        assert set(encoded) == {8}, "a small library is the same in every batch"
