"""Jobs in worker processes of this machine, which may die."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

from causalkit.study.backends import INSIDE, ONE_THREAD, Outcome, one_thread
from causalkit.study.design import Job


class ProcessPool:
    """Loky workers; those that die are replaced, and their jobs reported as lost.

    Parameters
    ----------
    work : callable
    workers : int
    """

    def __init__(self, work: Callable[[Job], Any], workers: int) -> None:
        self._work, self._workers = work, workers
        self._futures: dict[Future[Any], Job] = {}
        self._executor: Any = None

    @property
    def capacity(self) -> int:
        """Enough to keep all workers busy, and few enough to lose little."""
        return 4 * self._workers

    @property
    def running(self) -> int:
        """Jobs submitted and unfinished."""
        return len(self._futures)

    def submit(self, job: Job) -> None:
        """Queue a job, on fresh workers if the former died."""
        if self._executor is None:
            self._executor = self._started()
        try:
            future = self._executor.submit(_in_worker, self._work, job)
        except BrokenExecutor:
            self._executor = self._started()
            future = self._executor.submit(_in_worker, self._work, job)
        self._futures[future] = job

    def wait(self) -> list[Outcome]:
        """Outcomes of the jobs that are finished; when a worker dies, all of them are lost."""
        done, _ = wait(self._futures, return_when=FIRST_COMPLETED)
        outcomes = [self._outcome(future) for future in done]
        if any(outcome.lost for outcome in outcomes):
            # The executor is broken as a whole: what has not failed yet is about to.
            wait(self._futures)
            outcomes += [self._outcome(future) for future in list(self._futures)]
            self._stop(kill=True)
        return outcomes

    def close(self) -> None:
        """End the workers; what they are at is given up."""
        self._stop(kill=bool(self._futures))
        self._futures.clear()

    def _started(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        return ProcessPoolExecutor(
            max_workers=self._workers,
            initializer=_prepare,
            env=ONE_THREAD | {INSIDE: "1"},
        )

    def _stop(self, *, kill: bool) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=kill)

    def _outcome(self, future: "Future[Any]") -> Outcome:
        job = self._futures.pop(future)
        error = future.exception()
        if error is None:
            return Outcome(job, value=future.result())
        if isinstance(error, BrokenExecutor):
            return Outcome(job, lost=True)
        return Outcome(job, error=error)


def _prepare() -> None:
    """Leave Ctrl-C to the parent, which ends the workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault(INSIDE, "1")


def _in_worker(work: Callable[[Job], Any], job: Job) -> Any:
    with one_thread():
        return work(job)
