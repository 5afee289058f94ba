"""Why a cell and estimator needs no more replications."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from causalkit.metrics import measure_spec
from causalkit.study.design import Reps
from causalkit.study.schedule import goals
from causalkit.study.stopping import reached


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
        if self.targets and goal >= self.reps.min and self._precise(seen):
            return "target"
        return "max" if goal >= self.reps.max else None

    def _precise(self, records: pd.DataFrame) -> bool:
        return reached(
            records, targets=self.targets, level=self.level, null=self.null, seed=self.seed
        )

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
