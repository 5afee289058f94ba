"""Mean outcomes at doses and of arms, with their influence, from nuisances that are given."""

from collections.abc import Sequence

import numpy as np

from causalkit.inference.variance import degrees_of_freedom, sandwich
from causalkit.scores import arm_means
from causalkit.transtee.local_fit import DEGREE, PointEstimates, local_polynomial
from causalkit.typing import Bools, Floats, Ints


def curve_at(
    at: Floats,
    *,
    y: Floats,
    t: Floats,
    received: Floats,
    curves: Floats,
    density: Floats,
    mean_density: Floats,
    width: float,
    rows: Bools | None = None,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
    clusters: Sequence[Ints] = (),
    degree: int = DEGREE,
) -> PointEstimates:
    """E[Y(t)], or E[Y(k, t)] of an arm, at doses ``at`` (k,) from cross-fitted nuisances.

    The mean over rows of μ(X, t), plus a local polynomial at t of the residuals Y − μ(X, T), in
    which a row counts by E[π(T | X)] / π(T | X). Only what μ gets wrong is smoothed; smoothing μ as
    well, as in the pseudo-outcomes of Kennedy et al. (2017), would flatten every peak of the curve.
    As weights of the regression the ratios add up to one, as those of Hájek: multiplied to the
    residuals, as there, one row of little density given X moves the curve without limit.
    A local polynomial of degree 2 is a local line corrected by the curvature estimated with the
    same bandwidth, and its influence counts that correction.
    Of an arm, residuals are those of its rows, and π(t | X) is the density of receiving it at that
    dose, P(arm | X) times that of the dose within the arm; the mean is over all rows.

    Parameters
    ----------
    received, curves : (n,) and (n, k) arrays
        μ(X, T) and μ(X, t) at every dose of ``at``.
    density, mean_density : (n,) arrays
        π(T | X) and its mean over X at the dose received.
    rows : (n,) bool array, optional
        Those that received the arm; T, μ(X, T) and densities of others are not read. Default: all.
    weight : (n,) array, optional
    multiplicity : (n,) array, optional
        Those weights, if they are frequencies: rows that each row stands for.
    clusters : sequence of (n,) int arrays
        Those that errors are summed by.

    References
    ----------
    Colangelo & Lee (2020), arXiv:2004.03036, section 2; Calonico, Cattaneo & Farrell (2018), JASA
    113:767, remark 7.
    """
    share = np.ones(y.size) if weight is None else weight / weight.mean()
    inside = np.ones(y.size, dtype=bool) if rows is None else rows
    fit = local_polynomial(
        t[inside],
        (y - received)[inside],
        at,
        width,
        weight=(share * mean_density / density)[inside],
        multiplicity=None if multiplicity is None else multiplicity[inside],
        clusters=[codes[inside] for codes in clusters],
        degree=degree,
    )
    # A mean over the rows of the arm is one over all rows of which the others are zero.
    corrections = np.zeros(curves.shape)
    corrections[inside] = fit.influence * (y.size / inside.sum())
    plug_in = (share[:, None] * curves).mean(axis=0)
    own = share[:, None] * (curves - plug_in)
    of_fit = PointEstimates(fit.theta, corrections, fit.df)
    df = [_freedom(own, of_fit, codes, multiplicity) for codes in clusters or (None,)]
    return PointEstimates(plug_in + fit.theta, own + corrections, np.min(df, axis=0))


def mean_of_arm(
    y: Floats,
    rows: Bools,
    *,
    mu: Floats,
    propensity: Floats,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
    clusters: Sequence[Ints] = (),
) -> PointEstimates:
    """E[Y(k)] of an arm that takes no dose (AIPW), in the form of a curve at one point.

    Parameters
    ----------
    rows : (n,) bool array
        Those that received the arm.
    mu : (n, 1) array
        μ(X, k).
    propensity : (n,) array
        P(arm | X), above zero.
    weight, multiplicity, clusters
        As in :func:`curve_at`.
    """
    # Of two arms, this one and all others, whose column is not read.
    chances, means = (np.column_stack([np.ones(y.size), own]) for own in (propensity, mu[:, 0]))
    score = arm_means(y, rows.astype(np.int64), mu=means, propensity=chances)[:, [1]]
    share = np.ones((y.size, 1)) if weight is None else (weight / weight.mean())[:, None]
    theta = (share * score).mean(axis=0)
    n = y.size if multiplicity is None else float(multiplicity.sum())
    df = np.array([degrees_of_freedom(clusters, n)])
    return PointEstimates(theta, share * (score - theta), df)


def _freedom(
    own: Floats, fit: PointEstimates, codes: Ints | None, multiplicity: Floats | None
) -> Floats:
    """Degrees of freedom of a mean over rows plus a local fit, after Satterthwaite (1946)."""
    clusters = () if codes is None else (codes,)
    n = own.shape[0] if multiplicity is None else float(multiplicity.sum())
    of_mean = degrees_of_freedom(clusters, n)
    by_mean, by_fit = (
        np.diag(sandwich(influence, clusters, multiplicity=multiplicity))
        for influence in (own, fit.influence)
    )
    share = by_fit / np.maximum(by_mean + by_fit, np.finfo(float).tiny)
    return np.minimum(1.0 / ((1.0 - share) ** 2 / of_mean + share**2 / fit.df), of_mean)
