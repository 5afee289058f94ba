"""Least squares, ridge and lasso solved on moments, with the penalty chosen by leave-out moments.

No solver here sees a row: a fit costs p³ and a validation loss p², whatever n is.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from causalkit.errors import ConvergenceWarning
from causalkit.nuisance.gram import AtomMoments, Moments
from causalkit.nuisance.training import ROUNDING
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

_N_RIDGE = 40
_N_LASSO = 60


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A fitted linear predictor.

    Attributes
    ----------
    coefficients : (p,) array
        In the units of the features.
    intercept : float
        Prediction at zero.
    losses : dict of int to float
        Sum of squared validation errors by inner fold, at the chosen penalty.
    description : str
        Learner and penalty chosen.
    """

    coefficients: Floats
    intercept: float
    losses: dict[int, float]
    description: str


@dataclass(frozen=True)
class Standardised:
    """A regression problem on standardised features: correlation matrix and its eigenvectors."""

    gram: Floats  # (p, p)
    cross: Floats  # (p, m) covariance of features and targets
    scale: Floats  # (p,) sd of features; 1 where constant
    mean: Floats  # (p + m,)
    variance: Floats  # (m,) of the targets

    @cached_property
    def eigen(self) -> tuple[Floats, Floats]:
        """Eigenvalues and eigenvectors of ``gram``, shared by all targets."""
        values, vectors = np.linalg.eigh(self.gram)
        return values, vectors

    def unscaled(self, beta: Floats, target: int, centre: Floats) -> tuple[Floats, float]:
        """Coefficients and intercept in the features' own units."""
        p = self.gram.shape[0]
        coefficients = beta / self.scale
        mean = self.mean + centre
        return coefficients, float(mean[p + target] - mean[:p] @ coefficients)


def standardise(moments: Moments, scale: Floats | None = None) -> Standardised:
    """Centre and scale; columns without variance get weight zero."""
    p = moments.n_features
    mean, covariance = moments.centred()
    variance = np.diag(covariance)
    level = np.abs(mean + moments.centre)[:p]
    live = variance[:p] > (ROUNDING * np.maximum(level, np.finfo(np.float64).tiny)) ** 2
    if scale is None:
        scale = np.where(live, np.sqrt(np.maximum(variance[:p], 0.0)), 1.0)
        scale[scale == 0.0] = 1.0
    gram = covariance[:p, :p] / np.outer(scale, scale)
    cross = covariance[:p, p:] / scale[:, None]
    gram[~live] = 0.0
    gram[:, ~live] = 0.0
    cross[~live] = 0.0
    return Standardised(gram, cross, scale, mean, np.maximum(variance[p:], 0.0))


_Path = Callable[[Standardised, int, Floats, Floats | None], Floats]


def _least_squares(
    problem: Standardised, target: int, _grid: Floats, _start: Floats | None
) -> Floats:
    values, vectors = problem.eigen
    keep = values > max(values[-1], 1.0) * problem.gram.shape[0] * np.finfo(float).eps * 8
    rotated = vectors[:, keep].T @ problem.cross[:, target]
    return np.asarray((vectors[:, keep] @ (rotated / values[keep]))[:, None])


def _ridge_path(problem: Standardised, target: int, grid: Floats, _start: Floats | None) -> Floats:
    values, vectors = problem.eigen
    rotated = vectors.T @ problem.cross[:, target]
    shrunk = rotated[:, None] / (np.maximum(values, 0.0)[:, None] + grid)
    return np.asarray(vectors @ shrunk)


def lasso_path(problem: Standardised, target: int, grid: Floats, start: Floats | None) -> Floats:
    """Solutions ``(p, len(grid))`` for falling penalties, from a start if one is given."""
    # sklearn costs a second to import, and nothing else in this module needs it.
    from sklearn.exceptions import ConvergenceWarning as NotConverged
    from sklearn.linear_model import lasso_path

    with warnings.catch_warnings():
        # Judged by the optimality conditions of the penalty that is chosen, not along the path.
        warnings.simplefilter("ignore", NotConverged)
        # A one-row stand-in: with the Gram matrix given, only sizes and y'y are read from it.
        _, path, _ = lasso_path(
            np.zeros((1, problem.gram.shape[0]), order="F"),
            np.array([np.sqrt(problem.variance[target])]),
            alphas=grid,
            precompute=np.ascontiguousarray(problem.gram),
            Xy=np.ascontiguousarray(problem.cross[:, target]),
            coef_init=start,
            check_input=False,
            max_iter=3000,
            tol=1e-5,
        )
    return np.asarray(path)


def _warn_unless_optimal(problem: Standardised, target: int, beta: Floats, penalty: float) -> None:
    """Warn if a lasso solution violates |x'(y − xβ)| ≤ penalty by more than a twentieth."""
    gradient = problem.cross[:, target] - problem.gram @ beta
    excess = float(np.abs(gradient).max()) / penalty - 1.0
    if excess > 0.05:
        warn(
            f"lasso stopped before its optimum (optimality condition exceeded by {excess:.0%}); "
            "the features are close to collinear: use learner='ridge', or a smaller basis.",
            ConvergenceWarning,
        )


def _ridge_grid(_problem: Standardised, _target: int) -> Floats:
    return np.logspace(1, -7, _N_RIDGE)


def lasso_grid(problem: Standardised, target: int) -> Floats:
    """Penalties from the least that leaves no column, down to a ten-thousandth of it."""
    top = float(np.abs(problem.cross[:, target]).max())
    return np.geomspace(max(top, 1e-12), max(top, 1e-12) * 1e-4, _N_LASSO)


def _no_grid(_problem: Standardised, _target: int) -> Floats:
    return np.zeros(1)


@dataclass(frozen=True, slots=True)
class _Penalty:
    """A solver along a grid of penalties, the grid, and how many penalties to try at once."""

    path: _Path
    grid: Callable[[Standardised, int], Floats]
    step: int


_PENALTIES = {
    "linear": _Penalty(_least_squares, _no_grid, 1),
    "ridge": _Penalty(_ridge_path, _ridge_grid, _N_RIDGE),
    "lasso": _Penalty(lasso_path, lasso_grid, 10),
}


def validation_loss(moments: Moments, beta: Floats, problem: Standardised, target: int) -> Floats:
    """Sum of squared errors over held-out rows for every column of ``beta``, from moments."""
    p = moments.n_features
    # Work in the training fold's standardised, centred coordinates.
    slope = beta / problem.scale[:, None]
    shift = problem.mean[p + target] - problem.mean[:p] @ slope
    weights = np.vstack(
        [-shift, -slope, np.zeros((moments.products.shape[0] - 1 - p, beta.shape[1]))]
    )
    weights[1 + p + target] = 1.0
    return np.asarray(np.einsum("ij,ij->j", weights, moments.products @ weights))


def fit_penalised(
    atoms: AtomMoments, train: Bools, penalty: str, targets: Sequence[int]
) -> list[LinearFit]:
    """Fit one outer fold for several targets; the penalty has the least inner loss.

    Parameters
    ----------
    atoms : AtomMoments
        Moments of one repeat.
    train : (n_blocks,) bool array
        Training blocks of the outer fold.
    penalty : {"linear", "ridge", "lasso"}
        Kind of penalty on standardised coefficients.
    targets : sequence of int
        Target columns to fit.

    Returns
    -------
    list of LinearFit
        In the order of ``targets``.
    """
    solver = _PENALTIES[penalty]
    problem = standardise(atoms.over(train))
    held_out = inner_pairs(atoms, train, problem)
    fits = []
    for target in targets:
        grid = solver.grid(problem, target)
        losses = _validation_losses(solver, grid, held_out, target)
        best = int(losses.sum(axis=0).argmin()) if held_out else grid.size - 1
        beta = solver.path(problem, target, grid[: best + 1], None)[:, -1]
        if penalty == "lasso":
            _warn_unless_optimal(problem, target, beta, float(grid[best]))
        coefficients, intercept = problem.unscaled(beta, target, atoms.centre)
        label = penalty if penalty == "linear" else f"{penalty} (penalty {grid[best]:.2g})"
        by_fold = {inner: float(losses[row, best]) for row, (inner, _, _) in enumerate(held_out)}
        fits.append(LinearFit(coefficients, intercept, by_fold, label))
    return fits


HeldOut = list[tuple[int, Standardised, Moments]]


def _validation_losses(solver: _Penalty, grid: Floats, held_out: HeldOut, target: int) -> Floats:
    """Losses ``(n_inner, n_tried)``, from strong to weak penalties until they rise for good.

    The weak end of a lasso path costs the most and wins the least: it is not computed once a
    whole step of penalties has brought no gain.
    """
    starts: list[Floats | None] = [None] * len(held_out)
    found = np.empty((len(held_out), 0))
    for first in range(0, grid.size if held_out else 0, solver.step):
        part = np.empty((len(held_out), grid[first : first + solver.step].size))
        for row, (_, rest, validation) in enumerate(held_out):
            beta = solver.path(rest, target, grid[first : first + solver.step], starts[row])
            starts[row] = beta[:, -1]
            part[row] = validation_loss(validation, beta, rest, target)
        found = np.hstack([found, part])
        if found.sum(axis=0).argmin() < first:
            break
    return found


def inner_pairs(atoms: AtomMoments, train: Bools, problem: Standardised) -> HeldOut:
    """Problem without, and moments of, each inner fold that has rows in the training blocks."""
    n_inner = atoms.products.shape[1]
    pairs = []
    for inner in range(n_inner):
        chosen = np.arange(n_inner) == inner
        validation, rest = atoms.over(train, chosen), atoms.over(train, ~chosen)
        if validation.weight > 0 and rest.weight > 0:
            # The outer scale in every inner problem: a penalty means the same in all of them.
            pairs.append((inner, standardise(rest, problem.scale), validation))
    return pairs
