"""How far a place lies from the training images, by the features of effects and by its bands."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.typing import Floats, Ints

NEIGHBOURS = 10
MOST_REFERENCES = 20_000
EDGE = 99.0  # percentile of the distances of images that nothing was learned from
_FLAT = 1e-6  # deviation that is rounding, in float32
_LEAST_VARIANCE = 1e-6  # of moments in units of their deviation


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Training images in one space, and how far others of the same design lie from them.

    Attributes
    ----------
    points : (m, d) array
        Of training images.
    distances : (k,) array
        From each held-out image to the tenth nearest of the points.
    """

    points: Floats
    distances: Floats

    @classmethod
    def of(cls, points: Floats, held: Floats) -> "Neighbours":
        """Learn from points ``(m, d)`` and held-out ones ``(k, d)``, entries in like units."""
        return cls(points, _to_tenth(points, held))

    def standing(self, points: Floats) -> Floats:
        """Share of the held-out images, in percent, that lie closer to the training images.

        Parameters
        ----------
        points : (n, d) array

        Returns
        -------
        (n,) array
            Of the distance to the tenth nearest training image; beyond the farthest held-out image
            100 times the ratio to its distance.
        """
        found = _to_tenth(self.points, points)
        return _standing(share_below(self.distances, found), found, self.distances.max())

    def own_standing(self) -> Floats:
        """The same of each held-out image beside the others, ``(k,)``."""
        rank = np.searchsorted(np.sort(self.distances), self.distances)
        second = np.partition(self.distances, -2)[-2]
        return _standing(100.0 * rank / (self.distances.size - 1), self.distances, second)


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

    What distance is usual is told by images of the trial that nothing was learned from, not by the
    training images among themselves: an encoder knows those, and of any images it did not see more
    would look strange than the percentile says.

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
    def of(cls, trained: tuple[Floats, Floats], held: tuple[Floats, Floats]) -> "Reference":
        """Learn from training images and held-out ones.

        Parameters
        ----------
        trained, held : pairs of (m, d) and (m, 2 * band) arrays
            Standardised features, and mean and standard deviation of each band, of each image.
        """
        whitening = Whitening.of(trained[1])
        bands = Neighbours.of(*(whitening.points(moments) for _, moments in (trained, held)))
        return cls(Neighbours.of(trained[0], held[0]), bands, whitening)

    def percentile(self, features: Floats, moments: Floats) -> Floats:
        """Share of the held-out images, in percent, that lie closer to the training images.

        By features or by bands, whichever is further, of the held-out images as of others: of
        images like those of the trial one in a hundred is above 99, or one in k + 1 if these are
        more and only k were held out (split conformal).

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
        own = np.maximum(self.features.own_standing(), self.bands.own_standing())
        found = np.maximum(
            self.features.standing(features),
            self.bands.standing(self.whitening.points(moments)),
        )
        return share_below(own, found)


def _standing(percent: Floats, found: Floats, largest: float) -> Floats:
    """Percentages with an order beyond the largest, without which either space would have its own.

    The farthest in each of two spaces would be alike in both, and twice as many be beyond them.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(found > largest, 100.0 * found / largest, percent)


def share_below(values: Floats, found: Floats) -> Floats:
    """Share of ``values`` ``(m,)``, in percent, that lie below each of ``found`` ``(n,)``."""
    return 100.0 * np.searchsorted(np.sort(values), found) / values.size


def thinned(positions: Ints, most: int = MOST_REFERENCES) -> Ints:
    """At most ``most`` of some positions, evenly spaced."""
    if positions.size <= most:
        return positions
    return positions[np.linspace(0, positions.size - 1, most).round().astype(np.int64)]


def _to_tenth(reference: Floats, points: Floats) -> Floats:
    """Distance of each point to the tenth nearest of the reference."""
    from sklearn.neighbors import NearestNeighbors

    index: Any = NearestNeighbors(n_neighbors=min(NEIGHBOURS, reference.shape[0])).fit(reference)
    distances, _ = index.kneighbors(points)
    return np.asarray(distances[:, -1], dtype=np.float64)
