"""Jobs on a dask cluster: workers on this machine, or those of a running scheduler."""

from collections.abc import Callable
from typing import Any

from causalkit.errors import StudyError
from causalkit.optional import require
from causalkit.study.backends import INSIDE, ONE_THREAD, Outcome, environment, one_thread
from causalkit.study.design import Job

_CONNECT_S = 60


class DaskPool:
    """Dask workers; those that die are replaced, and the jobs they were at reported as lost.

    Parameters
    ----------
    work : callable
    workers : int
        Processes to start; of a running scheduler, those to keep busy.
    scheduler_file : str or None
        Written by ``dask scheduler --scheduler-file`` or by dask-jobqueue.

    Raises
    ------
    MissingDependencyError
        If dask is absent.
    StudyError
        If no scheduler answers.
    """

    def __init__(
        self, work: Callable[[Job], Any], workers: int, scheduler_file: str | None
    ) -> None:
        self._work, self._workers = work, workers
        self._dask = require("distributed", extra="dask", needed_by='backend="dask"')
        self._jobs: dict[Any, Job] = {}
        self._cluster: Any = None
        if scheduler_file is None:
            self._cluster = self._local()
        try:
            self._client = self._dask.Client(
                address=self._cluster,
                scheduler_file=scheduler_file,
                timeout=_CONNECT_S,
                set_as_default=False,
            )
        except OSError as error:
            raise StudyError(
                f"no dask scheduler answers at {scheduler_file!r} within {_CONNECT_S} s: {error}. "
                "Start one: dask scheduler --scheduler-file FILE, and workers with the same file."
            ) from error

    @property
    def capacity(self) -> int:
        """Enough to keep all workers busy, and few enough for any scheduler."""
        return 4 * self._workers

    @property
    def running(self) -> int:
        """Jobs submitted and unfinished."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Queue a job; it is never run twice behind our back."""
        future = self._client.submit(_in_worker, self._work, job, pure=False, retries=0)
        self._jobs[future] = job

    def wait(self) -> list[Outcome]:
        """Outcomes of the jobs that are finished."""
        with self._client.as_current():
            done = self._dask.wait(list(self._jobs), return_when="FIRST_COMPLETED").done
        return [self._outcome(future) for future in done]

    def close(self) -> None:
        """Give up what is running, and end the workers that were started here."""
        for future in self._jobs:
            future.cancel(force=True)
        self._jobs.clear()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _local(self) -> Any:
        """Processes of this machine, one thread each."""
        # A job whose worker died goes back to the study, which decides; none is blamed for others.
        settings = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.worker.daemon": False,
        }
        dask = require("dask", extra="dask", needed_by='backend="dask"')
        with environment(ONE_THREAD | {INSIDE: "1"}), dask.config.set(settings):
            return self._dask.LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs="CRITICAL",
            )

    def _outcome(self, future: Any) -> Outcome:
        job = self._jobs.pop(future)
        if future.status == "finished":
            return Outcome(job, value=future.result())
        error = future.exception() if future.status == "error" else None
        future.release()
        if error is None or isinstance(error, self._dask.scheduler.KilledWorker):
            return Outcome(job, lost=True)
        return Outcome(job, error=error)


def _in_worker(work: Callable[[Job], Any], job: Job) -> Any:
    with one_thread():
        return work(job)
