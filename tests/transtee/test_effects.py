"""Effects and curves: identities, scales, grids, best actions, memory."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from transtee_designs import SMALL, arms_frame, weighted

import causalkit as ck
from causalkit.errors import ArgumentError, DataError, ExtrapolationWarning
from causalkit.transtee.effects import _uniform
from causalkit.transtee.settings import Settings
from causalkit.transtee.spread import spread_of


def test_effects_are_differences_of_outcomes(arms, arms_fit):
    effect = arms_fit.effect(arms)["effect"].values
    one, zero = (arms_fit.predict(arms, treatment=t) for t in (1, 0))
    np.testing.assert_allclose(effect, one - zero, atol=1e-6)
    back = arms_fit.effect(arms, treatment=0, baseline=1)["effect"].values
    np.testing.assert_allclose(back, -effect, atol=1e-6)
    same = arms_fit.effect(arms, treatment=1, baseline=1)["effect"].values
    assert np.array_equal(same, np.zeros(arms.n))


def test_effects_add_up(doses, dose_fit):
    def effect(a, b):
        return dose_fit.effect(doses, treatment=a, baseline=b)["effect"].values

    np.testing.assert_allclose(effect(0.8, 0.2), effect(0.8, 0.5) + effect(0.5, 0.2), atol=1e-6)


def test_a_list_of_actions_is_each_of_them(doses, dose_fit):
    several = dose_fit.predict(doses, treatment=[0.2, 0.7])
    for place, dose in enumerate((0.2, 0.7)):
        one = dose_fit.predict(doses, treatment=dose)
        np.testing.assert_allclose(several[:, place], one, atol=1e-6)
    each = np.where(np.arange(doses.n) % 2, 0.2, 0.7)
    mixed = dose_fit.predict(doses, treatment=each)
    np.testing.assert_allclose(mixed, np.where(each == 0.2, *several.T), atol=1e-6)


def test_units_of_the_outcome_pass_through(arms, arms_fit):
    moved = arms.assign(y=lambda frame: 1000.0 * frame["y"] + 7.0)
    again = ck.TransTEE(**SMALL).fit(moved)
    np.testing.assert_allclose(
        again.effect(moved)["effect"], 1000.0 * arms_fit.effect(arms)["effect"], rtol=1e-3, atol=0.5
    )


def test_errors_are_those_of_the_networks(doses, dose_fit):
    found = dose_fit.effect(doses, treatment=0.8, baseline=0.3, level=0.9)
    model, asked = dose_fit.model_, dose_fit._asked(doses)
    actions = [model.action(dose, asked) for dose in (0.8, 0.3)]
    every = model.outcomes(asked, actions)
    each = every[..., 0] - every[..., 1]
    np.testing.assert_allclose(found["effect"], each.mean(axis=0), atol=1e-6)
    # Each network leaves out a fifth: a jackknife scales by the root of .8 / .2.
    np.testing.assert_allclose(found["std_error"], 2.0 * each.std(axis=0, ddof=1), atol=1e-6)
    half = (found["conf_high"] - found["conf_low"]) / 2.0
    critical = student.ppf(0.95, len(each) - 1)
    np.testing.assert_allclose(half, critical * found["std_error"], rtol=1e-6)


def test_a_band_of_one_dose_is_an_interval_of_few_networks():
    # 2.57 for six networks, where a normal has 1.96; 999 draws tell it within .12.
    curves = np.random.default_rng(0).standard_normal((6, 1))
    assert abs(_uniform(curves, 0.95, seed=0) - student.ppf(0.975, 5)) < 0.36


def told(**arguments):
    return spread_of(Settings.of(ck.TransTEE(**arguments), seed=0), 4)


@pytest.mark.parametrize("left_out", [0.2, 0.4])
def test_parts_of_the_rows_tell_the_error_of_a_mean(left_out):
    rng = np.random.default_rng(0)
    y, size = rng.standard_normal(500), round(500 * (1.0 - left_out))
    means = [rng.choice(y, size, replace=False).mean() for _ in range(2000)]
    error = told(validation_fraction=left_out).scale * np.std(means, ddof=1)
    assert error == pytest.approx(y.std(ddof=1) / np.sqrt(500), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("networks", "least"), [({}, 16), ({"n_ensemble": 5, "bootstrap": True}, 17)]
)
def test_intervals_hold_the_average_curve(networks, least):
    # Nominal .95. Without the scale of a jackknife, .81 of the doses and a third of whole curves;
    # with normal quantiles over bootstrap rows, .88 of the doses and 13 whole curves of 20.
    grid, n_draws = np.linspace(0.1, 0.9, 9), 20
    datasets = [ck.generators.dose_synthetic(200 + k, n=500) for k in range(n_draws)]
    parts = [data.blind() for data in datasets]
    fits = ck.TransTEE.fit_many(parts, **networks, random_state=0)
    doses, whole = [], 0
    for data, part, fit in zip(datasets, parts, fits, strict=True):
        curve = fit.dose_response(part, grid=grid, individual=False)
        truth = data.truth.unit_response(grid).mean(axis=0)
        held = (curve["conf_low"] <= truth) & (truth <= curve["conf_high"])
        doses.append(float(held.mean()))
        whole += bool(((curve["band_low"] <= truth) & (truth <= curve["band_high"])).all())
    assert np.mean(doses) >= 0.91
    assert whole >= least


def test_an_interval_says_what_it_counts(doses, dose_fit):
    found = dose_fit.effect(doses, treatment=0.8, baseline=0.3)
    assert found.attrs["interval"].endswith("leave out 20% of the rows each, as a jackknife")
    drawn = ck.TransTEE(**(SMALL | {"n_ensemble": 2, "bootstrap": True})).fit(doses)
    curve = drawn.dose_response(doses, grid=3)
    assert curve.attrs["interval"] == "spread over 2 networks on bootstrap rows"


@pytest.mark.parametrize("shared", [{"refit": True}, {"interval": "conformal"}])
def test_networks_on_the_same_rows_tell_nothing_of_chance(shared):
    found = told(**shared)
    assert found.scale == 1.0
    assert found.told.endswith("on the same rows, whose chance it does not count")


def test_one_network_has_no_spread(arms, arms_fit):
    found = arms_fit.effect(arms)
    assert found["std_error"].isnull().all()
    assert found["conf_low"].isnull().all()
    assert found.attrs["interval"] == "none: one network has no spread"


def test_a_curve_in_one_pass_is_one_pass_for_each_dose(doses, dose_fit):
    curve = dose_fit.dose_response(doses, grid=[0.1, 0.4, 0.9], memory_budget=2**18)
    for dose in (0.1, 0.4, 0.9):
        one = dose_fit.predict(doses, treatment=dose)
        np.testing.assert_allclose(curve["individual"].sel(dose=dose), one, atol=1e-5)
        assert float(curve["adrf"].sel(dose=dose)) == pytest.approx(one.mean(), abs=1e-6)
    assert (curve["band_high"] >= curve["conf_high"]).all()
    lean = dose_fit.dose_response(doses, grid=[0.1, 0.4, 0.9], individual=False)
    assert "individual" not in lean
    np.testing.assert_allclose(lean["adrf"], curve["adrf"], atol=1e-6)


def test_a_dose_never_seen_is_said_and_marked(doses, dose_fit):
    with pytest.warns(
        ExtrapolationWarning, match=r"100% of the doses of t lie outside of the 0\.0"
    ):
        dose_fit.predict(doses, treatment=1.7)
    with pytest.warns(ExtrapolationWarning):
        found = dose_fit.dose_response(doses, grid=[0.5, 1.5])
    assert found["extrapolated"].values.tolist() == [False, True]


def test_the_best_dose_is_no_worse_than_any_on_a_fine_grid(doses, dose_fit):
    best = dose_fit.best_action(doses)
    low, high = dose_fit.model_.doses["t"]
    fine = dose_fit.dose_response(doses, grid=np.linspace(low, high, 401))["individual"]
    assert (best["outcome"].values >= fine.max("dose").values - 1e-3).all()
    at = dose_fit.predict(doses, treatment=best["dose"].values)
    np.testing.assert_allclose(at, best["outcome"], atol=1e-5)


def test_the_best_arm_is_that_with_the_largest_outcome(arms, arms_fit):
    best = arms_fit.best_action(arms)
    mu = arms_fit.predict(arms, treatment=[0, 1])
    assert np.array_equal(best["arm"].values.astype(int), mu.argmax(axis=1))


def test_the_least_outcome_is_the_largest_of_what_is_turned_round(arms, arms_fit, doses, dose_fit):
    least = arms_fit.best_action(arms, maximise=False)
    mu = arms_fit.predict(arms, treatment=[0, 1])
    assert np.array_equal(least["arm"].values.astype(int), mu.argmin(axis=1))
    np.testing.assert_array_equal(least["outcome"], mu.min(axis=1))
    least = dose_fit.best_action(doses, maximise=False)
    low, high = dose_fit.model_.doses["t"]
    fine = dose_fit.dose_response(doses, grid=np.linspace(low, high, 401))["individual"]
    assert (least["outcome"].values <= fine.min("dose").values + 1e-3).all()
    at = dose_fit.predict(doses, treatment=least["dose"].values)
    np.testing.assert_allclose(at, least["outcome"], atol=1e-5)
    with pytest.raises(ArgumentError, match="maximise must be True or False"):
        arms_fit.best_action(arms, maximise="min")


def test_arms_with_doses_have_a_curve_each():
    data = ck.generators.dosage(0, n=200, n_genes=12).blind()
    fit = ck.TransTEE(**SMALL).fit(data)
    curve = fit.dose_response(data, arm=1, grid=[0.2, 0.6])
    one = fit.predict(data, treatment=(1, 0.6))
    np.testing.assert_allclose(curve["individual"].sel(dose=0.6), one, atol=1e-5)
    assert set(np.unique(fit.best_action(data)["arm"].values.astype(int))) <= {0, 1, 2}
    with pytest.raises(ArgumentError, match=r"arm=9 is no arm of '.*'; name one of 0, 1, 2"):
        fit.dose_response(data, arm=9)


def test_several_treatments_at_once_and_none_of_them():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((400, 2)), columns=["a", "b"])
    frame["drug"], frame["diet"] = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    frame["amount"] = rng.random(400)
    frame["y"] = frame["a"] + 2.0 * frame["drug"] - frame["diet"] + frame["amount"]
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["drug", "diet", "amount"],
        covariates=["a", "b"],
        kinds=("binary", "binary", "continuous"),
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    none, both = {"drug": 0, "diet": 0, "amount": 0.5}, {"drug": 1, "diet": 1, "amount": 0.5}
    found = fit.effect(data, treatment=[(1, 0, 0.5), both], baseline=none)
    np.testing.assert_allclose(found["effect"].mean("obs"), [2.0, 1.0], atol=0.3)
    with pytest.raises(ArgumentError, match="has 3 values"):
        fit.predict(data, treatment=1)
    held = {"drug": 1, "diet": 0}
    curve = fit.dose_response(data, arm="amount", others=held, grid=[0.1, 0.5, 0.9])
    assert curve.attrs["dose"] == "amount"
    each = fit.predict(data, treatment=[held | {"amount": dose} for dose in (0.1, 0.5, 0.9)])
    np.testing.assert_allclose(curve["individual"], each, atol=1e-5)
    np.testing.assert_allclose(curve["adrf"], each.mean(axis=0), atol=1e-5)
    with pytest.warns(ExtrapolationWarning, match="doses of amount"):
        far = fit.dose_response(data, arm="amount", others=held, grid=[0.5, 2.0])
    assert far["extrapolated"].values.tolist() == [False, True]
    for arguments, words in (
        ({}, "one with doses is to vary, and arm=None is none; name one of 'amount'"),
        ({"arm": "drug"}, "arm='drug' is none"),
        ({"arm": "amount"}, r"\{'drug': ..., 'diet': ...\}; got None"),
        ({"arm": "amount", "others": {"drug": 1}}, r"got \{'drug': 1\}"),
        ({"arm": "amount", "others": {"drug": [0, 1], "diet": 0}}, "one value each"),
    ):
        with pytest.raises(ArgumentError, match=words):
            fit.dose_response(data, **arguments)


@pytest.mark.filterwarnings("ignore:regularizer")
def test_two_treatments_may_both_be_absent():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.standard_normal(400)})
    frame["drug"], frame["diet"] = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    frame["y"] = frame["a"] + 2.0 * frame["drug"] - frame["diet"]
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment=["drug", "diet"], covariates="a", kinds=("binary", "binary")
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    found = fit.effect(data, treatment=[(1, 0), (0, 1), (1, 1)], baseline=(0, 0))
    np.testing.assert_allclose(found["effect"].mean("obs"), [2.0, -1.0, 1.0], atol=0.3)
    pushed = ck.TransTEE(**SMALL, regularizer="tr").fit(data)
    assert np.isfinite(pushed.predict(data, treatment=(0, 0))).all()


def test_binary_outcomes_have_effects_on_the_probability():
    frame = arms_frame(600)
    frame["y"] = (frame["y"] > 0).astype(int)
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
    fit = ck.TransTEE(**(SMALL | {"outcome": "bernoulli", "max_epochs": 40})).fit(data)
    mu = fit.predict(data, treatment=[0, 1])
    assert ((mu > 0) & (mu < 1)).all()
    assert abs(mu[:, 1].mean() - frame.loc[frame["t"] == 1, "y"].mean()) < 0.08


def test_no_effect_is_found_where_there_is_none():
    frame = arms_frame(800)
    frame["y"] = frame["a"] - frame["b"] + 0.3 * np.random.default_rng(5).standard_normal(800)
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    assert np.abs(fit.effect(data)["effect"]).mean() < 0.12


def test_missing_values_declared_native_have_a_token():
    frame = arms_frame(400)
    frame["y"] += 3.0 * frame["c"].gt(1.0)
    frame.loc[frame["c"] > 1.0, "c"] = np.nan
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], missing="native"
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    error = frame["y"] - fit.predict(data, treatment=frame["t"].to_numpy())
    assert 1.0 - error.var() / frame["y"].var() > 0.8


def test_categories_and_levels_never_seen():
    frame = arms_frame(300)
    place = np.random.default_rng(2).choice(["north", "south"], 300)
    frame["place"] = pd.Categorical(place)
    frame["y"] += 2.0 * (frame["place"] == "north")
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c", "place"]
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 100})).fit(data)
    north, south = (
        fit.predict(
            data.like(frame.assign(place=pd.Categorical([place] * 300))), treatment=0
        ).mean()
        for place in ("north", "south")
    )
    assert north - south == pytest.approx(2.0, abs=0.4)
    west = frame.assign(place=pd.Categorical(["west"] * 300))
    other = ck.CausalData.from_frame(
        west, outcome="y", treatment="t", covariates=["a", "b", "c", "place"]
    )
    with pytest.raises(DataError, match=r"never seen in training: west \(known: north, south\)"):
        fit.predict(other, treatment=0)


def test_wide_tables_share_tokens_and_say_so():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((300, 20)), columns=[f"g{j}" for j in range(20)])
    frame["t"] = rng.integers(0, 2, 300)
    frame["y"] = frame["g0"] + frame["t"]
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=[f"g{j}" for j in range(20)]
    )
    with pytest.warns(Warning, match="20 covariates become 4 tokens"):
        fit = ck.TransTEE(**SMALL, max_tokens=10, n_tokens=4).fit(data)
    with pytest.raises(ArgumentError, match="20 covariates share 4 tokens"):
        fit.attention(data, treatment=1)
    assert len(fit.permutation_importance(data, n_repeats=1)) == 20


def test_attention_is_by_name_and_sums_to_one(arms, arms_fit):
    for which in ("cross", "rollout"):
        found = arms_fit.attention(arms, treatment=1, which=which)
        assert found.dims == ("obs", "covariate")
        assert found["covariate"].values.tolist() == ["a", "b", "c"]
        np.testing.assert_allclose(found.sum("covariate"), 1.0, atol=1e-5)
    heads = arms_fit.attention(arms, treatment=1, average=())
    assert heads.dims == ("obs", "head", "covariate")
    np.testing.assert_allclose(heads.mean("head"), arms_fit.attention(arms, treatment=1), atol=1e-6)
    inner = arms_fit.attention(arms, treatment=1, which="encoder")
    assert inner.dims == ("obs", "query", "covariate")
    np.testing.assert_allclose(inner.sum("covariate"), 1.0, atol=1e-5)


def test_shuffling_what_matters_hurts_and_what_does_not_does_not():
    frame = arms_frame(500).assign(d=np.random.default_rng(3).standard_normal(500))
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c", "d"]
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    found = fit.permutation_importance(data).set_index("covariate")
    assert found.loc["a", "loss_increase"] > 10.0 * abs(found.loc["d", "loss_increase"])
    assert found["effect_change"].idxmax() == "c"
    assert set(found.attrs["rank_correlation"]) == {"loss_increase", "effect_change"}


def test_memory_does_not_depend_on_the_budget(arms, arms_fit):
    model, asked = arms_fit.model_, arms_fit._asked(arms)
    actions = [model.action(t, asked) for t in (0, 1)]
    small = model.outcomes(asked, actions, memory_budget=1)
    np.testing.assert_allclose(small, model.outcomes(asked, actions), atol=1e-6)


def test_shuffling_counts_the_rows_by_their_weights(arms_fit):
    first = np.arange(240) < 160
    rows = {"all": np.ones(240), "first": first, "last": ~first}
    found = {}
    for name, weight in rows.items():
        data = weighted(arms_frame().assign(w=weight.astype(float)))
        table = arms_fit.permutation_importance(data, n_repeats=1).set_index("covariate")
        found[name] = table.loss_increase, table.effect_change**2
    for every, one, other in zip(*(found[name] for name in rows), strict=True):
        np.testing.assert_allclose(2 / 3 * one + 1 / 3 * other, every, rtol=1e-6, atol=1e-9)
        assert (abs(one / other - 1.0) > 0.1).any()


def test_diagnostics_say_how_well_held_out_rows_are_predicted_and_what_is_left(arms, arms_fit):
    uneven = weighted(arms_frame().assign(w=np.linspace(0.0, 5.0, 240) ** 2))
    by_weight = ck.TransTEE(**SMALL).fit(uneven)
    fits = ((arms, arms_fit, np.ones(240)), (uneven, by_weight, uneven.weights()))
    for data, fit, weight in fits:
        rows = fit.model_.stacks[0].members[0].valid
        held, w = data.subset(rows), weight[rows] / weight[rows].sum()
        hat = fit.predict(held, treatment=held.frame["t"].to_numpy())
        y = held.column("outcome")
        expected = 1.0 - w @ (y - hat) ** 2 / (w @ y**2 - (w @ y) ** 2)
        found = fit.diagnostics_
        assert found["factual R², validation"] == [pytest.approx(expected, abs=1e-5)]
        assert found["treatment left in the representation, R²"] < 0.1
    assert expected != pytest.approx(1.0 - ((y - hat) ** 2).mean() / y.var(), abs=1e-3)


def test_rows_of_weight_zero_alone_neither_train_nor_judge():
    few = weighted(arms_frame().assign(w=np.arange(240.0) < 2))
    with pytest.raises(DataError, match=r"only 0.8% of the rows have a weight above zero"):
        ck.TransTEE(**SMALL).fit(few)
