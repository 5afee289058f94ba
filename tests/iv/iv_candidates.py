"""A design in which wrong nuisances do much harm, and six candidates for each, three of them wrong.

A wrong candidate sees covariates that say nothing about its target, or a transform of them that
loses it: it can learn no more than a mean, where the truth moves with the first covariate.
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import causalkit as ck

ATE = 1.0
N_RIGHT = 3  # of six, the first ones


def sample(seed, n):
    rng = np.random.default_rng(seed)
    l1, l2, u = rng.uniform(-1.0, 1.0, (3, n))
    z = (rng.random(n) < expit(1.2 * l1)).astype(float)
    share = np.where(z == 1.0, expit(-2.2 + 0.8 * l1), expit(0.8 * l1))
    a = (rng.random(n) < share + 0.04 * u).astype(float)
    y = (1.0 + 0.5 * l1) * a + 0.7 * z + 0.4 * z * l2 + 2.0 * l1 + 1.5 * u * (1.0 + 0.5 * l2)
    frame = pd.DataFrame(
        {"y": y + 0.3 * rng.standard_normal(n), "a": a, "z": z, "l1": l1, "l2": l2}
    )
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates=["l1", "l2"]
    )


def sign_lost(x):
    return x**2


def second_only(x):
    return x[:, [1]]


def waves_of_second(x):
    return np.column_stack([np.cos(k * x[:, 1]) for k in range(1, 6)])


def six(plain, shrunken):
    """Three right models, then three wrong ones."""
    wrong = [make_pipeline(FunctionTransformer(f), plain) for f in (sign_lost, second_only)]
    wrong.append(make_pipeline(FunctionTransformer(waves_of_second), plain))
    return [plain, shrunken, make_pipeline(PolynomialFeatures(2), plain), *wrong]


def learners():
    shares = six(LogisticRegression(C=100.0), LogisticRegression(C=1.0))
    means = six(LinearRegression(), Ridge(1.0))
    return {"instrument": shares, "treatment": shares, "outcome": means, "effect": means}
