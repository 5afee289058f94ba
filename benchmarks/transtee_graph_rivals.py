"""Rivals of TransTEE where treatments are graphs; parts of ``transtee_rivals.py``."""

import time
from collections.abc import Callable, Container
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import causalkit as ck
from causalkit.transtee.linear_start import linear_start
from causalkit.transtee.networks import graph_matrices
from causalkit.transtee.released import ReleasedTransTEE

N_MEMBERS, PATIENCE, MAX_EPOCHS, BATCH = 4, 20, 300, 128
LIKELIEST = 6
LEAST = 10  # rows of a graph that has a name of its own
Found = tuple[np.ndarray, float]


class Concatenation(nn.Module):
    """A graph encoded by messages between its nodes, beside the covariates, into one MLP.

    With ``level`` a linear function of the covariates is added, as TransTEE adds one, that starts
    where its own does.
    """

    def __init__(
        self, n_covariates: int, n_features: int, *, start: Tensor | None, width: int = 32
    ) -> None:
        super().__init__()
        self.level = None if start is None else nn.Linear(n_covariates, 1, bias=False)
        if self.level is not None:
            self.level.weight.data[:] = start
        self.start = nn.Linear(n_features, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.near = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.head = nn.Sequential(
            nn.Linear(n_covariates + width, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU()
        )
        self.out = nn.Linear(64, 1)

    def graphs(self, nodes: Tensor, near: Tensor, mean: Tensor) -> Tensor:
        hidden = self.start(nodes)
        for own, message in zip(self.own, self.near, strict=True):
            hidden = hidden + nn.functional.gelu(
                own(hidden) + message(torch.sparse.mm(near, hidden))
            )
        return torch.sparse.mm(mean, hidden)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        out = self.out(self.head(torch.cat([x, tokens], dim=1)))
        return (out if self.level is None else out + self.level(x))[:, 0]


def concatenation(
    train: Any, library: Any, seed: int, *, level: bool
) -> tuple[nn.Module, float, float, int]:
    """One network by the loop of all others, mean and spread of its outcomes, and epochs."""
    x, graph, y = train
    torch.manual_seed(seed)
    order = torch.randperm(len(y))
    valid, rows = order[: len(y) // 5], order[len(y) // 5 :]
    centre, spread, start = float(y[rows].mean()), float(y[rows].std()), None
    if level:
        slopes, spread = linear_start(x[rows].double().numpy(), y[rows].double().numpy(), None)
        start = torch.as_tensor(slopes / spread, dtype=torch.float32)
    scaled = (y - centre) / spread
    model = Concatenation(x.shape[1], library[0].shape[1], start=start)
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = MAX_EPOCHS * -(-len(rows) // BATCH)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    best, kept, waited, trained = np.inf, None, 0, 0
    for _ in range(MAX_EPOCHS):
        for part in rows[torch.randperm(len(rows))].split(BATCH):
            adam.zero_grad()
            out = model(x[part], model.graphs(*library)[graph[part]])
            ((out - scaled[part]) ** 2).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            cosine.step()
        with torch.no_grad():
            out = model(x[valid], model.graphs(*library)[graph[valid]])
            loss = float(((out - scaled[valid]) ** 2).mean())
        trained, waited = trained + 1, waited + 1
        if loss < best:
            best, waited = loss, 0
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        if waited >= PATIENCE:
            break
    model.load_state_dict(kept)
    return model, centre, spread, trained


def by_concatenation(data: ck.CausalData, test: np.ndarray, *, level: bool) -> Found:
    """Outcomes ``(n, graphs)`` of test rows by a mean over four networks, and epochs of these."""
    nodes = data.tables["graph_nodes"].sort_values(["graph", "node"], ignore_index=True)
    edges = data.tables["graph_edges"]
    owner = nodes["graph"].to_numpy()
    first = np.searchsorted(owner, np.arange(owner.max() + 1))
    ends = np.stack([first[edges["graph"]] + edges[end] for end in ("source", "target")])
    both = torch.as_tensor(np.concatenate([ends, ends[::-1]], axis=1))
    matrices = graph_matrices(both, torch.as_tensor(owner), len(first))
    features = nodes.drop(columns=["graph", "node"]).to_numpy(dtype=float)
    spread = np.where(features.std(axis=0) > 0, features.std(axis=0), 1.0)
    scaled = torch.as_tensor((features - features.mean(axis=0)) / spread, dtype=torch.float32)
    library = (scaled, *matrices)
    x = torch.as_tensor(data.matrix("covariates"), dtype=torch.float32)
    x = (x - x[~test].mean(dim=0)) / x[~test].std(dim=0)
    graph = torch.as_tensor(data.frame["graph"].to_numpy(dtype=np.int64))
    y = torch.as_tensor(data.column("outcome"), dtype=torch.float32)
    train = (x[~test], graph[~test], y[~test])
    outs, epochs = [], []
    for seed in range(N_MEMBERS):
        model, centre, spread, trained = concatenation(train, library, seed, level=level)
        epochs.append(trained)
        with torch.no_grad():
            tokens = model.graphs(*library)
            outs.append(
                [
                    model(x[test], token.expand(int(test.sum()), -1)) * spread + centre
                    for token in tokens
                ]
            )
    hat = np.mean([torch.stack(one, dim=1).double().numpy() for one in outs], axis=0)
    return hat, float(np.mean(epochs))


def by_identity(data: ck.CausalData, test: np.ndarray) -> Found:
    """TransTEE to which a graph is a name, an indicator; those of few rows, or none, share one."""
    graph = data.frame["graph"].to_numpy()
    n_graphs = data.tables["graph_nodes"]["graph"].nunique()
    counts = np.bincount(graph[~test], minlength=n_graphs)
    name = np.where(counts >= LEAST, np.arange(n_graphs).astype(str), "rare")
    known = np.unique(name)
    indicators = pd.DataFrame(np.eye(len(known)), columns=[f"is_{one}" for one in known])
    named = ck.CausalData.from_frame(
        data.frame.assign(graph=name[graph]),
        outcome="y",
        treatment="graph",
        covariates=list(data.roles.covariates),
        kinds=("structured",),
        tables={"graph_vectors": indicators.assign(graph=known)},
    )
    fit = ck.TransTEE(random_state=0).fit(named.subset(~test))
    return fit.predict(named.subset(test), treatment=name.tolist()), epochs_of(fit)


def by_estimator(data: ck.CausalData, test: np.ndarray, *, made: Callable[[], Any]) -> Found:
    n_graphs = data.tables["graph_nodes"]["graph"].nunique()
    fit = made().fit(data.subset(~test))
    return fit.predict(data.subset(test), treatment=list(range(n_graphs))), epochs_of(fit)


def epochs_of(fit: Any) -> float:
    """Mean over networks."""
    return float(np.mean(fit.diagnostics_["epochs trained"]))


WAYS: dict[str, Callable[[ck.CausalData, np.ndarray], Found]] = {
    "TransTEE": partial(by_estimator, made=partial(ck.TransTEE, random_state=0)),
    "names": by_identity,
    "GNN + MLP": partial(by_concatenation, level=False),
    "GNN + MLP + level": partial(by_concatenation, level=True),
    "ReleasedTransTEE": partial(
        by_estimator, made=partial(ReleasedTransTEE, recipe="sw", random_state=0)
    ),
}


DRAWN: dict[str, Callable[[int], ck.CausalData]] = {
    "graphs": ck.generators.graph_sw,
    "molecules": partial(ck.generators.graph_tcga, n=1500, effect=10.0),
}
# The release has no recipe of molecules.
ABSENT = {"graphs": (), "molecules": ("ReleasedTransTEE",)}


def graphs(part: str, draw: int, kept: Container[str]) -> dict[str, dict[str, float]]:
    """WPEHE@6 of test units, over all and over those with a graph among six never seen.

    Of the ways that are not kept yet, by name.
    """
    ways = {name: way for name, way in WAYS.items() if name not in ABSENT[part]}
    if all(name in kept for name in ways):
        return {}
    data = DRAWN[part](draw)
    test = data.frame["test"].to_numpy() == 1
    propensity = data.truth.propensity[test]
    truth = data.truth.unit_response(np.arange(propensity.shape[1]))[test]
    likely = ck.metrics.most_likely(propensity, LIKELIEST)
    new = ~np.isin(likely, data.frame["graph"].to_numpy()[~test]).all(axis=1)
    found = {}
    for name, way in ways.items():
        if name in kept:
            continue
        started = time.process_time()
        hat, epochs = way(data.blind(), test)
        took = {"seconds": time.process_time() - started, "epochs": epochs}
        found[name] = measured(hat, truth, propensity, new) | took
    return {"no effect": measured(0.0 * truth, truth, propensity, new)} | found


def measured(hat: Any, truth: Any, propensity: Any, new: Any) -> dict[str, float]:
    """Over all rows, and over those with a new graph, if there are any."""
    parts = {"WPEHE@6": np.ones(len(new), dtype=bool), "WPEHE@6, a graph never seen": new}
    return {
        name: ck.metrics.wpehe(hat[rows], truth[rows], propensity=propensity[rows], k=LIKELIEST)
        for name, rows in parts.items()
        if rows.any()
    }
