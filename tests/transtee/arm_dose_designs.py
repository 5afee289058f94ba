"""An arm with a dose beside one without, both chosen by x, and what is true of them."""

import numpy as np
import pandas as pd
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit
from scipy.stats import norm
from sklearn.base import BaseEstimator

import causalkit as ck

SLOPE = 0.5
PULL = 0.3


def draw(seed, n):
    """Everything of ``n`` rows: E[Y(up, t)] = 2 cos 2t and E[Y(none)] = 0."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, n))
    up = rng.random(n) < expit(SLOPE * x)
    t = PULL * x + rng.standard_normal(n)
    y = np.where(up, x * (2.0 + t) + 2.0 * np.cos(2.0 * t), x) + noise
    return x, up, t, y


def truth(t):
    return 2.0 * np.cos(2.0 * np.asarray(t))


def frame_of(seed, n):
    x, up, t, y = draw(seed, n)
    arm = np.where(up, "up", "none")
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "dose": np.where(up, t, np.nan)})


def data_of(frame, **roles):
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["arm", "dose"],
        kinds=("multi", "dose"),
        covariates="x",
        **roles,
    )


def dose_density(t, x):
    return norm.pdf(t - PULL * x)


def joint_density(t, x):
    """Of receiving "up" at t."""
    return expit(SLOPE * x) * dose_density(t, x)


def mean_over_x(density, t):
    """∫density(t, x)φ(x)dx by Gauss-Hermite quadrature."""
    nodes, weights = hermegauss(60)
    values = density(np.asarray(t)[:, None], nodes)
    return values @ weights / np.sqrt(2.0 * np.pi)


class Chance(BaseEstimator):
    """P(up | x), whatever it is shown."""

    def fit(self, x, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict_proba(self, x):
        up = expit(SLOPE * x[:, 0])
        return np.column_stack([1.0 - up, up])

    def predict(self, x):
        return self.predict_proba(x)[:, 1] > 0.5


class MeanDose(BaseEstimator):
    """E[T | x, up], whatever it is shown."""

    def fit(self, x, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, x):
        return PULL * x[:, 0]


KNOWN = (Chance(), MeanDose())


class Networks:
    """Networks that say of every row what a function of x, arm and dose says."""

    partial = False

    def __init__(self, mean):
        self.mean = mean

    def averaged(self, asked, actions):
        x = asked.covariates.numeric[:, 0].astype(float)
        found = [
            np.broadcast_to(self.mean(x, one.arms[:, 0] == 1, one.doses[:, 0]), x.shape)
            for one in actions
        ]
        return np.column_stack(found)


def right_mean(x, up, t):
    return np.where(up, x * (2.0 + t) + truth(t), x)


def half_mean(x, up, t):
    """Right but for half of what x does."""
    return np.where(up, 0.5 * x * (2.0 + t) + truth(t), 0.5 * x)
