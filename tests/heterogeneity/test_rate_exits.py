"""What a ranking is worth, and the test made of it, as frames, tables and records."""

import json

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.results.tidy import TIDY

RNG = np.random.default_rng(0)
N = 400
EFFECT = RNG.normal(size=N)
TREATED = RNG.integers(0, 2, N)
OUTCOME = TREATED * EFFECT + RNG.normal(size=N)
SCORES = ck.dr_scores(OUTCOME, TREATED, np.zeros(N), EFFECT, 0.5)
RANKINGS = pd.DataFrame({"a": EFFECT, "b_1": EFFECT + RNG.normal(size=N)})


@pytest.fixture(scope="module", params=["AUTOC", "QINI"])
def one(request):
    return ck.rank_average_treatment_effect(
        SCORES, RANKINGS["b_1"], target=request.param, clusters=np.arange(N) // 2, seed=0
    )


@pytest.fixture(scope="module")
def two():
    return ck.rank_average_treatment_effect(SCORES, RANKINGS, seed=0)


@pytest.fixture(scope="module", params=["split", "sequential"])
def tested(request):
    more = {"n_rep": 2} if request.param == "split" else {"n_folds": 3}
    return ck.rate_test(
        lambda _, rows: EFFECT[rows],
        OUTCOME,
        TREATED,
        features=EFFECT[:, None],
        scheme=request.param,
        seed=0,
        **more,
    )


def test_a_ranking_is_one_tidy_row_with_its_own_numbers(one):
    frame = one.tidy(level=0.9)
    assert frame.columns.tolist() == list(TIDY)
    row = frame.iloc[0]
    assert (row["term"], row["estimand"], row["n"]) == ("b_1", one.target, N)
    assert one.std_error == one.std_err
    expected = [one.estimate, one.std_error, one.ratio, one.p_value(), *one.conf_int(0.9), 0.9]
    assert row[list(TIDY[2:9])].tolist() == pytest.approx(expected, rel=1e-12)
    assert one.as_effects().n_clusters == one.n_clusters == N // 2


def test_two_rankings_and_their_difference_are_three_rows_that_belong_together(two):
    frame = two.tidy()
    rows = (*two.parts, two)
    assert frame["term"].tolist() == ["a", "b_1", "a − b_1"]
    assert frame["estimate"].tolist() == pytest.approx([each.estimate for each in rows])
    assert frame["std_error"].tolist() == pytest.approx([each.std_error for each in rows])
    gap = two.as_effects().combine({"a": 1.0, "b_1": -1.0})
    assert gap.std_error == pytest.approx(two.std_error, rel=1e-9)


def test_tables_of_rankings_hold_their_numbers_and_how_errors_were_made(two):
    for text in (two.to_latex(caption="Worth"), two.to_markdown(), two.to_html()):
        assert f"{two.estimate:.4f}" in text
        assert "200 half samples of rows" in text
    assert r"\caption{Worth}" in two.to_latex(caption="Worth")
    assert r"b\_1" in two.to_latex()
    side = ck.table({"worth": two.as_effects()}).to_text()
    assert f"({two.std_error:.4f})" in side


def test_records_of_rankings_come_back_and_hold_the_curve(one):
    record = json.loads(one.to_json())
    back = ck.EffectResult.from_dict(record)
    assert back.estimate == one.estimate
    assert back.std_error == pytest.approx(one.std_error, rel=1e-12)
    assert record["diagnostics"]["TOC"]["estimate"] == one.toc["estimate"].tolist()
    assert one.to_dict()["estimates"] == [one.estimate]


def test_a_tested_is_a_tidy_row_for_every_fold(tested):
    frame = tested.tidy(level=0.9)
    assert frame.columns.tolist() == list(TIDY)
    assert len(frame) == len(tested.folds) == 2
    for row, fold in zip(frame.to_dict("records"), tested.folds, strict=True):
        assert row["term"] == f"repeat {fold.repeat + 1}, fold {fold.fold + 1}"
        assert (row["estimate"], row["statistic"], row["n"]) == (fold.estimate, fold.ratio, fold.n)
        assert row["std_error"] == fold.std_error == fold.std_err
        reach = 1.6448536269514722 * fold.std_error
        assert row["conf_high"] - row["estimate"] == pytest.approx(reach, rel=1e-9)
    if tested.scheme == "split":
        assert tuple(frame["p_value"]) == tested.p_values


def test_tables_of_a_test_hold_its_folds_and_its_statistic(tested):
    for text in (tested.to_latex(), tested.to_markdown(), tested.to_html()):
        assert "repeat 1, fold 2" in text
        assert f"{tested.statistic:.2f}" in text
    assert tested.to_html() in tested._repr_html_()


def test_a_record_of_a_test_holds_everything(tested):
    record = json.loads(tested.to_json())
    assert record == tested.to_dict()
    assert (record["p_value"], record["n"]) == (tested.p_value, N)
    assert record["folds"][0]["std_err"] == tested.folds[0].std_error
