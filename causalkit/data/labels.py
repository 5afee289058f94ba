"""Dense codes of identifiers, in the order of their labels and whatever their type."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.calendar import whole_numbers
from causalkit.typing import Ints


def sorted_codes(labels: "pd.Series[Any]") -> tuple[Ints, Any]:
    """Codes 0..G-1 of labels and the labels by code.

    Codes follow the sorted labels, so they depend neither on the order of rows nor on whether a
    label is the number 7 or the text ``"7"``. An ordered category keeps its own order.

    Parameters
    ----------
    labels : (n,) Series
        Any hashable values.

    Returns
    -------
    codes : (n,) int array
        -1 where the label is missing.
    levels : (G,) array

    Examples
    --------
    >>> sorted_codes(pd.Series(["10", "9", "10"]))[0].tolist()
    [1, 0, 1]
    """
    dense = _dense_integers(labels)
    if dense is not None:
        return dense
    raw, found = pd.factorize(labels)
    levels = pd.Series(found).reset_index(drop=True)
    if isinstance(levels.dtype, pd.CategoricalDtype) and not levels.dtype.ordered:
        levels = levels.astype(levels.dtype.categories.dtype)
    order = _order(levels)
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = -1  # where factorize says -1, for missing
    return rank[raw], np.asarray(levels.iloc[order])


def _dense_integers(labels: "pd.Series[Any]") -> tuple[Ints, Any] | None:
    """Codes by counting, for whole numbers in a narrow range: three times faster than hashing."""
    if not isinstance(labels.dtype, np.dtype) or labels.dtype.kind not in "iu" or not len(labels):
        return None
    values = labels.to_numpy()
    low, high = int(values.min()), int(values.max())
    if high - low > 4 * values.size or high > np.iinfo(np.int64).max:
        return None
    offset = values.astype(np.int64) - low
    present = np.zeros(high - low + 1, dtype=bool)
    present[offset] = True
    rank = np.cumsum(present) - 1
    return rank[offset], (np.flatnonzero(present) + low).astype(labels.dtype)


def _order(levels: "pd.Series[Any]") -> Any:
    """Sorting permutation of distinct labels; whole numbers as text sort as numbers."""
    if pd.api.types.is_string_dtype(levels) and len(levels):
        whole = whole_numbers(levels)
        if whole is not None:
            return np.argsort(whole, kind="stable")
    try:
        return levels.argsort(kind="stable").to_numpy()
    except TypeError:
        # Labels of several types have no order of their own: by type, then by text.
        keys = [(type(level).__name__, str(level)) for level in levels]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
