"""Which replications run next, without clock, disk or processes."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalkit.study.design import Cell, EstimatorSpec, Job, Reps
from causalkit.study.ranges import joined, missing, prefix
from causalkit.study.schedule import Schedule
from causalkit.study.stopping import goals

A, B = EstimatorSpec("a", "a"), EstimatorSpec("b", "b")
CELLS = [Cell("g", 1, {"i": i}) for i in range(3)]


def job_of(cell, specs, first, last):
    return Job(1, 0.95, 0.0, cell, specs, first, last)


class Disk:
    """Replications done, by cell and estimator, as sets: slower and simpler than ranges."""

    def __init__(self):
        self.done = {}

    def put(self, job):
        for spec in job.estimators:
            reps = self.done.setdefault((job.cell.id, spec.id), [])
            reps += range(job.first, job.last + 1)

    def have(self, cell_id, est_id):
        return [(rep, rep) for rep in self.done.get((cell_id, est_id), [])]


def schedule(disk, *, stages, decide=lambda *_: None, block=None, specs=(A, B), workers=2):
    return Schedule(
        CELLS,
        specs,
        have=disk.have,
        template=job_of,
        decide=decide,
        stages=stages,
        block=block,
        workers=workers,
    )


def play(plan, disk, *, seed=0, most=8, stop_after=None):
    """Run jobs in random order of completion; returns them."""
    rng, running, ran = random.Random(seed), [], []
    while stop_after is None or len(ran) < stop_after:
        while len(running) < most:
            job = plan.next_job(idle=not running)
            if job is None:
                break
            running.append(job)
        if not running:
            break
        job = running.pop(rng.randrange(len(running)))
        disk.put(job)
        ran.append(job)
        plan.finished(job, seconds=0.01 * (job.last - job.first + 1))
    return ran


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=6), st.integers(0, 45))
def test_ranges_are_those_of_sets(pairs, last):
    have = [(first, first + length) for first, length in pairs]
    covered = {rep for first, end in have for rep in range(first, end + 1)}
    found = [rep for first, end in missing(have, last) for rep in range(first, end + 1)]
    assert found == [rep for rep in range(last + 1) if rep not in covered]
    assert prefix(have) == next(rep for rep in range(100) if rep not in covered)
    apart = joined(have)
    assert {rep for first, end in apart for rep in range(first, end + 1)} == covered
    assert all(end + 1 < first for (_, end), (first, _) in pairwise(apart))


def test_decisions_fall_on_batches_from_the_minimum_on():
    reps = Reps(min=250, max=620, batch=100)
    assert goals(reps, has_targets=True) == [100, 300, 400, 500, 600, 620]
    assert goals(reps, has_targets=True, limit=350) == [100, 300, 350]
    assert goals(reps, has_targets=False) == [100, 620]


@pytest.mark.parametrize("seed", range(3))
def test_every_replication_runs_once_whatever_finishes_first(seed):
    disk = Disk()
    play(schedule(disk, stages=[20, 50]), disk, seed=seed)
    assert len(disk.done) == 6
    assert all(sorted(reps) == list(range(50)) for reps in disk.done.values())


def test_one_estimator_stops_and_the_others_go_on():
    disk = Disk()
    plan = schedule(
        disk,
        stages=[10, 20, 30],
        decide=lambda _, spec, goal: "target" if spec is B and goal == 20 else None,
    )
    play(plan, disk, most=1)
    for cell in CELLS:
        assert sorted(disk.done[cell.id, B.id]) == list(range(20))
        assert sorted(disk.done[cell.id, A.id]) == list(range(30))


def test_idle_workers_run_one_stage_ahead_and_no_further():
    plan = schedule(Disk(), stages=[10, 20, 30], specs=(A,), block=10)
    jobs = [job for job in iter(lambda: plan.next_job(idle=False), None)]
    assert sorted((job.first, job.last) for job in jobs) == [(0, 9)] * 3 + [(10, 19)] * 3
    for job in jobs:
        plan.finished(job, seconds=0.1)
    assert [(job.first, job.last) for job in iter(lambda: plan.next_job(idle=False), None)] == [
        (20, 29)
    ] * 3


def test_what_was_queued_ahead_is_dropped_when_an_estimator_stops():
    plan = schedule(
        Disk(),
        stages=[10, 30],
        block=10,
        decide=lambda _, spec, __: "target" if spec is B else None,
    )
    first = [plan.next_job(idle=False) for _ in CELLS]
    ahead = plan.next_job(idle=False)
    assert ahead.first == 10
    for job in first:
        plan.finished(job, seconds=0.1)
    rest = [job for job in iter(lambda: plan.next_job(idle=False), None)]
    assert all(job.estimators == (A,) for job in rest)
    assert sum(job.last - job.first + 1 for job in rest) == 3 * 20 - 10


def test_decisions_see_a_whole_stage():
    disk, asked = Disk(), []

    def decide(cell, spec, goal):
        reps = disk.done[cell.id, spec.id]
        asked.append(goal)
        assert set(range(goal)) <= set(reps)

    play(schedule(disk, stages=[7, 30], decide=decide, block=3), disk)
    assert sorted(asked) == [7] * 6 + [30] * 6


def test_a_resumed_plan_runs_only_what_is_missing():
    disk = Disk()
    play(schedule(disk, stages=[40], block=4), disk, stop_after=9)
    before = {key: list(reps) for key, reps in disk.done.items()}
    play(schedule(disk, stages=[40], block=4), disk)
    assert all(sorted(reps) == list(range(40)) for reps in disk.done.values())
    assert sum(map(len, before.values())) > 0


def test_a_new_estimator_runs_alone_and_shares_the_data_of_what_both_lack():
    disk = Disk()
    play(schedule(disk, stages=[10], specs=(A,)), disk)
    ran = play(schedule(disk, stages=[20], specs=(A, B), block=100), disk)
    alone = [job for job in ran if job.last < 10]
    both = [job for job in ran if job.first >= 10]
    assert all(job.estimators == (B,) for job in alone)
    assert all(job.estimators == (A, B) for job in both)
    assert len(ran) == len(alone) + len(both)


def test_a_deadly_fit_is_found_by_halving_and_costs_no_other_fit():
    disk, deaths = Disk(), []
    plan = schedule(disk, stages=[32], block=16)
    running, culprits = [], []
    while True:
        while len(running) < 4:
            job = plan.next_job(idle=not running)
            if job is None:
                break
            running.append(job)
        if not running:
            break
        job = running.pop()
        deadly = job.cell is CELLS[1] and A in job.estimators and job.first <= 5 <= job.last
        if not deadly:
            disk.put(job)
            plan.finished(job, seconds=0.1)
            continue
        deaths.append(job)
        assert job.attempt == 1 or not running, "a suspect must run alone"
        culprit = plan.lost(job)
        if culprit is not None:
            culprits.append(culprit)
            disk.put(culprit)
            plan.finished(culprit, seconds=0.0)
    assert [(job.first, job.last, job.estimators) for job in culprits] == [(5, 5, (A,))]
    assert len(deaths) <= 8
    assert all(sorted(reps) == list(range(32)) for reps in disk.done.values())


def test_fits_that_ran_out_of_memory_run_once_more_before_the_decision():
    disk, decided = Disk(), []
    plan = schedule(disk, stages=[4], block=4, specs=(A,), decide=lambda c, *_: decided.append(c))
    job = plan.next_job(idle=True)
    plan.retry(job, [(2, A.id)])
    disk.put(job)
    plan.finished(job, seconds=1.0)
    assert decided == []
    assert plan.next_job(idle=False) is None, "it must run alone"
    again = plan.next_job(idle=True)
    assert again.attempt == 2
    assert (again.first, again.last, again.estimators) == (2, 2, (A,))
    plan.finished(again, seconds=1.0)
    assert decided == [job.cell]


def test_blocks_grow_to_the_speed_seen():
    disk = Disk()
    plan = schedule(disk, stages=[1000], specs=(A,))
    first = plan.next_job(idle=True)
    assert first.last == first.first
    plan.finished(first, seconds=0.1)
    following = plan.next_job(idle=True)
    assert following.last - following.first + 1 == 50
