"""Density of a dose given the covariates: a cross-fitted mean, and normal kernels around it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.stats import gaussian_kde

from causalkit.errors import OverlapWarning
from causalkit.nuisance import DenseFeatures, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.flat_features import flat_features
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.points import rows_and_doses
from causalkit.transtee.settings import Settings
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

FLOOR = 1e-3
N_DOSES = 100
N_DENSITY = 1000


@dataclass(frozen=True, slots=True, eq=False)
class DoseDensity:
    """π(t | X) of every row, or π(t | X, arm): that of T − E[T | X], of one shape for all X.

    Attributes
    ----------
    dose, centre : (n,) arrays
        T, and E[T | X] from the other folds.
    rows : (n,) bool array
        Rows whose doses are those of the arm.
    points, heights : (m,) arrays
        Residuals and their density.
    weight, multiplicity : (n,) array or None
        Of the rows.
    """

    dose: Floats
    centre: Floats
    rows: Bools
    points: Floats
    heights: Floats
    weight: Floats | None
    multiplicity: Floats | None

    @classmethod
    def of(
        cls,
        coding: Coding,
        coded: Coded,
        settings: Settings,
        folds: Folds,
        learner: Any,
        place: int,
    ) -> "DoseDensity":
        """Fit the mean on folds of the rows of an arm, and the density to its residuals."""
        rows, dose = rows_and_doses(coded, place)
        features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
        fitter = Fitter(seed=settings.seed, weights=mean_weight(coded))
        name, own = "dose", None
        if not rows.all():
            name, own = f"dose of arm{place}", rows
        nuisance = Nuisance(name, dose, features, learner, train_on=own)
        centre = fitter.run([nuisance], folds)[name][:, 0]
        residual = (dose - centre)[rows]
        weight, counts = (
            None if one is None else one[rows] for one in (mean_weight(coded), coded.multiplicity)
        )
        kde = _kernel_density(residual, weight, counts)
        reach = 4.0 * float(np.sqrt(kde.covariance[0, 0]))
        points = np.linspace(residual.min() - reach, residual.max() + reach, N_DENSITY)
        return cls(dose, centre, rows, points, kde(points), mean_weight(coded), coded.multiplicity)

    def received(self, of: str = "") -> Floats:
        """π(T | X) at the doses received, not below a thousandth of the largest; warns of less."""
        density = np.interp(self.dose - self.centre, self.points, self.heights)
        least = FLOOR * self.heights.max()
        small = (density < least)[self.rows]
        if small.any():
            counts = None if self.multiplicity is None else self.multiplicity[self.rows]
            share = np.average(small, weights=counts)
            warn(
                f"[E19-overlap] {share:.1%} of the rows{of} received a dose whose density given "
                f"the covariates is below {FLOOR:g} of the largest, and was moved to that bound; "
                "the curve there rests on extrapolation.",
                OverlapWarning,
            )
        return np.asarray(np.maximum(density, least))

    def mean(self, chance: Floats | float = 1.0) -> Floats:
        """∫p(x)π(T | x)dP(x) at the doses received, p the chance of the arm ``(n,)``."""
        own = self.dose[self.rows]
        grid = np.linspace(own.min(), own.max(), N_DOSES)
        mean = [
            np.average(
                chance * np.interp(d - self.centre, self.points, self.heights, 0.0, 0.0),
                weights=self.weight,
            )
            for d in grid
        ]
        return np.asarray(np.interp(self.dose, grid, mean))

    def within(self, low: float, high: float) -> Floats:
        """P(low < T < high | X) of every row."""
        below = cumulative_trapezoid(self.heights, self.points, initial=0.0)
        ends = [np.interp(end - self.centre, self.points, below) for end in (low, high)]
        return np.asarray((ends[1] - ends[0]) / below[-1])


def _kernel_density(values: Floats, weight: Floats | None, multiplicity: Floats | None) -> Any:
    """Density of values by normal kernels, with the bandwidth of Scott's rule."""
    if multiplicity is None:
        return gaussian_kde(values, weights=weight)
    n, share = multiplicity.sum(), multiplicity / multiplicity.sum()
    # Scipy takes weights for precisions, and so their sum for unknown; here it is a count.
    unbiased = (1.0 - (share**2).sum()) * n / (n - 1.0)
    return gaussian_kde(values, bw_method=n**-0.2 * np.sqrt(unbiased), weights=multiplicity)
