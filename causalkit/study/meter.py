"""What a fit costs, and the limits that end it: one watchdog thread per block."""

import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_INTERVAL = 0.05  # seconds between samples
_GRACE = 1.0  # seconds until an estimator that swallowed the interruption gets it again
_MB = 1024.0**2


class OverTime(BaseException):
    """Raised in a fit that takes longer than it may; no ``except Exception`` catches it."""


class OverMemory(BaseException):
    """Raised in a fit while the process holds more memory than it may."""


@dataclass(slots=True)
class Cost:
    """Seconds and megabytes of one fit.

    Attributes
    ----------
    wall_s, cpu_s : float
    peak_rss_mb : float
        Highest resident memory of the process during the fit.
    peak_gpu_mb : float
        Highest memory that torch allocated on its device; NaN without one.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    peak_gpu_mb: float = float("nan")


class Watchdog:
    """Samples memory while fits run, and interrupts those that pass a limit.

    Parameters
    ----------
    task_s, rss_mb : float or None
        Limits of one fit.

    Notes
    -----
    The interruption is an exception that is raised in the fitting thread between two lines of
    Python: compiled code ends first. It works in threads other than the main one, where signals
    do not.
    """

    def __init__(self, *, task_s: float | None = None, rss_mb: float | None = None) -> None:
        import psutil

        self._process = psutil.Process()
        self._task_s, self._rss_mb = task_s, rss_mb
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._armed = False
        self._started, self._told = 0.0, -math.inf
        self._peak = 0.0
        self._target = 0
        self._thread = threading.Thread(target=self._watch, name="study-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()

    def run(self, function: Callable[[], Result], cost: Cost) -> Result:
        """Call a function of no arguments and fill ``cost``, also where it raises.

        Raises
        ------
        OverTime, OverMemory
            If it passes a limit.
        Exception
            Whatever it raises.
        """
        _reset_gpu()
        wall, cpu = time.perf_counter(), _cpu_seconds()
        self._target, self._started, self._told = threading.get_ident(), wall, -math.inf
        self._peak = self._rss()
        try:
            self._armed = True
            return function()
        finally:
            try:
                self._disarm()
            except (OverTime, OverMemory):
                # It was on its way when the fit ended. No second one follows within the grace.
                self._disarm()
            cost.peak_rss_mb = max(self._peak, self._rss())
            cost.wall_s = time.perf_counter() - wall
            cost.cpu_s = _cpu_seconds() - cpu
            cost.peak_gpu_mb = _peak_gpu()

    def _disarm(self) -> None:
        """Raise nothing from now on; what is on its way arrives here, not in somebody's code."""
        with self._lock:
            self._armed = False
        for _ in range(2):  # Python delivers what is pending at the turn of a loop
            pass

    def _rss(self) -> float:
        return float(self._process.memory_info().rss) / _MB

    def _watch(self) -> None:
        while not self._closed.wait(_INTERVAL):
            with self._lock:
                if not self._armed:
                    continue
                rss = self._rss()
                self._peak = max(self._peak, rss)
                now = time.perf_counter()
                if now - self._told < _GRACE:
                    continue
                if self._task_s is not None and now - self._started > self._task_s:
                    _raise_in(self._target, OverTime)
                    self._told = now
                elif self._rss_mb is not None and rss > self._rss_mb:
                    _raise_in(self._target, OverMemory)
                    self._told = now


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raise in another thread at its next line of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _cpu_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _cuda() -> Any:
    """torch.cuda if something has initialised it; asking must not load torch."""
    torch = sys.modules.get("torch")
    cuda = None if torch is None else getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def _reset_gpu() -> None:
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peak_gpu() -> float:
    cuda = _cuda()
    return float("nan") if cuda is None else float(cuda.max_memory_allocated()) / _MB
