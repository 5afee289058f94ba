"""From a design to residuals: nuisances of the partially linear models, cross-fitted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, SplitWarning
from causalkit.nuisance import (
    CrossFit,
    FoldKeys,
    Folds,
    Nuisance,
    draw_folds,
    external_folds,
)
from causalkit.nuisance.fitter import Fitter
from causalkit.nuisance.folds import ExternalFolds, units_torn_apart
from causalkit.nuisance.given import kept_together, placed_folds
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
    """Learners of a panel model, and how they are cross-fitted."""

    learners: Learners
    fitter: Fitter

    def run(self, nuisances: list[Nuisance], folds: Folds) -> CrossFit:
        """Cross-fit some nuisances."""
        return self.fitter.run(nuisances, folds)


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
    """Give the split what it may look at; a coarser cluster keeps its units together."""
    nested = [codes for codes in sample.clusters if sample.nests_in(codes)]
    if sample.clusters and not nested:
        warn(
            "units are not nested in the cluster column, so folds keep units together but not "
            "clusters: training and test rows of one cluster may be dependent.",
            SplitWarning,
        )
    coarsest = min(nested, key=lambda codes: int(codes.max()), default=None)
    return FoldKeys(sample.n, unit=sample.unit, period=sample.period, cluster=coarsest)


def make_folds(
    sample: PanelSample,
    *,
    rule: str | ExternalFolds,
    folds: ExternalFolds | None,
    n_data: int,
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
        held_to = rule if isinstance(rule, str) else None
        placed = placed_folds(
            explicit,
            sample.rows,
            kept_together(held_to, keys),
            who=f'split="{held_to}"',
            otherwise=', or set split="observation"',
            n=n_data,
        )
        drawn = external_folds(placed, keys, seed=seed)
    for name, codes in (("unit", sample.unit), ("cluster", keys.cluster)):
        if codes is not None and units_torn_apart(drawn, codes).size:
            warn(
                f"rows of one {name} are in training and test folds at once: cluster-robust "
                'standard errors are heuristic for this split. split="unit" supports them.',
                SplitWarning,
            )
            break
    return drawn


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
    return Nuisance(name, target, seen.full, learner, compact=seen.compact, wide=seen.wide, **more)


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
    sample, after = design.sample, design.after
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
