"""Linear regressions as estimators: linearmodels' numbers, and the rows of compare()."""

import numpy as np
import pytest
from linearmodels.panel import PanelOLS

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.panel.linear import LINEAR
from causalkit.panel.regression import PanelRegression


def data():
    return ck.generators.panel_cp2025(3, n_units=60, n_periods=5, n_covariates=3)


def test_fixed_effects_are_those_of_linearmodels():
    frame = data().frame.set_index(["unit", "time"])
    peer = PanelOLS(frame["y"], frame[["d", "x1", "x2", "x3"]], entity_effects=True).fit(
        cov_type="clustered", cluster_entity=True, count_effects=False, debiased=False
    )
    ours = PanelRegression(method="fixed effects", ssc="none").fit(data()).estimate()
    assert ours.estimate == pytest.approx(peer.params["d"], rel=1e-10)
    assert ours.std_error == pytest.approx(peer.std_errors["d"], rel=1e-8)


def test_every_method_is_a_row_of_compare():
    rows = ck.PanelDML(learner="linear", random_state=0).fit(data()).compare().tidy()
    rows = rows.set_index("model")["estimate"]
    for name in LINEAR:
        found = PanelRegression(method=name).fit(data()).estimate().estimate
        assert np.isclose(found, rows[name], rtol=1e-12)


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(ArgumentError, match="Did you mean 'fixed effects'"):
        PanelRegression(method="fixed effect").fit(data())
