"""How many clusters ``n_clusters="auto"`` takes where the number of types is known.

Features that are given, with numbers from 1 to 4, and pixels by the default encoder, with 1 to 3.

    OMP_NUM_THREADS=1 python benchmarks/image_choice.py [features] [pixels]

Cases of a part that is not named keep what they have. One choice from pixels takes minutes; the
file is whole after each, so that a run can be stopped.
"""

import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import causalkit as ck

RESULTS = Path(__file__).parent / "results" / "image_choice.json"
FEATURES: dict[str, dict[str, Any]] = {
    "two types, 2,000 units": {"n": 2000},
    "two types, 800 units": {"n": 800},
    "two types, skewed noise, 2,000 units": {"n": 2000, "noise": "exponential"},
    "one type, 2,000 units": {"n": 2000, "tau": (1.0, 1.0)},
    "one type, skewed noise, 2,000 units": {
        "n": 2000,
        "tau": (1.0, 1.0),
        "noise": "exponential",
    },
}
PIXELS: dict[str, dict[str, Any]] = {
    "two types, 4,000 images": {},
    "one type, 4,000 images": {"design": "null"},
    "one type, skewed noise, 4,000 images": {"design": "null", "noise": "exponential"},
}


def features(seed: int, design: dict[str, Any]) -> int:
    """Number chosen on four features."""
    data = ck.generators.embedding_rct(seed, **design).blind()
    fit = ck.EmbeddingEffectClusters(n_clusters="auto", random_state=seed).fit(data)
    return int(fit.n_clusters_)


def pixels(seed: int, design: dict[str, Any]) -> int:
    """Number chosen from images."""
    data = ck.generators.image_rct(seed, n_images=4000, **design).blind()
    fit = ck.ImageEffectClusters(n_clusters="auto", max_clusters=3, random_state=seed).fit(data)
    return int(fit.n_clusters_)


PARTS = {"features": (FEATURES, features, 10), "pixels": (PIXELS, pixels, 5)}


def main() -> None:
    """Every case of the parts asked for; seeds from 10 on, which nothing was chosen on."""
    warnings.simplefilter("ignore", ck.errors.CausalKitWarning)
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for part in sys.argv[1:] or PARTS:
        cases, choose, n_seeds = PARTS[part]
        counts: dict[str, Counter[int]] = {case: Counter() for case in cases}
        for seed in range(10, 10 + n_seeds):
            for case, design in cases.items():
                started = time.perf_counter()
                counts[case][choose(seed, design)] += 1
                rows[case] = {str(k): counts[case][k] for k in sorted(counts[case])}
                print(case, rows[case], f"{time.perf_counter() - started:.0f} s", flush=True)
                RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
