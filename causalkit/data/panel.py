"""Panel arithmetic on arrays: group means, deviations, adjacent rows. O(n), no loop over units."""

import numpy as np

from causalkit.typing import Bools, Floats, Ints


def unit_means(
    values: Floats, codes: Ints, *, weights: Floats | None = None, n_groups: int | None = None
) -> Floats:
    """Group means ``(G, p)`` of ``(n, p)`` values; NaNs are skipped.

    Parameters
    ----------
    values : (n,) or (n, p) array
    codes : (n,) int array
        Groups 0..G-1.
    weights : (n,) array or None
    n_groups : int, optional
        G, if some groups may be empty; their means are NaN.
    """
    columns = values[:, None] if values.ndim == 1 else values
    size = int(codes.max()) + 1 if n_groups is None else n_groups
    out = np.empty((size, columns.shape[1]))
    for position, column in enumerate(columns.T):
        seen = ~np.isnan(column)
        w = seen.astype(np.float64) if weights is None else np.where(seen, weights, 0.0)
        total = np.bincount(codes, weights=w, minlength=size)
        sums = np.bincount(codes, weights=np.where(seen, column, 0.0) * w, minlength=size)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, position] = sums / total
    return out


def leave_out_means(values: Floats, codes: Ints, *, weights: Floats | None = None) -> Floats:
    """Mean of the group's other rows, for every row ``(n, p)``; NaN for a row that is alone."""
    columns = values[:, None] if values.ndim == 1 else values
    out = np.empty(columns.shape)
    for position, column in enumerate(columns.T):
        seen = ~np.isnan(column)
        w = seen.astype(np.float64) if weights is None else np.where(seen, weights, 0.0)
        filled = np.where(seen, column, 0.0) * w
        total = np.bincount(codes, weights=w)[codes] - w
        sums = np.bincount(codes, weights=filled)[codes] - filled
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, position] = np.where(total > 0, sums / total, np.nan)
    return out


def varies_within(values: Floats, codes: Ints) -> Bools:
    """Whether each column of ``(n, p)`` values differs within some group."""
    columns = values[:, None] if values.ndim == 1 else values
    out = np.empty(columns.shape[1], dtype=bool)
    first = np.empty(int(codes.max()) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(codes.size)[::-1]
    for position, column in enumerate(columns.T):
        anchor = column[first][codes]
        out[position] = bool((column != anchor)[~(np.isnan(column) & np.isnan(anchor))].any())
    return out


def adjacent(codes: Ints, periods: Ints, *, gap: int = 1) -> tuple[Ints, Ints]:
    """Rows and the row of the same unit ``gap`` periods before, where there is one.

    Parameters
    ----------
    codes, periods : (n,) int arrays
        Unit and calendar position of each row, in any order.
    gap : int
        Calendar distance; a missing period gives no pair, never the row before it.
    """
    low = int(periods.min())
    width = int(periods.max()) - low + abs(gap) + 1
    key = codes * width + (periods - low)
    order = np.argsort(key, kind="stable")
    wanted = key - gap
    place = np.searchsorted(key[order], wanted)
    place = np.minimum(place, key.size - 1)
    inside = (periods - low - gap >= 0) & (periods - low - gap < width)
    hit = inside & (key[order][place] == wanted)
    rows = np.flatnonzero(hit)
    return rows, order[place[rows]]
