"""Missing covariates are filled in from the training rows, and flagged."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.impute import SimpleImputer

from causalkit import (
    CausalData,
    EmbeddingEffectClusters,
    ImageCausalForest,
    ImageEffectClusters,
    generators,
)
from causalkit.errors import ArgumentError, DataError, StorageError

CHANCE = {"propensity": 0.5, "random_state": 0}
MODES = CHANCE | {"likelihood": "normal", "inference": "map", "n_ensemble": 1}
FEATURES = ["E1", "E2"]
HOLES = np.arange(600) % 7 == 3


@pytest.fixture(scope="module")
def frame():
    return generators.embedding_rct(seed=0, n=600).blind().frame


def with_holes(frame, missing, column="E3", *, roles=None):
    holed = frame.assign(**{column: frame[column].where(~HOLES)})
    roles = {"covariates": [*FEATURES, "E3"], "modifiers": FEATURES} if roles is None else roles
    return CausalData.from_frame(holed, outcome="y", treatment="t", missing=missing, **roles)


def by_hand(frame, rows, column="E3"):
    """The same covariate filled in by the median of the training rows, and its flag."""
    centre = frame[column].where(~HOLES).iloc[rows].median()
    return frame.assign(**{column: frame[column].where(~HOLES, centre)}, flag=HOLES * 1.0)


@pytest.mark.parametrize("estimator", [EmbeddingEffectClusters, ImageCausalForest])
def test_a_covariate_with_gaps_is_filled_in_and_flagged(estimator, frame):
    vectors = frame[FEATURES].to_numpy()
    settings = MODES if estimator is EmbeddingEffectClusters else CHANCE | {"n_trees": 40}
    roles = {"covariates": ["E3"]}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "covariates .* are constant")
        found = estimator(**settings).fit(with_holes(frame, "indicator", roles=roles), vectors)
    evaluated = found.evaluation_.rows
    train = np.setdiff1d(np.arange(600), evaluated)
    if estimator is EmbeddingEffectClusters:
        train = found.parts_.train
    whole = CausalData.from_frame(
        by_hand(frame, train), outcome="y", treatment="t", covariates=["E3", "flag"]
    )
    expected = estimator(**settings).fit(whole, vectors)
    np.testing.assert_allclose(found.evaluation_.score, expected.evaluation_.score)


def test_features_with_gaps_are_filled_in_for_the_fit_and_for_targets(frame):
    roles = {"covariates": ["E1", "E2"]}
    data = with_holes(frame, "indicator", "E1", roles=roles)
    found = EmbeddingEffectClusters(**MODES).fit(data)
    whole = CausalData.from_frame(
        by_hand(frame, found.parts_.train, "E1"),
        outcome="y",
        treatment="t",
        covariates=["E1", "E2", "flag"],
    )
    expected = EmbeddingEffectClusters(**MODES).fit(whole)
    np.testing.assert_allclose(found.predict_cate(data), expected.predict_cate(whole))


def test_an_imputer_of_ones_own_learns_from_the_training_rows_only(frame):
    data = with_holes(frame, SimpleImputer(strategy="mean"))
    found = EmbeddingEffectClusters(**MODES).fit(data)
    centre = data.frame["E3"].iloc[found.parts_.train].mean()
    np.testing.assert_allclose(found._standard.imputer.statistics_, [centre])


@pytest.mark.parametrize(
    "make",
    [
        lambda data: EmbeddingEffectClusters(**MODES).fit(data),
        lambda data: ImageCausalForest(random_state=0).fit(data, data.matrix("modifiers")),
    ],
)
def test_gaps_that_are_left_to_the_learner_are_refused_by_name(frame, make):
    with pytest.raises(ArgumentError, match=r"missing values of 'E3' to the model.*indicator"):
        make(with_holes(frame, "native"))


def test_a_target_may_lack_what_the_fit_can_fill_in(frame):
    roles = {"covariates": FEATURES}
    whole = CausalData.from_frame(frame, outcome="y", treatment="t", **roles)
    holed = with_holes(frame, "indicator", "E1", roles=roles)
    found = EmbeddingEffectClusters(**MODES).fit(replace(whole, missing="indicator"))
    centre = frame["E1"].iloc[found.parts_.train].median()
    filled = whole.assign(E1=frame["E1"].where(~HOLES, centre))
    np.testing.assert_allclose(found.predict_cate(holed), found.predict_cate(filled))
    with pytest.raises(DataError, match="'E1' lack values, and the fit does not say"):
        EmbeddingEffectClusters(**MODES).fit(whole).predict_cate(holed)


def test_what_is_missing_in_one_arm_only_tells_the_treatment(frame):
    holed = frame.assign(E3=frame["E3"].where(frame["t"] == 1))
    data = CausalData.from_frame(
        holed, outcome="y", treatment="t", covariates=["E1", "E3"], missing="indicator"
    )
    with pytest.raises(DataError, match="'E3' is zero or missing wherever the treatment is zero"):
        EmbeddingEffectClusters(**MODES).fit(data)


@pytest.fixture(scope="module")
def places():
    rct = generators.image_rct(0, n_images=500, size=10).blind()
    x = np.random.default_rng(0).normal(size=500)
    x[::9] = np.nan
    frame = rct.frame.assign(x=x)

    def build(missing):
        roles = {"outcome": "y", "treatment": "t", "covariates": ["x"], "image": "image"}
        return CausalData.from_frame(
            frame, image_key="place", arrays=rct.arrays, missing=missing, **roles
        )

    return build


def test_images_with_gaps_in_covariates_are_saved_with_what_fills_them_in(places, tmp_path):
    make = ImageEffectClusters(encoder="random", n_components=4, **MODES)
    data = places("indicator")
    fit = make.fit(data)
    assert fit.members_[0].posterior.model.n_covariates == 2
    fit.save(tmp_path / "fit")
    again = ImageEffectClusters.load(tmp_path / "fit")
    _, covariates, _ = again._inputs(data)
    np.testing.assert_array_equal(covariates, fit._inputs(data)[1])
    assert np.isfinite(covariates).all()
    assert np.ptp(covariates[:, 1]) > 0.0
    with pytest.raises(ArgumentError, match="missing values of 'x' to the model"):
        make.fit(places("native"))
    with pytest.raises(StorageError, match=r"missing=SimpleImputer.* without pickle"):
        make.fit(places(SimpleImputer())).save(tmp_path / "other")
