"""The command line: what it prints, what it writes, and how it refuses."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import LINEAR, ROLES, check_refused, run

import causalkit as ck
from causalkit import demo
from causalkit.errors import ArgumentError, FewClustersWarning


def without_time(summary: str) -> str:
    """A summary without its last line, which says how long the fit took."""
    return summary.strip().rpartition("\n")[0]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """40 firms over 4 years with effect 1."""
    rng = np.random.default_rng(7)
    firm = np.repeat(np.arange(40), 4)
    level = rng.standard_normal(40)[firm]
    x = level + rng.standard_normal(160)
    d = x + level + rng.standard_normal(160)
    y = d + x + level + rng.standard_normal(160)
    year, region = np.tile(np.arange(4), 40), firm % 35
    return pd.DataFrame({"firm": firm, "year": year, "y": y, "d": d, "x": x, "region": region})


@pytest.fixture(scope="module")
def csv(frame, tmp_path_factory) -> Path:
    """The frame as a file."""
    path: Path = tmp_path_factory.mktemp("files") / "firms.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def expected(csv):
    """What the library itself gives for the file."""
    data = ck.CausalData.from_frame(
        pd.read_csv(csv), outcome="y", treatment="d", covariates="x", unit="firm"
    )
    return ck.PanelDML(learner="linear", random_state=0).fit(data).estimate()


def test_version_is_the_package_version():
    assert run("--version").output.split()[-1] == ck.__version__


def test_info_as_json_is_what_info_returns():
    assert json.loads(run("info", "--json").stdout) == ck.info()


def test_info_as_text_names_every_version():
    text = run("info").stdout
    for name, version in ck.info()["versions"].items():
        assert any(line.split() == [name, version] for line in text.splitlines())


def test_data_list_shows_every_data_set():
    names = ck.list_datasets()["name"]
    listed = run("data", "list").stdout
    assert all(name in listed for name in names)
    assert [row["name"] for row in json.loads(run("data", "list", "--json").stdout)] == [*names]


def test_data_show_gives_columns_citation_and_published_answer():
    data = ck.load_dataset("mroz")
    text = run("data", "show", "mroz").stdout
    assert str(data.citation) in text
    assert str(data.published["estimate"]) in text
    facts = json.loads(run("data", "show", "mroz", "--json").stdout)
    assert facts["rows"] == len(data)
    assert {row["column"] for row in facts["columns"]} == set(data.describe()["column"])


def test_fit_prints_the_summary_of_the_fit_that_it_describes(csv, expected):
    result = run("fit", csv, *LINEAR, *ROLES)
    assert result.exit_code == 0
    assert without_time(result.stdout) == without_time(expected.summary())


@pytest.mark.parametrize("ending", ["csv", "parquet", "dta"])
def test_fit_as_json_is_the_result_as_json(ending, csv, frame, expected, tmp_path):
    path = csv
    if ending == "parquet":
        path = tmp_path / "firms.PARQUET"
        frame.to_parquet(path)
    if ending == "dta":
        path = tmp_path / "firms.dta"
        frame.to_stata(path, write_index=False)
    facts = json.loads(run("fit", path, *LINEAR, *ROLES, "--json").stdout)
    assert facts["estimates"] == pytest.approx(expected.estimates.tolist(), rel=1e-12)
    assert np.array(facts["vcov"]) == pytest.approx(expected.vcov, rel=1e-12)


def test_labels_of_a_stata_file_are_arms_and_an_outcome_with_labels_is_its_codes(frame, tmp_path):
    path = tmp_path / "firms.dta"
    both = frame.assign(d=(frame["d"] > 0).astype(int), y=(frame["y"] > 0).astype(int))
    labels = {"d": {0: "none", 1: "some"}, "y": {0: "low", 1: "high"}}
    both.to_stata(path, write_index=False, value_labels=labels)
    facts = json.loads(run("fit", path, *LINEAR, *ROLES, "--json").stdout)
    data = ck.CausalData.from_frame(both, outcome="y", treatment="d", covariates="x", unit="firm")
    same = ck.PanelDML(learner="linear", random_state=0).fit(data).estimate()
    assert facts["estimates"] == pytest.approx(same.estimates.tolist(), rel=1e-12)


def test_fit_takes_time_clusters_and_several_treatments(frame, tmp_path):
    path = tmp_path / "firms.parquet"
    frame.assign(d2=np.random.default_rng(1).standard_normal(160)).to_parquet(path)
    options = ["--treatment", "d2", "--time", "year", "--cluster", "region", "--seed", 3]
    facts = json.loads(run("fit", path, *LINEAR, *ROLES, *options, "--json").stdout)
    assert facts["terms"] == ["d", "d2"]
    assert (facts["n_periods"], facts["n_clusters"], facts["seed"]) == (4, 35, 3)


def test_fit_writes_every_format_into_the_folder(csv, expected, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert run("fit", csv, *LINEAR, *ROLES, "--out", folder).exit_code == 0
    tidy = pd.read_csv(folder / "tidy.csv")
    assert tidy["estimate"].tolist() == pytest.approx(expected.estimates.tolist(), rel=1e-12)
    saved = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    back = ck.EffectResult.from_dict(saved)
    assert back.estimates == pytest.approx(expected.estimates, rel=1e-12)
    assert r"\begin{tabular}" in (folder / "table.tex").read_text(encoding="utf-8")
    assert (folder / "table.md").read_text(encoding="utf-8").startswith("|")
    summary = (folder / "summary.txt").read_text(encoding="utf-8")
    assert without_time(summary) == without_time(expected.summary())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ["--estimator", "panel-dlm"],
            "Did you mean 'panel-dml'? Known: dragonnet, drnet, embedding-effect-clusters",
        ),
        (["--learner", "lasso"], "panel-dml takes one learner, got linear, lasso; name it once"),
        (["--kind", "contnuous"], "Did you mean 'continuous'?"),
        (["--outcome", "wage"], "'wage'"),
        (["--missing", "ignore"], "'ignore' is not one of"),
        (["--seed", "-1"], "-1"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_what_is_known(change, message, csv):
    result = run("fit", csv, *LINEAR, *ROLES, *change)
    check_refused(result, message)
    assert not result.stdout


def test_an_unknown_learner_is_refused_with_the_nearest(csv):
    result = run("fit", csv, "--estimator", "panel-dml", "--learner", "laso", *ROLES)
    assert result.exit_code == 2
    assert "Did you mean 'lasso'?" in result.stderr


def test_invalid_iv_chooses_among_the_learners_that_are_named(tmp_path):
    path = tmp_path / "instrument.csv"
    data = ck.generators.invalid_iv(0, n=1000).blind()
    data.frame.to_csv(path, index=False)
    roles = ["--outcome", "y", "--treatment", "a", "--instrument", "z"]
    covariates = ["--covariate", "l1", "--covariate", "l2"]
    learners = ["--learner", "linear", "--learner", "lasso"]
    given = ("fit", path, "--estimator", "invalid-iv", *learners, *roles, *covariates)
    facts = json.loads(run(*given, "--json").stdout)
    same = ck.InvalidIV(learners=["linear", "lasso"], random_state=0).fit(data).estimate()
    assert facts["estimates"] == pytest.approx(same.estimates.tolist(), rel=1e-9)


def test_a_kind_that_is_declared_is_the_kind_of_the_treatment(frame, tmp_path):
    path = tmp_path / "arms.csv"
    frame.assign(d=1 + 2 * (frame["d"] > 0)).to_csv(path, index=False)
    named = run("fit", path, *LINEAR, *ROLES, "--kind", "binary", "--json")
    assert json.loads(named.stdout)["contrast"] == ["3 vs 1"]
    assert json.loads(run("fit", path, *LINEAR, *ROLES, "--json").stdout)["contrast"] != ["3 vs 1"]


def test_bad_data_exit_with_2_and_the_code_of_the_problem(frame, tmp_path):
    path = tmp_path / "firms.csv"
    frame.assign(y=frame["y"].mask(frame.index == 5)).to_csv(path, index=False)
    result = run("fit", path, *LINEAR, *ROLES)
    assert result.exit_code == 2
    assert "'y'" in result.stderr
    assert "[E" in result.stderr
    assert run("fit", path, *LINEAR, *ROLES, "--missing", "drop").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("firms.xlsx", "a,b\n1,2\n", "ends in .parquet, .csv or .dta, or a store that ends in"),
        ("firms.zarr", "no folder", "cannot read 'firms.zarr'"),
        ("firms.csv", "", "cannot read 'firms.csv'"),
        ("firms.parquet", "no parquet", "cannot read 'firms.parquet'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    result = run("fit", path, *LINEAR, *ROLES)
    assert result.exit_code == 2
    assert message in result.stderr


IMAGES = ["--outcome", "y", "--treatment", "t", "--image", "image", "--image-key", "obs_place"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A trial of 520 places with small images in a zarr store."""
    pytest.importorskip("zarr")
    path: Path = tmp_path_factory.mktemp("stores") / "trial.zarr"
    ck.generators.image_rct(0, n_images=520, size=8, to_zarr=path)
    return path


def test_fit_reads_images_and_rows_from_a_store(store):
    pytest.importorskip("econml")
    asked = ["--estimator", "image-causal-forest", *IMAGES, "--seed", 3, "--json"]
    facts = json.loads(run("fit", store, *asked).stdout)
    data = ck.generators.image_rct(0, n_images=520, size=8).blind()
    straight = ck.ImageCausalForest(random_state=3).fit(data).estimate()
    assert facts["estimates"] == pytest.approx(straight.estimates.tolist(), rel=1e-6)


@pytest.mark.slow
def test_fit_finds_clusters_in_a_store(store):
    result = run("fit", store, "--estimator", "image-effect-clusters", *IMAGES)
    assert result.exit_code == 0
    assert "cluster 1" in result.stdout
    assert "Model-based effects" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (IMAGES[:4], "ImageEffectClusters needs the role 'image'"),
        (IMAGES[:6], "--image-key: the images of 'image' lie over 'place'"),
        ([*IMAGES[:5], "radar"], "--image: there is no 'radar' in the store; images: image."),
        ([*IMAGES[:7], "village"], "there is no column 'village'"),
    ],
)
def test_fit_names_what_it_lacks_of_the_images(store, options, message):
    result = run("fit", store, "--estimator", "image-effect-clusters", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_images_are_not_looked_for_in_a_table(csv):
    result = run("fit", csv, *LINEAR, *ROLES, "--image", "tile")
    assert result.exit_code == 2
    assert "--image: 'firms.csv' is a table" in result.stderr


def test_an_absent_file_and_an_unknown_data_set_exit_with_2(tmp_path):
    assert run("fit", tmp_path / "none.csv", *LINEAR, *ROLES).exit_code == 2
    result = run("data", "show", "wage")
    assert result.exit_code == 2
    assert "wagepan" in result.stderr


def test_warnings_are_one_line_on_standard_error(monkeypatch):
    def fake(*_: object, **__: object) -> Path:
        warnings.warn("only 8 clusters", FewClustersWarning, stacklevel=1)
        return Path("report.html")

    monkeypatch.setattr(demo, "run_demo", fake)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = run("demo")
    assert result.stderr.splitlines() == ["FewClustersWarning: only 8 clusters"]


def test_demo_keeps_results_apart_from_progress_and_opens_the_report_on_request(
    monkeypatch, tmp_path
):
    opened: list[str] = []

    def fake(out_dir, *, echo, progress):
        echo("a table")
        progress("a step")
        return out_dir / "report.html"

    monkeypatch.setattr(demo, "run_demo", fake)
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = run("demo", "--out", tmp_path)
    assert (result.stdout.splitlines()[0], result.stderr) == ("a table", "a step\n")
    assert str(tmp_path / "report.html") in result.stdout
    assert not opened
    run("demo", "--out", tmp_path, "--open")
    assert opened == [(tmp_path / "report.html").as_uri()]


def test_the_module_runs_as_a_program():
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "causalkit", "--help"], capture_output=True, text=True, check=True
    )
    assert "sim" in done.stdout


def test_a_data_set_is_written_to_a_file_that_fit_reads(tmp_path):
    path = tmp_path / "wages.parquet"
    assert run("data", "export", "mroz", path).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(path), ck.load_dataset("mroz").frame)
    refused = run("data", "export", "mroz", tmp_path / "wages.xlsx")
    assert refused.exit_code == 2
    assert "end it in .parquet, .csv or .dta" in refused.stderr
    assert "cannot write" in run("data", "export", "mroz", tmp_path / "no" / "wages.csv").stderr


def test_fit_takes_instruments_weights_and_strata(tmp_path, monkeypatch):
    frame = ck.generators.invalid_iv(0, n=200).blind().frame
    path = tmp_path / "trial.csv"
    frame.assign(w=np.linspace(1.0, 2.0, 200), block=np.arange(200) % 4).to_csv(path, index=False)
    seen = []

    def fit(_, data):
        seen.append(data.roles)
        raise ArgumentError("seen")

    monkeypatch.setattr(ck.InvalidIV, "fit", fit)
    asked = ["--outcome", "y", "--treatment", "a", "--instrument", "z", "--strata", "block"]
    asked += ["--weights", "w", "--weight-kind", "sampling"]
    assert "seen" in run("fit", path, "--estimator", "invalid-iv", *asked).stderr
    (roles,) = seen
    assert (roles.instruments, roles.weights, roles.weight_kind) == (("z",), "w", "sampling")
    assert roles.strata == "block"


def test_a_folder_that_cannot_be_made_is_named(csv, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    result = run("fit", csv, *LINEAR, *ROLES, "--out", blocked / "under")
    assert result.exit_code == 2
    assert f"cannot write into {blocked / 'under'}" in result.stderr


def test_a_full_disk_leaves_the_result_that_was_there(csv, tmp_path, full_disk):
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    result = run("fit", csv, *LINEAR, *ROLES, "--out", tmp_path)
    check_refused(result, f"cannot write into {tmp_path}: No space left")
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == "{}"
