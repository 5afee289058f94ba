"""Members of a fit: which start is kept, what their mixture is, how far single effects spread."""

import numpy as np
import pandas as pd
import pytest
import torch

import causalkit as ck
from causalkit.images import members
from causalkit.images.honest import effect_spread
from causalkit.images.model import Mixture
from causalkit.images.posterior import Posterior

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
torch.set_num_threads(1)


@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_of_several_starts_the_best_on_the_selection_rows_are_kept(monkeypatch, n_ensemble):
    scores = []

    def train(*given, **more):
        found = whole(*given, **more)
        scores.append(found.score)
        return found

    whole = members.train
    monkeypatch.setattr(members, "train", train)
    data = ck.generators.image_rct(3, n_images=520, size=8).blind()
    fit = ck.ImageEffectClusters(
        encoder=ck.ImageEncoder.cnn(width=8),
        inference="map",
        epochs=1,
        n_restarts=4,
        n_ensemble=n_ensemble,
        random_state=0,
    ).fit(data)
    assert len(set(scores)) == 4
    kept = [member.history[-1][1] for member in fit.members_]
    assert kept == sorted(scores, reverse=True)[:n_ensemble]


def noisy():
    """Units of which the treated of the second type are noisier, and their vectors."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1000, 2))
    second = vectors[:, 0] > 0
    t = np.arange(1000) % 2
    noise = rng.normal(size=1000) * np.where(second & (t == 1), 2.0, 1.0)
    frame = pd.DataFrame({"y": 5.0 * second * t + noise, "t": t})
    return ck.CausalData.from_frame(frame, outcome="y", treatment="t"), vectors


def test_a_fit_honours_whether_the_noise_of_types_may_differ():
    data, vectors = noisy()
    options = {"likelihood": "normal", "inference": "map", "n_ensemble": 1, "random_state": 0}
    for wanted in (False, True):
        estimator = ck.EmbeddingEffectClusters(cluster_sigma=wanted, propensity=0.5, **options)
        fit = estimator.fit(data, vectors)
        ((_, first, second),) = fit.members_[0].posterior.noise()
        assert (second > 1.2 * first) == wanted
        assert (first == second) != wanted


@pytest.mark.parametrize("level", ["image", "unit"])
@pytest.mark.parametrize("encoder", ["random", "cnn"])
def test_fits_on_images_pass_on_what_the_mixture_is(encoder, level):
    """Units of an image are one entry of the likelihood where they share their type."""
    made = {"random": ck.ImageEncoder.random(n_filters=4), "cnn": ck.ImageEncoder.cnn(width=8)}
    data = ck.generators.image_rct(3, n_images=520, size=8, units_per_image=2).blind()
    fit = ck.ImageEffectClusters(
        encoder=made[encoder],
        likelihood="normal",
        latent_level=level,
        cluster_sigma=level == "image",
        inference="map",
        epochs=1,
        n_components=2,
        n_restarts=1,
        n_ensemble=1,
        random_state=0,
    ).fit(data)
    (member,) = fit.members_
    model, together = member.posterior.model, level == "image"
    assert (model.latent_level, model.cluster_sigma, model.likelihood) == (
        level,
        together,
        "normal",
    )
    assert member.place_gains.size == fit.parts_.select.size // (1 + together)


def drawn(*noise, tau=(-0.5, 1.5)):
    """Posterior of two types in units of 10: each draw has standard deviations of both arms."""
    model = Mixture(n_types=2, n_features=1)
    gap = np.log(np.expm1(tau[1] - tau[0]))
    theta = [[0.0, 0.0, 0.0, 0.0, tau[0], gap, *np.log(each)] for each in noise]
    return Posterior(model, np.array(theta), np.zeros(1), np.ones(1), 0.0, 10.0)


@pytest.mark.parametrize(
    ("rho", "sd"), [(0.0, 5.0), (1.0, 1.0), (-1.0, 7.0), (0.5, 13.0**0.5), (-0.5, 37.0**0.5)]
)
def test_single_effects_spread_by_both_variances_less_twice_their_covariance(rho, sd):
    """Of standard deviations 3 and 4: 9 + 16 − 24ρ."""
    found = effect_spread([drawn((3.0, 4.0))], rho)
    np.testing.assert_allclose(found["sd"], [10.0 * sd] * 2)
    np.testing.assert_allclose(found["mean"], [-5.0, 15.0])


def test_draws_of_single_effects_average_variances_and_add_what_effects_differ_by():
    first, second = drawn((3.0, 4.0)), drawn((1.0, 1.0), tau=(0.5, 1.5))
    found = effect_spread([first, second], 0.5)
    # (13 + 1)/2, and effects of the first type half a unit about their mean.
    np.testing.assert_allclose(found["sd"], 10.0 * np.sqrt([7.25, 7.0]))
