"""Scores against regressions, stratified averages and peers."""

import numpy as np
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.scores import aipw, effect_projection, iv_type, partialling_out, pliv


def fitted(target, x):
    """Least-squares predictions with intercept; ``target`` may have columns."""
    design = np.column_stack([np.ones(len(x)), x])
    return design @ np.linalg.lstsq(design, target, rcond=None)[0]


def draw(n=150, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    z = rng.standard_normal((n, 3)) + x[:, :1]
    u = rng.standard_normal(n)
    d = np.column_stack([z @ [1.0, 0.5, 0.3] + u, z @ [0.2, -1.0, 0.4] - u])
    d += rng.standard_normal((n, 2)) + x[:, 1:]
    y = d @ [0.5, -1.0] + x @ [1.0, 2.0] + u + rng.standard_normal(n)
    return x, z, d, y, np.arange(n) // 5


def left(target, x, n_rep=1):
    """Least-squares residuals ``(n, n_rep)`` or ``(n, n_rep, k)``."""
    residual = (target - fitted(target, x))[:, None]
    return np.repeat(residual, n_rep, axis=1)


def test_partialling_out_with_linear_nuisances_is_the_long_regression():
    # Frisch-Waugh-Lovell, for two treatments at once.
    x, _, d, y, _ = draw()
    score = partialling_out(left(y, x), left(d, x))
    long = sm.OLS(y, np.column_stack([d, np.ones(len(y)), x])).fit()
    np.testing.assert_allclose(solve_linear(score)[0].theta, long.params[:2], rtol=1e-10)


def test_iv_type_instruments_the_treatment_with_its_residual():
    x, _, d, y, _ = draw()
    g = x @ [1.0, 1.5]
    score = iv_type((y - g)[:, None], d[:, None], treatment_residual=left(d, x))
    peer = IV2SLS(y - g, None, d, d - fitted(d, x)).fit()
    np.testing.assert_allclose(solve_linear(score)[0].theta, peer.params, rtol=1e-9)


@pytest.mark.parametrize("n_instruments", [2, 3])
def test_pliv_with_linear_nuisances_is_two_stage_least_squares(n_instruments):
    x, z, d, y, codes = draw()
    z = z[:, :n_instruments]
    ours = solve_linear(pliv(left(y, x), left(d, x), left(z, x)))[0]
    peer = IV2SLS(y, np.column_stack([np.ones(len(y)), x]), d, z).fit(
        cov_type="clustered", clusters=codes, debiased=False
    )
    np.testing.assert_allclose(ours.theta, peer.params.iloc[3:], rtol=1e-8)
    vcov = sandwich(ours.influence, [codes], ssc="none")
    np.testing.assert_allclose(vcov, peer.cov.iloc[3:, 3:], rtol=1e-7)


def test_weights_of_the_first_stage_are_repeated_rows():
    _, z, d, y, _ = draw(60)
    times = np.random.default_rng(1).integers(1, 4, 60)
    weighted = pliv(y[:, None], d[:, None, :1], z[:, None], weights=times.astype(float))
    rows = np.repeat(np.arange(60), times)
    repeated = pliv(y[rows, None], d[rows, None, :1], z[rows, None])
    np.testing.assert_allclose(weighted.instrument[rows], repeated.instrument, rtol=1e-9)


def strata(seed=0):
    """Three strata, with their cell means as nuisances."""
    rng = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(3), [60, 90, 50])
    d = (rng.random(200) < np.array([0.3, 0.5, 0.8])[stratum]).astype(float)
    y = rng.standard_normal(200) + stratum * d
    cells = {(s, t): y[(stratum == s) & (d == t)].mean() for s in range(3) for t in (0.0, 1.0)}
    mu0 = np.array([cells[s, 0.0] for s in stratum])[:, None]
    mu1 = np.array([cells[s, 1.0] for s in stratum])[:, None]
    e = np.array([d[stratum == s].mean() for s in stratum])[:, None]
    return stratum, d, y, {"mu0": mu0, "mu1": mu1, "propensity": e}


@pytest.mark.parametrize("target", ["ate", "att", "atc"])
def test_saturated_aipw_is_the_stratified_difference_of_means(target):
    _, d, y, hats = strata()
    effect = (hats["mu1"] - hats["mu0"])[:, 0]
    rows = {"ate": np.ones(200, bool), "att": d == 1, "atc": d == 0}[target]
    theta = solve_linear(aipw(y, d, target=target, **hats))[0].theta[0]
    assert theta == pytest.approx(effect[rows].mean(), rel=1e-10)


@pytest.mark.parametrize(("target", "score"), [("ate", "ATE"), ("att", "ATTE")])
def test_aipw_estimates_and_errors_are_those_of_doubleml(target, score):
    import pandas as pd
    from doubleml import DoubleMLData, DoubleMLIRM
    from doubleml.utils import DMLDummyClassifier, DMLDummyRegressor

    stratum, d, y, hats = strata()
    rng = np.random.default_rng(5)
    # Off the cell means, so that every term of the score matters.
    hats["mu0"] = hats["mu0"] + 0.3 * rng.standard_normal((200, 1))
    hats["mu1"] = hats["mu1"] + 0.3 * rng.standard_normal((200, 1))
    hats["propensity"] = np.clip(hats["propensity"] + 0.1 * rng.standard_normal((200, 1)), 0.1, 0.9)
    frame = pd.DataFrame({"y": y, "d": d, "x": stratum.astype(float)})
    peer = DoubleMLIRM(
        DoubleMLData(frame, "y", "d"),
        DMLDummyRegressor(),
        DMLDummyClassifier(),
        score=score,
        n_folds=2,
    )
    given = {"ml_g0": hats["mu0"], "ml_g1": hats["mu1"], "ml_m": hats["propensity"]}
    peer.fit(external_predictions={"d": given})
    ours = solve_linear(aipw(y, d, target=target, **hats))[0]
    assert ours.theta[0] == pytest.approx(peer.coef[0], rel=1e-9)
    error = np.sqrt(sandwich(ours.influence, ssc="none")[0, 0])
    assert error == pytest.approx(peer.se[0], rel=1e-9)


def test_atc_is_att_of_the_opposite_treatment_with_the_opposite_sign():
    _, d, y, hats = strata()
    hats["mu0"], hats["mu1"] = hats["mu0"] + 0.2, hats["mu1"] - 0.1
    atc = solve_linear(aipw(y, d, target="atc", **hats))[0]
    swapped = {"mu0": hats["mu1"], "mu1": hats["mu0"], "propensity": 1 - hats["propensity"]}
    att = solve_linear(aipw(y, 1 - d, target="att", **swapped))[0]
    np.testing.assert_allclose(atc.theta, -att.theta, rtol=1e-10)
    np.testing.assert_allclose(atc.influence, -att.influence, rtol=1e-8, atol=1e-10)


def test_a_propensity_of_zero_is_harmless_to_the_untreated():
    _, d, y, hats = strata()
    hats["propensity"] = np.where(d[:, None] == 1, 0.5, 0.0)
    score = aipw(y, d, target="ate", **hats)
    assert np.isfinite(score.response).all()


def test_group_effects_are_the_slopes_within_groups():
    rng = np.random.default_rng(3)
    group = rng.integers(0, 3, 90)
    v, u = rng.standard_normal((2, 90, 1))
    basis = (group[:, None] == np.arange(3)).astype(float)
    theta = solve_linear(effect_projection(v, u, basis))[0].theta
    slopes = [sm.OLS(u[group == g, 0], v[group == g, 0]).fit().params[0] for g in range(3)]
    np.testing.assert_allclose(theta, slopes, rtol=1e-10)


def test_every_repeat_is_solved_on_its_own_residuals():
    _, _, d, y, _ = draw()
    y_res, d_res = np.stack([y, y - d[:, 0]], axis=1), np.stack([d[:, :1], d[:, 1:]], axis=1)
    found = solve_linear(partialling_out(y_res, d_res))
    for repeat, solution in enumerate(found):
        peer = sm.OLS(y_res[:, repeat], d_res[:, repeat]).fit()
        assert solution.theta[0] == pytest.approx(peer.params[0], rel=1e-10)


def test_fewer_instruments_than_treatments_are_refused():
    _, z, d, y, _ = draw()
    with pytest.raises(ArgumentError, match=r"2 treatments need .* got 1"):
        pliv(y[:, None], d[:, None], z[:, None, :1])


def with_hats(**changes):
    _, d, y, hats = strata()
    known = {"y": y, "d": d, **hats} | changes
    return aipw(known.pop("y"), known.pop("d"), **known)


def test_bad_inputs_are_named():
    _, d, _, hats = strata()
    odd = d.copy()
    odd[7] = 2.0
    with pytest.raises(ArgumentError, match=r"coded 0/1; row 7 holds 2\.0"):
        with_hats(d=odd)
    with pytest.raises(ArgumentError, match=r"must lie in \[0, 1\]"):
        with_hats(propensity=hats["propensity"] + 0.6)
    with pytest.raises(ArgumentError, match="must lie in"):
        with_hats(propensity=np.full((200, 1), np.nan))
    with pytest.raises(IdentificationError, match="exactly 0 or 1"):
        with_hats(propensity=np.zeros((200, 1)))
    with pytest.raises(ArgumentError, match=r"unknown target 'attt'\. Did you mean 'att'"):
        with_hats(target="attt")
    with pytest.raises(ArgumentError, match=r"propensity has shape \(200,\)"):
        with_hats(propensity=hats["propensity"][:, 0])
    with pytest.raises(ArgumentError, match=r"outcome have shape \(3, 1\)"):
        with_hats(mu0=np.ones((3, 1)))
    with pytest.raises(ArgumentError, match="do not belong together"):
        effect_projection(hats["mu0"], hats["mu1"], d)


def test_residuals_that_do_not_belong_together_are_refused():
    y, d = np.ones((20, 2)), np.ones((20, 2, 1))
    with pytest.raises(ArgumentError, match=r"shapes \(20,\), \(20, 2, 1\) do not belong"):
        partialling_out(y[:, 0], d)
    with pytest.raises(ArgumentError, match=r"\(20, 2\), \(20, 2, 1\), \(20, 1, 1\) do not"):
        iv_type(y, d, treatment_residual=d[:, :1])
    with pytest.raises(ArgumentError, match=r"\(20, 2\), \(19, 2, 1\), \(20, 2, 1\) do not"):
        pliv(y, d[1:], d)
