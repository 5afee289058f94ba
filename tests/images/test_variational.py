"""The full-rank Gaussian: exact where the posterior is Gaussian, calibrated where it is not."""

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.errors import TrainingError
from causalkit.images.mixture import Sample, effects, log_joint, start, type_log_probs
from causalkit.images.model import Mixture
from causalkit.images.variational import _hessian, curvature_root, fit_full_rank, maximum

COVARIANCE = torch.tensor(
    [[1.0, 0.95, 0.0], [0.95, 1.0, 0.3], [0.0, 0.3, 4.0]], dtype=torch.float64
)
CENTRE = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


def normal(theta):
    return torch.distributions.MultivariateNormal(CENTRE, COVARIANCE).log_prob(theta)


def skewed(theta):
    """A lognormal-like density whose Laplace approximation is off."""
    return -0.5 * theta[:, 0] ** 2 - torch.exp(theta[:, 1]) + 3.0 * theta[:, 1]


def test_the_mode_and_its_curvature_are_exact_for_a_gaussian():
    mode = maximum(normal, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(mode, CENTRE, atol=1e-4, rtol=0)
    root = curvature_root(normal, mode)
    torch.testing.assert_close(root @ root.T, COVARIANCE, atol=1e-6, rtol=0)


def test_a_search_that_leaps_away_begins_anew(monkeypatch):
    class Leaps(torch.optim.LBFGS):
        times = 0

        def step(self, closure):
            Leaps.times += 1
            if Leaps.times > 1:
                return super().step(closure)
            closure()
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(1e200)
            return None

    monkeypatch.setattr(torch.optim, "LBFGS", Leaps)
    mode = maximum(normal, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(mode, CENTRE, atol=1e-4, rtol=0)
    assert Leaps.times == 2


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_skewed_noise_that_led_the_search_away_has_a_posterior():
    data = ck.generators.embedding_rct(15, n=2000, tau=(1.0, 1.0), noise="exponential").blind()
    fit = ck.EmbeddingEffectClusters(n_draws=50, random_state=15).fit(data)
    assert np.isfinite(fit.effect(data)["effect"]).all()


def test_a_correlated_gaussian_is_found_whole():
    generator = torch.Generator().manual_seed(0)
    found = fit_full_rank(normal, torch.zeros(3, dtype=torch.float64), generator=generator)
    torch.testing.assert_close(found.mean, CENTRE, atol=0.1, rtol=0)
    torch.testing.assert_close(found.root @ found.root.T, COVARIANCE, atol=0.25, rtol=0.1)
    draws = found.draw(20_000, generator)
    torch.testing.assert_close(torch.cov(draws.T), found.root @ found.root.T, atol=0.1, rtol=0.05)


def test_the_fit_improves_on_the_curvature():
    """The Gaussian that is nearest to exp(3v − eᵛ) has moments in closed form."""
    generator = torch.Generator().manual_seed(1)
    found = fit_full_rank(skewed, torch.zeros(2, dtype=torch.float64), generator=generator)
    # E_q: maximise 3m − exp(m + s²/2) + log s, so exp(m + s²/2) = 3 and s² = 1/3.
    assert float((found.root @ found.root.T)[1, 1]) == pytest.approx(1 / 3, rel=0.1)
    assert float(found.mean[1]) == pytest.approx(np.log(3) - 1 / 6, abs=0.05)


def test_a_bound_that_is_not_finite_is_an_error():
    def broken(theta):
        return (
            theta.sum(dim=1) * torch.where(theta[:, 0] > 0.5, torch.nan, 1.0)
            - theta.norm(dim=1) ** 2
        )

    with pytest.raises(TrainingError, match="evidence bound is not finite at step"):
        fit_full_rank(
            broken,
            torch.zeros(2, dtype=torch.float64),
            generator=torch.Generator().manual_seed(0),
        )


def coverage(seeds, *, steps=300):
    """Share of data sets whose intervals hold each effect, and how far the means are off."""
    held, errors = [], []
    for seed in seeds:
        data = ck.generators.embedding_rct(seed, n=800)
        y, t = data.column("outcome"), data.column("treatment")
        h = data.matrix("covariates")
        scale = np.concatenate([y[t == a] - y[t == a].mean() for a in (0, 1)]).std()
        z = (y - y[t == 0].mean()) / scale
        centre = z[t == 1].mean() - z[t == 0].mean()
        model = Mixture(n_types=2, n_features=4, centre=float(centre))
        values = (torch.tensor(v) for v in (h, z, t))
        features, outcome, treatment = values
        sample = Sample(
            features,
            torch.arange(len(y)),
            outcome,
            treatment,
            torch.zeros((len(y), 0), dtype=torch.float64),
        )
        generator = torch.Generator().manual_seed(seed)
        found = fit_full_rank(
            lambda theta, model=model, sample=sample: log_joint(model, theta, sample),
            start(model, generator, dtype=torch.float64)[0],
            generator=generator,
            steps=steps,
        )
        draws = found.draw(400, generator)
        tau = effects(model, draws).numpy() * scale
        low, high = np.quantile(tau, [0.025, 0.975], axis=0)
        truth = np.array([-0.5, 1.5])
        held.append((low <= truth) & (truth <= high))
        errors.append(tau.mean(axis=0) - truth)
        assert np.isfinite(type_log_probs(model, draws, features).numpy()).all()
    return np.mean(held, axis=0), np.mean(errors, axis=0)


def test_intervals_of_the_effects_cover():
    """Twelve data sets: fewer than nine of twelve has chance .2 % under coverage .95.

    A hundred steps from the Laplace approximation; the slow test takes three hundred.
    """
    held, errors = coverage(range(12), steps=100)
    assert (held >= 9 / 12).all()
    assert (np.abs(errors) < 0.12).all()


@pytest.mark.slow
def test_intervals_of_the_effects_cover_in_forty_data_sets():
    held, errors = coverage(range(40))
    assert ((held >= 0.85) & (held <= 1.0)).all()
    assert (np.abs(errors) <= 0.06).all()


def test_the_curvature_of_a_mixture_is_that_of_torch_row_by_row(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    model = Mixture(n_types=2, n_features=3, likelihood="student_t")
    features = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    outcome = torch.randn(40, generator=generator, dtype=torch.float64)
    sample = Sample(
        features,
        torch.arange(40),
        outcome,
        (outcome > 0).double(),
        torch.empty(40, 0, dtype=torch.float64),
    )
    mode = start(model, generator, dtype=torch.float64)[0]

    def lost(theta):
        return -log_joint(model, theta[None], sample)[0]

    expected = torch.autograd.functional.hessian(lost, mode)
    monkeypatch.setattr("causalkit.images.variational._HESSIAN_ROWS", 4)
    torch.testing.assert_close(_hessian(lost, mode), expected)
