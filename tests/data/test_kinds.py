"""Declared kinds of treatments: two numbers are two arms, and a wrong kind is refused by name."""

import warnings

import numpy as np
import pandas as pd
import pytest

from causalkit import CausalData
from causalkit.data import Requires
from causalkit.data.levels import contrasts
from causalkit.errors import ArgumentError, DataError

ARMS = np.array([1, 3, 3, 1, 1, 3, 1, 3])


def table(values):
    return pd.DataFrame({"y": np.sin(np.arange(len(values))), "d": values})


def data_of(values, kinds=None, **roles):
    return CausalData.from_frame(table(values), outcome="y", treatment="d", kinds=kinds, **roles)


@pytest.mark.parametrize(
    ("low", "high"), [(1, 3), (-1, 1), (0, 2), (1.0, 1.5), ("no", "yes"), (False, True), (0, 1)]
)
def test_two_values_declared_binary_are_zero_and_one_in_order(low, high):
    data = data_of(np.where(ARMS == 3, high, low), "binary")
    np.testing.assert_array_equal(data.column("treatment"), ARMS == 3)
    zero_one = low == 0 and high == 1
    assert contrasts(data) == ("1 vs 0" if zero_one else f"{high} vs {low}",)
    assert data.matrix_names("treatment") == ("d" if zero_one else f"d={high}",)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("cash", "none", True),
        ("drug", "placebo", True),
        ("control", "treated", False),
        ("no", "none", False),
        ("a", "b", False),
    ],
)
def test_text_whose_order_makes_a_control_the_treated_arm_is_told(first, second, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = data_of(np.where(ARMS == 3, first, second))
        data.subset(np.arange(6))  # once
    assert contrasts(data) == (f"{second} vs {first}",)
    assert len(caught) == told
    if told:
        assert f"effects are those of {second!r} against {first!r}" in str(caught[0].message)
    arms = pd.Categorical(np.where(ARMS == 3, first, second), [second, first])
    assert contrasts(data_of(arms)) == (f"{first} vs {second}",)


def test_numbers_whose_kind_is_not_declared_stay_per_unit():
    data = data_of(ARMS)
    np.testing.assert_array_equal(data.column("treatment"), ARMS)
    assert contrasts(data) == ("dY/dD",)


def test_each_treatment_has_its_own_contrasts():
    frame = table(ARMS).assign(arm=list("abcabcab"), dose=np.linspace(0.0, 1.0, 8), b=[0, 1] * 4)
    columns = ["d", "arm", "dose", "b"]
    kinds = ["binary", "multi", "continuous", "binary"]
    data = CausalData.from_frame(frame, outcome="y", treatment=columns, kinds=kinds)
    assert contrasts(data) == ("3 vs 1", "b vs a", "c vs a", "dY/dD", "1 vs 0")
    assert len(contrasts(data)) == len(data.matrix_names("treatment"))


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([0, 1, 2, 0, 1, 2, 0, 1], "binary", r"'d' was declared binary.*holds 3: 0, 1, 2\."),
        (np.linspace(0, 1, 8), "binary", r"holds 8: 0\.0, .*Declare \"multi\" if"),
        (list("abcabcab"), "binary", r"holds 3: 'a', 'b', 'c'\. Declare \"multi\""),
        (["no", "yes"] * 4, "continuous", r"declared continuous, which is numbers, and holds 2"),
        (["no", "yes"] * 4, "dose", r"declared dose.*Declare \"binary\" or \"multi\""),
    ],
)
def test_a_treatment_that_is_not_of_its_declared_kind_is_refused(values, kind, message):
    with pytest.raises(DataError, match=message) as told:
        data_of(values, kind)
    assert told.value.code == "E24-treatment-kind"


def test_a_single_value_declared_binary_is_told_once():
    with pytest.raises(DataError) as told:
        data_of([3] * 8, "binary")
    assert [problem.code for problem in told.value.problems] == ["E09-constant-treatment"]


def test_infinity_is_no_arm():
    with pytest.raises(DataError, match="E08-inf"):
        data_of([1.0, np.inf] * 4, "binary")


@pytest.mark.parametrize("kind", ["float64", "Int64"])
def test_arms_of_two_whole_numbers_are_the_same_where_some_are_missing(kind):
    values = pd.Series(ARMS).astype(kind)
    values[2] = pd.NA if kind == "Int64" else np.nan
    data = data_of(values, "binary", missing="drop")
    np.testing.assert_array_equal(data.column("treatment"), np.delete(ARMS, 2) == 3)
    assert contrasts(data) == ("3 vs 1",)
    np.testing.assert_array_equal(data.like(table([3.0, 1.0])).column("treatment"), [1.0, 0.0])


def test_every_view_keeps_two_numbers_as_arms(tmp_path):
    data = data_of(ARMS, "binary")
    data.save(tmp_path / "saved")
    again = CausalData.load(tmp_path / "saved")
    assert again.digest() == data.digest()
    some = data.subset(np.flatnonzero(ARMS == 3))
    views = (data.assign(d=ARMS), data.assign(z=1), data.like(table(ARMS)), data.blind())
    for made in (again, *views):
        np.testing.assert_array_equal(made.matrix("treatment")[:, 0], ARMS == 3)
    np.testing.assert_array_equal(some.matrix("treatment"), np.ones((4, 1)))
    np.testing.assert_array_equal(data.like(table([3, 3])).column("treatment"), [1.0, 1.0])
    with pytest.raises(DataError, match=r"levels that the data do not have: 2"):
        data.like(table([1, 2]))
    assert data.filter("d > 0 and y < 2").n == 8


def test_arms_that_are_declared_an_amount_are_numbers_again():
    per_unit = data_of(ARMS, "binary").with_roles(kinds="continuous")
    np.testing.assert_array_equal(per_unit.column("treatment"), ARMS)
    assert contrasts(per_unit) == ("dY/dD",)


def test_kinds_may_be_given_by_treatment_whatever_their_order():
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [1, 2] * 3, "e": [0, 1, 2] * 2})
    roles = {"outcome": "y", "treatment": ["d", "e"]}
    kinds = {"e": "continuous", "d": "binary"}
    data = CausalData.from_frame(frame, **roles, kinds=kinds)
    assert data.roles.kinds == ("binary", "continuous")
    plain = CausalData.from_frame(frame, **roles)
    assert plain.with_roles(kinds=kinds).roles.kinds == ("binary", "continuous")
    assert plain.with_roles(treatment="d", kinds={"d": "binary"}).roles.kinds == ("binary",)
    with pytest.raises(ArgumentError, match=r"kinds names d, and the treatments are d, e; give"):
        CausalData.from_frame(frame, **roles, kinds={"d": "binary"})


@pytest.mark.parametrize("arms", [[0, 1, 2], [0, 2, 4], ["a", "b", "c"]])
def test_estimators_of_two_arms_say_how_to_compare_two_of_several(arms):
    data = data_of(np.array(arms)[np.arange(9) % 3])
    needs = Requires(roles=("outcome", "treatment"), treatment_kinds=("binary",))
    with pytest.raises(DataError, match="if they are arms, compare two at a time") as told:
        data.require(needs, by="Est")
    said = str(told.value)
    call = said[said.index("data.filter") : said.rindex(".")]
    two = eval(call, {"data": data})
    two.require(needs, by="Est")
    assert set(two.frame["d"]) == set(arms[:2])


def test_doses_are_not_listed_as_arms():
    data = data_of(np.linspace(0.0, 1.0, 12))
    with pytest.raises(DataError, match=r"'d' is continuous\. Recode it, or pass kinds="):
        data.require(Requires(treatment_kinds=("binary",)), by="Est")


def test_arms_of_which_none_is_the_treated_one_are_not_warned_of():
    frame = pd.DataFrame({"y": np.arange(6.0), "t": ["drug", "none"] * 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CausalData.from_frame(frame, outcome="y", treatment="t", kinds=("multi",))
