"""Instrument tests, against linearmodels, published critical values and closed forms."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS, IVGMM
from scipy import stats

from causalkit.errors import ArgumentError, IdentificationError, WeakInstrumentWarning
from causalkit.inference.anderson_rubin import anderson_rubin
from causalkit.inference.instruments import (
    _effective_critical,
    first_stage_f,
    hansen_j,
    warn_if_weak,
)


def draw(strength, *, n_instruments=2, n=240, seed=0, invalid=0.0):
    """Outcome, treatment, instruments, and clusters of four rows; the effect is 0.5."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) // 4
    shock = rng.standard_normal(n // 4)[codes]
    z = rng.standard_normal((n, n_instruments)) + 0.5 * rng.standard_normal(n // 4)[codes, None]
    v = rng.standard_normal(n) + shock
    d = z @ np.full(n_instruments, strength) + v
    y = 0.5 * d + 0.7 * v + rng.standard_normal(n) + shock + invalid * z[:, 0]
    return y, d, z, codes


def regress(target, z, codes):
    """Clustered regression of a target on the instruments, by linearmodels."""
    return IV2SLS(target, z, None, None).fit(cov_type="clustered", clusters=codes, debiased=False)


@pytest.mark.parametrize("n_instruments", [1, 3])
def test_first_stage_f_is_the_clustered_wald_test_of_linearmodels(n_instruments):
    _, d, z, codes = draw(0.2, n_instruments=n_instruments)
    peer = regress(d, z, codes)
    ours = first_stage_f(d, z, clusters=[codes], ssc="none", df=59)
    wald = peer.wald_test(np.eye(n_instruments), np.zeros(n_instruments))
    assert ours.test.statistic == pytest.approx(wald.stat / n_instruments)
    assert ours.test.df == (n_instruments, 59)
    np.testing.assert_allclose(ours.coefficients, peer.params)


def test_effective_f_of_one_instrument_is_the_robust_f():
    _, d, z, codes = draw(0.2, n_instruments=1)
    ours = first_stage_f(d, z, clusters=[codes])
    assert ours.effective_f == pytest.approx(ours.test.statistic)


def test_effective_f_is_that_of_orthonormal_instruments():
    # Montiel Olea & Pflueger (2013), eq. 4: n π̂'π̂ / tr Ŵ₂ after rotating to Z'Z = n I.
    _, d, z, codes = draw(0.2, n_instruments=3)
    n = len(d)
    q, _ = np.linalg.qr(z)
    q = q * np.sqrt(n)
    pi = q.T @ d / n
    scores = q * (d - q @ pi)[:, None]
    sums = np.stack([scores[codes == g].sum(axis=0) for g in range(codes.max() + 1)])
    effective = n * pi @ pi / np.trace(sums.T @ sums / n)
    ours = first_stage_f(d, z, clusters=[codes], ssc="none")
    assert ours.effective_f == pytest.approx(effective, rel=1e-9)


@pytest.mark.parametrize(("tau", "published"), [(0.05, 37.418), (0.1, 23.109), (0.2, 15.062)])
def test_critical_values_of_one_instrument_are_the_published_ones(tau, published):
    # As printed by the Stata command weakivtest (Pflueger & Wang 2015) for K_eff = 1.
    assert _effective_critical(np.ones(1), tau=tau) == pytest.approx(published, abs=5e-4)


def test_equal_eigenvalues_count_each_instrument_and_one_large_counts_as_one():
    equal = _effective_critical(np.ones(4))
    assert equal == pytest.approx(stats.ncx2.ppf(0.95, 4, 40) / 4)
    dominated = _effective_critical(np.array([1.0, 1e-9]))
    assert dominated == pytest.approx(_effective_critical(np.ones(1)), rel=1e-6)


def test_weak_instruments_warn_and_strong_ones_do_not():
    _, d, z, codes = draw(0.02)
    with pytest.warns(WeakInstrumentWarning, match=r"weak instruments for 'price': .* F"):
        warn_if_weak(first_stage_f(d, z, clusters=[codes]), treatment="price")
    with pytest.warns(WeakInstrumentWarning, match="Name stronger ones"):
        warn_if_weak(first_stage_f(d, z, clusters=[codes]), treatment="price", alone=False)
    _, d, z, codes = draw(2.0)
    strong = first_stage_f(d, z, clusters=[codes])
    assert not strong.weak
    warn_if_weak(strong, treatment="price")


@pytest.mark.parametrize("n_instruments", [1, 3])
@pytest.mark.parametrize("null", [0.5, -1.0])
def test_anderson_rubin_is_the_clustered_test_of_the_instruments(n_instruments, null):
    y, d, z, codes = draw(0.2, n_instruments=n_instruments)
    peer = regress(y - null * d, z, codes)
    wald = peer.wald_test(np.eye(n_instruments), np.zeros(n_instruments))
    ours = anderson_rubin(y, d, z, clusters=[codes], ssc="none", null=null)
    assert ours.test.statistic == pytest.approx(wald.stat, rel=1e-8)
    assert ours.test.p_value == pytest.approx(wald.pval, rel=1e-6)


@pytest.mark.parametrize(
    ("strength", "n_instruments", "seed", "shape"),
    [
        (0.5, 1, 3, "interval"),
        (0.5, 3, 3, "interval"),
        (0.01, 1, 0, "line"),
        (0.05, 3, 0, "line"),
        (0.12, 1, 4, "disjoint"),
        (0.05, 3, 3, "disjoint"),
    ],
)
def test_the_set_holds_exactly_what_the_test_does_not_reject(strength, n_instruments, seed, shape):
    y, d, z, codes = draw(strength, n_instruments=n_instruments, seed=seed)

    def p_value(null):
        return anderson_rubin(y, d, z, clusters=[codes], df=59, null=null).test.p_value

    ours = anderson_rubin(y, d, z, clusters=[codes], df=59)
    assert ours.shape == shape
    for end in np.array(ours.intervals).ravel():
        if np.isfinite(end):
            assert p_value(end) == pytest.approx(0.05, rel=1e-6)
    for null in np.concatenate([np.linspace(-8, 8, 161), [-1e6, 1e6]]):
        assert (null in ours) == (p_value(null) >= 0.05)


def test_one_instrument_solves_a_quadratic():
    y, d, z, codes = draw(0.4, n_instruments=1)
    ours = anderson_rubin(y, d, z, clusters=[codes], ssc="none", level=0.9)
    gram = z[:, 0] @ z[:, 0]
    pi_y, pi_d = z[:, 0] @ y / gram, z[:, 0] @ d / gram
    scores = z * np.column_stack([y - z[:, 0] * pi_y, d - z[:, 0] * pi_d])
    sums = np.stack([scores[codes == g].sum(axis=0) for g in range(codes.max() + 1)])
    v = sums.T @ sums / gram**2
    c = stats.chi2.ppf(0.9, 1)
    roots = np.roots(
        [pi_d**2 - c * v[1, 1], 2 * (c * v[0, 1] - pi_y * pi_d), pi_y**2 - c * v[0, 0]]
    )
    np.testing.assert_allclose(ours.intervals, [sorted(roots.real)], rtol=1e-8)


def test_contradictory_instruments_leave_an_empty_set():
    y, d, z, codes = draw(0.6, n_instruments=2, n=400, invalid=2.0)
    ours = anderson_rubin(y, d, z, clusters=[codes])
    assert ours.intervals == ()
    assert ours.shape == "empty"
    assert 0.5 not in ours
    assert "empty (the instruments contradict each other)" in str(ours)


def test_units_move_the_set_and_nothing_else():
    y, d, z, codes = draw(0.4, n_instruments=2)
    base = anderson_rubin(y, d, z, clusters=[codes])
    moved = anderson_rubin(1e-4 * y, 1e5 * d, z * [1e6, 1e-6], clusters=[codes])
    np.testing.assert_allclose(np.array(moved.intervals) * 1e9, np.array(base.intervals), rtol=1e-6)


def test_the_record_prints_its_set_and_its_test():
    y, d, z, codes = draw(0.01, n_instruments=1)
    text = str(anderson_rubin(y, d, z, clusters=[codes]))
    words = "confidence set: (-inf, inf) (no value is rejected). Anderson-Rubin: chi2"
    assert text.startswith(f"Anderson-Rubin 95 % {words}")
    assert "the effect is 0 and the instruments are valid" in text


def test_frequency_weights_are_repeated_rows():
    y, d, z, codes = draw(0.4)
    times = np.random.default_rng(1).integers(1, 4, len(y))
    rows = np.repeat(np.arange(len(y)), times)
    weighted = {"weights": times.astype(float), "multiplicity": times}
    ours = anderson_rubin(y, d, z, clusters=[codes], **weighted)
    theirs = anderson_rubin(y[rows], d[rows], z[rows], clusters=[codes[rows]])
    np.testing.assert_allclose(ours.intervals, theirs.intervals, rtol=1e-8)
    strength = first_stage_f(d, z, clusters=[codes], **weighted)
    repeated = first_stage_f(d[rows], z[rows], clusters=[codes[rows]])
    assert strength.effective_f == pytest.approx(repeated.effective_f, rel=1e-9)
    ours_j = hansen_j(y, d[:, None], z, clusters=[codes], **weighted)
    theirs_j = hansen_j(y[rows], d[rows, None], z[rows], clusters=[codes[rows]])
    assert ours_j.statistic == pytest.approx(theirs_j.statistic, rel=1e-9)


def test_hansen_j_is_that_of_linearmodels():
    y, d, z, codes = draw(0.4, n_instruments=3)
    peer = IVGMM(pd.Series(y, name="y"), None, d, z, weight_type="clustered", clusters=codes).fit(
        iter_limit=2
    )
    ours = hansen_j(y, d[:, None], z, clusters=[codes])
    assert ours.statistic == pytest.approx(peer.j_stat.stat, rel=1e-8)
    assert ours.p_value == pytest.approx(peer.j_stat.pval, rel=1e-8)
    assert ours.df == (2.0,)


def test_collinear_and_too_few_instruments_are_named():
    y, d, z, codes = draw(0.4)
    twice = np.column_stack([z[:, 0], 2 * z[:, 0]])
    with pytest.raises(IdentificationError, match=r"instruments are collinear .* leave one out"):
        first_stage_f(d, twice, clusters=[codes])
    with pytest.raises(IdentificationError, match="instruments are collinear"):
        anderson_rubin(y, d, twice, clusters=[codes])
    with pytest.raises(ArgumentError, match="1 instruments and 1 treatments leave nothing to test"):
        hansen_j(y, d[:, None], z[:, :1], clusters=[codes])
    with pytest.raises(ArgumentError, match="strictly between 0 and 1"):
        anderson_rubin(y, d, z, clusters=[codes], level=1.0)


def test_absorbed_effects_count_among_the_parameters():
    y, d, z, codes = draw(0.3)
    within = pd.DataFrame({"y": y, "d": d, "z0": z[:, 0], "z1": z[:, 1]})
    within -= within.groupby(codes).transform("mean")
    dummies = pd.get_dummies(pd.Series(codes), dtype=float).to_numpy()
    n_absorbed = dummies.shape[1]
    df = len(y) - 2 - n_absorbed
    residuals = within[["z0", "z1"]].to_numpy()
    peer = sm.OLS(d, np.column_stack([z, dummies])).fit(cov_type="HC1")
    test = peer.f_test(np.eye(2, 2 + n_absorbed))
    how = {"df": df, "n_absorbed": n_absorbed}
    ours = first_stage_f(within["d"].to_numpy(), residuals, **how).test
    assert ours.statistic == pytest.approx(float(test.fvalue), rel=1e-9)
    assert ours.p_value == pytest.approx(float(test.pvalue), rel=1e-6)
    found = anderson_rubin(within["y"].to_numpy(), within["d"].to_numpy(), residuals, **how)
    reduced = sm.OLS(y, np.column_stack([z, dummies])).fit(cov_type="HC1")
    theirs = reduced.f_test(np.eye(2, 2 + n_absorbed))
    assert found.test.statistic == pytest.approx(float(theirs.fvalue), rel=1e-9)
