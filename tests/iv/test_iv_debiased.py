"""The debiased method: reproducible, weighted, clustered, and right where it should be."""

import pickle

import iv_designs as designs
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

import causalkit as ck
from causalkit.errors import IdentificationWarning

PLAIN = {"method": "debiased", "learners": "linear", "basis": None, "random_state": 0}
ANY = "ignore::causalkit.errors.CausalKitWarning"


def fit(data, **arguments):
    return ck.InvalidIV(**(PLAIN | arguments)).fit(data)


def numbers(found):
    result = found.result_
    return np.array([result.estimate, result.std_error, *result.conf_int()])


@pytest.fixture(scope="module")
def sample():
    return designs.draw(np.random.default_rng(20), 1600)


@pytest.fixture(scope="module")
def data(sample):
    return designs.as_data(*sample)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(data):
    first, again, other = (fit(data, random_state=seed) for seed in (1, 1, 2))
    assert np.array_equal(numbers(first), numbers(again))
    assert not np.array_equal(numbers(first), numbers(other))


def test_results_do_not_depend_on_the_number_of_jobs(data):
    tree = DecisionTreeRegressor(max_depth=2, max_features=1)
    learners = {"instrument": "linear", "treatment": "linear", "outcome": tree, "effect": "linear"}
    one, two = (fit(data, learners=learners, n_jobs=jobs, n_rep=2) for jobs in (1, 2))
    assert np.array_equal(numbers(one), numbers(two))


def test_the_order_of_rows_does_not_matter(sample, data):
    order = np.random.default_rng(21).permutation(sample[0].size)
    shuffled = designs.as_data(*(column[order] for column in sample))
    one, other = fit(data), fit(shuffled)
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-10)
    left, right = one.augment(), other.augment()
    by_row = right.assign(row=order[right["row"]]).sort_values("row", ignore_index=True)
    pd.testing.assert_frame_equal(left, by_row, rtol=1e-8)


def test_clone_and_get_params_round_trip_and_leave_the_learner_alone(data):
    learner = LinearRegression()
    made = ck.InvalidIV(method="debiased", learners={"outcome": learner}, clip=0.02)
    copied = clone(made)
    assert copied.get_params(deep=False).keys() == made.get_params(deep=False).keys()
    assert copied.clip == 0.02
    assert copied.set_params(n_folds=3).n_folds == 3
    learners = dict.fromkeys(("instrument", "treatment", "effect"), "linear")
    fit(data, learners=learners | {"outcome": learner}, n_folds=2)
    assert not hasattr(learner, "coef_")


def test_a_pickled_fit_answers_like_the_fit(data):
    made = fit(data, n_folds=2)
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(numbers(again), numbers(made))
    assert again.estimate("att").estimate == made.estimate("att").estimate


def test_a_fit_is_saved_without_whom_it_told_of_its_progress(data, tmp_path):
    heard = []
    made = fit(data, n_folds=2, progress=lambda text: heard.append(text))
    made.save(tmp_path / "fit.joblib")
    assert heard
    again = ck.InvalidIV.load(tmp_path / "fit.joblib")
    assert again.progress is None
    assert callable(made.progress)
    assert again.estimate("att").estimate == made.estimate("att").estimate
    pd.testing.assert_frame_equal(again.compare(data=data).frame, made.compare().frame)


def test_frequency_weights_equal_repeated_rows_where_no_split_separates_copies(sample):
    # Without folds; with them the copies of a row may be on both sides of a split.
    times = np.random.default_rng(22).integers(0, 3, sample[0].size)
    counted = designs.as_data(*sample, weights=times, weight_kind="frequency")
    repeated = designs.as_data(*(np.repeat(column, times) for column in sample))
    one, other = (fit(each, n_folds=1) for each in (counted, repeated))
    np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-6)


def test_clusters_stay_together_in_every_fold(sample):
    cluster = np.random.default_rng(23).integers(0, 80, sample[0].size)
    found = fit(designs.as_data(*sample, cluster=cluster), n_rep=2)
    rows = found.fit_.sample.rows
    for fold in found.fit_.folds.fold_ids():
        assert pd.Series(fold).groupby(cluster[rows]).nunique().max() == 1
    influence = found.estimate("att").influence[:, 0]
    assert influence.size == rows.size


def test_folds_from_elsewhere_give_the_same_as_those_drawn(data):
    drawn = fit(data)
    rows, fold = drawn.fit_.sample.rows, drawn.fit_.folds.fold_ids()[0]
    given = [[(rows[fold != k], rows[fold == k]) for k in range(5)]]
    again = ck.InvalidIV(**PLAIN).fit(data, folds=given)
    np.testing.assert_allclose(numbers(again), numbers(drawn), rtol=1e-8)


def test_predictions_from_elsewhere_replace_the_learners(data):
    learned = fit(data, effect_loss="arms", calibrate=False)
    place = np.argsort(learned.fit_.sample.rows)
    given = {name: hats[place, 0] for name, hats in learned.fit_.fitted.predictions.items()}
    other = {"learners": "ridge", "effect_loss": "arms", "calibrate": False}
    again = ck.InvalidIV(**(PLAIN | other)).fit(data, predictions=given)
    np.testing.assert_allclose(numbers(again), numbers(learned), rtol=1e-12)


def test_one_sided_non_compliance_is_adjustment_among_those_with_the_instrument():
    # Augmented inverse probability weighting of A among Z = 1, moved to everyone by 1/π.
    data = ck.generators.invalid_iv(24, n=1500, one_sided=True).blind()
    with pytest.warns(IdentificationWarning, match="rests on no unmeasured confounding"):
        found = fit(data, ssc="none")
    seen = found.augment()
    y, a, z = (data.frame[name].to_numpy(dtype=float)[seen["row"]] for name in "yaz")
    pi, mu, eta = (seen[f"{name}_hat"] for name in ("instrument", "treatment:1", "outcome:1"))
    beta = found.fit_.fitted.hats.beta[np.argsort(found.fit_.sample.rows), 0]
    treated, untreated = eta + (1.0 - mu) * beta, eta - mu * beta
    aipw = a / mu * (y - treated) - (1.0 - a) / (1.0 - mu) * (y - untreated)
    expected = treated - untreated + z / pi * aipw
    assert found.result_.estimate == pytest.approx(expected.mean(), rel=1e-9)
    assert found.result_.std_error == pytest.approx(
        expected.std(ddof=0) / np.sqrt(expected.size), rel=1e-9
    )


def test_repeats_are_aggregated_by_the_shared_rule(data):
    found = fit(data, n_rep=3, n_folds=2)
    each = [float(solution.theta[0]) for solution in found.fit_.solutions("ate")]
    assert len(set(each)) == 3
    assert found.result_.estimate == pytest.approx(np.median(each), rel=1e-12)


def continuous_exposure(seed, n):
    return ck.generators.invalid_iv(seed, n=n, exposure="continuous", effect="constant").blind()


def exposure(rng, l1, spread):
    """Exposure with a given spread, confounded with the outcome; effect 1 + .5 L, mean 1."""
    u = rng.uniform(-1.0, 1.0, l1.size)
    a = 1.0 + 0.5 * l1 + 0.5 * u + spread * rng.standard_normal(l1.size)
    y = (1.0 + 0.5 * l1) * a + 0.5 * l1 + 1.5 * u + 0.3 * rng.standard_normal(l1.size)
    return a, y


def continuous_instrument(seed, n):
    rng = np.random.default_rng(seed)
    l1 = rng.uniform(-1.0, 1.0, n)
    z = 0.3 * l1 + rng.uniform(-1.0, 1.0, n)
    a, y = exposure(rng, l1, np.sqrt(1.5 + 0.9 * z))
    frame = pd.DataFrame({"y": y + 0.7 * z, "a": a, "z": z, "l1": l1})
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates="l1"
    )


def two_instruments(seed, n):
    rng = np.random.default_rng(seed)
    l1 = rng.uniform(-1.0, 1.0, n)
    z1, z2 = (rng.random((2, n)) < 0.5 + 0.2 * l1).astype(float)
    a, y = exposure(rng, l1, np.sqrt(0.5 + 1.2 * z1 + 0.9 * z2))
    frame = pd.DataFrame({"y": y + 0.7 * z1 - 0.5 * z2, "a": a, "z1": z1, "z2": z2, "l1": l1})
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments=["z1", "z2"], covariates="l1"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize("make", [continuous_instrument, two_instruments])
def test_two_folds_do_not_shift_the_direction_of_other_instruments(make):
    # E[V | L] from V of the other fold's model has the level of that model: bias -.21 where this
    # allows .03.
    found = np.array(
        [
            fit(make(1000 + k, 1500), n_folds=2).estimate("variance-weighted").estimate
            for k in range(100)
        ]
    )
    assert abs(found.mean() - 1.0) < 4.0 * found.std(ddof=1) / np.sqrt(found.size)


def simulate(make, *, n, n_sim, n_folds=2, **arguments):
    found = np.empty((n_sim, 2))
    for k in range(n_sim):
        result = fit(make(1000 + k, n), n_folds=n_folds, **arguments).result_
        found[k] = result.estimate, result.std_error
    return found.T


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize("make", [continuous_exposure, continuous_instrument, two_instruments])
def test_other_exposures_and_instruments_give_the_average_effect(make):
    # Bias beyond 4 Monte-Carlo errors, or coverage beyond 3, has a chance of 0.3 %.
    estimate, std_error = simulate(make, n=1500, n_sim=200, n_folds=5)
    assert abs(estimate.mean() - 1.0) < 4.0 * estimate.std(ddof=1) / np.sqrt(estimate.size)
    covered = np.mean(abs(estimate - 1.0) < 1.96 * std_error)
    assert abs(covered - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / estimate.size)


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize("make", [continuous_instrument, two_instruments])
def test_two_folds_give_other_instruments_a_standard_error_that_is_their_spread(make):
    # The ratio has a Monte-Carlo error of 1/sqrt(2 * 200) = 5 %: 4 of them each way, 3 for a share.
    estimate, std_error = simulate(make, n=1500, n_sim=200, n_folds=2)
    ratio = np.sqrt(np.mean(std_error**2)) / estimate.std(ddof=1)
    assert abs(ratio - 1.0) < 4.0 / np.sqrt(2 * estimate.size)
    covered = np.mean(abs(estimate - 1.0) < 1.96 * std_error)
    assert abs(covered - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / estimate.size)


@pytest.mark.parametrize("make", [continuous_instrument, two_instruments])
def test_calibration_leaves_the_sets_that_divide_by_nothing_alone(make):
    data = make(25, 600)
    made, raw = (fit(data, calibrate=calibrate) for calibrate in (True, False))
    assert made.result_.estimate != raw.result_.estimate
    weighted, also = (each.estimate("variance-weighted") for each in (made, raw))
    assert weighted.estimate == also.estimate
    assert made.anderson_rubin().intervals == raw.anderson_rubin().intervals


def shipped(**arguments):
    return lambda seed, n: ck.generators.invalid_iv(seed, n=n, **arguments).blind()


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize(("effect", "truth"), [("linear", 1.0), ("null", 0.0)])
def test_coverage_and_size_in_the_linear_design(effect, truth):
    # A3; studies/invalid_iv_coverage.toml has nonlinear nuisances and 8,000 rows, too.
    # 3 Monte-Carlo errors of a share of .95: false alarm 0.3 %.
    estimate, std_error = simulate(shipped(effect=effect), n=2000, n_sim=500)
    covered = np.mean(abs(estimate - truth) < 1.96 * std_error)
    assert abs(covered - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / estimate.size)


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
def test_the_lasso_covers_with_nonlinear_nuisances():
    # A3. By linear learners the bias is -.06 here; 3 Monte-Carlo errors of a share of .95.
    make = shipped(nuisance="nonlinear")
    estimate, std_error = simulate(
        make, n=2000, n_sim=500, n_folds=5, learners="lasso", basis="cubic"
    )
    covered = np.mean(abs(estimate - 1.0) < 1.96 * std_error)
    assert abs(covered - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / estimate.size)


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
def test_two_folds_of_the_lasso_over_a_cubic_dictionary_cover_with_the_right_standard_error():
    # A3 with fewer replications, for their cost; 3 Monte-Carlo errors of the ratio are .15.
    estimate, std_error = simulate(shipped(), n=2000, n_sim=200, learners="lasso", basis="cubic")
    covered = np.mean(abs(estimate - 1.0) < 1.96 * std_error)
    assert abs(covered - 0.95) < 3.0 * np.sqrt(0.95 * 0.05 / estimate.size)
    ratio = np.sqrt(np.mean(std_error**2)) / estimate.std(ddof=1)
    assert abs(ratio - 1.0) < 3.0 / np.sqrt(2 * estimate.size)
