"""EconML's options that leave a study without a number."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.study.adapters_econml import EconMLDRLearner

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_final_stage_without_standard_errors_is_refused():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((240, 3)), columns=["y", "a", "b"])
    frame["d"] = rng.integers(0, 2, 240)
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates=["a", "b"], modifiers=["a"]
    )
    forest = RandomForestRegressor(10, max_depth=3, random_state=1)
    peer = EconMLDRLearner(options={"model_final": forest}, random_state=0)
    with pytest.raises(
        ArgumentError, match="no standard error of the average effect with the final"
    ):
        peer.fit(data)
