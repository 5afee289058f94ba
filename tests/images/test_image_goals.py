"""Whether goals are met is told from the records, and a miss of any one of them is a miss."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import image_targets as targets

# All goals of the base case hold: effects, their errors, and what the true ranking is worth.
FINE = {
    "case": "base",
    "likelihood": "normal",
    "encoder": "cnn",
    "seed": 0,
    "seconds": 1.0,
    "accuracy": 0.99,
    "rmse": 0.1,
    "correlation": 0.99,
    "honest": [-0.5, 1.5],
    "honest_se": [0.07, 0.07],
    "gate": [-0.5, 1.5],
    "model": [-0.4, 1.6],
    "model_low": [-0.6, 1.4],
    "model_high": [-0.2, 1.8],
    "autoc": np.log(2.0),
    "autoc_se": 0.05,
    "qini": 0.25,
    "qini_se": 0.015,
    "slope": 1.0,
    "slope_se": 0.05,
}


def verdict(**changes):
    """Of two data sets, the second with changes."""
    table = targets.summarised(pd.DataFrame([FINE, FINE | {"seed": 1} | changes]))
    return targets.met(table.iloc[0])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "yes"),
        ({"model": [-0.21, 1.79]}, "yes"),
        ({"model": [-0.5, 1.81]}, "no"),
        ({"model": [-0.81, 1.5]}, "no"),
        ({"autoc": np.log(2.0) - 3.4 * 0.05}, "yes"),
        ({"autoc": np.log(2.0) - 3.6 * 0.05}, "no"),
        ({"qini": 0.25 + 3.6 * 0.015}, "no"),
    ],
)
@pytest.mark.parametrize("case", ["base", "sorted by treatment"])
def test_the_base_case_asks_for_effects_of_the_mixture_and_the_worth_of_the_ranking(
    monkeypatch, case, changes, wanted
):
    monkeypatch.setitem(FINE, "case", case)
    assert verdict(**changes) == wanted


def test_other_cases_do_not_ask_for_them(monkeypatch):
    monkeypatch.setitem(FINE, "case", "skewed noise")
    assert verdict(model=[9.0, 9.0], autoc=2.0) == "yes"
