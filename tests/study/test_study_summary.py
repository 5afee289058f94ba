"""Summaries against one-line recomputations with pandas, the measures themselves and hand sums."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from handmade_results import drawn, failing, pick, records_of, results_of

from causalkit.errors import ArgumentError
from causalkit.metrics import MEASURES, wilson
from causalkit.rng import stream
from causalkit.study.summary import summarise


def test_values_and_mcses_match_pandas_one_liners():
    results = drawn()
    ok = results.records[results.records["status"] == "ok"].copy()
    ok["e"] = ok["estimate"] - ok["truth"]
    ok["in"] = (ok["conf_low"] <= ok["truth"]) & (ok["truth"] <= ok["conf_high"])
    ok["no"] = ok["p_value"] < 0.05
    ok["v"] = ok["std_error"] ** 2
    ok["w"] = ok["conf_high"] - ok["conf_low"]
    ok["e2"], ok["ae"], ok["re"] = ok["e"] ** 2, ok["e"].abs(), ok["e"] / ok["truth"]
    by = ok.groupby(["cell_id", "est_id", "estimand"])
    root_n = np.sqrt(by.size())
    share = {k: by[k].mean() for k in ("in", "no")}
    oracle = {
        "bias": (by["e"].mean(), by["e"].std() / root_n),
        "relative_bias": (by["re"].mean(), by["re"].std() / root_n),
        "mse": (by["e2"].mean(), by["e2"].std() / root_n),
        "rmse": (by["e2"].mean() ** 0.5, by["e2"].std() / root_n / 2 / by["e2"].mean() ** 0.5),
        "mae": (by["ae"].mean(), by["ae"].std() / root_n),
        "model_se": (by["v"].mean() ** 0.5, by["v"].std() / root_n / 2 / by["v"].mean() ** 0.5),
        "mean_width": (by["w"].mean(), by["w"].std() / root_n),
        "coverage": (share["in"], (share["in"] * (1 - share["in"])) ** 0.5 / root_n),
        "rejection": (share["no"], (share["no"] * (1 - share["no"])) ** 0.5 / root_n),
        "mean_wall_s": (by["wall_s"].mean(), by["wall_s"].std() / root_n),
    }
    summary = summarise(results, measures=list(oracle))
    for name, (value, mcse) in oracle.items():
        ours = summary[summary["measure"] == name].set_index(["cell_id", "est_id", "estimand"])
        assert len(ours) == 8
        np.testing.assert_allclose(ours["value"], value.reindex(ours.index), rtol=1e-12)
        np.testing.assert_allclose(ours["mcse"], mcse.reindex(ours.index), rtol=1e-12)
        np.testing.assert_array_equal(ours["n_ok"], by.size().reindex(ours.index))


@pytest.mark.parametrize("fail", [0.0, 0.15])  # groups of one size, and of many
@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure_is_what_its_own_function_says_of_the_group(name, fail):
    results = drawn(reps=40, fail=fail)
    spec = MEASURES[name]
    summary = summarise(results, measures=[name])
    for row in summary.itertuples():
        frame = results.records
        frame = frame[
            (frame["cell_id"] == row.cell_id)
            & (frame["est_id"] == row.est_id)
            & (frame["estimand"] == row.estimand)
        ]
        if spec.rows == "ok":
            frame = frame[frame["status"] == "ok"]
        columns = {c: frame[c].to_numpy() for c in spec.needs}
        if name.endswith("gpu_mb"):
            assert row.flag.endswith("no peak_gpu_mb")
            assert math.isnan(row.value)
            continue
        rng = stream(results.seed, "summary", name)
        found = spec.function(columns, level=0.95, null=0.0, rng=rng)
        assert (row.value, row.mcse) == pytest.approx((found.value, found.mcse), rel=1e-13)
        assert (row.lo, row.hi) == pytest.approx(found.interval, rel=1e-12, abs=1e-14)


def test_hand_sums():
    results = results_of(records_of("c", "a", [0.0, 1.0, 3.0, 4.0]))
    summary = summarise(results, measures=["coverage", "bias", "mse"])
    assert list(summary["measure"]) == ["coverage", "bias", "mse"]
    bias = pick(summary, measure="bias")  # errors −1, 0, 2, 3
    assert (bias["value"], bias["mcse"]) == pytest.approx((1.0, math.sqrt(10 / 3 / 4)))
    assert bias["hi"] == pytest.approx(1.0 + 1.959964 * math.sqrt(10 / 12), rel=1e-6)
    cover = pick(summary, measure="coverage")  # |error| ≤ 2 in three of four
    assert (cover["value"], cover["lo"], cover["hi"]) == pytest.approx((0.75, *wilson(0.75, 4)))
    assert pick(summary, measure="mse")["value"] == pytest.approx(14 / 4)
    assert set(summary["flag"]) == {"insufficient"}
    assert set(summary["truth"]) == {1.0}


def test_columns_and_order_are_those_of_the_study():
    cells = pd.DataFrame(
        {
            "cell_id": ["z", "y"],
            "generator": "g",
            "version": 1,
            "n": [5, 3],
            "fixed": 2,
            "grid": [[1, 2], [1]],
        }
    )
    parts = [records_of(c, e, np.arange(40.0)) for c in ("y", "z") for e in ("b", "a")]
    results = results_of(*parts, cells=cells)
    summary = summarise(results, measures=["mse", "bias"])
    assert list(summary.columns) == [
        *("generator", "n", "grid", "estimator", "estimand", "measure", "value", "mcse", "lo"),
        *("hi", "n_planned", "n_ok", "n_failed", "rule", "flag", "cell_id", "est_id", "truth"),
    ]
    assert list(summary["cell_id"]) == ["z"] * 4 + ["y"] * 4
    assert list(summary["estimator"]) == ["A", "A", "B", "B"] * 2
    assert list(summary["measure"]) == ["mse", "bias"] * 4
    assert list(summary["grid"].unique()) == ["[1,2]", "[1]"]
    turned = results.estimators.iloc[::-1]
    summary_turned = summarise(dataclasses.replace(results, estimators=turned), measures=["bias"])
    assert list(summary_turned["estimator"]) == ["B", "A"] * 2
    shuffled = dataclasses.replace(results, records=results.records.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(summarise(shuffled, measures=["mse", "bias"]), summary)


def test_a_parameter_that_has_the_name_of_a_column_gets_another():
    cells = pd.DataFrame({"cell_id": ["c", "d"], "generator": "g", "version": 1, "value": [8, 9]})
    results = results_of(records_of("c", "a", [1, 2]), records_of("d", "a", [1, 2]), cells=cells)
    summary = summarise(results, measures=["bias"], by=["value"])
    assert list(summary["param_value"]) == [8, 9]
    assert list(summary["value"]) == [0.5, 0.5]


def test_bootstrap_does_not_depend_on_what_else_is_asked_for_or_run():
    results = drawn()
    whole = summarise(results)
    some = summarise(results, measures=["p95_wall_s", "median_bias"])
    fewer = dataclasses.replace(results, records=results.records.query("est_id == 'b'"))
    key = ["cell_id", "est_id", "estimand", "measure"]
    for part in (some, summarise(fewer, measures=["median_bias"])):
        both = part.merge(whole, on=key, suffixes=("", "_whole"))
        assert len(both) == len(part) > 0
        np.testing.assert_array_equal(both["mcse"], both["mcse_whole"])


def test_a_varying_truth_is_held_against_its_own_replication():
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    results = results_of(records_of("c", "a", truth + 0.5, truth=truth))
    summary = summarise(results, measures=["bias", "empirical_se", "coverage"])
    assert list(summary["value"]) == pytest.approx([0.5, 0.0, 1.0])
    assert summary["truth"].isna().all()


def test_what_has_no_value_says_why():
    nothing = records_of("c", "a", np.ones(40), truth=np.nan)
    zero = records_of("d", "a", np.arange(40.0), truth=0.0)
    torn = records_of("e", "a", np.arange(40.0))
    torn.loc[3, "std_error"] = np.nan
    names = ["bias", "relative_bias", "model_se", "mean_width"]
    summary = summarise(results_of(nothing, zero, torn), measures=names)
    assert pick(summary, cell_id="c", measure="bias")["flag"] == "no truth"
    row = pick(summary, cell_id="d", measure="relative_bias")
    assert row["flag"].startswith("truth is 0 in 40 of 40 replications")
    assert math.isnan(row["value"])
    row = pick(summary, cell_id="e", measure="model_se")
    assert row["flag"].startswith("std_error is nan in 1 of 40 replications")
    assert pick(summary, cell_id="e", measure="relative_bias")["value"] == 18.5
    assert pick(summary, cell_id="c", measure="mean_width")["flag"] == ""
    assert summary["value"].isna().sum() == 4


def test_measures_in_units_of_a_spread_say_when_there_is_none():
    names = ["standardised_bias", "relative_se_error", "se_ratio", "empirical_se", "rmse"]
    same = records_of("c", "a", np.ones(40))
    once = records_of("d", "a", np.ones(1))
    summary = summarise(results_of(same, once), measures=names)
    told = summary.set_index(["cell_id", "measure"])["flag"].str.contains("no spread over the rep")
    assert told["c"].to_list() == [True, True, True, False, False]
    assert told["d"].to_list() == [True, True, True, True, False]


def test_an_unbounded_interval_gives_an_infinite_mean_width_and_no_crash():
    results = results_of(records_of("c", "a", np.arange(40.0)), records_of("d", "a", np.ones(40)))
    results.records.loc[5, "conf_high"] = np.inf
    summary = summarise(results, measures=["mean_width", "median_width", "coverage"])
    assert pick(summary, cell_id="c", measure="mean_width")["value"] == math.inf
    assert pick(summary, cell_id="c", measure="median_width")["value"] == 4.0
    assert pick(summary, cell_id="d", measure="mean_width")["value"] == 4.0


# ---- failures ----------------------------------------------------------------------------------


def test_complete_cases_are_counted_and_flagged():
    results = failing()
    summary = summarise(results, measures=["bias", "failure_share"])
    row = pick(summary, estimator="B", measure="bias")
    assert (row["n_planned"], row["n_ok"], row["n_failed"], row["flag"]) == (40, 30, 10, "failures")
    share = pick(summary, estimator="B", measure="failure_share")
    assert (share["value"], share["flag"]) == (0.25, "")
    assert share["mcse"] == pytest.approx(math.sqrt(0.25 * 0.75 / 40))
    assert pick(summary, estimator="A", measure="bias")["flag"] == ""
    few = dataclasses.replace(results, records=results.records.query("rep < 35"))
    summary = summarise(few, measures=["bias", "failure_share"])
    row = pick(summary, estimator="B", measure="bias")
    assert (row["n_ok"], row["flag"]) == (25, "insufficient; failures")
    assert pick(summary, estimator="B", measure="failure_share")["flag"] == ""


def test_pairwise_takes_the_replications_of_all_estimators():
    results = failing()
    row = pick(summarise(results, measures=["bias"], analysis="pairwise"), estimator="A")
    frame = results.records.query("est_id == 'a' and rep >= 10")
    assert row["value"] == pytest.approx(frame["estimate"].mean() - 1.0, rel=1e-12)
    assert (row["n_ok"], row["n_failed"], row["flag"]) == (30, 0, "failures")


def test_worst_case_counts_failures_where_that_has_a_meaning():
    results = failing()
    names = ["coverage", "rejection", "bias"]
    complete = summarise(results, measures=names)
    worst = summarise(results, measures=names, analysis="worst")
    for name in ("coverage", "rejection"):
        old = pick(complete, estimator="B", measure=name)["value"]
        row = pick(worst, estimator="B", measure=name)
        assert row["value"] == pytest.approx(old * 30 / 40)
        assert (row["lo"], row["hi"]) == pytest.approx(wilson(old * 30 / 40, 40))
        assert row["flag"] == ""
    bias = pick(worst, estimator="B", measure="bias")
    assert bias["value"] == pick(complete, estimator="B", measure="bias")["value"]
    assert bias["flag"] == "failures; complete-case"
    assert pick(worst, estimator="A", measure="bias")["flag"] == ""


def test_an_estimator_that_always_fails_is_there_with_its_count():
    lost = records_of("c", "b", np.zeros(50), status="oom", estimand="")
    results = results_of(records_of("c", "a", np.arange(50.0)), lost)
    summary = summarise(results, measures=["bias", "failure_share"])
    row = pick(summary, estimator="B", measure="bias")
    assert (row["estimand"], row["n_ok"], row["n_failed"]) == ("ate", 0, 50)
    assert math.isnan(row["value"])
    assert pick(summary, estimator="B", measure="failure_share")["value"] == 1.0
    worst = summarise(results, measures=["bias", "coverage"], analysis="worst")
    assert pick(worst, estimator="B", measure="coverage")["value"] == 0.0


def test_failures_count_where_the_truth_has_other_estimands_than_the_estimator():
    good = records_of("c", "a", np.arange(28.0), estimand="late")
    lost = [
        records_of("c", "a", np.zeros(12), status="error", estimand=name).assign(
            rep=np.arange(28, 40)
        )
        for name in ("ate", "att")
    ]
    summary = summarise(results_of(good, *lost), measures=["failure_share"])
    row = pick(summary, estimator="A", measure="failure_share")
    assert (row["estimand"], row["n_ok"], row["n_failed"]) == ("late", 28, 12)
    assert row["value"] == pytest.approx(12 / 40)
    assert set(summary["estimand"]) == {"late"}


def test_failures_without_an_estimand_count_for_all_that_the_estimator_reports():
    good = [
        records_of("c", "a", np.arange(36.0), estimand=name).assign(rep=range(4, 40))
        for name in ("ate", "att")
    ]
    lost = records_of("c", "a", np.zeros(4), status="error", estimand="")
    summary = summarise(results_of(*good, lost), measures=["failure_share"])
    assert list(summary["estimand"]) == ["ate", "att"]
    assert list(summary["n_failed"]) == [4, 4]
    assert list(summary["value"]) == [0.1, 0.1]


def test_an_estimand_seen_only_in_failures_is_not_one_of_the_estimator():
    ate = records_of("c", "a", np.arange(40.0), status=["error"] + ["ok"] * 39)
    att = records_of("c", "a", [0.0], status="error", estimand="att")
    assert set(summarise(results_of(ate, att), measures=["bias"])["estimand"]) == {"ate"}
    never = records_of("c", "a", np.zeros(40), status="nonfinite", estimand="att")
    summary = summarise(results_of(ate, never), measures=["bias"])
    assert list(summary["n_failed"]) == [1, 40]


def test_times_of_workers_that_share_a_machine_are_flagged():
    results = results_of(records_of("c", "a", np.arange(40.0)), contended=True)
    summary = summarise(results, measures=["mean_wall_s", "median_cpu_s", "bias"])
    assert list(summary["flag"]) == ["contended", "contended", ""]


# ---- further metrics ---------------------------------------------------------------------------


def metric_rows(est, name, values, *, cell="c", estimand="ate"):
    frame = pd.DataFrame({"rep": np.arange(len(values)), "value": np.asarray(values, dtype=float)})
    return frame.assign(cell_id=cell, est_id=est, estimand=estimand, metric=name)


def test_metrics_of_the_side_table_are_means_with_their_error():
    rng = np.random.default_rng(2)
    x, y = rng.random(40), rng.random(40)
    metrics = pd.concat(
        [metric_rows("a", "pehe", x), metric_rows("b", "pehe", y), metric_rows("a", "bias", y)]
    )
    results = dataclasses.replace(failing(), metrics=metrics)
    summary = summarise(results, reference="A")
    row = pick(summary, estimator="A", measure="pehe")
    assert (row["value"], row["mcse"]) == pytest.approx((x.mean(), x.std(ddof=1) / 40**0.5))
    other = pick(summary, estimator="B", measure="pehe")
    assert other["difference"] == pytest.approx((y - x).mean())
    assert other["difference_mcse"] == pytest.approx((y - x).std(ddof=1) / 40**0.5)
    assert (other["n_failed"], other["rule"]) == (10, "max")
    assert pick(summary, estimator="A", measure="bias_metric")["value"] == pytest.approx(y.mean())
    names = list(summary.query("estimator == 'A'")["measure"])
    assert names == [*MEASURES, "bias_metric", "pehe"]
    assert list(summarise(results, measures=["pehe"])["estimator"]) == ["A", "B"]


def test_an_unknown_name_lists_what_there_is():
    results = failing()
    with pytest.raises(ArgumentError, match=r"unknown measure 'biass'\. Did you mean 'bias'"):
        summarise(results, measures=["biass"])
    with pytest.raises(ArgumentError, match=r"unknown parameter in by 'N'.*Known: n"):
        summarise(results, by=["N"])
    with pytest.raises(ArgumentError, match=r"unknown reference estimator 'a'.*Known: A, B"):
        summarise(results, reference="a")
    with pytest.raises(ArgumentError, match=r"unknown analysis 'worse'.*'worst'"):
        summarise(results, analysis="worse")
    with pytest.raises(ArgumentError, match=r"write \['bias'\]"):
        summarise(results, measures="bias")
    with pytest.raises(ArgumentError, match=r"write \['n'\]"):
        summarise(results, by="n")


def test_records_that_do_not_fit_the_tables_are_refused():
    results = failing()
    twice = pd.concat([results.records, results.records.iloc[[3]]])
    with pytest.raises(ArgumentError, match=r"1 replications are there more than once.*rep 3"):
        summarise(dataclasses.replace(results, records=twice))
    strange = results.records.assign(est_id="zz")
    with pytest.raises(ArgumentError, match="est_id zz of the records is not in the table"):
        summarise(dataclasses.replace(results, records=strange))


def test_a_study_without_records_gives_an_empty_summary():
    results = failing()
    empty = dataclasses.replace(results, records=results.records.iloc[:0])
    for options in ({}, {"by": ["n"]}, {"analysis": "pairwise"}, {"reference": "A"}):
        summary = summarise(empty, **options)
        assert len(summary) == 0
        assert {"estimator", "value", "flag"} <= set(summary.columns)


@pytest.mark.parametrize("status", ["error", "ok"])
def test_a_failure_beside_another_record_of_its_replication_is_refused(status):
    good = records_of("c", "a", np.arange(10.0))
    lost = records_of("c", "a", np.zeros(1), status="error", estimand="").assign(rep=20)
    other = records_of(
        "c", "a", np.zeros(1), status=status, estimand="" if status != "ok" else "ate"
    )
    with pytest.raises(ArgumentError, match="more than once"):
        summarise(results_of(good, lost, other.assign(rep=20)), measures=["failure_share"])
