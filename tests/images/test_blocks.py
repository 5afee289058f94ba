"""Blocks with propensities and outcomes of their own: no effect of the treatment."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_limits
from trial_units import units_of

from causalkit import CausalData, EmbeddingEffectClusters, ImageCausalForest
from causalkit.errors import CausalKitWarning, DataError
from causalkit.images.blocks import stratum_means, with_blocks
from causalkit.images.honest import Evaluation, checked_agreement
from causalkit.images.model import DESIGN_SD, Mixture
from causalkit.images.splits import Parts

torch.set_num_threads(1)
MODES = {"likelihood": "normal", "inference": "map", "n_ensemble": 1, "random_state": 0}
PARTS = Parts(np.arange(300), np.arange(300, 400), np.arange(400, 600))
X = ["x1", "x2", "x3"]


@pytest.fixture(autouse=True)
def one_thread():
    """Boosted trees on few rows wait for threads many times as long as they compute."""
    with threadpool_limits(1):
        yield


def units(seed=0, *, chances=(0.5,), strata=True, n=600, n_strata=20):
    """Rows in pairs that share a place; 20 strata, whose shifts have standard deviation 2."""
    rng = np.random.default_rng(seed)
    place = np.arange(n) // 2
    stratum = rng.permutation(n // 2)[place] % n_strata
    propensity = np.asarray(chances)[stratum % len(chances)]
    return units_of(
        2.0 * rng.normal(size=n_strata)[stratum] + rng.normal(size=n),
        (rng.random(n) < propensity) * 1.0,
        propensity,
        place,
        strata=stratum if strata else None,
    )


def null_trial(seed, *, n=800, shift=2.0, chances=(0.2, 0.8), strata="b", binary=False):
    """No effect; two blocks, whose outcomes and propensities differ."""
    rng = np.random.default_rng(seed)
    x, place = rng.normal(size=(n // 2, 3)), np.repeat(np.arange(n // 2), 2)
    b = rng.integers(0, 2, n // 2)[place]
    e = np.asarray(chances)[b]
    y = shift * b + rng.normal(size=n)
    frame = pd.DataFrame(x[place], columns=X).assign(
        v=place, b=b, e=e, t=(rng.random(n) < e).astype(int), y=(y > 1.0) * 1.0 if binary else y
    )
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=X,
        cluster="v",
        strata=strata,
        extra=["e"] if strata else ["e", "b"],
    )


def test_a_stratum_keeps_of_its_mean_what_the_analysis_of_variance_says():
    """Balanced, and half of each stratum treated: the textbook's one-way random effects."""
    rng = np.random.default_rng(0)
    strata, t = np.repeat(np.arange(8), 10), np.tile([0.0, 1.0], 40)
    y = rng.normal(size=8)[strata] + 0.7 * t + rng.normal(size=80)
    found = replace(units(n=80), outcome=y, treatment=t, propensity=np.full(80, 0.5), strata=strata)
    residual = y - y[t == 0].mean() - t * (y[t == 1].mean() - y[t == 0].mean())
    table = residual.reshape(8, 10)
    between, within = 10.0 * table.mean(axis=1).var(ddof=1), table.var(axis=1, ddof=1).mean()
    variance = (between - within) / 10.0
    expected = table.mean(axis=1) * variance / (variance + within / 10.0)
    np.testing.assert_allclose(stratum_means(found, strata, np.arange(80)), expected, rtol=1e-10)


def test_nothing_is_added_without_strata_and_with_one_propensity():
    before = units(strata=False)
    assert with_blocks(before, PARTS, seed=0) is before
    even = replace(units(), outcome=np.tile([1.0, -1.0], 300))
    assert with_blocks(even, PARTS, seed=0) is even  # strata do not differ more than by chance


def test_the_outcomes_of_a_place_have_no_part_in_its_own_column():
    before = units()
    moved = before.outcome.copy()
    moved[10:12] += 50.0
    moved[PARTS.evaluate] += 50.0
    one, other = (
        with_blocks(replace(before, outcome=y), PARTS, seed=0).design
        for y in (before.outcome, moved)
    )
    np.testing.assert_array_equal(one[10:12], other[10:12])
    assert np.abs(one - other)[PARTS.train].max() > 0.1


def test_strata_are_told_by_one_column_and_propensities_by_another():
    alone = with_blocks(units(), PARTS, seed=0).design
    assert alone.shape == (600, 1)
    both = with_blocks(units(chances=(0.2, 0.5, 0.8)), PARTS, seed=0)
    assert both.design.shape == (600, 2)
    np.testing.assert_allclose(np.ptp(both.design[:, 0] - both.propensity), 0.0, atol=1e-12)
    unnamed = with_blocks(units(chances=(0.2, 0.5, 0.8), strata=False), PARTS, seed=0)
    np.testing.assert_array_equal(unnamed.design[:, 0], both.design[:, 0])


def test_the_weights_of_the_design_hardly_shrink_however_many_features_there_are():
    model = Mixture(n_types=2, n_features=64, n_covariates=3, n_design=2)
    np.testing.assert_allclose(model.base_sds, [0.5 / 4] * 65 + [DESIGN_SD] * 2)


@pytest.mark.parametrize("strata", ["b", None])
def test_blocks_with_propensities_of_their_own_are_no_effect(strata):
    """By least squares that leaves them out the mean predicted effect would be 1.2."""
    data = null_trial(1, n=4000, strata=strata)
    fit = EmbeddingEffectClusters(propensity="e", n_clusters=1, **MODES).fit(data)
    error = (1.0 / (0.16 * 2000)) ** 0.5  # of the efficient estimate from the training rows
    assert abs(float(fit.predict_cate(data).mean())) < 3.5 * error
    # And of the honest average: one over the root of the rows times e (1 - e).
    honest = fit.estimate("ate")
    assert honest.std_errors[0] == pytest.approx((1.0 / (0.16 * 1600)) ** 0.5, rel=0.1)
    assert fit.diagnostics_["agreement"]["predicted"] == pytest.approx(
        fit.evaluation_.cate.mean(), abs=1e-12
    )


def test_blocks_are_no_risk_difference_either():
    data = null_trial(2, n=4000, binary=True)
    settings = MODES | {"likelihood": "bernoulli"}
    fit = EmbeddingEffectClusters(propensity="e", n_clusters=1, **settings).fit(data)
    error = (0.25 / (0.16 * 2000)) ** 0.5  # at most, by the variance of zeros and ones
    assert abs(float(fit.evaluation_.cate.mean())) < 3.5 * error
    assert 3.5 * error < 0.15  # blocks left out: 0.4


def test_other_places_have_the_blocks_of_the_trial_on_average():
    """A target names no strata; where outcomes are 0/1 the baseline matters to effects."""
    data = null_trial(2, n=1200, binary=True)
    settings = MODES | {"likelihood": "bernoulli"}
    fit = EmbeddingEffectClusters(propensity="e", n_clusters=1, **settings).fit(data)
    bare = CausalData.from_frame(
        data.frame[[*X, "y", "t"]], outcome="y", treatment="t", covariates=X
    )
    posterior = fit.members_[0].posterior
    features = bare.matrix("covariates")
    blank = np.zeros((bare.n, posterior.model.n_design))
    expected = posterior.cate(posterior.types(features), features, blank).mean(axis=0)
    assert posterior.model.n_design > 0
    np.testing.assert_allclose(fit.predict_cate(bare), expected)


def test_orthogonal_outcomes_know_the_blocks_too():
    data = null_trial(3, n=2000)
    fit = EmbeddingEffectClusters(propensity="e", n_clusters=1, orthogonalize=True, **MODES).fit(
        data
    )
    error = (1.0 / (0.16 * 1000)) ** 0.5
    assert abs(float(fit.predict_cate(data).mean())) < 3.5 * error


def test_a_forest_averages_in_less_noise_where_it_knows_the_blocks():
    data = null_trial(4, n=1000, shift=6.0, chances=(0.5, 0.5))
    vectors = data.matrix("covariates")
    settings = {"propensity": 0.5, "n_trees": 40, "n_components": 3, "random_state": 0}
    named, unnamed = (
        ImageCausalForest(**settings).fit(one, vectors).estimate("ate")
        for one in (data, data.with_roles(strata=None))
    )
    # Noise 1 in place of 1 and blocks of standard deviation 3.
    assert named.std_errors[0] == pytest.approx((4.0 / 400) ** 0.5, rel=0.15)
    assert unnamed.std_errors[0] > 2.5 * named.std_errors[0]


def evaluation(gap, n=400):
    rng = np.random.default_rng(0)
    score = rng.normal(size=n)
    score += gap - score.mean()
    return Evaluation(
        np.arange(n), score, np.arange(n) % 2 * 1.0, np.zeros(n), np.ones((n, 1)), None
    )


def test_predictions_that_are_off_for_all_places_are_warned_of():
    found = checked_agreement(evaluation(0.0), 400)
    error = evaluation(0.0).score.std() * (2.0 / 400) ** 0.5  # of both parts, as many rows each
    assert found["std_error"] == pytest.approx(error, rel=0.01)
    checked_agreement(evaluation(2.8 * error), 400)
    with pytest.warns(CausalKitWarning, match=r"average 0, and .* 3\.2 standard errors apart"):
        checked_agreement(evaluation(3.2 * error), 400)


def test_what_blocks_level_out_of_an_average_a_model_may_not():
    """Scores of pairs sum to zero: all of the error is that of the training, of rows apart."""
    score = np.tile([1.0, -1.0], 200)
    pairs = replace(evaluation(0.0), score=score, clusters=np.arange(400) // 2)
    expected = (400 / 399 / 400) ** 0.5 * (400 / 800) ** 0.5
    assert checked_agreement(pairs, 800)["std_error"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:(cluster 1|every cluster) has fewer than 20")
@pytest.mark.parametrize("orthogonalize", [False, True])
def test_few_groups_are_as_many_folds(orthogonalize):
    """Eight clusters of 120 rows, of which some four train."""
    rng = np.random.default_rng(0)
    cluster, b = np.repeat(np.arange(8), 120), np.arange(960) % 4
    x = rng.normal(size=(960, 3))
    frame = pd.DataFrame(x, columns=X).assign(
        y=rng.normal(size=960) + b, t=cluster % 2, c=cluster, b=b
    )
    data = CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=X, cluster="c", strata="b"
    )
    shares = {"split": (0.3, 0.3, 0.4), "propensity": 0.5}
    if orthogonalize:
        settings = shares | MODES | {"n_clusters": 1, "orthogonalize": True}
        fit = EmbeddingEffectClusters(**settings).fit(data)
    else:
        settings = {"n_trees": 20, "n_components": 3, "random_state": 0}
        fit = ImageCausalForest(**shares, **settings).fit(data, x)
    assert fit.estimate("ate").n_clusters == 4


def test_rows_of_one_group_have_no_folds():
    one = replace(units(), groups=np.zeros(600, dtype=np.int64))
    with pytest.raises(DataError, match=r"the 400 rows .* belong to 1 group .* at least two"):
        with_blocks(one, PARTS, seed=0)


@pytest.mark.slow
def test_intervals_cover_no_effect_whatever_the_blocks():
    """Thirty trials; chance has 24 or fewer of them covered in 1 of 300."""
    held, means = [], []
    for seed in range(30):
        data = null_trial(100 + seed)
        fit = EmbeddingEffectClusters(
            likelihood="normal",
            propensity="e",
            n_clusters=1,
            n_restarts=1,
            n_draws=200,
            random_state=0,
        ).fit(data)
        found = fit.effect(data)
        held.append(float(found["conf_low"][0]) <= 0.0 <= float(found["conf_high"][0]))
        means.append(float(found["effect"].mean()))
    assert sum(held) >= 25
    assert abs(np.mean(means)) < 3.5 * np.std(means, ddof=1) / 30**0.5
