"""Work for pools of workers: what a job does is told by the function, its number by ``first``."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from causalkit.errors import ArgumentError
from causalkit.study.backends import open_pool
from causalkit.study.design import Cell, EstimatorSpec, Job

KEPT: list[bytearray] = []


def job(number: int, *, folder: object = None, target: object = None) -> Job:
    spec = EstimatorSpec("held", use="held", target=target)
    return Job(
        study_seed=1,
        level=0.95,
        null=0.0,
        cell=Cell("toy", 1, {}),
        estimators=(spec,),
        first=number,
        last=number,
        folder=None if folder is None else str(folder),
    )


def feed(pool, jobs):
    """Outcomes of all jobs, in the order in which they come; fills the pool as a study does."""
    left, outcomes = list(reversed(jobs)), []
    while left or pool.running:
        while left and pool.running < pool.capacity:
            pool.submit(left.pop())
        got = pool.wait()
        assert got, "wait() came back with nothing although jobs are running"
        outcomes += got
    return outcomes


def numbers(outcomes):
    return sorted(outcome.job.first for outcome in outcomes)


def square(given: Job) -> int:
    return given.first**2


def where(given: Job) -> int:
    return os.getpid()


def exits(given: Job) -> int:
    """Job 3 ends its worker without a word."""
    if given.first == 3:
        os._exit(0)
    return given.first


def killed(given: Job) -> int:
    """Every third job is killed as the system does when memory runs out."""
    if given.first % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return given.first


def killed_or_sleeps(given: Job) -> int:
    """Job 0 dies and leaves its number; the others take long."""
    if given.first:
        return sleeps(given)
    (Path(given.folder or "") / f"pid-{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def starts_a_study(given: Job) -> str:
    """What a process that the work starts is told when it opens a pool."""
    call = "from backend_jobs import asks_for_pool, job; print(asks_for_pool(job(0)))"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", call],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def raises(given: Job) -> int:
    if given.first % 2:
        raise KeyError(f"number {given.first}")
    return given.first


def leaves(given: Job) -> int:
    sys.exit("estimator left")


class Unreadable(Exception):
    """Can be written and not read again, as many classes of exceptions."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raises_unreadable(given: Job) -> int:
    raise Unreadable(given.first, 2)


def returns_a_lock(given: Job) -> object:
    return threading.Lock()


def calls_target(given: Job) -> object:
    return given.estimators[0].target(given.first)


def asks_for_pool(given: Job) -> str:
    """What happens to a study that is run inside a worker."""
    with open_pool("serial", square, workers=1) as pool:
        pool.submit(job(4))
        assert pool.wait()[0].value == 16
    try:
        with open_pool(("processes", "dask")[given.first], square, workers=1):
            return "opened"
    except ArgumentError as error:
        return str(error)


def threads(given: Job) -> dict[str, object]:
    """Threads of the numerical libraries, and what the environment says."""
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return {
        "libraries": [entry["num_threads"] for entry in threadpool_info()],
        "environment": {
            name: os.environ.get(name)
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        },
    }


def meets(given: Job) -> bool:
    """Jobs 0 and 1 wait for each other: they must run at the same time."""
    folder = Path(given.folder or "")
    (folder / f"{given.first}").touch()
    deadline = time.monotonic() + 30
    while not (folder / f"{1 - given.first}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def sleeps(given: Job) -> int:
    if given.folder:
        (Path(given.folder) / f"pid-{os.getpid()}").touch()
    time.sleep(60)
    return given.first


def grows(given: Job) -> int:
    """Keeps 400 MB in job 2, after the second in which loky does not look."""
    if given.first == 2:
        time.sleep(1.1)
        KEPT.append(bytearray(b"x") * 400_000_000)
    return os.getpid()


def stay(backend: str, folder: str) -> None:
    """Start two workers, wait for their jobs and never come back by itself."""
    with open_pool(backend, sleeps, workers=2) as pool:
        for number in range(4):
            pool.submit(job(number, folder=folder))
        while pool.running:
            pool.wait()


if __name__ == "__main__":
    import backend_jobs

    backend_jobs.stay(*sys.argv[1:])
