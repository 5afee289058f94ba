"""Groups that hang together, devices as arguments, and resumption of a refit."""

import numpy as np
import pandas as pd
import pytest
import torch
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.errors import CausalKitWarning
from causalkit.transtee.coding import groups_of


def crossed():
    """Workers in firms that hang together but for five small blocks."""
    rng = np.random.default_rng(0)
    frame = arms_frame(n=300)
    frame["worker"], frame["firm"] = rng.integers(0, 60, 300), rng.integers(0, 60, 300)
    for block in range(5):
        rows = slice(280 + 4 * block, 284 + 4 * block)
        frame.loc[frame.index[rows], ["worker", "firm"]] = 100 + block
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["a", "b", "c"],
        cluster=["worker", "firm"],
    )


def test_one_group_of_nearly_all_rows_is_no_split():
    data = crossed()
    with pytest.warns(CausalKitWarning, match="9.% of the rows hang together.*'worker' together"):
        groups = groups_of(data)
    same = data.frame["worker"].to_numpy()
    assert len(np.unique(groups)) == len(np.unique(same))
    assert pd.DataFrame({"g": groups, "w": same}).drop_duplicates().shape[0] == len(np.unique(same))


def test_a_torch_device_is_saved(tmp_path, arms):
    est = ck.TransTEE(**(SMALL | {"max_epochs": 1}), device=torch.device("cpu")).fit(arms)
    est.save(tmp_path / "fit")
    assert ck.TransTEE.load(tmp_path / "fit").device == "cpu"


def test_a_refit_goes_on_from_a_first_phase_that_is_complete(tmp_path):
    data, arguments = arms_data(), SMALL | {"max_epochs": 3, "refit": True}
    first = ck.TransTEE(**arguments, checkpoint=tmp_path).fit(data)
    second = ck.TransTEE(**arguments, checkpoint=tmp_path).fit(data)
    np.testing.assert_array_equal(first.effect(data)["effect"], second.effect(data)["effect"])
