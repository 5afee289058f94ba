"""RATE against exact tables, closed forms and simulation, and what it must refuse."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError, FewClustersWarning
from causalkit.heterogeneity.plots_rate import plot_toc
from causalkit.metrics import rank_effects
from causalkit.rng import stream

SCORES = [1.0, 2.0, 3.0, 4.0]
rate = ck.rank_average_treatment_effect


def experiment(rng: np.random.Generator, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Scores from known means and propensity, noise 1, and the effects themselves, N(0, 1)."""
    tau = rng.normal(size=n)
    t = rng.integers(0, 2, n)
    y = t * tau + rng.normal(size=n)
    return ck.dr_scores(y, t, np.zeros(n), tau, 0.5), tau


@pytest.mark.parametrize(
    ("priorities", "weights", "area", "area_q", "curve"),
    [
        ([1, 2, 3, 4], None, 0.75, 0.3125, [1.5, 1.0, 0.5, 0.0]),
        ([1, 1, 2, 2], None, 0.583333, 0.25, [1.0, 1.0, 1 / 3, 0.0]),
        ([1, 1, 1, 1], None, 0.0, 0.0, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_the_published_table_comes_out_through_the_public_door(
    priorities, weights, area, area_q, curve
):
    grid = [0.25, 0.5, 0.75, 1.0]
    by_target = {
        target: rate(SCORES, priorities, target=target, sample_weight=weights, q=grid, seed=0)
        for target in ("AUTOC", "QINI")
    }
    assert by_target["AUTOC"].estimate == pytest.approx(area, abs=5e-7)
    assert by_target["QINI"].estimate == pytest.approx(area_q, abs=5e-7)
    assert by_target["QINI"].toc["estimate"].tolist() == pytest.approx(curve, abs=1e-15)
    assert by_target["QINI"].toc["q"].tolist() == grid


def test_weights_reach_the_estimate():
    # Weighted row of the published table.
    found = rate(SCORES, [1, 2, 3, 4], sample_weight=[1, 2, 1, 2], q=[2 / 6, 1.0], seed=0)
    assert found.estimate == pytest.approx(0.722222, abs=5e-7)
    assert found.toc["estimate"].tolist() == pytest.approx([4 / 3, 0.0], abs=1e-15)


def test_everything_is_taken_from_one_set_of_half_samples():
    score, tau = experiment(np.random.default_rng(0), 200)
    clusters = np.arange(200) // 2
    known = rank_effects(tau, score, clusters=clusters, draws=50, rng=stream(3, "half samples"))
    for target, value, error in (
        ("AUTOC", known.autoc, known.autoc_se),
        ("QINI", known.qini, known.qini_se),
    ):
        found = rate(score, tau, target=target, n_boot=50, clusters=clusters, seed=3)
        assert (found.estimate, found.std_err) == (value, error)
        assert found.toc["std_err"].tolist() == known.toc_se.tolist()
        assert (found.n, found.n_clusters, found.seed) == (200, 100, 3)


def test_intervals_and_p_values_are_normal():
    score, tau = experiment(np.random.default_rng(1), 200)
    found = rate(score, tau + 3.0 * np.random.default_rng(2).normal(size=200), seed=0)
    assert found.ratio == found.estimate / found.std_err
    assert found.p_value() == pytest.approx(2.0 * norm.sf(abs(found.ratio)), rel=1e-10)
    for level in (0.9, 0.95):
        reach = norm.ppf(0.5 + level / 2.0)
        expected = found.estimate - reach * found.std_err, found.estimate + reach * found.std_err
        assert found.conf_int(level) == pytest.approx(expected, rel=1e-12)
        curve = found.curve(level)
        assert curve["conf_high"].to_numpy() == pytest.approx(
            (curve["estimate"] + reach * curve["std_err"]).to_numpy(), rel=1e-12
        )
    assert found.toc.columns.tolist() == ["q", "estimate", "std_err", "conf_low", "conf_high"]


def test_the_opposite_ranking_has_exactly_the_opposite_qini():
    score, tau = experiment(np.random.default_rng(3), 500)
    up, down = (rate(score, sign * tau, target="QINI", n_boot=2, seed=0) for sign in (1.0, -1.0))
    assert down.estimate == pytest.approx(-up.estimate, abs=1e-13)


def test_equal_priorities_have_no_ratio_and_say_nothing_else():
    found = rate(np.random.default_rng(4).normal(size=90), np.full(90, 0.3), seed=0)
    assert (found.estimate, found.std_err, found.conf_int()) == (0.0, 0.0, (0.0, 0.0))
    assert math.isnan(found.ratio)
    assert math.isnan(found.p_value())
    assert "nan" not in found.summary()


@pytest.mark.slow
def test_a_known_experiment_has_the_published_mean_spread_errors_and_coverage():
    # Reference: 200 replications of the same design, n = 1000: mean .897, standard deviation .073,
    # mean standard error .066, coverage .935. The truth is .903197.
    n_here, n_there = 600, 200
    found = []
    for k in range(n_here):
        rng = stream(20260101, "rate", k)
        found.append(rate(*experiment(rng), seed=k))
    value = np.array([one.estimate for one in found])
    error = np.array([one.std_err for one in found])
    bounds = np.array([one.conf_int() for one in found])
    covered = np.mean((bounds[:, 0] <= 0.903197) & (bounds[:, 1] >= 0.903197))
    # Three Monte-Carlo errors of the difference of two simulations.
    both = math.sqrt(1.0 / n_here + 1.0 / n_there)
    assert abs(value.mean() - 0.897) < 3.0 * 0.073 * both
    assert abs(value.std(ddof=1) - 0.073) < 3.0 * 0.073 * both / math.sqrt(2.0)
    assert abs(error.mean() - 0.066) < 3.0 * error.std(ddof=1) * both
    assert abs(covered - 0.935) < 3.0 * math.sqrt(0.935 * 0.065) * both
    assert abs(covered - 0.95) < 3.0 * math.sqrt(0.95 * 0.05 / n_here)


def test_two_rankings_give_the_difference_and_both_parts():
    rng = np.random.default_rng(5)
    score, tau = experiment(rng, 300)
    table = pd.DataFrame({"good": tau, "noisy": tau + rng.normal(size=300)})
    found = rate(score, table, seed=1)
    good, noisy = found.parts
    alone = rate(score, table["good"], seed=1)
    assert (good.name, noisy.name, found.name) == ("good", "noisy", "good − noisy")
    assert (good.estimate, good.std_err) == (alone.estimate, alone.std_err)
    assert found.estimate == pytest.approx(good.estimate - noisy.estimate, abs=1e-14)
    # Paired: what the rankings have in common cancels.
    assert found.std_err < math.hypot(good.std_err, noisy.std_err)
    unnamed = rate(score, table.to_numpy(), seed=1)
    assert unnamed.estimate == found.estimate
    assert unnamed.name == "ranking 1 − ranking 2"
    assert rate(score, table[["good"]], seed=1).std_err == alone.std_err


def test_one_seed_is_one_answer():
    score, tau = experiment(np.random.default_rng(6), 100)
    assert rate(score, tau, seed=5).std_err == rate(score, tau, seed=5).std_err
    assert rate(score, tau, seed=5).std_err != rate(score, tau, seed=6).std_err
    again = rate(score, tau)
    assert rate(score, tau, seed=again.seed).std_err == again.std_err


@pytest.mark.parametrize(
    ("ids", "training", "error", "said"),
    [
        ([5, 6, 7, 8], [1, 7, 5, 8, 6], ArgumentError, r"4 ids .*\(first: 5, 6, 7\)"),
        (["a", "b", "c", "d"], ["d"], ArgumentError, r"1 ids .*\(first: 'd'\)"),
        ([5, 5, 6, 6], [5], ArgumentError, r"1 ids .*\(first: 5\)"),
        ([1, 2, 3, 4], ["1", "2"], ArgumentTypeError, "kind 'integer' and .* kind 'string'"),
        ([1, 2, 3, 4], None, ArgumentError, "ids without training_ids"),
        (None, [1], ArgumentError, "training_ids without ids"),
        ([1, 2, 3], [9], ArgumentError, r"ids must hold one label for each of 4 rows"),
        (["a", None, "c", "d"], ["e"], ArgumentError, r"ids is missing in 1 of 4 .*row 1"),
    ],
)
def test_rows_that_trained_the_ranking_are_refused(ids, training, error, said):
    with pytest.raises(error, match=said):
        rate(SCORES, SCORES, ids=ids, training_ids=training, seed=0)


def test_the_summary_says_whether_rows_were_checked():
    unchecked = rate(SCORES, SCORES, seed=0)
    checked = rate(SCORES, SCORES, ids=[1, 2, 3, 4], training_ids=[5, 6], seed=0)
    assert "is assumed" in unchecked.summary()
    assert "None of the 4 rows was among those" in checked.summary()


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"scores": [1.0, np.nan, 3.0, 4.0]}, ArgumentError, r"scores is missing.*\(row 1\)"),
        ({"priorities": [1, 2, 3]}, ArgumentError, "priorities must hold one number for each of 4"),
        ({"priorities": [1, 2, None, 3]}, ArgumentError, r"priorities is missing.*\(row 2\)"),
        ({"priorities": np.ones((4, 3))}, ArgumentError, r"two to compare, got shape \(4, 3\)"),
        ({"priorities": np.ones((3, 2))}, ArgumentError, r"'ranking 1'\] must hold one number for"),
        ({"target": "autoc"}, ArgumentError, "unknown target 'autoc'"),
        ({"n_boot": 1}, ArgumentError, "n_boot must be at least 2"),
        ({"q": [0.0, 1.0]}, ArgumentError, "fractions above 0"),
        ({"sample_weight": [1, 1, -1, 1]}, ArgumentError, "weights that are not negative"),
        ({"sample_weight": [1, 1]}, ArgumentError, "sample_weight must hold one number for each"),
        ({"q": "abc"}, ArgumentTypeError, "q must hold numbers, and cannot be read"),
        ({"ids": [1, 2, 3, 4], "training_ids": 5}, ArgumentTypeError, "training_ids must be a li"),
        ({"clusters": [0, 0, 0, 0]}, ArgumentError, "at least 4 clusters, got 1"),
        ({"clusters": [0, 1]}, ArgumentError, "clusters must hold one label for each of 4 rows"),
        ({"clusters": ["a", "b", np.nan, "d"]}, ArgumentError, "clusters is missing in 1 of 4"),
        ({"clusters": [0.0, 1.0, np.nan, 2.0]}, ArgumentError, "clusters is missing in 1 of 4"),
    ],
)
def test_what_cannot_be_ranked_is_refused_by_name(changed, error, said):
    with pytest.raises(error, match=said):
        rate(**{"scores": SCORES, "priorities": SCORES, "seed": 0} | changed)


def test_rows_without_weight_are_left_out_and_counted():
    score, tau = experiment(np.random.default_rng(11), 90)
    weights = np.where(np.arange(90) % 3, 1.0, 0.0)
    kept = weights > 0
    found = rate(score, tau, sample_weight=weights, seed=0)
    known = rate(score[kept], tau[kept], seed=0)
    assert (found.n, found.n_clusters) == (60, 60)
    assert found.estimate == pytest.approx(known.estimate, rel=1e-12)
    assert found.std_err == pytest.approx(known.std_err, rel=1e-12)
    assert found.notes[1:] == ("30 of 90 rows have no weight and are left out.",)
    assert len(known.notes) == 1


def test_few_clusters_are_warned_of():
    score, tau = experiment(np.random.default_rng(7), 100)
    with pytest.warns(FewClustersWarning, match="only 10 clusters"):
        found = rate(score, tau, clusters=np.arange(100) % 10, seed=0)
    assert "only 10 clusters" in found.warnings[0]
    assert "only 10 clusters" in found.summary()


def test_the_summary_holds_its_numbers_in_80_columns_and_html():
    score, tau = experiment(np.random.default_rng(8), 400)
    table = pd.DataFrame({"a ranking with a long name": tau, "<b>": -tau})
    found = rate(score, table, clusters=np.arange(400) // 4, seed=0)
    text = found.summary()
    assert max(map(len, text.splitlines())) <= 80
    assert f"{found.estimate:.3f}"[:5] in text
    assert re.search(r"top 10% +[-\d.]+", text)
    assert "200 half samples of clusters" in text
    assert "<b>" not in found._repr_html_().replace("&lt;b&gt;", "")
    assert f"{found.estimate:.3f}"[:5] in repr(found)


def test_the_picture_shows_the_curve_its_band_and_both_rankings():
    score, tau = experiment(np.random.default_rng(9), 200)
    one = rate(score, tau, seed=0)
    ax = one.plot(level=0.9, title="Worth")
    curve = one.curve(0.9)
    pd.testing.assert_frame_equal(ax.plot_data.drop(columns="ranking"), curve)
    line = next(line for line in ax.lines if len(line.get_xdata()) == len(curve))
    assert line.get_ydata().tolist() == curve["estimate"].tolist()
    (band,) = ax.collections
    reached = band.get_paths()[0].vertices[:, 1]
    assert (reached.min(), reached.max()) == (curve["conf_low"].min(), curve["conf_high"].max())
    assert ax.get_xlabel() == "Fraction treated, largest priority first"
    assert ax.get_ylabel() == "Effect beyond the average"
    both = rate(score, np.column_stack([tau, -tau]), seed=0).plot()
    assert both.plot_data["ranking"].unique().tolist() == ["ranking 1", "ranking 2"]
    assert len(both.get_legend().get_texts()) == 4
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_picture_asks_for_what_a_ranking_is_worth():
    with pytest.raises(ArgumentTypeError, match=r"rank_average_treatment_effect\(\) gives; got"):
        plot_toc(pd.DataFrame({"q": [0.5]}))


def test_two_rankings_of_one_name_are_refused():
    both = pd.DataFrame(np.arange(40.0).reshape(20, 2), columns=["a", "a"])
    with pytest.raises(ArgumentError, match="two columns 'a'; give each its own name"):
        ck.rank_average_treatment_effect(np.arange(20.0), both)
