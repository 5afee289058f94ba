"""Replications of one cell: data, fits, records. The only place in a study that fits."""

import hashlib
import re
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import getpid
from platform import node
from typing import Any

import pandas as pd

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.errors import CausalKitWarning, NonFiniteError
from causalkit.study.attempt import Estimated, estimated, fit_of
from causalkit.study.design import EstimatorSpec, Job, data_stream, estimator_seed
from causalkit.study.effects import effect_metrics, judges_effects, without_effects
from causalkit.study.extras import reported_metrics
from causalkit.study.meter import Cost, OverMemory, OverTime, Watchdog
from causalkit.study.resolve import generator_of
from causalkit.study.results import NO_DATA
from causalkit.study.store_read import TABLES
from causalkit.study.true_doses import at_true_doses

_NAN = float("nan")
# Of a fit that was not begun, or whose process is gone.
_UNKNOWN = Cost(_NAN, _NAN, _NAN)
# What must end the study; anything else that a fit raises, SystemExit too, is its failure.
_ENDS_ALL = (KeyboardInterrupt, GeneratorExit)
_PLACES = re.compile(r'File "[^"]*[/\\]([^"/\\]+)", line \d+|0x[0-9a-f]+')


@dataclass(frozen=True, slots=True)
class Block:
    """What a job found.

    Attributes
    ----------
    job : Job
    records : DataFrame
        One row per estimator, estimand and replication.
    metrics, failures : DataFrame
        Further numbers per replication, and what went wrong.
    tracebacks, warnings : mapping of str to str
        Text by digest.
    seconds : float
        Wall time.
    """

    job: Job
    records: pd.DataFrame
    metrics: pd.DataFrame
    failures: pd.DataFrame
    tracebacks: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a fit has no estimate."""

    status: str
    exception: str
    message: str
    text: str


def run_block(job: Job) -> Block:
    """Draw the data of each replication and fit every estimator on them.

    What a replication gives depends on its address alone, not on the block it is part of. An
    estimator that fails costs nobody else anything: its failure is a record.

    Parameters
    ----------
    job : Job
        Cell, estimators, replications, limits.
    """
    started = time.perf_counter()
    tables = _Tables(job)
    generator = generator_of(job.cell)
    with Watchdog(task_s=job.task_s, rss_mb=job.rss_mb) as watchdog:
        for rep in range(job.first, job.last + 1):
            data = _data(generator, job, rep)
            blind = data.blind() if isinstance(data, CausalData) else None
            for spec in job.estimators:
                if isinstance(data, _Trouble):
                    tables.add_failure(spec, rep, data, _UNKNOWN, ("",), "")
                    continue
                assert blind is not None
                _fit(job, spec, rep, data, data if spec.oracle else blind, watchdog, tables)
    return tables.block(time.perf_counter() - started)


def lost_block(job: Job) -> Block:
    """Block of a single fit that twice took its worker with it."""
    tables = _Tables(job)
    message = "the worker died during this fit, twice; the second time it ran alone"
    trouble = _Trouble("killed", "", message, "")
    # Drawing the data again for the names of the estimands could kill this process too.
    for spec in job.estimators:
        tables.add_failure(spec, job.first, trouble, _UNKNOWN, ("",), "")
    return tables.block(0.0)


def _data(generator: Any, job: Job, rep: int) -> "CausalData | _Trouble":
    """Data of a replication, or why there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = generator(data_stream(job.study_seed, job.cell, rep), **job.cell.params)
    except _ENDS_ALL:
        raise
    except BaseException as error:
        told = _trouble(error)
        message = f"the generator {job.cell.generator!r} raised {told.exception}: {told.message}"
        return replace(told, status=NO_DATA, message=message)
    if not isinstance(data, CausalData):
        message = (
            f"the generator {job.cell.generator!r} returned a {type(data).__name__}, no CausalData"
        )
        return _Trouble(NO_DATA, "TypeError", message, message)
    return data


def _fit(
    job: Job,
    spec: EstimatorSpec,
    rep: int,
    data: CausalData,
    shown: CausalData,
    watchdog: Watchdog,
    tables: "_Tables",
) -> None:
    """Fit one estimator and note the outcome."""
    seed = estimator_seed(job.study_seed, job.cell, rep, spec)
    numbers: list[Estimated] = []
    extra: dict[str, float] = {}
    trouble: _Trouble | None = None
    beside: _Trouble | None = None
    cost = Cost()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            asked = at_true_doses(spec, data.truth)
            results, fitted = watchdog.run(lambda: fit_of(asked, shown, seed), cost)
            numbers = estimated(results, data.truth, level=job.level, null=job.null)
            trouble = _wanting(numbers, results)
            extra = reported_metrics(results, data)
            if data.truth is not None and judges_effects(fitted, data.truth):
                judged, beside = _of_effects(job, fitted, data.truth, shown, watchdog)
                extra |= judged
        except (OverTime, OverMemory) as error:
            trouble = _beyond(error, job, "the fit")
        except _ENDS_ALL:
            raise
        except BaseException as error:
            trouble = _trouble(error)
    told = "\n".join(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))
    if trouble is None:
        tables.add_estimates(spec, rep, numbers, data, cost, told)
        tables.add_metrics(spec, rep, numbers[0].estimand, extra)
        if beside is not None:
            tables.add_trouble(spec, rep, beside)
    else:
        tables.add_failure(spec, rep, trouble, cost, _estimands(data), told, n=len(data))


def _of_effects(
    job: Job, fitted: Any, truth: Truth, shown: CausalData, watchdog: Watchdog
) -> tuple[Mapping[str, float], _Trouble | None]:
    """Metrics of predicted effects, NaN and the reason where they fail; the estimate stands."""
    try:
        setting = {"treatment_cost": job.treatment_cost, "level": job.level}
        judged = watchdog.run(lambda: effect_metrics(fitted, truth, shown, **setting), Cost())
    except (OverTime, OverMemory) as error:
        trouble = replace(_beyond(error, job, "effect()"), status="effects")
    except _ENDS_ALL:
        raise
    except NotImplementedError as error:
        _warn(f"effect() raised NotImplementedError: {error}")
        return {}, None
    except BaseException as error:
        told = _trouble(error)
        message = f"effect() raised {told.exception}: {told.message}"
        trouble = replace(told, status="effects", message=message)
    else:
        for note in judged.notes:
            warnings.warn(note, CausalKitWarning, stacklevel=2)
        return judged.numbers, None
    _warn(trouble.message)
    return without_effects(), trouble


def _warn(why: str) -> None:
    warnings.warn(f"no metrics of effects: {why}", CausalKitWarning, stacklevel=3)


def _wanting(numbers: Sequence[Estimated], results: Sequence[Any]) -> _Trouble | None:
    """Why returned numbers are no estimate, if they are none."""
    if not numbers:
        return _Trouble("error", "", "the estimator returned no result", "")
    if any(result.diagnostics.get("converged") is False for result in results):
        return _Trouble("not_converged", "", "the estimator says that it did not converge", "")
    return None


def _beyond(error: OverTime | OverMemory, job: Job, what: str) -> _Trouble:
    """Failure at a limit of the budget."""
    if isinstance(error, OverTime):
        return _Trouble("timeout", "OverTime", f"{what} took over {job.task_s:g} s", "")
    message = f"the process held over {job.rss_mb:g} MB during {what}"
    return _Trouble("oom", "OverMemory", message, "")


def _trouble(error: BaseException) -> _Trouble:
    """Failure that an exception tells of."""
    kinds = {MemoryError: "oom", NonFiniteError: "nonfinite"}
    status = next((kinds[kind] for kind in kinds if isinstance(error, kind)), "error")
    text = "".join(traceback.format_exception(error))
    message = str(error)
    if isinstance(error, SystemExit):
        message = f"it ended the program with code {error.code!r}"
    return _Trouble(status, type(error).__name__, message, text)


def _estimands(data: CausalData) -> tuple[str, ...]:
    return ("",) if data.truth is None else tuple(data.truth.estimands) or ("",)


def _digest(text: str) -> str:
    """Digest of a text that does not depend on folders, line numbers or addresses in memory."""
    if not text:
        return ""
    return hashlib.sha256(_PLACES.sub(r"\1", text).encode()).hexdigest()[:16]


def _frame(types: Mapping[str, Any], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows as a table; typed column by column, which takes a quarter of the time of a cast."""
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    typed = zip(types.items(), columns, strict=True)
    return pd.DataFrame({name: pd.array(column, dtype=dtype) for (name, dtype), column in typed})


class _Tables:
    """Rows of a block as they come."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._worker = f"{node()}:{getpid()}"
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        self._texts: dict[str, dict[str, str]] = {"tracebacks": {}, "warnings": {}}
        self._ids = {spec.label: spec.id for spec in job.estimators}
        self._cell = job.cell.id

    def add_estimates(
        self,
        spec: EstimatorSpec,
        rep: int,
        numbers: Sequence[Estimated],
        data: CausalData,
        cost: Cost,
        told: str,
    ) -> None:
        """Note the estimates of one fit."""
        truth = data.truth
        for one in numbers:
            known = truth is not None and one.estimand in truth.estimands
            self._record(
                spec,
                rep,
                one,
                truth=float(truth.estimands[one.estimand]) if truth is not None and known else _NAN,
                truth_mcse=float(truth.mcse.get(one.estimand, 0.0)) if truth is not None else 0.0,
                status="ok",
                cost=cost,
                told=told,
            )

    def add_metrics(
        self, spec: EstimatorSpec, rep: int, estimand: str, values: Mapping[str, float]
    ) -> None:
        """Note further numbers of one fit."""
        for name, value in values.items():
            row = (self._cell, self._ids[spec.label], estimand, rep, name, value)
            self._rows["metrics"].append(row)

    def add_failure(
        self,
        spec: EstimatorSpec,
        rep: int,
        trouble: _Trouble,
        cost: Cost,
        estimands: Sequence[str],
        told: str,
        *,
        n: int = 0,
    ) -> None:
        """Note a fit that has no estimate."""
        for name in estimands:
            one = Estimated(name, _NAN, _NAN, _NAN, _NAN, _NAN, n)
            self._record(
                spec,
                rep,
                one,
                truth=_NAN,
                truth_mcse=0.0,
                status=trouble.status,
                cost=cost,
                told=told,
            )
        self.add_trouble(spec, rep, trouble)

    def add_trouble(self, spec: EstimatorSpec, rep: int, trouble: _Trouble) -> None:
        """Note what went wrong in a replication, beside its records."""
        digest = self._text("tracebacks", trouble.text)
        words = (*self._job.cell.words, rep, 1, *spec.words)
        address = f"SeedSequence({self._job.study_seed}, spawn_key={words})"
        row = (trouble.status, trouble.exception, trouble.message, digest, address)
        self._rows["failures"].append((self._cell, self._ids[spec.label], rep, *row))

    def block(self, seconds: float) -> Block:
        """Everything noted, with the types of the store."""
        frames = {name: _frame(TABLES[name], rows) for name, rows in self._rows.items()}
        return Block(
            job=self._job,
            records=frames["records"],
            metrics=frames["metrics"],
            failures=frames["failures"],
            tracebacks=self._texts["tracebacks"],
            warnings=self._texts["warnings"],
            seconds=seconds,
        )

    def _record(
        self,
        spec: EstimatorSpec,
        rep: int,
        one: Estimated,
        *,
        truth: float,
        truth_mcse: float,
        status: str,
        cost: Cost,
        told: str,
    ) -> None:
        self._rows["records"].append(
            (
                self._cell,
                self._ids[spec.label],
                one.estimand,
                rep,
                one.estimate,
                one.std_error,
                one.conf_low,
                one.conf_high,
                one.p_value,
                self._job.level,
                truth,
                truth_mcse,
                status,
                one.n_obs,
                cost.wall_s,
                cost.cpu_s,
                cost.peak_rss_mb,
                cost.peak_gpu_mb,
                self._worker,
                self._text("warnings", told),
                self._job.attempt,
            )
        )

    def _text(self, kind: str, text: str) -> str:
        digest = _digest(text)
        if digest:
            self._texts[kind].setdefault(digest, text)
        return digest
