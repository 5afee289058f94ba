"""Relaxed lasso on moments: the lasso chooses columns, least squares may undo its shrinkage.

Where a few of hundreds of columns matter, the penalty that keeps the others out shrinks those few
by as much, and what it takes from their coefficients is left in the residuals as confounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalkit.nuisance.gram import AtomMoments
from causalkit.nuisance.penalised import (
    HeldOut,
    LinearFit,
    Standardised,
    inner_pairs,
    lasso_grid,
    lasso_path,
    standardise,
    validation_loss,
)
from causalkit.typing import Bools, Floats

SHARES = (1.0, 0.5, 0.0)  # of the lasso in the coefficients; the rest is least squares
_STEP = 10  # penalties tried before asking whether weaker ones still help
_WORSE = 1.001  # times the least loss
_HAIR = 1e-8  # of the diagonal, so that collinear columns of a lasso solution have one refit


@dataclass(frozen=True, slots=True)
class _Search:
    """Losses ``(n_inner, n_shares, n_tried)`` along a grid, and the best place in it."""

    losses: Floats
    share: int
    penalty: int


def refit(problem: Standardised, target: int, path: Floats) -> Floats:
    """Least squares on the columns that each lasso solution ``(p, n_penalties)`` uses."""
    refitted = np.zeros_like(path)
    for step in range(path.shape[1]):
        active = np.flatnonzero(path[:, step])
        gram = problem.gram[np.ix_(active, active)] + _HAIR * np.eye(active.size)
        refitted[active, step] = np.linalg.solve(gram, problem.cross[active, target])
    return refitted


def fit_relaxed(
    atoms: AtomMoments, train: Bools, targets: Sequence[int], *, label: str
) -> list[LinearFit]:
    """Fit one outer fold for several targets; penalty and relaxation have the least inner loss.

    Every inner problem chooses its columns anew, so a loss does not know the rows that it is of.

    Parameters
    ----------
    atoms : AtomMoments
        Moments of one repeat.
    train : (n_blocks,) bool array
        Training blocks of the outer fold.
    targets : sequence of int
        Target columns to fit.
    label : str
        Name of the candidate.

    References
    ----------
    Meinshausen (2007), Computational Statistics & Data Analysis 52(1); Hastie, Tibshirani &
    Tibshirani (2020), Statistical Science 35(4).
    """
    problem = standardise(atoms.over(train))
    held_out = inner_pairs(atoms, train, problem)
    fits = []
    for target in targets:
        grid = lasso_grid(problem, target)
        found = _search(grid, held_out, target)
        lasso = lasso_path(problem, target, grid[: found.penalty + 1], None)[:, -1:]
        share = SHARES[found.share]
        beta = share * lasso + (1.0 - share) * refit(problem, target, lasso)
        coefficients, intercept = problem.unscaled(beta[:, 0], target, atoms.centre)
        chosen = f"{label} (penalty {grid[found.penalty]:.2g}, {1.0 - share:.0%} relaxed)"
        by_fold = {
            inner: float(found.losses[row, found.share, found.penalty])
            for row, (inner, _, _) in enumerate(held_out)
        }
        fits.append(LinearFit(coefficients, intercept, by_fold, chosen))
    return fits


def _search(grid: Floats, held_out: HeldOut, target: int) -> _Search:
    """Losses from strong to weak penalties, until all of a step are worse than the best.

    Worse, and not merely no better: below the penalty at which a strong column enters, the refit
    and its loss stay the same until the next column does.
    """
    starts: list[Floats | None] = [None] * len(held_out)
    losses = np.empty((len(held_out), len(SHARES), 0))
    share = penalty = 0
    for first in range(0, grid.size if held_out else 0, _STEP):
        some = grid[first : first + _STEP]
        part = np.empty((len(held_out), len(SHARES), some.size))
        for row, (_, rest, validation) in enumerate(held_out):
            lasso = lasso_path(rest, target, some, starts[row])
            starts[row] = lasso[:, -1]
            free = refit(rest, target, lasso)
            for index, weight in enumerate(SHARES):
                mixed = weight * lasso + (1.0 - weight) * free
                part[row, index] = validation_loss(validation, mixed, rest, target)
        losses = np.concatenate([losses, part], axis=2)
        total = losses.sum(axis=0)
        share, penalty = (int(place) for place in np.unravel_index(total.argmin(), total.shape))
        if total[:, first:].min() > _WORSE * total.min():
            break
    return _Search(losses, share, penalty)
