"""Released networks for arms with a dose and for texts, and what every recipe refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import released_designs
from released_designs import FEW

torch = pytest.importorskip("torch")

import causalkit as ck  # noqa: E402
from causalkit.errors import ArgumentError, DataError  # noqa: E402
from causalkit.transtee.released import ReleasedTransTEE  # noqa: E402
from causalkit.transtee.released_graphs import ReleasedGraphs  # noqa: E402
from causalkit.transtee.released_network import (  # noqa: E402
    Decoder,
    ReleasedDosage,
    ReleasedTexts,
)
from causalkit.transtee.released_recipes import RECIPES  # noqa: E402
from causalkit.transtee.released_training import Inputs, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


@pytest.fixture(scope="module")
def dosage():
    return released_designs.dosage()


@pytest.fixture(scope="module")
def texts():
    return released_designs.texts()


@pytest.fixture(scope="module")
def graphs():
    return released_designs.graphs()


def count(network):
    return sum(values.numel() for values in network.parameters())


def linear(n_in, n_out):
    return n_in * n_out + n_out


def layer(d, ff, n_attentions, n_scalars):
    """Attentions of width d, a feed-forward part and norms."""
    attention = 4 * d * d + 4 * d
    return n_attentions * attention + linear(d, ff) + linear(ff, d) + n_scalars


def test_there_are_as_many_parameters_as_the_layers_have():
    assert count(ReleasedDosage(200, RECIPES["tcga"])) == (
        linear(200, 100)
        + 3 * 2 * 48
        + linear(96, 48)
        + linear(48, 48)
        + layer(48, 48, 1, 2 * 2 * 100)
        + layer(48, 48, 2, 3 * 2)
        + linear(48, 48)
        + linear(48, 1)
    )
    assert count(ReleasedTexts(replace(RECIPES["texts"], width=768))) == (
        2 * 768 + layer(768, 2048, 2, 3 * 2) + linear(768, 2)
    )
    assert count(ReleasedGraphs(20, 1, RECIPES["sw"])) == (
        2 * 16
        + (2 * 1 * 100 + 100)
        + 2 * (2 * 100 * 100 + 100)
        + 3 * 2 * 100
        + 2 * linear(100, 100)
        + linear(100, 16)
        + layer(16, 200, 1, 2 * 2 * 20)
        + layer(16, 200, 2, 3 * 2)
        + linear(16, 1)
    )


@pytest.mark.parametrize("name", ["ihdp", "tcga", "sw"])
def test_norms_of_the_decoder_stand_by_where_the_treatment_is_a_number(name):
    recipe = RECIPES[name]
    torch.manual_seed(0)
    t, memory = torch.randn(64, 1, recipe.width) + 3.0, torch.randn(64, 5, recipe.width)
    out = Decoder(recipe)(t, memory)
    normed = abs(out.mean().item()) < 1e-5 and abs(out.var(correction=0).item() - 1.0) < 1e-3
    assert normed == (name != "ihdp")


# Arms with a dose.


def renamed(data, names):
    frame = data.frame.assign(arm=pd.Categorical(data.frame["arm"].map(names)))
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["arm", "dose"],
        kinds=("multi", "dose"),
        covariates=list(data.roles.covariates),
    )


def test_it_answers_what_the_network_says_of_arms_as_numbers_beside_doses(dosage):
    fit = ReleasedTransTEE(recipe="tcga", **FEW).fit(dosage)
    x = torch.tensor(dosage.matrix("covariates"), dtype=torch.float32)
    with torch.no_grad():
        said = fit.model_.network(x, torch.full((60,), 2.0), torch.full((60,), 0.3))
    np.testing.assert_allclose(fit.predict(dosage, treatment=(2, 0.3)), said, rtol=1e-6)
    curve = fit.dose_response(dosage, grid=[0.3, 0.6], arm=2)
    np.testing.assert_allclose(curve["individual"][:, 0], said, rtol=1e-6)
    taken = dosage.frame.loc[dosage.frame["arm"] == 2, "dose"]
    assert fit.dose_range_[2] == pytest.approx((taken.min(), taken.max()), rel=1e-6)


def test_what_arms_are_called_matters_by_their_order_alone(dosage):
    asked = {}
    for names in ("abc", "pqr", "cba"):
        data = renamed(dosage, dict(enumerate(names)))
        fit = ReleasedTransTEE(recipe="tcga", **FEW).fit(data)
        asked[names] = fit.predict(data, treatment=(names[0], 0.5))
    np.testing.assert_array_equal(asked["abc"], asked["pqr"])
    assert np.abs(asked["abc"] - asked["cba"]).max() > 1e-4


def test_first_tokens_beside_doses_have_a_mean_of_a_tenth_below_zero():
    torch.manual_seed(0)
    made = ReleasedDosage(20, RECIPES["tcga"])
    weights = torch.cat([made.covariate.weight, made.arm.weight, made.dose.weight])
    # 144 of standard deviation .1: five standard errors are .042.
    assert weights.mean().item() == pytest.approx(-0.1, abs=0.042)


def test_first_weights_beside_doses_fill_the_range_of_glorot_and_bengio():
    torch.manual_seed(0)
    layer = ReleasedDosage(20, RECIPES["tcga"]).pair[0]
    # 4,608 uniform numbers: the largest is below .99 of the end once in 1e20.
    most = (6.0 / (96 + 48)) ** 0.5
    assert 0.99 * most < layer.weight.abs().max().item() <= most


def test_the_token_of_an_arm_and_its_dose_is_not_negative():
    torch.manual_seed(0)
    network, seen = ReleasedDosage(20, RECIPES["tcga"]), []
    network.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.randn(40, 20), torch.arange(40.0) % 3, torch.rand(40))
    assert seen[0].shape == (40, 1, 48)
    assert (seen[0] >= 0.0).all()
    assert (seen[0] == 0.0).any()


# Texts.


def with_tokens(data, tokens, there):
    arrays = data.arrays.drop_vars(["tokens", "tokens_mask"])
    arrays = arrays.assign(
        tokens=(("obs", "step", "feature"), tokens), tokens_mask=(("obs", "step"), there)
    )
    return ck.CausalData.from_frame(
        data.frame, outcome="y", treatment="concept", arrays=arrays, sequence=["tokens"]
    )


def test_padding_of_texts_is_neutral_and_steps_after_the_32nd_are_not_read(texts):
    fit = ReleasedTransTEE(recipe="texts", **FEW).fit(texts)
    tokens, there = (texts.arrays[name].to_numpy() for name in ("tokens", "tokens_mask"))
    expected = fit.predict(texts, treatment=1)
    rng = np.random.default_rng(0)
    n, steps = there.shape
    noise = rng.standard_normal((n, 40 - steps, 8)).astype(np.float32)
    longer = np.concatenate([tokens, noise], axis=1)
    for read, neutral in ((0, True), (32, True), (31, False)):
        mask = np.concatenate([there, np.zeros(noise.shape[:2], dtype=bool)], axis=1)
        if read:
            mask[:, read] = True
        found = fit.predict(with_tokens(texts, longer, mask), treatment=1)
        assert (np.abs(found - expected).max() < 1e-6) == neutral


def test_outcomes_of_texts_are_probabilities_of_the_class(texts):
    fit = ReleasedTransTEE(recipe="texts", **FEW).fit(texts)
    asked = fit.predict(texts, treatment=[0, 1])
    assert ((asked > 0.0) & (asked < 1.0)).all()
    inputs = [
        torch.tensor(texts.arrays[name].to_numpy()[:, :32]) for name in ("tokens", "tokens_mask")
    ]
    with torch.no_grad():
        logits = fit.model_.network.logits(*inputs, torch.ones(len(texts)))
    odds = (logits[:, 1] - logits[:, 0]).exp().numpy()
    np.testing.assert_allclose(asked[:, 1], odds / (1.0 + odds), rtol=1e-4)


def text_inputs(n):
    rng = torch.Generator().manual_seed(0)
    tokens, arm = torch.randn(n, 4, 8, generator=rng), torch.arange(n) % 2
    return Inputs((tokens, torch.ones(n, 4, dtype=torch.bool), arm.float())), tokens[:, 0, 0] > 0


def test_a_step_after_four_batches_is_that_of_one_large_batch():
    inputs, y = text_inputs(800)
    plain = replace(RECIPES["texts"], dropout=0.0, norms=False)
    large = replace(plain, batch=800, accumulate=1)
    parts, whole = (train(inputs, y, one, seed=0, epochs=3)[0] for one in (plain, large))
    first = train(inputs, y, plain, seed=0, epochs=0)[0]
    for one, two, start in zip(*(m.parameters() for m in (parts, whole, first)), strict=True):
        torch.testing.assert_close(one, two, atol=2e-5, rtol=0.0)
        assert not one.numel() > 6 or (one - start).abs().max() > 1e-4


def test_gradients_of_a_fifth_batch_wait_for_the_next_epoch(monkeypatch):
    steps = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: (steps.append(1), step(self)))
    for n, waits in ((800, False), (1000, True)):
        network, _ = train(*text_inputs(n), RECIPES["texts"], seed=0, epochs=3)
        assert (network.head.weight.grad is not None) == waits
    assert len(steps) == 6


# All of them.


@pytest.mark.parametrize("name", ["tcga", "texts", "sw"])
def test_the_loss_falls_in_training(name, request):
    design = {"tcga": "dosage", "texts": "texts", "sw": "graphs"}[name]
    data = request.getfixturevalue(design)
    losses = ReleasedTransTEE(recipe=name, max_epochs=12, random_state=0).fit(data).history_
    assert losses["train_loss"].tail(3).mean() < losses["train_loss"].head(3).mean()
    assert losses["validation_loss"].notna().all() == (name == "sw")


def test_the_first_step_is_that_of_adam_at_the_released_rate():
    # Adam moves a weight by the rate at first, whatever its gradient, if that is not tiny.
    inputs, y = text_inputs(800)
    dosed = Inputs((inputs.by_row[0][:100, 0], inputs.by_row[2][:100], torch.rand(100)))
    for rows, name, outcome in ((inputs, "texts", y), (dosed, "tcga", y[:100])):
        recipe = RECIPES[name]
        start, moved = (train(rows, outcome, recipe, seed=0, epochs=k)[0] for k in (0, 1))
        gaps = torch.cat(
            [
                (one - two).detach().abs().flatten()
                for one, two in zip(start.parameters(), moved.parameters(), strict=True)
            ]
        )
        assert gaps[gaps > 0.0].median().item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("name", ["tcga", "texts", "sw"])
def test_one_seed_is_one_network(name, request):
    design = {"tcga": "dosage", "texts": "texts", "sw": "graphs"}[name]
    data = request.getfixturevalue(design)
    action = {"tcga": (1, 0.4), "texts": 1, "sw": 2}[name]
    one, two, other = (
        ReleasedTransTEE(recipe=name, max_epochs=1, random_state=seed)
        .fit(data)
        .predict(data, treatment=action)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("name", "design", "words"),
    [
        ("ihdp", "dosage", "these data have arms with a dose; use recipe='tcga'"),
        ("tcga", "graphs", "these data have treatments that are graphs; use recipe='sw'"),
        ("sw", "texts", "as the only covariate; use recipe='texts'"),
        ("texts", "arms", "use recipe='ihdp' or 'news' or 'synthetic'"),
    ],
)
def test_data_of_another_kind_are_refused_with_the_recipe_for_them(name, design, words, request):
    if design == "arms":
        data = ck.generators.multi_arm(0, n=120, n_arms=3).blind()
    else:
        data = request.getfixturevalue(design)
    with pytest.raises(ArgumentError, match=words):
        ReleasedTransTEE(recipe=name, **FEW).fit(data)


def test_texts_that_the_recipe_cannot_take_are_refused(texts):
    with pytest.raises(ArgumentError, match="never on 600 rows; give at least 601"):
        ReleasedTransTEE(recipe="texts", **FEW).fit(texts.subset(np.arange(700) < 600))
    classes = ck.generators.text_concept(0, n=700, dimension=8).blind()
    with pytest.raises(ArgumentError, match="must be 0 or 1, and one row has"):
        ReleasedTransTEE(recipe="texts", **FEW).fit(classes)
    odd = ck.generators.text_concept(0, n=700, dimension=6, target=0).blind()
    with pytest.raises(ArgumentError, match="'tokens' have 6 numbers; make that a multiple of 4"):
        ReleasedTransTEE(recipe="texts", **FEW).fit(odd)
    arrays = texts.arrays.assign(more=texts.arrays["tokens"])
    two = ck.CausalData.from_frame(
        texts.frame, outcome="y", treatment="concept", arrays=arrays, sequence=["tokens", "more"]
    )
    with pytest.raises(ArgumentError, match="reads one sequence, and these data have tokens, more"):
        ReleasedTransTEE(recipe="texts", **FEW).fit(two)


def test_several_treatments_and_arms_without_a_dose_are_refused(dosage):
    frame = dosage.frame.assign(other=dosage.frame["y"] > 9.0)
    two = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["other", "dose"],
        kinds=("binary", "continuous"),
        covariates=list(dosage.roles.covariates),
    )
    with pytest.raises(ArgumentError, match="one treatment, and these are other, dose"):
        ReleasedTransTEE(**FEW).fit(two)
    nothing = dosage.frame.assign(dose=dosage.frame["dose"].where(dosage.frame["arm"] != 0))
    with pytest.raises(DataError, match="dose"):
        ReleasedTransTEE(recipe="tcga", **FEW).fit(
            ck.CausalData.from_frame(
                nothing,
                outcome="y",
                treatment=["arm", "dose"],
                kinds=("multi", "dose"),
                covariates=list(dosage.roles.covariates),
            )
        )
