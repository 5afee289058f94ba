"""Sums of squares and products by block: one pass over the rows serves every leave-out fit.

With rows grouped into (outer block, inner fold) atoms, the cross-products of any training set are
a sum of atoms, so K outer x J inner least-squares problems cost one pass instead of K x J.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from causalkit.nuisance.features import Features
from causalkit.typing import Bools, Floats, Ints

_CHUNK_VALUES = 2**21  # numbers held at once: 16 MiB, small beside any large design


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted sums over some rows of [1, features, targets], and their products.

    Attributes
    ----------
    products : (1 + p + m, 1 + p + m) array
        Sum of w v v', v = [1, features − centre, targets − centre].
    centre : (p + m,) array
        Subtracted before summing, so that large means cost no digits.
    n_features : int
        p.
    """

    products: Floats
    centre: Floats
    n_features: int

    @property
    def weight(self) -> float:
        """Total weight."""
        return float(self.products[0, 0])

    def centred(self) -> tuple[Floats, Floats]:
        """Mean and covariance (divisor: total weight) of features and targets."""
        mean = self.products[0, 1:] / self.weight
        covariance = self.products[1:, 1:] / self.weight - np.outer(mean, mean)
        return mean, covariance


@dataclass(frozen=True, slots=True)
class AtomMoments:
    """Moments of every (block, inner fold) atom of one repeat, ``(n_blocks, n_inner, q, q)``."""

    products: Floats
    centre: Floats
    n_features: int

    def over(self, blocks: Bools, inner: Bools | None = None) -> Moments:
        """Moments over the atoms of some blocks and, if given, of some inner folds."""
        chosen = self.products[blocks]
        if inner is not None:
            chosen = chosen[:, inner]
        return Moments(chosen.sum(axis=(0, 1)), self.centre, self.n_features)


def chunks(rows: Ints, width: int) -> Iterator[Ints]:
    """Row positions in pieces whose feature matrix stays small."""
    step = max(_CHUNK_VALUES // max(width, 1), 256)
    for start in range(0, rows.size, step):
        yield rows[start : start + step]


def centre_of(features: Features, targets: Floats, rows: Ints) -> Floats:
    """Rough column means from a spread of rows; any value is right, near the mean is accurate."""
    few = rows[:: max(rows.size // 4096, 1)]
    centre = np.concatenate([features.take(few).mean(axis=0), targets[few].mean(axis=0)])
    return np.asarray(centre, dtype=np.float64)


def accumulate(
    features: Features,
    targets: Floats,
    *,
    atom: Ints,
    shape: tuple[int, int],
    weights: Floats | None,
    rows: Ints,
) -> AtomMoments:
    """Sum products within every atom, in one pass over the rows.

    Parameters
    ----------
    features : Features
        ``(n, p)``.
    targets : (n, m) array
        All regressands that share these features.
    atom : (n,) int array
        Atom of each row, block-major.
    shape : (n_blocks, n_inner)
        Atoms are numbered below ``n_blocks * n_inner``.
    weights : (n,) array or None
        Row weights.
    rows : int array
        Rows that take part.
    """
    width = 1 + features.n_features + targets.shape[1]
    centre = centre_of(features, targets, rows)
    products = np.zeros((shape[0] * shape[1], width, width))
    # Stable and grouped: each atom's rows are contiguous, so each product is one matrix product.
    ordered = rows[np.argsort(atom[rows], kind="stable")]
    bounds = np.searchsorted(atom[ordered], np.arange(shape[0] * shape[1] + 1))
    for index in range(products.shape[0]):
        for piece in chunks(ordered[bounds[index] : bounds[index + 1]], width):
            block = _block(features, targets, centre, piece)
            if weights is not None:
                block *= np.sqrt(weights[piece])[:, None]
            products[index] += block.T @ block
    return AtomMoments(products.reshape(*shape, width, width), centre, features.n_features)


def _block(features: Features, targets: Floats, centre: Floats, rows: Ints) -> Floats:
    p = features.n_features
    block = np.empty((rows.size, 1 + p + targets.shape[1]))
    block[:, 0] = 1.0
    np.subtract(features.take(rows), centre[:p], out=block[:, 1 : 1 + p])
    np.subtract(targets[rows], centre[p:], out=block[:, 1 + p :])
    return block


def predict_rows(
    features: Features,
    rows: Ints,
    coefficients: Sequence[Floats],
    intercepts: Sequence[float],
) -> Floats:
    """Predictions ``(len(rows), m)`` of several linear models on the same features."""
    matrix = np.column_stack(coefficients)
    out = np.empty((rows.size, matrix.shape[1]))
    start = 0
    for piece in chunks(rows, features.n_features):
        out[start : start + piece.size] = features.take(piece) @ matrix
        start += piece.size
    out += np.asarray(intercepts)
    return out
