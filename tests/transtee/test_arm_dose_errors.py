"""Averages at doses of arms that are refused, and in what words."""

import numpy as np
import pytest
from arm_dose_designs import KNOWN, data_of, frame_of
from sklearn.linear_model import LogisticRegression
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, DataError, IdentificationError, OverlapWarning

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
BRIEF = SMALL | {"max_epochs": 1}


def fitted(frame, **roles):
    return ck.TransTEE(**BRIEF).fit(data_of(frame, **roles))


@pytest.fixture(scope="module")
def fit():
    frame = frame_of(0, 200)
    return fitted(frame.assign(dose=frame["dose"].clip(-1.0, 1.0)))


SEEN = "must lie within those seen with arm 'up' in 'dose', -1 to 1, got"
ALONE = "is all that is asked for, and its difference from itself is zero"
REFUSED = {
    "unknown": ({"arm": "x"}, "arm='x' is no arm of 'arm'; name one of 'none', 'up'."),
    "list": ({"arm": ["up"]}, "arm=['up'] is no arm of 'arm'; name one of 'none', 'up'."),
    "none": (
        {"arm": "none", "doses": [0.5]},
        "arm='none' takes no dose, got doses=[0.5]; leave doses out, or name an arm with a dose: "
        "'up'.",
    ),
    "range": ({"doses": [0.5, 2.0]}, f"doses {SEEN} [0.5, 2.0]; ask where there are rows."),
    "missing": ({"doses": [np.nan]}, f"doses {SEEN} [nan]; ask where there are rows."),
    "empty": ({"doses": []}, "doses must be a list of different numbers, got []."),
    "number": ({"doses": 0.5}, "doses must be a list of different numbers, got 0.5."),
    "text": ({"doses": "low"}, "doses must be a list of different numbers, got 'low'."),
    "twice": ({"doses": [0.5, 0.5]}, "doses must be a list of different numbers, got [0.5, 0.5]."),
    "baseline": (
        {"baseline": ("up", 3.0)},
        f"the dose of baseline {SEEN} [3.0]; ask where there are rows.",
    ),
    "itself": (
        {"arm": "none", "baseline": ("none", None)},
        f"baseline=('none', None) {ALONE}; name another arm or dose, or leave baseline out.",
    ),
    "bandwidth": ({"bandwidth": 0.0}, "bandwidth must be a number in (0, inf], got 0.0."),
    "learner": (
        {"propensity": LogisticRegression()},
        "propensity of arms with doses is a name, or two learners, (classifier of the arm, "
        "regressor of the dose), got LogisticRegression().",
    ),
    "estimand": ({"estimand": "ate"}, "estimands of a dose treatment are 'adrf', got 'ate'."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_told_with_the_mend(fit, name):
    arguments, words = REFUSED[name]
    with pytest.raises(ArgumentError) as caught:
        fit.estimate(**arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (("left", 0.5), "'arm' has values never seen in training: 'left'; known: 'none', 'up'"),
        (("up", None), "arm 'up' takes a dose, and 'dose' is not a finite number"),
        (("none", 0.5), "arm 'none' takes no dose: it had none in training, and 'dose' is given"),
    ],
)
def test_a_baseline_is_an_action_of_the_data(fit, baseline, words):
    with pytest.raises(DataError, match=words):
        fit.estimate(baseline=baseline)


def test_an_arm_with_few_rows_has_no_density_of_its_dose():
    frame = frame_of(0, 200)
    up = np.flatnonzero(frame["arm"] == "up")
    few = fitted(frame.drop(index=up[14:]))
    with pytest.raises(IdentificationError) as caught:
        few.estimate(propensity=KNOWN)
    found = str(caught.value)
    assert found.startswith("arm 'up' of 'arm' has 14 rows, of which a fold leaves ")
    assert found.endswith(
        "to learn the density of 'dose' from, and 10 are the least; ask for other arms (arm=), "
        "merge it with another, or use more folds (n_folds)."
    )
    with pytest.raises(IdentificationError, match="arm 'up' of 'arm' has 14 rows"):
        few.overlap(arm="up", propensity=KNOWN)
    # The other arm needs no such density.
    assert few.estimate(arm="none", propensity=KNOWN).terms == ("E[Y(none)]",)


def test_an_arm_with_one_dose_has_no_curve():
    frame = frame_of(0, 200)
    other = np.where((frame["arm"] == "up") & (np.arange(200) % 2 == 0), "fixed", frame["arm"])
    frame = frame.assign(arm=other, dose=frame["dose"].where(other != "fixed", 2.0))
    with pytest.raises(IdentificationError) as caught:
        fitted(frame).estimate(propensity="linear")
    assert str(caught.value) == (
        "arm 'fixed' of 'arm' has the single dose 2 in 'dose', so that it has no curve; make "
        "'dose' missing in its rows, and it is an arm that takes none."
    )


def test_a_dose_with_few_rows_near_it_is_refused_with_its_arm():
    frame = frame_of(0, 200)
    frame.loc[frame.index[frame["arm"] == "up"][0], "dose"] = 30.0
    with pytest.raises(IdentificationError, match=r"^arm 'up': too few rows were seen near 30:"):
        fitted(frame).estimate(arm="up", doses=[30.0], propensity=KNOWN)


def test_a_dose_that_nobody_like_that_gets_is_warned_of_with_its_arm():
    frame = frame_of(0, 200).assign(w=1.0)
    up = frame["arm"] == "up"
    # By its small weight the row says little of how common such doses are.
    frame.loc[frame.index[up][0], ["dose", "w"]] = [20.0, 1e-3]
    fit = fitted(frame, weights="w", weight_kind="sampling")
    words = rf"\[E19-overlap\] {1 / up.sum():.1%} of the rows of arm up received a dose"
    with pytest.warns(OverlapWarning, match=words):
        fit.estimate(propensity=KNOWN)


def test_one_dose_has_no_arm_to_name(dose_fit):
    with pytest.raises(ArgumentError, match=r"arm='up', and 't' is one continuous treatment"):
        dose_fit.estimate(arm="up")


def test_arms_without_doses_have_no_dose_to_name(arms_fit):
    with pytest.raises(ArgumentError) as caught:
        arms_fit.estimate(arm=1, doses=[0.5])
    assert str(caught.value) == (
        "arm=, doses=: only for treatments with a dose, and this one is binary; leave out. Another "
        "arm to compare with is baseline=."
    )
