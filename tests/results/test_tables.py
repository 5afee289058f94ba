"""Results side by side."""

import pickle

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.results import ResultTable, table


def test_terms_are_in_rows_and_models_in_columns(make, make_clustered):
    shown = table(
        [make(), make_clustered([0.1, 0.2], names=["union", "married"])], names=["a", "b"]
    )
    frame = shown.frame
    assert list(frame.columns) == ["a", "b"]
    assert list(frame.index[:4]) == [
        ("union", "estimate"),
        ("union", "std_error"),
        ("married", "estimate"),
        ("married", "std_error"),
    ]
    assert frame.loc[("union", "estimate"), "a"] == "0.0800"
    assert frame.loc[("union", "std_error"), "a"] == "(0.0227)"
    assert frame.loc[("married", "estimate"), "a"] == ""
    assert frame.loc[("Observations", "fact")].tolist() == ["4,360", "1,000"]
    assert frame.loc[("Clusters", "fact")].tolist() == ["545", "200"]


def test_what_differs_between_models_gets_a_row_and_what_they_share_a_note(make):
    shown = table([make(), make(outcome="hours")], names=["a", "b"])
    assert shown.frame.loc[("Outcome", "fact")].tolist() == ["lwage", "hours"]
    assert "Estimand: average treatment effect (ATE)." in shown.to_text()
    same = table([make(), make()], names=["a", "b"])
    assert ("Outcome", "fact") not in same.frame.index
    assert "Outcome: lwage." in same.to_text()


def test_one_result_is_a_table_of_one(make):
    assert table(make()).to_text() == table([make()]).to_text()


def test_rows_of_different_levels_each_say_theirs(make):
    narrow = make(level=0.9)
    shown = table([make(), narrow], names=["a", "b"], layout="rows")
    assert shown.frame["Level"].tolist() == ["95%", "90%"]
    assert "Interval" in shown.frame.columns
    low, high = narrow.conf_int()
    assert shown.frame["Interval"].iloc[1] == f"[{low:.4f}, {high:.4f}]"
    same = table([narrow, narrow], names=["a", "b"], layout="rows").frame
    assert "90% interval" in same.columns
    assert "Level" not in same.columns


def test_stars_are_off_by_default_and_explained_where_on(make):
    plain = table([make()]).to_text()
    assert "*" not in plain
    starred = table([make(0.08, 0.0227), make(0.08, 0.045), make(0.08, 0.2)], stars=True)
    cells = starred.frame.loc[("union", "estimate")].tolist()
    assert cells == ["0.0800***", "0.0800*", "0.0800"]
    assert "*** p < 0.01, ** p < 0.05, * p < 0.1." in starred.to_text()


def test_every_rendering_names_each_clustering(make):
    robust = make(inference="heteroskedasticity-robust, not clustered", df=np.inf)
    shown = table([make(), make(), robust], names=["A", "B", "C"])
    for text in (str(shown), shown.to_html(), shown.to_latex(), shown.to_markdown()):
        flat = " ".join(text.replace("\\", "").split())
        assert "A; B: cluster-robust (unit, 545 clusters), small-sample factor G/(G-1)" in flat
        assert "C: heteroskedasticity-robust, not clustered; normal distribution." in flat
    assert shown._repr_html_() == shown.to_html()


def test_names_come_from_the_mapping_the_argument_or_the_estimators(make):
    first, second = make(), make(estimator="Within")
    assert table({"x": first, "y": second}).names == ("x", "y")
    assert table([first, second]).names == ("PanelDML (cre)", "Within")
    assert table([first, first]).names == ("(1) PanelDML (cre)", "(2) PanelDML (cre)")


def test_tidy_and_glance_stack_all_models(make):
    shown = table([make(), make(0.2)], names=["a", "b"])
    assert shown.tidy()["model"].tolist() == ["a", "b"]
    assert shown.tidy()["estimate"].tolist() == [0.08, 0.2]
    assert list(shown.tidy().columns[1:]) == list(make().tidy().columns)
    assert shown.glance(backend="polars")["model"].to_list() == ["a", "b"]


def test_latex_has_one_column_per_model_and_a_rule_before_the_counts(make):
    text = table([make(), make()], names=["a_1", "b&2"], stars=True).to_latex(
        caption="c", label="l"
    )
    assert r"\begin{tabular}{lrr}" in text
    assert r" & a\_1 & b\&2 \\" in text
    assert "\\midrule\nObservations & 4,360 & 4,360" in text


def test_many_results_stand_in_rows_with_their_intervals(make):
    results = {f"model {place}": make(0.01 * place, n=100 + place) for place in range(7)}
    shown = table(results, stars=True)
    low, high = results["model 6"].conf_int()
    assert shown.frame.loc[("model 6", "union")].tolist() == [
        "0.0600***",
        "0.0227",
        f"[{low:.4f}, {high:.4f}]",
        "106",
    ]
    text = " ".join(shown.to_text().split())
    assert "model 6 0.0600*** 0.0227 [0.0154, 0.1046] 106 ---" in text
    assert "Effect of union. Outcome: lwage. Units: 545. Periods: 8. Clusters: 545." in text
    assert "Standard errors: cluster-robust" in text
    assert table(results, layout="columns").frame.shape == (6, 7)


def test_rows_name_the_term_where_there_are_several(make, make_clustered):
    shown = table({"a": make(), "b": make_clustered([0.1], names=["hours"])}, layout="rows")
    assert [line.split("  ")[0] for line in shown.to_text().splitlines()[3:5]] == [
        "a: union",
        "b: hours",
    ]
    with pytest.raises(ArgumentError, match="unknown layout 'wide'"):
        table([make()], layout="wide")


def test_a_table_pickles(make):
    shown = table([make()], names=["a"])
    again = pickle.loads(pickle.dumps(shown))
    assert isinstance(again, ResultTable)
    assert str(again) == str(shown)


def test_bad_input_is_explained(make):
    with pytest.raises(ArgumentTypeError, match=r"got float; call \.estimate\(\)"):
        table([0.5])
    with pytest.raises(ArgumentError, match="1 results and the names"):
        table([make()], names=["a", "b"])
    with pytest.raises(ArgumentError, match="all different"):
        table([make(), make()], names=["a", "a"])
    with pytest.raises(ArgumentError, match="at least one result"):
        table([])


def test_a_result_without_an_outcome_has_no_empty_note_of_it():
    rng = np.random.default_rng(0)
    worth = ck.rank_average_treatment_effect(rng.standard_normal(60), np.arange(60.0), seed=0)
    page = str(table([worth.as_effects()]))
    assert "Outcome:" not in page
