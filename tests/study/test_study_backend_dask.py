"""Jobs on dask workers of this machine and on a cluster that was started elsewhere."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import backend_jobs as work
import psutil
import pytest
from backend_jobs import feed, job, numbers

from causalkit.errors import ArgumentError, StudyError
from causalkit.study.backends import ONE_THREAD, open_pool

distributed = pytest.importorskip("distributed", reason="the extra causalkit[dask] is absent")

HERE = Path(__file__).parent
PATHS = {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}


@pytest.fixture(scope="module")
def raising_pool():
    """Two workers for several tests: starting takes a second."""
    with open_pool("dask", work.raises, workers=2) as pool:
        yield pool


@contextmanager
def ended(process):
    """End a process and its children at the end."""
    try:
        yield process
    finally:
        family = [*psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        for child in family:
            if child.is_running():
                child.kill()
        process.communicate()


def command(name, *args, **env):
    """A dask command line in a process of its own."""
    call = [sys.executable, "-m", f"distributed.cli.dask_{name}", *args, "--no-dashboard"]
    return subprocess.Popen(
        call,
        env=os.environ | PATHS | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=HERE,
    )


@contextmanager
def cluster(folder, *, failures="0", workers="2"):
    """A scheduler and workers as on a cluster; yields the file and the two processes."""
    path = str(folder / "scheduler.json")
    with ExitStack() as stack:
        setting = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": failures}
        args = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", path)
        scheduler = stack.enter_context(ended(command("scheduler", *args, **setting)))
        deadline = time.monotonic() + 30
        while not Path(path).exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        args = ("--scheduler-file", path, "--nthreads", "1", "--nworkers", workers)
        # As on a machine of many cores where nobody thought of threads.
        many = {name: "2" for name in ONE_THREAD}
        nannies = stack.enter_context(ended(command("worker", *args, **many)))
        yield path, scheduler, nannies


def test_every_job_is_answered_once_and_errors_come_back(raising_pool):
    assert raising_pool.capacity == 8
    outcomes = feed(raising_pool, [job(i) for i in range(40)])
    assert raising_pool.wait() == []
    assert numbers(outcomes) == list(range(40))
    for outcome in outcomes:
        assert not outcome.lost
        if outcome.job.first % 2:
            assert isinstance(outcome.error, KeyError)
            assert outcome.error.args == (f"number {outcome.job.first}",)
            assert "in raises" in outcome.error.__notes__[0]
        else:
            assert (outcome.value, outcome.error) == (outcome.job.first, None)


def test_equal_jobs_are_run_each_time(raising_pool):
    outcomes = feed(raising_pool, [job(2)] * 6)
    assert [outcome.value for outcome in outcomes] == [2] * 6


def test_a_job_beyond_the_capacity_is_refused(raising_pool):
    for i in range(8):
        raising_pool.submit(job(2 * i))
    with pytest.raises(ArgumentError, match=r"8 jobs are submitted and the pool takes 8"):
        raising_pool.submit(job(99))
    assert numbers(feed(raising_pool, [])) == list(range(0, 16, 2))


def test_no_page_is_served_and_other_clients_are_left_alone(raising_pool):
    with pytest.raises(ValueError, match="No clients found"):
        distributed.default_client()
    options = raising_pool._cluster.scheduler_spec["options"]
    assert not options["dashboard"]
    assert raising_pool._cluster.scheduler.http_server.port != 8787


def test_answers_that_cannot_travel_are_errors_and_no_dead_workers():
    with open_pool("dask", work.raises_unreadable, workers=1) as pool:
        (outcome,) = feed(pool, [job(0)])
    assert isinstance(outcome.error, StudyError)
    assert "Unreadable: 0 and 2" in str(outcome.error)
    assert not outcome.lost


def test_workers_that_die_lose_jobs_raise_nothing_and_are_replaced(capfd):
    with open_pool("dask", work.exits, workers=2) as pool:
        outcomes = feed(pool, [job(i) for i in range(20)])
        lost = [outcome.job for outcome in outcomes if outcome.lost]
        again = feed(pool, [given for given in lost if given.first != 3])
        for _ in range(3):  # replaced each time, and always blamed at the first death
            (outcome,) = feed(pool, [job(3)])
            assert outcome.lost
        (last,) = feed(pool, [job(5)])
    assert numbers(outcomes) == list(range(20))
    assert 3 in [given.first for given in lost]
    assert len(lost) <= 8, "more was lost than was in flight"
    assert all(outcome.error is None for outcome in outcomes)
    assert [outcome.value for outcome in again] == [outcome.job.first for outcome in again]
    assert last.value == 5
    assert capfd.readouterr() == ("", "")


def test_fresh_workers_are_like_the_first(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before = dict(os.environ)
    levels = [handler.level for handler in logging.getLogger("distributed").handlers]
    with open_pool("dask", state_of_worker, workers=1) as pool:
        (first,) = feed(pool, [job(0)])
        psutil.Process(first.value["pid"]).kill()
        # Dask hands jobs to a dead worker until it notices; those are lost.
        lives = (out for rep in range(1, 50) for out in feed(pool, [job(rep)]) if not out.lost)
        second = next(lives)
    assert second.value["pid"] != first.value["pid"]
    for outcome in (first, second):
        assert set(outcome.value["libraries"]) == {1}
        assert set(outcome.value["environment"].values()) == {"1"}
        assert outcome.value["inside"] == "1"
        assert not outcome.value["daemon"], "estimators could not start processes"
    # Dask writes into the environment of its parent whenever it starts a worker.
    assert {name: os.environ.get(name) for name in before} == before
    assert "PYTHONHASHSEED" not in os.environ
    assert [handler.level for handler in logging.getLogger("distributed").handlers] == levels


def state_of_worker(given):
    import multiprocessing

    return work.threads(given) | {
        "pid": os.getpid(),
        "inside": os.environ.get("CAUSALKIT_STUDY_WORKER"),
        "daemon": multiprocessing.current_process().daemon,
    }


@pytest.mark.parametrize("number", [0, 1])
def test_a_study_inside_a_worker_is_refused(number):
    with open_pool("dask", work.asks_for_pool, workers=1) as pool:
        (outcome,) = feed(pool, [job(number)])
    assert outcome.value.startswith(f'backend="{("processes", "dask")[number]}" inside a worker')


def test_closing_gives_up_what_is_running(tmp_path):
    with open_pool("dask", work.sleeps, workers=1) as pool:
        pool.submit(job(0, folder=tmp_path))
        deadline = time.monotonic() + 120
        while not (files := list(tmp_path.glob("pid-*"))):
            time.sleep(0.02)
            assert time.monotonic() < deadline
        before = time.perf_counter()
    # The job itself takes a minute.
    assert time.perf_counter() - before < 30.0
    assert not psutil.pid_exists(int(files[0].name.removeprefix("pid-")))


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_study_that_is_interrupted_or_killed_leaves_no_process(tmp_path, name):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(HERE / "backend_jobs.py"), "dask", str(tmp_path)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
        env=os.environ | PATHS,
    )
    deadline = time.monotonic() + 180
    while len(list(tmp_path.glob("pid-*"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    number = getattr(signal, name)
    # Ctrl-C reaches the whole group; a kill reaches one.
    (os.killpg if name == "SIGINT" else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=15)
    assert process.returncode == -number
    assert said.count("KeyboardInterrupt") == (name == "SIGINT"), said
    deadline = time.monotonic() + 15
    while left := [pid for pid in psutil.pids() if in_session(process.pid, pid)]:
        assert time.monotonic() < deadline, [psutil.Process(pid).cmdline() for pid in left]
        time.sleep(0.05)


def in_session(session, pid):
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != "zombie"
    except (psutil.Error, ProcessLookupError):
        return False


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from backend_jobs import square\n"
        "from causalkit.study.backends import ONE_THREAD, open_pool\n"
        "with open_pool('dask', square, workers=1):\n"
        "    pass\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | PATHS,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert 'must stand under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_a_running_cluster_is_used_and_left_running(tmp_path):
    with cluster(tmp_path) as (path, scheduler, nannies):
        for _ in range(2):
            with open_pool("dask", work.exits, workers=2, scheduler_file=path) as pool:
                outcomes = feed(pool, [job(i) for i in range(4, 24)])
            assert numbers(outcomes) == list(range(4, 24))
            assert [outcome.value for outcome in outcomes if outcome.lost] == []
        with open_pool("dask", work.exits, workers=2, scheduler_file=path) as pool:
            outcomes = feed(pool, [job(3)])
            assert [outcome.lost for outcome in outcomes] == [True]
            assert [outcome.value for outcome in feed(pool, [job(4)])] == [4]
        with open_pool("dask", work.threads, workers=2, scheduler_file=path) as pool:
            feed(pool, [job(0), job(1)])  # loads the libraries
            outcomes = feed(pool, [job(i) for i in range(4)])
            for outcome in outcomes:
                assert outcome.value["environment"]["OMP_NUM_THREADS"] == "2"
                assert set(outcome.value["libraries"]) == {1}
        with open_pool("dask", work.asks_for_pool, workers=2, scheduler_file=path) as pool:
            (outcome,) = feed(pool, [job(0)])
            assert outcome.value.startswith('backend="processes" inside a worker')
        assert scheduler.poll() is None
        assert nannies.poll() is None


def test_a_scheduler_that_dies_is_said_and_nothing_is_blamed(tmp_path):
    with (
        cluster(tmp_path) as (path, scheduler, _),
        open_pool("dask", work.sleeps, workers=2, scheduler_file=path) as pool,
    ):
        for i in range(4):
            pool.submit(job(i))
        time.sleep(0.5)
        scheduler.kill()
        before = time.perf_counter()
        with pytest.raises(StudyError, match=r"scheduler is gone.*Finished blocks are kept"):
            pool.wait()
        assert time.perf_counter() - before < 20


def test_a_missing_scheduler_file_is_said_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("causalkit.study.backend_dask._FILE_S", 0.2)
    path = str(tmp_path / "nowhere.json")
    with (
        pytest.raises(StudyError, match=r"no scheduler file .*nowhere\.json"),
        open_pool("dask", work.square, workers=1, scheduler_file=path),
    ):
        pass


def test_a_scheduler_that_does_not_answer_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("causalkit.study.backend_dask._CONNECT_S", 0.5)
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    with (
        pytest.raises(StudyError, match=r"no dask scheduler answers within 0\.5 s \(.*old\.json\)"),
        open_pool("dask", work.square, workers=1, scheduler_file=str(path)),
    ):
        pass
