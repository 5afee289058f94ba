"""The commands of ``causalkit sim``, as a user types them."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from study_toys import FILE, HERE, declared

from causalkit.cli import main
from causalkit.study.commands import _parsed
from causalkit.study.study import Study


def typed(*words, code=0):
    found = CliRunner().invoke(main, ["sim", *map(str, words)])
    assert found.exit_code == code, (found.exit_code, found.output, found.exception)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of a study with failures."""
    study = declared(
        tmp_path_factory.mktemp("commands"),
        estimators=[
            {"label": "difference", "use": "study_toys:difference"},
            {"label": "failing", "use": "study_toys:failing"},
        ],
        reps={"min": 40, "max": 40, "batch": 20},
        budget={"max_fail_share": 0.9},
    )
    study.run()
    return study.results_folder


def test_the_template_is_a_study_that_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "causalkit sim check mine.toml" in typed("new", "mine").output
    study = Study.from_toml(tmp_path / "mine.toml")
    assert study.name == "mine"
    assert len(study.plan().cells) == 3
    assert study.stop
    assert "exists; name another file" in typed("new", "mine.toml", code=2).output


def test_a_full_disk_leaves_no_part_of_the_template(tmp_path, full_disk):
    assert "No space left" in typed("new", tmp_path / "mine.toml", code=2).output
    assert not list(tmp_path.iterdir())


def test_the_three_lines_of_the_readme_run_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed("new", "study.toml")
    text = (tmp_path / "study.toml").read_text()
    small = text.replace("min = 100, max = 1000, batch = 100", "min = 4, max = 4, batch = 4")
    assert small != text
    (tmp_path / "study.toml").write_text(small)
    checked = typed("check", "study.toml").output
    assert "3 cells × 2 estimators" in checked
    assert "Seconds per fit" in checked
    ran = typed("run", "study.toml", "--workers", 2, code=4).output
    assert "Some targets are not met" in ran
    shown = typed("summary", "results/study").output
    assert "Coverage" in shown
    assert "Mundlak, ridge" in shown


def test_check_tells_of_failures_and_exits_with_three(tmp_path):
    path = tmp_path / "toy.toml"
    text = FILE.format(seconds=0.0, backend="serial", out=tmp_path / "out")
    broken = text.replace("study_toys:slow", "study_toys:failing").replace(
        "seconds = 0.0", "share = 1.0"
    )
    path.write_text(broken)
    (tmp_path / "study_toys.py").write_text((HERE / "study_toys.py").read_text())
    found = typed("check", path, code=3)
    assert "the dice fell badly" in found.output
    problems = json.loads(typed("check", path, "--json", code=3).stdout)["problems"]
    assert len(problems) == 2


def test_a_pilot_tells_how_many_replications_a_target_takes(tmp_path):
    from causalkit.study.pilot import pilot

    study = declared(tmp_path, stop={"bias": 0.02, "coverage": 0.01})
    needed = pilot(study, reps=40).needed.set_index("measure")["replications"]
    assert needed["coverage"] == 475
    # n = 20: the difference of two means of ten has variance 0.2.
    assert 0.5 < needed["bias"] / (0.21 / 0.02**2) < 2.0


def test_a_wrong_file_exits_with_two_and_names_the_key(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text("[study]\nnmae = 'x'\n")
    for command in ("check", "run"):
        assert "Did you mean 'name'" in typed(command, path, code=2).output


def test_only_takes_cells_and_estimators_by_name(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(FILE.format(seconds=0.0, backend="serial", out=tmp_path / "out"))
    (tmp_path / "study_toys.py").write_text((HERE / "study_toys.py").read_text())
    report = json.loads(typed("run", path, "--only", "n=40,est=slow", "--json").stdout)
    assert report["n_new"] == 20
    assert _parsed("est=a, b,est=c,n=40,form=u") == {"est": ["a, b", "c"], "n": 40, "form": "u"}
    assert "is not name=value" in typed("run", path, "--only", "n", code=2).output
    fresh = json.loads(typed("run", path, "--fresh", "--json").stdout)
    assert fresh["n_new"] == 40
    assert any("moved to" in line for line in fresh["repairs"])
    assert len(list((tmp_path / "out").glob("toy.old-*"))) == 1


def test_status_and_failures_count_what_failed(folder):
    status = json.loads(typed("status", folder, "--json").output)
    failed = {row["Estimator"]: 0 for row in status}
    for row in status:
        failed[row["Estimator"]] += row["Failed"]
    assert failed["difference"] == 0
    assert failed["failing"] > 0
    rows = json.loads(typed("failures", folder, "--json").output)
    assert len(rows) == failed["failing"]
    assert "Traceback" in typed("failures", folder, "--traceback").output


def test_summary_gives_what_the_python_interface_gives(folder):
    rows = json.loads(typed("summary", folder, "--measure", "bias", "--json").output)
    from causalkit.study.collect import collect
    from causalkit.study.summary import summarise

    frame = summarise(collect(folder), measures=["bias"])
    assert [row["value"] for row in rows] == pytest.approx(frame["value"].to_list(), abs=1e-14)
    assert "difference_mcse" in typed("summary", folder, "--reference", "difference").output
    assert (
        "Did you mean 'coverage'" in typed("summary", folder, "--measure", "coverge", code=2).output
    )


def test_export_holds_every_record_with_its_names(folder, tmp_path):
    for name, read in (("r.csv", pd.read_csv), ("r.parquet", pd.read_parquet)):
        typed("export", folder, "--out", tmp_path / name)
        frame = read(tmp_path / name)
        assert len(frame) == 2 * 2 * 40
        assert set(frame["label"]) == {"difference", "failing"}
        assert set(frame["n"]) == {20, 40}
    assert (
        "must end in .csv or .parquet"
        in typed("export", folder, "--out", tmp_path / "r.xls", code=2).output
    )


def test_pictures_and_report_are_written(folder, tmp_path):
    typed("plot", folder, "--kind", "zip", "--kind", "lollipop", "--out", tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["lollipop.png", "zip.png"]
    assert "Did you mean 'zip'" in typed("plot", folder, "--kind", "zipp", code=2).output
    typed("report", folder, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page
    assert "the dice fell badly" in page


def test_replay_shows_one_replication_and_runs_one_estimator(folder):
    from causalkit.study.collect import collect, study_of

    results = collect(folder)
    record = results.records[results.records["status"] == "ok"].iloc[3]
    labels = results.estimators.set_index("est_id")["label"]
    words = ["--cell", record["cell_id"][:10], "--rep", record["rep"]]
    shown = typed("replay", folder, *words, "--estimator", labels[record["est_id"]]).output
    assert "truth: {'ate': 1.0}" in shown
    assert "Estimate" in shown
    again = study_of(folder).replay(
        record["cell_id"][:10], int(record["rep"]), labels[record["est_id"]]
    )
    assert again.results[0].estimate == record["estimate"]
    assert "names no cell" in typed("replay", folder, "--cell", "zz", "--rep", 0, code=2).output


def test_compare_needs_a_table_and_fails_with_five(folder, tmp_path):
    assert "names no published table" in typed("compare", folder, code=2).output
    rows = "n,estimator,measure,value,reps,digits,source\n"
    for shift, code in ((0.0, 0), (3.0, 5)):
        path = tmp_path / f"table{code}.csv"
        entries = [f"{n},difference,bias,{shift},1000,3,hand" for n in (20, 40)]
        path.write_text("generator," + rows + "".join(f"study_toys:toy,{e}\n" for e in entries))
        typed("compare", folder, "--reference", path, code=code)


def test_a_folder_without_a_study_is_said_to_be_one(tmp_path):
    for command in ("status", "summary", "plot", "failures", "report"):
        assert "holds no results of a study" in typed(command, tmp_path, code=2).output


def test_generators_are_listed():
    names = [row["name"] for row in json.loads(typed("generators", "--json").output)]
    assert {"panel_fp2024", "invalid_iv", "ihdp"} <= set(names)


@pytest.mark.parametrize("command", ["export", "plot", "report"])
def test_a_place_that_cannot_be_written_is_said_with_the_mend(folder, tmp_path, command):
    (tmp_path / "file").write_text("not a folder")
    name = {"export": "r.csv", "plot": "figures", "report": "r.html"}[command]
    said = typed(command, folder, "--out", tmp_path / "file" / name, code=2).output
    assert f"cannot write {tmp_path / 'file' / name}" in said
    assert "Name another place (--out)" in said
    assert "run.out" not in said


def test_every_reading_command_has_json(folder, tmp_path):
    drawn = json.loads(typed("plot", folder, "--kind", "zip", "--out", tmp_path, "--json").output)
    assert drawn == {"zip": str(tmp_path / "zip.png")}
    out = ["--out", tmp_path / "new" / "r.csv", "--json"]
    assert json.loads(typed("export", folder, *out).output)["records"] == 160
    out = ["--out", tmp_path / "new" / "r.html", "--json"]
    assert json.loads(typed("report", folder, *out).output) == {"path": str(out[1])}
    cell = json.loads(typed("summary", folder, "--json").output)[0]["cell_id"]
    words = ["--cell", cell, "--rep", 3, "--estimator", "difference", "--json"]
    found = json.loads(typed("replay", folder, *words).output)
    assert (found["cell"], found["rep"], found["truth"]) == (cell, 3, {"ate": 1.0})
    assert len(found["results"]) == 1


def test_a_study_without_failures_says_so(tmp_path):
    study = declared(tmp_path, reps=2)
    study.run()
    assert typed("failures", study.results_folder).output == "no replication failed\n"
    assert json.loads(typed("failures", study.results_folder, "--json").output) == []


def test_blocks_of_a_former_declaration_are_told(tmp_path):
    old = {"label": "old", "use": "study_toys:slow", "args": {"seconds": 0.0}}
    new = {"label": "new", "use": "study_toys:difference"}
    declared(tmp_path, reps=2, estimators=[old, new]).run()
    study = declared(tmp_path, reps=2, estimators=[new])
    study.run()
    found = typed("status", study.results_folder, "--json")
    assert {row["Estimator"] for row in json.loads(found.stdout)} == {"new"}
    told = "4 replications of 2 pairs of cell and estimator as they were before (old)"
    assert told in found.stderr
    assert told in study.report()


def test_status_of_a_run_that_was_cut_short_says_what_was_declared(tmp_path):
    study = declared(tmp_path, reps={"min": 40, "max": 40, "batch": 20})
    assert "Ended before all was done" in str(study.run(max_reps=10))
    status = json.loads(typed("status", study.results_folder, "--json").output)
    assert {(row["Planned"], row["R"]) for row in status} == {(40, 10)}
    assert {row["Ended by"] for row in status} == {"not finished"}
    # Summaries use what is there.
    assert set(study.results().plan["n_planned"]) == {10}


def test_a_study_without_targets_does_not_say_that_they_are_met(tmp_path):
    told = str(declared(tmp_path / "none", reps=4).run())
    assert "All replications are there; the study declares no targets" in told
    assert "targets are met" not in told
    aimed = declared(tmp_path / "some", reps=4, stop={"bias": 100.0}).run()
    assert "All targets are met." in str(aimed)
