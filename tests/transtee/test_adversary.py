"""The treatment model is the best reply to its network: fits that others found, and its memory."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from causalkit.transtee.adversary import N_BATCHES, RIDGE, Adversary, first_parameters
from causalkit.transtee.networks import Actions
from causalkit.transtee.regulariser import TreatmentModel
from causalkit.transtee.shapes import ActionShape

ARMS = ActionShape(n_arms=2, dosed=(False, False), n_slots=1)
DOSE = ActionShape(n_arms=1, dosed=(True,), n_slots=1)
N, WIDTH = 600, 4


def adversary(actions, kind, *, density="gaussian", steps=30, members=1):
    model = TreatmentModel(actions, WIDTH, kind, density)
    flat = first_parameters(model, list(range(members)))
    return Adversary.of(model, flat, batch=N, weight=1.0, steps=steps)


def draws(seed=0):
    """Representations in directions of very different lengths, and a dose that depends on one."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(1, N, WIDTH, generator=g)
    noise = torch.randn(1, N, generator=g)
    r = z * torch.tensor([1.0, 1e-1, 1e-2, 1e-3]) + 5.0
    return r, torch.sigmoid(2.0 * z[..., 3] + 0.5 * noise), z


def doses(t):
    return Actions(torch.zeros(1, N, 1, 1, dtype=torch.int64), t[..., None, None])


def arms(t):
    return Actions((t > 0.5).long()[..., None, None], torch.zeros(1, N, 1, 1))


def equal_weights():
    return torch.full((1, N), 1.0 / N)


def features(made, r):
    return made.model.features(made.parameters(), r)[0].double().numpy()


def loss(made, r, actions):
    return float(made.model.loss(made.parameters(), r, actions).mean())


def test_a_point_prediction_is_a_ridge_regression_whatever_the_lengths_of_the_directions():
    made, (r, t, _) = adversary(DOSE, "tr"), draws()
    made.learn(r, doses(t), equal_weights())
    x = features(made, r)
    predicted = x @ made.parameters()["out.weight"][0].double().numpy()
    error = predicted.reshape(N, 2, -1)[:, 0, 1] - t[0].double().numpy()
    # Stationary: the derivative of half the mean square is minus a ridge times the curvature, which
    # is the mean square of the error in units of a uniform dose.
    slope = x.T @ error / N
    weight = made.parameters()["out.weight"][0].double().numpy().reshape(-1, 2, 2)[:, 0, 1]
    curvature = 24.0 * (error**2).mean()
    ridge = np.r_[0.0, np.full(len(weight) - 1, RIDGE * curvature)]
    np.testing.assert_allclose(slope + ridge * weight, 0.0, atol=2e-4)
    assert error.var() < 0.2 * t.var()


def test_arms_are_predicted_as_well_as_a_logistic_regression_does():
    made, (r, t, _) = adversary(ARMS, "tr"), draws(1)
    made.learn(r, arms(t), equal_weights())
    x, arm = features(made, r)[:, 1:], (t[0] > 0.5).numpy()
    peer = LogisticRegression(C=1.0 / (RIDGE * N * 0.1), max_iter=5000).fit(x, arm)
    theirs = -np.log(peer.predict_proba(x)[np.arange(N), arm.astype(int)]).mean()
    assert loss(made, r, arms(t)) == pytest.approx(theirs, abs=0.03)
    assert theirs < 0.35


@pytest.mark.parametrize("density", ["gaussian", "mixture", "beta"])
def test_a_density_is_fitted_until_nothing_is_left_to_gain(density):
    made, (r, _, z) = adversary(DOSE, "ptr", density=density), draws(2)
    noise = torch.randn(1, N, generator=torch.Generator().manual_seed(3))
    t = (0.5 + 0.1 * z[..., 3] + 0.05 * noise).clamp(0.01, 0.99)
    made.learn(r, doses(t), equal_weights())
    found = loss(made, r, doses(t))
    made.learn(r, doses(t), equal_weights())
    assert loss(made, r, doses(t)) > found - 0.05
    # Of the normal density that the doses have; L_π leaves a constant out, but for "beta".
    constant = 0.5 * np.log(2.0 * np.pi) if density == "beta" else 0.0
    assert found == pytest.approx(np.log(0.05) + 0.5 + constant, abs=0.15)


def test_weights_count_as_rows_do():
    made, twice = adversary(DOSE, "tr"), adversary(DOSE, "tr")
    r, t, _ = draws(5)
    heavy = torch.where(torch.arange(N) < N // 2, 2.0, 0.0)[None] / N
    made.learn(r, doses(t), heavy)
    half = slice(0, N // 2)
    again = torch.cat([r[:, half], r[:, half]], dim=1)
    twice.learn(again, doses(torch.cat([t[:, half], t[:, half]], dim=1)), equal_weights())
    # The scales of the features count rows alike, so that predictions agree and not parameters.
    ours, theirs = (
        one.model.features(one.parameters(), r[:, half]) @ one.parameters()["out.weight"]
        for one in (made, twice)
    )
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.0)


def test_the_last_batches_are_kept_and_the_oldest_gives_way():
    model = TreatmentModel(DOSE, 2, "tr")
    made = Adversary.of(model, first_parameters(model, [0, 1]), batch=3, weight=1.0, steps=1)
    for number in range(N_BATCHES + 2):
        r, rows = torch.full((2, 3, 2), float(number)), torch.full((2, 3), number)
        seen, held = made.remember(r, rows)
        assert seen.shape[1] == held.shape[1] == 3 * min(number + 1, N_BATCHES)
        assert (seen[..., 0] == held).all()
    assert sorted(set(held[0].tolist())) == list(range(2, N_BATCHES + 2))


def test_a_network_that_diverged_does_not_spoil_its_treatment_model():
    made, (r, t, _) = adversary(DOSE, "tr"), draws(4)
    seen, _ = made.remember(torch.full_like(r, float("nan")), torch.arange(N)[None])
    made.learn(seen, doses(t), equal_weights())
    assert torch.isfinite(made.flat).all()
    made.learn(r, doses(t), equal_weights())
    assert loss(made, r, doses(t)) < 0.5
