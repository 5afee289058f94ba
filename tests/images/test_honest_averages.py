"""Honest averages of scores: by type, over all, by calibration and by quartile."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from causalkit.errors import ArgumentError, CausalKitWarning, IdentificationError
from causalkit.images.effect_map import EffectMap
from causalkit.images.honest import Evaluation, honest_effect, quartile_effect
from causalkit.images.splits import Parts

FACTS = {"estimator": "test", "outcome": "y", "treatment": ("t",)}


def evaluation(n=600, k=2, *, clusters=False, seed=0):
    rng = np.random.default_rng(seed)
    types = rng.dirichlet(np.full(k, 0.3), n)
    codes = rng.integers(0, 60, n) if clusters else None
    shock = 0.0 if codes is None else rng.normal(size=60)[codes]
    score = types @ np.linspace(-1.0, 1.0, k) + rng.normal(size=n) + shock
    cate = types @ np.linspace(-0.5, 0.5, k)
    return Evaluation(np.arange(n), score, np.arange(n) % 2 * 1.0, cate, types, codes)


@pytest.mark.parametrize("clusters", [False, True])
def test_averages_and_errors_are_those_of_statsmodels(clusters):
    found = evaluation(clusters=clusters)
    designs = {
        "clusters": (found.assigned[:, None] == np.arange(2)).astype(float),
        "soft": found.types,
        "ate": np.ones((600, 1)),
    }
    for estimand, design in designs.items():
        mine = honest_effect(found, estimand, **FACTS)
        fit = sm.OLS(found.score, design)
        if clusters:
            groups = {"groups": found.clusters, "use_correction": False}
            peer = fit.fit(cov_type="cluster", cov_kwds=groups)
            factor = np.sqrt(60 / 59)
        else:
            peer, factor = fit.fit(cov_type="HC1"), 1.0
            if estimand == "clusters":  # each by its own rows, where HC1 counts all
                rows = design.sum(axis=0)
                factor = np.sqrt(rows / (rows - 1.0) * (600 - 2) / 600)
        np.testing.assert_allclose(mine.estimates, peer.params, rtol=1e-9)
        np.testing.assert_allclose(mine.std_errors, peer.bse * factor, rtol=1e-6)


@pytest.mark.parametrize("clusters", [False, True])
def test_a_calibration_is_the_average_effect_and_the_slope_of_least_squares(clusters):
    """Each with its error: the constant of the regression would have a lesser one."""
    found = evaluation(clusters=clusters)
    line, mean = (honest_effect(found, name, **FACTS) for name in ("calibration", "ate"))
    fit = sm.OLS(found.score, np.stack([np.ones(600), found.cate - found.cate.mean()], axis=1))
    groups = {"groups": found.clusters if clusters else np.arange(600), "use_correction": False}
    peer = fit.fit(cov_type="cluster", cov_kwds=groups)
    np.testing.assert_allclose(line.estimates, [mean.estimates[0], peer.params[1]], rtol=1e-9)
    np.testing.assert_allclose(line.influence[:, 0], mean.influence[:, 0], rtol=1e-9)
    slope = peer.bse[1] * (60 / 59) ** 0.5 if clusters else peer.bse[1]
    # Without clusters n / (n - k), of one effect or of two.
    rounding = 1e-6 if clusters else 2 / 600
    np.testing.assert_allclose(line.std_errors, [mean.std_errors[0], slope], rtol=rounding)
    assert line.std_errors[0] > 1.01 * peer.bse[0]


def test_the_average_of_a_calibration_varies_as_its_error_says():
    """Perfect predictions of effects with standard deviation 2, under noise of one: .112.

    The spread of 400 estimates is within 3.5 of its own standard errors; an error of least squares
    on the predictions would be .05.
    """
    estimates, errors = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        tau = 1.0 + 2.0 * rng.normal(size=400)
        score = tau + rng.normal(size=400)
        line = honest_effect(with_predictions(tau, score), "calibration", **FACTS)
        estimates.append(line.estimates[0])
        errors.append(line.std_errors[0])
    wanted = (5.0 / 400) ** 0.5
    assert np.mean(errors) == pytest.approx(wanted, rel=0.01)
    assert np.std(estimates) == pytest.approx(wanted, rel=3.5 / 800**0.5)


def test_small_clusters_are_left_out_and_none_is_an_error():
    found = evaluation(k=3)
    types = np.zeros((600, 3))
    types[np.arange(600), np.where(np.arange(600) < 30, 0, 1 + np.arange(600) % 2)] = 1.0
    few = Evaluation(
        found.rows, found.score, np.arange(600) // 2 % 2 * 1.0, found.cate, types, None
    )
    assert few.too_few().tolist() == [True, False, False]
    assert honest_effect(few, "clusters", **FACTS).terms == ("cluster 2", "cluster 3")
    tiny = Evaluation(
        *(part[:30] for part in (few.rows, few.score, few.treatment, few.cate, types)), None
    )
    with pytest.raises(IdentificationError, match="every cluster has fewer than 20 treated or"):
        honest_effect(tiny, "clusters", **FACTS)


@pytest.mark.parametrize(("treated", "control"), [(10, 10), (9, 30), (30, 9), (1, 1)])
def test_types_need_ten_clusters_in_each_arm_where_errors_are_clustered(treated, control):
    """Sixty villages of forty rows, of which some treated and some controls are of the first type.

    With one of each an interval covers 60 %, with ten 94, however many rows they have.
    """
    village = np.repeat(np.arange(60), 40)
    t = (village < 30) * 1.0
    first = (village < treated) | ((village >= 30) & (village < 30 + control))
    types = np.stack([first, ~first], axis=1) * 1.0
    score = np.random.default_rng(0).normal(size=2400)
    found = Evaluation(np.arange(2400), score, t, score, types, village, "village")
    few = [min(held) < 10 for held in ((treated, control), (30 - treated, 30 - control))]
    assert found.too_few().tolist() == few
    if all(few):
        message = r"in fewer than 10 of 'village', among the 2400 evaluation rows"
        with pytest.raises(IdentificationError, match=message):
            honest_effect(found, "clusters", **FACTS)
    else:
        names = np.array(["cluster 1", "cluster 2"])[~np.array(few)].tolist()
        assert list(honest_effect(found, "clusters", **FACTS).terms) == names
    # Rows apart: all have twenty or more, but for the second type with no treated or no control.
    apart = Evaluation(np.arange(2400), score, t, score, types, None)
    assert apart.too_few().tolist() == [False, 30 in (treated, control)]


def test_types_that_are_not_told_apart_have_no_soft_effects():
    found = evaluation()
    blurred = 0.5 + 0.02 * (found.types - 0.5)
    same = Evaluation(found.rows, found.score, found.treatment, found.cate, blurred, None)
    with pytest.raises(IdentificationError, match=r"not separated.*condition number"):
        honest_effect(same, "soft", **FACTS)


def test_predictions_that_do_not_vary_cannot_be_calibrated():
    found = evaluation()
    flat = Evaluation(found.rows, found.score, found.treatment, np.ones(600), found.types, None)
    with pytest.raises(IdentificationError, match="do not vary"):
        honest_effect(flat, "calibration", **FACTS)
    with pytest.raises(IdentificationError, match="no place comes before another"):
        ranking(flat).rate(n_boot=20)


def test_rows_that_were_learned_from_are_not_ranked():
    fit = ranking(evaluation())
    assert fit.rate(n_boot=20).notes == (
        "None of the 600 rows was among those that the ranking was learned from.",
    )
    fit.parts_ = replace(fit.parts_, select=fit.evaluation_.rows[:2])
    with pytest.raises(ArgumentError, match="2 ids are among training_ids"):
        fit.rate(n_boot=20)


def ranking(found):
    """An estimator whose models predict so."""
    fit = EffectMap()
    fit.evaluation_, fit.seed_ = found, 0
    fit.parts_ = Parts(np.arange(1000, 1600), np.arange(1600, 1700), found.rows)
    fit.result_ = honest_effect(found, "ate", **FACTS)
    return fit


def test_the_ranking_is_clustered_as_the_averages_are():
    fit = ranking(evaluation(clusters=True))
    rate = fit.rate("QINI", n_boot=50)
    assert rate.effects.n_clusters == 60
    with pytest.raises(ArgumentError, match="unknown target 'GINI'"):
        fit.rate("GINI", n_boot=50)


def with_predictions(cate, score):
    n = len(cate)
    treatment = np.arange(n) % 2.0
    return Evaluation(np.arange(n), score, treatment, cate, np.ones((n, 1)), None)


def test_equal_predictions_share_a_quartile_whatever_the_order_of_the_rows():
    """Five distinct predictions, of which one spans a border between quartiles."""
    rng = np.random.default_rng(0)
    cate = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0], [100, 80, 60, 60, 100])
    score = np.sort(rng.normal(size=400))
    found = quartile_effect(with_predictions(cate, score), **FACTS)
    # Middles of ranks at 49.5, 139.5, 209.5, 269.5 and 349.5 of 400.
    means = [score[:100], score[100:180], score[180:300], score[300:]]
    np.testing.assert_allclose(found.estimates, [part.mean() for part in means])
    mixed = rng.permutation(400)
    again = quartile_effect(with_predictions(cate[mixed], score[mixed]), **FACTS)
    np.testing.assert_allclose(again.estimates, found.estimates)


def test_quartiles_without_rows_are_told_of():
    cate = np.repeat([0.0, 1.0], [300, 100])
    with pytest.warns(CausalKitWarning, match="quartiles left out.*: 1, 3"):
        found = quartile_effect(with_predictions(cate, cate), **FACTS)
    assert found.terms == ("quartile 2", "quartile 4")
    assert "quartiles left out" in found.warnings[-1]


def test_predictions_that_do_not_vary_have_no_quartiles():
    with pytest.raises(IdentificationError, match="there are no quartiles of them"):
        quartile_effect(with_predictions(np.ones(400), np.ones(400)), **FACTS)
