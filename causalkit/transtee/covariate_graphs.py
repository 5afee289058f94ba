"""A graph for every row among the covariates, whose nodes are tokens.

The data carry the graphs as tables, ``<column>_nodes`` with ``<column>, node`` and features, and
``<column>_edges`` with ``<column>, source, target`` and perhaps ``type``, each edge once. The role
``graph`` names the second, and the column of the data says which graph a row has.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from causalkit.data import CausalData
from causalkit.errors import DataError, Problem
from causalkit.transtee.edge_types import check_seen, known_types
from causalkit.transtee.graph_tables import (
    GraphTables,
    check_columns,
    feature_names,
    other_types,
    read_graphs,
    shown,
)
from causalkit.transtee.layout import apply_norm
from causalkit.transtee.messages import passed_messages
from causalkit.typing import Bools, Ints, Singles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

SUFFIX = "_edges"
# A product of matrices whose parts begin at aligned addresses is rounded alike for every member.
_MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class GraphCode:
    """What is read of graphs, as learned from the training data.

    Attributes
    ----------
    column : str
        Says which graph a row has.
    features : tuple
        Names of those of nodes.
    types : tuple or None
        Of edges, in order; None if they have none.
    """

    column: str
    features: tuple[Any, ...]
    types: tuple[Any, ...] | None = None

    @property
    def n_features(self) -> int:
        """Features of a node; the constant one where it has none."""
        return max(1, len(self.features))

    @property
    def n_types(self) -> int:
        """Types of edges that are told apart."""
        return len(self.types or ())


@dataclass(frozen=True, slots=True)
class Graphs:
    """Graphs of n rows, padded to L nodes and E edges.

    Attributes
    ----------
    nodes : (n, L, f) float32 array
        Zero where padded.
    mask : (n, L) bool array
        Which nodes are there.
    edges : (n, E) int32 array
        (source · R + type) · L + target, in both directions; R L² where padded.
    n_types : int
        R, 1 where edges have no types.
    """

    nodes: Singles
    mask: Bools
    edges: NDArray[np.int32]
    n_types: int = 1

    def rows(self, chosen: "Ints | slice") -> "Graphs":
        """Some rows."""
        return replace(
            self, nodes=self.nodes[chosen], mask=self.mask[chosen], edges=self.edges[chosen]
        )


@dataclass(frozen=True, slots=True)
class GraphRows:
    """Graphs of a batch.

    Attributes
    ----------
    nodes : (M, B, L, f) tensor
        Features.
    mask : (M, B, L) bool tensor
    adjacency : (M, B, L, R·L) tensor
        1 where nodes are neighbours, else 0; a matrix for each type of edges, side by side.
    """

    nodes: "Tensor"
    mask: "Tensor"
    adjacency: "Tensor"


@dataclass(frozen=True, slots=True)
class GraphStore:
    """Graphs of all rows on a device."""

    nodes: "Tensor"
    mask: "Tensor"
    edges: "Tensor"
    n_types: int = 1

    @classmethod
    def of(cls, graphs: Graphs, device: Any) -> "GraphStore":
        """Tensors of the arrays."""
        import torch

        parts = (graphs.nodes, graphs.mask, graphs.edges)
        nodes, mask, edges = (torch.tensor(np.array(part), device=device) for part in parts)
        return cls(nodes, mask, edges, graphs.n_types)

    def rows(self, index: "Tensor", centre: "Tensor", spread: "Tensor") -> GraphRows:
        """Standardised graphs of rows ``(M, B)``, or ``(1, B)`` for every member.

        Parameters
        ----------
        index : integer tensor
        centre, spread : (M, f) tensors
        """
        import torch

        n_members, size = len(centre), self.nodes.shape[1]
        shape = (n_members, *index.shape[1:])
        mask = self.mask[index].expand(*shape, -1)
        nodes = (self.nodes[index] - centre[:, None, None]) / spread[:, None, None]
        nodes = torch.where(mask[..., None], nodes, 0.0)
        edges = self.edges[index].long()
        flat = nodes.new_zeros(*index.shape, size * self.n_types * size + 1)
        flat.scatter_(-1, edges, 1.0)
        adjacency = flat[..., :-1].view(*index.shape, size, self.n_types * size)
        return GraphRows(nodes, mask, adjacency.expand(*shape, -1, -1))


def graph_column(data: CausalData) -> str | None:
    """Column that says which graph each row has, if there are graphs among the covariates.

    Raises
    ------
    DataError
        If the table of edges has no column, or no table of nodes, to go with it.
    """
    table = data.roles.graph
    if table is None:
        return None
    column = table.removesuffix(SUFFIX)
    if column in data.roles.treatment:
        return None
    wanted = (
        (table.endswith(SUFFIX), f"must be named after a column, as <column>{SUFFIX}"),
        (column in data.frame, f"goes with a column {column!r} that says which graph a row has"),
        (f"{column}_nodes" in data.tables, f"goes with a table {column + '_nodes'!r}"),
    )
    for there, words in wanted:
        if not there:
            raise DataError(
                Problem(
                    "E01-missing-column",
                    f"graph={table!r} {words}, and the data have none. Pass tables="
                    f"{{'{column}_nodes': nodes, '{column}{SUFFIX}': edges}}, "
                    f"graph='{column}{SUFFIX}', and the column in a role, such as extra.",
                    column,
                )
            )
    return column


def graph_code(data: CausalData, column: str) -> GraphCode:
    """Features of nodes, in the order of their table, and types of edges of training data.

    Raises
    ------
    DataError
        If the table does not say which node of which graph a row is, or types are no category.
    """
    nodes = data.tables[f"{column}_nodes"]
    check_columns(nodes, f"{column}_nodes", (column, "node"), column)
    names = feature_names(nodes, (column, "node"))
    return GraphCode(column, names, known_types(data, column))


def graphs_of(data: CausalData, code: GraphCode) -> Graphs:
    """Graphs of every row.

    Raises
    ------
    DataError
        If a row names a graph that is not there, or one with an edge of an unknown type, a feature
        is not a finite number, or the tables do not go together.
    """
    column = code.column
    nodes = data.tables[f"{column}_nodes"]
    edges = data.tables[f"{column}{SUFFIX}"]
    found = read_graphs(nodes, edges, column, names=code.features, types=code.types)
    owners = data.frame[column]
    place = owners.map(found.place).to_numpy(dtype=float, na_value=np.nan)
    lost = np.flatnonzero(np.isnan(place))
    if lost.size:
        raise DataError(
            Problem(
                "E26-tables",
                f"{lost.size} rows name graphs that {column}_nodes lacks; first: row {lost[0]}, "
                f"{shown(owners.iloc[lost[0]])}; add their nodes, or leave these rows out."
                f"{other_types(nodes[column], owners)}",
                column,
                tuple(int(row) for row in lost[:10]),
            )
        )
    check_seen(found.strange, owners.tolist(), code.types or (), column)
    asked, row = np.unique(place.astype(np.int64), return_inverse=True)
    return _padded(found, asked, max(1, code.n_types)).rows(row)


def _padded(tables: GraphTables, asked: Ints, n_types: int) -> Graphs:
    """A row for each graph asked for, with room for as many nodes as any graph of the tables has.

    Were there less room where fewer are asked for, sums over nodes would be rounded otherwise.
    """
    counts = np.bincount(tables.owner, minlength=len(tables.place))
    size = -(-int(counts.max()) // _MULTIPLE) * _MULTIPLE
    position = np.arange(len(tables.owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = np.full(len(counts), -1)
    row[asked] = np.arange(len(asked))
    owner = row[tables.owner]
    there = owner >= 0
    nodes = np.zeros((len(asked), size, tables.features.shape[1]), dtype=np.float32)
    mask = np.zeros((len(asked), size), dtype=bool)
    nodes[owner[there], position[there]] = tables.features[there]
    mask[owner[there], position[there]] = True
    types = (
        np.zeros(tables.edges.shape[1], dtype=np.int64) if tables.types is None else tables.types
    )
    both = np.concatenate([[*tables.edges, types], [*tables.edges[::-1], types]], axis=1)
    both = both[:, there[both[0]]]
    source, target, kind = both[:, np.argsort(owner[both[0]], kind="stable")]
    graph = owner[source]
    n_edges = np.bincount(graph, minlength=len(asked))
    place = np.arange(len(graph)) - np.repeat(np.cumsum(n_edges) - n_edges, n_edges)
    most = max(1, int(n_edges.max(initial=0)))
    wide = np.full((len(asked), most), n_types * size * size, dtype=np.int32)
    wide[graph, place] = (position[source] * n_types + kind) * size + position[target]
    return Graphs(nodes, mask, wide, n_types)


def joined_graphs(parts: "Sequence[Graphs | None]") -> Graphs | None:
    """Graphs of several data sets, one after the other, padded alike."""
    some = [part for part in parts if part is not None]
    if not some:
        return None
    size = max(part.nodes.shape[1] for part in some)
    wide = [_widened(part, size, max(one.edges.shape[1] for one in some)) for part in some]
    return Graphs(
        np.concatenate([part.nodes for part in wide]),
        np.concatenate([part.mask for part in wide]),
        np.concatenate([part.edges for part in wide]),
        some[0].n_types,
    )


def _widened(part: Graphs, size: int, n_edges: int) -> Graphs:
    old = part.nodes.shape[1]
    none, padded = (part.n_types * length * length for length in (old, size))
    sent, target = part.edges // old, part.edges % old
    edges = np.where(part.edges == none, padded, sent * size + target)
    more = ((0, 0), (0, size - old))
    return Graphs(
        np.pad(part.nodes, (*more, (0, 0))),
        np.pad(part.mask, more),
        np.pad(edges, ((0, 0), (0, n_edges - edges.shape[1])), constant_values=padded).astype(
            np.int32
        ),
        part.n_types,
    )


def graph_tokens(p: "Mapping[str, Tensor]", graph: GraphRows) -> "Tensor":
    """Tokens ``(M, B, L, d)`` of the nodes, after rounds of sums over neighbours."""
    hidden = passed_messages(p, "graph", graph.nodes, graph.adjacency.matmul)
    return apply_norm(p, "graph.norm", hidden)
