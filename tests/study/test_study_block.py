"""Blocks: what estimators see, what a failure becomes, and what a fit may cost."""

import cProfile
import dataclasses
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from store_cases import canonical_bytes
from study_toys import difference, result_of, toy

from causalkit.data.truth import Truth
from causalkit.study.attempt import estimated
from causalkit.study.block import lost_block, run_block
from causalkit.study.design import Cell, EstimatorSpec, Job, data_stream, estimator_seed
from causalkit.study.effects import effect_metrics
from causalkit.study.extras import reported_metrics
from causalkit.study.meter import Cost, OverTime, Watchdog

CELL = Cell("study_toys:toy", 1, {"n": 20})
SEEN = []


def spec_of(target, label="e", **args):
    """Specification of a function in this process."""
    return EstimatorSpec(label, f"here:{label}", args, target=target)


def block_of(*specs, first=0, last=4, cell=CELL, **limits):
    return run_block(Job(9, 0.95, 0.0, cell, tuple(specs), first, last, **limits))


def one(target, **limits):
    """The record and failure of one fit."""
    block = block_of(spec_of(target), last=0, **limits)
    failures = block.failures.to_dict("records")
    return block.records.iloc[0], failures[0] if failures else None, block


def test_an_estimator_finds_no_truth_wherever_it_looks():
    def spy(data):
        SEEN.append(data)
        return difference(data)

    block_of(spec_of(spy), last=0)
    data = SEEN.pop()
    assert data.truth is None
    assert "secret" not in data.frame.columns
    assert data.roles.extra == ()
    assert "secret" not in data.describe()["column"].to_list()


def test_an_oracle_is_shown_everything():
    def spy(data):
        SEEN.append(data)
        return difference(data)

    block_of(EstimatorSpec("o", "here:o", oracle=True, target=spy), last=0)
    data = SEEN.pop()
    assert data.truth.estimands == {"ate": 1.0}
    assert "secret" in data.frame.columns


def test_all_estimators_see_the_same_data_whatever_one_does_to_them():
    def vandal(data):
        np.random.seed(0)  # noqa: NPY002
        frame = data.frame
        frame["y"] = 0.0
        frame.loc[:, "d"] = 1
        raise RuntimeError("and gone")

    alone = block_of(spec_of(difference, "d"))
    beside = block_of(spec_of(vandal, "v"), spec_of(difference, "d"))
    kept = beside.records[beside.records["status"] == "ok"]
    assert canonical_bytes(kept) == canonical_bytes(alone.records)
    assert (beside.records["status"] == "error").sum() == 5


def test_a_block_is_its_replications_one_by_one():
    spec = EstimatorSpec("j", "study_toys:jittered")
    whole = block_of(spec, first=3, last=9).records
    parts = [block_of(spec, first=rep, last=rep).records for rep in range(9, 2, -1)]
    assert canonical_bytes(whole) == canonical_bytes(pd.concat(parts))


def test_a_record_holds_what_the_estimator_said():
    spec = EstimatorSpec("j", "study_toys:jittered")
    row = block_of(spec, first=2, last=2).records.iloc[0]
    data = toy(data_stream(9, CELL, 2), n=20)
    shift = 0.1 * np.random.default_rng(estimator_seed(9, CELL, 2, spec)).standard_normal()
    said = difference(data)
    assert row["estimate"] == pytest.approx(said.estimate + shift, abs=1e-15)
    assert row["conf_high"] - row["conf_low"] == pytest.approx(
        2 * 1.959964 * said.std_error, rel=1e-6
    )
    assert (row["truth"], row["status"], row["n_obs"], row["rep"]) == (1.0, "ok", 20, 2)
    assert row["wall_s"] > 0.0
    assert row["peak_rss_mb"] > 10.0


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (lambda _: result_of(np.inf, 1.0, 20), "nonfinite", "estimates must be finite"),
        (lambda _: "0.5", "error", "returned a str; it must return an EffectResult"),
        (lambda _: np.nan, "nonfinite", "estimates must be finite"),
        (lambda _: {"ate": np.inf}, "nonfinite", "estimates must be finite"),
        (lambda _: result_of(1.0, np.nan, 20), "nonfinite", "vcov must be finite"),
        (lambda _: [], "error", "returned no result"),
        (
            lambda _: result_of(1.0, 1.0, 20, diagnostics={"converged": False}),
            "not_converged",
            "",
        ),
    ],
)
def test_what_is_no_estimate_is_a_failure(answer, status, message):
    row, failure, _ = one(answer)
    assert row["status"] == failure["status"] == status
    assert np.isnan(row["estimate"])
    assert message in failure["message"]
    assert row["estimand"] == "ate"


def test_memory_errors_are_told_apart_from_others():
    def greedy(data):
        raise MemoryError("no room")

    row, failure, block = one(greedy)
    assert row["status"] == "oom"
    assert failure["exception"] == "MemoryError"
    assert (
        failure["seed_address"]
        == f"SeedSequence(9, spawn_key={(*CELL.words, 0, 1, *spec_of(greedy).words)})"
    )
    assert "no room" in block.tracebacks[failure["traceback_digest"]]


def test_one_traceback_is_kept_for_equal_failures():
    def failing(data):
        raise ValueError("always the same")

    block = block_of(spec_of(failing), last=9)
    assert len(block.failures) == 10
    assert len(block.tracebacks) == 1


def test_warnings_are_kept_and_neither_shown_nor_raised():
    def warning(data):
        warnings.warn("mind the gap", RuntimeWarning, stacklevel=1)
        return difference(data)

    row, _, block = one(warning)
    assert row["status"] == "ok"
    assert block.warnings[row["warnings_digest"]] == "RuntimeWarning: mind the gap"


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_fit_over_its_time_is_ended_and_the_next_runs():
    def endless(data):
        spin(60)

    started = time.perf_counter()
    block = block_of(spec_of(endless, "e"), spec_of(difference, "d"), last=0, task_s=0.3)
    assert time.perf_counter() - started < 5.0
    assert block.records["status"].to_list() == ["timeout", "ok"]
    assert block.failures["message"].to_list() == ["the fit took over 0.3 s"]
    assert 0.3 <= block.records["wall_s"].iloc[0] < 3.0


def test_an_estimator_that_swallows_the_interruption_gets_it_again():
    def stubborn(data):
        try:
            spin(60)
        except BaseException:
            spin(60)

    row, _, _ = one(stubborn, task_s=0.2)
    assert row["status"] == "timeout"
    assert row["wall_s"] < 10.0


def test_a_fit_over_its_memory_is_ended():
    def hungry(data):
        kept = []
        for _ in range(400):
            kept.append(np.ones(250_000))
            time.sleep(0.01)

    import psutil

    now = psutil.Process().memory_info().rss / 1024**2
    row, failure, _ = one(hungry, rss_mb=now + 100.0)
    assert row["status"] == "oom"
    assert "the process held over" in failure["message"]


def test_interruptions_that_come_as_a_fit_ends_never_leave_the_watchdog():
    outcomes = set()
    with Watchdog(task_s=0.05) as watchdog:
        for _ in range(40):
            cost = Cost()
            try:
                watchdog.run(lambda: spin(0.05 + 0.1 * np.random.default_rng().random()), cost)
                outcomes.add("ended")
            except OverTime:
                outcomes.add("interrupted")
            spin(0.002)
            assert cost.wall_s > 0.0
    spin(0.1)
    assert "interrupted" in outcomes


def test_a_profiler_does_not_hang_a_block():
    # Taking back an interruption that was never sent leaves the interpreter in an endless loop
    # under a tracer.
    profiler = cProfile.Profile()
    profiler.enable()
    block_of(spec_of(difference), last=2)
    profiler.disable()
    assert sys.getprofile() is None


def test_a_killed_fit_is_a_record_for_which_no_data_are_drawn(monkeypatch):
    # Whatever killed the worker, be it the generator, must not be done in this process.
    drawn = []
    monkeypatch.setattr("causalkit.study.block.generator_of", drawn.append)
    spec = EstimatorSpec("deadly", "study_toys:deadly")
    block = lost_block(Job(9, 0.95, 0.0, CELL, (spec,), 7, 7, attempt=2))
    assert block.records["status"].to_list() == ["killed"]
    assert block.records["estimand"].to_list() == [""]
    assert block.records["attempt"].to_list() == [2]
    assert drawn == []


class Predicts:
    """Estimates as ``difference`` does; its effects cannot be had."""

    def fit(self, data):
        self.result = difference(data)
        return self

    def get_params(self, *, deep=False):
        return {}

    def estimate(self):
        return self.result

    def effect(self, data):
        raise NotImplementedError("no effects by row")


class Dawdles(Predicts):
    def effect(self, data):
        while True:
            time.sleep(0.01)


def test_effects_that_fail_or_take_too_long_do_not_cost_the_estimate():
    cell = Cell("study_toys:ranked", 1, {"n": 40})
    block_of(spec_of(Predicts()), last=0, cell=cell)  # imports must not count as the fit's time
    cases = ((Predicts(), "raised NotImplementedError: no effects"), (Dawdles(), "took over 1 s"))
    for target, words in cases:
        block = block_of(spec_of(target), last=0, cell=cell, task_s=1.0)
        assert block.records["status"].to_list() == ["ok"]
        assert any(words in text for text in block.warnings.values())


def test_two_results_of_one_estimand_are_a_failure_of_that_fit():
    status, failure, _ = one(lambda data: [difference(data), difference(data)])
    assert status["status"] == "error"
    assert "two results of the estimand 'ate'" in failure["message"]


def test_terms_are_matched_by_name_and_never_guessed():
    two = {"terms": ("a", "b"), "estimates": np.array([1.0, 2.0]), "vcov": np.eye(2)}
    both = result_of(0.0, 1.0, 9, **two)

    def names(results, truth):
        return [e.estimand for e in estimated(results, truth, level=0.95, null=0.0)]

    assert names([both], Truth({"ate[a]": 1.0, "b": 2.0})) == ["ate[a]", "b"]
    assert names([both], Truth({"ate": 1.0})) == ["ate[a]", "ate[b]"]


def test_effects_by_row_are_measured_where_the_truth_has_them():
    import causalkit as ck

    cell = Cell("multi", 1, {})

    @ck.generators.generator("multi", cite="test")
    def varying(rng, *, n: int = 60):
        unit = np.repeat(np.arange(n // 3), 3)
        x, d, e = rng.standard_normal((3, n))
        frame = pd.DataFrame({"y": d * (1 + x) + e, "d": d, "x": x, "unit": unit})
        return ck.CausalData.from_frame(
            frame,
            outcome="y",
            treatment="d",
            covariates="x",
            modifiers="x",
            unit="unit",
            truth=Truth({"ate": 1.0}, cate=1 + x),
        )

    sys.modules[__name__].multi = varying
    spec = EstimatorSpec("p", "panel-dml", {"learner": "linear", "n_folds": 2})
    block = block_of(spec, last=0, cell=Cell(f"{__name__}:multi", 1, {"n": 300}))
    found = block.metrics.set_index("metric")["value"]
    assert found["pehe"] < 0.5
    assert found["cate_correlation"] > 0.9
    assert cell.version == 1


def test_what_an_estimator_says_of_rows_instruments_and_doses_is_judged_by_the_truth():
    data = toy(np.random.default_rng(0), n=4)
    truth = Truth(
        {"ate": 1.0},
        cluster_labels=np.array([0, 0, 1, 1]),
        valid_instruments=np.array([True, False, True]),
        dose_response=lambda dose: 2.0 * dose,
    )
    dose = np.linspace(0.0, 2.0, 5)
    said = {
        "cluster_labels": np.array([1, 1, 0, 0]),
        "valid_instruments": np.array([True, True, False]),
        "dose_response": {"dose": dose, "outcome": 2.0 * dose + 3.0},
        "metrics": {"own": 7},
    }
    known = dataclasses.replace(data, truth=truth)
    result = result_of(0.0, 1.0, 4, diagnostics=said)
    assert reported_metrics([result], known) == pytest.approx(
        {
            "own": 7.0,
            "ari": 1.0,
            "nmi": 1.0,
            "selection_precision": 0.5,
            "selection_recall": 0.5,
            "dose_response_mse": 9.0,
        }
    )
    assert reported_metrics([result], data) == {"own": 7.0}


def test_intervals_of_effects_are_asked_for_at_the_level_of_the_study():
    data = toy(np.random.default_rng(0), n=4)
    effects = np.array([1.0, 2.0, 3.0, 4.0])
    known = dataclasses.replace(data, truth=Truth({"ate": 2.5}, cate=effects))

    class Fitted:
        def effect(self, seen, *, level=0.95):
            low = effects + (0.1 if level < 0.95 else 0.0)
            return {"effect": effects, "conf_low": low, "conf_high": effects + 1.0}

    for level, covered in ((0.95, 1.0), (0.9, 0.0)):
        found = effect_metrics(Fitted(), known.truth, known.blind(), level=level)
        assert found.numbers["cate_coverage"] == covered


def test_effects_by_row_are_ranked_and_their_intervals_judged():
    data = toy(np.random.default_rng(0), n=4)
    effects = np.array([1.0, 2.0, 3.0, 4.0])
    known = dataclasses.replace(data, truth=Truth({"ate": 2.5}, cate=effects))

    class Fitted:
        def effect(self, seen):
            assert seen.truth is None
            low = effects - np.array([0.5, 0.5, 0.5, -0.1])
            return {"effect": effects + 1.0, "conf_low": low, "conf_high": effects + 1.0}

    found = effect_metrics(Fitted(), known.truth, known.blind())
    assert found.numbers == pytest.approx(
        {
            "pehe": 1.0,
            "cate_bias": 1.0,
            "cate_correlation": 1.0,
            "cate_coverage": 0.75,
            "autoc": 0.75,
            "qini": 0.3125,
            "calibration_intercept": -1.0,
            "calibration_slope": 1.0,
            "policy_regret": 0.0,
        }
    )
