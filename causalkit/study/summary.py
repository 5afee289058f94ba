"""From the records of a study to one tidy row per cell, estimator, estimand and measure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, check_choice, unknown_name
from causalkit.metrics import MEASURES, MeasureSpec, mean_of
from causalkit.metrics.measure import LEAST_REPLICATIONS
from causalkit.study.design import canonical_json
from causalkit.study.differences import PRECISION, differences, precisions
from causalkit.study.effects import failed_effects
from causalkit.study.evaluate import Setting, Table, count_failures, evaluate
from causalkit.study.grouped import ANALYSES, Analysis, Groups, group_records, usable
from causalkit.study.pooling import noted, pooled
from causalkit.study.results import CELL_COLUMNS, Results
from causalkit.study.truth_error import READS, add_truth_error
from causalkit.typing import Bools, Floats, Ints

_TIMES = frozenset({"wall_s", "cpu_s"})
_TAKEN = frozenset(
    (
        *("generator", "estimator", "estimand", "measure", "value", "mcse", "lo", "hi"),
        *("n_planned", "n_ok", "n_failed", "rule", "flag", "cell_id", "est_id", "truth"),
        *("n_cells", "difference", "difference_mcse"),
    )
)


def summarise(
    results: Results,
    *,
    measures: Sequence[str] | None = None,
    by: Sequence[str] | None = None,
    reference: str | None = None,
    analysis: Analysis = "complete",
) -> pd.DataFrame:
    """Performance measures with their Monte-Carlo errors, one row each.

    Parameters
    ----------
    results : Results
        Of a study, finished or not.
    measures : sequence of str, optional
        Names in :data:`causalkit.metrics.MEASURES` or of further metrics that the estimators
        report, which are averaged over replications. None means all.
    by : sequence of str, optional
        Parameters to keep: the others are averaged over. A row is then the mean of a measure over
        ``n_cells`` cells, its MCSE √(Σ mcse²)/``n_cells``, as cells have independent data; counts
        are added up. Shares have Wilson's interval of their pooled replications. Cells of different
        generators are not pooled.
    reference : str, optional
        Label of an estimator. ``difference`` and ``difference_mcse`` are then the paired
        difference from it over the replications that both have (not for quantiles); and there is
        one more measure, ``relative_precision``: per cent by which an estimator is more precise
        than the reference.
    analysis : {"complete", "pairwise", "worst"}
        Which replications enter: those in which the estimator succeeded; those in which all
        estimators did that report the estimand in that cell; or all, with failures counted as not
        covering and not rejecting. Measures for which that has no meaning stay complete-case, and
        say so.

    Returns
    -------
    DataFrame
        ``generator``, parameters that vary (``param_`` before a name that is taken),
        ``estimator``, ``estimand``, ``measure``, ``value``, ``mcse``, ``lo`` and ``hi`` (95 %
        interval of the measure itself, Wilson's for shares), ``n_planned``, ``n_ok``
        (replications that enter), ``n_failed``, ``rule``, ``flag``, ``cell_id``, ``est_id``,
        ``truth`` (NaN unless constant). ``flag`` holds, joined by ``"; "``: ``insufficient``
        (fewer than 30 replications), ``failures`` (some are left out), ``contended`` (times of
        workers that shared a machine), ``complete-case``, and the reason why there is no value.

    Raises
    ------
    ArgumentError
        If a measure, parameter, reference or analysis is unknown.
    """
    check_choice("analysis", analysis, ANALYSES)
    metrics = _metric_names(results)
    names = _chosen(measures, metrics, paired=reference is not None)
    params = _kept(results.cells, by)
    task = _Task(
        setting=Setting(results.level, results.null, results.seed),
        analysis=analysis,
        reference=_reference(results.estimators, reference),
        contended=results.contended,
        cells=list(results.cells["cell_id"]),
        estimators=list(results.estimators["est_id"]),
    )
    specs = [MEASURES[name] for name in names if name in MEASURES]
    groups = task.grouped(
        results.records, [*READS, "truth_mcse", *(c for spec in specs for c in spec.needs)]
    )
    places = {name: place for place, name in enumerate(names)}
    parts = [_part(task, groups, specs, groups.count(~groups.ok), places)]
    if PRECISION.name in places and task.reference is not None:
        found = precisions(groups, usable(groups, analysis), reference=task.reference)
        part = _part(task, groups, [PRECISION], groups.count(~groups.ok), places, found)
        parts.append(part[part["_estimator"] != task.reference])
    failed = _Failed.of(groups)
    for name in names:
        if name in metrics:
            own = task.grouped(failed_effects(results.metrics, metrics[name]), ["value"])
            spec = MeasureSpec(name, ("value",), mean_of, "mean", term=np.asarray)
            n_failed = failed.look_up(own) + own.count(~own.ok)
            parts.append(_part(task, own, [spec], n_failed, places))
    frame = _in_order(pd.concat(parts, ignore_index=True), places)
    frame = _named(frame, results, params)
    if by is not None:
        frame = pooled(frame, list(params.values()))
    frame = noted(frame)
    frame.attrs = {"level": results.level, "null": results.null, "analysis": analysis}
    return frame


def target_of(measure: str, *, level: float, null: float, truth: float) -> float | None:
    """What a measure should be: 0 for bias, the level for coverage, and so on; None if nothing.

    Of the rejection share it is the size of the test where the null is true, and None elsewhere:
    there the share is power.

    Examples
    --------
    >>> target_of("rejection", level=0.95, null=0.0, truth=0.0)
    0.05
    >>> target_of("rejection", level=0.95, null=0.0, truth=0.5) is None
    True
    """
    spec = MEASURES.get(measure)
    if spec is None:
        return None
    is_true = math.isclose(truth, null, rel_tol=1e-12, abs_tol=1e-12)
    return spec.target_at(level, null_is_true=is_true)


# ---- names -------------------------------------------------------------------------------------


def _metric_names(results: Results) -> dict[str, str]:
    """Further metrics by the name that they have in the summary; measures keep theirs."""
    found = sorted(results.metrics["metric"].unique())
    taken = {*MEASURES, PRECISION.name}
    return {f"{name}_metric" if name in taken else name: name for name in found}


def _chosen(
    measures: Sequence[str] | None, metrics: Mapping[str, str], *, paired: bool
) -> list[str]:
    """Names of the measures asked for, checked."""
    known = [*MEASURES, *([PRECISION.name] if paired else []), *metrics]
    if measures is None:
        return known
    if isinstance(measures, str):
        raise ArgumentError(f"measures must be a list of names; write [{measures!r}].")
    for name in measures:
        if name == PRECISION.name and not paired:
            raise ArgumentError(
                f"{name} compares with an estimator; name it with --reference (reference=)."
            )
        if name not in known:
            raise unknown_name("measure", name, known)
    return list(dict.fromkeys(measures))


def _kept(cells: pd.DataFrame, by: Sequence[str] | None) -> dict[str, str]:
    """Parameters that the summary shows, with the names of their columns."""
    params = [str(name) for name in cells.columns if name not in CELL_COLUMNS]
    if isinstance(by, str):
        raise ArgumentError(f"by must be a list of parameters; write [{by!r}].")
    for name in by or ():
        if name not in params and name != "generator":
            raise unknown_name("parameter in by", name, params)
    if by is None:
        kept = [name for name in params if _plain(cells[name]).nunique(dropna=False) > 1]
    else:
        kept = [name for name in dict.fromkeys(by) if name != "generator"]
    return {name: f"param_{name}" if name in _TAKEN else name for name in kept}


def _plain(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Parameter with lists and tables written as text, so that equal ones can be found."""
    if column.dtype != object:
        return column
    return column.map(lambda x: canonical_json(x) if isinstance(x, list | tuple | dict) else x)


def _reference(estimators: pd.DataFrame, label: str | None) -> int | None:
    """Position of the reference estimator."""
    if label is None:
        return None
    labels = list(estimators["label"])
    if label not in labels:
        raise unknown_name("reference estimator", label, labels)
    return labels.index(label)


# ---- numbers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    """How a summary is made, whatever the measures."""

    setting: Setting
    analysis: Analysis
    reference: int | None
    contended: bool
    cells: list[str]
    estimators: list[str]

    def grouped(self, records: pd.DataFrame, columns: Iterable[str]) -> Groups:
        """Records cut into groups, in the order of the study."""
        return group_records(records, cells=self.cells, estimators=self.estimators, columns=columns)


@dataclass(frozen=True, slots=True)
class _Failed:
    """Failures by cell, estimator and estimand, for metrics, which have no rows for them."""

    exact: dict[tuple[int, int, str], int]
    least: dict[tuple[int, int], int]

    @classmethod
    def of(cls, groups: Groups) -> "_Failed":
        exact: dict[tuple[int, int, str], int] = {}
        least: dict[tuple[int, int], int] = {}
        for key, n in zip(_keys(groups), groups.count(~groups.ok), strict=True):
            exact[key] = int(n)
            least[key[:2]] = min(int(n), least.get(key[:2], int(n)))
        return cls(exact, least)

    def look_up(self, groups: Groups) -> Ints:
        """Failures of each group; of one without records, those of its estimator as a whole."""
        counts = [self.exact.get(key, self.least.get(key[:2], 0)) for key in _keys(groups)]
        return np.array(counts, dtype=np.int64)


def _keys(groups: Groups) -> list[tuple[int, int, str]]:
    """Cell, estimator and estimand of each group."""
    names = groups.estimands[groups.estimand]
    return list(zip(groups.cell.tolist(), groups.estimator.tolist(), names, strict=True))


def _part(
    task: _Task,
    groups: Groups,
    specs: Sequence[MeasureSpec],
    n_failed: Ints,
    places: Mapping[str, int],
    made: tuple[Table, Ints] | None = None,
) -> pd.DataFrame:
    """Rows of some measures, with positions in place of the names of cells and estimators.

    ``made`` holds them and the replications they rest on, where they are not of one estimator.
    """
    rows = usable(groups, task.analysis)
    worst = task.analysis == "worst"
    n_ok, n_rows = groups.count(rows), np.diff(groups.starts)
    if made is not None:
        n_ok = n_rows = made[1]
    counted = np.array([worst and spec.failed_as is not None for spec in specs], dtype=bool)
    table = evaluate(groups, rows, specs, setting=task.setting) if made is None else made[0]
    if worst:
        count_failures(table, specs, n_ok=n_ok, n_failed=n_failed)
    truth, truth_mcse = _truths(groups, rows)
    share = n_ok / np.maximum(n_ok + n_failed, 1)
    add_truth_error(
        table,
        specs,
        groups=groups,
        rows=rows,
        truth_mcse=truth_mcse,
        weight=np.where(counted, share[:, None], 1.0),
        setting=task.setting,
    )
    whole = counted | np.array([spec.rows == "all" for spec in specs], dtype=bool)
    n_read = np.where(whole, (n_ok + n_failed)[:, None], n_ok[:, None])
    size, width = groups.size, len(specs)
    columns: dict[str, Any] = {
        "_cell": np.repeat(groups.cell, width),
        "_estimator": np.repeat(groups.estimator, width),
        "estimand": np.repeat(groups.estimands[groups.estimand], width),
        "_measure": np.tile(np.array([places[s.name] for s in specs], dtype=np.int64), size),
        "value": table.value.ravel(),
        "mcse": table.mcse.ravel(),
        "lo": table.low.ravel(),
        "hi": table.high.ravel(),
        "_n": _share_sizes(specs, n_read),
        "n_ok": np.repeat(n_ok, width),
        "n_failed": np.repeat(n_failed, width),
        "_notes": _notes(
            few=n_read < LEAST_REPLICATIONS,
            lost=((n_failed > 0) | (n_rows > n_ok))[:, None] & ~whole,
            slow=np.array([task.contended and bool(_TIMES & set(s.needs)) for s in specs]),
            old=(worst & (n_failed > 0))[:, None] & ~whole,
        ).ravel(),
        "_reason": table.reason.ravel(),
        "truth": np.repeat(truth, width),
    }
    if task.reference is not None:
        found = differences(
            groups,
            rows,
            specs,
            reference=task.reference,
            truth_mcse=truth_mcse,
            worst=worst,
            setting=task.setting,
        )
        columns["difference"], columns["difference_mcse"] = (x.ravel() for x in found)
    return pd.DataFrame(columns)


def _share_sizes(specs: Sequence[MeasureSpec], n: Ints) -> Ints:
    """Replications that each share is one of, ``(G * M,)``; 0 for measures that are no shares."""
    return np.where([spec.kind == "share" for spec in specs], n, 0).ravel()


def _truths(groups: Groups, rows: Bools) -> tuple[Floats, Floats]:
    """Truth of each group, NaN unless constant, and its own Monte-Carlo error."""
    truth, error = np.full(groups.size, np.nan), np.zeros(groups.size)
    which = groups.group[rows]
    if not which.size:
        return truth, error
    first = np.flatnonzero(np.r_[True, which[1:] != which[:-1]])
    if "truth" in groups.columns:
        values = np.asarray(groups.columns["truth"][rows], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
        truth[which[first]] = np.where(low == high, low, np.nan)
    if "truth_mcse" in groups.columns:
        values = np.nan_to_num(np.asarray(groups.columns["truth_mcse"][rows], dtype=np.float64))
        error[which[first]] = np.maximum.reduceat(values, first)
    return truth, error


def _notes(*, few: Bools, lost: Bools, slow: Bools, old: Bools) -> Ints:
    """One bit per entry of ``NOTES``, ``(G, M)``."""
    bits = np.zeros(few.shape, dtype=np.int64)
    for place, told in enumerate((few, lost, slow, old)):
        bits |= np.broadcast_to(told, few.shape).astype(np.int64) << place
    return bits


def _in_order(frame: pd.DataFrame, places: Mapping[str, int]) -> pd.DataFrame:
    """Rows by cell, estimator, estimand and measure; measures by name."""
    estimand = pd.factorize(frame["estimand"], sort=True)[0]
    order = np.lexsort((frame["_measure"], estimand, frame["_estimator"], frame["_cell"]))
    frame = frame.iloc[order].reset_index(drop=True)
    return frame.assign(measure=np.array(list(places), dtype=object)[frame["_measure"]])


def _named(frame: pd.DataFrame, results: Results, params: Mapping[str, str]) -> pd.DataFrame:
    """Rows with the names of cells and estimators, and what was planned for them."""
    cell, estimator = frame["_cell"].to_numpy(), frame["_estimator"].to_numpy()
    shown: dict[str, Any] = {"generator": results.cells["generator"].to_numpy()[cell]}
    for name, column in params.items():
        shown[column] = _plain(results.cells[name]).array.take(cell)
    shown["estimator"] = results.estimators["label"].to_numpy()[estimator]
    shown |= {name: frame[name] for name in ("estimand", "measure", "value", "mcse", "lo", "hi")}
    cell_id = results.cells["cell_id"].to_numpy(dtype=object)[cell]
    est_id = results.estimators["est_id"].to_numpy(dtype=object)[estimator]
    plan = results.plan.set_index(["cell_id", "est_id"])
    place = plan.index.get_indexer(pd.MultiIndex.from_arrays([cell_id, est_id]))
    seen = (frame["n_ok"] + frame["n_failed"]).to_numpy()
    known = place >= 0
    n_planned, rule = seen.copy(), np.full(len(frame), "running", dtype=object)
    n_planned[known] = plan["n_planned"].to_numpy()[place[known]]
    rule[known] = plan["rule"].to_numpy(dtype=object)[place[known]]
    shown |= {"n_planned": n_planned, "n_ok": frame["n_ok"], "n_failed": frame["n_failed"]}
    shown |= {"rule": rule, "_notes": frame["_notes"], "_reason": frame["_reason"]}
    shown |= {"_n": frame["_n"]}
    shown |= {"cell_id": cell_id, "est_id": est_id, "truth": frame["truth"]}
    rest = [name for name in ("difference", "difference_mcse") if name in frame]
    return pd.DataFrame(shown | {name: frame[name] for name in rest})
