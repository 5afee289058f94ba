"""Measures of many groups of records at once, with the numbers that one group at a time gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.metrics import MEASURES, Measure, MeasureSpec, share_of
from causalkit.metrics.measure import Z95, quantiles_of, spreads
from causalkit.rng import stream
from causalkit.study.grouped import Batch, Groups, batches
from causalkit.typing import Bools, Floats

# Measures whose terms depend on all replications of a group, not only on their own.
_JOINT = frozenset({"bias_eliminated_coverage"})
_QUANTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75, "p95": 0.95}


@dataclass(frozen=True, slots=True)
class Setting:
    """What measures need besides columns: level, tested value, seed of the bootstraps."""

    level: float
    null: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Values of M measures in G groups.

    Attributes
    ----------
    value, mcse, low, high : (G, M) arrays
        The measure, its Monte-Carlo standard error and its own 95 % interval.
    reason : (G, M) object array
        Why there is no value; empty where there is one.
    """

    value: Floats
    mcse: Floats
    low: Floats
    high: Floats
    reason: Any

    def put(self, at: tuple[Any, Any], measure: Measure) -> None:
        """Write one measure."""
        self.value[at], self.mcse[at] = measure.value, measure.mcse
        self.low[at], self.high[at] = measure.interval


def empty_table(groups: int, measures: int) -> Table:
    """Table without any value."""
    nan = np.full((groups, measures), np.nan)
    reason = np.full((groups, measures), "", dtype=object)
    return Table(nan, nan.copy(), nan.copy(), nan.copy(), reason)


def bootstrap_stream(seed: int, measure: str) -> np.random.Generator:
    """Random numbers of a measure's bootstrap; what else is asked for does not move them.

    All groups start from this address: with equally many replications they share their draws,
    which are then drawn once. Each MCSE is what it would be with draws of its own.
    """
    return stream(seed, "summary", measure)


def evaluate(
    groups: Groups, rows: Bools, specs: Sequence[MeasureSpec], *, setting: Setting
) -> Table:
    """Every measure in every group, from the chosen rows; see :class:`Table`.

    A measure that refuses a group leaves NaN and its message.
    """
    table = empty_table(groups.size, len(specs))
    every = np.ones(rows.size, dtype=bool)
    with np.errstate(all="ignore"):
        for chosen, kind in ((rows, "ok"), (every, "all")):
            wanted = [(m, spec) for m, spec in enumerate(specs) if spec.rows == kind]
            for batch in batches(groups, chosen) if wanted else ():
                for m, spec in wanted:
                    _measure(table, m, spec, batch, setting)
    return table


def _measure(table: Table, m: int, spec: MeasureSpec, batch: Batch, setting: Setting) -> None:
    """Fill in one measure of a batch: all groups at once where their columns are clean."""
    form = _form(spec)
    clean = batch.usable(spec.needs) if form is not None and batch.index.shape[1] else None
    if form is not None and clean is not None and clean.any():
        try:
            form(table, m, spec, batch.of(clean), setting)
        except ArgumentError:  # of one group; which one, and why, they say one by one
            clean = None
    if clean is not None and clean.all():
        return
    lacking = batch.lacking(spec.needs)
    for position, g in enumerate(batch.ids):
        if clean is not None and clean[position]:
            continue
        if lacking[position]:
            table.reason[g, m] = f"no {lacking[position]}"
            continue
        rng = bootstrap_stream(setting.seed, spec.name) if "rng" in spec.options else None
        columns = batch.row(position, spec.needs)
        try:
            found = spec.function(columns, level=setting.level, null=setting.null, rng=rng)
        except ArgumentError as error:
            table.reason[g, m] = str(error)
        else:
            table.put((g, m), found)
            if np.isnan(found.value) and spec.kind in ("sd", "ratio") and batch.index.shape[1]:
                table.reason[g, m] = "no spread over the replications"


_Form = Callable[[Table, int, MeasureSpec, Batch, Setting], None]


def _form(spec: MeasureSpec) -> _Form | None:
    """How to compute a measure for all groups of a batch at once; None if there is no way."""
    if spec.kind == "quantile":
        return _quantiles if _twin(spec) is not None else None
    if spec.term is None:
        return None
    return {"mean": _means, "share": _shares}.get(spec.kind)


def _twin(spec: MeasureSpec) -> MeasureSpec | None:
    """Measure that is the mean of what this one is a quantile of."""
    prefix, _, what = spec.name.partition("_")
    if prefix not in _QUANTILES:
        return None
    found = MEASURES.get(f"mean_{what}") or MEASURES.get(what)
    return found if found is not None and found.takes == spec.takes else None


def term_rows(spec: MeasureSpec, batch: Batch, *, level: float) -> Floats:
    """What each replication of each group contributes to a measure, ``(g, R)``."""
    if spec.name in _JOINT:
        rows = (batch.row(i, spec.needs) for i in range(batch.ids.size))
        return np.array([spec.terms(columns, level=level) for columns in rows])
    return spec.terms(batch.flat(spec.needs), level=level).reshape(batch.index.shape)


def means_of(rows: Floats) -> tuple[Floats, Floats]:
    """Mean of each row and its MCSE, as :func:`causalkit.metrics.mean_of` has them for one."""
    if rows.shape[1] == 0:
        nothing = np.full(rows.shape[0], np.nan)
        return nothing, nothing
    return rows.mean(axis=1), spreads(rows) / np.sqrt(rows.shape[1])


def _means(table: Table, m: int, spec: MeasureSpec, batch: Batch, setting: Setting) -> None:
    rows = term_rows(spec, batch, level=setting.level)
    if not np.isfinite(rows).all():
        raise ArgumentError(f"{spec.name} overflows.")
    _put_all(table, (batch.ids, m), *means_of(rows))


def _quantiles(table: Table, m: int, spec: MeasureSpec, batch: Batch, setting: Setting) -> None:
    twin = _twin(spec)
    assert twin is not None
    q = _QUANTILES[spec.name.partition("_")[0]]
    rows = term_rows(twin, batch, level=setting.level)
    if not np.isfinite(rows).all():
        raise ArgumentError(f"{spec.name} overflows.")
    rng = bootstrap_stream(setting.seed, spec.name)
    _put_all(table, (batch.ids, m), *quantiles_of(rows, q, rng=rng))


def _put_all(table: Table, at: tuple[Any, int], value: Floats, mcse: Floats) -> None:
    """Write values whose interval is symmetric."""
    half = mcse * Z95
    table.value[at], table.mcse[at] = value, mcse
    table.low[at], table.high[at] = value - half, value + half


def _shares(table: Table, m: int, spec: MeasureSpec, batch: Batch, setting: Setting) -> None:
    counts = term_rows(spec, batch, level=setting.level).sum(axis=1).astype(np.int64)
    for count in np.unique(counts):
        found = share_of(int(count), batch.index.shape[1])
        table.put((batch.ids[counts == count], m), found)


# ---- the worst case ----------------------------------------------------------------------------


def count_failures(table: Table, specs: Sequence[MeasureSpec], *, n_ok: Any, n_failed: Any) -> None:
    """Replace shares by those over all replications, failures counted against the estimator."""
    for m, spec in enumerate(specs):
        if spec.failed_as is None:
            continue
        for g in np.flatnonzero(n_failed > 0):
            ok = int(n_ok[g])
            if ok and np.isnan(table.value[g, m]):
                continue
            found = Measure(float(table.value[g, m]), float(table.mcse[g, m]))
            worst = spec.worst_case(found, n_ok=ok, n_failed=int(n_failed[g]))
            if worst is not None:
                table.put((g, m), worst)
