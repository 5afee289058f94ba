"""Scores against regressions, stratified averages and peers."""

import numpy as np
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.scores import LinearScore, aipw, effect_projection, iv_type, partialling_out, pliv


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


def test_partialling_out_with_linear_nuisances_is_the_long_regression():
    # Frisch-Waugh-Lovell, for two treatments at once.
    x, _, d, y, _ = draw()
    score = partialling_out(
        y, d, outcome_hat=fitted(y, x)[:, None], treatment_hat=fitted(d, x)[:, None]
    )
    long = sm.OLS(y, np.column_stack([d, np.ones(len(y)), x])).fit()
    np.testing.assert_allclose(solve_linear(score)[0].theta, long.params[:2], rtol=1e-10)


def test_one_treatment_may_come_without_its_last_axis():
    x, _, d, y, _ = draw()
    hats = {"outcome_hat": fitted(y, x)[:, None]}
    flat = partialling_out(y, d[:, 0], treatment_hat=fitted(d[:, 0], x)[:, None], **hats)
    deep = partialling_out(y, d[:, :1], treatment_hat=fitted(d[:, :1], x)[:, None], **hats)
    assert flat.instrument.shape == (150, 1, 1)
    np.testing.assert_array_equal(flat.instrument, deep.instrument)


def test_iv_type_instruments_the_treatment_with_its_residual():
    x, _, d, y, _ = draw()
    g = x @ [1.0, 1.5]
    m = fitted(d, x)
    score = iv_type(y, d, outcome_hat=g[:, None], treatment_hat=m[:, None])
    peer = IV2SLS(y - g, None, d, d - m).fit()
    np.testing.assert_allclose(solve_linear(score)[0].theta, peer.params, rtol=1e-9)


@pytest.mark.parametrize("n_instruments", [2, 3])
def test_pliv_with_linear_nuisances_is_two_stage_least_squares(n_instruments):
    x, z, d, y, codes = draw()
    z = z[:, :n_instruments]
    score = pliv(
        y,
        d,
        z,
        outcome_hat=fitted(y, x)[:, None],
        treatment_hat=fitted(d, x)[:, None],
        instrument_hat=fitted(z, x)[:, None],
    )
    ours = solve_linear(score)[0]
    peer = IV2SLS(y, np.column_stack([np.ones(len(y)), x]), d, z).fit(
        cov_type="clustered", clusters=codes, debiased=False
    )
    np.testing.assert_allclose(ours.theta, peer.params.iloc[3:], rtol=1e-8)
    vcov = sandwich(ours.influence, [codes], ssc="none")
    np.testing.assert_allclose(vcov, peer.cov.iloc[3:, 3:], rtol=1e-7)


def test_pliv_takes_residuals_in_place_of_predictions():
    x, z, d, y, _ = draw()
    hats = [fitted(values, x)[:, None] for values in (y, d, z)]
    names = ("outcome_hat", "treatment_hat", "instrument_hat")
    whole = pliv(y, d, z, **dict(zip(names, hats, strict=True)))
    parts = pliv(y[:, None] - hats[0], d[:, None] - hats[1], z[:, None] - hats[2])
    np.testing.assert_array_equal(whole.instrument, parts.instrument)
    np.testing.assert_array_equal(whole.response, parts.response)


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


def test_every_repeat_has_its_own_score():
    x, _, d, y, _ = draw()
    hats = np.stack([x[:, 0], x[:, 1]], axis=1)
    both = partialling_out(y, d[:, 0], outcome_hat=hats, treatment_hat=hats)
    second = partialling_out(y, d[:, 0], outcome_hat=hats[:, 1:], treatment_hat=hats[:, 1:])
    assert isinstance(both, LinearScore)
    assert solve_linear(both)[1].theta == pytest.approx(solve_linear(second)[0].theta)


def test_an_explained_treatment_is_refused():
    x, _, d, y, _ = draw()
    d = d.copy()
    d[:, 1] = 3.0 + x @ [1.0, -2.0]
    with pytest.raises(IdentificationError, match="treatment 1 is fully explained"):
        partialling_out(
            y, d, outcome_hat=fitted(y, x)[:, None], treatment_hat=fitted(d, x)[:, None]
        )


def test_a_constant_treatment_is_refused_however_large():
    y = np.arange(20.0)
    d = np.full(20, 1e6)
    hat = (d * (1 + 1e-15))[:, None]
    with pytest.raises(IdentificationError, match="fully explained"):
        iv_type(y, d, outcome_hat=np.zeros((20, 1)), treatment_hat=hat)


def test_fewer_instruments_than_treatments_are_refused():
    _, z, d, y, _ = draw()
    with pytest.raises(ArgumentError, match=r"2 treatments need .* got 1"):
        pliv(y[:, None], d[:, None], z[:, None, :1])


def with_hats(**changes):
    _, d, y, hats = strata()
    known = {"y": y, "d": d, **hats} | changes
    return aipw(known.pop("y"), known.pop("d"), **known)


def test_bad_inputs_are_named():
    _, d, y, hats = strata()
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
        partialling_out(y, d, outcome_hat=np.ones((3, 1)), treatment_hat=hats["propensity"])
    with pytest.raises(ArgumentError, match=r"treatment_hat has shape \(200, 1, 2\)"):
        partialling_out(y, d, outcome_hat=hats["mu0"], treatment_hat=np.ones((200, 1, 2)))
    with pytest.raises(ArgumentError, match="do not belong together"):
        effect_projection(hats["mu0"], hats["mu1"], d)
