"""IHDP with a continuous dose: the formulas one infant at a time, splits, and published facts."""

import math
import pickle

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.metrics import amse

G = ck.generators


@pytest.fixture(autouse=True)
def _with_econml():
    pytest.importorskip("econml")


def slowly(x, centre, t, h, a, b):
    """Pull of the dose and mean outcome of one infant, written out as in the source."""
    x1, x2, x3, x5, x6 = x[0], x[1], x[2], x[4], x[5]
    first = sum(x[j] for j in (3, 6, 7, 8, 9, 10, 11, 12, 13, 14)) / 10
    second = sum(x[j] for j in range(15, 25)) / 10
    pull = x1 / (1 + x2) + max(x3, x5, x6) / (0.2 + min(x3, x5, x6))
    pull += math.tanh(5 * (second - centre)) - 2
    curve = math.sin(3 * math.pi * t / h) / (1.2 - t / h)
    height = a * math.tanh(5 * (first - centre))
    height += b * math.exp(0.2 * (x1 - x6)) / (0.1 + min(x2, x3, x5))
    return pull, curve * height


@pytest.mark.parametrize(("constants", "a", "b"), [("transtee", 1.0, 1.0), ("vcnet", 1.5, 0.5)])
def test_curves_are_the_formula_one_infant_at_a_time(constants, a, b):
    data = G.ihdp_continuous(1, h_train=1.9, h_test=2.0, constants=constants)
    x = data.matrix("covariates")
    assert x.max(axis=0).max() <= 1.0
    assert x.min() == 0.0
    centre = x[:, [3, *range(6, 15)]].mean()
    for row, t in ((0, 0.2), (5, 1.3), (746, 1.95)):
        expected = slowly(x[row], centre, t, 2.0, a, b)[1]
        assert data.truth.unit_response([t], rows=[row])[0, 0] == pytest.approx(expected, rel=1e-12)


def test_doses_and_outcomes_are_the_formula_plus_noise_of_a_half():
    data = G.ihdp_continuous(2, h_train=1.9, h_test=2.0)
    x, t = data.matrix("covariates"), data.column("treatment")
    test = data.frame["test"].to_numpy() == 1
    centre = x[:, [3, *range(6, 15)]].mean()
    share = np.where(test, t / 2.0, (t - 0.1) / 1.9)
    pulls = [slowly(row, centre, 0.5, 2.0, 1, 1)[0] for row in x]
    noise = np.log(share / (1 - share)) / 2 - pulls
    errors = data.column("outcome") - data.truth.unit_response(t[:, None])[:, 0]
    for part in (noise, errors):
        # Standard errors .5/sqrt(747) = .018 and .5/sqrt(2 * 747) = .013; five of them.
        assert part.mean() == pytest.approx(0.0, abs=0.09)
        assert part.std() == pytest.approx(0.5, abs=0.065)


def test_training_doses_are_shifted_and_test_doses_are_not():
    frame = G.ihdp_continuous(3, h_train=1.0, h_test=2.0).frame
    assert frame["test"].sum() == 276
    train, test = (frame.loc[frame["test"] == part, "t"] for part in (0, 1))
    assert 1.0 <= train.min() < train.max() <= 2.0
    assert 0.0 <= test.min() < 1.0
    assert test.max() <= 2.0


def test_splits_are_of_one_draw():
    one, two = (G.ihdp_continuous(4, split=k) for k in (0, 1))
    assert one.frame["y"].equals(two.frame["y"])
    assert not one.frame["test"].equals(two.frame["test"])
    assert not one.frame["y"].equals(G.ihdp_continuous(5).frame["y"])


def test_the_average_curve_is_the_mean_of_the_curves_and_rows_follow():
    data = G.ihdp_continuous(6)
    doses = np.linspace(0.0, 1.0, 7)
    curves = data.truth.unit_response(doses)
    np.testing.assert_allclose(data.truth.dose_response(doses), curves.mean(axis=0), atol=1e-12)
    some = data.subset(np.flatnonzero(data.frame["test"] == 1)).truth
    np.testing.assert_array_equal(some.unit_response(doses), curves[data.frame["test"] == 1])
    again = pickle.loads(pickle.dumps(some))
    np.testing.assert_array_equal(again.unit_response(doses), some.unit_response(doses))


@pytest.mark.slow
def test_the_published_curve_error_of_the_true_model_is_that_of_its_population():
    """Truth over all infants, predictions over test infants: .0092, sd .0124, over 100 splits."""
    floors, variance = [], []
    for split in range(100):
        data = G.ihdp_continuous(7, split=split)
        test = data.frame["test"].to_numpy() == 1
        curves = data.truth.unit_response(data.column("treatment")[test])
        floors.append(amse(curves[test], curves, population="all"))
        variance.append(curves.mean(axis=0).var())
        assert amse(curves[test], curves, test=test) == 0.0
    # The mean of 100 has standard error .0124 / 10; four of them. Doses are of another draw.
    assert np.mean(floors) == pytest.approx(0.0092, abs=0.005)
    assert np.std(floors) == pytest.approx(0.0124, abs=0.006)
    assert np.mean(variance) == pytest.approx(26.6, rel=0.1)


def test_null_and_no_overlap():
    null = G.ihdp_continuous(8, effect=0.0).truth
    assert set(null.estimands.values()) == {0.0}
    assert not null.unit_response([0.2, 0.7]).any()
    one, two = (G.ihdp_continuous(s, overlap=False).frame["t"] for s in (8, 9))
    assert one.equals(two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"h_train": 0.0}, "h_train must be positive and finite, got 0.0"),
        ({"h_train": 2.0}, "h_train must not exceed h_test"),
        ({"constants": "scigan"}, "unknown constants 'scigan'"),
        ({"n_test": 746}, "n_test must lie between 0 and n - 2 = 745"),
        ({"split": -1}, "split must be at least 0"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.ihdp_continuous(0, **wrong)
