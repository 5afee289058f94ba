"""Regressions of the study of invalid instruments, with heteroskedasticity-robust errors."""

import numpy as np

from causalkit.data import CausalData
from causalkit.inference.regression import partialled, regression_score
from causalkit.inference.solve import solve_linear
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.scores import LinearScore, pliv


def ols(data: CausalData) -> EffectResult:
    """Least squares of the outcome on treatment and covariates."""
    y, a = data.column("outcome"), data.column("treatment")
    return _result(data, "OLS", regression_score(y, a[:, None], _exogenous(data)))


def two_stage(data: CausalData) -> EffectResult:
    """Two-stage least squares with the covariates."""
    y, a, z = data.column("outcome"), data.column("treatment"), data.matrix("instruments")
    left = partialled(np.column_stack([y, a, z]), _exogenous(data), None)[:, None, :]
    return _result(data, "2SLS", pliv(left[:, :, 0], left[:, :, 1:2], left[:, :, 2:]))


def _exogenous(data: CausalData) -> np.ndarray:
    return np.hstack([np.ones((len(data), 1)), data.matrix("covariates")])


def _result(data: CausalData, name: str, score: LinearScore) -> EffectResult:
    return effect_from_solutions(
        solve_linear(score),
        terms=data.roles.treatment,
        cov_type="robust",
        estimand="ate",
        estimator=name,
        outcome=data.roles.outcome[0],
        treatment=data.roles.treatment,
    )
