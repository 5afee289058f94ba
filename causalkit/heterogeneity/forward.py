"""Experiments in folds, each evaluated after learning on all before it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.data.alignment import check_one_order
from causalkit.errors import ArgumentError, ArgumentTypeError, IdentificationError
from causalkit.heterogeneity.dr import as_column, as_propensity, as_treatment, warn_of_overlap
from causalkit.heterogeneity.rate import as_clusters
from causalkit.nuisance import DenseFeatures, FoldKeys, Folds, Nuisance, cross_fit, draw_folds
from causalkit.nuisance.weights import of_mean_one
from causalkit.rng import seed_of
from causalkit.typing import Bools, Floats, Ints, Learner


@dataclass(frozen=True, slots=True)
class Sample:
    """Columns of an experiment, checked.

    Attributes
    ----------
    y, t : (n,) arrays
        Outcome, and treatment of zeros and ones.
    features : Features
        ``(n, p)``, of the outcome means.
    propensity : (n,) array or None
        Inside (0, 1); None if it is to be estimated by shares.
    groups : (n,) int array or None
        Cluster of each row.
    weights : (n,) array or None
    """

    y: Floats
    t: Floats
    features: DenseFeatures
    propensity: Floats | None
    groups: Ints | None
    weights: Floats | None

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.y.size)

    @property
    def weighted(self) -> Bools:
        """Rows that have weight."""
        return np.ones(self.n, dtype=np.bool_) if self.weights is None else self.weights > 0.0


def checked_sample(
    y: Any, treatment: Any, features: Any, propensity: Any, clusters: Any, sample_weight: Any
) -> Sample:
    """Columns of one length, without missing values."""
    by_row = {"y": y, "treatment": treatment, "features": features, "propensity": propensity}
    check_one_order(**by_row, clusters=clusters, sample_weight=sample_weight)
    outcome = as_column("y", y)
    n = outcome.size
    if outcome.min() == outcome.max():
        raise IdentificationError(f"y is {outcome[0]:g} in all {n} rows; no effect can differ.")
    weights = None if sample_weight is None else as_column("sample_weight", sample_weight, n)
    if weights is not None and weights.min() < 0.0:
        raise ArgumentError(f"sample_weight must not be negative, got {weights.min():g}.")
    treated = as_treatment("treatment", treatment, n)
    for arm in (0, 1):
        if weights is not None and not weights[treated == arm].any():
            raise IdentificationError(
                f"sample_weight is zero in all rows with treatment {arm}; an effect needs both "
                "arms."
            )
    if weights is not None:
        weights = of_mean_one(weights)
    return Sample(
        outcome,
        treated,
        _as_features(features, n),
        None if propensity is None else as_propensity(propensity, n),
        None if clusters is None else as_clusters(clusters, n),
        weights,
    )


def _as_features(values: Any, n: int) -> DenseFeatures:
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"features must be numeric, and cannot be read as such: {error}; encode categories as "
            "columns of zeros and ones."
        ) from error
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != n or not table.shape[1] or np.isinf(table).any():
        raise ArgumentError(
            f"features must be {n} rows of finite columns, got shape {table.shape} with "
            f"{int(np.isinf(table).sum())} infinite values."
        )
    return DenseFeatures(table)


def forward_folds(sample: Sample, n_folds: int, n_rep: int, seed: int) -> Folds:
    """Folds in a random order, each tested by what the folds before it trained."""
    rule = "observation" if sample.groups is None else "unit"
    keys = FoldKeys(sample.n, unit=sample.groups)
    drawn = draw_folds(
        keys, rule=rule, n_folds=n_folds, n_rep=n_rep, seed=seed_of(seed, "rate test")
    )
    train = np.tril(np.ones((n_folds - 1, n_folds), dtype=np.bool_))
    test = np.eye(n_folds, dtype=np.bool_)[1:]
    # Cross-fitting wants a prediction for every row; nobody looks at those of the first fold.
    test[0, 0] = True
    return Folds(drawn.block, (train,) * n_rep, (test,) * n_rep, drawn.inner, rule="sequential")


def fold_rows(folds: Folds, repeat: int, step: int) -> tuple[Ints, Ints]:
    """Rows that train and rows that are evaluated."""
    block = folds.block[repeat]
    return np.flatnonzero(block <= step), np.flatnonzero(block == step + 1)


def check_arms(sample: Sample, folds: Folds) -> None:
    """Refuse folds in which an arm is empty, before anything is learned."""
    for repeat in range(folds.n_rep):
        for step in range(folds.n_folds):
            for words, rows in zip(("before", "in"), fold_rows(folds, repeat, step), strict=True):
                seen = rows[sample.weighted[rows]]
                if np.unique(sample.t[seen]).size < 2:
                    raise IdentificationError(
                        f"an arm is empty in the {seen.size} rows {words} fold {step + 2} of "
                        f"repeat {repeat + 1}; use fewer folds, or clusters with both arms."
                    )


def propensities(sample: Sample, folds: Folds) -> Floats:
    """Propensity of every row in every repeat, ``(n, n_rep)``."""
    if sample.propensity is not None:
        return np.repeat(sample.propensity[:, None], folds.n_rep, axis=1)
    chances = np.full((sample.n, folds.n_rep), sample.t.mean())
    for repeat in range(folds.n_rep):
        for step in range(folds.n_folds):
            train, test = fold_rows(folds, repeat, step)
            weights = None if sample.weights is None else sample.weights[train]
            chances[test, repeat] = np.average(sample.t[train], weights=weights)
    warn_of_overlap(chances.mean(axis=1))
    return chances


def outcome_means(
    sample: Sample, folds: Folds, learner: str | Learner, seed: int
) -> tuple[Floats, Floats]:
    """μ₀ and μ₁, each ``(n, n_rep)``."""
    arms = [
        Nuisance(f"mu{arm}", sample.y, sample.features, learner, train_on=sample.t == arm)
        for arm in (0, 1)
    ]
    found = cross_fit(arms, folds, seed=seed_of(seed, "outcome means"), weights=sample.weights)
    return found["mu0"], found["mu1"]
