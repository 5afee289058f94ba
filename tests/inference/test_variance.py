"""Variances, against statsmodels, linearmodels and physically repeated rows."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS
from linearmodels.panel import PooledOLS

from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    FewClustersWarning,
    IdentificationError,
)
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import (
    SSC,
    count_clusters,
    degrees_of_freedom,
    nonrobust,
    sandwich,
    warn_if_few,
)
from causalkit.scores import LinearScore

LONGEST = SSC[2]


def draw(n_units=30, n_periods=8, k=2, seed=0):
    """Regression with unit and period shocks: score, unit codes, period codes."""
    rng = np.random.default_rng(seed)
    unit, period = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    shocks = rng.standard_normal(n_units)[unit] + rng.standard_normal(n_periods)[period]
    x = rng.standard_normal((unit.size, k)) + 0.5 * shocks[:, None]
    y = x @ np.arange(1.0, k + 1) + shocks + rng.standard_normal(unit.size)
    return LinearScore(x[:, None], x[:, None], y[:, None]), unit, period


@pytest.mark.parametrize(("ssc", "corrected"), [("none", False), (LONGEST, True)])
def test_one_way_is_that_of_statsmodels(ssc, corrected):
    score, unit, _ = draw()
    peer = sm.OLS(score.response[:, 0], score.regressor[:, 0]).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": corrected}
    )
    ours = sandwich(solve_linear(score)[0].influence, [unit], ssc=ssc)
    np.testing.assert_allclose(ours, peer.cov_params(), rtol=1e-10)


@pytest.mark.parametrize(
    ("ssc", "cov_type"), [("none", "HC0"), ("G/(G-1)", "HC1"), (LONGEST, "HC1")]
)
def test_without_clusters_it_is_white_and_hc1(ssc, cov_type):
    score, _, _ = draw()
    peer = sm.OLS(score.response[:, 0], score.regressor[:, 0]).fit(cov_type=cov_type)
    ours = sandwich(solve_linear(score)[0].influence, ssc=ssc)
    np.testing.assert_allclose(ours, peer.cov_params(), rtol=1e-10)


@pytest.mark.parametrize("group_debias", [False, True])
def test_two_way_is_that_of_linearmodels(group_debias):
    score, unit, period = draw(n_units=40, n_periods=12)
    frame = pd.DataFrame(score.regressor[:, 0], columns=["a", "b"])
    frame = frame.assign(y=score.response[:, 0], unit=unit, period=period)
    frame = frame.set_index(["unit", "period"])
    peer = PooledOLS(frame["y"], frame[["a", "b"]]).fit(
        cov_type="clustered",
        cluster_entity=True,
        cluster_time=True,
        debiased=False,
        group_debias=group_debias,
    )
    influence = solve_linear(score)[0].influence
    ours = sandwich(influence, [unit, period], ssc="G/(G-1)" if group_debias else "none")
    # Their factor has (n − 1)/n besides G/(G − 1).
    n = unit.size
    theirs = peer.cov * (n / (n - 1) if group_debias else 1.0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_two_way_with_many_empty_cells_is_the_same_as_with_few():
    # Sparse pairs take the sorting path, dense ones the direct one.
    rng = np.random.default_rng(0)
    influence = rng.standard_normal((40, 2))
    first, second = rng.integers(0, 20, 40), rng.integers(0, 15, 40)
    dense = sandwich(influence, [first, second])
    sparse = sandwich(influence, [first * 50, second * 50])
    np.testing.assert_allclose(dense, sparse, rtol=1e-12)


@pytest.mark.parametrize("ssc", SSC)
@pytest.mark.parametrize("n_ways", [0, 1, 2])
def test_frequency_weights_give_the_estimate_and_variance_of_repeated_rows(n_ways, ssc):
    score, unit, period = draw(n_units=20, n_periods=6)
    times = np.random.default_rng(1).integers(0, 4, unit.size)
    times[unit == 3] = 0  # A cluster that is not there at all.
    weighted = solve_linear(score, weights=times.astype(float))[0]
    rows = np.repeat(np.arange(unit.size), times)
    parts = (score.instrument[rows], score.regressor[rows], score.response[rows])
    repeated = solve_linear(LinearScore(*parts))[0]
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-10)
    codes = [unit, period][:n_ways]
    ours = sandwich(weighted.influence, codes, ssc=ssc, multiplicity=times)
    theirs = sandwich(repeated.influence, [code[rows] for code in codes], ssc=ssc)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_codes_that_do_not_occur_are_not_counted():
    influence = np.random.default_rng(0).standard_normal((12, 1))
    codes = np.repeat(np.arange(4), 3)
    np.testing.assert_allclose(sandwich(influence, [codes]), sandwich(influence, [codes * 7]))
    assert count_clusters(codes * 7) == 4
    assert degrees_of_freedom([codes * 7], 12) == 3


def test_a_two_way_variance_that_is_negative_gives_way_to_the_larger_part():
    # Sums over rows are zero and over columns small: V₁ + V₂ < V₁₂.
    influence = np.array([[1.0], [-0.9], [-1.0], [0.9]])
    row, column = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    with pytest.warns(CausalKitWarning, match="two-way .* not positive semi-definite"):
        ours = sandwich(influence, [row, column], ssc="none")
    np.testing.assert_allclose(ours, [[0.02 / 16]])


def test_nonrobust_is_textbook_least_squares():
    score, _, _ = draw()
    theta = solve_linear(score)[0].theta
    peer = sm.OLS(score.response[:, 0], score.regressor[:, 0]).fit()
    np.testing.assert_allclose(nonrobust(score, theta), peer.cov_params(), rtol=1e-10)


def test_nonrobust_with_precision_weights_is_weighted_least_squares():
    score, _, _ = draw()
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(score.response))
    theta = solve_linear(score, weights=w)[0].theta
    peer = sm.WLS(score.response[:, 0], score.regressor[:, 0], weights=w).fit()
    np.testing.assert_allclose(nonrobust(score, theta, weights=w), peer.cov_params(), rtol=1e-10)


def test_nonrobust_with_frequency_weights_is_that_of_repeated_rows():
    score, _, _ = draw()
    times = np.random.default_rng(1).integers(1, 4, len(score.response)).astype(float)
    rows = np.repeat(np.arange(times.size), times.astype(int))
    peer = sm.OLS(score.response[rows, 0], score.regressor[rows, 0]).fit()
    ours = nonrobust(score, peer.params, weights=times, multiplicity=times)
    np.testing.assert_allclose(ours, peer.cov_params(), rtol=1e-10)


def test_nonrobust_with_instruments_is_two_stage_least_squares():
    score, _, _ = draw(k=1)
    rng = np.random.default_rng(2)
    z = score.regressor + rng.standard_normal(score.regressor.shape)
    moved = LinearScore(z, score.regressor, score.response)
    theta = solve_linear(moved)[0].theta
    peer = IV2SLS(score.response[:, 0], None, score.regressor[:, 0], z[:, 0]).fit(
        cov_type="unadjusted", debiased=True
    )
    np.testing.assert_allclose(nonrobust(moved, theta), peer.cov, rtol=1e-9)


def test_degrees_of_freedom_are_those_of_the_smaller_dimension():
    _, unit, period = draw(n_units=30, n_periods=8)
    assert degrees_of_freedom([unit], 240) == 29
    assert degrees_of_freedom([unit, period], 240) == 7
    assert degrees_of_freedom([], 240) == 239


def test_few_clusters_warn_and_thirty_do_not():
    with pytest.warns(FewClustersWarning, match=r"only 29 clusters; .*finer clusters"):
        warn_if_few([np.arange(29)])
    warn_if_few([np.arange(30)])
    with pytest.warns(FewClustersWarning, match=r"only 8 clusters; .* Bootstrap them\."):
        warn_if_few([np.arange(40), np.arange(8)], mend="Bootstrap them.")


def test_one_cluster_has_no_variance():
    influence = np.ones((5, 1))
    for ssc in SSC:
        with pytest.raises(IdentificationError, match="at least two independent clusters, got 1"):
            sandwich(influence, [np.zeros(5, dtype=int)], ssc=ssc)


@pytest.mark.parametrize(
    "codes",
    [np.array([0, 1, 2]), np.array([0.0, 1.0, 1.0, 0.0]), np.array([0, -1, 1, 2])],
    ids=["length", "floats", "negative"],
)
def test_bad_cluster_codes_are_refused(codes):
    with pytest.raises(ArgumentError, match=r"whole numbers from 0, one per row \(4\)"):
        sandwich(np.ones((4, 1)), [codes])


def test_three_dimensions_and_unknown_factors_are_refused():
    codes = np.array([0, 0, 1, 1])
    with pytest.raises(ArgumentError, match="at most two dimensions, got 3"):
        sandwich(np.ones((4, 1)), [codes] * 3)
    with pytest.raises(ArgumentError, match="unknown ssc 'G'"):
        sandwich(np.ones((4, 1)), [codes], ssc="G")
    with pytest.raises(IdentificationError, match="4 rows cannot give a variance of 4"):
        sandwich(np.eye(4), [codes], ssc=LONGEST)
