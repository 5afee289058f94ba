"""Types of edges: told apart in graphs as treatments and in graphs of rows, by name, or refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from edge_designs import FEW, MAKERS, SIZE, answers, covaried, rings, treated
from torch import nn
from torch.nn.functional import gelu, layer_norm, relu
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import DataError
from causalkit.transtee.coding import coding_of
from causalkit.transtee.covariate_graphs import (
    GraphStore,
    graph_tokens,
    graphs_of,
    joined_graphs,
)
from causalkit.transtee.items import ItemScales, library_of
from causalkit.transtee.layout import Layout
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def r2(found, true):
    return 1.0 - np.square(found - true).sum() / np.square(true - true.mean()).sum()


def test_a_treatment_that_works_by_types_alone_is_learned_by_them(typed_rings):
    nodes, edges, share = (part[: 60 * SIZE] for part in typed_rings)
    true = 3.0 * (share[31:60] - share[30])
    scores = []
    for given in (edges, edges.drop(columns="type")):
        data = treated(nodes, given, share)
        fit = ck.TransTEE(**(SMALL | {"max_epochs": 40})).fit(data)
        new = fit.effect(data, treatment=list(range(31, 60)), baseline=30)["effect"]
        scores.append(r2(new.values.reshape(400, -1).mean(axis=0), true))
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def test_an_effect_that_depends_on_types_alone_is_learned_by_them(typed_rings):
    nodes, edges, share = typed_rings
    scores = []
    for given in (edges, edges.drop(columns="type")):
        fit = ck.TransTEE(**(SMALL | {"d_model": 16, "max_epochs": 80})).fit(
            covaried(nodes, given, share)
        )
        new = fit.effect(covaried(nodes, given, share, rows=400))["effect"].values.ravel()[300:]
        scores.append(r2(new, 3.0 * share[300:]))
    assert scores[0] > 0.9
    assert scores[1] < 0.1


def messy():
    """Two graphs with features, both directions, an edge twice, and one of two types."""
    rng = np.random.default_rng(3)
    nodes = pd.DataFrame({"mol": [0] * 5 + [1] * 4, "node": [*range(5), *range(4)]})
    nodes["f"], nodes["g"] = rng.standard_normal((2, 9))
    edges = pd.DataFrame(
        [
            (0, 0, 1, "a"),
            (0, 1, 0, "a"),
            (0, 1, 2, "b"),
            (0, 1, 2, "b"),
            (0, 2, 3, "a"),
            (0, 3, 2, "c"),
            (0, 4, 0, "c"),
            (1, 0, 1, "b"),
            (1, 2, 1, "c"),
            (1, 3, 0, "a"),
        ],
        columns=["mol", "source", "target", "type"],
    )
    return nodes, edges


def looped(w, name, nodes, edges):
    """Hidden nodes of one graph after three rounds, edge by edge."""
    # Each edge once, or once of each of its types.
    once = {
        (frozenset((s, t)), kind)
        for s, t, kind in edges[["source", "target", "type"]].itertuples(index=False)
    }
    h = torch.tensor(nodes[["f", "g"]].to_numpy(), dtype=torch.float32) @ w[f"{name}.in.weight"]
    h = h + w[f"{name}.in.bias"]
    for step in range(3):
        total = torch.zeros_like(h)
        for ends, kind in once:
            one, two = ends
            vector = w[f"{name}.type{step}"]["abc".index(kind)]
            total[one] += relu(h[two] + vector)
            total[two] += relu(h[one] + vector)
        h = h + gelu(
            h @ w[f"{name}.own{step}.weight"]
            + w[f"{name}.own{step}.bias"]
            + total @ w[f"{name}.near{step}.weight"]
            + w[f"{name}.near{step}.bias"]
        )
    return h


def started(shape, prefix):
    """Parameters of two networks for a part of the network."""
    layout = Layout({k: v for k, v in shape.layout().blocks.items() if k.startswith(prefix)})
    return layout.unpack(layout.initial([torch.Generator().manual_seed(m) for m in range(2)]))


def test_tokens_of_treatments_are_what_a_loop_over_edges_gives():
    nodes, edges = messy()
    library = library_of(treated(nodes, edges, np.ones(2), items=2), "mol")
    actions = ActionShape(item_features=2, item_kind="graph", edge_types=3)
    p = started(NetShape(TableShape(1), actions, width=8), "item.")
    found = library.encode(p, ItemScales(torch.zeros(2, 2), torch.ones(2, 2)))
    for m in range(2):
        w = {name: block[m] for name, block in p.items()}
        for mol in range(2):
            own, links = (table[table["mol"] == mol] for table in (nodes, edges))
            token = looped(w, "item", own, links).mean(dim=0) @ w["item.out.weight"]
            expected = token + w["item.out.bias"]
            torch.testing.assert_close(found[m, mol], expected, atol=1e-5, rtol=1e-4)


def test_tokens_of_rows_are_what_a_loop_over_edges_gives():
    nodes, edges = messy()
    data = covaried(nodes, edges, np.ones(2), rows=10)
    table = TableShape(1, node_features=2, edge_types=3)
    p = started(NetShape(table, ActionShape(2, (False, False), 1), width=8), "graph.")
    code = coding_of(data).covariates.graph
    store = GraphStore.of(graphs_of(data, code), "cpu")
    rows = store.rows(torch.tensor([[0, 1]]), torch.zeros(2, 2), torch.ones(2, 2))
    found = graph_tokens(p, rows)
    for m in range(2):
        w = {name: block[m] for name, block in p.items()}
        for mol in range(2):
            own, links = (table[table["mol"] == mol] for table in (nodes, edges))
            h = layer_norm(looped(w, "graph", own, links), (8,)) * w["graph.norm.scale"]
            torch.testing.assert_close(
                found[m, mol, : len(own)], h + w["graph.norm.shift"], atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("make", MAKERS)
def test_without_the_column_there_is_nothing_of_types(typed_rings, typed_fits, make):
    nodes, edges, share = typed_rings
    bare = ck.TransTEE(**FEW).fit(make(nodes, edges.drop(columns="type"), share))
    one, two = (set(fit.model_.stacks[0].network.layout.blocks) for fit in (typed_fits[make], bare))
    name = "item" if make is treated else "graph"
    assert one - two == {f"{name}.type{step}" for step in range(3)}
    assert not two - one


@pytest.mark.parametrize("make", MAKERS)
def test_names_and_order_of_nodes_and_edges_mean_nothing(typed_rings, typed_fits, make):
    nodes, edges, share = typed_rings
    rng = np.random.default_rng(0)
    # Another order of the nodes of every ring.
    other = rng.permuted(np.tile(range(SIZE), (len(share), 1)), axis=1) + 10

    def renamed(table, end):
        return other[table["mol"], table[end]]

    turned = edges.assign(source=renamed(edges, "target"), target=renamed(edges, "source"))
    shuffled = make(
        nodes.assign(node=renamed(nodes, "node")),
        turned.sample(frac=1.0, random_state=1),
        share,
    )
    expected = answers(typed_fits[make], make(*typed_rings))
    np.testing.assert_allclose(answers(typed_fits[make], shuffled), expected, atol=1e-5)
    swapped = edges.replace({"type": {"single": "double", "double": "single"}})
    moved = answers(typed_fits[make], make(nodes, swapped, share)) - expected
    assert np.abs(moved).max() > 1e-3


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("names", "dtype"),
    [((1, 2), "Int64"), ((False, True), "bool"), (("x", "y"), "category"), (("x", "y"), "object")],
)
def test_names_of_types_count_by_their_order_alone(typed_rings, typed_fits, make, names, dtype):
    nodes, edges, share = typed_rings
    names = dict(zip(("double", "single"), names, strict=True))
    renamed = make(nodes, edges.assign(type=edges["type"].map(names).astype(dtype)), share)
    found = answers(ck.TransTEE(**FEW).fit(renamed), renamed)
    np.testing.assert_array_equal(found, answers(typed_fits[make], make(*typed_rings)))


def test_a_type_is_known_by_its_name_whatever_others_are_there(typed_rings, typed_fits):
    nodes, edges, share = typed_rings
    ones = edges.assign(type="single")
    half = np.where(edges["mol"] == 0, "double", "single")
    alone, beside = (
        typed_fits[covaried].predict(covaried(nodes, given, share), treatment=1)[1:]
        for given in (ones, edges.assign(type=half))
    )
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("make", MAKERS)
def test_saved_and_loaded_it_says_the_same(typed_rings, typed_fits, make, tmp_path):
    typed_fits[make].save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    data = make(*typed_rings)
    np.testing.assert_array_equal(answers(again, data), answers(typed_fits[make], data))
    nodes, edges, share = typed_rings
    with pytest.raises(DataError, match=r"\(known: 'double', 'single'\)"):
        answers(again, make(nodes, edges.assign(type="triple"), share))


@pytest.mark.parametrize("make", MAKERS)
def test_data_sets_with_types_train_together_as_alone(make):
    sets = [make(*rings(40), seed=seed) for seed in (1, 2)]
    if make is covaried:
        # Graphs of other sizes, and with other numbers of edges.
        first, second = rings(60, seed=5), rings(60, seed=6, size=9)
        for place, (nodes, edges, share) in enumerate((first, second)):
            sets[place] = make(nodes, edges.sample(frac=0.8, random_state=0), share, seed=place)
    together = ck.TransTEE.fit_many(sets, **FEW)
    for seed, (data, fit) in enumerate(zip(sets, together, strict=True)):
        alone = ck.TransTEE(**(FEW | {"random_state": seed})).fit(data)
        np.testing.assert_allclose(answers(fit, data), answers(alone, data), atol=1e-4)


def triples(graphs, row):
    """Source, type and target of every edge of a row."""
    size, n_types = graphs.nodes.shape[1], graphs.n_types
    kept = [int(e) for e in graphs.edges[row] if e < n_types * size * size]
    return {(e // size // n_types, e // size % n_types, e % size) for e in kept}


def test_graphs_of_several_data_sets_keep_the_types_of_their_edges():
    parts, expected = [], []
    for nodes, edges, share in (rings(10), rings(10, seed=1, size=9)):
        given = edges.sample(frac=0.8, random_state=0)
        data = covaried(nodes, given, share, rows=10)
        parts.append(graphs_of(data, coding_of(data).covariates.graph))
        for mol in range(10):
            own = given[given["mol"] == mol]
            once = list(zip(own["source"], own["type"] == "single", own["target"], strict=True))
            expected.append({*once, *((b, kind, a) for a, kind, b in once)})
    both = joined_graphs(parts)
    assert [triples(both, row) for row in range(20)] == expected


class Bonds(nn.Module):
    """A graph as the vector of its types, by how many edges have each."""

    def __init__(self):
        super().__init__()
        self.kinds = nn.Embedding(2, SMALL["d_model"])

    def forward(self, nodes, edges, owner, n_items, types):
        sums = torch.zeros(n_items, SMALL["d_model"])
        return sums.index_add(0, owner[edges[1]], self.kinds(types)) / len(nodes)


def test_an_encoder_of_the_user_gets_the_types(typed_rings):
    nodes, edges, share = typed_rings
    fit = ck.TransTEE(**FEW, action_encoder=Bonds()).fit(treated(*typed_rings))
    same = treated(nodes, edges.sample(frac=1.0, random_state=0), share)
    np.testing.assert_array_equal(answers(fit, same), answers(fit, treated(*typed_rings)))
    moved = answers(fit, treated(nodes, edges.assign(type="single"), share))
    assert np.abs(moved - answers(fit, treated(*typed_rings))).max() > 1e-4
