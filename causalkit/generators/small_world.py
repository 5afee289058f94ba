"""Small-world graphs, and the features of a graph that an outcome may depend on."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    maximum_flow,
    shortest_path,
)

from causalkit.errors import ArgumentError, check_count
from causalkit.rng import stream
from causalkit.typing import Floats, Ints

_TRIES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """Several undirected graphs, their nodes and edges one after the other.

    Attributes
    ----------
    sizes : (g,) int array
        Nodes of each graph.
    owner : (edges,) int array
        Graph of each edge.
    edges : (edges, 2) int array
        Ends, numbered from 0 within the graph; each edge once.
    degree_centrality : (nodes,) array
        Degree over size − 1.
    average_path, connectivity : (g,) arrays
        Mean length of shortest paths, and the fewest nodes whose loss cuts the graph.
    """

    sizes: Ints
    owner: Ints
    edges: Ints
    degree_centrality: Floats
    average_path: Floats
    connectivity: Floats


@lru_cache(maxsize=4)
def small_world_graphs(seed: int, n_graphs: int) -> Graphs:
    """Connected Watts-Strogatz graphs of 10 to 119 nodes, 3 to 7 neighbours, rewired by U(.1, 1).

    A seed gives the same graphs in every call; the last ones stay in memory, since the
    connectivity of 200 graphs takes a while.

    References
    ----------
    Watts & Strogatz (1998), Nature 393:440; Kaddour et al. (2021), NeurIPS, appendix.
    """
    rng = stream(seed, "small_world_graphs")
    sizes = rng.integers(10, 120, n_graphs)
    neighbours = rng.integers(3, 8, n_graphs)
    chances = rng.uniform(0.1, 1.0, n_graphs)
    drawn = [
        watts_strogatz(rng, int(size), neighbours=int(k), chance=float(p))
        for size, k, p in zip(sizes, neighbours, chances, strict=True)
    ]
    return Graphs(
        sizes=np.asarray(sizes, dtype=np.int64),
        owner=np.repeat(np.arange(n_graphs), [len(edges) for edges in drawn]),
        edges=np.concatenate(drawn),
        degree_centrality=np.concatenate(
            [degrees(n, e) / (n - 1.0) for n, e in zip(sizes, drawn, strict=True)]
        ),
        average_path=np.array([average_path(int(n), e) for n, e in zip(sizes, drawn, strict=True)]),
        connectivity=np.array(
            [float(node_connectivity(int(n), e)) for n, e in zip(sizes, drawn, strict=True)]
        ),
    )


def watts_strogatz(rng: np.random.Generator, n: int, *, neighbours: int, chance: float) -> Ints:
    """Edges ``(m, 2)`` of a connected small-world graph; it is drawn again until it is connected.

    A ring on which each node is joined to the ``neighbours // 2`` next ones on either side; then
    each edge keeps its first end, and its second moves with probability ``chance`` to a node that
    the first is not joined to.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or no connected graph was found.

    References
    ----------
    Watts & Strogatz (1998), Nature 393:440.
    """
    check_count("neighbours", neighbours, least=2)
    check_count("n", n, least=neighbours + 1)
    if not 0.0 <= chance <= 1.0:
        raise ArgumentError(f"chance must lie in [0, 1], got {chance!r}.")
    for _ in range(_TRIES):
        edges = _rewired(rng, n, neighbours // 2, chance)
        if connected_components(_matrix(n, edges), directed=False)[0] == 1:
            return edges
    raise ArgumentError(
        f"no connected graph in {_TRIES} draws with n={n}, neighbours={neighbours}, "
        f"chance={chance}; raise neighbours or lower chance."
    )


def _rewired(rng: np.random.Generator, n: int, reach: int, chance: float) -> Ints:
    joined = [set[int]() for _ in range(n)]
    ring = [(u, (u + step) % n) for step in range(1, reach + 1) for u in range(n)]
    for u, v in ring:
        joined[u].add(v)
        joined[v].add(u)
    moves = rng.random(len(ring)) < chance
    for (u, v), moved in zip(ring, moves, strict=True):
        if not moved or len(joined[u]) >= n - 1:
            continue
        free = [w for w in range(n) if w != u and w not in joined[u]]
        w = free[int(rng.integers(len(free)))]
        joined[u].remove(v)
        joined[v].remove(u)
        joined[u].add(w)
        joined[w].add(u)
    return np.array([(u, v) for u in range(n) for v in sorted(joined[u]) if u < v], dtype=np.int64)


def degrees(n: int, edges: Ints) -> Ints:
    """Number of edges ``(n,)`` at each node."""
    return np.bincount(edges.ravel(), minlength=n)


def average_path(n: int, edges: Ints) -> float:
    """Mean length of the shortest paths between pairs of nodes; infinite if some have none."""
    lengths = shortest_path(_matrix(n, edges), directed=False, unweighted=True)
    return float(lengths.sum() / (n * (n - 1.0)))


def node_connectivity(n: int, edges: Ints) -> int:
    """Fewest nodes whose loss leaves a graph that is not connected; n − 1 if it is complete.

    By Menger's theorem the least number of separate paths between two nodes that are not joined: a
    maximum flow in which each node lets one unit through. It is enough to look at a node v of
    least degree with every other, and at pairs of its neighbours, as v is outside some smallest
    cut or its neighbours are on both sides of it. A node with k neighbours that have k paths to v
    has k paths itself, whence few flows are left to find.

    References
    ----------
    Menger (1927); Esfahanian & Hakimi (1984), Networks 14:355; Even & Tarjan (1975), SIAM J.
    Computing 4:507.
    """
    joined = [set[int]() for _ in range(n)]
    for u, v in edges.tolist():
        joined[u].add(v)
        joined[v].add(u)
    least = min(range(n), key=lambda u: len(joined[u]))
    reached = breadth_first_order(
        _matrix(n, edges), least, directed=False, return_predecessors=False
    ).tolist()
    if len(reached) < n:
        return 0
    network = _network(n, edges)
    fewest = len(joined[least])
    sure = set(joined[least])
    for node in reached[1 + fewest :]:
        if len(joined[node] & sure) < fewest:
            fewest = min(fewest, _paths(network, least, node))
        sure.add(node)
    for one, two in combinations(sorted(joined[least]), 2):
        if two not in joined[one] and len(joined[one] & joined[two]) < fewest:
            fewest = min(fewest, _paths(network, one, two))
    return fewest


def _paths(network: csr_array, source: int, sink: int) -> int:
    """Number of paths between two nodes that share no other node."""
    # Out of the source, into the sink: neither is a bottleneck itself.
    exit_of_source = source + network.shape[0] // 2
    return int(maximum_flow(network, exit_of_source, sink).flow_value)


def _matrix(n: int, edges: Ints) -> csr_array:
    """Adjacency, each edge in one direction."""
    return csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))


def _network(n: int, edges: Ints) -> csr_array:
    """Each node u split into an entry u and an exit n + u, with capacity 1 in between."""
    tails = np.concatenate([np.arange(n), edges[:, 0] + n, edges[:, 1] + n])
    heads = np.concatenate([np.arange(n) + n, edges[:, 1], edges[:, 0]])
    ones = np.ones(tails.size, dtype=np.int32)
    return csr_array((ones, (tails, heads)), shape=(2 * n, 2 * n))
