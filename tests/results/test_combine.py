"""Linear combinations and joint tests of terms, against statsmodels, linearmodels and algebra."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.panel import PanelOLS
from scipy import stats

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.inference.solve import solve_linear
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
        assert found.df == ((2.0, 59.0) if use_t else (2.0,))
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
    assert result.wald(["a", "c"]).df == (2.0, 9.0)
    # The sum of the inverse of 1 + 0.1 J is 3/1.3, and is on the scale of F(3, 5).
    assert result.wald().p_value == pytest.approx(stats.f.sf(1.0 / 1.3, 3, 5), rel=1e-12)


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
