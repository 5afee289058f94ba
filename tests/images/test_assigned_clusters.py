"""Villages that are treated whole: a propensity that is left out is the share of villages."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from causalkit import CausalData, EmbeddingEffectClusters
from causalkit.errors import CausalKitWarning
from causalkit.images.units import take_units

torch.set_num_threads(1)
N = 400  # villages


def pairs_of_villages(seed, *, sizes=(3, 12)):
    """One of each pair treated; large villages gain 3.2 and small ones .2, which looks do not tell.

    Returns
    -------
    frame, effects
    """
    rng = np.random.default_rng(seed)
    large = rng.integers(0, 2, N)
    village = np.repeat(np.arange(N), np.asarray(sizes)[large])
    drawn = (np.arange(N) % 2 == rng.integers(0, 2, N // 2).repeat(2)) * 1
    shock = 0.3 * rng.normal(size=N) + 0.5 * rng.normal(size=N // 2).repeat(2)
    effect = (0.2 + 3.0 * large)[village]
    frame = pd.DataFrame(rng.normal(size=(N, 2))[village], columns=["x1", "x2"]).assign(
        village=village, pair=village // 2, t=drawn[village]
    )
    noise = rng.normal(size=village.size)
    return frame.assign(y=shock[village] + effect * frame["t"] + noise), effect


def data_of(frame, **roles):
    return CausalData.from_frame(
        frame, outcome="y", treatment="t", **{"strata": "pair", "cluster": "village"} | roles
    )


def propensity_of(data, image=None):
    options = {"twins": None, "store": None, "propensity": None, "spatial_block_km": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        units = take_units(data, image=np.arange(data.n) if image is None else image, **options)
    return units.propensity


@pytest.mark.filterwarnings("ignore")
def test_average_effects_of_matched_villages_are_right_without_a_propensity():
    """By the share of units, of one fifth and four fifths, they are .4 too small: two errors."""
    departures = []
    for seed in range(6):
        frame, effect = pairs_of_villages(seed)
        fit = EmbeddingEffectClusters(
            likelihood="normal", inference="map", n_ensemble=1, n_restarts=1, random_state=seed
        ).fit(data_of(frame, covariates=["x1", "x2"]))
        found = fit.estimate("ate")
        truth = effect[fit.evaluation_.rows].mean()
        departures.append((found.estimates[0] - truth) / found.std_errors[0])
    assert abs(np.mean(departures)) < 3.0 / np.sqrt(6)


def test_each_village_of_a_pair_counts_once_and_the_words_say_so():
    frame, _ = pairs_of_villages(0)
    np.testing.assert_array_equal(propensity_of(data_of(frame)), 0.5)
    by_image = data_of(frame, cluster=None)
    np.testing.assert_array_equal(propensity_of(by_image, frame["village"].to_numpy()), 0.5)
    options = {"twins": None, "store": None, "propensity": None, "spatial_block_km": None}
    with pytest.warns(CausalKitWarning, match="share of each 'pair', each 'village' counted once"):
        take_units(data_of(frame), image=np.arange(len(frame)), **options)


def test_without_strata_villages_count_once_too():
    frame, _ = pairs_of_villages(1)
    np.testing.assert_array_equal(propensity_of(data_of(frame, strata=None)), 0.5)


def test_a_few_units_of_the_other_arm_do_not_make_villages_count_by_units():
    frame, _ = pairs_of_villages(2)
    crossed = frame.index[::200]
    frame.loc[crossed, "t"] = 1 - frame.loc[crossed, "t"]
    found = propensity_of(data_of(frame))
    shares = frame.groupby(["pair", "village"])["t"].mean().groupby("pair").mean()
    np.testing.assert_allclose(found, shares[frame["pair"]])
    assert np.abs(found - 0.5).max() < 0.2


def test_units_drawn_apart_within_villages_count_by_units():
    frame, _ = pairs_of_villages(3)
    frame["t"] = np.random.default_rng(0).integers(0, 2, len(frame))
    frame["region"] = frame["pair"] % 4
    found = propensity_of(data_of(frame, strata="region"))
    np.testing.assert_array_equal(found, frame.groupby("region")["t"].transform("mean"))


def test_regions_with_shares_of_their_own_do_not_pass_for_villages_treated_whole():
    """Where one unit in fifty is treated most villages are alike by chance."""
    frame, _ = pairs_of_villages(4)
    frame["region"] = frame["pair"] % 2
    chance = np.where(frame["region"] == 0, 0.02, 0.98)
    frame["t"] = (np.random.default_rng(0).random(len(frame)) < chance) * 1
    found = propensity_of(data_of(frame, strata="region"))
    np.testing.assert_array_equal(found, frame.groupby("region")["t"].transform("mean"))
