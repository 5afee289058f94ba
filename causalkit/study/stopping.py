"""When a cell and estimator have enough replications."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.metrics import measure_spec, rule_mcse
from causalkit.study.design import Reps
from causalkit.study.evaluate import Setting, bootstrap_stream
from causalkit.study.grouped import Groups, group_records


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """What a study declares about stopping, and what the measures need.

    Attributes
    ----------
    reps : Reps
    targets : mapping of str to float
        Largest Monte-Carlo error by measure.
    max_fail_share : float
        A cell and estimator with a larger share of failures stops; the others go on.
    level, null : float
    seed : int
    """

    reps: Reps
    targets: Mapping[str, float]
    max_fail_share: float
    level: float
    null: float
    seed: int

    def stages(self, limit: int | None = None) -> list[int]:
        """Numbers of replications after which :meth:`verdict` is asked."""
        return goals(self.reps, has_targets=bool(self.targets), limit=limit)

    @property
    def columns(self) -> list[str]:
        """Columns of the records that :meth:`verdict` reads."""
        needed = (name for measure in self.targets for name in measure_spec(measure).needs)
        return list(dict.fromkeys(["cell_id", "est_id", "estimand", "rep", "status", *needed]))

    def verdict(self, records: pd.DataFrame, goal: int) -> str | None:
        """``"failures"``, ``"target"``, ``"max"`` or None.

        Parameters
        ----------
        records : DataFrame
            Of one cell and one estimator: all replications before ``goal`` and perhaps more.
        goal : int
            Number of replications to decide on, so that the decision does not depend on what
            happened to finish first.
        """
        seen = records[records["rep"].to_numpy() < goal]
        failed = seen.loc[seen["status"] != "ok", "rep"].nunique()
        if failed / goal > self.max_fail_share:
            return "failures"
        due = bool(self.targets) and goal >= self.reps.min
        if due and reached(
            seen, targets=self.targets, level=self.level, null=self.null, seed=self.seed
        ):
            return "target"
        return "max" if goal >= self.reps.max else None

    def outcome(self, records: pd.DataFrame, available: int) -> tuple[int, str]:
        """Replications to summarise, and the rule that ended them.

        Parameters
        ----------
        records : DataFrame
            Of one cell and one estimator.
        available : int
            Replications that are there without a gap, from the first on.

        Returns
        -------
        (int, str)
            Replications beyond the number have no part in any summary: a stop at a target is
            then the same however many workers ran ahead.
        """
        for goal in self.stages():
            if goal > available:
                break
            rule = self.verdict(records, goal)
            if rule is not None:
                return goal, rule
        return available, "running"


def goals(reps: Reps, *, has_targets: bool, limit: int | None = None) -> list[int]:
    """Numbers of replications after which decisions are taken.

    With targets: after every batch from ``min`` on. Failures are counted after the first batch too.

    Examples
    --------
    >>> goals(Reps(min=200, max=450, batch=100), has_targets=True)
    [100, 200, 300, 400, 450]
    >>> goals(Reps(min=200, max=450, batch=100), has_targets=False)
    [100, 450]
    """
    last = reps.max if limit is None else min(reps.max, limit)
    due = {min(reps.batch, last), last}
    if has_targets:
        due |= {count for count in boundaries(reps) if count < last}
    return sorted(due)


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
