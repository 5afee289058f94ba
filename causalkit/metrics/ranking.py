"""Value of a ranking of units: TOC curve, AUTOC and QINI from doubly robust scores.

Units are sorted by priority, largest first. TOC(q) is the mean score in the top fraction q minus
the mean score of all; AUTOC is its mean over q, QINI the mean of q·TOC(q).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_count
from causalkit.metrics.measure import as_values, check_together
from causalkit.typing import Bools, Floats, Ints

DECILES = tuple(k / 10 for k in range(1, 11))


@dataclass(frozen=True, slots=True)
class RankEffects:
    """TOC curve, AUTOC and QINI with half-sample standard errors.

    Attributes
    ----------
    autoc, qini : float
        Point estimates, in units of the score.
    autoc_se, qini_se : float
        Standard deviations over half samples.
    q : (m,) array
        Fractions of units, those with the largest priority first.
    toc, toc_se : (m,) arrays
        Curve at ``q`` and its pointwise standard errors.
    n_clusters : int
        Clusters that half samples were drawn from; units where no clusters were given. Those
        without weight are none.
    draws : int
        Half samples.
    """

    autoc: float
    autoc_se: float
    qini: float
    qini_se: float
    q: Floats
    toc: Floats
    toc_se: Floats
    n_clusters: int
    draws: int


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Scores about their mean and weights, from the largest priority down.

    Of the rows that have weight. ``tie`` numbers the ties; ``order`` is the row of each place.
    """

    score: Floats
    weight: Floats
    tie: Ints
    order: Ints

    def kept(self, rows: Bools) -> "_Ranked":
        """The same ranking of some of its rows, which need not be sorted again."""
        places = np.flatnonzero(rows[self.order])
        return _Ranked(
            self.score[places], self.weight[places], self.tie[places], self.order[places]
        )


def toc(priority: Any, score: Any, *, q: Any = DECILES, weights: Any = None) -> Floats:
    """Mean score in the top fraction q minus the mean score of all, for each q.

    Tied units share the mean score of their tie, and a unit that q cuts counts in part.

    Parameters
    ----------
    priority : (n,) array
        Larger means treated earlier; must not come from the data that made the scores.
    score : (n,) array
        Doubly robust scores.
    q : array
        Fractions in (0, 1].
    weights : (n,) array, optional
        Sampling weights; the fractions are then of weight.

    Raises
    ------
    ArgumentError
        If lengths differ, a value is not finite, or a fraction lies outside (0, 1].

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), JASA 120:38.

    Examples
    --------
    >>> toc([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], q=[0.25, 0.5, 1.0]).tolist()
    [1.5, 1.0, 0.0]
    """
    return _measured(_rank(priority, score, weights), _fractions(q))[2:]


def autoc(priority: Any, score: Any, *, weights: Any = None) -> float:
    """Area under the TOC curve: its mean over units, Σ wᵢ TOCᵢ with weights that sum to one.

    Parameters, ties and errors as in :func:`toc`. Sensitive to a few units with large effects.

    Examples
    --------
    >>> autoc([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    0.75
    """
    return float(_measured(_rank(priority, score, weights))[0])


def qini(priority: Any, score: Any, *, weights: Any = None) -> float:
    """Area under q·TOC(q): Σ wᵢ qᵢ TOCᵢ with weights that sum to one.

    Parameters, ties and errors as in :func:`toc`. Sensitive to effects that are spread widely.

    Examples
    --------
    >>> qini([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    0.3125
    """
    return float(_measured(_rank(priority, score, weights))[1])


def rank_effects(
    priority: Any,
    score: Any,
    *,
    rng: np.random.Generator,
    q: Any = DECILES,
    clusters: Any = None,
    weights: Any = None,
    draws: int = 200,
) -> RankEffects:
    """TOC, AUTOC and QINI with standard errors from half samples of clusters.

    Each draw keeps ⌊G/2⌋ of G clusters without replacement. Half as many clusters double the
    variance, and the half that a draw shares with the sample takes as much away again: so the
    standard deviation over draws is the standard error itself.

    Parameters
    ----------
    priority, score : (n,) arrays
        As in :func:`toc`.
    rng : Generator
        Source of half samples.
    q : array
        Fractions in (0, 1] at which the curve is reported.
    clusters : (n,) array, optional
        Labels of groups that are kept or left out together; every unit by itself if absent.
    weights : (n,) array, optional
        Sampling weights.
    draws : int
        Half samples, at least two.

    Raises
    ------
    ArgumentError
        As in :func:`toc`; also with fewer than four clusters, of which no half varies enough.

    References
    ----------
    Yadlowsky et al. (2025), section 3; the conventions are those of grf's
    ``rank_average_treatment_effect``.
    """
    ranked = [_rank(priority, score, weights)]
    how: dict[str, Any] = {"n": np.size(score), "rng": rng, "q": q, "clusters": clusters}
    return _resampled(ranked, [[1.0]], draws=draws, **how)[0]


def paired_rank_effects(
    first: Any,
    second: Any,
    score: Any,
    *,
    rng: np.random.Generator,
    q: Any = DECILES,
    clusters: Any = None,
    weights: Any = None,
    draws: int = 200,
) -> tuple[RankEffects, RankEffects, RankEffects]:
    """Effects of two rankings of the same units, and those of the first minus the second.

    Both rankings see the same half samples, so that the error of the difference counts what they
    have in common.

    Parameters
    ----------
    first, second : (n,) arrays
        Priorities.
    score, rng, q, clusters, weights, draws
        As in :func:`rank_effects`, whose effects of ``first`` these are under the same ``rng``.
    """
    ranked = [_rank(priority, score, weights) for priority in (first, second)]
    wanted = [[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]
    how: dict[str, Any] = {"n": np.size(score), "rng": rng, "q": q, "clusters": clusters}
    one, two, gap = _resampled(ranked, wanted, draws=draws, **how)
    return one, two, gap


def toc_difference_in_means(
    priority: Any, outcome: Any, treatment: Any, *, randomised: bool, q: Any = DECILES
) -> Floats:
    """TOC from differences in mean outcomes, for randomised treatments only.

    Within each top fraction the effect is the mean outcome of the treated minus that of the
    controls, so the curve is wrong where treatment depends on anything that matters.

    Parameters
    ----------
    priority, outcome : (n,) arrays
        Ranking and outcome.
    treatment : (n,) array
        Zeros and ones.
    randomised : bool
        Must be True: your word that the treatment was drawn with one probability for all.
    q : array
        Fractions in (0, 1]; the top ⌈q n⌉ units count. NaN where these lack one of the arms.

    Raises
    ------
    ArgumentError
        If randomisation is not declared, or the treatment is not binary.
    """
    if randomised is not True:
        raise ArgumentError(
            "differences in means rank effects only in a randomised experiment: pass "
            "randomised=True if this is one, else doubly robust scores to toc()."
        )
    p, y = as_values("priority", priority), as_values("outcome", outcome)
    d = as_values("treatment", treatment)
    check_together(priority=p, outcome=y, treatment=d)
    if set(np.unique(d)) != {0.0, 1.0}:
        raise ArgumentError("treatment must hold both zeros and ones, and nothing else.")
    if np.unique(p).size < p.size:
        raise ArgumentError(
            "priorities are tied, so the top fraction is not one set of units; break the ties."
        )
    order = np.argsort(-p)
    y, d = y[order], d[order]
    last = np.ceil(np.round(_fractions(q) * p.size, 9)).astype(np.int64) - 1
    treated, controls = np.cumsum(d), np.cumsum(1.0 - d)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.cumsum(y * d) / treated - np.cumsum(y * (1.0 - d)) / controls
    return np.asarray(np.where(np.isfinite(gap[last]), gap[last] - gap[-1], math.nan))


def _rank(priority: Any, score: Any, weights: Any) -> _Ranked:
    """Check and sort; a stable order, so that equal input gives equal output."""
    p, s = as_values("priority", priority), as_values("score", score)
    w = np.ones(p.size) if weights is None else as_values("weights", weights)
    check_together(priority=p, score=s, weights=w)
    if not p.size or (w < 0).any() or not w.any():
        raise ArgumentError("ranking needs at least one unit, and weights that are not negative.")
    order = np.argsort(-p, kind="stable")
    order = order[w[order] > 0]
    ranked = p[order]
    tie = np.concatenate([[0], np.cumsum(ranked[1:] != ranked[:-1])])
    # About the mean: the curve is one of differences, which a large common level would blur.
    return _Ranked((s - np.average(s, weights=w))[order], w[order], tie, order)


def _resampled(
    ranked: list[_Ranked],
    wanted: list[list[float]],
    *,
    n: int,
    rng: np.random.Generator,
    q: Any,
    clusters: Any,
    draws: int,
) -> list[RankEffects]:
    """Combinations of the effects of rankings, with the spread over common half samples."""
    check_count("draws", draws, least=2)
    grid = _fractions(q)
    codes, n_clusters = _codes(clusters, ranked[0].order, n)
    halves = np.empty((draws, len(ranked), 2 + grid.size))
    for draw in range(draws):
        half = _half(rng, n_clusters)
        rows = half if codes is None else half[codes]
        halves[draw] = [_measured(one.kept(rows), grid) for one in ranked]
    whole = np.stack([_measured(one, grid) for one in ranked])
    found = []
    for sign in np.asarray(wanted):
        point, error = sign @ whole, np.tensordot(halves, sign, axes=(1, 0)).std(axis=0, ddof=1)
        found.append(
            RankEffects(
                autoc=float(point[0]),
                autoc_se=float(error[0]),
                qini=float(point[1]),
                qini_se=float(error[1]),
                q=grid,
                toc=point[2:],
                toc_se=error[2:],
                n_clusters=n_clusters,
                draws=draws,
            )
        )
    return found


def _half(rng: np.random.Generator, n: int) -> Bools:
    """⌊n/2⌋ of n without replacement, every such set equally likely.

    A coin for each, and then as many as are too many, or too few, turned over at random: by
    symmetry the same law as that of a permutation, for a tenth of its cost.
    """
    coins = np.frombuffer(rng.bytes(-(-n // 8)), dtype=np.uint8)
    half = np.unpackbits(coins, count=n).astype(np.bool_)
    excess = int(half.sum()) - n // 2
    if excess:
        side = np.flatnonzero(half if excess > 0 else ~half)
        half[rng.choice(side, abs(excess), replace=False)] = excess < 0
    return half


def _measured(ranked: _Ranked, grid: Floats | None = None) -> Floats:
    """AUTOC, QINI, and TOC at fractions, a unit that is cut counting in part."""
    at = np.empty(0) if grid is None else grid
    weight, held = ranked.weight, np.cumsum(ranked.weight)
    if ranked.tie[0] == ranked.tie[-1]:
        # All units tied: nobody comes first, whatever rounding would make of it.
        return np.zeros(2 + at.size)
    gained = np.cumsum(weight * _shared(ranked))
    total, mean = held[-1], gained[-1] / held[-1]
    area = weight @ (gained / held) / total - mean
    area_q = (weight @ gained - mean * (weight @ held)) / total**2
    reached = at * total
    curve = np.interp(reached, np.append(0.0, held), np.append(0.0, gained)) / reached - mean
    return np.concatenate([[area, area_q], curve])


def _shared(ranked: _Ranked) -> Floats:
    """Scores, those of tied units replaced by the weighted mean of their tie."""
    first = np.flatnonzero(np.diff(ranked.tie, prepend=-1))
    if first.size == ranked.score.size:
        return ranked.score
    sums = np.add.reduceat(ranked.weight * ranked.score, first)
    means = sums / np.add.reduceat(ranked.weight, first)
    return np.repeat(means, np.diff(np.append(first, ranked.score.size)))


def _fractions(q: Any) -> Floats:
    """Checked fractions, one-dimensional."""
    grid = np.atleast_1d(as_values("q", np.atleast_1d(q)))
    if not grid.size or grid.min() <= 0.0 or grid.max() > 1.0:
        raise ArgumentError("q must hold fractions above 0 and up to 1, such as 0.1, 0.2, ..., 1.")
    return grid


def _codes(clusters: Any, kept: Ints, n: int) -> tuple[Ints | None, int]:
    """Cluster of each row, None if each is its own, and how many hold rows with weight."""
    codes, n_clusters = None, kept.size
    if clusters is not None:
        labels = np.asarray(clusters)
        if labels.shape != (n,):
            raise ArgumentError(
                f"clusters must hold one label for each of {n} units, got shape {labels.shape}."
            )
        codes = np.zeros(n, dtype=np.int64)
        names, codes[kept] = np.unique(labels[kept], return_inverse=True)
        n_clusters = names.size
    elif kept.size < n:
        codes = np.zeros(n, dtype=np.int64)
        codes[np.sort(kept)] = np.arange(kept.size)
    if n_clusters < 4:
        raise ArgumentError(
            f"half samples need at least 4 clusters, got {n_clusters}; give finer clusters or "
            "report no standard error."
        )
    return codes, n_clusters
