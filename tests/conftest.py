"""Three tiny data sets that no test may change (images come with their family), a full disk."""

import errno
import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from causalkit.data import CausalData

# Plots are drawn without a display; set before anything imports matplotlib.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks whether a file has reached the disk is told that there is no room."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.fixture(scope="session")
def cross_section() -> "CausalData":
    """120 people: binary treatment confounded by ``age``; region is a category; effect 2."""
    from causalkit.data import CausalData

    rng = np.random.default_rng(20260101)
    n = 120
    age = rng.normal(40.0, 10.0, n)
    region = rng.choice(["north", "south", "west"], n)
    treated = (rng.random(n) < 1.0 / (1.0 + np.exp(-(age - 40.0) / 10.0))).astype(np.int64)
    outcome = 2.0 * treated + 0.1 * age + (region == "south") + rng.standard_normal(n)
    frame = pd.DataFrame(
        {"outcome": outcome, "treated": treated, "age": age, "region": pd.Categorical(region)}
    )
    return CausalData.from_frame(
        frame, outcome="outcome", treatment="treated", covariates=["age", "region"]
    )


@pytest.fixture(scope="session")
def panel() -> "CausalData":
    """40 units over at most 5 periods, unbalanced; effect 1 with unit heterogeneity; linear."""
    from causalkit.data import CausalData

    rng = np.random.default_rng(20260102)
    n_units, n_periods = 40, 5
    unit = np.repeat(np.arange(n_units), n_periods)
    time = np.tile(np.arange(2001, 2001 + n_periods), n_units)
    level = rng.standard_normal(n_units)[unit]
    x1 = level + rng.standard_normal(unit.size)
    x2 = rng.standard_normal(unit.size)
    d = 0.5 * x1 + level + rng.standard_normal(unit.size)
    y = d + x1 - 0.5 * x2 + 2.0 * level + rng.standard_normal(unit.size)
    frame = pd.DataFrame({"y": y, "d": d, "x1": x1, "x2": x2, "unit": unit, "time": time})
    # Every sixth row is gone, so the panel has gaps; every unit keeps at least four rows.
    kept = frame[np.arange(len(frame)) % 6 != 5].reset_index(drop=True)
    return CausalData.from_frame(
        kept, outcome="y", treatment="d", covariates=["x1", "x2"], unit="unit", time="time"
    )
