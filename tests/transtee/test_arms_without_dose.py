"""Arms that take no dose beside arms that take one: y is x, x + 2 t or x - t, t from 100 on."""

import numpy as np
import pandas as pd
import pytest
import torch
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning, DataError
from causalkit.transtee.baseline_networks import log_density, own_loss
from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.baselines import DRNet, TARNet, VCNet
from causalkit.transtee.networks import Actions, Memory, action_tokens
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape
from causalkit.transtee.split import strata_of, strata_of_groups

FIT = SMALL | {"max_epochs": 20, "batch_size": 32, "lr": 1e-2}
SHAPE = ActionShape(n_arms=3, dosed=(True, False, True), n_slots=1)
SLOPES = {"down": -1.0, "up": 2.0}


def trial_frame(n=360, seed=0, low=100.0):
    rng = np.random.default_rng(seed)
    x, arm, t = rng.standard_normal(n), rng.integers(0, 3, n), rng.random(n)
    y = x + np.choose(arm, [-t, np.zeros(n), 2.0 * t]) + 0.1 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "x": x, "arm": np.array(["down", "none", "up"])[arm]})
    return frame.assign(dose=np.where(arm == 1, np.nan, low + t))


def trial(frame=None, **more):
    frame = trial_frame() if frame is None else frame
    roles = {"outcome": "y", "treatment": ["arm", "dose"], "kinds": ("multi", "dose")}
    return ck.CausalData.from_frame(frame, **(roles | {"covariates": "x"} | more))


@pytest.fixture(scope="module")
def data():
    return trial()


@pytest.fixture(scope="module")
def fit(data):
    return ck.TransTEE(**FIT).fit(data)


def off(found, truth):
    return np.sqrt(np.mean((np.asarray(found) - np.asarray(truth)) ** 2))


@pytest.mark.parametrize("cls", [ck.TransTEE, TARNet, DRNet, VCNet])
def test_outcomes_of_every_arm_are_learned(cls, data, fit):
    x = data.frame["x"].to_numpy()
    if cls is not ck.TransTEE:
        sizes = {"d_model": 32, "d_head": 32, "max_epochs": 20, "batch_size": 32, "n_ensemble": 1}
        fit = cls(**sizes, lr=5e-3, random_state=0).fit(data)
    assert off(fit.predict(data, treatment=("none", None)), x) < 0.2
    for arm, slope in SLOPES.items():
        curve = fit.dose_response(data, arm=arm, grid=[100.2, 100.8], individual=False).adrf
        assert off(curve, x.mean() + slope * np.array([0.2, 0.8])) < 0.2


def test_nothing_changes_but_the_null_dose_if_all_arms_take_one():
    table = TableShape(n_numeric=1)
    some, every, none = (
        NetShape(table, ActionShape(n_arms=2, dosed=dosed, n_slots=1)).layout().blocks
        for dosed in ((True, False), (True, True), (False, False))
    )
    assert {name: block for name, block in some.items() if name != "dose.null"} == every
    assert "dose.null" in some
    assert "dose.null" not in none
    # A slot of its own needs no stand-in.
    two = NetShape(table, ActionShape(n_arms=2, dosed=(True, False), n_slots=2)).layout().blocks
    assert "dose.null" not in two


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    layout = NetShape(TableShape(n_numeric=1), SHAPE, width=8).layout()
    return layout.unpack(torch.randn(1, layout.size, generator=generator))


def test_the_token_of_an_arm_without_a_dose_is_its_row_and_the_scaled_null_dose():
    p = parameters()
    arms = torch.tensor([0, 1, 2]).view(1, 1, 3, 1)
    asked = [Actions(arms, torch.full((1, 1, 3, 1), dose)) for dose in (0.0, 0.7)]
    one, two = (action_tokens(p, SHAPE, actions)[0, 0, :, 0] for actions in asked)
    by_hand = p["arm"][0, 1] + p["dose.null"][0] * p["dose.scale"][0, 1]
    torch.testing.assert_close(one[1], by_hand)
    assert torch.equal(one[1], two[1])
    assert ((one - two)[[0, 2]].abs() > 1e-3).any(dim=1).all()
    # The others are as they are where all arms take a dose.
    every = ActionShape(n_arms=3, dosed=(True, True, True), n_slots=1)
    p.pop("dose.null")
    assert torch.equal(action_tokens(p, every, asked[1])[0, 0, [0, 2], 0], two[[0, 2]])


def test_only_arms_without_a_dose_teach_the_null_dose():
    for arm, taught in ((0, False), (1, True), (2, False)):
        p = parameters()
        null = p["dose.null"] = p["dose.null"].clone().requires_grad_()
        doses = torch.full((1, 1, 1, 1), 0.5)
        actions = Actions(torch.full((1, 1, 1, 1), arm), doses)
        (slope,) = torch.autograd.grad(action_tokens(p, SHAPE, actions).sum(), null)
        assert bool(slope.any()) is taught


def test_vcnet_has_no_density_of_a_dose_that_is_not_taken():
    baseline = Baseline("vcnet", n_layers=1, treatment_weight=0.5)
    shape = NetShape(TableShape(n_numeric=1), SHAPE, width=4, baseline=baseline)
    generator = torch.Generator().manual_seed(0)
    p = shape.layout().unpack(torch.randn(1, shape.layout().size, generator=generator))
    r = torch.randn(1, 3, 1, 4, generator=generator)
    arms, doses = torch.tensor([0, 1, 2]), torch.tensor([0.3, 0.0, 0.9])
    actions = Actions(arms.view(1, 3, 1, 1), doses.view(1, 3, 1, 1))
    out = torch.zeros(1, 3)
    found = own_loss(p, shape, Memory(r), actions, out, out, "gaussian")[0]
    logits = (r[0, :, 0] @ p["density.weight"][0] + p["density.bias"][0]).view(3, 3, 11)
    by_hand = -0.5 * log_density(logits[torch.arange(3), arms], doses)
    torch.testing.assert_close(found, by_hand * torch.tensor([1.0, 0.0, 1.0]))
    assert by_hand[1] != 0.0


def test_strata_are_fifths_of_the_doses_that_are_taken():
    n = 100
    arms, doses = np.repeat([0, 1], n)[:, None], np.repeat([np.nan, 0.0], n)[:, None]
    doses[n:, 0] = np.arange(n)
    strata = strata_of(arms, doses)
    assert np.unique(strata[:n]).size == 1
    assert np.bincount(strata).tolist() == [n, 20, 20, 20, 20, 20]
    # Groups of one row with a dose, and of one to three without, lie where that dose does.
    alone = strata_of_groups(arms[n:], doses[n:], np.arange(n))
    others = np.repeat(np.arange(n), 1 + np.arange(n) % 3)
    order = np.r_[np.zeros(others.size, dtype=int), n : 2 * n]
    mixed = strata_of_groups(arms[order], doses[order], np.r_[others, 0:n])
    np.testing.assert_array_equal(mixed, alone)


@pytest.mark.parametrize("roles", [{}, {"cluster": "u"}])
def test_splits_are_the_same_whatever_number_doses_begin_at(roles):
    frames = [trial_frame(low=low).assign(u=np.arange(360) // 2) for low in (100.0, -100.0)]
    fits = [ck.TransTEE(**SMALL | {"max_epochs": 1}).fit(trial(f, **roles)) for f in frames]
    one, two = (fit.model_.stacks[0].members[0].valid for fit in fits)
    np.testing.assert_array_equal(one, two)


def test_ranges_diagnostics_and_summary_tell_arms_with_and_without(fit, data):
    assert fit.arms_ == ("down", "none", "up")
    assert list(fit.dose_range_) == ["down", "up"]
    seen = data.frame.groupby("arm")["dose"].agg(["min", "max"]).loc["up"]
    assert fit.dose_range_["up"] == pytest.approx(tuple(seen))
    counts = data.frame["arm"].value_counts()
    assert fit.diagnostics_["rows by arm"] == {arm: counts[arm] for arm in fit.arms_}
    text = fit.summary()
    assert "without a dose: none" in text
    assert "doses of up: 100 to 101" in text
    assert "doses of none" not in text


def test_what_is_left_of_the_treatment_is_not_how_far_doses_lie_from_zero():
    name = "treatment left in the representation, R²"
    frame = trial_frame()
    # Half of all that varies in the doses is what the covariate says of them.
    dose = (frame["x"].rank(pct=True) + frame["dose"]).where(frame["arm"] != "none")
    near, far = (
        ck.TransTEE(**SMALL).fit(trial(frame.assign(dose=dose - shift))) for shift in (100.0, 0.0)
    )
    assert near.diagnostics_[name] == pytest.approx(far.diagnostics_[name], abs=1e-3)
    assert near.diagnostics_[name] > 0.05


def test_the_dose_that_an_arm_without_one_is_asked_at(data, fit):
    ways = [
        ("none", np.nan),
        {"arm": "none", "dose": None},
        {"arm": ["none"] * len(data), "dose": np.full(len(data), np.nan)},
        pd.DataFrame({"arm": ["none"], "dose": pd.array([None], dtype="Float64")}),
        np.array(["none", None], dtype=object),
    ]
    plain = fit.predict(data, treatment=("none", None))
    for way in ways:
        np.testing.assert_array_equal(fit.predict(data, treatment=way), plain)
    received = fit.predict(data, treatment=data.frame[["arm", "dose"]])
    none = (data.frame["arm"] == "none").to_numpy()
    np.testing.assert_allclose(received[none], plain[none], atol=1e-6)
    doses = data.frame["dose"].to_numpy()
    given = fit.predict(data, treatment={"arm": "up", "dose": np.nan_to_num(doses, nan=100.5)})
    up = (data.frame["arm"] == "up").to_numpy()
    np.testing.assert_allclose(received[up], given[up], atol=1e-6)


def test_effects_of_doses_against_none_add_up(data, fit):
    asked = [("up", 100.5), ("down", 100.5), ("none", None)]
    found = fit.effect(data, treatment=asked, baseline=("none", None))
    assert found["treatment"].values.tolist() == ["up, 100.5", "down, 100.5", "none"]
    assert (found.effect[:, 2] == 0.0).all()
    between = fit.effect(data, treatment=asked[0], baseline=asked[1]).effect
    np.testing.assert_allclose(between, found.effect[:, 0] - found.effect[:, 1], atol=1e-6)
    assert off(found.effect[:, 0], 1.0) < 0.25


def test_the_best_action_may_take_no_dose(data, fit):
    worse = trial(trial_frame().assign(y=lambda f: f["y"] - 9.0 * (f["arm"] != "none")))
    best = ck.TransTEE(**FIT | {"max_epochs": 6}).fit(worse).best_action(worse, grid=5)
    rows = best["arm"].values == "none"
    assert rows.mean() > 0.9
    assert np.isnan(best["dose"].values[rows]).all()
    assert np.isfinite(best["dose"].values[~rows]).all()
    best = fit.best_action(data, grid=5)
    assert (best["arm"].values == "up").mean() > 0.9
    none = fit.predict(data, treatment=("none", None))
    assert (best["outcome"].values >= none).all()


@pytest.mark.parametrize("dose", [100.5, 0.0, np.inf, "much"])
def test_a_dose_for_an_arm_that_takes_none_is_refused(data, fit, dose):
    with pytest.raises(DataError) as caught:
        fit.predict(data, treatment=("none", dose))
    (problem,) = caught.value.problems
    assert problem.message == (
        "arm 'none' takes no dose: it had none in training, and 'dose' is given in 1 rows (first: "
        f"{dose!r}). Ask for it without one, ('none', None), or for an arm that takes one."
    )


@pytest.mark.parametrize("dose", [None, np.nan, np.inf, "much"])
def test_an_arm_that_takes_a_dose_is_not_asked_without(data, fit, dose):
    with pytest.raises(DataError) as caught:
        fit.effect(data, treatment=("up", dose), baseline=("none", None))
    (problem,) = caught.value.problems
    assert problem.message == (
        f"arm 'up' takes a dose, and 'dose' is not a finite number in 1 rows (first: {dose!r}); "
        "say at which dose, ('up', dose)."
    )


def test_rows_that_are_asked_wrongly_are_counted_and_named(data, fit):
    doses = np.full(len(data), 100.5)
    doses[[3, 8]] = np.nan
    with pytest.raises(DataError, match="finite number in 2 rows") as caught:
        fit.predict(data, treatment={"arm": "up", "dose": doses})
    assert caught.value.problems[0].rows == (3, 8)


def test_an_arm_without_a_dose_has_no_curve(data, fit):
    with pytest.raises(ArgumentError) as caught:
        fit.dose_response(data, arm="none")
    assert str(caught.value) == (
        "arm='none' takes no dose, so that it has no curve: its mean outcome is predict(data, "
        "treatment=('none', None)); arms with a dose: 'down', 'up'."
    )
    words = r"arm=None is no arm of 'arm'; name one of 'down', 'up'\.$"
    with pytest.raises(ArgumentError, match=words):
        fit.dose_response(data)


def test_parts_without_a_dose_have_nothing_to_compare(data):
    part = data.subset((data.frame["arm"] == "none").to_numpy())
    with pytest.raises(DataError) as caught:
        ck.TransTEE(**SMALL).fit(part)
    told = [problem.message for problem in caught.value.problems]
    assert told == [
        "treatment 'arm' has the single value 'none'; there is nothing to compare.",
        "treatment 'dose' has no value; there is nothing to compare.",
    ]


def test_saved_and_loaded_it_is_the_same(data, fit, tmp_path):
    fit.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    asked = [("none", None), ("up", 100.25)]
    np.testing.assert_array_equal(
        again.predict(data, treatment=asked), fit.predict(data, treatment=asked)
    )
    with pytest.raises(DataError, match="arm 'none' takes no dose"):
        again.predict(data, treatment=("none", 100.5))
    assert again.summary().split("Diagnostics")[1:] == fit.summary().split("Diagnostics")[1:]


@pytest.mark.parametrize("cls", [ck.TransTEE, VCNet])
def test_trained_together_is_trained_alone(cls, data):
    sizes = {"d_model": 8, "max_epochs": 3, "n_ensemble": 1}
    other = trial(trial_frame(seed=1))
    together = cls.fit_many([data, other], **sizes, random_state=0)
    alone = cls(**sizes, random_state=1).fit(other)
    for ask in (("none", None), ("up", 100.5)):
        found, expected = (one.predict(other, treatment=ask) for one in (together[1], alone))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_data_sets_of_one_stack_have_the_same_arms_without_a_dose(data):
    every = trial(trial_frame().fillna({"dose": 100.0}))
    with pytest.raises(ArgumentError) as caught:
        ck.TransTEE.fit_many([data, every], **SMALL)
    assert str(caught.value).startswith(
        "in data set 1 the arms without a dose are none, and in the first 'none'; fit_many trains"
    )


def test_a_regulariser_and_groups_take_such_arms(data):
    grouped = trial(trial_frame().assign(u=np.repeat(np.arange(120), 3)), cluster="u")
    short = SMALL | {"max_epochs": 2}
    for density in ("gaussian", "mixture", "beta"):
        with pytest.warns(CausalKitWarning, match="pushes the representation to forget"):
            made = ck.TransTEE(**short, regularizer="ptr", density=density).fit(grouped)
        assert np.isfinite(made.history_["train_loss"]).all()
        assert np.isfinite(made.predict(grouped, treatment=("none", None))).all()
