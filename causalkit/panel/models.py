"""The three models: partially linear, partially linear with instruments, interactive."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causalkit.data.checks_fit import overlap, single_arm_fold
from causalkit.data.panel import unit_means
from causalkit.errors import ArgumentError, IdentificationError, OverlapWarning
from causalkit.inference.instruments import instrumented_estimand
from causalkit.inference.solve import solve_linear
from causalkit.nuisance import CrossFit, Folds, Quality, quality
from causalkit.nuisance.folds import ExternalFolds
from causalkit.nuisance.learners import is_classifier
from causalkit.panel.design import Design
from causalkit.panel.residuals import (
    Fitting,
    Residuals,
    labels,
    nuisance_of,
    nuisances_of,
    residuals_of,
)
from causalkit.panel.sample import PanelSample
from causalkit.scores import LinearScore, aipw, iv_type, partialling_out, pliv
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

MODELS = ("partially-linear", "interactive", "iv")
SCORES = ("partialling-out", "iv-type")
_OVERLAP = 0.01


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A fitted model, before the last step.

    Attributes
    ----------
    design : Design
        Rows, targets and features.
    folds : Folds
        Sample splits.
    hats : CrossFit
        Out-of-fold predictions.
    residuals : Residuals or None
        For the partially linear models.
    scores : mapping of str to LinearScore
        Score by estimand.
    facts : dict
        Model-specific diagnostics.
    used : (n,) bool array or None
        Rows inside the overlap region, for the interactive model.
    """

    design: Design
    folds: Folds
    hats: CrossFit
    residuals: Residuals | None
    scores: dict[str, LinearScore]
    facts: dict[str, Any] = field(default_factory=dict)
    used: Bools | None = None


def fit_partially_linear(design: Design, folds: Folds, fitting: Fitting, *, score: str) -> ModelFit:
    """Y − ℓ = θ (D − m) + error, with cross-fitted ℓ and m (Chernozhukov et al. 2018, eq. 4.4)."""
    hats = fitting.run(nuisances_of(design, fitting.learners), folds)
    residuals = residuals_of(design, hats)
    _check_variation("treatment", design.sample.treatment_names, design.d, residuals.d)
    _warn_of_overlap(design, hats, fitting)
    if score == "iv-type":
        g = _second_round(design, folds, fitting, residuals)
        hats = CrossFit(
            {**hats.predictions, **g.predictions},
            {**hats.chosen, **g.chosen},
            {**hats.models, **g.models},
        )
        linear = _iv_type(design, g["g"], residuals)
    else:
        linear = partialling_out(residuals.y, residuals.d)
    return ModelFit(design, folds, hats, residuals, {"ate": linear})


def _check_variation(what: str, names: tuple[str, ...], values: Floats, residuals: Floats) -> None:
    spread = values.std(axis=0)
    left = np.sqrt((residuals**2).mean(axis=(0, 1)))
    for column in np.flatnonzero(left <= 1e-8 * np.maximum(spread, 1e-300)):
        raise IdentificationError(
            f"{what} {names[column]!r} is fully explained by the covariates and Mundlak terms: "
            "its residuals are numerically zero. Remove the covariates that determine it."
        )


def _warn_of_overlap(design: Design, hats: CrossFit, fitting: Fitting) -> None:
    """Warn of probabilities near 0 or 1, where a classifier predicts the treatment."""
    if not is_classifier(fitting.learners.treatment):
        return
    for name in labels("treatment", design.sample.treatment_names):
        message = overlap(hats[name].mean(axis=1), _OVERLAP)
        if message is not None:
            warn(message, OverlapWarning)


def _second_round(design: Design, folds: Folds, fitting: Fitting, residuals: Residuals) -> CrossFit:
    """g, learned in every repeat from Y − θD at a first-round θ; the first repeat says by what."""
    given = fitting.fitter.given.get("g")
    if given is not None:
        return CrossFit({"g": given}, {"g": "given"})
    first = partialling_out(residuals.y, residuals.d)
    found = []
    for repeat, solution in enumerate(solve_linear(first, weights=design.sample.weights)):
        target = design.y - design.d @ solution.theta
        nuisance = nuisance_of(
            f"g, repeat {repeat}", target, design.outcome, fitting.learners.outcome
        )
        found.append(fitting.run([nuisance], folds.repeat(repeat)))
    return CrossFit(
        {"g": np.hstack([hats for one in found for hats in one.predictions.values()])},
        {"g": next(iter(found[0].chosen.values()))},
        {
            ("g", repeat, fold): model
            for repeat, one in enumerate(found)
            for (_, _, fold), model in one.models.items()
        },
    )


def _iv_type(design: Design, g: Floats, residuals: Residuals) -> LinearScore:
    """Score (Y − θD − g)(D − m) (eq. 4.3)."""
    treatments = np.repeat(design.d[:, None, :], g.shape[1], axis=1)
    regressor = np.stack([design.after(column) for column in np.moveaxis(treatments, 2, 0)], axis=2)
    response = design.after(design.y[:, None] - g)
    return iv_type(response, regressor, treatment_residual=residuals.d)


def fit_iv(design: Design, folds: Folds, fitting: Fitting) -> ModelFit:
    """Partially linear IV: treatment residuals projected on instrument residuals.

    E[(Y − ℓ − θ(D − r)) Π(Z − m_z)] = 0, features (X, X̄, Z̄) in all regressions
    (Chernozhukov et al. 2018, section 4.2; Mundlak means of the instrument make it FE-2SLS).
    """
    hats = fitting.run(nuisances_of(design, fitting.learners), folds)
    residuals = residuals_of(design, hats)
    _check_variation("treatment", design.sample.treatment_names, design.d, residuals.d)
    _check_variation("instrument", design.sample.instrument_names, design.z, residuals.z)
    score = pliv(residuals.y, residuals.d, residuals.z, weights=design.sample.weights)
    estimand = instrumented_estimand(design.sample.d, design.sample.z)
    return ModelFit(design, folds, hats, residuals, {estimand: score})


def interactive_sample(
    sample: PanelSample, *, split: str | ExternalFolds, n_folds: int
) -> PanelSample:
    """Drop units that are always or never treated: with D̄ given they have no comparison."""
    mean = unit_means(sample.d, sample.unit, weights=sample.weights)[:, 0]
    switches = (mean > 0) & (mean < 1)
    if not switches.any():
        raise IdentificationError(
            f"{sample.treatment_names[0]!r} never changes within a unit; given its unit mean there "
            'is no one to compare with. approach="pooled" compares across units.'
        )
    if isinstance(split, str) and switches.sum() < n_folds:
        raise IdentificationError(
            f"only {int(switches.sum())} of {switches.size} units change their treatment; given "
            "the unit's treatment mean the others have no comparison and are left out, which "
            f"leaves too few for {n_folds} folds. Use fewer folds, or "
            'approach="pooled".'
        )
    return sample.keep(switches[sample.unit], "unit always or never treated")


def fit_interactive(design: Design, folds: Folds, fitting: Fitting, *, trim: float) -> ModelFit:
    """Augmented inverse-probability weighting with heterogeneous effects.

    ψ = g(1) − g(0) + D(Y − g(1))/e − (1 − D)(Y − g(0))/(1 − e) − θ, F = (X, X̄, D̄) in every
    nuisance (Robins & Rotnitzky 1995; Chernozhukov et al. 2018, eq. 5.3). Rows with propensity
    outside [trim, 1 − trim] are left out and counted.
    """
    sample, d = design.sample, design.d[:, 0]
    treated = d == 1.0
    for fold, (train, _) in enumerate(folds.splits(0)):
        problem = single_arm_fold(d[train], fold=fold)
        if problem is not None:
            raise IdentificationError(problem)
    seen, learners = design.outcome, fitting.learners
    nuisances = [
        nuisance_of("mu1", design.y, seen, learners.outcome, train_on=treated),
        nuisance_of("mu0", design.y, seen, learners.outcome, train_on=~treated),
        nuisance_of("propensity", d, seen, learners.treatment, kind="probability"),
    ]
    hats = fitting.run(nuisances, folds)
    propensity = hats["propensity"]
    message = overlap(propensity.mean(axis=1), _OVERLAP)
    if message is not None:
        warn(message, OverlapWarning)
    inside = (propensity >= trim) & (propensity <= 1.0 - trim)
    used: Bools = np.asarray(inside.all(axis=1))
    if not used.any():
        raise IdentificationError(
            f"every propensity lies outside [{trim:g}, {1 - trim:g}]: treated and untreated rows "
            "are not comparable given these covariates. Use fewer covariates or a smaller trim."
        )
    parts = {name: hats[name][used] for name in ("mu0", "mu1", "propensity")}
    scores = {
        target: aipw(design.y[used], d[used], target=target, **parts)
        for target in ("ate", "att", "atc")
    }
    facts = {
        "nuisances": {
            "mu1": _quality_of(design.y, hats["mu1"], sample, treated),
            "mu0": _quality_of(design.y, hats["mu0"], sample, ~treated),
            "propensity": quality(d, propensity, unit=sample.unit, weights=sample.weights),
        },
        "propensity_range": (float(propensity.min()), float(propensity.max())),
    }
    return ModelFit(design, folds, hats, None, scores, facts, used)


def _quality_of(target: Floats, hats: Floats, sample: PanelSample, rows: Bools) -> Quality:
    weights = None if sample.weights is None else sample.weights[rows]
    return quality(target[rows], hats[rows], weights=weights)


def check_interactive(sample: PanelSample, approach: str) -> None:
    """Refuse what the interactive model cannot do."""
    if approach not in ("cre", "chamberlain", "pooled"):
        raise ArgumentError(
            f'model="interactive" compares levels given unit means, which approach="{approach}" '
            'does not keep; use approach="cre", "chamberlain" or "pooled".'
        )
    if sample.d.shape[1] != 1:
        raise ArgumentError(
            f'model="interactive" needs one binary treatment, got {len(sample.treatment_names)}: '
            f"{', '.join(sample.treatment_names)}. Choose one with data.with_roles(treatment=...), "
            'or use model="partially-linear".'
        )
