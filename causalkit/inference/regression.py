"""Least squares as a score: coefficients of some regressors with the others partialled out."""

from collections.abc import Sequence

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints


def partialled(values: Floats, others: Floats, weights: Floats | None) -> Floats:
    """Residuals of ``(n, k)`` values from least squares on ``others``."""
    if others.shape[1] == 0:
        return values
    if np.isnan(others).any():
        raise IdentificationError(
            "covariates are missing in some rows, which a linear regression cannot take; drop them "
            "with missing='drop', or impute before building the data."
        )
    root = np.ones(len(values)) if weights is None else np.sqrt(weights)
    scale = np.linalg.norm(others * root[:, None], axis=0)
    scaled = others / np.where(scale > 0, scale, 1.0)
    coefficients = np.linalg.lstsq(scaled * root[:, None], values * root[:, None], rcond=None)[0]
    return np.asarray(values - scaled @ coefficients)


def regression_score(
    y: Floats,
    d: Floats,
    others: Floats,
    weights: Floats | None = None,
    *,
    names: Sequence[str] = (),
) -> LinearScore:
    """Score of the coefficients of ``d`` in least squares of ``y`` on ``d`` and ``others``.

    By the Frisch-Waugh-Lovell theorem both the coefficients and their cluster-robust variance
    are those of the full regression.

    Parameters
    ----------
    y, d, others : arrays (n,), (n, k), (n, q)
    weights : (n,) array or None
    names : sequence of str, optional
        Of ``d``, for messages.

    Raises
    ------
    IdentificationError
        If the other regressors determine a column of ``d``.
    """
    d_res = partialled(d, others, weights)
    gone = np.linalg.norm(d_res, axis=0) <= 1e-9 * np.linalg.norm(d, axis=0)
    if gone.any():
        column = int(np.flatnonzero(gone)[0])
        raise IdentificationError(
            f"treatment {repr(names[column]) if names else column} is a linear combination of the "
            "other regressors; remove the covariates or effects that determine it."
        )
    y_res = partialled(y[:, None], others, weights)[:, 0]
    return LinearScore(
        instrument=d_res[:, None, :], regressor=d_res[:, None, :], response=y_res[:, None]
    )


def independent_columns(matrix: Floats) -> Ints:
    """Positions of a largest set of linearly independent columns, by pivoted QR."""
    from scipy.linalg import qr

    norms = np.linalg.norm(matrix, axis=0)
    live = np.flatnonzero(norms > 1e-9 * max(float(norms.max(initial=0.0)), 1e-300))
    if live.size == 0:
        return live
    _, r, pivots = qr(matrix[:, live] / norms[live], mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(r)) > 1e-8).sum())
    return np.sort(live[pivots[:rank]])


def column_rank(matrix: Floats) -> int:
    """Rank of a matrix, whatever the units of its columns."""
    norms = np.linalg.norm(matrix, axis=0)
    return int(independent_columns(matrix / np.where(norms > 0, norms, 1.0)).size)
