"""The forest on embeddings: which rule over time finds a change, and what its methods say."""

import warnings

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

from causalkit import (
    CausalData,
    ImageEffectClusters,
    ImageEncoder,
    embed_images,
    generators,
)
from causalkit.data.images import lazy_images
from causalkit.errors import ArgumentError, CausalKitWarning, DataError, RandomizationWarning
from causalkit.images.forest import ImageCausalForest

pytest.importorskip("econml")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

RULES = ("last", "mean", "variance", "concat", "difference")


def change(encoder, temporal, gamma=1.0):
    """Correlation with the true effect, and ratios of AUTOC and QINI, 600 train and 600 test."""
    data = generators.image_sequence_rct(0, n_images=1200, gamma=gamma)
    forest = ImageCausalForest(
        n_trees=100, split=(0.4, 0.1, 0.5), propensity=0.5, random_state=0
    ).fit(data.blind(), embed_images(data, encoder, temporal=temporal))
    found = forest.evaluation_
    truth = data.truth.cate[found.rows]
    close = np.corrcoef(found.cate, truth)[0, 1] if gamma else np.nan
    rates = [forest.rate(target) for target in ("AUTOC", "QINI")]
    return close, *(rate.estimate / rate.std_err for rate in rates)


@pytest.mark.slow
def test_only_rules_that_keep_the_order_of_frames_find_effects_of_change():
    """Bands of the specification; half as many trees and 600 places where it has 1,000."""
    bright = ImageEncoder.random()
    found = {rule: change(bright, rule) for rule in RULES}
    for rule in ("concat", "difference"):
        close, *ratios = found[rule]
        assert close >= 0.8
        assert min(ratios) > 6
    for rule in ("mean", "variance"):
        close, *ratios = found[rule]
        assert abs(close) <= 0.15
        assert max(map(abs, ratios)) < 2.5
    assert found["mean"][0] + 0.15 < found["last"][0] < found["difference"][0]


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["concat", "difference"])
def test_a_constant_effect_is_not_ranked(rule):
    _, *ratios = change(ImageEncoder.random(), rule, gamma=0.0)
    assert max(map(abs, ratios)) <= 2.5


@pytest.fixture(scope="module")
def small():
    """A trial whose vectors are known: the effect is half, plus the first of them."""
    data = generators.embedding_rct(seed=0, n=600)
    forest = ImageCausalForest(n_trees=40, n_components=4, propensity=0.5, random_state=0)
    return data, forest.fit(data.blind().with_roles(covariates=()), data.matrix("covariates"))


def test_the_forest_ranks_and_its_scores_average_to_the_effect(small):
    data, forest = small
    found = forest.evaluation_
    assert np.corrcoef(found.cate, data.truth.cate[found.rows])[0, 1] > 0.6
    (estimate,), (error,) = (
        forest.estimate("ate").estimates,
        forest.estimate("ate").tidy().std_error,
    )
    assert abs(estimate - data.truth.cate[found.rows].mean()) < 4 * error
    assert estimate == pytest.approx(found.score.mean())


def test_quartiles_are_means_of_scores_by_predicted_effect(small):
    _, forest = small
    found, result = forest.evaluation_, forest.estimate("quartiles")
    order = np.argsort(found.cate, kind="stable")
    parts = np.array_split(found.score[order], 4)
    assert result.terms == tuple(f"quartile {number}" for number in (1, 2, 3, 4))
    np.testing.assert_allclose(result.estimates, [part.mean() for part in parts])


def test_no_row_of_the_evaluation_is_in_a_model_of_its_scores(small):
    """Other outcomes there move neither forest nor nuisance: the scores change by their own."""
    data, forest = small
    rows = forest.evaluation_.rows
    frame = data.frame.copy()
    frame.loc[rows, "y"] += 100.0
    moved = type(data).from_frame(frame, outcome="y", treatment="t")
    again = ImageCausalForest(n_trees=40, n_components=4, propensity=0.5, random_state=0).fit(
        moved, data.matrix("covariates")
    )
    np.testing.assert_array_equal(again.evaluation_.rows, rows)
    np.testing.assert_allclose(again.evaluation_.cate, forest.evaluation_.cate)


def test_predictions_come_with_the_intervals_of_the_forest(small):
    data, forest = small
    values = data.matrix("covariates")
    found = forest.effect(values)
    low, high = (forest.effect(values, level=0.5)[name] for name in ("conf_low", "conf_high"))
    assert (found["std_error"] > 0).mean() > 0.9
    assert (found["conf_low"] <= low).all()
    assert (found["conf_high"] >= high).all()
    rows = forest.evaluation_.rows
    np.testing.assert_allclose(found["effect"][rows], forest.evaluation_.cate)
    with pytest.raises(ArgumentError, match="fitted to embeddings"):
        forest.effect(data)


def test_images_are_embedded_in_fit_and_again_for_a_target_with_the_same_statistics():
    data = generators.image_rct(0, n_images=600, size=10)
    forest = ImageCausalForest(
        encoder=ImageEncoder.random(n_filters=4), n_trees=8, n_components=3, random_state=0
    ).fit(data.blind())
    target = generators.image_rct(1, n_images=60, size=10, design="shifted")
    bands = forest._embed(target, forest.embeddings_).attrs
    assert bands["band_mean"] == forest.embeddings_.attrs["band_mean"]
    assert forest.effect(target).sizes == {"obs": 60}


def test_frames_are_from_before_the_treatment_and_like_those_of_the_fit():
    options = {"n_images": 600, "size": 8, "frames": 3}
    data = generators.image_sequence_rct(0, **options)
    forest = ImageCausalForest(
        encoder=ImageEncoder.random(n_filters=4), n_trees=8, n_components=3, random_state=0
    ).fit(data.blind())
    images = data.arrays["image"]
    later = images.assign_coords(time=images["time"] + np.timedelta64(3653, "D"))
    short = generators.image_sequence_rct(1, **options | {"n_images": 20, "frames": 2})

    def embedded(target):
        return embed_images(target, forest.encoder, bands=forest.embeddings_)

    late = clone(forest).set_params(treatment_date="2012-01-01")
    with pytest.raises(DataError, match="1 frames of 'image' are not from before treatment_date"):
        late.fit(data.blind())
    allowed = late.set_params(allow_later_frames=True).fit(data.blind())
    np.testing.assert_array_equal(allowed.evaluation_.cate, forest.evaluation_.cate)
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    moved = CausalData.from_frame(data.frame, arrays=later.to_dataset(), **roles)
    for target in (moved, embedded(later)):
        with pytest.warns(CausalKitWarning, match=r"have 3 frames \(2020-.*saw 3 frames \(2010-"):
            allowed.effect(target)
    for target in (short, embedded(short)):
        with pytest.raises(DataError, match=r"have 2 frames \(2010.* and the fit saw 3 frames"):
            forest.effect(target)


@pytest.mark.parametrize("role", ["cluster", "unit"])
def test_intervals_warn_where_rows_share_a_cluster(small, role):
    """Declared, or by one embedding for several units. Averages are clustered there."""
    data, alone = small
    frame = data.frame.assign(village=np.arange(data.n) // 2)
    vectors = data.matrix("covariates")
    if role == "unit":
        keys = {"village": np.arange(data.n // 2)}
        vectors = xr.DataArray(vectors[::2], dims=("village", "feature"), coords=keys)
    shared = CausalData.from_frame(frame, outcome="y", treatment="t", **{role: "village"})
    forest = ImageCausalForest(
        n_trees=8, n_components=4, propensity=0.5, split=(0.4, 0.2, 0.4), random_state=0
    ).fit(shared, vectors)
    name = "village" if role == "cluster" else "image"
    with pytest.warns(CausalKitWarning, match=rf"rows of the fit share clusters \('{name}'\)"):
        forest.effect(vectors)
    assert forest.estimate().n_clusters == forest.evaluation_.rows.size / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", CausalKitWarning)
        alone.effect(data.matrix("covariates"))


def test_trees_come_in_bags_of_four():
    data = generators.embedding_rct(seed=0, n=200).blind()
    with pytest.raises(ArgumentError, match="multiple of 4, got 10"):
        ImageCausalForest(n_trees=10).fit(data)


def test_a_treatment_that_vectors_predict_is_noticed(small):
    data, forest = small
    vectors = data.matrix("covariates")
    assert forest.diagnostics_["balance"]["p_value"] > 0.01
    t = (vectors[:, 0] + np.random.default_rng(0).logistic(size=data.n) > 0).astype(int)
    bare = data.blind().with_roles(covariates=()).assign(t=t)
    with pytest.warns(RandomizationWarning, match="does not look randomised"):
        found = forest.__class__(**forest.get_params()).fit(bare, vectors)
    assert any("does not look randomised" in text for text in found.result_.warnings)


def test_a_forest_with_an_encoder_comes_back_from_its_file(tmp_path):
    data = generators.image_rct(0, n_images=520, size=8)
    encoder = ImageEncoder.random(n_filters=4, size=3)
    told = {"progress": lambda text: len(text)}  # which no file can keep
    forest = ImageCausalForest(encoder=encoder, n_trees=8, n_components=3, random_state=0, **told)
    forest.fit(data.blind()).save(tmp_path / "forest")
    again = ImageCausalForest.load(tmp_path / "forest")
    assert again.progress is None
    xr.testing.assert_identical(forest.effect(data), again.effect(data))


def test_embeddings_of_another_width_are_refused(small):
    _, forest = small
    with pytest.raises(ArgumentError, match="have 6 features and those of the fit 4"):
        forest.effect(np.zeros((5, 6)))


@pytest.mark.parametrize("make", [ImageCausalForest, ImageEffectClusters])
def test_too_few_places_are_refused_before_an_image_is_read(make):
    data = generators.image_rct(0, n_images=400, size=8)

    def read(keys):
        raise AssertionError("an image was read")

    images = lazy_images(read, data.arrays["place"].values, shape=(3, 8, 8))
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    unread = CausalData.from_frame(data.frame, arrays=images.to_dataset(), **roles)
    with pytest.raises(DataError, match=r"E23-few-images.*the selection part.*take split="):
        make(random_state=0).fit(unread)
