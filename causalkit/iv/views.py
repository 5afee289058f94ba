"""What the regressions of an invalid-instrument model see: covariates alone, or instruments too."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.iv.sample import IVSample
from causalkit.nuisance import BasisFeatures, DenseFeatures, Features, Nuisance
from causalkit.nuisance.basis import make_basis
from causalkit.typing import Floats, Learner


@dataclass(frozen=True, slots=True)
class Sight:
    """Features with a dictionary of powers and products, and as they are.

    Attributes
    ----------
    full : Features
        For penalised learners and scikit-learn objects.
    compact : Features
        For learners that make their own terms.
    notes : tuple of str
        What the dictionary left out.
    """

    full: Features
    compact: Features
    notes: tuple[str, ...] = ()

    def nuisance(self, name: str, target: Floats, learner: str | Learner, **more: Any) -> Nuisance:
        """Regression of a target on these features."""
        return Nuisance(name, target, self.full, learner, compact=self.compact, **more)


def covariate_sight(sample: IVSample, basis: Any, seed: int) -> Sight:
    """Covariates L."""
    return _sight(sample.x, sample, basis, seed)


def joint_sight(sample: IVSample, basis: Any, seed: int) -> Sight:
    """Instruments and covariates (Z, L)."""
    return _sight(np.hstack([sample.z, sample.x]), sample, basis, seed)


def _sight(values: Floats, sample: IVSample, basis: Any, seed: int) -> Sight:
    if values.shape[1] == 0:
        constant = DenseFeatures(np.ones((sample.n, 1)))
        return Sight(constant, constant)
    plain = DenseFeatures(values)
    if basis is None:
        return Sight(plain, plain)
    if basis != "cubic" and np.isnan(values).any():
        raise ArgumentError(
            f"basis={basis!r} cannot take missing covariates; use basis='cubic', or impute before "
            "building the data."
        )
    counts = sample.multiplicity
    made = make_basis(
        basis,
        values,
        seed=seed,
        weights=sample.weights,
        n_rows=None if counts is None else float(counts.sum()),
    )
    return Sight(BasisFeatures(values, made, np.arange(made.n_terms)), plain, made.notes)
