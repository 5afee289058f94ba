"""Tuning of scikit-learn search objects outside of the folds: once, or once for each repeat."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from causalkit.nuisance.candidates import Nuisance
from causalkit.nuisance.features import dense
from causalkit.nuisance.folds import Folds
from causalkit.nuisance.learners import fit_model
from causalkit.rng import seed_of
from causalkit.typing import Floats

Tune = Literal["fold", "repeat", "once"]
TUNE: tuple[Tune, ...] = ("fold", "repeat", "once")


def is_search(learner: Any) -> bool:
    """Whether a learner is a search that leaves a ``best_estimator_``, such as GridSearchCV."""
    return hasattr(learner, "estimator") and hasattr(learner, "refit") and hasattr(learner, "cv")


def tuned(
    nuisances: Sequence[Nuisance],
    folds: Folds,
    repeat: int,
    *,
    tune: Tune,
    seed: int,
    weights: Floats | None,
) -> list[Nuisance]:
    """Nuisances whose searches have been replaced by what they find on all training rows.

    Faster than a search in every fold by the number of folds, at the price that held-out rows
    had a say in the tuning parameters; inner folds stay grouped like the split. Named learners
    tune themselves inside each fold in any case.

    Parameters
    ----------
    nuisances : sequence of Nuisance
    folds : Folds
        Whose inner folds the search uses.
    repeat : int
        Repeat to tune for; with ``tune="once"`` the first one serves all.
    tune : {"fold", "repeat", "once"}
    seed : int
    weights : (n,) array or None
    """
    if tune == "fold":
        return list(nuisances)
    inner = folds.inner[0 if tune == "once" else repeat]
    found = []
    for nuisance in nuisances:
        if is_search(nuisance.learner):
            kept = nuisance.train_on
            rows = np.arange(folds.n) if kept is None else np.flatnonzero(kept)
            searched = fit_model(
                nuisance.learner,
                dense(nuisance.features)[rows],
                nuisance.target[rows],
                weights=None if weights is None else weights[rows],
                inner=inner[rows],
                seed=seed_of(seed, "tune", nuisance.name, 0 if tune == "once" else repeat),
            )
            nuisance = replace(nuisance, learner=searched.best_estimator_)
        found.append(nuisance)
    return found
