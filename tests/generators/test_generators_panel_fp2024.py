"""The design of Fuhr & Papies (2024), checked against its own equations."""

import hashlib

import numpy as np
import pytest
from scipy.stats import norm

from causalkit.generators import fp2024_grid, panel_fp2024

STRUCTURES = {"A": (0.0, 0.0), "B": (0.0, 1.0), "C": (1.0, 1.0)}
H = {"linear": lambda x: x, "u-shaped": lambda x: x**2, "step": lambda x: (x > 0).astype(float)}


def cells(data, n_periods):
    """Columns as arrays (units, periods) of a balanced panel; covariates as x1, x2, ..."""
    return {
        name: data.frame[name].to_numpy().reshape(-1, n_periods)
        for name in data.frame.columns
        if name not in ("unit", "time")
    }


def demean(values):
    return values - values.mean(axis=1, keepdims=True)


def ols(y, x, clusters):
    """Least squares and its cluster-robust standard errors, from the normal equations."""
    bread = np.linalg.inv(x.T @ x)
    coef = bread @ (x.T @ y)
    score = x * (y - x @ coef)[:, None]
    sums = np.zeros((clusters.max() + 1, x.shape[1]))
    np.add.at(sums, clusters, score)
    return coef, np.sqrt(np.diag(bread @ (sums.T @ sums) @ bread))


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (0, "a7b0b6c8486041db"),
        (1, "8b7ad8d91a0882a8"),
    ],
)
def test_numbers_of_version_1_do_not_move(seed, digest):
    data = panel_fp2024(seed, n_units=4, n_periods=5)
    head = data.frame[["unit", "time", "y", "d", "x1", "g0"]].head(5).to_numpy(dtype=float)
    # Adding 0 turns -0.0, which rounding makes, into 0.0.
    assert hashlib.sha256((head.round(8) + 0.0).tobytes()).hexdigest()[:16] == digest
    assert panel_fp2024.spec.version == 1


@pytest.mark.parametrize("form", ["linear", "u-shaped", "step"])
def test_confounding_part_is_gamma_times_h(form):
    frame = panel_fp2024(3, form=form, gamma=0.7, n_units=20).frame
    np.testing.assert_allclose(frame["g0"], 0.7 * H[form](frame["x1"].to_numpy()), atol=1e-12)


@pytest.mark.parametrize("structure", ["A", "B", "C"])
def test_variance_within_and_between_units_follows_the_equations(structure):
    n, t, delta = 4000, 5, 1.5
    data = panel_fp2024(
        11, structure=structure, n_units=n, n_periods=t, gamma=0.5, delta=delta, theta=2.0
    )
    v = cells(data, t)
    in_x, in_dy = STRUCTURES[structure]
    parts = {
        "x": (v["x1"], in_x),
        "d": (v["d"] - v["g0"], in_dy),
        "y": (v["y"] - 2.0 * v["d"] - v["g0"], in_dy),
    }
    for part, weight in parts.values():
        within = (demean(part) ** 2).sum() / (n * (t - 1))
        assert abs(within - 1.0) < 5 * np.sqrt(2 / (n * (t - 1)))
        expected = (weight * delta) ** 2 + 1 / t
        assert abs(part.mean(axis=1).var(ddof=1) - expected) < 5 * expected * np.sqrt(2 / n)
    # One heterogeneity for all: covariance of unit means is the product of the loadings.
    means = np.stack([part.mean(axis=1) for part, _ in parts.values()])
    covariance = np.cov(means)
    loading = delta * np.array([in_x, in_dy, in_dy])
    scale = np.sqrt(np.outer(*[loading**2 + 1 / t] * 2))
    off = ~np.eye(3, dtype=bool)
    gap = np.abs(covariance - np.outer(loading, loading))[off]
    assert (gap < 5 * scale[off] * np.sqrt(2 / n)).all()


@pytest.mark.parametrize("form", ["linear", "u-shaped", "step"])
@pytest.mark.parametrize(("structure", "scale"), [("B", 1.0), ("C", 2.0)])
def test_pooled_regression_with_the_true_terms_has_the_derived_limit_bias(structure, scale, form):
    # panel_dml spec 7.1: δ²/(1 + δ²) in (B) and δ²/(1 + 2δ²) in (C), whatever the form.
    delta = 1.2
    data = panel_fp2024(
        5, structure=structure, form=form, n_units=8000, n_periods=3, gamma=0.8, delta=delta
    )
    f = data.frame
    design = [f["d"], np.ones(len(f)), f["x1"]]
    design += [] if form == "linear" else [H[form](f["x1"].to_numpy())]
    coef, se = ols(f["y"].to_numpy(), np.column_stack(design), f["unit"].to_numpy() - 1)
    limit = delta**2 / (1 + scale * delta**2)
    assert abs(coef[0] - 1.0 - limit) < 4 * se[0]


@pytest.mark.parametrize("structure", ["A", "B", "C"])
def test_fixed_effects_with_the_true_confounding_recover_theta(structure):
    t = 10
    data = panel_fp2024(2, structure=structure, n_periods=t, theta=-0.3, gamma=1.0, delta=1.0)
    v = cells(data, t)
    clusters = np.repeat(np.arange(500), t)
    y, d, g0 = (demean(v[name]).ravel() for name in ("y", "d", "g0"))
    oracle, se = ols(y, np.column_stack([d, g0]), clusters)
    assert abs(oracle[0] + 0.3) < 4 * se[0]
    assert abs(oracle[1] - 1.0) < 4 * se[1]
    naive, naive_se = ols(y, d[:, None], clusters)
    assert naive[0] + 0.3 > 10 * naive_se[0]


def test_theta_multiplies_the_treatment_and_changes_nothing_else():
    null, two = (panel_fp2024(4, theta=theta, n_units=30).frame for theta in (0.0, 2.0))
    np.testing.assert_allclose(two["y"] - null["y"], 2.0 * null["d"], atol=1e-12)
    np.testing.assert_array_equal(two[["d", "x1", "g0"]], null[["d", "x1", "g0"]])


def test_strengths_are_standard_normal_draws_when_not_given():
    gammas, deltas = [], []
    for seed in range(50):
        small = {"n_units": 3, "n_periods": 2, "structure": "B", "form": "linear"}
        drawn = panel_fp2024(seed, **small).frame
        gammas.append((drawn["g0"] / drawn["x1"]).iloc[0])
        fixed = {"gamma": 0.0, "theta": 0.0} | small
        y = [panel_fp2024(seed, delta=given, **fixed).frame["y"] for given in (None, 0.0, 1.0)]
        deltas.append(((y[0] - y[1]) / (y[2] - y[1])).iloc[0])
    for drawn in (np.array(gammas), np.array(deltas)):
        assert abs(drawn.mean()) < 4 / np.sqrt(50)
        assert abs(drawn.var() - 1.0) < 4 * np.sqrt(2 / 50)
    assert abs(np.corrcoef(gammas, deltas)[0, 1]) < 4 / np.sqrt(50)


def test_each_of_several_confounders_has_its_own_share():
    gamma = [1.0, -2.0, 0.5]
    f = panel_fp2024(6, n_confounders=3, gamma=gamma, n_units=10).frame
    expected = sum(g / 3 * f[f"x{j + 1}"] ** 2 for j, g in enumerate(gamma))
    np.testing.assert_allclose(f["g0"], expected, atol=1e-12)


def test_random_covariance_is_a_fresh_normal_matrix_applied_to_independent_errors():
    entries = []
    for seed in range(20):
        given = {"structure": "A", "n_confounders": 3, "n_units": 10, "n_periods": 2}
        names = ["x1", "x2", "x3"]
        plain = panel_fp2024(seed, error_covariance="identity", **given).frame[names].to_numpy()
        mixed = panel_fp2024(seed, error_covariance="random", **given).frame[names].to_numpy()
        default = panel_fp2024(seed, **given).frame[names].to_numpy()
        np.testing.assert_array_equal(default, mixed)
        matrix, residual, _, _ = np.linalg.lstsq(plain - plain[0], mixed - mixed[0], rcond=None)
        assert residual.max() < 1e-20
        entries.append(matrix.ravel())
    entries = np.concatenate(entries)
    assert abs(entries.mean()) < 4 / np.sqrt(entries.size)
    assert abs(entries.var() - 1.0) < 4 * np.sqrt(2 / entries.size)


def test_one_confounder_has_unit_variance_unless_random_is_asked_for():
    given = {"structure": "A", "n_units": 200}
    plain, mixed = (
        panel_fp2024(8, error_covariance=kind, **given).frame["x1"] for kind in ("auto", "random")
    )
    assert abs(plain.var() - 1.0) < 4 * np.sqrt(2 / 2000)
    ratio = (mixed - mixed.mean()) / (plain - plain.mean())
    assert ratio.std() < 1e-10
    assert abs(ratio.mean() ** 2 - 1.0) > 0.01


@pytest.mark.parametrize("structure", ["A", "B", "C"])
def test_period_shocks_enter_where_the_unit_level_does(structure):
    given = {"structure": structure, "delta": 0.7, "gamma": 0.0, "theta": 0.0}
    given |= {"n_units": 4, "n_periods": 300}
    without, with_shocks = (
        cells(panel_fp2024(9, time_heterogeneity=on, **given), 300) for on in (False, True)
    )
    in_x, in_dy = STRUCTURES[structure]
    shocks = {name: with_shocks[name] - without[name] for name in ("x1", "d", "y")}
    for name, weight in (("x1", in_x), ("d", in_dy), ("y", in_dy)):
        np.testing.assert_allclose(
            shocks[name], weight * np.tile(shocks["y"][0], (4, 1)), atol=1e-12
        )
    variance = in_dy * 0.7**2
    assert abs(shocks["y"][0].var() - variance) <= 4 * variance * np.sqrt(2 / 300)


@pytest.mark.parametrize("ar", [0.5, 0.9, -0.4])
def test_outcome_errors_are_a_stationary_autoregression(ar):
    n, t = 4000, 6
    data = panel_fp2024(10, structure="A", ar=ar, n_units=n, n_periods=t, theta=0.0, gamma=0.0)
    mu = cells(data, t)["y"]
    mu = mu - mu.mean()
    variance = 1 / (1 - ar**2)
    # In every period, the first included.
    assert np.abs(mu.var(axis=0) / variance - 1).max() < 5 * np.sqrt(2 / n)
    slope = (mu[:, 1:] * mu[:, :-1]).sum() / (mu[:, :-1] ** 2).sum()
    assert abs(slope - ar) < 5 / np.sqrt(n * (t - 1) * variance)
    innovations = mu[:, 1:] - ar * mu[:, :-1]
    assert abs(innovations.var() - 1) < 5 * np.sqrt(2 / innovations.size)


def test_serial_correlation_leaves_treatment_and_covariates_alone():
    a, b = (panel_fp2024(1, ar=ar, n_units=5).frame for ar in (0.0, 0.9))
    np.testing.assert_array_equal(a[["x1", "d"]], b[["x1", "d"]])


def test_no_treatment_noise_leaves_nothing_to_learn_from():
    v = cells(panel_fp2024(1, treatment_sd=0.0, n_units=50), 10)
    np.testing.assert_allclose(demean(v["d"]), demean(v["g0"]), atol=1e-12)
    noisy = cells(panel_fp2024(1, treatment_sd=3.0, structure="A", n_units=500), 10)
    assert abs((noisy["d"] - noisy["g0"]).var() / 9 - 1) < 5 * np.sqrt(2 / 5000)


def test_unbalanced_panel_is_a_subset_of_the_complete_one():
    given = {"n_units": 30, "n_confounders": 2, "time_heterogeneity": True, "ar": 0.5}
    full = panel_fp2024(1, **given).frame
    thin = panel_fp2024(1, missing_share=0.3, late_entry=0.4, **given).frame
    assert len(thin) < 0.75 * len(full)
    matched = thin.merge(full, on=["unit", "time"], suffixes=("", "_full"))
    np.testing.assert_array_equal(
        matched[["y", "d", "x1"]], matched[["y_full", "d_full", "x1_full"]]
    )
    assert len(matched) == len(thin)


def test_one_generator_gives_new_data_at_each_call():
    rng = np.random.default_rng(0)
    first, second = (panel_fp2024(rng, n_units=3).frame["y"] for _ in range(2))
    assert not np.allclose(first, second)


def test_grid_is_every_pair_of_six_normal_quantiles():
    grid = fp2024_grid()
    quantiles = norm.ppf((np.arange(1, 7) - 0.5) / 6)
    np.testing.assert_allclose(grid, [(g, d) for g in quantiles for d in quantiles], atol=1e-14)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"structure": "D"}, "unknown structure 'D'.* Known: A, B, C"),
        ({"form": "ushaped"}, "Did you mean 'u-shaped'"),
        ({"error_covariance": "wishart"}, "Known: auto, identity, random"),
        ({"ar": 1.0}, "ar must lie strictly between -1 and 1, got 1.0"),
        ({"n_units": 1}, "n_units must be at least 2, got 1"),
        ({"n_periods": 1}, "n_periods must be at least 2, got 1"),
        ({"n_confounders": 0}, "n_confounders must be at least 1, got 0"),
        (
            {"n_confounders": 3, "gamma": [1.0, 2.0]},
            "gamma has 2 values; give one, or one for each",
        ),
        ({"n_units": 2.5}, "n_units must be a whole number"),
    ],
)
def test_bad_parameters_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        panel_fp2024(0, **given)
