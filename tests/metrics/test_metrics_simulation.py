"""The registry: names, columns, targets, worst cases, and the time that a million records take."""

import math
import time
from statistics import NormalDist

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.metrics import (
    MEASURES,
    coverage,
    interval_score,
    mean_of,
    measure_spec,
    paired_difference,
    rejection,
    share_of,
)
from causalkit.metrics.measure import KINDS

# Section 5 of the specification, row by row.
TABLE = {
    *("bias", "relative_bias", "standardised_bias", "median_bias", "empirical_se", "mse", "rmse"),
    *("mae", "model_se", "relative_se_error", "coverage", "bias_eliminated_coverage"),
    *("lower_miss", "upper_miss", "rejection", "mean_width", "median_width", "interval_score"),
    "failure_share",
    *(f"{how}_{what}" for how in ("mean", "median", "p95") for what in ("wall_s", "peak_rss_mb")),
}


def records(n: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of n records."""
    rng = np.random.default_rng(seed)
    error = rng.standard_normal(n)
    half = 0.9 + 0.2 * rng.random(n)
    positive = {k: rng.random(n) + 0.5 for k in ("wall_s", "cpu_s", "peak_rss_mb", "peak_gpu_mb")}
    return {
        "estimate": 1.0 + error,
        "truth": np.ones(n),
        "std_error": 0.9 + 0.2 * rng.random(n),
        "conf_low": 1.0 + error - half,
        "conf_high": 1.0 + error + half,
        "p_value": rng.random(n),
        "status": np.where(rng.random(n) < 0.1, "timeout", "ok"),
        **positive,
    }


def test_every_row_of_the_table_has_an_entry_that_knows_its_name():
    assert set(MEASURES) >= TABLE
    assert all(name == spec.name for name, spec in MEASURES.items())
    assert {spec.kind for spec in MEASURES.values()} <= set(KINDS)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_reads_the_columns_it_declares_and_no_other(name):
    spec = MEASURES[name]
    columns = records(60)
    only = {key: columns[key] for key in spec.needs}
    measure = spec.function(only, rng=np.random.default_rng(0))
    assert measure == spec.function(columns, rng=np.random.default_rng(0))
    assert math.isfinite(measure.value)
    assert measure.mcse > 0
    for key in spec.needs:
        rest = {k: v for k, v in only.items() if k != key}
        with pytest.raises(ArgumentError, match=f"{name} needs the columns .*absent: {key}"):
            spec.function(rest, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", [n for n, spec in MEASURES.items() if spec.term is not None])
def test_terms_are_what_the_measure_averages(name):
    spec, columns = MEASURES[name], records(60)
    measure = spec.function(columns, level=0.9)
    terms = spec.terms(columns, level=0.9)
    assert terms.shape == (60,)
    assert mean_of(terms).value == pytest.approx(measure.value, rel=1e-12)


def test_measures_that_are_no_mean_have_no_terms_and_say_which_do():
    with pytest.raises(ArgumentError, match=r"rmse is no mean over replications.*coverage.*mse"):
        MEASURES["rmse"].terms(records(5))


def test_paired_differences_come_from_the_terms_of_two_estimators():
    a, b = records(60, seed=1), records(60, seed=2)
    spec = MEASURES["coverage"]
    difference = paired_difference(spec.terms(a), spec.terms(b))
    assert difference.value == pytest.approx(spec.function(a).value - spec.function(b).value)


def test_the_level_reaches_tests_and_scores():
    c = records(200)
    at = {"level": 0.8}
    assert MEASURES["rejection"].function(c, **at) == rejection(c["p_value"], alpha=0.2)
    bounds = c["truth"], c["conf_low"], c["conf_high"]
    assert MEASURES["interval_score"].function(c, **at) == interval_score(*bounds, level=0.8)
    assert MEASURES["coverage"].function(c, **at) == coverage(*bounds)
    # 1 - 0.95 exceeds 0.05 by its last bit, which would reject here.
    assert MEASURES["rejection"].function({"p_value": np.array([0.05])}).value == 0.0


def test_failures_are_counted_from_every_status_but_ok():
    status = np.array(["ok", "error", "timeout", "ok", "oom", "ok", "not_converged", "ok"])
    measure = MEASURES["failure_share"].function({"status": status})
    assert measure == share_of(4, 8)
    assert MEASURES["failure_share"].rows == "all"


def test_targets_follow_the_level():
    at = {name: spec.target_at(0.9) for name, spec in MEASURES.items()}
    assert at["bias"] == 0.0
    assert at["coverage"] == at["bias_eliminated_coverage"] == 0.9
    assert at["lower_miss"] == at["upper_miss"] == pytest.approx(0.05)
    assert at["empirical_se"] is at["rejection"] is at["mean_wall_s"] is None
    assert MEASURES["rejection"].target_at(0.9, null_is_true=True) == pytest.approx(0.1)


def test_in_the_worst_case_failures_neither_cover_nor_reject():
    spec = MEASURES["coverage"]
    # 17 of 20 covered, and 5 failures more: 17 of 25.
    assert spec.worst_case(share_of(17, 20), n_ok=20, n_failed=5) == share_of(17, 25)
    assert MEASURES["rejection"].worst_case(share_of(3, 7), n_ok=7, n_failed=3) == share_of(3, 10)
    assert spec.worst_case(share_of(0, 0), n_ok=0, n_failed=4) == share_of(0, 4)
    assert spec.worst_case(share_of(0, 0), n_ok=0, n_failed=0) is None
    assert MEASURES["bias"].worst_case(mean_of([1.0]), n_ok=1, n_failed=1) is None


def test_a_bootstrap_without_a_generator_is_refused():
    with pytest.raises(ArgumentError, match=r"MCSE of median_bias is a bootstrap: pass rng="):
        MEASURES["median_bias"].function(records(5))


def test_an_unknown_measure_is_answered_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'coverage'"):
        measure_spec("covrage")
    assert measure_spec("mse") is MEASURES["mse"]


@pytest.mark.parametrize(("groups", "size"), [(1, 1_000_000), (1000, 1000)])
def test_a_million_records_take_less_than_five_seconds(groups, size):
    columns, rng = records(size), np.random.default_rng(0)
    started = time.process_time()
    for _ in range(groups):
        for spec in MEASURES.values():
            spec.function(columns, rng=rng)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("name", "q"), [("q25_estimate", 0.25), ("median_estimate", 0.5), ("q75_estimate", 0.75)]
)
def test_quartiles_are_of_the_estimates_whatever_the_truth_is(name, q):
    """Of 400 normal estimates, against numpy and the asymptotic √(q(1 − q)/R)/density."""
    estimate = 3.0 + np.random.default_rng(1).standard_normal(400)
    found = MEASURES[name].function({"estimate": estimate}, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(np.quantile(estimate, q), rel=1e-12)
    assert MEASURES["mean_estimate"].function({"estimate": estimate}).value == estimate.mean()
    law = NormalDist()
    expected = math.sqrt(q * (1 - q) / 400) / law.pdf(law.inv_cdf(q))
    assert found.mcse == pytest.approx(expected, rel=0.3)


def test_se_ratio_is_the_model_se_over_the_empirical_one():
    columns = records(300)
    found = MEASURES["se_ratio"].function(columns)
    error, se = columns["estimate"] - columns["truth"], columns["std_error"]
    assert found.value == pytest.approx(np.sqrt(np.mean(se**2)) / error.std(ddof=1), rel=1e-12)
    # Its errors by the jackknife, which knows nothing of the delta method.
    left = [
        np.sqrt(np.mean(np.delete(se, i) ** 2)) / np.delete(error, i).std(ddof=1)
        for i in range(300)
    ]
    assert found.mcse == pytest.approx(np.sqrt(299 * np.var(left)), rel=0.15)
    assert MEASURES["se_ratio"].target_at(0.95) == 1.0
