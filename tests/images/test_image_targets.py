"""Goals of effect clusters on trials of 4,000 images whose truth is known.

The designs and measurements are those of ``benchmarks/image_targets.py``, which writes the evidence
page from more data sets; here a few of them are held to the same goals.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import image_targets as targets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured():
    """Records of some data sets of a case, fitted once."""
    kept = {}
    torch.set_num_threads(1)

    def of(case, seeds):
        for seed in seeds:
            if (case, seed) not in kept:
                kept[case, seed] = targets.one(case, seed, "student_t", "cnn")
        return [kept[case, seed] for seed in seeds]

    return of


def summary(records):
    (row,) = (row for _, row in targets.summarised(pd.DataFrame(records)).iterrows())
    return row


@pytest.mark.parametrize("case", ["base", "three types", "skewed noise", "weak"])
def test_types_are_found_and_effects_and_ranking_are_right(measured, case):
    """Accuracy, honest effects within 3.5 errors, and where there are goals RMSE and ratio."""
    assert targets.met(summary(measured(case, (0, 1)))) == "yes"


def test_the_base_case_also_has_the_effects_of_the_mixture_and_the_ranking_of_the_truth(measured):
    for record in measured("base", (0, 1)):
        np.testing.assert_allclose(record["model"], [-0.5, 1.5], atol=0.3)
        assert abs(record["autoc"] - record["oracle_autoc"]) <= 3.5 * record["autoc_se"]


@pytest.mark.parametrize("case", ["null", "null, skewed noise"])
def test_nothing_is_ranked_where_effects_are_equal(measured, case):
    """Of a ratio with deviation one, the mean of three passes .8 in one case of six: seeds fixed.

    No single one may pass 3.5, nor an honest effect depart so far.
    """
    records = measured(case, (0, 1, 2))
    row = summary(records)
    assert abs(row["AUTOC ratio"]) <= 0.8
    assert max(abs(each["autoc"] / each["autoc_se"]) for each in records) <= 3.5
    assert row["largest departure / SE"] <= 3.5
