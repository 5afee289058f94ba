"""Which replications to run next: stages per cell, cut into jobs, and what lost workers leave."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from causalkit.study.design import Cell, EstimatorSpec, Job
from causalkit.study.ranges import Range, joined, missing, prefix

# Long enough that a task costs more than its scheduling, short enough that little is lost.
_TASK_SECONDS = 5.0


# Why a cell and estimator should stop after so many replications, or None.
Decide = Callable[[Cell, EstimatorSpec, int], str | None]


@dataclass(slots=True)
class _Piece:
    """Replications of a cell that the same estimators lack."""

    first: int
    last: int
    specs: tuple[EstimatorSpec, ...]


@dataclass(slots=True, eq=False)
class _CellState:
    """How far a cell is."""

    cell: Cell
    have: dict[str, list[Range]]  # on disk
    claimed: dict[str, list[Range]]  # on disk, queued or running
    active: dict[str, EstimatorSpec]
    stage: int = 0  # to be decided next
    opened: int = 0  # stages that are queued
    pieces: deque[_Piece] = field(default_factory=deque)
    running: int = 0
    again: set[tuple[int, str]] = field(default_factory=set)  # fits that run once more
    rate: float | None = None  # seconds per replication
    queued: bool = False

    def open(self, goal: int) -> None:
        """Queue what the active estimators lack of the first ``goal`` replications."""
        self.opened += 1
        gaps = {key: missing(self.claimed[key], goal - 1) for key in self.active}
        cuts = sorted({edge for pairs in gaps.values() for a, b in pairs for edge in (a, b + 1)})
        for first, after in pairwise(cuts):
            lacking = tuple(
                spec
                for key, spec in self.active.items()
                if any(a <= first and after - 1 <= b for a, b in gaps[key])
            )
            if lacking:
                self.pieces.append(_Piece(first, after - 1, lacking))
            for spec in lacking:
                self.claimed[spec.id] = joined([*self.claimed[spec.id], (first, after - 1)])

    def drop_stopped(self) -> None:
        """Take estimators that have stopped off the queue."""
        for piece in self.pieces:
            piece.specs = tuple(spec for spec in piece.specs if spec.id in self.active)
        self.pieces = deque(piece for piece in self.pieces if piece.specs)

    def cut(self, size: int) -> _Piece:
        """Take up to ``size`` replications off the queue."""
        piece = self.pieces[0]
        if piece.last - piece.first < size:
            return self.pieces.popleft()
        taken = _Piece(piece.first, piece.first + size - 1, piece.specs)
        piece.first += size
        return taken

    def is_complete(self, goal: int) -> bool:
        """Whether all replications before ``goal`` are on disk, for every active estimator."""
        return not self.again and all(prefix(self.have[key]) >= goal for key in self.active)


class Schedule:
    """Jobs in order, given what has finished; touches neither clock nor disk.

    Parameters
    ----------
    cells : sequence of Cell
    estimators : sequence of EstimatorSpec
    have : callable
        Replications on disk of a cell and estimator, as ranges.
    template : callable
        Makes the job of a cell, estimators, first and last replication.
    decide : Decide
        Called when all replications up to a goal are there.
    stages : sequence of int
        The goals.
    block : int or None
        Replications per job; None adapts it to the speed seen.
    workers : int
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        estimators: Sequence[EstimatorSpec],
        *,
        have: Callable[[str, str], list[Range]],
        template: Callable[[Cell, tuple[EstimatorSpec, ...], int, int], Job],
        decide: Decide,
        stages: Sequence[int],
        block: int | None,
        workers: int,
    ) -> None:
        self._template, self._decide = template, decide
        self._stages, self._block, self._workers = list(stages), block, workers
        self._states = {
            cell.id: _CellState(
                cell,
                have=(found := {spec.id: list(have(cell.id, spec.id)) for spec in estimators}),
                claimed=dict(found),
                active={spec.id: spec for spec in estimators},
            )
            for cell in cells
        }
        self._slowest = math.inf  # seconds per replication of the slowest cell so far
        self._turn: deque[_CellState] = deque()
        self._suspects: deque[Job] = deque()
        for state in self._states.values():
            self._advance(state)

    def next_job(self, *, idle: bool) -> Job | None:
        """Job to start now, if any; suspects of a lost worker run only when all else is idle."""
        if self._suspects:
            return self._suspects.popleft() if idle else None
        for ahead in (False, True):
            for _ in range(len(self._turn)):
                state = self._turn[0]
                self._turn.rotate(-1)
                if ahead and not state.pieces and state.opened <= self._furthest(state):
                    # Rather than idle. What lies beyond a stop has no part in any summary.
                    state.open(self._stages[state.opened])
                if state.pieces:
                    piece = state.cut(self._size(state))
                    state.running += 1
                    return self._template(state.cell, piece.specs, piece.first, piece.last)
        return None

    def finished(self, job: Job, *, seconds: float) -> None:
        """Note that the blocks of a job are on disk."""
        state = self._states[job.cell.id]
        state.running -= 1
        state.rate = max(seconds, 1e-6) / (job.last - job.first + 1)
        self._slowest = state.rate if self._slowest == math.inf else max(self._slowest, state.rate)
        for spec in job.estimators:
            if job.attempt > 1:
                state.again.discard((job.first, spec.id))
            state.have[spec.id] = joined([*state.have[spec.id], (job.first, job.last)])
        self._advance(state)

    def retry(self, job: Job, fits: Sequence[tuple[int, str]]) -> None:
        """Run some fits of a finished job once more, each alone: replication and estimator id."""
        specs = {spec.id: spec for spec in job.estimators}
        for rep, key in fits:
            state = self._states[job.cell.id]
            state.running += 1
            state.again.add((rep, key))
            alone = replace(job, estimators=(specs[key],), first=rep, last=rep, attempt=2)
            self._suspects.append(alone)

    def lost(self, job: Job) -> Job | None:
        """Note that a worker died; returns the job if it is one fit that has now killed twice."""
        if job.attempt == 1:
            self._suspects.append(replace(job, attempt=2))
            return None
        halves = list(_halves(job))
        if not halves:
            return job
        self._states[job.cell.id].running += len(halves) - 1
        self._suspects.extend(halves)
        return None

    def _furthest(self, state: _CellState) -> int:
        """Last stage that may be queued: one beyond that which waits for a decision."""
        return min(state.stage + 1, len(self._stages) - 1) if state.active else -1

    def _size(self, state: _CellState) -> int:
        """Replications of the next job of a cell."""
        if self._block is not None:
            return self._block
        rate = self._slowest if state.rate is None else state.rate
        left = sum(piece.last - piece.first + 1 for piece in state.pieces)
        share = math.ceil(left / self._workers) if len(self._turn) < self._workers else left
        return max(1, min(int(_TASK_SECONDS / rate), share))

    def _advance(self, state: _CellState) -> None:
        """Take the decisions that are due, and queue the stage that waits for one."""
        while state.active and state.is_complete(self._stages[state.stage]):
            goal = self._stages[state.stage]
            for key, spec in list(state.active.items()):
                if self._decide(state.cell, spec, goal) is not None:
                    del state.active[key]
            state.stage += 1
            if state.stage == len(self._stages):
                state.active.clear()
        state.drop_stopped()
        if state.active and state.opened <= state.stage:
            state.opened = state.stage
            state.open(self._stages[state.stage])
        at_work = bool(state.pieces or state.running)
        if at_work and not state.queued:
            self._turn.append(state)
        elif state.queued and not at_work:
            self._turn.remove(state)
        state.queued = at_work


def _halves(job: Job) -> Iterator[Job]:
    """A job in two; nothing if it is a single fit."""
    if len(job.estimators) > 1:
        middle = len(job.estimators) // 2
        yield replace(job, estimators=job.estimators[:middle])
        yield replace(job, estimators=job.estimators[middle:])
    elif job.last > job.first:
        middle = (job.first + job.last) // 2
        yield replace(job, last=middle)
        yield replace(job, first=middle + 1)
