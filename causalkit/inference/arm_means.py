"""Mean outcomes of arms: inverse propensities that add up to the rows, and their leverage."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.typing import Bools, Floats, Ints

IN_ARMS = "in arms as in HC3, of clusters CR3"
_LEAST = 0.01


def arm_means(
    y: Floats, arm: Ints, *, mu: Floats, propensity: Floats, **how: Any
) -> tuple[Floats, Floats]:
    """Scores ``(n, K)`` of the mean outcome of every arm, and their leverage ``(n, K)``.

    Parameters
    ----------
    y : (n,) array
    arm : (n,) int array
        Arm received, 0, ..., K − 1.
    mu, propensity : (n, K) arrays
        Cross-fitted E[Y | A = k, X] and P(A = k | X).
    **how
        ``weight``, ``clusters`` and ``multiplicity`` of :func:`arm_mean`.
    """
    found = [
        arm_mean(y, arm == k, mu=mu[:, k], propensity=propensity[:, k], **how)
        for k in range(mu.shape[1])
    ]
    scores, leverage = (np.column_stack(part) for part in zip(*found, strict=True))
    return scores, leverage


def arm_mean(
    y: Floats, received: Bools, *, mu: Floats, propensity: Floats, **how: Any
) -> tuple[Floats, Floats]:
    """Augmented inverse-probability scores of the mean outcome of one arm, and their leverage.

    Parameters
    ----------
    y, mu, propensity : (n,) arrays
        Outcome, and cross-fitted E[Y | arm, X] and P(arm | X).
    received : (n,) bool array
        Who got the arm.
    **how
        ``weight``, ``clusters`` and ``multiplicity`` of :func:`normalised`.

    Returns
    -------
    (n,) arrays
        μ + r + h (Y − μ − r), with r the mean and h the shares that :func:`normalised` makes of
        residuals and the inverse propensities of those who got the arm; and what errors add.
        A score less the mean of all is the influence of its row.

    Raises
    ------
    IdentificationError
        If someone received what their propensity excludes, or one row or cluster carries the arm.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994); Cattaneo (2010), Journal of Econometrics 155:138. Robins, Sued,
    Lei-Gomez & Rotnitzky (2007), Statistical Science 22:544, for the normalised form.
    """
    excluded = received & ~(propensity > 0)
    if excluded.any():
        raise IdentificationError(
            f"{int(excluded.sum())} rows received an arm whose propensity is 0 for them; clip "
            "propensities, or leave out the rows."
        )
    inverse = np.divide(1.0, propensity, out=np.zeros(y.size), where=received)
    mean, moved, leverage = normalised(y - mu, inverse, **how)
    return np.asarray(mu + mean + moved), leverage


def normalised(
    residual: Floats,
    inverse: Floats,
    *,
    weight: Floats | None = None,
    clusters: Sequence[Ints] = (),
    multiplicity: Floats | None = None,
) -> tuple[float, Floats, Floats]:
    """Mean of residuals by inverse propensities that are brought to a mean of one (Hájek).

    Theirs is a mean of one only if propensities are right. Left as they are, a few that are too
    small move an average by as much as outcomes are mispredicted, times what the mean is too large
    by: far beyond every residual.

    The mean follows the rows that carry it, and what is left of their residuals tells too little of
    the error: with propensities learned from 40 clusters, a fifth less. Leaving out a cluster with
    a part H of the weight would move the mean by 1/(1 − H) times what its residuals sum to. Counted
    so, as by the jackknife, HC3 of rows and CR3 of clusters, errors hold.

    Parameters
    ----------
    residual : (n,) array
    inverse : (n,) array
        Inverse propensities, zero for rows that did not get the arm.
    weight : (n,) array, optional
        Row weights of both means.
    clusters : sequence of (n,) int arrays
        That errors are summed by; with two, the larger part of both counts. None: rows.
    multiplicity : (n,) array, optional
        Rows that each row stands for: without clusters one of them is left out.

    Returns
    -------
    float, (n,) array and (n,) array
        Mean r; h (residual − r), h the inverse propensities by their mean; and what leaving out
        adds to that, H/(1 − H) times as much.

    Raises
    ------
    IdentificationError
        If one row or cluster carries the mean.

    References
    ----------
    MacKinnon & White (1985), Journal of Econometrics 29:305; Bell & McCaffrey (2002).
    """
    share = inverse / np.average(inverse, weights=weight)
    mean = float(np.average(share * residual, weights=weight))
    part = share if weight is None else share * weight
    part = part / part.sum()
    if clusters:
        part = np.max([np.bincount(codes, part)[codes] for codes in clusters], axis=0)
    elif multiplicity is not None:
        part = part / np.maximum(multiplicity, 1.0)
    moved = share * (residual - mean)
    carried = part[inverse > 0.0].max()
    if carried > 1.0 - _LEAST:
        raise IdentificationError(
            f"one {'cluster' if clusters else 'row'} carries {carried:.1%} of the mean of an arm, "
            "so that nothing tells its error; merge groups, or leave out the arm."
        )
    return mean, moved, moved * (part / (1.0 - part))
