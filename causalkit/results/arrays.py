"""Arrays that a result holds: read-only, finite, of the shape of its terms."""

from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, NonFiniteError
from causalkit.typing import Floats


def frozen(values: Any, shape: tuple[int, ...], name: str) -> Floats:
    """A read-only float64 array of the given shape without missing or infinite values."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        kind = ArgumentError if array.shape != shape else NonFiniteError
        raise kind(
            f"{name} must be finite and of shape {shape} for these terms, got shape "
            f"{array.shape} with {int((~np.isfinite(array)).sum())} values that are not finite."
        )
    array.setflags(write=False)
    return array


def covariance(vcov: Any) -> Floats:
    """Symmetric part of a covariance matrix; raises unless it is one, up to rounding."""
    matrix = np.atleast_2d(np.asarray(vcov, dtype=np.float64))
    if matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        return matrix
    scale = max(float(np.abs(matrix).max(initial=0.0)), 1e-300)
    even = 0.5 * (matrix + matrix.T)
    least = float(np.linalg.eigvalsh(even / scale).min(initial=0.0))
    if np.abs(matrix - even).max(initial=0.0) > 1e-8 * scale or least < -1e-8:
        raise ArgumentError(
            "vcov must be symmetric and positive semi-definite; its smallest eigenvalue relative "
            f"to its largest entry is {least:.2g}."
        )
    return even


def freedom(df: Any, k: int, name: str) -> Floats:
    """Degrees of freedom of each of k terms, read-only; raises unless all are positive."""
    array = np.array(df, dtype=np.float64)
    if array.shape != (k,) or not (array > 0).all():
        raise ArgumentError(
            f"{name} must be {k} positive numbers, one per term, got {df!r}; leave it out "
            "where all terms have the same."
        )
    array.setflags(write=False)
    return array
