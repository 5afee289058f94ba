"""Wald tests, against statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm

from causalkit.errors import ArgumentError
from causalkit.inference.hypotheses import p_words, wald


def fit(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 3))
    return sm.OLS(x @ [0.3, 0.1, -0.2] + rng.standard_normal(60), x).fit()


def test_chi_squared_and_f_are_those_of_statsmodels():
    peer = fit()
    ours = wald(peer.params, peer.cov_params())
    theirs = peer.wald_test(np.eye(3), use_f=False, scalar=True)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.df == (3.0,)
    ours = wald(peer.params, peer.cov_params(), df=57)
    theirs = peer.f_test(np.eye(3))
    assert ours.statistic == pytest.approx(theirs.fvalue)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert (ours.distribution, ours.df) == ("F", (3.0, 57.0))


def test_linear_restrictions_are_those_of_statsmodels():
    peer = fit()
    R, q = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, 2.0]]), np.array([0.1, -0.3])
    ours = wald(peer.params, peer.cov_params(), R=R, q=q, df=57)
    theirs = peer.f_test((R, q))
    assert ours.statistic == pytest.approx(theirs.fvalue)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    one = wald(peer.params, peer.cov_params(), R=R[0], q=q[:1])
    assert one.statistic == pytest.approx(peer.wald_test((R[:1], q[:1]), scalar=True).statistic)


def test_one_coefficient_gives_the_squared_t_ratio():
    peer = fit()
    ours = wald(peer.params[:1], peer.cov_params()[:1, :1], df=57)
    assert ours.statistic == pytest.approx(peer.tvalues[0] ** 2)
    assert ours.p_value == pytest.approx(peer.pvalues[0])


def test_a_repeated_coefficient_is_one_restriction():
    peer = fit()
    R = np.vstack([np.eye(3), np.eye(3)[:1]])
    once = wald(peer.params, peer.cov_params())
    twice = wald(peer.params, peer.cov_params(), R=R)
    assert twice.df == (3.0,)
    assert twice.statistic == pytest.approx(once.statistic)


def test_units_do_not_change_the_test():
    peer = fit()
    scale = np.array([1e-8, 1.0, 1e8])
    ours = wald(peer.params * scale, peer.cov_params() * np.outer(scale, scale))
    base = wald(peer.params, peer.cov_params())
    assert ours.df == base.df
    assert ours.statistic == pytest.approx(base.statistic, rel=1e-8)


def test_the_record_states_its_null():
    text = str(wald(np.array([2.0]), np.eye(1), name="Mundlak test", null="means do not matter"))
    assert text == "Mundlak test: chi2(1) = 4, p = 0.0455. Null: means do not matter."
    assert "Rθ = q" in str(wald(np.array([2.0]), np.eye(1), q=np.array([1.0])))
    assert "all coefficients are zero" in str(wald(np.array([2.0]), np.eye(1)))


def test_infinite_degrees_of_freedom_are_chi_squared():
    ours = wald(np.array([2.0, 1.0]), np.eye(2), df=np.inf)
    assert (ours.distribution, ours.statistic) == ("chi2", pytest.approx(5.0))


def test_wrong_shapes_and_zero_variances_are_named():
    with pytest.raises(ArgumentError, match=r"R of shape \(1, 3\) and q of shape \(1,\)"):
        wald(np.ones(2), np.eye(2), R=np.ones(3))
    with pytest.raises(ArgumentError, match="one value per row of R"):
        wald(np.ones(2), np.eye(2), q=np.ones(3))
    with pytest.raises(ArgumentError, match="Wald test: the variance is zero"):
        wald(np.ones(2), np.zeros((2, 2)))


def test_no_p_value_is_shown_as_zero():
    assert p_words(0.0) == "p < 1e-16"
    assert p_words(0.25) == "p = 0.25"
