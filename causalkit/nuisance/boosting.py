"""Gradient boosting by LightGBM: bin once for all folds, rounds by grouped inner folds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from causalkit.optional import require
from causalkit.typing import Floats, Ints

_HOPELESS = 1.1  # loss beside a rival's on the first inner fold at which tuning stops
_HISTOGRAM = 2**16  # bins of all features together
_GLANCE = 10  # rounds between looks at whether a race is lost
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
    share_bins : bool
        Bin all rows once for every fold. A LightGBM object bins each training set by itself, as
        it would outside of this library, so that predictions are exactly its own.
    parameters : dict
        LightGBM parameters. The default grows trees as XGBoost does by default: 64 leaves, single
        rows as leaves (of a probability, see :meth:`of`), ridge penalty 1. Without ``max_bin``
        there are up to 4,095 bins, fewer if there are many features: 255 quantile bins are wide
        exactly in the tails, where nonlinear confounding is strongest, and double the error of
        tree-based Mundlak nuisances in u-shaped designs.
    """

    max_rounds: int = 500
    patience: int | None = 15
    share_bins: bool = True
    parameters: dict[str, Any] = field(
        default_factory=lambda: {
            "learning_rate": 0.1,
            "num_leaves": 63,
            "min_child_samples": 0,  # a leaf's rows are guessed from weights
            "reg_lambda": 1.0,
            "min_data_in_bin": 1,
        }
    )

    @classmethod
    def of(cls, kind: Literal["mean", "probability"]) -> "Boosting":
        """Default of a mean or a probability.

        The leaf of a probability holds rows with a Σ p(1 − p) of one, as by default in XGBoost:
        four, or a hundred where p is .01. Single rows would bring the probability of what few
        received down to nothing wherever none of them was.
        """
        made = cls()
        if kind == "mean":
            return made
        return cls(parameters=made.parameters | {"min_child_weight": 1.0})


def from_sklearn(model: Any) -> Boosting:
    """Settings of an ``lightgbm.LGBMRegressor`` or ``LGBMClassifier`` of the usual loss."""
    parameters = {name: value for name, value in model.get_params().items() if value is not None}
    rounds = int(parameters.pop("n_estimators", 100))
    for name in ("n_jobs", "importance_type"):
        parameters.pop(name, None)
    parameters.setdefault("max_bin", 255)  # LightGBM's own
    return Boosting(rounds, patience=None, share_bins=False, parameters=parameters)


@dataclass(frozen=True, slots=True)
class Binned:
    """A feature matrix and its bins: of all rows, or of the training rows of one fold."""

    values: Floats
    dataset: Any
    rows: Ints | None = None


def bin_features(values: Floats, settings: Boosting, seed: int, rows: Ints | None = None) -> Binned:
    """Bin a matrix, or some rows; bins use features only, so sharing them leaks no outcome."""
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    parameters = {"max_bin": _bins(values.shape[1])} | settings.parameters
    parameters |= _fixed(settings, seed, values.shape[0], threads=0)
    binned = values if rows is None else values[rows]
    dataset = lightgbm.Dataset(binned, params=parameters, free_raw_data=True)
    return Binned(values, dataset.construct(), rows)


def _bins(n_features: int) -> int:
    """Bins of each feature such that a leaf's histogram stays small."""
    return int(np.clip(_HISTOGRAM // max(n_features, 1), 255, 4095))


def _fixed(settings: Boosting, seed: int, n_rows: int, threads: int) -> dict[str, Any]:
    """Parameters that make the same seed give the same trees for any number of threads."""
    # An object keeps its own seed, LightGBM's default if it has none, as outside of this library.
    own = {"seed": seed} if settings.share_bins else {}
    threads = 1 if n_rows < _THREAD_ROWS else threads
    # Several threads sum histograms by rows in an order of their own. One thread adds in the order
    # of the rows in either layout, so LightGBM may take the faster, or the one that was asked for.
    layout = {} if threads == 1 else {"force_col_wise": True, "force_row_wise": False}
    return own | layout | {"verbosity": -1, "deterministic": True, "num_threads": threads}


@dataclass(frozen=True, slots=True)
class BoostingFit:
    """Predictions of one boosted fit.

    Attributes
    ----------
    predictions : (len(test),) array
        Out-of-fold predictions.
    losses : dict of int to float
        Sum of validation losses by inner fold, at the number of rounds that the others choose.
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
    rival: dict[int, float] | None = None  # losses by inner fold to be beaten; None or some


def fit_boosting(binned: Binned, settings: Boosting, job: BoostingJob) -> BoostingFit | None:
    """Fit one training set and predict one test set.

    The number of rounds minimises the summed validation loss over ``n_tune`` inner folds of the
    training set; the final model is refitted on all of it. None if a rival's losses on those
    folds are smaller, since the refit would not be used. The loss of a fold that is compared is
    that at the rounds which the other folds choose: the least of a curve is less than the loss that
    it leads to, by most where there is little to learn.
    """
    objective = "regression" if job.kind == "mean" else "binary"
    parameters = settings.parameters | _fixed(settings, job.seed, job.train.size, job.threads)
    parameters |= {
        "objective": objective,
        "metric": "l2" if job.kind == "mean" else "binary_logloss",
    }
    rounds = settings.max_rounds
    losses: dict[int, float] = {}
    if settings.patience is not None:
        rounds, losses = _tune(binned, settings, parameters, job)
        if job.rival is not None and sum(losses.values()) > sum(job.rival[f] for f in losses):
            return None
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    model = lightgbm.train(parameters, _part(binned, job, job.train), num_boost_round=rounds)
    predictions = model.predict(binned.values[job.test], num_threads=parameters["num_threads"])
    return BoostingFit(np.asarray(predictions, dtype=np.float64), losses, rounds, model)


def _give_up(history: dict[str, Any], target: float) -> Any:
    """Callback that ends training once the held-out loss is not on its way to the target.

    Gains shrink about geometrically; their extrapolated sum says where the curve would end.
    """
    from lightgbm.callback import EarlyStopException

    def check(env: Any) -> None:
        curve = next(iter(history["held_out"].values()))
        if len(curve) % _GLANCE or len(curve) < 3 * _GLANCE:
            return
        before, middle, now = curve[-1 - 2 * _GLANCE], curve[-1 - _GLANCE], curve[-1]
        shrink = (middle - now) / (before - middle) if before > middle else 0.0
        to_come = (middle - now) * shrink / (1.0 - shrink) if shrink < 1.0 else np.inf
        if now - max(to_come, 0.0) > target:
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    check.order = 40  # type: ignore[attr-defined]  # after the history is recorded
    return check


def _part(binned: Binned, job: BoostingJob, rows: Ints) -> Any:
    # Constructed first: building a subset would overwrite labels with the parent's.
    where = rows if binned.rows is None else np.searchsorted(binned.rows, rows)
    part = binned.dataset.subset(where).construct()
    part.set_label(job.target[rows])
    if job.weights is not None:
        part.set_weight(job.weights[rows])
    return part


def _tune(
    binned: Binned, settings: Boosting, parameters: dict[str, Any], job: BoostingJob
) -> tuple[int, dict[int, float]]:
    """Find the rounds with the least validation loss, and the loss by inner fold to compare."""
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    inner = job.inner[job.train]
    present = np.unique(inner)
    if present.size < 2:
        return settings.max_rounds, {}
    curves: list[Floats] = []
    sizes: list[float] = []
    # A rival may have left folds out, such as a classifier those whose complement has one class.
    judged = [int(fold) for fold in present if job.rival is None or fold in job.rival]
    used: Sequence[int] = judged[: job.n_tune]
    for fold in used:
        held_out = job.train[inner == fold]
        history: dict[str, Any] = {}
        weight = held_out.size if job.weights is None else float(job.weights[held_out].sum())
        callbacks = [
            lightgbm.record_evaluation(history),
            lightgbm.early_stopping(settings.patience, verbose=False),
        ]
        if job.rival is not None:
            callbacks.append(_give_up(history, _HOPELESS * job.rival[fold] / weight))
        lightgbm.train(
            parameters,
            _part(binned, job, job.train[inner != fold]),
            num_boost_round=settings.max_rounds,
            valid_sets=[_part(binned, job, held_out)],
            valid_names=["held_out"],
            callbacks=callbacks,
        )
        curves.append(np.asarray(next(iter(history["held_out"].values()))))
        sizes.append(weight)
        if job.rival is not None and weight * curves[-1].min() > _HOPELESS * job.rival[fold]:
            # The other inner folds will not turn this round.
            return 1, {fold: weight * float(curves[-1].min())}
    # Curves end where each fold stopped; beyond its end a fold's best loss stands in.
    longest = max(curve.size for curve in curves)
    padded = [np.append(c, np.full(longest - c.size, c.min())) for c in curves]
    scaled = np.array([size * curve for size, curve in zip(sizes, padded, strict=True)])
    total = scaled.sum(axis=0)
    others = total - scaled if len(scaled) > 1 else scaled
    losses = {
        fold: float(own[int(np.argmin(rest))])
        for fold, own, rest in zip(used, scaled, others, strict=True)
    }
    return int(np.argmin(total)) + 1, losses
