"""Steps and features of a sequence are told by the names of its dimensions."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import causalkit as ck
from causalkit.transtee.covariates import covariate_code, encode_covariates

VALUES = np.random.default_rng(0).standard_normal((30, 4, 2)).astype(np.float32)
THERE = np.arange(4) < 1 + np.arange(30)[:, None] % 4


def coded(values, mask):
    """A sequence and its mask as networks see them."""
    frame = pd.DataFrame({"y": np.arange(30.0), "t": np.arange(30) % 2})
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        sequence="v",
        arrays=xr.Dataset({"v": values, "v_mask": mask}),
    )
    found = encode_covariates(covariate_code(data), data)
    return found.sequences[0], found.masks[0]


@pytest.mark.parametrize("step", ["step", "time"])
@pytest.mark.parametrize("order", [("obs", 0, 1), ("obs", 1, 0), (1, 0, "obs")])
def test_the_order_of_the_dimensions_does_not_count(step, order):
    names = (step, "feature")
    dims = tuple(one if one == "obs" else names[one] for one in order)
    values = xr.DataArray(VALUES, dims=("obs", *names)).transpose(*dims)
    mask = xr.DataArray(THERE, dims=("obs", step)).transpose(step, "obs")
    found, there = coded(values, mask)
    np.testing.assert_array_equal(found, np.where(THERE[:, :, None], VALUES, 0.0))
    np.testing.assert_array_equal(there, THERE)


def test_without_such_names_steps_come_first():
    found, there = coded((("obs", "a", "b"), VALUES), (("obs", "a"), THERE))
    np.testing.assert_array_equal(found, np.where(THERE[:, :, None], VALUES, 0.0))
    np.testing.assert_array_equal(there, THERE)
