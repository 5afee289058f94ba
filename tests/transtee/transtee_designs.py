"""Small data and small networks."""

import numpy as np
import pandas as pd
import xarray as xr

import causalkit as ck

SMALL = {"d_model": 8, "n_heads": 2, "max_epochs": 12, "n_ensemble": 1, "random_state": 0}


def arms_frame(n=240, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    t = rng.integers(0, 2, n)
    y = x[:, 0] - x[:, 1] + t * (1.0 + x[:, 2]) + 0.1 * rng.standard_normal(n)
    return pd.DataFrame({"y": y, "t": t, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})


def weighted_arms():
    """Arms whose rows have weights from one to two."""
    return weighted(arms_frame().assign(w=np.linspace(1.0, 2.0, 240)))


def weighted(frame):
    """Arms whose rows have the sampling weights w."""
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=["a", "b", "c"],
        weights="w",
        weight_kind="sampling",
    )


def arms_data(n=240, seed=0, **roles):
    return ck.CausalData.from_frame(
        arms_frame(n, seed), outcome="y", treatment="t", covariates=["a", "b", "c"], **roles
    )


def uneven():
    """Clusters of one to three rows: parts of two ensemble members are seldom of one size."""
    sizes = np.random.default_rng(0).integers(1, 4, 240)
    frame = arms_frame().assign(place=np.repeat(np.arange(240), sizes)[:240])
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], cluster="place"
    )


def scales_of(coded, rows, *, raw_steps=False):
    """Scales that one network learns from some rows of coded data."""
    from causalkit.transtee.scales import learn_scales

    return learn_scales(
        coded, rows, standardise=True, support=None, raw_steps=raw_steps, device="cpu"
    )


def with_steps(frame, values):
    """Rows of y, t and a, with a sequence ``(obs, step, feature)`` called visits."""
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates="a",
        sequence="visits",
        arrays=xr.Dataset({"visits": (("obs", "step", "feature"), values)}),
    )
