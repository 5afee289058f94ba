"""One panel for many questions: continuous and binary treatments, instruments, groups."""

import numpy as np
import pandas as pd

import causalkit as ck

COVARIATES = ["x1", "x2"]


def table(n_units=120, n_periods=5, seed=0):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    level = rng.standard_normal(n_units)[unit]
    x1, x2 = level + rng.standard_normal((2, unit.size))
    chance = 1.0 / (1.0 + np.exp(-0.3 * (x1 + level)))
    b = (rng.random(unit.size) < chance).astype(float)
    d = x1 + level + rng.standard_normal(unit.size)
    z = level + rng.standard_normal((2, unit.size))
    group = np.where(x2 > 0, "high", "low")
    y = d * (1 + 0.5 * (x2 > 0)) + x1 + level + rng.standard_normal(unit.size)
    return pd.DataFrame(
        {
            "y": y,
            "y2": b * (1 + x1) + x1 + level + rng.standard_normal(unit.size),
            "d": d,
            "b": b,
            "x1": x1,
            "x2": x2,
            "z1": z[0],
            "z2": z[1],
            "w": z.sum(axis=0) + d,
            "group": group,
            "unit": unit,
            "time": np.tile(np.arange(n_periods), n_units),
        }
    )


def panel(frame=None, *, outcome="y", treatment="d", **roles):
    return ck.CausalData.from_frame(
        table() if frame is None else frame,
        outcome=outcome,
        treatment=treatment,
        covariates=COVARIATES,
        unit="unit",
        time="time",
        **({"extra": ["group"]} | roles),
    )
