"""Fits of one nuisance in one fold by every candidate learner, and the choice among them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from causalkit.nuisance.boosting import Binned, Boosting, BoostingJob, bin_features, fit_boosting
from causalkit.nuisance.features import Features, dense
from causalkit.nuisance.folds import N_INNER, Folds
from causalkit.nuisance.gram import AtomMoments, accumulate, predict_rows
from causalkit.nuisance.learners import Plan, fit_model, inner_splits, predict_model
from causalkit.nuisance.penalised import LinearFit, fit_penalised
from causalkit.rng import seed_of
from causalkit.typing import Bools, Floats, Ints, Learner


@dataclass(frozen=True, slots=True)
class Nuisance:
    """One regression to cross-fit: E[target | features], trained where ``train_on`` holds.

    Attributes
    ----------
    name : str
        Key of its predictions: ``"outcome"``, ``"propensity"``, ...
    target : (n,) array
    features : Features
        ``(n, p)``; nuisances that share the object share passes over it.
    learner : str or estimator
        See :data:`causalkit.nuisance.LEARNERS`.
    train_on : (n,) bool array or None
        Rows that may train, such as the treated.
    kind : {"mean", "probability"}
        What is predicted.
    """

    name: str
    target: Floats
    features: Features
    learner: str | Learner
    train_on: Bools | None = None
    kind: Literal["mean", "probability"] = "mean"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One learner's fit of one nuisance in one fold."""

    predictions: Floats
    label: str
    losses: dict[int, float]  # by inner fold; empty if not tuned
    model: Any


@dataclass(frozen=True, slots=True)
class Task:
    """One nuisance in one fold of one repeat."""

    nuisance: Nuisance
    plan: Plan
    repeat: int
    fold: int
    train: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Settings:
    """What every fit of one cross-fitting shares."""

    folds: Folds
    weights: Floats | None
    seed: int
    n_jobs: int
    threads: int


def linear_candidates(
    tasks: list[Task], features: Features, settings: Settings
) -> dict[tuple[str, int], list[Candidate]]:
    """Penalised least-squares candidates of every task, from one pass over the rows."""
    wanted = {t.nuisance.name: t.nuisance for t in tasks if t.plan.penalties}
    if not wanted:
        return {}
    names = list(wanted)
    targets = np.column_stack([wanted[name].target for name in names])
    atoms = _atoms(tasks[0], targets, features, settings)
    found: dict[tuple[str, int], list[Candidate]] = {}
    for fold in sorted({task.fold for task in tasks}):
        mine = [task for task in tasks if task.fold == fold and task.plan.penalties]
        asked = [(task, penalty) for task in mine for penalty in task.plan.penalties]
        train = settings.folds.train[mine[0].repeat][fold]
        fits: list[tuple[Task, LinearFit]] = []
        for penalty in dict.fromkeys(penalty for _, penalty in asked):
            subset = [task for task, name in asked if name == penalty]
            columns = [names.index(task.nuisance.name) for task in subset]
            fits += zip(subset, fit_penalised(atoms, train, penalty, columns), strict=True)
        test = mine[0].test
        predicted = predict_rows(
            features, test, [f.coefficients for _, f in fits], [f.intercept for _, f in fits]
        )
        for column, (task, fit) in enumerate(fits):
            candidate = Candidate(predicted[:, column], fit.description, fit.losses, fit)
            found.setdefault((task.nuisance.name, fold), []).append(candidate)
    return found


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


def other_candidates(
    tasks: list[Task], features: Features, settings: Settings
) -> list[list[Candidate]]:
    """Boosting and scikit-learn candidates of every task, in the order of the tasks."""
    if not any(task.plan.boosting or task.plan.models for task in tasks):
        return [[] for _ in tasks]
    values = dense(features)
    binned: dict[int, Binned] = {}
    for task in tasks:
        settings_of = task.plan.boosting
        if settings_of is not None and id(settings_of) not in binned:
            seed = seed_of(settings.seed, "bins")
            binned[id(settings_of)] = bin_features(values, settings_of, seed)
    # LightGBM releases the interpreter lock, so its fits share memory in threads.
    threads = not any(task.plan.models for task in tasks)
    calls = [(task, values, binned.get(id(task.plan.boosting)), settings) for task in tasks]
    if settings.n_jobs == 1:
        return [_fit_task(*call) for call in calls]
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=settings.n_jobs, prefer="threads" if threads else "processes")
    return list(pool(delayed(_fit_task)(*call) for call in calls))


def _fit_task(
    task: Task, values: Floats, binned: Binned | None, settings: Settings
) -> list[Candidate]:
    address = ("nuisance", task.nuisance.name, task.repeat, task.fold)
    seed = seed_of(settings.seed, *address)
    fits = []
    if task.plan.boosting is not None and binned is not None:
        fits.append(_boost(task, task.plan.boosting, binned, settings, seed))
    compare = len(task.plan.models) + len(fits) + len(task.plan.penalties) > 1
    for label, model in task.plan.models:
        fits.append(_fit_sklearn(task, label, model, values, settings, seed, compare=compare))
    return fits


def _boost(
    task: Task, boosting: Boosting, binned: Binned, settings: Settings, seed: int
) -> Candidate:
    job = BoostingJob(
        target=task.nuisance.target,
        weights=settings.weights,
        train=task.train,
        test=task.test,
        inner=settings.folds.inner[task.repeat],
        kind=task.nuisance.kind,
        seed=seed,
        threads=settings.threads,
    )
    fit = fit_boosting(binned, boosting, job)
    return Candidate(fit.predictions, f"boosting ({fit.rounds} rounds)", fit.losses, fit.model)


def _fit_sklearn(
    task: Task,
    label: str,
    model: Any,
    values: Floats,
    settings: Settings,
    seed: int,
    *,
    compare: bool,
) -> Candidate:
    def fit(rows: Ints) -> Any:
        return fit_model(
            model,
            values[rows],
            task.nuisance.target[rows],
            weights=None if settings.weights is None else settings.weights[rows],
            inner=settings.folds.inner[task.repeat][rows],
            seed=seed,
        )

    losses: dict[int, float] = {}
    if compare:
        inner = settings.folds.inner[task.repeat][task.train]
        for train, validation in inner_splits(inner)[:2]:
            held_out = task.train[validation]
            predicted = predict_model(fit(task.train[train]), values[held_out], task.nuisance.kind)
            losses[int(inner[validation[0]])] = _loss(task.nuisance, held_out, predicted, settings)
    fitted = fit(task.train)
    predictions = predict_model(fitted, values[task.test], task.nuisance.kind)
    return Candidate(predictions, label, losses, fitted)


def _loss(nuisance: Nuisance, rows: Ints, predicted: Floats, settings: Settings) -> float:
    """Sum of squared errors, or of log losses for a probability."""
    truth = nuisance.target[rows]
    if nuisance.kind == "probability":
        p = np.clip(predicted, 1e-12, 1 - 1e-12)
        each = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    else:
        each = (truth - predicted) ** 2
    return float(each.sum() if settings.weights is None else settings.weights[rows] @ each)


def best_of(candidates: list[Candidate]) -> Candidate:
    """Candidate with the least loss over the inner folds on which all were judged."""
    if len(candidates) == 1:
        return candidates[0]
    common = set.intersection(*(set(c.losses) for c in candidates))
    if not common:
        return candidates[0]
    return min(candidates, key=lambda c: sum(c.losses[fold] for fold in common))
