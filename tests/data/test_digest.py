"""The digest: equal for equal content in any process, different for any other content."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit.data import CausalData, Truth

MAKE = """
import numpy as np, pandas as pd
from causalkit.data import CausalData
frame = pd.DataFrame({
    "y": np.arange(6.0), "d": [0, 1] * 3, "x": np.linspace(0.0, 1.0, 6) ** 2,
    "g": pd.Categorical(list("abcabc")), "unit": list("uuvvww"), "t": [1, 2] * 3,
})
data = CausalData.from_frame(
    frame, outcome="y", treatment="d", covariates=["x", "g"], unit="unit", time="t")
"""


@pytest.fixture
def data():
    """Six rows with numbers, text and a category."""
    space = {}
    exec(MAKE, space)
    return space["data"]


def test_another_process_finds_the_same_digest_whatever_its_hash_seed(data):
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", MAKE + "print(data.digest())"],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        assert done.stdout.strip() == data.digest()
    assert len(data.digest()) == hashlib.sha256().digest_size * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.assign(x=lambda df: df["x"].where(df.index != 5, np.nextafter(1.0, 2.0))),
        lambda d: d.assign(x=lambda df: df["x"].astype("float32")),
        lambda d: d.assign(g=lambda df: df["g"].cat.reorder_categories(["c", "b", "a"])),
        lambda d: d.assign(g=lambda df: df["g"].cat.as_ordered()),
        lambda d: d.assign(unit=list("uuvvwz")),
        lambda d: d.assign(extra=0),
        lambda d: d.with_roles(covariates=["x"]),
        lambda d: d.with_roles(covariates=["g", "x"]),
        lambda d: d.with_roles(cluster="unit"),
        lambda d: d.subset([1, 0, 2, 3, 4, 5]),
        lambda d: d.subset(range(5)),
        lambda d: CausalData(frame=d.frame, roles=d.roles, missing="native"),
        lambda d: CausalData(frame=d.frame, roles=d.roles, freq=1),
        lambda d: CausalData(frame=d.frame, roles=d.roles, tables={"e": d.frame[["x"]]}),
    ],
    ids=[
        *("last-bit", "type", "level-order", "ordered", "text", "column", "role", "role-order"),
        *("cluster", "row-order", "rows", "policy", "calendar", "table"),
    ],
)
def test_other_content_has_another_digest(data, change):
    assert change(data).digest() != data.digest()


def test_the_truth_and_what_was_computed_do_not_count(data):
    known = CausalData(frame=data.frame, roles=data.roles, truth=Truth({"ate": 1.0}))
    known.matrix("covariates")
    assert known.digest() == known.blind().digest() == data.digest()


def test_arrays_count_by_value_where_they_are_in_memory(data):
    def with_tile(value):
        tile = xr.Dataset({"tile": (("obs", "px"), np.zeros((6, 2)))})
        tile["tile"][4, 1] = value
        return CausalData(frame=data.frame, roles=data.roles, arrays=tile)

    assert with_tile(0.0).digest() == with_tile(0.0).digest()
    assert len({with_tile(0.0).digest(), with_tile(1e-300).digest(), data.digest()}) == 3


def test_text_is_not_run_together():
    frame = pd.DataFrame({"y": [0.0, 1.0, 2.0], "d": [0, 1, 1]})
    roles = CausalData.from_frame(frame, outcome="y", treatment="d").roles
    keys = (["ab", "c", "d"], ["a", "bc", "d"])
    first, second = (
        CausalData(frame=frame, roles=roles, arrays=xr.Dataset({"k": ("obs", key)})) for key in keys
    )
    assert first.digest() != second.digest()


def test_lists_of_tokens_have_a_digest():
    def digest(*tokens):
        frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "tokens": list(tokens)})
        return CausalData.from_frame(frame, outcome="y", treatment="d", extra="tokens").digest()

    assert digest(["a"], [], ["b"]) == digest(["a"], [], ["b"]) != digest(["a"], ["b"], [])
