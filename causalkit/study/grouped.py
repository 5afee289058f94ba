"""Records sorted once and cut into groups of one cell, one estimator and one estimand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.typing import Bools, Ints

Analysis = Literal["complete", "pairwise", "worst"]
ANALYSES: tuple[Analysis, ...] = get_args(Analysis)

# Numbers of one column that are worked on at a time: few enough to stay in the processor's cache.
_CHUNK = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Records in the order of cell, estimator, estimand and replication.

    Attributes
    ----------
    cell, estimator, estimand : (G,) int arrays
        Position in the table of cells, in that of estimators, and in ``estimands``.
    estimands : (K,) array of str
        In alphabetical order.
    starts : (G + 1,) int array
        Group g is rows ``starts[g]`` to ``starts[g + 1] - 1``.
    group, rep : (N,) int arrays
        Of each row.
    ok : (N,) bool array
        Whether the replication succeeded.
    columns : mapping of str to (N,) array
        The columns asked for, as far as the records have them.
    """

    cell: Ints
    estimator: Ints
    estimand: Ints
    estimands: Any
    starts: Ints
    group: Ints
    rep: Ints
    ok: Bools
    columns: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Number of groups, G."""
        return self.cell.size

    def count(self, rows: Bools) -> Ints:
        """Chosen rows in each group, ``(G,)``."""
        return np.bincount(self.group[rows], minlength=self.size)


def group_records(
    records: pd.DataFrame,
    *,
    cells: Iterable[str],
    estimators: Iterable[str],
    columns: Iterable[str],
) -> Groups:
    """Sort records and cut them into groups; the order of the rows does not matter.

    A fit that failed is a failure of every estimand which the estimator reports in that cell; if
    it has reported none, of those that its failures name, or that other estimators report.

    Parameters
    ----------
    records : DataFrame
        With ``cell_id``, ``est_id``, ``estimand``, ``rep`` and ``status``.
    cells, estimators : iterable of str
        Ids, in the order that the groups shall have.
    columns : iterable of str
        Columns to keep; absent ones are left to the measures to complain about.

    Raises
    ------
    ArgumentError
        If an id is unknown, or a replication is there twice.
    """
    estimators = list(estimators)
    cell = _positions(records, "cell_id", list(cells))
    pair = cell * max(len(estimators), 1) + _positions(records, "est_id", estimators)
    estimand, names = pd.factorize(records["estimand"].to_numpy(dtype=object), sort=True)
    rep = records["rep"].to_numpy(dtype=np.int64)
    ok = (records["status"] == "ok").to_numpy(dtype=bool)
    blank = (records["estimand"] == "").to_numpy(dtype=bool)
    row, estimand = _spread_failures(cell, pair, estimand.astype(np.int64), rep, ok, blank)
    key = pair[row] * max(len(names), 1) + estimand
    order = np.lexsort((rep[row], key))
    row, key = row[order], key[order]
    keys, group = np.unique(key, return_inverse=True)
    pairs = keys // max(len(names), 1)
    groups = Groups(
        cell=pairs // max(len(estimators), 1),
        estimator=pairs % max(len(estimators), 1),
        estimand=keys % max(len(names), 1),
        estimands=np.asarray(names, dtype=object),
        starts=np.concatenate([[0], np.cumsum(np.bincount(group, minlength=keys.size))]),
        group=group.astype(np.int64),
        rep=rep[row],
        ok=ok[row],
        columns={
            name: records[name].to_numpy()[row]
            for name in dict.fromkeys(columns)
            if name in records.columns
        },
    )
    _check_once(groups, records, row)
    return groups


def _positions(records: pd.DataFrame, column: str, known: list[str]) -> Ints:
    """Position of each record's id in the table of ids."""
    codes, ids = pd.factorize(records[column].to_numpy(dtype=object))
    place = {name: position for position, name in enumerate(known)}
    strange = [str(name) for name in ids if name not in place]
    if strange:
        raise ArgumentError(
            f"{column} {', '.join(strange[:3])} of the records is not in the table of results; "
            "pass results that were read together, as Study.results() returns them."
        )
    return np.array([place[name] for name in ids], dtype=np.int64)[codes]


def _spread_failures(
    cell: Ints, pair: Ints, estimand: Ints, rep: Ints, ok: Bools, blank: Bools
) -> tuple[Ints, Ints]:
    """Rows and their estimands; a fit that failed stands once for each that its pair reports."""
    row = np.arange(pair.size)
    failed = np.flatnonzero(~ok)
    if not failed.size:
        return row, estimand
    fit = pair * (int(rep.max()) + 1) + rep
    partly = np.isin(fit[failed], fit[ok])
    _check_failures(fit[failed], estimand[failed], partly & blank[failed])
    failed = failed[~partly]
    whole = np.zeros(pair.size, dtype=bool)
    whole[failed] = True
    told = pd.DataFrame({"cell": cell, "pair": pair, "estimand": estimand})
    told["rank"] = np.where(~whole, 0, np.where(blank, 2, 1))
    once = failed[np.unique(fit[failed], return_index=True)[1]]
    lost = pd.DataFrame({"pair": pair[once], "row": once}).merge(_reported(told), on="pair")
    kept = row[~whole]
    rows = np.concatenate([kept, lost["row"].to_numpy(dtype=np.int64)])
    return rows, np.concatenate([estimand[kept], lost["estimand"].to_numpy(dtype=np.int64)])


def _check_failures(fit: Ints, estimand: Ints, beside: Bools) -> None:
    """Raise if a fit failed twice for an estimand, or altogether (``beside``) where it did not."""
    _, times = np.unique(np.stack([fit, estimand]), axis=1, return_counts=True)
    extra = int((times - 1).sum() + beside.sum())
    if extra:
        raise ArgumentError(
            f"{extra} failures are there more than once, or beside an estimate of the same "
            "replication; drop the duplicates, or the counts would be wrong."
        )


def _reported(told: pd.DataFrame) -> pd.DataFrame:
    """Estimands of each pair of cell and estimator, best known first.

    Those that it reports; or else those that its failures name; or else those of the others there.
    """
    told = told.drop_duplicates()
    told = told[told["rank"] == told.groupby("pair")["rank"].transform("min")]
    bare = told["rank"] == 2
    known = told.loc[~bare, ["cell", "estimand"]].drop_duplicates()
    filled = told[bare].merge(known, on="cell", how="left", suffixes=("_bare", ""))
    if len(filled):
        filled["estimand"] = filled["estimand"].fillna(filled["estimand_bare"]).astype(np.int64)
    return pd.concat([told[~bare], filled])[["pair", "estimand"]].drop_duplicates()


def _check_once(groups: Groups, records: pd.DataFrame, row: Ints) -> None:
    """Raise if a replication of a group is there twice."""
    twice = (np.diff(groups.group) == 0) & (np.diff(groups.rep) == 0)
    if twice.any():
        told = records.iloc[row[int(np.flatnonzero(twice)[0])]]
        raise ArgumentError(
            f"{int(twice.sum())} replications are there more than once (first: cell_id "
            f"{told['cell_id']}, est_id {told['est_id']}, estimand {told['estimand']!r}, rep "
            f"{told['rep']}); drop the duplicates, or the counts would be wrong."
        )


def usable(groups: Groups, analysis: Analysis) -> Bools:
    """Rows that the measures are computed from, ``(N,)``.

    All that succeeded; in the pairwise analysis only where every estimator of that cell and
    estimand did.
    """
    if analysis != "pairwise" or groups.size == 0:
        return groups.ok
    kind = groups.cell * max(len(groups.estimands), 1) + groups.estimand
    kinds, which = np.unique(kind, return_inverse=True)
    compared = np.bincount(which, minlength=kinds.size)
    shared = which[groups.group]
    span = int(groups.rep.max()) + 1
    place = shared * span + groups.rep
    seen, back, times = np.unique(place[groups.ok], return_inverse=True, return_counts=True)
    rows = groups.ok.copy()
    rows[groups.ok] = times[back] == compared[seen[back] // span]
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Groups with equally many rows, so that columns are matrices with one group per row.

    Attributes
    ----------
    ids : (g,) int array
        Groups.
    index : (g, R) int array
        Rows of each group in the sorted records.
    columns : mapping of str to (N,) array
        Of the sorted records.
    """

    ids: Ints
    index: Ints
    columns: Mapping[str, Any]
    _cut: dict[str, Any] = field(default_factory=dict)

    def matrix(self, name: str) -> Any:
        """A column as ``(g, R)`` matrix."""
        if name not in self._cut:
            self._cut[name] = self.columns[name][self.index]
        return self._cut[name]

    def flat(self, names: Iterable[str]) -> dict[str, Any]:
        """Columns of all groups, one after the other."""
        return {name: self.matrix(name).ravel() for name in names if name in self.columns}

    def row(self, position: int, names: Iterable[str]) -> dict[str, Any]:
        """Columns of one group."""
        return {name: self.matrix(name)[position] for name in names if name in self.columns}

    def usable(self, names: Iterable[str]) -> Bools:
        """Groups whose columns hold finite numbers only, ``(g,)``."""
        good = np.ones(self.ids.size, dtype=bool)
        for name in names:
            if name not in self.columns or self.columns[name].dtype.kind not in "fiub":
                return np.zeros(self.ids.size, dtype=bool)
            good &= np.isfinite(self.matrix(name)).all(axis=1)
        return good

    def lacking(self, names: Iterable[str]) -> Any:
        """First of the columns that holds nothing but NaN, for each group; ``""`` if none does."""
        found = np.full(self.ids.size, "", dtype=object)
        for name in names:
            column = self.columns.get(name)
            if column is not None and column.dtype.kind == "f" and self.index.shape[1]:
                found[np.isnan(self.matrix(name)).all(axis=1) & (found == "")] = name
        return found

    def of(self, chosen: Bools) -> "Batch":
        """Some of the groups."""
        if chosen.all():
            return self
        return replace(self, ids=self.ids[chosen], index=self.index[chosen], _cut={})


def batches(groups: Groups, rows: Bools) -> Iterator[Batch]:
    """Chosen rows of all groups, in batches of groups with equally many of them."""
    positions = np.flatnonzero(rows)
    counts = groups.count(rows)
    offsets = np.cumsum(counts) - counts
    for size in np.unique(counts):
        ids = np.flatnonzero(counts == size)
        step = max(1, _CHUNK // max(int(size), 1))
        for begin in range(0, ids.size, step):
            chunk = ids[begin : begin + step]
            yield Batch(chunk, positions[offsets[chunk][:, None] + np.arange(size)], groups.columns)


def paired_batches(groups: Groups, rows: Bools, reference: int) -> Iterator[tuple[Batch, Batch]]:
    """Each group beside that of the reference estimator, in the replications that both have.

    Parameters
    ----------
    groups : Groups
    rows : (N,) bool array
        Rows that may be used.
    reference : int
        Position of the reference estimator. Its own groups are left out, and so are those of
        cells and estimands that it lacks.
    """
    positions = np.flatnonzero(rows)
    ends = np.cumsum(groups.count(rows))
    place = {
        key: g
        for g, key in enumerate(zip(groups.cell, groups.estimand, strict=True))
        if groups.estimator[g] == reference
    }
    found: dict[int, list[tuple[int, Ints, Ints]]] = {}
    for g, key in enumerate(zip(groups.cell, groups.estimand, strict=True)):
        other = place.get(key)
        if other is None or other == g:
            continue
        mine = positions[ends[g - 1] if g else 0 : ends[g]]
        its = positions[ends[other - 1] if other else 0 : ends[other]]
        if not np.array_equal(groups.rep[mine], groups.rep[its]):
            _, a, b = np.intersect1d(
                groups.rep[mine], groups.rep[its], assume_unique=True, return_indices=True
            )
            mine, its = mine[a], its[b]
        found.setdefault(mine.size, []).append((g, mine, its))
    for size, pairs in found.items():
        step = max(1, _CHUNK // max(size, 1))
        for begin in range(0, len(pairs), step):
            ids, left, right = zip(*pairs[begin : begin + step], strict=True)
            yield (
                Batch(np.array(ids), np.array(left), groups.columns),
                Batch(np.array(ids), np.array(right), groups.columns),
            )
