"""Nuisances from elsewhere in InvalidIV: what it refuses, and for which repeats they hold."""

import numpy as np
import pytest
from test_iv_errors import PLAIN, dataset, fit

import causalkit as ck
from causalkit.errors import ArgumentError


def test_predictions_belong_to_the_debiased_method():
    with pytest.raises(ArgumentError, match="belong to method='debiased'"):
        ck.InvalidIV(method="parametric").fit(dataset(), predictions={"effect": np.zeros(1200)})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("treatment:1", 1.25, "for 'treatment:1' is a probability, and at row 7 it is 1.25; give"),
        ("instrument", -0.5, "for 'instrument' is a probability, and at row 7 it is -0.5; give"),
    ],
)
def test_predicted_probabilities_outside_zero_and_one_are_named_by_row(name, value, words):
    values = np.full(1200, 0.5)
    values[[7, 900]] = value
    with pytest.raises(ArgumentError, match=words):
        ck.InvalidIV(**PLAIN).fit(dataset(), predictions={name: values})


def test_the_repeat_whose_prediction_is_wrong_is_the_one_that_is_shown():
    values = np.full((1200, 2), 0.5)
    values[7, 1] = 1.25
    with pytest.raises(ArgumentError, match=r"at row 7 it is 1\.25; give values from 0 to 1"):
        ck.InvalidIV(**PLAIN, n_rep=2).fit(dataset(), predictions={"instrument": values})


def test_predicted_variances_below_zero_are_refused():
    data = ck.generators.invalid_iv(5, n=800, exposure="continuous").blind()
    values = np.full(800, 0.2)
    values[3] = -0.1
    words = r"'variance:1' is a variance, and at row 3 it is -0\.1; give values of at least 0"
    with pytest.raises(ArgumentError, match=words):
        ck.InvalidIV(**PLAIN).fit(data, predictions={"variance:1": values})


def test_predictions_hold_for_every_repeat_or_come_one_column_for_each():
    values = np.linspace(0.5, 1.5, 1200)
    words = r"'effect' have 2 columns, and the fit has 3 repeat\(s\); give one column for all"
    repeats = ck.InvalidIV(**PLAIN, n_rep=3)
    with pytest.raises(ArgumentError, match=words):
        repeats.fit(dataset(), predictions={"effect": np.column_stack([values, values])})
    one, three = (
        repeats.fit(dataset(), predictions={"effect": given}).result_.estimate
        for given in (values, np.column_stack([values] * 3))
    )
    assert one == three


def test_predicted_variances_belong_to_a_treatment_that_is_not_binary():
    with pytest.raises(
        ArgumentError, match=r"'variance:0'.*Known: confounding, effect, instrument"
    ):
        ck.InvalidIV(**PLAIN).fit(dataset(), predictions={"variance:0": np.full(1200, 0.2)})
    data = ck.generators.invalid_iv(5, n=800, exposure="continuous").blind()
    given = {"variance:0": np.full(800, 0.2), "treatment:0": np.full(800, 1.5)}
    found = ck.InvalidIV(**PLAIN).fit(data, predictions=given)
    assert found.fit_.fitted.chosen["variance:0"] == "given"


def test_benchmarks_need_nuisances_that_can_be_learned_again_and_covariates():
    plain = ck.InvalidIV(**PLAIN, effect_loss="arms")
    for name in ("outcome:0", "confounding", "effect"):
        with_given = plain.fit(dataset(), predictions={name: np.full(1200, 0.5)})
        with pytest.raises(ArgumentError, match=r"from elsewhere cannot be; fit without"):
            with_given.benchmark()
    with pytest.raises(ArgumentError, match="one covariate at a time, and the data have none"):
        fit(dataset(covariates=())).benchmark()


def test_unknown_predictions_are_named():
    with pytest.raises(ArgumentError, match="efect"):
        ck.InvalidIV(method="debiased", learners="linear").fit(
            dataset(), predictions={"efect": np.zeros(1200)}
        )
