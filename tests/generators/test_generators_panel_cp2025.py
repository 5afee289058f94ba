"""The designs of Clarke & Polselli against DoubleML's and xtdml's own."""

import hashlib

import numpy as np
import pytest

from causalkit.generators import panel_cp2025

COLUMNS = ["y", "d", "x1", "x2", "x3"]


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (0, "507215fa24ead091"),
        (1, "cbe4a3680c5cd732"),
    ],
)
def test_numbers_of_version_2_do_not_move(seed, digest):
    data = panel_cp2025(seed, dgp=3, n_units=4, n_periods=5, n_covariates=3)
    head = data.frame[["unit", "time", *COLUMNS, "g0"]].head(5).to_numpy(dtype=float)
    assert hashlib.sha256((head.round(8) + 0.0).tobytes()).hexdigest()[:16] == digest
    assert panel_cp2025.spec.version == 2


@pytest.mark.parametrize("dgp", [1, 2, 3])
def test_equal_draws_give_the_data_of_doubleml(dgp, monkeypatch):
    peer = pytest.importorskip("doubleml.plm.datasets")
    ours = panel_cp2025(np.random.default_rng(42), dgp=dgp, n_units=40, n_covariates=5, theta=0.8)
    # DoubleML draws from NumPy's global generator: lend it ours for the length of this test.
    rng = np.random.default_rng(42)
    monkeypatch.setattr(np.random, "normal", rng.normal)
    monkeypatch.setattr(np.random, "standard_normal", rng.standard_normal)
    theirs = peer.make_plpr_CP2025(num_id=40, num_t=10, dim_x=5, theta=0.8, dgp_type=f"dgp{dgp}")
    np.testing.assert_array_equal(ours.frame[["unit", "time"]], theirs[["id", "time"]])
    names = [*COLUMNS, "x4", "x5"]
    np.testing.assert_allclose(ours.frame[names], theirs[names], rtol=1e-12, atol=1e-12)


def test_slides_swap_the_two_coefficients_of_the_linear_design():
    frame = panel_cp2025(0, dgp=1, variant="slides", n_units=5, n_covariates=3).frame
    np.testing.assert_allclose(frame["g0"], frame["x1"] + 0.25 * frame["x3"])
    other = panel_cp2025(0, dgp=1, n_units=5, n_covariates=3).frame
    np.testing.assert_allclose(other["g0"], 0.25 * other["x1"] + other["x3"])


def test_least_squares_has_the_bias_of_the_slides_in_their_third_design():
    # 0.99 at every size on the slides (arXiv:2312.08174); covariates of variance 5 give 0.86.
    n, t = 4000, 10
    frame = panel_cp2025(2, dgp=3, variant="slides", n_units=n, n_periods=t, n_covariates=3).frame
    y, d, *x = (frame[name].to_numpy().reshape(n, t) for name in COLUMNS)
    y, d, *x = (v - v.mean(axis=1, keepdims=True) for v in (y, d, *x))
    design = np.column_stack([v.ravel() for v in (d, *x)])
    slope = np.linalg.lstsq(design, y.ravel(), rcond=None)[0][0]
    assert slope - 0.5 == pytest.approx(0.99, abs=0.02)  # read off a figure


@pytest.mark.parametrize("rho", [0.8, 0.5])
def test_xtdml_variant_has_the_moments_of_its_source(rho):
    n, t, theta = 5000, 4, 0.5
    data = panel_cp2025(
        1, dgp=3, variant="xtdml", n_units=n, n_periods=t, n_covariates=3, rho=rho, theta=theta
    )
    v = {name: data.frame[name].to_numpy().reshape(n, t) for name in [*COLUMNS, "g0"]}
    # make_plpr_data of xtdml, R/dataset.R, written out again.
    x1, x3 = v["x1"], v["x3"]
    np.testing.assert_allclose(v["g0"], 0.5 * x3 * x1 + 0.25 * x3 * (x3 > 0))
    c_plus_v = v["d"] - (0.25 * x1 * (x1 > 0) + 0.5 * x3 * x1)
    level = v["y"] - theta * v["d"] - v["g0"]

    def near(sample, mean, variance):
        assert abs(sample.mean() - mean) < 5 * np.sqrt(variance / n)
        assert abs(sample.var() / variance - 1) < 5 * np.sqrt(2 / n)

    near(v["x2"].mean(axis=1), 4.0, 9.0 + 25.0 / t)
    near(c_plus_v.mean(axis=1), 0.0, 25.0 + 1 / t)
    variance_level = 9.0 * rho**2 + (1 - rho**2) + 1 / t
    near(level.mean(axis=1), 1.0 + 3.0 * rho, variance_level)
    for part, variance in ((v["x2"], 25.0), (c_plus_v, 1.0), (level, 1.0)):
        within = part.var(axis=1, ddof=1).mean()
        assert abs(within / variance - 1) < 5 * np.sqrt(2 / (n * (t - 1)))
    covariance = np.cov(level.mean(axis=1), v["x2"].mean(axis=1))[0, 1]
    spread = np.sqrt(variance_level * (9.0 + 25.0 / t))
    assert abs(covariance - 9.0 * rho) < 5 * spread * np.sqrt(2 / n)


@pytest.mark.parametrize(
    ("dgp", "variant"), [(1, "doubleml"), (2, "doubleml"), (3, "doubleml"), (3, "xtdml")]
)
def test_fixed_effects_with_the_true_confounding_recover_theta(dgp, variant):
    n, t = 400, 10
    data = panel_cp2025(7, dgp=dgp, variant=variant, n_units=n, n_periods=t, n_covariates=3)
    y, d, g0 = (data.frame[name].to_numpy().reshape(n, t) for name in ("y", "d", "g0"))
    d_within = d - d.mean(axis=1, keepdims=True)
    weight = (d_within**2).sum()
    # U is N(0, 1) and independent of D within units, so 1/Σ d² is the exact conditional variance.
    estimate = (d_within * (y - g0)).sum() / weight
    assert abs(estimate - 0.5) < 4 / np.sqrt(weight)
    pooled = ((d - d.mean()) * (y - g0)).sum() / ((d - d.mean()) ** 2).sum()
    assert pooled - 0.5 > 4 / np.sqrt(weight)


def test_theta_multiplies_the_treatment_and_changes_nothing_else():
    null, two = (panel_cp2025(4, theta=theta, n_units=9).frame for theta in (0.0, 2.0))
    np.testing.assert_allclose(two["y"] - null["y"], 2.0 * null["d"], atol=1e-12)


def test_no_treatment_noise_makes_the_treatment_a_function_of_x_and_unit():
    frame = panel_cp2025(0, dgp=1, treatment_sd=0.0, n_units=9, n_covariates=3).frame
    rest = (frame["d"] - frame["g0"]).to_numpy().reshape(9, 10)
    np.testing.assert_allclose(rest, np.tile(rest[:, :1], (1, 10)), atol=1e-12)


def test_unbalanced_panel_is_a_subset_of_the_complete_one():
    full = panel_cp2025(3, n_units=30, n_covariates=3).frame
    thin = panel_cp2025(3, n_units=30, n_covariates=3, missing_share=0.4).frame
    assert len(thin) == 180
    matched = thin.merge(full, on=["unit", "time"], suffixes=("", "_full"))
    np.testing.assert_array_equal(matched[["y", "d"]], matched[["y_full", "d_full"]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dgp": 4}, "dgp must be 1, 2 or 3, got 4"),
        ({"dgp": 2, "variant": "xtdml"}, "variant 'xtdml' exists for dgp=3 only, got dgp=2"),
        ({"variant": "double"}, "Did you mean 'doubleml'"),
        ({"n_covariates": 2}, "n_covariates must be at least 3, got 2"),
        ({"rho": 1.2}, r"rho must lie in \[0, 1\], got 1.2"),
        ({"n_units": 1}, "n_units must be at least 2, got 1"),
    ],
)
def test_bad_parameters_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        panel_cp2025(0, **given)
