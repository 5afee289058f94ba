"""Treatment models: their losses, the sign of their push, what they find where there is nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, norm
from sklearn.ensemble import RandomForestRegressor
from transtee_designs import SMALL

import causalkit as ck
from causalkit.transtee.networks import Actions
from causalkit.transtee.predicting import representation
from causalkit.transtee.regulariser import (
    LEAST_SD,
    N_MIXED,
    TreatmentModel,
    dose_loss,
    first_judged,
    hsic,
    ramp,
)
from causalkit.transtee.shapes import ActionShape

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def softplus(x):
    return np.log1p(np.exp(x))


def test_the_density_of_a_dose_is_normal_row_by_row():
    # The released code broadcasts (B,) against (B, 1) into every pair of rows.
    g = torch.Generator().manual_seed(0)
    about, dose = torch.randn(2, 9, 2, generator=g), torch.rand(2, 9, generator=g)
    found = dose_loss("ptr", "gaussian", about, dose)
    assert found.shape == (2, 9)
    sd = softplus(about[..., 1].numpy()) + LEAST_SD
    exact = -norm.logpdf(dose.numpy(), about[..., 0].numpy(), sd) - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_the_mixture_and_the_beta_density_are_what_they_are_called():
    g = torch.Generator().manual_seed(1)
    about, dose = torch.randn(1, 7, 3 * N_MIXED, generator=g), torch.rand(1, 7, generator=g)
    share, mean, raw = about.numpy().reshape(1, 7, 3, N_MIXED).transpose(2, 0, 1, 3)
    share = np.exp(share) / np.exp(share).sum(axis=-1, keepdims=True)
    each = share * norm.pdf(dose.numpy()[..., None], mean, softplus(raw) + LEAST_SD)
    exact = -np.log(each.sum(axis=-1)) - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(dose_loss("ptr", "mixture", about, dose), exact, atol=1e-4)
    two = about[..., :2]
    mean, size = 1.0 / (1.0 + np.exp(-two[..., 0].numpy())), np.exp(two[..., 1].numpy())
    exact = -beta.logpdf(dose.numpy(), mean * size + LEAST_SD, (1.0 - mean) * size + LEAST_SD)
    np.testing.assert_allclose(dose_loss("ptr", "beta", two, dose), exact, atol=1e-4)


def test_arms_are_predicted_by_cross_entropy_and_never_as_numbers():
    model = TreatmentModel(ActionShape(n_arms=3, dosed=(False,) * 3, n_slots=1), 4, "tr")
    g = torch.Generator().manual_seed(0)
    out = torch.randn(1, 6, 8, generator=g)
    arms = torch.tensor([0, 1, 2, 0, 1, 2])[None, :, None, None]
    found = model.loss_of(out, Actions(arms, torch.zeros(1, 6, 1, 1)))[0]
    classes = out[0].view(6, model.n_classes, 2)[..., 0]
    exact = -classes.log_softmax(dim=-1)[torch.arange(6), arms.flatten()]
    torch.testing.assert_close(found, exact)


def test_the_density_of_a_dose_is_that_of_the_arm_received():
    # Arms 0 and 2 take a dose, arm 1 takes none.
    model = TreatmentModel(ActionShape(n_arms=3, dosed=(True, False, True), n_slots=1), 4, "ptr")
    g = torch.Generator().manual_seed(0)
    out, dose = torch.randn(1, 6, 12, generator=g), torch.rand(1, 6, generator=g)
    arms = torch.tensor([[0, 2, 1, 2, 0, 1]])
    found = model.loss_of(out, Actions(arms[..., None, None], dose[..., None, None]))
    parts = out.view(1, 6, model.n_classes, 1 + model.n_dose)
    expected = -parts[..., 0].log_softmax(dim=-1)[0, torch.arange(6), arms[0]]
    for row, arm in enumerate(arms[0].tolist()):
        if arm != 1:
            expected[row] += dose_loss("ptr", "gaussian", parts[0, row, arm, 1:], dose[0, row])
    torch.testing.assert_close(found[0], expected)


def confounded(seed=0, n=1500, pull=2.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    t = 1.0 / (1.0 + np.exp(-pull * x[:, 0] - rng.standard_normal(n)))
    y = t + x[:, 0] + x[:, 1] + 0.2 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "t": t, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    return ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])


def remembered(datasets, regularizer, **arguments):
    """Share of the dose's variance that a regression and a forest find in the representation."""
    fits = ck.TransTEE.fit_many(
        datasets,
        **(SMALL | {"max_epochs": 120} | arguments),
        regularizer=regularizer,
        regularizer_weight=2.0,
    )
    left = [fit.diagnostics_["treatment left in the representation, R²"] for fit in fits]
    trees = [forest_finds(fit, data) for fit, data in zip(fits, datasets, strict=True)]
    return np.array([np.mean(left), np.mean(trees)])


def forest_finds(fit, data):
    stack = fit.model_.stacks[0]
    r = representation(stack, fit.model_.asked(data).covariates)[0]
    member, t = stack.members[0], data.frame["t"].to_numpy()
    forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0)
    return forest.fit(r[member.train], t[member.train]).score(r[member.valid], t[member.valid])


@pytest.mark.parametrize(
    ("datasets", "width"),
    [
        ([confounded(seed, n=600) for seed in range(4)], 8),
        ([ck.generators.dose_synthetic(0, n=800).blind()], 32),
    ],
    ids=["narrow", "wide"],
)
def test_regularising_makes_the_representation_forget_the_dose(datasets, width):
    # T8: by half at least; a forest looks where a regression does not.
    plain = remembered(datasets, None, d_model=width)
    assert (plain > 0.6).all()
    for regularizer in ("tr", "ptr"):
        assert (remembered(datasets, regularizer, d_model=width) < 0.5 * plain).all()


def test_epochs_are_judged_when_network_and_treatment_model_have_settled():
    # An early epoch has the least factual loss, and the next may remember what it forgot.
    sizes = SMALL | {"max_epochs": 40, "patience": 2}
    fit = ck.TransTEE(**sizes, regularizer="tr").fit(confounded(n=400))
    assert fit.diagnostics_["best epoch"][0] > first_judged(40) == 36
    assert np.isfinite(fit.diagnostics_["validation loss"]).all()


@pytest.mark.parametrize("epochs", [1, 2, 9, 10, 40, 300])
def test_some_epoch_is_judged_however_few_there_are(epochs):
    assert 0 <= first_judged(epochs) < epochs


def test_nothing_is_found_where_treatment_is_random():
    assert abs(remembered([confounded(pull=0.0)], None, max_epochs=30)[0]) < 0.05


def drugs(pull):
    """Vectors as treatments, chosen by a covariate with some force."""
    rng = np.random.default_rng(0)
    features, x = rng.standard_normal((6, 2)), rng.standard_normal((900, 2))
    chosen = (pull * x @ features.T + rng.gumbel(size=(900, 6))).argmax(axis=1)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "drug": chosen})
    return ck.CausalData.from_frame(
        frame.assign(y=x[:, 0] + x[:, 1] + features[chosen, 0]),
        outcome="y",
        treatment="drug",
        kinds=("structured",),
        covariates=["a", "b"],
        tables={"drug_vectors": pd.DataFrame(features, columns=["f", "g"]).assign(drug=range(6))},
    )


def test_what_is_left_of_a_structured_treatment_is_said():
    def left(pull, **arguments):
        fit = ck.TransTEE(**(SMALL | arguments)).fit(drugs(pull))
        return fit.diagnostics_["structured treatment left in the representation, R²"]

    assert abs(left(0.0)) < 0.05
    plain = left(3.0)
    assert plain > 0.3
    forgetful = {"regularizer": "ptr", "regularizer_weight": 5.0, "max_epochs": 60}
    assert left(3.0, **forgetful) < 0.5 * plain


def test_independence_is_zero_and_identity_is_one():
    g = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 400, 3, generator=g), torch.randn(2, 400, 2, generator=g)
    alike = torch.full((2, 400), 1.0 / 400)
    assert hsic(left, right, alike).max() < 0.05
    torch.testing.assert_close(hsic(left, left, alike), torch.ones(2))
    assert hsic(left, left[:, :, :1] ** 2, alike).min() > 0.08


def test_dependence_with_whole_weights_is_that_of_the_rows_repeated():
    g = torch.Generator().manual_seed(0)
    left = torch.randn(1, 60, 3, generator=g, dtype=torch.float64)
    right = left[..., :2] + torch.randn(1, 60, 2, generator=g, dtype=torch.float64)
    times = torch.arange(60) % 4  # a quarter of the rows is not there
    found = hsic(left, right, (times / times.sum(dtype=torch.float64))[None])
    left, right = (values.repeat_interleave(times, dim=1) for values in (left, right))
    alike = torch.full((1, left.shape[1]), 1.0 / left.shape[1], dtype=torch.float64)
    torch.testing.assert_close(found, hsic(left, right, alike), atol=1e-12, rtol=0.0)
    # By the textbook: traces of kernels between centring matrices.
    centring = torch.eye(left.shape[1], dtype=torch.float64) - alike.T
    squares = [torch.cdist(values[0], values[0]) ** 2 for values in (left, right)]
    kernels = [centring @ (-s / (2.0 * s.median())).exp() @ centring for s in squares]
    textbook = kernels[0].mul(kernels[1]).sum() / (kernels[0].norm() * kernels[1].norm())
    torch.testing.assert_close(found[0], textbook, atol=1e-12, rtol=0.0)


def test_the_strength_grows_over_the_first_fifth():
    assert [ramp(p) for p in (0.0, 0.1, 0.2, 0.9)] == [0.0, 0.5, 1.0, 1.0]
