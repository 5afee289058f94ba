"""Small blocks with a set number of treated: rows that tell of each other stay in one part."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from causalkit import CausalData, EmbeddingEffectClusters, ImageCausalForest
from causalkit.errors import CausalKitWarning, SplitWarning
from causalkit.heterogeneity import rank_average_treatment_effect
from causalkit.images.balance import checked_balance
from causalkit.images.small_blocks import SMALL, whole_blocks
from causalkit.images.units import take_units

torch.set_num_threads(1)
X = ["x1", "x2", "x3"]


def set_counts(rng, n_blocks, size):
    """Half of each block treated, by lot."""
    return np.argsort(rng.random((n_blocks, size)), axis=1).argsort(axis=1).ravel() % 2


def blocked(seed, size, *, n=1200, steps=False, own=0.01, columns=()):
    """Blocks whose units look alike and whose outcomes lie three apart; effects differ by looks.

    Parameters
    ----------
    size : int
        Units of a block.
    steps : bool
        Whether the effect is 0 or 3 by the sign of the first feature, not one and the feature.
    own : float
        Standard deviation of features within blocks.

    Returns
    -------
    data, features, effects
    """
    rng = np.random.default_rng(seed)
    block = np.arange(n) // size
    x = rng.normal(size=(block.max() + 1, 3))[block] + own * rng.normal(size=(n, 3))
    t = set_counts(rng, n // size, size)
    tau = 3.0 * (x[:, 0] > 0) if steps else 1.0 + x[:, 0]
    y = 3.0 * rng.normal(size=block.max() + 1)[block] + tau * t + rng.normal(size=n)
    frame = pd.DataFrame(x, columns=X).assign(y=y, t=t, b=block)
    covariates = X if columns else None
    roles = {"outcome": "y", "treatment": "t", "strata": "b", "covariates": covariates}
    return CausalData.from_frame(frame, **roles), x, tau


def forest_departures(seeds, size, **more):
    """By seed: slope, RATE and average effect, each less the true one; then standard errors."""
    found = []
    for seed in seeds:
        data, x, tau = blocked(seed, size, **more)
        fit = ImageCausalForest(n_components=3, n_trees=40, propensity=0.5, random_state=seed)
        held = fit.fit(data, embeddings=x).evaluation_
        truth, cate = tau[held.rows], held.cate - held.cate.mean()
        line, mean, rate = fit.estimate("calibration"), fit.estimate("ate"), fit.rate(n_boot=50)
        worth = rank_average_treatment_effect(truth, held.cate, n_boot=2, seed=0).estimate
        found.append(
            [
                line.estimates[1] - (cate @ truth) / (cate @ cate),
                rate.estimate - worth,
                mean.estimates[0] - 1.0,
                line.std_errors[1],
                rate.std_err,
                mean.std_errors[0],
            ]
        )
    return np.array(found)


def assert_unbiased(found):
    """Means of departures within 3.5 of their standard errors: beyond once in 2,000."""
    departures, errors = np.split(found, 2, axis=1)
    error = np.sqrt((errors**2).mean(axis=0) / len(found))
    assert (np.abs(departures.mean(axis=0)) < 3.5 * error).all()


def test_a_forest_says_of_matched_pairs_what_is_true():
    """Where pairs are divided slope and RATE are .35 too large, with errors of .07."""
    assert_unbiased(forest_departures(range(8), 2))


def cluster_departures(seeds, size):
    """By seed: both honest effects, less the true ones; then standard errors."""
    found = []
    for seed in seeds:
        data, _, tau = blocked(seed, size, steps=True, columns=X)
        fit = EmbeddingEffectClusters(
            propensity=0.5,
            n_clusters=2,
            likelihood="normal",
            inference="map",
            n_ensemble=1,
            n_restarts=1,
            random_state=seed,
        ).fit(data)
        held, effects = fit.evaluation_, fit.estimate("clusters")
        truth = [tau[held.rows][held.assigned == number].mean() for number in (0, 1)]
        found.append([*(effects.estimates - truth), *effects.std_errors])
    return np.array(found)


def test_clusters_of_matched_pairs_have_the_effects_that_they_have():
    """Where pairs are divided the honest effects are -.6 and .7 off, with errors of .07."""
    assert_unbiased(cluster_departures(range(4), 2))


def covered(found):
    departures, errors = np.split(found, 2, axis=1)
    return (np.abs(departures) < 1.96 * errors).mean(axis=0)


BY_CHANCE = pytest.mark.filterwarnings("ignore:images and covariates predict")  # 1 trial in 100


@BY_CHANCE
@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4, 10])
@pytest.mark.parametrize("own", [0.01, 1.0])
def test_intervals_of_forests_cover_what_is_true_of_small_blocks(size, own):
    """A hundred trials: 86 or fewer of them covered come once in 2,000."""
    found = forest_departures(range(100), size, own=own)
    assert_unbiased(found)
    assert (covered(found) > 0.86).all()


@BY_CHANCE
@pytest.mark.slow
def test_intervals_of_clusters_cover_what_is_true_of_matched_pairs():
    found = cluster_departures(range(100), 2)
    assert_unbiased(found)
    assert (covered(found) > 0.86).all()


OPTIONS = {"twins": None, "store": None, "propensity": 0.5, "spatial_block_km": None}


def taken(frame, *, image=None, **roles):
    data = CausalData.from_frame(frame, outcome="y", treatment="t", strata="b", **roles)
    image = np.arange(data.n) if image is None else image
    return take_units(data, image=image, **OPTIONS)


def frame_of(size, n_blocks, *, each=1, seed=0, lot=False):
    """Blocks of some clusters of rows, half of each block's clusters treated."""
    rng = np.random.default_rng(seed)
    t = (rng.random(size * n_blocks) < 0.5) * 1 if lot else set_counts(rng, n_blocks, size)
    n = size * n_blocks * each
    b = np.arange(n) // (size * each)
    return pd.DataFrame({"y": rng.normal(size=n), "t": np.repeat(t, each), "b": b}).assign(
        c=np.arange(n) // each
    )


@pytest.mark.parametrize("size", [2, 5, 10, SMALL - 1])
def test_small_blocks_with_set_counts_are_groups_and_clusters(size):
    frame = frame_of(size, 40)
    found = taken(frame)
    np.testing.assert_array_equal(found.groups, frame["b"])
    np.testing.assert_array_equal(found.clusters, frame["b"])
    assert found.cluster_name == "b"
    np.testing.assert_array_equal(found.strata, np.full(size * 40, found.strata[0]))


def test_large_blocks_and_draws_of_units_apart_leave_all_as_it_is():
    for frame in (frame_of(SMALL, 20), frame_of(2, 200, lot=True)):
        found = taken(frame)
        np.testing.assert_array_equal(found.groups, np.arange(len(frame)))
        np.testing.assert_array_equal(found.strata, frame["b"])
        assert found.clusters is None
        assert found.assigned is None


def test_draws_of_units_apart_are_taken_for_set_counts_as_often_as_the_level_says():
    """1,000 draws at 5 %, give or take 3.5 standard errors, with propensities that differ."""
    rng = np.random.default_rng(0)
    rows, block = np.arange(400), np.arange(400) // 5
    chance = rng.choice([0.3, 0.5, 0.6], size=400)
    told = [
        whole_blocks(block, rows, chance, (rng.random(400) < chance) * 1.0, rows, "b") is not None
        for _ in range(1000)
    ]
    assert abs(np.mean(told) - 0.05) < 3.5 * (0.05 * 0.95 / 1000) ** 0.5


def test_blocks_that_lost_units_are_held_whole_all_the_same():
    frame = frame_of(10, 60)
    frame = frame[np.random.default_rng(1).random(600) < 0.7].reset_index(drop=True)
    np.testing.assert_array_equal(taken(frame).groups, frame["b"])


def test_blocks_of_few_clusters_are_small_however_many_rows_they_have():
    """Pairs of villages of thirty; with twenty villages each they are no small blocks."""
    frame = frame_of(2, 12, each=30)
    found = taken(frame, cluster="c")
    np.testing.assert_array_equal(found.groups, frame["b"])
    np.testing.assert_array_equal(found.clusters, frame["b"])
    assert found.cluster_name == "c and b"
    many = frame_of(SMALL, 4, each=5)
    np.testing.assert_array_equal(taken(many, cluster="c").groups, many["c"])


def test_blocks_and_shared_images_cluster_errors_as_chains_of_both():
    """Rows 0 and 1 are a pair, of which the second has the image of the first of the next."""
    frame = frame_of(2, 100)
    image = np.arange(200)
    image[2::4] = image[1::4]
    found = taken(frame, image=image)
    np.testing.assert_array_equal(found.groups, np.arange(200) // 4)
    np.testing.assert_array_equal(found.clusters, np.arange(200) // 4)
    assert found.cluster_name == "image and b"


def test_blocks_that_hang_together_through_images_are_divided_with_a_warning():
    frame = frame_of(2, 300)
    image = np.random.default_rng(0).permutation(600) // 3
    with pytest.warns(SplitWarning, match="they hang together: 100% of the rows"):
        found = taken(frame, image=image)
    np.testing.assert_array_equal(np.unique(found.groups, return_inverse=True)[1], image)
    np.testing.assert_array_equal(found.clusters, image)
    assert np.ptp(found.strata) == 0  # no mean of a pair is learned


def test_small_blocks_of_one_propensity_share_a_mean_beside_that_of_large_ones():
    small, large = frame_of(4, 50), frame_of(40, 5, seed=1)
    frame = pd.concat([small, large.assign(b=large["b"] + 50)], ignore_index=True)
    frame["e"] = np.where(frame["b"] < 20, 0.4, 0.5)
    data = CausalData.from_frame(frame, outcome="y", treatment="t", strata="b", extra=["e"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        found = take_units(data, image=np.arange(400), **OPTIONS | {"propensity": "e"}).strata
    assert [np.unique(found[rows]).size for rows in (slice(80), slice(80, 200))] == [1, 1]
    np.testing.assert_array_equal(found[200:], frame["b"][200:])
    assert np.unique(found).size == 7


def test_treatments_that_pairs_tell_are_found_where_the_treated_come_first():
    """Exchanged in the order of the rows they would stay as they are, with a p-value of one."""
    frame = frame_of(2, 150).sort_values(["b", "t"], ascending=[True, False], ignore_index=True)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 2))
    rows = np.arange(300)
    found = taken(frame)
    told = frame["t"].to_numpy()[:, None] + noise
    with pytest.warns(CausalKitWarning, match="predict the treatment"):
        assert checked_balance(found, rows, told, seed=0)["p_value"] == 1 / 200
    p_values = [
        checked_balance(found, rows, rng.normal(size=(300, 2)), seed=seed)["p_value"]
        for seed in range(20)
    ]
    # Uniform: seven or more of twenty below .1 come once in 400, and all above .5 in a million.
    assert sum(value <= 0.1 for value in p_values) < 7
    assert min(p_values) <= 0.5
