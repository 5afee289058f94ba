"""The arrays that an invalid-instrument estimator works on."""

from dataclasses import dataclass

import numpy as np

from causalkit.data import CausalData
from causalkit.data.levels import contrasts
from causalkit.nuisance import FoldKeys
from causalkit.typing import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class IVSample:
    """Arrays of one cross-section, in an order that does not depend on that of the table.

    Attributes
    ----------
    y : (n,) array
        Outcome.
    a : (n,) array
        Treatment, 0/1 or continuous.
    z : (n, L) array
        Instruments; levels of a category stand as indicators.
    x : (n, p) array
        Covariates.
    clusters : tuple of (n,) int arrays
        Declared clusters, or the units if the data name only those; empty if rows are independent.
    weights : (n,) array or None
        Row weights with mean one, or counts.
    frequency : bool
        Whether a weight counts identical rows.
    rows : (n,) int array
        Positions of these rows in the data.
    levels : (L, 2) array
        Smallest and largest value of each instrument in the data, before two values became 0/1.
    """

    y: Floats
    a: Floats
    z: Floats
    x: Floats
    clusters: tuple[Ints, ...]
    weights: Floats | None
    frequency: bool
    rows: Ints
    covariate_names: tuple[str, ...]
    treatment_name: str
    term: str
    contrast: str
    instrument_names: tuple[str, ...]
    levels: Floats
    n_dropped: int = 0

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.size)

    @property
    def binary_treatment(self) -> bool:
        """Whether the treatment is 0/1."""
        return bool(np.isin(self.a, (0.0, 1.0)).all())

    @property
    def binary_instrument(self) -> bool:
        """Whether there is one instrument and it is 0/1."""
        return self.z.shape[1] == 1 and bool(np.isin(self.z, (0.0, 1.0)).all())

    def least_delta_v(self, trim: float) -> float:
        """Bound on |ΔV|: as it stands for a 0/1 treatment, else in units of four variances.

        Four times the variance of a fair coin is one, and so the unit is the same for both.
        """
        return trim if self.binary_treatment else trim * 4.0 * self.variance

    @property
    def variance(self) -> float:
        """Variance of the treatment."""
        return float(self.mean((self.a - self.mean(self.a)) ** 2))

    @property
    def multiplicity(self) -> Floats | None:
        """How many observations each row stands for, if weights are frequencies."""
        return self.weights if self.frequency else None

    def count(self, rows: Bools) -> int:
        """Observations in some rows, which stand for several if weights are frequencies."""
        counts = self.multiplicity
        return int(rows.sum()) if counts is None else round(float(counts[rows].sum()))

    def share(self, rows: Bools) -> float:
        """Share of all observations that is in some rows, averaged over repeats if there are."""
        return float(np.average(rows, axis=0, weights=self.multiplicity).mean())

    @property
    def keys(self) -> FoldKeys:
        """What a split may look at: rows of a cluster stay together."""
        if not self.clusters:
            return FoldKeys(self.n)
        coarsest = min(self.clusters, key=lambda codes: int(codes.max()))
        return FoldKeys(self.n, unit=coarsest, cluster=coarsest)

    @property
    def split(self) -> str:
        """Rule of the folds: clusters stay together."""
        return "unit" if self.clusters else "observation"

    def mean(self, values: Floats) -> Floats:
        """Weighted mean over rows of ``(n, ...)`` values."""
        return np.asarray(np.average(values, axis=0, weights=self.weights))


def iv_sample(data: CausalData) -> IVSample:
    """Take the arrays of a data set; rows of weight zero stay out and are counted."""
    y, a = data.column("outcome"), data.column("treatment")
    stated, x = data.matrix("instruments"), data.matrix("covariates")
    clusters = data.clusters()
    if not clusters and data.roles.unit is not None:
        clusters = (data.codes("unit"),)
    weights, kept = data.weights(), weighted_rows(data)
    frequency = data.roles.weight_kind == "frequency"
    # One instrument of two values as 0/1, which changes nothing but the names of its levels.
    top = stated[kept].max(axis=0)
    z = (stated == top).astype(np.float64) if has_two_values(stated[kept]) else stated
    # By value, so that shuffling the table changes no fold.
    order = np.lexsort((*x[kept].T[::-1], *z[kept].T[::-1], a[kept], y[kept]))
    rows = kept[order]
    if weights is not None:
        weights = weights[rows] if frequency else weights[rows] / weights[rows].mean()
    return IVSample(
        y=y[rows],
        a=a[rows],
        z=z[rows],
        x=x[rows],
        clusters=tuple(np.unique(codes[rows], return_inverse=True)[1] for codes in clusters),
        weights=weights,
        frequency=frequency,
        rows=rows,
        covariate_names=data.matrix_names("covariates"),
        treatment_name=data.roles.treatment[0],
        term=data.matrix_names("treatment")[0],
        contrast=contrasts(data)[0],
        instrument_names=data.matrix_names("instruments"),
        levels=np.column_stack([stated[kept].min(axis=0), top]),
        n_dropped=len(data) - rows.size,
    )


def weighted_rows(data: CausalData) -> Ints:
    """Positions of the rows of positive weight, which alone say what the data hold."""
    weights = data.weights()
    return np.arange(len(data)) if weights is None else np.flatnonzero(weights > 0)


def has_two_values(z: Floats) -> bool:
    """Whether there is one instrument, and it has two values."""
    return z.shape[1] == 1 and np.unique(z).size == 2
