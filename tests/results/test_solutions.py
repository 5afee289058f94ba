"""From solved scores to a result, against statsmodels and by invariance."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from causalkit.errors import ArgumentError
from causalkit.inference.solve import solve_linear
from causalkit.results import effect_from_solutions
from causalkit.results.solutions import inference_words
from causalkit.scores import LinearScore

FACTS = {"estimand": "ate", "estimator": "test", "outcome": "y", "treatment": ("d",)}


def sample(n_rep=1, k=1, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(30), 4)
    d = rng.standard_normal((120, n_rep, k))
    noise = rng.standard_normal(30)[codes] + rng.standard_normal(120)
    y = d.sum(axis=2) * 0.5 + noise[:, None]
    return LinearScore(instrument=d, regressor=d, response=y), codes


def result(score, codes, **settings):
    k = score.regressor.shape[2]
    known = {
        "terms": tuple(f"d{place}" for place in range(k)),
        "clusters": (codes,),
        "cluster_names": ("firm",),
        **FACTS,
    }
    return effect_from_solutions(solve_linear(score), **(known | settings))


def test_clustered_errors_are_those_of_statsmodels():
    score, codes = sample(k=2)
    ours = result(score, codes, ssc="G/(G-1)*(n-1)/(n-k)")
    fit = sm.OLS(score.response[:, 0], score.regressor[:, 0]).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    assert np.allclose(ours.estimates, fit.params, rtol=1e-10)
    assert np.allclose(ours.vcov, fit.cov_params(), rtol=1e-10)
    assert np.allclose(ours.conf_int().to_numpy(), fit.conf_int(), rtol=1e-8)
    assert (ours.n, ours.n_clusters, ours.df) == (120, 30, 29)


def test_clusters_of_rows_that_stand_for_none_are_not_counted():
    score, codes = sample()
    times = np.where(codes < 20, 1.0, 0.0)
    parts = (score.instrument, score.regressor, score.response)
    fewer = LinearScore(*(part[codes < 20] for part in parts))
    (all_rows,) = solve_linear(score, weights=times)
    known = {"terms": ("d",), "cluster_names": ("firm",), **FACTS}
    ours = effect_from_solutions([all_rows], clusters=(codes,), multiplicity=times, **known)
    kept = effect_from_solutions(solve_linear(fewer), clusters=(codes[codes < 20],), **known)
    assert (ours.n, ours.n_clusters, ours.df) == (kept.n, kept.n_clusters, kept.df) == (80, 20, 19)
    assert ours.inference == kept.inference
    np.testing.assert_allclose(ours.vcov, kept.vcov, rtol=1e-12)


@pytest.mark.parametrize(("ssc", "peer"), [("none", "HC0"), ("G/(G-1)", "HC1")])
def test_robust_errors_do_not_use_the_clusters(ssc, peer):
    score, codes = sample(k=3)
    ours = result(score, codes, cov_type="robust", ssc=ssc)
    fit = sm.OLS(score.response[:, 0], score.regressor[:, 0]).fit(cov_type=peer)
    np.testing.assert_allclose(ours.std_errors, fit.bse, rtol=1e-10)
    assert ours.clusters == ()
    assert ours.n_clusters is None


def test_means_that_stand_for_themselves_count_one_parameter_each():
    score, codes = sample(k=3)
    known = {"cov_type": "robust", "clusters": (codes,)}
    each = result(score, codes, **known, n_together=1)
    bare = result(score, codes, **known, ssc="none")
    np.testing.assert_allclose(each.vcov, bare.vcov * 120 / 119, rtol=1e-12)
    assert each.inference.endswith("small-sample factor n/(n-1)")
    assert result(score, codes, **known).inference.endswith("small-sample factor n/(n-k)")
    assert "as in HC2" in result(score, codes, **known, leverage="as in HC2").inference


def test_supplied_variances_replace_the_sandwich():
    score, codes = sample()
    ours = result(score, codes, cov_type="nonrobust", variances=[np.array([[0.04]])])
    assert ours.std_error == pytest.approx(0.2)
    assert ours.inference.startswith("homoskedastic")


def test_repeats_widen_the_interval_and_are_named():
    one, codes = sample(n_rep=1)
    many, _ = sample(n_rep=5)
    ours = result(many, codes)
    assert ours.n_rep == 5
    assert ours.inference.endswith("; median over 5 repeated splits")
    assert ours.influence.shape == (120, 1)
    assert "repeated" not in result(one, codes).inference


@given(scale=st.floats(0.01, 100.0), seed=st.integers(0, 50))
def test_scaling_the_outcome_scales_the_result(scale, seed):
    score, codes = sample(n_rep=3, k=2, seed=seed)
    scaled = LinearScore(score.instrument, score.regressor, scale * score.response)
    ours, base = result(scaled, codes), result(score, codes)
    assert np.allclose(ours.estimates, scale * base.estimates, rtol=1e-8, atol=1e-12)
    assert np.allclose(ours.std_errors, scale * base.std_errors, rtol=1e-8)
    assert np.allclose(ours.p_values(), base.p_values(), atol=1e-10)
    assert np.allclose(ours.bounds(), scale * np.asarray(base.bounds()), rtol=1e-7, atol=1e-10)


@given(seed=st.integers(0, 1000))
def test_variance_is_positive_semi_definite_and_influence_sums_to_zero(seed):
    score, codes = sample(n_rep=2, k=3, seed=seed)
    ours = result(score, codes)
    assert np.array_equal(ours.vcov, ours.vcov.T)
    assert np.linalg.eigvalsh(ours.vcov).min() >= -1e-12
    assert np.allclose(ours.influence.sum(axis=0), 0.0, atol=1e-9)


@given(seed=st.integers(0, 1000))
def test_permuting_rows_changes_nothing_but_rounding(seed):
    score, codes = sample(n_rep=2, seed=seed)
    order = np.random.default_rng(seed).permutation(codes.size)
    moved = LinearScore(score.instrument[order], score.regressor[order], score.response[order])
    ours, base = result(moved, codes[order]), result(score, codes)
    assert ours.estimate == pytest.approx(base.estimate, rel=1e-10)
    assert ours.std_error == pytest.approx(base.std_error, rel=1e-10)


def test_normal_quantiles_on_request():
    score, codes = sample()
    assert np.isinf(result(score, codes, use_t=False).df)


def test_frequency_weights_count_the_rows_they_stand_for():
    score, codes = sample()
    ours = result(score, codes, multiplicity=np.full(120, 3.0))
    assert ours.n == 360


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": ()}, "needs 1 cluster variable"),
        ({"cov_type": "two-way"}, "needs 2 cluster variable"),
        ({"cluster_names": ("firm", "year")}, "1 cluster variables need as many names"),
        ({"cov_type": "nonrobust"}, "needs variances="),
        ({"cov_type": "robst"}, "Did you mean 'robust'"),
        ({"outcme": "y"}, "unknown fact 'outcme'"),
    ],
)
def test_what_is_missing_is_named(settings, message):
    score, codes = sample()
    with pytest.raises(ArgumentError, match=message):
        result(score, codes, **settings)


def test_the_words_of_every_kind_of_variance():
    settings = {"ssc": "G/(G-1)", "n_rep": 1, "aggregation": "median"}
    two = [("firm", 30), ("year", 8)]
    assert inference_words(cov_type="two-way", clusters=two, **settings) == (
        "two-way cluster-robust (firm, 30 clusters; year, 8 clusters), small-sample factor G/(G-1)"
    )
    assert inference_words(cov_type="robust", clusters=[], **settings) == (
        "heteroskedasticity-robust, not clustered, small-sample factor n/(n-k)"
    )
    k = settings | {"ssc": "G/(G-1)*(n-1)/(n-k)"}
    assert inference_words(cov_type="robust", clusters=[], **k).endswith("factor n/(n-k)")
    assert inference_words(cov_type="robust", clusters=[], **(k | {"ssc": "none"})).endswith(
        "not clustered, no small-sample factor"
    )
    none = settings | {"ssc": "none"}
    for how in (settings, none):
        assert inference_words(cov_type="nonrobust", clusters=[], **how) == (
            "homoskedastic, not clustered, not robust, small-sample factor n/(n-k)"
        )
    assert inference_words(cov_type="clustered", clusters=two[:1], **none) == (
        "cluster-robust (firm, 30 clusters), no small-sample factor"
    )
