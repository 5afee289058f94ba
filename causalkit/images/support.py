"""How far a place lies from the training images, by the features of effects and by its bands."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.typing import Floats, Ints

NEIGHBOURS = 10
MOST_REFERENCES = 20_000
EDGE = 99.0  # percentile of the training images' own distances
_FOLDS = 5
_FLAT = 1e-6  # deviation that is rounding, in float32
_LEAST_VARIANCE = 1e-6  # of moments in units of their deviation


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Training images in one space, and how far they lie from each other.

    Attributes
    ----------
    points : (m, d) array
    distances : (m,) array
        From each point to its tenth neighbour among the others.
    """

    points: Floats
    distances: Floats

    @classmethod
    def of(cls, points: Floats) -> "Neighbours":
        """Learn from points ``(m, d)`` whose entries have comparable units."""
        return cls(points, _to_neighbour(points, points, others=True))

    def percentile(self, points: Floats) -> Floats:
        """Share of the training images, in percent, that lie closer to the others.

        Parameters
        ----------
        points : (n, d) array

        Returns
        -------
        (n,) array
            From 0 to 100, of the distance to the tenth nearest training image.
        """
        return share_below(self.distances, _to_neighbour(self.points, points, others=False))

    def own_percentile(self) -> Floats:
        """The same of the training images themselves, each beside the others, ``(m,)``."""
        return share_below(self.distances, self.distances)


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """Moments of images as points whose entries are uncorrelated, with comparable units.

    Bands go up and down together, and one that leaves the others is unusual long before it is so by
    itself. Covariances are shrunk, so that many bands of few images can be told apart.

    Attributes
    ----------
    centre : (q,) array
    columns : (q, q) array

    References
    ----------
    Ledoit & Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices.
    Journal of Multivariate Analysis 88.
    """

    centre: Floats
    columns: Floats

    @classmethod
    def of(cls, moments: Floats) -> "Whitening":
        """Learn from the moments ``(m, q)`` of training images."""
        from sklearn.covariance import ledoit_wolf

        centre, sd = moments.mean(axis=0), moments.std(axis=0)
        unit = np.where(sd > _FLAT * (1.0 + np.abs(centre)), sd, 1.0)
        covariance, _ = ledoit_wolf((moments - centre) / unit, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        columns = vectors / np.sqrt(np.maximum(values, _LEAST_VARIANCE)) / unit[:, None]
        return cls(centre, columns)

    def points(self, moments: Floats) -> Floats:
        """Points ``(n, q)``."""
        return np.asarray((moments - self.centre) @ self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Training images by the features that effects are read from, and by their bands.

    Features alone would not do: an encoder that learned to tell patterns is nearly blind to a shift
    of a band, which its effects need not survive. The two are judged apart, since beside many
    features a few numbers of the bands would hardly count in one distance.

    Attributes
    ----------
    features : Neighbours
        Standardised features.
    bands : Neighbours
        Mean and standard deviation of each band over the pixels of an image, whitened.
    whitening : Whitening
    """

    features: Neighbours
    bands: Neighbours
    whitening: Whitening

    @classmethod
    def of(cls, features: Floats, moments: Floats) -> "Reference":
        """Learn from training images.

        Parameters
        ----------
        features : (m, d) array
            Standardised.
        moments : (m, 2 * band) array
            Mean and standard deviation of each band of each image.
        """
        whitening = Whitening.of(moments)
        bands = Neighbours(whitening.points(moments), _crossed(moments))
        return cls(Neighbours.of(features), bands, whitening)

    def percentile(self, features: Floats, moments: Floats) -> Floats:
        """Share of the training images, in percent, that lie closer to the others.

        By features or by bands, whichever is further, of the training images as of others: one in
        a hundred images like them is above 99.

        Parameters
        ----------
        features : (n, d) array
        moments : (n, 2 * band) array
            As for :meth:`of`.

        Returns
        -------
        (n,) array
            From 0 to 100.
        """
        own = np.maximum(self.features.own_percentile(), self.bands.own_percentile())
        found = np.maximum(
            self.features.percentile(features),
            self.bands.percentile(self.whitening.points(moments)),
        )
        return share_below(own, found)


def _crossed(moments: Floats) -> Floats:
    """Distance of each image to its tenth neighbour, whitened by images without it.

    New images had no part in the whitening either; with few images per moment they would else seem
    far away.
    """
    distances = np.empty(moments.shape[0])
    fold = np.arange(moments.shape[0]) % _FOLDS
    for number in range(_FOLDS):
        held = fold == number
        whitening = Whitening.of(moments[~held])
        distances[held] = _to_neighbour(
            whitening.points(moments[~held]), whitening.points(moments[held]), others=False
        )
    return distances


def share_below(values: Floats, found: Floats) -> Floats:
    """Share of ``values`` ``(m,)``, in percent, that lie below each of ``found`` ``(n,)``."""
    return 100.0 * np.searchsorted(np.sort(values), found) / values.size


def thinned(positions: Ints, most: int = MOST_REFERENCES) -> Ints:
    """At most ``most`` of some positions, evenly spaced."""
    if positions.size <= most:
        return positions
    return positions[np.linspace(0, positions.size - 1, most).round().astype(np.int64)]


def _to_neighbour(reference: Floats, points: Floats, *, others: bool) -> Floats:
    """Distance to the tenth nearest; of the reference itself, to that among the others."""
    from sklearn.neighbors import NearestNeighbors

    count = min(NEIGHBOURS, reference.shape[0] - 1)
    index: Any = NearestNeighbors(n_neighbors=count).fit(reference)
    distances, _ = index.kneighbors(None if others else points)
    return np.asarray(distances[:, -1], dtype=np.float64)
