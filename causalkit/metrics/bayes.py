"""Posteriors over replications: calibration of intervals and ranks, and sampler health."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, check_count, check_level
from causalkit.metrics.intervals import coverage
from causalkit.metrics.measure import Measure, as_numbers, as_values, share_of
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True)
class RankUniformity:
    """χ² test that SBC ranks are uniform.

    Attributes
    ----------
    statistic : float
        Σ (observed − expected)²/expected over bins.
    df : int
        Bins minus one.
    p_value : float
        Small if ranks are not uniform: the posterior is too wide, too narrow or off centre.
    counts, expected : (bins,) arrays
        Ranks in each bin, and how many a calibrated posterior gives. Bins hold whole ranks, so
        expected counts differ where the ranks do not divide evenly.
    """

    statistic: float
    df: int
    p_value: float
    counts: Ints
    expected: Floats


def posterior_coverage(truth: Any, draws: Any, *, level: float = 0.95) -> Measure:
    """Share of fits whose equal-tailed posterior interval holds the truth.

    Parameters
    ----------
    truth : (R,) array
        True value in each replication.
    draws : (R, L) array
        Posterior draws of it in each.
    level : float
        Posterior probability of the interval.

    Raises
    ------
    ArgumentError
        If shapes disagree or a draw is not finite.
    """
    check_level(level)
    t, x = _posterior(truth, draws)
    tail = (1.0 - level) / 2.0
    if not t.size:
        return Measure(math.nan, math.nan)
    low, high = np.quantile(x, [tail, 1.0 - tail], axis=1)
    return coverage(t, low, high)


def rhat_share(rhat: Any, *, bound: float = 1.01) -> Measure:
    """Share of fits whose largest R-hat exceeds a bound.

    Parameters
    ----------
    rhat : (R,) or (R, k) array
        R-hat of each fit, or of each of its parameters. NaN counts as above the bound: a chain
        that never moved is no evidence of convergence.
    bound : float
        Largest acceptable value.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16:667.
    """
    values = _per_fit("rhat", rhat)
    return share_of(int((~(values <= bound)).any(axis=1).sum()), values.shape[0])


def ess_share(ess: Any, *, bound: float = 400.0) -> Measure:
    """Share of fits whose smallest effective sample size is below a bound; NaN counts as below.

    Parameters
    ----------
    ess : (R,) or (R, k) array
        Effective sample size of each fit, or of each of its parameters.
    bound : float
        Smallest acceptable value.
    """
    values = _per_fit("ess", ess)
    return share_of(int((~(values >= bound)).any(axis=1).sum()), values.shape[0])


def divergence_share(n_divergent: Any, *, allowed: int = 0) -> Measure:
    """Share of fits with more divergent transitions than allowed.

    Parameters
    ----------
    n_divergent : (R,) array
        Divergent transitions of each fit.
    allowed : int
        How many are tolerated.
    """
    values = as_values("n_divergent", n_divergent)
    return share_of(int((values > allowed).sum()), values.size)


def sbc_ranks(truth: Any, draws: Any, *, rng: np.random.Generator | None = None) -> Ints:
    """Number of posterior draws below each truth, 0 to L: uniform if the posterior is right.

    Truths must come from the prior of the fit, and draws must be nearly independent (thinned).

    Parameters
    ----------
    truth : (R,) array
        Values drawn from the prior.
    draws : (R, L) array
        Posterior draws given the data that each produced.
    rng : Generator, optional
        Breaks ties of draws with the truth at random, as discrete parameters need.

    Returns
    -------
    (R,) integer array

    Raises
    ------
    ArgumentError
        If shapes disagree, a value is not finite, or there are ties and no generator.

    References
    ----------
    Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788.

    Examples
    --------
    >>> sbc_ranks([0.5], [[0.1, 0.7, 0.2]]).tolist()
    [2]
    """
    t, x = _posterior(truth, draws)
    ranks = (x < t[:, None]).sum(axis=1)
    ties = (x == t[:, None]).sum(axis=1)
    if ties.any():
        if rng is None:
            raise ArgumentError(
                f"{int((ties > 0).sum())} truths equal one of their draws: pass rng= to break the "
                "ties at random."
            )
        ranks = ranks + rng.integers(0, ties, endpoint=True)
    return np.asarray(ranks, dtype=np.int64)


def sbc_uniformity(ranks: Any, *, n_draws: int, bins: int | None = None) -> RankUniformity:
    """Test whether SBC ranks are uniform on 0, ..., L.

    Parameters
    ----------
    ranks : (R,) integer array
        From :func:`sbc_ranks`.
    n_draws : int
        L, the draws in each posterior.
    bins : int, optional
        Groups of neighbouring ranks; by default as many as leave five expected ranks in each,
        and at most 20.

    Raises
    ------
    ArgumentError
        If ranks lie outside 0, ..., L, or a bin expects fewer than five of them, of which χ² is
        no approximation.
    """
    from scipy.special import gammaincc

    check_count("n_draws", n_draws, least=1)
    r = np.asarray(ranks)
    if r.ndim != 1 or r.dtype.kind not in "iu" or not r.size or r.min() < 0 or r.max() > n_draws:
        raise ArgumentError(
            f"ranks must be whole numbers from 0 to {n_draws}, one for each of at least one fit."
        )
    # Fewest ranks in a bin, times the expected number at each rank.
    smallest = {b: (n_draws + 1) // b * r.size / (n_draws + 1) for b in range(2, n_draws + 2)}
    if bins is None:
        bins = next((b for b in range(min(20, n_draws + 1), 2, -1) if smallest[b] >= 5.0), 2)
    if check_count("bins", bins, least=2) > n_draws + 1:
        raise ArgumentError(f"{n_draws + 1} possible ranks cannot fill {bins} bins.")
    if smallest[bins] < 5.0:
        raise ArgumentError(
            f"{r.size} ranks in {bins} bins expect only {smallest[bins]:.3g} in one of them, and "
            "χ² needs 5; use fewer bins or more fits."
        )
    place = np.arange(n_draws + 1) * bins // (n_draws + 1)
    expected: Floats = np.bincount(place, minlength=bins) * np.float64(r.size / (n_draws + 1))
    counts = np.bincount(place[r], minlength=bins)
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    df = bins - 1
    return RankUniformity(statistic, df, float(gammaincc(df / 2, statistic / 2)), counts, expected)


def _posterior(truth: Any, draws: Any) -> tuple[Floats, Floats]:
    """Truths ``(R,)`` and finite draws ``(R, L)``."""
    t, x = as_values("truth", truth), as_numbers("draws", draws)
    if x.ndim != 2 or x.shape[0] != t.size or not x.shape[1] or not np.isfinite(x).all():
        raise ArgumentError(
            f"draws must hold finite numbers, a row for each of {t.size} replications; got shape "
            f"{x.shape}."
        )
    return t, x


def _per_fit(name: str, values: Any) -> Floats:
    """Diagnostics with a row per fit; NaN is allowed."""
    array = as_numbers(name, values)
    if array.ndim not in (1, 2):
        raise ArgumentError(f"{name} must have shape (R,) or (R, k), got {array.shape}.")
    return array.reshape(array.shape[0], -1)
