"""Every Monte-Carlo standard error against what it estimates: the spread over repeated studies.

A study of R replications is repeated S times. The standard deviation of a measure over studies
is the truth of its MCSE; the root mean square of reported MCSEs must agree with it within four
standard errors of both (false alarms below 1e-4 a test, seeds fixed).
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from causalkit.metrics import (
    MEASURES,
    Measure,
    bias,
    empirical_se,
    model_se,
    paired_difference,
    relative_precision,
    rmse,
    with_truth_error,
)

S, R = 3000, 400


def compare(measures: list[Measure]) -> tuple[float, float, float]:
    """Spread of the values, root mean square of their MCSEs, four standard errors of the gap."""
    values = np.array([m.value for m in measures])
    squares = np.array([m.mcse for m in measures]) ** 2
    deviations = (values - values.mean()) ** 2
    true, told = values.std(ddof=1), math.sqrt(squares.mean())
    of_true = deviations.std() / (2 * true * math.sqrt(values.size))
    of_told = squares.std() / (2 * told * math.sqrt(values.size))
    return float(true), told, 4 * math.hypot(float(of_true), float(of_told))


def agrees(measures: list[Measure]) -> bool:
    """Whether reported MCSEs are right within the band, and the band is narrow enough to tell."""
    true, told, band = compare(measures)
    assert band < 0.1 * true
    return abs(told - true) <= band


@pytest.fixture(scope="module")
def studies() -> dict[str, np.ndarray]:
    """Record columns of S studies: truths differ, standard errors vary and are too small."""
    rng = np.random.default_rng(20260102)
    truth = rng.uniform(1.0, 2.0, (S, R))
    error = 0.1 + 0.5 * rng.standard_normal((S, R))
    se = 0.4 * np.sqrt(rng.chisquare(20, (S, R)) / 20)
    estimate = truth + error
    return {
        "truth": truth,
        "estimate": estimate,
        "std_error": se,
        "conf_low": estimate - 1.96 * se,
        "conf_high": estimate + 1.96 * se,
        "p_value": rng.random((S, R)) ** 2,
        "status": np.where(rng.random((S, R)) < 0.1, "error", "ok"),
        "wall_s": rng.exponential(2.0, (S, R)),
    }


WITH_ERROR = [name for name in MEASURES if "_rss_" not in name and "_gpu_" not in name]
QUANTILES = [name for name in WITH_ERROR if "rng" in MEASURES[name].options and "cpu" not in name]


@pytest.mark.parametrize("name", [n for n in WITH_ERROR if "cpu" not in n and n not in QUANTILES])
def test_the_error_of_a_measure_is_its_spread_over_studies(name, studies):
    spec = MEASURES[name]
    columns = {key: studies[key] for key in spec.needs}
    found = [spec.function({k: v[s] for k, v in columns.items()}) for s in range(S)]
    assert agrees(found), compare(found)


@pytest.mark.parametrize("name", QUANTILES)
def test_the_bootstrap_error_of_a_quantile_is_its_spread_over_studies(name, studies):
    # The bootstrap of a quantile errs on the safe side, by a term that falls with √R: here a few
    # per cent. That the draws are those of the bootstrap is tested with the building blocks.
    spec, rng = MEASURES[name], np.random.default_rng(0)
    columns = {key: studies[key] for key in spec.needs}
    found = [spec.function({k: v[s] for k, v in columns.items()}, rng=rng) for s in range(S)]
    true, told, band = compare(found)
    assert true - band <= told <= true * 1.06 + band


def test_the_fourth_moment_error_of_the_empirical_se_holds_for_heavier_tails_than_normal():
    # Laplace: kurtosis 6, so the normal form is too small by √(5/2).
    errors = np.random.default_rng(1).laplace(size=(2000, 2000))
    assert agrees([empirical_se(row) for row in errors])
    true, told, band = compare([empirical_se(row, method="normal") for row in errors])
    assert told == pytest.approx(true / math.sqrt(2.5), rel=0.1)
    assert true - told > 5 * band


def test_with_t5_tails_the_robust_error_is_near_and_the_normal_one_is_half():
    # Published check of these formulas: true .083, normal .046, fourth moment .074.
    errors = np.random.default_rng(2).standard_t(5, size=(10_000, 400))
    true, robust, _ = compare([empirical_se(row) for row in errors])
    normal = np.mean([empirical_se(row, method="normal").mcse for row in errors])
    mean_robust = np.mean([empirical_se(row).mcse for row in errors])
    assert (round(float(normal), 3), round(float(mean_robust), 3)) == (0.046, 0.074)
    assert true == pytest.approx(0.083, abs=0.004)
    assert robust > 0.85 * true > 1.3 * normal


def test_the_error_of_the_model_se_needs_the_square_in_its_denominator():
    se = 0.25 * np.sqrt(np.random.default_rng(3).chisquare(10, (S, R)) / 10)
    found = [model_se(row) for row in se]
    true, _, band = compare(found)
    assert agrees(found)
    unsquared = [math.sqrt(np.var(row**2, ddof=1) / (4 * R * model_se(row).value)) for row in se]
    assert abs(np.mean(unsquared) - true) > 5 * band


def correlated(rho: float) -> tuple[np.ndarray, np.ndarray]:
    """Errors of two estimators that saw the same data."""
    rng = np.random.default_rng(4)
    a = rng.standard_normal((S, R))
    return 1.5 * a, rho * a + math.sqrt(1 - rho**2) * rng.standard_normal((S, R))


@pytest.mark.parametrize("rho", [0.0, 0.7, -0.5])
def test_the_error_of_relative_precision_knows_the_correlation(rho):
    found = [relative_precision(a, b) for a, b in zip(*correlated(rho), strict=True)]
    assert agrees(found), compare(found)


def test_the_error_of_a_paired_difference_is_smaller_than_of_two_measures_apart():
    pairs = list(zip(*correlated(0.7), strict=True))
    found = [paired_difference(a**2, b**2) for a, b in pairs]
    assert agrees(found)
    apart = [math.hypot(bias(a**2).mcse, bias(b**2).mcse) for a, b in pairs]
    assert compare(found)[0] < 0.95 * np.mean(apart)


def slope_of_rmse(errors: np.ndarray) -> float:
    """Derivative of the RMSE with respect to the truth, up to its sign."""
    return float(errors.mean()) / rmse(errors).value


@pytest.mark.parametrize(("measure", "slope"), [(bias, None), (rmse, slope_of_rmse)])
def test_a_truth_that_was_simulated_widens_the_error(
    measure: Callable[[np.ndarray], Measure], slope: Callable[[np.ndarray], float] | None
):
    rng = np.random.default_rng(5)
    errors = 1.0 + rng.standard_normal((S, R)) - 0.05 * rng.standard_normal((S, 1))
    slopes = [1.0 if slope is None else slope(e) for e in errors]
    found = [
        with_truth_error(measure(e), truth_mcse=0.05, slope=k)
        for e, k in zip(errors, slopes, strict=True)
    ]
    assert agrees(found), compare(found)
    assert not agrees([measure(e) for e in errors])
