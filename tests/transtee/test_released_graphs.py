"""The released network for graphs is its description, and the released rule ends its training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import released_designs
from released_designs import FEW, with_graphs

torch = pytest.importorskip("torch")

import causalkit as ck  # noqa: E402
from causalkit.errors import ArgumentError  # noqa: E402
from causalkit.transtee import released_training  # noqa: E402
from causalkit.transtee.released import ReleasedTransTEE  # noqa: E402
from causalkit.transtee.released_graphs import (  # noqa: E402
    GraphTensors,
    GraphToken,
    Messages,
    NodeNorm,
    ReleasedGraphs,
)
from causalkit.transtee.released_recipes import RECIPES, Stopping  # noqa: E402
from causalkit.transtee.released_training import Inputs, ended, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


@pytest.fixture(scope="module")
def graphs():
    return released_designs.graphs()


def test_a_norm_with_counts_is_the_norm_of_rows_that_are_there_as_often():
    torch.manual_seed(0)
    counts, nodes = torch.tensor([1, 3, 2, 5]), torch.randn(4, 7, requires_grad=True)
    other = nodes.detach().repeat_interleave(counts, dim=0).requires_grad_()
    norm, plain = NodeNorm(7), torch.nn.BatchNorm1d(7)
    out, expected = norm(nodes, counts.float()), plain(other)
    first = counts.cumsum(0) - counts
    torch.testing.assert_close(out, expected[first])
    torch.testing.assert_close(norm.running_var, plain.running_var)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    weight = torch.randn(4, 7)
    (counts[:, None] * weight * out).sum().backward()
    (weight.repeat_interleave(counts, dim=0) * expected).sum().backward()
    owner = torch.arange(4).repeat_interleave(counts)
    copied = torch.zeros(4, 7).index_add(0, owner, other.grad)
    torch.testing.assert_close(nodes.grad, copied, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.eval()(nodes, counts.float()), plain.eval()(nodes))


def small_graphs():
    """A path of three nodes and a pair."""
    return GraphTensors(
        torch.tensor([[0.2], [0.5], [0.9], [0.1], [0.4]]),
        torch.tensor([[0, 1, 3], [1, 2, 4]]),
        torch.tensor([0, 0, 0, 1, 1]),
    )


def test_messages_are_sums_over_senders_through_one_map_and_the_node_through_another():
    graphs = small_graphs()
    torch.manual_seed(0)
    messages = Messages(1)
    sends = torch.zeros(5, 5)
    sends[[1, 2, 4], [0, 1, 3]] = 1.0
    expected = (sends @ graphs.features) @ messages.near.weight.T + messages.near.bias
    expected = expected + graphs.features @ messages.own.weight.T
    torch.testing.assert_close(messages(graphs.features, graphs.edges), expected)


def test_the_token_of_a_graph_is_that_of_two_copies_as_one_and_is_not_negative():
    torch.manual_seed(0)
    encoder = GraphToken(1, 16).eval()
    path = small_graphs().some(torch.tensor([0]))
    twice = GraphTensors(
        path.features.repeat(2, 1),
        torch.cat([path.edges, path.edges + 3], dim=1),
        torch.zeros(6, dtype=torch.int64),
    )
    one, two = (encoder(graph, torch.ones(1)) for graph in (path, twice))
    torch.testing.assert_close(one, two)
    assert (one >= 0.0).all()
    assert (one == 0.0).any()


def test_a_batch_that_encodes_a_graph_once_is_one_with_a_copy_for_every_row():
    graphs, items = small_graphs(), torch.tensor([1, 0, 1, 1, 0, 1])
    copies = [graphs.some(items[[row]]) for row in range(6)]
    sizes = torch.tensor([len(one.owner) for one in copies])
    first = sizes.cumsum(0) - sizes
    copied = GraphTensors(
        torch.cat([one.features for one in copies]),
        torch.cat([one.edges + at for one, at in zip(copies, first, strict=True)], dim=1),
        torch.arange(6).repeat_interleave(sizes),
    )
    torch.manual_seed(0)
    network, x = ReleasedGraphs(4, 1, RECIPES["sw"]), torch.randn(6, 4)
    torch.testing.assert_close(network(x, items, graphs), network(x, torch.arange(6), copied))


def test_the_first_step_is_that_of_adam_at_the_rate_of_the_code():
    # Adam moves a weight by the rate at first, whatever its gradient, if that is not tiny.
    rng = torch.Generator().manual_seed(0)
    x, items = torch.randn(60, 4, generator=rng), torch.arange(60) % 2
    inputs, y = Inputs((x, items), (small_graphs(),)), 9.0 * x[:, 0]
    start, moved = (train(inputs, y, RECIPES["sw"], seed=0, epochs=k)[0] for k in (0, 1))
    gaps = [
        (one - two).detach().abs().flatten()
        for one, two in zip(start.parameters(), moved.parameters(), strict=True)
    ]
    steps = torch.cat(gaps)
    assert steps[steps > 0.0].median().item() == pytest.approx(5e-3, rel=1e-2)


def test_numbers_of_nodes_mean_nothing_and_the_way_of_an_edge_does(graphs):
    fit = ReleasedTransTEE(recipe="sw", **FEW).fit(graphs)
    nodes, edges = graphs.tables["graph_nodes"], graphs.tables["graph_edges"]
    asked = list(range(6))
    expected = fit.predict(graphs, treatment=asked)
    assert np.ptp(expected, axis=1).max() > 1e-4
    moved = {column: 1000 - edges[column] for column in ("source", "target")}
    other = with_graphs(graphs, nodes.assign(node=1000 - nodes["node"]), edges.assign(**moved))
    np.testing.assert_allclose(fit.predict(other, treatment=asked), expected, atol=1e-4)
    turned = edges.assign(source=edges["target"], target=edges["source"])
    changed = fit.predict(with_graphs(graphs, nodes, turned), treatment=asked)
    assert np.abs(changed - expected).max() > 1e-3


def test_a_graph_never_seen_is_known_by_its_nodes_and_edges(graphs):
    fit = ReleasedTransTEE(recipe="sw", **FEW).fit(graphs)
    tables = [graphs.tables["graph_nodes"], graphs.tables["graph_edges"]]
    more = [
        pd.concat([table, table[table["graph"] == 3].assign(graph=77)], ignore_index=True)
        for table in tables
    ]
    asked = fit.predict(with_graphs(graphs, *more), treatment=[3, 77, 4])
    np.testing.assert_allclose(asked[:, 0], asked[:, 1], rtol=1e-5)
    assert (asked[:, 0] != asked[:, 2]).all()


@pytest.mark.parametrize(
    ("errors", "ends"),
    [
        ([60.0] * 249 + [40.0] * 12, True),  # the 250th is the first that is watched
        ([60.0] * 249 + [40.0] * 11, False),
        ([30.0] * 249 + [40.0] * 12, True),
        ([40.0] * 260, False),
        ([60.0] * 2000, False),
        ([60.0] * 249 + [40.0] * 12 + [39.0], False),
        ([40.0, float("nan")], True),
    ],
)
def test_training_on_graphs_ends_by_the_rule_of_the_release(errors, ends):
    assert ended(errors, RECIPES["sw"]) == ends


def test_the_last_weights_on_graphs_stay_though_others_were_better(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    x, items = torch.randn(60, 4, generator=rng), torch.arange(60) % 2
    valid = torch.arange(40, 60)
    monkeypatch.setattr(released_training, "_parts", lambda *_: (torch.arange(40), valid))
    inputs = Inputs((x, items), (small_graphs(),))
    recipe = replace(RECIPES["sw"], stopping=Stopping(least=2, patience=1, below=np.inf))
    y = torch.randn(60, generator=rng)
    network, losses = train(inputs, y, recipe, seed=0, epochs=200)
    with torch.no_grad():
        error = ((network(*inputs.at(valid)) - y[valid]) ** 2).mean()
    assert len(losses.valid) < 200
    assert losses.valid[-1] > min(losses.valid)
    assert error.item() == pytest.approx(losses.valid[-1], rel=1e-5)


def test_items_that_are_no_plain_graphs_are_refused(graphs):
    nodes, edges = graphs.tables["graph_nodes"], graphs.tables["graph_edges"]
    typed = with_graphs(graphs, nodes, edges.assign(type="bond"))
    with pytest.raises(ArgumentError, match="no types of edges, and the table graph_edges"):
        ReleasedTransTEE(recipe="sw", **FEW).fit(typed)
    vectors = pd.DataFrame({"graph": range(6), "f": np.arange(6.0)})
    items = ck.CausalData.from_frame(
        graphs.frame,
        outcome="y",
        treatment="graph",
        kinds=("structured",),
        covariates=list(graphs.roles.covariates),
        tables={"graph_vectors": vectors},
    )
    with pytest.raises(ArgumentError, match="items of 'graph' are a vector each; pass the tables"):
        ReleasedTransTEE(recipe="sw", **FEW).fit(items)
