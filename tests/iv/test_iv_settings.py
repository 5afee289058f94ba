"""Arguments that a method would ignore, and rows that have no say."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from test_iv_errors import dataset, fit, table

from causalkit.errors import ArgumentError


def parametric(data=None, **arguments):
    return fit(data, method="parametric", **({"learners": "auto"} | arguments))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n_rep", 2),
        ("n_folds", 3),
        ("effect_loss", "arms"),
        ("calibrate", False),
        ("store_models", True),
    ],
)
def test_the_parametric_method_refuses_what_it_would_ignore(argument, value):
    words = rf'{argument}={value!r} belongs to method="debiased".*leave it at .* method="param'
    with pytest.raises(ArgumentError, match=words):
        parametric(**{argument: value})
    with pytest.raises(
        ArgumentError, match=r"learners name 'forest', and method=\"parametric\" fits"
    ):
        parametric(learners={"outcome": "forest"})
    with pytest.raises(ArgumentError, match=r"'l9', which is no covariate.*l1, l2"):
        parametric(effect_terms=["l9"])


def test_other_methods_of_a_fit_with_arguments_of_its_own_can_be_compared():
    found = fit(n_folds=3, n_rep=2, effect_loss="arms", calibrate=False, store_models=True)
    assert "InvalidIV (parametric)" in found.compare().names


def coded(value):
    """The instrument of rows that have no weight."""
    frame = table()
    weight = np.r_[np.zeros(10), np.ones(1190)]
    moved = np.where(weight > 0, frame["z"] + 1.0, value)
    return dataset(frame.assign(z=moved, w=weight), weights="w", weight_kind="sampling")


def test_rows_without_weight_do_not_decide_what_kind_the_instrument_is():
    learners = dict.fromkeys(("treatment", "outcome", "effect"), "linear")
    learners |= {"instrument": LogisticRegression(C=100.0)}
    two, nine = (fit(coded(value), learners=learners) for value in (2.0, 9.0))
    assert nine.fit_.sample.binary_instrument
    assert nine.estimate().estimate == two.estimate().estimate
    np.testing.assert_array_equal(nine.fit_.sample.z, two.fit_.sample.z)
