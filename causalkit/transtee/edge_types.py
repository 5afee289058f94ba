"""Types of edges, such as the bonds of a molecule: the column ``type`` of a table of edges."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.candidate import plain
from causalkit.errors import DataError, Problem

TYPE = "type"
_ALLOWED = (str, int, bool)


def check_edge_columns(edges: pd.DataFrame, column: str, *, types: Sequence[Any] | None) -> None:
    """Refuse columns that would not be read.

    Parameters
    ----------
    edges : DataFrame
    column : str
        Names the graph.
    types : sequence, optional
        Known ones, if edges have any.

    Raises
    ------
    DataError
        Naming the columns.
    """
    read = (column, "source", "target", *(() if types is None else (TYPE,)))
    others = [name for name in edges if name not in read]
    if not others:
        return
    names = ", ".join(repr(name) for name in others)
    mend = (
        "edges had no type in training; leave it out, or train with it"
        if others == [TYPE]
        else f"of edges only a {TYPE!r}, which is a category, is read; leave out the rest"
    )
    raise DataError(
        Problem(
            "E26-tables",
            f"table {column + '_edges'!r} has columns beside those read: {names}; {mend}.",
        )
    )


def types_of(edges: pd.DataFrame, column: str) -> list[Any]:
    """Type of each edge, as a plain value.

    Raises
    ------
    DataError
        If one is missing, or they are no text, whole numbers or booleans, all of one kind.
    """
    values = edges[TYPE]
    holes = np.flatnonzero(values.isna())
    if holes.size:
        first = edges.iloc[holes[0]]
        graph, source, target = (repr(plain(first[end])) for end in (column, "source", "target"))
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"{holes.size} edges of table {column + '_edges'!r} have no {TYPE}; first: graph "
                f"{graph}, edge {source} to {target}. Give it one, or leave the edge out.",
                column,
                tuple(int(row) for row in holes[:10]),
            )
        )
    found = [plain(value) for value in values.tolist()]
    kinds = dict.fromkeys(type(value) for value in found)
    if len(kinds) > 1 or not kinds.keys() <= set(_ALLOWED):
        named = " and ".join(kind.__name__ for kind in kinds)
        odd = next((v for v in found if type(v) not in _ALLOWED), found[0])
        raise DataError(
            Problem(
                "E26-tables",
                f"{TYPE} of table {column + '_edges'!r} is {named} (such as {odd!r}), and is to be "
                "a category: text, whole numbers or booleans. Convert it, as by .astype(str).",
                column,
            )
        )
    return found


def known_types(data: CausalData, column: str) -> tuple[Any, ...] | None:
    """Types, in order, of the edges of the graphs that rows have; None if edges have none.

    Of the types of other graphs nothing could be learned.
    """
    edges = data.tables.get(f"{column}_edges")
    # A table that lacks another of its columns is refused where edges are read.
    wanted = {column, "source", "target", TYPE}
    if edges is None or edges.empty or column == TYPE or not wanted <= set(edges):
        return None
    named = set(data.frame[column].tolist())
    types = types_of(edges, column)
    seen = {kind for kind, name in zip(types, edges[column].tolist(), strict=True) if name in named}
    return tuple(sorted(seen))


def check_seen(
    strange: Mapping[Any, Any], names: Iterable[Any], types: Sequence[Any], column: str
) -> None:
    """Refuse graphs with an edge of a type never seen in training.

    Parameters
    ----------
    strange : mapping of graph to type
        All that have one.
    names : iterable
        Graphs that are asked about.
    types : sequence
        Known ones.
    column : str

    Raises
    ------
    DataError
        With the types, and the first graph.
    """
    asked = [name for name in dict.fromkeys(names) if name in strange] if strange else []
    if not asked:
        return
    unseen = ", ".join(repr(kind) for kind in dict.fromkeys(strange[name] for name in asked))
    raise DataError(
        Problem(
            "E25-unknown-level",
            f"{len(asked)} graphs of {column + '_edges'!r} have edges of a {TYPE} that no graph of "
            f"a training row had: {unseen}; first: graph {plain(asked[0])!r} (known: "
            f"{', '.join(map(repr, types)) or 'none'}). Train on graphs with such edges, or leave "
            "these out.",
            column,
        )
    )
