"""What an economist would run beside it: regression, two-stage least squares, AIPW, PLIV, LATE."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.inference.instruments import instrumented_estimand
from causalkit.inference.regression import (
    column_rank,
    independent_columns,
    partialled,
    regression_score,
)
from causalkit.inference.solve import solve_linear
from causalkit.iv.nuisances import Learners, first_stage
from causalkit.iv.result import IVFit, inference_of, result_of
from causalkit.iv.sample import IVSample
from causalkit.iv.settings import Settings
from causalkit.iv.views import Sight, joint_sight
from causalkit.nuisance import Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.optional import require
from causalkit.results import EffectResult
from causalkit.scores import LinearScore, aipw, late, pliv
from causalkit.typing import Bools, Floats

_TRIM = 0.01


@dataclass(frozen=True, slots=True)
class Bench:
    """What all comparison rows share: rows, features, splits and how to fit.

    Attributes
    ----------
    learners : Learners
        Of the fit they stand beside.
    """

    sample: IVSample
    sight: Sight
    folds: Folds
    fitter: Fitter
    learners: Learners
    settings: Settings
    fit: IVFit

    @property
    def exogenous(self) -> Floats:
        """Constant and covariates, ``(n, 1 + p)``."""
        return np.hstack([np.ones((self.sample.n, 1)), self.sample.x])

    def result(
        self,
        score: LinearScore,
        *,
        name: str,
        estimand: str,
        assumes: str,
        rows: Bools | None = None,
        n_absorbed: int = 0,
    ) -> EffectResult:
        """Result of a score, with the variance of the fit that it stands beside.

        ``n_absorbed`` are the regressors that were partialled out of a linear one.
        """
        sample, settings = self.sample, self.settings
        kept = np.ones(sample.n, dtype=bool) if rows is None else rows
        inference = inference_of(sample, settings, kept)
        dropped = {} if kept.all() else {"propensity outside [0.01, 0.99]": sample.count(~kept)}
        return result_of(
            solve_linear(score, weights=inference.weights),
            self.fit,
            settings,
            inference,
            estimand=estimand,
            estimator=name,
            dropped=dropped,
            n_absorbed=n_absorbed,
            notes=(f"Assumes {assumes}.",),
        )

    def linear(
        self, score: LinearScore, *, name: str, estimand: str, assumes: str
    ) -> tuple[EffectResult, Bools]:
        """Result of a regression on all rows, of which constant and covariates are a part."""
        found = self.result(
            score,
            name=name,
            estimand=estimand,
            assumes=assumes,
            n_absorbed=column_rank(self.exogenous),
        )
        return found, _all(self.sample)


def ols(bench: Bench) -> tuple[EffectResult, Bools]:
    """Least squares of the outcome on treatment and covariates."""
    sample = bench.sample
    score = regression_score(sample.y, sample.a[:, None], bench.exogenous, sample.weights)
    assumes = "no unmeasured confounding, a linear model"
    return bench.linear(score, name="OLS", estimand="ate", assumes=assumes)


def two_stage(bench: Bench) -> tuple[EffectResult, Bools]:
    """Two-stage least squares with the covariates."""
    sample = bench.sample
    stacked = np.column_stack([sample.y, sample.a, sample.z])
    left = partialled(stacked, bench.exogenous, sample.weights)[:, None, :]
    score = pliv(left[:, :, 0], left[:, :, 1:2], left[:, :, 2:], weights=sample.weights)
    assumes = "that the instrument does not affect the outcome directly, a linear model"
    estimand = instrumented_estimand(sample.a[:, None], sample.z)
    return bench.linear(score, name="2SLS", estimand=estimand, assumes=assumes)


def liml(bench: Bench) -> tuple[EffectResult, Bools]:
    """Limited-information maximum likelihood, by linearmodels."""
    sample = bench.sample
    if sample.z.shape[1] == 1:
        raise IdentificationError("with one instrument it is 2SLS")
    models = require("linearmodels.iv", extra="data", needed_by="the LIML row of compare()")
    # Their model refuses covariates that determine each other.
    kept = bench.exogenous[:, independent_columns(bench.exogenous)]
    model = models.IVLIML(sample.y, kept, sample.a, sample.z, weights=sample.weights)
    fitted = model.fit(cov_type="robust")
    kappa = float(fitted.kappa)
    stacked = np.column_stack([sample.y, sample.a, sample.z])
    left = partialled(stacked, bench.exogenous, sample.weights)
    y, a, z = left[:, 0], left[:, 1], left[:, 2:]
    # The score of a k-class estimator: its instrument is A − κ M_Z A.
    moved = (a - kappa * partialled(a[:, None], z, sample.weights)[:, 0])[:, None, None]
    score = LinearScore(moved, a[:, None, None], y[:, None])
    assumes = "that no instrument affects the outcome directly, a linear model"
    estimand = instrumented_estimand(sample.a[:, None], sample.z)
    return bench.linear(score, name="LIML", estimand=estimand, assumes=assumes)


def doubly_robust(bench: Bench) -> tuple[EffectResult, Bools]:
    """AIPW given the covariates, as if there were no unmeasured confounder."""
    return _aipw(bench, bench.sight, "AIPW, given L", "no unmeasured confounding given covariates")


def doubly_robust_joint(bench: Bench) -> tuple[EffectResult, Bools]:
    """AIPW given covariates and instrument."""
    sight = joint_sight(bench.sample, bench.settings.basis, bench.settings.seed)
    assumes = "no unmeasured confounding given covariates and instrument"
    return _aipw(bench, sight, "AIPW, given L and Z", assumes)


def _aipw(bench: Bench, sight: Sight, name: str, assumes: str) -> tuple[EffectResult, Bools]:
    sample, learners = bench.sample, bench.learners
    if not sample.binary_treatment:
        raise IdentificationError("the treatment is not 0/1")
    treated = sample.a == 1.0
    hats = bench.fitter.run(
        [
            sight.nuisance("mu0", sample.y, learners.outcome, train_on=~treated),
            sight.nuisance("mu1", sample.y, learners.outcome, train_on=treated),
            sight.nuisance("propensity", sample.a, learners.treatment, kind="probability"),
        ],
        bench.folds,
    )
    chance = hats["propensity"]
    inside = _overlapping(sample, chance, "treatment")
    score = aipw(
        sample.y[inside],
        sample.a[inside],
        mu0=hats["mu0"][inside],
        mu1=hats["mu1"][inside],
        propensity=chance[inside],
    )
    return bench.result(score, name=name, estimand="ate", assumes=assumes, rows=inside), inside


def partially_linear_iv(bench: Bench) -> tuple[EffectResult, Bools]:
    """Partially linear IV by double machine learning."""
    sample, learners = bench.sample, bench.learners
    treatment = "probability" if sample.binary_treatment else "mean"
    nuisances: list[Nuisance] = [
        bench.sight.nuisance("outcome", sample.y, learners.outcome),
        bench.sight.nuisance("treatment", sample.a, learners.treatment, kind=treatment),
    ]
    # As the fit asks of its learner: a probability of one binary instrument, else means.
    kind = "probability" if sample.binary_instrument else "mean"
    nuisances += [
        bench.sight.nuisance(f"instrument {column}", values, learners.instrument, kind=kind)
        for column, values in enumerate(sample.z.T)
    ]
    hats = bench.fitter.run(nuisances, bench.folds)
    y = sample.y[:, None] - hats["outcome"]
    a = sample.a[:, None] - hats["treatment"]
    z = np.stack(
        [
            values[:, None] - hats[f"instrument {column}"]
            for column, values in enumerate(sample.z.T)
        ],
        axis=2,
    )
    score = pliv(y, a[:, :, None], z, weights=sample.weights)
    assumes = "that the instrument does not affect the outcome directly, a constant effect"
    estimand = instrumented_estimand(sample.a[:, None], sample.z)
    return bench.result(score, name="PLIV", estimand=estimand, assumes=assumes), _all(sample)


def interactive_iv(bench: Bench) -> tuple[EffectResult, Bools]:
    """Local average treatment effect by double machine learning (interactive IV model)."""
    sample, learners = bench.sample, bench.learners
    if not sample.binary_instrument:
        raise IdentificationError("the instrument is not a single 0/1 column")
    z = sample.z[:, 0]
    constant = np.array([np.ptp(sample.a[z == arm]) == 0 for arm in (0, 1)])
    first = first_stage(sample, bench.sight, bench.folds, bench.fitter, learners, constant=constant)
    chance = first.pi
    inside = _overlapping(sample, chance, "the instrument")
    score = late(
        sample.y[inside],
        sample.a[inside],
        z[inside],
        outcome=(first.eta[0][inside], first.eta[1][inside]),
        treatment=(first.mu[0][inside], first.mu[1][inside]),
        propensity=chance[inside],
    )
    assumes = "that the instrument does not affect the outcome directly, monotonicity"
    return bench.result(
        score, name="LATE (IIVM)", estimand="late", assumes=assumes, rows=inside
    ), inside


def _overlapping(sample: IVSample, chance: Floats, what: str) -> Bools:
    """Rows whose propensities are away from 0 and 1, of which there must be half."""
    inside: Bools = np.asarray(((chance >= _TRIM) & (chance <= 1.0 - _TRIM)).all(axis=1))
    if sample.share(inside) < 0.5:
        raise IdentificationError(
            f"{sample.share(~inside):.0%} of the propensities of {what} lie outside [0.01, 0.99]"
        )
    return inside


def _all(sample: IVSample) -> Bools:
    return np.ones(sample.n, dtype=bool)


BASELINES: dict[str, Callable[[Bench], tuple[EffectResult, Bools]]] = {
    "OLS": ols,
    "2SLS": two_stage,
    "LIML": liml,
    "AIPW, given L": doubly_robust,
    "AIPW, given L and Z": doubly_robust_joint,
    "PLIV": partially_linear_iv,
    "LATE (IIVM)": interactive_iv,
}
