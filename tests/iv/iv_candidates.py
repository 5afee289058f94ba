"""A design in which wrong nuisances do much harm, and six candidates for each, three of them wrong.

A wrong candidate sees covariates that say nothing about its target, or a transform of them that
loses it: it can learn no more than a mean, where the truth moves with the first covariate. The
right candidates for the instrument and for the effect add noise of their own, as a learner does
that overfits. It costs them more loss than the wrong ones have, and averages out of the effect: the
loss prefers wrong models of both, and that is one more than the estimate can bear.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import causalkit as ck

ATE = 1.0
N_RIGHT = 3  # of six, the first ones


def sample(seed, n):
    rng = np.random.default_rng(seed)
    l1, l2, u = rng.uniform(-1.0, 1.0, (3, n))
    z = (rng.random(n) < expit(0.7 * l1)).astype(float)
    share = np.where(z == 1.0, expit(-2.2 + 0.8 * l1), expit(0.8 * l1))
    a = (rng.random(n) < share + 0.04 * u).astype(float)
    y = (1.0 + 1.5 * l1) * a + 0.7 * z + 0.4 * z * l2 + 2.0 * l1 + 1.5 * u * (1.0 + 0.5 * l2)
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


class Rough(BaseEstimator):
    """A learner whose predictions have noise of a given size: a sign that is chance in x."""

    def __init__(self, plain=None, size=1.0, salt=0):
        self.plain = plain
        self.size = size
        self.salt = salt

    def fit(self, x, y):
        self.fitted_ = clone(self.plain).fit(x, y)
        return self

    def noise(self, x):
        return self.size * np.sign(np.sin(1e5 * (x @ [1.0, 0.7] + self.salt * x[:, 0])))


class RoughMean(RegressorMixin, Rough):
    def predict(self, x):
        return self.fitted_.predict(x) + self.noise(x)


class RoughShare(ClassifierMixin, Rough):
    def fit(self, x, y):
        super().fit(x, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, x):
        share = expit(logit(self.fitted_.predict_proba(x)[:, 1]) + self.noise(x))
        return np.column_stack([1.0 - share, share])

    def predict(self, x):
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


def six(plain, shrunken, rough=None):
    """Three right models, then three wrong ones."""
    right = [plain, shrunken, make_pipeline(PolynomialFeatures(2), plain)]
    if rough is not None:
        kind, size, salt = rough
        right = [kind(model, size, salt + k) for k, model in enumerate(right)]
    wrong = [make_pipeline(FunctionTransformer(f), plain) for f in (sign_lost, second_only)]
    wrong.append(make_pipeline(FunctionTransformer(waves_of_second), plain))
    return [*right, *wrong]


def learners():
    shares = LogisticRegression(C=100.0), LogisticRegression(C=1.0)
    means = LinearRegression(), Ridge(1.0)
    return {
        "instrument": six(*shares, rough=(RoughShare, 0.53, 1)),
        "treatment": six(*shares),
        "outcome": six(*means),
        "effect": six(*means, rough=(RoughMean, 0.19, 11)),
    }
