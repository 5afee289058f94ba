"""Actions and grids as users write them: what they mean, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.errors import ArgumentError, DataError, ExtrapolationWarning
from causalkit.transtee.actions import ActionArrays

SHORT = SMALL | {"max_epochs": 2}


@pytest.fixture(scope="module")
def drugs():
    return ck.generators.dosage(0, n=200, n_genes=10).blind()


@pytest.fixture(scope="module")
def drugs_fit(drugs):
    return ck.TransTEE(**SHORT).fit(drugs)


@pytest.fixture(scope="module")
def both():
    frame = arms_frame().assign(g=np.arange(240) // 2 % 2)
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["t", "g"],
        kinds=("binary", "binary"),
        covariates=["a", "b", "c"],
    )


@pytest.fixture(scope="module")
def both_fit(both):
    return ck.TransTEE(**SHORT).fit(both)


def test_some_rows_of_actions_keep_all_that_they_hold():
    actions = ActionArrays(*(np.arange(8).reshape(4, 2) for _ in range(3)), items=np.arange(4))
    some = actions.rows(np.array([3, 1]))
    for values in (some.arms, some.doses, some.active):
        np.testing.assert_array_equal(values, [[6, 7], [2, 3]])
    np.testing.assert_array_equal(some.items, [3, 1])
    assert replace(actions, items=None).rows(slice(1, 3)).items is None


def test_the_arm_of_a_curve(doses, dose_fit, drugs, drugs_fit):
    with pytest.raises(ArgumentError, match=r"arm=1, and 't' is one continuous treatment"):
        dose_fit.dose_response(doses, arm=1)
    with pytest.raises(ArgumentError, match="t is one treatment; leave others out"):
        dose_fit.dose_response(doses, others={"t": 1})
    expected = drugs_fit.dose_response(drugs, arm=1, grid=3)
    for same in (1.0, True, np.int64(1)):
        found = drugs_fit.dose_response(drugs, arm=same, grid=3)
        np.testing.assert_array_equal(found["adrf"], expected["adrf"])
    for other in (7, "1", None, [1, 2]):
        with pytest.raises(ArgumentError, match=r"is no arm of '.*'; name one of 0, 1, 2"):
            drugs_fit.dose_response(drugs, arm=other)


@pytest.mark.parametrize("kind", [np.int64, np.int32, int])
def test_a_number_of_doses_of_any_integer_type(doses, dose_fit, kind):
    assert dose_fit.dose_response(doses, grid=kind(9)).sizes["dose"] == 9


def test_the_ends_of_the_training_range_are_not_beyond_it(doses, dose_fit, recwarn):
    ends = doses.frame["t"].min(), doses.frame["t"].max()
    curve = dose_fit.dose_response(doses, grid=np.linspace(*ends, 5))
    assert not curve["extrapolated"].any()
    assert not [w for w in recwarn if w.category is ExtrapolationWarning]
    with pytest.warns(ExtrapolationWarning):
        beyond = dose_fit.dose_response(doses, grid=[ends[1] + 0.1, ends[0]])
    assert beyond["extrapolated"].values.tolist() == [True, False]


def test_a_baseline_for_each_row_needs_a_treatment(arms, arms_fit):
    received = arms.frame["t"].to_numpy()
    for baseline in (received, {"t": 0}, (0,)):
        with pytest.raises(ArgumentError, match=r"compared with one baseline, got .* as well"):
            arms_fit.effect(arms, baseline=baseline)
    found = arms_fit.effect(arms, treatment=1, baseline=received)["effect"].values
    assert (found[received == 1] == 0.0).all()
    assert (found[received == 0] != 0.0).all()


def test_a_tuple_may_hold_a_column_for_each_treatment(drugs, drugs_fit):
    arm, dose = np.arange(drugs.n) % 3, np.linspace(0.3, 0.7, drugs.n)
    found = drugs_fit.predict(drugs, treatment=(arm, dose))
    table = pd.DataFrame({"arm": arm, "dose": dose})
    np.testing.assert_array_equal(found, drugs_fit.predict(drugs, treatment=table))
    one = drugs_fit.predict(drugs.subset([5]), treatment=(int(arm[5]), float(dose[5])))
    np.testing.assert_allclose(found[5], one[0], atol=1e-6)
    effect = drugs_fit.effect(drugs, treatment=[(arm, dose), (1, 0.5)], baseline=(0, 0.5))
    assert effect["treatment"].values.tolist() == ["given", "1, 0.5"]


def test_columns_of_an_action_of_different_lengths(both, both_fit):
    said = r"one for everyone or one for each row, got t of shape \(2,\), g of shape \(3,\)"
    with pytest.raises(ArgumentError, match=said):
        both_fit.predict(both, treatment={"t": [0, 1], "g": [0, 1, 1]})
    with pytest.raises(ArgumentError, match=r"t of shape \(2, 2\)"):
        both_fit.predict(both, treatment={"t": np.zeros((2, 2)), "g": 1})


def test_a_mapping_names_treatments_and_nothing_else(both, both_fit):
    with pytest.raises(ArgumentError, match=r"columns t, g, got also 'z', 'a'"):
        both_fit.predict(both, treatment={"t": 1, "g": 0, "z": 1, "a": 2})
    with pytest.raises(ArgumentError, match="got also 'z'"):
        both_fit.effect(both, treatment=(1, 1), baseline={"t": 1, "g": 0, "z": 1})


def test_arrays_of_actions_have_a_row_for_each_row(both, both_fit):
    rows = both.frame[["t", "g"]].to_numpy()
    found = both_fit.predict(both, treatment=rows)
    each = both_fit.predict(both, treatment=[(0, 0), (0, 1), (1, 0), (1, 1)])
    np.testing.assert_allclose(found, each[np.arange(240), 2 * rows[:, 0] + rows[:, 1]], atol=1e-6)
    one = both_fit.predict(both, treatment=np.array([1, 0]))
    np.testing.assert_allclose(one, each[:, 2], atol=1e-6)
    for wrong in (rows.T, np.array([0, 1, 1]), rows[:, :, None]):
        with pytest.raises(ArgumentError, match=r"array of shape \(2,\) for everyone or \(rows, 2"):
            both_fit.predict(both, treatment=wrong)


def test_transposed_actions_of_one_treatment(arms, arms_fit):
    column = arms.frame["t"].to_numpy()[:, None]
    np.testing.assert_array_equal(
        arms_fit.predict(arms, treatment=column), arms_fit.predict(arms, treatment=column[:, 0])
    )
    with pytest.raises(ArgumentError, match=r"\(rows, 1\), got \(1, 240\)"):
        arms_fit.predict(arms, treatment=column.T)


def test_data_without_rows(arms, arms_fit):
    with pytest.raises(DataError, match="these data have no rows to ask about"):
        arms_fit.predict(arms.subset([]), treatment=1)


def test_a_width_that_follows_the_rows_has_whole_heads(arms):
    with pytest.raises(ArgumentError, match=r"d_model=32 \(auto\) is not a multiple of n_heads=3"):
        ck.TransTEE(**(SHORT | {"d_model": "auto", "n_heads": 3})).fit(arms)


def test_an_average_curve_counts_rows_by_their_weights():
    data = ck.generators.dose_synthetic(0, n=200).blind()
    first = data.roles.covariates[0]
    frame = data.frame.assign(w=np.where(data.frame[first] > 0.5, 5.0, 0.2))
    weighted = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        kinds=data.roles.kinds,
        covariates=list(data.roles.covariates),
        weights="w",
        weight_kind="sampling",
    )
    fit = ck.TransTEE(**(SHORT | {"n_ensemble": 2})).fit(weighted)
    curve = fit.dose_response(weighted, grid=[0.2, 0.6], memory_budget=2**18)
    expected = np.average(curve["individual"], axis=0, weights=frame["w"])
    np.testing.assert_allclose(curve["adrf"], expected, atol=1e-5)
    plain = fit.dose_response(data, grid=[0.2, 0.6])
    np.testing.assert_allclose(plain["adrf"], curve["individual"].mean("obs"), atol=1e-5)


@pytest.mark.parametrize("labels", [(1, 2, 5), (0.5, 1.0, 2.0), ("a", "b", "c")])
def test_arms_are_called_as_the_data_call_them(labels):
    frame = arms_frame()
    frame["t"] = np.array(labels, dtype=object)[np.arange(len(frame)) % 3]
    frame["t"] = frame["t"].astype("category")
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates="a")
    fit = ck.TransTEE(**SMALL).fit(data)
    assert fit.arms_ == labels
    for told in (fit.effect(data)["treatment"], fit.attention(data)["treatment"]):
        assert set(told.values.tolist()) <= set(labels)
    each = fit.predict(data, treatment=list(fit.arms_))
    effect = fit.effect(data).sel(treatment=labels[2])["effect"]
    np.testing.assert_allclose(effect, each[:, 2] - each[:, 0], atol=1e-6)
    assert fit.overlap().index.tolist() == list(labels)


def test_doses_are_selected_by_arm_and_number(drugs, drugs_fit, doses, dose_fit):
    for arm, (low, high) in drugs_fit.dose_range_.items():
        curve = drugs_fit.dose_response(drugs, grid=3, arm=arm)
        assert curve["dose"].values[[0, -1]] == pytest.approx([low, high])
    found = dose_fit.effect(doses, treatment=[0.2, 0.7], baseline=0.5)
    assert found.sel(treatment=0.7).sizes == {"obs": doses.n}


def test_actions_by_row_go_by_the_labels_of_their_rows(drugs_fit):
    frame = ck.generators.dosage(1, n=60).blind().frame
    frame.index = pd.Index([f"row {k}" for k in range(60)])
    roles = {"outcome": "y", "treatment": ["arm", "dose"], "kinds": ("multi", "dose")}
    columns = [name for name in drugs_fit.feature_names_in_]
    data = ck.CausalData.from_frame(frame, covariates=columns, **roles)
    own = frame[["arm", "dose"]].assign(dose=frame["dose"].clip(0.3, 0.7))
    wanted = drugs_fit.predict(data, treatment=own.to_numpy())
    turned = own.sample(frac=1.0, random_state=0)
    for given in (
        turned,
        (turned["arm"], turned["dose"]),
        {"arm": turned["arm"], "dose": own["dose"]},
    ):
        np.testing.assert_array_equal(drugs_fit.predict(data, treatment=given), wanted)
    with pytest.raises(ArgumentError, match=r"treatment has .* not those of the data"):
        drugs_fit.predict(data, treatment=own.set_axis(range(1, 61)))
