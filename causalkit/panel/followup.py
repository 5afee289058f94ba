"""What is asked of a fit after the estimate: sensitivity, bootstrap, residuals, tests."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_choice, check_count, check_level
from causalkit.inference.anderson_rubin import AndersonRubin
from causalkit.inference.arguments import check_number
from causalkit.inference.bands import absolute_ratios, critical_values, p_values
from causalkit.inference.bootstrap import multiplier_bootstrap, wild_cluster_bootstrap
from causalkit.inference.hypotheses import HypothesisTest
from causalkit.inference.sensitivity import (
    Sensitivity,
    interactive_nu2,
    omitted_variable_bounds,
)
from causalkit.panel import instruments
from causalkit.panel.clusters import variance_clusters
from causalkit.panel.fit import PanelFit
from causalkit.panel.heterogeneity import residuals_of_one_treatment
from causalkit.panel.linear import mundlak_test
from causalkit.panel.residuals import labels
from causalkit.panel.sample import panel_sample
from causalkit.panel.settings import Settings
from causalkit.results import EffectResult
from causalkit.results.intervals import t_ratios
from causalkit.rng import stream
from causalkit.typing import Floats

# With fewer, the 5 % tail is a handful of draws.
_FEWEST_DRAWS = 99


def other_estimand(
    fit: PanelFit, settings: Settings, main: EffectResult, estimand: str
) -> EffectResult:
    """Result for another estimand of the interactive model, from the same nuisances."""
    check_choice("estimand", estimand, fit.model.scores)
    return fit.to_result(
        settings,
        fit.model.scores[estimand],
        estimand=estimand,
        diagnostics=main.diagnostics,
        warnings=main.warnings,
        provenance=main.provenance,
        glance_extra=main.glance_extra,
    )


def augment(fit: PanelFit, main: EffectResult, data: CausalData) -> pd.DataFrame:
    """Fold, predictions, residuals and score of every row used, averaged over repeats."""
    model, sample = fit.model, fit.sample
    columns: dict[str, Any] = {"row": sample.rows, "fold": model.folds.fold_ids()[0]}
    for name, values in model.hats.predictions.items():
        columns[f"{name}_hat"] = values.mean(axis=1)
    if model.residuals is not None:
        columns["outcome_residual"] = model.residuals.y.mean(axis=1)
        names = labels("treatment", sample.treatment_names)
        for column, name in enumerate(names):
            columns[f"{name}_residual"] = model.residuals.d[:, :, column].mean(axis=1)
    frame = pd.DataFrame(columns)
    influence = np.full((sample.n, len(main.terms)), np.nan)
    if main.influence is not None:
        influence[slice(None) if model.used is None else model.used] = main.influence
    for column, term in enumerate(main.terms):
        frame[f"influence_{term}"] = influence[:, column]
    keys = {"unit": data.roles.unit, "time": data.roles.time}
    present = {role: str(name) for role, name in keys.items() if name is not None}
    for position, (role, name) in enumerate(present.items(), start=1):
        # A unit that the user calls "row" keeps its column beside ours.
        label = f"{role}:{name}" if name in frame else name
        frame.insert(position, label, data.frame[name].to_numpy()[sample.rows])
    return frame.sort_values("row", ignore_index=True)


def sensitivity(
    fit: PanelFit,
    settings: Settings,
    main: EffectResult,
    *,
    cf_y: float,
    cf_d: float,
    rho: float,
    null: float,
    level: float,
) -> Sensitivity:
    """Omitted-variable bounds of a partially linear or interactive fit."""
    interactive = settings.model == "interactive"
    residuals = None if interactive else residuals_of_one_treatment(fit, "sensitivity")
    score = fit.model.scores["ate"]
    solutions = fit.solve(settings, score)
    theta = np.array([solution.theta[0] for solution in solutions])
    nu2_parts = None
    if residuals is None:
        y_res, nu2_parts = _interactive_parts(fit)
        d_res = np.zeros_like(y_res)
    else:
        d_res = residuals.d[:, :, 0]
        # What the score has left of the outcome: Y − ℓ, or Y − g − θ(D − Ṽ) of the IV-type score.
        y_res = score.response - theta * (score.regressor[:, :, 0] - d_res)
    return omitted_variable_bounds(
        y_res,
        d_res,
        theta,
        np.column_stack([solution.influence[:, 0] for solution in solutions]),
        clusters=fit.clusters,
        weights=fit.weights,
        multiplicity=fit.multiplicity,
        cf_y=cf_y,
        cf_d=cf_d,
        rho=rho,
        null=null,
        level=level,
        ssc=settings.ssc,
        n_params=1 + fit.model.design.absorbed(fit.clusters),
        df=main.df,
        aggregation=settings.aggregation,
        nu2_parts=nu2_parts,
    )


def _interactive_parts(fit: PanelFit) -> tuple[Floats, Floats]:
    """Y − g(D) and the values whose mean is ν², ``(n, n_rep)``, of the rows of the score."""
    hats, design = fit.model.hats, fit.model.design
    y, d = fit.final(design.y), fit.final(design.d[:, 0])
    mu0, mu1, propensity = (fit.final(hats[name]) for name in ("mu0", "mu1", "propensity"))
    outcome = np.where(d[:, None] == 1.0, mu1, mu0)
    return y[:, None] - outcome, interactive_nu2(d, propensity)


def weak_robust(fit: PanelFit, settings: Settings, *, null: float, level: float) -> AndersonRubin:
    """Anderson-Rubin set of an instrumented fit."""
    return instruments.weak_robust(
        fit.model, fit.clusters, ssc=settings.ssc, use_t=settings.use_t, null=null, level=level
    )


def mundlak(data: CausalData, settings: Settings) -> HypothesisTest:
    """Joint test of the linear Mundlak terms."""
    sample = panel_sample(data)
    clusters = variance_clusters(settings, sample, data.roles) or (sample.unit,)
    return mundlak_test(
        sample, clusters=clusters, time_effects=settings.options.time_effects, ssc=settings.ssc
    )


def bootstrap(
    fit: PanelFit,
    settings: Settings,
    main: EffectResult,
    *,
    kind: str,
    n_boot: int,
    level: float,
    null: float,
    weights: str | None,
) -> pd.DataFrame:
    """Bootstrap intervals and p-values, one row per term."""
    check_choice("kind of bootstrap", kind, ("multiplier", "wild"))
    check_count("n_boot", n_boot, least=_FEWEST_DRAWS)
    level, null = check_level(level), check_number("null", null)
    rng = stream(settings.seed, "bootstrap", kind)
    if kind == "wild":
        return _wild(fit, settings, n_boot=n_boot, level=level, null=null, weights=weights, rng=rng)
    draws = multiplier_bootstrap(
        np.asarray(main.influence),
        clusters=main.clusters,
        n_boot=n_boot,
        kind=weights or "normal",
        multiplicity=fit.multiplicity,
        rng=rng,
    )
    scale = np.sqrt((draws**2).mean(axis=0))
    statistic = t_ratios(main.estimates, main.std_errors, null)
    table: dict[str, Any] = {"term": main.terms, "estimate": main.estimates}
    ends: dict[str, Any] = {}
    for joint, p, interval in ((False, "p_value", "conf"), (True, "p_value_joint", "uniform")):
        ratios = absolute_ratios(draws, scale, joint=joint)
        reach = critical_values(ratios, level=level) * main.std_errors
        table[p] = p_values(statistic, ratios)
        ends[f"{interval}_low"] = main.estimates - reach
        ends[f"{interval}_high"] = main.estimates + reach
    return pd.DataFrame(table | ends | {"n_boot": n_boot})


def _wild(
    fit: PanelFit,
    settings: Settings,
    *,
    n_boot: int,
    level: float,
    null: float,
    weights: str | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    n_rep = residuals_of_one_treatment(fit, "the wild bootstrap").y.shape[1]
    if settings.dml_procedure == "dml1":
        raise ArgumentError(
            'the wild bootstrap inverts the estimate of dml_procedure="dml2"; this fit averages '
            'the folds\' solutions (dml_procedure="dml1"). Refit with "dml2", or use '
            'kind="multiplier".'
        )
    if len(fit.clusters) != 1:
        raise ArgumentError(
            "the wild bootstrap resamples one dimension of clusters; refit with "
            'cov_type="clustered" and data that name one column of them at most.'
        )
    score = fit.model.scores["ate"]
    w = np.ones(fit.sample.n) if fit.weights is None else fit.weights
    found = [
        wild_cluster_bootstrap(
            score.regressor[:, repeat, 0],
            score.instrument[:, repeat, 0] * w,
            score.response[:, repeat],
            fit.clusters[0],
            null=null,
            level=level,
            n_boot=n_boot,
            weights=weights or "rademacher",  # type: ignore[arg-type]
            rng=rng,
        )
        for repeat in range(n_rep)
    ]
    return pd.DataFrame(
        {
            "term": fit.sample.treatment_names,
            "p_value": [float(np.median([one.p_value for one in found]))],
            "conf_low": [float(np.median([one.low for one in found]))],
            "conf_high": [float(np.median([one.high for one in found]))],
            "n_boot": [found[0].n_boot],
        }
    )
