"""Building blocks: hand arithmetic, statsmodels' Wilson interval, the exact bootstrap."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import betainc
from statsmodels.stats.proportion import proportion_confint

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.metrics import (
    Measure,
    mean_of,
    median_of,
    quantile_of,
    replications_for_mean,
    replications_for_share,
    rule_mcse,
    share_of,
    wilson,
    with_truth_error,
)


def generator() -> np.random.Generator:
    """The same stream in every test."""
    return np.random.default_rng(20260101)


def exact_bootstrap_sd(values: np.ndarray, rank: int) -> float:
    """Standard deviation of the rank-th smallest of a bootstrap sample (Maritz & Jarrett)."""
    n = values.size
    edges = betainc(rank, n - rank + 1, np.arange(n + 1) / n)
    weights, x = np.diff(edges), np.sort(values)
    return math.sqrt(weights @ x**2 - (weights @ x) ** 2)


def test_mean_of_four_numbers():
    # 1, 2, 3, 6: squares about the mean 3 are 4, 1, 0, 9; 14/3 is their variance.
    measure = mean_of([1.0, 2.0, 3.0, 6.0])
    assert measure.value == 3.0
    assert measure.mcse == pytest.approx(math.sqrt(14 / 3 / 4), rel=1e-14)
    assert measure.interval == pytest.approx((3 - 1.959964 * 1.0801234, 3 + 1.959964 * 1.0801234))


def test_share_of_nine_in_twelve():
    measure = share_of(9, 12)
    assert (measure.value, measure.mcse) == (0.75, pytest.approx(0.125, rel=1e-14))
    assert measure.interval == (measure.low, measure.high)


@pytest.mark.parametrize(("count", "n"), [(0, 50), (50, 50), (9, 12), (1, 2), (0, 1), (475, 500)])
def test_intervals_of_shares_are_those_of_statsmodels(count, n):
    expected = proportion_confint(count, n, method="wilson")
    measure = share_of(count, n)
    assert measure.interval == pytest.approx(expected, abs=1e-12)
    assert wilson(count / n, n, level=0.8) == pytest.approx(
        proportion_confint(count, n, alpha=0.2, method="wilson"), abs=1e-12
    )


def test_a_share_of_nought_or_one_has_no_binomial_error_but_a_wide_interval():
    never, always = share_of(0, 20), share_of(20, 20)
    # Wilson at p = 0 ends at z²/(n + z²).
    z2 = 1.959963984540054**2
    assert (never.mcse, never.low) == (0.0, 0.0)
    assert never.high == pytest.approx(z2 / (20 + z2), rel=1e-12)
    assert (always.mcse, always.high) == (0.0, 1.0)
    assert always.low == pytest.approx(20 / (20 + z2), rel=1e-12)


def test_intervals_of_sure_shares_end_exactly_there():
    assert {share_of(n, n).high for n in range(1, 300)} == {1.0}
    assert {share_of(0, n).low for n in range(1, 300)} == {0.0}


def test_the_stopping_rule_never_sees_a_share_as_certain():
    # (0 + 2)/(400 + 4) and its binomial error.
    p = 2 / 404
    seen = rule_mcse(share_of(0, 400), kind="share", n=400)
    assert seen == pytest.approx(math.sqrt(p * (1 - p) / 400), rel=1e-12)
    assert rule_mcse(share_of(400, 400), kind="share", n=400) == pytest.approx(seen, rel=1e-12)
    middle = (380 + 2) / 404
    assert rule_mcse(share_of(380, 400), kind="share", n=400) == pytest.approx(
        math.sqrt(middle * (1 - middle) / 400), rel=1e-12
    )


def test_the_stopping_rule_takes_other_errors_as_they_are_and_nan_as_never():
    assert rule_mcse(Measure(1.0, 0.2), kind="mean", n=40) == 0.2
    for kind in ("mean", "share", "sd"):
        assert rule_mcse(Measure(math.nan, math.nan), kind=kind, n=0) == math.inf
    assert rule_mcse(mean_of([5.0]), kind="mean", n=1) == math.inf
    with pytest.raises(ArgumentError, match="Did you mean 'share'"):
        rule_mcse(Measure(1.0, 0.2), kind="shares", n=40)


def test_replications_that_precision_needs():
    # Coverage .95 to half a point: .95 * .05 / .005².
    assert replications_for_share(0.005) == 1900
    assert replications_for_share(0.01, p=0.5) == 2500
    assert replications_for_mean(0.02, sd=0.5) == 625
    assert replications_for_mean(0.3, sd=1.0) == 12
    with pytest.raises(ArgumentError, match="must be positive"):
        replications_for_mean(0.0, sd=1.0)


@pytest.mark.parametrize(("n", "q", "rank"), [(201, 0.5, 101), (41, 0.95, 39), (101, 0.0, 1)])
def test_quantile_errors_are_those_of_the_bootstrap_without_its_noise(n, q, rank):
    values = np.random.default_rng(3).gamma(2.0, size=n)
    measure = quantile_of(values, q, rng=generator())
    assert measure.value == np.quantile(values, q)
    # The average of many runs of 400 draws each, against the infinite bootstrap.
    rng = generator()
    variance = np.mean([quantile_of(values, q, rng=rng).mcse ** 2 for _ in range(500)])
    assert math.sqrt(variance) == pytest.approx(exact_bootstrap_sd(values, rank), rel=0.02)


def test_the_error_of_an_interpolated_median_is_that_of_resampling():
    values = np.random.default_rng(4).normal(size=20)
    rng = generator()
    samples = rng.choice(values, size=(200_000, 20))
    variance = np.mean([median_of(values, rng=rng).mcse ** 2 for _ in range(500)])
    assert median_of(values, rng=rng).value == np.median(values)
    assert math.sqrt(variance) == pytest.approx(np.median(samples, axis=1).std(), rel=0.02)


def test_the_error_of_an_interpolated_percentile_is_that_of_resampling():
    values = np.random.default_rng(5).exponential(size=50)
    rng = generator()
    samples = rng.choice(values, size=(100_000, 50))
    variance = np.mean([quantile_of(values, 0.95, rng=rng).mcse ** 2 for _ in range(500)])
    expected = np.quantile(samples, 0.95, axis=1).std()
    assert math.sqrt(variance) == pytest.approx(expected, rel=0.03)


def test_medians_bear_infinite_values_and_means_say_so():
    values = [1.0, 2.0, 3.0, 4.0, math.inf]
    assert median_of(values, rng=generator()).value == 3.0
    assert mean_of(values).value == math.inf
    assert math.isnan(mean_of(values).mcse)
    assert mean_of([-math.inf, 1.0]).value == -math.inf
    assert math.isnan(mean_of([-math.inf, math.inf]).value)


def test_no_replication_gives_nan_and_one_gives_no_error():
    for measure in (mean_of([]), share_of(0, 0), median_of([], rng=generator())):
        assert math.isnan(measure.value)
        assert math.isnan(measure.mcse)
    for measure in (mean_of([2.0]), median_of([2.0], rng=generator())):
        assert measure.value == 2.0
        assert math.isnan(measure.mcse)


def test_a_simulated_truth_adds_its_error_in_quadrature():
    with_error = with_truth_error(Measure(0.5, 0.3), truth_mcse=0.2, slope=2.0)
    assert (with_error.value, with_error.mcse) == (0.5, pytest.approx(0.5))
    exact = share_of(9, 12)
    assert with_truth_error(exact, truth_mcse=0.0) is exact


def test_what_is_no_number_is_refused_by_name():
    with pytest.raises(ArgumentTypeError, match="values must hold numbers, and cannot be read"):
        mean_of(["a"])


def test_nan_is_refused_with_its_place():
    with pytest.raises(ArgumentError, match=r"values is nan in 2 of 4 replications .*position 1"):
        mean_of([0.0, math.nan, 1.0, math.nan])
    with pytest.raises(ArgumentError, match=r"shape \(R,\), got shape \(2, 2\)"):
        mean_of(np.ones((2, 2)))
    with pytest.raises(ArgumentError, match="between 0 and 3, got 4"):
        share_of(4, 3)
    with pytest.raises(ArgumentError, match=r"between 0 and 1, got 1\.5"):
        wilson(1.5, 10)
    with pytest.raises(ArgumentError, match="q must lie"):
        quantile_of([1.0], 95, rng=generator())


def test_the_package_loads_numpy_and_nothing_heavier():
    code = (
        "import sys, causalkit\n"
        "assert 'causalkit.metrics' not in sys.modules\n"
        "import causalkit.metrics\n"
        "print(sorted({'numpy', 'scipy', 'pandas', 'sklearn', 'xarray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['numpy']"
