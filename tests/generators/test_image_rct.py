"""Trials with images: what is in the pixels, what decides effects, and who is treated."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, kstest
from scipy.stats import norm as normal
from scipy.stats import t as student

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.generators.image_patterns import KERNEL, MOTIFS, smooth, with_brightness
from causalkit.metrics import rank_effects

G = ck.generators
SMALL = {"size": 8, "bands": 1}


def near(sample, expected, sds=5.0):
    """Whether a mean is where it should be, up to its Monte-Carlo error.

    Five standard errors: one false alarm in two million.
    """
    sample = np.asarray(sample, dtype=np.float64)
    return abs(sample.mean() - expected) < sds * sample.std() / math.sqrt(sample.size)


def test_smoothing_spreads_a_pixel_over_25_neighbours_and_keeps_the_variance_of_noise():
    point = np.zeros((12, 12), dtype=np.float32)
    point[0, 3] = 1.0
    spread = smooth(point)
    assert set(zip(*np.nonzero(spread), strict=True)) == {
        (i % 12, j) for i in range(-2, 3) for j in range(1, 6)
    }
    np.testing.assert_allclose(spread[spread > 0], 0.2, rtol=1e-6)
    # The variance that independent noise of variance 1 has after smoothing.
    assert (spread**2).sum() == pytest.approx(1.0, rel=1e-6)


def test_backgrounds_have_variance_one_and_the_correlation_of_a_box_filter():
    images = G.image_rct(0, n_images=300, n_types=1, tau=[1.0]).arrays["image"].values
    assert near((images**2).mean(axis=(1, 2, 3)), 1.0)
    for step, overlap in ((1, 4 / 5), (3, 2 / 5), (5, 0.0)):
        product = images * np.roll(images, step, axis=-1)
        assert near(product.mean(axis=(1, 2, 3)), overlap)


def test_noise_whose_mean_was_drawn_apart_is_white_noise_still():
    rng = np.random.default_rng(1)
    n = 200_000
    noise = rng.standard_normal((n, 1, 2, 2)).astype(np.float32)
    made = with_brightness(noise, rng.standard_normal(n)).reshape(n, 4)
    moments = np.cov(made.T)
    # Standard errors: √(2/n) on the diagonal, √(1/n) beside it.
    assert np.abs(moments - np.eye(4)).max() < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("design", ["motif", "soft-kernel"])
def test_the_outcome_without_treatment_is_half_the_standardised_mean_of_the_image(design):
    data = G.image_rct(2, n_images=50, design=design, sigma=0.0, size=16, bands=2)
    mean = data.arrays["image"].values.mean(axis=(1, 2, 3), dtype=np.float64)
    standardised = mean * math.sqrt(16 * 16 * 2) / 5
    np.testing.assert_allclose(data.truth.mu0, 0.5 * standardised, atol=1e-5)
    control = data.frame["t"] == 0
    np.testing.assert_allclose(data.frame["y"][control], data.truth.mu0[control], atol=1e-12)


def test_motifs_differ_and_leave_mean_and_energy_of_an_image_alone():
    flat = np.array([motif.ravel() for motif in MOTIFS])
    np.testing.assert_allclose(flat.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose((flat**2).mean(axis=1), 1.0)
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.5


def test_boxes_hold_the_motif_of_the_type_and_nothing_lies_outside():
    design = {"n_images": 60, "size": 20, "bands": 2}
    data = G.image_rct(3, n_types=5, tau=range(5), **design)
    bare = G.image_rct(3, n_types=1, tau=[0.0], **design)
    added = data.arrays["image"].values - bare.arrays["image"].values
    assert set(data.truth.cluster_labels) == {0, 1, 2, 3, 4}
    for image, kind, box in zip(
        added, data.truth.cluster_labels, data.truth.image_box, strict=True
    ):
        if kind == 0:
            assert box.tolist() == [-1, -1, -1, -1]
        else:
            top, left, height, width = box
            assert (height, width) == (8, 8)
            inside = image[:, top : top + 8, left : left + 8]
            np.testing.assert_allclose(inside - 2.0 * MOTIFS[kind - 1], 0.0, atol=1e-5)
            image[:, top : top + 8, left : left + 8] = 0.0
        assert not image.any()


def test_types_are_equally_likely_and_motifs_lie_anywhere():
    truth = G.image_rct(4, n_images=4000, n_types=4, tau=range(4), size=10, bands=1).truth
    counts = np.bincount(truth.cluster_labels)
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < chi2.isf(1e-6, 3)
    corners = truth.image_box[truth.cluster_labels > 0, :2]
    cells = np.bincount(corners @ [3, 1], minlength=9)
    expected = cells.sum() / 9
    assert ((cells - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 8)


@pytest.mark.parametrize(("n_types", "tau"), [(2, None), (3, None), (2, (0.0, 1.0)), (1, [0.3])])
def test_without_noise_outcomes_are_means_plus_the_effect_of_the_type(n_types, tau):
    data = G.image_rct(5, n_images=200, n_types=n_types, tau=tau, sigma=0.0, **SMALL)
    effects = np.array(tau or {2: (-0.5, 1.5), 3: (-1.0, 0.5, 2.0)}[n_types])
    truth, frame = data.truth, data.frame
    np.testing.assert_array_equal(truth.cate, effects[truth.cluster_labels])
    np.testing.assert_allclose(truth.mu1 - truth.mu0, truth.cate, atol=1e-12)
    means = np.where(frame["t"] == 1, truth.mu1, truth.mu0)
    np.testing.assert_allclose(frame["y"], means, atol=1e-12)
    assert truth.estimands["ate"] == pytest.approx(effects.mean())
    assert near(truth.cate, effects.mean()) or n_types == 1
    assert (truth.propensity == 0.5).all()
    assert near(frame["t"], 0.5)


@pytest.mark.parametrize(("noise", "skewness"), [("normal", 0.0), ("exponential", 2.0)])
def test_noise_has_the_stated_moments(noise, skewness):
    data = G.image_rct(6, n_images=4000, sigma=2.0, noise=noise, **SMALL)
    truth, frame = data.truth, data.frame
    error = (frame["y"] - np.where(frame["t"] == 1, truth.mu1, truth.mu0)).to_numpy() / 2.0
    assert near(error, 0.0)
    assert near(error**2, 1.0)
    assert near(error**3, skewness)


def test_noise_with_heavy_tails_is_that_of_three_degrees_of_freedom():
    data = G.image_rct(6, n_images=4000, sigma=2.0, noise="student_t", **SMALL)
    truth, frame = data.truth, data.frame
    error = (frame["y"] - np.where(frame["t"] == 1, truth.mu1, truth.mu0)).to_numpy() / 2.0
    assert kstest(error * math.sqrt(3.0), student(3.0).cdf).pvalue > 0.01
    assert kstest(error, normal.cdf).pvalue < 1e-6


@pytest.mark.parametrize(("n_types", "tau"), [(2, (-0.5, 1.5)), (5, (0.0, 0.0, 3.0, 0.0, 0.0))])
def test_ranked_by_the_truth_two_effects_have_the_closed_forms(n_types, tau):
    truth = G.image_rct(7, n_images=5000, n_types=n_types, tau=tau, **SMALL).truth
    gap, p = max(tau) - min(tau), 1 / n_types
    found = rank_effects(truth.cate, truth.cate, rng=np.random.default_rng(0))
    assert abs(found.autoc + gap * p * math.log(p)) < 5 * found.autoc_se
    assert abs(found.qini - gap * p * (1 - p) / 2) < 5 * found.qini_se
    assert found.autoc_se < 0.05


def test_the_match_with_the_kernel_decides_the_type_softly():
    data = G.image_rct(
        8, n_images=40, design="soft-kernel", size=12, tau=(1.0, 3.0), steepness=2.0, centre=0.5
    )
    grey = data.arrays["image"].values.mean(axis=1)
    best, where = [], []
    for image in grey:
        match = {
            (i, j): (image[i : i + 5, j : j + 5] * KERNEL).sum() for i in range(8) for j in range(8)
        }
        where.append(max(match, key=match.get))
        best.append(match[where[-1]])
    s = (np.array(best) - np.mean(best)) / np.std(best)
    share = 1.0 / (1.0 + np.exp(-2.0 * (s - 0.5)))
    np.testing.assert_allclose(data.truth.cate, 1.0 + 2.0 * share, atol=1e-5)
    assert data.truth.image_box.tolist() == [[i, j, 5, 5] for i, j in where]
    assert data.truth.scope == "sample"
    assert data.truth.estimands["ate"] == pytest.approx(data.truth.cate.mean())
    assert KERNEL.sum() == pytest.approx(0.0, abs=1e-12)


def test_units_draw_their_type_from_the_share_of_their_image():
    data = G.image_rct(9, n_images=1500, design="soft-kernel", units_per_image=2, **SMALL)
    share = (data.truth.cate + 0.5) / 2.0
    labels = data.truth.cluster_labels
    for low in (0.0, 0.25, 0.5, 0.75):
        rows = (share >= low) & (share < low + 0.25)
        assert near(labels[rows] - share[rows], 0.0)
    assert (labels[::2] != labels[1::2]).any()
    own = np.where(data.frame["t"] == 1, np.where(labels == 1, 1.5, -0.5), 0.0)
    assert near(data.frame["y"] - data.truth.mu0 - own, 0.0)


def test_the_null_design_has_one_effect_whatever_the_image_shows():
    data = G.image_rct(10, n_images=100, design="null", n_types=3, **SMALL)
    assert (data.truth.cate == 1.0).all()
    assert (data.truth.image_box[:, 0] >= 0).any()
    assert G.image_rct(10, n_images=20, design="null", tau=(0.0, 0.0)).truth.estimands["ate"] == 0


def test_shared_images_have_one_and_a_poisson_number_of_units_and_one_shock():
    data = G.image_rct(11, n_images=2000, design="shared", sigma=0.0, **SMALL)
    frame, truth = data.frame, data.truth
    counts = frame.groupby("place").size().to_numpy()
    assert counts.size == 2000
    assert counts.min() == 1
    assert near(counts - 1, 5.0)
    assert near((counts - 6.0) ** 2, 5.0)
    shock = frame["y"] - np.where(frame["t"] == 1, truth.mu1, truth.mu0)
    by_place = shock.groupby(frame["place"])
    assert by_place.std().max() < 1e-12
    assert near(by_place.mean() ** 2, 0.09)
    assert data.roles.cluster == (data.roles.image_key,) == ("place",)
    alike = frame.groupby("place")["t"].nunique().to_numpy() == 1
    # A place whose units have coins of their own may be treated alike by chance.
    assert near(alike - (0.9 + 0.1 * 2.0 ** (1.0 - counts)), 0.0)
    assert near(frame.groupby("place")["t"].first(), 0.5)


@pytest.mark.parametrize(
    ("assignment", "chance"), [("unit", 0.5), ("image", 1.0), (0.4, 0.7), (0.0, 0.5)]
)
def test_assignment_says_how_often_two_units_of_a_place_are_treated_alike(assignment, chance):
    frame = G.image_rct(12, n_images=2000, units_per_image=2, assignment=assignment, **SMALL).frame
    alike = frame.groupby("place")["t"].nunique().to_numpy() == 1
    assert abs(alike.mean() - chance) <= 5 * math.sqrt(chance * (1 - chance) / 2000)


def test_a_shifted_target_differs_in_its_first_band_only():
    plain, moved = (G.image_rct(13, n_images=30, design=d) for d in ("motif", "shifted"))
    before, after = (data.arrays["image"] for data in (plain, moved))
    np.testing.assert_allclose(after.sel(band="b1"), 1.5 * before.sel(band="b1") + 1.0, rtol=1e-5)
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])
    assert plain.frame.equals(moved.frame)
    np.testing.assert_array_equal(plain.truth.cate, moved.truth.cate)
    own = G.image_rct(13, n_images=30, shift=(-2.0, 0.5)).arrays["image"]
    np.testing.assert_allclose(own.sel(band="b1"), 0.5 - 2.0 * before.sel(band="b1"), rtol=1e-5)


def test_decoys_stand_beside_the_motif_and_alter_nothing_else():
    plain, full = (G.image_rct(14, n_images=60, bands=2, decoys=n) for n in (0, 5))
    assert plain.frame.equals(full.frame)
    np.testing.assert_array_equal(plain.truth.image_box, full.truth.image_box)
    added = (full.arrays["image"] - plain.arrays["image"]).values
    for image, (top, left, height, width) in zip(added, full.truth.image_box, strict=True):
        cells = image[0].reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 8, 8)
        shown = np.flatnonzero(np.abs(cells).max(axis=(1, 2)) > 1e-5)
        assert shown.size == 5
        # Of the kinds that no type has: the second to the fourth motif, in turn.
        kinds = [
            int(np.argmin([np.abs(cells[c] - 2.0 * motif).max() for motif in MOTIFS]))
            for c in shown
        ]
        assert sorted(kinds) == [1, 1, 2, 2, 3]
        for cell, kind in zip(shown, kinds, strict=True):
            np.testing.assert_allclose(cells[cell], 2.0 * MOTIFS[kind], atol=1e-5)
        np.testing.assert_allclose(image[0], image[1], atol=1e-5)
        if height > 0:
            assert np.abs(image[0, top : top + height, left : left + width]).max() < 1e-5


def test_without_overlap_bright_places_are_treated_and_the_naive_estimate_is_wrong():
    data = G.image_rct(14, n_images=3000, overlap=False, design="null", **SMALL)
    frame, truth = data.frame, data.truth
    np.testing.assert_array_equal(truth.propensity, frame["t"])
    np.testing.assert_array_equal(truth.propensity == 1.0, truth.mu0 > 0.0)
    means = frame.groupby("t")["y"].mean()
    # E[b | b > 0] − E[b | b < 0] = 2√(2/π); standard error of the difference √(4 (1.25)/3000).
    assert means[1] - means[0] - 1.0 == pytest.approx(math.sqrt(2 / math.pi), abs=0.2)


@pytest.mark.parametrize("design", ["motif", "soft-kernel", "shared"])
def test_sorting_by_treatment_moves_rows_and_images_and_changes_neither(design):
    more = {"n_images": 60, "design": design, **SMALL}
    plain, moved = G.image_rct(15, **more), G.image_rct(15, sort_by="treatment", **more)
    assert moved.frame["t"].is_monotonic_increasing
    assert not plain.frame["t"].is_monotonic_increasing
    key = ["t", "place", "y"]
    rows, again = (data.frame.sort_values(key) for data in (plain, moved))
    assert rows.reset_index(drop=True).equals(again.reset_index(drop=True))
    for name in ("cate", "mu0", "mu1", "cluster_labels", "image_box"):
        values, others = getattr(plain.truth, name), getattr(moved.truth, name)
        np.testing.assert_array_equal(values[rows.index], others[again.index])
    there = moved.arrays["place"].values
    assert sorted(there) == plain.arrays["place"].values.tolist()
    assert not plain.arrays["image"].equals(moved.arrays["image"])
    assert plain.arrays.equals(moved.arrays.sortby("place"))
    shares = moved.frame.groupby("place")["t"].mean().loc[there]
    assert shares.is_monotonic_increasing


def test_effects_designs_and_rows_leave_shared_draws_alone():
    base = G.image_rct(16, n_images=40)
    other = G.image_rct(16, n_images=40, tau=(0.0, 5.0), sigma=0.5)
    assert base.arrays.equals(other.arrays)
    assert base.frame["t"].equals(other.frame["t"])
    noise = [
        data.frame["y"] - np.where(data.frame["t"] == 1, data.truth.mu1, data.truth.mu0)
        for data in (base, other)
    ]
    np.testing.assert_allclose(noise[0], 2.0 * noise[1])


# Of the first and the third image at seed 0.
GOLDEN = (-1.157059, -0.496705, -1.589873, -0.793213)


def test_pixels_belong_to_the_version():
    pixels = G.image_rct(0, n_images=3).arrays["image"].values[[0, 2], 0, :2, 0]
    np.testing.assert_allclose(pixels.ravel(), GOLDEN, atol=1e-5)


def test_places_lie_in_a_square_and_bands_have_names():
    arrays = G.image_rct(17, n_images=500, size=8, bands=4).arrays
    assert arrays["band"].values.tolist() == ["b1", "b2", "b3", "b4"]
    assert arrays["image"].dims == ("place", "band", "y", "x")
    assert arrays["image"].dtype == np.float32
    for name, low in (("lon", 30.0), ("lat", -1.0)):
        share = (arrays[name].values - low) / 2.0
        assert 0.0 <= share.min() < 0.1 < 0.9 < share.max() <= 1.0


def test_seed_is_another_name_of_rng():
    by_seed, by_rng = G.image_rct(seed=3, n_images=20), G.image_rct(3, n_images=20)
    assert by_seed.frame.equals(by_rng.frame)
    assert by_seed.arrays.equals(by_rng.arrays)
    with pytest.raises(ArgumentError, match="from rng or from seed; give one"):
        G.image_rct(3, seed=3)
    with pytest.raises(ArgumentError, match="image_rct needs a source of randomness"):
        G.image_rct()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": -5}, "n_images must be at least 2, got -5"),
        ({"size": 7}, "size must be at least 8, got 7"),
        ({"size": -1}, "size must be at least 8, got -1"),
        ({"bands": 0}, "bands must be at least 1, got 0"),
        ({"design": "motiv"}, "unknown design 'motiv'. Did you mean 'motif'"),
        ({"n_types": 3, "tau": (1.0, 2.0)}, r"tau must hold a finite effect for each of 3 types"),
        ({"tau": (1.0, math.nan)}, r"tau must hold a finite effect for each of 2"),
        ({"n_types": 4}, "give tau, the effect of each type, for n_types=4"),
        ({"n_types": 6, "tau": range(6)}, "n_types must be at most 5, got 6"),
        ({"n_types": 0}, "n_types must be at least 1"),
        ({"design": "soft-kernel", "n_types": 3}, "'soft-kernel' has 2 types; got n_types=3"),
        ({"decoys": -1}, "decoys must be at least 0, got -1"),
        ({"decoys": 13}, "decoys must be at most 12 in images of 32 by 32 pixels, got 13"),
        ({"decoys": 1, "size": 8}, "decoys must be at most 0 in images of 8 by 8"),
        ({"decoys": 1, "n_types": 5, "tau": range(5)}, "5 types have all motifs; none is left"),
        ({"sigma": -1.0}, "sigma must not be negative, got -1.0"),
        ({"village_sd": math.inf}, "village_sd must be finite, got inf"),
        ({"noise": "gaussian"}, "unknown noise 'gaussian'"),
        ({"units_per_image": 0}, "units_per_image must be at least 1, got 0"),
        ({"units_per_image": "many"}, "units_per_image must be a whole number"),
        ({"assignment": "village"}, "unknown assignment 'village'"),
        ({"assignment": 1.5}, r"in \[0, 1\]; got 1.5"),
        ({"shift": (1.0,)}, r"shift is a factor and a summand, both finite; got \(1.0,\)"),
        ({"steepness": math.nan}, "steepness must be finite, got nan"),
        ({"sort_by": "outcome"}, "unknown sort_by 'outcome'"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"dtype": "uint8"}, "unknown dtype 'uint8'"),
        ({"dtype": "uint16"}, "give to_zarr"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.image_rct(0, **wrong)
