"""Debiased lasso: inference on many coefficients when few of them matter."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ConvergenceWarning, check_count
from causalkit.inference.solve import Solution
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

_N_PENALTIES = 30
_N_NODEWISE, _N_COLUMNS = 10, 20  # penalties, and columns that choose among them
_WEAKEST = 1e-3  # of the grid, beside the least penalty that selects nothing
_AFFORDABLE = 1.25  # variance beside that of the largest nodewise penalty
_LESS = (0.5, 0.2, 0.1, 0.05)  # shares of the largest nodewise penalty, tried in turn
_SINGULAR = 1e10
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
    penalty : float, optional
        λ for columns of mean square one. Default: least squared error in cross-validation by
        group.
    nodewise_penalty : float, optional
        That of the regressions of each column on the others. Default: for each column the least
        that makes the variance of its coefficient at most a quarter larger than the one of least
        cross-validated error does; with far fewer columns than rows that is none. With both
        penalties at zero the result is least squares.
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
    Zhang & Zhang (2014), JRSS B 76, 217-242 and Dezeure, Bühlmann, Meier & Meinshausen (2015),
    Statistical Science 30, 533-558 (bias against variance in the nodewise penalty);
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
        penalty = _chosen(parts, bars, np.array([k]), _N_PENALTIES)
    beta = _descend(gram, cross[:, None], penalty * bars)[:, 0]
    # A column must not explain itself.
    apart = np.where(np.eye(k, dtype=bool), np.inf, bars)
    if nodewise_penalty is None:
        few = rng.permutation(np.flatnonzero(~free))[:_N_COLUMNS]
        largest = _chosen(parts, apart[:, few], few, _N_NODEWISE) if few.size else 0.0
        inverse = _economical(gram, apart, largest)
    else:
        inverse = _inverse(gram, _scaled(apart, nodewise_penalty), np.arange(k))
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


def _chosen(parts: list[_Part], bars: Floats, targets: Ints, count: int) -> float:
    """One penalty, of least squared error over held-out folds, for r regressions on z.

    Parameters
    ----------
    parts : list of _Part
        Moments by fold.
    bars : (k, r) array
        Multiplies the penalty; infinite where a column must not take part.
    targets : (r,) int array
        Column of [z, y] that each regression explains.
    count : int
        Penalties to try.
    """
    whole = _mean(parts)
    # The least penalty that selects nothing: the steepest slope with the free columns alone.
    alone = _descend(whole[:-1, :-1], whole[:-1, targets], np.where(bars > 0.0, np.inf, 0.0))
    slopes = np.abs(whole[:-1, targets] - whole[:-1, :-1] @ alone)
    top = float(np.where(np.isfinite(bars) & (bars > 0.0), slopes, 0.0).max())
    grid = max(top, 1e-300) * np.geomspace(1.0, _WEAKEST, count)
    # All penalties and all regressions are solved together: one column for each pair.
    penalties = np.hstack([_scaled(bars, penalty) for penalty in grid])
    losses = np.zeros(count)
    for held_out, part in enumerate(parts):
        rest = _mean(parts[:held_out] + parts[held_out + 1 :])
        cross = np.tile(rest[:-1, targets], count)
        beta = _descend(rest[:-1, :-1], cross, penalties, tolerance=_ROUGH)
        held = np.tile(part.products[:-1, targets], count)
        squares = ((part.products[:-1, :-1] @ beta - 2.0 * held) * beta).sum(axis=0)
        losses += squares.reshape(count, targets.size).sum(axis=1)
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


def _scaled(bars: Floats, penalty: float) -> Floats:
    """Penalties; an infinite bar stays one, also times zero."""
    return np.where(np.isinf(bars), np.inf, np.where(np.isinf(bars), 0.0, bars) * penalty)


def _inverse(
    gram: Floats, penalties: Floats, rows: Ints, *, tolerance: float = _TOLERANCE
) -> Floats:
    """Rows j of the approximate inverse, (e_j − γ_j) / τ_j² with γ_j from the nodewise lasso."""
    gamma = _descend(gram, gram[:, rows], penalties[:, rows], tolerance=tolerance)
    left = np.eye(len(gram))[rows] - gamma.T
    remaining = np.einsum("jk,kj->j", left, gram[:, rows])
    return np.asarray(left / remaining[:, None])


def _variances(inverse: Any, gram: Floats) -> Floats:
    """Variance of each coefficient, up to that of the error."""
    return np.asarray(((inverse @ gram) * inverse).sum(axis=1))


def _economical(gram: Floats, bars: Floats, penalty: float) -> Floats:
    """Approximate inverse, each row as exact as a quarter more variance allows.

    Rows need not be minimisers to the last digit: any approximate inverse corrects.
    """
    rows = np.arange(len(gram))
    inverse = _inverse(gram, _scaled(bars, penalty), rows, tolerance=_ROUGH)
    allowed = _AFFORDABLE * _variances(inverse, gram)
    if np.linalg.cond(gram) < _SINGULAR:
        exact = np.linalg.inv(gram)
        cheap = _variances(exact, gram) <= allowed
        inverse[cheap] = exact[cheap]
        rows = rows[~cheap]
    for share in _LESS:
        if rows.size == 0:
            break
        tried = _inverse(gram, _scaled(bars, share * penalty), rows, tolerance=_ROUGH)
        cheap = _variances(tried, gram) <= allowed[rows]
        inverse[rows[cheap]] = tried[cheap]
        rows = rows[cheap]
    return inverse
