"""Penalised candidates of nuisances: one pass over the rows serves every fold and penalty."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from causalkit.nuisance.candidates import Candidate, Settings, Task, Views
from causalkit.nuisance.features import Features, missing_columns
from causalkit.nuisance.folds import N_INNER
from causalkit.nuisance.gram import AtomMoments, accumulate, predict_rows
from causalkit.nuisance.learners import Plan, missing_refused
from causalkit.nuisance.logistic import LogisticFit, fit_logistic, warn_of
from causalkit.nuisance.penalised import LinearFit, fit_penalised
from causalkit.nuisance.relaxed import fit_relaxed
from causalkit.nuisance.training import rows_of
from causalkit.typing import Bools, Floats

_MANY_FEATURES = 300
_WIDE = "lasso with products"

_Found = dict[tuple[str, int], list[Candidate]]


def linear_candidates(tasks: list[Task], views: Views, settings: Settings) -> _Found:
    """Penalised candidates of every task: least squares for means, logistic for probabilities.

    None where covariates are missing and boosting, which takes them, is a candidate too.
    """
    features = views.full
    able = [task for task in tasks if task.plan.penalties]
    missing = missing_columns(features) if able else np.empty(0, dtype=np.int64)
    if missing.size:
        for task in able:
            if task.plan.boosting is None:
                raise missing_refused(repr(task.plan.label), missing)
        return {}
    found = _least_squares(
        [task for task in able if task.nuisance.kind == "mean"],
        features,
        settings,
        lambda plan: _affordable(plan, features),
    ) | _logistic(
        [task for task in able if task.nuisance.kind == "probability"], features, settings
    )
    if views.wide is not None:
        wide = [task for task in able if task.plan.wide]
        for key, more in _least_squares(wide, views.wide, settings, lambda _: (_WIDE,)).items():
            found[key] += more
    return found


def _least_squares(
    tasks: list[Task],
    features: Features,
    settings: Settings,
    ask: Callable[[Plan], tuple[str, ...]],
) -> _Found:
    """Candidates for conditional means that a plan asks for, from one pass over the rows."""
    if not tasks:
        return {}
    wanted = {t.nuisance.name: t.nuisance for t in tasks}
    names = list(wanted)
    targets = np.column_stack([wanted[name].target for name in names])
    atoms = _atoms(tasks[0], targets, features, settings)
    found: _Found = {}
    for fold in sorted({task.fold for task in tasks}):
        mine = [task for task in tasks if task.fold == fold]
        asked = [(task, name) for task in mine for name in ask(task.plan)]
        train = settings.folds.train[mine[0].repeat][fold]
        fits: list[tuple[Task, LinearFit]] = []
        for penalty in dict.fromkeys(penalty for _, penalty in asked):
            subset = [task for task, name in asked if name == penalty]
            columns = [names.index(task.nuisance.name) for task in subset]
            fits += zip(subset, _fit_linear(atoms, train, penalty, columns), strict=True)
        test = mine[0].test
        predicted = predict_rows(
            features, test, [f.coefficients for _, f in fits], [f.intercept for _, f in fits]
        )
        for column, (task, fit) in enumerate(fits):
            candidate = Candidate(predicted[:, column], fit.description, fit.losses, fit)
            found.setdefault((task.nuisance.name, fold), []).append(candidate)
    return found


def _fit_linear(
    atoms: AtomMoments, train: Bools, penalty: str, columns: list[int]
) -> list[LinearFit]:
    if penalty == _WIDE:
        return fit_relaxed(atoms, train, columns, label=_WIDE)
    return fit_penalised(atoms, train, penalty, columns)


def _logistic(tasks: list[Task], features: Features, settings: Settings) -> _Found:
    """Candidates for probabilities."""
    from joblib import Parallel, delayed

    # Matrix products release the interpreter lock, so threads can share the rows.
    pool = Parallel(n_jobs=settings.n_jobs, prefer="threads")
    fitted = list(pool(delayed(_fit_logistic)(task, features, settings) for task in tasks))
    found: _Found = {}
    for task, candidates in zip(tasks, fitted, strict=True):
        # Here and not in the threads, which do not see what collects the warnings of a fit.
        warn_of([candidate.model for candidate in candidates], task.nuisance.name)
        found[task.nuisance.name, task.fold] = candidates
    return found


def _fit_logistic(task: Task, features: Features, settings: Settings) -> list[Candidate]:
    """Every penalty's fit of one probability in one fold, on rows taken once."""
    rows = rows_of(
        features,
        task.train,
        task.nuisance.target,
        inner=settings.folds.inner[task.repeat],
        weights=settings.weights,
    )
    fits: list[LogisticFit] = [
        fit_logistic(rows, name) for name in _affordable(task.plan, features)
    ]
    odds = predict_rows(
        features, task.test, [fit.coefficients for fit in fits], [fit.intercept for fit in fits]
    )
    chances = expit(odds)
    return [
        Candidate(chances[:, column], fit.description, fit.losses, fit)
        for column, fit in enumerate(fits)
    ]


def _affordable(plan: Plan, features: Features) -> tuple[str, ...]:
    """Candidates worth their cost: with many features a ridge path is slow and rarely wins."""
    if len(plan.penalties) > 1 and features.n_features > _MANY_FEATURES:
        return tuple(name for name in plan.penalties if name != "ridge")
    return plan.penalties


def _atoms(task: Task, targets: Floats, features: Features, settings: Settings) -> AtomMoments:
    folds, repeat = settings.folds, task.repeat
    n_blocks = folds.train[repeat].shape[1]
    train_on = task.nuisance.train_on
    rows = np.arange(folds.n) if train_on is None else np.flatnonzero(train_on)
    return accumulate(
        features,
        targets,
        atom=folds.block[repeat] * N_INNER + folds.inner[repeat],
        shape=(n_blocks, N_INNER),
        weights=settings.weights,
        rows=rows,
    )
