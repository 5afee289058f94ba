"""A study that runs in parts and is brought together."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from store_cases import canonical_bytes
from study_toys import HERE, difference

from causalkit.cli import main
from causalkit.errors import ArgumentError
from causalkit.study import merge_results
from causalkit.study.study import Study

CALLS = []


def study_of(out, **changes):
    given = {
        "name": "parts",
        "seed": 4,
        "aims": "x",
        "reps": 12,
        "generators": [{"name": "study_toys:toy", "grid": {"n": [10, 20, 30, 40, 50]}}],
        "estimators": [
            {"label": "difference", "use": "study_toys:difference"},
            {"label": "failing", "use": "study_toys:failing"},
        ],
        "run_options": {"backend": "serial", "out": str(out)},
        "budget": {"max_fail_share": 1.0},
        "folder": HERE,
    }
    return Study(**(given | changes))


def bytes_of(study):
    results = study.results()
    tables = (results.records, results.metrics, results.failures.drop(columns="traceback_digest"))
    return [canonical_bytes(tables[0]), *(table.to_csv() for table in tables[1:])]


def test_shards_share_the_cells_and_their_merge_is_the_study(tmp_path):
    whole = study_of(tmp_path / "whole")
    whole.run()
    seen = []
    for part in (1, 2, 3):
        shard = study_of(tmp_path / f"part-{part}")
        shard.run(shard=(part, 3))
        seen += list(shard.results().records["cell_id"].unique())
    assert sorted(seen) == sorted(whole.results().cells["cell_id"])
    found = merge_results(
        [tmp_path / f"part-{i}" / "parts" for i in (3, 1, 2)], out=tmp_path / "all"
    )
    assert found.missing.empty
    assert found.n_blocks > 0
    assert found.n_shared == 0
    again = study_of(tmp_path / "all")
    assert bytes_of(again) == bytes_of(whole)
    assert again.results().tracebacks.keys() == whole.results().tracebacks.keys()
    assert again.run().n_new == 0
    pd.testing.assert_frame_equal(
        again.summarise(measures=["bias"]), whole.summarise(measures=["bias"])
    )


@pytest.mark.parametrize("stop", [{}, {"bias": 0.2}])
def test_parts_of_the_replications_merge_to_the_study_and_its_stops(tmp_path, stop):
    changes = {"reps": {"min": 10, "max": 50, "batch": 10}, "stop": stop}
    whole = study_of(tmp_path / "whole", **changes)
    whole.run()
    for part in (1, 2, 3):
        shard = study_of(tmp_path / f"part-{part}", **changes)
        shard.run(rep_shard=(part, 3), only={"n": 10})
        report = shard.run(rep_shard=(part, 3))
        assert (report.reason, report.exit_code) == ("part", 0)
        assert "`causalkit sim merge`" in repr(report)
        assert shard.run(rep_shard=(part, 3)).n_new == 0
    found = merge_results(
        [tmp_path / f"part-{i}" / "parts" for i in (2, 3, 1)], out=tmp_path / "all"
    )
    assert found.missing.empty
    assert found.n_shared == 0
    again = study_of(tmp_path / "all", **changes)
    assert bytes_of(again) == bytes_of(whole)
    pd.testing.assert_frame_equal(again.status(), whole.status())
    assert ("target" in set(whole.results().plan["rule"])) == bool(stop)
    assert again.run().n_new == 0


def test_parts_of_the_replications_in_two_processes_are_the_same(tmp_path):
    one, two = study_of(tmp_path / "one"), study_of(tmp_path / "two")
    one.run(rep_shard=(1, 2))
    two.run(rep_shard=(1, 2), backend="processes", workers=2)
    assert bytes_of(one) == bytes_of(two)
    assert set(one.results().records["rep"]) == set(range(6))


def test_a_merge_says_what_is_missing_and_goes_on_when_more_is_there(tmp_path):
    first, second = study_of(tmp_path / "a"), study_of(tmp_path / "b")
    first.run(shard=(1, 2))
    found = merge_results([first.results_folder], out=tmp_path / "all")
    assert len(found.missing) == 4
    assert set(found.missing["Planned"]) == {12}
    assert "Not finished are 4 cells and estimators" in repr(found)
    second.run(shard=(2, 2))
    found = merge_results([second.results_folder, first.results_folder], out=tmp_path / "all")
    assert found.missing.empty
    assert found.n_shared == first.results().records.shape[0]


def test_blocks_of_other_lengths_with_the_same_records_are_shared(tmp_path):
    one = study_of(
        tmp_path / "a", run_options={"backend": "serial", "block": 5, "out": f"{tmp_path}/a"}
    )
    other = study_of(tmp_path / "b")
    one.run(max_reps=7)
    other.run()
    found = merge_results([one.results_folder, other.results_folder], out=tmp_path / "all")
    assert found.n_shared == 5 * 2 * 7
    assert bytes_of(study_of(tmp_path / "all")) == bytes_of(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "seed is 4 and 5"),
        ({"level": 0.9}, "level is 0.95 and 0.9"),
        ({"reps": 13}, "reps differs in batch, max, min"),
        ({"generators": [{"name": "study_toys:toy", "grid": {"n": [10]}}]}, "cells differs in"),
        ({"estimators": [{"label": "d", "use": "study_toys:difference"}]}, "estimators differs in"),
    ],
)
def test_parts_of_different_studies_are_refused(tmp_path, changes, words):
    one, other = study_of(tmp_path / "a"), study_of(tmp_path / "b", **changes)
    one.run(max_reps=1)
    other.run(max_reps=1)
    with pytest.raises(ArgumentError, match=words):
        merge_results([one.results_folder, other.results_folder], out=tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_different_records_of_one_fit_are_refused(tmp_path, monkeypatch):
    import study_toys

    one, other = study_of(tmp_path / "a"), study_of(tmp_path / "b")
    one.run(only={"n": 10})

    def drifting(data):
        CALLS.append(1)
        found = difference(data)
        shift = 1e-12 if len(CALLS) == 4 else 0.0
        return study_toys.result_of(found.estimate + shift, found.std_error, found.n)

    monkeypatch.setattr("causalkit.study.attempt.estimator_of", lambda _: drifting)
    other.run(only={"n": 10, "est": "difference"})
    with pytest.raises(ArgumentError, match="estimator 'difference', replication 3, than"):
        merge_results([one.results_folder, other.results_folder], out=tmp_path / "all")


def test_machines_of_the_parts_are_kept(tmp_path):
    study = study_of(tmp_path / "a")
    study.run(max_reps=1)
    manifest = study.results_folder / "manifest.json"
    known = json.loads(manifest.read_text())
    here = known["machines"][0]
    manifest.write_text(json.dumps(known | {"machines": [here | {"python": "3.0.0"}]}))
    merge_results([study.results_folder], out=tmp_path / "all")
    assert study_of(tmp_path / "all").results().provenance == here | {
        "earlier": [here | {"python": "3.0.0"}]
    }


def test_shards_that_do_not_exist_are_refused(tmp_path):
    study = study_of(tmp_path)
    with pytest.raises(ArgumentError, match="there is no shard 4 of 3"):
        study.run(shard=(4, 3))
    with pytest.raises(ArgumentError, match="shard 6 of 8 is empty: there are 5 cells"):
        study.run(shard=(6, 8))
    with pytest.raises(ArgumentError, match="rep_shard must be at least 1, got 0"):
        study.run(rep_shard=(0, 3))
    with pytest.raises(ArgumentError, match="12 replications cannot be shared out to 13 parts"):
        study.run(rep_shard=(1, 13))


def test_the_commands_run_a_shard_and_merge(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(study_of(tmp_path).to_toml())
    run = CliRunner()
    for part in ("1/2", "2/2"):
        out = str(tmp_path / part.replace("/", "of"))
        told = run.invoke(main, ["sim", "run", str(file), "--shard", part, "--out", out])
        assert told.exit_code == 0, told.output
    folders = [str(tmp_path / name / "parts") for name in ("1of2", "2of2")]
    told = run.invoke(main, ["sim", "merge", *folders, "--out", str(tmp_path / "all")])
    assert told.exit_code == 0, told.output
    assert "Not finished" not in told.output
    assert len(study_of(tmp_path / "all").results().records) == 5 * 2 * 12
    out = str(tmp_path / "few")
    told = run.invoke(main, ["sim", "run", str(file), "--rep-shard", "1/4", "--out", out])
    assert told.exit_code == 0, told.output
    assert "This part of the replications is there" in told.output
    told = run.invoke(main, ["sim", "run", str(file), "--rep-shard", "2/4", "--out", f"{out}-2"])
    told = run.invoke(main, ["sim", "summary", f"{out}-2/parts"])
    assert "nothing to show yet" in told.output
    assert "DataFrame" not in told.output
    for option in ("--shard", "--rep-shard"):
        bad = run.invoke(main, ["sim", "run", str(file), option, "1"])
        assert f"{option}: '1' is not part/parts" in bad.output
