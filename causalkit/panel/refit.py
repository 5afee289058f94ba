"""Panel models fitted again: without a covariate, or for one treatment at a time."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.estimator import Refit
from causalkit.inference.sensitivity import benchmark_gains
from causalkit.inference.variance import sandwich
from causalkit.results import EffectResult


def given_nuisances(result: EffectResult) -> list[str]:
    """Nuisances of a fit whose predictions came from elsewhere."""
    return [name for name, how in result.diagnostics["learners"].items() if how == "given"]


def _check_learned(result: EffectResult, what: str) -> None:
    """Refuse questions that fit again what the fit did not learn itself."""
    given = given_nuisances(result)
    if given:
        raise ArgumentError(
            f"{what} fits again and would learn what this fit was given: the predictions of "
            f"{', '.join(given)}; fit without predictions=."
        )


def benchmark(
    refit: Refit, fitted: Any, data: CausalData, covariates: str | Iterable[str]
) -> pd.DataFrame:
    """Strength of observed covariates, by leaving each out with its Mundlak terms."""
    _check_learned(fitted.result_, "benchmark")
    long = fitted.sensitivity()
    if not isinstance(covariates, Iterable):
        raise ArgumentTypeError(
            f"covariates must be a column or a list of columns, got {covariates!r}."
        )
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    for name in names:
        if name not in data.roles.covariates:
            raise ArgumentError(
                f"{name!r} is not a covariate of the data; benchmark one of: "
                f"{', '.join(data.roles.covariates)}."
            )
    rows = []
    for name in names:
        left = tuple(column for column in data.roles.covariates if column != name)
        modifiers = tuple(column for column in data.roles.modifiers if column != name)
        short = refit.fit(data.with_roles(covariates=left, modifiers=modifiers)).sensitivity()
        gains = benchmark_gains(
            long.sigma2, long.nu2, long.estimate, short.sigma2, short.nu2, short.estimate
        )
        rows.append({"covariate": name, **gains})
    return pd.DataFrame(rows)


def one_by_one(refit: Refit, own: EffectResult, data: CausalData) -> EffectResult:
    """Effect of each treatment with the others among the covariates, on the same folds.

    Each variance is that of its own fit; covariances come from the influence values of all.
    """
    treatments = data.roles.treatment
    _check_learned(own, "one_by_one")
    if refit.estimator.model == "iv":
        raise ArgumentError(
            'one_by_one takes the other treatments as covariates, but with model="iv" they are '
            "endogenous; estimate() is their joint effect, instruments for all."
        )
    if len(treatments) < 2:
        raise ArgumentError(
            f"the data have one treatment ({treatments[0]}); estimate() is its effect."
        )
    fits = []
    for name in treatments:
        others = tuple(other for other in treatments if other != name)
        covariates = (*data.roles.covariates, *others)
        fits.append(refit.fit(data.with_roles(treatment=name, covariates=covariates)))
    found = [fitted.estimate() for fitted in fits]
    influence = np.hstack([np.asarray(result.influence) for result in found])
    counts = fits[0].fit_.multiplicity
    joint = sandwich(influence, own.clusters, ssc="none", multiplicity=counts)
    scale = np.array([result.std_error for result in found]) / np.sqrt(np.diag(joint))
    diagnostics: dict[str, Any] = {}
    for name, result in zip(treatments, found, strict=True):
        diagnostics |= {f"{key}, {name}": value for key, value in result.diagnostics.items()}
    return replace(
        own,
        estimates=np.array([result.estimate for result in found]),
        vcov=scale[:, None] * joint * scale,
        influence=influence,
        estimator=f"{own.estimator}, one by one",
        diagnostics=diagnostics,
        notes=(*own.notes, "Each treatment alone, with the others among the covariates."),
    )
