"""Differences, pooled cells, uncertain truths, arrays and targets of a summary."""

import dataclasses
import math
import time

import numpy as np
import pandas as pd
import pytest
from handmade_results import failing, grid, pick, records_of, results_of
from scipy import stats

from causalkit.errors import ArgumentError
from causalkit.metrics import MEASURES, wilson
from causalkit.study.cube import to_xarray
from causalkit.study.summary import summarise, target_of

# ---- a simulated truth -------------------------------------------------------------------------

SLOPED = [
    *("bias", "relative_bias", "standardised_bias", "median_bias", "mse", "rmse", "mae"),
    *("interval_score", "empirical_se", "relative_se_error", "bias_eliminated_coverage"),
    *("model_se", "mean_width", "rejection"),
]


@pytest.mark.parametrize("name", SLOPED)
def test_the_error_of_the_truth_enters_by_the_slope_of_the_measure(name):
    # Oracle: how far the measure moves when the truth is moved, by finite difference.
    rng = np.random.default_rng(11)
    estimates, step = 2.0 + rng.normal(0.3, 1, 400), 1e-6
    results = [
        results_of(records_of("c", "a", estimates, truth=t)) for t in (2 - step, 2, 2 + step)
    ]
    low, exact, high = (summarise(r, measures=[name]).iloc[0] for r in results)
    uncertain = results[1].records.assign(truth_mcse=0.05)
    found = summarise(dataclasses.replace(results[1], records=uncertain), measures=[name]).iloc[0]
    slope = (high["value"] - low["value"]) / (2 * step)
    assert found["value"] == exact["value"]
    assert found["mcse"] == pytest.approx(math.hypot(exact["mcse"], slope * 0.05), rel=1e-3)


def test_coverage_near_a_truth_that_is_uncertain_is_less_certain():
    # The share of lower bounds below t, as a function of t, has the density of the bounds as slope.
    normal = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    records = records_of("c", "a", normal, truth=0.0)
    results = results_of(records.assign(truth_mcse=0.1))
    row = summarise(results, measures=["lower_miss"]).iloc[0]
    density = math.exp(-2.0) / math.sqrt(2 * math.pi)
    own = math.sqrt(row["value"] * (1 - row["value"]) / 20_000)
    assert row["mcse"] == pytest.approx(math.hypot(own, 0.1 * density), rel=0.01)


def test_the_error_of_the_truth_touches_only_the_share_of_a_worst_case_that_succeeded():
    status = np.where(np.arange(40_000) % 2 == 0, "ok", "error")
    normal = stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    records = records_of("c", "a", normal + 0.5, truth=0.0, status=status)
    worst = summarise(
        results_of(records.assign(truth_mcse=0.1)), measures=["coverage"], analysis="worst"
    ).iloc[0]
    # d/dt P(|N(0.5, 1) − t| ≤ 2) at t = 0 is φ(1.5) − φ(2.5); half of the replications have it.
    slope = (math.exp(-(1.5**2) / 2) - math.exp(-(2.5**2) / 2)) / math.sqrt(2 * math.pi) / 2
    own = worst["value"] * (1 - worst["value"]) / 40_000
    assert worst["mcse"] == pytest.approx(math.sqrt(own + (0.1 * slope) ** 2), rel=0.01)


def test_the_error_of_the_truth_cancels_in_a_difference_of_biases_only():
    rng = np.random.default_rng(9)
    a, b = 1 + rng.normal(0, 1, 50), 1.5 + rng.normal(0, 1, 50)
    exact = results_of(records_of("c", "a", a), records_of("c", "b", b))
    unsure = dataclasses.replace(exact, records=exact.records.assign(truth_mcse=0.2))
    rows = [summarise(r, measures=["bias", "mse"], reference="A") for r in (exact, unsure)]
    before, after = (pick(r, estimator="B", measure="bias") for r in rows)
    assert after["difference_mcse"] == before["difference_mcse"]
    assert after["mcse"] > before["mcse"]
    before, after = (pick(r, estimator="B", measure="mse") for r in rows)
    gap = 2 * (b.mean() - a.mean())  # derivative of the difference of two MSEs in the truth
    expected = math.hypot(before["difference_mcse"], gap * 0.2)
    assert after["difference_mcse"] == pytest.approx(expected)


def test_in_the_worst_case_the_truth_weighs_less_on_an_estimator_that_fails():
    # Of equal estimates one half is lost, and with it half of the slope: it no longer cancels.
    normal = stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000) + 0.5
    status = np.where(np.arange(40_000) % 2 == 0, "ok", "error")
    parts = [
        records_of("c", e, normal, truth=0.0, status=x) for e, x in (("a", "ok"), ("b", status))
    ]
    options = {"measures": ["coverage"], "analysis": "worst", "reference": "A"}
    exact, unsure = (
        pick(
            summarise(results_of(*(p.assign(truth_mcse=m) for p in parts)), **options),
            estimator="B",
        )
        for m in (0.0, 0.1)
    )
    slope = (stats.norm.pdf(1.5) - stats.norm.pdf(2.5)) / 2
    expected = math.hypot(exact["difference_mcse"], 0.1 * slope)
    assert unsure["difference_mcse"] == pytest.approx(expected, rel=0.01)


# ---- differences -------------------------------------------------------------------------------


def test_differences_are_paired_over_the_replications_that_both_have():
    results = failing()
    summary = summarise(results, measures=["mae", "coverage", "median_bias"], reference="A")
    wide = results.records.pivot(index="rep", columns="est_id", values="estimate").dropna() - 1.0
    gap = wide["b"].abs() - wide["a"].abs()
    row = pick(summary, estimator="B", measure="mae")
    assert row["difference"] == pytest.approx(gap.mean(), rel=1e-12)
    assert row["difference_mcse"] == pytest.approx(gap.std() / math.sqrt(30), rel=1e-12)
    covered = (wide.abs() <= 2).astype(float)
    row = pick(summary, estimator="B", measure="coverage")
    assert row["difference"] == pytest.approx((covered["b"] - covered["a"]).mean())
    assert math.isnan(pick(summary, estimator="B", measure="median_bias")["difference"])
    assert summary.query("estimator == 'A'")["difference"].isna().all()


def test_relative_precision_is_a_measure_once_there_is_a_reference():
    results = failing()
    for analysis in ("complete", "worst"):
        summary = summarise(results, reference="A", analysis=analysis)
        row = pick(summary, estimator="B", measure="relative_precision")
        wide = results.records.pivot(index="rep", columns="est_id", values="estimate").dropna()
        ratio = wide["a"].var() / wide["b"].var()
        z = (wide - wide.mean()) / wide.std()
        gap = z["a"] ** 2 - z["b"] ** 2
        assert row["value"] == pytest.approx(100 * (ratio - 1), rel=1e-10)
        assert row["mcse"] == pytest.approx(100 * ratio * gap.std() / math.sqrt(30), rel=1e-10)
        assert row["n_ok"] == 30
        assert "A" not in set(summary.query("measure == 'relative_precision'")["estimator"])
    assert "relative_precision" not in set(summarise(results)["measure"])
    with pytest.raises(ArgumentError, match=r"relative_precision .* it with --reference \("):
        summarise(results, measures=["relative_precision"])


def test_in_the_worst_case_failures_enter_the_difference_of_coverages():
    results = failing()
    options = {"measures": ["coverage", "bias_eliminated_coverage"], "analysis": "worst"}
    summary = summarise(results, reference="A", **options)
    a, b = (results.records.query(f"est_id == '{e}'").reset_index() for e in "ab")
    covered = [((x["estimate"] - 1).abs() <= 2).astype(float) for x in (b, a)]  # NaN covers not
    row = pick(summary, estimator="B", measure="coverage")
    assert row["difference"] == pytest.approx((covered[0] - covered[1]).mean())
    values = [pick(summary, estimator=e, measure="bias_eliminated_coverage")["value"] for e in "BA"]
    row = pick(summary, estimator="B", measure="bias_eliminated_coverage")
    assert row["difference"] == pytest.approx(values[0] - values[1])


def test_a_difference_where_the_measure_has_no_value_is_empty():
    parts = [
        records_of(c, e, np.arange(40.0), truth=t)
        for c, t in (("c", 0.0), ("d", 2.0))
        for e in "ab"
    ]
    summary = summarise(results_of(*parts), measures=["relative_bias"], reference="A")
    assert math.isnan(pick(summary, cell_id="c", estimator="B")["difference"])
    assert pick(summary, cell_id="d", estimator="B")["difference"] == 0.0


# ---- pooled cells ------------------------------------------------------------------------------


def test_rows_of_cells_that_share_parameters_are_averaged():
    results = grid()
    single = summarise(results, measures=["bias", "coverage"], reference="B")
    summary = summarise(results, measures=["bias", "coverage"], reference="B", by=["n"])
    assert list(summary.columns[:4]) == ["generator", "n", "estimator", "estimand"]
    for name in ("bias", "coverage"):
        for value, error in (("value", "mcse"), ("difference", "difference_mcse")):
            rows = [pick(single, cell_id=c, estimator="A", measure=name) for c in ("c1", "c2")]
            row = pick(summary, n=10, estimator="A", measure=name)
            assert row[value] == pytest.approx((rows[0][value] + rows[1][value]) / 2)
            expected = math.hypot(rows[0][error], rows[1][error]) / 2
            assert row[error] == pytest.approx(expected)
    row = pick(summary, n=10, estimator="A", measure="coverage")
    assert (row["n_cells"], row["n_planned"], row["n_ok"], row["cell_id"]) == (2, 120, 80, "")
    assert row["rule"] == "budget, max"
    # Forty replications enter of each cell, so that the share is one of eighty.
    assert (row["lo"], row["hi"]) == pytest.approx(wilson(row["value"], 80))
    biased = pick(summary, n=10, estimator="A", measure="bias")
    assert biased["hi"] == pytest.approx(biased["value"] + 1.959964 * biased["mcse"], rel=1e-6)
    alone = pick(summary, n=20, estimator="A", measure="coverage")
    before = pick(single, cell_id="c3", estimator="A", measure="coverage")
    shared = [name for name in single.columns if name != "rho"]
    pd.testing.assert_series_equal(alone[shared], before[shared], check_names=False)


@pytest.mark.parametrize("covers", [0.0, 1.0])
def test_intervals_of_pooled_shares_stay_inside_zero_and_one_and_are_never_points(covers):
    parts = [
        records_of(f"c{size}", "a", np.full(size, 10.0 * (1.0 - covers)), truth=0.0)
        for size in (50, 100)
    ]
    row = summarise(results_of(*parts), measures=["coverage"], by=[]).iloc[0]
    assert row["value"] == covers
    assert 0.0 <= row["lo"] < row["hi"] <= 1.0
    # Of a common p the mean of two shares varies as one share of 4/(1/50 + 1/100) replications.
    n, z2 = 4 / (1 / 50 + 1 / 100), stats.norm.ppf(0.975) ** 2
    assert row["hi"] - row["lo"] == pytest.approx(z2 / (n + z2))


def test_pooled_shares_near_one_and_with_an_uncertain_truth_keep_inside():
    shifts = np.array([1.5] * 49 + [10.0])
    parts = [
        records_of(c, "a", shifts, truth=0.0).assign(truth_mcse=error)
        for c, error in (("c1", 0.0), ("c2", 1.0))
    ]
    exact = summarise(results_of(parts[0], parts[0].assign(cell_id="c2")), by=[])
    unsure = summarise(results_of(*parts), by=[])
    rows = [pick(table, measure="coverage") for table in (exact, unsure)]
    assert (rows[0]["lo"], rows[0]["hi"]) == pytest.approx(wilson(0.98, 100))
    assert all(0.0 <= row["lo"] < row["hi"] <= 1.0 for row in rows)
    assert rows[1]["mcse"] > rows[0]["mcse"]
    assert rows[1]["hi"] - rows[1]["lo"] > rows[0]["hi"] - rows[0]["lo"]


def test_pooling_over_everything_and_over_other_generators():
    results = grid()
    assert list(summarise(results, measures=["bias"], by=[])["n_cells"]) == [3, 3]
    cells = results.cells.assign(generator=["g", "h", "h"])
    two = summarise(dataclasses.replace(results, cells=cells), measures=["bias"], by=[])
    assert list(two["n_cells"]) == [1, 1, 2, 2]


def test_a_cell_without_a_value_leaves_none_to_the_mean():
    results = grid()
    records = results.records.copy()
    records.loc[records["cell_id"] == "c2", "truth"] = np.nan
    failed = (records["cell_id"] == "c1") & (records["est_id"] == "b") & (records["rep"] == 0)
    records.loc[failed, "status"] = "error"
    changed = dataclasses.replace(results, records=records)
    summary = summarise(changed, measures=["bias", "mean_width"], by=["n"])
    assert pick(summary, n=10, estimator="B", measure="mean_width")["flag"] == "failures"
    assert pick(summary, n=10, estimator="A", measure="mean_width")["flag"] == ""
    row = pick(summary, n=10, estimator="A", measure="bias")
    assert row["flag"] == "no value in 1 of 2 cells: no truth"
    assert math.isnan(row["value"])
    assert math.isnan(row["truth"])


# ---- arrays, targets, speed --------------------------------------------------------------------


def test_xarray_holds_every_row_and_leaves_excluded_cells_empty():
    results = grid()
    summary = summarise(results, measures=["mse", "bias"])
    cube = to_xarray(summary)
    assert dict(cube.sizes) == {"n": 2, "rho": 2, "estimator": 2, "estimand": 1, "measure": 2}
    for row in summary.itertuples():
        at = {"n": row.n, "rho": row.rho, "estimator": row.estimator, "measure": row.measure}
        found = cube.sel(at, drop=True).squeeze()
        assert (float(found["value"]), float(found["mcse"])) == (row.value, row.mcse)
        assert int(found["n_ok"]) == row.n_ok
    assert cube.sel(n=20, rho=0.0)["value"].isnull().all()
    assert (cube.sel(n=20, rho=0.0)["n_ok"] == 0).all()
    assert list(cube["measure"].values) == ["mse", "bias"]


def test_xarray_of_several_generators_has_them_as_a_dimension():
    results = grid()
    cells = results.cells.assign(generator=["g", "g", "h"], rho=[0.0, 0.5, np.nan])
    summary = summarise(dataclasses.replace(results, cells=cells), measures=["bias"])
    cube = to_xarray(summary)
    assert list(cube.dims) == ["generator", "n", "rho", "estimator", "estimand", "measure"]
    assert cube["value"].notnull().sum() == 6


@pytest.mark.parametrize(
    ("name", "truth", "target"),
    [
        ("bias", 3.0, 0.0),
        ("coverage", 3.0, 0.9),
        ("lower_miss", 3.0, 0.05),
        ("rejection", 0.5, 0.1),
        ("rejection", 0.1, None),
        ("rejection", math.nan, None),
        ("empirical_se", 3.0, None),
        ("pehe", 3.0, None),
    ],
)
def test_targets(name, truth, target):
    assert target_of(name, level=0.9, null=0.5, truth=truth) == target


def test_the_test_is_of_the_size_that_belongs_to_the_level():
    records = records_of("c", "a", np.zeros(40)).assign(p_value=np.linspace(0, 0.195, 40))
    wide = summarise(results_of(records, level=0.9), measures=["rejection"]).iloc[0]
    assert wide["value"] == pytest.approx((records["p_value"] < 0.1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "reps"), [(100, 5000), (5000, 100)])
def test_a_million_records_take_less_than_five_seconds(cells, reps):
    rng = np.random.default_rng(0)
    n = cells * 2 * reps
    ids = np.array([f"{i:016x}" for i in range(cells)], dtype=object)
    frame = pd.DataFrame(
        {
            "cell_id": np.repeat(ids, 2 * reps),
            "est_id": np.tile(np.repeat(np.array(["a", "b"], dtype=object), reps), cells),
            "estimand": "ate",
            "rep": np.tile(np.arange(reps), 2 * cells),
            "estimate": rng.normal(1, 1, n),
        }
    )
    frame = frame.assign(std_error=rng.uniform(0.9, 1.1, n), truth=1.0, status="ok", truth_mcse=0.0)
    frame["conf_low"] = frame["estimate"] - 2 * frame["std_error"]
    frame["conf_high"] = frame["estimate"] + 2 * frame["std_error"]
    for name in ("p_value", "wall_s", "cpu_s", "peak_rss_mb", "peak_gpu_mb"):
        frame[name] = rng.random(n)
    results = results_of(frame.sample(frac=1, random_state=1))
    start = time.process_time()
    assert len(summarise(results)) == cells * 2 * len(MEASURES)
    assert time.process_time() - start < 5.0
