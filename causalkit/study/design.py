"""Facts of a study: cells, estimators, replications, limits, and the address of every stream."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice, check_count

if TYPE_CHECKING:
    from causalkit.study.study import Study

SCHEMA = 2
Backend = Literal["serial", "processes", "dask"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def plain(value: Any, *, where: str) -> Any:
    """Value as JSON knows it: numpy scalars become Python's, sequences become lists.

    Raises
    ------
    ArgumentTypeError
        If the value, or one inside it, has no exact JSON form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ArgumentTypeError(f"{where} has keys that are no text: {list(value)!r}.")
        return {key: plain(item, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item, where=where) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        raise ArgumentError(f"{where} is {value}; a parameter must be finite to be an address.")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ArgumentTypeError(
        f"{where} is {value!r} ({type(value).__name__}), which a study file cannot hold; use "
        "numbers, text, booleans, lists and tables of them."
    )


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, shortest floats, 1 and 1.0 distinct, no NaN.

    Examples
    --------
    >>> canonical_json({"b": 1.0, "a": (1, True)})
    '{"a":[1,true],"b":1.0}'
    """
    return json.dumps(
        plain(value, where="value"), sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _digest(value: Any) -> bytes:
    """First 8 bytes of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).digest()[:8]


def _words(digest: bytes) -> tuple[int, int]:
    """Two 32-bit words of a digest, for a spawn key."""
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


@dataclass(frozen=True, slots=True)
class Cell:
    """One data-generating process: a generator, its version and its parameters.

    Parameters that are left at their defaults are not part of the address, so a generator may
    gain a parameter without moving the streams of studies that do not use it. ``target`` is the
    generator itself where no import path leads to it.
    """

    generator: str
    version: int
    params: Mapping[str, Any]
    target: Any = field(default=None, compare=False, repr=False)

    def _address(self) -> bytes:
        return _digest(
            {"generator": self.generator, "version": self.version, "params": self.params}
        )

    @property
    def id(self) -> str:
        """16 hexadecimal digits."""
        return self._address().hex()

    @property
    def words(self) -> tuple[int, int]:
        """Two 32-bit words of the spawn key."""
        return _words(self._address())

    @property
    def label(self) -> str:
        """Generator and parameters in one line."""
        return " ".join([self.generator, *(f"{key}={value}" for key, value in self.params.items())])

    def has(self, params: Mapping[str, Any]) -> bool:
        """Whether the cell states every one of these values; 1 and 1.0 are one value here."""
        return all(key in self.params and self.params[key] == params[key] for key in params)


@dataclass(frozen=True, slots=True)
class EstimatorSpec:
    """An estimator under study.

    Attributes
    ----------
    label : str
        Its name in tables and pictures; a new label recomputes nothing.
    use : str
        Registered name such as ``"panel-dml"``, or ``"package.module:object"``.
    args : mapping
        Arguments of the class, or of the function. A table ``{use = "...", args = {...}}`` inside
        them is built first, so that learners can be given.
    estimands : tuple of str
        Passed to ``estimate(estimand=...)``, one after the other; empty means its default.
    oracle : bool
        Whether it is shown the truth, as an infeasible benchmark is; all others never are.
    source_digest : str
        Of the estimator's source, filled in when the study is planned.
    target : object, optional
        A class instance or function that no import path leads to, such as one made in a notebook.
    """

    label: str
    use: str
    args: Mapping[str, Any] = field(default_factory=dict)
    estimands: tuple[str, ...] = ()
    oracle: bool = False
    source_digest: str = ""
    target: Any = field(default=None, compare=False, repr=False)

    def _address(self) -> dict[str, Any]:
        address: dict[str, Any] = {"use": self.use, "args": self.args}
        if self.estimands:
            address["estimands"] = self.estimands
        if self.oracle:
            address["oracle"] = True
        return address

    @property
    def id(self) -> str:
        """16 hexadecimal digits; another source gives another id."""
        return _digest(self._address() | {"source_digest": self.source_digest}).hex()

    @property
    def words(self) -> tuple[int, int]:
        """Two 32-bit words of the spawn key; mending the source does not move the stream."""
        return _words(_digest(self._address()))


@dataclass(frozen=True, slots=True)
class GeneratorGrid:
    """Cells of one generator: every combination of ``grid``, with ``fixed``, but ``exclude``.

    ``target`` is the generator itself where no import path leads to it.
    """

    name: str
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Mapping[str, Any], ...] = ()
    target: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reps:
    """Replications per cell: at least ``min``, at most ``max``, decided on after each ``batch``."""

    min: int = 200
    max: int = 2000
    batch: int = 100

    def __post_init__(self) -> None:
        for name in ("min", "max", "batch"):
            check_count(f"reps.{name}", getattr(self, name), least=1)
        if self.min > self.max:
            raise ArgumentError(
                f"reps.min is {self.min} and reps.max is {self.max}; max must not be less."
            )


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits: seconds of the run, seconds and megabytes of one fit, share of failures of a cell."""

    wall_s: float | None = None
    task_s: float | None = None
    rss_mb: float | None = None
    max_fail_share: float = 0.2

    def __post_init__(self) -> None:
        for name in ("wall_s", "task_s", "rss_mb"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(
                    f"budget.{name} must be positive, got {value}; or leave it out."
                )
        if not 0.0 <= self.max_fail_share <= 1.0:
            raise ArgumentError(
                f"budget.max_fail_share must lie in [0, 1], got {self.max_fail_share}."
            )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and on what a study runs; none of it changes a number.

    Attributes
    ----------
    backend : {"processes", "serial", "dask"}
    workers : int
        Worker processes.
    out : str
        Folder that holds the study's own, which has the study's name.
    scheduler_file : str or None
        Of a running dask scheduler; None starts one on this machine.
    block : int or None
        Replications per task; None adapts it so that a task takes some seconds.
    """

    backend: Backend = "processes"
    workers: int = 1
    out: str = "results"
    scheduler_file: str | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        check_choice("run.backend", self.backend, BACKENDS)
        check_count("run.workers", self.workers, least=1)
        if self.block is not None:
            check_count("run.block", self.block, least=1)


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker does: replications ``first`` to ``last`` of a cell, for some estimators.

    Attributes
    ----------
    study_seed : int
    level, null : float
        Of intervals and tests.
    cell : Cell
    estimators : tuple of EstimatorSpec
    first, last : int
        Replications, both included.
    task_s, rss_mb : float or None
        Limits of one fit.
    attempt : int
        2 when a worker died at the first.
    paths : tuple of str
        Folders that the worker adds to its import path.
    folder : str or None
        Results folder, for the worker that writes.
    treatment_cost : float
        Of treating a unit, for the regret of policies.
    """

    study_seed: int
    level: float
    null: float
    cell: Cell
    estimators: tuple[EstimatorSpec, ...]
    first: int
    last: int
    task_s: float | None = None
    rss_mb: float | None = None
    attempt: int = 1
    paths: tuple[str, ...] = ()
    folder: str | None = None
    treatment_cost: float = 0.0


def job_of(
    study: "Study",
    cell: Cell,
    estimators: tuple[EstimatorSpec, ...],
    first: int,
    last: int,
    *,
    folder: Path | None = None,
) -> Job:
    """Job of a study; ``folder`` is where the worker writes, if it does."""
    return Job(
        study_seed=study.seed,
        level=study.level,
        null=study.null,
        cell=cell,
        estimators=estimators,
        first=first,
        last=last,
        task_s=study.budget.task_s,
        rss_mb=study.budget.rss_mb,
        paths=() if study.folder is None else (str(study.folder),),
        folder=None if folder is None else str(folder.resolve()),
        treatment_cost=study.treatment_cost,
    )


def data_stream(seed: int, cell: Cell, rep: int) -> np.random.Generator:
    """Random generator that draws the data of a replication, for all estimators alike."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*cell.words, rep, 0)))


def estimator_seed(seed: int, cell: Cell, rep: int, estimator: EstimatorSpec) -> int:
    """31-bit seed of an estimator in a replication; scikit-learn takes no larger one."""
    key = (*cell.words, rep, 1, *estimator.words)
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint32)
    return int(state[0] >> np.uint32(1))
