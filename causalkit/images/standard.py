"""The baseline of a fit in its own units: standardised covariates and what the design says."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.images.encoded import Levels, columns_of_fit
from causalkit.images.gaps import filled
from causalkit.images.units import Units
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Columns of the baseline in the units of the fit: covariates, then those of the design.

    Attributes
    ----------
    names : tuple of str
        Encoded covariates, in order.
    mean, sd : (p + q,) arrays
        Of the training rows.
    levels : mapping
        Of columns that are categories.
    imputer : transformer or None
        Fills in missing covariates; its flags count among the p.
    """

    names: tuple[str, ...]
    mean: Floats
    sd: Floats
    levels: Levels
    imputer: Any = None

    @classmethod
    def fit(cls, units: Units, train: Ints) -> "Standard":
        """Learn mean and standard deviation of the baseline from the training rows."""
        matrix = units.baseline[train]
        sd = matrix.std(axis=0)
        return cls(
            names=units.covariate_names,
            mean=matrix.mean(axis=0),
            sd=np.where(sd > 0, sd, 1.0),
            levels=units.levels,
            imputer=units.imputer,
        )

    def apply(self, matrix: Floats) -> Floats:
        """Standardise ``(n, p + q)``."""
        return np.asarray((matrix - self.mean) / self.sd)

    def of(self, data: CausalData) -> Floats:
        """Standardised covariates of other data, found by name; the design at its mean.

        Other places need not have the blocks of the trial.

        Raises
        ------
        DataError
            If one is absent, has a level that the fit did not have, or lacks values that the fit
            did not fill in.
        """
        need = "covariates of the fit; name them as covariates"
        encoded = columns_of_fit(data, "covariates", self.names, self.levels, need=need)
        matrix = filled(self.imputer, encoded, self.names)
        design = self.mean[matrix.shape[1] :]
        return self.apply(np.hstack([matrix, np.tile(design, (data.n, 1))]))

    def blank(self, n: int) -> Floats:
        """Rows at the mean, ``(n, p + q)``."""
        return np.zeros((n, self.mean.size))
