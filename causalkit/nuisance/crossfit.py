"""Cross-fitting: out-of-fold predictions of every nuisance. The only loop over folds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.nuisance.candidates import (
    Candidate,
    Nuisance,
    Settings,
    Task,
    Views,
    best_of,
    other_candidates,
)
from causalkit.nuisance.features import DenseFeatures, Features, dense
from causalkit.nuisance.folds import Folds
from causalkit.nuisance.learners import Plan, check_binary, plan, seeded
from causalkit.nuisance.linear import linear_candidates
from causalkit.nuisance.tuning import Tune, tuned
from causalkit.progress import Progress
from causalkit.rng import seed_of
from causalkit.typing import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Out-of-fold predictions.

    Attributes
    ----------
    predictions : mapping of str to (n, n_rep) array
        By nuisance name.
    chosen : mapping of str to str
        What each learner was, and how often ``"auto"`` chose what.
    models : mapping of (name, repeat, fold) to object
        Fitted models, if they were asked for.
    """

    predictions: Mapping[str, Floats]
    chosen: Mapping[str, str]
    models: Mapping[tuple[str, int, int], Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Floats:
        """Predictions of one nuisance, ``(n, n_rep)``."""
        return self.predictions[name]


def cross_fit(
    nuisances: Sequence[Nuisance],
    folds: Folds,
    *,
    seed: int,
    weights: Floats | None = None,
    imputer: Any = None,
    tune: Tune = "fold",
    given: Mapping[str, Floats] | None = None,
    n_jobs: int = 1,
    store_models: bool = False,
    progress: Progress | None = None,
) -> CrossFit:
    """Out-of-fold predictions of every nuisance, each ``(n, n_rep)``.

    Parameters
    ----------
    nuisances : sequence of Nuisance
        Regressions to fit. One that needs another's predictions is a second call.
    folds : Folds
        Sample splits.
    seed : int
        Each fit draws from a stream of its own, so results do not depend on ``n_jobs``.
    weights : (n,) array or None
        Row weights of every fit.
    imputer : scikit-learn transformer or None
        Fitted inside each training fold, before the learner.
    tune : {"fold", "repeat", "once"}, default "fold"
        Where a search object such as GridSearchCV searches; see
        :func:`causalkit.nuisance.tuning.tuned`.
    given : mapping of str to array, optional
        Predictions from elsewhere, ``(n,)`` or ``(n, n_rep)``; these nuisances are not fitted.
    n_jobs : int
        Fits at once.
    store_models : bool
        Keep fitted models on the result.
    progress : callable or None
        Called with a short text after each finished fit.

    Raises
    ------
    ArgumentError
        If a learner cannot do what is asked, or given or fitted predictions are not finite or
        not of length n.
    """
    if tune != "fold" and imputer is not None:
        raise ArgumentError(
            f"tune={tune!r} searches on all rows, whose missing values are imputed inside folds "
            "only; use tune='fold', or impute before building the data."
        )
    settings = Settings(folds, weights, seed, n_jobs, threads=0 if n_jobs == 1 else 1)
    predictions: dict[str, Floats] = {}
    chosen: dict[str, str] = {}
    models: dict[tuple[str, int, int], Any] = {}
    given = given or {}
    for name, values in given.items():
        predictions[name] = _given(name, values, folds)
        chosen[name] = "given"
    to_fit = [nuisance for nuisance in nuisances if nuisance.name not in given]
    for nuisance in to_fit:
        predictions[nuisance.name] = np.full((folds.n, folds.n_rep), np.nan)
        if nuisance.kind == "probability":
            check_binary(nuisance.target, nuisance.name, nuisance.train_on)
    labels: dict[str, list[str]] = {nuisance.name: [] for nuisance in to_fit}
    for group in _sharing_features(to_fit):
        for task, best in _fit_group(group, settings, imputer, tune, progress):
            name = task.nuisance.name
            predictions[name][task.test, task.repeat] = best.predictions
            labels[name].append(best.label)
            if store_models:
                models[name, task.repeat, task.fold] = best.model
    for nuisance in to_fit:
        _check_finite(nuisance, predictions[nuisance.name])
        chosen[nuisance.name] = _describe(nuisance, labels[nuisance.name])
    return CrossFit(predictions, chosen, models)


def _sharing_features(nuisances: Sequence[Nuisance]) -> Iterable[list[Nuisance]]:
    """Group nuisances that can share one pass: same features, same training rows."""
    groups: dict[tuple[int, ...], list[Nuisance]] = {}
    for nuisance in nuisances:
        views = (nuisance.features, nuisance.compact, nuisance.wide)
        key = (*map(id, views), id(nuisance.train_on))
        groups.setdefault(key, []).append(nuisance)
    return groups.values()


def _fit_group(
    group: list[Nuisance],
    settings: Settings,
    imputer: Any,
    tune: Tune,
    progress: Progress | None,
) -> Iterable[tuple[Task, Candidate]]:
    folds, first = settings.folds, group[0]
    views = Views(first.features, first.compact or first.features, first.wide)
    for repeat in range(folds.n_rep):
        if repeat == 0 or tune == "repeat":
            ready = tuned(
                group, folds, repeat, tune=tune, seed=settings.seed, weights=settings.weights
            )
            plans = [plan(nuisance.learner, nuisance.kind) for nuisance in ready]
        if imputer is None:
            yield from _fit_repeat(group, plans, views, settings, repeat, None, progress)
            continue
        for fold in range(folds.test[repeat].shape[0]):
            train, _ = folds.split(repeat, fold)
            rows = _training_rows(train, first.train_on)
            filled = _impute(imputer, views, rows, seed_of(settings.seed, "imputer", repeat, fold))
            yield from _fit_repeat(group, plans, filled, settings, repeat, fold, progress)


def _impute(imputer: Any, views: Views, train: Ints, seed: int) -> Views:
    """Views with missing values filled by an imputer that saw training rows only."""
    from sklearn.base import clone

    filled: dict[int, Features] = {}
    for source in (views.full, views.compact):
        if id(source) not in filled:
            values = dense(source)
            complete = seeded(clone(imputer), seed).fit(values[train]).transform(values)
            filled[id(source)] = DenseFeatures(np.ascontiguousarray(complete))
    return Views(filled[id(views.full)], filled[id(views.compact)], views.wide)


def _training_rows(train: Ints, train_on: Bools | None) -> Ints:
    return train if train_on is None else train[train_on[train]]


def _fit_repeat(
    group: list[Nuisance],
    plans: list[Plan],
    views: Views,
    settings: Settings,
    repeat: int,
    only: int | None,
    progress: Progress | None,
) -> Iterable[tuple[Task, Candidate]]:
    """All folds of one repeat (or one of them), for nuisances that share their features."""
    tasks = _tasks(group, plans, settings.folds, repeat, only)
    linear = linear_candidates(tasks, views, settings)
    other = other_candidates(tasks, views, settings, linear)
    for task, fits in zip(tasks, other, strict=True):
        best = best_of([*linear.get((task.nuisance.name, task.fold), []), *fits])
        if progress is not None:
            progress(
                f"{task.nuisance.name}, repeat {repeat + 1}, fold {task.fold + 1}: {best.label}"
            )
        yield task, best


def _tasks(
    group: list[Nuisance],
    plans: list[Plan],
    folds: Folds,
    repeat: int,
    only: int | None,
) -> list[Task]:
    tasks = []
    for fold, (train, test) in enumerate(folds.splits(repeat)):
        if only is not None and fold != only:
            continue
        rows = _training_rows(train, group[0].train_on)
        if rows.size == 0:
            raise ArgumentError(
                f"fold {fold} of repeat {repeat} leaves no training rows for "
                f"{group[0].name!r}; use fewer folds, or another split."
            )
        for nuisance, resolved in zip(group, plans, strict=True):
            tasks.append(Task(nuisance, resolved, repeat, fold, rows, test))
    return tasks


def _given(name: str, values: Floats, folds: Folds) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.shape != (folds.n, folds.n_rep):
        raise ArgumentError(
            f"predictions given for {name!r} have shape {array.shape}; expected "
            f"({folds.n}, {folds.n_rep}): one row per observation, one column per repeat."
        )
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ArgumentError(f"the prediction given for {name!r} at row {row} is not finite.")
    return array


def _check_finite(nuisance: Nuisance, predictions: Floats) -> None:
    if not np.isfinite(predictions).all():
        row = int(np.argwhere(~np.isfinite(predictions))[0, 0])
        raise ArgumentError(
            f"the learner for {nuisance.name!r} predicted a value that is not finite at row {row}; "
            "rescale the covariates, or use another learner."
        )


def _describe(nuisance: Nuisance, labels: list[str]) -> str:
    """Learner of a nuisance; for ``"auto"``, how often each candidate was chosen."""
    name = (
        nuisance.learner if isinstance(nuisance.learner, str) else type(nuisance.learner).__name__
    )
    kinds = Counter(label.split(" (")[0] for label in labels)
    if name != "auto":
        return name
    return "auto: " + ", ".join(
        f"{kind} in {n} of {len(labels)}" for kind, n in kinds.most_common()
    )
