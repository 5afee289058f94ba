"""Draws of the posterior have names, and the numbers that the fit reports."""

import numpy as np
import pytest

from causalkit import EmbeddingEffectClusters, generators
from causalkit.errors import IdentificationError


@pytest.fixture(scope="module")
def trial():
    return generators.embedding_rct(seed=0, n=600).blind()


def test_draws_average_to_the_effects_of_the_table(trial):
    fit = EmbeddingEffectClusters(random_state=0).fit(trial)
    found = fit.posterior()
    assert found["effect"].dims == ("chain", "draw", "cluster")
    assert found.sizes["chain"] == 1
    table = fit.cluster_effects()
    np.testing.assert_allclose(found["effect"].mean(("chain", "draw")), table["model_effect"])
    ends = found["effect"].quantile([0.025, 0.975], ("chain", "draw")).T
    np.testing.assert_allclose(ends, table[["model_conf_low", "model_conf_high"]], rtol=1e-6)
    spread = fit.effect_predictive(cross_world_corr=0.0)
    noise = found["noise"].isel(chain=0)
    apart = noise.sel(cell="control") ** 2 + noise.sel(cell="treated, cluster 1") ** 2
    alone = float(apart.mean() + found["effect"].sel(cluster="cluster 1").var())
    assert spread["sd"][0] == pytest.approx(np.sqrt(alone))


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_chains_of_the_sampler_stay_apart_and_arviz_reads_them(trial):
    arviz = pytest.importorskip("arviz")
    settings = {"inference": "nuts", "n_chains": 2, "n_tune": 60, "n_draws": 40}
    fit = EmbeddingEffectClusters(**settings, random_state=0).fit(trial)
    found = fit.posterior()
    assert (found.sizes["chain"], found.sizes["draw"]) == (2, 40)
    draws = fit.members_[0].posterior.effects()
    np.testing.assert_array_equal(found["effect"].sel(chain=1), draws[40:])
    assert arviz.rhat(found)["effect"].max() < 1.5


def test_effects_on_a_chance_have_no_noise(trial):
    frame = trial.frame.assign(y=(trial.frame["y"] > 0).astype(int))
    binary = trial.like(frame)
    fit = EmbeddingEffectClusters(likelihood="bernoulli", random_state=0).fit(binary)
    assert list(fit.posterior()) == ["effect"]


def test_a_single_mode_has_no_draws(trial):
    fit = EmbeddingEffectClusters(inference="map", n_ensemble=1, random_state=0).fit(trial)
    with pytest.raises(IdentificationError, match="mode"):
        fit.posterior()
