"""Mundlak terms reproduce the within estimator of linearmodels; lags go by the calendar."""

import numpy as np
import pandas as pd
import pytest
from linearmodels.panel import PanelOLS

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, DataError


def table(*, kept=1.0):
    """40 units over 6 years, thinned to a share of the rows; effects of units and years."""
    rng = np.random.default_rng(8)
    unit, year = np.repeat(np.arange(40), 6), np.tile(np.arange(2001, 2007), 40)
    level, shock = rng.normal(size=40)[unit], rng.normal(size=6)[year - 2001]
    x = level + shock + rng.normal(size=240)
    d = 0.5 * x + level - shock + rng.normal(size=240)
    y = d + x + 2.0 * level + shock + rng.normal(size=240)
    frame = pd.DataFrame({"y": y, "d": d, "x": x, "w": rng.uniform(1, 3, 240)})
    frame = frame.assign(
        unit=unit, year=year, born=level, g=pd.Categorical(rng.choice(list("ab"), 240))
    )
    return frame[rng.random(240) < kept].reset_index(drop=True)


def panel(frame, **more):
    """Data with unit and year."""
    roles = {"covariates": ["x"], "unit": "unit", "time": "year"} | more
    return CausalData.from_frame(frame, outcome="y", treatment="d", **roles)


def pooled(data, extra=()):
    """Coefficients of treatment and first covariate in pooled least squares."""
    w = np.ones(data.n) if data.weights() is None else data.weights()
    columns = [data.matrix("treatment"), data.matrix("covariates"), np.ones(data.n), *extra]
    design = np.column_stack(columns) * np.sqrt(w)[:, None]
    fit = np.linalg.lstsq(design, data.column("outcome") * np.sqrt(w), rcond=None)
    return fit[0][:2]


def within(frame, weights=None, **effects):
    """Within estimates by linearmodels."""
    indexed = frame.set_index(["unit", "year"])
    given = None if weights is None else indexed[weights]
    return PanelOLS(indexed["y"], indexed[["d", "x"]], weights=given, **effects).fit().params


@pytest.mark.parametrize("kept", [1.0, 0.7], ids=["balanced", "unbalanced"])
def test_unit_means_make_pooled_least_squares_the_within_estimator(kept):
    frame = table(kept=kept)
    data = panel(frame).with_mundlak()
    assert data.roles.covariates == ("x", "x_mean", "d_mean")
    expected = within(frame, entity_effects=True)
    np.testing.assert_allclose(pooled(data), expected, rtol=1e-10)


@pytest.mark.parametrize("kept", [1.0, 0.7], ids=["balanced", "unbalanced"])
def test_weighted_means_make_it_the_weighted_within_estimator(kept):
    frame = table(kept=kept)
    data = panel(frame, weights="w", weight_kind="precision").with_mundlak()
    expected = within(frame, weights="w", entity_effects=True)
    np.testing.assert_allclose(pooled(data), expected, rtol=1e-10)


def test_two_way_effects_need_the_means_of_the_period_dummies_if_unbalanced():
    frame = table(kept=0.7)
    data = panel(frame).with_mundlak()
    years = pd.get_dummies(frame["year"], drop_first=True, dtype=float)
    means = data.group_means([], include_time=True)
    expected = within(frame, entity_effects=True, time_effects=True)
    np.testing.assert_allclose(pooled(data, [years, means]), expected, rtol=1e-10)
    assert not np.allclose(pooled(data, [years]), expected, rtol=1e-4)


def test_two_way_effects_of_a_balanced_panel_need_the_dummies_only():
    frame = table()
    years = pd.get_dummies(frame["year"], drop_first=True, dtype=float)
    expected = within(frame, entity_effects=True, time_effects=True)
    got = pooled(panel(frame).with_mundlak(), [years])
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_group_means_are_those_of_groupby_with_names_and_categories():
    frame = table(kept=0.7)
    got = panel(frame, covariates=["x", "g"]).group_means(["x", "g"])
    expected = frame.assign(b=(frame["g"] == "b") * 1.0).groupby("unit")[["x", "b"]]
    assert got.columns.tolist() == ["x_mean", "g=b_mean"]
    np.testing.assert_allclose(got, expected.transform("mean"), rtol=1e-12)
    others = panel(frame).group_means("x", leave_out=True)["x_mean"]
    sums = frame.groupby("unit")["x"].transform("sum") - frame["x"]
    counts = frame.groupby("unit")["x"].transform("size") - 1
    np.testing.assert_allclose(others, sums / counts, rtol=1e-11)


def test_groups_may_be_those_of_another_role():
    frame = table(kept=0.7)
    got = panel(frame).group_means("x", by="time")["x_mean"]
    expected = frame.groupby("year")["x"].transform("mean")
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_period_shares_are_the_unit_means_of_the_dummies():
    frame = table(kept=0.7)
    got = panel(frame).group_means([], include_time=True)
    dummies = pd.get_dummies(frame["year"], drop_first=True, dtype=float)
    expected = dummies.groupby(frame["unit"]).transform("mean")
    assert got.columns.tolist() == [f"year={year}_mean" for year in range(2002, 2007)]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def test_frequency_weights_give_the_means_of_the_expanded_rows():
    frame = table(kept=0.7)
    frame["w"] = 1 + np.arange(len(frame)) % 3
    data = panel(frame, weights="w", weight_kind="frequency")
    expanded = frame.loc[frame.index.repeat(frame["w"])]
    expected = frame["unit"].map(expanded.groupby("unit")["x"].mean())
    np.testing.assert_allclose(data.group_means("x")["x_mean"], expected, rtol=1e-12)


def test_a_unit_without_weight_keeps_its_plain_means_and_period_shares():
    frame = table(kept=0.7)
    frame.loc[frame["unit"] == 3, "w"] = 0.0
    data = panel(frame, weights="w", weight_kind="precision")
    plain = panel(frame).group_means("x", include_time=True)
    rows = frame["unit"] == 3
    pd.testing.assert_frame_equal(data.group_means("x", include_time=True)[rows], plain[rows])


def test_auto_leaves_out_what_does_not_vary_within_units():
    data = panel(table(), covariates=["x", "born"])
    assert data.with_mundlak().roles.covariates == ("x", "born", "x_mean", "d_mean")
    assert data.with_mundlak("x").roles.covariates == ("x", "born", "x_mean")


def test_means_are_over_the_rows_that_are_held():
    frame = table(kept=0.7)
    frame.loc[::9, "x"] = np.nan
    data = panel(frame, missing="drop").with_mundlak()
    complete = frame.dropna()
    expected = complete.groupby("unit")["x"].transform("mean")
    np.testing.assert_allclose(data.frame["x_mean"], expected, rtol=1e-12)
    later = data.subset(np.arange(0, data.n, 2))
    np.testing.assert_array_equal(later.frame["x_mean"], data.frame["x_mean"][::2])


def test_a_name_that_is_taken_and_a_column_that_is_absent_are_refused():
    data = panel(table()).with_mundlak("x")
    with pytest.raises(ArgumentError, match="have a column 'x_mean' already"):
        data.with_mundlak("x")
    with pytest.raises(DataError, match=r"E01.*'xx'.*Did you mean 'x'"):
        data.group_means("xx")
    with pytest.raises(ArgumentError, match=r"0 unit columns, .*from_frame\(\.\.\., unit="):
        data.with_roles(unit=None).with_mundlak()


@pytest.mark.parametrize("k", [1, 2, -1])
def test_a_lag_is_the_value_of_that_year_and_a_gap_gives_missing(k):
    frame = table(kept=0.6).sample(frac=1.0, random_state=1).reset_index(drop=True)
    data = panel(frame)
    known = frame.set_index(["unit", "year"])["x"]
    wanted = pd.MultiIndex.from_arrays([frame["unit"], frame["year"] - k])
    expected = known.reindex(wanted).to_numpy()
    got = data.lag("x", k)
    assert got.name == f"x_lag{k}"
    np.testing.assert_array_equal(got, expected)
    assert 0 < np.isnan(expected).sum() < len(frame)


def test_a_difference_is_the_value_less_that_of_the_year_before():
    frame = table(kept=0.6)
    known = frame.set_index(["unit", "year"])["x"]
    wanted = pd.MultiIndex.from_arrays([frame["unit"], frame["year"] - 1])
    expected = frame["x"].to_numpy() - known.reindex(wanted).to_numpy()
    np.testing.assert_array_equal(panel(frame).diff("x"), expected)


def test_a_lag_follows_the_step_of_the_calendar():
    frame = table().assign(year=lambda df: 2001 + 5 * (df["year"] - 2001))
    data = panel(frame, freq=5)
    expected = frame.groupby("unit")["x"].shift(1)
    np.testing.assert_array_equal(data.lag("x"), expected)
    assert panel(frame).lag("x").isna().all()


def test_a_lag_of_a_category_is_a_category_and_has_no_difference():
    frame = table()
    data = panel(frame, covariates=["x", "g"])
    expected = frame.groupby("unit", observed=True)["g"].shift(1)
    pd.testing.assert_series_equal(data.lag("g"), expected.rename("g_lag1"))
    with pytest.raises(ArgumentError, match="column 'g' holds category values"):
        data.diff("g")


def test_means_of_many_covariates_are_added_without_a_warning_of_pandas():
    frame = table()
    many = np.random.default_rng(0).normal(size=(len(frame), 120))
    names = [f"x{column}" for column in range(120)]
    wide = panel(pd.concat([frame, pd.DataFrame(many, columns=names)], axis=1), covariates=names)
    assert len(wide.with_mundlak(names).roles.covariates) == 240
