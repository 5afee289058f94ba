"""Mean outcomes at doses and of arms, with their influence, from nuisances that are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causalkit.inference.arm_means import arm_mean, freedom_of_mean
from causalkit.inference.variance import degrees_of_freedom, sandwich
from causalkit.transtee.local_fit import DEGREE, local_polynomial
from causalkit.typing import Bools, Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class MeanOutcomes:
    """Mean outcomes at k points, each a mean over rows plus a local fit of residuals.

    Attributes
    ----------
    theta : (k,) array
        Estimates.
    own, of_fit : (n, k) arrays
        Influence of the mean over rows, and of the local fit, or mean, of residuals.
    fit_df : (k,) array
        Degrees of freedom of the error of the local fit.
    clusters : sequence of (n,) int arrays
        Those that errors are summed by; without any every row by itself.
    multiplicity : (n,) array or None
        Rows that each row stands for.
    """

    theta: Floats
    own: Floats
    of_fit: Floats
    fit_df: Floats
    clusters: Sequence[Ints] = ()
    multiplicity: Floats | None = None

    @property
    def influence(self) -> Floats:
        """Influence values ``(n, k)`` of the estimates."""
        return self.own + self.of_fit

    @property
    def df(self) -> Floats:
        """Degrees of freedom ``(k,)`` of the errors, the least over ways of clustering."""
        return self._least(_freedom)

    def from_last(self) -> "MeanOutcomes":
        """Differences of the others from the last, part by part.

        What rows differ in, of many degrees of freedom, cancels for a good part, and what is left
        is the error of the two local fits, of few.
        """
        return replace(
            self,
            theta=self.theta[:-1] - self.theta[-1],
            own=self.own[:, :-1] - self.own[:, [-1]],
            of_fit=self.of_fit[:, :-1] - self.of_fit[:, [-1]],
            fit_df=self._least(_freedom_from_last),
        )

    def _least(self, freedom: "Callable[[MeanOutcomes, Sequence[Ints]], Floats]") -> Floats:
        """The least over ways of clustering, each alone."""
        ways = [[codes] for codes in self.clusters] or [[]]
        return np.asarray(np.min([freedom(self, way) for way in ways], axis=0))


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
) -> MeanOutcomes:
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
    return MeanOutcomes(plug_in + fit.theta, own, corrections, fit.df, clusters, multiplicity)


def mean_of_arm(
    y: Floats,
    rows: Bools,
    *,
    mu: Floats,
    propensity: Floats,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
    clusters: Sequence[Ints] = (),
) -> MeanOutcomes:
    """E[Y(k)] of an arm that takes no dose (AIPW), in the form of a curve at one point.

    The mean of residuals is what a local fit is there.

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
    how: dict[str, Any] = {"clusters": clusters, "multiplicity": multiplicity}
    score, leverage = arm_mean(y, rows, mu=mu[:, 0], propensity=propensity, weight=weight, **how)
    share = np.ones(y.size) if weight is None else weight / weight.mean()
    theta, plug_in = (share * score).mean(), (share * mu[:, 0]).mean()
    own = share * (mu[:, 0] - plug_in)
    of_fit = share * (score + leverage - theta) - own
    counts = np.where(rows, share / propensity, 0.0)
    df = np.array([freedom_of_mean(counts, **how)])
    return MeanOutcomes(np.array([theta]), own[:, None], of_fit[:, None], df, **how)


def _freedom(found: MeanOutcomes, clusters: Sequence[Ints]) -> Floats:
    """Degrees of freedom of a mean over rows plus a local fit, after Satterthwaite (1946)."""
    times = found.multiplicity
    of_mean = degrees_of_freedom(clusters, len(found.own) if times is None else float(times.sum()))
    by_mean, by_fit = (
        np.diag(sandwich(influence, clusters, multiplicity=times))
        for influence in (found.own, found.of_fit)
    )
    share = by_fit / np.maximum(by_mean + by_fit, np.finfo(float).tiny)
    return np.minimum(1.0 / ((1.0 - share) ** 2 / of_mean + share**2 / found.fit_df), of_mean)


def _freedom_from_last(found: MeanOutcomes, clusters: Sequence[Ints]) -> Floats:
    """Degrees of freedom of differences of local fits from the last, after Satterthwaite (1946).

    One fit is split into its regression on the other and a rest, which has the degrees of freedom
    of its own fit; of the two ways to do so the lesser result counts. Far from each other fits are
    pooled as independent ones, close by they have the fewer of both.
    """
    fit_df = found.fit_df
    vcov = sandwich(found.of_fit, clusters, multiplicity=found.multiplicity)
    variance, last, shared = np.diag(vcov)[:-1], vcov[-1, -1], vcov[:-1, -1]
    whole = np.maximum(variance + last - 2.0 * shared, np.finfo(float).tiny)

    def one_way(base: Floats, other: Floats, base_df: Floats, other_df: Floats) -> Floats:
        explained = shared**2 / np.maximum(base, np.finfo(float).tiny)
        rest = np.clip((other - explained) / whole, 0.0, 1.0)
        return np.asarray((1.0 - rest) ** 2 / base_df + rest**2 / other_df)

    ends = np.full(variance.shape, last), np.full(variance.shape, fit_df[-1])
    lost = np.maximum(
        one_way(variance, ends[0], fit_df[:-1], ends[1]),
        one_way(ends[0], variance, ends[1], fit_df[:-1]),
    )
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / lost)
