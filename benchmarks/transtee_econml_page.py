"""What the page of ``transtee_evidence.py`` says of EconML's learners."""

from typing import Any

import numpy as np
from transtee_summary import cell, spread, summary, unit_cells


def unit_table(kept: dict[str, Any], ours: list[float], whole: dict[str, Any]) -> list[str]:
    """Errors of unit effects on replications of T3, beside those of TransTEE.

    Of TransTEE the errors of the first replications are kept, and summaries of them all.
    """
    found = {name: _row(one) for name, one in kept["errors"].items()}
    n = min(len(ours), next(iter(found.values()))["n"])
    split = "The same" if kept["published split"] else "The generator's own"
    own = np.array(ours[:n])
    same = whole.get("n") == next(iter(found.values()))["n"]
    row = unit_cells(whole) if same else f"{n} | {cell(summary(own))} | | | | 0 | "
    shared = {name: np.array(one["out"][:n]) for name, one in kept["errors"].items()}
    larger = {name: int((one > own).sum()) for name, one in shared.items()}
    said = []
    for by, of in (("mean", np.mean), ("median", np.median)):
        name = min(shared, key=lambda one: of(shared[one]))
        said.append(f"{by} √PEHE {of(shared[name]):.3f} ({name}) for TransTEE's {of(own):.3f}")
    return [
        "",
        f"Learners of EconML. {split} rows as above, all 25 covariates. DR-learner "
        "with a linear final stage and CausalForestDML (500 trees) through causalkit's adapters; "
        "T- and X-learners, and a DR-learner whose final stage is its learner too, by EconML's own "
        "classes. Outcomes by least squares, by 100 boosted trees of depth 3 or by a forest of 100 "
        "trees with five rows a leaf; propensities by a penalised logistic regression, at least "
        ".05 in the DR-learner; five folds. Not tuned. Last column: in how many of the first "
        f"{n} replications the error is larger than TransTEE's.",
        "",
        "| estimator | replications | mean √PEHE | median | worst | in sample, mean | scaled, "
        "mean | ε_ATE | not finite | s/fit | larger than TransTEE's in |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        f"| TransTEE | {row} | |",
        *(f"| {name} | {unit_cells(one)} | {larger[name]} |" for name, one in found.items()),
        "",
        f"Least of theirs on the first {n}: {', '.join(said)}.",
    ]


def _row(one: dict[str, list[float]]) -> dict[str, Any]:
    """Summaries of the errors of an estimator."""
    found: dict[str, Any] = {by: summary(one[by]) for by in ("out", "in", "eps_ate", "scaled")}
    return found | {"seconds": float(np.mean(one["seconds"])), "n": len(one["out"])}


def dose_words(found: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """AMSE of learners that admit a dose, on the first splits of T1."""
    n = next(iter(found.values()))["n"]
    own = np.array(ours["errors"][:n])
    return [
        "",
        f"Learners of EconML with a dose, through the adapters, on the same {n} splits of h = 1, "
        "population `all`: the treatment in cubic splines with five knots, effects linear in the "
        "covariates (LinearDML) or by a forest of 500 trees (CausalForestDML), outcomes by the "
        "learner named, the treatment by a forest, five folds. They give effects of a dose against "
        "another, so the level at dose 0 is the fit of the same learner to what effects leave of "
        "the outcomes. Metalearners and DR-learner take no continuous treatment.",
        "",
        "| estimator | mean (Monte-Carlo error), median | s/fit | larger than TransTEE's in |",
        "|---|---:|---:|---:|",
        f"| TransTEE | {spread(own)} | {ours['seconds']:.1f} | |",
        *(
            f"| {name} | {spread(np.array(one['errors']))} | {one['seconds']:.1f} | "
            f"{int((np.array(one['errors']) > own).sum())} |"
            for name, one in found.items()
        ),
    ]
