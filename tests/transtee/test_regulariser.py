"""Treatment models: their losses, the sign of their push, what they find where there is nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, norm
from transtee_designs import SMALL

import causalkit as ck
from causalkit.transtee.networks import Actions
from causalkit.transtee.regulariser import (
    LEAST_SD,
    N_MIXED,
    TreatmentModel,
    dose_loss,
    first_in_force,
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
    shapes = softplus(two.numpy()) + LEAST_SD
    exact = -beta.logpdf(dose.numpy(), shapes[..., 0], shapes[..., 1])
    np.testing.assert_allclose(dose_loss("ptr", "beta", two, dose), exact, atol=1e-4)


def test_arms_are_predicted_by_cross_entropy_and_never_as_numbers():
    model = TreatmentModel(ActionShape(n_arms=3, dosed=(False,) * 3, n_slots=1), 4, "tr")
    flat = model.layout.initial([torch.Generator().manual_seed(0)])
    phi, r = model.layout.unpack(flat), torch.randn(1, 6, 4)
    arms = torch.tensor([0, 1, 2, 0, 1, 2])[None, :, None, None]
    actions = Actions(arms, torch.zeros(1, 6, 1, 1))
    found = model.loss(phi, r, actions)[0]
    hidden = torch.relu(r[0] @ phi["hidden.weight"][0] + phi["hidden.bias"][0])
    out = (hidden @ phi["out.weight"][0] + phi["out.bias"][0]).view(6, model.n_classes, -1)[..., 0]
    exact = -out.log_softmax(dim=-1)[torch.arange(6), arms.flatten()]
    torch.testing.assert_close(found, exact)


def confounded(seed=0, n=1500, pull=2.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    t = 1.0 / (1.0 + np.exp(-pull * x[:, 0] - rng.standard_normal(n)))
    y = t + x[:, 0] + x[:, 1] + 0.2 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "t": t, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    return ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])


def skill_of(data, regularizer, weight=2.0, steps=5):
    """Share of the dose's variance that the representation still predicts."""
    fit = ck.TransTEE(
        **(SMALL | {"max_epochs": 120}),
        regularizer=regularizer,
        regularizer_weight=weight,
        adversary_steps=steps,
    ).fit(data)
    return fit.diagnostics_["treatment left in the representation, R²"]


@pytest.mark.parametrize("regularizer", ["tr", "ptr"])
def test_regularising_makes_the_representation_forget_the_dose(regularizer):
    # T8: by half at least. A treatment model that takes one step where the network takes one lags
    # behind, and little is forgotten.
    plain, pushed = (skill_of(confounded(), kind) for kind in (None, regularizer))
    assert plain > 0.4
    assert pushed < 0.5 * plain
    assert skill_of(confounded(), regularizer, steps=1) > 0.5 * plain


def test_no_epoch_is_chosen_before_the_whole_penalty_is_in_force():
    # An early epoch has the least factual loss, and has not yet been made to forget.
    arguments = {"d_model": 32, "n_ensemble": 1, "max_epochs": 60, "patience": 3, "random_state": 0}
    fit = ck.TransTEE(**arguments, regularizer="tr", regularizer_weight=2.0).fit(confounded())
    assert fit.diagnostics_["best epoch"][0] > first_in_force(60) == 12
    assert np.isfinite(fit.diagnostics_["validation loss"]).all()


def test_nothing_is_found_where_treatment_is_random():
    assert abs(skill_of(confounded(pull=0.0), None)) < 0.05


def test_independence_is_zero_and_identity_is_one():
    g = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 400, 3, generator=g), torch.randn(2, 400, 2, generator=g)
    assert hsic(left, right).max() < 0.05
    torch.testing.assert_close(hsic(left, left), torch.ones(2))
    assert hsic(left, left[:, :, :1] ** 2).min() > 0.08


def test_the_strength_grows_over_the_first_fifth():
    assert [ramp(p) for p in (0.0, 0.1, 0.2, 0.9)] == [0.0, 0.5, 1.0, 1.0]
