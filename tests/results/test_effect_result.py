"""EffectResult: intervals, p-values and what the constructor refuses."""

import copy
import itertools
import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from causalkit.errors import ArgumentError
from causalkit.results import EffectResult

FINITE = st.floats(-1e3, 1e3, allow_nan=False)
POSITIVE = st.floats(1e-3, 1e3)
KINDS = st.sampled_from(["normal", "t"])
ALL_KINDS = st.sampled_from(["normal", "t", "bootstrap", "uniform"])


def test_arrays_are_read_only_after_pickle_and_copy_too(make_clustered):
    result = make_clustered([0.1, 0.2])
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        for name in ("estimates", "vcov", "influence"):
            np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
            with pytest.raises(ValueError, match="read-only"):
                getattr(again, name)[0] = 9.0


def test_interval_and_p_value_are_those_of_statsmodels(make):
    rng = np.random.default_rng(0)
    x = sm.add_constant(rng.standard_normal((40, 2)))
    fit = sm.OLS(x @ [1.0, 0.3, -0.2] + rng.standard_normal(40), x).fit()
    ours = make(
        terms=("a", "b", "c"),
        estimates=fit.params,
        vcov=fit.cov_params(),
        contrast=(),
        df=fit.df_resid,
    )
    assert np.allclose(ours.conf_int(0.9).to_numpy(), fit.conf_int(0.1), rtol=1e-12)
    assert np.allclose(ours.p_value(), fit.pvalues, rtol=1e-10)
    assert np.allclose(ours.statistic, fit.tvalues, rtol=1e-12)


def test_one_term_gives_numbers_and_several_give_a_series_by_term(make, make_clustered):
    one, several = make(), make_clustered([0.1, 0.2])
    assert (one.estimate, one.std_error) == (0.08, pytest.approx(0.0227))
    assert isinstance(one.p_value(), float)
    assert list(several.std_error.index) == ["group 0", "group 1"]
    assert list(several.conf_int().columns) == ["conf_low", "conf_high"]
    assert isinstance(several.estimate, pd.Series)


@given(estimate=FINITE, error=POSITIVE, df=st.floats(1, 500), kind=KINDS, levels=st.data())
def test_intervals_nest_when_the_level_grows(make, estimate, error, df, kind, levels):
    low, high = sorted(levels.draw(st.tuples(*[st.floats(0.01, 0.999)] * 2)))
    result = make(estimate, error, df=df)
    inner, outer = result.conf_int(low, kind=kind), result.conf_int(high, kind=kind)
    assert outer[0] <= inner[0] <= estimate <= inner[1] <= outer[1]


@given(estimate=FINITE, error=POSITIVE, null=FINITE, size=st.floats(0.001, 0.5), kind=KINDS)
def test_p_is_below_a_just_when_the_null_is_outside(make, estimate, error, null, size, kind):
    result = make(estimate, error, df=12.0)
    p = result.p_value(null, kind=kind)
    assume(abs(p - size) > 1e-9)
    low, high = result.conf_int(1 - size, kind=kind)
    assert (p < size) == (not low <= null <= high)


@given(null=st.floats(-0.3, 0.3), size=st.sampled_from([0.01, 0.05, 0.1, 0.2]), kind=ALL_KINDS)
def test_bootstrap_p_values_and_intervals_agree_draw_by_draw(make_clustered, null, size, kind):
    result = make_clustered([0.1, -0.05], correlation=0.5)
    low, high = result.bounds(1 - size, kind=kind)
    outside = (null < low) | (null > high)
    assert ((result.p_values(null, kind=kind) < size) == outside).all()


@pytest.mark.parametrize("kind", ["bootstrap", "uniform"])
def test_bootstrap_intervals_nest_and_hold_the_estimate(make_clustered, kind):
    result = make_clustered([0.1, -0.05, 0.0])
    widths = [result.bounds(level, kind=kind) for level in (0.5, 0.8, 0.9, 0.95, 0.99)]
    for (low, high), (lower, higher) in itertools.pairwise(widths):
        assert (lower <= low).all()
        assert (high <= higher).all()
        assert ((low <= result.estimates) & (result.estimates <= high)).all()


@given(scale=st.floats(1e-3, 1e3), kind=ALL_KINDS)
def test_scaling_the_outcome_scales_intervals_and_leaves_p(make, make_clustered, scale, kind):
    base = make_clustered([0.1, -0.05])
    scaled = make(
        terms=base.terms,
        contrast=(),
        estimates=scale * base.estimates,
        vcov=scale**2 * base.vcov,
        influence=scale * base.influence,
        clusters=base.clusters,
        df=base.df,
    )
    assert np.allclose(scaled.std_errors, scale * base.std_errors, rtol=1e-10)
    assert np.allclose(scaled.p_values(kind=kind), base.p_values(kind=kind), atol=1e-12)
    ours, theirs = scaled.bounds(kind=kind), base.bounds(kind=kind)
    assert np.allclose(ours, scale * np.asarray(theirs), rtol=1e-9, atol=1e-12)


def test_infinite_df_gives_the_normal_interval(make):
    result = make(df=math.inf)
    assert result.conf_int(0.95) == result.conf_int(0.95, kind="normal")
    assert result.conf_int(0.95)[1] == pytest.approx(0.08 + 1.959963984540054 * 0.0227)


@pytest.mark.parametrize(("estimate", "p"), [(0.0, 1.0), (0.3, 0.0)])
def test_zero_standard_error_leaves_no_doubt_and_no_warning(make, estimate, p):
    result = make(estimate, 0.0)
    assert result.p_value() == p
    assert result.conf_int() == (estimate, estimate)


def test_a_result_pickles_and_keeps_its_numbers(make_clustered):
    result = make_clustered([0.1, 0.2])
    again = pickle.loads(pickle.dumps(result))
    assert again.to_dict(arrays=True) == result.to_dict(arrays=True)


def test_numbers_cannot_be_changed_through_the_arrays(make):
    given_values = np.array([0.5])
    result = make(estimates=given_values)
    given_values[0] = 9.0
    assert result.estimate == 0.5
    with pytest.raises(ValueError, match="read-only"):
        result.estimates[0] = 1.0


def test_a_matrix_that_is_no_covariance_is_refused(make):
    with pytest.raises(ArgumentError, match="positive semi-definite"):
        make(terms=("a", "b"), estimates=[0, 0], vcov=[[1, 2], [2, 1]], contrast=())
    with pytest.raises(ArgumentError, match="symmetric"):
        make(terms=("a", "b"), estimates=[0, 0], vcov=[[1, 0.5], [0.1, 1]], contrast=())


def test_missing_numbers_and_wrong_shapes_are_named(make):
    with pytest.raises(ArgumentError, match="estimates must be finite"):
        make(math.nan)
    with pytest.raises(ArgumentError, match=r"vcov must be finite and of shape \(1, 1\)"):
        make(vcov=np.eye(2))
    with pytest.raises(ArgumentError, match="terms must be unique"):
        make(terms=("a", "a"), estimates=[0, 0], vcov=np.eye(2), contrast=())


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1])
def test_a_level_outside_zero_and_one_is_refused(make, level):
    with pytest.raises(ArgumentError, match="strictly between 0 and 1"):
        make().conf_int(level)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda r: r.conf_int("0.9"), "confidence level must be one number, got str; use 0.95"),
        (lambda r: r.p_value([0.0, 1.0]), r"null must be one number, got list \[0.0, 1.0\]"),
        (lambda r: r.p_value(math.nan), "null must be a finite number, got nan"),
    ],
)
def test_what_is_no_number_is_named_with_its_argument(make, ask, words):
    with pytest.raises(ArgumentError, match=words):
        ask(make())


@pytest.mark.parametrize("kind", ["bootstrap", "uniform"])
def test_intervals_from_draws_need_the_covariances_only(make, make_clustered, kind):
    known = make_clustered([0.1, 0.2, -0.1], correlation=0.3)
    bare = make(
        terms=known.terms, estimates=known.estimates, vcov=known.vcov, contrast=(), df=known.df
    )
    assert bare.influence is None
    np.testing.assert_array_equal(bare.bounds(kind=kind), known.bounds(kind=kind))


def test_a_kind_of_its_own_is_used_wherever_none_is_asked_for(make_clustered):
    plain = make_clustered([0.1, 0.2, -0.1])
    own = replace(plain, interval="uniform")
    np.testing.assert_array_equal(own.bounds(), plain.bounds(kind="uniform"))
    np.testing.assert_array_equal(own.p_values(), plain.p_values(kind="uniform"))
    np.testing.assert_array_equal(own.bounds(kind="t"), plain.bounds())
    assert own.tidy()["conf_low"].tolist() == plain.bounds(kind="uniform")[0].tolist()
    assert "largest of 3 t-ratios" in " ".join(own.summary().split())


def test_an_unknown_kind_lists_the_known_ones(make):
    with pytest.raises(ArgumentError, match="Did you mean 'bootstrap'"):
        make().p_value(kind="boostrap")


def two_terms(make, **changed):
    facts = {"terms": ("a", "b"), "estimates": [1.0, 2.0], "vcov": np.eye(2), "contrast": ()}
    return make(**facts | {"df_by_term": np.array([3.0, 40.0])} | changed)


def test_each_term_has_the_quantiles_of_its_own_degrees_of_freedom(make):
    result = two_terms(make)
    low, high = result.bounds(0.9)
    np.testing.assert_allclose(high - low, 2.0 * stats.t.ppf(0.95, [3.0, 40.0]))
    np.testing.assert_allclose(result.p_values(), 2.0 * stats.t.sf([1.0, 2.0], [3.0, 40.0]))
    assert result.df == 3.0
    correlated = two_terms(make, vcov=np.eye(2) + 0.5)
    assert correlated.pairwise().df == 3.0
    assert "t distribution with 3 to 40 df" in result.summary()


def test_bands_give_each_term_the_multivariate_t_of_its_own_degrees_of_freedom(make):
    """The largest of two independent normals over one error: its quantile by quadrature."""
    df = np.array([3.0, 40.0])
    low, high = two_terms(make).bounds(kind="uniform", n_boot=40000)
    reach = (high - low) / 2.0

    def inside(size, freedom):
        def density(error):
            both = (2.0 * stats.norm.cdf(size * error) - 1.0) ** 2
            return both * stats.chi(freedom, scale=freedom**-0.5).pdf(error)

        return integrate.quad(density, 0.0, np.inf)[0]

    # 40,000 draws: four Monte-Carlo errors of the share inside.
    for size, freedom in zip(reach, df, strict=True):
        assert inside(size, freedom) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 40000))
    same = two_terms(make, df_by_term=np.array([7.0, 7.0])).bounds(kind="uniform")
    plain = two_terms(make, df_by_term=None, df=7.0).bounds(kind="uniform")
    np.testing.assert_array_equal(same, plain)


def test_degrees_of_freedom_by_term_survive_json_and_pickle(make):
    both = {"df_by_term": np.array([3.0, np.inf]), "df_combined": np.array([2.0, np.inf])}
    result = two_terms(make, **both)
    for other in (
        EffectResult.from_dict(json.loads(result.to_json())),
        pickle.loads(pickle.dumps(result)),
    ):
        np.testing.assert_array_equal(other.df_by_term, [3.0, np.inf])
        np.testing.assert_array_equal(other.df_combined, [2.0, np.inf])
        np.testing.assert_array_equal(other.bounds(), result.bounds())
        assert not other.df_by_term.flags.writeable


@pytest.mark.parametrize("df", [[3.0], [3.0, 0.0], [3.0, np.nan]])
def test_degrees_of_freedom_by_term_are_checked(make, df):
    with pytest.raises(ArgumentError, match="df_by_term must be 2 positive numbers"):
        two_terms(make, df_by_term=np.array(df))
