"""Bootstraps that refit no nuisance: multipliers of influence values, and wild clusters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from causalkit.errors import (
    ArgumentError,
    IdentificationError,
    check_choice,
    check_count,
    check_level,
)
from causalkit.inference.variance import cluster_sums, sandwich
from causalkit.typing import Bools, Floats, Ints

MULTIPLIERS = ("normal", "rademacher", "exponential")
WILD_WEIGHTS = ("rademacher", "webb")

# Weights drawn at once: 32 MB of doubles, however many clusters there are.
_CHUNK = 2**22
# Up to this many sign vectors all are used, which leaves no simulation error.
_ENUMERATED = 2**11
_WEBB = np.sqrt([0.5, 1.0, 1.5])
# Ties between a draw and the sample are common with few clusters; rounding must not break them.
_TIE = 1e-10
# Each round of the search for an end of an interval divides the distance by a hundred.
_ROUNDS = 5


def multiplier_bootstrap(
    influence: Floats,
    *,
    clusters: Sequence[Ints] = (),
    n_boot: int = 999,
    kind: str = "normal",
    multiplicity: Floats | Ints | None = None,
    rng: np.random.Generator,
) -> Floats:
    """Draws of θ̂* − θ̂ = Σ_g ξ_g Σ_{i∈g} φ_i / n with random multipliers ξ of clusters.

    Parameters
    ----------
    influence : (n, k) array
        φ, with row weights inside.
    clusters : sequence of (n,) int arrays
        None: every row has a multiplier of its own. One: every cluster has. Two: only for
        ``kind="normal"``, whose draws then have variance V₁ + V₂ − V₁₂; independent multipliers
        of clusters do not reproduce it.
    n_boot : int, default 999
        Draws.
    kind : {"normal", "rademacher", "exponential"}
        Distribution of ξ; all have mean 0 and variance 1. ``"exponential"`` is a standard
        exponential minus 1 (the Bayesian bootstrap).
    multiplicity : (n,) array, optional
        Frequency weights: each copy of a row has its own multiplier if rows are not clustered.
        Copies of one row are drawn together, with the right variance.
    rng : numpy Generator

    Returns
    -------
    (n_boot, k) array
        Given the data, mean 0 and variance ``sandwich(influence, clusters, ssc="none")``.

    Raises
    ------
    ArgumentError
        If the kind is unknown, or two dimensions of clusters meet a kind other than normal.

    Notes
    -----
    A sum of normal multipliers is itself exactly normal given the data, so it is drawn in one
    step of cost O(n + n_boot) and not multiplier by multiplier.

    References
    ----------
    Chernozhukov, Chetverikov & Kato (2013); Belloni, Chernozhukov, Chetverikov & Wei (2018),
    section 2.3.
    """
    check_choice("kind of multiplier", kind, MULTIPLIERS)
    check_count("n_boot", n_boot, least=1)
    if kind == "normal":
        vcov = sandwich(influence, clusters, ssc="none", multiplicity=multiplicity)
        return normal_draws(vcov, n_boot=n_boot, rng=rng)
    if len(clusters) > 1:
        raise ArgumentError(
            f"kind={kind!r} multiplies one dimension of clusters, got {len(clusters)}; use "
            "kind='normal', or cluster one way."
        )
    if clusters:
        sums = cluster_sums(influence, clusters[0])
    elif multiplicity is None:
        sums = influence
    else:
        sums = influence / np.sqrt(np.maximum(multiplicity, 1))[:, None]
    draws = np.empty((n_boot, influence.shape[1]))
    step = max(_CHUNK // sums.shape[0], 1)
    for start in range(0, n_boot, step):
        size = (min(step, n_boot - start), sums.shape[0])
        weights = _signs(size, rng) if kind == "rademacher" else rng.standard_exponential(size) - 1
        draws[start : start + step] = weights @ sums
    draws /= influence.shape[0]
    return draws


def normal_draws(vcov: Floats, *, n_boot: int, rng: np.random.Generator) -> Floats:
    """Draws ``(n_boot, k)`` with mean zero and a given variance, which may be singular."""
    values, vectors = np.linalg.eigh(vcov)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return np.asarray(rng.standard_normal((n_boot, len(values))) @ root, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class WildBootstrap:
    """Wild-cluster bootstrap-t of one coefficient.

    Attributes
    ----------
    estimate : float
        θ̂.
    statistic : float
        t-ratio of the null hypothesis, without small-sample factor.
    p_value : float
        Two-sided and symmetric; never zero.
    low, high : float
        Ends of the confidence interval; infinite where the clusters are too few to reject
        anything at that level.
    n_boot : int
        Weight vectors used.
    exact : bool
        Whether these are all that there are.
    """

    estimate: float
    statistic: float
    p_value: float
    low: float
    high: float
    n_boot: int
    exact: bool


def wild_cluster_bootstrap(
    x: Floats,
    z: Floats,
    y: Floats,
    clusters: Ints,
    *,
    null: float = 0.0,
    level: float = 0.95,
    n_boot: int = 999,
    weights: Literal["rademacher", "webb"] = "rademacher",
    rng: np.random.Generator,
) -> WildBootstrap:
    """Wild-cluster bootstrap-t with the null imposed, for the slope of y on x.

    Draws are y* = xθ₀ + (y − xθ₀)ξ_g with one weight ξ_g per cluster and a cluster-robust t-ratio
    for each; x and z are held fixed. Made for few clusters.

    Parameters
    ----------
    x, z, y : (n,) arrays
        Regressor, instrument (x itself for least squares; times any row weight) and response,
        without intercept: residuals, or the parts of a :class:`~causalkit.scores.LinearScore`.
    clusters : (n,) int array
        Cluster codes.
    null : float, default 0
        θ₀ for the p-value.
    level : float, default 0.95
        Confidence level of the interval, which holds every θ₀ that is not rejected.
    n_boot : int, default 999
        Draws. All 2^(G−1) sign vectors (up to a common sign, which changes nothing) are used
        instead if there are at most max(n_boot, 2048) of them.
    weights : {"rademacher", "webb"}
        Signs, or Webb's six points, which are better below about 10 clusters at levels that 2^G
        sign vectors cannot resolve.
    rng : numpy Generator

    Returns
    -------
    WildBootstrap

    Raises
    ------
    IdentificationError
        If there are fewer than two clusters.

    Notes
    -----
    With scores of clusters a_g and Jacobians b_g each draw's t-ratio is a ratio of quadratics in
    θ₀, whose coefficients are computed once: the interval costs O(n_boot) per θ₀ tried.

    References
    ----------
    Cameron, Gelbach & Miller (2008); Webb (2023) for the six points; Roodman, MacKinnon, Nielsen
    & Webb (2019) for the computation and the inversion.
    """
    check_choice("wild weights", weights, WILD_WEIGHTS)
    check_count("n_boot", n_boot, least=1)
    check_level(level)
    kept = np.bincount(clusters) > 0
    sums = cluster_sums(np.column_stack([z * y, z * x]), clusters)[kept]
    zy, zx = sums[:, 0], sums[:, 1]
    if zx.size < 2:
        raise IdentificationError(
            f"the wild-cluster bootstrap needs at least two clusters, got {zx.size}; cluster by a "
            "finer variable."
        )
    estimate = float(zy.sum() / zx.sum())
    scores = zy - estimate * zx
    error = float(np.sqrt(scores @ scores) / abs(zx.sum()))
    exact = weights == "rademacher" and zx.size <= max(n_boot, _ENUMERATED).bit_length()
    draws = _draws(scores, zx, n_boot=0 if exact else n_boot, weights=weights, rng=rng)

    def p_value(distance: Floats) -> Floats:
        beyond = draws.unchanged + draws.beyond(distance)
        # A random draw that equals the sample has no chance of its own; a listed one does.
        mine = 0.0 if exact else 1.0
        return np.asarray((mine + beyond) / (mine + draws.size), dtype=np.float64)

    low, high = (estimate + _edge(p_value, side * error, 1.0 - level) for side in (-1.0, 1.0))
    p = float(p_value(np.array([null - estimate]))[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(np.float64(estimate - null) / error)
    return WildBootstrap(estimate, statistic, p, low, high, draws.size, exact)


@dataclass(frozen=True, slots=True)
class _Draws:
    """Bootstrap t-ratios as functions of s = θ₀ − θ̂, one row of coefficients per draw.

    The numerator of θ* − θ₀ is linear in s; the sum of squared cluster scores is quadratic given
    it. Draws with equal weights for all clusters give the sample's own t-ratio; only their
    number is kept.
    """

    size: int
    unchanged: int
    linear: Floats  # (draws, 4): Σ ξa, Σ ξb, Σ ξab, Σ ξb²
    squares: Floats  # (draws, 3): Σ ξ²a², Σ ξ²ab, Σ ξ²b²
    jacobian: float  # Σ b
    curvature: float  # Σ b²
    spread: float  # Σ a²

    def beyond(self, s: Floats) -> Ints:
        """Number of draws whose absolute t-ratio is at least the sample's, for each s."""
        block = max(_CHUNK // max(self.linear.shape[0], 1), 1)
        counts = [self._beyond(s[start : start + block]) for start in range(0, s.size, block)]
        return np.concatenate(counts)

    def _beyond(self, s: Floats) -> Ints:
        a, b, ab, bb = self.linear.T[:, :, None]
        shift = (a - s * b) / self.jacobian
        variance = self.squares @ np.stack([np.ones(s.size), -2.0 * s, s**2])
        variance += shift**2 * self.curvature - 2.0 * shift * (ab - s * bb)
        above = shift**2 * self.spread >= s**2 * np.maximum(variance, 0.0) * (1.0 - _TIE)
        return np.asarray(np.count_nonzero(above, axis=0), dtype=np.int64)


def _draws(a: Floats, b: Floats, *, n_boot: int, weights: str, rng: np.random.Generator) -> _Draws:
    """Coefficients of every draw, in chunks; ``n_boot=0`` takes every sign vector once."""
    size = n_boot or 2 ** (a.size - 1)
    step = max(_CHUNK // a.size, 1)
    once = np.column_stack([a, b, a * b, b**2])
    twice = np.column_stack([a**2, a * b, b**2])
    linear, squares, unchanged = [], [], 0
    for start in range(0, size, step):
        shape = (min(step, size - start), a.size)
        if not n_boot:
            xi = _sign_vectors(start, shape)
        else:
            xi = _signs(shape, rng)
            if weights == "webb":
                xi *= rng.choice(_WEBB, shape)
        varied = (xi != xi[:, :1]).any(axis=1)
        unchanged += int(np.count_nonzero(~varied))
        linear.append(xi[varied] @ once)
        squares.append(xi[varied] ** 2 @ twice)
    return _Draws(
        size=size,
        unchanged=unchanged,
        linear=np.concatenate(linear),
        squares=np.concatenate(squares),
        jacobian=float(b.sum()),
        curvature=float(b @ b),
        spread=float(a @ a),
    )


def _edge(p_value: Callable[[Floats], Floats], step: float, alpha: float) -> float:
    """Distance to the last value that is not rejected; ``step`` is a signed standard error."""
    if step == 0.0:
        return 0.0

    def kept(distances: Floats) -> Bools:
        return np.asarray(p_value(distances * step) > alpha + 1e-12)

    # The p-value need not fall steadily: the outermost crossing counts, not the first.
    grid = np.concatenate([np.linspace(0.0, 8.0, 201), 2.0 ** np.arange(3.0625, 30.0, 0.0625)])
    last = int(np.flatnonzero(kept(grid))[-1])
    if last == grid.size - 1:
        return float(np.sign(step)) * np.inf
    low, high = float(grid[last]), float(grid[last + 1])
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, 101, dtype=np.float64)
        inside = int(np.flatnonzero(kept(grid))[-1])
        low, high = float(grid[inside]), float(grid[inside + 1])
    return low * step


def _signs(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Independent signs, one random bit each."""
    width = (shape[1] + 7) // 8
    packed = np.frombuffer(rng.bytes(shape[0] * width), np.uint8).reshape(shape[0], width)
    signs = np.unpackbits(packed, axis=1, count=shape[1]).astype(np.float64)
    signs *= 2.0
    signs -= 1.0
    return signs


def _sign_vectors(start: int, shape: tuple[int, int]) -> Floats:
    """Sign vectors number ``start`` and following; the last sign is always plus."""
    numbers = np.arange(start, start + shape[0])[:, None]
    return 1.0 - 2.0 * ((numbers >> np.arange(shape[1])) & 1).astype(np.float64)
