"""The sampled posterior: its density is that of the mixture, and the full-rank one agrees."""

import numpy as np
import pytest
import torch

from causalkit import EmbeddingEffectClusters, generators
from causalkit.errors import ArgumentError, ConvergenceWarning
from causalkit.images import choose, embedding_model
from causalkit.images.embedding_model import (
    Arrays,
    _warn_of_disagreement,
    build,
    check_feasible,
    natural,
)
from causalkit.images.mixture import Sample, log_joint
from causalkit.images.model import Mixture

pytest.importorskip("pymc")
# PyTensor says so once per process where no BLAS is found.
pytestmark = pytest.mark.filterwarnings("ignore:PyTensor could not link:UserWarning")


def arrays(*, binary, n=7, m=4, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return Arrays(
        rng.normal(size=(m, 2)),
        rng.integers(0, m, n),
        (y > 0).astype(float) if binary else y,
        np.arange(n) % 2 * 1.0,
        rng.normal(size=(n, 1)),
    )


def densities(model, data):
    """Log density by PyMC as a function of θ ``(P,)``, and by the mixture."""
    made = build(model, data)
    density = made.compile_logp(mode="FAST_COMPILE")
    cuts = np.cumsum(list(model.sizes().values()))[:-1]
    sample = Sample(*(torch.as_tensor(getattr(data, name)) for name in Arrays.__slots__))

    def theirs(theta, **more):
        parts = dict(zip(model.sizes(), np.split(theta, cuts), strict=True)) | more
        names = {v.name: made.values_to_rvs[v].name for v in made.value_vars}
        return float(density({name: parts[part] for name, part in names.items()}))

    def ours(theta):
        return float(log_joint(model, torch.as_tensor(theta[None]), sample))

    return theirs, ours


@pytest.mark.parametrize(
    ("likelihood", "cluster_sigma", "n_types"),
    [("normal", False, 2), ("student_t", True, 3), ("bernoulli", False, 2), ("normal", False, 1)],
)
def test_the_density_that_is_sampled_is_that_of_the_mixture(likelihood, cluster_sigma, n_types):
    model = Mixture(
        n_types=n_types,
        n_features=2,
        n_covariates=1,
        likelihood=likelihood,
        cluster_sigma=cluster_sigma,
        centre=0.4,
    )
    theta = 0.7 * np.random.default_rng(0).normal(size=(6, model.size))
    theirs, ours = densities(model, arrays(binary=likelihood == "bernoulli"))
    gaps = [theirs(one) - ours(one) for one in theta]
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-9)


def test_the_effect_of_a_place_that_is_sampled_has_the_law_that_the_mixture_integrates_out():
    model = Mixture(n_types=2, n_features=2, n_covariates=1, latent_level="image")
    data = arrays(binary=False, n=4, m=1)
    theta = 0.5 * np.random.default_rng(0).normal(size=(2, model.size))

    theirs, ours = densities(model, data)
    nodes = np.linspace(-7.0, 7.0, 401)

    def whole(one):
        heights = [np.exp(theirs(one, place=np.array([node]))) for node in nodes]
        return np.log(np.trapezoid(heights, nodes))

    gaps = [whole(one) - ours(one) for one in theta]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-6)


def test_natural_scales_are_positive_and_leave_out_what_the_model_lacks():
    model = Mixture(n_types=2, n_features=2, likelihood="student_t")
    found = natural(model, np.full(model.size, -3.0))
    assert set(found) == {name for name, size in model.sizes().items() if size}
    assert found["tail"] == pytest.approx(2.0 + np.exp(-3.0))
    assert found["gap"] == pytest.approx(np.log1p(np.exp(-3.0)))


def test_samples_that_take_days_are_refused():
    with pytest.raises(ArgumentError, match="at most 64 features, got 65"):
        check_feasible(65, 100)
    with pytest.raises(ArgumentError, match="20,000 training rows, got 20,001"):
        check_feasible(4, 20_001)


def test_they_are_refused_before_the_number_of_clusters_is_looked_for(monkeypatch):
    monkeypatch.setattr(embedding_model, "MOST_FEATURES", 3)
    monkeypatch.setattr(choose, "member_on", None)
    data = generators.embedding_rct(seed=0, n=600).blind()
    fit = EmbeddingEffectClusters(n_clusters="auto", inference="nuts", random_state=0)
    with pytest.raises(ArgumentError, match="at most 3 features, got 4"):
        fit.fit(data)


def effects(fit):
    return np.concatenate([member.posterior.effects() for member in fit.members_])


def both(data, **more):
    """Posteriors of the effects by both, on the same training rows."""
    settings = {"likelihood": "normal", "split": (0.8, 0.1, 0.1), "random_state": 0}
    full = EmbeddingEffectClusters(**settings).fit(data)
    sampled = EmbeddingEffectClusters(**settings, inference="nuts", **more).fit(data)
    return effects(full), effects(sampled), sampled


def agree(full, sampled, *, apart=0.5, least=0.7, most=1.4):
    sd = sampled.std(axis=0)
    assert (np.abs(full.mean(axis=0) - sampled.mean(axis=0)) <= apart * sd).all()
    ratio = full.std(axis=0) / sd
    assert ((ratio >= least) & (ratio <= most)).all()


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_a_short_run_of_the_sampler_agrees_with_the_full_rank_gaussian():
    """Of 300 effective draws means err by .06 deviations and deviations by 4 %: five of these."""
    data = generators.embedding_rct(seed=0, n=500, sigma=0.7).blind()
    full, sampled, _ = both(data, n_chains=2, n_tune=150, n_draws=200)
    agree(full, sampled, apart=0.3, least=0.8, most=1.25)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_both_take_the_levels_of_blocks_out_of_the_outcome():
    """Levels of 0 to 12 by block, and no wider posterior for it than without them."""
    plain = generators.embedding_rct(seed=0, n=500, sigma=0.7).blind()
    block = np.random.default_rng(1).integers(0, 5, len(plain))
    levels = plain.assign(block=block, y=plain.frame["y"] + 3.0 * block).with_roles(strata="block")
    full, sampled, _ = both(levels, n_chains=2, n_tune=150, n_draws=200)
    agree(full, sampled, apart=0.3, least=0.8, most=1.25)
    without = EmbeddingEffectClusters(
        likelihood="normal", split=(0.8, 0.1, 0.1), random_state=0
    ).fit(plain)
    np.testing.assert_allclose(sampled.std(axis=0), effects(without).std(axis=0), rtol=0.25)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_sampling_and_the_full_rank_gaussian_agree():
    """Tolerances of the specification: means within half a deviation, deviations within 40 %."""
    full, sampled, fit = both(generators.embedding_rct(seed=0, n=1000).blind())
    agree(full, sampled)
    found = fit.diagnostics_["sampling"]
    assert found["max_rhat"] <= 1.01
    assert found["min_ess_bulk"] >= 400
    assert (found["n_chains"], found["n_draws"]) == (4, 1000)


@pytest.mark.parametrize(("rhat", "ess"), [(1.02, 900.0), (1.0, 399.0)])
def test_chains_that_disagree_or_are_short_warn_with_their_numbers(rhat, ess):
    found = {"max_rhat": rhat, "min_ess_bulk": ess}
    found |= {"n_chains": 2, "n_draws": 20, "divergences": 3}
    told = f"R-hat is {rhat:.3f} .* sample size {ess:.0f} .* 2 chains of 20 draws and 3 divergences"
    with pytest.warns(ConvergenceWarning, match=told):
        _warn_of_disagreement(found)
    _warn_of_disagreement(found | {"max_rhat": 1.01, "min_ess_bulk": 400.0})
