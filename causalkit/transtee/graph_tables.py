"""Tables beside the data: of items with features, and of graphs, by their nodes and edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import plain
from causalkit.errors import DataError, Problem
from causalkit.transtee.edge_types import TYPE, check_edge_columns, types_of
from causalkit.typing import Ints, Singles

# Beside the column that names the item, what says which row of a table is which.
_KEYS = ("step", "node", "source", "target")
CODE = "E26-tables"


@dataclass(frozen=True, slots=True)
class GraphTables:
    """All nodes, graph after graph.

    Attributes
    ----------
    place : mapping of name to int
        Position of each graph.
    features : (nodes, f) float32 array
        A column of ones where nodes have none.
    edges : (2, E) int array
        Nodes at both ends, each edge once.
    owner : (nodes,) int array
        Position of the graph of each node.
    types : (E,) int array or None
        Of the edges, by their place among the known ones; None if edges have none.
    strange : mapping of graph to type
        Graphs with edges of a type that is not among the known, which are left out.
    """

    place: dict[Any, int]
    features: Singles
    edges: Ints
    owner: Ints
    types: Ints | None = None
    strange: Mapping[Any, Any] = field(default_factory=dict)


def read_graphs(
    nodes: pd.DataFrame,
    edges: pd.DataFrame,
    column: str,
    *,
    names: Sequence[Any],
    types: Sequence[Any] | None = None,
) -> GraphTables:
    """Graphs of tables ``column, node, features...`` and ``column, source, target, type``.

    Parameters
    ----------
    nodes, edges : DataFrame
    column : str
        Names the graph, in both.
    names : sequence
        Features to read, in this order.
    types : sequence, optional
        Of edges, those known; by default edges have none.

    Raises
    ------
    DataError
        If a table lacks a column or a value, a node is there twice, a feature is not a finite
        number, an edge names a node that its graph lacks, or the table of edges has other columns.
    """
    ends = (column, "source", "target") if types is None else (column, "source", "target", TYPE)
    if edges.empty:
        edges = pd.DataFrame({name: [] for name in ends})
    for table, kept, wanted in (
        (nodes, f"{column}_nodes", (column, "node", *names)),
        (edges, f"{column}_edges", ends),
    ):
        check_columns(table, kept, wanted, column)
    check_edge_columns(edges, column, types=types)
    check_once(nodes, f"{column}_nodes", (column, "node"))
    nodes = nodes.sort_values([column, "node"], ignore_index=True)
    place = places(nodes[column])
    found = GraphTables(
        place,
        numbers(nodes, f"{column}_nodes", names, column),
        _ends(nodes, edges, column),
        nodes[column].map(place).to_numpy(dtype=np.int64),
    )
    if types is None:
        return found
    return _with_types(found, edges[column].tolist(), types_of(edges, column), types)


def _with_types(
    tables: GraphTables, graphs: list[Any], kinds: list[Any], types: Sequence[Any]
) -> GraphTables:
    """The same with the type of each edge, without edges of types that are not known."""
    number = {kind: place for place, kind in enumerate(types)}
    codes = np.array([number.get(kind, -1) for kind in kinds], dtype=np.int64)
    strange = {graphs[row]: kinds[row] for row in np.flatnonzero(codes < 0)}
    there = codes >= 0
    return replace(tables, edges=tables.edges[:, there], types=codes[there], strange=strange)


def _ends(nodes: pd.DataFrame, edges: pd.DataFrame, column: str) -> Ints:
    """Nodes at both ends of every edge, ``(2, E)``."""
    number = pd.Series(
        np.arange(len(nodes)), index=pd.MultiIndex.from_frame(nodes[[column, "node"]])
    )
    ends = [
        number.reindex(pd.MultiIndex.from_arrays([edges[column], edges[end]])).to_numpy(dtype=float)
        for end in ("source", "target")
    ]
    lost = np.flatnonzero(np.isnan(ends[0]) | np.isnan(ends[1]))
    if lost.size:
        first = edges.iloc[lost[0]]
        pairs = ((column, column), ("node", "source"), ("node", "target"))
        source, target = (shown(first[name]) for name in ("source", "target"))
        raise DataError(
            Problem(
                CODE,
                f"{lost.size} edges name nodes that their graph lacks; first: graph "
                f"{shown(first[column])}, edge {source} to {target}."
                + "".join(other_types(nodes[one], edges[two]) for one, two in pairs),
                column,
                tuple(int(row) for row in lost[:10]),
            )
        )
    return np.stack([values.astype(np.int64) for values in ends])


def check_columns(table: pd.DataFrame, name: str, wanted: Sequence[Any], column: str) -> None:
    """Refuse a table that lacks a column, or a value in those that name what its rows are."""
    absent = [one for one in wanted if one not in table]
    if absent:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"table {name!r} needs the columns {', '.join(map(str, wanted))}, and lacks "
                f"{', '.join(map(str, absent))} (it has {', '.join(map(str, table.columns))}).",
                column,
            )
        )
    keys = table[[one for one in wanted if one in (column, *_KEYS)]]
    holes = np.flatnonzero(keys.isna().any(axis=1))
    if holes.size:
        whole = ", ".join(map(str, keys))
        raise DataError(
            Problem(
                "E06-nan-id",
                f"table {name!r} has {holes.size} rows without a {whole} (first: row {holes[0]}); "
                "leave them out.",
                column,
                tuple(int(row) for row in holes[:10]),
            )
        )


def feature_names(table: pd.DataFrame, keys: Sequence[str]) -> tuple[Any, ...]:
    """Columns of a table, in its order, that are not among those which say what its rows are."""
    return tuple(name for name in table if name not in keys)


def check_once(table: pd.DataFrame, name: str, keys: Sequence[str]) -> None:
    """Refuse a table in which something is there twice."""
    again = np.flatnonzero(table.duplicated(list(keys)))
    if again.size:
        first = ", ".join(f"{key} {shown(table[key].iloc[again[0]])}" for key in keys)
        raise DataError(
            Problem(
                CODE,
                f"table {name!r} has {again.size} rows for what other rows are for (first: "
                f"{first}, again in row {again[0]}); keep one of them.",
                keys[0],
                tuple(int(row) for row in again[:10]),
            )
        )


def numbers(table: pd.DataFrame, name: str, features: Sequence[Any], column: str) -> Singles:
    """Features ``(rows, f)``, finite; a column of ones where there are none."""
    for feature in features:
        kind = table[feature].dtype
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            raise DataError(
                Problem(
                    "E03-non-numeric",
                    f"feature {feature!r} of table {name!r} is {kind}, and a number is needed; "
                    "make indicators of it, or leave it out.",
                    column,
                )
            )
    if not features:
        return np.ones((len(table), 1), dtype=np.float32)
    values: Singles = table[list(features)].to_numpy(dtype=np.float32, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        row = table.iloc[bad[0]]
        feature = features[int(np.flatnonzero(~np.isfinite(values[bad[0]]))[0])]
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"{bad.size} rows of table {name!r} have features that are not finite numbers; "
                f"first: {feature!r} of {shown(row[column])} is {shown(row[feature])}; fill "
                "it in, or leave the feature out.",
                column,
            )
        )
    return values


def places(names: "pd.Series[Any]") -> dict[Any, int]:
    """Position of each name, in the order of their first rows."""
    return {name: position for position, name in enumerate(dict.fromkeys(names.tolist()))}


def shown(value: Any) -> str:
    """A value of a table as its user would write it."""
    return repr(plain(value))


def other_types(one: "pd.Series[Any]", two: "pd.Series[Any]") -> str:
    """A word on columns that are to name the same things, if they are of different types."""
    if one.dtype == two.dtype or not len(two):
        return ""
    return f" {one.name!r} is {one.dtype}, and {two.name!r} beside it is {two.dtype}."
