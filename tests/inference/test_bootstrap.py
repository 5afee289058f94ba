"""Bootstraps, against their exact moments and brute force."""

from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.bootstrap import multiplier_bootstrap, wild_cluster_bootstrap
from causalkit.inference.variance import sandwich


def rng(seed=0):
    return np.random.default_rng(seed)


def values(n_clusters=40, rows=5, k=2, seed=0):
    """Influence values with a skewed component of each cluster, and the codes."""
    codes = np.repeat(np.arange(n_clusters), rows)
    common = rng(seed).exponential(size=(n_clusters, k))[codes]
    influence = common + rng(seed + 1).standard_normal((codes.size, k))
    return influence - influence.mean(axis=0), codes


def assert_variance(draws, vcov):
    """Second moments agree within four Monte-Carlo standard errors (of normal draws)."""
    error = np.sqrt((vcov**2 + np.outer(np.diag(vcov), np.diag(vcov))) / len(draws))
    assert (np.abs(draws.T @ draws / len(draws) - vcov) < 4 * error).all()


@pytest.mark.parametrize("kind", ["normal", "rademacher", "exponential"])
@pytest.mark.parametrize("clustered", [True, False])
def test_draws_have_mean_zero_and_the_variance_of_the_sandwich(kind, clustered):
    influence, codes = values()
    clusters = [codes] if clustered else []
    draws = multiplier_bootstrap(influence, clusters=clusters, n_boot=4000, kind=kind, rng=rng(5))
    vcov = sandwich(influence, clusters, ssc="none")
    assert_variance(draws, vcov)
    assert (np.abs(draws.mean(axis=0)) < 4 * np.sqrt(np.diag(vcov) / 4000)).all()


def test_two_way_draws_have_the_two_way_variance():
    influence, codes = values(n_clusters=30, rows=20)
    clusters = [codes, np.tile(np.arange(20), 30)]
    draws = multiplier_bootstrap(influence, clusters=clusters, n_boot=4000, rng=rng(5))
    assert_variance(draws, sandwich(influence, clusters, ssc="none"))


@pytest.mark.parametrize("kind", ["normal", "rademacher", "exponential"])
def test_frequency_weights_have_the_variance_of_repeated_rows(kind):
    influence, _ = values(k=1)
    times = rng(3).integers(0, 4, len(influence))
    weighted = influence * times[:, None]
    draws = multiplier_bootstrap(weighted, multiplicity=times, n_boot=4000, kind=kind, rng=rng(5))
    repeated = np.repeat(influence, times, axis=0)
    vcov = sandwich(repeated, ssc="none") * (len(repeated) / len(influence)) ** 2
    assert_variance(draws, vcov)


def test_exponential_draws_keep_the_skewness_of_clusters():
    # The third moment of a standard exponential is 2, so that of a draw is 2 Σ S³ / n³.
    influence, codes = values(n_clusters=10, k=1)
    draws = multiplier_bootstrap(
        influence, clusters=[codes], n_boot=100_000, kind="exponential", rng=rng(7)
    )
    sums = np.bincount(codes, weights=influence[:, 0]) / codes.size
    third = draws[:, 0] ** 3
    assert third.mean() == pytest.approx(
        2 * (sums**3).sum(), abs=4 * third.std() / np.sqrt(third.size)
    )


@pytest.mark.parametrize("kind", ["normal", "rademacher", "exponential"])
def test_the_order_of_rows_does_not_matter(kind):
    influence, codes = values()
    order = rng(2).permutation(codes.size)
    settings = {"n_boot": 50, "kind": kind}
    one = multiplier_bootstrap(influence, clusters=[codes], rng=rng(5), **settings)
    other = multiplier_bootstrap(influence[order], clusters=[codes[order]], rng=rng(5), **settings)
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-14)


def test_rademacher_draws_are_signed_sums_of_clusters():
    # With two clusters there are four sign vectors: ±(S₁ + S₂) = 0 and ±(S₁ − S₂).
    influence, codes = values(n_clusters=2, k=1)
    draws = multiplier_bootstrap(
        influence, clusters=[codes], n_boot=200, kind="rademacher", rng=rng(5)
    )
    sums = np.bincount(codes, weights=influence[:, 0])
    possible = {0.0, round((sums[0] - sums[1]) / 10, 9), round((sums[1] - sums[0]) / 10, 9)}
    assert set(np.round(draws[:, 0], 9) + 0.0) == possible


def test_multipliers_of_two_dimensions_and_unknown_kinds_are_refused():
    influence, codes = values()
    with pytest.raises(ArgumentError, match="one dimension of clusters, got 2; use kind='normal'"):
        multiplier_bootstrap(influence, clusters=[codes, codes], kind="rademacher", rng=rng())
    with pytest.raises(ArgumentError, match="unknown kind of multiplier 'norm'"):
        multiplier_bootstrap(influence, kind="norm", rng=rng())
    with pytest.raises(ArgumentError, match="n_boot must be at least 1"):
        multiplier_bootstrap(influence, n_boot=0, rng=rng())


def regression(n_clusters, seed=0, rows=6, effect=0.3):
    """Slope with cluster shocks of unequal size: x, y, codes."""
    generator = rng(seed)
    codes = np.repeat(np.arange(n_clusters), rows)
    scale = 1.0 + np.arange(n_clusters) / 3
    x = generator.standard_normal(codes.size) + generator.standard_normal(n_clusters)[codes]
    noise = (scale * generator.standard_normal(n_clusters))[codes]
    return x, effect * x + noise + generator.standard_normal(codes.size), codes


def t_ratio(y, x, codes, null):
    """Cluster-robust t-ratio from a regression."""
    fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    return (fit.params[0] - null) / fit.bse[0]


@pytest.mark.parametrize("null", [0.0, 0.7])
def test_wild_p_value_is_brute_force_over_all_sign_vectors(null):
    x, y, codes = regression(5)
    ours = wild_cluster_bootstrap(x, x, y, codes, null=null, rng=rng())
    observed = t_ratio(y, x, codes, null)
    restricted = y - null * x
    drawn = np.array(
        [
            t_ratio(null * x + restricted * np.array(signs)[codes], x, codes, null)
            for signs in product([-1.0, 1.0], repeat=5)
        ]
    )
    assert ours.statistic == pytest.approx(observed)
    assert ours.p_value == np.mean(np.abs(drawn) >= abs(observed) * (1 - 1e-9))
    assert (ours.exact, ours.n_boot) == (True, 16)


def test_webb_p_value_agrees_with_an_independent_simulation():
    x, y, codes = regression(6)
    ours = wild_cluster_bootstrap(x, x, y, codes, weights="webb", n_boot=4_999, rng=rng())
    observed = abs(t_ratio(y, x, codes, 0.0))
    points = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5])
    xi = np.sign(points) * np.sqrt(np.abs(points))
    weights = xi[rng(9).integers(0, 6, (4_999, 6))]
    drawn = weights[:, codes] * y
    slope = drawn @ x / (x @ x)
    scores = (drawn - slope[:, None] * x) * x
    sums = np.stack([scores[:, codes == g].sum(axis=1) for g in range(6)], axis=1)
    ratios = np.abs(slope * (x @ x)) / np.sqrt((sums**2).sum(axis=1))
    theirs = np.mean(ratios >= observed * (1 - 1e-9))
    assert ours.p_value == pytest.approx(theirs, abs=4 * np.sqrt(2 * 0.25 / 4_999))
    assert not ours.exact


@pytest.mark.parametrize(("n_clusters", "weights"), [(7, "rademacher"), (7, "webb"), (25, "webb")])
def test_interval_ends_where_the_test_starts_to_reject(n_clusters, weights):
    x, y, codes = regression(n_clusters, seed=1)

    def at(null):
        return wild_cluster_bootstrap(x, x, y, codes, null=null, weights=weights, rng=rng(4))

    found = at(0.0)
    width = found.high - found.low
    for end, outward in ((found.low, -1.0), (found.high, 1.0)):
        assert at(end - 1e-6 * outward * width).p_value > 0.05
        assert at(end + 1e-6 * outward * width).p_value <= 0.05
    assert found.low < found.estimate < found.high


def test_too_few_clusters_for_the_level_give_an_unbounded_interval():
    # With five clusters the least p-value is 1/16, so nothing is rejected at 5 %.
    x, y, codes = regression(5, effect=50.0)
    found = wild_cluster_bootstrap(x, x, y, codes, rng=rng())
    assert found.p_value == 1 / 16
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert np.isfinite(wild_cluster_bootstrap(x, x, y, codes, level=0.9, rng=rng()).high)


def test_size_is_exact_with_symmetric_errors_where_the_t_test_over_rejects():
    # Flipping signs of clusters leaves symmetric errors as they are, so p is uniform on its grid.
    replications, rejected, rejected_t = 400, 0, 0
    for seed in range(replications):
        x, y, codes = regression(6, seed=seed, effect=0.0, rows=4)
        found = wild_cluster_bootstrap(x, x, y, codes, level=0.9, rng=rng())
        rejected += found.p_value <= 3 / 32
        rejected_t += abs(found.statistic) > 1.645
    size = 3 / 32
    assert abs(rejected / replications - size) < 4 * np.sqrt(size * (1 - size) / replications)
    assert rejected_t / replications > size + 4 * np.sqrt(size * (1 - size) / replications)


def test_random_signs_agree_with_all_signs():
    x, y, codes = regression(13)
    exact = wild_cluster_bootstrap(x, x, y, codes, n_boot=2**12, rng=rng())
    drawn = wild_cluster_bootstrap(x, x, y, codes, n_boot=2**12 - 1, rng=rng())
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p_value == pytest.approx(exact.p_value, abs=4 * np.sqrt(0.25 / 2**12))
    assert drawn.high == pytest.approx(exact.high, rel=0.1)


def test_units_and_empty_codes_do_not_change_the_bootstrap():
    x, y, codes = regression(6)
    base = wild_cluster_bootstrap(x, x, y, codes, rng=rng())
    moved = wild_cluster_bootstrap(1e3 * x, 1e3 * x, 1e-3 * y, 4 * codes, rng=rng())
    assert moved.p_value == base.p_value
    assert moved.high == pytest.approx(1e-6 * base.high, rel=1e-6)


def test_a_perfect_fit_has_an_interval_of_one_point():
    x, _, codes = regression(6)
    found = wild_cluster_bootstrap(x, x, 0.0 * x, codes, null=1.0, rng=rng())
    assert (found.low, found.high, found.p_value) == (0.0, 0.0, 1 / 32)
    assert np.isinf(found.statistic)


def test_one_cluster_and_unknown_weights_are_refused():
    x, y, codes = regression(6)
    with pytest.raises(IdentificationError, match="at least two clusters, got 1"):
        wild_cluster_bootstrap(x, x, y, 0 * codes, rng=rng())
    with pytest.raises(ArgumentError, match="unknown wild weights 'mammen'"):
        wild_cluster_bootstrap(x, x, y, codes, weights="mammen", rng=rng())
