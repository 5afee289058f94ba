"""Gradient boosting by LightGBM: bin once for all folds, rounds by grouped inner folds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from causalkit.optional import require
from causalkit.typing import Floats, Ints

_THREAD_ROWS = 20_000  # below this, threads cost more than they give


@dataclass(frozen=True, slots=True)
class Boosting:
    """Settings of a LightGBM learner.

    Attributes
    ----------
    max_rounds : int
        Trees at most.
    patience : int or None
        Stop tuning after this many rounds without gain; None fits ``max_rounds`` trees untuned.
    parameters : dict
        LightGBM parameters. The default has 1,023 bins: 255 quantile bins are wide exactly in the
        tails, where nonlinear confounding is strongest, and triple the error of tree-based
        Mundlak nuisances in u-shaped designs.
    """

    max_rounds: int = 500
    patience: int | None = 15
    parameters: dict[str, Any] = field(
        default_factory=lambda: {
            "learning_rate": 0.1,
            "num_leaves": 15,
            "min_child_samples": 20,
            "reg_lambda": 1.0,
            "max_bin": 1023,
        }
    )


def from_sklearn(model: Any) -> Boosting:
    """Keep the settings of an ``lightgbm.LGBMRegressor`` or ``LGBMClassifier`` as they are."""
    parameters = {name: value for name, value in model.get_params().items() if value is not None}
    rounds = int(parameters.pop("n_estimators", 100))
    for name in ("n_jobs", "class_weight", "importance_type", "objective"):
        parameters.pop(name, None)
    return Boosting(max_rounds=rounds, patience=None, parameters=parameters)


@dataclass(frozen=True, slots=True)
class Binned:
    """A feature matrix, binned once for every fold, target and repeat."""

    values: Floats
    dataset: Any


def bin_features(values: Floats, settings: Boosting, seed: int) -> Binned:
    """Bin a matrix; the bins use feature values only, so sharing them leaks no outcome."""
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    parameters = settings.parameters | _fixed(seed, values.shape[0], threads=0)
    dataset = lightgbm.Dataset(values, params=parameters, free_raw_data=True)
    return Binned(values, dataset.construct())


def _fixed(seed: int, n_rows: int, threads: int) -> dict[str, Any]:
    """Parameters that make the same seed give the same trees for any number of threads."""
    return {
        "verbosity": -1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "num_threads": 1 if n_rows < _THREAD_ROWS else threads,
    }


@dataclass(frozen=True, slots=True)
class BoostingFit:
    """Predictions of one boosted fit.

    Attributes
    ----------
    predictions : (len(test),) array
        Out-of-fold predictions.
    losses : dict of int to float
        Sum of validation losses by inner fold, at the chosen number of rounds.
    rounds : int
        Trees.
    model : lightgbm.Booster
        The fitted model.
    """

    predictions: Floats
    losses: dict[int, float]
    rounds: int
    model: Any


@dataclass(frozen=True, slots=True)
class BoostingJob:
    """One fit: which rows train, which are predicted, and how rounds are tuned."""

    target: Floats
    weights: Floats | None
    train: Ints
    test: Ints
    inner: Ints  # (n,)
    kind: Literal["mean", "probability"]
    seed: int
    threads: int
    n_tune: int = 2


def fit_boosting(binned: Binned, settings: Boosting, job: BoostingJob) -> BoostingFit:
    """Fit one training set and predict one test set.

    The number of rounds minimises the summed validation loss over ``n_tune`` inner folds of the
    training set; the final model is refitted on all of it.
    """
    objective = "regression" if job.kind == "mean" else "binary"
    parameters = settings.parameters | _fixed(job.seed, job.train.size, job.threads)
    parameters |= {
        "objective": objective,
        "metric": "l2" if job.kind == "mean" else "binary_logloss",
    }
    rounds = settings.max_rounds
    losses: dict[int, float] = {}
    if settings.patience is not None:
        rounds, losses = _tune(binned, settings, parameters, job)
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    model = lightgbm.train(parameters, _part(binned, job, job.train), num_boost_round=rounds)
    predictions = model.predict(binned.values[job.test], num_threads=parameters["num_threads"])
    return BoostingFit(np.asarray(predictions, dtype=np.float64), losses, rounds, model)


def _part(binned: Binned, job: BoostingJob, rows: Ints) -> Any:
    # Constructed first: building a subset would overwrite labels with the parent's.
    part = binned.dataset.subset(rows).construct()
    part.set_label(job.target[rows])
    if job.weights is not None:
        part.set_weight(job.weights[rows])
    return part


def _tune(
    binned: Binned, settings: Boosting, parameters: dict[str, Any], job: BoostingJob
) -> tuple[int, dict[int, float]]:
    """Find the rounds with the least validation loss, and that loss by inner fold."""
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    inner = job.inner[job.train]
    present = np.unique(inner)
    if present.size < 2:
        return settings.max_rounds, {}
    curves: list[Floats] = []
    sizes: list[float] = []
    used: Sequence[int] = [int(fold) for fold in present[: job.n_tune]]
    for fold in used:
        held_out = job.train[inner == fold]
        history: dict[str, Any] = {}
        lightgbm.train(
            parameters,
            _part(binned, job, job.train[inner != fold]),
            num_boost_round=settings.max_rounds,
            valid_sets=[_part(binned, job, held_out)],
            valid_names=["held_out"],
            callbacks=[
                lightgbm.record_evaluation(history),
                lightgbm.early_stopping(settings.patience, verbose=False),
            ],
        )
        curves.append(np.asarray(next(iter(history["held_out"].values()))))
        weight = held_out.size if job.weights is None else float(job.weights[held_out].sum())
        sizes.append(weight)
    # Curves end where each fold stopped; beyond its end a fold's best loss stands in.
    longest = max(curve.size for curve in curves)
    padded = [np.append(c, np.full(longest - c.size, c.min())) for c in curves]
    total = sum(size * curve for size, curve in zip(sizes, padded, strict=True))
    best = int(np.argmin(total))
    losses = {f: s * float(c[best]) for f, s, c in zip(used, sizes, padded, strict=True)}
    return best + 1, losses
