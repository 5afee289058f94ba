"""Omitted-variable bounds, against DoubleML and numerical derivatives."""

import numpy as np
import pandas as pd
import pytest
from doubleml import DoubleMLData, DoubleMLPLR
from doubleml.utils import DMLDummyRegressor
from sklearn.linear_model import LinearRegression

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.sensitivity import (
    benchmark_gains,
    interactive_nu2,
    omitted_variable_bounds,
)
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.scores import LinearScore, aipw, iv_type, partialling_out


def partialled(y, d, outcome, treatment):
    """Robinson score of given predictions."""
    return partialling_out(y[:, None] - outcome, (d[:, None] - treatment)[:, :, None])


SETTING = {"cf_y": 0.05, "cf_d": 0.1, "rho": 0.8, "level": 0.9}


def draw(n_clusters=40, rows=5, n_rep=3, seed=1):
    """Skewed errors, so that the estimate and the largest bias are correlated."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_clusters), rows)
    x = rng.standard_normal((codes.size, 3))
    shock = rng.standard_normal(n_clusters)[codes]
    d = x[:, 0] + shock + rng.exponential(size=codes.size)
    y = 0.4 * d + x[:, 0] - x[:, 1] + shock + rng.exponential(size=codes.size)
    outcome = np.stack([x @ [1.3, -1.0, 0.1 * s] for s in range(n_rep)], axis=1)
    treatment = np.stack([x @ [1.0, 0.0, 0.2 * s] for s in range(n_rep)], axis=1) + 0.9
    return y, d, x, codes, outcome, treatment


def doubleml(y, d, x, codes, hats, *, score="partialling out"):
    """The peer's fit on given predictions, clustered if there are codes."""
    frame = pd.DataFrame(x, columns=list("abc")).assign(y=y, d=d)
    cluster = {}
    if codes is not None:
        frame, cluster = frame.assign(g=codes), {"cluster_cols": "g"}
    data = DoubleMLData(frame, "y", "d", x_cols=list("abc"), **cluster)
    dummy = DMLDummyRegressor()
    more = {"ml_g": dummy} if "ml_g" in hats else {}
    n_rep = hats["ml_m"].shape[1]
    peer = DoubleMLPLR(data, dummy, dummy, n_folds=4, n_rep=n_rep, score=score, **more)
    return peer.fit(external_predictions={"d": hats})


def bounds(score, clusters=(), *, flip=False, **setting):
    """Ours; ``flip`` turns the sign of the estimate's influence, as DoubleML has it."""
    solutions = solve_linear(score)
    theta = np.array([solution.theta[0] for solution in solutions])
    influence = np.column_stack([solution.influence for solution in solutions])
    d_res = score.instrument[:, :, 0]
    y_res = score.response - theta * (score.regressor[:, :, 0] - d_res)
    known = {"ssc": "none", "clusters": clusters} | SETTING | setting
    return omitted_variable_bounds(y_res, d_res, theta, -influence if flip else influence, **known)


@pytest.mark.parametrize("clustered", [False, True])
def test_bounds_and_limits_are_those_of_doubleml_up_to_its_sign(clustered):
    # DoubleML 0.11 adds the influence of the bias to *minus* that of the estimate, because its
    # score has a negative derivative; so its two standard errors change places. See the next test.
    y, d, x, codes, outcome, treatment = draw()
    given = {"ml_l": outcome, "ml_m": treatment}
    peer = doubleml(y, d, x, codes if clustered else None, given)
    peer.sensitivity_analysis(**SETTING, null_hypothesis=0.1)
    theirs = peer.sensitivity_params
    score = partialled(y, d, outcome, treatment)
    ours = bounds(score, [codes] if clustered else [], flip=True, null=0.1)
    assert ours.estimate == pytest.approx(peer.coef[0], rel=1e-10)
    assert ours.low == pytest.approx(theirs["theta"]["lower"][0], rel=1e-9)
    assert ours.high == pytest.approx(theirs["theta"]["upper"][0], rel=1e-9)
    assert ours.conf_low == pytest.approx(theirs["ci"]["lower"][0], rel=1e-9)
    assert ours.conf_high == pytest.approx(theirs["ci"]["upper"][0], rel=1e-9)
    # Their robustness values come from a bounded minimiser of limited precision.
    assert ours.robustness_value == pytest.approx(theirs["rv"][0], abs=1e-4)
    assert ours.robustness_value_ci == pytest.approx(theirs["rva"][0], abs=1e-4)


@pytest.mark.parametrize("clustered", [False, True])
def test_limits_have_the_sampling_error_of_the_bounds(clustered):
    # Infinitesimal jackknife: derivatives of the bounds in row weights, by finite differences.
    y, d, _, codes, outcome, treatment = draw(n_clusters=15, rows=3, n_rep=1)
    score = partialled(y, d, outcome, treatment)
    u, v = score.response[:, 0], score.regressor[:, 0, 0]
    strength = 0.8 * np.sqrt(0.05 * 0.1 / 0.9)

    def both(w):
        theta = (w * v) @ u / (w @ v**2)
        bias = strength * np.sqrt((w @ (u - theta * v) ** 2) / (w @ v**2))
        return np.array([theta - bias, theta + bias])

    step = 1e-6 * np.eye(len(y))
    slopes = np.array([(both(1 + row) - both(1 - row)) / 2e-6 for row in step])
    clusters = [codes] if clustered else []
    errors = np.sqrt(np.diag(sandwich(len(y) * slopes, clusters, ssc="none")))
    ours = bounds(score, clusters)
    quantile = 1.2815515655446004  # One-sided 90 % of the normal.
    assert (ours.low - ours.conf_low) / quantile == pytest.approx(errors[0], rel=1e-6)
    assert (ours.conf_high - ours.high) / quantile == pytest.approx(errors[1], rel=1e-6)
    # The sign matters: the two errors differ.
    assert abs(errors[0] / errors[1] - 1) > 0.005


def test_iv_type_bounds_are_those_of_doubleml():
    y, d, x, _, outcome, treatment = draw(n_rep=1)
    g = outcome - 0.4 * treatment
    given = {"ml_l": outcome, "ml_m": treatment, "ml_g": g}
    peer = doubleml(y, d, x, None, given, score="IV-type")
    peer.sensitivity_analysis(**SETTING)
    residual = (d[:, None] - treatment)[:, :, None]
    ours = bounds(iv_type(y[:, None] - g, d[:, None, None], treatment_residual=residual), flip=True)
    assert ours.low == pytest.approx(peer.sensitivity_params["theta"]["lower"][0], rel=1e-9)
    assert ours.conf_high == pytest.approx(peer.sensitivity_params["ci"]["upper"][0], rel=1e-9)


def score_of(**arguments):
    y, d, _, codes, outcome, treatment = draw(**arguments)
    return partialled(y, d, outcome, treatment), codes


@pytest.mark.parametrize("null", [0.1, 3.0])
def test_robustness_values_bring_bound_and_limit_to_the_null(null):
    score, codes = score_of()
    found = bounds(score, [codes], null=null)
    side = ("low", "conf_low") if null < found.estimate else ("high", "conf_high")
    for share, end in zip((found.robustness_value, found.robustness_value_ci), side, strict=True):
        there = bounds(score, [codes], null=null, cf_y=share, cf_d=share)
        assert getattr(there, end) == pytest.approx(null, abs=1e-8)


def test_robustness_value_of_one_repeat_solves_a_quadratic():
    # |θ̂ − θ₀| = ρ B v/√(1 − v) gives v = (√(s⁴ + 4s²) − s²)/2 with s = |θ̂ − θ₀|/(ρB).
    score, _ = score_of(n_rep=1)
    found = bounds(score)
    s = found.estimate / (0.8 * np.sqrt(found.sigma2 * found.nu2))
    assert found.robustness_value == pytest.approx((np.sqrt(s**4 + 4 * s**2) - s**2) / 2)


def test_without_confounding_the_limits_are_the_confidence_interval():
    score, codes = score_of(n_rep=1)
    solution = solve_linear(score)[0]
    longest = "G/(G-1)*(n-1)/(n-k)"
    found = bounds(score, [codes], cf_y=0.0, ssc=longest)
    error = np.sqrt(sandwich(solution.influence, [codes], ssc=longest)[0, 0])
    assert found.low == found.high == found.estimate == pytest.approx(solution.theta[0])
    assert found.conf_low == pytest.approx(found.estimate - 1.2815515655446004 * error)
    wider = bounds(score, [codes], cf_y=0.0, ssc=longest, df=39)
    assert wider.conf_high == pytest.approx(found.estimate + 1.303638588621133 * error)


def test_null_inside_the_limit_needs_no_confounder():
    score, codes = score_of()
    found = bounds(score, [codes])
    near = bounds(score, [codes], null=found.estimate - 0.01)
    assert near.robustness_value_ci == 0.0
    assert near.robustness_value > 0.0
    assert bounds(score, [codes], null=found.estimate).robustness_value == 0.0


def test_a_harmless_correlation_can_explain_nothing_away():
    score, codes = score_of()
    found = bounds(score, [codes], rho=0.0)
    assert found.robustness_value == 1.0
    assert found.low == found.high


def test_weights_are_repeated_rows():
    score, codes = score_of(n_rep=1)
    times = np.random.default_rng(0).integers(1, 4, codes.size)
    rows = np.repeat(np.arange(codes.size), times)
    weighted = solve_linear(score, weights=times.astype(float))[0]
    ours = omitted_variable_bounds(
        score.response,
        score.regressor[:, :, 0],
        weighted.theta,
        weighted.influence,
        clusters=[codes],
        weights=times.astype(float),
        multiplicity=times,
        **SETTING,
    )
    repeated = partialling_out(score.response[rows], score.regressor[rows])
    theirs = bounds(repeated, [codes[rows]], ssc="G/(G-1)")
    for name in ("estimate", "low", "conf_low", "conf_high", "sigma2", "nu2"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9)


def test_bounds_on_a_grid_are_the_bounds_at_each_point():
    score, codes = score_of()
    found = bounds(score, [codes])
    cf_y, cf_d = np.array([0.0, 0.05, 0.2]), np.array([0.1, 0.3])
    low, high = found.bounds(cf_y[:, None], cf_d[None, :])
    assert low.shape == (3, 2)
    assert (low[1, 0], high[1, 0]) == (found.low, found.high)
    there = bounds(score, [codes], cf_y=0.2, cf_d=0.3)
    assert (low[2, 1], high[2, 1]) == (there.low, there.high)


def test_benchmark_is_that_of_doubleml():
    y, d, x, _, _, _ = draw()
    frame = pd.DataFrame(x, columns=list("abc")).assign(y=y, d=d)
    np.random.seed(3)  # noqa: NPY002 - the peer has no other door to its random splits
    linear = LinearRegression()
    peer = DoubleMLPLR(DoubleMLData(frame, "y", "d"), linear, linear, n_folds=2, n_rep=2).fit()
    theirs = peer.sensitivity_benchmark(["a"]).iloc[0]
    found = []
    for columns in ([0, 1, 2], [1, 2]):
        hats = np.empty((2, len(y), 2))
        for repeat, folds in enumerate(peer.smpls):
            for train, test in folds:
                for target, hat in zip((y, d), hats, strict=True):
                    model = LinearRegression().fit(x[train][:, columns], target[train])
                    hat[test, repeat] = model.predict(x[test][:, columns])
        elements = bounds(partialled(y, d, *hats)).confounding
        found += [elements.sigma2, elements.nu2, elements.theta]
    ours = benchmark_gains(*found)
    assert ours["cf_y"] == pytest.approx(theirs["cf_y"], rel=1e-8)
    assert ours["cf_d"] == pytest.approx(theirs["cf_d"], rel=1e-8)
    assert ours["rho"] == pytest.approx(theirs["rho"], rel=1e-8)
    assert ours["change"] == pytest.approx(theirs["delta_theta"], rel=1e-8)


def test_a_covariate_that_explains_nothing_has_no_strength():
    gains = benchmark_gains(1.0, 2.0, 0.5, 0.9, 2.1, 0.6)
    assert (gains["cf_y"], gains["cf_d"]) == (0.0, 0.0)
    assert gains["rho"] == 1.0


def test_the_record_says_what_it_takes():
    score, codes = score_of()
    text = str(bounds(score, [codes]))
    assert "explains 5.0% of the residual variance of the outcome and 10.0%" in text
    assert "90 % one-sided limits" in text


def test_means_over_repeats_are_means_of_the_bounds_of_each():
    y, d, _, codes, outcome, treatment = draw()
    outcome[:, 2] += 0.8 * d  # One repeat far off, which a median would not notice.
    score = partialled(y, d, outcome, treatment)
    found = bounds(score, [codes], aggregation="mean", df=39)
    each = [
        bounds(
            LinearScore(score.instrument[:, [s]], score.regressor[:, [s]], score.response[:, [s]]),
            [codes],
            df=39,
        )
        for s in range(3)
    ]
    for name in ("estimate", "low", "high", "conf_low", "conf_high", "sigma2", "nu2"):
        assert getattr(found, name) == pytest.approx(np.mean([getattr(e, name) for e in each]))
    assert found.estimate != pytest.approx(bounds(score, [codes]).estimate, abs=0.05)
    grid = found.bounds(np.array([0.05]), np.array([0.1]))
    assert (grid[0][0], grid[1][0]) == (pytest.approx(found.low), pytest.approx(found.high))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"cf_y": "a"}, "cf_y must be one number, got str 'a'"),
        ({"cf_d": np.array([0.1, 0.2])}, r"cf_d must be one number, got ndarray of shape \(2,\)"),
        ({"rho": [1.0]}, r"rho must be one number, got list \[1.0\]"),
        ({"rho": None}, "rho must be one number, got NoneType None"),
        ({"null": float("nan")}, "null must be a finite number, got nan"),
        ({"null": True}, "null must be one number, got bool True"),
        ({"level": "0.9"}, "confidence level must be one number, got str"),
        ({"aggregation": "median of"}, "unknown aggregation 'median of'"),
    ],
)
def test_what_is_no_number_is_named(setting, words):
    score, codes = score_of()
    with pytest.raises(ArgumentError, match=words):
        bounds(score, [codes], **setting)


def test_out_of_range_strengths_are_named():
    score, codes = score_of()
    with pytest.raises(ArgumentError, match=r"cf_d is a share of variance in \[0, 1\), got 1\.0"):
        bounds(score, [codes], cf_d=1.0)
    with pytest.raises(ArgumentError, match=r"cf_y is a share .* got -0\.1"):
        bounds(score, [codes], cf_y=-0.1)
    with pytest.raises(ArgumentError, match=r"rho is a correlation in \[-1, 1\], got 2"):
        bounds(score, [codes], rho=2)
    with pytest.raises(ArgumentError, match="confidence level must lie"):
        bounds(score, [codes], level=95)


def test_interactive_bounds_reach_the_estimate_with_the_confounder_at_its_own_strength():
    # With means of cells for nuisances, theorem 1 of Chernozhukov et al. (2022) is an identity.
    rng = np.random.default_rng(0)
    x, u = rng.integers(0, 3, 3000), rng.integers(0, 2, 3000)
    d = (rng.random(3000) < 0.3 + 0.1 * x + 0.2 * u).astype(float)
    y = d + x + 1.5 * u + 0.5 * d * u + rng.normal(size=3000)

    def fitted(cells):
        means = pd.DataFrame({"d": d, "y": y, "cell": cells}).groupby(["cell", "d"])["y"].mean()
        mu0, mu1 = (means.xs(arm, level="d").reindex(cells).to_numpy() for arm in (0.0, 1.0))
        chance = pd.Series(d).groupby(cells).transform("mean").to_numpy()
        shape = {"mu0": mu0[:, None], "mu1": mu1[:, None], "propensity": chance[:, None]}
        outcome = np.where(d == 1, mu1, mu0)
        return aipw(y, d, **shape), outcome, np.where(d == 1, 1 / chance, -1 / (1 - chance)), chance

    def at(case, **strength):
        score, outcome, _, chance = case
        solution, left = solve_linear(score)[0], (y - outcome)[:, None]
        parts = interactive_nu2(d, chance[:, None])
        return omitted_variable_bounds(
            left, 0 * left, solution.theta, solution.influence, nu2_parts=parts, **strength
        )

    short, long = fitted(x), fitted(2 * x + u)
    gains = (at(short).sigma2 - at(long).sigma2) / at(short).sigma2
    cf_d = 1 - at(short).nu2 / at(long).nu2
    rho = np.corrcoef(long[1] - short[1], long[2] - short[2])[0, 1]
    found = at(short, cf_y=gains, cf_d=cf_d, rho=rho)
    assert abs(found.estimate - at(long).estimate) > 0.2
    assert found.low == pytest.approx(at(long).estimate, rel=1e-10)
    assert found.nu2 == pytest.approx((short[2] ** 2).mean())


def test_propensities_far_from_the_shares_treated_are_refused():
    ones = np.ones((4, 1))
    with pytest.raises(IdentificationError, match="too far from the shares treated"):
        omitted_variable_bounds(
            ones, 0 * ones, np.ones(1), ones, nu2_parts=interactive_nu2(np.ones(4), 0.05 * ones)
        )
