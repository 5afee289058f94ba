"""Bad input to PanelDML: every error and warning names what was seen and how to mend it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression

import causalkit as ck
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    DroppedRowsWarning,
    FewClustersWarning,
    IdentificationError,
    IdentificationWarning,
    NotFittedError,
    OverlapWarning,
    SplitWarning,
)


def frame(n_units=40, n_periods=4, seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    level = rng.standard_normal(n_units)[unit]
    x = level + rng.standard_normal(unit.size)
    d = x + level + rng.standard_normal(unit.size)
    y = d + x + level + rng.standard_normal(unit.size)
    time = np.tile(np.arange(n_periods), n_units)
    firm = unit // 2
    z = d + rng.standard_normal(unit.size)
    return pd.DataFrame(
        {"y": y, "d": d, "x": x, "w": x**2, "unit": unit, "time": time, "firm": firm, "z": z}
    )


def panel(table=None, **changed):
    roles = {"outcome": "y", "treatment": "d", "covariates": ["x"], "unit": "unit", "time": "time"}
    return ck.CausalData.from_frame(frame() if table is None else table, **(roles | changed))


def fit(data=None, **arguments):
    fit_arguments = {k: arguments.pop(k) for k in ("folds", "predictions") if k in arguments}
    settings = {"learner": "ridge", "random_state": 0} | arguments
    return ck.PanelDML(**settings).fit(panel() if data is None else data, **fit_arguments)


def changed(**columns):
    return frame().assign(**columns)


def put(column, row, value):
    table = frame()
    table[column] = table[column].astype(object if isinstance(value, str) else float)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: panel(np.ones((3, 3))), TypeError, ["pandas", "ndarray", "from_arrays"]),
        (lambda: panel(covariates=["xx"]), ValueError, ["'xx'", "'x'"]),
        (lambda: panel(covariates=["d"]), ValueError, ["'d'", "one role"]),
        (
            lambda: panel(pd.concat([frame(), frame().iloc[[7]]], ignore_index=True)),
            ValueError,
            ["row 160", "unit 1", "time 3", "on_duplicate='mean'"],
        ),
        (lambda: panel(put("unit", 5, np.nan)), ValueError, ["'unit'", "row 5", "missing"]),
        (lambda: panel(put("time", 6, np.nan)), ValueError, ["'time'", "row 6", "missing"]),
        (lambda: panel(put("y", 3, np.nan)), ValueError, ["'y'", "row 3", "missing='drop'"]),
        (lambda: panel(put("d", 4, np.inf)), ValueError, ["'d'", "row 4", "infinite"]),
        (lambda: panel(put("x", 9, np.nan)), ValueError, ["'x'", "row 9", "indicator"]),
        (lambda: panel(put("x", 9, -np.inf)), ValueError, ["'x'", "row 9", "infinite"]),
        (lambda: panel(put("x", 0, "much")), ValueError, ["'x'", "'much'", "to_numeric"]),
        (lambda: panel(changed(d=1.0)), ValueError, ["'d'", "1.0", "variation"]),
        (lambda: panel(changed(y=2.0)), ValueError, ["'y'", "2.0", "variation"]),
    ],
)
def test_data_that_no_estimator_can_use_are_refused_at_construction(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"approach": "crr"}, ["'crr'", "cre", "within", "fd_exact"]),
        ({"approach": 3}, ["3", "cre"]),
        ({"mundlak_terms": "mean"}, ["'mean'", "means", "basis"]),
        ({"score": "iv"}, ["'iv'", "iv-type", "partialling-out"]),
        ({"model": "irm"}, ["'irm'", "interactive"]),
        ({"split": "units"}, ["'units'", "unit", "neighbors_left_out"]),
        ({"cov_type": "HC1"}, ["'HC1'", "clustered", "two-way", "robust"]),
        ({"ssc": "HC1"}, ["'HC1'", "G/(G-1)"]),
        ({"aggregation": "max"}, ["'max'", "median", "bounds"]),
        ({"dml_procedure": "dml3"}, ["'dml3'", "dml1", "dml2"]),
        ({"time_effects": "both ways"}, ["'both ways'", "dummies", "means"]),
        ({"basis": "quartic"}, ["'quartic'", "cubic", "spline"]),
        ({"mundlak_terms": "means", "basis": "quartic"}, ["'quartic'", "cubic", "spline"]),
        ({"mundlak_terms": "means", "basis": "spline"}, ["'spline'", 'mundlak_terms="basis"']),
        ({"approach": "chamberlain", "basis": PCA(1)}, ["PCA", "chamberlain", "default"]),
        ({"approach": "chamberlain", "mundlak_terms": "means+std"}, ["means+std", "default"]),
        ({"learner": "lassso"}, ["'lassso'", "lasso", "boosting"]),
        ({"learner_treatment": "tree"}, ["'tree'", "learner_treatment"]),
        ({"n_folds": 41}, ["41", "40", "unit"]),
        ({"n_folds": 0}, ["n_folds", "0"]),
        ({"n_rep": 0}, ["n_rep", "0"]),
        ({"trim": 0.6}, ["trim", "0.6", "0.5"]),
        ({"approach": "dummies"}, ["dummies", "held-out", 'split="observation"']),
        ({"time_effects": "dummies", "split": "period", "n_folds": 2}, ["dummy", '"means"']),
        ({"time_effects": "both", "split": "time_block", "n_folds": 2}, ["both", 'split="unit"']),
        (
            {"time_effects": "dummies", "split": "neighbors_left_out", "n_folds": 4},
            ["neighbors_left_out", "held-out period"],
        ),
        (
            {"time_effects": "dummies", "split": "unit_time", "n_folds": 2},
            ["unit_time", "held-out period"],
        ),
        (
            {"time_effects": "means", "split": "period", "approach": "within", "n_folds": 2},
            ['approach="within"', '"cre"'],
        ),
        (
            {"time_effects": "means", "split": "period", "approach": "fd", "n_folds": 2},
            ['approach="fd"', '"cre"'],
        ),
        ({"model": "interactive", "score": "iv-type"}, ["iv-type", "partially-linear"]),
        ({"approach": "within", "mundlak_terms": "means+std"}, ["means+std", "within", "means"]),
        ({"trim": 0.05}, ["trim=0.05", "interactive"]),
        ({"learner_instrument": "ridge"}, ["learner_instrument", "iv"]),
        ({"split": "time_block", "n_folds": 2, "n_rep": 2}, ["time_block", "n_rep=1"]),
    ],
)
def test_an_unusable_argument_is_refused_with_what_is_known(arguments, words):
    with pytest.raises(ArgumentError) as caught:
        fit(**arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_folds": 2.5}, ["n_folds", "2.5"]),
        ({"n_rep": "3"}, ["n_rep", "'3'"]),
        ({"n_jobs": 0.5}, ["n_jobs", "0.5"]),
        ({"random_state": "seed"}, ["'seed'"]),
        ({"learner": LinearRegression}, ["LinearRegression", "LinearRegression()"]),
        ({"learner_outcome": object()}, ["learner_outcome", "fit"]),
        ({"use_t": "no"}, ["use_t", "'no'", "True or False"]),
        ({"panel_length": 1}, ["panel_length", "1"]),
        ({"progress": "bar"}, ["progress", "'bar'"]),
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error(arguments, words):
    with pytest.raises(TypeError) as caught:
        fit(**arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "approach", ["cre", "within", "fd", "cre_general", "late_within", "dummies"]
)
def test_a_treatment_that_never_moves_within_units_is_not_identified(approach):
    table = frame()
    table["d"] = table["unit"] % 3 + 0.1 * (table["unit"] % 7)
    split = "observation" if approach == "dummies" else "unit"
    with pytest.raises(IdentificationError, match=r"'d' never varies within a unit.*pooled"):
        fit(panel(table), approach=approach, split=split)


def test_one_row_per_unit_is_no_panel():
    table = frame().drop_duplicates("unit").reset_index(drop=True)
    with pytest.raises(IdentificationError, match=r"every unit is seen once.*panel unit"):
        fit(panel(table))


def test_a_single_unit_cannot_give_a_standard_error():
    table = frame(1, 40)
    with pytest.raises(IdentificationError, match="1 unit; a panel estimate needs at least two"):
        fit(panel(table))


def test_without_a_unit_the_estimator_says_how_to_name_one():
    data = panel(unit=None)
    with pytest.raises(DataError, match=r"PanelDML needs.*unit") as caught:
        fit(data)
    assert "unit=" in str(caught.value)


def test_first_differences_need_the_time_column():
    with pytest.raises(DataError, match="time="):
        fit(panel(time=None), approach="fd")


def test_differences_between_periods_that_never_touch_ask_for_the_step():
    table = frame()
    table["time"] = table["time"] * 5
    with pytest.raises(IdentificationError, match=r"freq="), pytest.warns(DroppedRowsWarning):
        fit(panel(table), approach="fd")
    assert fit(panel(table, freq=5), approach="fd").result_.n == 120


def test_a_classifier_needs_a_binary_treatment():
    with pytest.raises(ValueError, match=r"classifier.*treatment.*0 and 1.*regression"):
        fit(learner_treatment=LogisticRegression())


@pytest.mark.parametrize("approach", ["fd", "within"])
def test_a_classifier_cannot_predict_differences(approach):
    table = changed(d=(frame()["d"] > 0).astype(float))
    with pytest.raises(ArgumentError, match=r"LogisticRegression.*differences or demeans"):
        fit(panel(table), approach=approach, learner_treatment=LogisticRegression())


def test_a_classifier_of_the_outcome_is_refused():
    with pytest.raises(ValueError, match=r"learner_outcome=LogisticRegression\(\) is a classifier"):
        fit(learner_outcome=LogisticRegression())


def test_instruments_need_the_model_that_uses_them():
    with pytest.raises(ArgumentError, match=r"instruments \(z\).*model=\"iv\""):
        fit(panel(instruments="z"))
    with pytest.raises(DataError, match="instruments="):
        fit(model="iv")


def test_predictions_are_checked_for_name_length_and_finiteness():
    good = np.zeros(160)
    with pytest.raises(ArgumentError, match=r"'outcom'.*outcome"):
        fit(predictions={"outcom": good})
    with pytest.raises(ArgumentError, match=r"'outcome' have 159 rows.*160"):
        fit(predictions={"outcome": good[1:]})
    with pytest.raises(ArgumentError, match="'treatment' at row 3 is not finite"):
        fit(predictions={"treatment": np.where(np.arange(160) == 3, np.nan, 0.0)})


def test_folds_that_tear_a_unit_are_refused_under_split_unit():
    halves = [
        [(np.arange(0, 160, 2), np.arange(1, 160, 2)), (np.arange(1, 160, 2), np.arange(0, 160, 2))]
    ]
    with pytest.raises(ArgumentError, match=r'split="unit" keeps the rows.*40 units'):
        fit(folds=halves)
    with pytest.warns(SplitWarning, match="heuristic"):
        fit(folds=halves, split="observation")


def test_a_treatment_that_is_a_function_of_the_covariates_is_not_identified():
    table = frame()
    table["d"] = table["x"] ** 2 + 1.0
    with pytest.raises(IdentificationError, match="'d' is fully explained"):
        fit(panel(table), learner="linear", n_folds=1)


@pytest.mark.parametrize("call", ["estimate", "compare", "sensitivity", "mundlak_test", "augment"])
def test_results_before_fit_are_a_runtime_error(call):
    with pytest.raises(NotFittedError, match="not fitted yet; call fit"):
        getattr(ck.PanelDML(), call)()
    assert issubclass(NotFittedError, RuntimeError)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1])
def test_levels_lie_between_zero_and_one(level):
    fitted = fit()
    for ask in (fitted.estimate().conf_int, lambda at: fitted.bootstrap(level=at)):
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            ask(level)


def test_units_seen_once_are_dropped_and_counted_where_they_hold_nothing():
    table = frame().drop(index=[1, 2, 3]).reset_index(drop=True)
    with pytest.warns(DroppedRowsWarning, match="1 units are seen only once"):
        result = fit(panel(table), approach="within").result_
    assert result.dropped == {"unit seen only once": 1}
    assert "unit seen only once" in result.summary()
    assert fit(panel(table), learner="lasso").result_.dropped == {}


def test_gaps_lose_the_row_after_them_in_first_differences():
    table = frame().drop(index=[1]).reset_index(drop=True)
    with pytest.warns(DroppedRowsWarning, match="1 gaps"):
        result = fit(panel(table), approach="fd").result_
    # 159 rows; the first of each of 40 units and the row after the gap have no difference.
    assert result.n == 118
    assert sum(result.dropped.values()) == 41


@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
def test_few_clusters_warn_and_name_the_remedy():
    table = frame(20)
    with pytest.warns(FewClustersWarning, match=r"E18.*only 20 clusters.*wild"):
        fit(panel(table))


def test_a_row_split_warns_that_clustered_errors_are_heuristic():
    with pytest.warns(SplitWarning, match="heuristic"):
        result = fit(split="observation").result_
    assert any("heuristic" in text for text in result.warnings)


def test_little_variation_left_is_said():
    table = frame()
    table["d"] = table["x"] + 1e-3 * np.random.default_rng(1).standard_normal(160)
    with pytest.warns(IdentificationWarning, match=r"of the variance of 'd' is left"):
        fit(panel(table), learner="linear")


def test_propensities_near_the_ends_warn():
    table = frame(300, 4)
    rng = np.random.default_rng(3)
    chance = 1.0 / (1.0 + np.exp(-6.0 * table["x"]))
    table["d"] = (rng.random(len(table)) < chance).astype(float)
    with pytest.warns(OverlapWarning, match=r"E19|outside"):
        fit(panel(table), model="interactive", learner_treatment=LogisticRegression(C=100.0))


@pytest.mark.parametrize("basis", ["cubic", "spline", PCA(1)])
def test_covariates_constant_within_units_are_kept_by_cre_and_named_by_within(basis):
    table = changed(fixed=frame()["unit"] % 5)
    data = panel(table, covariates=["w", "fixed", "x"])
    with pytest.warns(DroppedRowsWarning, match="^fixed: constant within every unit"):
        fit(data, approach="within", basis=basis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(data, basis=basis)


def test_no_cross_fitting_with_a_flexible_learner_warns():
    with pytest.warns(SplitWarning, match="n_folds=1"):
        fit(n_folds=1)


def test_every_problem_of_a_fit_is_a_causalkit_error():
    assert issubclass(ArgumentTypeError, TypeError)
    for kind in (ArgumentError, ArgumentTypeError, DataError, IdentificationError, NotFittedError):
        assert issubclass(kind, ck.errors.CausalKitError)


class Duck:
    def fit(self, *_):
        return self

    def predict(self, features):
        return np.zeros(len(features))


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (LinearRegression, "learner is the class LinearRegression; pass an instance"),
        (3, "learner is a int without fit"),
        (Duck(), "Duck, which has fit.* but is no scikit-learn estimator.*BaseEstimator"),
    ],
)
def test_what_is_no_estimator_is_refused_before_anything_is_fitted(learner, words):
    with pytest.raises(ArgumentTypeError, match=words):
        fit(learner=learner)


@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
def test_a_learner_that_cannot_take_missing_covariates_says_what_to_do():
    data = panel(put("x", 9, np.nan), missing="native")
    with pytest.raises(ArgumentError, match=r"missing in some rows, which Linear.*'indicator'"):
        fit(data, learner=LinearRegression())
    assert np.isfinite(fit(data, learner="boosting").estimate().estimate)


def test_a_training_fold_with_one_class_is_explained():
    table = frame()
    table["d"] = ((table["unit"] < 4) & (table["time"] > 1)).astype(float)
    folds = [[(np.flatnonzero(table["unit"] >= 20), np.flatnonzero(table["unit"] < 20))]]
    folds[0].append(folds[0][0][::-1])
    with pytest.raises(IdentificationError, match=r"single class 0.*fewer folds"):
        fit(panel(table), learner_treatment=LogisticRegression(), folds=folds)
