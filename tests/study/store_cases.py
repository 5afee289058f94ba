"""Blocks whose every number is known, for tests of results folders."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from causalkit.study.design import Cell, EstimatorSpec, Job

RECORD_COLUMNS = [
    "cell_id", "est_id", "estimand", "rep", "estimate", "std_error", "conf_low", "conf_high",
    "p_value", "level", "truth", "truth_mcse", "status", "n_obs", "wall_s", "cpu_s", "peak_rss_mb",
    "peak_gpu_mb", "worker", "warnings_digest", "attempt",
]  # fmt: skip
# What may differ between two runs of the same study.
RESOURCE_COLUMNS = ("wall_s", "cpu_s", "peak_rss_mb", "peak_gpu_mb", "worker", "attempt")
METRIC_COLUMNS = ["cell_id", "est_id", "estimand", "rep", "metric", "value"]
FAILURE_COLUMNS = [
    "cell_id", "est_id", "rep", "status", "exception", "message", "traceback_digest",
    "seed_address",
]  # fmt: skip
CELLS = (Cell("g", 1, {"n": 100}), Cell("g", 1, {"n": 200}))
SPECS = (EstimatorSpec("A", "pkg:a"), EstimatorSpec("B", "pkg:b", {"k": 2}))
SEED, LEVEL, NULL = 7, 0.95, 0.0


def facts_of(cells=CELLS, specs=SPECS, **changes):
    facts = {"name": "demo", "seed": SEED, "level": LEVEL, "null": NULL, "treatment_cost": 0.0}
    facts |= {"header": {"aims": "x"}, "sources": {}}
    facts["cells"] = {
        cell.id: {"generator": cell.generator, "version": cell.version, "params": dict(cell.params)}
        for cell in cells
    }
    facts["estimators"] = {
        spec.id: {"label": spec.label, "use": spec.use, "args": dict(spec.args)} for spec in specs
    }
    return facts | changes


def records_of(job, spec, *, failed=(), estimands=("ate", "att"), wall=0.5):
    """Numbers that follow from the address of the row."""
    rows = []
    for rep in range(job.first, job.last + 1):
        for place, estimand in enumerate(estimands):
            value = rep + job.cell.params["n"] + 0.1 * place + (0.3 if spec.label == "B" else 0.0)
            good = rep not in failed
            number = value if good else np.nan
            rows.append(
                (
                    job.cell.id, spec.id, estimand, rep, number, 1.0 / 3.0, number - 1.0,
                    number + 1.0, np.nan, job.level, value, 0.0, "ok" if good else "oom", 100,
                    wall, wall, np.nan, np.nan, f"w{job.attempt}", "", job.attempt,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=RECORD_COLUMNS)


def block_of(
    first, last, *, cell=CELLS[0], specs=SPECS, attempt=1, seed=SEED, failed=(), **options
):
    """Block with a metric per replication and a failure for each of ``failed``."""
    job = Job(seed, LEVEL, NULL, cell, tuple(specs), first, last, attempt=attempt)
    records = pd.concat([records_of(job, spec, failed=failed, **options) for spec in specs])
    fits = [(cell.id, spec.id, rep) for spec in specs for rep in range(first, last + 1)]
    metrics = [(*fit[:2], "ate", fit[2], "pehe", fit[2] + attempt / 10) for fit in fits]
    failures = [
        (*fit, "oom", "MemoryError", "too big", f"{fit[2]:016x}", "(1, 2)")
        for fit in fits
        if fit[2] in failed
    ]
    return SimpleNamespace(
        job=job,
        records=records.reset_index(drop=True),
        metrics=pd.DataFrame(metrics, columns=METRIC_COLUMNS),
        failures=pd.DataFrame(failures, columns=FAILURE_COLUMNS),
        tracebacks={f"{rep:016x}": f"Traceback of {rep}\n" for rep in failed},
        warnings={},
        seconds=1.0,
    )


def canonical_bytes(records):
    """Records without what they cost: equal bytes mean that two runs found the same.

    A line of column names and a line per record by cell, estimator, estimand and replication, with
    numbers by their shortest exact form.
    """
    names = [name for name in RECORD_COLUMNS if name not in RESOURCE_COLUMNS]
    ordered = records.sort_values(["cell_id", "est_id", "estimand", "rep"], kind="stable")
    values = (map(repr, ordered[name].tolist()) for name in names)
    return "\n".join([",".join(names), *map(",".join, zip(*values, strict=True))]).encode()
