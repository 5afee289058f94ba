"""One switch for where jobs run: in this process, in worker processes, or on a dask cluster."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from causalkit.errors import ArgumentError, StudyError, check_choice, check_count
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
        What it raised; a note holds the traceback of the worker.
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
        """Jobs submitted whose outcome was not returned yet."""

    def submit(self, job: Job) -> None:
        """Hand a job to a worker; an ``ArgumentError`` beyond the capacity."""

    def wait(self) -> list[Outcome]:
        """Block until some job is finished; nothing is returned where none was submitted.

        A dead worker is an outcome, not an exception.
        """


@contextmanager
def open_pool(
    backend: str,
    work: Callable[[Job], Any],
    *,
    workers: int,
    scheduler_file: str | None = None,
) -> Iterator[Pool]:
    """Workers for the jobs of a study; closing them gives up what they are at.

    Parameters
    ----------
    backend : {"serial", "processes", "dask"}
    work : callable
        Function of a module, given a job.
    workers : int
        The serial backend has one, whatever is asked for.
    scheduler_file : str, optional
        Of a running dask scheduler; without one, dask workers are started on this machine.

    Raises
    ------
    ArgumentError
        If the backend is unknown, or workers are asked for inside a worker.
    MissingDependencyError
        If dask is asked for and absent.
    StudyError
        If dask workers cannot be started or reached.
    """
    check_choice("backend", backend, BACKENDS)
    check_count("workers", workers, least=1)
    if backend == "serial":
        with closing(SerialPool(work)) as serial:
            yield serial
        return
    if _inside_worker():
        raise ArgumentError(
            f'backend="{backend}" inside a worker would start processes in every worker; use '
            'backend="serial" there.'
        )
    opened: Any
    if backend == "processes":
        from causalkit.study.backend_processes import ProcessPool

        opened = ProcessPool(work, workers)
    else:
        from causalkit.study.backend_dask import DaskPool

        opened = DaskPool(work, workers, scheduler_file)
    with closing(opened):
        yield opened


class SerialPool:
    """Runs each job when it is submitted, in this process."""

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self._work = work
        self._finished: list[Outcome] = []
        self._limits = ExitStack()
        self._n_modules = 0

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
        check_room(self)
        if len(sys.modules) != self._n_modules:  # the last job may have loaded a library
            self._n_modules = len(sys.modules)
            self._limits.enter_context(one_thread())
        self._finished.append(_ran(self._work, job))

    def wait(self) -> list[Outcome]:
        """Outcome of the last job."""
        done, self._finished = self._finished, []
        return done

    def close(self) -> None:
        """Give libraries their threads back."""
        self._limits.close()


def check_room(pool: Pool) -> None:
    """Refuse a job beyond the capacity: schedulers stall under more, and a dead worker loses all.

    Raises
    ------
    ArgumentError
    """
    if pool.running >= pool.capacity:
        raise ArgumentError(
            f"{pool.running} jobs are submitted and the pool takes {pool.capacity}; wait() for one "
            "before the next submit()."
        )


def packed(job: Job) -> bytes:
    """Job as bytes, with the classes and functions in it that no import path leads to.

    Raises
    ------
    ArgumentError
        If something in it belongs to this process, such as an open file.
    """
    from joblib.externals.loky.cloudpickle_wrapper import dumps

    try:
        return bytes(dumps(job))
    except Exception as error:
        labels = ", ".join(repr(spec.label) for spec in job.estimators)
        raise ArgumentError(
            f"the estimators {labels} cannot be sent to a worker: {error}. Give them by import "
            'paths, or use backend="serial".'
        ) from error


def answered(work: Callable[[Job], Any], job: bytes) -> tuple[bytes, str]:
    """In a worker: what the work returns, or its exception and traceback, fit for sending back.

    Bytes, so that an object which only one side can read never breaks the connection.
    """
    from joblib.externals.loky.cloudpickle_wrapper import dumps

    answer: Any
    text = ""
    try:
        # The numbers of OpenMP belong to a thread, and new modules may bring new libraries.
        _limit_threads(threading.get_ident(), len(sys.modules))
        answer = work(pickle.loads(job))
    except BaseException as error:
        answer, text = error, traceback.format_exc()
    try:
        return dumps(answer), text
    except Exception:
        return b"", text or traceback.format_exc()


def outcome_of(job: Job, answer: tuple[bytes, str]) -> Outcome:
    """Outcome from what a worker sent back."""
    data, text = answer
    try:
        value = pickle.loads(data)
    except Exception as why:
        said = text or f"{type(why).__name__}: {why}"
        return Outcome(job, error=StudyError(f"the answer of a worker cannot be read.\n{said}"))
    if not text:
        return Outcome(job, value=value)
    value.add_note(f"In the worker:\n{text}")
    return Outcome(job, error=value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries use one thread: workers already use all cores."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(limits=1):
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
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
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C: the parent does, and ends them.

    Where the system has signal masks. They are inherited, also by threads that start processes. A
    mask does not keep Ctrl-C from this thread, which handles what any thread receives: it comes
    after the block, or a pool that is half started would keep its workers and the program.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it lifts the mask where it starts
    with _interrupted_later():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Handlers of SIGINT and SIGTERM run after the block; they run in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not None  # None: not set from Python, and not to restore
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _ran(work: Callable[[Job], Any], job: Job) -> Outcome:
    """Outcome of running a job here."""
    try:
        return Outcome(job, value=work(job))
    except (Exception, SystemExit) as error:
        return Outcome(job, error=error)


@lru_cache(maxsize=1)
def _limit_threads(_thread: int, _n_modules: int) -> None:
    """For good: a worker has nothing else to do. Looking for libraries takes a while, so once."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _inside_worker() -> bool:
    """Whether this process, or this thread, is a worker of a study, of joblib or of dask."""
    process = multiprocessing.current_process()
    if INSIDE in os.environ or process.daemon or process.name.startswith("LokyProcess"):
        return True
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except (ValueError, AttributeError):
        return False
    return True
