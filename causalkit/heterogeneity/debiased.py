"""Debiased lasso: inference on many coefficients when few of them matter."""

from dataclasses import dataclass

import numpy as np

from causalkit.errors import ArgumentError, ConvergenceWarning, check_count
from causalkit.inference.solve import Solution
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

_N_PENALTIES = 30
_WEAKEST = 1e-3  # of the grid, beside the least penalty that selects nothing
_SWEEPS = 2000
# Change of a coefficient in a sweep, beside the largest covariance; less will do to compare errors.
_TOLERANCE, _ROUGH = 1e-9, 1e-5


@dataclass(frozen=True, slots=True)
class Debiased:
    """Debiased lasso of one repeat.

    Attributes
    ----------
    solution : Solution
        Debiased coefficients and their influence values.
    penalised : (k,) array
        The lasso coefficients before debiasing.
    penalty : float
        λ, for columns of mean square one.
    """

    solution: Solution
    penalised: Floats
    penalty: float

    @property
    def selected(self) -> Bools:
        """Coefficients ``(k,)`` that the lasso does not set to zero."""
        return np.asarray(self.penalised != 0.0)


def debiased_lasso(
    x: Floats,
    y: Floats,
    *,
    groups: Ints,
    free: Bools,
    rng: np.random.Generator,
    weights: Floats | None = None,
    penalty: float | None = None,
    nodewise_penalty: float | None = None,
    n_folds: int = 5,
) -> Debiased:
    """Lasso of y on x without intercept, and its one-step correction.

    β̂ minimises Σ w (y − x'β)² / 2n + λ Σ |β_j| over standardised columns;
    the result is β̂ + Θ̂ Σ w x (y − x'β̂) / n with Θ̂ from nodewise lasso regressions.

    Parameters
    ----------
    x : (n, k) array
        Columns, such as moderators times the treatment residual.
    y : (n,) array
        Response, such as the outcome residual.
    groups : (n,) int array
        Rows that stay together in cross-validation: units.
    free : (k,) bool array
        Columns that are not penalised.
    rng : numpy Generator
        Draws the folds.
    weights : (n,) array, optional
        Row weights; their scale does not matter.
    penalty, nodewise_penalty : float, optional
        λ, and that of the regressions of each column on the others, for columns of mean square
        one. Default: least squared error in cross-validation by group, and √(log k / groups).
        With both at zero the result is least squares.
    n_folds : int, default 5

    Returns
    -------
    Debiased

    Raises
    ------
    ArgumentError
        If a penalty is negative, or there are fewer groups than folds.

    References
    ----------
    van de Geer, Bühlmann, Ritov & Dezeure (2014), Annals of Statistics 42, 1166-1202 (Θ̂);
    Semenova, Goldman, Chernozhukov & Taddy (2023), Quantitative Economics 14, 471-510 (residuals
    of panels).
    """
    for name, value in (("penalty", penalty), ("nodewise_penalty", nodewise_penalty)):
        if value is not None and not value >= 0.0:
            raise ArgumentError(f"{name} must not be negative, got {value!r}.")
    n, k = x.shape
    w = np.ones(n) if weights is None else weights * (n / weights.sum())
    scale = np.sqrt((w[:, None] * x**2).mean(axis=0))
    z = x / scale
    parts = _moments(z, y, w, _folds(groups, n_folds, rng))
    gram, cross = _mean(parts)[:-1, :-1], _mean(parts)[:-1, -1]
    bars = np.where(free, 0.0, 1.0)[:, None]
    if penalty is None:
        penalty = _chosen(parts, bars)
    beta = _descend(gram, cross[:, None], penalty * bars)[:, 0]
    if nodewise_penalty is None:
        nodewise_penalty = float(np.sqrt(np.log(max(k, 2)) / np.unique(groups).size))
    # A column must not explain itself.
    apart = np.where(np.eye(k, dtype=bool), np.inf, nodewise_penalty * bars)
    inverse = _inverse(gram, apart)
    residual = w * (y - z @ beta)
    theta = (beta + inverse @ (cross - gram @ beta)) / scale
    influence = residual[:, None] * (z @ (inverse / scale[:, None]).T)
    # What the correction has added is no longer in the scores' mean.
    influence -= w[:, None] * influence.mean(axis=0)
    return Debiased(Solution(theta, influence), beta / scale, penalty)


@dataclass(frozen=True, slots=True)
class _Part:
    """Moments of the rows of one fold: weight, and products of [z, y]."""

    weight: float
    products: Floats  # (k + 1, k + 1)


def _folds(groups: Ints, n_folds: int, rng: np.random.Generator) -> list[Ints]:
    """Rows of each fold; a group is in one."""
    check_count("n_folds", n_folds, least=2)
    codes = np.unique(groups, return_inverse=True)[1]
    n_groups = int(codes.max()) + 1
    if n_groups < n_folds:
        raise ArgumentError(
            f"{n_groups} units are too few for {n_folds} folds of the penalty's cross-validation."
        )
    fold = (rng.permutation(n_groups) % n_folds)[codes]
    return [np.flatnonzero(fold == number) for number in range(n_folds)]


def _moments(z: Floats, y: Floats, w: Floats, folds: list[Ints]) -> list[_Part]:
    """Moments by fold."""
    both = np.column_stack([z, y])
    return [
        _Part(float(w[rows].sum()), (both[rows] * w[rows, None]).T @ both[rows]) for rows in folds
    ]


def _mean(parts: list[_Part]) -> Floats:
    """Second moments ``(k + 1, k + 1)`` of [z, y] over some folds."""
    total = np.sum([part.products for part in parts], axis=0)
    return np.asarray(total / sum(part.weight for part in parts))


def _chosen(parts: list[_Part], bars: Floats) -> float:
    """Penalty of least squared error over held-out folds; ``bars`` ``(k, 1)`` multiply it."""
    whole = _mean(parts)
    # The least penalty that selects nothing: the steepest slope with the free columns alone.
    alone = _descend(whole[:-1, :-1], whole[:-1, -1:], np.where(bars > 0.0, np.inf, 0.0))
    slopes = np.abs(whole[:-1, -1:] - whole[:-1, :-1] @ alone)
    top = float(np.where(bars > 0.0, slopes, 0.0).max())
    grid = max(top, 1e-300) * np.geomspace(1.0, _WEAKEST, _N_PENALTIES)
    losses = np.zeros(_N_PENALTIES)
    for held_out, part in enumerate(parts):
        rest = _mean(parts[:held_out] + parts[held_out + 1 :])
        cross = np.repeat(rest[:-1, -1:], _N_PENALTIES, axis=1)
        beta = _descend(rest[:-1, :-1], cross, bars * grid, tolerance=_ROUGH)
        squares = (part.products[:-1, :-1] @ beta - 2.0 * part.products[:-1, -1:]) * beta
        losses += squares.sum(axis=0)
    return float(grid[int(losses.argmin())])


def _descend(
    gram: Floats, cross: Floats, penalty: Floats, *, tolerance: float = _TOLERANCE
) -> Floats:
    """Minimisers ``(k, r)`` of b'Gb/2 − c'b + Σ p_j |b_j| for r pairs (c, p), by coordinates."""
    beta = np.zeros(cross.shape)
    gradient = np.array(cross)
    size = np.diag(gram)
    enough = tolerance * max(float(np.abs(cross).max(initial=0.0)), 1e-300)
    for _ in range(_SWEEPS):
        largest = 0.0
        for j in np.flatnonzero(size > 0.0):
            pull = gradient[j] + size[j] * beta[j]
            new = np.sign(pull) * np.maximum(np.abs(pull) - penalty[j], 0.0) / size[j]
            step = new - beta[j]
            reach = float(np.abs(step).max(initial=0.0))
            if reach > 0.0:
                gradient -= gram[:, j, None] * step
                beta[j] = new
            largest = max(largest, reach)
        if largest <= enough:
            return beta
    warn(
        f"the lasso had not converged after {_SWEEPS} sweeps: the moderators are close to "
        "collinear; leave out those that others determine.",
        ConvergenceWarning,
    )
    return beta


def _inverse(gram: Floats, penalty: Floats) -> Floats:
    """Approximate inverse whose row j is (e_j − γ_j) / τ_j², γ_j from the nodewise lasso."""
    gamma = _descend(gram, gram, penalty)
    left = np.eye(len(gram)) - gamma.T
    remaining = np.einsum("jk,kj->j", left, gram)
    return np.asarray(left / remaining[:, None])
