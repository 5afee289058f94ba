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
from causalkit.typing import Floats, Ints

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
        Clusters that half samples were drawn from; units where no clusters were given.
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
class _Sorted:
    """Scores and weights from the largest priority down, with the start of every tie group."""

    score: Floats
    weight: Floats
    starts: Ints
    order: Ints


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
    data = _sort(priority, score, weights)
    return _at(_fractions(q), *_curve(data, data.weight))


def autoc(priority: Any, score: Any, *, weights: Any = None) -> float:
    """Area under the TOC curve: its mean over units, Σ wᵢ TOCᵢ with weights that sum to one.

    Parameters, ties and errors as in :func:`toc`. Sensitive to a few units with large effects.

    Examples
    --------
    >>> autoc([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    0.75
    """
    data = _sort(priority, score, weights)
    return _areas(data, data.weight)[0]


def qini(priority: Any, score: Any, *, weights: Any = None) -> float:
    """Area under q·TOC(q): Σ wᵢ qᵢ TOCᵢ with weights that sum to one.

    Parameters, ties and errors as in :func:`toc`. Sensitive to effects that are spread widely.

    Examples
    --------
    >>> qini([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    0.3125
    """
    data = _sort(priority, score, weights)
    return _areas(data, data.weight)[1]


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
    check_count("draws", draws, least=2)
    data, grid = _sort(priority, score, weights), _fractions(q)
    codes, n_clusters = _codes(clusters, data)
    autocs, qinis = np.empty(draws), np.empty(draws)
    curves = np.empty((draws, grid.size))
    for draw in range(draws):
        kept = np.zeros(n_clusters)
        kept[rng.permutation(n_clusters)[: n_clusters // 2]] = 1.0
        half = data.weight * kept[codes]
        if not half.any():
            raise ArgumentError(
                "a half sample has no weight at all; leave out clusters without weight."
            )
        autocs[draw], qinis[draw] = _areas(data, half)
        curves[draw] = _at(grid, *_curve(data, half))
    area, area_q = _areas(data, data.weight)
    return RankEffects(
        autoc=area,
        autoc_se=float(autocs.std(ddof=1)),
        qini=area_q,
        qini_se=float(qinis.std(ddof=1)),
        q=grid,
        toc=_at(grid, *_curve(data, data.weight)),
        toc_se=curves.std(axis=0, ddof=1),
        n_clusters=n_clusters,
        draws=draws,
    )


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


def _sort(priority: Any, score: Any, weights: Any) -> _Sorted:
    """Check and sort; a stable order, so that equal input gives equal output."""
    p, s = as_values("priority", priority), as_values("score", score)
    w = np.ones(p.size) if weights is None else as_values("weights", weights)
    check_together(priority=p, score=s, weights=w)
    if not p.size or (w < 0).any() or not w.any():
        raise ArgumentError("ranking needs at least one unit, and weights that are not negative.")
    order = np.argsort(-p, kind="stable")
    ranked = p[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    # About the mean: the curve is one of differences, which a large common level would blur.
    return _Sorted((s - np.average(s, weights=w))[order], w[order], starts, order)


def _curve(data: _Sorted, weight: Floats) -> tuple[Floats, Floats]:
    """Cumulative weight shares, and cumulative weighted scores about their mean."""
    score = data.score
    if data.starts.size < score.size:
        sizes = np.diff(np.append(data.starts, score.size))
        held = np.add.reduceat(weight, data.starts)
        sums = np.add.reduceat(weight * score, data.starts)
        means = np.divide(sums, held, out=np.zeros_like(sums), where=held > 0)
        score = np.repeat(means, sizes)
    share = weight / weight.sum()
    reached = np.cumsum(share)
    total = np.cumsum(share * score)
    # What is left at the end is the mean of this sample: TOC(1) is zero exactly.
    return reached / reached[-1], total - reached / reached[-1] * total[-1]


def _at(q: Floats, reached: Floats, gained: Floats) -> Floats:
    """TOC at fractions, a unit that is cut counting in part."""
    return np.asarray(np.interp(q, np.append(0.0, reached), np.append(0.0, gained)) / q)


def _areas(data: _Sorted, weight: Floats) -> tuple[float, float]:
    """AUTOC and QINI: means of TOC and of q·TOC over units."""
    reached, gained = _curve(data, weight)
    share = weight / weight.sum()
    curve = np.divide(gained, reached, out=np.zeros_like(gained), where=reached > 0)
    return float(share @ curve), float(share @ gained)


def _fractions(q: Any) -> Floats:
    """Checked fractions, one-dimensional."""
    grid = np.atleast_1d(as_values("q", np.atleast_1d(q)))
    if not grid.size or grid.min() <= 0.0 or grid.max() > 1.0:
        raise ArgumentError("q must hold fractions above 0 and up to 1, such as 0.1, 0.2, ..., 1.")
    return grid


def _codes(clusters: Any, data: _Sorted) -> tuple[Ints, int]:
    """Cluster of each sorted unit, and how many there are."""
    if clusters is None:
        codes, n_clusters = np.arange(data.order.size), data.order.size
    else:
        labels = np.asarray(clusters)
        if labels.shape != data.order.shape:
            raise ArgumentError(
                f"clusters must hold one label for each of {data.order.size} units, got shape "
                f"{labels.shape}."
            )
        names, inverse = np.unique(labels, return_inverse=True)
        codes, n_clusters = inverse[data.order], names.size
    if n_clusters < 4:
        raise ArgumentError(
            f"half samples need at least 4 clusters, got {n_clusters}; give finer clusters or "
            "report no standard error."
        )
    return codes.astype(np.int64), n_clusters
