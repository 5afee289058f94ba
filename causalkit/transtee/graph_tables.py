"""Graphs from two tables: a row for every node, and a row for every edge."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import DataError, Problem
from causalkit.typing import Ints, Singles


@dataclass(frozen=True, slots=True)
class GraphTables:
    """All nodes, graph after graph.

    Attributes
    ----------
    place : mapping of name to int
        Position of each graph.
    features : (nodes, f) float32 array
    edges : (2, E) int array
        Nodes at both ends, each edge once.
    owner : (nodes,) int array
        Position of the graph of each node.
    """

    place: dict[Any, int]
    features: Singles
    edges: Ints
    owner: Ints


def read_graphs(nodes: pd.DataFrame, edges: pd.DataFrame, column: str, *, code: str) -> GraphTables:
    """Graphs of tables ``column, node, features...`` and ``column, source, target``.

    Parameters
    ----------
    nodes, edges : DataFrame
    column : str
        Names the graph, in both.
    code : str
        Of the error.

    Raises
    ------
    DataError
        If an edge names a node that its graph lacks.
    """
    nodes = nodes.sort_values([column, "node"], ignore_index=True)
    place = places(nodes[column])
    number = pd.Series(
        np.arange(len(nodes)), index=pd.MultiIndex.from_frame(nodes[[column, "node"]])
    )
    ends = [
        number.reindex(pd.MultiIndex.from_arrays([edges[column], edges[end]])).to_numpy()
        for end in ("source", "target")
    ]
    lost = np.flatnonzero(np.isnan(ends[0].astype(float)) | np.isnan(ends[1].astype(float)))
    if lost.size:
        first = edges.iloc[lost[0]]
        raise DataError(
            Problem(
                code,
                f"{lost.size} edges name nodes that their graph lacks; first: graph "
                f"{first[column]!r}, edge {first['source']} to {first['target']}.",
                column,
                tuple(int(row) for row in lost[:10]),
            )
        )
    return GraphTables(
        place,
        features(nodes, (column, "node")),
        np.stack([values.astype(np.int64) for values in ends]),
        nodes[column].map(place).to_numpy(dtype=np.int64),
    )


def places(names: "pd.Series[Any]") -> dict[Any, int]:
    """Position of each name, in the order of their first rows."""
    return {name: position for position, name in enumerate(dict.fromkeys(names.tolist()))}


def features(frame: pd.DataFrame, others: tuple[str, ...]) -> Singles:
    """The other columns as float32 numbers."""
    values: Singles = frame.drop(columns=list(others)).to_numpy(dtype=np.float32)
    return values
