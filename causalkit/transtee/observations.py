"""Rows as the observations that they stand for, in number and in means."""

from typing import Any, Protocol

import numpy as np

from causalkit.nuisance.weights import of_mean_one
from causalkit.typing import Floats


def observations(values: Any, multiplicity: Floats | None) -> Any:
    """Values ``(n, ...)`` of rows, each as often as its count ``(n,)`` says."""
    if multiplicity is None:
        return values
    return np.repeat(values, multiplicity.astype(int), axis=0)


class Weighted(Protocol):
    """Rows with weights, or None, and what those mean."""

    @property
    def weight(self) -> Floats | None:
        """Weights ``(n,)``."""

    @property
    def weight_kind(self) -> str | None:
        """What they mean."""


def mean_weight(rows: Weighted) -> Floats | None:
    """Weights by which a mean counts rows: none if they are precisions.

    An inverse variance says how well an outcome is known and not how many the row stands for: a
    mean weighted by it would be the effect among those whose outcomes are known well. Sampling
    weights have a mean of one.
    """
    if rows.weight is None or rows.weight_kind == "precision":
        return None
    if rows.weight_kind == "frequency":
        return rows.weight
    return of_mean_one(rows.weight)
