"""Local polynomial regression at some points, with errors that hold where few rows carry it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.inference.variance import cluster_sums
from causalkit.typing import Floats, Ints

DEGREE = 2
LEAST_FREEDOM = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class PointEstimates:
    """Values of a curve at k points.

    Attributes
    ----------
    theta : (k,) array
        Estimates.
    influence : (n, k) array
        Influence values; the root of their mean square over n is the error HC2.
    df : (k,) array
        Degrees of freedom of that error.
    """

    theta: Floats
    influence: Floats
    df: Floats


def local_polynomial(
    t: Floats,
    values: Floats,
    at: Floats,
    width: float,
    *,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
    clusters: Sequence[Ints] = (),
    degree: int = DEGREE,
) -> PointEstimates:
    """Local polynomial regression of values ``(n,)`` on t at points ``at`` (k,), normal kernel.

    A few rows carry the fit at a point, their residuals are the smaller for it, and their squares
    tell the error only roughly. Residuals in the influence values are divided by the root of what
    is left of one after their row's leverage (HC2: no bias if errors have one variance and rows one
    weight), and degrees of freedom are those of a χ² with the mean and the variance that the
    squared error then has. A row that stands for several by its ``multiplicity`` has the leverage
    of one of them, and the influence of all.

    Parameters
    ----------
    weight : (n,) array, optional
        Of the rows in the regression, with their multiplicity inside.
    multiplicity : (n,) array, optional
        Rows that each row stands for.
    clusters : sequence of (n,) int arrays
        None, or those that the error is summed by; with two, df is the lesser.

    Raises
    ------
    IdentificationError
        If one row, or none, carries the fit at a point.

    References
    ----------
    MacKinnon & White (1985) for HC2; Bell & McCaffrey (2002) and Imbens & Kolesár (2016), REStat
    98:701, for the degrees of freedom.
    """
    theta, df = np.empty(at.size), np.empty(at.size)
    influence = np.empty((t.size, at.size))
    w = np.ones(t.size) if weight is None else weight / weight.mean()
    times = np.ones(t.size) if multiplicity is None else multiplicity.astype(np.float64)
    for place, point in enumerate(at):
        away = (t - point) / width
        kernel = w * np.exp(-0.5 * away**2)
        x = np.vander(away, degree + 1, increasing=True)
        weighted = kernel[:, None] * x / t.size
        gram = weighted.T @ x
        try:
            projected = np.linalg.solve(gram, weighted.T).T
        except np.linalg.LinAlgError:
            projected = np.full(x.shape, np.nan)
        one = projected / np.maximum(times, 1.0)[:, None]
        freedom = 1.0 - (one * x).sum(axis=1)
        if not (freedom >= LEAST_FREEDOM).all():
            raise IdentificationError(
                f"too few rows were seen near {point:.4g}: the local fit there goes through one of "
                "them, or is not determined, so that no error can be told. Ask where more rows "
                "are, or widen bandwidth."
            )
        beta = projected.T @ values
        theta[place] = beta[0]
        left = (values - x @ beta) / np.sqrt(freedom)
        influence[:, place] = t.size * projected[:, 0] * left
        loading = one[:, 0] / np.sqrt(freedom)
        df[place] = min(
            _satterthwaite(x, one, loading, times, codes) for codes in clusters or (None,)
        )
    share = times / times.mean()
    return PointEstimates(theta, influence - share[:, None] * influence.mean(axis=0), df)


def _satterthwaite(
    x: Floats, projected: Floats, loading: Floats, times: Floats, codes: Ints | None
) -> float:
    """Degrees of freedom of Σ_g (Σ_{i∈g} b_i e_i)², e the residuals of errors of one variance.

    Residuals are (I − H)ε with H = X P'. Their covariance is I − L, L = H + H' − H H' = Z K Z' with
    Z = [X, P], so that the matrix of covariances between clusters, G, has tr(G) and tr(G²) in O(n).

    Parameters
    ----------
    x, projected : (n, d) arrays
        X and P, of one of the rows that a row stands for.
    loading : (n,) array
        b.
    times : (n,) array
        Rows that each row stands for.
    codes : (n,) int array or None
        Clusters; None: each row by itself.
    """
    d = x.shape[1]
    z = np.hstack([x, projected])
    k = np.block(
        [[-(times[:, None] * projected).T @ projected, np.eye(d)], [np.eye(d), np.zeros((d, d))]]
    )
    own, loaded, count = loading**2, loading[:, None] * z, times
    if codes is not None:
        summed = cluster_sums(times[:, None] * np.column_stack([own, loaded]), codes)
        own, loaded, count = summed[:, 0], summed[:, 1:], np.ones(len(summed))
    lost = ((loaded @ k) * loaded).sum(axis=1)
    cross = k @ (loaded * count[:, None]).T @ loaded
    trace = float((count * (own - lost)).sum())
    square = float((count * own * (own - 2.0 * lost)).sum() + np.trace(cross @ cross))
    return trace**2 / square
