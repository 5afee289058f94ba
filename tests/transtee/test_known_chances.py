"""Propensities that a trial knows, in place of a learner, and what learned the others."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from test_inference import FAST, linear_design

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.transtee.known_chances import known_chances

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
BRIEF = FAST | {"max_epochs": 2}


@pytest.fixture(scope="module")
def two():
    frame = linear_design(0).frame.assign(p=np.resize([0.4, 0.5, 0.6], 500))
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], extra="p"
    )
    return ck.TransTEE(**BRIEF, random_state=0).fit(data)


@pytest.fixture(scope="module")
def three():
    return ck.TransTEE(**BRIEF, random_state=0).fit(linear_design(1, levels=3))


def read(fit, given):
    return known_chances(given, fit._data, fit.model_.coding.actions)


def test_of_two_arms_one_number_column_or_array_is_the_propensity_of_the_second(two):
    p = np.resize([0.4, 0.5, 0.6], 500)
    both = np.column_stack([1.0 - p, p])
    turned = pd.Series(p)[::-1]
    for given in ("p", p, turned, both, {1: "p"}, {0: 1.0 - p}, {0: 1.0 - p, 1: "p"}):
        np.testing.assert_allclose(read(two, given), both)
    np.testing.assert_allclose(read(two, 0.3), np.tile([0.7, 0.3], (500, 1)))
    for learner in ("auto", "linear", LogisticRegression()):
        assert read(two, learner) is learner


def test_of_several_arms_they_are_by_arm_and_one_has_the_rest(three):
    wanted = np.tile([0.5, 0.3, 0.2], (500, 1))
    frame = pd.DataFrame(wanted[:, [2, 0, 1]], columns=[2, 0, 1])
    for given in ({1: 0.3, 2: 0.2}, {2: 0.2, 0: 0.5, 1: 0.3}, wanted, frame):
        np.testing.assert_allclose(read(three, given), wanted)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (0.5, r"shape \(500,\), and there are 3 arms \(0, 1, 2\)"),
        ({1: 0.3}, "lacks the arms 0, 2"),
        ({7: 0.3, 1: 0.3}, "propensity=7 is no arm of 't'"),
        ({1: 0.8, 2: 0.4}, r"add up to one; row 0 has -0\.2, 0\.8, 0\.4 \(500 rows"),
        ({0: 0.5, 1: 0.3, 2: 0.3}, "add up to one"),
        ({1: "nobody", 2: 0.1}, "'nobody', which is no column"),
        (np.full((3, 3), 1 / 3), "has 3 rows; the data have 500"),
    ],
)
def test_what_are_no_propensities_of_the_arms_is_refused(three, given, told):
    with pytest.raises(ArgumentError, match=told):
        three.estimate(propensity=given)


def test_what_is_no_learner_and_no_number_is_refused(two):
    with pytest.raises(ArgumentTypeError, match="a number, a column of the data"):
        two.estimate(propensity=object())
    with pytest.raises(ArgumentError, match="unknown propensity 'tree'"):
        two.estimate(propensity="tree")


def test_the_result_says_what_the_propensities_come_from(two, three):
    known = two.estimate(propensity="p")
    assert set(known.diagnostics["propensity"].values()) == {"known"}
    assert known.diagnostics["range of propensities"] == pytest.approx((0.4, 0.6))
    assert two.overlap(propensity="p").loc[1, "median"] == 0.5
    learned = three.estimate(propensity="auto").diagnostics["propensity"]
    assert set(learned) == {0, 1, 2}
    assert all(words.startswith("auto: ") and "in" in words for words in learned.values())
    named = two.estimate(propensity=LogisticRegression()).diagnostics["propensity"]
    assert named == {1: "LogisticRegression"}
