"""How well outcomes that were observed are predicted, on rows that were not trained on."""

from dataclasses import dataclass, replace

import numpy as np

from causalkit.data import CausalData
from causalkit.transtee.families import check_outcome
from causalkit.transtee.fitting import Coded, code_data
from causalkit.transtee.model import Asked, Model
from causalkit.typing import Floats

# A probability of single precision may be a whole one.
_LEAST = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class FactualLoss:
    """Loss of the mean outcome of the networks under the actions that rows received.

    Attributes
    ----------
    mean : float
        By the weights of the data, if they have some.
    std_error : float
        Over rows, or units and clusters, if the data name them.
    by_row : (n,) array
        Its differences between two fits on the same rows are paired.
    """

    mean: float
    std_error: float
    by_row: Floats


def factual_loss(model: Model, asked: Asked, data: CausalData, family: str) -> FactualLoss:
    """Loss of every row of a data set with outcomes and treatments."""
    coded = code_data(replace(model.coding, library=asked.library), data)
    check_outcome(family, coded.y)
    mu = model.outcomes(asked, [coded.actions], reduce=lambda m: m.mean(axis=0, keepdims=True))
    by_row = _losses(family, mu[0, :, 0], coded)
    mean, error = _mean(by_row, coded)
    return FactualLoss(mean, error, by_row)


def _losses(family: str, mu: Floats, coded: Coded) -> Floats:
    y = coded.y
    if family == "bernoulli":
        chance = np.clip(mu, _LEAST, 1.0 - _LEAST)
        return np.asarray(-(y * np.log(chance) + (1.0 - y) * np.log1p(-chance)))
    if family == "poisson":
        return np.asarray(mu - y * np.log(np.maximum(mu, _LEAST)))
    error = np.abs(y - mu)
    if family == "gaussian":
        return np.asarray(error**2)
    bend = float(np.sqrt(np.cov(y, aweights=coded.weight, ddof=0)))
    return np.asarray(np.where(error <= bend, 0.5 * error**2, bend * (error - 0.5 * bend)))


def _mean(values: Floats, coded: Coded) -> tuple[float, float]:
    """Weighted mean and its standard error, with n/(n − 1) of what counts as one observation."""
    weight = np.ones(values.size) if coded.weight is None else coded.weight
    total = weight.sum()
    mean = float(weight @ values / total)
    parts, n = weight * (values - mean) / total, float(values.size)
    if coded.groups is not None:
        parts = np.bincount(coded.groups, weights=parts)
        n = float(np.unique(coded.groups).size)
    elif coded.multiplicity is not None:
        parts, n = parts / np.sqrt(np.maximum(weight, 1.0)), float(total)
    variance = float(parts @ parts) * n / (n - 1.0) if n > 1 else float("nan")
    return mean, float(np.sqrt(variance))
