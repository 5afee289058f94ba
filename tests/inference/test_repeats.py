"""Aggregation over repeated splits, against DoubleML and by hand."""

import numpy as np
import pytest
from doubleml.utils._estimation import _aggregate_coefs_and_ses

from causalkit.errors import ArgumentError
from causalkit.inference.repeats import aggregate, by_repeat
from causalkit.inference.solve import Solution


def repeats(n_rep=5, k=3, seed=0):
    rng = np.random.default_rng(seed)
    solutions = [Solution(rng.standard_normal(k), np.zeros((2, k))) for _ in range(n_rep)]
    roots = rng.standard_normal((n_rep, k, k + 1))
    return solutions, list(roots @ roots.transpose(0, 2, 1))


def scalars(theta, errors):
    solutions = [Solution(np.array([t]), np.zeros((2, 1))) for t in theta]
    return solutions, [np.array([[e**2]]) for e in errors]


def test_bounds_are_those_of_doubleml():
    solutions, variances = repeats(n_rep=7)
    theta, errors = by_repeat(solutions, variances)
    ours, vcov = aggregate(solutions, variances, method="bounds")
    peer_theta, peer_error = _aggregate_coefs_and_ses(theta.T, errors.T)
    np.testing.assert_allclose(ours, peer_theta, rtol=1e-14)
    np.testing.assert_allclose(np.sqrt(np.diag(vcov)), peer_error, rtol=1e-12)


def test_median_by_hand():
    # θ̂ = 2; se² + gap²: 0.25 + 1, 0.09 + 0, 0.04 + 4; the median is 1.25.
    theta, vcov = aggregate(*scalars([1.0, 2.0, 4.0], [0.5, 0.3, 0.2]), method="median")
    assert theta[0] == 2.0
    assert vcov[0, 0] == pytest.approx(1.25)


def test_mean_by_hand():
    # θ̂ = 3; se² + gap²: 0.25 + 4, 0.09 + 1, 0.04 + 9.
    theta, vcov = aggregate(*scalars([1.0, 2.0, 6.0], [0.5, 0.3, 0.2]), method="mean")
    assert theta[0] == 3.0
    assert vcov[0, 0] == pytest.approx((4.25 + 1.09 + 9.04) / 3)


def test_median_ignores_one_wild_split_and_the_mean_does_not():
    wild = scalars([1.0, 1.1, 0.9, 1.0, 1e6], [0.1] * 4 + [1e6])
    # Sorted se² + gap²: 0.01, 0.01, 0.02, 0.02, and the wild one.
    assert aggregate(*wild)[1][0, 0] == pytest.approx(0.02)
    assert aggregate(*wild, method="mean")[1][0, 0] > 1e6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("method", ["median", "mean", "bounds"])
def test_matrix_is_positive_semi_definite_with_the_scalar_rule_on_its_diagonal(method, seed):
    # Few repeats of nearly singular matrices: element-wise medians would be indefinite.
    solutions, variances = repeats(n_rep=3, k=5, seed=seed)
    variances = [v[:, :1] @ v[:1] + 1e-6 * np.eye(5) for v in variances]
    theta, vcov = aggregate(solutions, variances, method=method)
    assert np.linalg.eigvalsh(vcov).min() > -1e-10 * np.trace(vcov)
    for column in range(5):
        alone = [Solution(s.theta[[column]], s.influence) for s in solutions]
        parts = [v[column : column + 1, column : column + 1] for v in variances]
        theta_alone, v_alone = aggregate(alone, parts, method=method)
        assert theta[column] == theta_alone[0]
        assert vcov[column, column] == pytest.approx(v_alone[0, 0], rel=1e-10)


def test_one_repeat_stays_as_it_is():
    solutions, variances = repeats(n_rep=1)
    for method in ("median", "mean", "bounds"):
        theta, vcov = aggregate(solutions, variances, method=method)
        np.testing.assert_array_equal(theta, solutions[0].theta)
        np.testing.assert_array_equal(vcov, variances[0])


def test_equal_repeats_add_nothing():
    solutions, variances = repeats(n_rep=1)
    for method in ("median", "mean", "bounds"):
        theta, vcov = aggregate(solutions * 4, variances * 4, method=method)
        np.testing.assert_allclose(theta, solutions[0].theta)
        np.testing.assert_allclose(vcov, variances[0], rtol=1e-12)


def test_values_by_repeat_are_kept():
    theta, errors = by_repeat(*scalars([1.0, 2.0], [0.5, 0.3]))
    np.testing.assert_allclose(theta[:, 0], [1.0, 2.0])
    np.testing.assert_allclose(errors[:, 0], [0.5, 0.3])


def test_wrong_arguments_are_named():
    solutions, variances = repeats()
    with pytest.raises(ArgumentError, match=r"unknown aggregation 'medan'\. Did you mean 'median'"):
        aggregate(solutions, variances, method="medan")
    with pytest.raises(ArgumentError, match="5 solutions and 1 variances"):
        aggregate(solutions, variances[:1])
