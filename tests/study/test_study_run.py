"""Runs of a whole study: equal whatever runs them, resumed after a kill, failures as data."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import psutil
import pytest
from store_cases import canonical_bytes
from study_toys import FILE, HERE, declared

import causalkit.study.store as store_module
import causalkit.study.work as work_module
from causalkit.errors import ArgumentError
from causalkit.study import merge_results
from causalkit.study.design import data_stream
from causalkit.study.store import read_store

GRID = {"name": "study_toys:toy", "grid": {"n": [20, 40]}}


def bytes_of(study):
    return canonical_bytes(study.results().records)


def estimator(name, **args):
    return {"label": name, "use": f"study_toys:{name}", "args": args}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Bytes of the study run serially in one go."""
    study = declared(tmp_path_factory.mktemp("reference"))
    report = study.run()
    assert (report.reason, report.exit_code, report.n_new) == ("targets", 0, 80)
    return bytes_of(study)


@pytest.mark.parametrize(
    ("backend", "workers", "block"),
    [
        ("serial", 1, 3),
        ("serial", 1, 100),
        ("processes", 1, None),
        ("processes", 2, 4),
        ("dask", 2, 4),
    ],
)
def test_workers_and_blocks_change_no_record(tmp_path, reference, backend, workers, block):
    if backend == "dask":
        pytest.importorskip("distributed")
    study = declared(tmp_path).with_options(backend=backend, workers=workers, block=block)
    study.run()
    assert bytes_of(study) == reference


def test_estimates_are_those_of_the_documented_streams(tmp_path):
    from study_toys import difference, toy

    study = declared(tmp_path)
    study.run()
    records = study.results().records
    for cell in study.plan().cells:
        for rep in (0, 13):
            data = toy(data_stream(study.seed, cell, rep), **cell.params)
            own = records[(records["cell_id"] == cell.id) & (records["rep"] == rep)]
            assert difference(data).estimate in own["estimate"].to_list()
            assert own["truth"].eq(1.0).all()


def test_running_again_does_nothing_and_a_longer_grid_only_what_is_new(tmp_path):
    study = declared(tmp_path)
    study.run()
    before = study.results().records
    assert study.run().n_new == 0
    longer = replace(
        study,
        generators=[GRID | {"grid": {"n": [20, 40, 60]}}],
        estimators=[*study.estimators, estimator("slow", seconds=0.0)],
        reps={"min": 30, "max": 30, "batch": 10},
    )
    report = longer.run()
    assert report.n_new == 3 * 3 * 30 - 2 * 2 * 20
    after = longer.results().records
    old = after.merge(before[["cell_id", "est_id", "rep"]], on=["cell_id", "est_id", "rep"])
    assert canonical_bytes(old) == canonical_bytes(before)


def test_only_runs_what_is_named(tmp_path):
    study = declared(tmp_path)
    report = study.run(only={"n": 40, "est": "jittered"})
    assert report.n_new == 20
    assert study.run().n_new == 60
    with pytest.raises(ArgumentError, match="Did you mean 'jittered'"):
        study.run(only={"est": "jitered"})
    with pytest.raises(ArgumentError, match=r"no cell has \{'n': 7\}"):
        study.run(only={"n": 7})


def run_file(tmp_path, *, backend, seconds=0.05, **more):
    path = tmp_path / "toy.toml"
    path.write_text(FILE.format(seconds=seconds, backend=backend, out=tmp_path / "out"))
    (tmp_path / "study_toys.py").write_text((HERE / "study_toys.py").read_text())
    command = [sys.executable, "-m", "causalkit.cli", "sim", "run", str(path), "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def blocks(tmp_path):
    return list((tmp_path / "out").rglob("block-*.parquet"))


def wait_for_blocks(tmp_path, count, process):
    deadline = time.monotonic() + 60
    while len(blocks(tmp_path)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def members(session):
    """Processes of a session that are alive."""
    return [
        process.info
        for process in psutil.process_iter(["pid", "status", "cmdline"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(process.pid) == session
    ]


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_a_killed_run_resumes_to_the_same_records(tmp_path, backend):
    whole = tmp_path / "whole"
    whole.mkdir()
    done = run_file(whole, backend="serial", seconds=0.0)
    _, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    args = {"preexec_fn": os.setsid}
    process = run_file(tmp_path, backend=backend, **args)
    wait_for_blocks(tmp_path, 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = len(blocks(tmp_path))
    again = run_file(tmp_path, backend=backend)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    report = json.loads(out)
    assert 0 < report["n_new"] < 40
    assert len(blocks(tmp_path)) > kept
    # The arguments differ in the pause alone, which no number depends on.
    numbers = [
        read_store(folder / "out" / "toy").records().drop(columns="est_id")
        for folder in (tmp_path, whole)
    ]
    columns = ["cell_id", "rep", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
    pd.testing.assert_frame_equal(numbers[0][columns], numbers[1][columns])


def test_ctrl_c_keeps_finished_blocks_and_leaves_no_process(tmp_path):
    process = run_file(tmp_path, backend="processes", seconds=0.1, start_new_session=True)
    wait_for_blocks(tmp_path, 2, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; finished blocks are kept" in err
    deadline = time.monotonic() + 10
    while members(process.pid):
        assert time.monotonic() < deadline, members(process.pid)
        time.sleep(0.05)
    again = run_file(tmp_path, backend="serial", seconds=0.1)
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 0
    assert json.loads(out)["n_new"] < 40


def test_a_failing_estimator_costs_the_others_nothing(tmp_path):
    study = declared(
        tmp_path,
        estimators=[estimator("failing"), estimator("difference")],
        budget={"max_fail_share": 0.9},
    )
    report = study.run()
    assert report.exit_code == 0
    results = study.results()
    labels = dict(zip(results.estimators["est_id"], results.estimators["label"], strict=True))
    counts = results.records.assign(label=results.records["est_id"].map(labels))
    counts = counts.groupby(["label", "status"]).size()
    assert counts["difference", "ok"] == 40
    failed = counts["failing", "error"]
    assert failed + counts["failing", "ok"] == 40
    assert 4 <= failed <= 22
    assert len(results.failures) == failed
    assert set(results.failures["exception"]) == {"ValueError"}
    (text,) = results.tracebacks.values()
    assert "the dice fell badly" in text
    summary = study.summarise(measures=["bias"])
    row = summary[summary["estimator"] == "failing"]
    assert row["n_failed"].sum() == failed


def test_too_many_failures_stop_one_estimator_and_not_the_study(tmp_path):
    study = declared(
        tmp_path, estimators=[estimator("failing", share=0.9), estimator("difference")]
    )
    report = study.run()
    assert (report.reason, report.exit_code) == ("failures", 3)
    rules = report.plan.groupby("rule")["n_planned"].agg(["size", "max"])
    assert rules.loc["failures"].to_list() == [2, 10]
    assert rules.loc["max"].to_list() == [2, 20]


def test_a_generator_that_raises_fails_all_estimators_of_that_replication(tmp_path):
    study = declared(
        tmp_path,
        generators=[{"name": "study_toys:broken"}],
        budget={"max_fail_share": 1.0},
    )
    study.run()
    failures = study.results().failures
    assert 0 < failures["rep"].nunique() < 20
    assert failures.groupby("rep").size().eq(2).all()
    told = "the generator 'study_toys:broken' raised RuntimeError: no data today"
    assert set(failures["message"]) == {told}


def test_a_worker_that_dies_loses_one_fit_and_nothing_else(tmp_path):
    study = declared(
        tmp_path,
        generators=[{"name": "study_toys:toy"}],
        estimators=[estimator("deadly"), estimator("difference")],
        reps={"min": 12, "max": 12, "batch": 12},
        budget={"max_fail_share": 1.0},
    ).with_options(backend="processes", workers=2, block=1)
    study.run()
    records = study.results().records
    plan = study.plan()
    killed = records[records["status"] == "killed"]
    from causalkit.study.design import estimator_seed

    fatal = [
        rep
        for rep in range(12)
        if np.random.default_rng(
            estimator_seed(study.seed, plan.cells[0], rep, plan.estimators[0])
        ).random()
        < 0.02
    ]
    assert killed["rep"].to_list() == fatal
    assert fatal, "the seed must kill at least one worker for this test to mean anything"
    assert set(killed["est_id"]) == {plan.estimators[0].id}
    assert killed["attempt"].eq(2).all()
    assert len(records) == 24


def test_targets_stop_at_the_batch_that_theory_says(tmp_path):
    study = declared(
        tmp_path,
        generators=[{"name": "study_toys:toy"}],
        estimators=[estimator("difference")],
        reps={"min": 20, "max": 400, "batch": 20},
        stop={"bias": 0.05},
    )
    report = study.run()
    assert report.exit_code == 0
    (stop,) = report.plan["n_planned"]
    errors = study.results().records["estimate"].to_numpy() - 1.0
    assert errors.size == stop
    assert errors.std(ddof=1) / np.sqrt(stop) <= 0.05
    before = errors[: stop - 20]
    assert before.std(ddof=1) / np.sqrt(before.size) > 0.05
    short = replace(study, reps={"min": 20, "max": 40, "batch": 20}).run(fresh=True)
    assert (short.reason, short.exit_code) == ("max", 4)


def test_time_that_runs_out_ends_the_run_and_not_the_study(tmp_path):
    study = declared(
        tmp_path,
        estimators=[estimator("slow", seconds=0.05)],
        budget={"wall_s": 0.4},
    ).with_options(block=1)
    report = study.run()
    assert (report.reason, report.exit_code) == ("budget", 4)
    assert 0 < report.n_new < 40
    assert set(study.results().plan["rule"]) == {"budget"}
    rest = replace(study, budget={}).run()
    assert rest.n_new == 40 - report.n_new


def test_the_manifest_is_read_as_often_however_many_cells_there_are(tmp_path, monkeypatch):
    reads = []
    real = store_module._manifest
    monkeypatch.setattr(store_module, "_manifest", lambda folder: reads.append(0) or real(folder))
    counts = []
    for n_cells in (1, 5):
        generator = {"name": "study_toys:toy", "grid": {"n": list(range(20, 20 + n_cells))}}
        study = declared(
            tmp_path / str(n_cells),
            generators=[generator],
            reps={"min": 4, "max": 8, "batch": 4},
            stop={"bias": 0.01},
        )
        study.run()
        counts.append(len(reads))
        reads.clear()
        merge_results([study.results_folder] * 2, out=tmp_path / f"all-{n_cells}")
        counts.append(len(reads))
        reads.clear()
    assert counts[:2] == counts[2:]


def test_an_estimator_in_memory_runs_in_this_process(tmp_path):
    from study_toys import difference

    study = declared(tmp_path, estimators={"mine": lambda data: difference(data)})
    assert study.run().n_new == 40
    assert set(study.results().estimators["label"]) == {"mine"}
    assert study.results().toml == ""


def test_a_disk_that_refuses_ends_the_run_with_its_reason(tmp_path, monkeypatch):
    from causalkit.errors import StorageError

    def full(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr(work_module, "write_block", full)
    with pytest.raises(StorageError, match="the disk is full"):
        declared(tmp_path).run()


def test_a_damaged_block_is_set_aside_said_and_run_again(tmp_path, reference):
    study = declared(tmp_path)
    study.run()
    victim = sorted(tmp_path.rglob("records/**/block-*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:50])
    report = study.run()
    assert len(report.repairs) == 1
    assert victim.name in report.repairs[0]
    assert report.n_new > 0
    assert bytes_of(study) == reference


def test_an_oracle_and_replays_give_what_the_records_hold(tmp_path):
    study = declared(tmp_path, estimators=[estimator("seeing") | {"oracle": True}])
    study.run()
    records = study.results().records
    assert records["estimate"].eq(1.0).all()
    assert records["status"].eq("ok").all()
    again = study.replay({"n": 40}, 3, "seeing")
    assert again.results[0].estimate == 1.0
    assert again.data.truth is not None
    blind = declared(
        tmp_path / "blind", estimators=[estimator("seeing")], budget={"max_fail_share": 1}
    )
    blind.run()
    assert blind.results().records["status"].eq("error").all()
    with pytest.raises(AttributeError):
        blind.replay({"n": 40}, 3, "seeing")
    with pytest.raises(ArgumentError, match="names 2 cells"):
        study.replay({}, 3)


def test_a_cell_is_not_named_by_a_parameter_that_it_lacks(tmp_path):
    study = declared(tmp_path, generators=[{"name": "study_toys:toy"}])
    with pytest.raises(ArgumentError, match="names no cell"):
        study.replay({"theta": None}, 0)


def test_a_scheduler_that_ends_a_run_leaves_a_folder_that_any_machine_can_take(tmp_path):
    process = run_file(tmp_path, backend="processes", seconds=0.1)
    wait_for_blocks(tmp_path, 2, process)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; finished blocks are kept" in err
    assert not (tmp_path / "out" / "toy" / "run.lock").exists()


def test_what_estimators_warned_of_is_in_the_results(tmp_path):
    study = declared(tmp_path, estimators=[estimator("warned")], reps=2)
    study.run()
    results = study.results()
    (digest,) = results.records["warnings_digest"].unique()
    assert results.warnings[digest] == "RuntimeWarning: mind the gap"
