"""Fits of one nuisance in one fold by every candidate learner, and the choice among them."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from causalkit.nuisance.boosting import Binned, Boosting, BoostingJob, bin_features, fit_boosting
from causalkit.nuisance.features import Features, dense
from causalkit.nuisance.folds import Folds
from causalkit.nuisance.learners import (
    Plan,
    fit_model,
    inner_splits,
    predict_model,
    refuse_missing,
)
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
    compact : Features or None
        The same information in fewer columns, for named learners that make their own powers and
        interactions (``"boosting"``, ``"forest"``). Default: ``features``.
    wide : Features or None
        The features and more columns than rows can carry, for ``"auto"`` to choose among by a
        relaxed lasso. Without missing values.
    """

    name: str
    target: Floats
    features: Features
    learner: str | Learner
    train_on: Bools | None = None
    kind: Literal["mean", "probability"] = "mean"
    compact: Features | None = None
    wide: Features | None = None


@dataclass(frozen=True, slots=True)
class Views:
    """The features of some nuisances as learners want them, each made once.

    Attributes
    ----------
    full, compact : Features
        The same object where there is no compact form.
    wide : Features or None
        For the relaxed lasso of ``"auto"``.
    memo : dict
        Dense matrices and binned data sets made so far.
    """

    full: Features
    compact: Features
    wide: Features | None = None
    memo: dict[Any, Any] = field(default_factory=dict)

    def dense(self, plan: Plan) -> Floats:
        """Whole matrix for a learner that cannot take it in pieces."""
        source = self.compact if plan.own_terms else self.full
        if id(source) not in self.memo:
            self.memo[id(source)] = dense(source)
        values: Floats = self.memo[id(source)]
        return values

    def binned(self, task: "Task", seed: int, of_repeat: dict[Any, Binned]) -> Binned:
        """Binned matrix: shared by all folds, or by the nuisances that train on the same rows.

        The latter, one for each fold, are kept in ``of_repeat``.
        """
        boosting = task.plan.boosting
        assert boosting is not None
        values = self.dense(task.plan)
        key: tuple[Any, ...] = (id(values), repr(boosting.parameters))
        memo, rows = self.memo, None
        if not boosting.share_bins:
            key, memo, rows = (*key, task.fold), of_repeat, np.sort(task.train)
        if key not in memo:
            memo[key] = bin_features(values, boosting, seed, rows)
        found: Binned = memo[key]
        return found


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


def other_candidates(
    tasks: list[Task],
    views: Views,
    settings: Settings,
    linear: dict[tuple[str, int], list[Candidate]],
) -> list[list[Candidate]]:
    """Boosting and scikit-learn candidates of every task, in the order of the tasks.

    A boosting candidate that loses to a linear one in tuning is not refitted.
    """
    if not any(task.plan.boosting or task.plan.models for task in tasks):
        return [[] for _ in tasks]
    seed = seed_of(settings.seed, "bins")
    bins: dict[Any, Binned] = {}
    calls = [
        (
            task,
            views.dense(task.plan),
            views.binned(task, seed, bins) if task.plan.boosting is not None else None,
            settings,
            _rival(linear.get((task.nuisance.name, task.fold), [])),
        )
        for task in tasks
    ]
    if settings.n_jobs == 1:
        return [_fit_task(*call) for call in calls]
    from joblib import Parallel, delayed

    # LightGBM releases the interpreter lock, so its fits share memory in threads.
    threads = not any(task.plan.models for task in tasks)
    pool = Parallel(n_jobs=settings.n_jobs, prefer="threads" if threads else "processes")
    return list(pool(delayed(_fit_task)(*call) for call in calls))


def _rival(candidates: list[Candidate]) -> dict[int, float] | None:
    """Losses by inner fold of the best linear candidate."""
    return best_of(candidates).losses if candidates else None


def _fit_task(
    task: Task,
    values: Floats,
    binned: Binned | None,
    settings: Settings,
    rival: dict[int, float] | None,
) -> list[Candidate]:
    address = ("nuisance", task.nuisance.name, task.repeat, task.fold)
    seed = seed_of(settings.seed, *address)
    fits = []
    if task.plan.boosting is not None and binned is not None:
        boosted = _boost(task, task.plan.boosting, binned, settings, seed, rival)
        fits += [] if boosted is None else [boosted]
    compare = len(task.plan.models) + len(fits) > 1
    for label, model in task.plan.models:
        try:
            fits.append(_fit_sklearn(task, label, model, values, settings, seed, compare=compare))
        except Exception as error:
            where = f"repeat {task.repeat + 1}, fold {task.fold + 1}"
            error.add_note(f"This was {label} for {task.nuisance.name!r}, {where}.")
            raise
    return fits


def _boost(
    task: Task,
    boosting: Boosting,
    binned: Binned,
    settings: Settings,
    seed: int,
    rival: dict[int, float] | None,
) -> Candidate | None:
    job = BoostingJob(
        target=task.nuisance.target,
        weights=settings.weights,
        train=task.train,
        test=task.test,
        inner=settings.folds.inner[task.repeat],
        kind=task.nuisance.kind,
        seed=seed,
        threads=settings.threads,
        rival=rival or None,  # without losses there is nothing to beat
    )
    fit = fit_boosting(binned, boosting, job)
    if fit is None:
        return None
    # Penalised candidates are left out for no other reason.
    alone = bool(task.plan.penalties) and rival is None
    name = "boosting alone for missing values" if alone else "boosting"
    return Candidate(fit.predictions, f"{name} ({fit.rounds} rounds)", fit.losses, fit.model)


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

    refuse_missing(model, values)
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
