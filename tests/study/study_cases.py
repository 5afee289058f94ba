"""Hand-made results of studies, for pictures and reports."""

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from causalkit.rng import stream
from causalkit.study.results import Results

NUMBERS = ["estimate", "std_error", "conf_low", "conf_high", "p_value"]
FAILURE_COLUMNS = [
    "cell_id", "est_id", "rep", "status", "exception", "message", "traceback_digest",
    "seed_address",
]  # fmt: skip
METRIC_COLUMNS = ["cell_id", "est_id", "estimand", "rep", "metric", "value"]
HALF = stats.norm.ppf(0.975)


def rows_of(estimate, *, se=1.0, truth=0.0, cell="c0", est="e0", failed=(), estimand="ate"):
    """Records with normal intervals; the replications in ``failed`` have no numbers."""
    estimate = np.asarray(estimate, dtype=float)
    frame = pd.DataFrame({"rep": np.arange(estimate.size), "estimate": estimate})
    frame = frame.assign(cell_id=cell, est_id=est, estimand=estimand, std_error=se, level=0.95)
    frame["conf_low"] = frame["estimate"] - HALF * frame["std_error"]
    frame["conf_high"] = frame["estimate"] + HALF * frame["std_error"]
    frame["p_value"] = 2.0 * stats.norm.sf(np.abs(frame["estimate"] / frame["std_error"]))
    frame = frame.assign(truth=truth, truth_mcse=0.0, status="ok", n_obs=100, wall_s=0.1)
    frame = frame.assign(cpu_s=0.1, peak_rss_mb=100.0, peak_gpu_mb=np.nan, worker="w", attempt=1)
    lost = frame["rep"].isin(list(failed))
    frame.loc[lost, NUMBERS] = np.nan
    frame.loc[lost, "status"] = "error"
    return frame


def results_of(*records, cells=None, labels=None, rule="max", **more):
    """Results of hand-written records; cells and estimators are named after their ids."""
    frame = pd.concat(records, ignore_index=True)
    cell_ids, est_ids = (list(dict.fromkeys(frame[key])) for key in ("cell_id", "est_id"))
    if cells is None:
        cells = pd.DataFrame({"cell_id": cell_ids, "n": 100 * (1 + np.arange(len(cell_ids)))})
    cells = cells.assign(
        **{k: v for k, v in (("generator", "g"), ("version", 1)) if k not in cells}
    )
    estimators = pd.DataFrame({"est_id": est_ids, "label": labels or est_ids})
    lost = frame[frame["status"] != "ok"]
    failures = lost[["cell_id", "est_id", "rep", "status"]].assign(
        exception="ValueError", message="singular <matrix>", traceback_digest="d1", seed_address="s"
    )
    plan = frame.groupby(["cell_id", "est_id"], sort=False)["rep"].nunique()
    facts = {"level": 0.95, "null": 0.0, "seed": 7} | more
    return Results(
        records=frame,
        metrics=pd.DataFrame(columns=METRIC_COLUMNS),
        failures=failures.reindex(columns=FAILURE_COLUMNS),
        cells=cells,
        estimators=estimators.assign(use="u", args="{}"),
        plan=plan.reset_index(name="n_planned").assign(rule=rule),
        **facts,
    )


def grid_results(grid, *, reps=60, labels=("ols", "lasso"), exclude=(), truth=0.5, **more):
    """A study over a grid: estimator j has bias j/10 and error 1/√n; ``lasso`` fails 3 times."""
    rows, records = [], []
    for place, combination in enumerate(itertools.product(*grid.values())):
        params = dict(zip(grid, combination, strict=True))
        if any(all(params[k] == v for k, v in rule.items()) for rule in exclude):
            continue
        cell = f"c{place}"
        rows.append({"cell_id": cell, **params})
        scale = float(params.get("n", 100)) ** -0.5
        for j, name in enumerate(labels):
            noise = stream(1, "cell", place, j).standard_normal(reps)
            records.append(
                rows_of(
                    truth + j / 10 + scale * noise,
                    se=scale,
                    truth=truth,
                    cell=cell,
                    est=f"id-{name}",
                    failed=(0, 1, 2) if name == "lasso" else (),
                )
            )
    return results_of(*records, cells=pd.DataFrame(rows), labels=list(labels), **more)
