"""Variances of estimates from their influence values, summed within clusters in O(n)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    FewClustersWarning,
    IdentificationError,
    check_choice,
)
from causalkit.scores import LinearScore
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

Ssc = Literal["none", "G/(G-1)", "G/(G-1)*(n-1)/(n-k)"]
SSC: tuple[Ssc, ...] = ("none", "G/(G-1)", "G/(G-1)*(n-1)/(n-k)")
FEW_CLUSTERS = 30
WITHOUT_BOOTSTRAP = (
    "Trust no p-value near a bound; name finer clusters if errors are independent between them."
)


def sandwich(
    influence: Floats,
    clusters: Sequence[Ints] = (),
    *,
    ssc: Ssc = "G/(G-1)",
    multiplicity: Floats | Ints | None = None,
    n_params: int | None = None,
    within: Bools | None = None,
) -> Floats:
    """Variance matrix of θ̂ from its influence values.

    Parameters
    ----------
    influence : (n, k) array
        With row weights inside.
    clusters : sequence of (n,) int arrays
        None: rows are independent, each its own cluster (HC0; with either small-sample factor it
        is n/(n−k), which is HC1). One: cluster-robust. Two: V₁ + V₂ − V₁₂, each part with its
        own factor.
    ssc : {"none", "G/(G-1)", "G/(G-1)*(n-1)/(n-k)"}
        Small-sample factor. G counts the clusters that hold rows.
    multiplicity : (n,) array, optional
        Frequency weights: how many identical rows each row stands for. Its influence is the sum
        over them. The variance is that of the repeated rows.
    n_params : int, optional
        k of the small-sample factor, where it is not the number of columns.
    within : (n, k) bool array, optional
        Rows that each estimate is a mean over, where these are not all. The small-sample factor of
        a variance then counts the clusters, or rows, of that mean, which is its one parameter
        beside its share of what ``n_params`` counts beyond the columns; a covariance has the
        geometric mean of two factors.

    Returns
    -------
    (k, k) array
        Positive semi-definite. A two-way variance that is not gives way, with a warning, to
        the larger of V₁ and V₂ by trace.

    Raises
    ------
    ArgumentError
        If cluster codes are not whole numbers from 0 of length n, or there are more than two.
    IdentificationError
        If there are fewer than two clusters, or no more rows than columns.

    References
    ----------
    Cameron, Gelbach & Miller (2011) for two-way clustering. Not the fold-wise two-way formula of
    Chiang, Kato, Ma & Sasaki (2022).

    Examples
    --------
    >>> import numpy as np
    >>> influence = np.array([[1.0], [1.0], [-2.0], [0.0]])
    >>> sandwich(influence, [np.array([0, 0, 1, 1])], ssc="none")
    array([[0.5]])
    """
    check_choice("ssc", ssc, SSC)
    scale = float(influence.shape[0]) ** 2
    k = influence.shape[1] if n_params is None else n_params
    _check_codes(clusters, influence.shape[0])
    if multiplicity is None:
        n = float(influence.shape[0])
    else:
        kept = multiplicity > 0
        within = within if within is None else within[kept]
        influence, clusters, multiplicity = _present(influence, clusters, multiplicity)
        n = float(multiplicity.sum())
    sizes = None if within is None else _means(within, multiplicity, k - influence.shape[1])
    if not clusters:
        each = influence if multiplicity is None else influence / np.sqrt(multiplicity)[:, None]
        factor: float | Floats = _row_factor(n, k, ssc)
        if sizes is not None:
            factor = _between([_row_factor(*size, ssc) for size in sizes])
        return _meat(each, n, factor) / scale

    def one_way(codes: Ints) -> Floats:
        count = count_clusters(codes)
        factor: float | Floats = small_sample_factor(count, n, k, ssc)
        if within is not None and sizes is not None:
            counts = [count_clusters(codes[rows]) for rows in within.T]
            each = zip(counts, sizes, strict=True)
            factor = _between([small_sample_factor(count, *size, ssc) for count, size in each])
        return _meat(cluster_sums(influence, codes), count, factor) / scale

    parts = [one_way(codes) for codes in clusters]
    if len(parts) == 1:
        return parts[0]
    both = one_way(_cells(*clusters))
    vcov: Floats = parts[0] + parts[1] - both
    if np.linalg.eigvalsh(vcov).min() >= -1e-12 * np.trace(parts[0] + parts[1]):
        return vcov
    warn(
        "the two-way cluster variance is not positive semi-definite; the larger of the two "
        "one-way variances is reported instead.",
        CausalKitWarning,
    )
    return max(parts, key=lambda part: float(np.trace(part)))


def cluster_sums(values: Floats, codes: Ints) -> Floats:
    """Sums ``(G, k)`` of ``(n, k)`` values within clusters coded 0..G−1."""
    n_codes = int(codes.max()) + 1
    sums = np.empty((n_codes, values.shape[1]))
    for column, column_values in enumerate(values.T):
        sums[:, column] = np.bincount(codes, weights=column_values, minlength=n_codes)
    return sums


def nonrobust(
    score: LinearScore,
    theta: Floats,
    *,
    repeat: int = 0,
    weights: Floats | None = None,
    multiplicity: Floats | Ints | None = None,
    n_params: int | None = None,
) -> Floats:
    """Homoskedastic variance σ̂² (Σ w z x')⁻¹ (Σ w z z') (Σ w x z')⁻¹ of a residual regression.

    σ̂² = Σ w e² / (n − k): the textbook formula of least squares (z = x), weighted least squares
    and two-stage least squares. Wrong where rows of a unit are dependent, hence never a default.

    Parameters
    ----------
    score : LinearScore
    theta : (k,) array
        Solution of that repeat.
    repeat : int, default 0
    weights : (n,) array, optional
        Row weights: precisions, or frequencies if they are also the ``multiplicity``.
    multiplicity : (n,) array, optional
        Frequency weights; n is then their sum.
    n_params : int, optional
        k, where more was estimated than the coefficients of the score: others that were partialled
        out, effects that were absorbed.
    """
    z, x = score.instrument[:, repeat], score.regressor[:, repeat]
    w = np.ones(z.shape[0]) if weights is None else weights
    n = float(z.shape[0]) if multiplicity is None else float(multiplicity.sum())
    k = z.shape[1] if n_params is None else n_params
    _check_rows(n, k)
    zw = z * w[:, None]
    residual = score.response[:, repeat] - x @ theta
    bread = np.linalg.inv(zw.T @ x)
    sigma2 = float(w @ residual**2) / (n - k)
    return np.asarray(sigma2 * bread @ (zw.T @ z) @ bread.T)


def degrees_of_freedom(clusters: Sequence[Ints], n: float, *, n_params: int = 1) -> float:
    """G − 1, the least over clustering dimensions; n − k without clusters."""
    if clusters:
        return min(float(count_clusters(codes)) for codes in clusters) - 1.0
    _check_rows(n, n_params)
    return float(n) - n_params


def freedom_within(
    within: Bools,
    clusters: Sequence[Ints] = (),
    *,
    multiplicity: Floats | Ints | None = None,
    n_absorbed: int = 0,
) -> Floats:
    """Degrees of freedom ``(k,)`` of means over the rows ``within`` (n, k), each by itself.

    Parameters
    ----------
    within : (n, k) bool array
    clusters : sequence of (n,) int arrays
    multiplicity : (n,) array, optional
        Rows that each row stands for.
    n_absorbed : int, default 0
        Effects absorbed in all rows; without clusters a mean loses its share of them.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[True, True], [True, False], [True, True]])
    >>> freedom_within(rows, [np.array([0, 0, 1])])
    array([1., 1.])
    >>> freedom_within(rows)
    array([2., 1.])
    """
    found = [
        min(count_clusters(codes[rows]) for codes in clusters) - 1.0 if clusters else n - k
        for rows, (n, k) in zip(within.T, _means(within, multiplicity, n_absorbed), strict=True)
    ]
    return np.array(found)


def count_clusters(codes: Ints) -> int:
    """Number of codes that occur."""
    return int(np.count_nonzero(np.bincount(codes)))


def warn_if_few(clusters: Sequence[Ints], *, mend: str = WITHOUT_BOOTSTRAP) -> None:
    """Warn where the cluster-robust normal approximation is not to be trusted.

    Parameters
    ----------
    clusters : sequence of (n,) int arrays
    mend : str, optional
        What the caller's estimator offers.
    """
    for codes in clusters:
        count = count_clusters(codes)
        if count < FEW_CLUSTERS:
            warn(
                f"[E18-few-clusters] only {count} clusters; cluster-robust standard errors are "
                f"unreliable below about {FEW_CLUSTERS}. {mend}",
                FewClustersWarning,
            )


def small_sample_factor(n_clusters: float, n: float, k: float, ssc: Ssc) -> float:
    """Named small-sample factor of a variance."""
    if ssc == "none" or n_clusters < 2:
        return 1.0
    factor = n_clusters / (n_clusters - 1.0)
    if ssc == "G/(G-1)":
        return factor
    _check_rows(n, k)
    return factor * (n - 1.0) / (n - k)


def _row_factor(n: float, k: float, ssc: Ssc) -> float:
    """Small-sample factor of rows that are no clusters: n/(n − k), as in HC1."""
    if ssc == "none" or n < 2:
        return 1.0
    _check_rows(n, k)
    return n / (n - k)


def _means(
    within: Bools, multiplicity: Floats | Ints | None, n_absorbed: int
) -> list[tuple[float, float]]:
    """Rows of each mean, and its parameters: itself and its share of the effects absorbed."""
    times = np.ones(within.shape[0]) if multiplicity is None else multiplicity
    share = n_absorbed / float(times.sum())
    return [(n, 1.0 + share * n) for n in (times @ within).tolist()]


def _between(factors: Sequence[float]) -> Floats:
    """Factors of variances, and of covariances the geometric mean of two."""
    return np.asarray(np.sqrt(np.outer(factors, factors)))


def _meat(sums: Floats, n_clusters: float, factor: float | Floats) -> Floats:
    """Sum of outer products of cluster sums, times a small-sample factor."""
    if n_clusters < 2:
        raise IdentificationError(
            f"a variance needs at least two independent clusters, got {n_clusters:g}; cluster by a "
            "finer variable."
        )
    return np.asarray(factor * (sums.T @ sums))


def _cells(first: Ints, second: Ints) -> Ints:
    """Codes of the pairs of two clusterings."""
    width = int(second.max()) + 1
    cells = first.astype(np.int64) * width + second
    # Few empty cells are cheaper to carry than the sort that finds them.
    if (int(first.max()) + 1) * width <= 8 * first.size:
        return cells
    return np.asarray(np.unique(cells, return_inverse=True)[1], dtype=np.int64)


def _present(
    influence: Floats, clusters: Sequence[Ints], multiplicity: Floats | Ints
) -> tuple[Floats, Sequence[Ints], Floats | Ints]:
    """Rows that stand for at least one; the others would count as clusters."""
    kept = multiplicity > 0
    if kept.all():
        return influence, clusters, multiplicity
    return influence[kept], [codes[kept] for codes in clusters], multiplicity[kept]


def _check_codes(clusters: Sequence[Ints], n: int) -> None:
    if len(clusters) > 2:
        raise ArgumentError(f"clustering has at most two dimensions, got {len(clusters)}.")
    for codes in clusters:
        if codes.shape != (n,) or codes.dtype.kind not in "iu" or (n and codes.min() < 0):
            raise ArgumentError(
                f"cluster codes must be whole numbers from 0, one per row ({n}); got "
                f"{codes.dtype} of shape {codes.shape}. Use data.clusters()."
            )


def _check_rows(n: float, k: float) -> None:
    if n <= k:
        raise IdentificationError(
            f"{n:g} rows cannot give a variance of {k:g} estimates, absorbed effects included."
        )
