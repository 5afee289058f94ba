"""Row sources: feature matrices that are held, or assembled chunk by chunk when asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from causalkit.typing import Bools, Floats, Ints

_CHUNK = 2**14  # rows looked at together


class Features(Protocol):
    """Rows of a feature matrix, taken as needed.

    ``take(rows)`` returns ``(len(rows), n_features)`` float64 values.
    """

    @property
    def n_features(self) -> int:
        """Number of columns."""
        ...

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        ...


@dataclass(frozen=True, slots=True)
class DenseFeatures:
    """A feature matrix held in memory, ``(n, p)``."""

    values: Floats

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        return self.values[rows]


@dataclass(frozen=True, slots=True)
class BasisFeatures:
    """A basis of row-level values, evaluated on the rows that are asked for.

    Attributes
    ----------
    values : (n, p) array
        Values that differ by row.
    basis : callable
        Maps ``(m, p)`` values to ``(m, n_terms)`` features.
    columns : (b,) int array
        Terms of the basis that are used.
    """

    values: Floats
    basis: Callable[[Floats], Floats]
    columns: Ints

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.columns.size)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        terms = self.basis(self.values[rows])
        return terms if self.columns.size == terms.shape[1] else terms[:, self.columns]


@dataclass(frozen=True, slots=True)
class TableFeatures:
    """Values by group, repeated for each of the group's rows.

    Attributes
    ----------
    table : (G, q) array
    codes : (n,) int array
        Group of each row.
    """

    table: Floats
    codes: Ints

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.table.shape[1])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.codes.size)

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        return self.table[self.codes[rows]]


@dataclass(frozen=True, slots=True)
class JoinedFeatures:
    """Features side by side.

    A panel of n rows and N units needs n x p numbers for its covariates but only N x q for its
    Mundlak terms; the n x (p + q) matrix never exists as a whole.
    """

    parts: tuple[Features, ...]

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return sum(part.n_features for part in self.parts)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.parts[0].n_rows

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        return np.hstack([part.take(rows) for part in self.parts])


@dataclass(frozen=True, slots=True)
class DifferencedFeatures:
    """One source minus another, such as values minus their unit means."""

    left: Features
    right: Features

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.left.n_features

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.left.n_rows

    def take(self, rows: Ints) -> Floats:
        """Values of some rows."""
        return self.left.take(rows) - self.right.take(rows)


def dense(features: Features) -> Floats:
    """Return the whole matrix, for learners that cannot take it in pieces."""
    if isinstance(features, DenseFeatures):
        return features.values
    return features.take(np.arange(features.n_rows))


def missing_columns(features: Features) -> Ints:
    """Positions of the columns that have a missing value in some row."""
    if isinstance(features, JoinedFeatures):
        before = np.cumsum([0, *(part.n_features for part in features.parts)])
        found = [
            start + missing_columns(part)
            for start, part in zip(before, features.parts, strict=False)
        ]
        return np.concatenate(found)
    if isinstance(features, TableFeatures):
        return missing_columns(DenseFeatures(features.table))
    rows = np.arange(features.n_rows)
    if isinstance(features, BasisFeatures):
        # Only rows with a missing value can have missing terms.
        rows = np.flatnonzero(np.isnan(features.values).any(axis=1))
    missing: Bools = np.zeros(features.n_features, dtype=bool)
    for start in range(0, rows.size, _CHUNK):
        missing |= np.isnan(features.take(rows[start : start + _CHUNK])).any(axis=0)
    return np.flatnonzero(missing)
