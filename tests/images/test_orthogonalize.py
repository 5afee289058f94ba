"""Outcomes without what covariates predict: by models of other places, and of no use to cheat."""

from dataclasses import replace

import numpy as np
import pytest
from trial_units import units_of

from causalkit import CausalData, EmbeddingEffectClusters, ImageEffectClusters, generators
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.images.outcomes import orthogonalised
from causalkit.images.splits import Parts

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.RandomizationWarning")

N, TAU = 600, np.array([-0.5, 1.5])
FEATURES = ["E1", "E2", "E3", "E4"]
MODES = {"likelihood": "normal", "inference": "map", "n_ensemble": 1, "random_state": 0}


def units(seed=0):
    """Rows in pairs that share a place, with an outcome that is a wave in the covariate."""
    rng = np.random.default_rng(seed)
    x, place = rng.normal(size=(N, 1)), np.arange(N) // 2
    outcome = 3.0 * np.sin(2.0 * x[:, 0]) + rng.normal(size=N)
    half = np.full(N, 0.5)
    return units_of(
        outcome, np.arange(N) % 2 * 1.0, half, place, covariates=x, covariate_names=("x",)
    )


PARTS = Parts(np.arange(300), np.arange(300, 400), np.arange(400, N))


def test_what_covariates_predict_is_taken_where_types_are_looked_for():
    before = units()
    after = orthogonalised(before, PARTS, "normal", seed=0)
    for rows in (PARTS.train, PARTS.select, PARTS.evaluate):
        assert before.outcome[rows].std() > 2.0
        assert after.outcome[rows].std() < 1.5


def test_the_outcomes_of_a_place_have_no_part_in_its_own_prediction():
    before = units()
    moved = before.outcome.copy()
    moved[10:12] += 50.0  # one place
    found = [
        orthogonalised(replace(before, outcome=y), PARTS, "normal", seed=0).outcome
        for y in (before.outcome, moved)
    ]
    taken = [y - f for y, f in zip((before.outcome, moved), found, strict=True)]
    np.testing.assert_allclose(taken[0][10:12], taken[1][10:12], atol=1e-9)
    assert np.abs(taken[0] - taken[1])[PARTS.train].max() > 0.1


def test_evaluation_rows_have_no_part_in_any_prediction():
    before = units()
    moved = before.outcome.copy()
    moved[PARTS.evaluate] += 50.0
    after = [
        orthogonalised(replace(before, outcome=y), PARTS, "normal", seed=0).outcome
        for y in (before.outcome, moved)
    ]
    np.testing.assert_allclose(after[1] - after[0], moved - before.outcome, atol=1e-9)


def noisy():
    """Two types by four features, and a covariate that moves outcomes and no effect."""
    trial = generators.embedding_rct(seed=1, n=1200)
    frame = trial.frame.copy()
    frame["x"] = np.random.default_rng(2).normal(size=len(frame))
    frame["y"] += 4.0 * np.sin(2.0 * frame["x"])
    return CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=[*FEATURES, "x"], modifiers=FEATURES
    )


def test_types_and_honest_effects_are_found_in_less_noise():
    data = noisy()
    plain, less = (
        EmbeddingEffectClusters(orthogonalize=value, **MODES).fit(data) for value in (False, True)
    )
    gaps = [
        np.abs(np.concatenate([m.posterior.effects() for m in fit.members_]).mean(axis=0) - TAU)
        for fit in (plain, less)
    ]
    assert gaps[1].max() < 0.4 < gaps[0].max()
    errors = [fit.estimate("ate").std_errors[0] for fit in (plain, less)]
    assert errors[1] < 0.7 * errors[0]
    truth = generators.embedding_rct(seed=1, n=1200).truth.cate[less.evaluation_.rows].mean()
    assert abs(less.estimate("ate").estimates[0] - truth) < 3.5 * errors[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"likelihood": "bernoulli"}, "likelihood='bernoulli' needs zeros and ones"),
        ({}, "no covariates that vary"),
    ],
)
def test_what_cannot_be_orthogonalised_is_refused(arguments, words):
    trial = generators.embedding_rct(seed=0, n=1000).blind()
    if arguments:
        frame = trial.frame.assign(y=(trial.column("outcome") > 0).astype(float))
        trial = CausalData.from_frame(
            frame, outcome="y", treatment="t", covariates=FEATURES, modifiers=FEATURES[:2]
        )
    settings = {"inference": "map", "n_ensemble": 1, "random_state": 0} | arguments
    with pytest.raises(ArgumentError, match=words):
        EmbeddingEffectClusters(orthogonalize=True, **settings).fit(trial)


def test_images_without_covariates_and_words_for_true_are_refused():
    rct = generators.image_rct(0, n_images=600).blind()
    with pytest.raises(ArgumentError, match="no covariates that vary"):
        ImageEffectClusters(encoder="random", orthogonalize=True, random_state=0).fit(rct)
    with pytest.raises(ArgumentTypeError, match="orthogonalize must be True or False, got 'yes'"):
        ImageEffectClusters(encoder="random", orthogonalize="yes", random_state=0).fit(rct)
