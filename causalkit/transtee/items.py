"""Structured treatments: a library of vectors, sequences or graphs that rows refer to by name.

The data carry the library as tables named after the treatment column:

* ``<column>_vectors``: one row per item, its name under ``<column>``, features in the others;
* ``<column>_steps``: ``<column>``, ``step`` and features, a row per step of a sequence;
* ``<column>_nodes``: ``<column>``, ``node`` and features, with ``<column>_edges``: ``<column>``,
  ``source`` and ``target``, each edge in one direction or both.

Features are found by name, as columns of the data are.

An item is known by its features alone, so that items never seen in training can be asked about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import DataError, Problem
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

CODE = "E05-nan-treatment"
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
        Nodes over all graphs, both directions, each once.
    owner : (nodes,) int array or None
    """

    kind: str
    place: Mapping[Any, int]
    names: tuple[Any, ...]
    features: Singles
    mask: Bools | None = None
    edges: Ints | None = None
    owner: Ints | None = None
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
        found = {name: getattr(self, name) for name in ("features", "mask", "edges", "owner")}
        return {name: values for name, values in found.items() if values is not None}

    def differs_in(self, other: "Library") -> str:
        """Which table, ``nodes`` or another, says something else than that of the other; or ""."""
        mine, others = self.arrays(), other.arrays()
        differ = {name for name in mine if not np.array_equal(mine[name], others[name])}
        if list(self.place) != list(other.place):
            differ.add("place")
        if differ == {"edges"}:
            return "edges"
        return TABLES[self.kind] if differ else ""

    def codes(self, names: Any, column: str) -> Ints:
        """Row of each named item.

        Raises
        ------
        DataError
            If the library lacks one.
        """
        # A series keeps dates, which an array makes numbers of.
        found = np.array([self.place.get(name, -1) for name in pd.Series(names).tolist()])
        if (found < 0).any():
            absent = sorted({str(n) for n, k in zip(names, found, strict=True) if k < 0})
            raise DataError(
                Problem(
                    CODE,
                    f"{column!r} names items that its table lacks: {', '.join(absent[:5])}.",
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
        own: OwnModule | None = None,
        width: int = 0,
    ) -> "Tensor":
        """Tokens ``(M, U, d)`` of all items, by an encoder of the user if there is one."""
        if not self._tensors:
            self.place_on(next(iter(p.values())).device)
        features, *others = self._tensors.values()
        features = scales(features)
        if own is not None:
            count = (len(self),) if self.kind == "graph" else ()
            inputs = (features, *(values[None] for values in others), *count)
            return own.tokens(p, inputs, width=width, dims=2)
        if self.kind == "vector":
            return encode_vectors(p, features)
        if self.kind == "sequence":
            return encode_sequences(p, features, *others)
        return encode_graphs(p, features, *self._matrices)

    def place_on(self, device: Any) -> None:
        """Make the tensors that encoding needs; before threads that would make them twice."""
        import torch

        for name, values in self.arrays().items():
            self._tensors[name] = torch.tensor(values.copy(), device=device)
        if self.kind == "graph":
            edges, owner = self._tensors["edges"], self._tensors["owner"]
            self._matrices[:] = graph_matrices(edges, owner, len(self))


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
        If no table is there, or none like that of training; if an item is there twice, a feature
        is not a finite number, or an edge names a node that is not there.
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
        return _READERS[there[0]](tables, column, None)
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
    return _READERS[like.kind](tables, column, like.names)


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
            CODE,
            f"sequences of {column!r} had at most {like.n_steps} steps in training, and "
            f"{list(library.place)[late]!r} has {int(library.mask[late].sum())}; nothing was "
            "learned about later steps. Shorten it, or train on sequences of that length.",
            column,
        )
    )


def _vectors(
    tables: Mapping[str, pd.DataFrame], column: str, names: Sequence[Any] | None
) -> Library:
    frame, names = _read(tables, column, "vectors", (column,), names)
    values = numbers(frame, f"{column}_vectors", names, column, CODE)
    return Library("vector", places(frame[column]), names, values)


def _sequences(
    tables: Mapping[str, pd.DataFrame], column: str, names: Sequence[Any] | None
) -> Library:
    frame, names = _read(tables, column, "steps", (column, "step"), names)
    place = places(frame[column])
    owner = frame[column].map(place).to_numpy(dtype=np.int64)
    position = frame.groupby(owner).cumcount().to_numpy()
    values = numbers(frame, f"{column}_steps", names, column, CODE)
    steps = np.zeros((len(place), int(position.max()) + 1, values.shape[1]), dtype=np.float32)
    mask = np.zeros(steps.shape[:2], dtype=bool)
    steps[owner, position], mask[owner, position] = values, True
    return Library("sequence", place, names, steps, mask=mask)


def _read(
    tables: Mapping[str, pd.DataFrame],
    column: str,
    rest: str,
    keys: tuple[str, ...],
    names: Sequence[Any] | None,
) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    """Table in the order of its keys, and the features to read, all if none are named."""
    name = f"{column}_{rest}"
    frame = tables[name]
    check_columns(frame, name, (*keys, *(names or ())), column, CODE)
    check_once(frame, name, keys, CODE)
    names = feature_names(frame, keys) if names is None else tuple(names)
    return frame.sort_values(list(keys), ignore_index=True), names


def _graphs(
    tables: Mapping[str, pd.DataFrame], column: str, names: Sequence[Any] | None
) -> Library:
    nodes = tables[f"{column}_nodes"]
    edges = tables.get(f"{column}_edges", pd.DataFrame(columns=[column, "source", "target"]))
    if names is None:
        names = feature_names(nodes, (column, "node"))
    found = read_graphs(nodes, edges, column, code=CODE, names=names)
    both = np.concatenate([found.edges, found.edges[::-1]], axis=1)
    return Library(
        "graph",
        found.place,
        tuple(names),
        found.features,
        edges=np.unique(both, axis=1),
        owner=found.owner,
    )


_READERS = {"vector": _vectors, "sequence": _sequences, "graph": _graphs}
