"""What is asked of a fit after the estimate: heterogeneity, sensitivity, bootstrap, residuals."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, IdentificationError, check_choice, check_level
from causalkit.heterogeneity.groups import group_indicators
from causalkit.inference.bootstrap import multiplier_bootstrap, wild_cluster_bootstrap
from causalkit.inference.hypotheses import HypothesisTest
from causalkit.inference.instruments import AndersonRubin
from causalkit.inference.sensitivity import Sensitivity, omitted_variable_bounds
from causalkit.panel import instruments
from causalkit.panel.clusters import variance_clusters
from causalkit.panel.fit import PanelFit
from causalkit.panel.fitting import Residuals, labels
from causalkit.panel.linear import mundlak_test
from causalkit.panel.sample import panel_sample
from causalkit.panel.settings import Settings
from causalkit.results import EffectResult
from causalkit.rng import stream
from causalkit.scores import effect_projection
from causalkit.typing import Floats


def other_estimand(
    fit: PanelFit, settings: Settings, main: EffectResult, data: CausalData, estimand: str
) -> EffectResult:
    """Result for another estimand of the interactive model, from the same nuisances."""
    check_choice("estimand", estimand, fit.model.scores)
    return fit.to_result(
        settings,
        data,
        fit.model.scores[estimand],
        estimand=estimand,
        diagnostics=main.diagnostics,
        warnings=main.warnings,
        provenance=main.provenance,
    )


def _residuals(fit: PanelFit, what: str) -> Residuals:
    """Residuals of a partially linear fit with one treatment."""
    residuals = fit.model.residuals
    if residuals is None:
        raise ArgumentError(
            f'{what} uses the residuals of model="partially-linear"; this fit is interactive.'
        )
    if residuals.d.shape[2] != 1:
        raise ArgumentError(
            f"{what} is for one treatment; this fit has {residuals.d.shape[2]}: "
            f"{', '.join(fit.sample.treatment_names)}. Fit them one at a time, with the others "
            "among the covariates."
        )
    if residuals.z.shape[2]:
        raise ArgumentError(
            f'{what} is not available for model="iv"; its slope comes from the instruments.'
        )
    return residuals


def _moderators(data: CausalData, basis: Any) -> pd.DataFrame:
    """Moderator columns in the data's row order."""
    if isinstance(basis, pd.DataFrame):
        frame = basis.reset_index(drop=True)
    else:
        names = [basis] if isinstance(basis, str) else list(basis)
        missing = [name for name in names if name not in data.frame.columns]
        if missing:
            raise ArgumentError(
                f"the data have no column {missing[0]!r}; name a column of the data (pass it as "
                "`extra` when building the data if it has no other role), or a DataFrame."
            )
        frame = data.frame[names].reset_index(drop=True)
    if len(frame) != len(data):
        raise ArgumentError(f"the basis has {len(frame)} rows; the data have {len(data)}.")
    return frame


def _numeric(frame: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
    """Columns as numbers; categories become indicators without the first level."""
    wide = pd.get_dummies(frame, drop_first=True, dtype=float)
    for name in wide.columns:
        values = wide[name]
        if not pd.api.types.is_numeric_dtype(values):
            raise ArgumentError(f"column {name!r} of the basis is not numeric; encode it first.")
        if not np.isfinite(values.to_numpy(dtype=np.float64)).all():
            row = int(np.flatnonzero(~np.isfinite(values.to_numpy(dtype=np.float64)))[0])
            raise ArgumentError(f"column {name!r} of the basis is missing at row {row}.")
    return wide.to_numpy(dtype=np.float64), tuple(str(name) for name in wide.columns)


def _projection(
    fit: PanelFit,
    settings: Settings,
    data: CausalData,
    basis: Floats,
    *,
    terms: tuple[str, ...],
    estimand: str,
    main: EffectResult,
) -> EffectResult:
    residuals = _residuals(fit, estimand.upper())
    rows = basis[fit.sample.rows]
    if np.linalg.matrix_rank(rows) < rows.shape[1]:
        raise IdentificationError(
            f"the {estimand.upper()} columns {', '.join(terms)} are linearly dependent in the rows "
            "used; leave one out."
        )
    return fit.to_result(
        settings,
        data,
        effect_projection(residuals.d[:, :, 0], residuals.y, rows),
        estimand=estimand,
        terms=terms,
        diagnostics={"learners": main.diagnostics.get("learners", {})},
        warnings=(),
        provenance=main.provenance,
    )


def blp(
    fit: PanelFit, settings: Settings, main: EffectResult, data: CausalData, basis: Any
) -> EffectResult:
    """Best linear predictor of the effect."""
    values, names = _numeric(_moderators(data, basis))
    design = np.column_stack([np.ones(len(values)), values])
    terms = ("constant", *names)
    return _projection(fit, settings, data, design, terms=terms, estimand="blp", main=main)


def gate(
    fit: PanelFit, settings: Settings, main: EffectResult, data: CausalData, groups: Any
) -> EffectResult:
    """Group average effects."""
    name = groups if isinstance(groups, str) else "group"
    labels_of_rows = _moderators(data, groups)[groups] if isinstance(groups, str) else groups
    indicators, terms = group_indicators(labels_of_rows, len(data), name=name)
    return _projection(fit, settings, data, indicators, terms=terms, estimand="gate", main=main)


def effect(
    fit: PanelFit, settings: Settings, main: EffectResult, fitted_on: CausalData, data: CausalData
) -> Any:
    """Effect of every row of new data, linear in its modifiers."""
    import xarray as xr

    names = fitted_on.roles.modifiers
    if names:
        fitted = blp(fit, settings, main, fitted_on, list(names))
        values, columns = _numeric(_moderators(data, list(names)))
        if columns != fitted.terms[1:]:
            raise ArgumentError(
                f"the modifiers of the new data give columns {', '.join(columns)}; the fit has "
                f"{', '.join(fitted.terms[1:])}. Use the same columns and categories."
            )
        design = np.column_stack([np.ones(len(values)), values])
    else:
        _residuals(fit, "effect")
        fitted, design = main, np.ones((len(data), 1))
    estimate = design @ fitted.estimates
    error = np.sqrt(np.einsum("ij,jk,ik->i", design, fitted.vcov, design))
    low, high = fitted.bounds()
    reach = (high[0] - low[0]) / (2 * fitted.std_errors[0]) * error
    columns_of = {
        "effect": estimate,
        "std_error": error,
        "conf_low": estimate - reach,
        "conf_high": estimate + reach,
    }
    return xr.Dataset(
        {name: ("obs", values) for name, values in columns_of.items()},
        coords={"obs": np.arange(len(data))},
        attrs={"treatment": fit.sample.treatment_names[0], "level": fitted.level},
    )


def augment(fit: PanelFit, main: EffectResult, data: CausalData) -> pd.DataFrame:
    """Fold, predictions, residuals and score of every row used, averaged over repeats."""
    model, sample = fit.model, fit.sample
    unit = str(data.roles.unit)
    columns: dict[str, Any] = {"row": sample.rows, unit: data.frame[unit].to_numpy()[sample.rows]}
    if data.roles.time is not None:
        columns[data.roles.time] = data.frame[data.roles.time].to_numpy()[sample.rows]
    columns["fold"] = model.folds.fold_ids()[0]
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
    return frame.sort_values("row", ignore_index=True)


def sensitivity(
    fit: PanelFit,
    settings: Settings,
    *,
    cf_y: float,
    cf_d: float,
    rho: float,
    null: float,
    level: float,
) -> Sensitivity:
    """Omitted-variable bounds of a partially linear fit."""
    residuals = _residuals(fit, "sensitivity")
    solutions = fit.solve(settings, fit.model.scores["ate"])
    return omitted_variable_bounds(
        residuals.y,
        residuals.d[:, :, 0],
        np.array([solution.theta[0] for solution in solutions]),
        np.column_stack([solution.influence[:, 0] for solution in solutions]),
        clusters=fit.clusters,
        weights=fit.weights,
        cf_y=cf_y,
        cf_d=cf_d,
        rho=rho,
        null=null,
        level=level,
        ssc=settings.ssc,
    )


def weak_robust(fit: PanelFit, settings: Settings, *, null: float, level: float) -> AndersonRubin:
    """Anderson-Rubin set of an instrumented fit."""
    return instruments.weak_robust(
        fit.model, fit.clusters, ssc=settings.ssc, use_t=settings.use_t, null=null, level=level
    )


def mundlak(data: CausalData, settings: Settings) -> HypothesisTest:
    """Joint test of the linear Mundlak terms."""
    sample = panel_sample(data)
    clusters = variance_clusters(settings, sample) or (sample.unit,)
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
    check_level(level)
    rng = stream(settings.seed, "bootstrap", kind)
    if kind == "wild":
        return _wild(fit, n_boot=n_boot, level=level, null=null, weights=weights, rng=rng)
    influence = np.asarray(main.influence)
    draws = multiplier_bootstrap(
        influence,
        clusters=main.clusters,
        n_boot=n_boot,
        kind=weights or "normal",
        multiplicity=fit.multiplicity,
        rng=rng,
    )
    scale = draws.std(axis=0)
    ratios = np.abs(draws / scale)
    statistic = np.abs((main.estimates - null) / main.std_errors)
    pointwise = np.quantile(ratios, level, axis=0)
    largest = ratios.max(axis=1)
    joint = float(np.quantile(largest, level))
    return pd.DataFrame(
        {
            "term": main.terms,
            "estimate": main.estimates,
            "p_value": (1 + (ratios >= statistic).sum(axis=0)) / (n_boot + 1),
            "p_value_joint": [(1 + (largest >= s).sum()) / (n_boot + 1) for s in statistic],
            "conf_low": main.estimates - pointwise * main.std_errors,
            "conf_high": main.estimates + pointwise * main.std_errors,
            "uniform_low": main.estimates - joint * main.std_errors,
            "uniform_high": main.estimates + joint * main.std_errors,
            "n_boot": n_boot,
        }
    )


def _wild(
    fit: PanelFit,
    *,
    n_boot: int,
    level: float,
    null: float,
    weights: str | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    residuals = _residuals(fit, "the wild bootstrap")
    if len(fit.clusters) != 1:
        raise ArgumentError(
            "the wild bootstrap resamples one dimension of clusters; refit with "
            'cov_type="clustered".'
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
        for repeat in range(residuals.y.shape[1])
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
