"""Rows of one training set for solvers that pass over them many times: scaled, in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.nuisance.features import Features
from causalkit.typing import Floats, Ints

ROUNDING = 64 * np.finfo(np.float64).eps  # such as a sd beside the mean of a constant
_CHUNK = 4096  # rows at once: their features stay in cache


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows, ordered by inner fold.

    Attributes
    ----------
    x : (m, 1 + p) array
        A one and the standardised features.
    y : (m,) array
        Zeros and ones.
    w : (m,) array
        Weights with sum one.
    total : float
        Sum of the weights as given.
    bounds : (S + 1,) int array
        First row of each inner fold.
    names : (S,) int array
        Inner folds that have rows.
    mean, scale : (p,) arrays
        Of the features; the scale is 1 where they are constant.
    """

    x: Floats
    y: Floats
    w: Floats
    total: float
    bounds: Ints
    names: Ints
    mean: Floats
    scale: Floats

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """Inner fold and rows of every piece that is taken at once."""
        for fold in range(self.names.size):
            for start in range(self.bounds[fold], self.bounds[fold + 1], _CHUNK):
                yield fold, slice(start, min(start + _CHUNK, self.bounds[fold + 1]))


def rows_of(
    features: Features, rows: Ints, target: Floats, *, inner: Ints, weights: Floats | None
) -> Rows:
    """Take the rows of one training set, standardise them and order them by inner fold.

    Parameters
    ----------
    features : Features
        ``(n, p)``.
    rows : (m,) int array
        Training rows.
    target : (n,) array
        Zeros and ones.
    inner : (n,) int array
        Inner fold of each row.
    weights : (n,) array or None
        A weight of k counts like k copies of the row.

    Raises
    ------
    IdentificationError
        If the rows hold one class only.
    """
    rows = rows[np.argsort(inner[rows], kind="stable")]
    y = np.asarray(target[rows], dtype=np.float64)
    w = np.ones(rows.size) if weights is None else np.asarray(weights[rows], dtype=np.float64)
    seen = np.unique(y[w > 0])
    if seen.size < 2:
        raise IdentificationError(
            f"a training fold holds the single class {y[0]:g}, from which a logistic regression "
            "can learn no probability; use fewer folds, or a regression learner."
        )
    names, first = np.unique(inner[rows], return_index=True)
    x = np.empty((rows.size, 1 + features.n_features))
    x[:, 0] = 1.0
    for start in range(0, rows.size, _CHUNK):
        x[start : start + _CHUNK, 1:] = features.take(rows[start : start + _CHUNK])
    total = float(w.sum())
    w = w / total
    mean, scale = _standardise(x[:, 1:], w)
    return Rows(x, y, w, total, np.append(first, rows.size), names, mean, scale)


def _standardise(x: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Centre and scale in place; constant columns become zero. Returns means and scales."""
    mean = w @ x
    x -= mean
    # The mean of far-off values is itself rounded: what it misses is taken off in a second turn.
    rest = w @ x
    x -= rest
    mean = mean + rest
    scale = np.sqrt(np.einsum("i,ij,ij->j", w, x, x))
    constant = scale <= ROUNDING * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
    scale[constant] = 1.0
    x /= scale
    x[:, constant] = 0.0
    return mean, scale
