"""Density of a dose given the covariates: a cross-fitted mean, and normal kernels around it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.stats import gaussian_kde

from causalkit.errors import OverlapWarning
from causalkit.nuisance import DenseFeatures, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.flat_features import flat_features
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats
from causalkit.warn import warn

FLOOR = 1e-3
N_DOSES = 100
N_DENSITY = 1000


@dataclass(frozen=True, slots=True, eq=False)
class DoseDensity:
    """π(t | X) of every row: that of T − E[T | X], of one shape for all X.

    Attributes
    ----------
    dose, centre : (n,) arrays
        T, and E[T | X] from the other folds.
    points, heights : (m,) arrays
        Residuals and their density.
    weight, multiplicity : (n,) array or None
        Of the rows.
    """

    dose: Floats
    centre: Floats
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
        dose: Floats,
    ) -> "DoseDensity":
        """Fit the mean on folds, and the density to its residuals."""
        features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
        fitter = Fitter(seed=settings.seed, weights=coded.weight)
        centre = fitter.run([Nuisance("dose", dose, features, learner)], folds)["dose"][:, 0]
        residual = dose - centre
        kde = _kernel_density(residual, coded.weight, coded.multiplicity)
        reach = 4.0 * float(np.sqrt(kde.covariance[0, 0]))
        points = np.linspace(residual.min() - reach, residual.max() + reach, N_DENSITY)
        return cls(dose, centre, points, kde(points), coded.weight, coded.multiplicity)

    def received(self) -> Floats:
        """π(T | X) at the doses received, not below a thousandth of the largest; warns of less."""
        density = np.interp(self.dose - self.centre, self.points, self.heights)
        least = FLOOR * self.heights.max()
        small = density < least
        if small.any():
            share = np.average(small, weights=self.multiplicity)
            warn(
                f"[E19-overlap] {share:.1%} of the rows received a dose whose density given the "
                f"covariates is below {FLOOR:g} of the largest, and was moved to that bound; the "
                "curve there rests on extrapolation.",
                OverlapWarning,
            )
        return np.asarray(np.maximum(density, least))

    def mean(self) -> Floats:
        """∫π(T | x)dP(x) at the doses received."""
        grid = np.linspace(self.dose.min(), self.dose.max(), N_DOSES)
        mean = [
            np.average(
                np.interp(d - self.centre, self.points, self.heights, 0.0, 0.0), weights=self.weight
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
