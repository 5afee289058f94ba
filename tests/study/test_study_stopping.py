"""The stopping rule against the formulas of the MCSE, and against any order of the records."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cases import CELLS, SPECS, block_of

from causalkit.errors import ArgumentError
from causalkit.metrics import MEASURES
from causalkit.study.design import Reps
from causalkit.study.ranges import prefix
from causalkit.study.run import _Decisions
from causalkit.study.stopping import StoppingRule, boundaries, reached
from causalkit.study.store import Store
from causalkit.study.store_write import write_block

RULE = {"level": 0.95, "null": 0.0, "seed": 1}


def records_of(errors, *, status=None, estimand="ate", truth=1.0, half=2.0):
    errors = np.asarray(errors, dtype=float)
    frame = pd.DataFrame({"rep": np.arange(errors.size), "estimate": truth + errors})
    frame = frame.assign(cell_id="c", est_id="e", estimand=estimand, truth=truth, std_error=1.0)
    frame = frame.assign(conf_low=frame["estimate"] - half, conf_high=frame["estimate"] + half)
    frame = frame.assign(p_value=0.5, wall_s=1.0, status="ok" if status is None else status)
    numbers = ["estimate", "std_error", "conf_low", "conf_high", "p_value"]
    frame.loc[frame["status"] != "ok", numbers] = np.nan
    return frame


def reached_at(records, **declared):
    """Replications at which the target stops a study, or None."""
    rule = StoppingRule(max_fail_share=0.5, **declared)
    available = prefix([(rep, rep) for rep in records["rep"].unique()])
    count, why = rule.outcome(records, available)
    return count if why == "target" else None


@pytest.mark.parametrize(
    ("reps", "expected"),
    [
        (Reps(min=200, max=500, batch=100), [200, 300, 400, 500]),
        (Reps(min=250, max=520, batch=100), [300, 400, 500, 520]),
        (Reps(min=200, max=200, batch=100), [200]),
        (Reps(min=10, max=50, batch=100), [50]),
        (Reps(min=150, max=180, batch=100), [180]),
    ],
)
def test_decisions_are_taken_after_whole_batches_and_at_the_end(reps, expected):
    assert list(boundaries(reps)) == expected


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 120))
def test_boundaries_rise_to_the_maximum(least, more, batch):
    reps = Reps(min=least, max=least + more, batch=batch)
    found = list(boundaries(reps))
    assert found[-1] == reps.max
    assert all(a < b for a, b in itertools.pairwise(found))
    assert all(k >= least and k % batch == 0 for k in found[:-1])


def test_a_target_is_met_at_the_mcse_and_not_below_it():
    errors = np.random.default_rng(0).normal(0, 1, 100)
    mcse = errors.std(ddof=1) / 10
    assert reached(records_of(errors), targets={"bias": mcse * 1.001}, **RULE)
    assert not reached(records_of(errors), targets={"bias": mcse * 0.999}, **RULE)
    both = {"bias": mcse * 1.001, "mse": 1e-9}
    assert not reached(records_of(errors), targets=both, **RULE)


def test_failures_are_missing_replications():
    errors = np.random.default_rng(0).normal(0, 1, 200)
    status = np.where(np.arange(200) % 2 == 0, "ok", "error")
    mcse = errors[::2].std(ddof=1) / 10  # of the 100 that succeeded, not of 200
    frame = records_of(errors, status=status)
    assert reached(frame, targets={"bias": mcse * 1.001}, **RULE)
    assert not reached(frame, targets={"bias": mcse * 0.999}, **RULE)
    share = {"failure_share": math.sqrt(0.5 * 0.5 / 200) * 1.001}  # of all that were tried
    assert reached(frame, targets=share, **RULE)
    lost = records_of(np.zeros(50), status="error", estimand="")
    assert not reached(lost, targets={"bias": 10.0}, **RULE)


@pytest.mark.parametrize("half", [50.0, 1e-9])
def test_a_coverage_of_one_or_zero_never_looks_exact(half):
    frame = records_of(np.random.default_rng(0).normal(0, 1, 200), half=half)
    p = 2 / 204  # (x + 2)/(R + 4)
    honest = math.sqrt(p * (1 - p) / 200)
    assert not reached(frame, targets={"coverage": honest * 0.999}, **RULE)
    assert reached(frame, targets={"coverage": honest * 1.001}, **RULE)


def test_all_estimands_must_be_precise():
    rng = np.random.default_rng(0)
    sharp, wide = rng.normal(0, 0.1, 100), rng.normal(0, 10, 100)
    frame = pd.concat([records_of(sharp), records_of(wide, estimand="att")])
    assert reached(records_of(sharp), targets={"bias": 0.05}, **RULE)
    assert not reached(frame, targets={"bias": 0.05}, **RULE)


def test_no_target_and_no_truth_are_never_reached():
    frame = records_of(np.zeros(100))
    assert not reached(frame, targets={}, **RULE)
    assert not reached(frame.iloc[:0], targets={"bias": 1.0}, **RULE)
    assert not reached(frame.assign(truth=np.nan), targets={"bias": 1.0}, **RULE)
    assert not reached(frame.iloc[:1], targets={"bias": 1.0}, **RULE)


def test_the_error_of_a_simulated_truth_does_not_keep_a_study_running():
    frame = records_of(np.random.default_rng(0).normal(0, 1, 100))
    targets = {"bias": 0.2}
    assert reached(frame, targets=targets, **RULE)
    assert reached(frame.assign(truth_mcse=5.0), targets=targets, **RULE)


def test_measures_with_a_bootstrap_can_stop_a_study():
    frame = records_of(np.random.default_rng(0).normal(0, 1, 400))
    about = 1.2533 / 20  # sd of the median of 400 normal numbers
    assert reached(frame, targets={"median_bias": about * 1.5}, **RULE)
    assert not reached(frame, targets={"median_bias": about / 1.5}, **RULE)


def test_unknown_measures_and_mixed_records_are_refused():
    frame = records_of(np.zeros(100))
    with pytest.raises(ArgumentError, match=r"unknown measure 'coverge'\. Did you mean 'coverage'"):
        reached(frame, targets={"coverge": 0.1}, **RULE)
    mixed = pd.concat([frame, frame.assign(est_id="f")])
    with pytest.raises(ArgumentError, match="2 different est_id"):
        reached(mixed, targets={"bias": 0.1}, **RULE)


def test_only_complete_boundaries_are_looked_at_and_only_the_first_replications():
    errors = np.random.default_rng(0).normal(0, 1, 400)
    target = {"bias": errors[:300].std(ddof=1) / math.sqrt(300) * 1.02}
    reps = Reps(min=100, max=400, batch=100)
    whole = records_of(errors)
    assert reached_at(whole, reps=reps, targets=target, **RULE) == 300
    gap = whole[whole["rep"] != 250]
    assert reached_at(gap, reps=reps, targets=target, **RULE) is None
    # 400 precise replications beyond a boundary that is not precise do not move it.
    early = {"bias": errors[:200].std(ddof=1) / math.sqrt(200) * 1.0001}
    assert reached_at(whole, reps=reps, targets=early, **RULE) == 200
    assert reached_at(whole[whole["rep"] >= 100], reps=reps, targets=early, **RULE) is None
    assert reached_at(whole, reps=reps, targets={"bias": 1e-9}, **RULE) is None


@settings(deadline=None, max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(0, 200), st.floats(0.05, 0.4))
def test_the_decision_does_not_depend_on_the_order_of_the_rows(random, extra, target):
    rng = np.random.default_rng(extra)
    status = np.where(rng.random(100 + extra) < 0.1, "timeout", "ok")
    parts = [
        records_of(rng.normal(0, 1, 100 + extra), status=status, estimand=name)
        for name in ("ate", "att")
    ]
    frame = pd.concat(parts, ignore_index=True)
    order = list(range(len(frame)))
    random.shuffle(order)
    targets = {"bias": target, "coverage": target / 2, "median_bias": target}
    options = {"reps": Reps(min=20, max=300, batch=20), "targets": targets, **RULE}
    decided = reached_at(frame, **options)
    assert reached_at(frame.iloc[order], **options) == decided
    # Replications past the decision cannot have had a part in it.
    if decided is not None:
        assert reached_at(frame[frame["rep"] < decided], **options) == decided


def test_too_many_failures_stop_before_the_minimum_and_before_any_target():
    status = np.where(np.arange(400) % 4 == 0, "error", "ok")
    records = records_of(np.zeros(400), status=status)
    reps = Reps(min=200, max=400, batch=100)
    declared = {"reps": reps, "targets": {"bias": 10.0}, **RULE}
    assert StoppingRule(max_fail_share=0.2, **declared).outcome(records, 400) == (100, "failures")
    assert StoppingRule(max_fail_share=0.25, **declared).outcome(records, 400) == (200, "target")


def test_without_targets_all_replications_are_run():
    records = records_of(np.zeros(400))
    declared = {"reps": Reps(min=100, max=400), "targets": {}, "max_fail_share": 0.2, **RULE}
    assert StoppingRule(**declared).outcome(records, 400) == (400, "max")
    assert StoppingRule(**declared).outcome(records[:350], 350) == (350, "running")


@pytest.mark.parametrize("measure", MEASURES)
def test_a_verdict_reads_no_columns_beside_those_that_it_names(measure):
    records = records_of(np.random.default_rng(1).normal(0, 1, 40), truth=2.0)
    records = records.assign(cpu_s=1.0, peak_rss_mb=1.0, peak_gpu_mb=1.0)
    rule = StoppingRule(Reps(min=40, max=80, batch=40), {measure: 1e9}, 0.5, **RULE)
    assert rule.verdict(records, 40) == "target"
    assert rule.verdict(records[rule.columns], 40) == "target"


def test_of_replications_not_decided_yet_only_columns_of_the_targets_are_kept(tmp_path):
    rule = StoppingRule(Reps(min=10, max=30, batch=10), {"mean_estimate": 1e-9}, 0.5, **RULE)
    decide = _Decisions(Store(tmp_path), rule)
    for first in (0, 10, 20):
        write_block(tmp_path, block_of(first, first + 9))
        verdict = decide(CELLS[0], SPECS[0], first + 10)
        assert verdict == ("max" if first == 20 else None)
        for kept in decide._read.values():
            assert len(kept) == 2 * (first + 10)
            assert list(kept.columns) == rule.columns
    assert rule.columns[5:] == ["estimate"]
