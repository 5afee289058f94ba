"""What users bring from elsewhere: explicit folds and nuisance predictions, checked and placed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice
from causalkit.nuisance.folds import ExternalFolds, FoldKeys
from causalkit.typing import Bools, Floats, Ints

_BY_PERIOD = ("period", "time_block", "neighbors_left_out", "unit_time")
_FORM = "a list over repeats of lists of (train_rows, test_rows)"


def placed_folds(
    splits: Any, rows: Ints, keys: FoldKeys, *, rule: str | None, n: int
) -> ExternalFolds:
    """Explicit folds as positions in a sample that sorts or drops rows of the data.

    Parameters
    ----------
    splits : list over repeats of lists of (train_rows, test_rows)
        Row positions in the data.
    rows : (m,) int array
        Position in the data of each row of the sample.
    keys : FoldKeys
        Unit and period of each row of the sample.
    rule : str or None
        Name of the split that the folds must obey.
    n : int
        Rows of the data.

    Raises
    ------
    ArgumentTypeError
        If the folds have another form.
    ArgumentError
        If a row is out of range, tested twice or never, in training and test at once, or the
        folds break the rule; rows are counted in the data.
    """
    place = np.full(n, -1, dtype=np.int64)
    place[rows] = np.arange(rows.size)
    found = []
    for repeat, folds in enumerate(_as_list(splits, "folds")):
        tested = np.zeros(n, dtype=np.int64)
        kept = []
        for fold, pair in enumerate(_as_list(folds, f"folds of repeat {repeat}")):
            where = f"fold {fold} of repeat {repeat}"
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ArgumentTypeError(f"{where} is {pair!r}; give {_FORM}.")
            train, test = (_positions(side, n, where) for side in pair)
            _check_apart(train, test, rows, keys, place, rule=rule, where=where)
            tested += np.bincount(test, minlength=n)
            inside = place[test][place[test] >= 0]
            # A fold may hold dropped rows only, such as the first period of first differences.
            if inside.size:
                kept.append((place[train][place[train] >= 0], inside))
        wrong = np.flatnonzero((place >= 0) & (tested != 1))
        if wrong.size:
            raise ArgumentError(
                f"row {wrong[0]} is in {tested[wrong[0]]} test sets of repeat {repeat}; every row "
                "belongs to exactly one."
            )
        found.append(kept)
    return found


def _as_list(value: Any, what: str) -> Sequence[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence) or not value:
        raise ArgumentTypeError(f"{what} must be {_FORM}, got {value!r:.80}.")
    return value


def _positions(rows: Any, n: int, where: str) -> Ints:
    index = np.asarray(rows)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise ArgumentTypeError(
            f"{where} must hold row positions (whole numbers), got {index.dtype} of shape "
            f"{index.shape}."
        )
    if index.size and not (index.min() >= 0 and index.max() < n):
        row = int(index.max() if index.max() >= n else index.min())
        raise ArgumentError(f"{where} names row {row}; the data have rows 0 to {n - 1}.")
    return index.astype(np.int64)


def _check_apart(
    train: Ints,
    test: Ints,
    rows: Ints,
    keys: FoldKeys,
    place: Ints,
    *,
    rule: str | None,
    where: str,
) -> None:
    """Refuse rows on both sides, and units or periods on both sides where the rule forbids it."""
    # Without cross-fitting (one fold, the same rows on both sides) nothing is held apart.
    if train.size == test.size == place.size:
        return
    both = np.flatnonzero(_marked(train, place.size) & _marked(test, place.size))
    if both.size:
        raise ArgumentError(f"{where} has row {both[0]} both in training and in test.")
    together: dict[str, Ints | None] = {}
    if rule in ("unit", "unit_time"):
        together["unit"] = keys.unit
    if rule in _BY_PERIOD:
        together["period"] = keys.period
    for name, codes in together.items():
        if codes is None:
            continue
        size = int(codes.max()) + 1
        inside = (place[side] for side in (train, test))
        first, second = (_marked(codes[side[side >= 0]], size) for side in inside)
        torn = np.flatnonzero(first & second)
        if torn.size:
            row = int(rows[np.flatnonzero(codes == torn[0])[0]])
            raise ArgumentError(
                f'split="{rule}" keeps the rows of a {name} together, but the given folds split '
                f"{torn.size} {name}s (in {where}; the first is the {name} of row {row}). Group "
                f'the folds by {name}, or set split="observation".'
            )


def _marked(positions: Ints, size: int) -> Bools:
    """Mask ``(size,)`` of the positions that occur."""
    mask = np.zeros(size, dtype=bool)
    mask[positions] = True
    return mask


def placed_predictions(
    predictions: Any, rows: Ints, *, known: Sequence[str], n: int
) -> dict[str, Floats]:
    """Given predictions, checked, in the order of the sample.

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

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a name is unknown, or values are not finite numbers, one per row.
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
        bad = np.flatnonzero(used & ~np.isfinite(table).all(axis=1))
        if bad.size:
            raise ArgumentError(f"the prediction for {name!r} at row {bad[0]} is not finite.")
        found[name] = table[rows]
    return found
