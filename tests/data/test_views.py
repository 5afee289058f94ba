"""Views are new objects: the first one stays as it was, and rows keep their facts."""

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError


@pytest.fixture
def arms():
    """Twelve rows with three arms and the truth of each row."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=12),
            "arm": pd.Categorical(["none", "low", "high"] * 4, categories=["none", "low", "high"]),
            "x": rng.normal(size=12),
            "g": pd.Categorical(list("aabbccaabbcc")),
            "town": np.repeat(["e", "f", "g", "h"], 3),
        }
    )
    truth = Truth({"ate": 1.0}, cate=np.arange(12.0), mu0=lambda x: x)
    return CausalData.from_frame(
        frame, outcome="y", treatment="arm", covariates=["x", "g"], truth=truth
    )


@pytest.mark.parametrize(
    "view",
    [
        lambda d: d.subset([0, 3, 4]),
        lambda d: d.filter("x > 0"),
        lambda d: d.assign(x=0.5 + np.arange(12.0), extra=1),
        lambda d: d.with_roles(covariates=["x"]),
        lambda d: d.blind(),
        lambda d: d.like(d.frame),
    ],
    ids=["subset", "filter", "assign", "with_roles", "blind", "like"],
)
def test_a_view_leaves_the_data_as_they_were(arms, view):
    frame, roles, truth, digest = arms.frame.copy(deep=True), arms.roles, arms.truth, arms.digest()
    made = view(arms)
    made.matrix("covariates")
    assert made is not arms
    pd.testing.assert_frame_equal(arms.frame, frame)
    assert (arms.roles, arms.truth) == (roles, truth)
    assert CausalData(frame=arms.frame, roles=arms.roles).digest() == digest


def test_data_have_no_attribute_to_set(arms):
    with pytest.raises(AttributeError):
        arms.roles = None
    with pytest.raises(AttributeError):
        arms.frame = pd.DataFrame()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([5, 0, 5], [5, 0, 5]),
        (np.array([-1, 2]), [11, 2]),
        (slice(1, 12, 4), [1, 5, 9]),
        (np.arange(12) > 9, [10, 11]),
        ([], []),
    ],
    ids=["positions", "from-the-end", "slice", "mask", "none"],
)
def test_a_subset_takes_rows_truth_and_matrix_alike(arms, rows, expected):
    part = arms.subset(rows)
    pd.testing.assert_frame_equal(part.frame, arms.frame.iloc[expected].reset_index(drop=True))
    assert part.truth.cate.tolist() == expected
    assert part.truth.mu0 is arms.truth.mu0
    np.testing.assert_array_equal(part.matrix("covariates"), arms.matrix("covariates")[expected])


def test_a_subset_keeps_levels_that_do_not_occur_so_that_folds_have_the_same_columns(arms):
    part = arms.subset([0, 1])
    assert part.matrix_names("covariates") == ("x", "g=b", "g=c")
    assert part.roles.kinds == ("multi",)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([12], ArgumentError, "rows reach from 12 to 12; the data have 12"),
        ([-13], ArgumentError, "rows reach from -13"),
        ([0.5], ArgumentTypeError, "positions or true/false, got float64"),
        ([True, False], ArgumentError, r"mask has shape \(2,\); expected \(12,\)"),
        ([[1, 2]], ArgumentTypeError, r"shape \(1, 2\)"),
    ],
)
def test_rows_that_do_not_exist_are_refused(arms, rows, error, message):
    with pytest.raises(error, match=message):
        arms.subset(rows)


def test_filter_takes_a_mask_a_function_or_an_expression(arms):
    kept = arms.frame["x"].to_numpy() > 0
    for keep in (kept, lambda df: df["x"] > 0, "x > 0"):
        part = arms.filter(keep)
        np.testing.assert_array_equal(part.column("outcome"), arms.column("outcome")[kept])
        assert part.truth.cate.tolist() == np.flatnonzero(kept).tolist()


def test_filter_makes_a_sample_of_its_own(arms):
    part = arms.filter("g != 'c' and arm != 'low'")
    assert part.matrix_names("covariates") == ("x", "g=b")
    assert part.roles.kinds == ("binary",)
    assert part.column("treatment").tolist() == [
        float(arm == "high") for arm in part.frame["arm"].astype(str)
    ]
    with pytest.raises(DataError, match=r"E09.*'arm' \(treatment\) is 'low' in every row"):
        arms.filter("arm == 'low'")


def test_filter_needs_true_or_false_for_each_row(arms):
    with pytest.raises(ArgumentError, match="true or false for each of 12 rows, got float64"):
        arms.filter(lambda df: df["x"])
    with pytest.raises(ArgumentError, match=r"shape \(3,\)"):
        arms.filter(np.array([True, False, True]))


def test_assign_adds_extra_columns_and_replaces_others_where_they_stand(arms):
    made = arms.assign(x=lambda df: df["x"] * 2, h=np.arange(12), c=3)
    np.testing.assert_array_equal(made.matrix("covariates")[:, 0], 2 * arms.frame["x"])
    assert made.roles.covariates == ("x", "g")
    assert made.roles.extra == ("h", "c")
    assert made.frame["h"].tolist() == list(range(12))
    assert made.frame["c"].tolist() == [3] * 12
    with pytest.raises(ArgumentError, match="column 'h' has 2 values for 12 rows"):
        arms.assign(h=[1, 2])


def test_assign_checks_again_and_infers_the_kind_of_a_new_treatment_anew(arms):
    with pytest.raises(DataError, match=r"E08.*'x' is infinite in 12 rows"):
        arms.assign(x=np.inf)
    assert arms.assign(arm=np.arange(12.0)).roles.kinds == ("continuous",)


def declared(kind, values):
    frame = pd.DataFrame({"y": np.sin(np.arange(8.0)), "d": values})
    return CausalData.from_frame(frame, outcome="y", treatment="d", kinds=kind)


CODED, DOSED = [0, 1, 2, 3] * 2, np.linspace(0.0, 1.0, 8)


@pytest.mark.parametrize(
    ("kind", "values", "same", "other"),
    [
        ("binary", [0, 1] * 4, ["no", "yes"] * 4, CODED),
        ("binary", [1, 2] * 4, [2, 1] * 4, DOSED),
        ("multi", CODED, [0, 1] * 4, DOSED),
        ("multi", list("abca") * 2, [0.5, 1.0, 2.5, 1.0] * 2, DOSED),
        ("continuous", DOSED, [0, 1] * 4, list("abca") * 2),
        ("continuous", [0, 1] * 4, DOSED, pd.Categorical([1, 2] * 4)),
        ("dose", DOSED, CODED, ["no", "yes"] * 4),
    ],
)
def test_a_declared_kind_outlasts_new_values_that_fit_it(kind, values, same, other):
    data = declared(kind, values)
    assert data.assign(d=same, extra=1).roles.kinds == (kind,)
    assert data.subset(slice(0, 6)).assign(d=same[:6]).assign(d=values[:6]).roles.kinds == (kind,)
    with pytest.raises(ArgumentError, match=rf"'d' was declared {kind}.*with_roles\(treatment="):
        data.assign(d=other)
    kinds = declared(None, other).roles.kinds
    followed = data.with_roles(treatment=["d"]).assign(d=other)
    assert followed.roles.kinds == kinds
    assert followed.with_roles(kinds=kinds).roles.kinds == kinds


def test_an_inferred_kind_follows_new_values_and_outlasts_others_until_declared():
    data = declared(None, DOSED)
    assert data.assign(d=[0, 1] * 4).roles.kinds == ("binary",)
    assert data.subset([0, 7, 0, 7]).assign(extra=1).roles.kinds == ("continuous",)
    again = declared("dose", DOSED).with_roles(treatment="d")
    assert again.assign(d=[0, 1] * 4).roles.kinds == ("binary",)
    with pytest.raises(ArgumentError, match="was declared binary, and its 8 new values"):
        data.assign(d=[0, 1] * 4).with_roles(kinds="binary").assign(d=DOSED)


def test_a_treatment_that_stays_keeps_its_declared_kind_beside_a_new_one():
    frame = pd.DataFrame({"y": DOSED**2, "arm": CODED, "dose": DOSED})
    roles = {"outcome": "y", "treatment": ["arm", "dose"]}
    data = CausalData.from_frame(frame, **roles, kinds=["multi", "dose"])
    assert data.assign(dose=2.0 * DOSED).roles.kinds == ("multi", "dose")


def test_who_said_the_kind_is_saved_and_no_part_of_the_digest(tmp_path):
    said, found = declared("continuous", DOSED), declared(None, DOSED)
    assert said.digest() == found.digest()
    assert said.roles == found.roles
    for data, kind in ((said, "continuous"), (found, "binary")):
        data.save(tmp_path / kind)
        assert CausalData.load(tmp_path / kind).assign(d=[0, 1] * 4).roles.kinds == (kind,)


def test_coded_arms_of_which_some_are_left_are_still_arms():
    data = declared("multi", CODED)
    assert data.filter("d < 3").roles.kinds == ("multi",)
    assert data.filter("d < 2").roles.kinds == ("binary",)


def test_with_roles_changes_some_and_columns_without_a_role_become_extra(arms):
    made = arms.with_roles(treatment="x", covariates=["g"])
    assert made.roles.treatment == ("x",)
    assert made.roles.kinds == ("continuous",)
    assert made.roles.extra == ("arm",)
    assert made.truth is arms.truth
    with pytest.raises(DataError, match=r"E02.*'x' is named both as treatment and as covariates"):
        arms.with_roles(treatment="x")
    with pytest.raises(ArgumentError, match=r"unknown role 'treatmnt'. Did you mean 'treatment'"):
        arms.with_roles(treatmnt="x")


def test_roles_that_held_the_only_weights_can_go(arms):
    weighted = arms.assign(w=np.arange(12) + 1.0).with_roles(weights="w", weight_kind="sampling")
    assert weighted.weights().tolist() == list(range(1, 13))
    assert weighted.with_roles(weights=None, weight_kind=None).weights() is None


def test_codes_and_matrices_of_a_view_are_its_own(arms):
    data = arms.assign(town=np.repeat(["e", "f", "g", "h"], 3)).with_roles(unit="town")
    assert data.codes("unit").tolist() == np.repeat(range(4), 3).tolist()
    part = data.subset([11, 3, 4])
    assert part.codes("unit").tolist() == [1, 0, 0]
    assert part.levels("unit").tolist() == ["f", "h"]


def test_blind_data_hold_nothing_of_the_columns_that_are_hidden():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "secret": [3.0, 1.0, 2.0]})
    data = CausalData.from_frame(
        frame, outcome="y", treatment="d", extra="secret", truth=Truth({"ate": 1.0})
    )
    assert data.matrix("extra").shape == (3, 1)
    data.digest()
    blind = data.blind()
    plain = CausalData.from_frame(frame[["y", "d"]], outcome="y", treatment="d")
    assert blind.digest() == plain.digest()
    assert blind.matrix("extra").shape == (3, 0)


def test_rows_left_out_are_counted_together():
    frame = pd.DataFrame(
        {"y": np.arange(8.0), "d": [0, 1] * 4, "x": [np.nan, np.nan, *np.linspace(0, 1, 6) ** 2]}
    )
    data = CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates="x", missing="drop"
    ).assign(x=[np.nan, 1.0, 3.0, 2.0, 5.0, 4.0])
    assert data.dropped == {"x missing": 3}
    assert len(data.dropped_ids) == 3


def test_an_expression_that_cannot_be_evaluated_names_the_columns(arms):
    with pytest.raises(ArgumentError, match=r"cannot evaluate 'nope > 1': .*columns: y, arm, x"):
        arms.filter("nope > 1")


def test_a_number_that_became_a_category_is_refused():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "x": [1.0, 2.0, 3.0]})
    data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x")
    with pytest.raises(DataError, match="'x' is a category here and a number in the data"):
        data.like(pd.DataFrame({"x": pd.Categorical([1, 2, 2])}))


def test_identifiers_may_become_categories():
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "id": [1, 2, 3]})
    data = CausalData.from_frame(frame, outcome="y", treatment="d", unit="id")
    new = frame.assign(id=frame["id"].astype("category"))
    assert data.like(new).frame["id"].tolist() == [1, 2, 3]
