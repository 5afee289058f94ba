"""Graphs that differ in the types of their edges alone."""

import numpy as np
import pandas as pd
from transtee_designs import SMALL

import causalkit as ck

SIZE = 6
FEW = SMALL | {"max_epochs": 3}


def rings(n, seed=0, size=SIZE):
    """Rings that differ in the types of their edges alone, and the share of single ones."""
    rng = np.random.default_rng(seed)
    single = rng.random((n, size)) < rng.random((n, 1))
    nodes = pd.DataFrame({"mol": np.repeat(range(n), size), "node": np.tile(range(size), n)})
    edges = pd.DataFrame(
        {
            "mol": np.repeat(range(n), size),
            "source": np.tile(range(size), n),
            "target": np.tile(np.roll(range(size), -1), n),
            "type": np.where(single, "single", "double").ravel(),
        }
    )
    return nodes, edges, single.mean(axis=1)


def tables(nodes, edges):
    return {"mol_nodes": nodes, "mol_edges": edges}


def treated(nodes, edges, share, rows=400, items=30, seed=1):
    """Rows whose treatment is one of the first rings."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"mol": rng.integers(0, items, rows), "a": rng.standard_normal(rows)})
    frame["y"] = 0.5 * frame["a"] + 3 * share[frame["mol"]] + 0.1 * rng.standard_normal(rows)
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="mol",
        kinds=("structured",),
        covariates="a",
        tables=tables(nodes, edges),
    )


def covaried(nodes, edges, share, rows=300, seed=1):
    """Rows with a ring each, on which the effect depends."""
    rng = np.random.default_rng(seed)
    mol = np.arange(rows) % len(share)
    frame = pd.DataFrame({"mol": mol, "a": rng.standard_normal(rows)})
    frame["t"] = rng.integers(0, 2, rows)
    frame["y"] = frame["a"] + 3 * frame["t"] * share[mol] + 0.1 * rng.standard_normal(rows)
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates="a",
        extra="mol",
        graph="mol_edges",
        tables=tables(nodes, edges),
    )


def answers(fit, data):
    """What a fit says of graphs seen and not."""
    if data.roles.treatment == ("mol",):
        return fit.predict(data, treatment=list(range(25, 40)))
    return fit.predict(data, treatment=1)


MAKERS = [treated, covaried]
