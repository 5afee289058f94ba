"""Effects that vary: projections of the effect of a panel fit on groups and moderators."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.data.panel import unit_means
from causalkit.errors import ArgumentError, IdentificationError, check_choice
from causalkit.heterogeneity import (
    Encoding,
    check_group_arms,
    check_group_units,
    debiased_lasso,
    group_indicators,
    moderator_frame,
)
from causalkit.heterogeneity.moderators import check_moderator
from causalkit.inference.repeats import aggregate
from causalkit.inference.variance import sandwich
from causalkit.panel.fit import PanelFit
from causalkit.panel.residuals import Residuals
from causalkit.panel.settings import Settings
from causalkit.results import EffectResult
from causalkit.results.intervals import check_kind, quantile_value
from causalkit.rng import stream
from causalkit.scores import effect_projection
from causalkit.typing import Floats
from causalkit.warn import collect_warnings

if TYPE_CHECKING:
    import xarray as xr

PENALTIES = ("lasso",)
# Of a column given those before it, in units of the column; below, sums of squares lose it.
_COLLINEAR = 1e-6


def residuals_of_one_treatment(fit: PanelFit, what: str) -> Residuals:
    """Residuals of a partially linear fit with one treatment; others are refused."""
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


def _projectable(fit: PanelFit, settings: Settings, what: str) -> Residuals:
    residuals = residuals_of_one_treatment(fit, what)
    if settings.score != "partialling-out":
        raise ArgumentError(
            f'{what} projects the residuals of score="partialling-out"; this fit has '
            f'score="{settings.score}", whose outcome nuisance assumes one common effect. Refit '
            "with the default score."
        )
    return residuals


def _slope_in(fit: PanelFit, settings: Settings, what: str) -> tuple[Floats, Floats]:
    """Regressor and response ``(n, n_rep)`` whose slope is the effect, in the rows of the score.

    Of the interactive model the response is the AIPW score, whose mean given anything that precedes
    the treatment is the mean effect (Semenova & Chernozhukov 2021), and the regressor is one.
    """
    if settings.model == "interactive":
        scores = fit.model.scores["ate"].response
        return np.ones_like(scores), scores
    residuals = _projectable(fit, settings, what)
    return residuals.d[:, :, 0], residuals.y


def _check_present_columns(
    design: Floats, d_res: Floats, terms: tuple[str, ...], what: str
) -> None:
    """Refuse columns that are zero, alone or times the treatment residual, in the rows used."""
    for name, column in zip(terms, design.T, strict=True):
        if not column.any():
            raise IdentificationError(
                f"the {what} column {name!r} does not vary in the {len(design)} rows used; leave "
                "it out."
            )
        if not (column * d_res).any():
            raise IdentificationError(
                f"the {what} column {name!r} has no residual variation of the treatment: where it "
                "is not zero, covariates and Mundlak terms explain the treatment. Leave it out."
            )


def _check_columns(design: Floats, d_res: Floats, terms: tuple[str, ...], what: str) -> None:
    """Refuse columns that are zero, or determined by those before them, in the rows used."""
    _check_present_columns(design, d_res, terms, what)
    for values in (design, design * d_res[:, None]):
        triangle = np.linalg.qr(values / np.linalg.norm(values, axis=0), mode="r")
        apart = np.zeros(len(terms))
        apart[: len(triangle)] = np.abs(np.diag(triangle))
        if (apart < _COLLINEAR).any():
            name = terms[int(np.flatnonzero(apart < _COLLINEAR)[0])]
            raise IdentificationError(
                f"the {what} columns {', '.join(terms)} are linearly dependent in the rows used: "
                f"those before {name!r} determine it. Leave one out."
            )


def _project(
    fit: PanelFit,
    settings: Settings,
    main: EffectResult,
    design: Floats,
    *,
    terms: tuple[str, ...],
    estimand: str,
) -> EffectResult:
    """Projection of the effect on columns ``(n, q)`` of the sample."""
    regressor, response = _slope_in(fit, settings, estimand.upper())
    basis = fit.final(design)
    _check_columns(basis, regressor[:, 0], terms, estimand.upper())
    return fit.to_result(
        settings,
        effect_projection(regressor, response, basis),
        estimand=estimand,
        terms=terms,
        diagnostics=_nuisance_facts(main),
        warnings=(),
        provenance=main.provenance,
    )


def _nuisance_facts(main: EffectResult) -> dict[str, Any]:
    """Diagnostics of the nuisances, which a projection shares with the main result."""
    return {key: main.diagnostics[key] for key in ("nuisances", "learners")}


def _left_out(fit: PanelFit) -> str:
    """Reasons for which rows of the data are not used."""
    reasons = "; ".join(f"{count} rows: {why}" for why, count in fit.sample.dropped.items())
    return f" ({reasons})" if reasons else ""


def _check_present(absent: tuple[str, ...], fit: PanelFit) -> None:
    """Refuse groups and levels whose rows were all left out of estimation."""
    if absent:
        raise IdentificationError(
            f"{absent[0]} has no row among those used: its rows were left out of "
            f"estimation{_left_out(fit)}. Merge it with another group, or remove its rows from the "
            "data."
        )


def _moderators(
    fit: PanelFit, frame: pd.DataFrame, *, within_between: bool
) -> tuple[Floats, tuple[str, ...]]:
    """Moderators ``(n, q)`` of the rows used, and their names."""
    encoding = Encoding.of(frame)
    used = frame.iloc[fit.sample.rows]
    _check_present(encoding.absent(used), fit)
    values = encoding.matrix(frame)[fit.sample.rows]
    if not within_between:
        return values, encoding.names
    unit = fit.sample.unit
    between = unit_means(values, unit, weights=fit.sample.weights)[unit]
    within = values - between
    still = np.abs(within).max(axis=0) <= 1e-10 * np.abs(values).max(axis=0)
    if still.any():
        raise ArgumentError(
            f"{encoding.names[int(np.flatnonzero(still)[0])]!r} never varies within a unit, so it "
            "has no within part; pass it without within_between, which is its between part."
        )
    parts = np.stack([within, between], axis=2).reshape(len(values), -1)
    names = [f"{name} ({part})" for name in encoding.names for part in ("within", "between")]
    return parts, tuple(names)


def blp(
    fit: PanelFit,
    settings: Settings,
    main: EffectResult,
    data: CausalData,
    basis: Any,
    *,
    within_between: bool = False,
    penalty: str | None = None,
) -> EffectResult:
    """Best linear predictor of the effect."""
    frame = moderator_frame(data, basis)
    values, names = _moderators(fit, frame, within_between=within_between)
    if penalty is not None:
        check_choice("penalty", penalty, PENALTIES)
        return _penalised(fit, settings, main, values, names)
    return _linear(fit, settings, main, values, names)


def _linear(
    fit: PanelFit, settings: Settings, main: EffectResult, values: Floats, names: tuple[str, ...]
) -> EffectResult:
    """Best linear predictor by moderators ``(n, q)`` and a constant."""
    design = np.column_stack([np.ones(len(values)), values])
    return _project(fit, settings, main, design, terms=("constant", *names), estimand="blp")


def _penalised(
    fit: PanelFit, settings: Settings, main: EffectResult, values: Floats, names: tuple[str, ...]
) -> EffectResult:
    """Best linear predictor with many moderators: lasso, debiased for inference."""
    residuals = _projectable(fit, settings, "the penalised BLP")
    for name, value, other in (
        ("dml_procedure", settings.dml_procedure, "dml2"),
        ("cov_type", settings.cov_type, "clustered"),
    ):
        if value in ("dml1", "nonrobust"):
            raise ArgumentError(
                f'penalty="lasso" has no {name}="{value}"; refit with {name}="{other}".'
            )
    centred = values - np.average(values, axis=0, weights=fit.weights)
    centred[:, np.ptp(values, axis=0) == 0.0] = 0.0
    design = np.column_stack([np.ones(len(centred)), centred])
    terms = ("constant, moderators at their means", *names)
    # Dependent columns are for the lasso to choose among.
    _check_present_columns(design, residuals.d[:, 0, 0], terms, "penalised BLP")
    found = [
        debiased_lasso(
            design * residuals.d[:, repeat],
            residuals.y[:, repeat],
            groups=fit.sample.unit,
            free=np.arange(len(terms)) == 0,
            weights=fit.weights,
            rng=stream(settings.seed, "penalised-blp", repeat),
        )
        for repeat in range(residuals.y.shape[1])
    ]
    solutions = [one.solution for one in found]
    how: dict[str, Any] = {"ssc": settings.ssc, "multiplicity": fit.multiplicity}
    how["n_params"] = len(terms) + fit.model.design.absorbed(fit.clusters)
    variances = [sandwich(solution.influence, fit.clusters, **how) for solution in solutions]
    theta, vcov = aggregate(solutions, variances, method=settings.aggregation)
    kept = [term for term, chosen in zip(terms[1:], found[0].selected[1:], strict=True) if chosen]
    return replace(
        main,
        terms=terms,
        estimates=theta,
        vcov=vcov,
        influence=np.mean([solution.influence for solution in solutions], axis=0),
        estimand="blp",
        contrast=main.contrast * len(terms),
        diagnostics=_nuisance_facts(main)
        | {
            "lasso_penalty": found[0].penalty,
            "lasso_selected": ", ".join(kept) or "none",
        },
        warnings=(),
        notes=(
            *main.notes,
            "Many moderators: lasso of the outcome residual on moderators times the treatment "
            "residual, debiased by nodewise regressions (Semenova et al. 2023).",
        ),
        glance_extra={},
    )


def gate(
    fit: PanelFit, settings: Settings, main: EffectResult, data: CausalData, groups: Any
) -> EffectResult:
    """Group average effects."""
    name = "group"
    if isinstance(groups, str):
        name = groups
        check_moderator(data, name)
        groups = moderator_frame(data, name)[name]
    else:
        groups = in_row_order(data, groups, what="groups")
    indicators, terms = group_indicators(groups, len(data), name=name)
    used = indicators[fit.sample.rows]
    kept = fit.final(used)
    _check_present(
        tuple(term for term, column in zip(terms, kept.T, strict=True) if not column.any()), fit
    )
    check_group_units(kept, fit.final(fit.sample.unit), terms)
    with collect_warnings() as caught:
        if settings.model == "interactive":
            arm = fit.final(fit.sample.d)[:, 0].astype(np.int64)
            treated, _, control = fit.sample.contrasts[0].partition(" vs ")
            arms = (control, treated)
            check_group_arms(kept, terms, arm, arms, multiplicity=fit.multiplicity)
    found = _project(fit, settings, main, used, terms=terms, estimand="gate")
    return replace(found, warnings=(*found.warnings, *caught))


def effect(fit: PanelFit, settings: Settings, main: EffectResult, data: CausalData) -> "xr.Dataset":
    """Effect of every row of new data, linear in its modifiers.

    Returns
    -------
    Dataset
        ``effect``, ``std_error``, ``conf_low`` and ``conf_high`` over ``obs``.

    Raises
    ------
    ArgumentError
        If the data are no CausalData or lack a modifier, or the fit has several treatments,
        instruments, or another model than the partially linear one.
    IdentificationError
        If the rows of the fit do not tell how the effect varies.
    """
    import xarray as xr

    if not isinstance(data, CausalData):
        raise ArgumentError(
            f"effect needs a CausalData, got {type(data).__name__}; build one with "
            "CausalData.from_frame, or take rows with data.subset."
        )
    residuals_of_one_treatment(fit, "effect")
    seen = fit.source.modifiers
    names = list(seen.columns)
    design = np.ones((len(data), 1))
    fitted = main
    if names:
        fitted = _linear(fit, settings, main, *_moderators(fit, seen, within_between=False))
        encoding = Encoding.of(seen)
        design = np.column_stack([design, encoding.matrix(moderator_frame(data, names))])
    estimate = design @ fitted.estimates
    error = np.sqrt(np.einsum("ij,jk,ik->i", design, fitted.vcov, design))
    kind = check_kind(None, df=fitted.df)
    reach = quantile_value(kind, level=fitted.level, df=fitted.df) * error
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
