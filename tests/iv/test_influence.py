"""The influence function of InvalidIV: its values, its mean, and its derivatives at the truth."""

from dataclasses import replace

import iv_designs as designs
import numpy as np
import pytest

import causalkit as ck
from causalkit.inference.solve import solve_linear
from causalkit.iv.general import fit_general
from causalkit.iv.influence import binary_direction, multiply_robust
from causalkit.iv.nuisances import Learners, fit_binary
from causalkit.iv.sample import iv_sample
from causalkit.iv.views import Sight
from causalkit.nuisance import DenseFeatures, FoldKeys, draw_folds
from causalkit.nuisance.fitter import Fitter

PLAIN = {"method": "debiased", "learners": "linear", "basis": None, "random_state": 0}


def bumps(l1, l2):
    """Directions in which nuisances may be wrong: bounded, neither linear nor even."""
    return np.sin(2.0 * l1 + 0.3) + 0.4 * l2, np.cos(l1 - 2.0 * l2) + 0.2


def moved(l1, l2, step, names):
    """The truth with some nuisances moved; ω and μ differently by arm."""
    true = designs.truth_at(l1, l2)
    first, second = bumps(l1, l2)
    changes = {
        "pi": true.pi + 0.1 * step * first,
        "mu": (true.mu[0] + 0.05 * step * first, true.mu[1] + 0.05 * step * second),
        "beta": true.beta + step * (second + 0.5 * first),
        "rho": true.rho + 0.1 * step * first,
        "omega": (true.omega[0] + step * second, true.omega[1] - step * first),
    }
    return replace(true, **{name: changes[name] for name in names})


def mean_score(true, target="ate"):
    """Estimate on the exact population at given nuisances."""
    _, _, z, a, y, w = designs.population()
    score = multiply_robust(y, a, designs.hats(z, true), target=target)
    return float(solve_linear(score, weights=w)[0].theta[0])


def brute_force(target):
    """Average of β over everyone, the treated or the untreated in the exact population."""
    l1, l2, _, a, _, w = designs.population()
    who = {"ate": np.ones(a.size), "att": a, "atc": 1.0 - a}[target]
    return float(np.average(designs.truth_at(l1, l2).beta, weights=w * who))


def test_given_nuisances_reproduce_the_closed_form_and_its_standard_error():
    # A7. Nuisances are wrong on purpose: every term of the closed form then counts.
    l1, l2, z, a, y = sample = designs.draw(np.random.default_rng(3), 1200)
    true = moved(l1, l2, 0.3, ("pi", "mu", "beta", "rho", "omega"))
    given = {"instrument": true.pi, "effect": true.beta, "confounding": true.rho}
    for arm in (0, 1):
        given |= {f"treatment:{arm}": true.mu[arm], f"outcome:{arm}": true.eta[arm]}
    fit = ck.InvalidIV(**PLAIN, ssc="none").fit(designs.as_data(*sample), predictions=given)
    f = np.where(z == 1, true.pi, 1 - true.pi)
    mu, omega = designs.received(z, true.mu), designs.received(z, true.omega)
    phi = true.beta + (2 * z - 1) / (f * true.delta_v) * (
        (a - mu) * (y - true.beta * a - omega) - true.rho
    )
    assert fit.result_.estimate == pytest.approx(phi.mean(), rel=1e-12)
    assert fit.result_.std_error == pytest.approx(phi.std() / np.sqrt(phi.size), rel=1e-12)
    place = np.argsort(fit.fit_.sample.rows)
    np.testing.assert_allclose(
        fit.result_.influence[place, 0], phi - phi.mean(), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("target", ["ate", "att", "atc"])
def test_at_the_truth_the_score_gives_the_average_over_its_population(target):
    l1, l2, *_ = designs.population()
    assert mean_score(designs.truth_at(l1, l2), target) == pytest.approx(
        brute_force(target), abs=1e-12
    )


def test_the_three_populations_differ_in_this_design():
    found = [brute_force(target) for target in ("ate", "att", "atc")]
    assert min(abs(np.subtract.outer(found, found))[np.triu_indices(3, 1)]) > 0.005


@pytest.mark.parametrize("target", ["ate", "att", "atc"])
@pytest.mark.parametrize("name", ["pi", "mu", "beta", "rho", "omega"])
def test_the_derivative_in_every_nuisance_is_zero_at_the_truth(name, target):
    # A2, without Monte-Carlo error: third-order terms of the central difference are below 1e-7.
    l1, l2, *_ = designs.population()
    up, down = (mean_score(moved(l1, l2, step, [name]), target) for step in (1e-4, -1e-4))
    assert abs(up - down) / 2e-4 < 1e-6


def test_the_bias_is_quadratic_in_the_size_of_the_errors():
    l1, l2, *_ = designs.population()
    everything = ("pi", "mu", "beta", "rho", "omega")
    small, large = (
        mean_score(moved(l1, l2, step, everything)) - designs.ATE for step in (5e-3, 1e-2)
    )
    assert abs(large) > 1e-6
    assert large / small == pytest.approx(4.0, abs=0.2)  # 2 if there were a linear term


@pytest.mark.slow
def test_the_derivative_on_a_sample_is_within_its_monte_carlo_error():
    # A2 as the specification puts it. 15 statistics at 4 errors: false alarm below 0.1 %.
    l1, l2, z, a, y = designs.draw(np.random.default_rng(5), 400_000)

    def phi(step, name):
        score = multiply_robust(y, a, designs.hats(z, moved(l1, l2, step, [name])))
        return score.response[:, 0]

    for name in ("pi", "mu", "beta", "rho", "omega"):
        for step in (0.02, 0.05, 0.1):
            slope = (phi(step, name) - phi(-step, name)) / (2.0 * step)
            # The difference itself is cubic in the step; at most .04 of a unit of it here.
            assert abs(slope.mean()) < 4.0 * slope.std() / np.sqrt(slope.size) + step**2, name


INSIDE = {"M1": "pi mu", "M2": "pi beta omega", "M3": "beta rho mu", "M4": "beta rho omega"}


@pytest.mark.parametrize("right", INSIDE.values(), ids=INSIDE.keys())
def test_each_sufficient_set_alone_makes_the_mean_right(right):
    # Large errors in everything else; an exact expectation, so there is no band.
    l1, l2, *_ = designs.population()
    wrong = {"pi", "mu", "beta", "rho", "omega"} - set(right.split())
    assert mean_score(moved(l1, l2, 0.5, wrong)) == pytest.approx(designs.ATE, abs=1e-12)


@pytest.mark.parametrize(
    "right", ["mu", "beta rho", "pi beta", "mu beta", "mu omega", "pi omega rho"]
)
def test_less_than_a_sufficient_set_leaves_a_bias(right):
    l1, l2, *_ = designs.population()
    wrong = {"pi", "mu", "beta", "rho", "omega"} - set(right.split())
    assert abs(mean_score(moved(l1, l2, 0.5, wrong)) - designs.ATE) > 0.01


def test_the_functional_is_the_effect_where_2sls_and_adjustment_fail():
    # Exact population: direct effect .7 of the instrument, confounder of exposure and outcome.
    l1, l2, z, a, y, w = designs.population()
    true = designs.truth_at(l1, l2)
    cell = np.unique(np.column_stack([l1, l2]), axis=0, return_inverse=True)[1].ravel()

    def mean(values, rows):
        weight = np.where(rows, w, 0.0)
        return (np.bincount(cell, weight * values) / np.bincount(cell, weight))[cell]

    arms = []
    for arm in (0.0, 1.0):
        m, e = mean(a, z == arm), mean(y, z == arm)
        arms.append((mean((a - m) * (y - e), z == arm), mean((a - m) ** 2, z == arm)))
    (c0, v0), (c1, v1) = arms
    np.testing.assert_allclose((c1 - c0) / (v1 - v0), true.beta, atol=1e-10)
    assert np.average((c1 - c0) / (v1 - v0), weights=w) == pytest.approx(designs.ATE, abs=1e-12)
    every = np.ones(a.size, dtype=bool)
    adjusted = np.average(mean(y, a == 1) - mean(y, a == 0), weights=w)
    reduced, first = mean(y, z == 1) - mean(y, z == 0), mean(a, z == 1) - mean(a, z == 0)
    z_res = z - mean(z, every)
    two_stage = np.average(z_res * y, weights=w) / np.average(z_res * a, weights=w)
    assert abs(adjusted - designs.ATE) > 0.05
    assert abs(two_stage - designs.ATE) > 0.5
    assert abs(np.average(reduced, weights=w) / np.average(first, weights=w) - 1.0) > 0.5


def test_the_general_direction_is_the_binary_one_for_a_binary_instrument():
    l1, l2, z, *_ = designs.population()
    true = designs.truth_at(l1, l2)
    pi, delta_v = true.pi[:, None], true.delta_v[:, None]
    swing = designs.received(z, true.variance)[:, None] - (
        pi * true.variance[1][:, None] + (1 - pi) * true.variance[0][:, None]
    )
    spread = pi * (1 - pi) * delta_v**2
    np.testing.assert_allclose(swing / spread, binary_direction(z, pi, delta_v), rtol=1e-10)


def test_both_forms_agree_where_every_regression_is_saturated():
    # Four cells of L and dummies for all of them: both forms then are the same function of means.
    rng = np.random.default_rng(8)
    cell = rng.integers(0, 4, 1200)
    l1, l2 = np.where(cell % 2, 0.6, -0.6), np.where(cell < 2, 0.5, -0.5)
    u = rng.uniform(-1.0, 1.0, cell.size)
    true = designs.truth_at(l1, l2)
    z = (rng.random(cell.size) < true.pi).astype(float)
    a = (rng.random(cell.size) < designs.received(z, true.mu) + 0.07 * u).astype(float)
    y = true.beta * a + designs.received(z, true.omega) + 1.5 * u
    sample = iv_sample(designs.as_data(l1, l2, z, a, y))
    position = 2 * (sample.x[:, 0] > 0) + (sample.x[:, 1] > 0)
    dummies = (position[:, None] == np.arange(1, 4)).astype(float)
    crossed = DenseFeatures(np.hstack([dummies, sample.z, dummies * sample.z]))
    sight = Sight(DenseFeatures(dummies), DenseFeatures(dummies))
    folds = draw_folds(FoldKeys(sample.n), rule="observation", n_folds=1)
    fitter, learners = Fitter(seed=0), Learners(*["linear"] * 4)
    common = {"folds": folds, "fitter": fitter, "learners": learners, "least_delta_v": 0.0}
    general = fit_general(sample, sight, Sight(crossed, crossed), **common)
    binary = fit_binary(
        sample,
        sight,
        constant=np.zeros(2, dtype=bool),
        clip=0.0,
        effect_loss="arms",
        **common,
    )
    one, other = (
        solve_linear(multiply_robust(sample.y, sample.a, fitted.hats))[0]
        for fitted in (binary, general)
    )
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-6)
    np.testing.assert_allclose(one.influence, other.influence, rtol=1e-4, atol=1e-5)
