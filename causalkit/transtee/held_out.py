"""How well outcomes that were observed are predicted, on rows that were not trained on."""

from dataclasses import dataclass, replace

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.scores import LinearScore
from causalkit.transtee.coding import Coded, code_data
from causalkit.transtee.families import check_outcome
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
    coded = observed(model, asked, data, family)
    by_row = losses(family, model.averaged(asked, [coded.actions])[:, 0], coded)
    mean, error = _mean(by_row, coded)
    return FactualLoss(mean, error, by_row)


def observed(model: Model, asked: Asked, data: CausalData, family: str) -> Coded:
    """Rows with what they received and what came of it.

    Raises
    ------
    DataError, ArgumentError
        If they have no outcomes or treatments, or outcomes that the family cannot have.
    """
    roles = data.roles
    if not roles.outcome or not roles.treatment:
        raise ArgumentError(
            "a factual loss needs outcomes and treatments, and these rows have none; give them "
            "to data.like(...) as columns, or use effect() or predict()."
        )
    coded = code_data(replace(model.coding, library=asked.library), data)
    check_outcome(family, coded.y)
    return coded


def losses(family: str, mu: Floats, coded: Coded) -> Floats:
    """Loss ``(n,)`` of predicted mean outcomes, in the units of :class:`FactualLoss`."""
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
    """Weighted mean and its standard error, NaN of one observation."""
    one = np.ones((values.size, 1, 1))
    (found,) = solve_linear(LinearScore(one, one, values[:, None]), weights=coded.weight)
    clusters = [] if coded.groups is None else [coded.groups]
    try:
        vcov = sandwich(found.influence, clusters, multiplicity=coded.multiplicity)
    except IdentificationError:
        return float(found.theta[0]), float("nan")
    return float(found.theta[0]), float(np.sqrt(vcov[0, 0]))
