"""Run a study: feed jobs to workers, decide after each stage, keep what is finished."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError, unknown_name
from causalkit.progress import Progress, teller
from causalkit.study.backends import Outcome, Pool, open_pool
from causalkit.study.block import lost_block
from causalkit.study.collect import collect
from causalkit.study.design import Cell, EstimatorSpec, Job, job_of
from causalkit.study.export import drop_summary, write_summary
from causalkit.study.facts import check_sources, facts_of, stopping_rule
from causalkit.study.plan import Plan, plan
from causalkit.study.ranges import Range
from causalkit.study.replay import estimator_named
from causalkit.study.schedule import Schedule
from causalkit.study.shards import Shard, cells_of, reps_of
from causalkit.study.stopping import StoppingRule
from causalkit.study.store import Store, open_store
from causalkit.study.store_write import write_block
from causalkit.study.work import Counters, work

if TYPE_CHECKING:
    from causalkit.study.study import Study

EXIT_CODES = {"targets": 0, "part": 0, "failures": 3, "max": 4, "budget": 4}
_ENDS = {
    "targets": "All targets are met.",
    "part": "This part of the replications is there; `causalkit sim merge` brings parts together.",
    "failures": "Too many failures; see `causalkit sim failures`.",
    "max": "Some targets are not met by reps.max replications; raise it to go on.",
    "budget": "Ended before all was done; run again to go on.",
}
_NO_TARGETS = "All replications are there; the study declares no targets under [stop]."


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes
    ----------
    folder : Path
        Results folder.
    reason : {"targets", "part", "failures", "max", "budget"}
        ``"targets"`` also where none were declared and all replications are there; ``"part"`` where
        all of a part of the replications are, on which nothing is decided; ``"max"`` where
        a target is not met by the replications allowed; ``"failures"`` where a cell and estimator
        had too many of them.
    plan : DataFrame
        ``cell_id, est_id, n_planned, rule``, of the cells and estimators that this run was about.
    seconds : float
    n_new : int
        Fits that this run added.
    repairs : tuple of str
        What was wrong in the folder, and what was done about it.
    """

    folder: Path
    reason: str
    plan: pd.DataFrame
    seconds: float
    n_new: int
    repairs: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Of ``causalkit sim run``."""
        return EXIT_CODES[self.reason]

    def to_dict(self) -> dict[str, Any]:
        """Plain facts, for JSON."""
        return {
            "folder": str(self.folder),
            "reason": self.reason,
            "seconds": self.seconds,
            "n_new": self.n_new,
            "repairs": list(self.repairs),
            "plan": self.plan.to_dict(orient="records"),
        }

    def __repr__(self) -> str:
        new = f"{self.n_new:,} fits in {self.seconds:.1f} s"
        if self.reason == "part":
            return f"{new}.\n{_ENDS['part']}\nResults: {self.folder}"
        least, most = self.plan["n_planned"].min(), self.plan["n_planned"].max()
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        counts = self.plan["rule"].value_counts().to_dict()
        ended = ", ".join(f"{count} by {rule}" for rule, count in counts.items())
        # A study with targets that ends well ends every pair by one.
        aimless = self.reason == "targets" and "target" not in counts
        return (
            f"{new}; {span} replications per cell and "
            f"estimator; {len(self.plan)} of them ended: {ended}.\n"
            f"{_NO_TARGETS if aimless else _ENDS[self.reason]}\n"
            f"Results: {self.folder}"
        )


def run(
    study: "Study",
    *,
    max_reps: int | None = None,
    only: Mapping[str, Any] | None = None,
    shard: Shard | None = None,
    rep_shard: Shard | None = None,
    fresh: bool = False,
    progress: Any = None,
) -> RunReport:
    """Run what a study lacks; see :meth:`causalkit.study.study.Study.run`."""
    started = time.perf_counter()
    made = plan(study)
    cells, estimators = _chosen(made, only or {})
    cells = cells if shard is None else cells_of(shard, cells)
    facts, options = facts_of(study, made), study.run_options
    rule = stopping_rule(facts)
    stages, span = rule.stages(max_reps), None
    if rep_shard is not None:
        span = reps_of(rep_shard, stages[-1])
        stages = [span[1] + 1]
    store = open_store(study.results_folder, facts, _file_text(study), fresh=fresh)
    with store.lock() as said:
        check_sources(store.sources(), facts)
        drop_summary(store.folder)
        store.begin(facts)
        repairs = [*store.notes, *said, *store.repair()]
        schedule = Schedule(
            cells,
            estimators,
            have=store.covered if span is None else partial(_covered, store, span),
            template=partial(job_of, study, folder=store.folder),
            decide=_Decisions(store, rule) if span is None else _undecided,
            stages=stages,
            block=options.block,
            workers=options.workers,
        )
        with open_pool(
            options.backend, work, workers=options.workers, scheduler_file=options.scheduler_file
        ) as pool:
            loop = _Loop(
                schedule,
                pool,
                store,
                deadline=started + (study.budget.wall_s or float("inf")),
                tell=teller(progress, study.name, unit="job"),
            )
            loop.run()
        store.end("budget" if loop.out_of_time else "")
        results = collect(store.folder)
        write_summary(store.folder, results)
    ended = results.plan
    wanted = ended["cell_id"].isin([cell.id for cell in cells])
    wanted &= ended["est_id"].isin([spec.id for spec in estimators])
    reason = _reason(set(ended.loc[wanted, "rule"]), has_targets=bool(study.stop))
    if span is not None:
        reason = "budget" if loop.out_of_time else "part"
    return RunReport(
        folder=store.folder,
        reason=reason,
        plan=ended[wanted].reset_index(drop=True),
        seconds=time.perf_counter() - started,
        n_new=loop.n_fits,
        repairs=tuple(repairs),
    )


class _Loop:
    """Feeds a pool from a schedule until nothing is left or time is out."""

    def __init__(
        self,
        schedule: Schedule,
        pool: Pool,
        store: Store,
        *,
        deadline: float,
        tell: Progress | None,
    ) -> None:
        self.schedule, self.pool, self.store = schedule, pool, store
        self.deadline, self.tell = deadline, tell
        self.out_of_time = False
        self.n_fits = 0
        self._retried: set[tuple[str, int, str]] = set()

    def run(self) -> None:
        """Submit, wait, note; blocks that are finished stay whatever happens."""
        while True:
            self.out_of_time = self.out_of_time or time.perf_counter() > self.deadline
            while not self.out_of_time and self.pool.running < self.pool.capacity:
                job = self.schedule.next_job(idle=self.pool.running == 0)
                if job is None:
                    break
                self.pool.submit(job)
                if job.attempt > 1:
                    break
            if self.pool.running == 0:
                return
            for outcome in self.pool.wait():
                self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        job = outcome.job
        if outcome.lost:
            culprit = self.schedule.lost(job)
            if culprit is not None:
                write_block(self.store.folder, lost_block(culprit))
                self._finished(culprit, Counters(0.0, 1, ()))
            return
        if outcome.error is not None:
            raise outcome.error
        again = [
            (rep, est)
            for rep, est in outcome.value.out_of_memory
            if (job.cell.id, rep, est) not in self._retried
        ]
        for rep, est in again:
            self._retried.add((job.cell.id, rep, est))
        self.schedule.retry(job, again)  # first, so that the stage does not end without them
        self._finished(job, outcome.value)

    def _finished(self, job: Job, counters: Counters) -> None:
        self.n_fits += counters.n_fits
        self.schedule.finished(job, seconds=counters.seconds)
        if self.tell is not None:
            self.tell(f"{job.cell.label}: replications {job.first} to {job.last}")


class _Decisions:
    """Answers the schedule from records on disk, reading each block once."""

    def __init__(self, store: Store, rule: StoppingRule) -> None:
        self.store, self.rule = store, rule
        self._read: dict[tuple[str, str], pd.DataFrame] = {}

    def __call__(self, cell: Cell, spec: EstimatorSpec, goal: int) -> str | None:
        key = (cell.id, spec.id)
        known = self._read.get(key)
        start = 0 if known is None else int(known["rep"].max()) + 1
        more = self.store.records(
            cells=[cell.id],
            estimators=[spec.id],
            first=start,
            last=goal - 1,
            columns=self.rule.columns,
        )
        records = more if known is None else pd.concat([known, more], ignore_index=True)
        verdict = self.rule.verdict(records, goal)
        if verdict is None:
            self._read[key] = records
        else:
            self._read.pop(key, None)
        return verdict


def _covered(store: Store, span: Range, cell_id: str, est_id: str) -> list[Range]:
    """What need not run of a part of the replications: what is there, and what is before it."""
    return [*store.covered(cell_id, est_id), *([(0, span[0] - 1)] if span[0] else [])]


def _undecided(_cell: Cell, _spec: EstimatorSpec, _goal: int) -> None:
    """No part of the replications ends a cell: that is decided on all of them, when merged."""


def _file_text(study: "Study") -> str | None:
    """Text of the study file; None if no file can hold the study."""
    try:
        return study.to_toml()
    except ArgumentError:
        return None


def _chosen(
    made: Plan, only: Mapping[str, Any]
) -> tuple[tuple[Cell, ...], tuple[EstimatorSpec, ...]]:
    """Cells and estimators that ``only`` names; everything if it is empty."""
    params = {key: value for key, value in only.items() if key != "est"}
    known = sorted({key for cell in made.cells for key in cell.params})
    for key in params:
        if key not in known:
            raise unknown_name("parameter", key, ["est", *known])
    cells = tuple(cell for cell in made.cells if cell.has(params))
    if not cells:
        raise ArgumentError(f"no cell has {params}; `causalkit sim check` lists the cells.")
    wanted = only.get("est")
    if wanted is None:
        return cells, made.estimators
    labels = [wanted] if isinstance(wanted, str) else list(wanted)
    return cells, tuple(estimator_named(made.estimators, label) for label in labels)


def _reason(rules: set[str], *, has_targets: bool) -> str:
    if "failures" in rules:
        return "failures"
    if rules & {"budget", "running"}:
        return "budget"
    return "max" if has_targets and "max" in rules else "targets"
