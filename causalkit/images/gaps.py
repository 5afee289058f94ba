"""Missing covariates, filled in with what is typical of the training rows."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone

from causalkit.data import CausalData
from causalkit.data.missing import training_fold_imputer
from causalkit.errors import ArgumentError, DataError, Problem
from causalkit.images.units import Units
from causalkit.typing import Floats, Ints

_SHOWN = 3


def with_filled(units: Units, data: CausalData, train: Ints) -> Units:
    """Units whose covariates lack nothing, by the policy of the data.

    Parameters
    ----------
    units : Units
    data : CausalData
    train : array of int
        Rows that are learned from.

    Raises
    ------
    ArgumentError
        If values are missing and left to a learner, by ``missing="native"``.
    """
    imputer = fitted_imputer(data, units.covariates, units.covariate_names, train)
    found = filled(imputer, units.covariates, units.covariate_names)
    return replace(units, covariates=found, imputer=imputer)


def fitted_imputer(
    data: CausalData, matrix: Floats, names: tuple[str, ...], train: Ints
) -> Any | None:
    """Imputer of the policy of the data, learned from the training rows of ``(n, p)``.

    Returns
    -------
    transformer or None
        None where the policy lets nothing be missing.

    Raises
    ------
    ArgumentError
        If the policy is ``"native"`` and something is missing.
    """
    if not matrix.shape[1]:
        return None
    imputer = training_fold_imputer(data.missing)
    if imputer is not None:
        return clone(imputer).fit(matrix[train])
    if np.isnan(matrix).any():
        raise ArgumentError(
            f'missing="native" leaves the missing values of {_lacking(matrix, names)} to the '
            "model, and mixture, balance test and forest of effects by image cannot take them; "
            'build the data with missing="indicator", "drop" or a scikit-learn imputer.'
        )
    return None


def filled(imputer: Any | None, matrix: Floats, names: tuple[str, ...]) -> Floats:
    """Rows ``(n, p)`` without missing values; with an imputer's flags behind them.

    Raises
    ------
    DataError
        If something stays missing.
    """
    found: Floats = matrix
    if imputer is not None:
        found = np.asarray(imputer.transform(matrix), dtype=np.float64)
    if np.isnan(found).any():
        lacking = _lacking(matrix, names)
        message = (
            f"{lacking} lack values, and the fit does not say what to fill in: its own data were "
            'not built with missing="indicator" or an imputer, or this one left some missing. '
            "Fill them in, or leave these rows out."
        )
        raise DataError(Problem("E07-nan-covariate", message))
    return found


def _lacking(matrix: Floats, names: tuple[str, ...]) -> str:
    gone = [name for name, column in zip(names, matrix.T, strict=False) if np.isnan(column).any()]
    return ", ".join(map(repr, gone[:_SHOWN])) + (", ..." if len(gone) > _SHOWN else "")
