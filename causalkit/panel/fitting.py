"""From a design to residuals: nuisances of the partially linear models, cross-fitted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, SplitWarning
from causalkit.nuisance import (
    CrossFit,
    FoldKeys,
    Folds,
    Nuisance,
    cross_fit,
    draw_folds,
    external_folds,
)
from causalkit.nuisance.folds import ExternalFolds, units_torn_apart
from causalkit.nuisance.learners import is_classifier
from causalkit.panel.design import Design, Sight
from causalkit.panel.sample import PanelSample
from causalkit.typing import Floats, Learner
from causalkit.warn import warn


@dataclass(frozen=True, slots=True)
class Learners:
    """Learner of each kind of nuisance."""

    outcome: str | Learner
    treatment: str | Learner
    instrument: str | Learner


@dataclass(frozen=True, slots=True)
class Fitting:
    """How nuisances are cross-fitted."""

    learners: Learners
    seed: int
    n_jobs: int = 1
    imputer: Any = None
    store_models: bool = False
    progress: Callable[[str], None] | None = None
    given: Mapping[str, Floats] | None = None

    def run(self, nuisances: list[Nuisance], folds: Folds, sample: PanelSample) -> CrossFit:
        """Cross-fit some nuisances on a sample."""
        names = {nuisance.name for nuisance in nuisances}
        given = {name: values for name, values in (self.given or {}).items() if name in names}
        return cross_fit(
            nuisances,
            folds,
            seed=self.seed,
            weights=sample.weights,
            imputer=self.imputer,
            given=given,
            n_jobs=self.n_jobs,
            store_models=self.store_models,
            progress=self.progress,
        )


@dataclass(frozen=True, slots=True)
class Residuals:
    """Out-of-fold residuals, ready for the last step.

    Attributes
    ----------
    y : (n, n_rep) array
        Outcome minus its prediction.
    d : (n, n_rep, k) array
        Treatments minus theirs.
    z : (n, n_rep, L) array
        Instruments minus theirs.
    """

    y: Floats
    d: Floats
    z: Floats


def fold_keys(sample: PanelSample) -> FoldKeys:
    """Give the split what it may look at; one coarser cluster keeps its units together."""
    cluster = None
    if len(sample.clusters) == 1 and _nested(sample):
        cluster = sample.clusters[0]
    return FoldKeys(sample.n, unit=sample.unit, period=sample.period, cluster=cluster)


def _nested(sample: PanelSample) -> bool:
    """Whether every unit lies in one cluster."""
    cluster = sample.clusters[0]
    first = np.flatnonzero(np.r_[True, sample.unit[1:] != sample.unit[:-1]])
    return bool((cluster == cluster[first][sample.unit]).all())


def make_folds(
    sample: PanelSample,
    *,
    rule: str | ExternalFolds,
    folds: ExternalFolds | None,
    n_folds: int,
    n_rep: int,
    seed: int,
) -> Folds:
    """Draw the sample splits, or take explicit ones and hold them to the rule."""
    keys = fold_keys(sample)
    explicit = folds if folds is not None else (None if isinstance(rule, str) else rule)
    if explicit is None:
        drawn = draw_folds(keys, rule=str(rule), n_folds=n_folds, n_rep=n_rep, seed=seed)
    else:
        drawn = external_folds(_positions(explicit, sample), keys, seed=seed)
    torn = units_torn_apart(drawn, sample.unit) if drawn.n_folds > 1 else np.empty(0)
    if torn.size and folds is not None and rule == "unit":
        row = int(sample.rows[np.searchsorted(sample.unit, torn[0])])
        raise ArgumentError(
            f'split="unit" keeps the rows of a unit together, but the given folds split '
            f"{torn.size} units (the first is the unit of row {row}). Group the folds by unit, "
            'or set split="observation".'
        )
    if torn.size:
        warn(
            "rows of one unit are in training and test folds at once: cluster-robust standard "
            'errors are heuristic for this split. split="unit" supports them.',
            SplitWarning,
        )
    return drawn


def _positions(splits: ExternalFolds, sample: PanelSample) -> ExternalFolds:
    """Translate row positions of the data into those of the sorted sample."""
    n = int(sample.rows.max()) + 1
    place = np.full(n, -1, dtype=np.int64)
    place[sample.rows] = np.arange(sample.n)

    def translate(rows: Any) -> Any:
        index = np.asarray(rows)
        if index.dtype.kind not in "iu" or (index.size and index.min() < 0):
            return index
        # Rows beyond the last one used were dropped; they belong to no fold.
        found = place[index[index < n]]
        return found[found >= 0]

    return [[(translate(train), translate(test)) for train, test in folds] for folds in splits]


def labels(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Nuisance names of some targets: ``"treatment"``, or one per name if there are several."""
    return (kind,) if len(names) == 1 else tuple(f"{kind}:{name}" for name in names)


def nuisances_of(design: Design, learners: Learners) -> list[Nuisance]:
    """Outcome, treatment and instrument regressions of a design."""
    sample = design.sample
    found = [nuisance_of("outcome", design.y, design.outcome, learners.outcome)]
    treatment_kind = _treatment_kind(design, learners.treatment)
    for column, name in enumerate(labels("treatment", sample.treatment_names)):
        found.append(
            nuisance_of(
                name,
                design.d[:, column],
                design.treatment,
                learners.treatment,
                kind=treatment_kind,
            )
        )
    if design.z.shape[1]:
        for column, name in enumerate(labels("instrument", sample.instrument_names)):
            target = design.z[:, column]
            found.append(nuisance_of(name, target, design.outcome, learners.instrument))
    return found


def nuisance_of(
    name: str, target: Floats, seen: Sight, learner: str | Learner, **more: Any
) -> Nuisance:
    """Regression of a target on what a design lets it see."""
    return Nuisance(name, target, seen.full, learner, compact=seen.compact, **more)


def _treatment_kind(design: Design, learner: str | Learner) -> Any:
    if isinstance(learner, str) or not is_classifier(learner):
        return "mean"
    if design.transformed:
        raise ArgumentError(
            f"learner_treatment is the classifier {type(learner).__name__}, but this approach "
            "differences or demeans the treatment, which is then not 0/1; use a regression "
            'learner, or approach="cre".'
        )
    return "probability"


def residuals_of(design: Design, hats: CrossFit) -> Residuals:
    """Residuals after the approach's own adjustments."""
    after = design.after or _unchanged
    sample = design.sample
    y = after(design.y[:, None] - hats["outcome"])
    d = []
    for column, name in enumerate(labels("treatment", sample.treatment_names)):
        target, predicted = design.d[:, column], hats[name]
        if design.adjust is not None:
            predicted = design.adjust(predicted, target)
        d.append(after(target[:, None] - predicted))
    z = []
    if design.z.shape[1]:
        for column, name in enumerate(labels("instrument", sample.instrument_names)):
            z.append(after(design.z[:, column][:, None] - hats[name]))
    stacked = np.stack(z, axis=2) if z else np.empty((*y.shape, 0))
    return Residuals(y, np.stack(d, axis=2), stacked)


def _unchanged(values: Floats) -> Floats:
    return values
