"""A dose may be missing for the arms that take none, and for no others."""

import numpy as np
import pandas as pd
import pytest

from causalkit import CausalData
from causalkit.data import Requires
from causalkit.data.doses import arms_without_dose
from causalkit.errors import DataError

PAIR = {"outcome": "y", "treatment": ["arm", "dose"], "kinds": ("multi", "dose")}


def trial(n=12):
    """Rows 0, 3, 6, ... take nothing, 1, 4, ... and 2, 5, ... take a dose."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.standard_normal(n), "x": rng.standard_normal(n)})
    frame["arm"] = np.array(["none", "low", "high"])[np.arange(n) % 3]
    frame["dose"] = np.where(frame["arm"] == "none", np.nan, 1.0 + rng.random(n))
    return frame


def build(frame, **more):
    return CausalData.from_frame(frame, **(PAIR | {"covariates": "x"} | more))


def problems(frame, **more):
    with pytest.raises(DataError) as caught:
        build(frame, **more)
    return caught.value.problems


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "Int64"])
def test_an_arm_whose_every_dose_is_missing_takes_none(dtype):
    frame = trial()
    data = build(frame.assign(dose=frame["dose"].round().astype(dtype)))
    assert arms_without_dose(data.frame, data.roles) == ("none",)
    described = data.describe().set_index("column")
    assert described.loc["dose", "missing"] == 4


@pytest.mark.parametrize(
    ("arms", "without"),
    [
        (pd.Categorical(trial()["arm"], categories=["none", "low", "high"]), "none"),
        (np.arange(12) % 3, 0),
        ((np.arange(12) % 3 > 0), False),
    ],
)
def test_arms_may_be_categories_numbers_or_truth_values(arms, without):
    kinds = ("binary" if np.asarray(arms).dtype == bool else "multi", "dose")
    data = build(trial().assign(arm=arms), kinds=kinds)
    assert arms_without_dose(data.frame, data.roles) == (without,)


def test_a_dose_that_only_some_rows_of_an_arm_have_is_an_error_for_every_such_arm():
    frame = trial(60)
    frame.loc[[4, 7, 13, 22], "dose"] = np.nan
    frame.loc[6, "dose"] = 1.0
    low, none = problems(frame)
    assert (low.code, low.column, low.rows) == ("E05-nan-treatment", "dose", (4, 7, 13, 22))
    assert low.message == (
        "column 'dose' (treatment) is missing in 4 rows (first: 4, 7, 13) of the 20 of arm 'low' "
        "and given in the others; an arm takes a dose in all of its rows or in none. Fill these "
        "in, leave them out with missing='drop', or, if the arm takes none, empty all: "
        "df.loc[df['arm'] == 'low', 'dose'] = float('nan')."
    )
    assert none.rows == (0, 3, 9, 12, 15, 18, 21, 24, 27, 30)
    assert "missing in 19 rows (first: 0, 3, 9) of the 20 of arm 'none'" in none.message
    # What the message says to do does away with it.
    frame.loc[frame["arm"] == "low", "dose"] = float("nan")
    frame.loc[frame["arm"] == "none", "dose"] = float("nan")
    assert arms_without_dose(build(frame).frame, build(frame).roles) == ("low", "none")


@pytest.mark.parametrize("missing", ["drop", "indicator", "native"])
def test_dropping_leaves_out_lost_doses_and_keeps_the_arms_without_one(missing):
    frame = trial()
    frame.loc[[4, 7], "dose"] = np.nan
    data = build(frame, missing=missing)
    assert data.dropped == {"dose missing": 2}
    assert data.dropped_ids == (4, 7)
    assert data.frame["arm"].value_counts().to_dict() == {"none": 4, "high": 4, "low": 2}


@pytest.mark.parametrize("dtype", [str, object])
def test_a_row_without_an_arm_has_lost_its_arm_and_not_its_dose(dtype):
    frame = trial().astype({"arm": dtype})
    frame.loc[0, "arm"] = None
    (problem,) = problems(frame)
    assert (problem.column, problem.rows) == ("arm", (0,))


def test_a_dose_that_nobody_takes_is_no_treatment():
    (problem,) = problems(trial().assign(dose=np.nan))
    assert problem.code == "E09-constant-treatment"
    assert "no arm takes a dose; leave it out: treatment='arm'" in problem.message
    build(trial(), treatment="arm", kinds=None)


def test_a_dose_that_is_the_same_for_all_who_take_one():
    frame = trial()
    (problem,) = problems(frame.assign(dose=frame["dose"].where(frame["dose"].isna(), 2.0)))
    assert problem.code == "E09-constant-treatment"
    assert "'dose' (treatment) is 2.0 in every row that has a value;" in problem.message


@pytest.mark.parametrize(
    "roles",
    [
        {"treatment": "dose", "kinds": ("dose",)},
        {"treatment": "dose", "kinds": ("continuous",)},
        {"treatment": ["arm", "dose"], "kinds": ("multi", "continuous")},
        {"treatment": ["dose", "arm"], "kinds": ("dose", "multi")},
    ],
)
def test_any_other_amount_is_needed_in_every_row(roles):
    (problem,) = problems(trial(), **roles)
    assert (problem.code, problem.column) == ("E05-nan-treatment", "dose")
    assert "column 'dose' (treatment) is missing in 4 rows (first: 0, 3, 6)" in problem.message


def test_kinds_that_are_not_declared_are_asked_for():
    (problem,) = problems(trial(), kinds=None)
    assert problem.message.endswith(
        "if it is the dose of 'arm' and some arms take none, declare kinds=('multi', 'dose')."
    )


@pytest.mark.parametrize("kinds", [None, ("binary", "binary", "continuous")])
def test_one_of_three_treatments_may_be_missing_whether_kinds_are_declared_or_not(kinds):
    frame = pd.DataFrame(
        {"y": [1.0, 2, 3, 4], "b1": [0, 1, 0, 1], "b2": [0, 1, None, 1], "d": [1.0, 3, 2, 5]}
    )
    (problem,) = problems(frame, treatment=["b1", "b2", "d"], covariates=(), kinds=kinds)
    assert problem.message == (
        "column 'b2' (treatment) is missing in row 2; leave these rows out with missing='drop', "
        "or mend the column."
    )


def test_a_lag_among_several_treatments_is_missing_as_any_treatment_is():
    frame = trial().assign(unit=np.arange(12) % 3, time=np.arange(12) // 3)
    panel = build(frame, treatment="x", covariates=(), kinds=None, unit="unit", time="time")
    panel = panel.assign(after=panel.lag("x"), before=panel.lag("x", -1), later=panel.lag("x", 2))
    with pytest.raises(DataError) as caught:
        panel.with_roles(treatment=("before", "x", "after", "later"))
    found = [(problem.code, problem.column) for problem in caught.value.problems]
    assert found == [("E05-nan-treatment", name) for name in ("before", "after", "later")]


def test_parts_copies_and_files_keep_the_arms_without_a_dose(tmp_path):
    data = build(trial())
    assert data.subset([0, 3]).frame["dose"].isna().all()
    assert data.filter(data.frame["arm"] != "high").frame["dose"].isna().sum() == 4
    data.save(tmp_path / "data")
    again = CausalData.load(tmp_path / "data")
    assert again.digest() == data.digest()
    assert arms_without_dose(again.frame, again.roles) == ("none",)


def test_further_rows_take_doses_as_the_data_do():
    data = build(trial())
    only_none = trial().query("arm == 'none'")
    assert len(data.like(only_none)) == 4
    both = trial()
    both.loc[both["arm"] == "low", "dose"] = np.nan
    both.loc[both["arm"] == "none", "dose"] = 2.0
    with pytest.raises(DataError) as caught:
        data.like(both)
    told = sorted(problem.message for problem in caught.value.problems)
    assert told == [
        "arm 'low' has none in these rows and takes a dose in the data; fill in 'dose'.",
        "arm 'none' has a dose in these rows and takes none in the data; make it missing where "
        "'arm' is 'none'.",
    ]


def test_an_estimator_of_doses_must_say_that_it_takes_arms_without_one():
    data, kinds = build(trial()), ("multi", "dose")
    data.require(Requires(treatment_kinds=kinds, allows_no_dose=True), by="Est")
    with pytest.raises(DataError) as caught:
        data.require(Requires(treatment_kinds=kinds), by="Est")
    (problem,) = caught.value.problems
    assert (problem.code, problem.column, problem.rows) == (
        "E05-nan-treatment",
        "dose",
        (0, 3, 6, 9),
    )
    assert problem.message == (
        "Est needs a dose in every row, and 'dose' is missing in 4 rows (first: 0), those of arm "
        "'none'; TransTEE takes arms without a dose, or leave them out with "
        "data.filter(data.frame['dose'].notna())."
    )
    mended = data.filter(data.frame["dose"].notna())
    mended.require(Requires(treatment_kinds=("binary", "dose")), by="Est")
    # An estimator that knows no doses says that, and no more.
    with pytest.raises(DataError) as caught:
        data.require(Requires(), by="Est")
    assert {problem.code for problem in caught.value.problems} == {"E24-treatment-kind"}


def several(**columns):
    frame = pd.DataFrame(
        {
            "y": np.arange(6.0),
            "c": ["none", "low", "high"] * 2,
            "cd": [np.nan, 1.0, 2.0] * 2,
            "s": [0, 1] * 3,
            "sd": [np.nan, 0.5, np.nan, 0.7, np.nan, 0.9],
        }
    ).assign(**columns)
    kinds = ("multi", "dose", "binary", "dose")
    return CausalData.from_frame(frame, outcome="y", treatment=["c", "cd", "s", "sd"], kinds=kinds)


def test_doses_of_several_treatments_are_zero_where_none_is_taken():
    with pytest.raises(DataError) as caught:
        several()
    told = {problem.column: problem.message for problem in caught.value.problems}
    assert "wherever 'c' is 'none'" in told["cd"]
    assert told["sd"].endswith("has dose 0, df['sd'] = df['sd'].fillna(0).")
    assert "missing='drop'" not in told["sd"]
    assert len(several(cd=[0.0, 1.0, 2.0] * 2, sd=[0.0, 0.5, 0.0, 0.7, 0.0, 0.9])) == 6


def test_a_dose_that_only_some_rows_of_an_arm_lack_is_not_called_zero():
    with pytest.raises(DataError) as caught:
        several(cd=np.arange(6.0), sd=[np.nan, 0.5, 0.1, 0.5, np.nan, 0.5])
    assert "missing='drop'" in str(caught.value)
    assert "fillna" not in str(caught.value)
