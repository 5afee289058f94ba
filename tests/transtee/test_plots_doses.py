"""Pictures of dose-response curves draw the numbers of the curve."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError, ExtrapolationWarning
from causalkit.transtee.plots import plot_dose_response


@pytest.fixture
def curve(dose_fit, doses):
    with pytest.warns(ExtrapolationWarning):
        return dose_fit.dose_response(doses, grid=np.linspace(-0.2, 1.0, 13))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines_of(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_the_curve_is_drawn_whole_where_doses_were_seen_and_dashed_elsewhere(curve, doses):
    ax = plot_dose_response(curve)
    seen = lines_of(ax)["average mean outcome"].get_ydata()
    low, high = doses.frame["t"].min(), doses.frame["t"].max()
    inside = (curve["dose"] >= low) & (curve["dose"] <= high)
    np.testing.assert_array_equal(np.isfinite(seen), inside)
    np.testing.assert_allclose(seen[inside], curve["adrf"].values[inside])
    dashed = lines_of(ax)["no such dose in training"].get_ydata()
    np.testing.assert_allclose(dashed, curve["adrf"].values)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t", "Mean y")
    np.testing.assert_allclose(ax.plot_data["band_high"], curve["band_high"].values)


def test_bands_are_those_of_the_curve_and_none_of_one_network(curve):
    ax = plot_dose_response(curve)
    heights = [shade.get_paths()[0].vertices[:, 1] for shade in ax.collections]
    assert max(heights[0]) == pytest.approx(float(curve["band_high"].max()))
    assert min(heights[1]) == pytest.approx(float(curve["conf_low"].min()))
    alone = curve.assign({name: curve["adrf"] * np.nan for name in ("band_low", "band_high")})
    assert not plot_dose_response(alone).collections


def test_rows_are_drawn_evenly_on_request(curve):
    ax = plot_dose_response(curve, individual=3)
    grey = [line for line in ax.get_lines() if line.get_linewidth() < 1.0]
    rows = [0, round((curve.sizes["obs"] - 1) / 2), curve.sizes["obs"] - 1]
    for line, row in zip(grey, rows, strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve["individual"].values[row])


def test_doses_that_were_received_are_marked_along_the_axis(curve, doses):
    received = doses.column("treatment")
    marks = lines_of(plot_dose_response(curve, seen=received))["doses received"]
    np.testing.assert_array_equal(marks.get_xdata(), np.sort(received))
    few = lines_of(plot_dose_response(curve, seen=[-9.0, 0.5, 0.1, 9.0]))["doses received"]
    np.testing.assert_array_equal(few.get_xdata(), [0.1, 0.5])
    many = np.random.default_rng(0).beta(2.0, 6.0, 20_000)
    drawn = lines_of(plot_dose_response(curve, seen=many))["doses received"].get_xdata()
    assert drawn.size == 500
    levels = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(drawn, levels), np.quantile(many, levels), atol=0.01)
    with pytest.raises(ArgumentError, match="seen must be a column of finite numbers"):
        plot_dose_response(curve, seen=[0.1, np.nan])


def test_something_else_is_refused(curve):
    with pytest.raises(ArgumentTypeError, match="draws what dose_response"):
        plot_dose_response(curve[["adrf"]])


@pytest.mark.parametrize("given", [1.0, "curve", None])
def test_what_is_no_dataset_is_refused(given):
    with pytest.raises(ArgumentTypeError, match=r"draws what dose_response\(\) gives; got"):
        plot_dose_response(given)
