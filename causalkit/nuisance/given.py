"""What users bring from elsewhere: explicit folds and nuisance predictions, checked and placed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice
from causalkit.nuisance.folds import ExternalFolds, FoldKeys
from causalkit.typing import Bools, Floats, Ints

BY_PERIOD = ("period", "time_block", "neighbors_left_out", "unit_time")
_FORM = "a list over repeats of lists of (train_rows, test_rows)"
_SHOWN = 5


def kept_together(rule: str | None, keys: FoldKeys) -> dict[str, Ints]:
    """Groups of rows, by name, that a split rule never has on both sides of a fold."""
    found: dict[str, Ints | None] = {}
    if rule in ("unit", "unit_time"):
        found["unit"] = keys.unit
    if rule == "unit":
        found["cluster"] = keys.cluster
    if rule in BY_PERIOD:
        found["period"] = keys.period
    return {name: codes for name, codes in found.items() if codes is not None}


def placed_folds(
    splits: Any,
    rows: Ints,
    together: Mapping[str, Ints],
    *,
    who: str,
    otherwise: str = "",
    n: int,
) -> ExternalFolds:
    """Explicit folds as positions in a sample that sorts or drops rows of the data.

    A repeat of one fold with every row on both sides means no cross-fitting, as ``n_folds=1``
    does. Rows outside the sample are left out, and so are folds that test no others.

    Parameters
    ----------
    splits : list over repeats of lists of (train_rows, test_rows)
        Row positions in the data.
    rows : (m,) int array
        Position in the data of each row of the sample.
    together : mapping of str to (m,) int array
        Groups of rows of the sample that may not be on both sides of a fold, by name.
    who : str
        Who keeps them together, for the error.
    otherwise : str
        What else than other folds would mend it, for the error.
    n : int
        Rows of the data.

    Raises
    ------
    ArgumentTypeError
        If the folds have another form.
    ArgumentError
        If a row is out of range, named twice, tested twice or never, or on both sides of a fold;
        if a fold does not train; or if rows of a group are on both sides. Rows are counted in the
        data.
    """
    place = np.full(n, -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    found = []
    for repeat, folds in enumerate(_as_list(splits, "folds")):
        kept, tests = [], []
        for fold, pair in enumerate(_as_list(folds, f"folds of repeat {repeat}")):
            where = f"fold {fold} of repeat {repeat}"
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ArgumentTypeError(f"{where} is {_shown(pair)}; give {_FORM}.")
            train, test = (
                _inside(_positions(side, name, n, where), place)
                for side, name in zip(pair, ("training", "test"), strict=True)
            )
            tests.append(test)
            # A fold may hold dropped rows only, such as the first period of first differences.
            if test.size == 0:
                continue
            if not (len(folds) == 1 and train.size == rows.size):
                _check_apart(train, test, rows, where)
                _check_groups(train, test, rows, together, where, who=who, otherwise=otherwise)
            if train.size == 0:
                raise ArgumentError(
                    f"{where} has no training row that the fit uses; give it some, or leave the "
                    "fold out and test its rows in another."
                )
            kept.append((train, test))
        _check_tested(tests, rows, repeat)
        found.append(kept)
    return found


def _shown(value: Any) -> str:
    """A value of any kind, short and on one line."""
    return " ".join(f"{value!r:.80}".split())


def _as_list(value: Any, what: str) -> Sequence[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence) or not value:
        raise ArgumentTypeError(f"{what} must be {_FORM}, got {_shown(value)}.")
    return value


def _positions(side: Any, name: str, n: int, where: str) -> Ints:
    index = np.asarray(side)
    if index.ndim == 1 and index.size == 0:
        return np.empty(0, dtype=np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise ArgumentTypeError(
            f"{where} must hold row positions (whole numbers), got {index.dtype} of shape "
            f"{index.shape}."
        )
    if not (index.min() >= 0 and index.max() < n):
        row = int(index.max() if index.max() >= n else index.min())
        raise ArgumentError(f"{where} names row {row}; the data have rows 0 to {n - 1}.")
    index = index.astype(np.int64)
    again = np.flatnonzero(np.bincount(index, minlength=n) > 1)
    if again.size:
        raise ArgumentError(
            f"{where} repeats {_listed(again)} in its {name} rows. Name each row once; how much a "
            "row counts is for the weights of the data to say."
        )
    return index


def _inside(positions: Ints, place: Ints) -> Ints:
    """Places in the sample of those rows of the data that are in it."""
    places = place[positions]
    return places[places >= 0]


def _listed(rows: Ints) -> str:
    """Rows in words: all, or the first few and how many more."""
    shown = [str(row) for row in rows[:_SHOWN]]
    more = rows.size - len(shown)
    last = f"{more} more" if more else shown.pop()
    return f"row {last}" if not shown else f"rows {', '.join(shown)} and {last}"


def _check_apart(train: Ints, test: Ints, rows: Ints, where: str) -> None:
    """Refuse rows on both sides, which would be predicted by a model that has seen them."""
    both = np.flatnonzero(_marked(train, rows.size) & _marked(test, rows.size))
    if both.size:
        raise ArgumentError(
            f"{where} has {_listed(np.sort(rows[both]))} both in training and in test. Take them "
            "out of one; one fold with every row on both sides means no cross-fitting."
        )


def _check_groups(
    train: Ints,
    test: Ints,
    rows: Ints,
    together: Mapping[str, Ints],
    where: str,
    *,
    who: str,
    otherwise: str,
) -> None:
    """Refuse groups with rows on both sides."""
    for name, codes in together.items():
        size = int(codes.max()) + 1
        torn = np.flatnonzero(_marked(codes[train], size) & _marked(codes[test], size))
        if torn.size:
            seen, unseen = (int(rows[side[codes[side] == torn[0]]].min()) for side in (train, test))
            count = f"a {name}" if torn.size == 1 else f"{torn.size} {name}s"
            raise ArgumentError(
                f"{who} keeps the rows of a {name} together, but {where} has {count} both in "
                f"training and in test (such as that of row {seen}, which trains, and row "
                f"{unseen}, which is tested). Group the folds by {name}{otherwise}."
            )


def _check_tested(tests: Sequence[Ints], rows: Ints, repeat: int) -> None:
    """Refuse rows that are predicted twice or never."""
    times = np.bincount(np.concatenate(tests), minlength=rows.size)
    again, never = (np.sort(rows[wrong]) for wrong in (times > 1, times == 0))
    if again.size:
        holders = [fold for fold, test in enumerate(tests) if (rows[test] == again[0]).any()]
        raise ArgumentError(
            f"repeat {repeat} tests {_listed(again)} more than once (row {again[0]} in folds "
            f"{holders[0]} and {holders[1]}). Test every row in one fold."
        )
    if never.size:
        raise ArgumentError(
            f"repeat {repeat} never tests {_listed(never)}, which leaves no prediction there. Test "
            "every row in one fold, or take these rows out of the data."
        )


def _marked(positions: Ints, size: int) -> Bools:
    """Mask ``(size,)`` of the positions that occur."""
    mask = np.zeros(size, dtype=bool)
    mask[positions] = True
    return mask


def placed_predictions(
    predictions: Any, rows: Ints, *, known: Sequence[str], n: int, n_rep: int
) -> dict[str, Floats]:
    """Given predictions, checked, in the order of the sample, one column for each repeat.

    Parameters
    ----------
    predictions : mapping of str to (n,) or (n, n_rep) array, or None
        In the data's row order.
    rows : (m,) int array
        Position in the data of each row of the sample.
    known : sequence of str
        Nuisances of the model.
    n : int
        Rows of the data.
    n_rep : int
        Repeats of the fit.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a name is unknown, or values are not finite numbers, one per row, in one column for all
        repeats or one for each.
    """
    if predictions is None:
        return {}
    if not isinstance(predictions, Mapping):
        raise ArgumentTypeError(
            f"predictions must map nuisances ({', '.join(known)}) to arrays, got "
            f"{type(predictions).__name__}."
        )
    used: Bools = np.zeros(n, dtype=bool)
    used[rows] = True
    found: dict[str, Floats] = {}
    for name, values in predictions.items():
        check_choice("nuisance in predictions", name, known)
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ArgumentTypeError(
                f"predictions for {name!r} hold {array.dtype} values; give numbers."
            )
        if array.shape[:1] != (n,):
            raise ArgumentError(
                f"predictions for {name!r} have {array.shape[0] if array.ndim else 0} rows; the "
                f"data have {n}."
            )
        table = array.reshape(n, -1).astype(np.float64)
        if table.shape[1] not in (1, n_rep):
            raise ArgumentError(
                f"the predictions for {name!r} have {table.shape[1]} columns, and the fit has "
                f"{n_rep} repeat(s); give one column for all repeats, or one for each."
            )
        bad = np.flatnonzero(used & ~np.isfinite(table).all(axis=1))
        if bad.size:
            raise ArgumentError(f"the prediction for {name!r} at row {bad[0]} is not finite.")
        found[name] = np.broadcast_to(table[rows], (rows.size, n_rep))
    return found
