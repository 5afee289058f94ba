"""Values by row find their rows by label, and are refused where labels do not say which row."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from causalkit import CausalData
from causalkit.data.alignment import check_one_order, in_row_order
from causalkit.errors import ArgumentError

N = 8
TABLE = pd.DataFrame({"y": np.sin(np.arange(N)), "d": np.arange(N) % 3 / 2, "g": np.arange(N)})
ORDER = np.array([3, 0, 7, 5, 1, 6, 2, 4])
NAMED = TABLE.set_axis(list("abcdefgh"))


def data_of(frame, **arguments):
    return CausalData.from_frame(frame, outcome="y", treatment="d", extra="g", **arguments)


def placed(data, values):
    return in_row_order(data, values, what="groups")


@pytest.mark.parametrize("frame", [TABLE, NAMED, NAMED.iloc[ORDER]])
def test_any_order_of_the_tables_labels_finds_the_rows(frame):
    data = data_of(frame)
    for values in (frame["g"], frame["g"].iloc[ORDER], frame["g"].sort_index().iloc[::-1]):
        found = placed(data, values)
        np.testing.assert_array_equal(found, data.frame["g"])
        assert found.index.equals(data.frame.index)
    np.testing.assert_array_equal(placed(data, frame.iloc[ORDER])["g"], data.frame["g"])


def test_rows_that_are_left_out_are_left_out_of_values_by_label():
    data = data_of(NAMED.assign(y=NAMED["y"].where(NAMED["g"] != 2)), missing="drop")
    np.testing.assert_array_equal(placed(data, NAMED["g"]), data.frame["g"])
    some = data_of(NAMED).subset([5, 1, 4])
    np.testing.assert_array_equal(placed(some, NAMED["g"]), [5, 1, 4])
    few = data_of(NAMED).filter("g > 3").assign(z=1.0)
    np.testing.assert_array_equal(placed(few, NAMED["g"].iloc[ORDER]), [4, 5, 6, 7])


def test_rows_of_the_frame_within_count_from_zero():
    data = data_of(NAMED.iloc[ORDER])
    np.testing.assert_array_equal(placed(data, data.frame["g"]), ORDER)
    formula = CausalData.from_formula("y ~ d", NAMED.iloc[ORDER], extra="g")
    np.testing.assert_array_equal(placed(formula, NAMED["g"]), ORDER)


def test_numbers_that_may_be_rows_or_labels_are_refused():
    data = data_of(TABLE.iloc[ORDER])
    np.testing.assert_array_equal(placed(data, TABLE["g"].iloc[ORDER]), ORDER)
    with pytest.raises(ArgumentError, match=r"groups has rows numbered from 0.*\.to_numpy\(\)"):
        placed(data, TABLE["g"])


def test_what_is_made_of_the_frame_within_finds_its_rows_after_some_were_left_out():
    later = data_of(TABLE).subset(np.arange(1, N))
    dropped = data_of(TABLE.assign(y=TABLE["y"].where(TABLE["g"] != 0)), missing="drop")
    for data in (later, dropped):
        np.testing.assert_array_equal(placed(data, data.frame["g"]), np.arange(1, N))
        np.testing.assert_array_equal(placed(data, TABLE["g"]), np.arange(1, N))
        np.testing.assert_array_equal(placed(data, TABLE["g"].iloc[1:]), np.arange(1, N))


def test_repeated_labels_in_one_order_are_taken_by_position():
    twice = TABLE.set_axis([0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(placed(data_of(twice), twice["g"]), TABLE["g"])
    np.testing.assert_array_equal(placed(data_of(twice), TABLE["g"]), TABLE["g"])


@pytest.mark.parametrize(
    "data",
    [
        data_of(pl.from_pandas(TABLE)),
        data_of(pd.concat([TABLE.iloc[:4], TABLE.iloc[:4]])),
        data_of(TABLE.set_axis(range(10, 10 + N))),
    ],
    ids=["no labels", "labels twice", "other labels"],
)
def test_labels_that_the_data_do_not_know_are_refused(data):
    with pytest.raises(ArgumentError, match=r"groups has row labels \(3, 0, 7, \.\.\.\)"):
        placed(data, TABLE["g"].iloc[ORDER])
    np.testing.assert_array_equal(placed(data, TABLE["g"]), TABLE["g"])


def test_averaged_rows_have_no_labels():
    frame = TABLE.assign(u=[0, 0, 1, 1, 2, 2, 3, 3], t=[0, 0, 0, 1, 0, 1, 0, 1])
    arguments = {"outcome": "y", "treatment": "d", "unit": "u", "time": "t"}
    data = CausalData.from_frame(frame, **arguments, on_duplicate="mean")
    assert data.n == N - 1
    assert data.labels is None


def test_saved_data_keep_their_row_labels(tmp_path):
    dates = pd.date_range("2020-01-31", periods=N, freq="ME", tz="Europe/Berlin")
    for labels in (NAMED.index, dates, pd.Index(ORDER), pd.CategoricalIndex(list("hgfedcba"))):
        data = data_of(TABLE.set_axis(labels))
        data.save(tmp_path / "d")
        loaded = CausalData.load(tmp_path / "d")
        assert loaded.labels.equals(labels)
        np.testing.assert_array_equal(
            placed(loaded, TABLE["g"].set_axis(labels).iloc[ORDER]), TABLE["g"]
        )
    data_of(TABLE).save(tmp_path / "d")
    assert CausalData.load(tmp_path / "d").labels is None
    with pytest.raises(ArgumentError, match=r"row labels such as 1 cannot be saved.*labels=None"):
        data_of(TABLE.set_axis([1, "a"] * 4)).save(tmp_path / "e")


def test_what_has_no_labels_is_taken_by_position():
    data = data_of(NAMED)
    for values in ([1] * N, np.arange(N), pd.Categorical(list("aabbccdd")), pl.Series([1] * N)):
        assert placed(data, values) is values


def test_two_inputs_with_the_same_labels_must_have_them_in_one_order():
    check_one_order(a=TABLE["g"], b=np.arange(N), c=NAMED["g"], d=TABLE["y"])
    message = r"a and c have the same row labels.*c\.loc\[a\.index\].*row order of a, pass"
    with pytest.raises(ArgumentError, match=message):
        check_one_order(a=TABLE["g"], b=NAMED["g"], c=TABLE["g"].iloc[ORDER])


@pytest.mark.parametrize("frame", [NAMED, NAMED.iloc[ORDER]])
def test_assigned_columns_and_masks_find_their_rows_by_label(frame):
    data = data_of(frame)
    shuffled = NAMED["g"].iloc[ORDER[::-1]]
    np.testing.assert_array_equal(data.assign(z=shuffled).frame["z"], data.frame["g"])
    np.testing.assert_array_equal(data.filter(shuffled > 3).frame["g"], frame["g"][frame["g"] > 3])
    np.testing.assert_array_equal(data.subset(shuffled > 3).frame["g"], frame["g"][frame["g"] > 3])
    # A mask of the whole table does for data of some of its rows.
    some = data.filter(lambda own: own["g"] != 5)
    np.testing.assert_array_equal(
        some.filter(NAMED["g"] > 3).frame["g"], [g for g in frame["g"] if g > 3 and g != 5]
    )
    # Functions see the frame of the data, and what comes without labels is in its order.
    np.testing.assert_array_equal(data.assign(z=lambda own: own["g"]).frame["z"], data.frame["g"])
    np.testing.assert_array_equal(data.assign(z=data.frame["g"]).frame["z"], data.frame["g"])
    np.testing.assert_array_equal(
        data.assign(z=shuffled.to_numpy()).frame["z"], shuffled.to_numpy()
    )


def test_labels_of_other_rows_are_refused_by_name_of_the_column():
    data = data_of(NAMED)
    other = pd.Series(1.0, index=list("stuvwxyz"))
    with pytest.raises(ArgumentError, match=r"column 'z' has row labels \('s', 't', 'u', ...\)"):
        data.assign(z=other)
    for view in (data.filter, data.subset):
        with pytest.raises(ArgumentError, match="the mask has row labels"):
            view(other > 0)


def test_arrays_with_the_same_labels_must_be_in_one_order():
    y, t, x = NAMED["y"], NAMED["d"], NAMED[["g"]]
    with pytest.raises(ArgumentError, match="Y and T have the same row labels in another order"):
        CausalData.from_arrays(y, t.iloc[ORDER], x)
    with pytest.raises(ArgumentError, match="Y and weights have the same row labels"):
        CausalData.from_arrays(y, t, x, weights=(1.0 + x["g"]).iloc[ORDER])
    with pytest.raises(ArgumentError, match="Y and X have the same row labels"):
        CausalData.from_arrays(y, t.to_numpy(), x.iloc[ORDER])


def test_arrays_keep_the_labels_that_they_agree_on():
    y, t, x = (NAMED[name].iloc[ORDER] for name in ("y", "d", "g"))
    data = CausalData.from_arrays(y, t.to_numpy(), x)
    np.testing.assert_array_equal(placed(data, NAMED["g"]), ORDER)
    numbered = CausalData.from_arrays(y, t.reset_index(drop=True), x)
    with pytest.raises(ArgumentError, match="groups has row labels"):
        placed(numbered, NAMED["g"])
