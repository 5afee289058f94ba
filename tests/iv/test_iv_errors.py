"""What InvalidIV says about input that it cannot use, in the words of its messages."""

import iv_designs as designs
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

import causalkit as ck
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    DroppedRowsWarning,
    IdentificationError,
    IdentificationWarning,
    OverlapWarning,
    WeakIdentificationWarning,
)
from causalkit.iv.identified import ONE_SIDED

ANY = "ignore::causalkit.errors.CausalKitWarning"


def table(n=1200, seed=1):
    l1, l2, z, a, y = designs.draw(np.random.default_rng(seed), n)
    return pd.DataFrame({"y": y, "a": a, "z": z, "l1": l1, "l2": l2})


def dataset(frame=None, **roles):
    known = {"outcome": "y", "treatment": "a", "instruments": "z", "covariates": ["l1", "l2"]}
    return ck.CausalData.from_frame(table() if frame is None else frame, **(known | roles))


PLAIN = {"method": "debiased", "learners": "linear", "basis": None, "random_state": 0}


def fit(data=None, **arguments):
    return ck.InvalidIV(**(PLAIN | arguments)).fit(dataset() if data is None else data)


def test_no_instrument_role_is_named():
    with pytest.raises(DataError, match="instruments"):
        fit(dataset(instruments=()))


def test_a_constant_instrument_is_named_with_its_value():
    with pytest.raises(DataError, match="instrument 'z' has the single value 1; it moves nothing"):
        fit(dataset(table().assign(z=1.0)))


def test_an_instrument_constant_in_a_training_fold_names_fold_and_repeat():
    frame = table().sort_values("z", ignore_index=True)
    ones = np.flatnonzero(frame["z"] == 1)
    zeros = np.flatnonzero(frame["z"] == 0)
    folds = [[(zeros, ones), (ones, zeros)]]
    with pytest.raises(DataError, match="single value 0 in the training rows of fold 0 of repeat"):
        ck.InvalidIV(method="debiased", learners="linear").fit(dataset(frame), folds=folds)


@pytest.mark.parametrize("twin", ["a", "l1", "y"])
def test_an_instrument_affine_in_another_column_names_both(twin):
    frame = table()
    with pytest.raises(DataError, match=f"'z' is the same as {twin!r} up to scale"):
        fit(dataset(frame.assign(z=3.0 - 2.0 * frame[twin])))


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_a_twin_of_the_instrument_is_found_where_it_is_missing_in_some_rows(kind):
    frame = table().assign(z=np.random.default_rng(4).normal(size=1200))
    frame["twin"] = (3.0 * frame["z"] + 1.0).astype(kind).where(np.arange(1200) > 1)
    data = dataset(frame, covariates=["l1", "l2", "twin"], missing="indicator")
    with pytest.raises(DataError, match="'z' is the same as 'twin' up to scale"):
        fit(data)


def test_the_same_instrument_twice_names_both():
    frame = table()
    data = dataset(frame.assign(again=1.0 - frame["z"]), instruments=["z", "again"])
    with pytest.raises(DataError, match="'again' is the same as 'z' up to scale"):
        fit(data)


def test_rows_without_weight_do_not_make_an_instrument_vary():
    frame = table()
    with pytest.raises(DataError, match=r"'z' has the single value 1; .* and have weight"):
        fit(dataset(frame.assign(w=frame["z"]), weights="w", weight_kind="sampling"))


def test_one_cluster_of_all_rows_is_refused():
    with pytest.raises(DataError, match="all 1200 rows belong to one cluster"):
        fit(dataset(table().assign(c=1), cluster="c"))


def test_an_arm_is_named_by_its_value_in_the_data():
    frame = table()
    one_sided = frame.assign(a=np.where(frame["z"] == 1, frame["a"], 0.0), z=frame["z"] + 1.0)
    with pytest.warns(IdentificationWarning, match="constant where z is 1 "):
        fit(dataset(one_sided))


def test_a_null_that_is_no_number_is_named():
    with pytest.raises(ArgumentTypeError, match="null must be one number, got str 'x'"):
        fit().anderson_rubin(null="x")


@pytest.mark.parametrize("method", ["parametric", "selective"])
def test_an_instrument_with_many_values_names_the_method_that_takes_it(method):
    frame = table()
    data = dataset(frame.assign(z=frame["z"] + frame["l1"]))
    learners = "auto" if method == "parametric" else ["linear"]
    with pytest.raises(ValueError, match=f"{method}.*one binary instrument.*method='debiased'"):
        fit(data, method=method, learners=learners)


def one_sided(n=1200):
    frame = table(n)
    return dataset(frame.assign(a=np.where(frame["z"] == 1, frame["a"], 0.0)))


def test_one_sided_non_compliance_is_said_on_the_result():
    with pytest.warns(IdentificationWarning, match="one-sided non-compliance"):
        found = fit(one_sided())
    assert ONE_SIDED.format(arm="z is 0") in found.result_.warnings
    shown = " ".join(str(found.result_.summary()).split())
    assert "rests on no unmeasured confounding of the treatment where it varies" in shown
    assert "only does without the exclusion restriction" in shown


@pytest.mark.filterwarnings(ANY)
def test_one_sided_non_compliance_is_refused_by_the_parametric_method():
    with pytest.raises(IdentificationError, match="constant in one; use method='debiased'"):
        fit(one_sided(), method="parametric", learners="auto")


@pytest.mark.filterwarnings(ANY)
def test_a_treatment_constant_in_both_arms_is_refused():
    # Constant by arm means affine in the instrument.
    frame = table()
    with pytest.raises(DataError, match="'z' is the same as 'a' up to scale"):
        fit(dataset(frame.assign(a=frame["z"])))


def rare(count):
    """The treatment occurs ``count`` times where z is 1."""
    frame = table()
    inside = np.flatnonzero(frame["z"] == 1)
    a = frame["a"].to_numpy().copy()
    a[inside] = 0.0
    a[inside[:count]] = 1.0
    return dataset(frame.assign(a=a))


@pytest.mark.filterwarnings(ANY)
def test_fewer_than_fifty_rows_in_a_cell_are_counted_in_a_warning():
    with pytest.warns(IdentificationWarning, match="only 40 rows have a = 1 where z is 1"):
        fit(rare(40))


@pytest.mark.filterwarnings(ANY)
def test_fewer_than_five_rows_in_a_cell_are_refused_with_their_count():
    with pytest.raises(DataError, match=r"only 4 rows have a = 1 where z is 1 \(and \d+ the other"):
        fit(rare(4))


def test_propensities_near_zero_or_one_are_counted():
    frame = table()
    chance = np.clip(0.5 + 0.75 * frame["l1"], 0.004, 0.996)
    z = (np.random.default_rng(2).random(len(frame)) < chance).astype(float)
    true = designs.truth_at(frame["l1"], frame["l2"])
    a = (np.random.default_rng(3).random(len(frame)) < designs.received(z, true.mu)).astype(float)
    data = dataset(frame.assign(z=z, a=a))
    with pytest.warns(OverlapWarning, match=r"[\d.]+% of the propensities of z lie outside \[0.01"):
        found = fit(data)
    pi = found.fit_.fitted.predictions["instrument"]
    share = np.mean((pi < 0.01) | (pi > 0.99))
    assert f"{share:.1%} of the propensities" in " ".join(found.result_.warnings)


def weak(n=1200):
    return ck.generators.invalid_iv(4, n=n, weak=1.0).blind()


@pytest.mark.filterwarnings(ANY)
def test_weak_identification_says_f_and_the_share_of_rows():
    with pytest.warns(WeakIdentificationWarning, match="hardly moves the variance"):
        found = fit(weak())
    words = " ".join(found.result_.warnings)
    assert "below 10" in words
    # The result of estimate() has no such interval.
    assert "conf_int(kind='anderson-rubin') of the estimator" in words
    assert "% of rows, where z says nothing about the effect" in words


@pytest.mark.filterwarnings(ANY)
def test_rows_of_small_delta_v_are_counted_and_the_population_is_named():
    with pytest.warns(DroppedRowsWarning, match=r"\d+ of 1200 rows have .ΔV. below 0.005"):
        found = fit(weak(), calibrate=False, trim_delta_v=0.005)
    used = int(found.fit_.used.sum())
    assert any(f"over the {used} rows" in note for note in found.result_.notes)


@pytest.mark.filterwarnings(ANY)
def test_no_row_with_delta_v_leaves_the_variance_weighted_effect():
    found = fit(weak(), trim_delta_v=0.24)
    assert found.result_.estimand == "variance-weighted"
    with pytest.raises(IdentificationError, match=r"below 0\.24 in every row.*variance-weighted"):
        found.estimate("ate")


@pytest.mark.filterwarnings(ANY)
def test_one_row_with_delta_v_is_no_average_either():
    frame = weak()
    sizes = np.sort(np.abs(fit(frame, calibrate=False).fit_.fitted.hats.delta_v[:, 0]))
    found = fit(frame, calibrate=False, trim_delta_v=float(sizes[-2:].mean()))
    assert found.fit_.used.sum() == 1
    assert found.result_.estimand == "variance-weighted"


@pytest.mark.parametrize("learners", [[], {"effect": []}])
def test_an_empty_list_of_candidates_is_refused(learners):
    with pytest.raises(TypeError, match="empty list; give at least one learner"):
        fit(method="selective", learners=learners)


def test_a_candidate_without_fit_is_refused():
    with pytest.raises(TypeError, match=r"object without fit\(\)"):
        fit(method="selective", learners=["linear", object()])


def test_a_class_in_place_of_an_instance_is_refused():
    with pytest.raises(
        TypeError, match=r"LinearRegression; pass an instance: LinearRegression\(\)"
    ):
        fit(learners={"outcome": LinearRegression})


@pytest.mark.filterwarnings(ANY)
def test_the_learner_of_the_instrument_is_a_classifier_where_it_has_two_values():
    with pytest.raises(
        ArgumentError, match=r"learners\['instrument'\].* predicts no probabilities"
    ):
        fit(learners={"instrument": LinearRegression()})
    frame = table()
    levels = frame.assign(z=frame["z"] + (frame["l1"] > 0), a=frame["a"] + frame["l2"])
    assert np.isfinite(fit(dataset(levels), learners=LinearRegression()).result_.estimate)
    with pytest.raises(ArgumentError, match=r"learners\['instrument'\].* is a classifier"):
        fit(dataset(levels), learners={"instrument": DecisionTreeClassifier()})


def test_several_learners_belong_to_the_selective_method():
    with pytest.raises(ArgumentError, match='2 candidates, among which only method="selective"'):
        fit(learners=["linear", "lasso"])


def test_missing_covariates_follow_the_rule_of_the_data():
    frame = table()
    frame.loc[3, "l1"] = np.nan
    with pytest.raises(DataError, match="l1"):
        fit(dataset(frame))


def test_one_treatment_is_asked_for_however_few_the_instruments():
    frame = table().assign(a2=np.arange(1200) % 2, z2=np.arange(1200) // 600)
    both = {"treatment": ["a", "a2"]}
    with pytest.raises(DataError, match="single treatment, which is all that InvalidIV takes"):
        dataset(frame, **both)
    with pytest.raises(DataError, match="InvalidIV takes 1 treatment, got 2: a, a2"):
        fit(dataset(frame, **both, instruments=["z", "z2"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "debaised"}, "debiased"),
        ({"criterion": "minmax"}, "minimax"),
        ({"effect_loss": "arm"}, "arms"),
        ({"learners": {"instrumnet": "linear"}}, "instrument"),
        ({"learners": "laso"}, "lasso"),
        ({"cov_type": "cluster"}, "clustered"),
        ({"aggregation": "medain"}, "median"),
    ],
)
def test_unknown_names_list_the_known_and_the_nearest(arguments, words):
    (given,) = arguments.values()
    given = next(iter(given)) if isinstance(given, dict) else given
    with pytest.raises(ArgumentError) as caught:
        fit(**arguments)
    message = str(caught.value)
    assert repr(given) in message
    assert f"did you mean {words!r}" in message.lower()


def test_unknown_estimands_and_intervals_list_the_known_and_the_nearest():
    found = fit()
    with pytest.raises(
        ArgumentError, match=r"'aet'\. Did you mean 'at.'\? Known: atc, ate, att, v"
    ):
        found.estimate("aet")
    with pytest.raises(ArgumentError, match="anderson-rubin"):
        found.conf_int(kind="anderson-ruben")


def test_the_treated_are_refused_where_the_treatment_is_continuous():
    data = ck.generators.invalid_iv(5, n=800, exposure="continuous").blind()
    with pytest.raises(ArgumentError, match="'att' is about the treated, and 'a' is not 0/1"):
        fit(data).estimate("att")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"smooth": True}, 'smooth=True belongs to method="selective"'),
        ({"criterion": "mixed-minimax"}, 'belongs to method="selective"'),
        ({"effect_terms": ["l1"]}, 'belongs to method="parametric"'),
        ({"method": "selective", "store_models": True}, 'store_models=True belongs to method="deb'),
        ({"clip": 0.5}, r"clip must be a number in \[0, 0.5\)"),
        ({"trim_delta_v": -1}, "trim_delta_v must be a number"),
        ({"n_folds": 0}, "n_folds"),
    ],
)
def test_arguments_that_cannot_take_effect_are_refused(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        fit(**arguments)


def test_flags_must_be_true_or_false():
    with pytest.raises(ArgumentTypeError, match="smooth must be True or False, got 'yes'"):
        fit(method="selective", learners=["linear"], smooth="yes")


def test_candidates_belong_to_the_selective_method():
    with pytest.raises(ArgumentError, match=r'candidates\(\) is for method="selective"'):
        fit().candidates()


def test_propensities_of_zero_are_refused_where_nothing_is_clipped():
    frame = table()
    rng = np.random.default_rng(4)
    z = (rng.random(1200) < np.where(frame["l1"] < -0.5, 0.0, 0.5)).astype(float)
    data = dataset(frame.assign(z=z, a=(rng.random(1200) < 0.5 - 0.3 * z).astype(float)))
    plain = dict.fromkeys(("treatment", "outcome", "effect"), "linear")
    tree = plain | {"instrument": DecisionTreeClassifier(max_depth=2)}
    for method in ("debiased", "selective"):
        with pytest.raises(ArgumentError, match=r"2\d\.\d% of the propensities .* use clip=0.01"):
            fit(data, method=method, learners=tree, clip=0.0)


def test_levels_that_are_no_numbers_are_named_for_both_intervals():
    found = fit()
    for kind in ("wald", "anderson-rubin"):
        with pytest.raises(ArgumentTypeError, match="confidence level must be one number, got str"):
            found.conf_int("x", kind=kind)


def test_an_arm_without_treated_rows_in_a_training_fold_names_arm_and_fold():
    frame = table()
    rows, kept = np.arange(1200), ((frame["z"] == 1) & (frame["a"] == 1)).to_numpy()
    first, second = rows[(rows % 2 == 0) & ~kept], rows[(rows % 2 == 1) | kept]
    words = (
        r"'a' has the single value 0 where z is 1, in the training rows of fold 1 of repeat 0; u"
    )
    with pytest.raises(DataError, match=words):
        ck.InvalidIV(**PLAIN).fit(dataset(), folds=[[(second, first), (first, second)]])


def test_more_folds_than_clusters_are_counted_in_clusters():
    with pytest.raises(ArgumentError, match=r"n_folds=5 is more than the number of clusters \(3\)"):
        fit(dataset(table().assign(c=np.arange(1200) % 3), cluster="c"))


@pytest.mark.filterwarnings(ANY)
def test_notes_say_how_rows_were_predicted_and_what_was_averaged():
    assert any("Not cross-fitted" in note for note in fit(n_folds=1).result_.notes)
    assert any("Cross-fitted: 2 folds, 3 rep" in n for n in fit(n_folds=2, n_rep=3).result_.notes)
    smooth = fit(method="selective", learners=["linear", "ridge"], smooth=True, n_folds=2)
    average, treated = (" ".join(smooth.estimate(name).notes) for name in ("ate", "att"))
    assert "Soft-min average over all combinations" in average
    assert "Of the selected combination: smooth=True averages the ATE alone" in treated
    assert "Soft-min" not in treated
