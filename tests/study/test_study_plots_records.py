"""Pictures of replications: what is drawn are the records and scipy's bands."""

import numpy as np
import pytest
from scipy import stats
from study_cases import grid_results, results_of, rows_of
from study_drawings import lines_of, markers, texts
from study_drawings import no_traces as no_traces

from causalkit.errors import ArgumentError
from causalkit.results import canvas
from causalkit.rng import stream
from causalkit.study import plots_theory
from causalkit.study.plots import (
    plot_p_values,
    plot_qq,
    plot_swarm,
    plot_zip,
)


@pytest.fixture(scope="module")
def grid():
    """Six combinations of n and rho, one of them excluded."""
    return grid_results(
        {"n": [100, 400, 1600], "rho": [0.0, 0.5]}, exclude=[{"n": 400, "rho": 0.5}]
    )


# ---- zip ---------------------------------------------------------------------------------------


def test_zip_ranks_intervals_by_z_and_marks_those_that_miss():
    # |z| = 2, 0.5, 3, 1: ranks 3, 1, 4, 2; only 2 and 3 exceed 1.96.
    ax = plot_zip(results_of(rows_of([2.0, -0.5, -3.0, 1.0])))
    half = stats.norm.ppf(0.975)
    missed = lines_of(ax, canvas.VERMILION)
    assert np.allclose(
        missed, [[2 - half, 62.5, 2 + half, 62.5], [-3 - half, 87.5, -3 + half, 87.5]]
    )
    covering = ax.plot_data[ax.plot_data["covers"]]
    assert covering["rep"].tolist() == [1, 3]
    assert covering["centile"].tolist() == [12.5, 37.5]
    hits = lines_of(ax, "#a9bccb")
    assert np.allclose(hits[:, 1], [12.5, 37.5])
    assert np.allclose(hits[:, 0], [-0.5 - half, 1.0 - half])


def test_zip_band_is_wilsons_interval_of_the_coverage():
    draws = stream(3, "zip").standard_normal(400)
    ax = plot_zip(results_of(rows_of(draws)))
    hits = int((np.abs(draws) < stats.norm.ppf(0.975)).sum())
    band = stats.binomtest(hits, 400).proportion_ci(method="wilson")
    drawn = ax.patches[0].get_bbox()
    assert np.allclose([drawn.y0, drawn.y1], [100 * band.low, 100 * band.high])
    assert f"coverage {100 * hits / 400:.1f}%" in texts(ax)


def test_zip_zooms_to_the_worst_share():
    draws = stream(4, "zoom").standard_normal(200)
    ax = plot_zip(results_of(rows_of(draws)), worst=0.1)
    assert ax.get_ylim() == (90.0, 100.0)
    assert sorted(ax.plot_data["rep"]) == sorted(np.argsort(np.abs(draws))[180:])
    assert "Shown are the 10% of intervals with the largest |z|." in ax.plot_notes
    with pytest.raises(ArgumentError, match=r"worst must be a share .* got 0"):
        plot_zip(results_of(rows_of(draws)), worst=0.0)


def test_zip_thins_evenly_in_rank_and_says_so():
    draws = stream(5, "thin").standard_normal(5000)
    ax = plot_zip(results_of(rows_of(draws)), most_intervals=500)
    data = ax.plot_data
    assert len(data) == 500
    assert np.ptp(np.diff(data["centile"])) <= 100 / 5000 + 1e-9
    assert data["centile"].iloc[[0, -1]].tolist() == [0.01, 99.99]
    truth = np.mean(np.abs(draws) < stats.norm.ppf(0.975))
    assert data["coverage"].iloc[0] == pytest.approx(truth, abs=1e-12)
    assert any("5,000 intervals in a panel 500 are drawn" in note for note in ax.plot_notes)


def test_zip_draws_intervals_around_a_truth_that_varies():
    truth = np.array([1.0, 2.0, 3.0])
    ax = plot_zip(results_of(rows_of(truth + 0.5, truth=truth)))
    half = stats.norm.ppf(0.975)
    assert np.allclose(lines_of(ax, "#a9bccb")[:, [0, 2]], [[0.5 - half, 0.5 + half]] * 3)
    assert ax.get_xlabel() == "Interval − truth"


def test_zip_ranks_by_half_widths_where_there_is_no_standard_error():
    rows = rows_of([2.0, -0.5, -3.0, 1.0]).assign(std_error=np.nan)
    assert np.allclose(plot_zip(results_of(rows)).plot_data["z"], [-0.5, 1.0, 2.0, -3.0])


def test_zip_counts_failures_and_caps_panels(grid):
    figure = plot_zip(grid, most_panels=4)
    assert len(figure.axes) == 4
    assert "lasso (3 of 60 failed)" in texts(figure)
    assert "first 4 of 10 pairs of cell and estimator" in figure.plot_notes[0]
    assert "6 are left out" in figure.plot_notes[0]
    assert "R = 57 to 60" in texts(figure)


# ---- swarm -------------------------------------------------------------------------------------


def test_swarm_draws_estimates_their_mean_and_the_truth():
    draws = stream(6, "swarm").normal(1.0, 2.0, 50)
    ax = plot_swarm(results_of(rows_of(draws, truth=0.7)))
    assert np.allclose(np.sort(markers(ax, "o")[:, 0]), np.sort(draws))
    assert np.abs(markers(ax, "o")[:, 1]).max() < 0.5
    mean = lines_of(ax, canvas.INK)
    assert np.allclose(mean[:, 0], draws.mean())
    reach = stats.norm.ppf(0.975) * stats.sem(draws)
    first = ax.plot_data.iloc[0]
    assert first["mean_low"] == pytest.approx(draws.mean() - reach)
    assert first["mean_high"] == pytest.approx(draws.mean() + reach)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.7]


def test_swarm_thins_but_keeps_the_extremes_and_the_mean_of_all():
    draws = stream(7, "many").standard_normal(3000)
    ax = plot_swarm(results_of(rows_of(draws)), most_points=100)
    values = ax.plot_data["value"]
    assert len(values) == 100
    assert (values.min(), values.max()) == (draws.min(), draws.max())
    assert ax.plot_data["mean"].iloc[0] == pytest.approx(draws.mean(), rel=1e-12)
    assert "Of up to 3,000 replications of an estimator at most 100 are drawn" in ax.plot_notes[0]


def test_swarm_puts_far_outliers_at_the_edge_and_counts_them():
    draws = np.append(stream(8, "far").standard_normal(99), 1e6)
    ax = plot_swarm(results_of(rows_of(draws)))
    assert ax.get_xlim()[1] < 20.0
    assert len(markers(ax, ">")) == 1
    assert any(note.startswith("1 of the points lie beyond the axis") for note in ax.plot_notes)


def test_swarm_writes_failures_beside_their_own_estimator_in_every_panel(grid):
    figure = plot_swarm(grid)
    for ax in figure.axes[:5]:
        written = [(t.get_text(), t.get_position()[1]) for t in ax.texts]
        assert written == [("(3 of 60 failed)", pytest.approx(-0.7))]
    assert "Failed replications, left out: lasso 15 of 300." in figure.plot_notes


# ---- theory ------------------------------------------------------------------------------------


def test_qq_points_are_sorted_z_at_normal_plotting_positions():
    draws = stream(9, "qq").normal(3.0, 2.0, 40)
    ax = plot_qq(results_of(rows_of(draws, se=2.0, truth=3.0)))
    z = np.sort((draws - 3.0) / 2.0)
    expected = stats.norm.ppf(stats.mstats.plotting_positions(z, alpha=0.5, beta=0.5))
    assert np.allclose(markers(ax, "o"), np.column_stack([expected, z]))


def test_qq_of_an_estimator_far_off_does_not_flatten_the_others():
    draws = np.sort(stream(19, "qq").standard_normal(60))
    ax = plot_qq(results_of(rows_of(draws), rows_of(100.0 + draws, est="far")))
    assert ax.get_ylim()[0] > -10.0
    assert ax.get_ylim()[1] == 10.0
    assert "beyond |z| = 10 lie outside the picture: far 60" in " ".join(ax.plot_notes)
    assert ax.plot_data["z"].max() > 100.0


def test_qq_band_holds_each_order_statistic_with_95_percent():
    n = 25
    frame = plot_qq(results_of(rows_of(np.arange(n)))).plot_data
    # The least of n uniform numbers is below u with probability 1 − (1 − u)^n.
    ends = stats.norm.ppf(1.0 - (1.0 - np.array([0.025, 0.975])) ** (1.0 / n))
    assert np.allclose(frame.loc[0, ["band_low", "band_high"]].astype(float), ends)
    drawn = np.sort(stream(10, "order").standard_normal((4000, n)), axis=1)
    inside = (drawn > frame["band_low"].to_numpy()) & (drawn < frame["band_high"].to_numpy())
    # Five binomial standard errors at each of 25 ranks: false alarms below 2e-5.
    assert np.abs(inside.mean(axis=0) - 0.95).max() < 5 * np.sqrt(0.95 * 0.05 / 4000)


def test_qq_thinning_keeps_the_tails():
    ranks = plots_theory._ranks(100_000, 100)
    assert 90 <= len(ranks) <= 100
    assert (np.diff(ranks) > 0).all()
    assert (ranks[0], ranks[-1]) == (1, 100_000)
    # Even spacing in rank would leave one of the 100 lowest.
    assert (ranks <= 100).sum() > 10


def test_p_value_curve_is_the_empirical_distribution_with_kolmogorovs_band():
    draws = stream(11, "p").standard_normal(80)
    result = results_of(rows_of(draws))
    ax = plot_p_values(result)
    ecdf = stats.ecdf(result.records["p_value"]).cdf
    step = next(line for line in ax.lines if line.get_drawstyle() == "steps-post")
    x, y = step.get_xydata()[1:].T
    assert np.allclose(x, ecdf.quantiles)
    assert np.allclose(y, ecdf.probabilities)
    reach = ax.plot_data["band"].iloc[0]
    assert stats.kstwo.sf(reach, 80) == pytest.approx(0.05)
    band = ax.collections[0].get_paths()[0].vertices
    middle = band[np.isclose(band[:, 0], 0.5)][:, 1]
    assert np.allclose([middle.min(), middle.max()], [0.5 - reach, 0.5 + reach])


def test_p_values_are_drawn_only_where_the_null_is_true():
    null, other = rows_of(np.arange(5.0), cell="c0"), rows_of([1.0, 2.0], truth=1.0, cell="c1")
    drawn = plot_p_values(results_of(null, other))
    assert set(drawn.plot_data["panel"]) == {"n=100"}
    assert "Left out: 1 of 2 cells, where the null is false." in drawn.plot_notes
    with pytest.raises(ArgumentError, match=r"null \(0\) in none of the 1 cells"):
        plot_p_values(results_of(other))


def test_titles_of_narrow_panels_stay_inside_the_figure():
    import matplotlib.pyplot as plt

    long = {"rather_long_name": [0.25, 0.5], "another_parameter": [100, 1000], "n": [100]}
    results = grid_results(long, labels=("least squares", "lasso", "a forest of trees"))
    figure = plot_zip(results, most_panels=6)
    figure.canvas.draw()
    # The left title of an axes has no public name.
    ends = [ax._left_title.get_window_extent().x1 for ax in figure.axes]
    assert max(ends) <= figure.bbox.x1
    starts = [ax.get_window_extent().x0 for ax in figure.axes]
    assert all(end <= start for end, start in zip(ends[:2], starts[1:3], strict=True))
    plt.close(figure)
