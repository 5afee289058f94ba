"""Groups of rows, whose effects are compared."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.typing import Floats


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
