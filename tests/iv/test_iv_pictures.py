"""Pictures and the augmented frame of an invalid-instrument fit carry the numbers they show."""

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentTypeError
from causalkit.iv.plots import plot_delta_v, plot_departure


@pytest.fixture(scope="module")
def fit():
    data = ck.generators.invalid_iv(1, n=1600).blind()
    return ck.InvalidIV(method="debiased", learners="ridge", random_state=0).fit(data)


def test_the_departure_plot_draws_its_curve_and_the_value_that_reaches_the_null(fit):
    bounds = fit.sensitivity()
    ax = bounds.plot()
    frame = ax.plot_data
    assert ((frame["conf_low"] <= frame["low"]) & (frame["high"] <= frame["conf_high"])).all()
    at_null = np.interp(bounds.robustness_value, frame["departure"], frame["low"])
    assert at_null == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(ax.lines[2].get_xdata(), bounds.robustness_value)


def test_the_histogram_of_delta_v_counts_every_row(fit):
    delta_v = fit.fit_.fitted.hats.delta_v[:, 0]
    ax = plot_delta_v(delta_v, trim=0.02)
    assert ax.plot_data["share"].sum() == pytest.approx(1.0)
    assert f"{100 * np.mean(np.abs(delta_v) < 0.02):.1f}%" in ax.get_xlabel()


def test_pictures_of_a_fit_say_which_part_of_it_they_draw(fit):
    with pytest.raises(ArgumentTypeError, match=r"those of est\.sensitivity\(\); got InvalidIV"):
        plot_departure(fit)
    for wrong in (fit, "delta_v", [fit]):
        with pytest.raises(ArgumentTypeError, match=r'est\.augment\(\)\["delta_v"\]'):
            plot_delta_v(wrong)


def test_the_augmented_frame_gives_the_standard_error_back(fit):
    frame = fit.augment()
    assert list(frame["row"]) == list(range(1600))
    used = frame.loc[frame["used"], "influence"]
    error = np.sqrt((used**2).sum() / (len(used) * (len(used) - 1)))
    assert error == pytest.approx(fit.estimate().std_error, rel=1e-9)
    assert used.mean() == pytest.approx(0.0, abs=1e-12)
