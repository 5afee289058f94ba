"""Results of studies that were never run, written by hand or drawn."""

import numpy as np
import pandas as pd

from causalkit.study.results import Results

NUMBERS = ["estimate", "std_error", "conf_low", "conf_high", "p_value"]
METRIC_COLUMNS = ["cell_id", "est_id", "estimand", "rep", "metric", "value"]


def records_of(cell, est, estimates, *, estimand="ate", truth=1.0, status=None, se=1.0, **more):
    """Records of one cell and estimator with intervals estimate ± 2 se; failures have no number."""
    estimates = np.asarray(estimates, dtype=float)
    frame = pd.DataFrame({"rep": np.arange(estimates.size), "estimate": estimates})
    frame = frame.assign(cell_id=cell, est_id=est, estimand=estimand, std_error=se, truth=truth)
    frame = frame.assign(conf_low=frame["estimate"] - 2 * se, conf_high=frame["estimate"] + 2 * se)
    frame["p_value"] = np.where(np.abs(frame["estimate"]) > 2 * se, 0.01, 0.5)
    frame = frame.assign(status="ok" if status is None else status, truth_mcse=0.0, wall_s=1.0)
    frame = frame.assign(cpu_s=1.0, peak_rss_mb=np.nan, peak_gpu_mb=np.nan, attempt=1, **more)
    frame.loc[frame["status"] != "ok", NUMBERS] = np.nan
    return frame


def results_of(*records, cells=None, metrics=None, plan=None, **more):
    """Results of hand-written records; estimators A, B, ... have the ids a, b, ..."""
    frame = pd.concat(records, ignore_index=True)
    ids = sorted(frame["est_id"].unique())
    names = sorted(frame["cell_id"].unique())
    table = {"est_id": ids, "label": [i.upper() for i in ids], "use": "u", "args": "{}"}
    if cells is None:
        cells = pd.DataFrame({"cell_id": names, "generator": "g", "version": 1})
        cells["n"] = 100 * (1 + np.arange(len(names)))
    if plan is None:
        plan = (
            frame.groupby(["cell_id", "est_id"])["rep"].max().add(1).reset_index(name="n_planned")
        )
        plan["rule"] = "max"
    if metrics is None:
        metrics = pd.DataFrame(columns=METRIC_COLUMNS)
    facts = {"level": 0.95, "null": 0.0, "seed": 7} | more
    return Results(
        records=frame,
        metrics=metrics,
        failures=pd.DataFrame(),
        cells=cells,
        estimators=pd.DataFrame(table),
        plan=plan,
        **facts,
    )


def drawn(seed=3, *, reps=60, fail=0.15):
    """Two cells, two estimators, two estimands, one with a truth that varies."""
    rng = np.random.default_rng(seed)
    parts = []
    for bias, cell in enumerate(("c1", "c2")):
        for est in ("a", "b"):
            status = np.where(rng.random(reps) < fail, "error", "ok")
            for estimand in ("att", "ate"):
                truth = 0.5 if estimand == "ate" else rng.normal(2.0, 0.1, reps)
                part = records_of(
                    cell,
                    est,
                    truth + rng.normal(bias, 1.0, reps),
                    estimand=estimand,
                    truth=truth,
                    status=status,
                    se=rng.uniform(0.8, 1.1, reps),
                )
                parts.append(part.assign(wall_s=rng.random(reps), peak_rss_mb=rng.random(reps)))
    return results_of(*parts)


def pick(summary, **where):
    """The one row with those values."""
    keep = np.ones(len(summary), dtype=bool)
    for name, value in where.items():
        keep &= (summary[name] == value).to_numpy()
    assert keep.sum() == 1, (where, int(keep.sum()))
    return summary[keep].iloc[0]


def failing():
    """A succeeds in all of 40 replications; B fails in the first 10."""
    rng = np.random.default_rng(5)
    status = np.array(["error"] * 6 + ["timeout"] * 4 + ["ok"] * 30)
    a = records_of("c", "a", 1.0 + rng.normal(0, 1, 40))
    return results_of(a, records_of("c", "b", 1.0 + rng.normal(0, 1, 40), status=status))


def grid():
    cells = pd.DataFrame(
        {
            "cell_id": ["c1", "c2", "c3"],
            "generator": "g",
            "version": 1,
            "n": [10, 10, 20],
            "rho": [0.0, 0.5, 0.5],
        }
    )
    rng = np.random.default_rng(8)
    parts = [records_of(c, e, rng.normal(1, 1, 40)) for c in ("c1", "c2", "c3") for e in "ab"]
    plan = pd.DataFrame({"cell_id": ["c1", "c1", "c2"], "est_id": ["a", "b", "a"]})
    plan = plan.assign(n_planned=[50, 60, 70], rule=["max", "target", "budget"])
    return results_of(*parts, cells=cells, plan=plan)
