"""Published tables: what is read, what belongs to what, and the arithmetic of the verdict."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from handmade_results import records_of, results_of
from scipy import stats

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.metrics import MEASURES
from causalkit.study.published import compare, holm
from causalkit.study.published_match import rounding_sd
from causalkit.study.published_tables import (
    list_references,
    param_columns,
    parameters_of,
    read_reference,
)
from causalkit.study.summary import summarise

BASE = {"estimator": "A", "measure": "bias", "value": 0.1, "reps": 50, "digits": 2, "source": "p 3"}


def rows(*changes):
    """A reference made of the base row with changes; a value of None leaves the column out."""
    table = pd.DataFrame([{**BASE, **change} for change in changes])
    return table.dropna(axis="columns", how="all")


def study(*parts, cells=None):
    """Two estimators with 200 replications each in cells n = 100, 200."""
    rng = np.random.default_rng(4)
    made = [
        records_of(c, e, 1.0 + shift + rng.normal(0, 1, 200))
        for c in ("c1", "c2")
        for e, shift in (("a", 0.0), ("b", 2.0))
    ]
    return results_of(*(parts or made), cells=cells)


def entry(comparison, **where):
    keep = np.ones(len(comparison.table), dtype=bool)
    for name, value in where.items():
        keep &= (comparison.table[name] == value).to_numpy()
    assert keep.sum() == 1
    return comparison.table[keep].iloc[0]


# ---- shipped tables ----------------------------------------------------------------------------


def test_every_shipped_table_is_about_a_generator_and_measures_that_exist():
    listed = list_references()
    figures = {f"fp2024_figure{k}" for k in (3, 4, 5, 6, 7, 8, 9)}
    assert set(listed["name"]) == {*figures, "cp2025_slides"}
    for name in listed["name"]:
        table = read_reference(name)
        assert set(table["measure"]) <= set(MEASURES)
        assert (table["reps"] == 100).all()
        assert table["precision"].notna().all()
        for generator, own in table.groupby("generator"):
            cells = own[param_columns(own)].drop_duplicates().to_dict("records")
            for cell in cells:
                small = {**cell, "n_units": 4, "n_periods": 3}
                make = getattr(ck.generators, generator)
                assert len(make(0, **small)) == 12


# Read in section 8 of the specification, which took them from the papers.
KNOWN = [
    ("fp2024_figure4", "q25_estimate", "CRE", {"structure": "C", "form": "u-shaped"}, 0.993),
    ("fp2024_figure4", "median_estimate", "Early FE", {"structure": "B", "form": "linear"}, 0.993),
    ("fp2024_figure4", "q75_estimate", "Oracle FE", {"structure": "C", "form": "linear"}, 1.009),
    ("fp2024_figure4", "median_estimate", "OLS", {"structure": "A", "form": "linear"}, 1.35),
    ("fp2024_figure3", "median_estimate", "PDML, unit", {}, 1.233),
    ("fp2024_figure5", "q75_estimate", "Early FE", {"structure": "C"}, 1.679),
    ("fp2024_figure9", "median_estimate", "Late FE", {"structure": "C", "form": "u-shaped"}, 1.19),
    ("fp2024_figure6", "mae", "Dummies", {"n_confounders": 7}, 0.187),
    ("fp2024_figure7", "mae", "CRE", {"n_units": 2000}, 0.021),
    ("fp2024_figure8", "mae", "Early FE", {"n_units": 5000}, 0.753),
    ("cp2025_slides", "bias", "CRE, boosting", {"dgp": 2, "n_units": 1000}, -0.04),
    ("cp2025_slides", "rmse", "CRE, CART", {"dgp": 3, "n_units": 4000}, 0.13),
    ("cp2025_slides", "se_ratio", "CRE, forest", {"dgp": 3, "n_units": 100}, 0.23),
]


@pytest.mark.parametrize(("name", "measure", "estimator", "params", "value"), KNOWN)
def test_shipped_numbers_stand_where_the_papers_have_them(name, measure, estimator, params, value):
    table = read_reference(name)
    keep = (table["measure"] == measure) & (table["estimator"] == estimator)
    for key, wanted in params.items():
        keep &= table[key] == wanted
    assert table.loc[keep, "value"].tolist() == [value]


def test_quartiles_are_in_order_and_numbers_read_by_eye_say_so():
    for name in ("fp2024_figure3", "fp2024_figure4", "fp2024_figure5", "fp2024_figure9"):
        table = read_reference(name)
        key = [*param_columns(table), "estimator"]
        wide = table.pivot(index=key, columns="measure", values="value")
        assert (wide["q25_estimate"] <= wide["median_estimate"]).all()
        assert (wide["median_estimate"] <= wide["q75_estimate"]).all()
        by_eye = table["source"].str.contains("by eye")
        assert (table.loc[by_eye, "precision"] == 0.02).all()
        assert (table.loc[~by_eye, "precision"] <= 0.01).all()


def test_fixed_effects_computed_here_agree_with_the_published_box_plot():
    """Ours are least squares on demeaned columns, which share no code with the harness."""
    parts, grid = [], [("C", "u-shaped"), ("B", "linear")]
    cells = pd.DataFrame(grid, columns=["structure", "form"]).assign(
        cell_id=["c1", "c2"], generator="panel_fp2024", version=1, n_units=500, n_periods=10
    )
    for cell, (structure, form) in zip(("c1", "c2"), grid, strict=True):
        found = [within(structure, form, seed) for seed in range(100)]
        parts.append(records_of(cell, "a", found, se=0.01))
    reference = read_reference("fp2024_figure4")
    comparison = compare(results_of(*parts, cells=cells), reference, labels={"Fixed effects": "A"})
    assert comparison.passed
    assert comparison.n_compared == 6
    assert len(comparison.table) == len(reference)


def within(structure, form, seed):
    data = ck.generators.panel_fp2024(seed, structure=structure, form=form)
    columns = [data.frame[name].to_numpy(float).reshape(500, 10) for name in ("y", "d", "x1")]
    y, d, x = ((c - c.mean(1, keepdims=True)).ravel() for c in columns)
    return np.linalg.lstsq(np.column_stack([d, x]), y, rcond=None)[0][0]


# ---- reading -----------------------------------------------------------------------------------


def test_a_csv_file_and_the_table_itself_are_read_alike(tmp_path):
    table = rows({"n": 100}, {"n": 200, "value": -0.25})
    path = tmp_path / "mine.csv"
    table.to_csv(path, index=False)
    assert read_reference(path).equals(read_reference(table))
    assert read_reference(path)["value"].tolist() == [0.1, -0.25]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": None}, "has no column 'source'"),
        ({"value": None, "values": 1.0}, r"has no column 'value'.*Rename 'values'\?"),
        ({"Estimand": "ate"}, "unknown column 'Estimand'; did you mean 'estimand'"),
        ({"digits": None}, "neither a column 'digits' nor 'precision'"),
        ({"reps": None}, "neither a column 'reps' nor 'mcse'"),
        ({"value": "1.2*"}, r"column 'value' must hold finite numbers.*row 2: '1.2\*'"),
        ({"reps": 0}, "column 'reps' must be counts from 1; row 2: 0.0"),
        ({"reps": 1.5}, "column 'reps' must be counts from 1; row 2: 1.5"),
        ({"digits": -1}, "column 'digits' must be counts; row 2"),
        ({"source": " "}, "column 'source' must not be empty; row 2"),
        ({"precision": 0.0}, "column 'precision' must be positive; row 2"),
        ({"mcse": -0.1}, "column 'mcse' must not be negative; row 2"),
        ({"digits": np.nan}, "'digits' is empty, and so is 'precision': give one of them; row 2"),
        ({"measure": "coverage", "value": 95.0}, r"must lie in \[0, 1\] for shares; .*row 2: 95.0"),
        ({}, "has two values of estimator=A, measure=bias"),
    ],
)
def test_what_cannot_be_used_is_refused_with_column_row_and_mend(change, message):
    about_columns = None in change.values() or "Estimand" in change
    table = rows(change) if about_columns else rows({}, change)
    with pytest.raises(ArgumentError, match=message):
        read_reference(table)


def test_a_parameter_that_the_generator_does_not_have_is_refused_with_the_nearest():
    table = rows({"generator": "panel_fp2024", "n_unit": 500})
    wanted = "'n_unit', which is no parameter of panel_fp2024. Did you mean 'n_units'"
    with pytest.raises(ArgumentError, match=wanted):
        read_reference(table)


def test_names_that_do_not_exist_list_those_that_do(tmp_path):
    with pytest.raises(ArgumentError, match=r"'fp2024_figur4'.*Did you mean 'fp2024_figure4'"):
        read_reference("fp2024_figur4")
    with pytest.raises(ArgumentError, match=r"there is no file .*x.csv.*shipped tables are named"):
        read_reference(str(tmp_path / "x.csv"))
    with pytest.raises(ArgumentError, match="has no rows"):
        read_reference(rows({}).iloc[:0])


# ---- arithmetic --------------------------------------------------------------------------------


def test_rounding_is_the_spread_of_what_printing_and_reading_take_away():
    rng = np.random.default_rng(0)
    exact = rng.uniform(0, 10, 200_000)
    printed = np.round(exact, 2) - exact
    read = printed + rng.uniform(-0.02, 0.02, exact.size)
    assert rounding_sd(2, np.nan) == pytest.approx(printed.std(), rel=0.01)
    assert rounding_sd(2, 0.02) == pytest.approx(read.std(), rel=0.01)


def test_z_is_the_distance_in_units_of_all_three_errors():
    results = study()
    error = results.records.query("cell_id == 'c1' and est_id == 'a'")["estimate"] - 1.0
    found = compare(results, rows({"n": 100, "value": 0.3, "reps": 50}))
    mine = error.std() / np.sqrt(200)
    theirs = error.std() / np.sqrt(50)  # our spread with their replications
    wanted = (error.mean() - 0.3) / np.sqrt(mine**2 + theirs**2 + 0.01**2 / 12)
    row = found.table.iloc[0]
    assert row["z"] == pytest.approx(wanted, rel=1e-12)
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(wanted)), rel=1e-10)
    assert (row["ours_mcse"], row["theirs_mcse"]) == pytest.approx((mine, theirs))


def test_a_stated_error_and_that_of_a_share_take_the_place_of_ours():
    results = study()
    stated = rows({"n": 100, "mcse": 0.25}).assign(reps=np.nan)
    assert compare(results, stated).table["theirs_mcse"].iloc[0] == 0.25
    share = rows({"n": 100, "measure": "coverage", "value": 0.9})
    assert compare(results, share).table["theirs_mcse"].iloc[0] == pytest.approx(
        np.sqrt(0.9 * 0.1 / 50)
    )
    # A share of 1 is no certainty on either side: (x + 2)/(R + 4), as Agresti & Coull have it.
    sure = records_of("c1", "a", np.full(40, 1.0))
    certain = rows({"n": 100, "measure": "coverage", "value": 1.0})
    row = compare(study(sure), certain).table.iloc[0]
    assert row["theirs_mcse"] == pytest.approx(np.sqrt((52 / 54) * (2 / 54) / 50))
    assert row["ours_mcse"] == pytest.approx(np.sqrt((42 / 44) * (2 / 44) / 40))
    assert row["z"] == 0.0


def test_adjusted_p_values_are_those_of_holm():
    from statsmodels.stats.multitest import multipletests

    table = rows(*({"n": n, "estimator": e} for n in (100, 200) for e in "AB"))
    table["value"] = [0.05, 1.8, 0.3, 2.4]
    found = compare(study(), table).table
    reject, wanted, _, _ = multipletests(found["p"], alpha=0.01, method="holm")
    np.testing.assert_allclose(found["p_holm"], wanted, rtol=1e-12)
    assert found["passed"].tolist() == (~reject).tolist()


def test_adjusted_p_values_never_fall_below_those_of_smaller_ones():
    """Holm (1979): 0.02 · 4 exceeds 0.021 · 3, so that the second inherits the first's."""
    found = holm(np.array([0.021, 0.02, np.nan, 0.9, 0.5]))
    np.testing.assert_allclose(found, [0.08, 0.08, np.nan, 1.0, 1.0], rtol=1e-12)


def test_one_number_far_off_fails_the_table_and_noise_does_not():
    near = rows({"n": 100, "value": 0.0}, {"n": 100, "estimator": "B", "value": 2.0})
    assert compare(study(), near).passed
    found = compare(study(), near.assign(value=[0.0, 1.0]))
    assert not found.passed
    assert found.table["status"].tolist() == ["agrees", "differs"]
    assert "1 of 2 entries differ from ours" in found.verdict
    only, every = found.entries_html(differing=True), found.entries_html()
    assert (only.count("differs"), only.count("agrees")) == (1, 0)
    assert (every.count("differs"), every.count("agrees")) == (1, 1)
    # The bound is alpha: a table is passed or not by moving it past its smallest p-value.
    smallest = compare(study(), near).table["p_holm"].min()
    assert not compare(study(), near, alpha=min(smallest * 1.01, 0.999)).passed or smallest == 1


def test_a_true_table_fails_about_as_often_as_it_may():
    """Published numbers drawn from the same law as ours: at most alpha of tables fail."""
    rng = np.random.default_rng(2)
    failed = 0
    for _ in range(60):
        ours = results_of(*(records_of("c1", e, 1 + rng.normal(0, 1, 100)) for e in "abc"))
        theirs = [round(rng.normal(0, 1, 50).mean(), 2) for _ in "abc"]
        table = rows(*({"estimator": e, "value": v} for e, v in zip("ABC", theirs, strict=True)))
        failed += not compare(ours, table.assign(n=100), alpha=0.2).passed
    # Expected at most 12 (a little fewer, as Holm gives something away); 3 SD = 9.
    assert 2 <= failed <= 21


# ---- what belongs to what ----------------------------------------------------------------------


def test_every_entry_is_there_and_what_was_not_run_says_why():
    table = rows(
        {"n": 100},
        {"n": 300},
        {"n": 100, "estimator": "Z"},
        {"n": 100, "estimand": "att"},
        {"n": 100, "measure": "relative_bias"},
    ).assign(digits=2)
    found = compare(study(), table)
    assert found.table["status"].tolist() == [
        "agrees",
        "not run: no such cell",
        "not run: no estimator 'Z'",
        "not run: no estimand 'att', only ate",
        "agrees",
    ]
    assert (found.n_compared, found.passed, found.unpublished) == (2, True, ("B",))
    assert found.table["passed"].isna().tolist() == [False, True, True, True, False]
    for text in (found.summary(), found.to_markdown(), found.to_html()):
        assert "3 of 5 entries were not compared" in text
        assert text.count("not run") == 3
        assert "p 3" in text


def test_a_comparison_without_anything_in_common_has_not_passed():
    found = compare(study(), rows({"n": 300}))
    assert not found.passed
    assert "none of 1 published entries could be compared; not run: no such cell" in found.summary()


def test_defaults_are_filled_in_on_both_sides():
    cells = pd.DataFrame({"cell_id": ["c1", "c2"], "generator": "panel_fp2024", "version": 1})
    cells = cells.assign(ar=[0.0, 0.9])
    assert parameters_of("panel_fp2024")["n_units"] == 500
    table = rows({"generator": "panel_fp2024", "n_units": 500})
    found = compare(study(cells=cells), table)
    assert len(found.table) == 1
    assert found.table["status"].iloc[0] == "agrees"
    error = study().records.query("cell_id == 'c1' and est_id == 'a'")["estimate"] - 1.0
    assert found.table["ours"].iloc[0] == pytest.approx(error.mean())
    other = rows({"generator": "panel_fp2024", "n_units": 501})
    assert compare(study(cells=cells), other).table["status"].iloc[0] == "not run: no such cell"


def test_cells_of_another_generator_are_other_cells():
    cells = pd.DataFrame({"cell_id": ["c1", "c2"], "generator": ["g", "h"], "version": 1, "n": 100})
    found = compare(study(cells=cells), rows({"n": 100, "generator": "h"}))
    assert len(found.table) == 1
    error = study().records.query("cell_id == 'c2' and est_id == 'a'")["estimate"] - 1.0
    assert found.table["ours"].iloc[0] == pytest.approx(error.mean())


def test_several_estimands_must_be_named():
    both = [records_of("c1", "a", np.arange(40.0), estimand=e) for e in ("ate", "att")]
    found = compare(study(*both), rows({"n": 100}, {"n": 100, "estimand": "att"}))
    assert "estimands ate, att; name one" in found.table["status"].iloc[0]
    assert entry(found, estimand="att")["n_ok"] == 40


def test_replications_that_are_not_there_yet_are_not_run():
    results = study(records_of("c1", "a", np.arange(40.0)))
    more = pd.DataFrame({"cell_id": ["c1"], "est_id": ["b"], "n_planned": [0], "rule": "running"})
    named = pd.DataFrame({"est_id": ["b"], "label": "B", "use": "u", "args": "{}"})
    results = replace(
        results,
        plan=pd.concat([results.plan, more]),
        estimators=pd.concat([results.estimators, named]),
    )
    found = compare(results, rows({"n": 100, "estimator": "B"}))
    assert found.table["status"].iloc[0] == "not run: 'B' has no replications yet"


def test_too_few_replications_give_no_verdict():
    found = compare(study(records_of("c1", "a", [1.1])), rows({"n": 100}))
    assert found.table["status"].iloc[0].startswith("no value: too few replications (1)")
    assert found.table["ours"].iloc[0] == pytest.approx(0.1)


def test_labels_translate_and_must_exist():
    table = rows({"n": 100, "estimator": "theirs", "value": 2.0})
    found = compare(study(), table, labels={"theirs": "B"})
    assert found.passed
    assert found.table["label"].iloc[0] == "B"
    with pytest.raises(ArgumentError, match=r"estimator of the study in labels 'C'.*Known: A, B"):
        compare(study(), table, labels={"theirs": "C"})
    with pytest.raises(ArgumentError, match=r"estimator of the reference in labels 'their'"):
        compare(study(), table, labels={"their": "B"})


def test_measures_and_parameters_that_nobody_has_are_refused():
    with pytest.raises(ArgumentError, match=r"measure in the reference 'biass'.*Did you mean"):
        compare(study(), rows({"n": 100, "measure": "biass"}))
    with pytest.raises(ArgumentError, match=r"parameter in the reference: column 'm'"):
        compare(study(), rows({"m": 100}))
    with pytest.raises(ArgumentError, match="alpha must lie strictly between 0 and 1, got 5"):
        compare(study(), rows({"n": 100}), alpha=5)


def test_a_summary_serves_as_well_as_the_results():
    table = rows({"n": 100, "value": 0.3}, {"n": 200, "estimator": "B"})
    whole = compare(study(), table).table
    found = compare(summarise(study()), table).table
    pd.testing.assert_frame_equal(found, whole)
    with pytest.raises(ArgumentError, match=r"no column 'n_periods'.*summary.assign\(n_periods="):
        compare(summarise(study()), table.assign(n_periods=10))
    with pytest.raises(ArgumentError, match="no rows of bias"):
        compare(summarise(study(), measures=["mse"]), table)


def test_a_parameter_with_the_name_of_a_column_is_kept_apart():
    cells = pd.DataFrame({"cell_id": ["c1", "c2"], "generator": "g", "version": 1, "p": [3, 5]})
    for column in ("p", "param_p"):
        found = compare(study(cells=cells), rows({column: 3}))
        assert found.table["param_p"].tolist() == [3]
        assert 0 < found.table["p"].iloc[0] <= 1
