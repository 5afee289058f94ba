"""What the data can say against the model: instruments that disagree, moments left out."""

from dataclasses import replace
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError
from causalkit.estimator import Refit
from causalkit.inference.generalised_linear import generalised_linear
from causalkit.inference.hypotheses import HypothesisTest, wald
from causalkit.inference.instruments import hansen_j
from causalkit.inference.variance import sandwich
from causalkit.iv.result import IVFit
from causalkit.iv.settings import Settings
from causalkit.typing import Floats

_MOST_TERMS = 20


def specification_tests(
    refit: Refit, fit: IVFit, settings: Settings, data: CausalData
) -> tuple[HypothesisTest, ...]:
    """Every test that these data allow, each with its null in words.

    1. With several instruments, of which a category is one: each alone, the others among the
       covariates, gives the same effect.
    2. A constant effect fits the moments at every covariate; and one linear in the covariates fits
       their squares: over-identification tests of E[(Z − π)h(L){ÃỸ − β(L)Ã² − ...}] = 0.
    3. With a continuous treatment: the ratio of variances between arms does not vary with L.
    """
    found: list[HypothesisTest] = []
    if len(data.roles.instruments) > 1:
        found.append(agreement(refit, fit, settings, data))
    found += left_out_moments(fit, settings)
    if not fit.sample.binary_treatment and fit.sample.binary_instrument:
        found.append(variance_ratio(fit, settings))
    if not found:
        raise ArgumentError(
            "there is nothing to test: one instrument and no covariates leave the model just "
            "identified. Name covariates or further instruments."
        )
    return tuple(found)


def agreement(refit: Refit, fit: IVFit, settings: Settings, data: CausalData) -> HypothesisTest:
    """Joint Wald test that the effects by each instrument alone are equal."""
    roles = data.roles
    thetas, influences = [], []
    for name in roles.instruments:
        others = tuple(other for other in roles.instruments if other != name)
        alone = data.with_roles(instruments=name, covariates=(*roles.covariates, *others))
        try:
            other = refit.fit(alone)
        except ArgumentError as error:
            raise ArgumentError(
                f"the test that instruments agree fits {name!r} alone, and {error} Named learners "
                "serve one instrument and several."
            ) from error
        result = other.estimate("variance-weighted")
        thetas.append(float(result.estimates[0]))
        place = np.argsort(other.fit_.sample.rows)
        influences.append(np.asarray(result.influence)[place, 0])
    # From the order of the data, without rows of weight zero, to that of this fit's sample.
    rank = np.argsort(np.argsort(fit.sample.rows))
    stacked = np.column_stack(influences)[rank]
    inference = fit.inference(settings)
    vcov = sandwich(
        stacked, inference.clusters, ssc=settings.ssc, multiplicity=inference.multiplicity
    )
    contrasts = np.hstack([np.eye(len(thetas) - 1), -np.ones((len(thetas) - 1, 1))])
    return wald(
        np.array(thetas),
        vcov,
        R=contrasts,
        name="Agreement of instruments",
        null="every instrument alone gives the same variance-weighted effect",
    )


def left_out_moments(fit: IVFit, settings: Settings) -> list[HypothesisTest]:
    """Over-identification tests of effects that are constant, then linear, in the covariates."""
    x = fit.sample.x[:, np.ptp(fit.sample.x, axis=0) > 0]
    if not 0 < x.shape[1] <= _MOST_TERMS or np.isnan(x).any():
        return []
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    one = np.ones((len(x), 1))
    linear = np.hstack([one, standard])
    square = _beyond(standard**2, linear)
    found = [_moment_test(fit, settings, one, linear, "a constant effect fits at every covariate")]
    if square.shape[1]:
        wide = np.hstack([linear, square])
        null = "an effect linear in the covariates fits their squares"
        found.append(_moment_test(fit, settings, linear, wide, null))
    return found


def _beyond(columns: Floats, base: Floats) -> Floats:
    """Columns that are no combination of the base, such as squares of anything but 0/1."""
    left = columns - base @ np.linalg.lstsq(base, columns, rcond=None)[0]
    kept = np.linalg.norm(left, axis=0) > 1e-8 * np.linalg.norm(columns, axis=0)
    return columns[:, kept]


def _moment_test(
    fit: IVFit, settings: Settings, effect: Floats, moments: Floats, null: str
) -> HypothesisTest:
    products, inference = fit.fitted.products, fit.inference(settings)
    instrument = products.instrument[:, :1]
    test = hansen_j(
        products.outcome[:, 0],
        products.treatment[:, :1] * effect,
        instrument * moments,
        clusters=inference.clusters,
        weights=inference.weights,
        multiplicity=inference.multiplicity,
    )
    return replace(test, name="Left-out moments (Hansen J)", null=null)


def variance_ratio(fit: IVFit, settings: Settings) -> HypothesisTest:
    """Whether V_1(L)/V_0(L) varies with L, from a log-linear model of squared residuals."""
    sample, inference = fit.sample, fit.inference(settings)
    weights = np.ones(sample.n) if sample.weights is None else sample.weights
    plain = np.hstack([np.ones((sample.n, 1)), sample.x])
    terms = np.hstack([plain, plain * sample.z])
    square = (sample.a - fit.fitted.hats.mu[:, 0]) ** 2
    found = generalised_linear(
        square, terms, weights / weights.mean(), link="log", what="the variance of the treatment"
    )
    vcov = sandwich(
        found.influence, inference.clusters, ssc=settings.ssc, multiplicity=inference.multiplicity
    )
    picked = np.eye(terms.shape[1])[plain.shape[1] + 1 :]
    more: dict[str, Any] = {"R": picked}
    return wald(
        found.coefficients,
        vcov,
        name="Ratio of variances",
        null="Var(A | Z = 1, L)/Var(A | Z = 0, L) does not vary with the covariates",
        **more,
    )
