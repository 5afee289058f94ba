"""Debiased lasso: scikit-learn's solutions, least squares at zero penalty, and coverage."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.linear_model import Lasso

from causalkit.errors import ArgumentError
from causalkit.heterogeneity.debiased import debiased_lasso
from causalkit.inference.variance import sandwich

FIRST = np.array([True, False, False, False, False, False])


def draw(n_units=60, n_periods=4, k=6, seed=0):
    """Columns of different sizes, correlated, and a response with unit shocks."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    x = rng.standard_normal((unit.size, k)) + 0.5 * rng.standard_normal((unit.size, 1))
    x *= np.geomspace(0.1, 10.0, k)
    beta = np.zeros(k)
    beta[:2] = 5.0, -2.0
    y = x @ beta + rng.standard_normal(n_units)[unit] + rng.standard_normal(unit.size)
    return x, y, unit


def fit(x, y, unit, **arguments):
    known = {"groups": unit, "free": np.zeros(x.shape[1], bool), "rng": np.random.default_rng(1)}
    return debiased_lasso(x, y, **(known | arguments))


def lasso(x, y, penalty, weights=None):
    """scikit-learn's solution; its objective has the same 1/2n."""
    model = Lasso(alpha=penalty, fit_intercept=False, tol=1e-12, max_iter=100000)
    return model.fit(x, y, sample_weight=weights).coef_


@pytest.mark.parametrize("weighted", [False, True])
def test_the_lasso_before_debiasing_is_that_of_scikit_learn(weighted):
    x, y, unit = draw()
    w = np.random.default_rng(2).uniform(0.5, 2.0, y.size) if weighted else None
    scale = np.sqrt(np.average(x**2, axis=0, weights=w))
    ours = fit(x, y, unit, penalty=0.2, weights=w)
    theirs = lasso(x / scale, y, 0.2, w) / scale
    np.testing.assert_allclose(ours.penalised, theirs, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(ours.selected, theirs != 0.0)
    assert 0 < ours.selected.sum() < 6


def test_a_free_column_is_partialled_out_before_the_lasso():
    # The unpenalised coefficient profiles out: the lasso of residuals on residuals.
    x, y, unit = draw()
    ours = fit(x, y, unit, penalty=0.2, free=FIRST)
    z = x / np.sqrt((x**2).mean(axis=0))
    left = z - np.outer(z[:, 0], z[:, 0] @ z) / (z[:, 0] @ z[:, 0])
    y_left = y - z[:, 0] * (z[:, 0] @ y) / (z[:, 0] @ z[:, 0])
    theirs = lasso(left[:, 1:], y_left, 0.2) / np.sqrt((x**2).mean(axis=0))[1:]
    np.testing.assert_allclose(ours.penalised[1:], theirs, rtol=1e-6, atol=1e-9)


def test_the_correction_is_the_nodewise_formula():
    # van de Geer et al. (2014), equations 5 to 8, with scikit-learn's lasso in every place.
    x, y, unit = draw()
    scale = np.sqrt((x**2).mean(axis=0))
    z = x / scale
    beta = lasso(z, y, 0.2)
    gram = z.T @ z / len(y)
    inverse = np.zeros((6, 6))
    for j in range(6):
        others = np.delete(np.arange(6), j)
        gamma = lasso(z[:, others], z[:, j], 0.1)
        residual = z[:, j] - z[:, others] @ gamma
        tau2 = residual @ residual / len(y) + 0.1 * np.abs(gamma).sum()
        inverse[j, j] = 1.0 / tau2
        inverse[j, others] = -gamma / tau2
    theta = (beta + inverse @ z.T @ (y - z @ beta) / len(y)) / scale
    ours = fit(x, y, unit, penalty=0.2, nodewise_penalty=0.1)
    np.testing.assert_allclose(ours.solution.theta, theta, rtol=1e-6)
    scores = (y - z @ beta)[:, None] * (z @ inverse.T) / scale
    np.testing.assert_allclose(
        ours.solution.influence, scores - scores.mean(axis=0), rtol=1e-5, atol=1e-6
    )
    # It is not the identity: the exact inverse gives something else.
    assert np.abs(inverse @ gram - np.eye(6)).max() > 0.02


def test_without_penalties_it_is_least_squares_with_clustered_errors():
    x, y, unit = draw()
    ours = fit(x, y, unit, penalty=0.0, nodewise_penalty=0.0).solution
    peer = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False})
    np.testing.assert_allclose(ours.theta, peer.params, rtol=1e-7)
    vcov = sandwich(ours.influence, [unit], ssc="none")
    np.testing.assert_allclose(vcov, peer.cov_params(), rtol=1e-6)


def test_whole_weights_are_repeated_rows():
    x, y, unit = draw()
    times = np.random.default_rng(4).integers(1, 4, y.size)
    rows = np.repeat(np.arange(y.size), times)
    ours = fit(x, y, unit, weights=times.astype(float))
    repeated = fit(x[rows], y[rows], unit[rows])
    assert ours.penalty == pytest.approx(repeated.penalty, rel=1e-9)
    np.testing.assert_allclose(ours.solution.theta, repeated.solution.theta, rtol=1e-7)
    vcov = sandwich(ours.solution.influence, [unit], multiplicity=times)
    theirs = sandwich(repeated.solution.influence, [unit[rows]])
    np.testing.assert_allclose(vcov, theirs, rtol=1e-6)


def test_the_units_of_a_column_do_not_matter():
    x, y, unit = draw()
    sizes = np.array([1.0, 1e6, 1e-6, 1.0, 3.0, 1.0])
    ours, scaled = fit(x, y, unit), fit(x * sizes, y, unit)
    np.testing.assert_allclose(scaled.solution.theta * sizes, ours.solution.theta, rtol=1e-6)


def test_the_penalty_has_the_least_error_over_folds_of_whole_units():
    x, y, unit = draw(k=12)
    ours = fit(x, y, unit)
    z = x / np.sqrt((x**2).mean(axis=0))
    fold = (np.random.default_rng(1).permutation(60) % 5)[unit]

    def error(penalty):
        total = 0.0
        for held_out in range(5):
            test = fold == held_out
            beta = lasso(z[~test], y[~test], penalty)
            total += ((y[test] - z[test] @ beta) ** 2).sum()
        return total

    top = np.abs(z.T @ y).max() / len(y)
    grid = np.geomspace(top, 1e-3 * top, 30)
    best = grid[np.argmin([error(penalty) for penalty in grid])]
    assert ours.penalty == pytest.approx(best, rel=1e-9)
    assert grid[-1] < best < grid[0]


def many_moderators(seed, *, n_units=200, n_periods=5, q=40):
    """Effect 1 + 0.5 z₁ − 0.5 z₂ + 0.25 z₃ in residuals with unit shocks and uneven variance."""
    rng = np.random.default_rng([7, seed])
    unit = np.repeat(np.arange(n_units), n_periods)
    z = rng.standard_normal((unit.size, q))
    v = rng.standard_normal(unit.size) * (1.0 + 0.3 * (z[:, 0] > 0))
    shock = 0.7 * rng.standard_normal(n_units)[unit]
    effect = 1.0 + z[:, :3] @ [0.5, -0.5, 0.25]
    y = effect * v + shock + rng.standard_normal(unit.size)
    x = v[:, None] * np.column_stack([np.ones(unit.size), z])
    return x, y, unit, rng


def test_intervals_cover_forty_moderators_of_which_three_matter():
    truth = np.r_[1.0, 0.5, -0.5, 0.25, np.zeros(37)]
    shares, shrunken = [], []
    for seed in range(60):
        x, y, unit, rng = many_moderators(seed)
        found = debiased_lasso(x, y, groups=unit, free=np.arange(41) == 0, rng=rng)
        error = np.sqrt(np.diag(sandwich(found.solution.influence, [unit])))
        reach = stats.t.ppf(0.975, 199) * error
        shares.append((np.abs(found.solution.theta - truth) <= reach)[1:].mean())
        shrunken.append((np.abs(found.penalised - truth) <= reach)[1:4].mean())
    mcse = np.std(shares, ddof=1) / np.sqrt(60)
    assert abs(np.mean(shares) - 0.95) <= 3.0 * mcse < 0.02
    # The lasso itself is biased where there is an effect: debiasing is what gives coverage.
    assert np.mean(shrunken) < 0.85


def test_what_cannot_be_is_named():
    x, y, unit = draw()
    with pytest.raises(ArgumentError, match="penalty must not be negative, got -1"):
        fit(x, y, unit, penalty=-1.0)
    with pytest.raises(ArgumentError, match="3 units are too few for 5 folds"):
        fit(x, y, np.arange(y.size) % 3)
