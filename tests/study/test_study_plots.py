"""Every picture of a study: titles, notes, caps, choices, axes of the caller."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from study_cases import grid_results, results_of, rows_of
from study_drawings import no_traces as no_traces
from study_drawings import texts

from causalkit.errors import ArgumentError
from causalkit.rng import stream
from causalkit.study.plots import (
    PLOTS,
    plot_lollipop,
    plot_nested_loop,
    plot_qq,
    plot_swarm,
)
from causalkit.study.plots_sheet import styles
from causalkit.study.summary import summarise


@pytest.fixture(scope="module")
def grid():
    """Six combinations of n and rho, one of them excluded."""
    return grid_results(
        {"n": [100, 400, 1600], "rho": [0.0, 0.5]}, exclude=[{"n": 400, "rho": 0.5}]
    )


# ---- all of them -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def null_grid():
    """Two sample sizes without an effect, so that every picture can be drawn."""
    return grid_results({"n": [100, 400]}, truth=0.0)


@pytest.mark.parametrize("name", PLOTS)
def test_every_picture_asks_for_results_of_a_study(name, null_grid):
    with pytest.raises(ArgumentError, match=r"draws the Results of .*results\(\); got DataFrame"):
        PLOTS[name](null_grid.records)


@pytest.mark.parametrize("name", PLOTS)
def test_every_picture_says_replications_and_monte_carlo_level(name, null_grid):
    drawn = PLOTS[name](null_grid)
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    title = " ".join(figure.texts[0].get_text().split())
    assert "R = 57 to 60" in title
    assert "Monte-Carlo" in title
    assert "lasso" in " ".join([texts(drawn), *drawn.plot_notes])
    assert "6 of 120" in " ".join(drawn.plot_notes) or "3 of 60" in texts(drawn)
    assert len(drawn.plot_data)
    figure.canvas.draw()


@pytest.mark.parametrize("name", PLOTS)
def test_every_picture_goes_on_given_axes_and_leaves_the_figure_alone(name, null_grid):
    _, (ax, other) = plt.subplots(1, 2)
    options = {} if name == "rate" else {"where": {"n": 100}}
    if name in ("zip",):
        options["estimators"] = ["ols"]
    drawn = PLOTS[name](null_grid, ax=ax, title="mine $1", **options)
    assert drawn is ax
    assert ax.get_title(loc="left") == r"mine \$1"
    assert not other.lines
    assert not other.collections


@pytest.mark.parametrize("name", ["zip", "swarm", "qq", "p-values", "lollipop", "frontier"])
def test_several_panels_do_not_fit_on_one_axes(name, null_grid):
    _, ax = plt.subplots()
    with pytest.raises(ArgumentError, match=r"panels here, which do not fit on one axes"):
        PLOTS[name](null_grid, ax=ax)


@pytest.mark.parametrize("name", ["swarm", "qq", "lollipop", "frontier", "p-values"])
def test_panels_are_capped_and_the_rest_is_counted(name):
    result = grid_results({"n": [100, 200, 300, 400]}, reps=30, truth=0.0)
    figure = PLOTS[name](result, most_panels=3)
    assert len(figure.plot_data["panel"].unique()) == 3
    assert any("first 3 of 4" in note for note in figure.plot_notes)


@pytest.mark.parametrize("name", ["zip", "swarm", "qq", "p-values"])
def test_many_replications_do_not_make_many_points(name):
    draws = stream(15, "big").standard_normal(200_000)
    ax = PLOTS[name](results_of(rows_of(draws)))
    vertices = sum(len(line.get_xdata()) for line in ax.lines)
    vertices += sum(len(p.vertices) for c in ax.collections for p in c.get_paths())
    assert vertices < 5000
    assert any("200,000" in note and "evenly spaced" in note for note in ax.plot_notes)


def test_choices_that_are_not_there_are_named(grid):
    with pytest.raises(ArgumentError, match=r"unknown estimator 'laso'. Did you mean 'lasso'"):
        plot_swarm(grid, estimators=["laso"])
    with pytest.raises(ArgumentError, match="unknown cell parameter 'roh'"):
        plot_swarm(grid, where={"roh": 1})
    with pytest.raises(ArgumentError, match=r"no cell has rho = 0.3; there is: 0, 0.5"):
        plot_swarm(grid, where={"rho": 0.3})
    with pytest.raises(ArgumentError, match=r"no cell has rho = 0.5"):
        plot_swarm(grid, where={"n": 400, "rho": 0.5})
    with pytest.raises(ArgumentError, match="unknown estimand"):
        plot_swarm(grid, estimand="att")
    with pytest.raises(ArgumentError, match="unknown measure"):
        plot_lollipop(grid, measure="coverag")
    with pytest.raises(ArgumentError, match="the summary has no rows of bias"):
        plot_lollipop(grid, measure="bias", summary=summarise(grid, measures=["rmse"]))


def test_estimators_are_drawn_as_asked_for(grid):
    ax = plot_swarm(grid, where={"n": [100], "rho": 0}, estimators=["lasso", "ols"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["lasso", "ols"]


def test_several_estimands_have_panels_or_are_named_as_left_out():
    result = results_of(rows_of(np.arange(4.0)), rows_of(np.arange(4.0) + 1, estimand="att"))
    assert list(plot_swarm(result).plot_data["panel"].unique()) == ["ate", "att"]
    ax = plot_nested_loop(result)
    assert "Estimand: ate; left out: att" in ax.plot_notes[0]
    assert set(ax.plot_data["estimand"]) == {"ate"}


def test_twelve_estimators_can_be_told_apart_without_colour():
    looks = styles(12)
    assert len({(look.marker, look.face == "white") for look in looks}) == 12
    assert len({(look.colour, look.face == "white") for look in looks}) == 12


def test_estimators_beyond_twelve_are_counted():
    labels = tuple(f"m{k:02d}" for k in range(14))
    drawn = plot_qq(grid_results({"n": [100]}, reps=10, labels=labels))
    assert drawn.plot_data["estimator"].nunique() == 12
    assert "first 12 of 14 estimators" in drawn.plot_notes[0]
