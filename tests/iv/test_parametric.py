"""Parametric multiply robust estimation: one system that is right under each sufficient set."""

from dataclasses import replace

import iv_designs as designs
import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import expit

import causalkit as ck
from causalkit.inference.variance import sandwich
from causalkit.iv.parametric import Data, fit_parametric

PLAIN = {"method": "parametric", "ssc": "none", "random_state": 0}


def limit(wrong, target="ate"):
    """What the estimate converges to: the fit to the exact population."""
    *rows, w = designs.population()
    data = designs.arrays(rows, w / w.mean())
    fit = fit_parametric(data, designs.terms(*rows[:2], wrong), targets=(target,))
    return float(fit.solutions[target].theta[0])


def truth_of(target):
    l1, l2, _, a, _, w = designs.population()
    who = {"ate": np.ones(a.size), "att": a, "atc": 1.0 - a}[target]
    return float(np.average(designs.truth_at(l1, l2).beta, weights=w * who))


@pytest.mark.parametrize("target", ["ate", "att", "atc"])
@pytest.mark.parametrize("wrong", designs.INSIDE.values(), ids=designs.INSIDE.keys())
def test_the_limit_is_the_effect_under_each_sufficient_set_alone(wrong, target):
    assert limit(wrong, target) == pytest.approx(truth_of(target), abs=1e-9)


@pytest.mark.parametrize("wrong", designs.OUTSIDE.values(), ids=designs.OUTSIDE.keys())
def test_the_limit_is_another_number_outside_the_union(wrong):
    # Exact limits: the smallest of these biases is a million times what the test above allows.
    assert abs(limit(wrong) - designs.ATE) > 1e-3


def test_with_every_model_wrong_the_bias_is_large():
    assert abs(limit("pmobr") - designs.ATE) > 0.1


@pytest.mark.parametrize("wrong", ["mr", "po", "pm"], ids=["M2", "M3", "M4"])
def test_one_coefficient_of_the_effect_is_right_where_its_model_is(wrong):
    *rows, w = designs.population()
    fit = fit_parametric(
        designs.arrays(rows, w / w.mean()), designs.terms(*rows[:2], wrong), targets=()
    )
    np.testing.assert_allclose(fit.psi.theta, [1.0, 0.5, 0.0], atol=1e-9)


def simulate(wrong, *, n, n_sim, seed):
    rng = np.random.default_rng(seed)
    found = np.empty((n_sim, 2))
    for k in range(n_sim):
        rows = designs.draw(rng, n)
        fit = fit_parametric(designs.arrays(rows), designs.terms(*rows[:2], wrong))
        solution = fit.solutions["ate"]
        variance = sandwich(solution.influence, ssc="none")[0, 0]
        found[k] = solution.theta[0], np.sqrt(variance)
    return found.T


@pytest.mark.slow
@pytest.mark.parametrize("wrong", designs.INSIDE.values(), ids=designs.INSIDE.keys())
def test_bias_and_standard_error_under_each_sufficient_set_alone(wrong):
    # A1 and A4. Bias beyond 4 Monte-Carlo errors has a chance of 6e-5. The ratio of standard
    # errors has a Monte-Carlo error of 1/sqrt(2 * 1500) = 1.8 %, so that [.95, 1.05] is left by
    # chance once in 160.
    estimate, std_error = simulate(wrong, n=8000, n_sim=1500, seed=20260901)
    spread = estimate.std(ddof=1)
    assert abs(estimate.mean() - designs.ATE) < 4.0 * spread / np.sqrt(estimate.size)
    assert 0.95 < np.sqrt(np.mean(std_error**2)) / spread < 1.05


@pytest.mark.slow
def test_outside_the_union_the_bias_exceeds_eight_monte_carlo_errors():
    estimate, _ = simulate("pmobr", n=8000, n_sim=300, seed=20260902)
    bias = estimate.mean() - designs.ATE
    assert abs(bias) > 8.0 * estimate.std(ddof=1) / np.sqrt(estimate.size)
    assert bias == pytest.approx(limit("pmobr") - designs.ATE, abs=0.03)


def perturbed(data, terms, row, step, **options):
    w = data.w.copy()
    w[row] += step
    return fit_parametric(replace(data, w=w), terms, **options)


@pytest.mark.parametrize("wrong", ["", "mo", "pbr"])
@pytest.mark.parametrize("kind", ["binary", "continuous", "clipped", "trimmed"])
def test_influence_values_are_derivatives_in_the_row_weights(kind, wrong):
    # The infinitesimal jackknife: the whole chain of nuisance parameters is inside.
    l1, l2, z, a, y = designs.draw(np.random.default_rng(6), 500)
    options = {"targets": ("ate", "att", "atc")}
    if kind == "continuous":
        a = 1.0 + 0.5 * l2 + (1.0 + 0.8 * z) * np.random.default_rng(7).standard_normal(l1.size)
        y = a * (1.0 + 0.5 * l1) + 0.7 * z + a**2 / 20.0
        options = {"targets": ("ate",)}
    if kind == "clipped":
        options["clip"] = 0.4
    if kind == "trimmed":
        options["least_delta_v"] = 0.1
    weight = np.random.default_rng(8).uniform(0.5, 1.5, l1.size)
    data = Data(y, a, z, weight / weight.mean(), binary=kind != "continuous")
    terms = designs.terms(l1, l2, wrong)
    fit = fit_parametric(data, terms, **options)
    for row in (0, 17, 321):
        up, down = (perturbed(data, terms, row, step, **options) for step in (1e-4, -1e-4))
        for target, solution in fit.solutions.items():
            slope = (up.solutions[target].theta - down.solutions[target].theta) / 2e-4
            expected = solution.influence[row] / (data.w[row] * l1.size)
            np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-8, err_msg=target)
        slope = (up.psi.theta - down.psi.theta) / 2e-4
        expected = fit.psi.influence[row] / (data.w[row] * l1.size)
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-8)


def genius(l1, l2, z, a, y):
    """GENIUS with a constant effect in closed form, by a solver that shares no code with ours.

    Σ (Z − π)(A − μ_Z)(Y − ψA − ω_Z) = 0 with ω_Z the least-squares regression of Y − ψA on
    (1, L, Z, ZL), which is that of Y less ψ times that of A.
    """

    def logistic(target, x):
        return expit(x @ root(lambda c: x.T @ (target - expit(x @ c)), np.zeros(x.shape[1])).x)

    def left(target, x):
        return target - x @ np.linalg.lstsq(x, target, rcond=None)[0]

    x = np.column_stack([np.ones_like(l1), l1, l2])
    crossed = np.hstack([x, z[:, None] * x])
    weight = (z - logistic(z, x)) * (a - logistic(a, crossed))
    return (weight @ left(y, crossed)) / (weight @ left(a, crossed))


def test_a_constant_effect_with_linear_nuisances_is_genius_in_closed_form():
    # A8.
    sample = designs.draw(np.random.default_rng(9), 800)
    fit = ck.InvalidIV(**PLAIN).fit(designs.as_data(*sample))
    found = fit.estimate("variance-weighted")
    assert found.estimate == pytest.approx(genius(*sample), rel=1e-8)
    assert found.estimate != pytest.approx(fit.estimate("ate").estimate, rel=1e-3)
    constant = ck.InvalidIV(**PLAIN, effect_terms=()).fit(designs.as_data(*sample))
    weighted = constant.fit_.fitted.hats.beta
    np.testing.assert_allclose(weighted, found.estimate, rtol=1e-8)


def test_frequency_weights_equal_repeated_rows():
    sample = designs.draw(np.random.default_rng(10), 900)
    times = np.random.default_rng(11).integers(0, 4, 900)
    counted = designs.as_data(*sample, weights=times, weight_kind="frequency")
    repeated = designs.as_data(*(np.repeat(column, times) for column in sample))
    one, other = (ck.InvalidIV(method="parametric").fit(data) for data in (counted, repeated))
    for estimand in ("ate", "att", "variance-weighted"):
        left, right = one.estimate(estimand), other.estimate(estimand)
        assert left.estimate == pytest.approx(right.estimate, rel=1e-9)
        assert left.std_error == pytest.approx(right.std_error, rel=1e-9)
    assert one.strength().variance_f.test.statistic == pytest.approx(
        other.strength().variance_f.test.statistic, rel=1e-9
    )


def test_the_scale_of_sampling_weights_does_not_matter():
    sample = designs.draw(np.random.default_rng(12), 900)
    weights = np.random.default_rng(13).uniform(0.2, 3.0, 900)
    one, other = (
        ck.InvalidIV(method="parametric")
        .fit(designs.as_data(*sample, weights=scale * weights, weight_kind="sampling"))
        .result_
        for scale in (1.0, 50.0)
    )
    assert one.estimate == pytest.approx(other.estimate, rel=1e-9)
    assert one.std_error == pytest.approx(other.std_error, rel=1e-9)


def test_clusters_sum_the_stacked_influence_values():
    sample = designs.draw(np.random.default_rng(14), 900)
    cluster = np.random.default_rng(15).integers(0, 60, 900)
    plain = ck.InvalidIV(**PLAIN).fit(designs.as_data(*sample))
    clustered = ck.InvalidIV(**PLAIN).fit(designs.as_data(*sample, cluster=cluster))
    place = np.argsort(plain.fit_.sample.rows)
    influence = plain.result_.influence[place, 0]
    sums = np.bincount(cluster, influence)
    assert clustered.result_.estimate == pytest.approx(plain.result_.estimate, rel=1e-9)
    assert clustered.result_.std_error == pytest.approx(np.sqrt(sums @ sums) / 900, rel=1e-9)
    assert clustered.result_.std_error != pytest.approx(plain.result_.std_error, rel=1e-3)


def test_clustered_errors_are_by_both_columns_that_the_data_name():
    rng = np.random.default_rng(16)
    frame = designs.as_data(*designs.draw(np.random.default_rng(14), 900)).frame
    frame = frame.assign(school=rng.integers(0, 60, 900), town=rng.integers(0, 60, 900))
    roles = {"outcome": "y", "treatment": "a", "instruments": "z", "cluster": ["school", "town"]}
    data = ck.CausalData.from_frame(frame, covariates=["l1", "l2"], **roles)
    named, auto = (ck.InvalidIV(**PLAIN, cov_type=kind).fit(data) for kind in ("clustered", "auto"))
    assert named.result_.inference == auto.result_.inference
    assert "school, 60 clusters; town, 60 clusters" in named.result_.inference
    assert named.result_.std_error == auto.result_.std_error
