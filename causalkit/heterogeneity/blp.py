"""Best linear predictor of the effect, and group effects, from cross-fitted residuals."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.inference.solve import Solution, solve_linear
from causalkit.scores import LinearScore
from causalkit.typing import Floats


def project_effect(
    y_res: Floats, d_res: Floats, basis: Floats, *, weights: Floats | None = None
) -> list[Solution]:
    """Project the conditional effect on a basis: θ(z) ≈ b(z)'β.

    Solves E[b Ṽ (Ũ − Ṽ b'β)] = 0 for every repeat (Semenova & Chernozhukov 2021; for panels
    Semenova et al. 2023).

    Parameters
    ----------
    y_res, d_res : (n, n_rep) arrays
        Residuals of the outcome and of one treatment.
    basis : (n, q) array
        b(z), a constant among its columns.
    weights : (n,) array or None

    Returns
    -------
    list of Solution
        β and its influence, per repeat.
    """
    regressor = d_res[:, :, None] * basis[:, None, :]
    return solve_linear(LinearScore(regressor, regressor, y_res), weights=weights)


def group_indicators(groups: Any, n: int, *, name: str) -> tuple[Floats, tuple[str, ...]]:
    """Indicator columns of groups and their labels, in sorted order.

    Parameters
    ----------
    groups : (n,) array-like
        Group of each row, without missing values.
    n : int
        Rows expected.
    name : str
        Name for labels.

    Raises
    ------
    ArgumentError
        If the length is wrong, a group is missing, or there is a single group.
    """
    series = pd.Series(np.asarray(groups)) if not isinstance(groups, pd.Series) else groups
    if len(series) != n:
        raise ArgumentError(f"groups has {len(series)} entries; expected one per row ({n}).")
    if series.isna().any():
        row = int(np.flatnonzero(series.isna().to_numpy())[0])
        raise ArgumentError(f"groups is missing at row {row}; assign every row to a group.")
    codes, levels = pd.factorize(series, sort=True)
    if len(levels) < 2:
        raise ArgumentError(
            f"groups has the single value {levels[0]!r}; group effects need at least two groups."
        )
    indicators = np.zeros((n, len(levels)))
    indicators[np.arange(n), codes] = 1.0
    return indicators, tuple(f"{name}={level}" for level in levels)
