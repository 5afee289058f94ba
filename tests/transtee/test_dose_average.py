"""Averages at a dose: identities, and the coverage of their intervals."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.linear_model import LinearRegression
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.variance import sandwich
from causalkit.transtee.dose_average import RATE
from causalkit.transtee.dose_scores import MeanOutcomes, curve_at
from causalkit.transtee.local_fit import local_polynomial

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


def share_covered(at, *, knows_curve, n=500, normal=False, **changed):
    """How often the interval of .95 holds 2 cos(2t), for every dose."""
    held = []
    for seed in range(N_DRAWS):
        found = curve_at(at, **peaked(seed, at, knows_curve=knows_curve, n=n), **changed)
        error = found.influence.std(axis=0) / np.sqrt(len(found.influence))
        reach = stats.norm.ppf(0.975) if normal else stats.t.ppf(0.975, found.df)
        held.append(np.abs(found.theta - 2.0 * np.cos(2.0 * at)) < reach * error)
    return np.mean(held, axis=0)


def test_intervals_cover_a_peak_that_the_outcome_model_does_not_know():
    # The peak at 0 is what a local line flattens: without the correction nearly all intervals miss.
    peak = np.array([0.0])
    assert abs(share_covered(peak, knows_curve=False)[0] - 0.95) < SLACK
    assert share_covered(peak, knows_curve=False, degree=1)[0] < 0.5


def test_intervals_count_that_rows_differ():
    # The outcome model is right, so that most of the error is that of the mean over rows.
    found = share_covered(np.array([-0.8, 0.0, 0.8]), knows_curve=True)
    assert (np.abs(found - 0.95) < SLACK).all()


def test_intervals_count_that_few_rows_carry_the_fit():
    # Some ten rows of eighty, at a dose where the mean over rows is nearly exact: quantiles of the
    # normal miss too often.
    at = np.array([-1.5])
    assert abs(share_covered(at, knows_curve=True, n=80)[0] - 0.95) < SLACK
    assert share_covered(at, knows_curve=True, n=80, normal=True)[0] < 0.95 - SLACK


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
    # Few rows near the point, some of great weight: the error of White is far too small.
    rng = np.random.default_rng(1)
    t, values, weight = rng.random(40), rng.standard_normal(40), rng.random(40) ** 4
    found = local_polynomial(t, values, np.array([0.9]), 0.1, weight=weight)
    kernel = weight * np.exp(-0.5 * ((t - 0.9) / 0.1) ** 2)
    peer = sm.WLS(values, np.vander(t - 0.9, 3, increasing=True), kernel).fit()
    error = np.sqrt((found.influence**2).sum()) / 40
    # Influence values are centred, which moves an error of forty rows by less than a hundredth.
    assert error == pytest.approx(peer.HC2_se[0], rel=0.01)
    assert error > 1.4 * peer.HC0_se[0]


def test_degrees_of_freedom_of_a_local_mean_are_rows_less_one():
    # With a kernel that is flat over the data the fit of degree 0 is the mean.
    rng = np.random.default_rng(2)
    t, values = rng.random(17), rng.standard_normal(17)
    found = local_polynomial(t, values, np.array([0.5]), 1e6, degree=0)
    assert found.df[0] == pytest.approx(16.0, rel=1e-6)
    # Means of clusters of one size: clusters less one.
    codes = np.arange(30) % 6
    t, values = rng.random(30), rng.standard_normal(30)
    found = local_polynomial(t, values, np.array([0.5]), 1e6, degree=0, clusters=(codes,))
    assert found.df[0] == pytest.approx(5.0, rel=1e-6)


@pytest.mark.parametrize("clustered", [False, True])
def test_degrees_of_freedom_are_those_of_the_whole_matrices(clustered):
    # As Bell and McCaffrey write them, with matrices of rows by rows, each row as often as it is.
    rng = np.random.default_rng(3)
    times = rng.integers(1, 4, 60)
    t, values, weight = rng.random(60), rng.standard_normal(60), times * rng.random(60)
    codes = np.arange(60) // 4
    found = local_polynomial(
        t,
        values,
        np.array([0.8]),
        0.2,
        weight=weight,
        multiplicity=times,
        clusters=(codes,) if clustered else (),
    )
    rows = np.repeat(np.arange(60), times)
    kernel = (weight / times)[rows] * np.exp(-0.5 * ((t[rows] - 0.8) / 0.2) ** 2)
    x = np.vander(t[rows] - 0.8, 3, increasing=True)
    solved = np.linalg.solve(x.T @ (kernel[:, None] * x), (kernel[:, None] * x).T)
    left = np.eye(rows.size) - x @ solved
    loading = solved[0] / np.sqrt(np.diag(left))
    groups = codes[rows] if clustered else np.arange(rows.size)
    sums = (groups == np.unique(groups)[:, None]) * loading
    covariance = sums @ left @ left.T @ sums.T
    expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    assert found.df[0] == pytest.approx(expected, rel=1e-9)


def test_degrees_of_freedom_of_a_curve_mix_those_of_its_parts():
    at = np.array([-1.0, 0.0])
    parts = peaked(4, at, knows_curve=True, n=300)
    codes = np.arange(300) // 3
    found = curve_at(at, **parts, clusters=(codes,))
    fit = local_polynomial(
        parts["t"],
        parts["y"] - parts["received"],
        at,
        parts["width"],
        weight=parts["mean_density"] / parts["density"],
        clusters=(codes,),
    )
    a = np.diag(sandwich(parts["curves"] - parts["curves"].mean(axis=0), [codes]))
    b = np.diag(sandwich(fit.influence, [codes]))
    mixed = (a + b) ** 2 / (a**2 / 99.0 + b**2 / fit.df)
    np.testing.assert_allclose(found.df, np.minimum(mixed, 99.0))
    assert mixed[0] < 99.0 < mixed[1]


@pytest.mark.parametrize("point", [9.0, 5.0, 200.0])
def test_a_fit_that_goes_through_one_row_has_no_error_and_is_refused(point):
    # At a row that lies apart, in the gap before it, and beyond all.
    rng = np.random.default_rng(1)
    t = np.append(rng.random(100), 9.0)
    with pytest.raises(IdentificationError, match=f"too few rows were seen near {point:.4g}"):
        local_polynomial(t, rng.standard_normal(101), np.array([0.5, point]), 0.1)


def test_a_weight_of_two_is_a_row_twice_and_of_a_frequency_so_are_its_errors():
    at = np.array([0.3])
    parts = peaked(2, at, knows_curve=False, n=200)
    weight = np.where(np.arange(200) < 60, 2.0, 1.0)
    twice = np.repeat(np.arange(200), weight.astype(int))
    rows = {k: v if k == "width" else v[twice] for k, v in parts.items()}
    weighted, repeated = curve_at(at, **parts, weight=weight), curve_at(at, **rows)
    assert weighted.theta[0] == pytest.approx(repeated.theta[0], rel=1e-10)
    counted = curve_at(at, **parts, weight=weight, multiplicity=weight)
    assert counted.theta[0] == weighted.theta[0]
    assert counted.df[0] == pytest.approx(repeated.df[0], rel=1e-9)
    np.testing.assert_allclose(
        sandwich(counted.influence, multiplicity=weight), sandwich(repeated.influence)
    )


def scarce_arm(seed, differ, *, n=200, own=25):
    """Mean outcomes at two doses of an arm that few rows received; truth 0 at both."""
    rng = np.random.default_rng(seed)
    x, rows = differ * rng.standard_normal(n), np.isin(np.arange(n), rng.permutation(n)[:own])
    flat = np.full(n, own / n)
    known = {"received": x, "curves": np.column_stack([x, x]), "rows": rows, "width": 0.12}
    return curve_at(
        np.array([0.3, 0.7]),
        y=x + rng.standard_normal(n),
        t=rng.random(n),
        density=flat,
        mean_density=flat,
        **known,
    )


def test_what_rows_differ_in_gives_differences_no_degrees_of_freedom():
    """A level is known by what all rows differ in; of that nothing is left in a difference."""
    alike, apart = scarce_arm(1, 0.0), scarce_arm(1, 10.0)
    assert apart.df.min() > 3.0 * alike.df.max()
    np.testing.assert_allclose(alike.df, alike.fit_df)
    difference = apart.from_last()
    assert difference.df[0] == pytest.approx(alike.from_last().df[0], rel=1e-6)
    # Two local fits far from each other: Welch's degrees of freedom.
    parts = np.diag(sandwich(apart.of_fit))
    welch = parts.sum() ** 2 / (parts**2 / apart.fit_df).sum()
    assert difference.fit_df[0] == pytest.approx(welch, rel=0.05)


def test_differences_of_nearby_doses_have_the_degrees_of_freedom_of_one_fit():
    part = scarce_arm(2, 0.0)
    twice = np.column_stack([part.of_fit[:, 0], 1.001 * part.of_fit[:, 0]])
    twice[:, 1] += 0.05 * part.of_fit[:, 1]
    near = MeanOutcomes(part.theta, 0.0 * twice, twice, part.fit_df)
    assert near.from_last().df[0] == pytest.approx(part.fit_df[1], rel=0.1)
    # A mean without a fit, such as that of an arm that takes no dose, brings none.
    alone = MeanOutcomes(
        part.theta, 0.0 * twice, twice * [1.0, 0.0], np.array([part.fit_df[0], np.inf])
    )
    assert alone.from_last().df[0] == pytest.approx(part.fit_df[0])


def test_intervals_of_differences_cover_where_rows_differ():
    held = []
    for seed in range(400):
        found = scarce_arm(seed, 10.0, n=300, own=40).from_last()
        error = np.sqrt(sandwich(found.influence)[0, 0])
        held.append(abs(found.theta[0]) < stats.t.ppf(0.975, found.df[0]) * error)
    # Three Monte-Carlo errors; with the degrees of freedom of a level 91 to 92 % cover.
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_the_error_at_a_dose_does_not_hang_on_which_others_are_asked():
    fit = ck.TransTEE(**SMALL).fit(ck.generators.dose_synthetic(0, n=150).blind())
    alone, among = fit.estimate(doses=[0.3]), fit.estimate(doses=[0.3, *np.linspace(0.4, 0.7, 15)])
    assert among.std_errors[0] == pytest.approx(alone.std_errors[0], rel=1e-6)
    assert "n/(n-1); leverage of rows as in HC2" in alone.to_latex()


def test_a_curve_with_intervals_at_its_quartiles():
    data = ck.generators.dose_synthetic(3, n=800)
    fit = ck.TransTEE(**SMALL).fit(data.blind())
    found = fit.estimate(propensity="boosting")
    assert found.estimand == "adrf"
    truth = data.truth.dose_response(np.quantile(data.column("treatment"), (0.25, 0.5, 0.75)))
    assert (np.abs(found.estimates - truth) < 4.0 * found.std_errors).all()
    reach = stats.t.ppf(0.975, found.df_by_term) * found.std_errors
    np.testing.assert_allclose(found.bounds()[1] - found.estimates, reach)
    assert found.df == found.df_by_term.min() < 100.0
    largest = data.column("treatment").max()
    assert np.isfinite(fit.estimate(doses=[0.3, largest]).std_errors).all()
    with pytest.raises(ArgumentError, match="doses must lie within those seen"):
        fit.estimate(doses=[0.5, 3.0])
    with pytest.raises(ArgumentError, match="bandwidth must be a number"):
        fit.estimate(bandwidth=0.0)
