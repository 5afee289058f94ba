"""What the data can say against the model: instruments that disagree, moments left out."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import (
    ArgumentError,
    CausalKitError,
    CausalKitWarning,
    IdentificationError,
)
from causalkit.estimator import Refit
from causalkit.inference.generalised_linear import generalised_linear
from causalkit.inference.hypotheses import HypothesisTest, wald
from causalkit.inference.instruments import hansen_j
from causalkit.inference.variance import sandwich
from causalkit.iv.result import IVFit
from causalkit.iv.settings import Settings
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

_MOST_TERMS = 20
_J = "Left-out moments (Hansen J)"

Planned = dict[str, Callable[[], HypothesisTest]]


def specification_tests(
    refit: Refit, fit: IVFit, settings: Settings, data: CausalData
) -> tuple[HypothesisTest, ...]:
    """Every test that these data allow, each with its null in words.

    1. With several instruments, of which a category is one: each alone, the others among the
       covariates, gives the same effect.
    2. A constant effect fits the moments at every covariate; and one linear in the covariates fits
       their squares: over-identification tests of E[(Z − π)h(L){ÃỸ − β(L)Ã² − ...}] = 0.
    3. With a continuous treatment: the ratio of variances between arms does not vary with L.

    A test that cannot be made is left out with a warning that says why.
    """
    planned: Planned = {}
    if len(data.roles.instruments) > 1:
        planned["Agreement of instruments"] = partial(agreement, refit, fit, settings, data)
    x = _usable(fit)
    planned |= left_out_moments(fit, settings, x)
    if x.shape[1] and not fit.sample.binary_treatment and fit.sample.binary_instrument:
        planned["Ratio of variances"] = partial(variance_ratio, fit, settings, x)
    if not planned:
        raise ArgumentError(
            "there is nothing to test: one instrument and no covariates that the tests can take "
            "leave the model just identified. Name covariates or further instruments."
        )
    found, failures = [], {}
    for name, make in planned.items():
        try:
            found.append(make())
        except CausalKitError as error:
            failures[name] = str(error)
    if not found:
        reasons = " ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise IdentificationError(f"no specification test can be made. {reasons}")
    for name, reason in failures.items():
        warn(f"the test {name} is left out: {reason}", CausalKitWarning)
    return tuple(found)


def _usable(fit: IVFit) -> Floats:
    """Covariates that every row has and that vary; others are named in a warning."""
    x, names = fit.sample.x, fit.sample.covariate_names
    missing: Bools = np.asarray(np.isnan(x).any(axis=0))
    flat: Bools = ~missing & (np.ptp(x, axis=0) == 0)
    for left_out, why in ((missing, "missing in some rows"), (flat, "constant")):
        listed = ", ".join(name for name, out in zip(names, left_out, strict=True) if out)
        if listed:
            warn(f"specification tests leave out covariates {why}: {listed}.", CausalKitWarning)
    return x[:, ~missing & ~flat]


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


def left_out_moments(fit: IVFit, settings: Settings, x: Floats) -> Planned:
    """Over-identification tests of effects that are constant, then linear, in the covariates."""
    if x.shape[1] > _MOST_TERMS:
        warn(
            f"the test {_J} is left out: {x.shape[1]} covariates make more moments than it can "
            f"take; name {_MOST_TERMS} or fewer.",
            CausalKitWarning,
        )
    if not 0 < x.shape[1] <= _MOST_TERMS:
        return {}
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    one = np.ones((len(x), 1))
    linear = np.hstack([one, standard])
    square = _beyond(standard**2, linear)
    make = partial(_moment_test, fit, settings)
    constant = "a constant effect fits at every covariate"
    planned: Planned = {f"{_J}, constant effect": partial(make, one, linear, constant)}
    if square.shape[1]:
        null = "an effect linear in the covariates fits their squares"
        wide = np.hstack([linear, square])
        planned[f"{_J}, linear effect"] = partial(make, linear, wide, null)
    return planned


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
    return replace(test, name=_J, null=null)


def variance_ratio(fit: IVFit, settings: Settings, x: Floats) -> HypothesisTest:
    """Whether V_1(L)/V_0(L) varies with L, from a log-linear model of squared residuals."""
    sample, inference = fit.sample, fit.inference(settings)
    weights = np.ones(sample.n) if sample.weights is None else sample.weights
    plain = np.hstack([np.ones((sample.n, 1)), x])
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
