"""Clusters on given features: the same estimates as should be, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit import (
    CausalData,
    EmbeddingEffectClusters,
    ImageEncoder,
    embed_images,
    generators,
)
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    CausalKitWarning,
    DataError,
    RandomizationWarning,
)
from causalkit.images.balance import checked_balance
from causalkit.images.embedding_source import check_not_trained_on
from causalkit.images.units import take_units

# A thousand rows, of which 500 train: chance alone makes some of these.
pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.RandomizationWarning")

TAU = np.array([-0.5, 1.5])
# Without intervals: for what does not hang on the posterior.
MODES = {"likelihood": "normal", "inference": "map", "n_ensemble": 1, "random_state": 0}


@pytest.fixture(scope="module")
def trial():
    return generators.embedding_rct(seed=0, n=1000)


@pytest.fixture(scope="module")
def fitted(trial):
    return EmbeddingEffectClusters(likelihood="normal", random_state=0).fit(trial.blind())


def effects(fit):
    return np.concatenate([member.posterior.effects() for member in fit.members_])


def embedding(trial, **attrs):
    values = trial.matrix("covariates").copy()
    return xr.DataArray(values, dims=("obs", "feature"), attrs=attrs)


def test_effects_follow_the_truth(fitted, trial):
    rows = fitted.evaluation_.rows
    assert np.corrcoef(fitted.evaluation_.cate, trial.truth.cate[rows])[0, 1] > 0.9
    assert fitted.estimate().terms == ("cluster 1", "cluster 2")
    assert fitted.rate().estimate > 2 * fitted.rate().std_err
    assert fitted.predict_proba(trial).sizes["cluster"] == 2


def test_embeddings_by_row_give_what_the_same_columns_give(trial, fitted):
    bare = trial.blind().with_roles(covariates=())
    found = EmbeddingEffectClusters(likelihood="normal", random_state=0).fit(bare, embedding(trial))
    np.testing.assert_allclose(effects(found), effects(fitted))
    by_array = found.effect(embedding(trial))
    np.testing.assert_allclose(by_array["effect"], fitted.effect(trial)["effect"])
    with pytest.raises(ArgumentError, match="fitted to embeddings"):
        found.effect(trial)


def test_covariates_beside_modifiers_belong_to_the_baseline(trial):
    data = trial.blind().with_roles(modifiers=["E1", "E2"])
    found = EmbeddingEffectClusters(likelihood="normal", random_state=0).fit(data)
    model = found.members_[0].posterior.model
    assert (model.n_features, model.n_covariates) == (2, 2)
    weights = model.arrays(found.members_[0].posterior.draws)["base_weight"].mean(axis=0)
    assert np.argmax(np.abs(weights)) == 2  # E3, which moves the outcome


def test_more_features_than_components_are_reduced_by_the_training_rows(trial):
    rng = np.random.default_rng(0)
    wide = np.hstack([trial.matrix("covariates"), 0.1 * rng.normal(size=(trial.n, 6))])
    found = EmbeddingEffectClusters(n_components=5, **MODES).fit(trial.blind(), wide)
    assert found.diagnostics_["n_features"] == 5
    train = (wide - found._reduction[0])[found.parts_.train] @ found._reduction[1]
    np.testing.assert_allclose(train.std(axis=0), 1.0)


def test_embeddings_of_images_are_matched_by_key_and_not_by_order():
    rct = generators.image_rct(0, n_images=600, size=10)
    vectors = embed_images(rct, ImageEncoder.random(n_filters=4))
    make = EmbeddingEffectClusters(n_components=4, **MODES)
    one = make.fit(rct.blind(), vectors)
    expected = one.evaluation_.cate
    other = make.fit(rct.blind(), vectors[::-1])
    np.testing.assert_allclose(other.evaluation_.cate, expected, atol=1e-6)
    with pytest.raises(DataError, match="3 of 600 images in 'place' have no embedding"):
        make.fit(rct.blind(), vectors[:-3])


@pytest.mark.parametrize("trained_on", [[1, 2, 900], []])
def test_an_encoder_that_has_seen_these_outcomes_is_refused(trained_on):
    rct = generators.image_rct(0, n_images=600, size=10)
    vectors = embed_images(rct, ImageEncoder.random(n_filters=4))
    vectors.attrs |= {"outcome_free": False, "trained_on": trained_on}
    with pytest.raises(ArgumentError, match="trained on the outcomes"):
        EmbeddingEffectClusters(random_state=0).fit(rct.blind(), vectors)


def test_an_encoder_of_another_fold_is_taken():
    check_not_trained_on([7, 8], np.arange(5), "it")


@pytest.mark.parametrize(
    ("trained_on", "keys"),
    [(["1", "9"], [1, 2]), ([1, 9], ["1", "2"]), (np.array([1, 9]), np.array([1, 2]))],
)
def test_keys_of_the_encoders_training_are_found_whatever_type_they_have(trained_on, keys):
    with pytest.raises(ArgumentError, match=r"it was trained on the outcomes of 1 of these"):
        check_not_trained_on(trained_on, keys, "it")


def test_a_target_made_in_another_way_is_refused(trial):
    found = EmbeddingEffectClusters(**MODES).fit(
        trial.blind(), embedding(trial, encoder="a", band_mean=[0.0])
    )
    with pytest.raises(ArgumentError, match="differ from those of the fit in band_mean"):
        found.predict_cate(embedding(trial, encoder="a", band_mean=[1.0]))


def test_what_does_not_do_is_refused(trial):
    make = EmbeddingEffectClusters(random_state=0)
    with pytest.raises(ArgumentError, match="nothing that effects could vary with"):
        make.fit(trial.blind().with_roles(covariates=()))
    with pytest.raises(ArgumentTypeError, match="got list"):
        make.fit(trial.blind(), [1, 2])
    with pytest.raises(ArgumentError, match="have 3 rows and the data 1000"):
        make.fit(trial.blind(), np.zeros((3, 2)))
    with pytest.raises(ArgumentError, match="finite"):
        make.fit(trial.blind(), np.full((trial.n, 2), np.nan))
    with pytest.raises(ArgumentError, match="n_ensemble=2 has no use"):
        EmbeddingEffectClusters(inference="nuts", n_ensemble=2).fit(trial.blind())


def coverage(seeds):
    """Share of intervals of the effects that hold the truth, and the mean error, ``(2,)`` each."""
    held, errors = [], []
    for seed in range(seeds):
        data = generators.embedding_rct(seed=100 + seed, n=1000).blind()
        fit = EmbeddingEffectClusters(
            likelihood="normal", split=(0.8, 0.1, 0.1), n_draws=400, n_restarts=1, random_state=0
        ).fit(data)
        draws = effects(fit)
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        held.append((low <= TAU) & (high >= TAU))
        errors.append(draws.mean(axis=0) - TAU)
    return np.mean(held, axis=0), np.mean(errors, axis=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_full_rank_intervals_of_effects_cover():
    """Tolerances of the specification, 40 samples of which 800 rows train."""
    covered, bias = coverage(40)
    assert (covered >= 0.85).all()
    assert (np.abs(bias) <= 0.06).all()


def test_embeddings_by_row_are_refused_where_their_encoder_saw_the_outcomes(trial):
    bare = trial.blind().with_roles(covariates=())
    taught = embedding(trial, encoder="mine", outcome_free=False)
    with pytest.raises(ArgumentError, match="'mine' of these embeddings was trained"):
        EmbeddingEffectClusters(random_state=0).fit(bare, taught)


def test_keys_of_embeddings_are_matched_to_units(trial):
    frame = trial.frame.assign(who=[f"u{row}" for row in range(trial.n)])
    roles = {"outcome": "y", "treatment": "t", "unit": "who"}
    data = CausalData.from_frame(frame, **roles)
    keyed = embedding(trial).rename(obs="who").assign_coords(who=frame["who"].to_numpy())
    straight = EmbeddingEffectClusters(**MODES).fit(data, keyed)
    turned = EmbeddingEffectClusters(**MODES).fit(data, keyed[::-1])
    np.testing.assert_array_equal(straight.evaluation_.score, turned.evaluation_.score)
    keyed["who"] = frame["who"].where(frame.index != 1, "u0")
    with pytest.raises(DataError, match=r"the embeddings have 1 keys more than once .first: 'u0'"):
        EmbeddingEffectClusters(**MODES).fit(data, keyed)
    with pytest.raises(ArgumentError, match="image_key="):
        EmbeddingEffectClusters(**MODES).fit(data.with_roles(unit=None), keyed)


def test_a_probability_that_is_known_is_no_lack_of_randomisation(trial):
    rng = np.random.default_rng(0)
    chance = np.where(trial.frame["E1"] > 0, 0.7, 0.3)
    t = (rng.random(trial.n) < chance).astype(int)
    y = trial.truth.mu0 + t * trial.truth.cate + rng.normal(size=trial.n)
    frame = trial.frame.assign(t=t, y=y, chance=chance)
    names = ["E1", "E2", "E3", "E4"]
    data = CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=names, extra="chance"
    )
    for propensity, looks_random in (("chance", True), (None, False)):
        found = EmbeddingEffectClusters(propensity=propensity, **MODES).fit(data)
        assert (found.diagnostics_["balance"]["p_value"] > 0.01) == looks_random
        warned = any("does not look randomised" in text for text in found.result_.warnings)
        assert warned != looks_random


def test_equal_embeddings_stay_in_one_part(trial):
    values = trial.matrix("covariates").copy()
    values[1::2] = values[::2]
    twins = xr.DataArray(values, dims=("obs", "feature"))
    bare = trial.blind().with_roles(covariates=())
    fit = EmbeddingEffectClusters(**MODES).fit(bare, twins)
    parts = fit.parts_
    pairs = [set(part // 2) for part in (parts.train, parts.select, parts.evaluate)]
    assert not pairs[0] & pairs[2]
    assert not pairs[0] & pairs[1]
    # And their rows are no more independent than those of one image.
    assert fit.estimate("ate").n_clusters == len(pairs[2])


def test_a_treatment_by_clusters_of_their_own_sizes_is_tested_too():
    """Every second cluster by its embedding: wholly confounded, which went unnoticed."""
    rng = np.random.default_rng(0)
    sizes = rng.permutation(np.arange(3, 123))
    place = np.repeat(np.arange(120), sizes)
    vectors = rng.normal(size=(120, 3))
    treated = (vectors[:, 0] > 0).astype(int)
    frame = pd.DataFrame({"place": place, "t": treated[place], "y": rng.normal(size=place.size)})
    data = CausalData.from_frame(frame, outcome="y", treatment="t", cluster="place")
    fit = EmbeddingEffectClusters(split=(0.3, 0.3, 0.4), n_clusters=1, **MODES)
    with pytest.warns(RandomizationWarning, match="does not look randomised"):
        fit.fit(data, vectors[place])


def test_a_treatment_that_cannot_be_tested_is_said_to_be(trial):
    """One block of the evaluation rows holds all but a few, and none has its propensity."""
    units = take_units(
        trial.blind(),
        image=np.arange(trial.n),
        twins=None,
        store=None,
        propensity=0.5,
        spatial_block_km=None,
    )
    whole = replace(units, groups=np.minimum(np.arange(trial.n), 1))
    alone = replace(whole, propensity=np.where(whole.groups == 0, 0.4, 0.5))
    with pytest.warns(CausalKitWarning, match="could not be tested: only 0% of the evaluation"):
        checked_balance(alone, np.arange(trial.n), trial.matrix("covariates"), seed=0)


def test_embeddings_of_another_width_are_refused(trial):
    bare = trial.blind().with_roles(covariates=())
    found = EmbeddingEffectClusters(**MODES).fit(bare, embedding(trial))
    with pytest.raises(ArgumentError, match="have 6 features and those of the fit 4"):
        found.predict_cate(np.zeros((5, 6)))


def test_places_along_a_dimension_that_the_answer_has_are_refused(trial):
    bare = trial.blind().with_roles(covariates=())
    found = EmbeddingEffectClusters(**MODES).fit(bare, embedding(trial))
    with pytest.raises(ArgumentError, match=r"rename it: .rename\(cluster='place'\)"):
        found.predict_proba(embedding(trial).rename(obs="cluster"))


def test_effects_name_the_levels_that_they_compare():
    data = generators.embedding_rct(0, n=600).blind()
    arm = data.frame[data.roles.treatment[0]]
    with pytest.warns(CausalKitWarning, match=r"effects are those of 'none' against 'cash'\."):
        text = data.assign(**{arm.name: np.where(arm == 1, "cash", "none")})
    settings = {"likelihood": "normal", "inference": "map", "random_state": 0}
    fit = EmbeddingEffectClusters(**settings).fit(text)
    plain = EmbeddingEffectClusters(**settings).fit(data)
    assert set(fit.estimate("ate").contrast) == {"none vs cash"}
    assert set(plain.estimate("ate").contrast) == {"1 vs 0"}
    assert fit.estimate("ate").estimate * plain.estimate("ate").estimate < 0.0


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("in_noise", [False, True])
def test_skew_that_the_baseline_explains_is_no_skew_of_the_noise(in_noise):
    rng = np.random.default_rng(0)
    tail, even = 5.0 * rng.exponential(size=600), rng.normal(size=600)
    noise, baseline = (tail, even) if in_noise else (even, tail)
    treated = np.arange(600) % 2
    features = np.column_stack([baseline, rng.normal(size=600)])
    data = CausalData.from_arrays(baseline + treated + noise, treated, features)
    fit = EmbeddingEffectClusters(**MODES).fit(data)
    assert any("controls is skewed" in text for text in fit.result_.warnings) == in_noise
