"""ImageEffectClusters from data to honest effects, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.errors import (
    ArgumentError,
    CausalKitError,
    CausalKitWarning,
    DataError,
    IdentificationError,
    NotFittedError,
    RandomizationWarning,
    SplitWarning,
)
from causalkit.images.batches import Images

torch.set_num_threads(1)
FAST = {
    "encoder": ck.ImageEncoder.random(n_filters=16),
    "random_state": 0,
    "n_restarts": 1,
    "n_components": 6,
    "n_draws": 100,
}
SMALL = {"n_images": 600, "size": 16}


def clusters(**more):
    return ck.ImageEffectClusters(**(FAST | more))


def modes(**more):
    """Without intervals, in an eighth of the time: for what does not hang on the posterior."""
    return clusters(inference="map", n_ensemble=1, **more)


@pytest.fixture(scope="module")
def rct():
    return ck.generators.image_rct(0, **SMALL)


@pytest.fixture(scope="module")
def fit(rct):
    return clusters().fit(rct.blind())


@pytest.fixture(scope="module")
def trained():
    """Trained from pixels on 1,200 images: the whole chain."""
    data = ck.generators.image_rct(1, n_images=1200)
    estimator = ck.ImageEffectClusters(likelihood="normal", epochs=12, n_restarts=1, random_state=1)
    return data, estimator.fit(data.blind())


def test_types_are_found_in_pixels_and_their_effects_are_right(trained):
    data, fit = trained
    found = fit.evaluation_
    label = data.truth.cluster_labels[found.rows]
    assert (found.assigned == label).mean() > 0.9
    for term, k in (("cluster 1", 0), ("cluster 2", 1)):
        truth = data.truth.cate[found.rows][found.assigned == k].mean()
        row = fit.estimate().tidy().set_index("term").loc[term]
        assert abs(row["estimate"] - truth) < 3.5 * row["std_error"]
    table = fit.cluster_effects()
    np.testing.assert_allclose(table["model_effect"], [-0.5, 1.5], atol=0.4)
    assert fit.rate().ratio > 4.0
    slope = fit.estimate("calibration").tidy().iloc[1]
    assert abs(slope["estimate"] - 1.0) < 3.5 * slope["std_error"]


def test_random_weights_find_nothing(trained):
    """What the chain finds is in the weights that it learned."""
    data, fit = trained
    network = fit.members_[0].network
    learned = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        generator = torch.Generator().manual_seed(0)
        for value in network.parameters():
            value.data = 0.1 * torch.randn(value.shape, generator=generator)
        found = fit.predict_proba(data).values.argmax(axis=1)
    finally:
        network.load_state_dict(learned)
    assert abs((found == data.truth.cluster_labels).mean() - 0.5) < 0.1


def test_the_same_seed_gives_the_same_numbers(rct, fit):
    again = clusters().fit(rct.blind())
    np.testing.assert_array_equal(again.evaluation_.score, fit.evaluation_.score)
    pd.testing.assert_frame_equal(again.cluster_effects(), fit.cluster_effects())
    other = modes(random_state=1).fit(rct.blind())
    assert not np.array_equal(other.parts_.evaluate, fit.parts_.evaluate)


def test_no_place_is_used_twice(fit):
    parts = fit.parts_
    rows = np.concatenate([parts.train, parts.select, parts.evaluate])
    assert sorted(rows.tolist()) == list(range(600))


def test_the_summary_leads_with_honest_effects_and_labels_the_model(fit):
    text = fit.summary()
    assert text.index("cluster 1") < text.index("Model-based effects")
    assert "doubly robust scores over 240 evaluation rows" in " ".join(text.split())
    assert "AUTOC" in text
    table = fit.cluster_effects()
    assert list(table.columns[:3]) == ["cluster", "n", "share"]
    assert table["n"].sum() == 240


def test_predictions_are_the_same_for_rows_and_for_images(rct, fit):
    of_rows = fit.effect(rct)
    images = rct.arrays["image"]
    of_images = fit.effect(images)
    keys = rct.frame["place"].to_numpy()
    np.testing.assert_allclose(
        of_images["effect"].sel(place=keys), of_rows["effect"], rtol=1e-5, atol=1e-6
    )
    assert (of_rows["conf_low"] <= of_rows["effect"]).all()
    assert (of_rows["effect"] <= of_rows["conf_high"]).all()
    with pytest.raises(ArgumentError, match="strictly between 0 and 1, got 95"):
        fit.effect(images, level=95)
    some = images.isel(place=[7, 3])
    np.testing.assert_allclose(
        fit.predict_cate(some), of_images["effect"].isel(place=[7, 3]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(fit.predict_proba(some).sum("cluster"), 1.0)


def test_effect_and_type_come_from_one_draw(fit, rct):
    """Summaries of π times summaries of τ would be something else."""
    member = fit.members_[0]
    store = ImageStore.bare(rct.arrays["image"])
    raw = fit._fitted.features(Images.of(store), np.arange(50))[0]
    pi, tau = member.posterior.types(raw), member.posterior.effects()
    joint = (pi * tau[:, None, :]).sum(axis=2)
    found = fit.effect(rct.arrays["image"].isel(place=slice(0, 50)))
    np.testing.assert_allclose(found["std_error"], joint.std(axis=0, ddof=1), rtol=1e-4)


def test_shared_images_cluster_standard_errors_by_image():
    data = ck.generators.image_rct(
        2, design="shared", n_images=520, size=16, assignment=0.0, units_per_image=2
    )
    plain = data.with_roles(cluster=())
    result = clusters(latent_level="image", likelihood="normal").fit(plain.blind()).estimate("ate")
    assert "image" in result.inference
    groups = modes().fit(data.blind())
    place = data.frame["place"].to_numpy()
    parts = groups.parts_
    assert not set(place[parts.train]) & set(place[parts.evaluate])
    assert result.n_clusters == 208


def test_assignment_by_image_is_noticed():
    data = ck.generators.image_rct(2, design="shared", n_images=520, size=16, assignment=1.0)
    with pytest.warns(SplitWarning, match="same for all units in 100% of the images"):
        modes().fit(data.with_roles(cluster=()).blind())


def test_a_treatment_that_images_predict_is_noticed():
    data = ck.generators.image_rct(0, n_images=600, size=16, overlap=False)
    with pytest.warns(RandomizationWarning, match="predict the treatment"):
        modes(propensity=0.5).fit(data.blind())


def test_binary_outcomes_have_risk_differences():
    data = ck.generators.image_rct(4, n_images=1000, size=16, sigma=0.7)
    ones = data.assign(y=(data.frame["y"] > 0.5).astype(float))
    with pytest.raises(DataError, match=r"outcome is 0/1.*likelihood='bernoulli'"):
        clusters().fit(ones.blind())
    found = clusters(likelihood="bernoulli").fit(ones.blind())
    effect = found.effect(ones)["effect"]
    assert float(abs(effect).max()) <= 1.0
    ate = found.estimate("ate").tidy().iloc[0]
    assert abs(effect.mean() - ate["estimate"]) < 4 * ate["std_error"]
    # The model's own account is on the same scale: by their shares its effects make the average.
    model = found.cluster_effects().set_index("cluster")
    share = found.evaluation_.types.mean(axis=0)
    assert model["model_effect"] @ share == pytest.approx(found.evaluation_.cate.mean(), abs=0.01)
    assert (model["model_effect"].abs() <= 1.0).all()
    assert "log odds" not in found.summary()
    with pytest.raises(DataError, match="needs an outcome of zeros and ones"):
        clusters(likelihood="bernoulli").fit(data.blind())


def test_skewed_outcomes_are_warned_of():
    data = ck.generators.image_rct(0, noise="exponential", sigma=3.0, **SMALL)
    with pytest.warns(CausalKitWarning) as told:
        modes().fit(data.blind())
    texts = [str(one.message) for one in told]
    assert any("is skewed" in text and "trust the honest effects" in text for text in texts)


def test_the_number_of_clusters_is_chosen_by_prediction():
    data = ck.generators.image_rct(1, n_images=800)
    several = clusters(n_clusters="auto", max_clusters=3, encoder="random", n_components=12).fit(
        data.blind()
    )
    assert several.n_clusters_ == 2
    assert several.choice_["n_clusters"].tolist() == [1, 2, 3]
    null = ck.generators.image_rct(3, design="null", **SMALL)
    assert clusters(n_clusters="auto", max_clusters=3).fit(null.blind()).n_clusters_ == 1


def test_one_cluster_is_the_average_effect(rct):
    found = clusters(n_clusters=1).fit(rct.blind())
    both = found.estimate(), found.estimate("ate")
    np.testing.assert_allclose(both[0].estimates, both[1].estimates)


def test_a_mode_has_no_interval_but_an_ensemble_does(rct):
    single = modes().fit(rct.blind())
    with pytest.raises(IdentificationError, match="single mode has no uncertainty"):
        single.effect(rct)
    assert np.isfinite(single.predict_cate(rct)).all()


def test_single_units_spread_more_than_means(fit):
    free = fit.effect_predictive()
    tied = fit.effect_predictive(cross_world_corr=0.9)
    assert (free["sd"] > tied["sd"]).all()
    with pytest.raises(ArgumentError, match=r"must lie in \[-1, 1\]"):
        fit.effect_predictive(cross_world_corr=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": 9}, "at most 8, got 9"),
        ({"n_clusters": "many"}, "many"),
        ({"likelihood": "poisson"}, "poisson"),
        ({"inference": "meanfield"}, "meanfield"),
        ({"latent_level": "town"}, "town"),
        ({"temporal": "median"}, "median"),
        ({"nan_policy": "drop"}, "drop"),
        ({"encoder": "resnet"}, "resnet"),
        ({"encoder": 3}, "ImageEncoder.of"),
        ({"propensity": 1.0}, r"inside \(0, 1\)"),
        ({"propensity": "p"}, "no column of the data"),
        ({"split": (0.5, 0.4, 0.4)}, "sum to 1"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0}, "learning_rate must be a positive"),
        ({"device": "cuda:7"}, "not here"),
        ({"cluster_sigma": 1}, "cluster_sigma must be True or False"),
        ({"augment": "no"}, "augment must be True or False, got 'no'"),
        ({"recompute": 0}, "recompute must be True or False, got 0"),
        ({"allow_later_frames": None}, "allow_later_frames must be True or False, got None"),
        ({"spatial_block_km": -1}, "must be positive"),
        ({"image": "radar"}, "no image 'radar'"),
    ],
)
def test_arguments_that_do_not_do(rct, arguments, message):
    with pytest.raises(CausalKitError, match=message):
        clusters(**arguments).fit(rct.blind())


def changed(rct, frame=None, **more):
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    frame = rct.frame if frame is None else frame
    return ck.CausalData.from_frame(frame, arrays=rct.arrays, **(roles | more))


def test_data_that_would_spoil_the_trial_are_refused(rct):
    frame = rct.frame
    coded = frame.assign(x=frame["t"] * np.arange(600.0))
    with pytest.raises(
        DataError, match="'x' is zero wherever the treatment is zero: a post-treatment"
    ):
        clusters().fit(changed(rct, coded, covariates="x"))
    constant = frame.assign(x=1.0, z=np.arange(600.0))
    with pytest.warns(CausalKitWarning, match="covariates 'x' are constant and left out"):
        modes().fit(changed(rct, constant, covariates=["x", "z"]))
    with pytest.raises(DataError, match="fewer than 50"):
        clusters().fit(rct.subset(np.arange(200)).blind())
    with pytest.raises(DataError, match="binary"):
        clusters().fit(changed(rct, frame.assign(t=np.arange(600) % 3)))
    with pytest.raises(ArgumentError, match="needs a CausalData"):
        clusters().fit(frame)
    with pytest.raises(DataError, match="image"):
        clusters().fit(changed(rct, image=(), image_key=None))
    with pytest.raises(DataError, match="does not honour sampling weights"):
        clusters().fit(changed(rct, frame.assign(w=1.0), weights="w", weight_kind="sampling"))


def test_a_rare_covariate_without_controls_is_no_leak(rct):
    rare = rct.frame.assign(x=0.0)
    rare.loc[rare.index[rare["t"] == 1][:3], "x"] = 1.0
    assert modes().fit(changed(rct, rare, covariates="x")).parts_ is not None


def test_a_band_that_only_evaluation_images_have_is_an_error(rct, fit):
    pixels = rct.arrays["image"].values.copy()
    pixels[:, 1] = 0.0
    pixels[fit.parts_.evaluate[0], 1, 0, 0] = 1.0
    images = rct.arrays.assign(image=(rct.arrays["image"].dims, pixels))
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    with pytest.raises(DataError, match="constant or missing in every training image"):
        clusters().fit(ck.CausalData.from_frame(rct.frame, arrays=images, **roles))


def test_predictions_do_not_take_another_image_variable(rct, fit):
    other = rct.arrays.rename(image="radar")
    roles = {"outcome": "y", "treatment": "t", "image": "radar", "image_key": "place"}
    with pytest.raises(ArgumentError, match="no image 'image'"):
        fit.effect(ck.CausalData.from_frame(rct.frame, arrays=other, **roles))


def test_strata_give_the_propensity_and_say_so(rct):
    frame = rct.frame.assign(block=np.arange(600) % 4)
    with pytest.warns(CausalKitWarning, match="treated share of each 'block'"):
        found = modes().fit(changed(rct, frame, strata="block"))
    for result in (found.estimate(), found.estimate("ate")):
        assert "treated share of each 'block'" in " ".join(result.warnings)


def test_propensities_of_zero_and_one_are_refused(rct):
    frame = rct.frame.assign(p=0.5)
    frame.loc[frame.index % 2 == 0, "p"] = 1.0
    with pytest.raises(IdentificationError, match=r"300 rows do not \(first: row 0 with 1, row 2"):
        clusters(propensity="p").fit(changed(rct, frame, extra="p"))


def test_images_of_another_kind_are_refused_in_prediction(rct, fit):
    images = rct.arrays["image"]
    with pytest.raises(DataError, match="differ from those of the fit: bands"):
        fit.effect(images.isel(band=[0, 1]))
    with pytest.raises(DataError, match="shape"):
        fit.effect(images.isel(x=slice(0, 8)))
    with pytest.raises(ArgumentError, match="no image 'image'"):
        fit.effect(images.to_dataset(name="other"))
    with pytest.raises(ArgumentError, match="CausalData, or an xarray"):
        fit.effect(images.values)


def test_before_fit_there_is_nothing(rct):
    for ask in ("estimate", "summary", "rate", "cluster_effects"):
        with pytest.raises(NotFittedError):
            getattr(clusters(), ask)()
    with pytest.raises(NotFittedError):
        clusters().effect(rct)


def test_missing_pixels_are_an_error_unless_a_policy_says_otherwise(rct):
    pixels = rct.arrays["image"].values.copy()
    pixels[5, 1, 3, 3] = np.nan
    images = rct.arrays.assign(image=(rct.arrays["image"].dims, pixels))
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    data = ck.CausalData.from_frame(rct.frame, arrays=images, **roles)
    with pytest.raises(DataError, match=r"missing or infinite \(.*: 1; first images: 6\)"):
        clusters().fit(data)
    for policy in ("mean", "mask"):
        found = modes(nan_policy=policy).fit(data)
        assert np.isfinite(found.predict_cate(data)).all()


def test_a_module_of_the_users_own(rct):
    class Means(torch.nn.Module):
        def forward(self, image):
            return torch.nn.functional.adaptive_avg_pool2d(image, 4)[:, :, :, 0]

    encoder = ck.ImageEncoder.of(Means(), name="means", size=8)
    fit = modes(encoder=encoder).fit(rct.blind())
    assert fit.members_[0].network(torch.zeros(2, 3, 16, 16)).shape[0] == 2
    bands = tuple(map(str, rct.arrays["band"].values))
    wrong = ck.ImageEncoder.of(Means(), name="means", bands=bands[1::-1])
    with pytest.raises(ArgumentError, match=f"made for the bands {bands[1]}, {bands[0]}"):
        clusters(encoder=wrong).fit(rct.blind())
    with pytest.raises(ArgumentError, match="2 entries for 3 bands"):
        ck.ImageEncoder.of(Means(), name="m", bands="abc", mean=[0, 1], sd=[1, 1])


def test_images_behind_a_store_sorted_by_treatment_give_the_same_answer(tmp_path):
    honest = []
    for order in (None, "treatment"):
        data = ck.generators.image_rct(
            5, n_images=600, size=16, sort_by=order, to_zarr=tmp_path / f"{order}.zarr", chunk=50
        )
        assert isinstance(data.arrays["image"], xr.DataArray)
        honest.append(modes().fit(data.blind()).estimate("ate").tidy().iloc[0])
    gap = honest[0]["estimate"] - honest[1]["estimate"]
    assert abs(gap) < 3.0 * np.hypot(honest[0]["std_error"], honest[1]["std_error"])


@pytest.mark.parametrize("name", ["cluster", "effect"])
def test_images_along_a_dimension_that_the_answer_has_are_refused(rct, fit, name):
    images = rct.arrays["image"].isel(place=slice(0, 4))
    renamed = images.rename(place=name)
    for ask in (fit.effect, fit.predict_proba, fit.transport):
        with pytest.raises(ArgumentError, match=rf"rename it: .rename\({name}='place'\)"):
            ask(renamed)
    assert fit.predict_proba(renamed.rename({name: "village"})).dims == ("village", "cluster")
