"""Whether predicted effects differ between rows as the effects themselves do."""

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.inference.solve import Solution, solve_linear
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints


def joined(solutions: list[Solution]) -> Solution:
    """Solutions for the same rows as one, terms side by side."""
    return Solution(
        np.concatenate([one.theta for one in solutions]),
        np.hstack([one.influence for one in solutions]),
    )


def calibration(
    scores: Floats,
    predicted: Floats,
    fold: Ints,
    *,
    weight: Floats | None = None,
    leverage: Floats | None = None,
) -> Solution:
    """Means of the scores of effects, and their slopes on the centred predicted effects.

    Predictions are centred within folds: models of two folds differ in their mean for a reason
    that is not the rows', each being high where the rows that it did not see are low. A mean has
    the error of a mean of scores. The constant of the regression, the same number, would have a
    lesser one, as if other rows had the same predicted effects.

    Parameters
    ----------
    scores, predicted : (n, k) arrays
        Doubly robust scores of k effects, and effects predicted by models that did not see the row.
    fold : (n,) int array
        Of one number where one model predicts all rows.
    weight : (n,) array, optional
    leverage : (n, k) array, optional
        Of the scores, as in :class:`~causalkit.scores.LinearScore`.

    Returns
    -------
    Solution
        Average effect and slope of the first effect, of the second, and so on.

    Raises
    ------
    IdentificationError
        If predictions do not vary within folds.

    References
    ----------
    Chernozhukov, Demirer, Duflo & Fernández-Val (2018), NBER 24678: the best linear predictor of
    the effect from a proxy of it.
    """
    share = np.ones(fold.size) if weight is None else weight
    total = np.bincount(fold, share)
    added = np.zeros(scores.shape) if leverage is None else leverage
    found = []
    for score, effect, more in zip(scores.T, predicted.T, added.T, strict=True):
        centred = effect - (np.bincount(fold, share * effect) / total)[fold]
        if not np.abs(centred).max() > 1e-9 * np.abs(effect).max():
            raise IdentificationError(
                "the predicted effects do not vary between rows: there is nothing to calibrate. "
                "Read estimate('ate')."
            )
        told = score[:, None], more[:, None]
        one = np.ones((fold.size, 1, 1))
        (mean,) = solve_linear(LinearScore(one, one, *told), weights=weight)
        basis = np.column_stack([one[:, 0], centred])[:, None, :]
        (line,) = solve_linear(LinearScore(basis, basis, *told), weights=weight)
        found += [mean, Solution(line.theta[1:], line.influence[:, 1:])]
    return joined(found)
