"""Effects by row of EconML's estimators, as studies judge them."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import causalkit as ck
from causalkit.study import adapters

pytestmark = pytest.mark.filterwarnings("ignore")


def data_of(**roles):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((300, 2)), columns=["a", "b"])
    frame["d"] = rng.integers(0, 2, 300)
    frame["y"] = frame["d"] * (1 + frame["a"]) + frame["b"] + rng.standard_normal(300)
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates=["a", "b"], **roles
    )


@pytest.mark.parametrize("name", ["EconMLLinearDML", "EconMLDRLearner"])
def test_without_modifiers_every_row_has_the_average_effect_and_its_interval(name):
    data = data_of()
    made = getattr(adapters, name)(learner="linear", random_state=0).fit(data)
    found, average = made.effect(data, level=0.9), made.estimate()
    assert len(found) == len(data)
    assert found.nunique().to_list() == [1, 1, 1]
    half = norm.ppf(0.95) * average.std_error
    expected = [average.estimate, average.estimate - half, average.estimate + half]
    assert found.iloc[0].to_list() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["EconMLLinearDML", "EconMLDRLearner"])
def test_effects_vary_with_the_modifiers_and_their_mean_is_the_average(name):
    data = data_of(modifiers=["a"])
    made = getattr(adapters, name)(learner="linear", random_state=0).fit(data)
    effects = made.effect(data)["effect"]
    assert effects.mean() == pytest.approx(made.estimate().estimate)
    slope, start = np.polyfit(data.frame["a"], effects, 1)
    assert effects.to_numpy() == pytest.approx(start + slope * data.frame["a"])
    assert slope > 0.5


def test_a_forest_varies_with_all_covariates_where_no_modifiers_are_declared():
    data = data_of()
    made = adapters.EconMLCausalForestDML(
        learner="linear", options={"n_estimators": 20}, random_state=0
    ).fit(data)
    found = made.effect(data)
    by_hand = made.model_.effect(data.frame[["a", "b"]].to_numpy()).ravel()
    assert found["effect"].to_numpy() == pytest.approx(by_hand)
    assert (found["conf_low"] < found["effect"]).all()
    assert found["effect"].nunique() > 10
