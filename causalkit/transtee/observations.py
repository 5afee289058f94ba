"""Rows as the observations that they stand for."""

from typing import Any

import numpy as np

from causalkit.typing import Floats


def observations(values: Any, multiplicity: Floats | None) -> Any:
    """Values ``(n, ...)`` of rows, each as often as its count ``(n,)`` says."""
    if multiplicity is None:
        return values
    return np.repeat(values, multiplicity.astype(int), axis=0)
