"""Tables of a study for print."""

import io
import re
from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner
from study_toys import HERE

from causalkit.cli import main
from causalkit.errors import ArgumentError
from causalkit.study.printing import FORMS, printed
from causalkit.study.report_tables import performance_title
from causalkit.study.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = Study(
        name="print_me",
        seed=4,
        aims="x",
        reps=30,
        generators=[{"name": "study_toys:toy", "grid": {"n": [10, 20]}}],
        estimators=[{"label": "100% & _mine_", "use": "study_toys:difference"}],
        run_options={"backend": "serial", "out": str(tmp_path_factory.mktemp("out"))},
        folder=HERE,
    )
    made.run()
    return made


def test_every_form_holds_the_same_values(study):
    value = study.summarise(measures=["bias"]).iloc[0]
    found = {form: study.table(["bias"], form=form) for form in FORMS}
    # Without signs, for which each form has its own.
    cells = [re.findall(r"(\d+\.\d+) ?\((\d+\.\d+)\)", text) for text in found.values()]
    assert all(one == cells[0] and len(one) == 2 for one in cells)
    assert float(cells[0][0][0]) == pytest.approx(abs(value["value"]), abs=0.01)
    assert float(cells[0][0][1]) == pytest.approx(value["mcse"], abs=0.01)
    assert r"100\% \& \_mine\_" in found["latex"]
    assert r"\begin{tabular}" in found["latex"]
    assert "100% &amp; _mine_" in found["html"]
    assert len(pd.read_csv(io.StringIO(found["csv"]))) == 2


@pytest.mark.parametrize("form", FORMS)
def test_the_command_prints_what_python_gives(study, form):
    folder = str(study.results_folder)
    told = CliRunner().invoke(main, ["sim", "summary", folder, "--format", form])
    assert told.exit_code == 0, told.output
    if form != "text":
        assert told.output == study.table(form=form)
    assert "Bias" in told.output


def test_titles_name_the_estimand_and_the_level_that_no_column_does(study):
    told = "print_me: value (Monte-Carlo error); estimand ate; intervals of 95 %"
    assert told in " ".join(study.table(["coverage"]).split())
    assert told.replace("%", r"\%") in study.table(["coverage"], form="latex").replace(r"\_", "_")
    results = replace(study.results(), level=0.9)
    summary = study.summarise(measures=["bias"])
    both = pd.concat([summary, summary.assign(estimand="att")])
    assert performance_title(results, both).endswith("error); intervals of 90 %")


def test_differences_from_a_reference_stand_beside_the_measure(tmp_path):
    made = Study(
        name="two",
        seed=4,
        aims="x",
        reps=30,
        generators=[{"name": "study_toys:toy", "grid": {"n": [10]}}],
        estimators=[
            {"label": "a", "use": "study_toys:difference"},
            {"label": "b", "use": "study_toys:jittered"},
        ],
        run_options={"backend": "serial", "out": str(tmp_path)},
        folder=HERE,
    )
    made.run()
    ask = ["sim", "summary", str(made.results_folder), "--measure", "bias", "--reference", "a"]
    page = CliRunner().invoke(main, [*ask, "--format", "markdown"]).output
    assert "Bias, difference" in page
    assert "cell_id" not in page
    assert "difference_mcse" in CliRunner().invoke(main, [*ask, "--format", "csv"]).output


def test_long_tables_have_forms_too(study):
    folder = str(study.results_folder)
    ask = ["sim", "summary", folder, "--by", "n", "--measure", "bias", "--format", "csv"]
    table = pd.read_csv(io.StringIO(CliRunner().invoke(main, ask).output))
    expected = study.summarise(measures=["bias"], by=["n"])
    assert table["value"].to_list() == pytest.approx(expected["value"].to_list(), rel=1e-12)
    cube = study.to_xarray(measures=["bias"], by=["n"])
    assert cube["value"].values.ravel() == pytest.approx(expected["value"].to_numpy(), rel=1e-12)


def test_what_is_missing_is_blank_and_an_unknown_form_refused():
    frame = pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", None]})
    assert printed(frame, "markdown").count("nan") == 0
    with pytest.raises(ArgumentError, match="latx"):
        printed(frame, "latx")
