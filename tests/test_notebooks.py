"""Notebooks and the pages of estimators run from top to bottom and print what they say."""

import contextlib
import io
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest
from nbclient import NotebookClient

import causalkit as ck

PAGE = Path(__file__).parents[1] / "docs" / "panel_dml.md"
FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
NUMBER = re.compile(r"-?\d+\.\d+")
ANY_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Any:
    """Each notebook with its outputs, run once by a kernel of this interpreter."""
    found: dict[str, Any] = {}

    def run(path: Path) -> Any:
        if path.stem not in found:
            notebook = jupytext.read(path)
            place = {"metadata": {"path": str(tmp_path_factory.mktemp(path.stem))}}
            # The kernel draws into the notebook, whatever backend the tests run with.
            settings = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
            client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place)
            client.execute(env=settings)
            found[path.stem] = notebook
        return found[path.stem]

    return run


def printed(cell: Any) -> str:
    """Everything that a cell shows as text."""
    texts = []
    for output in cell.get("outputs", []):
        texts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(texts)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_an_error_or_a_warning(executed, path):
    for cell in executed(path).cells:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output.get("text")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_prose_states_no_result_that_no_cell_above_printed(executed, path):
    above = ""
    for cell in executed(path).cells:
        if cell.cell_type == "markdown":
            assert set(NUMBER.findall(cell.source)) <= set(NUMBER.findall(above)), cell.source
        above += printed(cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_source_stores_no_output(path):
    assert "image/png" not in path.read_text(encoding="utf-8")


def test_the_union_sentence_carries_the_estimate_of_the_shipped_data(executed):
    cells = executed(FOLDER / "union_wage_premium.py").cells
    sentence = printed(cells[-1])
    data = ck.load_dataset("wage_panel")
    est = ck.PanelDML(time_effects="dummies", n_rep=5, random_state=0).fit(data)
    result = est.estimate()
    numbers = [float(found) for found in NUMBER.findall(sentence)]
    percent = 100 * math.expm1(result.estimate)
    assert numbers[:4] == pytest.approx(
        [result.estimate, result.std_error, *result.conf_int()], abs=5.1e-5
    )
    assert numbers[4:] == pytest.approx([percent], abs=0.051)
    assert "545 men" in sentence
    assert "4,360 observations" in sentence


def test_the_notebook_shows_the_published_within_estimate_and_standard_error(executed):
    text = "\n".join(printed(cell) for cell in executed(FOLDER / "union_wage_premium.py").cells)
    published = ck.load_dataset("wage_panel").published
    line = re.search(r"^fixed effects +([\d.]+) +([\d.]+)", text, flags=re.MULTILINE)
    assert line is not None
    assert float(line[1]) == pytest.approx(published["estimate"], abs=5e-5)
    assert float(line[2]) == pytest.approx(published["std_error"], abs=5e-5)


def test_the_union_notebook_draws_its_pictures(executed):
    cells = executed(FOLDER / "union_wage_premium.py").cells
    drawn = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output["data"] for output in drawn) == 4


def run_page(name: str, at_least: int, *, rel: float, absolute: float) -> None:
    """Run the blocks of a page in order, and compare what they print with what stands there."""
    text = (PAGE.parent / f"{name}.md").read_text(encoding="utf-8")
    parts = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, flags=re.DOTALL)
    assert len(parts) >= at_least
    space: dict[str, Any] = {}
    for code, shown in parts:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(code, name, "exec"), space)
        assert ANY_NUMBER.sub("#", said.getvalue()).split() == ANY_NUMBER.sub("#", shown).split()
        fresh, stale = (
            [float(found.replace(",", "")) for found in ANY_NUMBER.findall(part)]
            for part in (said.getvalue(), shown)
        )
        assert fresh == pytest.approx(stale, rel=rel, abs=absolute), code


@pytest.mark.parametrize(("name", "at_least"), [("panel_dml", 10), ("invalid_iv", 5), ("rate", 3)])
def test_blocks_of_a_page_run_in_order_and_print_what_stands_below_them(name, at_least):
    # Boosting may differ in the last digit between processors, so numbers get one percent.
    run_page(name, at_least, rel=0.01, absolute=0.002)


@pytest.mark.slow
def test_blocks_of_the_page_on_transtee_print_what_stands_below_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # One decimal is shown, and trained networks differ a little between processors.
    run_page("transtee", 13, rel=0.1, absolute=0.21)


@pytest.mark.slow
def test_blocks_of_the_page_on_images_print_what_stands_below_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Means of some hundred units; trained networks differ a little between processors.
    run_page("image_clusters", 6, rel=0.15, absolute=0.16)


def test_the_page_shows_the_published_answer_as_ours_and_a_peer_give_it():
    text = PAGE.read_text(encoding="utf-8")
    published = ck.load_dataset("wage_panel").published
    known = f"{published['estimate']:.4f} ({published['std_error']:.4f})"
    assert re.search(rf"^fixed effects +{re.escape(known)}$", text, flags=re.MULTILINE)
    rows = dict(re.findall(r"^(within|cre|peer) +(0\.0800 \(.*\))$", text, flags=re.MULTILINE))
    assert rows["within"] == rows["peer"] != rows["cre"]


def test_the_401k_notebook_says_what_one_sidedness_does_and_finds_card_weak(executed):
    cells = executed(FOLDER / "invalid_instrument_401k.py").cells
    text = "\n".join(printed(cell) for cell in cells)
    assert "one-sided non-compliance" in text
    published = ck.load_dataset("401k").published
    assert f"2SLS as published: {published['estimate']}" in text
    # Everything about Card comes after his counts; every verdict on strength there is weak.
    card = text[text.index("nearc4") :]
    assert card.count("is weak: read the Anderson-Rubin interval") == 2
    assert "is strong" not in card
    drawn = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output["data"] for output in drawn) == 4


def test_blocks_of_the_page_on_studies_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (PAGE.parent / "studies.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(code, "studies.md", "exec"), space)
    assert len(space["table"]) == 2 * 2 * 2
    assert space["confounded"](np.random.default_rng(0), n=10).truth.estimands == {"ate": 1.0}
    (toml,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert len(ck.Study.from_toml(toml).plan().cells) == 3


def test_the_transtee_notebook_draws_and_shows_what_attention_does_not_prove(executed):
    cells = executed(FOLDER / "transtee_dose_response.py").cells
    text = "\n".join(printed(cell) for cell in cells)
    outcomes, weights = (
        float(found) for found in re.findall(r"correlation of their \w+: +(-?[\d.]+)", text)
    )
    assert outcomes > 0.95
    assert weights < outcomes - 0.1
    error, naive = re.findall(
        r"root mean squared error of the curve: ([\d.]+);.*?([\d.]+)$", text, re.M
    )[0]
    assert float(error) < float(naive)
    assert "ExtrapolationWarning: 100% of the doses" in text
    drawn = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output["data"] for output in drawn) == 6


def test_the_notebook_on_a_satellite_trial_finds_types_and_marks_the_other_sensor(executed):
    cells = executed(FOLDER / "satellite_trial.py").cells
    text = "\n".join(printed(cell) for cell in cells)
    assert int(re.search(r"places whose type was found: (\d+)%", text)[1]) >= 95
    assert text.count("in the honest interval: True") == 2
    near, far = re.search(r"(\d+)% of the first 300 places, (\d+)% of the other", text).groups()
    assert int(near) <= 5
    assert int(far) > 30
    assert "ExtrapolationWarning" in text
    drawn = [output for cell in cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in output["data"] for output in drawn) == 4
