"""Averages at a dose: identities, and the coverage of their intervals."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.transtee.dose_average import RATE, curve_at, local_polynomial

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
N_DRAWS = 300
# 3 Monte-Carlo errors of a share of .95 over the draws, two-sided: a false alarm in 370.
SLACK = 3.0 * np.sqrt(0.95 * 0.05 / N_DRAWS)


def peaked(seed, at, *, knows_curve, n=500):
    """Outcome 2 cos(2t) + x(2 + t) + noise, a dose that follows x, and nuisances that are known."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    t = 0.5 * x + rng.standard_normal(n)

    def mean(dose):
        return x * (2.0 + dose) + (2.0 * np.cos(2.0 * dose) if knows_curve else 0.0)

    y = x * (2.0 + t) + 2.0 * np.cos(2.0 * t) + rng.standard_normal(n)
    return {
        "y": y,
        "t": t,
        "received": mean(t),
        "curves": np.column_stack([mean(dose) for dose in at]),
        "density": np.exp(-0.5 * (t - 0.5 * x) ** 2) / np.sqrt(2.0 * np.pi),
        "mean_density": np.exp(-0.5 * t**2 / 1.25) / np.sqrt(2.5 * np.pi),
        "width": float(t.std() * n**RATE),
    }


def share_covered(at, *, knows_curve, **changed):
    """How often the interval of .95 holds 2 cos(2t), for every dose."""
    ratios = []
    for seed in range(N_DRAWS):
        found = curve_at(at, **peaked(seed, at, knows_curve=knows_curve), **changed)
        error = found.influence.std(axis=0) / np.sqrt(len(found.influence))
        ratios.append((found.theta - 2.0 * np.cos(2.0 * at)) / error)
    return (np.abs(ratios) < 1.96).mean(axis=0)


def test_intervals_cover_a_peak_that_the_outcome_model_does_not_know():
    # The peak at 0 is what a local line flattens: without the correction nearly all intervals miss.
    peak = np.array([0.0])
    assert abs(share_covered(peak, knows_curve=False)[0] - 0.95) < SLACK
    assert share_covered(peak, knows_curve=False, degree=1)[0] < 0.5


def test_intervals_count_that_rows_differ():
    # The outcome model is right, so that most of the error is that of the mean over rows.
    found = share_covered(np.array([-0.8, 0.0, 0.8]), knows_curve=True)
    assert (np.abs(found - 0.95) < SLACK).all()


def test_a_correct_outcome_model_is_not_smoothed():
    # Without noise there is nothing left to smooth: a bandwidth as wide as the data does no harm.
    at = np.array([0.0, 0.7])
    parts = peaked(0, at, knows_curve=True)
    parts["y"] = parts["received"]
    found = curve_at(at, **parts | {"width": 5.0})
    np.testing.assert_allclose(found.theta, parts["curves"].mean(axis=0), rtol=1e-12)


def test_with_the_true_density_the_outcome_model_may_be_wrong():
    at = np.array([-0.5, 0.0, 0.8])
    parts = peaked(0, at, knows_curve=False, n=100_000)
    parts |= {"received": np.zeros(100_000), "curves": np.zeros((100_000, 3)), "width": 0.1}
    found = curve_at(at, **parts)
    error = found.influence.std(axis=0) / np.sqrt(100_000)
    np.testing.assert_array_less(np.abs(found.theta - 2.0 * np.cos(2.0 * at)), 4.0 * error)


def test_local_polynomials_are_weighted_regressions():
    rng = np.random.default_rng(1)
    t, values, weight = rng.random(300), rng.standard_normal(300), rng.random(300)
    found = local_polynomial(t, values, np.array([0.4]), 0.2, weight=weight)
    kernel = weight * np.exp(-0.5 * ((t - 0.4) / 0.2) ** 2)
    powers = np.column_stack([t - 0.4, (t - 0.4) ** 2])
    peer = LinearRegression().fit(powers, values, sample_weight=kernel)
    assert found.theta[0] == pytest.approx(peer.intercept_, rel=1e-9)
    assert abs(found.influence.mean()) < 1e-12


def test_errors_of_local_polynomials_count_the_leverage_of_rows():
    # Few rows near the point, some of great weight: the error of White is a third of what it is.
    rng = np.random.default_rng(1)
    t, values, weight = rng.random(40), rng.standard_normal(40), rng.random(40) ** 4
    found = local_polynomial(t, values, np.array([0.9]), 0.1, weight=weight)
    kernel = weight * np.exp(-0.5 * ((t - 0.9) / 0.1) ** 2)
    peer = sm.WLS(values, np.vander(t - 0.9, 3, increasing=True), kernel).fit()
    error = np.sqrt((found.influence**2).sum()) / 40
    # Influence values are centred, which moves an error of forty rows by less than a hundredth.
    assert error == pytest.approx(peer.HC3_se[0], rel=0.01)
    assert error > 2.9 * peer.HC0_se[0]


@pytest.mark.parametrize("point", [9.0, 5.0, 200.0])
def test_a_fit_that_goes_through_one_row_has_no_error_and_is_refused(point):
    # At a row that lies apart, in the gap before it, and beyond all.
    rng = np.random.default_rng(1)
    t = np.append(rng.random(100), 9.0)
    with pytest.raises(IdentificationError, match=f"too few rows were seen near {point:.4g}"):
        local_polynomial(t, rng.standard_normal(101), np.array([0.5, point]), 0.1)


def test_a_weight_of_two_is_a_row_twice():
    at = np.array([0.3])
    parts = peaked(2, at, knows_curve=False, n=200)
    weight = np.where(np.arange(200) < 60, 2.0, 1.0)
    twice = np.repeat(np.arange(200), weight.astype(int))
    rows = {k: v if k == "width" else v[twice] for k, v in parts.items()}
    weighted, repeated = curve_at(at, **parts, weight=weight), curve_at(at, **rows)
    assert weighted.theta[0] == pytest.approx(repeated.theta[0], rel=1e-10)


def test_a_curve_with_intervals_at_its_quartiles():
    data = ck.generators.dose_synthetic(3, n=800)
    fit = ck.TransTEE(**SMALL).fit(data.blind())
    found = fit.estimate(propensity="boosting")
    assert found.estimand == "adrf"
    truth = data.truth.dose_response(np.quantile(data.column("treatment"), (0.25, 0.5, 0.75)))
    assert (np.abs(found.estimates - truth) < 4.0 * found.std_errors).all()
    largest = data.column("treatment").max()
    assert np.isfinite(fit.estimate(doses=[0.3, largest]).std_errors).all()
    with pytest.raises(ArgumentError, match="doses must lie within those seen"):
        fit.estimate(doses=[0.5, 3.0])
    with pytest.raises(ArgumentError, match="bandwidth must be a number"):
        fit.estimate(bandwidth=0.0)
