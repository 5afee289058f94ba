"""Predicted effects and types at new places, with the uncertainty of joint posterior draws."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from causalkit.errors import IdentificationError
from causalkit.images.posterior import Posterior
from causalkit.typing import Floats, Ints

_BLOCK = 1000
_SAME = 1e-9  # spread of effects, in units of their size, that is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Posterior of the effect, or of the probability of every type, at every place.

    Attributes
    ----------
    mean, sd, low, high : (n,) or (n, K) arrays
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats

    @classmethod
    def joined(cls, blocks: "Sequence[Predicted]") -> "Predicted":
        """Of all places, from blocks of them."""
        parts = ([getattr(block, name) for block in blocks] for name in cls.__slots__)
        return cls(*(np.concatenate(part) for part in parts))


def predicted(
    posteriors: Sequence[Posterior],
    features: Sequence[Floats],
    covariates: Floats,
    *,
    level: float = 0.95,
) -> Predicted:
    """Summaries of the pooled draws of all members: the law of total variance by itself.

    Parameters
    ----------
    posteriors : sequence of Posterior
        One per member.
    features : sequence of (n, d) arrays
        Of each member's encoder.
    covariates : (n, p) array
        Standardised; they matter to effects of a binary outcome only.
    level : float, default 0.95
        Of the interval.
    """
    draws = blocks_of_draws(posteriors, features, covariates)
    return Predicted.joined([effects_in(drawn.effects, level=level) for drawn in draws])


def effects_in(draws: Floats, *, level: float) -> Predicted:
    """Effects at some places, from their draws ``(S, n)``."""
    return Predicted(draws.mean(axis=0), draws.std(axis=0, ddof=1), *interval(draws, level))


def types_in(draws: Sequence[Floats], *, level: float) -> Predicted:
    """Probabilities of types at some places, from the draws ``(S, n, K)`` of every member."""
    mean = np.asarray(np.mean([own.mean(axis=0) for own in draws], axis=0))
    pooled = np.concatenate(draws)
    low, high = interval(pooled, level)
    # By so few draws that the interval is one of Student's t it may leave [0, 1].
    return Predicted(mean, pooled.std(axis=0, ddof=1), np.clip(low, 0, 1), np.clip(high, 0, 1))


def interval(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Ends of an interval from draws ``(S, ...)``, two or more.

    Quantiles; but a few draws, such as the modes of an ensemble, do not reach as far out as the
    quantile lies. They give the interval in which one more draw lies with that probability if they
    are normal: mean ± t·sd·√(1 + 1/S).
    """
    count, tail = draws.shape[0], (1.0 - level) / 2.0
    if tail * (count + 1) >= 1.0:
        low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0)
        return low, high
    centre = draws.mean(axis=0)
    factor = float(student_t.ppf(1.0 - tail, count - 1)) * np.sqrt(1.0 + 1.0 / count)
    half = factor * draws.std(axis=0, ddof=1)
    return centre - half, centre + half


def mean_effect(
    posteriors: Sequence[Posterior], features: Sequence[Floats], covariates: Floats
) -> Floats:
    """Posterior mean of the effect at every place, ``(n,)``, draws of all members pooled."""
    draws = blocks_of_draws(posteriors, features, covariates)
    return np.concatenate([drawn.effects.mean(axis=0) for drawn in draws])


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Draws at some places.

    Attributes
    ----------
    effects : (S, n) array
        Of all members together.
    types : tuple of (S, n, K) arrays
        Of every member.
    """

    effects: Floats
    types: tuple[Floats, ...]


def blocks_of_draws(
    posteriors: Sequence[Posterior], features: Sequence[Floats], covariates: Floats
) -> Iterator[Drawn]:
    """Joint draws of effects and types, block by block of places."""
    size = min(_BLOCK, *(posterior.rows_at_once for posterior in posteriors))
    for at in range(0, covariates.shape[0], size):
        rows = slice(at, at + size)
        own = [(one, raw[rows]) for one, raw in zip(posteriors, features, strict=True)]
        types = tuple(one.types(raw) for one, raw in own)
        effects = [
            one.cate(found, raw, covariates[rows])
            for (one, raw), found in zip(own, types, strict=True)
        ]
        yield Drawn(np.concatenate(effects), types)


def draws_by_place(
    posteriors: Sequence[Posterior], features: Sequence[Floats], covariates: Floats, place: Ints
) -> Iterator[Drawn]:
    """Joint draws at places, block by block: the mean effect of the units of each.

    Parameters
    ----------
    posteriors : sequence of Posterior
    features : sequence of (m, d) arrays
        Of every place, by each member's encoder.
    covariates : (n, p) array
        Of every unit.
    place : (n,) int array
        Place of every unit, of which each has some.
    """
    size = min(_BLOCK, *(posterior.rows_at_once for posterior in posteriors))
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place)
    ends = np.cumsum(counts)
    firsts = np.flatnonzero(np.diff((ends - 1) // size, prepend=-1))
    for low, high in zip(firsts, [*firsts[1:], counts.size], strict=True):
        begin = int(ends[low] - counts[low])
        rows = order[begin : ends[high - 1]]
        local, starts = place[rows] - low, (ends - counts)[low:high] - begin
        types, effects = [], []
        for one, raw in zip(posteriors, features, strict=True):
            types.append(one.types(raw[low:high]))
            units = one.cate(types[-1][:, local], raw[low:high][local], covariates[rows])
            effects.append(np.add.reduceat(units, starts, axis=1) / counts[low:high])
        yield Drawn(np.concatenate(effects), tuple(types))


def mean_types(posteriors: Sequence[Posterior], features: Sequence[Floats]) -> Floats:
    """Type probabilities ``(n, K)``, averaged over draws and members; types ascend in effect."""
    parts = [posterior.mean_types(raw) for posterior, raw in zip(posteriors, features, strict=True)]
    return np.asarray(np.mean(parts, axis=0))


def check_uncertain(posteriors: Sequence[Posterior]) -> None:
    """Refuse intervals where there is a single mode, or the same one several times.

    Raises
    ------
    IdentificationError
    """
    effects = np.concatenate([posterior.effects() for posterior in posteriors])
    if (np.ptp(effects, axis=0) <= _SAME * (1.0 + np.abs(effects).max(axis=0))).all():
        raise IdentificationError(
            "a single mode has no uncertainty; use inference='svi_fullrank', or n_ensemble of at "
            "least 2 with inference='map'. predict_cate(data) gives the point predictions."
        )
