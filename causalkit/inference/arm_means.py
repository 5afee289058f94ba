"""Mean outcomes of arms: inverse propensities that add up to the rows, and their leverage."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.inference.variance import freedom_within, sandwich
from causalkit.typing import Bools, Floats, Ints

IN_ARMS = "in arms as in HC3, of clusters CR3, degrees of freedom by arm after Welch"
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
        If no row with weight, or one row or cluster, carries the mean.

    References
    ----------
    MacKinnon & White (1985), Journal of Econometrics 29:305; Bell & McCaffrey (2002).
    """
    total = float(np.average(inverse, weights=weight))
    if not total > 0.0:
        raise IdentificationError(
            "no row of an arm has weight, so that nothing tells its mean; merge groups, or leave "
            "out the arm."
        )
    share = inverse / total
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


def freedom_of_mean(
    counts: Floats, clusters: Sequence[Ints] = (), *, multiplicity: Floats | None = None
) -> float:
    """Degrees of freedom of the error of a weighted mean: what its rows are worth, less one.

    Rows, or clusters, of one weight whose mean would have the same variance (Kish); with two ways
    of clustering the fewer. Not below one, beneath which intervals have no end in sight.

    Parameters
    ----------
    counts : (n,) array
        What each row counts for in the mean.
    clusters : sequence of (n,) int arrays
    multiplicity : (n,) array, optional
        Rows that each row stands for.

    Examples
    --------
    >>> freedom_of_mean(np.ones(5))
    4.0
    """
    times = np.ones(counts.size) if multiplicity is None else np.maximum(multiplicity, 1.0)
    alone = counts / np.sqrt(times)
    sums = (np.bincount(codes, counts) for codes in clusters) if clusters else [alone]
    squares = max(float(part @ part) for part in sums)
    return max(1.0, float(counts.sum()) ** 2 / squares - 1.0) if squares else 1.0


def freedom_by_arm(
    influence: Floats,
    arm: Ints,
    counts: Floats,
    *,
    clusters: Sequence[Ints] = (),
    multiplicity: Floats | None = None,
) -> Floats:
    """Degrees of freedom ``(k,)`` of differences of means of arms, after Welch and Satterthwaite.

    The error of an arm of few rows is known from these few, however many are in the others.

    Parameters
    ----------
    influence : (n, k) array
    arm : (n,) int array
        Received.
    counts : (n, k) array
        What each row counts for in the mean of its arm, zero for rows that the effect is not of.
    clusters : sequence of (n,) int arrays
        Those that errors are summed by; with two the fewer degrees, and never more than clusters
        allow.
    multiplicity : (n,) array, optional
        Rows that each row stands for.

    References
    ----------
    Welch (1947), Biometrika 34:28; Satterthwaite (1946), Biometrics Bulletin 2:110.
    """
    found = [freedom_within(counts > 0.0, clusters, multiplicity=multiplicity)]
    arms = [(arm == k)[:, None] for k in np.unique(arm)]
    for way in [[codes] for codes in clusters] or [[]]:
        how: dict[str, Any] = {"clusters": way, "multiplicity": multiplicity}
        variance = np.array([np.diag(sandwich(rows * influence, **how)) for rows in arms])
        freedom = [[freedom_of_mean(own, **how) for own in (rows * counts).T] for rows in arms]
        share = variance / np.maximum(variance.sum(axis=0), np.finfo(float).tiny)
        with np.errstate(divide="ignore"):
            found.append(1.0 / (share**2 / np.array(freedom)).sum(axis=0))
    return np.asarray(np.min(found, axis=0))
