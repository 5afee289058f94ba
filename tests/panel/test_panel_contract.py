"""What any user may rely on: seeds, invariances, weights, storage, scikit-learn manners."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - registers the next
from sklearn.impute import IterativeImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LassoCV, LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.tree import DecisionTreeRegressor

import causalkit as ck
from causalkit.errors import ArgumentError, SplitWarning

N_UNITS, N_PERIODS = 50, 4


def table(seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(N_UNITS), N_PERIODS)
    level = rng.standard_normal(N_UNITS)[unit]
    x = level + rng.standard_normal((unit.size, 2)).T
    d = x[0] + level + rng.standard_normal(unit.size)
    y = d + x[0] ** 2 + level + rng.standard_normal(unit.size)
    time = np.tile(np.arange(2001, 2001 + N_PERIODS), N_UNITS)
    return pd.DataFrame({"y": y, "d": d, "x1": x[0], "x2": x[1], "unit": unit, "time": time})


def panel(frame=None, **more):
    roles = {"covariates": ["x1", "x2"], "unit": "unit", "time": "time"} | more
    frame = table() if frame is None else frame
    return ck.CausalData.from_frame(frame, outcome="y", treatment="d", **roles)


def fit(data, **arguments):
    return ck.PanelDML(**({"learner": "ridge", "random_state": 5} | arguments)).fit(data)


def numbers(estimator):
    result = estimator.estimate()
    return np.array([result.estimate, result.std_error, *result.conf_int()])


def test_clone_and_get_params_round_trip_every_argument():
    given_arguments = {
        "approach": "within",
        "n_folds": 3,
        "learner": LinearRegression(),
        "trim": 0.02,
    }
    made = ck.PanelDML(**given_arguments)
    copied = clone(made)
    assert copied is not made
    for name, value in made.get_params(deep=False).items():
        kept = getattr(copied, name)
        assert repr(kept) == repr(value)
    assert copied.set_params(n_folds=4).n_folds == 4


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    data = panel()
    first, again, other = (fit(data, random_state=seed) for seed in (1, 1, 2))
    assert np.array_equal(numbers(first), numbers(again))
    assert not np.array_equal(numbers(first), numbers(other))


def test_an_unseeded_fit_records_a_seed_that_repeats_it():
    data = panel()
    first = fit(data, random_state=None)
    again = fit(data, random_state=first.estimate().seed)
    assert np.array_equal(numbers(first), numbers(again))


@pytest.mark.parametrize("learner", ["ridge", "lasso", DecisionTreeRegressor(max_depth=3)])
def test_results_do_not_depend_on_the_number_of_jobs(learner):
    data = panel()
    one, two = (fit(data, learner=learner, n_rep=2, n_jobs=jobs) for jobs in (1, 2))
    assert np.array_equal(numbers(one), numbers(two))


# A tree of one variable at a time leaves most to be explained in one unit.
@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
def test_a_global_seed_changes_nothing():
    data = panel()
    np.random.seed(1)  # noqa: NPY002 - what users of other packages do
    first = numbers(fit(data, learner=DecisionTreeRegressor(max_depth=3, max_features=1)))
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(
        first, numbers(fit(data, learner=DecisionTreeRegressor(max_depth=3, max_features=1)))
    )


@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_the_order_of_rows_does_not_matter(seed):
    frame = table()
    shuffled = frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    np.testing.assert_allclose(
        numbers(fit(panel(shuffled))), numbers(fit(panel(frame))), rtol=1e-10
    )


@pytest.mark.parametrize(
    "relabel",
    [
        lambda unit: unit.astype(str).str.zfill(3),
        lambda unit: unit.astype(np.int16),
        lambda unit: pd.Categorical(unit.astype(str).str.zfill(3)),
        lambda unit: 1000 * unit + 7,
    ],
)
def test_the_type_of_unit_labels_does_not_matter(relabel):
    frame = table()
    frame["unit"] = relabel(frame["unit"])
    np.testing.assert_allclose(numbers(fit(panel(frame))), numbers(fit(panel())), rtol=1e-12)


@given(scale=st.floats(0.01, 1000.0), shift=st.floats(-100.0, 100.0))
@settings(max_examples=8, deadline=None)
def test_rescaling_the_outcome_rescales_the_estimate_and_its_error(scale, shift):
    frame = table()
    frame["y"] = scale * frame["y"] + shift
    np.testing.assert_allclose(
        numbers(fit(panel(frame), learner="linear")),
        scale * numbers(fit(panel(), learner="linear")),
        rtol=1e-7,
        atol=1e-9 * scale,
    )


@given(scale=st.floats(0.01, 1000.0))
@settings(max_examples=8, deadline=None)
def test_rescaling_the_treatment_rescales_the_estimate_inversely(scale):
    frame = table()
    frame["d"] = scale * frame["d"]
    np.testing.assert_allclose(
        numbers(fit(panel(frame), learner="linear")),
        numbers(fit(panel(), learner="linear")) / scale,
        rtol=1e-7,
    )


@pytest.mark.parametrize("approach", ["cre", "within", "cre_general", "pooled"])
@pytest.mark.parametrize("cov_type", ["clustered", "robust", "nonrobust"])
def test_frequency_weights_equal_rows_that_are_written_out(approach, cov_type):
    frame = table()
    frame["count"] = np.repeat(np.random.default_rng(1).integers(1, 4, N_UNITS), N_PERIODS)
    if approach == "pooled":
        frame["count"] = np.random.default_rng(1).integers(1, 4, len(frame))
    long = frame.loc[frame.index.repeat(frame["count"])].reset_index(drop=True)
    copies = long.groupby(["unit", "time"]).cumcount()
    # A copy of a row is another moment of the same unit, so that no (unit, time) pair repeats.
    long["time"] = long["time"] + 100 * copies
    arguments = {"approach": approach, "cov_type": cov_type, "learner": "linear"}
    weighted = fit(panel(frame, weights="count", weight_kind="frequency"), **arguments)
    written = fit(panel(long), **arguments)
    assert weighted.estimate().n == len(long)
    np.testing.assert_allclose(numbers(weighted), numbers(written), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-4, 7.0])
@pytest.mark.parametrize("learner", ["ridge", "boosting"])
def test_sampling_weights_have_no_scale(scale, learner):
    frame = table()
    frame["w"] = np.random.default_rng(2).uniform(0.5, 2.0, len(frame))
    data = panel(frame, weights="w", weight_kind="sampling")
    frame["w"] *= scale
    again = panel(frame, weights="w", weight_kind="sampling")
    first = numbers(fit(data, learner=learner))
    np.testing.assert_allclose(first, numbers(fit(again, learner=learner)), rtol=1e-6)
    assert abs(first[0] - numbers(fit(panel(), learner=learner))[0]) > 1e-6


def test_pickle_joblib_and_save_keep_the_estimate_but_not_the_data(tmp_path):
    data = panel()
    fitted = fit(data, n_rep=2)
    stream = io.BytesIO()
    joblib.dump(fitted, stream)
    stream.seek(0)
    fitted.save(tmp_path / "fit.joblib")
    copies = [
        pickle.loads(pickle.dumps(fitted)),
        joblib.load(stream),
        ck.PanelDML.load(tmp_path / "fit.joblib"),
    ]
    for copied in copies:
        assert np.array_equal(numbers(copied), numbers(fitted))
        assert copied._data is None
        assert copied.gate("time", data=data).estimates == pytest.approx(
            fitted.gate("time").estimates
        )
        with pytest.raises(ArgumentError, match="keeps no data; pass the data again"):
            copied.compare()
        with pytest.raises(ArgumentError, match="differ from those"):
            copied.blp("x1", data=panel(table(1)))
    joblib.dump({"not": "an estimator"}, tmp_path / "other.joblib")
    with pytest.raises(TypeError, match="holds a dict, not a PanelDML"):
        ck.PanelDML.load(tmp_path / "other.joblib")


def test_given_predictions_replace_fits_exactly():
    data = panel()
    fitted = fit(data)
    rows = fitted.augment().sort_values("row")
    again = ck.PanelDML(learner="ridge", random_state=5).fit(
        data,
        predictions={
            "outcome": rows["outcome_hat"].to_numpy(),
            "treatment": rows["treatment_hat"].to_numpy(),
        },
    )
    np.testing.assert_allclose(numbers(again), numbers(fitted), rtol=1e-12)
    assert again.diagnostics_["learners"] == {"outcome": "given", "treatment": "given"}


def test_explicit_folds_reproduce_the_drawn_ones_and_may_come_as_split():
    data = panel()
    fitted = fit(data)
    rows = fitted.augment()
    folds = [
        [
            (
                rows.loc[rows["fold"] != fold, "row"].to_numpy(),
                rows.loc[rows["fold"] == fold, "row"].to_numpy(),
            )
            for fold in range(5)
        ]
    ]
    arguments = {"learner": "linear", "random_state": 5}
    drawn = numbers(ck.PanelDML(**arguments).fit(data))
    np.testing.assert_allclose(
        numbers(ck.PanelDML(**arguments).fit(data, folds=folds)), drawn, rtol=1e-12
    )
    np.testing.assert_allclose(
        numbers(ck.PanelDML(split=folds, **arguments).fit(data)), drawn, rtol=1e-12
    )


def test_progress_is_told_once_per_fit():
    told = []
    fit(panel(), n_folds=4, n_rep=3, progress=told.append)
    assert len(told) == 2 * 4 * 3
    assert told[0].startswith("outcome, repeat 1, fold 1")


def test_models_are_kept_on_request_only():
    data = panel()
    assert fit(data).models_ == {}
    assert len(fit(data, store_models=True, n_rep=2).models_) == 2 * 5 * 2


def test_warnings_stay_on_the_result_and_are_shown_once():
    with pytest.warns(SplitWarning) as caught:
        result = fit(panel(), split="observation").estimate()
    assert len([w for w in caught if w.category is SplitWarning]) == 1
    assert sum("heuristic" in text for text in result.warnings) == 1


def test_influence_values_sum_to_zero_and_give_the_variance():
    fitted = fit(panel())
    result = fitted.estimate()
    assert abs(result.influence.sum()) < 1e-8 * np.abs(result.influence).sum()
    unit = fitted.augment().groupby("unit")["influence_d"].sum()
    n, g = result.n, N_UNITS
    assert result.std_error == pytest.approx(np.sqrt(g / (g - 1) * (unit**2).sum()) / n)


def test_several_repeats_follow_the_median_rule_of_the_paper():
    fitted = fit(panel(), n_rep=5)
    singles = fitted.diagnostics_["theta_by_repeat"][:, 0]
    assert singles.size == 5
    assert fitted.estimate().estimate == pytest.approx(np.median(singles))


def test_truth_is_never_needed_nor_seen():
    data = ck.generators.panel_fp2024(0, n_units=50)
    assert np.array_equal(numbers(fit(data)), numbers(fit(data.blind())))


def test_rows_without_weight_are_counted_and_change_nothing():
    frame = table()
    kept = fit(panel(frame[frame["unit"] != 3].reset_index(drop=True)))
    frame["w"] = (frame["unit"] != 3).astype(float)
    weighted = fit(panel(frame, weights="w", weight_kind="sampling"))
    assert weighted.estimate().dropped == {"weight of zero": N_PERIODS}
    np.testing.assert_allclose(numbers(weighted), numbers(kept), rtol=1e-9)


def test_a_unit_without_an_observed_covariate_leaves_the_others_alone():
    frame = table()
    frame.loc[frame["unit"].isin([3, 4]), "x1"] = np.nan
    first = fit(panel(frame, missing="indicator"), time_effects="means")
    frame["x1"] += 100.0
    shifted = fit(panel(frame, missing="indicator"), time_effects="means")
    # A mean of zero in place of a missing one would make the origin of x1 matter.
    np.testing.assert_allclose(numbers(shifted), numbers(first), rtol=1e-6)


def test_copies_of_a_singleton_count_as_its_history():
    frame = table().iloc[3:].reset_index(drop=True)
    frame["count"] = np.where(frame["unit"] == 0, 3, 1)
    long = frame.loc[frame.index.repeat(frame["count"])].reset_index(drop=True)
    long["time"] = long["time"] + 100 * long.groupby(["unit", "time"]).cumcount()
    weighted = fit(
        panel(frame, weights="count", weight_kind="frequency"), approach="within", learner="linear"
    )
    written = fit(panel(long), approach="within", learner="linear")
    np.testing.assert_allclose(numbers(weighted), numbers(written), rtol=1e-9)


@pytest.mark.parametrize("arguments", [{}, {"split": "observation"}])
@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
def test_the_order_of_rows_does_not_matter_without_periods_either(arguments):
    frame = table().drop(columns="time")
    shuffled = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    found = [numbers(fit(panel(rows, time=None), **arguments)) for rows in (frame, shuffled)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_folds_keep_the_coarser_of_two_clusters_together():
    frame = table()
    frame["state"] = frame["unit"] // 5
    fitted = fit(panel(frame, cluster=["state", "time"]), cov_type="robust")
    rows = fitted.augment().assign(state=frame["state"])
    assert (rows.groupby("state")["fold"].nunique() == 1).all()


def test_clusters_that_tear_units_are_announced():
    frame = table()
    frame["region"] = (frame["unit"] + frame["time"]) % 40
    with pytest.warns(SplitWarning, match="not nested in the cluster"):
        fit(panel(frame, cluster="region"))


def test_two_way_errors_keep_the_declared_cluster():
    frame = table()
    frame["state"] = frame["unit"] // 2
    with pytest.warns(ck.errors.FewClustersWarning):
        two_way = fit(panel(frame, cluster="state"), cov_type="two-way").estimate()
    assert "state, 25 clusters; time, 4 clusters" in two_way.inference


def test_a_frame_in_place_of_data_is_a_type_error_that_says_what_to_build():
    with pytest.raises(TypeError, match=r"PanelDML.fit needs a CausalData, got DataFrame.*from_fr"):
        ck.PanelDML().fit(table())


def test_a_refit_that_fails_leaves_the_former_fit_as_it_was():
    fitted = fit(panel())
    before = numbers(fitted)
    frame = table()
    frame["d"] = frame["unit"].astype(float)
    with pytest.raises(ck.errors.IdentificationError):
        fitted.fit(panel(frame))
    assert fitted.fit_.sample.n == fitted.result_.n
    np.testing.assert_array_equal(numbers(fitted), before)


def test_a_random_basis_or_imputer_draws_from_the_seed_alone():
    frame = table()
    frame.loc[::7, "x2"] = np.nan
    imputer = IterativeImputer(sample_posterior=True, max_iter=2)
    cases = [
        (panel(), {"basis": Nystroem(n_components=5)}),
        (panel(frame, missing=imputer), {"learner": "linear", "mundlak_terms": "means"}),
        (panel(), {"learner": LassoCV(cv=KFold(3, shuffle=True))}),
    ]
    for data, arguments in cases:
        found = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002 - must not matter
            found.append(numbers(fit(data, **arguments)))
        np.testing.assert_array_equal(found[0], found[1])


def test_a_search_may_search_once_for_all_folds():
    search = GridSearchCV(DecisionTreeRegressor(), {"max_depth": [1, 2, 3, 4]})
    data = panel()
    once, folded = (
        fit(data, learner=search, tune=tune, store_models=True) for tune in ("once", "fold")
    )
    depths = {model.max_depth for name, model in once.models_.items() if name[0] == "outcome"}
    assert len(depths) == 1
    assert all(isinstance(model, GridSearchCV) for model in folded.models_.values())
