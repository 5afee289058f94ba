"""Other estimators beside an invalid-instrument fit, and tests of their differences from it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.missing import training_fold_imputer
from causalkit.errors import ArgumentError, CausalKitError
from causalkit.estimator import Refit
from causalkit.inference.hypotheses import wald
from causalkit.inference.variance import sandwich
from causalkit.iv.baselines import BASELINES, Bench
from causalkit.iv.nuisances import Learners
from causalkit.iv.result import IVFit
from causalkit.iv.sample import iv_sample
from causalkit.iv.selection import AXES
from causalkit.iv.settings import Settings, idle
from causalkit.iv.views import covariate_sight
from causalkit.nuisance import draw_folds
from causalkit.nuisance.fitter import Fitter
from causalkit.results import EffectResult, ResultTable, table
from causalkit.typing import Bools, Floats

_SAME = 1e-8  # of the standard error: what rounding alone leaves between two equal fits


@dataclass(frozen=True, slots=True)
class Row:
    """One estimator of the comparison, with its influence on every row of the sample.

    A soft-min average has none.
    """

    result: EffectResult
    influence: Floats | None


def compare(
    refit: Refit, own: EffectResult, fit: IVFit, settings: Settings, data: CausalData
) -> ResultTable:
    """All rows side by side; what cannot be computed is named in the notes with its reason.

    The notes also hold the difference of each row from this fit with its standard error, from the
    stacked influence functions (a Hausman test that is robust to heteroskedasticity and clusters).
    """
    rows, missing = comparison_rows(refit, own, fit, settings, data)
    notes = [f"{name}: {_assumption(row.result)}" for name, row in rows.items()]
    try:
        found = differences(rows, fit, settings).to_dict("records")
        notes += [_difference(record, settings.label) for record in found]
    except ArgumentError as error:
        notes.append(f"No differences: {error}")
    notes += [f"{name} not available: {reason}." for name, reason in missing.items()]
    results = {name: row.result for name, row in rows.items()}
    return table(list(results.values()), names=list(results), notes=tuple(notes), layout="rows")


def _difference(record: dict[Any, Any], label: str) -> str:
    """One line of the notes."""
    which = f"{record['method']} − {label}"
    if np.isnan(record["p_value"]):
        return f"{which}: the two coincide."
    return (
        f"{which}: {record['difference']:.4g} ({record['std_error']:.3g}), "
        f"p = {record['p_value']:.3g}."
    )


def _assumption(result: EffectResult) -> str:
    return next((note for note in result.notes if note.startswith("Assumes")), "")


def comparison_rows(
    refit: Refit, own: EffectResult, fit: IVFit, settings: Settings, data: CausalData
) -> tuple[dict[str, Row], dict[str, str]]:
    """Every row that can be computed, and why others cannot."""
    bench = _bench(fit, settings, data)
    rows: dict[str, Row] = {}
    missing: dict[str, str] = {}
    for name, make in BASELINES.items():
        try:
            result, kept = make(bench)
            rows[name] = Row(result, _spread(result, kept))
        except CausalKitError as error:
            missing[name] = str(error).rstrip(".")
    for name, changed, estimand in _relatives(fit, settings):
        try:
            again = replace(refit, folds=None) if changed["method"] == "parametric" else refit
            other = again.fit(data, **changed)
            result = replace(other.estimate(estimand), estimator=name)
            rows[name] = Row(result, _spread(result, other.fit_.influenced(estimand)))
        except CausalKitError as error:
            missing[name] = str(error).rstrip(".")
    rows[settings.label] = Row(own, _spread(own, fit.influenced(own.estimand)))
    return rows, missing


def _spread(result: EffectResult, kept: Bools) -> Floats | None:
    """Influence on every row of the sample, zero where a row is not used."""
    if result.influence is None:
        return None
    full = np.zeros(kept.size)
    full[kept] = result.influence[:, 0] * (kept.size / kept.sum())
    return full


def _relatives(fit: IVFit, settings: Settings) -> list[tuple[str, dict[str, Any], str]]:
    """Other methods of the family: label, changed arguments, estimand."""
    terms = {"effect_terms": None, "confounding_terms": None}
    parametric = {"method": "parametric", **idle("parametric"), **terms}
    rows: list[tuple[str, dict[str, Any], str]] = [
        ("GENIUS, constant effect", parametric, "variance-weighted")
    ]
    if settings.method != "parametric":
        rows.append(("InvalidIV (parametric)", parametric, "ate"))
    if settings.method != "debiased":
        learners = dict(zip(AXES, _chosen(fit, settings), strict=True))
        debiased = {"method": "debiased", **idle("debiased"), "learners": learners}
        rows.append(("InvalidIV (debiased)", debiased, "ate"))
    return rows


def _chosen(fit: IVFit, settings: Settings) -> tuple[Any, ...]:
    """Learner of each nuisance for comparison rows: those of the least loss."""
    if fit.selection is None:
        return tuple(settings.candidates[name][0][1] for name in AXES)
    found = []
    for name in AXES:
        pool = fit.selection.pools[name]
        found.append(dict(settings.candidates[name])[pool.labels[pool.best]])
    return tuple(found)


def _bench(fit: IVFit, settings: Settings, data: CausalData) -> Bench:
    sample = iv_sample(data)
    folds = fit.folds
    if folds is None:
        folds = draw_folds(
            sample.keys, rule=sample.split, n_folds=settings.n_folds, seed=settings.seed
        )
    return Bench(
        sample=sample,
        sight=covariate_sight(sample, settings.basis, settings.seed),
        folds=folds,
        fitter=Fitter(
            seed=settings.seed,
            weights=sample.weights,
            n_jobs=settings.n_jobs,
            imputer=training_fold_imputer(data.missing),
        ),
        learners=Learners(*_chosen(fit, settings)),
        settings=settings,
        fit=fit,
    )


def differences(rows: dict[str, Row], fit: IVFit, settings: Settings) -> pd.DataFrame:
    """Difference of every other row from this fit.

    Returns
    -------
    DataFrame
        Columns ``method, difference, std_error, statistic, p_value``: a Wald test from the
        difference of the influence functions. Missing statistic and p-value where there is none,
        as between two fits of the same learners.

    Raises
    ------
    ArgumentError
        If the fit is a soft-min average.
    """
    own = rows[settings.label]
    if own.influence is None:
        raise ArgumentError(
            "smooth=True takes its standard error from a bootstrap of the selection and has no "
            "influence function to compare; fit with smooth=False for tests of differences."
        )
    inference = fit.inference(settings)
    found = []
    for name, row in rows.items():
        if name == settings.label or row.influence is None:
            continue
        gap = float(row.result.estimates[0] - own.result.estimates[0])
        variance = sandwich(
            (row.influence - own.influence)[:, None],
            inference.clusters,
            ssc=settings.ssc,
            multiplicity=inference.multiplicity,
        )
        error = float(np.sqrt(variance[0, 0]))
        statistic = p_value = np.nan
        if error > _SAME * float(own.result.std_errors[0]):
            test = wald(np.array([gap]), variance, df=inference.df)
            statistic, p_value = test.statistic, test.p_value
        found.append(
            {
                "method": name,
                "difference": gap,
                "std_error": error,
                "statistic": statistic,
                "p_value": p_value,
            }
        )
    return pd.DataFrame(found)
