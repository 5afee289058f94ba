"""Each check at construction: the message names column, value and mend; all come at once."""

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData
from causalkit.errors import DataError

ROLES = {
    "outcome": "wage",
    "treatment": "union",
    "covariates": ["hours", "tenure"],
    "unit": "person",
    "time": "year",
}


def table():
    """Twelve rows, four people over three years, that pass every check."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "wage": rng.normal(size=12),
            "union": [0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0],
            "hours": rng.normal(size=12),
            "tenure": rng.normal(size=12),
            "person": np.repeat([11, 12, 13, 14], 3),
            "year": np.tile([2001, 2002, 2003], 4),
            "town": np.repeat(["a", "b"], 6),
            "lottery": rng.normal(size=12),
            "sampled": 1.0 + np.arange(12) % 3,
        }
    )


def put(column, row, value):
    """Table with one value replaced."""
    frame = table()
    if isinstance(value, float):
        frame[column] = frame[column].astype("float64")
    frame.loc[row, column] = value
    return frame


def found(frame, **changed):
    """Problems that construction reports."""
    with pytest.raises(DataError) as caught:
        CausalData.from_frame(frame, **(ROLES | changed))
    return caught.value.problems


def only(frame, **changed):
    """The one problem that construction reports."""
    (problem,) = found(frame, **changed)
    return problem


def says(problem, *fragments):
    """Whether a message has all fragments."""
    absent = [part for part in fragments if part not in problem.message]
    return not absent or pytest.fail(f"{absent} not in {problem.message!r}")


def test_the_clean_table_passes():
    assert CausalData.from_frame(table(), **ROLES).n == 12


def test_e01_an_absent_column_is_named_with_its_role_and_closest_match():
    problem = only(table(), covariates=["hours", "tenur"])
    assert (problem.code, problem.column) == ("E01-missing-column", "tenur")
    assert says(problem, "'tenur'", "covariates", "Did you mean 'tenure'?")


def test_e01_lists_the_columns_where_none_is_close():
    problem = only(table(), instruments="zzz")
    assert says(problem, "'zzz'", "Known: wage, union, hours")


def test_e02_a_column_has_one_role():
    problem = only(table(), covariates=["hours", "wage"])
    assert (problem.code, problem.column) == ("E02-duplicate-role", "wage")
    assert says(problem, "'wage'", "both as outcome and as covariates", "Remove one")


def test_e02_a_column_is_named_once_in_a_role_and_once_in_the_table():
    assert says(only(table(), covariates=["hours", "hours"]), "'hours'", "twice as covariates")
    frame = pd.concat([table(), table()[["hours"]]], axis=1)
    assert says(only(frame), "several columns called 'hours'", "rename all but one")


def test_e03_text_is_no_number_and_the_mend_is_a_category():
    problem = only(table(), covariates=["hours", "town"])
    assert (problem.code, problem.column) == ("E03-non-numeric", "town")
    assert says(problem, "'town'", "such as 'a'", "C(town)", "df['town'].astype('category')")


@pytest.mark.parametrize(
    ("values", "mend"),
    [
        (pd.date_range("2020-01-01", periods=6), "(df['when'] - df['when'].min()).dt.days"),
        (pd.to_timedelta(np.arange(6), unit="D"), "df['when'].dt.days"),
    ],
)
def test_time_becomes_days_and_not_categories(values, mend):
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0, 1] * 3, "when": values})
    with pytest.raises(DataError) as caught:
        CausalData.from_frame(frame, outcome="y", treatment="d", covariates="when")
    assert mend in str(caught.value)
    assert "category" not in str(caught.value)


def test_e03_an_outcome_cannot_be_a_category():
    frame = table()
    frame["wage"] = pd.Categorical(np.where(frame["wage"] > 0, "high", "low"))
    problem = only(frame)
    assert says(problem, "'wage' (outcome)", "category", "pd.to_numeric")
    assert "C(wage)" not in problem.message


@pytest.mark.parametrize(
    ("column", "code", "mend"),
    [
        ("wage", "E04-nan-outcome", "missing='drop'"),
        ("union", "E05-nan-treatment", "missing='drop'"),
        ("person", "E06-nan-id", "missing='drop'"),
        ("year", "E06-nan-id", "missing='drop'"),
        ("hours", "E07-nan-covariate", "'indicator', 'native'"),
        ("lottery", "E07-nan-covariate", "'indicator', 'native'"),
    ],
)
def test_e04_to_e07_a_missing_value_is_named_with_its_row(column, code, mend):
    problem = only(put(column, 5, np.nan), instruments="lottery")
    assert (problem.code, problem.column, problem.rows) == (code, column, (5,))
    assert says(problem, f"'{column}'", "missing in row 5", mend)


def test_the_first_ten_rows_are_kept_and_all_are_counted():
    frame = put("hours", slice(1, None), np.nan)
    problem = only(frame)
    assert problem.rows == tuple(range(1, 11))
    assert says(problem, "11 rows (first: 1, 2, 3)")


def test_e06_holds_for_clusters_and_strata_too():
    frame = put("town", 3, None)
    assert only(frame, cluster="town").code == "E06-nan-id"
    assert only(frame, strata="town").code == "E06-nan-id"


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("column", ["wage", "hours", "sampled"])
def test_e08_infinite_values_are_found_in_every_numeric_role(column, value):
    frame = put(column, 4, value)
    codes = {p.code: p for p in found(frame, weights="sampled", weight_kind="sampling")}
    problem = codes["E08-inf"]
    assert (problem.column, problem.rows) == (column, (4,))
    assert says(problem, f"'{column}' is infinite in row 4", "replace these values")


def test_e08_sees_infinity_beside_missing_values_and_in_nullable_columns():
    frame = put("hours", 2, np.inf)
    frame.loc[3, "hours"] = np.nan
    assert only(frame, missing="native").rows == (2,)
    frame = table()
    frame["hours"] = pd.array([np.inf, *range(11)], dtype="Float64")
    assert only(frame).code == "E08-inf"


def test_e08_a_sum_that_overflows_is_not_an_infinite_value():
    frame = table()
    frame["hours"] = np.where(np.arange(12) < 9, 1.5e308, -1e308)
    assert CausalData.from_frame(frame, **ROLES).n == 12


def test_e09_and_e10_nothing_varies():
    problem = only(table().assign(union=1))
    assert (problem.code, problem.column) == ("E09-constant-treatment", "union")
    assert says(problem, "'union' (treatment) is 1 in every row", "variation")
    problem = only(table().assign(wage=2.5))
    assert (problem.code, problem.column) == ("E10-constant-outcome", "wage")
    assert says(problem, "'wage' (outcome) is 2.5 in every row")


def test_e09_one_late_row_is_variation_enough():
    n = 2500
    frame = pd.DataFrame({"y": np.arange(n) % 7.0, "d": 0, "u": np.arange(n)})
    frame.loc[n - 1, "d"] = 1
    assert CausalData.from_frame(frame, outcome="y", treatment="d").n == n


def test_e10_a_table_without_rows_says_so():
    assert says(only(table().iloc[:0]), "no rows", "check the sample")


def test_e12_names_the_row_the_unit_and_the_time_that_are_repeated():
    frame = table()
    frame.loc[7, "year"] = 2001
    problem = only(frame)
    assert (problem.code, problem.rows) == ("E12-duplicate-unit-time", (7,))
    assert says(problem, "row 7 repeats unit 13 at time 2001", "on_duplicate='mean'")


def test_e12_finds_repeats_whatever_the_order_of_rows():
    frame = table()
    frame.loc[7, "year"] = 2001
    order = np.random.default_rng(3).permutation(12)
    expected = np.flatnonzero(frame.iloc[order].duplicated(["person", "year"]))
    assert only(frame.iloc[order]).rows == tuple(expected)


def test_e12_averages_repeats_if_asked_to():
    frame = table()
    frame.loc[7, "year"] = 2001
    data = CausalData.from_frame(frame, **ROLES, on_duplicate="mean")
    mean = frame.groupby(["person", "year"], sort=False)["wage"].mean().to_numpy()
    assert data.column("outcome") == pytest.approx(mean, rel=1e-14)
    assert sum(data.dropped.values()) == 1


def test_e13_units_lie_in_one_cluster_where_nesting_is_claimed():
    frame = put("town", 7, "a")
    problem = only(frame, cluster="town", nested=True)
    assert (problem.code, problem.column) == ("E13-unit-split-across-clusters", "town")
    assert problem.rows == (6, 7, 8)
    assert says(problem, "1 unit lies", "'town'", "first: 13 in 2", "nested=False")
    assert CausalData.from_frame(frame, **ROLES, cluster="town").n == 12
    assert CausalData.from_frame(table(), **ROLES, cluster="town", nested=True).n == 12


def test_e16_weights_need_a_kind_and_a_kind_needs_weights():
    problem = only(table(), weights="sampled")
    assert (problem.code, problem.column) == ("E16-weights", "sampled")
    assert says(problem, "'sampled' need weight_kind", "'sampling'", "'frequency'", "'precision'")
    assert says(only(table(), weight_kind="sampling"), "'sampling'", "no column is named")


@pytest.mark.parametrize(
    ("value", "kind", "fragments"),
    [
        (-1.5, "sampling", ("negative or missing in row 2", "-1.5", "at least 0")),
        (np.nan, "precision", ("negative or missing in row 2", "nan")),
        (1.5, "frequency", ("whole numbers", "row 2 has 1.5", "weight_kind='sampling'")),
    ],
)
def test_e16_values_that_are_no_weights_are_named(value, kind, fragments):
    problem = only(put("sampled", 2, value), weights="sampled", weight_kind=kind)
    assert (problem.code, problem.column, problem.rows) == ("E16-weights", "sampled", (2,))
    assert says(problem, "'sampled'", *fragments)


def test_e16_weights_are_not_all_zero():
    frame = table().assign(sampled=0.0)
    assert says(only(frame, weights="sampled", weight_kind="sampling"), "'sampled'", "all zero")


def test_e17_there_are_as_many_instruments_as_treatments():
    problem = only(table(), treatment=["union", "hours"], covariates=[], instruments="lottery")
    assert (problem.code, problem.column) == ("E17-rank", "lottery")
    assert says(problem, "1 instrument(s) (lottery) for 2 treatments", "at least as many")


@pytest.mark.parametrize(
    "copy",
    [
        lambda y: y,
        lambda y: -3.0 * y,
        lambda y: 1e6 + 0.001 * y,
        lambda y: 1e-200 * y,
        lambda y: 1e307 * y,
        lambda y: y.astype("float32"),
        lambda y: y.where(np.arange(12) != 4),
    ],
    ids=["same", "scaled", "shifted", "tiny", "huge", "rounded", "with-gaps"],
)
def test_e20_a_covariate_is_not_the_outcome_in_other_units(copy):
    frame = table()
    frame["tenure"] = copy(frame["wage"])
    problem = only(frame, missing="native")
    assert (problem.code, problem.column) == ("E20-leak", "tenure")
    assert says(problem, "'tenure' equals 'wage' up to scale and shift", "remove it")


def test_e20_a_category_or_modifier_can_be_the_treatment_as_well():
    frame = table()
    frame["tenure"] = pd.Categorical(np.where(frame["union"] == 1, "member", "other"))
    assert says(only(frame), "'tenure' equals 'union'")
    frame["tenure"] = 1 - frame["union"]
    problem = only(frame, covariates="hours", modifiers="tenure")
    assert says(problem, "'tenure' equals 'union'")


@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_e20_a_covariate_that_is_merely_close_passes(noise):
    frame = table()
    frame["tenure"] = frame["wage"] + noise * frame["tenure"]
    assert CausalData.from_frame(frame, **ROLES).n == 12


def test_e20_one_row_in_a_thousand_decides():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=5000), "d": rng.integers(0, 2, 5000)})
    frame["x"] = 2.0 * frame["y"] + 1.0
    with pytest.raises(DataError, match="E20"):
        CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x")
    frame.loc[3001, "x"] += 0.5
    assert CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x").n == 5000


@pytest.mark.parametrize(
    ("labels", "fragments"),
    [
        (["Jan", "Feb", "Mar"], ("'Jan'", "alphabetical order")),
        (["wave9", "wave10", "wave11"], ("'wave9'", "alphabetical order")),
        ([2001, "2002", 2003], ("mixes int and str",)),
        ([(1,), (2,), (3,)], ("tuple values",)),
    ],
)
def test_e21_time_that_has_no_order_is_refused(labels, fragments):
    frame = table()
    frame["year"] = pd.Series(labels * 4)
    problem = only(frame)
    assert (problem.code, problem.column) == ("E21-time-order", "year")
    assert says(problem, "'year'", *fragments, "pd.to_datetime", "ordered=True")


@pytest.mark.parametrize(
    "labels",
    [
        ["2001", "2002", "2003"],
        ["9", "10", "11"],
        ["2001Q1", "2001Q2", "2001Q3"],
        list(pd.period_range("2001", periods=3, freq="Y")),
        list(pd.date_range("2001", periods=3)),
        pd.Categorical(["Jan", "Feb", "Mar"], categories=["Jan", "Feb", "Mar"], ordered=True),
    ],
    ids=["years", "numbers", "quarters", "periods", "dates", "ordered"],
)
def test_e21_time_in_an_order_passes(labels):
    frame = table()
    values = pd.Series(labels)
    frame["year"] = values.take(np.tile(np.arange(3), 4)).reset_index(drop=True)
    data = CausalData.from_frame(frame, **ROLES)
    assert data.periods().tolist() == [0, 1, 2] * 4


def test_e22_integers_that_lose_digits_as_numbers_are_refused():
    frame = table()
    frame["hours"] = 2**53 + 2 * np.arange(12)
    problem = only(frame)
    assert (problem.code, problem.column) == ("E22-dtype-int-overflow", "hours")
    assert says(problem, "'hours'", str(2**53 + 22), "role of unit or cluster", "rescale")


def test_e22_the_smallest_integer_counts_by_its_size():
    frame = table()
    frame["hours"] = np.array([-(2**63), *range(11)])
    assert says(only(frame), str(2**63))


def test_e22_long_identifiers_are_fine_as_integers_but_not_as_floats():
    frame = table()
    frame["person"] = 2**53 + frame["person"]
    data = CausalData.from_frame(frame, **ROLES)
    assert data.codes("unit").tolist() == np.repeat(range(4), 3).tolist()
    frame["person"] = frame["person"].astype("float64")
    codes = {p.code: p for p in found(frame)}
    assert says(codes["E22-dtype-int-overflow"], "'person'", "lost digits", "integers or text")


def test_all_problems_come_together_and_the_error_lists_them():
    frame = table().assign(union=1)
    frame.loc[0, "wage"] = np.nan
    frame.loc[1, "hours"] = np.inf
    frame.loc[7, "year"] = 2001
    frame["tenure"] = frame["wage"] * 2
    with pytest.raises(DataError) as caught:
        CausalData.from_frame(frame, **ROLES, weights="sampled")
    codes = {problem.code[:3] for problem in caught.value.problems}
    assert codes == {"E04", "E07", "E08", "E09", "E12", "E16", "E20"}
    assert str(caught.value).startswith("7 problems:")
    assert all(f"[{problem.code}]" in str(caught.value) for problem in caught.value.problems)


def test_rows_are_those_of_the_table_that_was_given_also_after_some_were_left_out():
    frame = put("wage", 0, np.nan)
    frame.loc[5, "hours"] = np.inf
    assert only(frame, missing="drop").rows == (5,)
