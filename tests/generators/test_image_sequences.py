"""Sequences whose change decides the effect, and embeddings that are known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.metrics import rank_effects

G = ck.generators
SMALL = {"size": 5, "bands": 1, "frames": 2}


def near(sample, expected):
    """Whether a mean is where it should be: five standard errors, one alarm in two million."""
    sample = np.asarray(sample, dtype=np.float64)
    return abs(sample.mean() - expected) < 5.0 * sample.std() / math.sqrt(sample.size)


def test_the_order_of_frames_tells_the_effect_and_their_mean_does_not():
    data = G.image_sequence_rct(0, n_images=400, frames=5)
    level, change = data.truth.mu0 / 0.8, data.truth.cate - 0.5
    frames = data.arrays["image"].values.mean(axis=(2, 3, 4), dtype=np.float64)
    # Means of 1728 pixels: white noise of .5 has the spread .5/√1728, and smoothing multiplies by 5
    # the spread .7/√1728 of the base, which all frames of a place share.
    white, base = 0.5 / math.sqrt(1728), 5 * 0.7 / math.sqrt(1728)
    rise = frames[:, 4] - frames[:, 0] - 1.2 * change
    assert near(rise, 0.0)
    assert near(rise**2, 2 * white**2)
    mean = frames.mean(axis=1) - level
    assert near(mean, 0.0)
    assert near(mean * change, 0.0)
    assert near(mean**2, base**2 + white**2 / 5)
    assert near(level, 0.0)
    assert near(level**2, 1.0)


def test_pixels_have_the_variance_of_base_and_noise_around_the_drift():
    data = G.image_sequence_rct(1, n_images=300, frames=4)
    level, change = data.truth.mu0 / 0.8, data.truth.cate - 0.5
    drift = level[:, None] + 1.2 * change[:, None] * (np.arange(4) / 3 - 0.5)
    left = data.arrays["image"].values - drift[:, :, None, None, None]
    assert near((left**2).mean(axis=(1, 2, 3, 4)), 0.7**2 + 0.5**2)
    # Frames share the base and nothing else; neighbours of the base have the correlation 4/5.
    assert near((left[:, 0] * left[:, 3]).mean(axis=(1, 2, 3)), 0.7**2)
    step = (left[:, 0] * np.roll(left[:, 0], 1, axis=-1)).mean(axis=(1, 2, 3))
    assert near(step, 0.8 * 0.7**2)


def test_outcomes_are_level_plus_effect():
    data = G.image_sequence_rct(2, n_images=3000, tau=1.0, gamma=2.0, sigma=0.0, **SMALL)
    truth, frame = data.truth, data.frame
    means = np.where(frame["t"] == 1, truth.mu0 + truth.cate, truth.mu0)
    np.testing.assert_allclose(frame["y"], means, atol=1e-12)
    np.testing.assert_allclose(truth.mu1, truth.mu0 + truth.cate)
    assert truth.estimands["ate"] == 1.0
    assert near(truth.cate, 1.0)
    assert near((truth.cate - 1.0) ** 2, 4.0)
    assert near(frame["t"], 0.5)


@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_ranked_by_the_truth_normal_effects_have_the_closed_forms(gamma):
    cate = G.image_sequence_rct(3, n_images=6000, gamma=gamma, **SMALL).truth.cate
    found = rank_effects(cate, cate, rng=np.random.default_rng(0))
    assert abs(found.autoc - 0.903197 * gamma) < 5 * found.autoc_se
    assert abs(found.qini - gamma / (2 * math.sqrt(math.pi))) < 5 * found.qini_se
    assert found.autoc_se < 0.02 * gamma


def test_null_and_no_overlap_are_what_they_say():
    assert (G.image_sequence_rct(4, n_images=50, gamma=0.0, **SMALL).truth.cate == 0.5).all()
    data = G.image_sequence_rct(4, n_images=50, overlap=False, **SMALL)
    np.testing.assert_array_equal(data.truth.propensity, data.frame["t"])
    np.testing.assert_array_equal(data.frame["t"] == 1, data.truth.mu0 > 0.0)


def test_frames_are_years_and_stores_hold_the_same(tmp_path):
    pytest.importorskip("zarr")
    more = {"seed": 5, "n_images": 70, "size": 6, "sort_by": "treatment"}
    data = G.image_sequence_rct(**more)
    assert data.arrays["image"].dims == ("place", "time", "band", "y", "x")
    assert data.arrays["time"].dtype == np.dtype("datetime64[ns]")
    years = pd.DatetimeIndex(data.arrays["time"].values).year
    assert years.tolist() == [2010, 2011, 2012, 2013, 2014, 2015]
    stored = G.image_sequence_rct(to_zarr=tmp_path / "s.zarr", chunk=16, **more)
    assert not stored.arrays["image"].variable._in_memory
    assert stored.frame.equals(data.frame)
    assert data.frame["t"].is_monotonic_increasing
    xr_equal = stored.arrays.load().drop_encoding()
    assert xr_equal.equals(data.arrays)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"size": 4}, "size must be at least 5, got 4"),
        ({"bands": 0}, "bands must be at least 1, got 0"),
        ({"n_images": 1}, "n_images must be at least 2, got 1"),
        ({"gamma": math.inf}, "gamma must be finite, got inf"),
        ({"tau": math.nan}, "tau must be finite, got nan"),
        ({"sigma": -0.1}, "sigma must not be negative, got -0.1"),
        ({"sort_by": "t"}, "unknown sort_by 't'"),
    ],
)
def test_sequences_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.image_sequence_rct(0, **wrong)


def test_embeddings_decide_types_and_means():
    data = G.embedding_rct(6, n=40_000, sigma=0.0)
    e, truth, frame = data.matrix("covariates"), data.truth, data.frame
    assert data.matrix_names("covariates") == ("E1", "E2", "E3", "E4")
    assert np.abs(np.cov(e.T) - np.eye(4)).max() < 5 * math.sqrt(2 / 40_000)
    share = expit(-0.3 + 2 * e[:, 0] - e[:, 1])
    np.testing.assert_allclose(truth.cate, -0.5 + 2.0 * share)
    np.testing.assert_allclose(truth.mu0, 0.6 * e[:, 2])
    own = np.where(truth.cluster_labels == 1, 1.5, -0.5)
    np.testing.assert_allclose(frame["y"], truth.mu0 + frame["t"] * own)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        rows = (share >= low) & (share < low + 0.2)
        assert near(truth.cluster_labels[rows] - share[rows], 0.0)
    assert near(truth.cate, truth.estimands["ate"])
    assert near(frame["t"] - truth.propensity, 0.0)


def test_embeddings_have_a_null_design_and_one_without_overlap():
    null = G.embedding_rct(7, tau=(1.0, 1.0)).truth
    assert null.estimands["ate"] == 1.0
    assert (null.cate == 1.0).all()
    data = G.embedding_rct(7, overlap=False)
    np.testing.assert_array_equal(data.truth.propensity, data.frame["t"])
    np.testing.assert_array_equal(data.frame["t"] == 1, data.frame["E3"] > 0.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 1}, "n must be at least 2, got 1"),
        ({"tau": (1.0, 2.0, 3.0)}, "tau must hold a finite effect for each of 2 types"),
        ({"sigma": math.nan}, "sigma must be finite, got nan"),
        ({"noise": "cauchy"}, "unknown noise 'cauchy'"),
        ({"seed": 1}, "embedding_rct takes its randomness from rng or from seed"),
    ],
)
def test_embeddings_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.embedding_rct(0, **wrong)
