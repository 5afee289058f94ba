"""Effects of a panel fit that vary: groups, moderators, new rows, against statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError

N_UNITS, N_PERIODS = 80, 5
N = N_UNITS * N_PERIODS


def table(seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(N_UNITS), N_PERIODS)
    level = rng.standard_normal(N_UNITS)[unit]
    x1, x2 = level + rng.standard_normal((2, unit.size))
    # The effect varies with the deviation of x2 from its unit mean, twice as much as between.
    mean = (np.bincount(unit, x2) / N_PERIODS)[unit]
    d = x1 + level + rng.standard_normal(unit.size)
    b = (d > 0).astype(float)
    y = d * (1.0 + 0.6 * (x2 - mean) + 0.3 * mean) + x1 + level + rng.standard_normal(unit.size)
    region = np.array(["east", "north", "south"])[unit % 3]
    columns = {"y": y, "d": d, "b": b, "x1": x1, "x2": x2, "region": region, "unit": unit}
    return pd.DataFrame(columns | {"time": np.tile(np.arange(2001, 2006), N_UNITS)})


def panel(frame=None, **roles):
    known = {
        "outcome": "y",
        "treatment": "d",
        "covariates": ["x1", "x2"],
        "unit": "unit",
        "time": "time",
        "extra": ["region"],
    }
    return ck.CausalData.from_frame(table() if frame is None else frame, **(known | roles))


def fit(data=None, **arguments):
    known = {"learner": "linear", "random_state": 0}
    return ck.PanelDML(**(known | arguments)).fit(panel() if data is None else data)


def residuals(fitted):
    rows = fitted.augment().sort_values("row")
    return rows["outcome_residual"].to_numpy(), rows["treatment_residual"].to_numpy(), rows["unit"]


def clustered(y, x, unit):
    return sm.OLS(y, x).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}, use_t=False
    )


# Groups -------------------------------------------------------------------------------------------


def test_pairwise_comparisons_of_groups_are_those_of_statsmodels():
    fitted = fit(ssc="none", use_t=False)
    y, d, unit = residuals(fitted)
    region = table()["region"]
    levels = ["east", "north", "south"]
    peer = clustered(y, np.column_stack([d * (region == at) for at in levels]), unit)
    contrasts = peer.t_test([[1, -1, 0], [1, 0, -1], [0, 1, -1]])
    found = fitted.gate("region").pairwise()
    assert found.terms[0] == "region=east - region=north"
    np.testing.assert_allclose(found.estimates, contrasts.effect, rtol=1e-7)
    np.testing.assert_allclose(found.std_errors, contrasts.sd, rtol=1e-7)
    # 999 draws give a p-value to within 0.016.
    assert (found.p_values() >= found.p_values(kind="normal") - 0.02).all()
    wide, narrow = (np.diff(found.bounds(kind=kind), axis=0) for kind in (None, "normal"))
    assert (wide > narrow).all()


def test_groups_of_one_effect_lose_their_share_of_absorbed_units():
    found = fit(approach="within", cov_type="robust").gate("region")
    n_units = np.array([27, 27, 26])
    # Rows, less the unit effects of the group and its slope.
    np.testing.assert_allclose(found.df_by_term, n_units * (N_PERIODS - 1) - 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_intervals_of_a_group_of_few_units_cover():
    held, n_sets = [], 300
    for seed in range(n_sets):
        rng = np.random.default_rng(seed)
        unit = np.repeat(np.arange(60), 2)
        x, level = rng.standard_normal(120), rng.standard_normal(60)[unit]
        b = rng.integers(0, 2, 120)
        y = b * (1.0 + level) + x + rng.standard_normal(120)
        columns = {"y": y, "b": b, "x1": x, "unit": unit, "time": np.tile([0, 1], 60)}
        frame = pd.DataFrame(columns | {"region": np.where(unit < 8, "few", "many")})
        data = panel(frame, treatment="b", covariates="x1")
        fitted = fit(data, model="interactive", approach="pooled", random_state=seed)
        low, high = fitted.gate("region").bounds()
        held.append(low[0] < 1.0 < high[0])
    # Three Monte-Carlo errors.
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / n_sets))


def test_projections_have_the_contrast_and_the_nuisances_of_the_fit():
    fitted = fit(panel(treatment="b"))
    for found in (fitted.gate("region"), fitted.blp("x2"), fitted.blp("x2", penalty="lasso")):
        assert set(found.contrast) == {"1 vs 0"}
        text = found.summary()
        assert "Contrast:" in text
        assert "dY/dD" not in text
        lines = [line.split() for line in text.splitlines()]
        assert any(line[:1] == ["outcome"] and len(line) == 4 for line in lines)
    assert set(fit().gate("region").contrast) == {"dY/dD"}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.zeros((N, 2)), r"groups has shape \(400, 2\); give one label per row"),
        (pd.DataFrame({"a": np.zeros(N)}), r"groups has shape \(400, 1\)"),
        ("x2", r"'x2' has 400 different values.*most is 50.*pd\.qcut"),
        (table()["x1"], r"400 different values.*pd\.qcut"),
        (np.r_[["a"] * 5, ["b"] * (N - 5)], r"group=a holds rows of 1 unit.*two.*pd\.qcut"),
        ("y", "'y' is the outcome"),
        ("d", "'d' is the treatment"),
        ("x9", "no column 'x9'"),
    ],
)
def test_groups_that_are_none_are_refused(groups, words):
    with pytest.raises(ArgumentError, match=words):
        fit().gate(groups)


def test_a_named_column_has_no_labels_to_mistake():
    later = panel().subset(np.arange(50, N))
    found = fit(later)
    by_name, by_row = found.gate("region"), found.gate(table()["region"])
    assert by_name.terms == ("region=east", "region=north", "region=south")
    np.testing.assert_array_equal(by_name.estimates, by_row.estimates)


def test_a_cut_column_has_groups_in_the_order_of_the_cut():
    cut = pd.qcut(table()["x2"], 3, labels=["low", "middle", "high"])
    found = fit().gate(cut)
    assert found.terms == ("group=low", "group=middle", "group=high")
    np.testing.assert_array_equal(fit().gate(cut.to_numpy()).terms, sorted(found.terms))
    np.testing.assert_array_equal(fit().gate(pd.Categorical(cut)).estimates, found.estimates)


def test_a_group_whose_rows_are_not_used_is_named():
    # First differences have no row for the first period.
    with pytest.raises(IdentificationError, match=r"time=2001 has no row among those used"):
        fit(approach="fd").gate("time")
    frame = table()
    frame["w"] = np.where(frame["region"] == "north", 0.0, 1.0)
    data = panel(frame, weights="w", weight_kind="sampling")
    for ask in (lambda e: e.gate("region"), lambda e: e.blp("region")):
        with pytest.raises(IdentificationError, match=r"region=north.*135 rows: weight of zero"):
            ask(fit(data))


# Moderators ---------------------------------------------------------------------------------------


def test_within_and_between_moderators_are_those_of_statsmodels():
    fitted = fit(ssc="none")
    y, d, unit = residuals(fitted)
    x2 = table()["x2"]
    mean = x2.groupby(table()["unit"]).transform("mean")
    peer = clustered(y, np.column_stack([d, d * (x2 - mean), d * mean]), unit)
    found = fitted.blp("x2", within_between=True)
    assert found.terms == ("constant", "x2 (within)", "x2 (between)")
    np.testing.assert_allclose(found.estimates, peer.params, rtol=1e-8)
    np.testing.assert_allclose(found.vcov, peer.cov_params(), rtol=1e-7)
    # The two slopes are 0.6 and 0.3; one slope for both would be in between.
    assert found.estimates[1] == pytest.approx(0.6, abs=4 * found.std_errors[1])
    assert found.estimates[1] - found.estimates[2] > 2 * found.std_errors[1]


def test_within_between_with_weights_uses_weighted_unit_means():
    frame = table()
    frame["w"] = np.random.default_rng(3).uniform(0.5, 2.0, N)
    found = fit(panel(frame, weights="w", weight_kind="sampling"))
    weighted = (frame["x2"] * frame["w"]).groupby(frame["unit"]).transform("sum")
    mean = weighted / frame["w"].groupby(frame["unit"]).transform("sum")
    basis = pd.DataFrame({"in": frame["x2"] - mean, "mean": mean})
    np.testing.assert_allclose(
        found.blp("x2", within_between=True).estimates, found.blp(basis).estimates, rtol=1e-9
    )


def test_a_moderator_without_a_within_part_is_named():
    with pytest.raises(ArgumentError, match=r"'region=north' never varies within a unit"):
        fit().blp(["x2", "region"], within_between=True)
    with pytest.raises(IdentificationError, match=r"those before 'time \(between\)' determine"):
        fit().blp("time", within_between=True)


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_the_unit_of_a_moderator_only_scales_its_slope(size):
    fitted, x2 = fit(), table()["x2"].to_numpy()
    found, scaled = fitted.blp(x2), fitted.blp(size * x2)
    np.testing.assert_allclose(scaled.estimates, found.estimates / [1, size], rtol=1e-7)
    np.testing.assert_allclose(scaled.std_errors, found.std_errors / [1, size], rtol=1e-7)


def test_columns_that_say_the_same_are_named():
    fitted, frame = fit(), table()
    basis = pd.DataFrame({"a": frame["x1"], "twice": 2e8 * frame["x1"]})
    with pytest.raises(IdentificationError, match=r"constant, a, twice.*before 'twice' determine"):
        fitted.blp(basis)
    with pytest.raises(IdentificationError, match=r"'zero' does not vary in the 400 rows"):
        fitted.blp(pd.DataFrame({"zero": np.zeros(N)}))
    for constant in (0.0, 3.0):
        with pytest.raises(IdentificationError, match=r"'b1' does not vary in the 400 rows"):
            fitted.blp(np.full(N, constant), penalty="lasso")


def test_arrays_and_series_are_moderators_too():
    fitted, frame = fit(), table()
    named = fitted.blp(["x1", "x2"])
    array = fitted.blp(frame[["x1", "x2"]].to_numpy())
    assert array.terms == ("constant", "b1", "b2")
    np.testing.assert_array_equal(array.estimates, named.estimates)
    assert fitted.blp(frame["x2"]).terms == ("constant", "x2")
    assert fitted.blp(np.array(["x1", "x2"])).terms == named.terms


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ([], "basis has no column; name one or more columns"),
        (pd.DataFrame(index=range(N)), "basis has no column"),
        (None, "of type NoneType; name one or more columns"),
        ([1, 2], "of type list; name one or more columns"),
        (np.zeros((2, N, 1)), "3-D array of float64"),
        (np.zeros((3, 2)), "3 rows; the data have 400"),
        ("y", "'y' is the outcome; effects can vary with what precedes"),
        (["x2", "d"], "'d' is the treatment"),
        (table()[["y"]], "'y' is the outcome"),
        (["x2", "x2"], "'x2' is in the basis twice"),
        (pd.DataFrame({"t": pd.date_range("2020", periods=N)}), "'t' .* is not numeric"),
        (pd.DataFrame({"a": ["x"] * N}), "'a' .* fewer than two levels"),
        (pd.DataFrame({"a": np.r_[np.nan, np.ones(N - 1)]}), "'a' .* missing or infinite at row 0"),
        (pd.DataFrame({"a": [None, *["x", "z"] * 199, "x"]}), "'a' .* missing at row 0"),
    ],
)
def test_moderators_that_are_none_are_refused(basis, words):
    with pytest.raises(ArgumentError, match=words):
        fit().blp(basis)


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.gate("region"),
        lambda e: e.blp("x2"),
        lambda e: e.blp("x2", penalty="lasso"),
        lambda e: e.effect(panel(modifiers=["x2"])),
    ],
)
def test_projections_of_the_iv_type_score_are_refused(ask):
    fitted = fit(panel(modifiers=["x2"]), score="iv-type")
    with pytest.raises(ArgumentError, match=r'score="partialling-out".*"iv-type".*Refit'):
        ask(fitted)


# Effects of new rows ------------------------------------------------------------------------------


def test_new_rows_are_coded_by_the_levels_of_the_fit():
    frame = table().astype({"region": "category"})
    data = panel(frame, modifiers=["region"], extra=())
    fitted = fit(data)
    by_level = dict(zip(("east", "north", "south"), fitted.gate("region").estimates, strict=True))
    # Rows of one level alone: a coding of their own would take it for the base level.
    for level in ("south", "north"):
        rows = np.flatnonzero(frame["region"] == level)[:4]
        found = fitted.effect(data.subset(rows))
        np.testing.assert_allclose(found["effect"], by_level[level], rtol=1e-9)
        alone = frame.iloc[rows].astype({"region": str}).astype({"region": "category"})
        other = panel(alone.reset_index(drop=True), modifiers=["region"], extra=())
        np.testing.assert_allclose(fitted.effect(other)["effect"], by_level[level], rtol=1e-9)


def test_a_level_that_the_fit_has_not_seen_is_named():
    frame = table().astype({"region": "category"})
    roles = {"modifiers": ["region"], "extra": ()}
    fitted = fit(panel(frame, **roles))
    new = table()
    new.loc[7, "region"] = "west"
    new = new.astype({"region": "category"})
    with pytest.raises(ArgumentError, match=r"'region' has the level 'west' at row 7.*'east', 'n"):
        fitted.effect(panel(new, **roles))
    with pytest.raises(ArgumentError, match="effect needs a CausalData, got DataFrame"):
        fitted.effect(new)


def test_intervals_of_effects_are_those_of_the_coefficients():
    data = panel(modifiers=["x2"])
    fitted = fit(data)
    zero = table()
    zero["x2"] = 0.0
    zero.loc[0, "x2"] = 1.0
    found = fitted.effect(panel(zero, modifiers=["x2"]))
    low, high = fitted.blp("x2").bounds()
    assert float(found["conf_low"][1]) == pytest.approx(low[0], rel=1e-9)
    assert float(found["conf_high"][1]) == pytest.approx(high[0], rel=1e-9)


# Many moderators ----------------------------------------------------------------------------------


def test_a_penalised_blp_of_few_moderators_is_close_to_the_plain_one():
    fitted = fit()
    centred = table()[["x1", "x2"]] - table()[["x1", "x2"]].mean()
    plain, found = fitted.blp(centred), fitted.blp(["x1", "x2"], penalty="lasso")
    assert found.terms == ("constant, moderators at their means", "x1", "x2")
    # The two differ by the nodewise lasso, which leaves part of a moderator's correlation with the
    # others in its residual: estimates move by less than a standard error, which cannot grow.
    gap = np.abs(found.estimates - plain.estimates) / plain.std_errors
    assert (gap < 0.5).all()
    assert (found.std_errors <= 1.001 * plain.std_errors).all()
    sums = pd.DataFrame(found.influence).groupby(fitted.fit_.sample.unit).sum().to_numpy()
    clustered_by_hand = N_UNITS / (N_UNITS - 1) * sums.T @ sums / N**2
    np.testing.assert_allclose(found.vcov, clustered_by_hand, rtol=1e-10)
    assert "x2" in found.diagnostics["lasso_selected"]
    assert found.estimand == "blp"
    assert (found.n, found.n_clusters, found.df) == (N, N_UNITS, N_UNITS - 1)


def test_a_penalised_blp_finds_the_moderators_that_matter_among_many():
    noise = np.random.default_rng(5).standard_normal((N, 40))
    basis = pd.DataFrame(noise, columns=[f"z{j}" for j in range(40)])
    basis["x2"] = table()["x2"]
    found = fit(n_rep=2, n_folds=2).blp(basis, penalty="lasso")
    p = found.p_value()
    assert p["x2"] < 1e-4
    assert (p.filter(like="z") < 0.01).mean() < 0.1
    assert found.n_rep == 2
    assert found.bounds(kind="uniform")[0][-1] > 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dml_procedure": "dml1"}, r'"lasso" has no dml_procedure="dml1".*"dml2"'),
        ({"cov_type": "nonrobust"}, r'"lasso" has no cov_type="nonrobust".*"clustered"'),
    ],
)
def test_what_a_penalised_blp_has_no_formula_for_is_refused(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        fit(**arguments).blp("x2", penalty="lasso")
    with pytest.raises(ArgumentError, match=r"unknown penalty 'ridge'.*lasso"):
        fit().blp("x2", penalty="ridge")


@pytest.mark.parametrize("penalty", [None, "lasso"])
def test_without_clusters_projections_count_the_absorbed_units(penalty):
    settings = {"approach": "within", "cov_type": "robust", "learner": "linear", "random_state": 0}
    found = [
        ck.PanelDML(ssc=ssc, **settings).fit(panel()).blp(["x1", "x2"], penalty=penalty)
        for ssc in ("none", "G/(G-1)")
    ]
    n, k = found[0].n, len(found[0].terms) + found[0].n_units
    np.testing.assert_allclose(found[1].vcov, found[0].vcov * n / (n - k), rtol=1e-12)
