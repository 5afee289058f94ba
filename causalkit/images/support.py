"""How far a place lies from the training images, in the space that effects are read from."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.typing import Floats, Ints

NEIGHBOURS = 10
MOST_REFERENCES = 20_000
EDGE = 99.0  # percentile of the training images' own distances


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Training images as the encoder sees them, and how far they lie from each other.

    Attributes
    ----------
    features : (m, d) array
        Standardised, of the training images or of as many as are kept.
    distances : (m,) array
        From each to its tenth neighbour among the others, ascending.
    """

    features: Floats
    distances: Floats

    @classmethod
    def of(cls, features: Floats) -> "Reference":
        """Learn from standardised features ``(m, d)``."""
        found = _to_neighbour(features, features, others=True)
        return cls(features, np.sort(found))

    def percentile(self, features: Floats) -> Floats:
        """Share of the training images, in percent, that lie closer to the others.

        Parameters
        ----------
        features : (n, d) array
            Standardised as those of the reference.

        Returns
        -------
        (n,) array
            From 0 to 100, of the distance to the tenth nearest training image.
        """
        found = _to_neighbour(self.features, features, others=False)
        return 100.0 * np.searchsorted(self.distances, found, side="right") / self.distances.size


def thinned(positions: Ints, most: int = MOST_REFERENCES) -> Ints:
    """At most ``most`` of some positions, evenly spaced."""
    if positions.size <= most:
        return positions
    return positions[np.linspace(0, positions.size - 1, most).round().astype(np.int64)]


def _to_neighbour(reference: Floats, features: Floats, *, others: bool) -> Floats:
    """Distance to the tenth nearest; of the reference itself, to that among the others."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, reference.shape[0] - 1)
    index: Any = NearestNeighbors(n_neighbors=count).fit(reference)
    distances, _ = index.kneighbors(None if others else features)
    return np.asarray(distances[:, -1], dtype=np.float64)
