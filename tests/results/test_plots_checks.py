"""Pictures that check an estimate: the drawn data are the numbers given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.results import plots_checks


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_love_plot_draws_each_stage_sorted_by_first_imbalance():
    values = pd.DataFrame(
        {"before": [0.1, -0.5, 0.3], "after": [0.0, 0.02, -0.01]}, index=["a", "b", "c_$"]
    )
    ax = plots_checks.plot_love(values, threshold=0.25)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", r"c_\$", "b"]
    drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert drawn["before"] == [0.1, 0.3, -0.5]
    assert drawn["after"] == [0.0, -0.01, 0.02]
    assert [line.get_xdata()[0] for line in ax.lines[:3]] == [0.0, -0.25, 0.25]
    frame = ax.plot_data
    assert frame[frame["stage"] == "after"]["difference"].tolist() == [0.0, -0.01, 0.02]
    with pytest.raises(ArgumentError, match="at least one covariate"):
        plots_checks.plot_love(values.iloc[:0])


def test_what_holds_no_differences_is_refused_with_the_frame_that_does():
    data = ck.generators.invalid_iv(0, n=100)
    frame = data.balance()
    ax = plots_checks.plot_love(frame.set_index("covariate")[["smd"]])
    assert sorted(ax.plot_data["difference"]) == sorted(frame["smd"])
    with pytest.raises(ArgumentTypeError, match=r"data\.balance\(\).* got CausalData"):
        plots_checks.plot_love(data)
    with pytest.raises(ArgumentTypeError, match="differences must hold numbers"):
        plots_checks.plot_love(frame)


def test_bounds_that_are_no_numbers_are_named():
    with pytest.raises(ArgumentTypeError, match="bound must hold numbers"):
        plots_checks.plot_sensitivity([0.1], [0.1], "x", estimate=1.0)
    ours = plots_checks.plot_sensitivity([0.1, 0.2], [0.1, 0.2], [[2, 1], [1, 0]], estimate=3.0)
    assert ours.plot_data["bound"].tolist() == [2.0, 1.0, 1.0, 0.0]


def test_lists_are_drawn_like_arrays():
    chances, arms = [0.1, 0.4, 0.9, 0.5], [0, 1, 1, 0]
    ours = plots_checks.plot_overlap(chances, arms).plot_data
    pd.testing.assert_frame_equal(
        ours, plots_checks.plot_overlap(np.array(chances), np.array(arms)).plot_data
    )
    with pytest.raises(ArgumentError, match="treated must be a column of 4 finite numbers"):
        plots_checks.plot_overlap(chances, arms[:3])


def test_residuals_that_are_missing_are_refused_and_do_not_melt_the_bins():
    d, y = np.arange(50.0), np.arange(50.0)
    d[0] = np.nan
    with pytest.raises(ArgumentError, match=r"treatment_residual must be .* with 1 missing"):
        plots_checks.plot_residuals(d, y, estimate=1.0, std_error=0.1)
    with pytest.raises(ArgumentError, match="outcome_residual must be a column of 50 finite"):
        plots_checks.plot_residuals(y, d, estimate=1.0, std_error=0.1)


def test_a_slope_of_several_treatments_is_refused():
    d = np.arange(50.0)
    with pytest.raises(ArgumentTypeError, match=r"estimate must be one number.*shape \(2,\)"):
        plots_checks.plot_residuals(d, d, estimate=np.ones(2), std_error=0.1)
    with pytest.raises(ArgumentTypeError, match="std_error must be one number"):
        plots_checks.plot_residuals(d, d, estimate=1.0, std_error=np.ones(2))


def test_overlap_bars_are_shares_of_each_arm_up_and_down():
    propensity = np.array([0.001, 0.35, 0.35, 0.65, 0.995])
    treated = np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    ax = plots_checks.plot_overlap(propensity, treated, n_bins=10, names=("no", "yes"))
    up, down = (np.array([bar.get_height() for bar in group]) for group in ax.containers)
    assert up.sum() == pytest.approx(1.0)
    assert down.sum() == pytest.approx(-1.0)
    assert up[[3, 6, 9]] == pytest.approx([1 / 3] * 3)
    assert down[[0, 3]] == pytest.approx([-0.5, -0.5])
    assert "40.0% outside [0.01, 0.99]" in ax.get_xlabel()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["yes (n = 3)", "no (n = 2)"]
    assert ax.plot_data.groupby("arm")["share"].sum().tolist() == pytest.approx([1.0, 1.0])


def test_sensitivity_contour_of_the_null_runs_through_the_robustness_value():
    # |bias| = sqrt(s2 nu2 cf_y cf_d / (1 - cf_d)), theorem 2 of Chernozhukov et al. (2022).
    estimate, spread = 0.08, 0.9
    cf = np.linspace(0.0, 0.3, 61)
    strength = np.sqrt(cf[:, None] * cf[None, :] / (1 - cf[None, :]))
    bound = estimate - spread * strength
    # cf² / (1 - cf) = f²  ⇒  cf = (sqrt(f⁴ + 4 f²) - f²) / 2 with f = estimate / spread.
    f2 = (estimate / spread) ** 2
    robustness = (np.sqrt(f2**2 + 4 * f2) - f2) / 2
    ax = plots_checks.plot_sensitivity(
        cf,
        cf,
        bound,
        estimate=estimate,
        benchmarks={"age_$": (0.05, 0.02)},
        robustness_value=robustness,
    )
    heavy = next(c for c in ax.collections if np.allclose(c.get_linewidth(), 2))
    path = np.vstack([p.vertices for p in heavy.get_paths()])
    gap = np.abs(path - robustness).max(axis=1).min()
    assert gap < 0.004  # within a cell of the grid
    marks = {tuple(line.get_xydata()[0]) for line in ax.lines}
    assert {(0.0, 0.0), (0.05, 0.02), (robustness, robustness)} <= marks
    assert r"age_\$" in [text.get_text() for text in ax.texts]
    frame = ax.plot_data
    assert len(frame) == 61**2 + 1
    assert frame["kind"].iloc[-1] == "age_$"
    with pytest.raises(ArgumentError, match="one row per cf_y"):
        plots_checks.plot_sensitivity(cf, cf[:5], bound, estimate=estimate)


def drawn_sensitivity(estimate, benchmarks, value):
    cf = np.linspace(0.0, 0.1, 61)
    strength = np.sqrt(cf[:, None] * cf[None, :] / (1 - cf[None, :]))
    ax = plots_checks.plot_sensitivity(
        cf,
        cf,
        estimate - 0.9 * strength,
        estimate=estimate,
        benchmarks=benchmarks,
        robustness_value=value,
    )
    ax.figure.canvas.draw()
    return ax


def test_no_contour_runs_along_the_axes_where_the_bound_is_the_estimate():
    # 0.075 lies within half a step of 0.0805: its contour and number were on the axes.
    ax = drawn_sensitivity(0.0805, {}, 0.0855)
    levels = {round(float(at), 6) for c in ax.collections for at in np.atleast_1d(c.levels)}
    assert {0.0, 0.015, 0.03, 0.045, 0.06} <= levels
    assert 0.075 not in levels
    frame = ax.get_window_extent()
    numbers = [text for text in ax.texts if text.get_text().lstrip("−").startswith("0")]
    assert numbers
    for text in numbers:
        x, y = ax.transData.transform(text.get_position())
        assert x > frame.x0 + 10
        assert y > frame.y0 + 10


def test_names_of_points_at_one_place_do_not_overprint():
    close = {"exper": (0.0, 0.0), "married": (0.0005, 0.0003), "far": (0.098, 0.05)}
    ax = drawn_sensitivity(0.0805, close, 0.0855)
    names = [t for t in ax.texts if t.get_text() in close or " " in t.get_text()]
    assert len(names) == 5
    boxes = [text.get_window_extent() for text in names]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
        assert box.x1 < ax.get_window_extent().x1 + 1


def test_residual_plot_shows_bin_means_and_the_slope():
    rng = np.random.default_rng(0)
    d = rng.standard_normal(2000)
    y = 0.5 * d + 0.1 * rng.standard_normal(2000)
    ax = plots_checks.plot_residuals(
        d, y, estimate=0.5, std_error=0.01, treatment="union", outcome="wage", n_bins=10
    )
    frame = ax.plot_data
    assert frame["n"].tolist() == [200] * 10
    edges = np.quantile(d, np.linspace(0, 1, 11))
    third = (d >= edges[2]) & (d < edges[3])
    assert frame["outcome"][2] == pytest.approx(y[third].mean())
    assert frame["std_error"][2] == pytest.approx(y[third].std(ddof=1) / np.sqrt(200))
    slope = next(line for line in ax.lines if line.get_label().startswith("slope 0.5000"))
    x, height = slope.get_data()
    assert np.allclose(height, 0.5 * x)
    least, most = frame["treatment"].min(), frame["treatment"].max()
    assert [x[0], x[-1]] == pytest.approx([1.05 * least - 0.05 * most, 1.05 * most - 0.05 * least])
    assert [ax.get_xlabel(), ax.get_ylabel()] == [
        "union, minus its prediction",
        "wage, minus its prediction",
    ]
    # The fan at the right edge is estimate ± 1.96 standard errors of the slope.
    fan = ax.collections[0].get_paths()[0].vertices
    assert fan[:, 1].max() == pytest.approx(x[-1] * (0.5 + 1.959964 * 0.01), rel=1e-6)


def test_bins_of_a_treatment_with_few_values_are_not_empty():
    d = np.repeat([-0.5, 0.5], 50)
    frame = plots_checks.binned_residuals(d, d * 2, n_bins=20)
    assert frame["n"].sum() == 100
    assert (frame["n"] > 0).all()
    assert np.allclose(frame["outcome"], 2 * frame["treatment"])
