"""Diagnostics describe a fit and never stop it."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck

SEED = {"learner": "ridge", "random_state": 0}


def panel(n_units, covariates):
    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(n_units), 4)
    # Four periods: means of 0/1 values and deviations from them are exact.
    d = rng.integers(0, 2, unit.size)
    x = rng.standard_normal(unit.size)
    columns = {"y": d + rng.integers(0, 4, unit.size), "d": d, "x": x, "unit": unit}
    frame = pd.DataFrame(columns | {"time": np.tile(np.arange(4), n_units)})
    roles = {"outcome": "y", "treatment": "d", "unit": "unit", "time": "time"}
    return ck.CausalData.from_frame(frame, covariates=covariates, **roles)


@pytest.mark.parametrize("approach", ["within", "late_within", "hybrid"])
def test_residuals_that_sum_to_zero_in_every_unit_leave_nothing_to_test(approach):
    fitted = ck.PanelDML(approach=approach, **SEED).fit(panel(40, ()))
    left = fitted.diagnostics_["leftover"]
    assert left["d residual"] is None
    assert fitted.diagnostics_["variation"]["d"].between_share < 1e-20


@pytest.mark.filterwarnings("ignore::causalkit.errors.FewClustersWarning")
def test_as_many_means_as_units_leave_nothing_to_test():
    fitted = ck.PanelDML(n_folds=2, **SEED).fit(panel(3, ("x",)))
    assert set(fitted.diagnostics_["leftover"].values()) == {None}
