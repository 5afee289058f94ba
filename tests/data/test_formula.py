"""Formulas: what the terms mean, and that new rows are encoded as the first ones were."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.interpolate import BSpline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, DataError


def table(n=40, seed=0):
    """Outcome, binary treatment, two numbers, a text category, an instrument."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": rng.integers(0, 2, n),
            "x": rng.uniform(1.0, 5.0, n),
            "w": rng.normal(size=n),
            "g": rng.choice(["south", "east", "north"], n),
            "z": rng.normal(size=n),
            "firm": np.arange(n) // 4,
        }
    )


def made(formula, df=None, **more):
    """Data by formula from the standard table."""
    return CausalData.from_formula(formula, table() if df is None else df, **more)


def clamped_cubic(x, inner, low, high):
    """Cubic B-spline basis without its first function, by scipy."""
    knots = np.concatenate([[low] * 4, np.atleast_1d(inner), [high] * 4])
    return BSpline.design_matrix(np.asarray(x), knots, 3).toarray()[:, 1:]


def test_the_parts_are_outcome_treatment_covariates_and_instruments():
    data = made("y ~ d | x + w | z", unit="firm")
    assert data.roles.outcome == ("y",)
    assert data.roles.treatment == ("d",)
    assert data.roles.covariates == ("x", "w")
    assert data.roles.instruments == ("z",)
    assert data.roles.unit == "firm"
    assert made("y ~ d").roles.covariates == ()
    assert made("y ~ d | 1 | z").roles.instruments == ("z",)


def test_a_category_gives_the_indicators_of_a_one_hot_encoder():
    frame = table()
    data = made("y ~ d | C(g)")
    expected = OneHotEncoder(drop="first", sparse_output=False).fit_transform(frame[["g"]])
    np.testing.assert_array_equal(data.matrix("covariates"), expected)
    np.testing.assert_array_equal(made("y ~ d | g").matrix("covariates"), expected)


def test_a_spline_is_the_clamped_basis_with_its_knot_at_the_median():
    frame = table()
    x = frame["x"].to_numpy()
    expected = clamped_cubic(x, np.median(x), x.min(), x.max())
    got = made("y ~ d | bs(x, 4)").matrix("covariates")
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_transforms_and_interactions_are_what_they_say():
    frame = table()
    data = made("y ~ d | center(x) + np.log(x) + x:w + x*g")
    got = dict(zip(data.matrix_names("covariates"), data.matrix("covariates").T, strict=True))
    np.testing.assert_allclose(got["center(x)"], frame["x"] - frame["x"].mean(), rtol=1e-13)
    np.testing.assert_array_equal(got["np.log(x)"], np.log(frame["x"]))
    np.testing.assert_allclose(got["x:w"], frame["x"] * frame["w"], rtol=1e-15)
    north = (frame["g"] == "north").to_numpy(float)
    np.testing.assert_allclose(got["x:g[T.north]"], frame["x"] * north, rtol=1e-15)


def test_outcome_and_treatment_may_be_transformed_and_a_treatment_may_be_a_category():
    frame = table()
    data = made("np.log(x) ~ C(g) | w")
    np.testing.assert_array_equal(data.column("outcome"), np.log(frame["x"]))
    assert data.roles.treatment == ("g",)
    assert data.roles.kinds == ("multi",)
    with pytest.raises(ArgumentError, match=r"treatment term 'bs\(x, 4\)' makes 4 columns"):
        made("y ~ bs(x, 4)")


def test_like_replays_knots_centring_and_levels_of_the_first_table():
    old, new = table(), table(n=15, seed=5)
    new["x"] = new["x"].clip(old["x"].min(), old["x"].max())
    new = new[new["g"] != "east"].reset_index(drop=True)
    data = made("y ~ d | bs(x, 4) + center(w) + scale(z) + C(g)")
    again = data.like(new)
    x = old["x"].to_numpy()
    spline = clamped_cubic(new["x"], np.median(x), x.min(), x.max())
    scaler = StandardScaler().fit(old[["z"]])
    scaled = scaler.transform(new[["z"]]) * np.sqrt(39 / 40)  # formulaic divides by n − 1
    levels = OneHotEncoder(drop="first", sparse_output=False).fit(old[["g"]]).transform(new[["g"]])
    expected = np.column_stack([spline, new["w"] - old["w"].mean(), scaled, levels])
    assert again.matrix_names("covariates") == data.matrix_names("covariates")
    np.testing.assert_allclose(again.matrix("covariates"), expected, rtol=1e-11, atol=1e-13)


def test_like_encodes_the_same_rows_alike_one_at_a_time():
    frame = table()
    data = made("y ~ d | bs(x, 4) + center(w) + x:g")
    rows = [data.like(frame.iloc[[i]]).matrix("covariates") for i in range(5)]
    np.testing.assert_array_equal(np.vstack(rows), data.matrix("covariates")[:5])


def test_like_needs_the_covariates_only_and_says_which_is_absent():
    data = made("y ~ d | bs(x, 4) + C(g) | z", unit="firm")
    again = data.like(table()[["x", "g"]])
    np.testing.assert_array_equal(again.matrix("covariates"), data.matrix("covariates"))
    assert again.roles.outcome == ()
    with pytest.raises(DataError, match=r"E01.*'x' \(named as covariates\)"):
        data.like(table()[["g"]])


def test_a_new_level_is_refused_by_default_and_named():
    new = table(n=3)
    new["g"] = ["south", "west", "up"]
    for formula in ("y ~ d | C(g)", "y ~ d | x + g"):
        with pytest.raises(DataError, match=r"E25.*'g' has levels .*'up', 'west'.*on_new_levels"):
            made(formula).like(new)


def test_a_new_level_is_the_baseline_or_missing_if_asked_for():
    new = table(n=3)
    new["g"] = ["south", "west", "east"]
    data = made("y ~ d | x + C(g)")
    base = data.like(new, on_new_levels="baseline").matrix("covariates")
    np.testing.assert_array_equal(base[:, 1:], [[0, 1], [0, 0], [0, 0]])
    gone = data.like(new, on_new_levels="nan").matrix("covariates")
    np.testing.assert_array_equal(gone[:, 1:], [[0, 1], [np.nan, np.nan], [0, 0]])
    np.testing.assert_array_equal(gone[:, 0], new["x"])


def test_the_baseline_is_the_one_that_the_formula_names():
    data = made('y ~ d | C(g, contr.treatment(base="south"))')
    new = table(n=2)
    new["g"] = ["south", "west"]
    base = data.like(new, on_new_levels="baseline").matrix("covariates")
    np.testing.assert_array_equal(base, np.zeros((2, 2)))


def test_levels_of_data_without_a_formula_are_kept_as_well():
    frame = table().astype({"g": "category"})
    data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates=["x", "g"])
    new = table(n=3)
    new["g"] = ["south", "west", "east"]
    with pytest.raises(DataError, match=r"'g' has levels that the data do not have: 'west'"):
        data.like(new)
    base = data.like(new, on_new_levels="baseline").matrix("covariates")
    np.testing.assert_array_equal(base[:, 1:], [[0, 1], [0, 0], [0, 0]])
    gone = data.like(new, on_new_levels="nan").matrix("covariates")
    np.testing.assert_array_equal(gone[1, 1:], [np.nan, np.nan])
    with pytest.raises(ArgumentError, match=r"unknown on_new_levels 'skip'"):
        data.like(new, on_new_levels="skip")


def test_a_missing_value_makes_missing_what_depends_on_it_and_nothing_else():
    frame = table()
    frame.loc[3, "x"] = np.nan
    with pytest.raises(DataError, match=r"E07.*'bs\(x, 4\)\[1\]'.*row 3"):
        made("y ~ d | bs(x, 4) + w", frame)
    data = made("y ~ d | bs(x, 4) + w + x:w + center(z)", frame, missing="native")
    gone = np.isnan(data.matrix("covariates"))
    assert gone.sum() == 5
    assert gone[3].tolist() == [True] * 4 + [False, False, True]
    kept = made("y ~ d | bs(x, 4) + w", frame, missing="drop")
    assert kept.n == 39
    np.testing.assert_array_equal(
        kept.matrix("covariates"),
        made("y ~ d | bs(x, 4) + w", frame.drop(index=3)).matrix("covariates"),
    )


def test_terms_are_learned_from_rows_that_are_complete_in_their_part():
    frame = table()
    frame.loc[[3, 4], "x"] = np.nan
    frame.loc[[5, 6], "w"] = np.nan
    formula = "y ~ d | bs(x, 4) + center(w) + C(g)"
    kept = made(formula, frame, missing="drop")
    alone = made(formula, frame.drop(index=[3, 4, 5, 6]))
    np.testing.assert_array_equal(kept.matrix("covariates"), alone.matrix("covariates"))


def test_values_beyond_a_spline_are_refused_with_the_mend():
    data = made("y ~ d | bs(x, 4)")
    with pytest.raises(ArgumentError, match=r"extrapolation='clip'"):
        data.like(table(n=2).assign(x=9.0))
    clipped = made("y ~ d | bs(x, 4, extrapolation='clip')").like(table(n=2).assign(x=9.0))
    np.testing.assert_allclose(clipped.matrix("covariates")[0], [0, 0, 0, 1], atol=1e-14)


def test_names_that_are_no_identifiers_are_quoted():
    frame = table().rename(columns={"x": "hours per week"})
    data = made("y ~ d | `hours per week` + np.log(`hours per week`)", frame)
    np.testing.assert_array_equal(data.matrix("covariates")[:, 0], frame["hours per week"])
    np.testing.assert_array_equal(data.matrix("covariates")[:, 1], np.log(frame["hours per week"]))


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y d x", "with one ~"),
        ("y ~ ", "names no treatment"),
        ("y ~ d | x | z | w", "at most three parts"),
        ("y ~ d | x +* w", "cannot read"),
        ("y ~ d | lag(x)", r"data\.assign\(x_lag=data\.lag"),
        (7, "got 7"),
    ],
)
def test_a_formula_that_cannot_be_read_shows_the_grammar_or_the_mend(formula, message):
    with pytest.raises(ArgumentError, match=message):
        made(formula)


def test_an_absent_variable_is_named_and_a_role_is_not_given_twice():
    with pytest.raises(DataError, match=r"E01.*'wx' \(named as covariates\)"):
        made("y ~ d | bs(wx, 4)")
    with pytest.raises(ArgumentError, match="the formula names the covariates"):
        made("y ~ d | x", covariates=["w"])


def test_a_name_of_several_columns_is_refused():
    frame = pd.DataFrame(np.arange(16.0).reshape(4, 4) ** 2, columns=["y", "d", "x", "x"])
    with pytest.raises(DataError, match="several columns called 'x'"):
        CausalData.from_formula("y ~ d | x", frame)


def test_a_date_as_a_covariate_is_named_with_its_type():
    frame = table().assign(day=pd.Timestamp("2020-01-01"))
    with pytest.raises(ArgumentError, match=r"day \(datetime64.*Make numbers of dates"):
        CausalData.from_formula("y ~ d | day", frame)


def test_a_formula_takes_images():
    images = xr.Dataset({"image": (("obs", "band", "y", "x"), np.ones((40, 1, 2, 2)))})
    data = CausalData.from_formula("y ~ d | x", table(), image="image", arrays=images)
    assert data.arrays["image"].shape == (40, 1, 2, 2)
