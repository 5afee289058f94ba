"""From the nuisances of InvalidIV to results: estimands, rows, notes, diagnostics."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.source import Source
from causalkit.errors import ArgumentError, IdentificationError, check_choice
from causalkit.inference.solve import Solution, solve_linear
from causalkit.inference.variance import degrees_of_freedom
from causalkit.iv.candidates import Selection
from causalkit.iv.identified import FEW_ROWS
from causalkit.iv.influence import multiply_robust, variance_weighted
from causalkit.iv.nuisances import ARMS, Fitted, received
from causalkit.iv.sample import IVSample
from causalkit.iv.selection import Contributions, smoothed_variance
from causalkit.iv.settings import ESTIMANDS, Settings
from causalkit.iv.strength import Inference, Strength
from causalkit.nuisance import Folds, quality
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.rng import stream
from causalkit.typing import Bools, Floats


@dataclass(frozen=True, slots=True)
class IVFit:
    """Everything that later questions need of a fit.

    Attributes
    ----------
    sample : IVSample
    fitted : Fitted
        Nuisances.
    folds : Folds or None
        None for the parametric method.
    least : float
        Trimming bound on |ΔV|.
    used : (n,) bool array
        Rows with |ΔV| of at least the bound, over which the average runs.
    solved : mapping of estimand to list of Solution
        By the parametric method, with its stacked influence values.
    selection : Selection or None
    strength : Strength
    source : Source
        What later questions need of the data.
    notes : tuple of str
    """

    sample: IVSample
    fitted: Fitted
    folds: Folds | None
    least: float
    used: Bools
    solved: Mapping[str, list[Solution]]
    selection: Selection | None
    strength: Strength
    source: Source
    notes: tuple[str, ...] = field(default=())

    @property
    def averages(self) -> bool:
        """Whether enough rows, of two clusters or more, have a |ΔV| that can be divided by."""
        codes = self.sample.clusters or (np.arange(self.sample.n),)
        apart = all(np.unique(each[self.used]).size > 1 for each in codes)
        return apart and (bool(self.used.all()) or self.sample.count(self.used) >= FEW_ROWS)

    def rows(self, estimand: str) -> Bools:
        """Rows that an estimand averages over."""
        every = np.ones(self.sample.n, dtype=bool)
        return every if estimand == "variance-weighted" else self.used

    def influenced(self, estimand: str) -> Bools:
        """Rows with influence values: all by the parametric method, whose nuisances they move."""
        return self.rows("variance-weighted" if estimand in self.solved else estimand)

    def solutions(self, estimand: str) -> list[Solution]:
        """Solutions of an estimand, one per repeat, with influence of :meth:`influenced`."""
        rows = self.rows(estimand)
        if estimand in self.solved:
            return self.solved[estimand]
        if self.folds is None:
            raise IdentificationError(
                f"no row of the population of estimand={estimand!r} has |ΔV| large enough to be "
                "averaged over; use 'ate', or 'variance-weighted'."
            )
        sample = self.sample
        weights = None if sample.weights is None else sample.weights[rows]
        if estimand == "variance-weighted":
            return solve_linear(variance_weighted(self.fitted.products), weights=weights)
        target: Any = estimand
        score = multiply_robust(
            sample.y[rows], sample.a[rows], self.fitted.hats.rows(rows), target=target
        )
        return solve_linear(score, weights=weights)

    def inference(self, settings: Settings, rows: Bools | None = None) -> Inference:
        """Clusters, weights and degrees of freedom of some rows."""
        sample = self.sample
        kept = np.ones(sample.n, dtype=bool) if rows is None else rows
        return inference_of(sample, settings, kept)


def inference_of(sample: IVSample, settings: Settings, rows: Bools) -> Inference:
    """How variances are taken on some rows."""
    clusters = () if settings.cov_type == "robust" else sample.clusters
    clusters = tuple(np.unique(codes[rows], return_inverse=True)[1] for codes in clusters)
    counts = None if sample.multiplicity is None else sample.multiplicity[rows]
    n = float(rows.sum()) if counts is None else float(counts.sum())
    return Inference(
        clusters=clusters,
        weights=None if sample.weights is None else sample.weights[rows],
        multiplicity=counts,
        ssc=settings.ssc,
        df=degrees_of_freedom(clusters, n) if settings.use_t else None,
    )


def estimate_of(
    fit: IVFit,
    settings: Settings,
    estimand: str,
    *,
    warnings: tuple[str, ...],
    provenance: Mapping[str, Any],
) -> EffectResult:
    """Result for one estimand."""
    check_choice("estimand", estimand, ESTIMANDS)
    if estimand in ("att", "atc") and not fit.sample.binary_treatment:
        raise ArgumentError(
            f"estimand={estimand!r} is about the treated, and {fit.sample.treatment_name!r} is not "
            "0/1; use 'ate' or 'variance-weighted'."
        )
    rows = fit.rows(estimand)
    if estimand != "variance-weighted" and not fit.averages:
        left = fit.sample.count(fit.used)
        where = f"all but {left} rows" if left else "every row"
        raise IdentificationError(
            f"|ΔV| is below {fit.least:.3g} in {where}: "
            f"{', '.join(fit.sample.instrument_names)} does not move the variance of the treatment "
            "enough for an average effect. Use estimate('variance-weighted') and "
            "conf_int(kind='anderson-rubin') of the estimator."
        )
    inference = fit.inference(settings, fit.influenced(estimand))
    sample = fit.sample
    dropped = dict(fit.source.dropped)
    if sample.n_dropped:
        dropped["weight of zero"] = sample.n_dropped
    if not rows.all():
        dropped[f"|ΔV| below {fit.least:.3g}"] = sample.count(~rows)
    result = result_of(
        fit.solutions(estimand),
        fit,
        settings,
        inference,
        estimand=estimand,
        estimator=settings.label,
        n=sample.count(rows),
        n_folds=None if fit.folds is None else fit.folds.n_folds,
        seed=settings.seed,
        dropped=dropped,
        notes=_notes(fit, settings, estimand),
        warnings=warnings,
        diagnostics=_diagnostics(fit),
        provenance=provenance,
        data_digest=fit.source.digest,
        glance_extra=_glance(fit),
    )
    if fit.selection is None or fit.selection.weights is None or estimand != "ate":
        return result
    return _smoothed(result, fit.selection.weights, fit.selection.parts, settings)


def result_of(
    solutions: list[Solution],
    fit: IVFit,
    settings: Settings,
    inference: Inference,
    **facts: Any,
) -> EffectResult:
    """Result of solved scores with the fit's roles and variance; ``facts`` are further fields."""
    sample, roles = fit.sample, fit.source.roles
    names = roles.cluster or ((str(roles.unit),) if sample.clusters else ())
    return effect_from_solutions(
        solutions,
        terms=(sample.term,),
        clusters=inference.clusters,
        cluster_names=names[: len(inference.clusters)],
        ssc=settings.ssc,
        cov_type=settings.cov_type,
        aggregation=settings.aggregation,
        multiplicity=inference.multiplicity,
        use_t=settings.use_t,
        outcome=roles.outcome[0],
        treatment=roles.treatment,
        choices=roles.choices,
        contrast=(sample.contrast,),
        **facts,
    )


def _smoothed(
    result: EffectResult, weights: Floats, parts: Contributions, settings: Settings
) -> EffectResult:
    """Soft-min average in place of the selected combination, with the variance of a bootstrap.

    Without influence values: how its weights move is in the variance, and in none of them.
    """
    variance = smoothed_variance(
        parts.by_block,
        settings.criterion,
        rng=stream(settings.seed, "smooth"),
        block_weight=parts.block_weight,
    )
    words = f"multiplier bootstrap of the selection, {len(parts.by_block)} blocks"
    if len(parts.by_fold) > 1:
        words += f"; mean over {len(parts.by_fold)} repeated splits"
    return replace(
        result,
        estimates=np.array([(weights * parts.estimates).sum()]),
        vcov=np.array([[variance]]),
        influence=None,
        inference=words,
    )


def _notes(fit: IVFit, settings: Settings, estimand: str) -> tuple[str, ...]:
    names = ", ".join(fit.sample.instrument_names)
    notes = [
        f"Assumes that the unmeasured confounder is independent of {names} given the covariates "
        "and interacts additively neither with the treatment in the outcome nor with "
        f"{names} in the treatment. {names} may affect the outcome directly.",
    ]
    if fit.folds is not None:
        counts = sorted({len(tests) for tests in fit.folds.test})
        how = f"Cross-fitted: {' or '.join(map(str, counts))} folds, {fit.folds.n_rep} repeat(s)"
        if counts == [1]:
            how = "Not cross-fitted: nuisances predict the rows that they learned from"
        notes.append(f"{how}; seed {settings.seed}.")
    if estimand == "variance-weighted":
        notes.append(
            "Variance-weighted effect E[ΔV π(1 − π) β]/E[ΔV π(1 − π)]: the average effect if the "
            "effect does not vary with the covariates."
        )
    elif not fit.used.all():
        by = "" if fit.selection is None else ", by the treatment candidate of least loss,"
        notes.append(
            f"The average is over the {fit.sample.count(fit.used)} rows with |ΔV|{by} of at least "
            f"{fit.least:.3g}."
        )
    if settings.smooth and estimand == "ate":
        notes.append(
            "Soft-min average over all combinations of candidates; the standard error comes from a "
            "multiplier bootstrap of the selection."
        )
    elif settings.smooth:
        notes.append("Of the selected combination: smooth=True averages the ATE alone.")
    if not fit.source.roles.cluster and fit.sample.clusters and settings.cov_type != "robust":
        notes.append("No cluster column named: standard errors are clustered by unit.")
    return (*notes, *fit.notes)


def _diagnostics(fit: IVFit) -> dict[str, Any]:
    fitted, sample = fit.fitted, fit.sample
    qualities = {}
    for name, targets in fitted.targets.items():
        rows = ~np.isnan(targets).any(axis=1)
        hats = fitted.predictions.get(name)
        if hats is None or not rows.any():
            continue
        weights = None if sample.weights is None else sample.weights[rows]
        qualities[name] = quality(targets[rows, 0], hats[rows][:, [0]], weights=weights)
    found: dict[str, Any] = {
        "nuisances": qualities,
        "learners": dict(fitted.chosen),
        "F, variance of the treatment": fit.strength.variance_f.test.statistic,
        "F, mean of the treatment": fit.strength.mean_f.test.statistic,
        "E|ΔV|": fit.strength.average[0],
        f"share of rows with |ΔV| < {fit.strength.bound:.3g}": fit.strength.small_share,
        "share of instrument propensities clipped": fitted.clipped,
        **fitted.facts,
    }
    if fit.selection is not None:
        found["learner_fits"] = fit.selection.n_fits
    return found


def _glance(fit: IVFit) -> dict[str, Any]:
    raw = fit.fitted.predictions.get("instrument")
    found: dict[str, Any] = {"first_stage_f": fit.strength.mean_f.test.statistic}
    for column, name, values in (
        ("nuisance_rmse_y", "outcome", fit.sample.y),
        ("nuisance_rmse_d", "treatment", fit.sample.a),
    ):
        arms = [fit.fitted.predictions.get(f"{name}:{arm}") for arm in ARMS]
        if arms[0] is not None and arms[1] is not None:
            hats = received(fit.sample.z[:, 0], (arms[0], arms[1]))[:, 0]
            found[column] = float(np.sqrt(fit.sample.mean((values - hats) ** 2)))
    if raw is not None:
        found |= {"overlap_min": float(raw.min()), "overlap_max": float(raw.max())}
    return found


def augment(fit: IVFit, main: EffectResult) -> pd.DataFrame:
    """Fold, predictions, ΔV and influence of every row used, averaged over repeats."""
    hats = fit.fitted.hats
    columns: dict[str, Any] = {"row": fit.sample.rows}
    if fit.folds is not None:
        columns["fold"] = fit.folds.fold_ids()[0]
    columns |= {
        f"{name}_hat": values.mean(axis=1) for name, values in fit.fitted.predictions.items()
    }
    columns |= {
        "delta_v": hats.delta_v.mean(axis=1),
        "treatment_residual": fit.sample.a - hats.mu.mean(axis=1),
        "used": fit.used,
    }
    frame = pd.DataFrame(columns)
    influence = np.full(fit.sample.n, np.nan)
    if main.influence is not None:
        influence[fit.influenced(main.estimand)] = main.influence[:, 0]
    frame["influence"] = influence
    return frame.sort_values("row", ignore_index=True)
