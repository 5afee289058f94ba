"""Logistic regression without penalty, by ridge or by lasso, the penalty chosen by inner folds.

Proximal Newton (Lee, Sun & Saunders 2014) on second derivatives that are summed by inner fold, so
that one pass over the rows serves the fit on all training rows and every fit without a fold; a
step costs p³, and second derivatives are taken anew only where steps stop shrinking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causalkit.errors import ConvergenceWarning
from causalkit.nuisance.proximal import Curvature, minimise
from causalkit.nuisance.training import ROUNDING, Rows
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

_FLAT = 1e-9  # least p(1 − p) in a second derivative
_GRIDS = {
    "lasso": np.geomspace(1.0, 1e-4, 30),  # beside the least penalty that selects nothing
    "ridge": np.logspace(1, -7, 25),
}
_STEP = 5  # penalties between looks at whether the loss still falls
_EXPLAINED = 1e-3  # deviance left, beside that of a constant, at which a path ends
_PATH, _FINAL = 1e-8, 1e-20  # Newton decrement at which a fit on a path, or the last one, ends
_SHRINKS = 0.3  # a step beside the last one above which second derivatives are taken anew
_STEPS = {_PATH: 25, _FINAL: 100}
_NEGLIGIBLE = 1e-10  # decrement that is no problem where rounding keeps it above the criterion
_APART = 0.1  # change of a row's log odds in one more step: the classes are separated


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted logistic regression.

    Attributes
    ----------
    coefficients : (p,) array
        In the units of the features.
    intercept : float
        Log odds at zero; never penalised.
    losses : dict of int to float
        Sum of log losses by inner fold, at the chosen penalty; empty if none was chosen.
    description : str
        Learner and penalty chosen.
    problem : str or None
        Why the fit is not the optimum it should be.
    """

    coefficients: Floats
    intercept: float
    losses: dict[int, float]
    description: str
    problem: str | None = None


@dataclass(slots=True)
class _Fits:
    """Fits under way: on all training rows, and on all but one inner fold.

    ``without`` is the inner fold that each leaves out, −1 for none. Losses, gradients and second
    derivatives are means over a fit's own rows.
    """

    without: Ints  # (K,)
    share: Floats  # (K,) of the weights in a fit's rows
    beta: Floats  # (1 + p, K)
    gradient: Floats  # (1 + p, K)
    loss: Floats  # (K,)
    held: Floats  # (K,) sum over the rows left out, of weights that sum to one over all rows
    curvature: list[Curvature]
    own: list[bool]  # whether the curvature is that at beta


def _evaluate(rows: Rows, without: Ints, share: Floats, beta: Floats) -> tuple[Floats, ...]:
    """Mean loss ``(k,)``, loss left out ``(k,)`` and gradient ``(1 + p, k)``, in one pass."""
    losses = np.zeros((rows.names.size, without.size))
    gradient = np.zeros(beta.shape)
    for fold, piece in rows.pieces():
        x, y, w = rows.x[piece], rows.y[piece], rows.w[piece]
        odds = x @ beta
        small = np.exp(-np.abs(odds))
        losses[fold] += w @ (np.log1p(small) + np.maximum(odds, 0.0) - y[:, None] * odds)
        residual = np.where(odds >= 0.0, 1.0, small) / (1.0 + small)
        residual -= y[:, None]
        residual *= w[:, None]
        residual[:, without == fold] = 0.0
        gradient += x.T @ residual
    left_out = without >= 0
    held = np.zeros(without.size)
    held[left_out] = losses[without[left_out], np.flatnonzero(left_out)]
    return (losses.sum(axis=0) - held) / share, held, gradient / share


def _curvature(rows: Rows, beta: Floats, skip: int = -1) -> Floats:
    """Second derivatives by inner fold ``(S, 1 + p, 1 + p)``; zero for the one that is skipped."""
    found = np.zeros((rows.names.size, beta.size, beta.size))
    for fold, piece in rows.pieces():
        if fold == skip:
            continue
        x = rows.x[piece]
        small = np.exp(-np.abs(x @ beta))
        slope = np.maximum(small / (1.0 + small) ** 2, _FLAT)
        scaled = x * np.sqrt(slope * rows.w[piece])[:, None]
        found[fold] += scaled.T @ scaled
    return found


def _start(rows: Rows, *, tune: bool) -> _Fits:
    """Fits at a constant probability; a fit whose rows would hold one class is not made."""
    shares = np.add.reduceat(rows.w, rows.bounds[:-1])
    treated = np.add.reduceat(rows.w * rows.y, rows.bounds[:-1])
    rest, ones = 1.0 - shares, treated.sum() - treated
    fair = (shares > 0) & (ones > ROUNDING) & (rest - ones > ROUNDING)
    without = np.append(-1, np.flatnonzero(fair) if tune else []).astype(np.int64)
    share = np.append(1.0, rest[without[1:]])
    chance = np.append(treated.sum(), ones[without[1:]]) / share
    beta = np.zeros((rows.x.shape[1], without.size))
    beta[0] = np.log(chance) - np.log1p(-chance)
    loss, held, gradient = _evaluate(rows, without, share, beta)
    fits = _Fits(without, share, beta, gradient, loss, held, [], [False] * without.size)
    _renew_all(rows, fits)
    return fits


def _renew_all(rows: Rows, fits: _Fits) -> None:
    """Second derivatives of every fit from those by inner fold at the fit on all rows."""
    parts = _curvature(rows, fits.beta[:, 0])
    whole = parts.sum(axis=0)
    fits.curvature = [
        Curvature((whole if fold < 0 else whole - parts[fold]) / share)
        for fold, share in zip(fits.without, fits.share, strict=True)
    ]
    fits.own = [k == 0 for k in range(fits.without.size)]


def _renew(rows: Rows, fits: _Fits, k: int) -> None:
    """Second derivatives of one fit at its own coefficients."""
    parts = _curvature(rows, fits.beta[:, k], int(fits.without[k]))
    fits.curvature[k] = Curvature(parts.sum(axis=0) / fits.share[k])
    fits.own[k] = True


def _penalised(beta: Floats, kind: str, penalty: float) -> Floats:
    """Penalty term of each column."""
    if kind == "lasso":
        return np.asarray(penalty * np.abs(beta[1:]).sum(axis=0))
    return np.asarray(0.5 * penalty * (beta[1:] ** 2).sum(axis=0))


def _descend(rows: Rows, fits: _Fits, kind: str, penalty: float, enough: float) -> float:
    """Take all fits to their optima at one penalty; the largest decrement that is left."""
    active = np.arange(fits.without.size)
    last = np.full(active.size, np.inf)
    for _ in range(_STEPS[enough]):
        goal = np.column_stack(
            [minimise(fits.curvature[k], fits.gradient[:, k], fits.beta[:, k], kind, penalty)
             for k in active]
        )  # fmt: skip
        step = goal - fits.beta[:, active]
        decrement = np.array(
            [d @ (fits.curvature[k].matrix @ d) for k, d in zip(active, step.T, strict=True)]
        )
        moved = _move(rows, fits, active, goal, kind, penalty)
        slow = moved & (decrement > enough) & (decrement > _SHRINKS**2 * last[active])
        done = moved & (decrement <= enough)
        # No decrease along the exact Newton direction: rounding is all that is left.
        stuck = ~moved & np.array([fits.own[k] for k in active])
        for k in active[stuck]:
            done[active == k] = not _halve(rows, fits, int(k), goal[:, active == k], kind, penalty)
        last[active] = np.where(moved | done, decrement, np.inf)
        _refresh(rows, fits, active[(slow | (~moved & ~stuck)) & ~done])
        active = active[~done]
        if not active.size:
            break
    return float(last[active].max(initial=0.0))


def _move(rows: Rows, fits: _Fits, active: Ints, goal: Floats, kind: str, penalty: float) -> Bools:
    """Move each fit to its goal where that does not raise its objective."""
    loss, held, gradient = _evaluate(rows, fits.without[active], fits.share[active], goal)
    before = fits.loss[active] + _penalised(fits.beta[:, active], kind, penalty)
    after = loss + _penalised(goal, kind, penalty)
    moved = after <= before + ROUNDING * np.abs(before)
    to = active[moved]
    fits.beta[:, to], fits.gradient[:, to] = goal[:, moved], gradient[:, moved]
    fits.loss[to], fits.held[to] = loss[moved], held[moved]
    for k in to:
        fits.own[k] = False
    return np.asarray(moved)


def _halve(rows: Rows, fits: _Fits, k: int, goal: Floats, kind: str, penalty: float) -> bool:
    """Shorten a step until it lowers the objective; whether it did."""
    one, start = np.array([k]), fits.beta[:, [k]]
    for power in range(1, 30):
        between = start + (goal - start) * 0.5**power
        if _move(rows, fits, one, between, kind, penalty)[0]:
            _renew(rows, fits, k)
            return True
    return False


def _refresh(rows: Rows, fits: _Fits, which: Ints) -> None:
    """Second derivatives anew: for all from the fit on all rows, or for those that need their own.

    The fits without a fold are near the fit on all rows, unless rows are few.
    """
    if which.size and which[0] == 0:
        _renew_all(rows, fits)
        return
    for k in which:
        _renew(rows, fits, int(k))


def fit_logistic(
    rows: Rows, kind: str, *, grid: Floats | None = None, tune: bool = True
) -> LogisticFit:
    """Fit one training set; the penalty has the least log loss on inner folds left out.

    The objective is the weighted mean of log losses plus λ Σ|b| (lasso) or λ Σ b² / 2 (ridge) of
    the coefficients of standardised features.

    Parameters
    ----------
    rows : Rows
        See :func:`causalkit.nuisance.training.rows_of`.
    kind : {"linear", "ridge", "lasso"}
        Penalty.
    grid : array, optional
        Penalties λ from strong to weak. Default: 30 from the least that selects nothing down to
        1e-4 of it (lasso); 25 from 10 to 1e-7 (ridge). A path ends early once five penalties in a
        row bring no gain, or 99.9 % of the deviance is explained, as in separable data.
    tune : bool
        False: the last penalty of the grid, without inner folds.
    """
    tune = tune and kind != "linear"
    fits = _start(rows, tune=tune)
    null = float(fits.loss[0])
    if kind == "linear":
        grid = np.zeros(1)
    elif grid is None:
        top = float(np.abs(fits.gradient[1:, 0]).max(initial=0.0)) if kind == "lasso" else 1.0
        grid = _GRIDS[kind] * max(top, 1e-12)
    path: list[Floats] = []
    losses: list[Floats] = []
    for index, penalty in enumerate(grid):
        _descend(rows, fits, kind, float(penalty), _PATH)
        path.append(fits.beta[:, 0].copy())
        losses.append(fits.held[1:].copy())
        totals = np.sum(losses, axis=1)
        if tune and index % _STEP == _STEP - 1 and index - int(totals.argmin()) >= _STEP:
            break
        if tune and float(fits.loss[0]) < _EXPLAINED * null:
            break
    chosen = int(np.sum(losses, axis=1).argmin()) if fits.without.size > 1 else len(path) - 1
    by_fold = {
        int(rows.names[fold]): float(rows.total * losses[chosen][k])
        for k, fold in enumerate(fits.without[1:])
    }
    return _finish(rows, kind, float(grid[chosen]), path[chosen], by_fold)


def _finish(
    rows: Rows, kind: str, penalty: float, start: Floats, losses: dict[int, float]
) -> LogisticFit:
    """Fit at the chosen penalty to the last digit, in the features' own units."""
    fits = _start(rows, tune=False)
    fits.beta = start[:, None].copy()
    fits.loss, fits.held, fits.gradient = _evaluate(rows, fits.without, fits.share, fits.beta)
    _renew_all(rows, fits)
    problem = None
    if kind == "linear" and _separated(rows, fits):
        problem = "separated"
    elif _descend(rows, fits, kind, penalty, _FINAL) > _NEGLIGIBLE:
        problem = "stopped"
    beta = fits.beta[:, 0]
    coefficients = beta[1:] / rows.scale
    label = kind if kind == "linear" else f"{kind} (penalty {penalty:.2g})"
    intercept = float(beta[0] - rows.mean @ coefficients)
    return LogisticFit(coefficients, intercept, losses, label, problem)


def _separated(rows: Rows, fits: _Fits) -> bool:
    """Whether log odds grow though the loss hardly falls: no finite coefficients are best."""
    beta = fits.beta[:, 0]
    goal = minimise(fits.curvature[0], fits.gradient[:, 0], beta, "linear", 0.0)
    return float(np.abs(rows.x @ (goal - beta)).max()) > _APART


def warn_of(fits: Sequence[LogisticFit], name: str) -> None:
    """Warn, once for each kind of problem, of fits that are not what they should be."""
    problems = {fit.problem for fit in fits}
    if "separated" in problems:
        warn(
            f"covariates predict {name!r} perfectly for some rows, where logistic regression "
            "without penalty has no finite solution; use learner='ridge' or 'lasso'.",
            ConvergenceWarning,
        )
    if "stopped" in problems:
        warn(
            f"the logistic regression for {name!r} stopped before its optimum; the features are "
            "close to collinear: use a smaller basis.",
            ConvergenceWarning,
        )
