"""A model that has learned its training images by heart says so."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm
from trial_units import units_of

from causalkit import ImageEffectClusters, generators
from causalkit.errors import CausalKitWarning
from causalkit.images.cluster_map import MARGIN, warn_of_memory
from causalkit.images.outcomes import arm_score
from causalkit.images.splits import Parts

N = 600
PARTS = Parts(np.arange(300), np.arange(300, 400), np.arange(400, N))


def units(outcome):
    place = np.arange(N)
    return units_of(outcome, place % 2 * 1.0, np.full(N, 0.5), place)


def test_the_arm_alone_has_a_normal_density_in_units_of_the_spread_within_arms():
    rng = np.random.default_rng(0)
    trial = units(5.0 + 3.0 * rng.standard_normal(N) + 2.0 * (np.arange(N) % 2))
    y, t = trial.outcome, trial.treatment
    arms = [PARTS.train[t[PARTS.train] == arm] for arm in (0, 1)]
    scale = np.concatenate([y[rows] - y[rows].mean() for rows in arms]).std()
    expected = np.mean(
        [
            norm.logpdf(y[row], y[arms[int(t[row])]].mean(), y[arms[int(t[row])]].std())
            for row in PARTS.select
        ]
    )
    assert arm_score(trial, PARTS, "normal") == pytest.approx(expected + np.log(scale))


def test_the_arm_alone_has_a_share_where_outcomes_are_zero_or_one():
    trial = units((np.arange(N) % 4 < 1 + np.arange(N) % 2).astype(float))
    # Of four rows in a row the first is one and the third, a control too, is not; so is the second
    # and not the fourth, both treated: a half in each arm.
    assert arm_score(trial, PARTS, "bernoulli") == pytest.approx(np.log(0.5))


def test_only_what_is_worse_than_the_arm_alone_by_more_than_chance_is_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_memory(-1.4 - 0.9 * MARGIN, -1.4, "")
    with pytest.warns(CausalKitWarning, match=r"-3\.00 against -1\.40.*by heart.*Fewer weights"):
        warn_of_memory(-3.0, -1.4, "Fewer weights.")


@pytest.mark.slow
def test_many_weights_learn_few_images_by_heart_and_few_weights_do_not():
    trial = generators.image_rct(0, n_images=500, size=16, design="soft-kernel").blind()
    arguments = {"split": (0.5, 0.2, 0.3), "augment": False, "n_restarts": 1, "random_state": 0}
    with pytest.warns(CausalKitWarning, match="by heart.*'filters'"):
        fit = ImageEffectClusters(epochs=20, **arguments).fit(trial)
    facts = fit.diagnostics_
    assert facts["selection_score"] < facts["selection_score_by_arm"] - 1.0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ImageEffectClusters(encoder="filters", epochs=5, **arguments).fit(trial)
    assert not any("by heart" in str(one.message) for one in told)
