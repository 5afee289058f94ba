"""Doses that are other in training than in test, and the curve of each unit."""

import math

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError

G = ck.generators


def test_curves_of_units_are_the_formula_one_unit_at_a_time():
    data = G.dose_synthetic(0, n=20, h=2.0, effect=1.5)
    x = data.matrix("covariates")
    for row, t in ((0, 0.3), (7, 1.1), (19, 2.0)):
        x1, _, x3, x4, _, x6 = x[row]
        slope = 4 * max(x1, x6) ** 3 / (1 + 2 * x3**2) * math.sin(x4)
        expected = 1.5 * math.cos(2 * math.pi * (t / 2 - 0.5)) * ((t / 2) ** 2 + slope)
        assert data.truth.unit_response([t])[row, 0] == pytest.approx(expected, rel=1e-12)


def test_outcomes_are_curves_plus_noise_of_variance_a_quarter():
    data = G.dose_synthetic(1, n=4000, n_test=1000, h_train=4.0, h_test=5.0)
    own = data.truth.unit_response(data.column("treatment")[:, None])[:, 0]
    error = data.column("outcome") - own
    # Standard errors .5/sqrt(4000) and .5/sqrt(8000); five of them.
    assert error.mean() == pytest.approx(0.0, abs=0.04)
    assert error.std() == pytest.approx(0.5, abs=0.03)


def test_the_mean_of_the_curves_is_the_closed_form_up_to_sampling():
    truth = G.dose_synthetic(2, n=20_000, h_train=4.0, h_test=5.0).truth
    doses = np.array([0.4, 2.0, 3.3, 4.9])
    curves = truth.unit_response(doses)
    error = curves.std(axis=0) / np.sqrt(20_000)
    assert (np.abs(curves.mean(axis=0) - truth.dose_response(doses)) < 5 * error).all()


def test_test_doses_reach_further_than_training_doses():
    shifted = G.dose_synthetic(3, n=5200, n_test=200, h_train=4.0, h_test=5.0)
    frame = shifted.frame
    assert frame["test"].sum() == 200
    assert frame["test"].iloc[-200:].eq(1).all()
    train, test = (frame.loc[frame["test"] == part, "t"] for part in (0, 1))
    assert 3.9 < train.max() <= 4.0
    assert 4.5 < test.max() <= 5.0
    # The pull on the dose is the same; the largest dose alone differs.
    plain = G.dose_synthetic(3, n=5200).frame["t"]
    np.testing.assert_allclose(frame["t"], plain * np.where(frame["test"] == 1, 5.0, 4.0))
    assert shifted.truth.estimands == G.dose_synthetic(3, n=10, h=5.0).truth.estimands


def test_without_test_rows_nothing_is_added():
    plain, told = G.dose_synthetic(4), G.dose_synthetic(4, h_train=1.0, h_test=1.0, n_test=0)
    assert "test" not in plain.frame
    assert plain.frame.equals(told.frame)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"h_train": -1.0}, "h_train must be positive and finite, got -1.0"),
        ({"h_test": math.inf}, "h_test must be positive and finite, got inf"),
        ({"n": 10, "n_test": 9}, "n_test must lie between 0 and n - 2 = 8.*got 9"),
    ],
)
def test_ranges_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.dose_synthetic(0, **wrong)


def test_actions_of_a_wrong_shape_are_refused():
    response = G.dose_synthetic(5, n=10).truth.unit_response
    assert response(0.5).shape == (10,)
    with pytest.raises(ArgumentError, match=r"a row for each of 10 units; got \(3, 2\)"):
        response(np.ones((3, 2)))
