"""Jobs in worker processes of this machine, which may die."""

import os
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, suppress
from typing import Any

from causalkit.study.backends import (
    INSIDE,
    ONE_THREAD,
    Outcome,
    answered,
    check_room,
    outcome_of,
    packed,
    starting_workers,
)
from causalkit.study.design import Job

_LOOK_S = 1.0  # seconds between looks at whether the parent is there


class ProcessPool:
    """Loky workers; those that die are replaced, and their jobs reported as lost.

    Loky ends all workers when one dies, so that all jobs in flight are lost then.

    Parameters
    ----------
    work : callable
    workers : int
    """

    def __init__(self, work: Callable[[Job], Any], workers: int) -> None:
        self._work, self._workers = work, workers
        self._futures: dict[Future[tuple[bytes, str]], Job] = {}
        self._ready: list[Outcome] = []
        self._executor: Any = None
        self._filters = ExitStack()
        self._filters.enter_context(warnings.catch_warnings())
        # Loky replaces a worker that holds 300 MB more than at first, between two jobs, and says
        # so in its own thread, which would not survive a warning that is an error.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)

    @property
    def capacity(self) -> int:
        """Enough to keep all workers busy, and few enough to lose little."""
        return 4 * self._workers

    @property
    def running(self) -> int:
        """Jobs submitted whose outcome was not returned yet."""
        return len(self._futures) + len(self._ready)

    def submit(self, job: Job) -> None:
        """Queue a job, on fresh workers if the former died."""
        check_room(self)
        data = packed(job)
        try:
            self._queue(job, data)
        except BrokenExecutor:
            self._clear()
            self._queue(job, data)

    def wait(self) -> list[Outcome]:
        """Outcomes of the jobs that are finished; waits for the first of them."""
        if not self._ready:
            done, _ = wait(self._futures, return_when=FIRST_COMPLETED)
            return [self._outcome(future) for future in done]
        outcomes, self._ready = self._ready, []
        return outcomes

    def close(self) -> None:
        """End the workers; what they are at is given up."""
        try:
            self._stop(kill=bool(self._futures))
        finally:
            self._futures.clear()
            self._ready.clear()
            self._filters.close()

    def _queue(self, job: Job, data: bytes) -> None:
        if self._executor is None:
            self._executor = self._started()
        with starting_workers():  # until the job is noted: close() would wait for one it forgot
            self._futures[self._executor.submit(answered, self._work, data)] = job

    def _started(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        return ProcessPoolExecutor(
            max_workers=self._workers,
            initializer=_prepare,
            initargs=(os.getpid(),),
            env=ONE_THREAD | {INSIDE: "1"},
        )

    def _stop(self, *, kill: bool) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            if kill:
                _forget_waiting(executor)
            executor.shutdown(wait=True, kill_workers=kill)

    def _clear(self) -> None:
        """End a broken executor; what has not failed in it yet is about to."""
        wait(self._futures)
        self._ready += [self._outcome(future) for future in list(self._futures)]
        self._stop(kill=True)

    def _outcome(self, future: "Future[tuple[bytes, str]]") -> Outcome:
        job = self._futures.pop(future)
        error = future.exception()
        if error is None:
            return outcome_of(job, future.result())
        if isinstance(error, BrokenExecutor):
            return Outcome(job, lost=True)
        return Outcome(job, error=error)


def _forget_waiting(executor: Any) -> None:
    """Take back the jobs that no worker has.

    When it kills its workers, loky drops the jobs and then looks for those that wait by their
    numbers, and its thread ends in a KeyError that it prints.
    """
    waiting = executor._work_ids  # loky has no public way to it
    with suppress(queue.Empty):
        while True:
            waiting.get_nowait()


def _prepare(parent: int) -> None:
    """Leave Ctrl-C to the parent, which ends its workers, and end with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), name="study-parent", daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process once its parent has: nobody would read what it does."""
    import psutil

    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(_LOOK_S)
    os._exit(1)
