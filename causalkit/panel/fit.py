"""One fit of PanelDML: sample → design → cross-fit → score → result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.data.missing import training_fold_imputer
from causalkit.data.source import Source
from causalkit.inference.solve import Solution, solve_linear
from causalkit.inference.variance import WITHOUT_BOOTSTRAP, warn_if_few
from causalkit.nuisance.fitter import Fitter
from causalkit.nuisance.folds import ExternalFolds
from causalkit.nuisance.given import placed_predictions
from causalkit.panel.approaches import APPROACHES, WITHIN_BASED
from causalkit.panel.carriers import Carriers, carriers, check_carriers, row_weights
from causalkit.panel.clusters import cluster_names, variance_clusters
from causalkit.panel.diagnostics import panel_diagnostics, spread, warn_of_leftovers
from causalkit.panel.identified import (
    check_columns,
    check_folds,
    check_missing,
    check_variation,
)
from causalkit.panel.instruments import glance_facts, strength
from causalkit.panel.models import (
    ModelFit,
    check_interactive,
    fit_interactive,
    fit_iv,
    fit_partially_linear,
    interactive_sample,
)
from causalkit.panel.products import warn_of_products
from causalkit.panel.residuals import Fitting, labels, make_folds
from causalkit.panel.result import choices, result_of
from causalkit.panel.sample import PanelSample, panel_sample
from causalkit.panel.settings import Settings
from causalkit.progress import teller
from causalkit.provenance import record
from causalkit.results import EffectResult
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True)
class PanelFit:
    """Everything that later steps need of a fit.

    Attributes
    ----------
    model : ModelFit
        Design, folds, predictions, residuals and scores.
    clusters : tuple of (n,) int arrays
        Clusters of the variance, for the rows of the score.
    source : Source
        What later questions need of the data.
    """

    model: ModelFit
    clusters: tuple[Ints, ...]
    source: Source

    @property
    def sample(self) -> PanelSample:
        """Rows that took part in the nuisances."""
        return self.model.design.sample

    def final(self, values: Any) -> Any:
        """Values of the rows of the score (inside the overlap region), or None as it is."""
        used = self.model.used
        return values if values is None or used is None else values[used]

    @property
    def weights(self) -> Floats | None:
        """Weights of the rows of the score."""
        weights: Floats | None = self.final(self.sample.weights)
        return weights

    @property
    def multiplicity(self) -> Floats | None:
        """Frequency weights of the rows of the score."""
        counts: Floats | None = self.final(self.sample.multiplicity)
        return counts

    def solve(self, settings: Settings, score: LinearScore) -> list[Solution]:
        """Solutions of a score, one per repeat, by the procedure that the settings name."""
        tests = _test_sets(self) if settings.dml_procedure == "dml1" else None
        return solve_linear(score, weights=self.weights, test_folds=tests)

    def result(
        self,
        settings: Settings,
        *,
        warnings: list[str],
        wall_s: float,
    ) -> EffectResult:
        """Main result of the fit."""
        estimand, score = next(iter(self.model.scores.items()))
        per_repeat = np.stack([solution.theta for solution in self.solve(settings, score)])
        diagnostics = dict(self.model.facts)
        design, hats = self.model.design, self.model.hats
        if self.model.residuals is not None:
            diagnostics["carriers"] = self.carriers(settings, score)
            diagnostics |= panel_diagnostics(
                design, hats, self.model.residuals, self.clusters, per_repeat
            )
            # Changes keep a mean by unit, and pooled residuals all that units differ in.
            if settings.approach in WITHIN_BASED and not design.transformed:
                warn_of_leftovers(diagnostics["leftover"])
        else:
            diagnostics |= {"learners": dict(hats.chosen), **spread(per_repeat)}
        glance: dict[str, Any] = {}
        if settings.model == "iv":
            found = strength(self.model, self.clusters, ssc=settings.ssc, use_t=settings.use_t)
            diagnostics |= found
            glance |= glance_facts(found)
        if "propensity_range" in self.model.facts:
            names = ("overlap_min", "overlap_max")
            glance |= dict(zip(names, self.model.facts["propensity_range"], strict=True))
        return self.to_result(
            settings,
            score,
            estimand=estimand,
            diagnostics=diagnostics,
            warnings=tuple(warnings),
            provenance=record(seed=settings.seed, wall_s=wall_s),
            glance_extra=glance,
        )

    def carriers(self, settings: Settings, score: LinearScore) -> dict[str, Carriers]:
        """Clusters, or units without any, that carry the estimates; warns where they are few."""
        names: tuple[str | None, ...] = cluster_names(settings, self.source.roles) or (None,)
        codes = self.clusters or (self.sample.unit,)
        weights = row_weights(score, self.sample).T
        found = {}
        for treatment, own in zip(self.sample.treatment_names, weights, strict=True):
            for name, clusters in zip(names, codes, strict=True):
                label = treatment if len(names) == 1 else f"{treatment}, by {name}"
                found[label] = carriers(own, clusters)
                check_carriers(found[label], treatment, name)
        return found

    def to_result(
        self,
        settings: Settings,
        score: LinearScore,
        *,
        estimand: str,
        terms: tuple[str, ...] | None = None,
        **facts: Any,
    ) -> EffectResult:
        """Result of any score on this sample, with the settings' variance.

        Named terms are projections of the effect of the one treatment.
        """
        sample, solutions = self.sample, self.solve(settings, score)
        roles, periods = self.source.roles, self.final(sample.period)
        dropped = {**self.source.dropped, **sample.dropped}
        if self.model.used is not None and not self.model.used.all():
            outside = sample.rows_behind(~self.model.used)
            dropped["propensity outside the trimming bounds"] = outside
        return result_of(
            solutions,
            score,
            settings,
            clusters=self.clusters,
            weights=self.weights,
            multiplicity=self.multiplicity,
            n_absorbed=self.model.design.n_absorbed,
            terms=terms or sample.treatment_names,
            cluster_names=cluster_names(settings, roles),
            estimand=estimand,
            estimator=settings.label,
            outcome=roles.outcome[0],
            treatment=roles.treatment,
            choices=choices(settings, roles),
            contrast=sample.contrasts if terms is None else sample.contrasts * len(terms),
            n_units=int(np.unique(self.final(sample.unit)).size),
            n_periods=None if periods is None else int(np.unique(periods).size),
            seed=settings.seed,
            n_folds=self.model.folds.n_folds,
            n_rep=self.model.folds.n_rep,
            dropped=dropped,
            notes=_notes(settings, self.model),
            data_digest=self.source.digest,
            **facts,
        )


def _notes(settings: Settings, model: ModelFit) -> tuple[str, ...]:
    sample = model.design.sample
    split = settings.split if isinstance(settings.split, str) else "explicit folds"
    notes = [
        f"Split by {split}, {model.folds.n_folds} folds, {model.folds.n_rep} repeat(s); seed "
        f"{settings.seed}.",
        "Assumes strict exogeneity (no feedback from outcomes to later treatments or covariates) "
        "and no time-varying unobserved confounder.",
    ]
    if settings.model == "interactive" and settings.approach != "pooled":
        notes.append(
            "The effect is that for units that change treatment: given its treatment mean, a unit "
            "that never does has no comparison and is left out."
        )
    if not sample.balanced():
        lengths = sample.lengths()
        notes.append(
            f"Unbalanced panel: {lengths.min()} to {lengths.max()} rows per unit "
            f"(mean {lengths.mean():.1f})."
        )
    if settings.cov_type == "clustered" and not sample.clusters:
        notes.append("No cluster column named: standard errors are clustered by unit.")
    return (*notes, *model.design.notes)


def fit_panel(
    data: CausalData,
    settings: Settings,
    *,
    folds: ExternalFolds | None = None,
    predictions: Mapping[str, Floats] | None = None,
) -> PanelFit:
    """Fit one panel model on one data set.

    Parameters
    ----------
    data : CausalData
        Checked by the caller.
    settings : Settings
        Checked arguments.
    folds : list or None
        Explicit folds.
    predictions : mapping or None
        Predictions from elsewhere, in the data's row order.
    """
    sample = panel_sample(data)
    check_columns(data, sample, settings)
    check_variation(sample, settings)
    if settings.model == "interactive":
        check_interactive(sample, settings.approach)
        if settings.approach != "pooled":
            sample = interactive_sample(sample, split=settings.split, n_folds=settings.n_folds)
    design = APPROACHES[settings.approach](sample, settings.options)
    splits = make_folds(
        design.sample,
        rule=settings.split,
        folds=folds,
        n_data=len(data),
        n_folds=settings.n_folds,
        n_rep=settings.n_rep,
        seed=settings.seed,
    )
    check_folds(design.sample, splits, settings)
    check_missing(design.sample, data, settings)
    known = _nuisance_names(design.sample, settings)
    if isinstance(predictions, Mapping):
        predictions = {
            name: in_row_order(data, values, what=f"the prediction of {name!r}")
            for name, values in predictions.items()
        }
    given = placed_predictions(
        predictions, design.sample.rows, known=known, n=len(data), n_rep=splits.n_rep
    )
    fitting = Fitting(
        settings.learners,
        Fitter(
            seed=settings.seed,
            weights=design.sample.weights,
            n_jobs=settings.n_jobs,
            imputer=training_fold_imputer(data.missing),
            tune=settings.tune,
            store_models=settings.store_models,
            progress=teller(settings.progress, "nuisances", unit="fit"),
            given=given,
        ),
    )
    if settings.model == "interactive":
        model = fit_interactive(design, splits, fitting, trim=settings.trim)
    elif settings.model == "iv":
        model = fit_iv(design, splits, fitting)
    else:
        model = fit_partially_linear(design, splits, fitting, score=settings.score)
    warn_of_products(model.design, model.hats)
    clusters = variance_clusters(settings, model.design.sample, data.roles)
    if model.used is not None:
        clusters = tuple(np.unique(codes[model.used], return_inverse=True)[1] for codes in clusters)
    warn_if_few(clusters, mend=_mend_of_few(settings, design.sample, clusters))
    return PanelFit(model, clusters, Source.of(data))


def _mend_of_few(settings: Settings, sample: PanelSample, clusters: tuple[Ints, ...]) -> str:
    """Advice for few clusters: the wild bootstrap, where this fit has one."""
    one = len(sample.treatment_names) == 1 and settings.dml_procedure == "dml2"
    if settings.model != "partially-linear" or not one:
        return WITHOUT_BOOTSTRAP
    if len(clusters) > 1:
        return 'Refit with cov_type="clustered" on the scarcer clusters for bootstrap(kind="wild").'
    return 'Use bootstrap(kind="wild") of the estimator.'


def _test_sets(fit: PanelFit) -> list[list[Ints]]:
    sets = fit.model.folds.test_sets()
    if fit.model.used is None:
        return sets
    place = np.cumsum(fit.model.used) - 1
    return [[place[rows[fit.model.used[rows]]] for rows in folds] for folds in sets]


def _nuisance_names(sample: PanelSample, settings: Settings) -> tuple[str, ...]:
    if settings.model == "interactive":
        return ("mu1", "mu0", "propensity")
    names = ("outcome", *labels("treatment", sample.treatment_names))
    if settings.score == "iv-type":
        names += ("g",)
    if settings.model == "iv":
        names += labels("instrument", sample.instrument_names)
    return names
