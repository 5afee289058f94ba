"""Overlap: known propensities, and known densities of a dose."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import IdentificationError
from causalkit.transtee.propensities import CLIP

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


class Known(ClassifierMixin, BaseEstimator):
    """P(1 | x) is the covariate p itself."""

    def fit(self, x, y, sample_weight=None):
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict_proba(self, x):
        p = np.asarray(x)[:, 0]
        return np.column_stack([1.0 - p, p])

    def predict(self, x):
        return np.asarray(x)[:, 0] > 0.5


class Mean(RegressorMixin, BaseEstimator):
    """E[T | x] is the covariate p itself."""

    def fit(self, x, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, x):
        return np.asarray(x)[:, 0]


def frame_of(n=400, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.0, 1.0, n)
    t = (rng.random(n) < p).astype(int)
    return pd.DataFrame({"y": rng.standard_normal(n), "t": t, "p": p})


def fitted(frame, **roles):
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["p"], **roles)
    return ck.TransTEE(**SMALL).fit(data)


def test_arms_have_the_quantiles_of_their_propensities():
    frame = frame_of()
    table = fitted(frame).overlap(propensity=Known())
    assert table["rows"].tolist() == [int((frame["t"] == k).sum()) for k in (0, 1)]
    for code, chance in enumerate([1.0 - frame["p"], frame["p"]]):
        line = table.iloc[code]
        found = line[["least", "p05", "median", "p95", "largest"]].astype(float)
        np.testing.assert_allclose(found, np.quantile(chance, [0.0, 0.05, 0.5, 0.95, 1.0]))
        assert line["below"] == (chance < CLIP).mean() > 0.0
        weight = 1.0 / np.maximum(chance[frame["t"] == code], CLIP)
        assert line["effective_rows"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
        assert line["effective_rows"] < 0.9 * line["rows"]


def test_counts_are_rows():
    frame = frame_of().assign(w=np.arange(400) % 3 + 1)
    counted = fitted(frame, weights="w", weight_kind="frequency").overlap(propensity=Known())
    repeated = fitted(frame.loc[frame.index.repeat(frame["w"])]).overlap(propensity=Known())
    pd.testing.assert_frame_equal(counted, repeated)


def test_doses_are_expected_where_their_density_says():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.0, 3.0, 4000)
    frame = pd.DataFrame({"y": rng.standard_normal(4000), "p": p})
    frame["t"] = p + 0.5 * rng.standard_normal(4000)
    table = fitted(frame).overlap(propensity=Mean()).reset_index()
    assert len(table) == 25
    assert table["rows"].sum() == 4000
    assert (table.groupby("expected_low")["rows"].sum() >= 799).all()
    for line in table.to_dict("records"):
        inside = p[(p >= line["expected_low"]) & (p < line["expected_high"])]
        ends = stats.norm(inside[:, None], 0.5).cdf([line["dose_low"], line["dose_high"]])
        expected = np.diff(ends, axis=1).mean()
        # Smoothing of the residuals widens their density by a little.
        assert line["share"] == pytest.approx(expected, abs=0.02)
        assert line["rows"] / 800 == pytest.approx(expected, abs=0.06)
    # The lowest fifth hardly ever gets the highest doses, and nobody could say what they would do.
    assert table["share"].iloc[4] < 1e-3


def test_treatments_without_one_propensity_are_refused():
    fit = ck.TransTEE(**SMALL).fit(ck.generators.dosage(0, n=200).blind())
    with pytest.raises(IdentificationError, match="for arms or for one dose"):
        fit.overlap()
