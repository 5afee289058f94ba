"""Folds and predictions from elsewhere: held to the split's rule, refused by the data's rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError, SplitWarning

N_UNITS, N_PERIODS = 30, 4
N = N_UNITS * N_PERIODS


def table():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(N_UNITS), N_PERIODS)
    level = rng.standard_normal(N_UNITS)[unit]
    x = level + rng.standard_normal(N)
    d = x + level + rng.standard_normal(N)
    y = d + x + level + rng.standard_normal(N)
    time = np.tile(np.arange(N_PERIODS), N_UNITS)
    frame = pd.DataFrame({"y": y, "d": d, "x": x, "unit": unit, "time": time})
    # Shuffled, so that a position in the sorted sample is not one in the data.
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


def panel(frame=None, **more):
    roles = {"covariates": "x", "unit": "unit", "time": "time"} | more
    frame = table() if frame is None else frame
    return ck.CausalData.from_frame(frame, outcome="y", treatment="d", **roles)


def folds_by(column, n_folds=3):
    group = table()[column].to_numpy() % n_folds
    rows = np.arange(N)
    return [[(rows[group != k], rows[group == k]) for k in range(n_folds)]]


def fit(data=None, folds=None, predictions=None, **arguments):
    settings = {"learner": "linear", "random_state": 0} | arguments
    return ck.PanelDML(**settings).fit(
        panel() if data is None else data, folds=folds, predictions=predictions
    )


def by_unit(column=None):
    return folds_by("unit")


def without(fold_rows, row):
    return [[(train, test[test != row]) for train, test in folds] for folds in fold_rows]


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        (lambda: 5, "list over repeats.*got 5"),
        (lambda: {"a": 1}, "list over repeats"),
        (lambda: folds_by("unit")[0], "fold 0 of repeat 0|folds of repeat 0"),
        (lambda: [[(np.arange(3.0), np.arange(3))]], "fold 0 of repeat 0.*whole numbers"),
    ],
)
def test_folds_of_another_form_are_refused(folds, words):
    with pytest.raises(ArgumentTypeError, match=words):
        fit(folds=folds())


def test_rows_are_named_as_in_the_data():
    folds = folds_by("unit")
    train, test = folds[0][0]
    with pytest.raises(ArgumentError, match=rf"repeat 0 never tests row {test[4]}, which"):
        fit(folds=without(folds, test[4]))
    twice = [[(train, np.append(test, test[2])), *folds[0][1:]]]
    with pytest.raises(ArgumentError, match=rf"fold 0 of repeat 0 repeats row {test[2]} in its te"):
        fit(folds=twice)
    far = [[(train, np.append(test, 10**6)), *folds[0][1:]]]
    with pytest.raises(ArgumentError, match=rf"names row 1000000; the data have rows 0 to {N - 1}"):
        fit(folds=far)
    both = [[(np.append(train, test[0]), test), *folds[0][1:]]]
    with pytest.raises(ArgumentError, match=rf"row {test[0]} both in training and in test"):
        fit(folds=both)
    # As many rows on both sides as the data have, but not the same ones.
    half = [[(np.r_[: N // 2, : N // 2], np.arange(N))]]
    with pytest.raises(ArgumentError, match=r"repeats rows 0, 1, 2, 3, 4 and 55 more in its train"):
        fit(folds=half)


@pytest.mark.parametrize(
    ("split", "column", "torn"),
    [("unit", "time", "unit"), ("period", "unit", "period"), ("unit_time", "time", "unit")],
)
def test_folds_are_held_to_the_rule_that_split_names(split, column, torn):
    with pytest.raises(
        ArgumentError, match=rf'split="{split}" keeps the rows of a {torn} together'
    ):
        fit(folds=folds_by(column), split=split)


@pytest.mark.filterwarnings("ignore::causalkit.errors.FewClustersWarning")
def test_folds_that_tear_a_cluster_are_refused_under_split_unit_and_else_warned_of():
    data = panel(cluster="state", frame=table().assign(state=lambda frame: frame["unit"] // 3))
    trains, tested = (table().query(where).index.min() for where in ("unit in (1, 2)", "unit == 0"))
    words = rf"fold 0 .* 10 clusters .* row {trains}, which trains, and row {tested},.* by cluster"
    with pytest.raises(ArgumentError, match=words):
        fit(data, folds=folds_by("unit"))
    with pytest.warns(ck.errors.SplitWarning, match="rows of one cluster are in training and test"):
        fit(data, split=folds_by("unit"))


def test_folds_by_period_suit_first_differences_whose_first_period_is_gone():
    folds = folds_by("time", n_folds=N_PERIODS)
    with pytest.warns(ck.errors.SplitWarning):
        result = fit(folds=folds, split="period", approach="fd").estimate()
    assert result.n == N - N_UNITS
    assert result.n_folds == N_PERIODS - 1


def test_unit_dummies_need_every_unit_in_training_whatever_the_folds_are_called():
    with pytest.raises(ArgumentError, match=r"never saw.*unit of row \d+.*Keep a row"):
        fit(split=folds_by("unit"), approach="dummies")


@pytest.mark.parametrize(
    "arguments",
    [{"time_effects": "dummies"}, {"time_effects": "means", "approach": "within"}],
)
def test_period_dummies_need_every_period_in_training(arguments):
    by_period, rows = folds_by("time", n_folds=2), np.arange(N)
    with pytest.warns(SplitWarning), pytest.raises(ArgumentError, match="never saw"):
        fit(split=by_period, **arguments)
    with pytest.warns(SplitWarning):
        fit(split=by_period, time_effects="means")
    fit(split=folds_by("unit"), **arguments)
    fit(split=[[(rows, rows)]], **arguments)


@pytest.mark.parametrize(
    ("predictions", "error", "words"),
    [
        (np.zeros(N), ArgumentTypeError, "must map nuisances.*ndarray"),
        ({"outcome": ["a"] * N}, ArgumentTypeError, "'outcome' hold <U1 values"),
        ({"outcome": np.zeros(N - 1)}, ArgumentError, f"{N - 1} rows; the data have {N}"),
        ({"m": np.zeros(N)}, ArgumentError, "'m'.*outcome, treatment"),
    ],
)
def test_predictions_of_another_form_are_refused(predictions, error, words):
    with pytest.raises(error, match=words):
        fit(predictions=predictions)


def test_one_column_serves_all_repeats_and_another_number_is_refused():
    one = np.linspace(-1.0, 1.0, N)
    wide = np.column_stack([one, one])
    found = [fit(n_rep=2, predictions={"outcome": values}) for values in (one, wide)]
    assert found[0].result_.estimate == found[1].result_.estimate
    words = r"'outcome' have 2 columns, and the fit has 3 repeat\(s\); give one column for all"
    with pytest.raises(ArgumentError, match=words):
        fit(n_rep=3, predictions={"outcome": wide})


@pytest.mark.parametrize("row", [0, 17, N - 1])
def test_a_prediction_that_is_not_finite_is_named_by_its_row_in_the_data(row):
    values = np.zeros(N)
    values[row] = np.inf
    with pytest.raises(ArgumentError, match=rf"'treatment' at row {row} is not finite"):
        fit(predictions={"treatment": values})


def test_given_g_replaces_the_second_round_of_the_iv_type_score():
    data = panel()
    fitted = fit(score="iv-type", learner="ridge")
    rows = fitted.augment().sort_values("row")
    treatment = rows["treatment_hat"].to_numpy()
    g = np.linspace(-1.0, 1.0, N)
    found = fit(
        predictions={"outcome": np.zeros(N), "treatment": treatment, "g": g}, score="iv-type"
    ).estimate()
    y, d = data.column("outcome"), data.column("treatment")
    v = d - treatment
    assert found.estimate == pytest.approx(float(v @ (y - g)) / float(v @ d), rel=1e-10)


def test_g_of_the_iv_type_score_is_kept_like_other_nuisances():
    fitted = fit(score="iv-type", learner="ridge", n_rep=2, store_models=True)
    kept = {key for key in fitted.models_ if key[0] == "g"}
    assert kept == {("g", repeat, fold) for repeat in range(2) for fold in range(5)}
    once = fit(score="iv-type", learner="ridge")
    given = {"g": once.augment()["g_hat"].to_numpy()}
    again = fit(score="iv-type", learner="ridge", predictions=given)
    assert again.result_.estimate == pytest.approx(once.result_.estimate, rel=1e-12)


def test_compare_and_benchmark_use_the_folds_of_the_fit():
    data, folds = panel(), folds_by("unit")
    learner = DecisionTreeRegressor(max_depth=3)
    fitted = fit(folds=folds, learner=learner)
    rows = dict(zip(fitted.compare().names, fitted.compare().results, strict=True))
    within = fit(folds=folds, learner=learner, approach="within")
    assert rows["DML within"].estimate == within.estimate().estimate
    short = ck.PanelDML(learner=learner, random_state=0).fit(
        data.with_roles(covariates=()), folds=folds
    )
    change = fitted.benchmark("x")["change"].iloc[0]
    gap = short.estimate().estimate - fitted.estimate().estimate
    assert abs(change) == pytest.approx(abs(gap), rel=1e-10)


@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
def test_what_was_given_is_not_benchmarked_against_what_is_learned():
    predictions = {"outcome": np.zeros(N), "treatment": np.zeros(N)}
    fitted = fit(predictions=predictions)
    with pytest.raises(ArgumentError, match=r"benchmark .*outcome, treatment.*without predictions"):
        fitted.benchmark("x")
    assert any("given its outcome, treatment" in note for note in fitted.compare().notes)
    assert not any("given" in note for note in fit().compare().notes)
    wide = panel(table().assign(b=table()["d"] ** 2), extra="b")
    several = wide.with_roles(treatment=["d", "b"], extra=())
    with pytest.raises(ArgumentError, match=r"one_by_one .*treatment:b.*without predictions"):
        fit(several, predictions={"treatment:b": np.zeros(N)}).one_by_one()
    second_round = fit(score="iv-type", predictions={"g": np.zeros(N)})
    with pytest.raises(ArgumentError, match=r"benchmark .*predictions of g; fit without"):
        second_round.benchmark("x")


def test_arguments_changed_after_the_fit_do_not_reach_compare():
    fitted = fit()
    before = fitted.compare().tidy()["estimate"]
    fitted.set_params(learner="ridge", n_folds=2)
    pd.testing.assert_series_equal(fitted.compare().tidy()["estimate"], before)
