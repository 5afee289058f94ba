"""Doubly robust scores against the formula, known experiments, and what they must refuse."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError, IdentificationError, OverlapWarning
from causalkit.scores import aipw

GOOD = {
    "y": [1.0, 2.0, 3.0, 4.0],
    "t": [0, 1, 0, 1],
    "mu0": [0.5, 1.5, 2.5, 3.5],
    "mu1": [1.5, 2.5, 3.5, 4.5],
    "propensity": [0.4, 0.5, 0.6, 0.5],
}


def confounded(n=4000, seed=0):
    """Outcome, treatment, both means and the propensity; the effect is 1 + x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    propensity = 0.1 + 0.8 / (1.0 + np.exp(-x))
    t = (rng.random(n) < propensity).astype(float)
    mu0, mu1 = x, 1.0 + 2.0 * x
    return x, np.where(t == 1.0, mu1, mu0) + rng.normal(size=n), t, mu0, mu1, propensity


def test_scores_are_the_formula_row_by_row():
    _, y, t, mu0, mu1, e = confounded(50)
    expected = [
        m1 - m0 + (yi - m1) / p if ti else m1 - m0 - (yi - m0) / (1.0 - p)
        for yi, ti, m0, m1, p in zip(y, t, mu0, mu1, e, strict=True)
    ]
    assert ck.dr_scores(y, t, mu0, mu1, e) == pytest.approx(expected, abs=1e-12)


def test_scores_are_those_that_averages_are_estimated_from():
    _, y, t, mu0, mu1, e = confounded(50)
    hats = {"mu0": mu0[:, None], "mu1": mu1[:, None], "propensity": e[:, None]}
    assert ck.dr_scores(y, t, mu0, mu1, e).tolist() == aipw(y, t, **hats).response[:, 0].tolist()


@pytest.mark.parametrize("wrong", ["outcomes", "propensity"])
def test_means_are_average_effects_if_either_side_is_right(wrong):
    x, y, t, mu0, mu1, e = confounded()
    if wrong == "outcomes":
        mu0 = mu1 = np.zeros(x.size)
    else:
        e = np.full(x.size, 0.5)
    scores = ck.dr_scores(y, t, mu0, mu1, e)
    for group in (x < 0.0, x >= 0.0):
        error = scores[group].std() / np.sqrt(group.sum())
        # Four standard errors: false alarm in one of 8000 seeds for two groups.
        assert abs(scores[group].mean() - (1.0 + x[group].mean())) < 4.0 * error


def test_both_sides_wrong_is_not_an_effect():
    x, y, t, *_ = confounded()
    scores = ck.dr_scores(y, t, np.zeros(x.size), np.zeros(x.size), np.full(x.size, 0.5))
    assert scores.mean() - 1.0 > 10.0 * scores.std() / np.sqrt(x.size)


def test_one_probability_stands_for_all_and_frames_are_taken_by_position():
    frame = pd.DataFrame(GOOD, index=[7, 3, 5, 1])
    given = [frame[name] for name in ("y", "t", "mu0", "mu1")]
    expected = ck.dr_scores(*[GOOD[name] for name in ("y", "t", "mu0", "mu1")], [0.5] * 4)
    assert ck.dr_scores(*given, propensity=0.5).tolist() == expected.tolist()
    assert ck.dr_scores(given[0], [False, True, False, True], *given[2:], 0.5).tolist() == (
        expected.tolist()
    )


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"propensity": [0.5, 0.0, 0.5, 1.0]}, IdentificationError, r"2 of 4 rows \(rows 1, 3\)"),
        ({"propensity": 1.0}, IdentificationError, r"4 of 4 rows \(rows 0, 1, 2, \.\.\.\)"),
        ({"propensity": [0.5, 0.5, 0.5, 1.2]}, ArgumentError, r"outside \[0, 1\] in 1 of 4.*1\.2"),
        ({"propensity": [0.5, 0.5, np.nan, 0.5]}, ArgumentError, r"propensity is missing.*row 2"),
        ({"propensity": np.nan}, ArgumentError, r"propensity is missing or infinite in 4 of 4"),
        ({"y": [1.0, np.inf, 3.0, 4.0]}, ArgumentError, r"y is missing or infinite.*\(row 1\)"),
        ({"y": [1.0, None, 3.0, 4.0]}, ArgumentError, r"y is missing or infinite.*\(row 1\)"),
        ({"y": ["a", "b", "c", "d"]}, ArgumentTypeError, "y must hold numbers"),
        ({"y": []}, ArgumentError, r"y must hold one number per row, got shape \(0,\)"),
        ({"t": [0, 1, 2, 1]}, ArgumentError, r"t must be coded 0/1.*\(row 2\), such as 2\.0"),
        ({"t": [1, 1, 1, 1]}, IdentificationError, "all 4 rows are treated"),
        ({"t": [0, 0, 0, 0]}, IdentificationError, "all 4 rows are untreated"),
        ({"t": [0, 1, 0]}, ArgumentError, r"t must hold one number for each of 4 rows.*\(3,\)"),
        ({"mu0": [[1.0] * 4]}, ArgumentError, r"mu0 must hold .* got shape \(1, 4\)"),
        ({"mu1": [0.0] * 5}, ArgumentError, r"mu1 must hold one number for each of 4 rows"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_rows(changed, error, said):
    with pytest.raises(error, match=said):
        ck.dr_scores(**GOOD | changed)


def test_poor_overlap_is_warned_of_and_good_overlap_is_not():
    with pytest.warns(OverlapWarning, match=r"outside \[0\.05, 0\.95\] in 2 of 4 rows"):
        ck.dr_scores(**GOOD | {"propensity": [0.5, 0.04, 0.96, 0.5]})
    ck.dr_scores(**GOOD | {"propensity": [0.05, 0.95, 0.5, 0.5]})


def test_the_same_labels_in_another_order_are_refused_wherever_rows_meet():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=40), "t": [0, 1] * 20, "y": rng.normal(size=40)})
    mixed = frame.sort_values("x")
    with pytest.raises(ArgumentError, match="y and mu1 have the same row labels in another order"):
        ck.dr_scores(frame["y"], frame["t"], 0.0 * frame["x"], mixed["x"], 0.5)
    with pytest.raises(ArgumentError, match="scores and priorities have the same row labels"):
        ck.rank_average_treatment_effect(frame["y"], mixed["x"])
    with pytest.raises(ArgumentError, match="y and features have the same row labels"):
        ck.rate_test(
            lambda _, test: frame["x"].to_numpy()[test],
            frame["y"],
            frame["t"],
            features=mixed[["x"]],
        )
    by_position = ck.dr_scores(frame["y"], frame["t"], np.zeros(40), mixed["x"].to_numpy(), 0.5)
    assert by_position.shape == (40,)
