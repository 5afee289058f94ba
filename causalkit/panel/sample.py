"""The rows and arrays that a panel estimator works on, sorted by unit and period."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from causalkit.data import CausalData
from causalkit.data.levels import contrasts
from causalkit.nuisance.weights import of_mean_one
from causalkit.typing import Bools, Floats, Ints

_NO_EARLIER = "no adjacent earlier period"


@dataclass(frozen=True, slots=True)
class PanelSample:
    """Arrays of one estimation sample.

    Rows are sorted by unit and period, so that no result depends on the order of the input.

    Attributes
    ----------
    y : (n,) array
        Outcome.
    d : (n, k) array
        Treatments.
    x : (n, p) array
        Covariates.
    z : (n, L) array
        Instruments.
    unit : (n,) int array
        Unit codes, 0..N-1 with no holes.
    period : (n,) int array or None
        Calendar position of each row.
    clusters : tuple of (n,) int arrays
        Declared clusters; empty if the data name none.
    weights : (n,) array or None
        Row weights.
    weight_kind : str or None
        What a weight is: ``"sampling"``, ``"frequency"`` or ``"precision"``.
    rows : (n,) int array
        Positions of these rows in the data.
    contrasts : (k,) tuple of str
        What a step of each treatment is.
    dropped : mapping of str to int
        Rows left out, by reason.
    """

    y: Floats
    d: Floats
    x: Floats
    z: Floats
    unit: Ints
    period: Ints | None
    clusters: tuple[Ints, ...]
    weights: Floats | None
    weight_kind: str | None
    rows: Ints
    covariate_names: tuple[str, ...]
    treatment_names: tuple[str, ...]
    contrasts: tuple[str, ...]
    instrument_names: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.size)

    @property
    def multiplicity(self) -> Floats | None:
        """How many observations each row stands for, if weights are frequencies."""
        return self.weights if self.weight_kind == "frequency" else None

    @property
    def n_observations(self) -> float:
        """Number of observations that the rows stand for."""
        return float(self.n if self.multiplicity is None else self.multiplicity.sum())

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.unit[-1]) + 1 if self.n else 0

    @property
    def starts(self) -> Ints:
        """First row of each unit, ``(N,)``."""
        return np.flatnonzero(np.diff(self.unit, prepend=-1))

    @property
    def period_code(self) -> Ints:
        """Codes 0..T-1 ``(n,)`` of the periods that occur; one period if the data name none."""
        if self.period is None:
            return np.zeros(self.n, dtype=np.int64)
        return np.unique(self.period, return_inverse=True)[1]

    def nests_in(self, codes: Ints) -> bool:
        """Whether every unit lies in one group."""
        return bool((codes == codes[self.starts][self.unit]).all())

    def lengths(self) -> Ints:
        """Rows of each unit, ``(N,)``."""
        return np.bincount(self.unit, minlength=self.n_units)

    def history_lengths(self) -> Floats:
        """Observations of each unit, ``(N,)``: a row with a frequency weight stands for several."""
        lengths = np.bincount(self.unit, weights=self.multiplicity, minlength=self.n_units)
        return lengths.astype(np.float64)

    def rows_behind(self, mask: Bools) -> int:
        """Observations behind some rows: frequency weights stand for several."""
        counts = self.multiplicity
        return int(mask.sum() if counts is None else counts[mask].sum())

    def balanced(self) -> bool:
        """Whether every unit is seen in the same periods."""
        lengths = self.lengths()
        if (lengths != lengths[0]).any():
            return False
        if self.period is None:
            return True
        grid = self.period.reshape(self.n_units, -1)
        return bool((grid == grid[0]).all())

    def keep(self, mask: Bools, reason: str) -> "PanelSample":
        """Keep some rows and count the others under a reason."""
        if mask.all():
            return self
        where, left_out = np.flatnonzero(mask), self.rows_behind(~mask)
        return replace(
            self,
            y=self.y[where],
            d=self.d[where],
            x=self.x[where],
            z=self.z[where],
            unit=np.unique(self.unit[where], return_inverse=True)[1],
            period=None if self.period is None else self.period[where],
            clusters=tuple(
                np.unique(codes[where], return_inverse=True)[1] for codes in self.clusters
            ),
            weights=None if self.weights is None else self.weights[where],
            rows=self.rows[where],
            dropped={**self.dropped, reason: left_out} if left_out else self.dropped,
        )


def adjacent_rows(sample: PanelSample) -> Ints:
    """Rows whose unit is also seen in the period just before, which is then the row above."""
    if sample.period is None:
        return np.empty(0, dtype=np.int64)
    step = (np.diff(sample.unit) == 0) & (np.diff(sample.period) == 1)
    return np.flatnonzero(step) + 1


def differenced(sample: PanelSample, later: Ints) -> PanelSample:
    """Rows whose change since the row above is used, with the weights of these changes.

    The variance of a change is the sum of two, so precisions add as 1 / (1 / w + 1 / w'). Of rows
    that stand for several, as many have a change as there are in both periods. A sampling weight
    is that of the later row: of those sampled before, it weighs those still there.
    """
    mask = np.zeros(sample.n, dtype=bool)
    mask[later] = True
    kept = sample.keep(mask, _NO_EARLIER)
    if sample.weights is None or sample.weight_kind == "sampling":
        return kept
    now, before = sample.weights[later], sample.weights[later - 1]
    if sample.weight_kind == "precision":
        return replace(kept, weights=_unit_mean(1.0 / (1.0 / now + 1.0 / before), frequency=False))
    both = np.minimum(now, before)
    lost = int(sample.weights.sum() - both.sum())
    return replace(kept, weights=both, dropped={**sample.dropped, _NO_EARLIER: lost})


def panel_sample(data: CausalData) -> PanelSample:
    """Extract the arrays of a panel from the data, sorted by unit and period."""
    unit = data.codes("unit")
    period = data.periods() if data.roles.time is not None else None
    x, d, z = (data.matrix(role) for role in ("covariates", "treatment", "instruments"))
    y = data.column("outcome")
    weights = _unit_mean(data.weights(), frequency=data.roles.weight_kind == "frequency")
    clusters = data.clusters()
    order: Ints | None
    if period is None:
        # All that is known orders a unit's rows, so that only equal rows depend on the table's.
        counted = () if weights is None else (weights,)
        order = np.lexsort((*counted, *clusters, *z.T, *x.T, *d.T, y, unit))
    else:
        order = _by_period(unit, period)

    def sort(values: Floats) -> Floats:
        return values if order is None else values[order]

    rows: Ints = np.arange(len(data)) if order is None else order
    sample = PanelSample(
        y=sort(y),
        d=sort(d),
        x=sort(x),
        z=sort(z),
        unit=unit if order is None else unit[order],
        period=None if period is None else period[rows],
        clusters=tuple(codes[rows] for codes in clusters),
        weights=None if weights is None else weights[rows],
        weight_kind=data.roles.weight_kind,
        rows=rows,
        covariate_names=data.matrix_names("covariates"),
        treatment_names=data.matrix_names("treatment"),
        contrasts=contrasts(data),
        instrument_names=data.matrix_names("instruments"),
    )
    # Rows without weight would only make means of nothing.
    return sample if weights is None else sample.keep(weights[rows] > 0, "weight of zero")


def _unit_mean(weights: Floats | None, *, frequency: bool) -> Floats | None:
    """Weights with mean 1, unless they count: the penalties of learners are not free of scale.

    The mean is that of rows with weight; the others are left out, and must not set the scale.
    """
    return weights if weights is None or frequency else of_mean_one(weights)


def _by_period(unit: Ints, period: Ints) -> Ints | None:
    """Permutation that sorts by unit and period, or None if the rows are sorted already."""
    step = np.diff(unit)
    if ((step > 0) | ((step == 0) & (np.diff(period) > 0))).all():
        return None
    return np.lexsort((period, unit))
