"""Pictures of measures: what is drawn is the summary, in the right place."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_cases import grid_results, results_of, rows_of
from study_drawings import lines_of, markers, texts
from study_drawings import no_traces as no_traces

from causalkit.errors import ArgumentError
from causalkit.results import canvas
from causalkit.rng import stream
from causalkit.study import plots_heat, plots_rates
from causalkit.study.plots import (
    plot_bias_spread,
    plot_frontier,
    plot_heatmap,
    plot_lollipop,
    plot_nested_loop,
    plot_rate,
)
from causalkit.study.summary import summarise


@pytest.fixture(scope="module")
def grid():
    """Six combinations of n and rho, one of them excluded."""
    return grid_results(
        {"n": [100, 400, 1600], "rho": [0.0, 0.5]}, exclude=[{"n": 400, "rho": 0.5}]
    )


# ---- measures ----------------------------------------------------------------------------------


def test_lollipop_has_wilson_bars_a_target_line_and_failures():
    draws = stream(12, "lollipop").standard_normal(90)
    result = results_of(rows_of(draws), rows_of(2 * draws, est="e1", failed=range(10)))
    ax = plot_lollipop(result)
    critical = stats.norm.ppf(0.975)
    for place, (kept, colour) in enumerate(
        [(draws, canvas.BLUE), (2 * draws[10:], canvas.VERMILION)]
    ):
        hits = int((np.abs(kept) < critical).sum())
        band = stats.binomtest(hits, kept.size).proportion_ci(method="wilson")
        assert np.allclose(lines_of(ax, colour), [[band.low, -place, band.high, -place]])
        assert np.allclose(markers(ax, "os"[place]), [[hits / kept.size, -place]])
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.95]
    assert "(10 of 90 failed)" in texts(ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["e0", "e1"]


@pytest.mark.parametrize("plot", [plot_nested_loop, plot_heatmap])
def test_pictures_of_one_estimand_take_the_first_that_has_a_truth(plot):
    draws = stream(14, "first").standard_normal(40)
    cells = pd.DataFrame({"cell_id": ["c0", "c1"], "n": [100, 200]})
    rows = [
        rows_of(draws, cell=cell, est=est, estimand=name, truth=truth)
        for cell in ("c0", "c1")
        for est, name, truth in (("e0", "effect", np.nan), ("e1", "ate", 0.0))
    ]
    drawn = plot(results_of(*rows, cells=cells), measure="bias")
    assert set(drawn.plot_data["estimand"]) == {"ate"}
    assert "Estimand: ate; left out: effect" in texts(drawn)


def test_lollipop_of_rejection_has_a_target_only_under_the_null():
    draws = stream(13, "size").standard_normal(50)
    result = results_of(rows_of(draws), rows_of(draws + 1.0, truth=1.0, cell="c1"))
    frame = plot_lollipop(result, measure="rejection").plot_data
    assert frame["target"].iloc[0] == 0.05
    assert np.isnan(frame["target"].iloc[1])


def test_lollipop_marks_few_replications_and_missing_values():
    rows = rows_of(np.arange(10.0), est="e1").assign(std_error=np.nan)
    result = results_of(rows_of(np.arange(10.0)), rows)
    ax = plot_lollipop(result, measure="model_se")
    assert "no value" in texts(ax)
    (point,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert point.get_markerfacecolor() == "white"
    assert "fewer than 30 replications" in " ".join(ax.plot_notes)
    assert "1 of 2 values are missing" in " ".join(ax.plot_notes)


def test_bias_spread_places_estimators_by_bias_and_empirical_se():
    draws = stream(14, "spread").normal(0.3, 2.0, 64)
    ax = plot_bias_spread(results_of(rows_of(draws, truth=0.1)))
    assert np.allclose(markers(ax, "o"), [[draws.mean() - 0.1, draws.std(ddof=1)]])
    across = lines_of(ax, canvas.BLUE)[0]
    assert across[2] - across[0] == pytest.approx(2 * stats.norm.ppf(0.975) * stats.sem(draws))


def test_nested_loop_keeps_factor_lines_true_with_an_excluded_cell(grid):
    ax = plot_nested_loop(grid, measure="bias", order=["rho"])
    steps = [patch.get_data() for patch in ax.patches]
    assert len(steps) == 4  # two estimators, two factors
    cells = grid.cells.sort_values(["rho", "n"])
    bias = summarise(grid, measures=["bias"]).set_index(["estimator", "cell_id"])["value"]
    for drawn, name in zip(steps, ["ols", "lasso"], strict=False):
        assert np.allclose(drawn.values, [bias[name, cell] for cell in cells["cell_id"]])
        assert np.allclose(drawn.edges, np.arange(6) - 0.5)
    for drawn, name in zip(steps[2:], ["rho", "n"], strict=True):
        rank = stats.rankdata(cells[name], method="dense") - 1
        height = np.diff(np.unique(drawn.values))[0]
        assert np.allclose((drawn.values - drawn.values.min()) / height, rank)
        assert drawn.values.max() < bias.min()
    assert "1 of 6 combinations of the factors are not in the study" in " ".join(ax.plot_notes)
    with pytest.raises(ArgumentError, match=r"unknown factor 'roh'. Did you mean 'rho'"):
        plot_nested_loop(grid, order=["roh"])


def test_nested_loop_breaks_the_line_of_an_estimator_that_has_no_value():
    records = [rows_of(np.arange(4.0), cell=f"c{k}", est=e) for k in range(3) for e in ("a", "b")]
    result = results_of(*[r for k, r in enumerate(records) if k != 3])
    ax = plot_nested_loop(result)
    assert np.isnan(ax.patches[1].get_data().values).tolist() == [False, True, False]
    assert not np.isnan(ax.patches[0].get_data().values).any()


def test_nested_loop_draws_parameters_that_only_one_generator_has():
    cells = pd.DataFrame(
        {"cell_id": ["c0", "c1", "c2"], "generator": ["a", "a", "b"], "k": [1.0, 2.0, np.nan]}
    )
    result = results_of(*[rows_of(np.arange(4.0), cell=c) for c in cells["cell_id"]], cells=cells)
    ax = plot_nested_loop(result)
    assert np.isnan(ax.patches[2].get_data().values).tolist() == [False, False, True]
    assert "generator: a, b" in texts(ax)


def test_heatmap_tiles_are_the_summary_and_excluded_cells_are_hatched(grid):
    figure = plot_heatmap(grid, measure="coverage", x="n", y="rho")
    found = summarise(grid, measures=["coverage"]).set_index(["estimator", "n", "rho"])
    for ax, name in zip(figure.axes, ["ols", "lasso"], strict=False):
        tiles = ax.images[0].get_array()
        for i, rho in enumerate([0.0, 0.5]):
            for j, n in enumerate([100, 400, 1600]):
                if (n, rho) == (400, 0.5):
                    assert tiles.mask[i, j]
                else:
                    assert tiles[i, j] == found["value"][name, n, rho]
        hatched = [c for c in ax.collections if c.get_hatch()]
        corner = hatched[0].get_paths()[0].get_extents()
        assert len(hatched) == 1
        assert (corner.x0, corner.y0, corner.x1, corner.y1) == (0.5, 0.5, 1.5, 1.5)
        off = {t.get_position() for t in ax.texts if t.get_text().endswith("*")}
        rows = found.loc[name].reset_index()
        far = rows[(rows["lo"] > 0.95) | (rows["hi"] < 0.95)]
        places = zip(far["n"].map({100: 0, 400: 1, 1600: 2}), far["rho"] * 2, strict=True)
        assert off == set(places)
    assert off  # the biased estimator misses its target somewhere
    assert "2 combinations are not in the study (hatched)." in figure.plot_notes


def test_heatmap_colours_run_from_dark_to_light():
    colours = plt.get_cmap(plots_heat._MAP)(np.linspace(0, 1, 50))[:, :3]
    assert (np.diff(colours @ [0.299, 0.587, 0.114]) > 0).all()


def test_heatmap_of_one_factor_has_estimators_up():
    ax = plot_heatmap(grid_results({"n": [100, 400]}))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ols", "lasso"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["100", "400"]


# ---- rates and costs ---------------------------------------------------------------------------


def test_slope_is_that_of_weighted_least_squares_on_logs():
    n = np.array([50.0, 100.0, 400.0, 900.0])
    assert plots_rates.slope(n, 3.0 * n**-0.5, 0.01 * n**-0.5)[0] == pytest.approx(-0.5, abs=1e-12)
    value, mcse = np.array([1.0, 0.8, 0.3, 0.25]), np.array([0.1, 0.02, 0.03, 0.01])
    fit, cov = np.polyfit(np.log(n), np.log(value), 1, w=value / mcse, cov="unscaled")
    found = plots_rates.slope(n, value, mcse)
    assert found == pytest.approx((fit[0], np.sqrt(cov[0, 0])), rel=1e-9)
    plain = plots_rates.slope(n, value, mcse * [1, 0, 1, 1])
    assert plain[0] == pytest.approx(np.polyfit(np.log(n), np.log(value), 1)[0])
    assert np.isnan(plain[1])
    assert np.isnan(plots_rates.slope([100, 100], [1.0, 2.0], [0.1, 0.1])).all()


def test_rate_draws_the_measure_against_n_in_panels_of_the_other_factors(grid):
    figure = plot_rate(grid)
    found = summarise(grid, measures=["rmse"])
    for ax, rho in zip(figure.axes, [0.0, 0.5], strict=True):
        rows = found[(found["rho"] == rho) & (found["estimator"] == "ols")]
        assert np.allclose(markers(ax, "o"), rows[["n", "value"]])
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    low = figure.plot_data.query("estimator == 'ols' and panel == 'rho=0'")
    assert low["slope"].iloc[0] == pytest.approx(-0.5, abs=4 * low["slope_se"].iloc[0])
    assert "slope ols: −0." in texts(figure)


@pytest.mark.parametrize("plot", [plot_heatmap, plot_lollipop, plot_nested_loop, plot_rate])
def test_a_measure_without_any_value_is_no_picture(grid, plot):
    none = summarise(grid, measures=["bias"]).assign(value=np.nan, flag="")
    with pytest.raises(ArgumentError, match=r"no value of bias to draw\. (\d+) of \1 values"):
        plot(grid, measure="bias", summary=none)


def test_rate_needs_a_sample_size():
    with pytest.raises(ArgumentError, match="Numbers that vary: rho"):
        plot_rate(grid_results({"rho": [0.1, 0.2]}))
    with pytest.raises(ArgumentError, match="unknown sample size"):
        plot_rate(grid_results({"n": [100, 400]}), n="m")


def test_frontier_joins_estimators_that_none_beats_in_both():
    cost, error = [1.0, 2.0, 3.0, 1.0, 4.0], [3.0, 2.0, 2.5, 4.0, 1.0]
    expected = [
        not any(a <= x and b <= y and (a, b) != (x, y) for a, b in zip(cost, error, strict=True))
        for x, y in zip(cost, error, strict=True)
    ]
    assert plots_rates.efficient(cost, error).tolist() == expected
    assert expected == [True, True, False, False, True]
    assert plots_rates.efficient([1.0, 1.0], [2.0, 2.0]).tolist() == [True, True]


def test_frontier_of_equal_costs_has_an_axis_around_them():
    figure = plot_frontier(results_of(*(rows_of(np.arange(40.0), cell=c) for c in ("c0", "c1"))))
    figure.canvas.draw()
    for ax in figure.axes:
        assert ax.get_xlim() == pytest.approx((0.05, 0.2))


def test_frontier_marks_times_of_shared_machines_but_not_memory(grid):
    shared = dataclasses.replace(grid, contended=True)
    one = {"n": 100, "rho": 0.0}
    ax = plot_frontier(shared, where=one)
    assert "(contended)" in ax.get_xlabel()
    assert "– contended" in texts(ax)
    assert any(note.startswith("Times are contended") for note in ax.plot_notes)
    assert "contended" not in texts(plot_frontier(grid, where=one))
    assert "contended" not in texts(plot_frontier(shared, cost="mean_peak_rss_mb", where=one))
    rmse = summarise(grid, measures=["rmse"]).query("cell_id == 'c0'")["value"]
    drawn = np.vstack([markers(ax, "o"), markers(ax, "s")])
    assert np.allclose(drawn, np.column_stack([[0.1, 0.1], rmse]))


def test_arcs_of_equal_rmse_are_named_inside_the_picture():
    draws = stream(15, "arcs").standard_normal(64)
    far = rows_of(2.0 + 0.05 * draws, est="far")
    ax = plot_bias_spread(results_of(rows_of(0.05 * draws), far))
    named = [text for text in ax.texts if text.get_text().startswith("RMSE")]
    assert named
    for text in named:
        x, y = text.get_position()
        assert ax.get_xlim()[0] <= x <= ax.get_xlim()[1]
        assert ax.get_ylim()[0] <= y <= ax.get_ylim()[1]
        assert float(text.get_text().split()[1]) == pytest.approx(np.hypot(x, y), rel=0.05)


def test_a_panel_of_one_sample_size_speaks_of_no_slope():
    figure = plot_rate(
        grid_results({"n": [100, 400], "rho": [0.0, 0.5]}, exclude=[{"n": 100, "rho": 0.5}])
    )
    assert [any("slope" in text.get_text() for text in ax.texts) for ax in figure.axes] == [
        True,
        False,
    ]
