"""One switch for where jobs run: in this process, in worker processes, or on a dask cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from causalkit.errors import ArgumentError, check_choice
from causalkit.study.design import BACKENDS, Job

# Set in workers: a study inside a study would start workers of its own.
INSIDE = "CAUSALKIT_STUDY_WORKER"
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    job : Job
    value : object
        What the work returned.
    error : BaseException or None
        What it raised.
    lost : bool
        The worker died.
    """

    job: Job
    value: Any = None
    error: BaseException | None = None
    lost: bool = False


class Pool(Protocol):
    """Workers that take jobs."""

    @property
    def capacity(self) -> int:
        """Most jobs that may be submitted and unfinished."""

    @property
    def running(self) -> int:
        """Jobs submitted and unfinished."""

    def submit(self, job: Job) -> None:
        """Hand a job to a worker."""

    def wait(self) -> list[Outcome]:
        """Block until some job is finished; a dead worker is an outcome, not an exception."""


@contextmanager
def open_pool(
    backend: str,
    work: Callable[[Job], Any],
    *,
    workers: int,
    scheduler_file: str | None = None,
) -> Iterator[Pool]:
    """Workers for the jobs of a study.

    Parameters
    ----------
    backend : {"serial", "processes", "dask"}
    work : callable
        Function of a module, given a job.
    workers : int
    scheduler_file : str, optional
        Of a running dask scheduler; without one, dask workers are started on this machine.

    Raises
    ------
    ArgumentError
        If the backend is unknown, or workers are asked for inside a worker.
    MissingDependencyError
        If dask is asked for and absent.
    """
    check_choice("backend", backend, BACKENDS)
    if backend != "serial" and INSIDE in os.environ:
        raise ArgumentError(
            f'backend="{backend}" inside a worker would start processes in every worker; use '
            'backend="serial" there.'
        )
    if backend == "serial":
        with one_thread():
            yield SerialPool(work)
        return
    opened: Any
    if backend == "processes":
        from causalkit.study.backend_processes import ProcessPool

        opened = ProcessPool(work, workers)
    else:
        from causalkit.study.backend_dask import DaskPool

        opened = DaskPool(work, workers, scheduler_file)
    try:
        yield opened
    finally:
        opened.close()


class SerialPool:
    """Runs each job when it is submitted, in this process."""

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self._work = work
        self._finished: list[Outcome] = []

    @property
    def capacity(self) -> int:
        """One."""
        return 1

    @property
    def running(self) -> int:
        """Jobs whose outcome was not asked for yet."""
        return len(self._finished)

    def submit(self, job: Job) -> None:
        """Run the job now."""
        self._finished.append(ran(self._work, job))

    def wait(self) -> list[Outcome]:
        """Outcome of the last job."""
        done, self._finished = self._finished, []
        return done


def ran(work: Callable[[Job], Any], job: Job) -> Outcome:
    """Outcome of running a job here."""
    try:
        return Outcome(job, value=work(job))
    except Exception as error:
        return Outcome(job, error=error)


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries use one thread: workers already use all cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), _torch_threads():
        yield


@contextmanager
def _torch_threads() -> Iterator[None]:
    """The same for torch, if something has loaded it."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables while workers start, so that they inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            with contextlib.suppress(KeyError):
                del os.environ[name]
            if value is not None:
                os.environ[name] = value
