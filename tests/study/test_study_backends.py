"""Jobs in this process and in worker processes: what comes back, and what dies with whom."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import backend_jobs as work
import psutil
import pytest
from backend_jobs import feed, job, numbers
from joblib.externals.loky import ProcessPoolExecutor
from threadpoolctl import threadpool_info, threadpool_limits

from causalkit.errors import ArgumentError, StudyError
from causalkit.study.backends import open_pool, starting_workers

HERE = Path(__file__).parent
BOTH = pytest.mark.parametrize("backend", ["serial", "processes"])


def started(backend, folder):
    """A study's process in a session of its own, once its two workers are at work."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(HERE / "backend_jobs.py"), backend, str(folder)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("pid-*"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.02)
    return process


def assert_nobody_left(session, *, seconds):
    """No process of a session is alive, now or within some seconds."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in psutil.pids() if alive_in(session, pid)]:
        assert time.monotonic() < deadline, [psutil.Process(pid).cmdline() for pid in left]
        time.sleep(0.05)


def alive_in(session, pid):
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != "zombie"
    except (psutil.Error, ProcessLookupError):
        return False


@BOTH
def test_every_job_is_answered_once(backend):
    with open_pool(backend, work.square, workers=2) as pool:
        assert pool.capacity == {"serial": 1, "processes": 8}[backend]
        outcomes = feed(pool, [job(i) for i in range(40)])
        assert pool.wait() == []
    assert numbers(outcomes) == list(range(40))
    assert all(outcome.value == outcome.job.first**2 for outcome in outcomes)
    assert not any(outcome.lost or outcome.error for outcome in outcomes)


@BOTH
def test_a_job_beyond_the_capacity_is_refused(backend):
    with open_pool(backend, work.square, workers=1) as pool:
        for i in range(pool.capacity):
            pool.submit(job(i))
        with pytest.raises(ArgumentError, match=r"wait\(\) for one before the next submit"):
            pool.submit(job(99))
        outcomes = feed(pool, [])
    assert numbers(outcomes) == list(range({"serial": 1, "processes": 4}[backend]))


@BOTH
def test_an_exception_is_an_outcome_and_harms_no_other_job(backend):
    with open_pool(backend, work.raises, workers=2) as pool:
        outcomes = feed(pool, [job(i) for i in range(10)])
    assert numbers(outcomes) == list(range(10))
    for outcome in outcomes:
        if outcome.job.first % 2:
            assert isinstance(outcome.error, KeyError)
            assert outcome.error.args == (f"number {outcome.job.first}",)
            assert not outcome.lost
        else:
            assert (outcome.value, outcome.error) == (outcome.job.first, None)


def test_an_exception_brings_the_traceback_of_the_worker():
    with open_pool("processes", work.raises, workers=1) as pool:
        (outcome,) = feed(pool, [job(1)])
    (note,) = outcome.error.__notes__
    assert "in raises" in note
    assert 'raise KeyError(f"number {given.first}")' in note


@BOTH
def test_sys_exit_in_an_estimator_does_not_end_the_study(backend):
    with open_pool(backend, work.leaves, workers=1) as pool:
        (outcome,) = feed(pool, [job(0)])
    assert isinstance(outcome.error, SystemExit)
    assert outcome.error.code == "estimator left"
    assert not outcome.lost


@pytest.mark.parametrize(
    ("function", "said"),
    [(work.raises_unreadable, "Unreadable: 0 and 2"), (work.returns_a_lock, "cannot pickle")],
)
def test_answers_that_cannot_travel_are_errors_and_no_dead_workers(function, said):
    with open_pool("processes", function, workers=1) as pool:
        outcomes = feed(pool, [job(i) for i in range(2)])
    assert [outcome.lost for outcome in outcomes] == [False, False]
    assert all(isinstance(outcome.error, StudyError) for outcome in outcomes)
    assert said in str(outcomes[0].error)


def test_a_job_that_cannot_travel_is_refused_by_the_name_of_its_estimator():
    with (
        open_pool("processes", work.square, workers=1) as pool,
        pytest.raises(ArgumentError, match="'held' cannot be sent to a worker: cannot pickle"),
    ):
        pool.submit(job(0, target=threading.Lock()))


def test_functions_that_no_import_path_leads_to_reach_the_workers():
    with open_pool("processes", work.calls_target, workers=1) as pool:
        (outcome,) = feed(pool, [job(7, target=lambda number: number + 0.5)])
    assert outcome.value == 7.5


def test_two_workers_work_at_the_same_time(tmp_path):
    with open_pool("processes", work.meets, workers=2) as pool:
        outcomes = feed(pool, [job(i, folder=tmp_path) for i in range(2)])
    assert [outcome.value for outcome in outcomes] == [True, True]


def test_a_worker_that_dies_loses_jobs_and_raises_nothing():
    with open_pool("processes", work.exits, workers=2) as pool:
        outcomes = feed(pool, [job(i) for i in range(20)])
        lost = [outcome.job for outcome in outcomes if outcome.lost]
        again = feed(pool, [given for given in lost if given.first != 3])
    assert numbers(outcomes) == list(range(20))
    assert 3 in [given.first for given in lost]
    assert len(lost) <= 8, "more was lost than was in flight"
    for outcome in outcomes:
        assert outcome.error is None
        assert outcome.lost or outcome.value == outcome.job.first
    # Lost jobs that are innocent succeed on the fresh workers of the same pool.
    assert [outcome.value for outcome in again] == [outcome.job.first for outcome in again]


def test_a_pool_outlives_many_dead_workers():
    with open_pool("processes", work.killed, workers=1) as pool:
        outcomes = [outcome for i in range(10) for outcome in feed(pool, [job(i)])]
    assert [outcome.lost for outcome in outcomes] == [i % 3 == 0 for i in range(10)]
    assert [outcome.value for outcome in outcomes if not outcome.lost] == [1, 2, 4, 5, 7, 8]


def test_workers_that_die_idle_are_replaced_without_loss():
    with open_pool("processes", work.where, workers=1) as pool:
        (first,) = feed(pool, [job(0)])
        psutil.Process(first.value).kill()
        time.sleep(0.5)  # until the pool has noticed
        (second,) = feed(pool, [job(1)])
    assert not second.lost
    assert second.value not in (first.value, os.getpid())


def test_the_loss_of_dead_workers_is_told_while_fresh_ones_are_at_work(tmp_path):
    with open_pool("processes", work.killed_or_sleeps, workers=1) as pool:
        pool.submit(job(0, folder=tmp_path))
        deadline = time.monotonic() + 30
        while not (files := list(tmp_path.glob("pid-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        while psutil.pid_exists(int(files[0].name.removeprefix("pid-"))):
            time.sleep(0.02)
        time.sleep(0.5)  # the pool has noticed, and nobody has asked it yet
        pool.submit(job(1))
        before = time.perf_counter()
        (outcome,) = pool.wait()
        assert time.perf_counter() - before < 5.0
        assert (outcome.job.first, outcome.lost, pool.running) == (0, True, 1)


def test_a_worker_that_holds_ever_more_memory_is_replaced_between_jobs():
    # Loky warns of it in a thread of its own, where a warning that is an error would be a hang.
    with open_pool("processes", work.grows, workers=1) as pool:
        outcomes = feed(pool, [job(i) for i in range(6)])
    assert numbers(outcomes) == list(range(6))
    assert not any(outcome.lost for outcome in outcomes)
    assert len({outcome.value for outcome in outcomes}) == 2


@pytest.mark.parametrize("number", [0, 1])
def test_a_study_inside_a_worker_is_refused(number):
    with open_pool("processes", work.asks_for_pool, workers=1) as pool:
        (outcome,) = feed(pool, [job(number)])
    name = ("processes", "dask")[number]
    assert outcome.value.startswith(f'backend="{name}" inside a worker would start processes')
    assert 'use backend="serial" there' in outcome.value


def test_a_study_inside_a_worker_of_joblib_is_refused():
    from joblib import Parallel, delayed

    (said, _) = Parallel(n_jobs=2)(delayed(work.asks_for_pool)(job(0)) for _ in range(2))
    assert said.startswith('backend="processes" inside a worker')


def test_a_study_in_a_process_that_a_worker_starts_is_refused():
    with open_pool("processes", work.starts_a_study, workers=1) as pool:
        (outcome,) = feed(pool, [job(0)])
    assert outcome.error is None
    assert outcome.value.startswith('backend="processes" inside a worker')


def test_workers_use_one_thread_each_whatever_the_parent_uses(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with open_pool("processes", work.threads, workers=1) as pool:
        (outcome,) = feed(pool, [job(0)])
    assert outcome.value["libraries"], "no numerical library was found in the worker"
    assert set(outcome.value["libraries"]) == {1}
    assert set(outcome.value["environment"].values()) == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_serial_work_uses_one_thread_and_gives_the_others_back(monkeypatch):
    said = []
    torch = SimpleNamespace(get_num_threads=lambda: 5, set_num_threads=said.append)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with threadpool_limits(limits=2):
        before = [entry["num_threads"] for entry in threadpool_info()]
        assert 2 in before
        with open_pool("serial", work.threads, workers=1) as pool:
            (outcome,) = feed(pool, [job(0)])
            assert said == [1]
        after = [entry["num_threads"] for entry in threadpool_info()]
    assert set(outcome.value["libraries"]) == {1}
    assert after == before
    assert said[-1] == 5


def test_libraries_that_a_serial_job_loads_are_limited_for_the_next(monkeypatch):
    said = []
    torch = SimpleNamespace(get_num_threads=lambda: 5, set_num_threads=said.append)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    def loads(given):
        monkeypatch.setitem(sys.modules, "torch", torch)
        return list(said)

    with open_pool("serial", loads, workers=1) as pool:
        outcomes = feed(pool, [job(0), job(1)])
    assert [outcome.value for outcome in outcomes] == [[], [1]]


def test_closing_gives_up_what_is_running(tmp_path):
    with open_pool("processes", work.sleeps, workers=1) as pool:
        pool.submit(job(0, folder=tmp_path))
        deadline = time.monotonic() + 30
        while not (files := list(tmp_path.glob("pid-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = time.perf_counter()
    assert time.perf_counter() - before < 5.0
    assert not psutil.pid_exists(int(files[0].name.removeprefix("pid-")))


def test_closing_a_full_pool_leaves_no_error_in_the_threads_of_the_pool(tmp_path, monkeypatch):
    # Jobs that are with no worker yet are given up as well, which loky alone stumbles over.
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda told: raised.append(told.exc_value))
    with open_pool("processes", work.sleeps, workers=2) as pool:
        for number in range(pool.capacity):
            pool.submit(job(number, folder=tmp_path))
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("pid-*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert raised == []


def test_ctrl_c_ends_the_study_at_once_and_leaves_no_process(tmp_path):
    process = started("processes", tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    # One traceback, that of the study: workers do not see the signal.
    assert said.count("KeyboardInterrupt") == 1, said
    assert_nobody_left(process.pid, seconds=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_thread_receives_waits_until_workers_are_started(number):
    done, reached = threading.Event(), []

    def signalled():
        with starting_workers():
            os.kill(os.getpid(), number)
            time.sleep(0.1)
            reached.append(number)

    threading.Thread(target=done.wait, daemon=True).start()  # as those of numerical libraries
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            signalled()
    finally:
        done.set()
        signal.signal(signal.SIGTERM, before)
    assert reached == [number]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_the_first_job_is_handed_over_does_not_wait_for_it(monkeypatch):
    handed = ProcessPoolExecutor.submit

    def interrupted(*args):
        future = handed(*args)
        signal.raise_signal(signal.SIGINT)
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    before = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), open_pool("processes", work.sleeps, workers=1) as pool:
        pool.submit(job(0))
    assert time.perf_counter() - before < 30.0


def test_workers_ignore_an_interrupt_that_reaches_them_alone(tmp_path):
    process = started("processes", tmp_path)
    try:
        pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        assert all(alive_in(process.pid, pid) for pid in pids)
    finally:
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=10)


def test_workers_end_with_a_study_that_is_killed(tmp_path):
    process = started("processes", tmp_path)
    process.kill()
    process.communicate(timeout=10)
    assert_nobody_left(process.pid, seconds=10)


def test_pools_are_asked_for_by_a_known_name_and_at_least_one_worker():
    with (
        pytest.raises(ArgumentError, match="Did you mean 'processes'"),
        open_pool("process", work.square, workers=1),
    ):
        pass
    with (
        pytest.raises(ArgumentError, match="workers must be at least 1, got 0"),
        open_pool("processes", work.square, workers=0),
    ):
        pass
