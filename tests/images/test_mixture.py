"""The mixture's density against scipy, by hand and by quadrature."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import expit, logsumexp

from causalkit.images.members import on_standardised
from causalkit.images.mixture import (
    Sample,
    effects,
    log_likelihood,
    log_prior,
    parts_of,
    start,
    type_log_probs,
)
from causalkit.images.model import Mixture
from causalkit.images.posterior import Posterior

LIKELIHOODS = ("normal", "student_t", "bernoulli")


def a_model(**more):
    sizes = {"n_types": 3, "n_features": 2, "n_covariates": 1, "centre": 0.4}
    return Mixture(**(sizes | more))


def a_theta(model, seed=0, draws=1):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(0.7 * rng.normal(size=(draws, model.size)))


def a_sample(*, binary=False, n=7, m=4, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    values = {
        "features": rng.normal(size=(m, 2)),
        "outcome": (y > 0).astype(float) if binary else y,
        "treatment": np.arange(n) % 2 * 1.0,
        "covariates": rng.normal(size=(n, 1)),
    }
    image = torch.as_tensor(rng.integers(0, m, n))
    return Sample(image=image, **{k: torch.as_tensor(v) for k, v in values.items()})


def by_hand(model, theta, sample, shock=0.0):
    """log F of every row and type, and log π of every image: ``(n, K)``, ``(m, K)``."""
    p = model.arrays(theta.numpy())
    h, x = sample.features.numpy(), sample.covariates.numpy()
    image, t = sample.image.numpy(), sample.treatment.numpy()
    logits = np.hstack([np.zeros((h.shape[0], 1)), h @ p["type_weight"][0] + p["type_bias"][0]])
    log_pi = logits - logsumexp(logits, axis=1, keepdims=True)
    mu = np.hstack([h[image], x]) @ p["base_weight"][0] + p["base_bias"][0] + shock
    tau = p["first_effect"][0] + np.append(0.0, np.cumsum(np.log1p(np.exp(p["gap"][0]))))
    where = mu[:, None] + t[:, None] * tau
    y = sample.outcome.numpy()[:, None]
    if model.likelihood == "bernoulli":
        dense = stats.bernoulli.logpmf(y.astype(int), expit(where))
    else:
        scale = np.exp(p["log_noise"][0])[t.astype(int)][:, None] * np.ones(model.n_types)
        if model.cluster_sigma:
            scale = np.where(t[:, None] == 1, scale * np.exp(p["type_noise"][0]), scale)
        if model.likelihood == "normal":
            dense = stats.norm.logpdf(y, where, scale)
        else:
            dense = stats.t.logpdf(y, 2 + np.exp(p["tail"][0, 0]), where, scale)
    return dense, log_pi


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("cluster_sigma", [False, True])
@pytest.mark.parametrize("n_types", [1, 2, 3])
def test_types_of_units_are_summed_out(likelihood, cluster_sigma, n_types):
    model = a_model(likelihood=likelihood, cluster_sigma=cluster_sigma, n_types=n_types)
    sample = a_sample(binary=likelihood == "bernoulli")
    theta = a_theta(model)
    dense, log_pi = by_hand(model, theta, sample)
    wanted = logsumexp(log_pi[sample.image.numpy()] + dense, axis=1)
    np.testing.assert_allclose(log_likelihood(model, theta, sample)[0], wanted, rtol=1e-10)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_types_of_images_and_the_effect_of_the_place_are_summed_out(likelihood):
    model = a_model(likelihood=likelihood, latent_level="image", n_types=2)
    sample = a_sample(binary=likelihood == "bernoulli")
    theta = a_theta(model)
    size = float(np.exp(model.arrays(theta.numpy())["log_place"][0, 0]))
    found = log_likelihood(model, theta, sample)[0].numpy()
    image = sample.image.numpy()
    for place in range(4):

        def density(u, place=place):
            dense, log_pi = by_hand(model, theta, sample, shock=u)
            by_type = log_pi[place] + dense[image == place].sum(axis=0)
            return np.exp(logsumexp(by_type)) * stats.norm.pdf(u, scale=size)

        whole, _ = integrate.quad(density, -10 * size, 10 * size, epsabs=0, epsrel=1e-8)
        exact = likelihood == "normal"
        assert found[place] == pytest.approx(np.log(whole), abs=1e-6 if exact else 0.02)


@pytest.mark.parametrize("likelihood", ["normal", "student_t", "bernoulli"])
def test_many_units_of_an_image_do_not_defeat_the_quadrature(likelihood):
    """Sixty units pin the effect of their place down far more closely than its prior does."""
    model = Mixture(n_types=1, n_features=1, likelihood=likelihood, latent_level="image")
    rng = np.random.default_rng(0)
    y = (0.7 if likelihood == "bernoulli" else 2.5) + rng.normal(size=60)
    y = (y > 0).astype(float) if likelihood == "bernoulli" else y
    zeros = torch.zeros(60, dtype=torch.float64)
    sample = Sample(
        torch.zeros((1, 1), dtype=torch.float64),
        torch.zeros(60, dtype=torch.int64),
        torch.as_tensor(y),
        zeros,
        torch.zeros((60, 0), dtype=torch.float64),
    )
    theta = torch.zeros((1, model.size), dtype=torch.float64)
    theta[0, -1] = 1.0
    size = np.exp(1.0)

    def density(u):
        dense, _ = by_hand(model, theta, sample, shock=u)
        return np.exp(dense.sum() + 80.0) * stats.norm.pdf(u, scale=size)

    whole, _ = integrate.quad(density, -6, 14, points=[2, 4], epsabs=0, epsrel=1e-10)
    found = float(log_likelihood(model, theta, sample)[0, 0])
    assert found == pytest.approx(np.log(whole) - 80.0, abs=0.01)


@pytest.mark.parametrize("likelihood", ["normal", "student_t", "bernoulli"])
def test_gradients_are_those_of_the_integral(likelihood):
    model = a_model(likelihood=likelihood, latent_level="image", n_types=2)
    sample, theta = a_sample(binary=likelihood == "bernoulli"), a_theta(model)
    theta.requires_grad_()
    log_likelihood(model, theta, sample).sum().backward()
    step = 1e-4
    for place in range(model.size):
        moved = torch.zeros_like(theta)
        moved[0, place] = step
        with torch.no_grad():
            ends = [log_likelihood(model, theta + s * moved, sample).sum() for s in (1, -1)]
        slope = float(ends[0] - ends[1]) / (2 * step)
        assert float(theta.grad[0, place]) == pytest.approx(slope, abs=0.02, rel=0.02)


def test_several_values_at_once_are_those_one_by_one():
    model, sample = a_model(latent_level="image", likelihood="student_t"), a_sample()
    theta = a_theta(model, draws=5)
    together = log_likelihood(model, theta, sample), log_prior(model, theta)
    for draw in range(5):
        alone = theta[draw : draw + 1]
        torch.testing.assert_close(together[0][draw], log_likelihood(model, alone, sample)[0])
        torch.testing.assert_close(together[1][draw], log_prior(model, alone)[0])


@pytest.mark.parametrize(("n_features", "scale"), [(2, 1.0), (4, 1.0), (16, 0.5)])
def test_the_prior_is_that_of_scipy_with_its_jacobians(n_features, scale):
    model = a_model(
        likelihood="student_t", latent_level="image", cluster_sigma=True, n_features=n_features
    )

    def wanted(theta):
        p = {name: values[0] for name, values in model.arrays(theta.numpy()).items()}
        gap, noise = np.log1p(np.exp(p["gap"])), np.exp(p["log_noise"])
        degrees, place = 2 + np.exp(p["tail"]), np.exp(p["log_place"])
        normal = stats.norm.logpdf
        return (
            normal(p["type_weight"], scale=scale).sum()
            + normal(p["base_weight"], scale=0.5 * scale).sum()
            + normal(p["type_bias"]).sum()
            + normal(p["base_bias"]).sum()
            + normal(p["first_effect"], loc=0.4).sum()
            + (stats.halfnorm.logpdf(gap) + np.log(expit(p["gap"]))).sum()
            + (stats.halfnorm.logpdf(noise) + p["log_noise"]).sum()
            + normal(p["type_noise"], scale=0.1).sum()
            + (stats.gamma.logpdf(degrees, 2, scale=10) + p["tail"]).sum()
            + (stats.halfnorm.logpdf(place) + p["log_place"]).sum()
        )

    first, second = a_theta(model, 3), a_theta(model, 4)
    found = float(log_prior(model, first)[0] - log_prior(model, second)[0])
    assert found == pytest.approx(wanted(first) - wanted(second), rel=1e-10)


def test_effects_ascend_whatever_theta_is():
    model = a_model(n_types=4)
    found = effects(model, a_theta(model, draws=20)).numpy()
    assert (np.diff(found, axis=1) > 0).all()


def test_starts_differ_and_are_about_the_difference_in_means():
    model = a_model(n_types=2, likelihood="student_t", latent_level="image")
    generator = torch.Generator().manual_seed(0)
    starts = [start(model, generator) for _ in range(2)]
    assert not torch.equal(starts[0], starts[1])
    for theta in starts:
        assert effects(model, theta).mean().item() == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_theta_on_standardised_features_says_the_same(likelihood):
    model, sample = a_model(likelihood=likelihood), a_sample(binary=likelihood == "bernoulli")
    theta = a_theta(model)
    mean, sd = np.array([1.5, -3.0]), np.array([2.0, 0.1])
    scaled = (sample.features - torch.as_tensor(mean)) / torch.as_tensor(sd)
    moved = Sample(scaled, sample.image, sample.outcome, sample.treatment, sample.covariates)
    there = on_standardised(model, theta[0], mean, sd)
    torch.testing.assert_close(
        log_likelihood(model, there[None], moved), log_likelihood(model, theta, sample)
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_posterior_in_numpy_is_the_model_in_torch(likelihood):
    model, sample = a_model(likelihood=likelihood), a_sample()
    theta = a_theta(model, draws=6)
    binary = likelihood == "bernoulli"
    centre, scale = (0.0, 1.0) if binary else (10.0, 3.0)
    found = Posterior(model, theta.numpy(), np.zeros(2), np.ones(2), centre, scale)
    h, x = sample.features.numpy()[sample.image.numpy()], sample.covariates.numpy()
    log_pi = type_log_probs(model, theta, sample.features)
    np.testing.assert_allclose(found.types(sample.features.numpy()), log_pi.exp(), rtol=1e-9)
    tau = effects(model, theta).numpy()
    np.testing.assert_allclose(found.effects(), tau * scale, rtol=1e-9)
    if binary:
        base = found.baseline(h, x)
        risk = expit(base[:, :, None] + tau[:, None, :]) - expit(base)[:, :, None]
        np.testing.assert_allclose(found.by_type(h, x), risk, rtol=1e-9)
    cate = (found.types(h) * found.by_type(h, x)).sum(axis=2)
    np.testing.assert_allclose(found.cate(found.types(h), h, x), cate, rtol=1e-9)


@pytest.mark.parametrize("likelihood", ["normal", "student_t"])
def test_the_spread_of_the_noise_is_that_of_its_distribution(likelihood):
    model = a_model(likelihood=likelihood, cluster_sigma=True)
    theta = a_theta(model)
    found = Posterior(model, theta.numpy(), np.zeros(2), np.ones(2), 0.0, 3.0).noise()[0]
    p = {name: values[0] for name, values in model.arrays(theta.numpy()).items()}
    scales = np.exp([p["log_noise"][0], *(p["log_noise"][1] + p["type_noise"])])
    if likelihood == "student_t":
        scales = scales * stats.t.std(2 + np.exp(p["tail"][0]))
    np.testing.assert_allclose(found, 3.0 * scales, rtol=1e-9)


def test_parts_are_all_of_theta():
    model = a_model(likelihood="student_t", latent_level="image", cluster_sigma=True)
    theta = a_theta(model)
    found = torch.cat([part.reshape(1, -1) for part in parts_of(model, theta).values()], dim=1)
    assert torch.equal(found, theta)
    assert model.n_weights + 2 + 1 + 1 + 2 + 2 + 3 + 1 + 1 == model.size


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_effects_by_type_make_the_average_effect_of_every_draw(likelihood, monkeypatch):
    """Weighted by the mean probability of their types, whatever the blocks of rows."""
    model = a_model(n_types=3, likelihood=likelihood)
    draws = a_theta(model, draws=4).numpy()
    d = model.n_features
    posterior = Posterior(model, draws, np.zeros(d), np.ones(d), 0.4, 2.0)
    rng = np.random.default_rng(0)
    raw, covariates = rng.normal(size=(50, d)), rng.normal(size=(50, model.n_covariates))
    found = posterior.mean_by_type(raw, covariates)
    share = posterior.types(raw).mean(axis=1)
    average = posterior.cate(posterior.types(raw), raw, covariates).mean(axis=1)
    np.testing.assert_allclose((found * share).sum(axis=1), average)
    mean = posterior.control_mean(raw, covariates)
    monkeypatch.setattr("causalkit.images.posterior._CELLS", 4 * 3 * 7)
    np.testing.assert_allclose(posterior.mean_by_type(raw, covariates), found)
    np.testing.assert_allclose(posterior.control_mean(raw, covariates), mean)
    if likelihood == "normal":
        np.testing.assert_array_equal(found, posterior.effects())
