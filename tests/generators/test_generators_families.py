"""Instruments, doses, arms and real covariates: truths by brute force, and what biases whom."""

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError

G = ck.generators
N = 200_000


def slope(y, *columns):
    """Coefficient of the first column in least squares with a constant."""
    x = np.column_stack([*columns, np.ones(len(y))])
    return np.linalg.lstsq(x, y, rcond=None)[0][0]


def left_of(frame, names):
    """Residuals of columns after least squares on the covariates, the constant included."""
    x = np.column_stack([frame["l1"], frame["l2"], np.ones(len(frame))])
    y = frame[names].to_numpy()
    return (y - x @ np.linalg.lstsq(x, y, rcond=None)[0]).T


def two_stage(frame):
    """Two-stage least squares with covariates."""
    y, a, z = left_of(frame, ["y", "a", "z"])
    return (y @ z) / (a @ z)


def covariance_ratio(frame):
    """[C₁ − C₀]/[V₁ − V₀] given L: what identifies the effect in invalid-instrument designs."""
    moments = []
    for z in (0, 1):
        y, a = left_of(frame[frame["z"] == z], ["y", "a"])
        moments.append((np.mean(a * y), np.mean(a * a)))
    (c0, v0), (c1, v1) = moments
    return (c1 - c0) / (v1 - v0)


def test_two_stage_least_squares_and_adjustment_are_biased_by_an_invalid_instrument():
    frame = G.invalid_iv(1, n=N, effect="constant").frame
    assert abs(two_stage(frame) - 1.0) > 1.0
    adjusted = slope(frame["y"], frame["a"], frame["z"], frame["l1"], frame["l2"])
    assert adjusted - 1.0 > 0.1


def test_the_variance_of_the_exposure_identifies_what_its_mean_does_not():
    design = {"n": 2_000_000, "effect": "constant", "exposure": "continuous"}
    assert covariance_ratio(G.invalid_iv(2, **design).frame) == pytest.approx(1.0, abs=0.05)
    broken = covariance_ratio(G.invalid_iv(2, **design, interaction=1.0).frame)
    assert abs(broken - 1.0) > 0.05


def test_without_direct_effect_and_confounding_the_usual_estimators_are_right():
    frame = G.invalid_iv(3, n=N, direct=0.0, confounding=0.0, effect="constant").frame
    assert two_stage(frame) == pytest.approx(1.0, abs=0.05)
    assert slope(frame["y"], frame["a"], frame["l1"], frame["l2"]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("nuisance", ["linear", "nonlinear", "sparse"])
def test_exposure_shares_are_those_of_the_truth(nuisance):
    data = G.invalid_iv(4, n=N, p=6, nuisance=nuisance)
    share, a = data.truth.propensity, data.frame["a"].to_numpy()
    assert share.min() >= 0.0
    assert share.max() <= 1.0
    for low, high in ((0.0, 0.1), (0.1, 0.2), (0.45, 0.5), (0.5, 0.55)):
        rows = (share >= low) & (share < high)
        if rows.sum() > 1000:
            spread = 4 * np.sqrt(0.25 / rows.sum())
            assert a[rows].mean() == pytest.approx(share[rows].mean(), abs=spread)


def test_weak_one_sided_null_and_no_overlap_are_what_they_say():
    weak = G.invalid_iv(5, n=N, weak=1.0).frame.groupby("z")["a"].var()
    assert weak[0] == pytest.approx(weak[1], abs=0.005)
    one_sided = G.invalid_iv(5, n=N, one_sided=True).frame
    assert one_sided.loc[one_sided["z"] == 0, "a"].eq(0).all()
    null = G.invalid_iv(5, effect="null").truth
    assert null.estimands["ate"] == 0.0
    assert not null.cate.any()
    frame = G.invalid_iv(5, n=N, overlap=False).frame
    assert frame.loc[frame["l1"] > 1, "z"].eq(1).all()
    assert frame.loc[frame["l1"] < -1, "z"].eq(0).all()


@pytest.mark.parametrize(
    ("valid", "least", "most"),
    [("all", 10, 10), ("majority", 6, 9), ("plurality", 2, 4), ("none", 0, 0)],
)
def test_ratios_of_valid_instruments_are_the_effect(valid, least, most):
    data = G.iv_many(6, n=400_000, valid=valid, theta=1.5)
    frame, mask = data.frame, data.truth.valid_instruments
    assert least <= mask.sum() <= most
    names = [f"z{j + 1}" for j in range(10)]
    z = frame[names].to_numpy()
    ratios = [slope(frame["y"], c) / slope(frame["a"], c) for c in z.T]
    assert np.allclose(np.array(ratios)[mask], 1.5, atol=0.06)
    invalid = np.sort(np.array(ratios)[~mask])
    assert (np.abs(invalid - 1.5) > 0.3).all()
    assert (np.diff(invalid) > 0.3).all()


def test_many_weak_instruments_stay_weak_and_noise_can_depend_on_them():
    strengths = [
        slope(frame["a"], frame["z1"]) * np.sqrt(n)
        for n in (20_000, 500_000)
        for frame in [G.iv_many(7, n=n, many_weak=True).frame]
    ]
    assert strengths[0] == pytest.approx(strengths[1], rel=0.4)
    frame = G.iv_many(7, n=N, heteroskedastic=True, valid="all").frame
    error = frame["y"] - frame["a"]
    loud = np.abs(frame["z1"]) > 1.5
    assert error[loud].var() > 2 * error[~loud].var()


def test_the_dose_curve_is_the_mean_over_covariates():
    rng = np.random.default_rng(8)
    x = rng.random((1_000_000, 6))
    slope_of_units = (
        4 * np.maximum(x[:, 0], x[:, 5]) ** 3 / (1 + 2 * x[:, 2] ** 2) * np.sin(x[:, 3])
    )
    response = G.dose_synthetic(0, n=10, h=2.0).truth.dose_response
    for dose in (0.0, 0.5, 1.1, 2.0):
        outcomes = np.cos(2 * np.pi * (dose / 2 - 0.5)) * ((dose / 2) ** 2 + slope_of_units)
        error = outcomes.std() / 1000
        assert response(dose) == pytest.approx(outcomes.mean(), abs=4 * error + 1e-12)


def test_doses_confound_and_the_null_curve_is_flat():
    frame = G.dose_synthetic(9, n=50_000).frame
    near = frame[np.abs(frame["t"] - 0.3) < 0.01]
    assert abs(near["y"].mean() - G.dose_synthetic(9).truth.estimands["E[Y(0.3)]"]) > 0.03
    null = G.dose_synthetic(9, effect=0.0).truth
    assert set(null.estimands.values()) == {0.0}
    assert null.dose_response(0.4) == 0.0


def test_without_overlap_the_dose_is_a_function_of_the_covariates():
    one, two = (G.dose_synthetic(seed, n=300, overlap=False).frame for seed in (1, 1))
    assert one.equals(two)
    full = G.dose_synthetic(1, n=300).frame
    assert full["t"].between(0.05, 0.95).mean() > one["t"].between(0.05, 0.95).mean()


def test_arms_differ_by_what_the_truth_says_once_selection_is_gone():
    data = G.multi_arm(10, n=N, selection=0.0)
    means = data.frame.groupby("t")["y"].mean()
    for arm in (1, 2):
        true = data.truth.estimands[f"ate[t={arm}]"]
        assert means[arm] - means[0] == pytest.approx(true, abs=0.04)
        assert data.truth.cate[:, arm - 1].mean() == pytest.approx(true, abs=0.04)
    selected = G.multi_arm(10, n=N).frame.groupby("t")["y"].mean()
    assert abs(selected[1] - selected[0] - 1.0) > 0.1
    assert set(G.multi_arm(10, effect=0.0).truth.estimands.values()) == {0.0}
    certain = G.multi_arm(10, overlap=False).frame
    assert (certain[["x1", "x2", "x3"]].to_numpy().argmax(axis=1) == certain["t"]).all()


def test_dosage_outcomes_are_the_surfaces_and_nothing_matters_under_the_null():
    data = G.dosage(11, n=3000, noise_sd=0.0, selection=0.0)
    frame = data.frame
    near = frame[(frame["arm"] == 2) & (np.abs(frame["dose"] - 0.5) < 0.05)]
    told = data.truth.dose_response(2, 0.5)
    assert near["y"].mean() == pytest.approx(told, rel=0.03)
    null = G.dosage(11, effect=0.0).truth.dose_response
    assert null(0, 0.1) == null(1, 0.7) == null(2, 0.9)


@pytest.mark.parametrize("surface", ["A", "B"])
def test_infants_of_the_trial_have_the_published_effect(surface):
    pytest.importorskip("econml")
    data = G.ihdp(12, surface=surface, noise_sd=0.0)
    frame, truth = data.frame, data.truth
    assert (len(frame), int(frame["d"].sum()), len(data.roles.covariates)) == (747, 139, 25)
    assert truth.estimands["att"] == pytest.approx(4.0, abs=1e-10)
    treated = frame["d"] == 1
    assert np.allclose(frame.loc[treated, "y"], truth.mu1[treated])
    assert np.allclose(frame.loc[~treated, "y"], truth.mu0[~treated])
    assert (
        truth.cate.std() == pytest.approx(0.0, abs=1e-9)
        if surface == "A"
        else truth.cate.std() > 0.01
    )
    null = G.ihdp(12, surface=surface, null=True).truth
    assert not null.cate.any()
    older = G.ihdp(12, surface=surface, overlap=False).frame
    assert older.loc[older["d"] == 1, "momage"].min() > older.loc[older["d"] == 0, "momage"].max()


def test_men_who_earned_least_are_treated_so_that_means_mislead():
    pytest.importorskip("causaldata")
    data = G.nsw_style(13, n=N)
    means = data.frame.groupby("d")["y"].mean()
    assert means[1] - means[0] < data.truth.estimands["att"] - 0.5
    trial = G.nsw_style(13, n=N, selection=0.0)
    means = trial.frame.groupby("d")["y"].mean()
    assert means[1] - means[0] == pytest.approx(trial.truth.estimands["ate"], abs=0.1)
    assert G.nsw_style(13, effect=0.0).truth.estimands == {"ate": 0.0, "att": 0.0}
    certain = G.nsw_style(13, overlap=False)
    assert set(np.unique(certain.truth.propensity)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: G.invalid_iv(0, weak=2.0), r"weak must lie in \[0, 1\], got 2"),
        (lambda: G.invalid_iv(0, effect="quadratic"), "unknown effect"),
        (lambda: G.invalid_iv(0, p=3, nuisance="sparse"), "p must be at least 5"),
        (lambda: G.invalid_iv(0, exposure="continuous", one_sided=True), "one_sided needs"),
        (lambda: G.iv_many(0, n_instruments=3, valid="plurality"), "at least 5"),
        (lambda: G.dose_synthetic(0, h=0.0), "h must be positive"),
        (lambda: G.multi_arm(0, n_arms=4, p=2), "p must be at least 4"),
        (lambda: G.dosage(0, dose_selection=0.5), "dose_selection must be at least 1"),
        (lambda: G.ihdp(0, surface="C"), "unknown surface"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
