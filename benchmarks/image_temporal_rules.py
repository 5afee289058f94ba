"""Which rule over time finds an effect that depends on the change of a place.

Sequences whose change decides the effect, 1,000 places to train and 1,000 to evaluate, 64 random
filters of 5 by 5 pixels, 20 principal components, 400 trees; and the same with a constant effect.

    OMP_NUM_THREADS=1 python benchmarks/image_temporal_rules.py
"""

import json
from pathlib import Path

import numpy as np

import causalkit as ck

RESULTS = Path(__file__).parent / "results" / "image_temporal_rules.json"
RULES = ("last", "mean", "variance", "concat", "difference")
SEEDS = (0, 1)


def row(temporal: str, gamma: float, seed: int) -> dict[str, object]:
    """Correlation with the true effect and ratios of AUTOC and QINI."""
    data = ck.generators.image_sequence_rct(seed, n_images=2000, gamma=gamma)
    vectors = ck.embed_images(data, ck.ImageEncoder.random(), temporal=temporal)
    forest = ck.ImageCausalForest(split=(0.4, 0.1, 0.5), propensity=0.5, random_state=seed)
    forest.fit(data.blind(), vectors)
    found = forest.evaluation_
    truth = data.truth.cate[found.rows]
    rates = {name: forest.rate(name) for name in ("AUTOC", "QINI")}
    return {
        "temporal": temporal,
        "gamma": gamma,
        "seed": seed,
        "correlation": float(np.corrcoef(found.cate, truth)[0, 1]) if gamma else None,
        **{name: float(rate.estimate / rate.std_err) for name, rate in rates.items()},
    }


def main() -> None:
    """Every rule, with and without heterogeneity, for every seed."""
    rows = []
    for gamma in (1.0, 0.0):
        for seed in SEEDS:
            for temporal in RULES:
                rows.append(row(temporal, gamma, seed))
                print(rows[-1], flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
