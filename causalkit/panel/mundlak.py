"""Mundlak terms: unit means of a basis, of the treatment and of period dummies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from causalkit.data.panel import period_shares
from causalkit.nuisance.features import Features, TableFeatures
from causalkit.panel.sample import PanelSample
from causalkit.typing import Bools, Floats, Ints

_CHUNK_VALUES = 2**21
_SAME_SHARE = 1e-12  # difference of two units' shares of a period that is rounding
_NO_SPREAD = 1e-10  # within-unit sd beside the overall sd that is rounding


@dataclass(frozen=True, slots=True)
class UnitMoments:
    """Moments of row-level terms by unit.

    Attributes
    ----------
    means : (N, b) array
        Unit means over the estimation rows, weighted if the rows are.
    spread : (N, b) array
        Unit standard deviations.
    varies : (b,) bool array
        Whether a term varies within any unit.
    """

    means: Floats
    spread: Floats
    varies: Bools


def _pieces(starts: Ints, n: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield runs of whole units: first and last unit, first and last row."""
    step = max(_CHUNK_VALUES // max(width, 1), 1)
    bounds = np.append(starts, n)
    first = 0
    while first < starts.size:
        last = int(np.searchsorted(bounds, bounds[first] + step, side="right")) - 1
        last = min(max(last, first + 1), starts.size)
        yield first, last, int(bounds[first]), int(bounds[last])
        first = last


def unit_moments(
    values: Floats,
    transform: Callable[[Floats], Floats] | None,
    n_terms: int,
    unit: Ints,
    weights: Floats | None,
) -> UnitMoments:
    """Find unit means and spreads of ``transform(values)``, chunk by chunk; NaNs are skipped.

    Parameters
    ----------
    values : (n, p) array
        Rows sorted by unit.
    transform : callable or None
        Basis that maps ``(m, p)`` to ``(m, n_terms)``.
    unit : (n,) int array
        Sorted codes 0..N-1.
    weights : (n,) array or None
    """
    starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
    means = np.empty((starts.size, n_terms))
    spread = np.empty((starts.size, n_terms))
    for first, last, low, high in _pieces(starts, unit.size, n_terms):
        terms = values[low:high] if transform is None else transform(values[low:high])
        local = starts[first:last] - low
        w = np.ones(high - low) if weights is None else weights[low:high]
        seen = ~np.isnan(terms)
        mass = seen * w[:, None]
        total = np.add.reduceat(mass, local, axis=0)
        # A unit without an observed value has no mean: the imputer, or the learner, sees that.
        total[total == 0.0] = np.nan
        filled = np.where(seen, terms, 0.0)
        mean = np.add.reduceat(filled * mass, local, axis=0) / total
        deviation = (filled - mean[unit[low:high] - first]) * seen
        variance = np.add.reduceat(deviation**2 * mass, local, axis=0) / total
        means[first:last], spread[first:last] = mean, np.sqrt(variance)
    size = np.sqrt(np.nanvar(means, axis=0) + np.nanmean(spread**2, axis=0))
    widest = np.nanmax(spread, axis=0, initial=0.0)
    return UnitMoments(means, spread, widest > _NO_SPREAD * np.maximum(size, 1e-300))


def period_dummies(period_code: Ints) -> TableFeatures:
    """Dummies of all periods but the first."""
    n_periods = int(period_code.max()) + 1
    return TableFeatures(np.eye(n_periods)[:, 1:], period_code)


def dummy_means(sample: PanelSample, period_code: Ints) -> TableFeatures:
    """Average the period dummies by unit."""
    shares = period_shares(sample.unit, period_code, weights=sample.weights)
    return TableFeatures(shares[:, 1:], sample.unit)


def varying_dummy_means(sample: PanelSample, period_code: Ints) -> TableFeatures | None:
    """Means of period dummies that two-way Mundlak terms need; None if units share them.

    They differ in unbalanced panels, and where weights give a period more of one unit than of
    another.
    """
    found = dummy_means(sample, period_code)
    apart = np.ptp(found.table, axis=0)
    return found if apart.max(initial=0.0) > _SAME_SHARE else None


def history(values: Floats, sample: PanelSample) -> Features:
    """All periods' values of a balanced panel beside every row (Chamberlain 1982)."""
    return TableFeatures(values.reshape(sample.n_units, -1), sample.unit)
