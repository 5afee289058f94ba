"""Linear companions: the regressions that an economist would run beside the DML estimate."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from causalkit.data.panel import demean, unit_means
from causalkit.errors import IdentificationError
from causalkit.inference.hypotheses import HypothesisTest, wald
from causalkit.inference.regression import (
    column_rank,
    independent_columns,
    partialled,
    regression_score,
)
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import Ssc, sandwich
from causalkit.panel.mundlak import period_dummies, varying_dummy_means
from causalkit.panel.sample import PanelSample, adjacent_rows, differenced
from causalkit.scores import LinearScore, pliv
from causalkit.typing import Floats, Ints

_ROUNDING = 1e-13  # of a constant, after its mean is taken off


@dataclass(frozen=True, slots=True)
class Companion:
    """A linear regression, before it is solved.

    Attributes
    ----------
    sample : PanelSample
        Rows that it uses.
    score : LinearScore
        Of the treatments' coefficients.
    others : (n, q) array
        Regressors that were partialled out.
    n_effects : int
        Unit effects that were absorbed.
    """

    sample: PanelSample
    score: LinearScore
    others: Floats
    n_effects: int = 0

    @property
    def n_absorbed(self) -> int:
        """Coefficients beside those of the treatments."""
        return column_rank(self.others) + self.n_effects


def _constant(n: int) -> Floats:
    return np.ones((n, 1))


def _period_columns(sample: PanelSample, time_effects: str | None) -> Floats:
    if time_effects is None:
        return np.empty((sample.n, 0))
    return period_dummies(sample.period_code).take(np.arange(sample.n))


def _within(sample: PanelSample, values: Floats) -> Floats:
    """Deviations from unit means; zero where rounding is all that is left of a constant."""
    moved = demean(values, sample.unit, weights=sample.weights)
    constant = np.linalg.norm(moved, axis=0) <= _ROUNDING * np.linalg.norm(values, axis=0)
    return np.where(constant, 0.0, moved)


def _score(sample: PanelSample, y: Floats, d: Floats, others: Floats) -> LinearScore:
    return regression_score(y, d, others, sample.weights, names=sample.treatment_names)


def simple_ols(sample: PanelSample, time_effects: str | None) -> Companion:
    """Regress y on d alone."""
    others = np.hstack([_constant(sample.n), _period_columns(sample, time_effects)])
    score = _score(sample, sample.y, sample.d, others)
    return Companion(sample, score, others)


def fixed_effects_only(sample: PanelSample, time_effects: str | None) -> Companion:
    """Within regression of y on d without covariates."""
    return fixed_effects(replace(sample, x=np.empty((sample.n, 0))), time_effects)


def pooled_ols(sample: PanelSample, time_effects: str | None) -> Companion:
    """Regress y on d and x, ignoring the panel."""
    others = np.hstack([_constant(sample.n), sample.x, _period_columns(sample, time_effects)])
    score = _score(sample, sample.y, sample.d, others)
    return Companion(sample, score, others)


def fixed_effects(sample: PanelSample, time_effects: str | None) -> Companion:
    """Within regression: y on d and x, all as deviations from unit means."""
    others = _within(sample, np.hstack([sample.x, _period_columns(sample, time_effects)]))
    y = _within(sample, sample.y[:, None])[:, 0]
    score = _score(sample, y, _within(sample, sample.d), others)
    return Companion(sample, score, others, sample.n_units)


def fixed_effects_2sls(sample: PanelSample, time_effects: str | None) -> Companion:
    """Within regression by two-stage least squares."""
    others = _within(sample, np.hstack([sample.x, _period_columns(sample, time_effects)]))
    stacked = _within(sample, np.column_stack([sample.y, sample.d, sample.z]))
    left = partialled(stacked, others, sample.weights)[:, None, :]
    k = sample.d.shape[1]
    score = pliv(left[:, :, 0], left[:, :, 1 : 1 + k], left[:, :, 1 + k :], weights=sample.weights)
    return Companion(sample, score, others, sample.n_units)


def mundlak_ols(sample: PanelSample, time_effects: str | None) -> Companion:
    """Pooled regression with unit means of every regressor: the same coefficient as within."""
    means = _mean_terms(sample, time_effects)
    others = np.hstack(
        [_constant(sample.n), sample.x, _period_columns(sample, time_effects), means]
    )
    score = _score(sample, sample.y, sample.d, others)
    return Companion(sample, score, others)


def _mean_terms(sample: PanelSample, time_effects: str | None) -> Floats:
    """Average treatment and covariates by unit and, if units differ in them, period dummies."""
    both = np.hstack([sample.d, sample.x])
    means = unit_means(both, sample.unit, weights=sample.weights)[sample.unit]
    if time_effects is None:
        return means
    shares = varying_dummy_means(sample, sample.period_code)
    return means if shares is None else np.hstack([means, shares.take(np.arange(sample.n))])


def first_differences(sample: PanelSample, time_effects: str | None) -> Companion:
    """Regress changes of y between adjacent periods on changes of d and x."""
    pairs = adjacent_rows(sample)
    if pairs.size == 0:
        raise IdentificationError("no unit is seen in two adjacent periods to difference.")

    kept = differenced(sample, pairs)

    def change(values: Floats) -> Floats:
        return values[pairs] - values[pairs - 1]

    others = np.hstack([_constant(kept.n), change(sample.x), _period_columns(kept, time_effects)])
    score = _score(kept, change(sample.y), change(sample.d), others)
    return Companion(kept, score, others)


LINEAR: dict[str, Callable[[PanelSample, str | None], Companion]] = {
    "OLS, d only": simple_ols,
    "pooled OLS": pooled_ols,
    "FE, d only": fixed_effects_only,
    "fixed effects": fixed_effects,
    "first differences": first_differences,
    "Mundlak OLS": mundlak_ols,
}
INSTRUMENTED = {"fixed effects 2SLS": fixed_effects_2sls}


def mundlak_test(
    sample: PanelSample, *, clusters: tuple[Ints, ...], time_effects: str | None, ssc: Ssc
) -> HypothesisTest:
    """Joint cluster-robust Wald test that the Mundlak terms do not matter.

    Regresses y on d, x and the unit means of both. Under random effects that are unrelated to
    the regressors the means have zero coefficients; rejection says that pooled estimates are
    confounded by unit heterogeneity (Mundlak 1978; the robust form of the Hausman test).
    """
    base = np.hstack(
        [_constant(sample.n), sample.d, sample.x, _period_columns(sample, time_effects)]
    )
    means = partialled(_mean_terms(sample, time_effects), base, sample.weights)
    kept = independent_columns(means)
    if kept.size == 0:
        raise IdentificationError(
            "no regressor varies both between and within units, so there is no Mundlak term to "
            "test; check that `unit` names the panel unit."
        )
    y_res = partialled(sample.y[:, None], base, sample.weights)
    terms = means[:, kept][:, None, :]
    solution = solve_linear(LinearScore(terms, terms, y_res), weights=sample.weights)[0]
    vcov = sandwich(solution.influence, clusters, ssc=ssc, multiplicity=sample.multiplicity)
    null = "the unit means have zero coefficients"
    return wald(solution.theta, vcov, name="Mundlak (Hausman) test", null=null)
