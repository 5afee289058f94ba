"""Jobs on a dask cluster: workers on this machine, or those of a running scheduler."""

import os
import queue
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from causalkit.errors import StudyError
from causalkit.optional import require
from causalkit.study.backends import (
    INSIDE,
    ONE_THREAD,
    Outcome,
    answered,
    check_room,
    environment,
    outcome_of,
    packed,
    starting_workers,
)
from causalkit.study.design import Job

_CONNECT_S = 60.0  # a scheduler may have just been started
_FILE_S = 10.0  # and write its file a little later
_LOOK_S = 1.0  # seconds between looks at the connection

# Dask reads some of these whenever it starts a worker, and so they hold while the pool is open.
_SETTINGS = {
    # A job whose worker died goes back to the study, which decides; it is not tried elsewhere.
    "distributed.scheduler.allowed-failures": 0,
    # Compiled code may keep a worker from sending signs of life for long.
    "distributed.scheduler.worker-ttl": None,
    # Estimators may start processes of their own.
    "distributed.worker.daemon": False,
}


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
        If no scheduler answers, or no worker starts.
    """

    def __init__(
        self, work: Callable[[Job], Any], workers: int, scheduler_file: str | None
    ) -> None:
        self._work, self._workers = work, workers
        self._dask = require("distributed", extra="dask", needed_by='backend="dask"')
        self._jobs: dict[Any, Job] = {}
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cluster: Any = None
        with ExitStack() as opening:
            if scheduler_file is None:
                self._cluster = self._local(opening)
                self._client = self._connected("started here", address=self._cluster)
            else:
                _await_file(scheduler_file)
                self._client = self._connected(scheduler_file, scheduler_file=scheduler_file)
            opening.callback(self._client.close)
            self._opened = opening.pop_all()

    @property
    def capacity(self) -> int:
        """Enough to keep all workers busy, and few enough for any scheduler."""
        return 4 * self._workers

    @property
    def running(self) -> int:
        """Jobs submitted whose outcome was not returned yet."""
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        """Queue a job."""
        check_room(self)
        future = self._client.submit(answered, self._work, packed(job), pure=False, retries=0)
        self._jobs[future] = job
        future.add_done_callback(self._finished.put)

    def wait(self) -> list[Outcome]:
        """Outcomes of the jobs that are finished; waits for the first of them.

        Raises
        ------
        StudyError
            If the scheduler is gone, or somebody cancelled the jobs there.
        """
        while self._jobs:
            done = self._settled()
            if done:
                return self._outcomes(done)
            if self._client.status not in ("running", "connecting"):
                raise _gone()
        return []

    def close(self) -> None:
        """Give up what is running, and end the workers that were started here."""
        with self._opened:
            if self._jobs and self._cluster is not None:
                _end_workers(self._cluster)
            elif self._jobs and self._client.status == "running":
                self._client.cancel(list(self._jobs), force=True)
            self._jobs.clear()

    def _connected(self, where: str, **target: Any) -> Any:
        try:
            return self._dask.Client(**target, timeout=_CONNECT_S, set_as_default=False)
        except OSError as error:
            raise StudyError(
                f"no dask scheduler answers within {_CONNECT_S:g} s ({where}): {error} Start one "
                "that writes the file anew: dask scheduler --scheduler-file FILE"
            ) from error

    def _local(self, opening: ExitStack) -> Any:
        """Processes of this machine, one thread each."""
        dask = require("dask", extra="dask", needed_by='backend="dask"')
        # Dask puts these into our own environment, for workers to inherit, and leaves them there.
        spawning = dask.config.get("distributed.nanny.pre-spawn-environ")
        seed = {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "6640")}
        kept = {name: os.environ.get(name, str(value)) for name, value in spawning.items()}
        opening.enter_context(environment(seed | kept | ONE_THREAD))
        opening.enter_context(dask.config.set(_SETTINGS))
        try:
            with starting_workers():
                cluster = self._dask.LocalCluster(
                    n_workers=self._workers,
                    threads_per_worker=1,
                    processes=True,
                    # The study has limits of its own; dask would let a worker wait for memory.
                    memory_limit=0,
                    env={INSIDE: "1"},
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                    silence_logs="CRITICAL",
                )
        except RuntimeError as error:
            raise StudyError(
                f"dask workers did not start: {error} In a script, what runs the study must stand "
                'under `if __name__ == "__main__":`, since workers import the script.'
            ) from error
        opening.callback(cluster.close)
        return cluster

    def _settled(self) -> list[Any]:
        """Futures that are no longer pending; waits a while for the first of them."""
        try:
            done = [self._finished.get(timeout=_LOOK_S)]
        except queue.Empty:
            return []
        while not self._finished.empty():
            done.append(self._finished.get())
        return done

    def _outcomes(self, done: list[Any]) -> list[Outcome]:
        answers = None
        if all(future.status == "finished" for future in done):
            # One message for all; a worker that dies meanwhile is met below.
            with suppress(Exception):
                answers = self._client.gather(done)
        if answers is None:
            return [self._outcome(future) for future in done]
        pairs = zip(done, answers, strict=True)
        return [outcome_of(self._jobs.pop(future), answer) for future, answer in pairs]

    def _outcome(self, future: Any) -> Outcome:
        job = self._jobs.pop(future)
        try:
            return outcome_of(job, future.result())
        except self._dask.scheduler.KilledWorker:
            return Outcome(job, lost=True)
        except (Exception, CancelledError) as error:
            if future.status == "error":  # such as a worker without causalkit
                return Outcome(job, error=error)
            raise _gone() from error


def _end_workers(cluster: Any) -> None:
    """Kill workers and what they started: asked to close, they would finish their jobs first."""
    import psutil

    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        pid = nanny.pid
        if pid is None:  # it is just being replaced
            continue
        with suppress(psutil.NoSuchProcess):
            worker = psutil.Process(pid)
            for process in [worker, *worker.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def _gone() -> StudyError:
    return StudyError(
        "the dask scheduler is gone, or the jobs were cancelled there. Finished blocks are kept: "
        "start it again and run the study again."
    )


def _await_file(scheduler_file: str) -> None:
    """Give a scheduler that was just started the time to write its file; dask waits for ever."""
    deadline = time.monotonic() + _FILE_S
    while not Path(scheduler_file).exists():
        if time.monotonic() > deadline:
            raise StudyError(
                f"no scheduler file {scheduler_file!r} on this machine. Start a scheduler that "
                f"writes it: dask scheduler --scheduler-file {scheduler_file}"
            )
        time.sleep(0.1)
