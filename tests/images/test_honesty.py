"""Evaluation rows have no part in the models that are evaluated on them."""

import numpy as np
import pytest
import torch

import causalkit as ck

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
torch.set_num_threads(1)
MODES = {"likelihood": "normal", "inference": "map", "n_ensemble": 1, "random_state": 0}


def check_same_model(one, other):
    """Mixture, scale of features, outcome and selection are the same to the bit."""
    np.testing.assert_array_equal(one.parts_.evaluate, other.parts_.evaluate)
    (first,), (second,) = one.members_, other.members_
    for name in ("draws", "mean", "sd", "centre", "scale"):
        np.testing.assert_array_equal(*(getattr(m.posterior, name) for m in (first, second)))
    np.testing.assert_array_equal(first.place_gains, second.place_gains)
    assert not np.allclose(one.evaluation_.score, other.evaluation_.score)


@pytest.mark.parametrize("orthogonalize", [False, True])
def test_evaluation_rows_move_no_part_of_clusters_on_vectors(orthogonalize):
    rng = np.random.default_rng(0)
    trial = ck.generators.embedding_rct(seed=0, n=600)
    vectors = np.hstack([trial.matrix("covariates"), rng.normal(size=(600, 4))])
    frame = trial.frame.assign(x=rng.normal(size=600))
    estimator = ck.EmbeddingEffectClusters(
        n_components=5, propensity=0.5, orthogonalize=orthogonalize, **MODES
    )

    def fitted(frame, vectors):
        roles = {"outcome": "y", "treatment": "t", "covariates": ["x"]}
        data = ck.CausalData.from_frame(frame, **roles)
        return ck.EmbeddingEffectClusters(**estimator.get_params()).fit(data, vectors)

    before = fitted(frame, vectors)
    rows = before.parts_.evaluate
    moved, other = frame.copy(), vectors.copy()
    moved.loc[rows, "y"] += 100.0 * rng.normal(size=rows.size)
    moved.loc[rows, "x"] += 50.0
    other[rows] = 7.0 * other[rows, ::-1] + 3.0
    after = fitted(moved, other)
    check_same_model(before, after)
    for one, two in zip(before._reduction, after._reduction, strict=True):
        np.testing.assert_array_equal(one, two)
    assert before._standard.mean == after._standard.mean
    assert before._standard.sd == after._standard.sd


@pytest.mark.parametrize("encoder", ["random", "cnn"])
def test_evaluation_rows_and_images_move_no_part_of_clusters_on_images(encoder):
    """Neither band statistics nor components nor weights, nor what transport measures from.

    How far from there is usual is told by the evaluation images, without their outcomes.
    """
    made = {"random": ck.ImageEncoder.random(n_filters=4), "cnn": ck.ImageEncoder.cnn(width=8)}
    rng = np.random.default_rng(0)
    trial = ck.generators.image_rct(3, n_images=520, size=8)

    def fitted(frame, pixels):
        images = trial.arrays.assign(image=(trial.arrays["image"].dims, pixels))
        roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
        data = ck.CausalData.from_frame(frame, arrays=images, **roles)
        return ck.ImageEffectClusters(
            encoder=made[encoder], n_components=3, n_restarts=1, epochs=1, propensity=0.5, **MODES
        ).fit(data)

    pixels = trial.arrays["image"].values
    before = fitted(trial.frame, pixels)
    rows = before.parts_.evaluate
    moved, other = trial.frame.copy(), pixels.copy()
    moved.loc[rows, "y"] += 100.0 * rng.normal(size=rows.size)
    other[rows] = 3.0 + 5.0 * rng.normal(size=other[rows].shape)
    after = fitted(moved, other)
    check_same_model(before, after)
    for name in ("mean", "sd"):
        np.testing.assert_array_equal(
            *(getattr(fit._fitted.lens.bands, name) for fit in (before, after))
        )
    weights = after.members_[0].network.state_dict()
    for name, values in before.members_[0].network.state_dict().items():
        assert torch.equal(values, weights[name]), name
    one, two = (fit._reference for fit in (before, after))
    for space in ("features", "bands"):
        np.testing.assert_array_equal(*(getattr(each, space).points for each in (one, two)))
    np.testing.assert_array_equal(one.whitening.columns, two.whitening.columns)


def test_images_with_the_same_pixels_stay_in_one_part_and_are_one_cluster():
    """Each image twice, under keys of its own."""
    trial = ck.generators.image_rct(3, n_images=600, size=8)
    pixels = trial.arrays["image"].values.copy()
    pixels[1::2] = pixels[::2]
    images = trial.arrays.assign(image=(trial.arrays["image"].dims, pixels))
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    data = ck.CausalData.from_frame(trial.frame, arrays=images, **roles)
    fit = ck.ImageEffectClusters(
        n_clusters=1, encoder=ck.ImageEncoder.random(n_filters=4), n_restarts=1, **MODES
    ).fit(data)
    pairs = [set(part // 2) for part in (fit.parts_.train, fit.parts_.select, fit.parts_.evaluate)]
    assert sum(map(len, pairs)) == 300
    assert set.union(*pairs) == set(range(300))
    assert fit.estimate("ate").n_clusters == len(pairs[2])
