"""Sample splits: which rows train and which rows test, for every rule."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.rng import stream
from causalkit.typing import Bools, Floats, Ints

N_INNER = 5


@dataclass(frozen=True, slots=True)
class FoldKeys:
    """What a split rule may look at: never an outcome, a treatment or a covariate.

    Attributes
    ----------
    n : int
        Rows.
    unit : (n,) int array or None
        Unit of each row, coded 0..N-1 by sorted label.
    period : (n,) int array or None
        Calendar position of each row.
    cluster : (n,) int array or None
        Coarser groups that must not be torn apart by ``"unit"`` splits (units nest in them).
    """

    n: int
    unit: Ints | None = None
    period: Ints | None = None
    cluster: Ints | None = None


@dataclass(frozen=True, slots=True)
class Folds:
    """Splits of ``n`` rows, for every repeat.

    Rows carry a block; a fold trains on some blocks and tests on others. Training is not always
    the complement of testing (neighbours left out, unit x period cells), so iterate over
    :meth:`splits` rather than computing complements. Blocks also let sums over training rows be
    sums over blocks.

    Attributes
    ----------
    block : (n_rep, n) int array
        Block of each row.
    train, test : (n_folds, n_blocks) bool arrays, one per repeat
        Blocks in each fold's training and test set.
    inner : (n_rep, n) int array
        Inner fold of each row, for tuning: grouped like the outer split.
    rule : str
        Name of the split rule.
    """

    block: Ints
    train: tuple[Bools, ...]
    test: tuple[Bools, ...]
    inner: Ints
    rule: str

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.block.shape[1])

    @property
    def n_rep(self) -> int:
        """Number of repeats."""
        return int(self.block.shape[0])

    @property
    def n_folds(self) -> int:
        """Number of folds in the first repeat."""
        return int(self.test[0].shape[0])

    def splits(self, repeat: int) -> Iterator[tuple[Ints, Ints]]:
        """Training and test rows of every fold of a repeat."""
        block = self.block[repeat]
        for train, test in zip(self.train[repeat], self.test[repeat], strict=True):
            yield np.flatnonzero(train[block]), np.flatnonzero(test[block])

    def split(self, repeat: int, fold: int) -> tuple[Ints, Ints]:
        """Training and test rows of one fold."""
        block = self.block[repeat]
        train, test = self.train[repeat][fold], self.test[repeat][fold]
        return np.flatnonzero(train[block]), np.flatnonzero(test[block])

    def test_sets(self) -> list[list[Ints]]:
        """Test rows of every fold, for every repeat."""
        return [[test for _, test in self.splits(r)] for r in range(self.n_rep)]

    def fold_ids(self) -> Ints:
        """Fold that tests each row, ``(n_rep, n)``."""
        ids = [self.test[r].argmax(axis=0)[self.block[r]] for r in range(self.n_rep)]
        return np.asarray(ids, dtype=np.int64)

    def repeat(self, repeat: int) -> "Folds":
        """One repeat, as folds of its own."""
        rows = slice(repeat, repeat + 1)
        return Folds(
            self.block[rows], self.train[rows], self.test[rows], self.inner[rows], self.rule
        )


def _deal(groups: Ints, n_parts: int, rng: np.random.Generator) -> Ints:
    """Deal groups 0..G-1 into parts of near-equal group counts; part of each row."""
    n_groups = int(groups.max()) + 1
    part_of_group = np.empty(n_groups, dtype=np.int64)
    part_of_group[rng.permutation(n_groups)] = np.arange(n_groups) % n_parts
    return part_of_group[groups]


def _need(keys: Ints | None, what: str, rule: str) -> Ints:
    if keys is None:
        raise ArgumentError(
            f'split="{rule}" needs a {what} for every row. Name it when building the data: '
            f'CausalData.from_frame(..., {what}="...").'
        )
    return np.unique(keys, return_inverse=True)[1]


def _enough(n_groups: int, n_folds: int, what: str) -> None:
    if n_folds > n_groups == 1:
        raise ArgumentError(
            f"all rows are of one {what.removesuffix('s')}, which cannot be split into folds; "
            "check the column, or name a finer one."
        )
    if n_folds > n_groups:
        raise ArgumentError(
            f"n_folds={n_folds} is more than the number of {what} ({n_groups}). "
            f"Use n_folds={n_groups} or fewer."
        )


_Blocks = tuple[Ints, Bools, Bools, Ints]


def _complement(block: Ints, inner: Ints, n_folds: int) -> _Blocks:
    test = np.eye(n_folds, dtype=bool)
    return block, ~test, test, inner


def _by_unit(keys: FoldKeys, n_folds: int, rng: np.random.Generator) -> _Blocks:
    groups = _need(keys.unit if keys.cluster is None else keys.cluster, "unit", "unit")
    _enough(int(groups.max()) + 1, n_folds, "units" if keys.cluster is None else "clusters")
    return _complement(_deal(groups, n_folds, rng), _deal(groups, N_INNER, rng), n_folds)


def _by_observation(keys: FoldKeys, n_folds: int, rng: np.random.Generator) -> _Blocks:
    _enough(keys.n, n_folds, "rows")
    order = np.arange(keys.n)
    if keys.unit is not None and keys.period is not None:
        # Rows are dealt in (unit, period) order, so shuffling the input changes no fold.
        order = np.lexsort((keys.period, keys.unit))
    rank = np.empty(keys.n, dtype=np.int64)
    rank[order] = np.arange(keys.n)
    return _complement(_deal(rank, n_folds, rng), _deal(rank, N_INNER, rng), n_folds)


def _by_period(keys: FoldKeys, n_folds: int, rng: np.random.Generator) -> _Blocks:
    periods = _need(keys.period, "time", "period")
    _enough(int(periods.max()) + 1, n_folds, "periods")
    return _complement(_deal(periods, n_folds, rng), _deal(periods, N_INNER, rng), n_folds)


def _time_blocks(keys: FoldKeys, n_folds: int, rule: str) -> tuple[Ints, Ints]:
    periods = _need(keys.period, "time", rule)
    n_periods = int(periods.max()) + 1
    _enough(n_periods, n_folds, "periods")
    block = periods * n_folds // n_periods
    # Adjacent periods stay together in tuning too: inner folds are stretches of a block.
    first = np.full(n_folds, n_periods)
    np.minimum.at(first, block, periods)
    length = np.bincount(np.unique(periods) * n_folds // n_periods, minlength=n_folds)[block]
    stretch = (periods - first[block]) * np.minimum(length, N_INNER) // length
    return block, (stretch + block) % N_INNER


def _by_time_block(keys: FoldKeys, n_folds: int, _rng: np.random.Generator) -> _Blocks:
    block, inner = _time_blocks(keys, n_folds, "time_block")
    return _complement(block, inner, n_folds)


def _neighbors_left_out(keys: FoldKeys, n_folds: int, _rng: np.random.Generator) -> _Blocks:
    if n_folds < 4:
        raise ArgumentError(
            f'split="neighbors_left_out" trains on all time blocks except the test block and its '
            f"two neighbours, so it needs n_folds of at least 4 (10 is usual), got {n_folds}."
        )
    block, inner = _time_blocks(keys, n_folds, "neighbors_left_out")
    position = np.arange(n_folds)
    train = np.abs(position[:, None] - position[None, :]) > 1
    return block, train, np.eye(n_folds, dtype=bool), inner


def _unit_time(keys: FoldKeys, n_folds: int, rng: np.random.Generator) -> _Blocks:
    unit = _need(keys.unit, "unit", "unit_time")
    periods = _need(keys.period, "time", "unit_time")
    _enough(int(unit.max()) + 1, n_folds, "units")
    _enough(int(periods.max()) + 1, n_folds, "periods")
    block = _deal(unit, n_folds, rng) * n_folds + _deal(periods, n_folds, rng)
    cell_unit, cell_time = np.divmod(np.arange(n_folds**2), n_folds)
    train = (cell_unit[:, None] != cell_unit) & (cell_time[:, None] != cell_time)
    return block, train, np.eye(n_folds**2, dtype=bool), _deal(unit, N_INNER, rng)


SPLITS: dict[str, Callable[[FoldKeys, int, np.random.Generator], _Blocks]] = {
    "unit": _by_unit,
    "observation": _by_observation,
    "period": _by_period,
    "time_block": _by_time_block,
    "neighbors_left_out": _neighbors_left_out,
    "unit_time": _unit_time,
}


def draw_folds(keys: FoldKeys, *, rule: str, n_folds: int, n_rep: int = 1, seed: int = 0) -> Folds:
    """Draw sample splits by a named rule.

    Parameters
    ----------
    keys : FoldKeys
        Unit and period of each row. Only their values matter, not the order of the rows.
    rule : str
        ``"unit"`` (all rows of a unit together), ``"observation"``, ``"period"``,
        ``"time_block"`` (adjacent periods), ``"neighbors_left_out"`` (Semenova et al. 2023) or
        ``"unit_time"`` (both the unit and the period unseen; Chiang et al. 2022).
    n_folds : int
        Folds; 1 means no cross-fitting (every row trains and is predicted). ``"unit_time"``
        makes ``n_folds**2`` cells.
    n_rep : int
        Repeats with fresh splits. The time-block rules are deterministic and repeat themselves.
    seed : int
        Seed of the random streams.

    Raises
    ------
    ArgumentError
        If the rule is unknown, a key it needs is absent, or there are fewer groups than folds.
    """
    check_choice("split", rule, SPLITS)
    check_count("n_folds", n_folds, least=1)
    check_count("n_rep", n_rep, least=1)
    if n_folds == 1:
        return _no_split(keys, rule=rule, n_rep=n_rep, seed=seed)
    drawn = [SPLITS[rule](keys, n_folds, stream(seed, "fold", r)) for r in range(n_rep)]
    inner = [
        _tunable(block, train, inner, keys, stream(seed, "inner", r))
        for r, (block, train, _, inner) in enumerate(drawn)
    ]
    return Folds(
        block=np.stack([block for block, _, _, _ in drawn]),
        train=tuple(train for _, train, _, _ in drawn),
        test=tuple(test for _, _, test, _ in drawn),
        inner=np.stack(inner),
        rule=rule,
    )


def _tunable(
    block: Ints, train: Bools, inner: Ints, keys: FoldKeys, rng: np.random.Generator
) -> Ints:
    """Inner folds of which every training set holds at least two, so that tuning can compare.

    Where the rule's own grouping leaves one, as with a training set of a single time block, inner
    folds go by unit, and where that leaves one, by row.
    """
    coarse = (
        np.arange(keys.n) if keys.unit is None else np.unique(keys.unit, return_inverse=True)[1]
    )
    for groups in (None, coarse, np.arange(keys.n)):
        found = inner if groups is None else _deal(groups, N_INNER, rng)
        present = np.zeros((train.shape[1], N_INNER), dtype=np.int64)
        present[block, found] = 1
        if ((train.astype(np.int64) @ present > 0).sum(axis=1) >= 2).all():
            return found
    return inner


def _no_split(keys: FoldKeys, *, rule: str, n_rep: int, seed: int) -> Folds:
    """Every row trains and is predicted; inner folds still follow the rule's grouping."""
    group = keys.unit if rule in ("unit", "unit_time") and keys.unit is not None else None
    rows = np.arange(keys.n) if group is None else np.unique(group, return_inverse=True)[1]
    every = np.ones((1, 1), dtype=bool)
    return Folds(
        block=np.zeros((n_rep, keys.n), dtype=np.int64),
        train=(every,) * n_rep,
        test=(every,) * n_rep,
        inner=np.stack([_deal(rows, N_INNER, stream(seed, "fold", r)) for r in range(n_rep)]),
        rule=rule,
    )


ExternalFolds = Sequence[Sequence[tuple[Ints, Ints]]]


def external_folds(splits: ExternalFolds, keys: FoldKeys, *, seed: int = 0) -> Folds:
    """Folds from explicit index arrays.

    Parameters
    ----------
    splits : list over repeats of lists of (train_rows, test_rows)
        Row positions. Every row must be tested exactly once in each repeat. One fold with every
        row on both sides means no cross-fitting.
    keys : FoldKeys
        Units, for the grouping of inner folds.
    seed : int
        Seed of the inner folds.

    Raises
    ------
    ArgumentError
        If the structure is wrong, or a row is out of range, tested twice or never, or on both
        sides of a fold.
    """
    if len(splits) == 0 or any(len(folds) == 0 for folds in splits):
        raise ArgumentError(
            "explicit folds must be a list over repeats of lists of (train_rows, test_rows), "
            "with at least one repeat and one fold."
        )
    blocks, trains, tests = [], [], []
    for repeat, folds in enumerate(splits):
        train = _membership([pair[0] for pair in folds], keys.n, repeat)
        test = _membership([pair[1] for pair in folds], keys.n, repeat)
        _check_external(train, test, repeat)
        # Rows with the same membership in every fold form a block.
        patterns, block = _patterns(np.vstack([train, test]))
        blocks.append(block)
        trains.append(patterns[: len(folds)])
        tests.append(patterns[len(folds) :])
    groups = np.arange(keys.n) if keys.unit is None else keys.unit
    inner = [
        _tunable(
            blocks[r],
            trains[r],
            _deal(groups, N_INNER, stream(seed, "fold", r)),
            keys,
            stream(seed, "inner", r),
        )
        for r in range(len(splits))
    ]
    return Folds(np.stack(blocks), tuple(trains), tuple(tests), np.stack(inner), rule="explicit")


def _patterns(columns: Bools) -> tuple[Bools, Ints]:
    """Distinct columns of a ``(k, n)`` table, and which of them each column is.

    Hashing by bytes: sorting ten million columns would cost more than fitting the nuisances.
    """
    code: Ints = np.zeros(columns.shape[1], dtype=np.int64)
    for byte in np.packbits(columns, axis=0):
        code = pd.factorize(code * 256 + byte)[0]
    first = np.empty(int(code.max(initial=-1)) + 1, dtype=np.int64)
    first[code[::-1]] = np.arange(code.size)[::-1]
    return columns[:, first], code


def _membership(sets: Sequence[Ints], n: int, repeat: int) -> Bools:
    member = np.zeros((len(sets), n), dtype=bool)
    for fold, rows in enumerate(sets):
        index = np.asarray(rows)
        if index.size == 0 or index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= n:
            raise ArgumentError(
                f"fold {fold} of repeat {repeat} must hold row positions between 0 and {n - 1}; "
                "got none, non-integers, or positions outside the data."
            )
        member[fold, index] = True
    return member


def _check_external(train: Bools, test: Bools, repeat: int) -> None:
    times = test.sum(axis=0)
    if (times != 1).any():
        row = int(np.flatnonzero(times != 1)[0])
        raise ArgumentError(
            f"row {row} is tested {int(times[row])} times in repeat {repeat} of the explicit "
            "folds; every row must be tested exactly once."
        )
    if not (test.shape[0] == 1 and train.all()) and (train & test).any():
        fold, row = (int(i) for i in np.argwhere(train & test)[0])
        raise ArgumentError(
            f"row {row} both trains and is tested in fold {fold} of repeat {repeat}; "
            "remove it from one of the two."
        )


def units_torn_apart(folds: Folds, unit: Ints) -> Ints:
    """Units whose rows are tested in more than one fold of some repeat."""
    torn: Floats = np.zeros(int(unit.max()) + 1)
    for ids in folds.fold_ids():
        low = np.full(torn.size, ids.max() + 1)
        high = np.full(torn.size, -1)
        np.minimum.at(low, unit, ids)
        np.maximum.at(high, unit, ids)
        torn += high > low
    return np.flatnonzero(torn)
