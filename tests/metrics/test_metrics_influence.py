"""Monte-Carlo errors of measures that are no means: against the jackknife and repeated studies."""

import math

import numpy as np
import pytest

from causalkit.metrics import (
    MEASURES,
    empirical_se,
    model_se,
    relative_precision,
    relative_se_error,
    rmse,
    standardised_bias,
)
from causalkit.metrics import influence as psi

DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t(5)": lambda rng, shape: rng.standard_t(5, shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 0.5,
}


def columns_of(law, size, seed=1):
    """Errors, another estimator's errors, and standard errors that go with the first."""
    rng = np.random.default_rng(seed)
    draw = DRAWS[law]
    a = draw(rng, size)
    b = 0.5 * a + draw(rng, size) + 0.2
    se = np.sqrt(1.0 + 0.3 * a**2)
    return {"a": a, "b": b, "s": se}


def jackknife(statistic, *columns):
    """Jackknife standard error of a statistic of paired columns."""
    n = columns[0].size
    left = [statistic(*(np.delete(x, i) for x in columns)) for i in range(n)]
    return math.sqrt((n - 1) * np.var(left))


# Measure, its influence values, and the columns that both take: errors of a and b, and se.
MEASURED = {
    "standardised_bias": (standardised_bias, psi.of_standardised_bias, "a"),
    "relative_se_error": (relative_se_error, psi.of_percent, "as"),
    "se_ratio": (MEASURES["se_ratio"].measure, psi.of_se_ratio, "as"),
    "relative_precision": (relative_precision, psi.of_variance_ratio, "ab"),
    "empirical_se": (empirical_se, psi.of_spread, "a"),
    "rmse": (rmse, psi.of_root, "a"),
    "model_se": (model_se, psi.of_root, "s"),
}


@pytest.mark.parametrize("law", list(DRAWS))
@pytest.mark.parametrize("name", list(MEASURED))
def test_errors_are_those_of_the_jackknife_for_any_errors(name, law):
    measure, values_of, takes = MEASURED[name]
    known = columns_of(law, 1000)
    columns = [known[key] for key in takes]
    expected = jackknife(lambda *x: measure(*x).value, *columns)
    # Leaving out a replication moves moments by up to max z²/R, and what is second order in that
    # is in the jackknife alone: 1 % for normal errors, 5 % for the longest tail here.
    band = max(np.max((x - x.mean()) ** 2) / x.var() for x in columns) / 1000
    assert measure(*columns).mcse == pytest.approx(expected, rel=band)
    values = values_of(*columns)
    assert values.mean() == pytest.approx(0.0, abs=0.01 * values.std())
    assert values.std() / math.sqrt(1000) == pytest.approx(expected, rel=band)


@pytest.mark.parametrize("law", ["normal", "exponential"])
@pytest.mark.parametrize("name", list(MEASURED))
def test_errors_are_the_spread_over_repeated_studies(name, law):
    measure, _, takes = MEASURED[name]
    known = columns_of(law, (600, 1000), seed=2)
    found = [measure(*rows) for rows in zip(*(known[key] for key in takes), strict=True)]
    true = np.std([one.value for one in found])
    told = math.sqrt(np.mean([one.mcse**2 for one in found]))
    # The spread over 600 studies errs by 3 %; four such errors.
    assert told == pytest.approx(true, rel=0.12)


def test_the_published_formulas_are_the_case_of_normal_errors():
    known = columns_of("normal", 200_000)
    a, b = known["a"], known["b"]
    n, flat = a.size, np.ones(a.size)
    ratio = 1.0 / a.std()
    assert relative_se_error(a, flat).mcse == pytest.approx(
        100 * ratio / math.sqrt(2 * n), rel=0.02
    )
    shifted = a + 2.0
    assert standardised_bias(shifted).mcse == pytest.approx(math.sqrt((1 + 2.0) / n), rel=0.02)
    rho, r = np.corrcoef(a, b)[0, 1], a.var() / b.var()
    expected = 200 * r * math.sqrt((1 - rho**2) / n)
    assert relative_precision(a, b).mcse == pytest.approx(expected, rel=0.02)


def test_two_replications_tell_no_spread_of_the_spread():
    assert np.isnan(psi.of_spread([1.0, 2.0])).all()
    assert np.isnan(psi.of_se_ratio([1.0, 2.0], [1.0, 1.0])).all()
    assert psi.of_spread([0.1] * 12).tolist() == [0.0] * 12
    assert psi.of_root([0.0, 0.0]).tolist() == [0.0, 0.0]
