"""Pairwise differences, against statsmodels, Tukey's range and by simulation."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import studentized_range

from causalkit.errors import ArgumentError
from causalkit.inference.solve import solve_linear
from causalkit.results import effect_from_solutions
from causalkit.scores import effect_projection

LABELS = ("low", "middle", "high")
FACTS = {"estimand": "gate", "estimator": "test", "outcome": "y", "treatment": ("d",)}


def groups(truth=(1.0, 1.0, 1.0), n_units=150, n_periods=4, seed=0):
    """Residuals, groups of whole units, and the result of their slopes."""
    rng = np.random.default_rng([3, seed])
    unit = np.repeat(np.arange(n_units), n_periods)
    group = unit % len(truth)
    v = rng.standard_normal(unit.size)
    y = np.asarray(truth)[group] * v + rng.standard_normal(unit.size)
    basis = (group[:, None] == np.arange(len(truth))).astype(float)
    result = effect_from_solutions(
        solve_linear(effect_projection(v[:, None], y[:, None], basis)),
        terms=LABELS[: len(truth)],
        clusters=(unit,),
        cluster_names=("unit",),
        ssc="none",
        use_t=False,
        contrast=("1 vs 0",) * len(truth),
        seed=5,
        **FACTS,
    )
    return result, v[:, None] * basis, y, unit


def test_differences_and_their_errors_are_those_of_statsmodels():
    result, x, y, unit = groups(truth=(1.0, 1.5, 0.5))
    found = result.pairwise()
    peer = sm.OLS(y, x).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}, use_t=False
    )
    contrasts = peer.t_test([[1, -1, 0], [1, 0, -1], [0, 1, -1]])
    assert found.terms == ("low - middle", "low - high", "middle - high")
    np.testing.assert_allclose(found.estimates, contrasts.effect, rtol=1e-9)
    np.testing.assert_allclose(found.std_errors, contrasts.sd, rtol=1e-9)
    np.testing.assert_allclose(found.p_values(kind="normal"), contrasts.pvalue, rtol=1e-7)
    assert found.contrast == ("1 vs 0",) * 3


def four(make, *, df, estimates=(0.0, 0.0, 0.0, 0.0)):
    """Four independent effects with one variance, for which Tukey (1953) knows the answers."""
    vcov = 0.04 * np.eye(4)
    return make(terms=tuple("abcd"), estimates=estimates, vcov=vcov, contrast=(), df=df).pairwise()


@pytest.mark.parametrize("df", [8.0, 544.0, np.inf])
def test_intervals_of_independent_groups_of_one_size_are_tukeys(make, df):
    result = four(make, df=df)
    tukey = studentized_range.ppf(0.95, 4, df) / np.sqrt(2)
    low, high = result.bounds(n_boot=40000)
    reach = (high - low) / 2
    np.testing.assert_allclose(result.std_errors, np.sqrt(0.08), rtol=1e-12)
    # Quantile of 40,000 draws: four Monte-Carlo errors, from the density of the range there.
    density = studentized_range.pdf(tukey * np.sqrt(2), 4, df) * np.sqrt(2)
    tolerance = 4 * np.sqrt(0.05 * 0.95 / 40000) / density
    np.testing.assert_allclose(reach / result.std_errors, tukey, atol=tolerance)


@pytest.mark.parametrize("df", [8.0, np.inf])
def test_adjusted_p_values_are_tukeys_too(make, df):
    found = four(make, df=df, estimates=[0.0, 0.3, 0.55, 0.9])
    ratios = np.abs(found.estimates) / found.std_errors
    tukey = studentized_range.sf(ratios * np.sqrt(2), 4, df)
    np.testing.assert_allclose(found.p_values(n_boot=40000), tukey, atol=4 * 0.5 / np.sqrt(40000))
    assert (found.p_values() > found.p_values(kind="t" if df == 8.0 else "normal")).all()


def test_one_pair_is_an_ordinary_test():
    found = groups(truth=(1.0, 1.2))[0].pairwise()
    joint, plain = found.p_value(n_boot=40000), found.p_value(kind="normal")
    assert joint == pytest.approx(plain, abs=4 * np.sqrt(plain * (1 - plain) / 40000))


def test_bands_cover_all_differences_at_once_and_pointwise_intervals_do_not():
    n_sets, joint, pointwise = 300, 0, 0
    for seed in range(n_sets):
        found = groups(n_units=300, seed=seed)[0].pairwise()
        for kind in ("uniform", "normal"):
            low, high = found.bounds(kind=kind)
            inside = bool(((low <= 0) & (high >= 0)).all())
            joint += inside * (kind == "uniform")
            pointwise += inside * (kind == "normal")
    mcse = np.sqrt(0.95 * 0.05 / n_sets)
    assert abs(joint / n_sets - 0.95) <= 3 * mcse
    assert pointwise / n_sets < 0.95 - 3 * mcse


def test_every_rendering_uses_and_names_the_adjustment():
    found = groups(truth=(1.0, 1.5, 0.5))[0].pairwise()
    low, _ = found.bounds(kind="uniform")
    tidy = found.tidy()
    assert tidy["conf_low"].tolist() == low.tolist()
    assert tidy["p_value"].tolist() == found.p_values(kind="uniform").tolist()
    assert set(tidy["estimand"]) == {"gate-differences"}
    for text in (found.summary(), found.to_latex(), found.to_markdown()):
        flat = " ".join(text.split())
        assert "p and intervals simultaneous" in flat
        assert "largest of 3 t-ratios" in flat
    again = type(found).from_dict(found.to_dict())
    np.testing.assert_array_equal(again.bounds(), found.bounds())


def test_what_has_no_pairs_is_refused(make):
    with pytest.raises(ArgumentError, match=r"at least two terms; this result has one \(union\)"):
        make().pairwise()
    mixed = make(terms=("a", "b"), estimates=[0, 0], vcov=np.eye(2), contrast=("1 vs 0", "dY/dD"))
    with pytest.raises(ArgumentError, match=r"different contrasts \(1 vs 0, dY/dD\)"):
        mixed.pairwise()


def arms(make, **more):
    """Three arms against one baseline: Tukey's (1953) setting with a shared control."""
    facts = {
        "terms": ("drug=aspirin", "drug=statin", "drug=both"),
        "treatment": ("drug",),
        "estimates": [1.0, 3.0, 4.0],
        "vcov": np.diag([0.1, 0.2, 0.3]) + 0.4,
        "contrast": ("aspirin vs none", "statin vs none", "both vs none"),
    }
    return make(**(facts | more))


def test_arms_against_one_baseline_are_compared_with_each_other(make):
    found = arms(make).pairwise()
    assert found.contrast == ("aspirin vs statin", "aspirin vs both", "statin vs both")
    np.testing.assert_array_equal(found.estimates, [-2.0, -3.0, -1.0])
    # The mean of the baseline, 0.4 of each variance, cancels: arms are independent.
    np.testing.assert_allclose(found.std_errors**2, [0.3, 0.4, 0.5], rtol=1e-12)


@pytest.mark.parametrize(
    "more",
    [
        {"contrast": ("aspirin vs none", "statin vs none", "both vs statin")},
        {"contrast": ("aspirin vs none", "statin vs none", "dY/dD")},
        {"contrast": ("aspirin vs none", "statin vs none", "statin vs none")},
        {"treatment": ("drug", "dose")},
    ],
    ids=["two baselines", "a slope", "groups beside arms", "two treatments"],
)
def test_contrasts_that_are_not_arms_against_one_baseline_are_refused(make, more):
    with pytest.raises(ArgumentError, match=r"not arms against one baseline.*combine\("):
        arms(make, **more).pairwise()


def test_names_of_arms_may_hold_the_word_between(make):
    contrast = ("a vs b vs no vs c", "b vs no vs c", "d vs no vs c")
    found = arms(make, contrast=contrast).pairwise()
    assert found.contrast == ("a vs b vs b", "a vs b vs d", "b vs d")
