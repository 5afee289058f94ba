"""Posterior, salience, transport and shared images over many simulated trials.

    OMP_NUM_THREADS=1 python benchmarks/image_checks.py [PART ...]

The parts are salience, transport, small, units, nuts and vi; those that are not named keep what
they have. On one core salience takes ten minutes, nuts five, and the others a minute or two each.
The page is written by ``python benchmarks/image_targets.py page``.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import causalkit as ck

RESULTS = Path(__file__).parent / "results" / "image_checks.json"
TAU = np.array([-0.5, 1.5])
DESIGNS = {"motif": {"decoys": 0, "epochs": 15}, "decoys": {"decoys": 5, "epochs": 30}}
N_RANDOM = 5  # networks that learned nothing
SHOCKS = (0.3, 1.0)


def shown_motifs(rct: ck.CausalData, fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the evaluation rows whose image has the motif, and its box in each."""
    rows = fit.parts_.evaluate
    rows = rows[rct.truth.cluster_labels[rows] == 1]
    return rct.frame["place"].to_numpy()[rows], rct.truth.image_box[rows]


def inside(boxes: np.ndarray, side: int = 32) -> np.ndarray:
    """Pixels within each box, ``(b, y, x)``."""
    at = np.arange(side)
    rows = (at >= boxes[:, :1]) & (at < boxes[:, :1] + boxes[:, 2:3])
    columns = (at >= boxes[:, 1:2]) & (at < boxes[:, 1:2] + boxes[:, 3:4])
    return rows[:, :, None] & columns[:, None, :]


def pointing(values: np.ndarray, boxes: np.ndarray) -> float:
    """Share of images whose largest value lies in the box."""
    flat = values.reshape(len(values), -1)
    held = inside(boxes).reshape(flat.shape)[np.arange(len(flat)), flat.argmax(axis=1)]
    return float(held.mean())


def overlapping(values: np.ndarray, boxes: np.ndarray) -> float:
    """Share of images in which the square of the largest value overlaps the box."""
    top = values == values.max(axis=(1, 2), keepdims=True)
    return float((top & inside(boxes)).any(axis=(1, 2)).mean())


def mass_inside(values: np.ndarray, boxes: np.ndarray) -> float:
    """Mean share of an image's values that lies in the box."""
    held = (values * inside(boxes)).sum(axis=(1, 2)) / values.sum(axis=(1, 2))
    return float(held.mean())


def without_learning(fit: Any) -> Iterator[None]:
    """Put random weights into the network of a fit, several times; its own come back after."""
    network = fit.members_[0].network
    kept = {name: values.clone() for name, values in network.state_dict().items()}
    for seed in range(N_RANDOM):
        torch.manual_seed(seed)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        yield
    network.load_state_dict(kept)


@cache
def trained(design: str, seed: int) -> tuple[ck.CausalData, Any]:
    """A trial of 1,200 images, and a fit."""
    options = DESIGNS[design]
    rct = ck.generators.image_rct(seed, n_images=1200, decoys=options["decoys"])
    fit = ck.ImageEffectClusters(
        likelihood="normal",
        epochs=options["epochs"],
        n_restarts=1,
        n_draws=200,
        random_state=seed,
    )
    return rct, fit.fit(rct.blind())


def salience(seed: int) -> Iterator[dict[str, Any]]:
    """Where derivative and costliest square lie, with trained and with random weights."""
    for design in DESIGNS:
        rct, fit = trained(design, seed)
        keys, boxes = shown_motifs(rct, fit)

        def looked(
            at: str, rct: Any = rct, fit: Any = fit, keys: Any = keys, boxes: Any = boxes
        ) -> dict[str, float]:
            found = fit.salience(rct, images=keys, occlusion=True, at=at)
            size, fall = found["magnitude"].values, found["occlusion"].values
            noisy = fit.salience(rct, images=keys, at=at, noise=1.0)["magnitude"].values
            return {
                "peak": pointing(size, boxes),
                "noisy": pointing(noisy, boxes),
                "mass": mass_inside(size, boxes),
                "square": overlapping(fall, boxes),
            }

        yield {
            "design": design,
            "images": len(keys),
            "mode": looked("mode"),
            "posterior": looked("posterior"),
            "random": [looked("mode") for _ in without_learning(fit)],
        }


def transport(seed: int) -> Iterator[dict[str, Any]]:
    """Share of other images that count as unlike those of training."""
    _, fit = trained("motif", seed)
    found = {}
    for name, design in (("same", "motif"), ("shifted", "shifted")):
        target = ck.generators.image_rct(1000 + seed, n_images=600, design=design)
        found[name] = fit.transport(target.arrays).share_outside
    yield found


def small(seed: int) -> Iterator[dict[str, Any]]:
    """Share of other places of the same design that counts as unlike a trial of few sequences."""
    rct = ck.generators.image_sequence_rct(seed, n_images=260)
    fit = ck.ImageEffectClusters(
        split=(0.4, 0.2, 0.4), epochs=15, n_restarts=1, n_draws=200, random_state=seed
    ).fit(rct.blind())
    other = ck.generators.image_sequence_rct(1000 + seed, n_images=1000)
    yield {
        "same": fit.transport(other.arrays).share_outside,
        "evaluated": int(fit.parts_.evaluate.size),
    }


def place_vectors(rct: ck.CausalData, seed: int) -> xr.DataArray:
    """Brightness of each image, and its type with noise: vectors that need no training."""
    images = rct.arrays["image"]
    keys = images["place"].values
    kind = dict(zip(rct.frame["place"], rct.truth.cluster_labels, strict=True))
    types = np.array([kind[key] for key in keys])
    noise = np.random.default_rng(seed).normal(size=keys.size)
    bright = images.values.mean(axis=(1, 2, 3))
    vectors = np.column_stack([bright / bright.std(), 2.0 * types - 1.0 + noise])
    return xr.DataArray(vectors, dims=("place", "feature"), coords={"place": keys})


def units(seed: int) -> Iterator[dict[str, Any]]:
    """Honest effects where units share images, by errors as they are and as if units were alone."""
    for shock in SHOCKS:
        rct = ck.generators.image_rct(seed, design="shared", n_images=500, size=8, village_sd=shock)
        fit = ck.EmbeddingEffectClusters(
            likelihood="normal", inference="map", n_ensemble=1, n_restarts=1, random_state=seed
        ).fit(rct.with_roles(cluster=()).blind(), place_vectors(rct, seed))
        table = fit.estimate("clusters").tidy()
        found = fit.evaluation_
        truth = rct.truth.cate[found.rows]
        of = [found.assigned == k for k in range(found.n_types)]
        yield {
            "shock": shock,
            "units": int(found.rows.size),
            "images": int(np.unique(found.clusters).size),
            "estimate": table["estimate"].tolist(),
            "truth": [float(truth[mine].mean()) for mine in of],
            "low": table["conf_low"].tolist(),
            "high": table["conf_high"].tolist(),
            "std_error": table["std_error"].tolist(),
            "alone": [float(found.score[mine].std(ddof=1) / mine.sum() ** 0.5) for mine in of],
        }


def on_features(seed: int, **more: Any) -> tuple[np.ndarray, Any]:
    """Posterior draws of both effects from 800 rows whose features are given."""
    data = ck.generators.embedding_rct(100 + seed, n=1000).blind()
    fit = ck.EmbeddingEffectClusters(
        likelihood="normal", split=(0.8, 0.1, 0.1), random_state=seed, **more
    ).fit(data)
    return np.concatenate([member.posterior.effects() for member in fit.members_]), fit


def moments(draws: np.ndarray) -> dict[str, Any]:
    return {"mean": draws.mean(axis=0).tolist(), "sd": draws.std(axis=0, ddof=1).tolist()}


def nuts(seed: int) -> Iterator[dict[str, Any]]:
    """The sampler and the full-rank Gaussian on the same rows."""
    full, _ = on_features(seed)
    draws, fit = on_features(seed, inference="nuts", n_chains=2, n_tune=400, n_draws=500)
    yield {
        "full_rank": moments(full),
        "nuts": moments(draws),
        **fit.diagnostics_["sampling"],
    }


def vi(seed: int) -> Iterator[dict[str, Any]]:
    """The full-rank Gaussian and the truth."""
    draws, _ = on_features(seed)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    yield {**moments(draws), "low": low.tolist(), "high": high.tolist()}


PARTS: dict[str, tuple[Callable[[int], Iterator[dict[str, Any]]], int]] = {
    "salience": (salience, 10),
    "transport": (transport, 10),
    "small": (small, 20),
    "units": (units, 200),
    "nuts": (nuts, 10),
    "vi": (vi, 40),
}


def main() -> None:
    """Every seed of the parts asked for; the file is whole after each."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for part in sys.argv[1:] or PARTS:
        measure, n_seeds = PARTS[part]
        kept[part] = []
        for seed in range(n_seeds):
            started = time.perf_counter()
            rows = [{"seed": seed, **row} for row in measure(seed)]
            kept[part] += rows
            RESULTS.write_text(json.dumps(kept) + "\n", encoding="utf-8")
            print(part, seed, f"{time.perf_counter() - started:.1f} s", rows, flush=True)


if __name__ == "__main__":
    main()
