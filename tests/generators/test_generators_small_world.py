"""Small worlds, and features of graphs against graphs whose features are known."""

from itertools import combinations

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.generators import small_world as module
from causalkit.generators.small_world import (
    average_path,
    degrees,
    node_connectivity,
    small_world_graphs,
    watts_strogatz,
)


def edges_of(pairs):
    return np.array(list(pairs), dtype=np.int64)


CYCLE = edges_of((i, (i + 1) % 7) for i in range(7))
PATH = edges_of((i, i + 1) for i in range(6))
COMPLETE = edges_of(combinations(range(5), 2))
BIPARTITE = edges_of((i, 3 + j) for i in range(3) for j in range(4))
WHEEL = edges_of([*((0, i) for i in range(1, 7)), *((i, i % 6 + 1) for i in range(1, 7))])
PETERSEN = edges_of(
    [
        *((i, (i + 1) % 5) for i in range(5)),
        *((i, i + 5) for i in range(5)),
        *((i + 5, (i + 2) % 5 + 5) for i in range(5)),
    ]
)
# Two complete graphs of five that share two nodes: degrees of at least 4, cut by losing two.
JOINED = edges_of({*combinations(range(5), 2), *combinations((3, 4, 5, 6, 7), 2)})
# Node 12 has two neighbours in each of two complete graphs of six, which nothing else joins: it has
# the least degree and is the cut itself, so no pair that it belongs to shows the connectivity.
HINGE = edges_of(
    [
        *combinations(range(6), 2),
        *combinations(range(6, 12), 2),
        *((k, 12) for k in (0, 1, 6, 7)),
    ]
)
APART = edges_of([*combinations(range(3), 2), *combinations(range(3, 6), 2)])


@pytest.mark.parametrize(
    ("n", "edges", "expected"),
    [
        (7, CYCLE, 2),
        (7, PATH, 1),
        (5, COMPLETE, 4),
        (7, BIPARTITE, 3),
        (7, WHEEL, 3),
        (10, PETERSEN, 3),
        (8, JOINED, 2),
        (13, HINGE, 1),
        (6, APART, 0),
    ],
)
def test_connectivity_of_graphs_that_are_known(n, edges, expected):
    assert node_connectivity(n, edges) == expected


def test_average_paths_of_graphs_that_are_known():
    # A cycle of seven: distances 1, 1, 2, 2, 3, 3 from every node.
    assert average_path(7, CYCLE) == pytest.approx(2.0)
    assert average_path(5, COMPLETE) == 1.0
    # In the Petersen graph three nodes are one away and six are two.
    assert average_path(10, PETERSEN) == pytest.approx(15 / 9)
    # On a path of n nodes the mean distance is (n + 1) / 3.
    assert average_path(7, PATH) == pytest.approx(8 / 3)
    assert average_path(6, APART) == np.inf


def test_connectivity_of_random_graphs_agrees_with_networkx():
    nx = pytest.importorskip("networkx")
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(3, 14))
        edges = np.argwhere(np.triu(rng.random((n, n)) < rng.uniform(0.2, 0.95), 1))
        known = nx.empty_graph(n)
        known.add_edges_from(edges.tolist())
        assert node_connectivity(n, edges) == nx.node_connectivity(known)


def test_features_agree_with_networkx():
    nx = pytest.importorskip("networkx")
    graphs = small_world_graphs(3, 8)
    start = 0
    for k, n in enumerate(graphs.sizes.tolist()):
        known = nx.Graph(graphs.edges[graphs.owner == k].tolist())
        known.add_nodes_from(range(n))
        assert nx.is_connected(known)
        assert graphs.connectivity[k] == nx.node_connectivity(known)
        assert graphs.average_path[k] == pytest.approx(nx.average_shortest_path_length(known))
        told = nx.degree_centrality(known)
        expected = [told[node] for node in range(n)]
        np.testing.assert_allclose(graphs.degree_centrality[start : start + n], expected)
        start += n


def test_without_rewiring_the_graph_is_a_ring_and_with_it_the_edges_keep_one_end():
    ring = watts_strogatz(np.random.default_rng(0), 12, neighbours=5, chance=0.0)
    assert degrees(12, ring).tolist() == [4] * 12
    gaps = np.diff(ring, axis=1) % 12
    assert set(np.minimum(gaps, 12 - gaps).ravel().tolist()) == {1, 2}
    mixed = watts_strogatz(np.random.default_rng(1), 60, neighbours=6, chance=1.0)
    assert len(mixed) == 180
    assert len(np.unique(mixed, axis=0)) == 180
    assert (mixed[:, 0] < mixed[:, 1]).all()
    # A node keeps its own three edges, so that is the least degree; the most is above the ring's.
    assert degrees(60, mixed).min() >= 3
    assert degrees(60, mixed).max() > 6


def test_rewired_edges_are_as_many_as_the_chance_says():
    rng = np.random.default_rng(2)
    kept = []
    for _ in range(40):
        edges = watts_strogatz(rng, 100, neighbours=6, chance=0.3)
        gap = np.diff(edges, axis=1).ravel() % 100
        kept.append((np.minimum(gap, 100 - gap) <= 3).mean())
    # An edge that moves lands on a near free node with a chance of a few in a hundred.
    assert np.mean(kept) == pytest.approx(0.7, abs=0.03)


def test_libraries_have_the_published_ranges_and_are_the_same_for_a_seed():
    one, two = small_world_graphs(5, 15), small_world_graphs(6, 15)
    assert one.sizes.min() >= 10
    assert one.sizes.max() <= 119
    assert not np.array_equal(one.sizes, two.sizes)
    again = small_world_graphs.__wrapped__(5, 15)
    np.testing.assert_array_equal(one.edges, again.edges)
    np.testing.assert_array_equal(one.connectivity, again.connectivity)


def test_graphs_that_cannot_be_are_refused_by_name(monkeypatch):
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match=r"chance must lie in \[0, 1\], got 1.5"):
        watts_strogatz(rng, 10, neighbours=4, chance=1.5)
    with pytest.raises(ArgumentError, match="n must be at least 5, got 4"):
        watts_strogatz(rng, 4, neighbours=4, chance=0.5)
    # With a hundred draws even a long ring, wholly rewired, is found connected once.
    monkeypatch.setattr(module, "_TRIES", 0)
    with pytest.raises(ArgumentError, match="no connected graph in 0 draws with n=400"):
        watts_strogatz(rng, 400, neighbours=2, chance=1.0)
