"""How well nuisances predict rows that they did not see."""

from dataclasses import dataclass

import numpy as np

from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True)
class Quality:
    """Out-of-fold fit of one nuisance, averaged over repeats.

    Attributes
    ----------
    rmse : float
        Root mean squared error, in units of the target.
    r2 : float
        Share of variance explained; below zero is worse than the mean.
    r2_within : float
        The same for deviations from unit means (NaN without units).
    """

    rmse: float
    r2: float
    r2_within: float


def quality(
    target: Floats, predictions: Floats, *, unit: Ints | None = None, weights: Floats | None = None
) -> Quality:
    """Out-of-fold error and explained variance.

    Parameters
    ----------
    target : (n,) array
    predictions : (n, n_rep) array
    unit : (n,) int array or None
        Codes for the within-unit figure.
    weights : (n,) array or None
    """
    w = np.ones(target.size) if weights is None else weights
    error = target[:, None] - predictions
    mse = float((w @ error**2).mean() / w.sum())
    centred = target - w @ target / w.sum()
    variance = float(w @ centred**2 / w.sum())
    within = float("nan")
    if unit is not None:
        total = np.bincount(unit, weights=w)
        means = np.bincount(unit, weights=w * target) / total
        spread = float(w @ (target - means[unit]) ** 2)
        shares = []
        for column in error.T:
            left = column - (np.bincount(unit, weights=w * column) / total)[unit]
            shares.append(float(w @ left**2))
        within = 1.0 - float(np.mean(shares)) / spread if spread > 0 else float("nan")
    return Quality(
        rmse=float(np.sqrt(mse)),
        r2=1.0 - mse / variance if variance > 0 else float("nan"),
        r2_within=within,
    )
