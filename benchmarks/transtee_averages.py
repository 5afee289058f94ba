"""How often intervals of average effects hold the truth: rows, and trials of clusters."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import causalkit as ck

N_AVERAGES, REPEATS = 500, (1, 3)
N_TRIALS, N_CLUSTERS = 200, 40
PROPENSITIES = {"auto": "auto", "linear": "linear", "known, .5": 0.5}
SMALL = {
    "d_model": 8,
    "n_heads": 1,
    "n_encoder_layers": 0,
    "n_ensemble": 1,
    "lr": 1e-2,
    "max_epochs": 60,
}

Found = tuple[float, float, bool]


def of_rows() -> dict[str, Any]:
    """T7: outcome and log odds linear, noise normal; one split, and several."""
    found: dict[int, list[Found]] = {n_rep: [] for n_rep in REPEATS}
    for start in range(0, N_AVERAGES, 50):
        numbers = range(start, start + 50)
        datasets = [ck.generators.multi_arm(k, n=600, n_arms=2).blind() for k in numbers]
        for fit in ck.TransTEE.fit_many(datasets, **SMALL, random_state=start):
            for n_rep, results in found.items():
                fit.set_params(n_rep=n_rep)
                results.append(_judged(fit.estimate(propensity=LogisticRegression(C=1e6))))
    return {str(n_rep): covering(results) for n_rep, results in found.items()}


def of_clusters() -> dict[str, Any]:
    """Trials of clusters of 5 to 44 rows, half of them treated, by propensity."""
    found: dict[str, list[Found]] = {name: [] for name in PROPENSITIES}
    for number in range(N_TRIALS):
        fit = ck.TransTEE(**SMALL, random_state=number).fit(cluster_trial(number))
        for name, results in found.items():
            results.append(_judged(fit.estimate(propensity=PROPENSITIES[name])))
    return {name: covering(results) for name, results in found.items()}


def cluster_trial(number: int) -> ck.CausalData:
    """Outcomes with an effect of 1, covariates and errors of clusters and of rows."""
    rng = np.random.default_rng(number)
    cluster = np.repeat(np.arange(N_CLUSTERS), rng.integers(5, 45, N_CLUSTERS))
    treated = rng.permutation(np.arange(N_CLUSTERS) % 2)
    shared, own = rng.standard_normal((N_CLUSTERS, 2)), rng.standard_normal(cluster.size)
    effect = shared[:, 0] + treated + 0.5 * rng.standard_normal(N_CLUSTERS)
    frame = pd.DataFrame(
        {
            "y": effect[cluster] + 0.5 * own + rng.standard_normal(cluster.size),
            "t": treated[cluster],
            "a": shared[cluster, 0],
            "b": shared[cluster, 1],
            "c": own,
            "village": cluster,
        }
    )
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], cluster="village"
    )


def _judged(found: ck.EffectResult) -> Found:
    """Error, standard error, and whether the interval holds an effect of 1."""
    low, high = found.conf_int()
    return found.estimate - 1.0, found.std_error, bool(low <= 1.0 <= high)


def covering(results: list[Found]) -> dict[str, Any]:
    """Coverage and bias with their Monte-Carlo errors, spread, and errors over it."""
    errors, ses, held = np.array(results, dtype=float).T
    sd, root = errors.std(ddof=1), np.sqrt(errors.size)
    return {
        "n": errors.size,
        "covers": [held.mean(), held.std(ddof=1) / root],
        "bias": [errors.mean(), sd / root],
        "sd": sd,
        "se over sd": np.sqrt((ses**2).mean()) / sd,
    }


def page_lines(of_rows: dict[str, Any] | None, of_clusters: dict[str, Any] | None) -> list[str]:
    """Both in a table, and goal T7 in a sentence."""
    rows = [
        (f"600 rows, {'one split' if n_rep == '1' else f'`n_rep={n_rep}`'}, logistic", one)
        for n_rep, one in (of_rows or {}).items()
    ]
    rows += [
        (f"{N_CLUSTERS} clusters, one split, {name}", one)
        for name, one in (of_clusters or {}).items()
    ]
    if not rows:
        return []
    lines = [
        "",
        "The average effect of an arm by `estimate()`, with one small network on each of five "
        "folds: `multi_arm` with two arms, where outcome and log odds are linear and noise is "
        "normal; and trials of clusters of 5 to 44 rows, half of them treated, whose errors they "
        "share in part. The last word is the propensity.",
        "",
        "| data | draws | covers | bias | standard deviation | standard error over it |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, one in rows:
        covers, bias = (f"{mean:.3f} ({mcse:.3f})" for mean, mcse in (one["covers"], one["bias"]))
        told = f"{one['sd']:.3f} | {one['se over sd']:.2f}"
        lines.append(f"| {name} | {one['n']} | {covers} | {bias} | {told} |")
    if of_rows:
        reach = 3.0 * np.sqrt(0.95 * 0.05 / N_AVERAGES)
        fine = abs(of_rows["1"]["covers"][0] - 0.95) <= reach
        verdict = "met" if fine else "missed"
        lines += [
            "",
            f"Goal T7, .95 within three Monte-Carlo errors on the first row: {verdict}.",
        ]
    return lines
