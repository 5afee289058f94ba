"""An ensemble of modes: its spread is that of the posterior, and its intervals cover."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

import causalkit as ck
from causalkit.errors import IdentificationError
from causalkit.images.members import perturbed_mode
from causalkit.images.mixture import Sample, log_joint
from causalkit.images.model import Mixture
from causalkit.images.posterior import Posterior
from causalkit.images.predict import check_uncertain, interval
from causalkit.images.variational import curvature_root, maximum


def ridge_sample(n, d, size=1.0):
    generator = torch.Generator().manual_seed(0)
    features = size * torch.randn(n, d, generator=generator, dtype=torch.float64)
    treatment = (torch.arange(n) % 2).to(torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    outcome = features @ torch.full((d,), 0.1, dtype=torch.float64) + treatment + noise
    return Sample(features, torch.arange(n), outcome, treatment, torch.empty(n, 0).double())


def test_perturbed_modes_spread_as_the_posterior_also_where_the_prior_holds_the_weights():
    """Of K = 1 and normal noise, the priors of the weights twice as sharp as the likelihood.

    Sixty modes, so that a deviation is known to 9 %, and the mean of twelve to 3 %. Weights of the
    groups alone give .58.
    """
    sample = ridge_sample(150, 12, size=0.2)
    model = Mixture(n_types=1, n_features=12, likelihood="normal")

    def density(theta):
        return log_joint(model, theta, sample)

    mode = maximum(density, torch.zeros(model.size, dtype=torch.float64))
    root = curvature_root(density, mode)
    expected = (root @ root.T).diagonal().sqrt()
    generator = torch.Generator().manual_seed(1)
    found = torch.stack(
        [perturbed_mode(model, sample, mode, np.arange(150), generator) for _ in range(60)]
    ).std(dim=0)
    ratio = found / expected
    assert float(ratio[:12].mean()) == pytest.approx(1.0, abs=0.1)  # weights of the baseline
    assert float(ratio[12:14].mean()) == pytest.approx(1.0, abs=0.25)  # its constant, the effect


def test_rows_of_a_group_weigh_alike():
    """Each row ten times in one group says what the row says once, but for the prior."""
    sample = ridge_sample(60, 2)
    ten = Sample(
        sample.features,
        sample.image.repeat(10),
        sample.outcome.repeat(10),
        sample.treatment.repeat(10),
        sample.covariates.repeat(10, 1),
    )
    model = Mixture(n_types=1, n_features=2, likelihood="normal")

    def spread(sample, groups):
        generator = torch.Generator().manual_seed(2)
        mode = maximum(lambda t: log_joint(model, t, sample), torch.zeros(model.size).double())
        modes = [perturbed_mode(model, sample, mode, groups, generator) for _ in range(30)]
        return float(torch.stack(modes)[:, 3].std())  # of the effect

    whole, apart = spread(ten, np.tile(np.arange(60), 10)), spread(ten, np.arange(600))
    assert whole == pytest.approx(spread(sample, np.arange(60)), rel=0.15)
    assert apart < 0.5 * whole


@pytest.mark.parametrize("count", [3, 5, 400])
def test_an_interval_of_draws_holds_one_more_draw_as_often_as_it_says(count):
    """20,000 times, so that 95 % are known to .3; the quantiles of five hold but 63 %."""
    rng = np.random.default_rng(0)
    repeats = 20_000
    draws, one_more = rng.normal(size=(count, repeats)), rng.normal(size=repeats)
    low, high = interval(draws, 0.95)
    assert ((low <= one_more) & (one_more <= high)).mean() == pytest.approx(0.95, abs=0.01)


def test_many_draws_have_their_quantiles():
    draws = np.random.default_rng(0).exponential(size=(60_000, 1))
    np.testing.assert_allclose(np.ravel(interval(draws, 0.9)), -np.log([0.95, 0.05]), rtol=0.05)


def test_one_mode_found_several_times_is_no_uncertainty():
    model = Mixture(n_types=2, n_features=2)
    one = Posterior(model, np.full((1, model.size), 0.3), np.zeros(2), np.ones(2), 0.0, 1.0)
    with pytest.raises(IdentificationError, match="single mode"):
        check_uncertain([one, one])


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_modes_on_given_features_cover_the_effects_by_place():
    """Where all five found the same mode, none of these intervals held the truth."""
    data = ck.generators.embedding_rct(seed=3, n=500)
    fit = ck.EmbeddingEffectClusters(inference="map", likelihood="normal", random_state=0)
    fit = fit.fit(data.blind())
    found, truth = fit.effect(data), data.truth.cate
    held = (found["conf_low"] <= truth) & (truth <= found["conf_high"])
    assert float(held.mean()) > 0.75


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_modes_on_given_features_cover_as_often_as_they_say():
    """Twenty samples; errors of one sample hang together, so that the band is .04 either way."""
    held = []
    for seed in range(20):
        data = ck.generators.embedding_rct(seed=seed, n=1000)
        fit = ck.EmbeddingEffectClusters(
            inference="map", likelihood="normal", n_restarts=1, random_state=0
        ).fit(data.blind())
        found, truth = fit.effect(data), data.truth.cate
        held.append(((found["conf_low"] <= truth) & (truth <= found["conf_high"])).mean())
    assert float(np.mean(held)) == pytest.approx(0.95, abs=0.04)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_modes_on_random_filters_differ():
    rct = ck.generators.image_rct(0, n_images=400, size=12)
    fit = ck.ImageEffectClusters(
        encoder="random",
        n_components=4,
        inference="map",
        n_ensemble=2,
        split=(0.4, 0.2, 0.4),
        random_state=0,
    ).fit(rct.blind())
    effects = np.concatenate([member.posterior.effects() for member in fit.members_])
    assert (effects.std(axis=0) > 0.02).all()
    half = fit.effect(rct)["conf_high"] - fit.effect(rct)["effect"]
    assert float((half / fit.effect(rct)["std_error"]).mean()) > norm.ppf(0.975)
