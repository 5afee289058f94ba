"""What PanelDML does on designs with a known truth; writes docs/evidence/panel.md.

    python benchmarks/panel_evidence.py               # all parts, about 40 minutes on two cores
    python benchmarks/panel_evidence.py coverage      # one part: coverage, trees, order, hard, time

Every finished part is kept in ``benchmarks/results/panel_evidence.json``; the page is written from
all that are there. ``tests/panel/test_panel_evidence.py`` holds the same functions to the goals.
"""

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import causalkit as ck
from causalkit.errors import CausalKitWarning
from causalkit.generators.panel import fp2024_grid
from causalkit.rng import stream

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "panel.md"
KEPT = Path(__file__).parent / "results" / "panel_evidence.json"

# The paper's own estimator, with this library's boosting in place of XGBoost.
PAPER: dict[str, Any] = {
    "mundlak_terms": "means",
    "split": "observation",
    "dml_procedure": "dml1",
    "learner": "boosting",
}
METHODS: dict[str, dict[str, Any]] = {
    "CRE": PAPER | {"approach": "cre"},
    "late FE": PAPER | {"approach": "late_within"},
    "PDML": PAPER | {"approach": "pooled"},
    "early FE": PAPER | {"approach": "within"},
}
CELLS = [(structure, form) for structure in "ABC" for form in ("linear", "u-shaped")]

# Fuhr & Papies (2024), figure 4: medians of 100 estimates, read off the figure (truth 1).
FIGURE_4 = {
    ("A", "linear"): {"CRE": 0.982, "late FE": 0.993, "PDML": 0.993, "early FE": 0.995,
                      "FE": 1.0, "POLS": 1.0},
    ("A", "u-shaped"): {"CRE": 0.986, "late FE": 0.995, "PDML": 0.999, "early FE": 1.233,
                        "FE": 1.519, "POLS": 1.521},
    ("B", "linear"): {"CRE": 0.988, "late FE": 1.003, "PDML": 1.288, "early FE": 0.993,
                      "FE": 1.0, "POLS": 1.299},
    ("B", "u-shaped"): {"CRE": 1.015, "late FE": 1.008, "PDML": 1.299, "early FE": 1.238,
                        "FE": 1.516, "POLS": 1.690},
    ("C", "linear"): {"CRE": 0.986, "late FE": 1.074, "PDML": 1.219, "early FE": 0.993,
                      "FE": 1.0, "POLS": 1.227},
    ("C", "u-shaped"): {"CRE": 1.006, "late FE": 1.078, "PDML": 1.223, "early FE": 1.527,
                        "FE": 1.693, "POLS": 1.748},
}  # fmt: skip


def fp_panel(cell: tuple[str, str], k: int, copy: int = 0) -> ck.CausalData:
    """Data set of the k-th of 36 equally likely (γ, δ), N = 500, T = 10."""
    gamma, delta = fp2024_grid(6)[k]
    structure, form = cell
    address = stream(20260101, "evidence", structure, form, k, copy)
    return ck.generators.panel_fp2024(
        address, structure=structure, form=form, gamma=float(gamma), delta=float(delta)
    )


def fit(data: ck.CausalData, **arguments: Any) -> tuple[float, float, bool]:
    """Estimate, standard error, and whether the 95 % interval holds the truth."""
    assert data.truth is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        result = ck.PanelDML(random_state=0, **arguments).fit(data.blind()).estimate()
    low, high = result.conf_int()
    return result.estimate, result.std_error, low <= data.truth.estimands["ate"] <= high


def regression(data: ck.CausalData, control: str, *, within: bool) -> tuple[float, float, bool]:
    """Least squares of y on d and one control, pooled or within, clustered by unit."""
    frame = data.frame
    unit = data.codes("unit")
    columns = frame[["y", "d", control]].to_numpy(dtype=float)
    count = np.bincount(unit)
    centre = (
        np.column_stack([np.bincount(unit, c) / count for c in columns.T])[unit]
        if within
        else columns.mean(axis=0)
    )
    y, d, x = (columns - centre).T
    slope = x / (x @ x)
    y, d = y - x * (slope @ y), d - x * (slope @ d)
    theta = float(d @ y / (d @ d))
    sums = np.bincount(unit, d * (y - theta * d))
    error = math.sqrt(sums @ sums * sums.size / (sums.size - 1)) / float(d @ d)
    assert data.truth is not None
    return theta, error, abs(theta - data.truth.estimands["ate"]) <= 1.965 * error


def in_parallel(task: Callable[..., Any], items: Sequence[Any], n_jobs: int) -> list[Any]:
    """Run a function over items, two at a time."""
    return list(Parallel(n_jobs=n_jobs)(delayed(task)(item) for item in items))


def summarise(found: Sequence[tuple[float, float, bool]], truth: float) -> dict[str, float]:
    """Bias, error and coverage with their Monte-Carlo standard errors."""
    theta, error, covers = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    n, miss = theta.size, theta - truth
    cover = covers.mean()
    return {
        "data sets": n,
        "bias": miss.mean(),
        "bias mcse": miss.std(ddof=1) / math.sqrt(n),
        "MAE": np.abs(miss).mean(),
        "RMSE": math.sqrt((miss**2).mean()),
        "SD": theta.std(ddof=1),
        "mean SE": error.mean(),
        "cover": cover,
        "cover mcse": math.sqrt(max(cover * (1 - cover), 1e-12) / n),
        "Q1": np.quantile(theta, 0.25),
        "median": np.median(theta),
        "Q3": np.quantile(theta, 0.75),
    }


def coverage(
    learners: Sequence[str] = ("auto", "ridge"), n_copies: int = 4, n_jobs: int = 2
) -> dict[str, dict[str, float]]:
    """T2: the default estimator beside an oracle that knows the confounding function."""
    cell = ("C", "u-shaped")
    estimators: dict[str, Callable[[ck.CausalData], Any]] = {
        f"PanelDML, learner={name!r}": partial(fit, learner=name) for name in learners
    }
    estimators["oracle fixed effects"] = partial(regression, control="g0", within=True)

    def one(item: tuple[int, int]) -> dict[str, Any]:
        data = fp_panel(cell, *item)
        return {name: estimate(data) for name, estimate in estimators.items()}

    items = [(k, copy) for copy in range(n_copies) for k in range(36)]
    found = in_parallel(one, items, n_jobs)
    return {name: summarise([one[name] for one in found], 1.0) for name in estimators}


def trees(step: int = 1, n_jobs: int = 2) -> dict[str, dict[str, float]]:
    """T2, second half: boosted trees with plain means of the covariate."""
    cell = ("C", "u-shaped")
    plain = {"mundlak_terms": "means", "learner": "boosting"}
    estimators: dict[str, Callable[[ck.CausalData], Any]] = {
        "CRE, means, boosting, split by unit": lambda data: fit(data, **plain),
        "CRE, means, boosting, as in the paper": lambda data: fit(data, **PAPER),
        "pooled DML, boosting": lambda data: fit(data, approach="pooled", **plain),
        "linear fixed effects": lambda data: regression(data, "x1", within=True),
    }

    def one(k: int) -> dict[str, Any]:
        data = fp_panel(cell, k)
        return {name: estimate(data) for name, estimate in estimators.items()}

    found = in_parallel(one, range(0, 36, step), n_jobs)
    return {name: summarise([one[name] for one in found], 1.0) for name in estimators}


def order(step: int = 3, n_jobs: int = 2) -> dict[str, dict[str, dict[str, float]]]:
    """T4: every method in the six cells of figure 4."""

    def one(item: tuple[tuple[str, str], int]) -> dict[str, Any]:
        data = fp_panel(*item)
        found = {name: fit(data, **arguments) for name, arguments in METHODS.items()}
        found["FE"] = regression(data, "x1", within=True)
        found["POLS"] = regression(data, "x1", within=False)
        return found

    tables = {}
    for cell in CELLS:
        found = in_parallel(one, [(cell, k) for k in range(0, 36, step)], n_jobs)
        tables[" ".join(cell)] = {
            name: summarise([one[name] for one in found], 1.0) for name in (*METHODS, "FE", "POLS")
        }
    return tables


def misordered(tables: dict[str, dict[str, dict[str, float]]], gap: float = 0.05) -> list[str]:
    """Pairs of methods whose errors differ by more than ``gap`` in figure 4, but not so here."""
    wrong = []
    for cell, medians in FIGURE_4.items():
        ours = tables[" ".join(cell)]
        for better, good in medians.items():
            for worse, bad in medians.items():
                apart = abs(bad - 1.0) - abs(good - 1.0)
                if apart > gap and ours[better]["MAE"] >= ours[worse]["MAE"]:
                    wrong.append(f"{' '.join(cell)}: {better} not better than {worse}")
    return wrong


def hard(n_reps: int = 60, n_jobs: int = 2, **arguments: Any) -> dict[str, dict[str, float]]:
    """T3: design 3 of Clarke & Polselli, nonlinear with interactions, N = 1000, 30 covariates."""

    def one(rep: int) -> tuple[float, float, bool]:
        made = stream(20260101, "evidence", "cp2025", rep)
        return fit(ck.generators.panel_cp2025(made, dgp=3, n_units=1000), **arguments)

    found = in_parallel(one, range(n_reps), n_jobs)
    return {"PanelDML, default": summarise(found, 0.5)}


def run_time() -> dict[str, dict[str, float]]:
    """T5: one fit with boosting, N = 500, T = 10, one core."""
    data = fp_panel(("C", "u-shaped"), 28)
    seconds = {}
    for name, arguments in {
        "CRE, means, boosting": {"mundlak_terms": "means", "learner": "boosting"},
        "CRE, basis, auto (default)": {},
        "CRE, basis, lasso": {"learner": "lasso"},
        "CRE, basis, ridge": {"learner": "ridge"},
    }.items():
        started = time.perf_counter()
        fit(data, **arguments)
        seconds[name] = {"seconds": time.perf_counter() - started}
    return seconds


PARTS: dict[str, Callable[[], Any]] = {
    "coverage": coverage,
    "trees": trees,
    "order": order,
    "hard": hard,
    "time": run_time,
}


def page(kept: dict[str, Any]) -> str:
    """The evidence page from the parts that have been measured."""
    text = [
        "# What PanelDML does where the truth is known",
        "",
        "Made by `python benchmarks/panel_evidence.py`; the same functions are held to the goals",
        "by `tests/panel/test_panel_evidence.py` (`make test-slow`). Numbers in parentheses are",
        "Monte-Carlo standard errors.",
        "",
    ]
    headings = {
        "coverage": (
            "Nonlinear confounding and heterogeneity in every equation",
            "Fuhr & Papies (2024), structure C, u-shaped, N = 500, T = 10; γ and δ on a 6 × 6 grid "
            "of equally likely values. The oracle is the fixed-effects regression that is given "
            "the true confounding function. Goals: |bias| at most 0.01, MAE at most 1.5 times the "
            "oracle's, coverage of 95 % intervals within 0.03 of the oracle's.",
        ),
        "trees": (
            "The same with trees and plain unit means",
            "Unit means of x alone (the paper's terms) leave a bias that trees remove only in "
            "part, and their intervals under-cover: use the default terms. Goals: MAE at most "
            "half of pooled DML's and a quarter of linear fixed effects'. The paper's quartiles "
            "with XGBoost are .993, 1.006, 1.035 for CRE and 1.062, 1.223, 1.366 for pooled DML.",
        ),
        "hard": (
            "Thirty covariates, kinks and interactions",
            "Clarke & Polselli (2026), design 3, N = 1000, T = 10, θ = 0.5. The authors' slides "
            "report a bias of .09 and SE/SD of .82 for boosting and .02 and .78 for the lasso. "
            "Goals: |bias| at most .02, SE/SD between 0.8 and 1.25.",
        ),
    }
    for part, (heading, words) in headings.items():
        if part in kept:
            text += [f"## {heading}", "", words, "", *_table(kept[part]), ""]
    if "order" in kept:
        text += _order_section(kept["order"])
    if "time" in kept:
        text += ["## Seconds for one fit", "", "N = 500, T = 10, one covariate, one core.", ""]
        text += ["| estimator | seconds |", "|---|---:|"]
        text += [f"| {name} | {row['seconds']:.2f} |" for name, row in kept["time"].items()] + [""]
    return "\n".join(text)


def _table(rows: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "| estimator | data sets | bias | MAE | SD | mean SE | SE/SD | cover | Q1 | median | Q3 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, r in rows.items():
        lines.append(
            f"| {name} | {r['data sets']:.0f} | {r['bias']:+.4f} ({r['bias mcse']:.4f}) | "
            f"{r['MAE']:.4f} | {r['SD']:.4f} | {r['mean SE']:.4f} | {r['mean SE'] / r['SD']:.2f} | "
            f"{r['cover']:.3f} ({r['cover mcse']:.3f}) | {r['Q1']:.3f} | {r['median']:.3f} | "
            f"{r['Q3']:.3f} |"
        )
    return lines


def _order_section(tables: dict[str, Any]) -> list[str]:
    lines = [
        "## The order of methods in figure 4 of Fuhr & Papies",
        "",
        "Median estimate (truth 1), ours with LightGBM | the paper's with XGBoost, read off its",
        "figure. A good method is as close to 1 as another that is good; pairs that the figure",
        "separates by more than .05 must come out in the same order.",
        "",
        "| method | " + " | ".join(tables) + " |",
        "|---|" + "---:|" * len(tables),
    ]
    for name in (*METHODS, "FE", "POLS"):
        cells = [
            f"{tables[' '.join(cell)][name]['median']:.3f} / {FIGURE_4[cell][name]:.3f}"
            for cell in CELLS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    wrong = misordered(tables)
    verdict = "none" if not wrong else "; ".join(wrong)
    return [*lines, "", f"Pairs in another order than in the figure: {verdict}.", ""]


def main() -> None:
    """Measure the parts named on the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    chosen = parser.parse_args().parts or list(PARTS)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for part in chosen:
        started = time.perf_counter()
        kept[part] = PARTS[part]()
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
        if part != "order":
            print(pd.DataFrame(kept[part]).T.to_string(float_format="%.4f"), flush=True)
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1, default=float))
        PAGE.write_text(page(kept))


if __name__ == "__main__":
    main()
