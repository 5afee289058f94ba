"""Differences of each estimator from a reference one, replication by replication."""

from collections.abc import Sequence

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.metrics import MeasureSpec, relative_precision
from causalkit.metrics.measure import spread
from causalkit.study.evaluate import Setting, Table, empty_table, means_of, term_rows
from causalkit.study.grouped import Batch, Groups, paired_batches
from causalkit.study.truth_error import add_to_difference
from causalkit.typing import Bools, Floats, Ints

# A measure of two estimators; the reference one is A in `relative_precision(A, B)`.
PRECISION = MeasureSpec("relative_precision", ("error",), relative_precision, "ratio", target=None)


def precisions(groups: Groups, rows: Bools, *, reference: int) -> tuple[Table, Ints]:
    """Relative precision of each estimator against the reference, and the pairs that it rests on.

    Parameters
    ----------
    groups : Groups
        With ``estimate`` and ``truth``.
    rows : (N,) bool array
        Replications that succeeded; those that both have enter.
    reference : int
        Position of the reference estimator.
    """
    table, n = empty_table(groups.size, 1), np.zeros(groups.size, dtype=np.int64)
    table.reason[:, 0] = "no replication in common with the reference"
    for mine, its in paired_batches(groups, rows, reference):
        for i, g in enumerate(mine.ids):
            n[g] = mine.index.shape[1]
            own, other = (_error(batch.row(i, ("estimate", "truth"))) for batch in (mine, its))
            try:
                table.put((g, 0), relative_precision(other, own))
                table.reason[g, 0] = ""
            except ArgumentError as error:
                table.reason[g, 0] = str(error)
    return table, n


def _error(columns: dict[str, Floats]) -> Floats:
    return columns["estimate"] - columns["truth"]


def differences(
    groups: Groups,
    rows: Bools,
    specs: Sequence[MeasureSpec],
    *,
    reference: int,
    truth_mcse: Floats,
    worst: bool,
    setting: Setting,
) -> tuple[Floats, Floats]:
    """Paired difference of each measure from the reference estimator, and its MCSE.

    Of means over replications it is the mean of the differences; of spreads, roots and ratios the
    difference of the two, its MCSE by the delta method, sd(ψ_A − ψ_B)/√R with influence values ψ.

    Parameters
    ----------
    reference : int
        Position of the reference estimator.
    worst : bool
        Whether failures count as :attr:`MeasureSpec.failed_as` says.

    Returns
    -------
    difference, mcse : (G, M) arrays
        NaN for the reference itself, for quantiles, for shares of all planned replications, and
        where a measure has no value.
    """
    value = np.full((groups.size, len(specs)), np.nan)
    mcse = value.copy()
    some = [(m, s) for m, s in enumerate(specs) if s.term is not None and s.rows == "ok"]
    every = np.ones(rows.size, dtype=bool)
    with np.errstate(all="ignore"):
        for counted in (False, True):
            wanted = [(m, s) for m, s in some if (worst and s.failed_as is not None) == counted]
            chosen = every if counted else rows
            for mine, its in paired_batches(groups, chosen, reference) if wanted else ():
                for m, spec in wanted:
                    at = (mine.ids, m)
                    pair = (
                        _terms(spec, mine, groups.ok, setting),
                        _terms(spec, its, groups.ok, setting),
                    )
                    value[at], mcse[at] = means_of(pair[0] - pair[1])
                    add_to_difference(
                        mcse,
                        m,
                        spec,
                        (mine, its),
                        ok=groups.ok,
                        truth_mcse=truth_mcse,
                        setting=setting,
                    )
        smooth = [(m, s) for m, s in enumerate(specs) if s.influence is not None]
        for both in paired_batches(groups, rows, reference) if smooth else ():
            for m, spec in smooth:
                at = (both[0].ids, m)
                value[at], mcse[at] = _apart(spec, both, setting)
                add_to_difference(
                    mcse, m, spec, both, ok=groups.ok, truth_mcse=truth_mcse, setting=setting
                )
    return value, mcse


def _apart(spec: MeasureSpec, pair: tuple[Batch, Batch], setting: Setting) -> tuple[Floats, Floats]:
    """Difference of a measure that is no mean, and its MCSE, of each group ``(g,)``."""
    found = np.full((2, pair[0].ids.size), np.nan)
    for i in range(pair[0].ids.size):
        mine, its = (batch.row(i, spec.needs) for batch in pair)
        try:
            values = [spec.function(x, level=setting.level).value for x in (mine, its)]
            gap = spec.influences(mine) - spec.influences(its)
        except ArgumentError:
            continue
        if all(np.array_equal(mine[name], its[name]) for name in spec.needs):
            gap = np.zeros(gap.size)  # also where two replications tell no error of a spread
        found[:, i] = values[0] - values[1], spread(gap) / np.sqrt(gap.size)
    return found[0], found[1]


def _terms(spec: MeasureSpec, batch: Batch, ok: Bools, setting: Setting) -> Floats:
    """Contributions, ``(g, R)``: NaN for groups that the measure refuses, failures as counted."""
    good = ok[batch.index]
    if good.all() and batch.index.shape[1]:
        clean = batch.usable(spec.needs)
        try:
            if clean.all():
                return term_rows(spec, batch, level=setting.level)
        except ArgumentError:
            pass
    terms = np.full(batch.index.shape, np.nan if spec.failed_as is None else spec.failed_as)
    for i in range(batch.ids.size):
        columns = {name: x[good[i]] for name, x in batch.row(i, spec.needs).items()}
        try:
            own = spec.terms(columns, level=setting.level)
            terms[i, good[i]] = own
        except ArgumentError:
            terms[i] = np.nan
    return terms
