"""Molecules as graphs: prepared tables that you have, or simulated ones of the same form."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.generators.files import check_digest
from causalkit.rng import stream
from causalkit.typing import Floats

N_PROPERTIES = 8
_SOURCE = (
    "molecules of QM9 (https://doi.org/10.6084/m9.figshare.c.978904), which you parse with a "
    "chemistry package, since causalkit does not"
)
# Mean and spread of the eight properties of QM9 that the design uses, roughly: mu, alpha, homo,
# lumo, gap, r2, zpve, u0.
_CENTRE = np.array([2.7, 75.0, -0.24, 0.01, 0.25, 1190.0, 0.15, -411.0])
_SPREAD = np.array([1.5, 8.0, 0.02, 0.05, 0.05, 280.0, 0.03, 40.0])


@dataclass(frozen=True, slots=True, eq=False)
class Molecules:
    """Graphs as tables, and the properties that outcomes depend on.

    Attributes
    ----------
    nodes : DataFrame
        ``graph``, ``node`` and features.
    edges : DataFrame
        ``graph``, ``source``, ``target`` and what else the edges have, of which networks read a
        ``type``; each edge once.
    properties : (g, 8) array
        Of the graphs 0, ..., g − 1.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    properties: Floats


def load_molecules(path: str, *, checksum: str = "any") -> Molecules:
    """Read prepared graphs from a folder.

    Parameters
    ----------
    path : str
        Folder with ``nodes.csv`` (columns ``graph``, ``node``, features), ``edges.csv`` (``graph``,
        ``source``, ``target``, optionally ``type``; each edge once) and ``properties.csv``
        (``graph`` and at least eight properties, of which the first eight are used). Graphs are
        numbered 0, 1, ....
    checksum : str, default "any"
        ``"sha256:<hex>"`` or ``"git:<sha1>"`` of ``nodes.csv``, ``edges.csv`` and
        ``properties.csv``, one after the other (``cat``), to be sure of them. No published checksum
        is known.

    Raises
    ------
    ArgumentError
        If a file or a column is missing, the files are others than asked for, a value is not a
        finite number, a graph has no nodes, or an edge names a node that is not there.
    """
    nodes = _read(path, "nodes.csv", ("graph", "node"))
    edges = _read(path, "edges.csv", ("graph", "source", "target"))
    told = _read(path, "properties.csv", ("graph",)).sort_values("graph", ignore_index=True)
    parts = [Path(path) / file for file in ("nodes.csv", "edges.csv", "properties.csv")]
    check_digest(Path(path), checksum, None, name="molecules", parts=parts)
    n = len(told)
    if not np.array_equal(told["graph"], np.arange(n)) or set(nodes["graph"]) != set(range(n)):
        raise ArgumentError(
            f"molecules={path!r}: properties.csv must name each graph 0, ..., {n - 1} once, and "
            "nodes.csv at least one node of each."
        )
    if nodes.duplicated(["graph", "node"]).any():
        raise ArgumentError(f"molecules={path!r}: nodes.csv names a node of a graph twice.")
    known = pd.MultiIndex.from_frame(nodes[["graph", "node"]])
    for end in ("source", "target"):
        lost = ~pd.MultiIndex.from_frame(edges[["graph", end]]).isin(known)
        if lost.any():
            first = edges.loc[lost].iloc[0]
            raise ArgumentError(
                f"molecules={path!r}: {int(lost.sum())} edges have a {end} that is no node of "
                f"their graph; first: graph {first['graph']:g}, {end} {first[end]:g}."
            )
    properties = told.drop(columns="graph").to_numpy(dtype=np.float64)
    if properties.shape[1] < N_PROPERTIES:
        raise ArgumentError(
            f"molecules={path!r}: properties.csv must have {N_PROPERTIES} properties beside graph, "
            f"got {properties.shape[1]}."
        )
    return Molecules(nodes, edges, properties[:, :N_PROPERTIES])


def simulated_molecules(seed: int, n_graphs: int) -> Molecules:
    """Random trees of 4 to 9 atoms, some with a ring, and properties that follow from the graph.

    Atoms are of four kinds, one indicator each; bonds of three types. The properties are smooth
    functions of size, composition, bonds and rings, scaled like those of QM9, so that a model that
    reads graphs can learn them and one that knows graphs by name cannot.
    """
    rng = stream(seed, "molecules")
    sizes = rng.integers(4, 10, n_graphs)
    owner = np.repeat(np.arange(n_graphs), sizes)
    node = np.concatenate([np.arange(size) for size in sizes])
    kind = rng.choice(4, size=owner.size, p=(0.7, 0.1, 0.15, 0.05))
    # Each atom but the first hangs on an earlier one: a tree.
    child = node > 0
    parent = np.floor(rng.random(owner.size) * np.maximum(node, 1)).astype(np.int64)
    tree = pd.DataFrame({"graph": owner, "source": parent, "target": node})[child]
    rings = pd.DataFrame({"graph": np.arange(n_graphs), "source": 0, "target": sizes - 1})
    rings = rings[rng.random(n_graphs) < 0.5]
    edges = pd.concat([tree, rings]).drop_duplicates(["graph", "source", "target"])
    edges = edges.sort_values(["graph", "source", "target"], ignore_index=True)
    edges["type"] = 1 + rng.choice(3, size=len(edges), p=(0.75, 0.2, 0.05))
    nodes = pd.DataFrame({"graph": owner, "node": node})
    for place, name in enumerate(("carbon", "nitrogen", "oxygen", "fluorine")):
        nodes[name] = (kind == place).astype(np.float64)
    return Molecules(nodes, edges, _properties(rng, nodes, edges, n_graphs))


def _properties(
    rng: np.random.Generator, nodes: pd.DataFrame, edges: pd.DataFrame, n_graphs: int
) -> Floats:
    """Eight mixtures of what describes each graph, on the scale of QM9."""
    composition = nodes.drop(columns="node").groupby("graph").sum().to_numpy()
    n_edges = np.bincount(edges["graph"], minlength=n_graphs)
    ends = np.concatenate([edges["source"], edges["target"]])
    joined = np.zeros((n_graphs, 10))
    np.add.at(joined, (np.tile(edges["graph"], 2), ends), 1.0)
    orders = np.bincount(edges["graph"], weights=edges["type"], minlength=n_graphs)
    facts = np.column_stack([composition, n_edges, orders, (joined**2).sum(axis=1)])
    spread = facts.std(axis=0)
    facts = (facts - facts.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    mixed = np.tanh(facts @ rng.standard_normal((facts.shape[1], N_PROPERTIES)) / 2.0)
    return np.asarray(_CENTRE + _SPREAD * mixed, dtype=np.float64)


def _read(path: str, file: str, columns: tuple[str, ...]) -> pd.DataFrame:
    place = Path(path) / file
    if not place.is_file():
        raise ArgumentError(
            f"molecules={path!r} must be a folder with nodes.csv, edges.csv and properties.csv, "
            f"and {file} is not there. They are to hold {_SOURCE}."
        )
    frame = pd.read_csv(place)
    absent = [name for name in columns if name not in frame]
    if absent:
        raise ArgumentError(f"molecules={path!r}: {file} lacks the columns {', '.join(absent)}.")
    numbers: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    if not np.isfinite(numbers.to_numpy(dtype=np.float64)).all():
        raise ArgumentError(f"molecules={path!r}: {file} holds values that are not finite numbers.")
    return numbers
