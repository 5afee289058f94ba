"""Structured treatments: a library of vectors, sequences or graphs that rows refer to by name.

The data carry the library as tables named after the treatment column:

* ``<column>_vectors``: one row per item, its name under ``<column>``, features in the others;
* ``<column>_steps``: ``<column>``, ``step`` and features, a row per step of a sequence;
* ``<column>_nodes``: ``<column>``, ``node`` and features, with ``<column>_edges``: ``<column>``,
  ``source``, ``target`` and perhaps ``type``, each edge in one direction or both.

Features are found by name, as columns of the data are.

An item is known by its features alone, so that items never seen in training can be asked about.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import DataError, Problem
from causalkit.transtee.edge_types import check_seen, known_types
from causalkit.transtee.graph_tables import (
    check_columns,
    check_once,
    feature_names,
    numbers,
    places,
    read_graphs,
)
from causalkit.transtee.networks import (
    Params,
    encode_graphs,
    encode_sequences,
    encode_vectors,
    graph_matrices,
)
from causalkit.transtee.own_modules import OwnModule
from causalkit.typing import Bools, Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor

TABLES = {"vector": "vectors", "sequence": "steps", "graph": "nodes"}


@dataclass(frozen=True, slots=True)
class ItemScales:
    """Centres and spreads ``(M, f)`` of features, from the items of each member's training rows."""

    centre: "Tensor"
    spread: "Tensor"

    @classmethod
    def of(cls, library: "Library", seen: Sequence[Ints], device: Any) -> "ItemScales":
        """Scales of members, of which each has seen some items of a library."""
        import torch

        centres, spreads = [], []
        for items in seen:
            values = library.of_items(items).astype(np.float64)
            spread = values.std(axis=0)
            centres.append(values.mean(axis=0))
            spreads.append(np.where(spread > 0, spread, 1.0))
        ends = (np.stack(centres), np.stack(spreads))
        return cls(*(torch.as_tensor(end, dtype=torch.float32, device=device) for end in ends))

    def kept(self, members: Any) -> "ItemScales":
        """Of some members."""
        return ItemScales(self.centre[members], self.spread[members])

    def __call__(self, features: "Tensor") -> "Tensor":
        """Standardised features ``(M, ..., f)`` of items ``(..., f)``."""
        axes = (1,) * (features.dim() - 1)
        centre, spread = (end.view(len(end), *axes, -1) for end in (self.centre, self.spread))
        return (features - centre) / spread


@dataclass(frozen=True, slots=True)
class Library:
    """Items in the order of their names.

    Attributes
    ----------
    kind : {"vector", "sequence", "graph"}
    place : mapping of name to int
        Row of each item.
    names : tuple
        Of the features, as the table calls them; none where nodes are all alike.
    features : array
        ``(U, f)``, ``(U, L, f)``, or ``(nodes, f)`` of a graph.
    mask : (U, L) bool array or None
    edges : (2, E) int array or None
        Nodes over all graphs, both directions, each once, or once of each of its types.
    owner : (nodes,) int array or None
    edge_types : (E,) int array or None
        Of edges, by their place among the types.
    types : tuple or None
        Known ones of edges, in order; None if edges have none.
    strange : mapping of name to type
        Items with an edge of another type, which nobody may ask about.
    """

    kind: str
    place: Mapping[Any, int]
    names: tuple[Any, ...]
    features: Singles
    mask: Bools | None = None
    edges: Ints | None = None
    owner: Ints | None = None
    edge_types: Ints | None = None
    types: tuple[Any, ...] | None = None
    strange: Mapping[Any, Any] = field(default_factory=dict)
    _tensors: dict[str, "Tensor"] = field(default_factory=dict, compare=False)
    _matrices: list["Tensor"] = field(default_factory=list, compare=False)

    def __len__(self) -> int:
        return len(self.place)

    @property
    def n_features(self) -> int:
        """Features of an item, a step or a node."""
        return int(self.features.shape[-1])

    @property
    def n_steps(self) -> int:
        """Steps of the longest sequence; 0 of other kinds."""
        return 0 if self.mask is None else int(self.mask.shape[1])

    def arrays(self) -> "dict[str, Singles | Bools | Ints]":
        """Arrays that this kind has, by name."""
        names = ("features", "mask", "edges", "owner", "edge_types")
        found = {name: getattr(self, name) for name in names}
        return {name: values for name, values in found.items() if values is not None}

    def differs_in(self, other: "Library") -> str:
        """Which table, ``nodes`` or another, says something else than that of the other; or ""."""
        mine, others = self.arrays(), other.arrays()
        differ = {name for name in mine if not np.array_equal(mine[name], others[name])}
        if list(self.place) != list(other.place):
            differ.add("place")
        if self.strange != other.strange:
            differ.add("edge_types")
        if differ and differ <= {"edges", "edge_types"}:
            return "edges"
        return TABLES[self.kind] if differ else ""

    def codes(self, names: Any, column: str) -> Ints:
        """Row of each named item.

        Raises
        ------
        DataError
            If the library lacks one, or one has an edge of a type never seen in training.
        """
        # A series keeps dates, which an array makes numbers of.
        asked = pd.Series(names).tolist()
        check_seen(self.strange, asked, self.types or (), column)
        found = np.array([self.place.get(name, -1) for name in asked])
        if (found < 0).any():
            absent = sorted({str(n) for n, k in zip(names, found, strict=True) if k < 0})
            raise DataError(
                Problem(
                    "E25-unknown-level",
                    f"{column!r} names items that its table lacks: {', '.join(absent[:5])}; add "
                    "them to it, for new rows by training_data.like(df, tables=...).",
                    column,
                )
            )
        return found.astype(np.int64)

    def of_items(self, items: Ints) -> Singles:
        """Features of some items, or of all of their steps or nodes, ``(rows, f)``."""
        if self.owner is not None:
            return self.features[np.isin(self.owner, items)]
        items = np.unique(items)
        return self.features[items] if self.mask is None else self.features[items][self.mask[items]]

    def encode(
        self,
        p: Params,
        scales: ItemScales,
        *,
        items: "Tensor | None" = None,
        own: OwnModule | None = None,
        width: int = 0,
    ) -> "Tensor":
        """Tokens ``(M, U, d)`` of all items, or of some, by an encoder of the user if there is one.

        Parameters
        ----------
        p : mapping of str to tensors ``(M, ...)``
        scales : ItemScales
        items : (U,) integer tensor, optional
            Places of some, in order, each once.
        own : OwnModule, optional
        width : int
            Of tokens, for an encoder of the user.
        """
        if not self._tensors:
            self.place_on(next(iter(p.values())).device)
        tensors = self._tensors if items is None else self._some(items)
        n_items = len(self) if items is None else len(items)
        features, *others = tensors.values()
        features = scales(features)
        if own is not None:
            seen = [values[None] for values in others]
            count = (n_items,) if self.kind == "graph" else ()
            inputs = (features, *seen[:2], *count, *seen[2:])
            return own.tokens(p, inputs, width=width, dims=2)
        if self.kind == "vector":
            return encode_vectors(p, features)
        if self.kind == "sequence":
            return encode_sequences(p, features, *others)
        matrices = self._matrices if items is None else self._near_and_mean(tensors, n_items)
        return encode_graphs(p, features, *matrices)

    def _some(self, items: "Tensor") -> "dict[str, Tensor]":
        """Tensors of some items, which are counted anew, as are their nodes."""
        import torch

        if self.kind != "graph":
            return {name: values[items] for name, values in self._tensors.items()}
        owner, edges = self._tensors["owner"], self._tensors["edges"]
        there = torch.isin(owner, items)
        ends = there[edges[0]]
        found = {
            "features": self._tensors["features"][there],
            "edges": (there.cumsum(dim=0) - 1)[edges[:, ends]],
            "owner": torch.searchsorted(items, owner[there]),
        }
        types = self._tensors.get("edge_types")
        return found if types is None else found | {"edge_types": types[ends]}

    def _near_and_mean(
        self, tensors: "Mapping[str, Tensor]", n_items: int
    ) -> "tuple[Tensor, Tensor]":
        edges, owner = tensors["edges"], tensors["owner"]
        types = tensors.get("edge_types")
        return graph_matrices(edges, owner, n_items, types, len(self.types or ()))

    def place_on(self, device: Any) -> None:
        """Make the tensors that encoding needs; before threads that would make them twice."""
        import torch

        for name, values in self.arrays().items():
            self._tensors[name] = torch.tensor(values.copy(), device=device)
        if self.kind == "graph":
            with warnings.catch_warnings():
                # What torch says once of sparse tensors, whatever is done with them. Not where
                # batches make them: threads would leave each other's filters behind.
                warnings.simplefilter("ignore")
                self._matrices[:] = self._near_and_mean(self._tensors, len(self))


def library_of(data: CausalData, column: str, *, like: Library | None = None) -> Library:
    """Library of a structured treatment, from the tables of the data.

    Parameters
    ----------
    data : CausalData
    column : str
        Of the treatment.
    like : Library, optional
        That of training, whose kind and features are to be found.

    Raises
    ------
    DataError
        If no table is there, several that each say what items are, none like that of training, or
        nodes without edges; if an item is there twice, a feature is not a finite number, or an edge
        names a node that is not there.
    """
    tables = data.tables
    there = [kind for kind, rest in TABLES.items() if f"{column}_{rest}" in tables]
    if not there:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"{column!r} is a structured treatment, and the data have no table that says what "
                f"its items are. Pass tables={{'{column}_vectors': frame}}, or {column}_steps, or "
                f"{column}_nodes with {column}_edges.",
                column,
            )
        )
    if like is None:
        if len(there) > 1:
            named = ", ".join(f"{column}_{TABLES[kind]}" for kind in there)
            raise DataError(
                Problem(
                    "E02-duplicate-role",
                    f"the tables {named} each say what the items of {column!r} are, and one is "
                    "read; leave out the others.",
                    column,
                )
            )
        return _READERS[there[0]](data, column, None)
    if like.kind not in there:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"items of {column!r} were known by the table {column}_{TABLES[like.kind]} in "
                f"training, and these data have {column}_{TABLES[there[0]]}; pass a table as in "
                "training.",
                column,
            )
        )
    return _READERS[like.kind](data, column, like)


def check_item_steps(library: Library, like: Library, column: str) -> None:
    """Refuse sequences longer than those of training, for networks that learn places of steps.

    Raises
    ------
    DataError
        With the first.
    """
    if library.mask is None or library.n_steps <= like.n_steps:
        return
    late = int(np.flatnonzero(library.mask[:, like.n_steps :].any(axis=1))[0])
    raise DataError(
        Problem(
            "E26-tables",
            f"sequences of {column!r} had at most {like.n_steps} steps in training, and "
            f"{list(library.place)[late]!r} has {int(library.mask[late].sum())}; nothing was "
            "learned about later steps. Shorten it, or train on sequences of that length.",
            column,
        )
    )


def _vectors(data: CausalData, column: str, like: Library | None) -> Library:
    frame, names = _read(data, column, "vectors", (column,), like)
    values = numbers(frame, f"{column}_vectors", names, column)
    return Library("vector", places(frame[column]), names, values)


def _sequences(data: CausalData, column: str, like: Library | None) -> Library:
    frame, names = _read(data, column, "steps", (column, "step"), like)
    place = places(frame[column])
    owner = frame[column].map(place).to_numpy(dtype=np.int64)
    position = frame.groupby(owner).cumcount().to_numpy()
    values = numbers(frame, f"{column}_steps", names, column)
    steps = np.zeros((len(place), int(position.max()) + 1, values.shape[1]), dtype=np.float32)
    mask = np.zeros(steps.shape[:2], dtype=bool)
    steps[owner, position], mask[owner, position] = values, True
    return Library("sequence", place, names, steps, mask=mask)


def _read(
    data: CausalData, column: str, rest: str, keys: tuple[str, ...], like: Library | None
) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """Table in the order of its keys, and the features to read, all if there is no training."""
    name = f"{column}_{rest}"
    frame = data.tables[name]
    check_columns(frame, name, (*keys, *(() if like is None else like.names)), column)
    check_once(frame, name, keys)
    names = feature_names(frame, keys) if like is None else like.names
    return frame.sort_values(list(keys), ignore_index=True), names


def _graphs(data: CausalData, column: str, like: Library | None) -> Library:
    nodes = data.tables[f"{column}_nodes"]
    if f"{column}_edges" not in data.tables:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"the table {column}_nodes has no {column}_edges beside it, which says how nodes "
                f"hang together; pass it, with the columns {column}, source and target, or, where "
                "no graph has an edge, an empty table: "
                f"tables={{..., '{column}_edges': pd.DataFrame()}}.",
                column,
            )
        )
    edges = data.tables[f"{column}_edges"]
    names = feature_names(nodes, (column, "node")) if like is None else like.names
    types = known_types(data, column) if like is None else like.types
    found = read_graphs(nodes, edges, column, names=names, types=types)
    kinds = () if found.types is None else (found.types,)
    both = np.concatenate([[*found.edges, *kinds], [*found.edges[::-1], *kinds]], axis=1)
    once = np.unique(both, axis=1)
    return Library(
        "graph",
        found.place,
        names,
        found.features,
        edges=once[:2],
        owner=found.owner,
        edge_types=once[2] if kinds else None,
        types=types,
        strange=found.strange,
    )


_READERS = {"vector": _vectors, "sequence": _sequences, "graph": _graphs}
