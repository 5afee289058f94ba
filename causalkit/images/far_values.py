"""One value far from all others that many pixels share: a code for what is missing, perhaps."""

from dataclasses import dataclass

import numpy as np

from causalkit.typing import Floats

_SHARED = 0.01  # of the pixels of a band
_FAR = 20.0  # standard deviations of the other pixels


@dataclass(frozen=True, slots=True)
class FarValue:
    """A value that is shared by a share of the pixels of a band, so many deviations away."""

    value: float
    share: float
    deviations: float


def extremes(image: Floats) -> Floats:
    """Least and largest value of each band, and how many pixels have it, ``(4, band)``.

    Parameters
    ----------
    image : ([time,] band, y, x) array
        What is not finite is left out.
    """
    bands = np.moveaxis(image, -3, 0).reshape(image.shape[-3], -1)
    low = high = bands
    if bands.dtype.kind == "f":
        finite = np.isfinite(bands)
        low, high = np.where(finite, bands, np.inf), np.where(finite, bands, -np.inf)
    ends = low.min(axis=1), high.max(axis=1)
    shares = ((bands == end[:, None]).sum(axis=1) for end in ends)
    return np.array([*ends, *shares], dtype=np.float64)


def far_value(ends: Floats, count: Floats, mean: Floats, squares: Floats) -> FarValue | None:
    """The least or the largest value of a band, if it is one that many pixels share far off.

    Parameters
    ----------
    ends : (m, 4) array
        Of :func:`extremes`, by image.
    count, mean, squares : (m,) arrays
        Finite pixels of each image, their mean and squared deviations summed.
    """
    n = count.sum()
    centre = float((count * mean).sum() / n)
    total = float((squares + count * (mean - centre) ** 2).sum())
    for values, counts, end in ((ends[:, 0], ends[:, 2], np.min), (ends[:, 1], ends[:, 3], np.max)):
        value = float(end(values[count > 0]))
        same = float(counts[values == value].sum())
        others = n - same
        if same <= _SHARED * n or others < 2:
            continue
        shift = (value - centre) * same / others  # by which the mean of the others lies beyond
        rest = total - same * (value - centre) ** 2 - others * shift**2
        sd = float(np.sqrt(max(rest, 0.0) / others))
        distance = abs(value - centre) + abs(shift)
        # Rounding of the subtraction is no deviation.
        if sd > 1e-6 * distance and distance > _FAR * sd:
            return FarValue(value, same / n, distance / sd)
    return None
