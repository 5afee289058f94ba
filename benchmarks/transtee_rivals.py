"""TransTEE beside other networks where treatments have doses or are graphs.

    python benchmarks/transtee_rivals.py dosage      # three arms with a dose, some ten minutes
    python benchmarks/transtee_rivals.py graphs      # small-world graphs, some of them never seen

All are trained alike: standardised outcomes, AdamW, four networks, early stopping on rows of their
own. Rates and decays of the dose rivals are chosen by validation loss on a draw that is not used
for anything else; TransTEE has its defaults. Every finished draw is kept in
``benchmarks/results/transtee_rivals.json``, and the page ``docs/evidence/transtee_rivals.md`` is
written from all that are there.
"""

import argparse
import json
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import causalkit as ck
from causalkit.registry import ESTIMATORS, load
from causalkit.transtee.networks import graph_matrices

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "transtee_rivals.md"
KEPT = Path(__file__).parent / "results" / "transtee_rivals.json"
N_MEMBERS, PATIENCE, MAX_EPOCHS, BATCH = 4, 20, 300, 128
DOSES = np.linspace(0.01, 0.99, 65)
DRAWS = {"dosage": 5, "graphs": 3}
TUNED_ON = 1000
RATES, DECAYS = (2e-3, 5e-4), (1e-2, 1.0)
LIKELIEST = 6
LEAST = 10  # rows of a graph that has a name of its own
MEASURES = {
    "dosage": ("root MISE", "DPE", "PE"),
    "graphs": ("WPEHE@6", "WPEHE@6, a graph never seen", "seconds"),
}


def curves(fit: Any, test: ck.CausalData) -> np.ndarray:
    """Predicted outcomes ``(n, arms, doses)``."""
    return np.stack(
        [fit.dose_response(test, grid=DOSES, arm=arm)["individual"].to_numpy() for arm in range(3)],
        axis=1,
    )


def dosage(draw: int, chosen: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Errors of each network on the test rows of one draw."""
    data = ck.generators.dosage(draw, n=1500)
    held = data.frame["part"].to_numpy() == 2
    truth = np.stack([data.truth.unit_response(arm, DOSES)[held] for arm in range(3)], axis=1)
    train, test = data.blind().subset(~held), data.blind().subset(held)
    found = {}
    for name, settings in {"transtee": {}, **chosen}.items():
        fit = load("estimator", name, ESTIMATORS)(random_state=0, **settings).fit(train)
        hat = curves(fit, test)
        found[type(fit).__name__] = {
            "root MISE": ck.metrics.root_mise(hat, truth, dose=DOSES),
            "DPE": ck.metrics.dose_policy_error(hat, truth),
            "PE": ck.metrics.policy_error(hat, truth),
        }
    return found


def tuned() -> dict[str, dict[str, float]]:
    """Rate and decay of each dose rival with the least validation loss."""
    data = ck.generators.dosage(TUNED_ON, n=1500)
    train = data.blind().subset(data.frame["part"].to_numpy() != 2)
    best: dict[str, dict[str, float]] = {}
    for name in ("tarnet", "drnet", "vcnet"):
        cls = load("estimator", name, ESTIMATORS)
        losses = {}
        for lr, decay in product(RATES, DECAYS):
            fit = cls(lr=lr, weight_decay=decay, n_ensemble=1, random_state=0).fit(train)
            losses[lr, decay] = np.mean(fit.diagnostics_["validation loss"])
        lr, decay = min(losses, key=lambda key: losses[key])
        best[name] = {"lr": lr, "weight_decay": decay}
    return best


class Concatenation(nn.Module):
    """A graph encoded by messages between its nodes, beside the covariates, into one MLP.

    With ``level`` a linear function of the covariates is added, as TransTEE adds one.
    """

    def __init__(self, n_covariates: int, n_features: int, *, level: bool, width: int = 32) -> None:
        super().__init__()
        self.level = nn.Linear(n_covariates, 1, bias=False) if level else None
        if self.level is not None:
            nn.init.zeros_(self.level.weight)
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
) -> tuple[nn.Module, float, float]:
    """One network by the loop of all others, with the mean and spread of its outcomes."""
    x, graph, y = train
    torch.manual_seed(seed)
    order = torch.randperm(len(y))
    valid, rows = order[: len(y) // 5], order[len(y) // 5 :]
    centre, spread = float(y[rows].mean()), float(y[rows].std())
    scaled = (y - centre) / spread
    model = Concatenation(x.shape[1], library[0].shape[1], level=level)
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = MAX_EPOCHS * -(-len(rows) // BATCH)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    best, kept, waited = np.inf, None, 0
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
        waited += 1
        if loss < best:
            best, waited = loss, 0
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        if waited >= PATIENCE:
            break
    model.load_state_dict(kept)
    return model, centre, spread


def by_concatenation(data: ck.CausalData, test: np.ndarray, *, level: bool) -> np.ndarray:
    """Outcomes ``(n, graphs)`` of test rows by a mean over four networks."""
    nodes = data.tables["graph_nodes"].sort_values(["graph", "node"], ignore_index=True)
    edges = data.tables["graph_edges"]
    owner = nodes["graph"].to_numpy()
    first = np.searchsorted(owner, np.arange(owner.max() + 1))
    ends = np.stack([first[edges["graph"]] + edges[end] for end in ("source", "target")])
    both = torch.as_tensor(np.concatenate([ends, ends[::-1]], axis=1))
    matrices = graph_matrices(both, torch.as_tensor(owner), len(first))
    degree = nodes["degree"].to_numpy()
    scaled = torch.as_tensor((degree - degree.mean()) / degree.std(), dtype=torch.float32)
    library = (scaled[:, None], *matrices)
    x = torch.as_tensor(data.matrix("covariates"), dtype=torch.float32)
    x = (x - x[~test].mean(dim=0)) / x[~test].std(dim=0)
    graph = torch.as_tensor(data.frame["graph"].to_numpy(dtype=np.int64))
    y = torch.as_tensor(data.column("outcome"), dtype=torch.float32)
    train = (x[~test], graph[~test], y[~test])
    outs = []
    for seed in range(N_MEMBERS):
        model, centre, spread = concatenation(train, library, seed, level=level)
        with torch.no_grad():
            tokens = model.graphs(*library)
            outs.append(
                [
                    model(x[test], token.expand(int(test.sum()), -1)) * spread + centre
                    for token in tokens
                ]
            )
    return np.mean([torch.stack(one, dim=1).double().numpy() for one in outs], axis=0)


def by_identity(data: ck.CausalData, test: np.ndarray) -> np.ndarray:
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
    return fit.predict(named.subset(test), treatment=name.tolist())


def by_transtee(data: ck.CausalData, test: np.ndarray) -> np.ndarray:
    n_graphs = data.tables["graph_nodes"]["graph"].nunique()
    fit = ck.TransTEE(random_state=0).fit(data.subset(~test))
    return fit.predict(data.subset(test), treatment=list(range(n_graphs)))


def graphs(draw: int, _: Any) -> dict[str, dict[str, float]]:
    """WPEHE@6 of test units, over all and over those with a graph among six never seen."""
    data = ck.generators.graph_sw(draw)
    test = data.frame["test"].to_numpy() == 1
    propensity = data.truth.propensity[test]
    truth = data.truth.unit_response(np.arange(propensity.shape[1]))[test]
    likely = ck.metrics.most_likely(propensity, LIKELIEST)
    new = ~np.isin(likely, data.frame["graph"].to_numpy()[~test]).all(axis=1)
    found = {}
    ways = {
        "TransTEE": by_transtee,
        "names": by_identity,
        "GNN + MLP": partial(by_concatenation, level=False),
        "GNN + MLP + level": partial(by_concatenation, level=True),
    }
    for name, way in ways.items():
        started = time.process_time()
        hat = way(data.blind(), test)
        seconds = time.process_time() - started
        found[name] = measured(hat, truth, propensity, new) | {"seconds": seconds}
    found["no effect"] = measured(0.0 * truth, truth, propensity, new) | {"seconds": 0.0}
    return found


def measured(hat: Any, truth: Any, propensity: Any, new: Any) -> dict[str, float]:
    every, some = (
        ck.metrics.wpehe(hat[rows], truth[rows], propensity=propensity[rows], k=LIKELIEST)
        for rows in (np.ones(len(new), dtype=bool), new)
    )
    return {"WPEHE@6": every, "WPEHE@6, a graph never seen": some}


PARTS = {"dosage": dosage, "graphs": graphs}
WORDS = {
    "dosage": "Three arms with a dose, 200 covariates, 1,500 rows, the effects of the last 300: "
    "`ck.generators.dosage(draw, n=1500)`. Goal T5: below TARNet and DRNet, and within 10 % of "
    "VCNet or below.",
    "graphs": "200 small-world graphs, 1,000 rows to learn from and 500 new units: "
    "`ck.generators.graph_sw(draw)`. `names` knows a graph by its name, and all of fewer than ten "
    "rows, or none, by one; `no effect` predicts none. TransTEE adds a linear part of the outcome "
    "whose slopes depend on the encoded graph, which was chosen on draws 1000 to 1002; `level` "
    "gives the rival one whose slopes do not. Goal T6: below `names` and below `GNN + MLP`, of all "
    "test units, those with graphs never seen included.",
}


def wins(draws: list[dict[str, dict[str, float]]], measures: tuple[str, ...]) -> str:
    """In how many draws TransTEE has the smaller error, by rival and measure."""
    counts = []
    for name in draws[0]:
        if name in ("TransTEE", "no effect"):
            continue
        found = [
            f"{sum(one['TransTEE'][measure] < one[name][measure] for one in draws)} by {measure}"
            for measure in measures
            if measure != "seconds"
        ]
        counts.append(f"{name} in {', '.join(found)}")
    return f"Of {len(draws)} draws TransTEE has the smaller error than {'; '.join(counts)}."


def page(kept: dict[str, Any]) -> str:
    lines = [
        "# TransTEE beside other networks: doses of arms, and graphs",
        "",
        "Made by `python benchmarks/transtee_rivals.py`; four networks each and early stopping "
        "alike. Means over draws, with their Monte-Carlo error.",
    ]
    for part, draws in kept.items():
        if part not in PARTS or not draws:
            continue
        lines += ["", f"## {part.capitalize()}", "", WORDS[part], ""]
        lines += [f"| network | draws | {' | '.join(MEASURES[part])} |"]
        lines += ["|---|---:|" + "---:|" * len(MEASURES[part])]
        for name in next(iter(draws.values())):
            cells = []
            for measure in MEASURES[part]:
                values = np.array([one[name][measure] for one in draws.values()])
                error = values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else np.nan
                cells.append(f"{values.mean():.3f} ({error:.3f})")
            lines.append(f"| {name} | {len(draws)} | {' | '.join(cells)} |")
        lines += ["", wins(list(draws.values()), MEASURES[part])]
    if "tuned" in kept:
        shown = "; ".join(
            f"{name}: rate {one['lr']:g}, decay {one['weight_decay']:g}"
            for name, one in kept["tuned"].items()
        )
        lines += ["", f"Chosen for dosage on draw {TUNED_ON}: {shown}."]
    return "\n".join([*lines, "", f"torch {torch.__version__.split('+')[0]}, one thread.", ""])


def write(kept: dict[str, Any]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1))
    PAGE.write_text(page(kept))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for part in arguments.parts or PARTS:
        if part == "dosage" and "tuned" not in kept:
            kept["tuned"] = tuned()
        for draw in range(DRAWS[part]):
            draws = kept.setdefault(part, {})
            if str(draw) not in draws:
                draws[str(draw)] = PARTS[part](draw, kept.get("tuned"))
                write(kept)
                print(part, draw, json.dumps(draws[str(draw)]), flush=True)
    write(kept)


if __name__ == "__main__":
    main()
