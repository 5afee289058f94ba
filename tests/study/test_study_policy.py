"""Calibration and policy regret of predicted effects, from the declaration to the summary."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from study_toys import difference

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError
from causalkit.generators import generator
from causalkit.study.study import Study

N, REPS = 200, 40
MEASURES = ["calibration_intercept", "calibration_slope", "policy_regret"]


@generator("even", version=1, cite="test")
def even(rng: np.random.Generator, *, n: int = N) -> CausalData:
    """Effects that are spread evenly from -1 to 1."""
    effects = rng.uniform(-1.0, 1.0, n)
    d = np.arange(n) % 2
    frame = pd.DataFrame({"y": effects * d + rng.standard_normal(n), "d": d, "x": effects})
    truth = Truth({"ate": 0.0}, cate=effects)
    return CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x", truth=truth)


class Guess(BaseEstimator):
    """Predicts ``scale`` times the effect plus ``shift``, whatever the data."""

    def __init__(self, scale: float = 2.0, shift: float = 0.5) -> None:
        self.scale = scale
        self.shift = shift

    def fit(self, data):
        self.result_ = difference(data)
        return self

    def estimate(self):
        return self.result_

    def effect(self, data):
        return {"effect": self.scale * data.frame["x"].to_numpy() + self.shift}


class Flat(Guess):
    """Predicts one effect for all."""

    def effect(self, data):
        return {"effect": np.full(len(data), self.shift)}


def study_of(folder, estimators, **more):
    given = {
        "name": "policy",
        "seed": 20260103,
        "aims": "Are effects calibrated?",
        "reps": REPS,
        "generators": [{"name": f"{__name__}:even"}],
        "run_options": {"backend": "serial", "out": str(folder)},
    }
    return Study(**(given | more), estimators=estimators)


def found(folder, estimators, **more):
    """Measures by name of a study with one estimator."""
    study = study_of(folder, estimators, **more)
    study.run(progress=False)
    return study.summarise(measures=MEASURES).set_index("measure")


def regret_of(low: float, high: float, cost: float) -> tuple[float, float]:
    """Mean regret, and its Monte-Carlo error, of a rule that is wrong for effects in an interval.

    A wrong decision about an effect τ loses |τ - cost|, and τ has density 1/2.
    """
    mean, square = (
        (abs(low - cost) ** k + math.copysign(abs(high - cost) ** k, high - cost)) / (2 * k)
        for k in (2, 3)
    )
    return mean, math.sqrt((square - mean**2) / (N * REPS))


@pytest.mark.parametrize(("cost", "wrong"), [(0.0, (-0.25, 0.0)), (0.1, (-0.2, 0.1))])
def test_regret_of_a_linear_rule_is_the_integral_over_its_mistakes(tmp_path, cost, wrong):
    # The rule treats where 2τ + 0.5 > cost, so wrongly between (cost - 0.5)/2 and the cost.
    row = found(tmp_path, {"guess": Guess()}, treatment_cost=cost).loc["policy_regret"]
    regret, error = regret_of(*wrong, cost)
    # Four errors: one false alarm in 16,000 seeds, if the regret were normal.
    assert abs(row["value"] - regret) < 4.0 * error
    # The spread of 40 near-normal numbers is within a ninth of the truth with one error.
    assert row["mcse"] == pytest.approx(error, rel=0.4)
    assert row["n_ok"] == REPS


def test_calibration_finds_the_line_back(tmp_path):
    # τ = (τ̂ - 0.5)/2, without noise: the same line in every replication.
    table = found(tmp_path, {"guess": Guess(scale=2.0, shift=0.5)})
    line = table.loc[["calibration_intercept", "calibration_slope"]]
    assert line["value"].tolist() == pytest.approx([-0.25, 0.5])
    assert line["mcse"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_true_effects_have_no_regret_and_the_identity_for_a_line(tmp_path):
    table = found(tmp_path, {"guess": Guess(scale=1.0, shift=0.0)}, treatment_cost=0.3, reps=3)
    assert table.loc[MEASURES, "value"].tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_one_effect_for_all_has_regret_but_no_slope_and_the_summary_says_so(tmp_path):
    table = found(tmp_path, {"flat": Flat(shift=0.5)}, treatment_cost=0.0)
    assert np.isnan(table.loc["calibration_slope", "value"])
    assert "no value" in table.loc["calibration_slope", "flag"]
    # Everybody is treated: wrong below zero, E|τ|1{τ < 0} = 1/4.
    regret, error = regret_of(-1.0, 0.0, 0.0)
    assert abs(table.loc["policy_regret", "value"] - regret) < 4.0 * error


def test_estimators_are_compared_by_regret_in_pairs(tmp_path):
    study = study_of(tmp_path, {"guess": Guess(), "right": Guess(scale=1.0, shift=0.0)})
    study.run(progress=False)
    table = study.summarise(measures=["policy_regret"], reference="right").set_index("estimator")
    assert table.loc["guess", "difference"] == pytest.approx(table.loc["guess", "value"])
    assert table.loc["guess", "difference_mcse"] == pytest.approx(table.loc["guess", "mcse"])


# ---- one cost per folder -----------------------------------------------------------------------


def test_another_cost_is_another_study(tmp_path):
    study_of(tmp_path, {"guess": Guess()}, reps=2).run(progress=False)
    with pytest.raises(ArgumentError, match=r"treatment_cost is 0\.0 there and 0\.5 here"):
        study_of(tmp_path, {"guess": Guess()}, reps=2, treatment_cost=0.5).run(progress=False)
