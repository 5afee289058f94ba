"""Fitting again with something changed, on the same folds."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.base import clone

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.inference.sensitivity import Sensitivity, benchmark_gains
from causalkit.nuisance.folds import ExternalFolds


@dataclass(frozen=True, slots=True)
class Refit:
    """How to fit again what was fitted: the estimator as it was, its seed, its explicit folds.

    Attributes
    ----------
    estimator : PanelDML
        Not fitted.
    seed : int
        Of the fit.
    folds : list or None
        Explicit folds, if the fit had some.
    """

    estimator: Any
    seed: int
    folds: ExternalFolds | None

    def fit(self, data: CausalData, **changed: Any) -> Any:
        """Fit with some arguments changed, on the same folds and without further warnings.

        Each result keeps its own warnings; a screenful of repeats would hide what is new.
        """
        again = clone(self.estimator).set_params(random_state=self.seed, **changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CausalKitWarning)
            return again.fit(data, folds=self.folds)


def benchmark(
    refit: Refit, long: Sensitivity, data: CausalData, covariates: str | Sequence[str]
) -> pd.DataFrame:
    """Strength of observed covariates, by leaving each out with its Mundlak terms."""
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
