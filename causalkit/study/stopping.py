"""When a cell and estimator have enough replications."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.metrics import measure_spec, rule_mcse
from causalkit.study.design import Reps
from causalkit.study.evaluate import Setting, bootstrap_stream
from causalkit.study.grouped import Groups, group_records


def boundaries(reps: Reps) -> Iterator[int]:
    """Numbers of replications at which a decision is taken: whole batches, and the last.

    Examples
    --------
    >>> list(boundaries(Reps(min=250, max=650, batch=100)))
    [300, 400, 500, 600, 650]
    """
    yield from range(math.ceil(reps.min / reps.batch) * reps.batch, reps.max, reps.batch)
    yield reps.max


def reached(
    records: pd.DataFrame,
    *,
    targets: Mapping[str, float],
    level: float,
    null: float,
    seed: int,
) -> bool:
    """Whether every MCSE is at its target, for all estimands.

    Parameters
    ----------
    records : DataFrame
        Of one cell and one estimator: the replications 0 to k − 1 for a boundary k, in any order.
        Failures are missing: they add nothing to precision.
    targets : mapping of str to float
        Measure to the largest MCSE that will do. Without targets nothing is ever reached.
    level, null, seed
        Of the study.

    Returns
    -------
    bool
        False also where a measure has no value, such as bias without a truth. A share of 0 or 1
        is not taken to be exact; see :func:`causalkit.metrics.rule_mcse`. The error of a simulated
        truth is left out, since no replication reduces it.

    Raises
    ------
    ArgumentError
        If a measure is unknown, or the records are of several cells or estimators.
    """
    for name in ("cell_id", "est_id"):
        if records[name].nunique() > 1:
            raise ArgumentError(
                f"the records are of {records[name].nunique()} different {name}; "
                "pass those of one cell and one estimator."
            )
    specs = [measure_spec(name) for name in targets]
    groups = group_records(
        records,
        cells=records["cell_id"].unique(),
        estimators=records["est_id"].unique(),
        columns=[column for spec in specs for column in spec.needs],
    )
    setting = Setting(level, null, seed)
    return (
        bool(targets)
        and groups.size > 0
        and all(
            _precise(groups, g, spec.name, targets[spec.name], setting)
            for spec in specs
            for g in range(groups.size)
        )
    )


def _precise(groups: Groups, g: int, name: str, target: float, setting: Setting) -> bool:
    """Whether the MCSE of one measure in one group is at its target."""
    spec = measure_spec(name)
    own = np.arange(groups.starts[g], groups.starts[g + 1])
    if spec.rows == "ok":
        own = own[groups.ok[own]]
    columns = {column: groups.columns[column][own] for column in groups.columns}
    rng = bootstrap_stream(setting.seed, name)
    try:
        found = spec.function(columns, level=setting.level, null=setting.null, rng=rng)
    except ArgumentError:
        return False
    return rule_mcse(found, kind=spec.kind, n=own.size) <= target
