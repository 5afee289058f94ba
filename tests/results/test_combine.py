"""Linear combinations and joint tests of terms, against statsmodels, linearmodels and algebra."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr
from linearmodels.panel import PanelOLS
from scipy import stats

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.inference.solve import Solution, solve_linear
from causalkit.panel.regression import PanelRegression
from causalkit.results import effect_from_solutions
from causalkit.scores import effect_projection

TERMS = ("lead", "now", "lag")
WEIGHTS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0]])
BY_TERM = {"before": {"lead": 1}, "fades": {"now": 1, "lag": -1}}


def regression(*, use_t, n_units=60, n_periods=4):
    """Three slopes, as a result of ours and as a fit of statsmodels."""
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(n_units), n_periods)
    x = rng.standard_normal((unit.size, 3)) + rng.standard_normal((n_units, 1))[unit]
    y = x @ [0.0, 1.0, 0.8] + rng.standard_normal(n_units)[unit] + rng.standard_normal(unit.size)
    result = effect_from_solutions(
        solve_linear(effect_projection(np.ones((unit.size, 1)), y[:, None], x)),
        terms=TERMS,
        clusters=(unit,),
        cluster_names=("unit",),
        ssc="G/(G-1)" if use_t else "none",
        use_t=use_t,
        seed=2,
        estimand="ate",
        estimator="test",
        outcome="y",
        treatment=TERMS,
        contrast=("dY/dD",) * 3,
    )
    # Theirs is G/(G-1) (n-1)/(n-k), or no factor at all.
    how = {"groups": unit, "use_correction": use_t, "df_correction": use_t}
    return result, sm.OLS(y, x).fit(cov_type="cluster", cov_kwds=how, use_t=use_t)


@pytest.mark.parametrize("use_t", [True, False])
@pytest.mark.parametrize("null", [0.0, [0.1, 0.2]])
def test_joint_tests_are_those_of_statsmodels(use_t, null):
    result, peer = regression(use_t=use_t)
    n, k = 240, 3
    factor = (n - 1) / (n - k) if use_t else 1.0
    under = (WEIGHTS, np.broadcast_to(null, 2))
    told = peer.wald_test(under, use_f=use_t, scalar=True, cov_p=peer.cov_params() / factor)
    for given in (WEIGHTS, BY_TERM, list(BY_TERM.values())):
        found = result.wald(given, null=null)
        assert found.distribution == ("F" if use_t else "chi2")
        if use_t:  # theirs is F(2, 59), ours Hotelling's
            assert found.df == (2.0, 58.0)
            assert found.statistic == pytest.approx(told.statistic * 58 / 59, rel=1e-9)
            assert found.p_value == pytest.approx(stats.f.sf(found.statistic, 2, 58), rel=1e-9)
        else:
            assert found.df == (2.0,)
            assert found.statistic == pytest.approx(told.statistic, rel=1e-9)
            assert found.p_value == pytest.approx(told.pvalue, rel=1e-7)


@pytest.mark.parametrize("use_t", [True, False])
def test_combinations_have_the_errors_and_intervals_of_statsmodels(use_t):
    result, peer = regression(use_t=use_t)
    factor = 239 / 237 if use_t else 1.0
    told = peer.t_test(WEIGHTS, cov_p=peer.cov_params() / factor)
    found = result.combine(BY_TERM)
    assert found.terms == ("before", "fades")
    np.testing.assert_allclose(found.estimates, told.effect, rtol=1e-9)
    np.testing.assert_allclose(found.std_errors, told.sd, rtol=1e-9)
    np.testing.assert_allclose(found.p_values(), told.pvalue, rtol=1e-7)
    np.testing.assert_allclose(np.column_stack(found.bounds()), told.conf_int(), rtol=1e-8)


def test_a_joint_test_of_a_panel_regression_is_that_of_linearmodels():
    data = ck.generators.panel_cp2025(3, n_units=60, n_periods=5, n_covariates=3)
    data = data.blind().with_roles(treatment=["d", "x1", "x2"], covariates="x3")
    frame = data.frame.set_index(["unit", "time"])
    peer = PanelOLS(frame["y"], frame[["d", "x1", "x2", "x3"]], entity_effects=True).fit(
        cov_type="clustered", cluster_entity=True, count_effects=False, debiased=False
    )
    told = peer.wald_test(np.array([[1.0, 0, 0, 0], [0, 1, -1, 0]]), np.array([0.4, 0.0]))
    result = PanelRegression(method="fixed effects", ssc="none").fit(data).estimate()
    found = result.wald(["d", {"x1": 1, "x2": -1}], null=[0.4, 0.0], kind="normal")
    assert found.statistic == pytest.approx(told.stat, rel=1e-8)
    assert found.p_value == pytest.approx(told.pval, rel=1e-7)


@pytest.mark.parametrize("df", [9.0, np.inf])
def test_a_joint_test_of_one_term_is_its_own(make, df):
    vcov = [[0.04, 0.01], [0.01, 0.09]]
    result = make(terms=("a", "b"), estimates=[0.3, 1.0], vcov=vcov, contrast=(), df=df)
    for term, p in result.p_value(0.1).items():
        assert result.wald(term, null=0.1).p_value == pytest.approx(p, rel=1e-12)


def test_degrees_of_freedom_are_the_least_of_the_terms_that_take_part(make):
    facts = {"terms": tuple("abc"), "estimates": np.ones(3), "contrast": ()}
    result = make(**facts, vcov=np.eye(3) + 0.1, df_by_term=[9.0, 5.0, 20.0])
    found = result.combine(["a", {"a": 1, "c": 1}, {"b": 1, "c": -1}])
    np.testing.assert_array_equal(found.df_by_term, [9.0, 9.0, 5.0])
    assert result.wald(["a", "c"]).df == (2.0, 8.0)
    # The sum of the inverse of I + 0.1 J is 3/1.3, and times (5 - 3 + 1)/(3 · 5) has F(3, 3).
    assert result.wald().p_value == pytest.approx(stats.f.sf(3 / 1.3 / 5, 3, 3), rel=1e-12)


def test_combinations_of_several_terms_take_the_degrees_that_these_bring(make):
    facts = {"terms": tuple("abc"), "estimates": np.ones(3), "contrast": ()}
    result = make(
        **facts, vcov=np.eye(3) + 0.1, df_by_term=[40.0, 50.0, 60.0], df_combined=[9.0, 5.0, 20.0]
    )
    found = result.combine(["a", {"a": 1, "c": 1}, {"b": 1, "c": -1}])
    np.testing.assert_array_equal(found.df_by_term, [40.0, 9.0, 5.0])
    np.testing.assert_array_equal(found.df_combined, [9.0, 9.0, 5.0])
    np.testing.assert_array_equal(result.pairwise().df_by_term, [5.0, 9.0, 5.0])
    assert found.combine([1, -1, 0]).df == 9.0


def test_joint_tests_of_means_are_hotellings():
    """The variance of three means of a normal sample is a Wishart matrix: an exact test."""
    sample = np.random.default_rng(6).standard_normal((12, 3)) @ [[1, 0, 0], [2, 1, 0], [0, 3, 5]]
    result = effect_from_solutions(
        [_means_of(sample)],
        terms=TERMS,
        clusters=(np.arange(12),),
        cluster_names=("unit",),
        estimand="ate",
        estimator="test",
        outcome="y",
        treatment=TERMS,
    )
    mean, spread = sample.mean(axis=0), np.cov(sample, rowvar=False)
    t2 = 12 * mean @ np.linalg.solve(spread, mean)
    found = result.wald()
    assert found.df == (3.0, 9.0)
    assert found.statistic == pytest.approx(t2 * (12 - 3) / (3 * 11), rel=1e-9)


def _means_of(sample):
    return Solution(sample.mean(axis=0), sample - sample.mean(axis=0))


@pytest.mark.parametrize(("n_clusters", "k"), [(10, 5), (12, 9)])
def test_joint_tests_of_few_clusters_have_their_size(n_clusters, k):
    rejected, codes = [], np.repeat(np.arange(n_clusters), 4)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        sample = rng.standard_normal((n_clusters, k))[codes] + rng.standard_normal((codes.size, k))
        result = effect_from_solutions(
            [_means_of(sample)],
            terms=[f"x{j}" for j in range(k)],
            clusters=(codes,),
            estimand="ate",
            estimator="test",
            outcome="y",
            treatment=("d",),
        )
        rejected.append(result.wald().p_value < 0.05)
    # Three Monte-Carlo errors; F(r, G - 1) rejects in 27 % and more.
    assert np.mean(rejected) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_more_restrictions_than_degrees_of_freedom_are_refused(make):
    facts = {"terms": tuple("abcd"), "estimates": np.ones(4), "vcov": np.eye(4), "contrast": ()}
    few = make(**facts, df=3.0)
    with pytest.raises(ArgumentError, match=r"4 restrictions.*3 degrees.*Test fewer terms"):
        few.wald()
    assert few.wald(list("abc")).df == (3.0, 1.0)
    assert few.wald(["a", {"a": 2}, "b", "c"]).df == (3.0, 1.0)
    # A variance of three clusters has rank two, whatever distribution is asked for.
    clustered = make(**facts, df=np.inf, n_clusters=3)
    with pytest.raises(ArgumentError, match=r"4 restrictions.*2 degrees"):
        clustered.wald()
    plain = make(**facts, df=3.0, n_clusters=None, cov_type="robust")
    assert plain.wald(kind="normal").df == (4.0,)
    assert make(**facts, df=30.0, cov_type="nonrobust").wald().df == (4.0, 30.0)


@pytest.mark.parametrize("df", [9.0, np.inf])
def test_what_has_no_variance_and_is_not_as_the_null_says_is_certain(make, df):
    facts = {"terms": ("a", "b"), "vcov": np.ones((2, 2)), "contrast": (), "df": df}
    found = make(estimates=[0.0, 5.0], **facts)
    difference = {"b": 1, "a": -1}
    for test in (found.wald(), found.wald(difference), found.wald([difference], null=4.0)):
        assert (test.statistic, test.p_value) == (np.inf, 0.0)
    assert found.combine(difference).p_value() == 0.0
    assert found.wald().df == ((2.0, 8.0) if df == 9.0 else (2.0,))
    # Where the null says the same, the rest is tested: one term, as b - a is known.
    same = found.wald(null=[-1.0, 4.0])
    assert same.p_value == pytest.approx(found.wald("a", null=-1.0).p_value, rel=1e-9)
    almost = make(estimates=[0.1 + 0.2, 0.3], **facts).wald()  # equal but for rounding
    assert np.isfinite(almost.statistic)


def test_a_joint_test_takes_the_interval_of_its_result(make):
    """As p-values of one term do: combinations of a normal result are tested by χ²."""
    facts = {"terms": ("a", "b"), "estimates": [1.0, 2.0], "vcov": np.eye(2), "contrast": ()}
    assert make(**facts, df=9.0, interval="normal").wald().distribution == "chi2"
    assert make(**facts, df=9.0, interval="t").wald().distribution == "F"
    assert make(**facts, df=9.0, interval="uniform").wald().distribution == "F"
    assert make(**facts, df=9.0, interval="normal").wald(kind="t").distribution == "F"


def test_influence_and_bootstrap_of_a_combination_are_those_of_its_terms():
    result, _ = regression(use_t=True)
    found = result.combine({"now": 1, "lag": 1})
    np.testing.assert_array_equal(found.influence[:, 0], result.influence[:, 1:] @ [1.0, 1.0])
    assert found.clusters == result.clusters
    alone = result.combine("now")
    # The two draw their multipliers in another order: an error of the quantile of 9999 draws.
    assert np.ptp([*alone.conf_int(kind="bootstrap", n_boot=9999)]) == pytest.approx(
        np.ptp(result.conf_int(kind="bootstrap", n_boot=9999).loc["now"]), rel=0.06
    )


def test_draws_of_terms_are_none_of_combinations(make):
    draws = xr.Dataset({"tau": (("chain", "draw", "term"), np.zeros((1, 5, 2)))})
    facts = {"terms": ("a", "b"), "estimates": [1.0, 2.0], "vcov": np.eye(2), "contrast": ()}
    result = make(**facts, draws=draws)
    assert result.combine({"a": 1, "b": -1}).draws is None
    assert result.pairwise().draws is None


def test_a_frame_of_weights_goes_by_its_columns(make):
    result = make(terms=tuple("abc"), estimates=[1.0, 2.0, 4.0], vcov=np.eye(3), contrast=())
    frame = pd.DataFrame({"c": [1, 0], "a": [0, 2]})
    np.testing.assert_array_equal(result.combine(frame).estimates, [4.0, 2.0])
    np.testing.assert_array_equal(result.combine(frame.iloc[1]).estimates, [2.0])
    found = result.combine([[1, 0, -0.5], [-1, 2, 1], [-1, 0, -2]])
    assert found.terms == ("a - 0.5 c", "2 b + c - a", "-a - 2 c")
    assert result.combine([1, 1, 1]).estimate == 7.0


def test_dependent_restrictions_count_once_and_contradictions_are_refused(make):
    facts = {"terms": ("a", "b"), "estimates": [1.0, 2.0], "contrast": (), "df": np.inf}
    result = make(vcov=np.diag([0.2, 0.3]), **facts)
    pair = result.wald(["a", "b"])
    twice = result.wald(["a", "b", {"a": 1, "b": -1}])
    assert twice.df == pair.df == (2.0,)
    assert twice.statistic == pytest.approx(pair.statistic, rel=1e-9)
    with pytest.raises(ArgumentError, match="contradict each other"):
        result.wald(["a", {"a": 2}], null=[0.0, 1.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("now ", r"unknown term 'now '.*'now'"),
        ({"now": np.nan}, r"weight of 'now' must be a finite number"),
        ({"now": "1"}, r"weight of 'now' must be a finite number"),
        ([[1.0, 2.0]], r"shape \(1, 2\).*3 terms \(lead, now, lag\)"),
        ({"now": 0.0}, r"no weight that is not zero"),
        ([], r"give names of terms"),
        (object(), r"cannot read"),
    ],
)
def test_weights_that_are_none_name_the_forms_that_are(given, message):
    result, _ = regression(use_t=True)
    for question in (result.combine, result.wald):
        with pytest.raises((ArgumentError, TypeError), match=message):
            question(given)


def test_a_null_that_fits_no_restriction_and_a_kind_for_single_terms_are_refused():
    result, _ = regression(use_t=True)
    with pytest.raises(ArgumentError, match="one for each of 2 restrictions"):
        result.wald(WEIGHTS, null=[0.0, 0.0, 0.0])
    with pytest.raises(ArgumentError, match="null must be finite"):
        result.wald(null=np.nan)
    with pytest.raises(ArgumentError, match="kind='bootstrap' is for single terms"):
        result.wald(kind="bootstrap")


def arms(make, **more):
    given = {"terms": tuple("abc"), "treatment": ("drug",), "estimates": [1.0, 3.0, 4.0]}
    contrast = ("statin vs none", "aspirin vs none", "both vs none")
    return make(**(given | {"vcov": np.diag([0.1, 0.2, 0.3]), "contrast": contrast} | more))


def test_combinations_say_what_they_compare(make):
    result = arms(make)
    found = result.combine([{"b": 1, "a": -1}, "c", {"a": 1, "b": 1}, {"a": 2, "b": -2}])
    assert found.contrast == ("aspirin vs statin", "both vs none", "", "")
    assert arms(make, contrast=("1 vs 0",) * 3).combine([1, 1, 1]).contrast == ("1 vs 0",)
