"""Linear scores solved, against weighted least squares and numerical derivatives."""

import numpy as np
import pytest
import statsmodels.api as sm

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.scores import LinearScore


def draw(n=80, k=2, n_rep=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n_rep, k))
    z = x + 0.5 * rng.standard_normal((n, n_rep, k))
    y = x.sum(axis=2) + rng.standard_normal((n, n_rep))
    return LinearScore(z, x, y), rng.uniform(0.5, 2.0, n)


def test_weights_are_those_of_weighted_least_squares():
    score, w = draw()
    regression = LinearScore(score.regressor, score.regressor, score.response)
    ours = solve_linear(regression, weights=w)[0]
    peer = sm.WLS(score.response[:, 0], score.regressor[:, 0], weights=w).fit()
    np.testing.assert_allclose(ours.theta, peer.params, rtol=1e-10)


def test_the_scale_of_weights_does_not_matter():
    score, w = draw()
    one, other = (solve_linear(score, weights=weights)[0] for weights in (w, 1e6 * w))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-12)
    np.testing.assert_allclose(one.influence, other.influence, rtol=1e-9)


def test_influence_is_the_derivative_of_the_estimate_in_a_rows_weight():
    # The infinitesimal jackknife: n dθ̂/dw_i at weights w, times w_i.
    score, w = draw(n=30)
    ours = solve_linear(score, weights=w)[0]
    for row in (0, 11, 29):
        step = np.zeros(30)
        step[row] = 1e-6
        up, down = (solve_linear(score, weights=w + sign * step)[0].theta for sign in (1, -1))
        slope = 30 * w[row] * (up - down) / 2e-6
        np.testing.assert_allclose(ours.influence[row], slope, rtol=1e-5, atol=1e-7)


def test_influence_sums_to_zero_in_every_repeat():
    score, w = draw(n_rep=3)
    for solution in solve_linear(score, weights=w):
        np.testing.assert_allclose(solution.influence.mean(axis=0), 0.0, atol=1e-12)


def test_dml1_averages_the_slopes_of_folds():
    score, _ = draw(n_rep=2)
    regression = LinearScore(score.regressor, score.regressor, score.response)
    folds = [np.array_split(np.random.default_rng(s).permutation(80), 4) for s in range(2)]
    for repeat, solution in enumerate(solve_linear(regression, test_folds=folds)):
        slopes = [
            sm.OLS(score.response[rows, repeat], score.regressor[rows, repeat]).fit().params
            for rows in folds[repeat]
        ]
        np.testing.assert_allclose(solution.theta, np.mean(slopes, axis=0), rtol=1e-10)


def test_dml1_influence_uses_the_jacobian_of_all_rows():
    score, _ = draw(k=1)
    folds = [np.array_split(np.arange(80), 4)]
    ours = solve_linear(score, test_folds=folds)[0]
    z, x, y = score.instrument[:, 0, 0], score.regressor[:, 0, 0], score.response[:, 0]
    by_hand = z * (y - x * ours.theta[0]) / (z * x).mean()
    np.testing.assert_allclose(ours.influence[:, 0], by_hand, rtol=1e-10)


def test_collinear_treatments_are_refused_and_the_cause_is_named():
    score, _ = draw()
    x = score.regressor.copy()
    x[:, :, 1] = -3.0 * x[:, :, 0]
    with pytest.raises(IdentificationError, match=r"fully explained .* or several .* collinear"):
        solve_linear(LinearScore(x, x, score.response))


def test_units_of_a_treatment_do_not_make_it_collinear():
    score, _ = draw()
    scale = np.array([1e-9, 1e9])
    scaled = LinearScore(score.instrument * scale, score.regressor * scale, score.response)
    ours, base = solve_linear(scaled)[0], solve_linear(score)[0]
    np.testing.assert_allclose(ours.theta * scale, base.theta, rtol=1e-9)


def test_a_treatment_without_residual_variation_is_refused():
    score, _ = draw(k=1)
    zero = np.zeros_like(score.regressor)
    with pytest.raises(IdentificationError, match="fully explained"):
        solve_linear(LinearScore(zero, zero, score.response))


def test_missing_predictions_are_named_and_not_called_collinear():
    score, _ = draw()
    y, x = score.response.copy(), score.regressor.copy()
    y[3], x[3] = np.nan, np.nan
    with pytest.raises(ArgumentError, match="outcome, or its predictions, are missing"):
        solve_linear(LinearScore(score.instrument, score.regressor, y))
    with pytest.raises(ArgumentError, match="predictions of the treatment are missing"):
        solve_linear(LinearScore(x, x, score.response))
