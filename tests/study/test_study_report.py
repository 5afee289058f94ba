"""The report of a study: everything is in one file, escaped, and nothing is left out silently."""

import builtins
import dataclasses
import re
import sys
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from study_cases import grid_results, results_of, rows_of

from causalkit.study import report_tables
from causalkit.study.published import compare
from causalkit.study.report import study_report

HEADER = {
    "name": "coverage & <bias>",
    "aims": "Is a < b?",
    "data_generators": "static panels",
    "estimands": "average effect",
    "methods": "ols, lasso",
}


class Reader(HTMLParser):
    """Text of each element by tag, tables as rows of cells, and whether tags are balanced."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found, self.tables, self.closed = [], {}, [], True
        self.feed(page)
        self.closed = self.closed and not self.open

    def handle_starttag(self, tag, _attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag in ("p", "code", "summary", "h2", "h3", "h1"):
            self.found.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self.closed = self.closed and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open[-1:]:
            if tag in ("td", "th"):
                self.tables[-1][-1][-1] += data
            if tag in self.found:
                self.found[tag][-1] += data

    def table(self, *heads):
        """Rows of the first table that has these heads, as a frame."""
        rows = next(rows for rows in self.tables if set(heads) <= set(rows[0]))
        return pd.DataFrame(rows[1:], columns=rows[0])


@pytest.fixture(autouse=True)
def no_figures_left():
    before = plt.get_fignums()  # of other tests in the same process
    yield
    assert plt.get_fignums() == before


@pytest.fixture(scope="module")
def study():
    """Two cells, two estimators, of which one fails three times in each cell."""
    grid = grid_results({"n": [100, 400]}, header=HEADER, provenance={"host": "<h>", "cpus": 2})
    return dataclasses.replace(
        grid,
        tracebacks={"d1": 'File "<x>"\nValueError: a & b', "unused": "never"},
        toml='[study]\nname = "<n>"',
    )


@pytest.fixture(scope="module")
def page(study):
    return study_report(study)


def test_the_page_is_one_balanced_file_with_everything_escaped(page):
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "@import" not in page
    read = Reader(page)
    assert read.closed
    assert read.found["h1"] == ["coverage & <bias>"]
    assert page.count("<h1>") == page.count("<footer>") == page.count("</html>") == 1


def test_the_design_is_stated_and_what_is_absent_is_said(page):
    read = Reader(page)
    assert read.found["h3"][:5] == [
        "Aims",
        "Data-generating mechanisms",
        "Estimands",
        "Methods",
        "Performance measures",
    ]
    assert read.found["p"][1:6] == [
        "Is a < b?",
        "static panels",
        "average effect",
        "ols, lasso",
        "Not stated.",
    ]
    assert "6 of 240 replications failed (2.5%)" in read.found["p"][0]


def test_replications_and_rules_are_listed(page):
    table = Reader(page).table("Planned", "R", "Ended by")
    assert table["Cell"].tolist() == ["n=100", "n=100", "n=400", "n=400"]
    assert table["Estimator"].tolist() == ["ols", "lasso"] * 2
    assert table["Planned"].tolist() == ["60"] * 4
    assert table["R"].tolist() == ["60", "57"] * 2
    assert table["Failed"].tolist() == ["0", "3"] * 2
    assert set(table["Ended by"]) == {"most replications of the plan"}


def test_measures_stand_with_their_monte_carlo_errors(page, study):
    table = Reader(page).table("Bias", "Coverage")
    assert {"Empirical SE", "RMSE", "Model SE"} <= set(table.columns)
    records = study.records[study.records["status"] == "ok"]
    error = (records["estimate"] - records["truth"]).groupby(
        [records["cell_id"], records["est_id"]], sort=False
    )
    for text, mean, se in zip(table["Bias"], error.mean(), error.sem(), strict=True):
        value, mcse = (float(part) for part in re.fullmatch(r"(.*) \((.*)\)", text).groups())
        places = len(text.split("(")[1].split(".")[1]) - 1
        assert value == pytest.approx(mean, abs=0.51 * 10**-places)
        assert mcse == pytest.approx(se, abs=0.51 * 10**-places)
        assert mcse > 0


def test_pictures_are_embedded_and_those_not_drawn_are_explained(page):
    assert page.count('<img src="data:image/png;base64,') >= 9
    told = [text for text in Reader(page).found["p"] if text.startswith("Not drawn")]
    assert len(told) == 1
    assert "Not drawn, p-values: the truth is the null (0) in none of the 2 cells" in told[0]


def test_failures_come_with_counts_messages_and_tracebacks(page):
    read = Reader(page)
    counts = read.table("Estimator", "error")
    assert counts.to_numpy().tolist() == [["lasso", "6"]]
    table = read.table("Exception", "Message", "Count")
    assert table["Message"].tolist() == ["singular <matrix>"] * 2
    assert table["Count"].tolist() == ["3", "3"]
    assert table["First replication"].tolist() == ["0", "0"]
    assert "Traceback d1 (6 times)" in read.found["summary"]
    assert 'File "<x>"\nValueError: a & b' in read.found["code"]
    assert "never" not in page


def test_three_analyses_count_a_failure_as_a_miss_only_in_the_worst_case(page, study):
    table = next(
        pd.DataFrame(rows[1:], columns=rows[0])
        for rows in Reader(page).tables[::-1]
        if "Worst case" in rows[0]
    )
    records = study.records[study.records["cell_id"] == "c0"]
    hit = records["truth"].between(records["conf_low"], records["conf_high"])
    ols, lasso = (hit[records["est_id"] == f"id-{name}"].to_numpy() for name in ("ols", "lasso"))
    shares = [[ols.mean(), ols[3:].mean(), ols.mean()], [lasso[3:].mean()] * 2 + [lasso.mean()]]
    for row, expected in zip(table.to_numpy()[:2], shares, strict=True):
        shown = [float(text.split(" ")[0]) for text in row[-3:]]
        assert np.allclose(shown, expected, atol=0.0006)


def test_a_study_without_failures_says_so():
    page = study_report(results_of(rows_of(np.arange(40.0))))
    assert "No replication failed." in page
    assert "Three analyses" not in page
    assert "<title>Simulation study</title>" in page


def test_the_origin_is_given(page):
    read = Reader(page)
    facts = read.table("Fact", "Value").set_index("Fact")["Value"].to_dict()
    assert facts == {"seed": "7", "host": "<h>", "cpus": "2"}
    assert '[study]\nname = "<n>"' in read.found["code"]
    assert "numpy " in page.split("<footer>")[1]


def test_the_page_is_written_to_a_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    page = study_report(results_of(rows_of(np.arange(40.0))), path=path)
    assert path.read_text(encoding="utf-8") == page


def test_a_comparison_says_what_differs_and_shows_every_entry():
    results = results_of(rows_of(np.arange(40.0), cell="c0"), rows_of(np.arange(40.0), cell="c1"))
    table = pd.DataFrame({"generator": "g", "n": [100, 200], "estimator": "e0", "measure": "bias"})
    table = table.assign(value=[19.5, 0.0], reps=40, digits=3, source="by hand")
    page = study_report(results, comparison=compare(results, table))
    assert "FAILED: 1 of 2 entries differ from ours" in page
    assert "Entries that differ, the farthest first:" in page
    assert "All 2 entries" in page
    assert (page.count("differs"), page.count("agrees")) == (2, 1)
    table["value"] = 19.5
    page = study_report(results, comparison=compare(results, table))
    assert "PASSED: 0 of 2 entries differ from ours" in page
    assert "the farthest first" not in page


def test_without_matplotlib_figures_are_left_out_and_it_is_said(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def blocked(name, *args, **options):
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", blocked)
    monkeypatch.setattr(
        "causalkit.optional.import_module", lambda name: blocked(name, fromlist=["x"])
    )
    page = study_report(results_of(rows_of(np.arange(40.0))))
    monkeypatch.undo()
    assert "<img" not in page
    assert "Figures are left out: plot_lollipop needs the package" in page
    assert 'pip install ".[plots]"' in Reader(page).found["p"][-2]


def test_a_study_that_has_not_begun_has_a_report():
    result = results_of(rows_of(np.arange(3.0)))
    page = study_report(dataclasses.replace(result, records=result.records.iloc[:0]))
    assert "No replication has been run yet." in page
    assert Reader(page).table("Planned", "R")["R"].tolist() == ["0"]


def test_long_tables_fold_and_longer_ones_are_cut_aloud(monkeypatch):
    from causalkit.study import report

    frame = pd.DataFrame({"a": range(70)})
    folded = report._table(frame, name="Rows")
    assert Reader(folded).found["summary"] == ["Rows: 70 rows"]
    assert len(Reader(folded).tables[0]) == 71
    monkeypatch.setattr(report, "_MOST_ROWS", 65)
    cut = report._table(frame, name="Rows")
    assert "Shown are the first 65 of 70 rows" in cut
    assert len(Reader(cut).tables[0]) == 66
    assert "<details>" not in report._table(frame.head(60), name="Rows")


def test_a_thousand_cells_have_a_page_of_few_pictures(monkeypatch):
    draws = np.random.default_rng(5).standard_normal((1000, 6))
    records = [rows_of(row, cell=f"c{k}") for k, row in enumerate(draws)]
    page = study_report(results_of(*records))
    read = Reader(page)
    assert "Performance: 1,000 rows" in read.found["summary"]
    assert len(read.table("Bias")) == 1000
    assert set(read.table("Bias")["Flag"]) == {"insufficient"}
    assert page.count("<img") <= 14
    assert "988 are left out" in page
    assert len(page) < 8e6


def test_values_are_written_in_decimals_that_their_errors_support():
    value, mcse = pd.Series([0.123456, np.nan, 2.0]), pd.Series([0.0123, np.nan, np.nan])
    assert report_tables.written(value, mcse).tolist() == ["0.1235 (0.0123)", "", "2.0000 (–)"]
