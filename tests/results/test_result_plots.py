"""Pictures of estimates: the drawn data are the numbers of the result."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from causalkit import results
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.results import table
from causalkit.results.plots import event_study_data, plot_event_study, plot_forest, plot_gate


@pytest.fixture(autouse=True)
def no_traces(monkeypatch):
    """Nothing is shown, no setting changes, and figures are closed."""
    before = dict(mpl.rcParams)
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show() was called"))
    yield
    assert dict(mpl.rcParams) == before
    plt.close("all")


def segments(ax):
    """Ends of every interval drawn, as rows of (x0, y0, x1, y1)."""
    lines = [c for c in ax.collections if hasattr(c, "get_segments")]
    return [np.concatenate([c.get_segments() for c in [one]]).reshape(-1, 4) for one in lines]


def points(ax, marker):
    """Places of the markers of a kind."""
    return np.vstack([line.get_xydata() for line in ax.lines if line.get_marker() == marker])


def test_a_result_draws_its_estimate_its_interval_and_zero(make):
    ax = make().plot()
    low, high = make().conf_int()
    assert np.allclose(segments(ax)[0], [[low, 0.0, high, 0.0]])
    assert np.allclose(points(ax, "o"), [[0.08, 0.0]])
    assert list(ax.lines[0].get_xdata()) == [0.0, 0.0]
    assert "Effect of union on lwage (95% confidence interval)" in ax.get_xlabel()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["union"]
    assert ax.plot_data["conf_low"].tolist() == [low]


def test_models_of_one_term_are_rows_from_top_to_bottom(make):
    ax = table({"A": make(0.1), "B": make(-0.2)}).plot()
    assert np.allclose(points(ax, "o"), [[0.1, 0.0], [-0.2, -1.0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A", "B"]
    assert any("−0.2000 [−0.2446, −0.1554]" in text.get_text() for text in ax.texts)


def test_models_of_several_terms_get_colours_and_a_legend(make_clustered):
    first, second = make_clustered([0.1, 0.2]), make_clustered([0.3, 0.4])
    ax = plot_forest({"A": first, "B": second}, level=0.9)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]
    colours = {line.get_color() for line in ax.lines if line.get_marker() in "os"}
    assert len(colours) == 2
    assert points(ax, "s")[:, 0].tolist() == [0.3, 0.4]
    assert set(ax.plot_data["conf_level"]) == {0.9}
    heights = ax.plot_data.set_index(["model", "term"])["y"]
    assert heights["A", "group 0"] > heights["B", "group 0"] > heights["A", "group 1"]


def test_pictures_and_report_come_with_the_package_and_cost_nothing_until_used():
    for name in results.__all__:
        assert callable(getattr(results, name))
    with pytest.raises(AttributeError, match="no attribute 'plot_forrest'"):
        results.plot_forrest  # noqa: B018
    code = "import sys, causalkit.results; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_given_axes_are_used_and_labels_are_taken_literally(make):
    figure, ax = plt.subplots()
    result = make(terms=("wage_$ & $2",), outcome="y_$t$")
    assert plot_forest(result, ax=ax, null=0.05, annotate=False, title="a $ b") is ax
    figure.canvas.draw()  # unescaped, $ & $ would be read as mathematics
    assert list(ax.lines[0].get_xdata()) == [0.05, 0.05]
    assert not ax.texts
    assert ax.get_title(loc="left") == r"a \$ b"


def test_group_effects_draw_both_intervals_and_the_average(make, make_clustered):
    groups = make_clustered([0.0, 0.1, 0.2])
    ax = plot_gate(groups, average=make(0.1, 0.02))
    wide, narrow = segments(ax)
    low, high = groups.bounds(kind="uniform")
    assert np.allclose(wide[:, 0], low)
    assert np.allclose(wide[:, 2], high)
    assert np.allclose(narrow[:, 0], groups.bounds()[0])
    assert (wide[:, 2] > narrow[:, 2]).all()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["average effect", "95% simultaneous", "95% pointwise"]
    assert ax.plot_data["uniform_low"].tolist() == low.tolist()


def test_event_study_puts_the_reference_period_at_zero(make_clustered):
    result = make_clustered([0.01, -0.02, 0.2, 0.3])
    ax = plot_event_study(result, times=[1, -2, 0, -3], title="Effect over time")
    frame = ax.plot_data
    assert frame["time"].tolist() == [-3, -2, -1, 0, 1]
    assert frame["estimate"].tolist() == [0.3, -0.02, 0.0, 0.2, 0.01]
    assert frame["reference"].tolist() == [False, False, True, False, False]
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xydata().tolist() for line in hollow] == [[[-1.0, 0.0]]]
    wide, narrow = segments(ax)
    assert len(wide) == len(narrow) == 4
    assert (wide[:, 3] - wide[:, 1] > narrow[:, 3] - narrow[:, 1]).all()


def test_event_study_draws_the_simultaneous_band_from_the_covariances_alone(make):
    result = make(terms=("a", "b"), estimates=[1, 2], vcov=np.eye(2), contrast=())
    ax = plot_event_study(result, times=[0, 1], reference=None)
    wide, _ = segments(ax)
    assert result.influence is None
    assert np.allclose(wide[:, [1, 3]].T, result.bounds(kind="uniform"))


def test_event_study_times_must_be_numbers(make_clustered):
    with pytest.raises(ArgumentError, match="times must hold numbers, and cannot be read"):
        plot_event_study(make_clustered([0.1, 0.2]), times=["a", "b"])


@pytest.mark.parametrize("times", [[0.0], [0.0, -1.0]])
def test_event_study_times_must_fit_the_terms(make_clustered, times):
    with pytest.raises(ArgumentError, match="one period per term"):
        event_study_data(make_clustered([0.1, 0.2]), times=times, reference=-1.0)


def test_mean_outcomes_are_drawn_without_a_null(make):
    two = {"terms": ("a", "b"), "estimates": [140, 150], "vcov": np.eye(2), "contrast": ()}
    ax = plot_forest(make(**two, estimand="adrf", outcome="pressure"))
    assert ax.get_xlabel().startswith("Mean pressure (")
    assert ax.get_xlim()[0] > 100.0
    assert plot_forest(make(**two)).get_xlim()[0] <= 0.0


@pytest.mark.parametrize("wrong", [object(), None])
def test_an_estimator_is_not_drawn_but_its_estimate(wrong, make):
    with pytest.raises(ArgumentTypeError, match=r"got \w+; call \.estimate\(\) on an estimator"):
        plot_forest(wrong)
    for draw in (plot_gate, lambda one: plot_event_study(one, times=[0.0], reference=None)):
        with pytest.raises(ArgumentTypeError, match="draws one EffectResult"):
            draw(wrong)
        with pytest.raises(ArgumentTypeError, match="got ResultTable"):
            draw(table(make()))
