"""Overlap: known propensities, and known densities of a dose."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError
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


class LogitKnown(Known):
    """P(1 | x) is a logistic function of the covariate."""

    def predict_proba(self, x):
        return super().predict_proba(expit(np.asarray(x) - 1.5))


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


def dosed_arms(n=4000):
    """Dose of "up" around x; that of "down" around −x, which says nothing of "up"."""
    rng = np.random.default_rng(2)
    x, noise = rng.uniform(0.0, 3.0, n), 0.5 * rng.standard_normal(n)
    arm = np.where(rng.random(n) < expit(x - 1.5), "up", "down")
    frame = pd.DataFrame({"y": rng.standard_normal(n), "p": x, "arm": arm})
    return frame.assign(t=np.where(arm == "up", x, -x) + noise)


def fitted_arms(frame, **roles):
    kinds, columns = ("multi", "dose"), ["arm", "t"]
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment=columns, kinds=kinds, covariates=["p"], **roles
    )
    return ck.TransTEE(**SMALL | {"max_epochs": 1}).fit(data)


def test_arms_with_doses_have_propensities_and_each_its_doses():
    frame = dosed_arms()
    fit, x = fitted_arms(frame), frame["p"].to_numpy()
    arms = fit.overlap(propensity="linear")
    assert arms["rows"].to_dict() == frame["arm"].value_counts().to_dict()
    assert arms.loc["up", "median"] == pytest.approx(np.median(expit(x - 1.5)), abs=0.05)
    table = fit.overlap(arm="up", propensity=(LogitKnown(), "linear")).reset_index()
    own = frame.loc[frame["arm"] == "up", "t"]
    assert len(table) == 25
    assert table["rows"].sum() == len(own)
    np.testing.assert_allclose(table["dose_low"].min(), own.min(), rtol=1e-6)
    # The mean of the dose is that within the arm, and regions are fifths of all rows.
    np.testing.assert_allclose(table["expected_low"].unique()[1:3], [0.6, 1.2], atol=0.06)
    for line in table.to_dict("records"):
        inside = x[(x >= line["expected_low"]) & (x < line["expected_high"])]
        ends = stats.norm(inside[:, None], 0.5).cdf([line["dose_low"], line["dose_high"]])
        expected = (expit(inside - 1.5) * np.diff(ends, axis=1)[:, 0]).mean()
        assert line["share"] == pytest.approx(expected, abs=0.02)
        assert line["rows"] / 800 == pytest.approx(expected, abs=0.06)


def test_counts_are_rows_of_an_arm():
    frame = dosed_arms(300).assign(w=np.arange(300) % 3 + 1)
    known = (Known(), Mean())
    frame["p"] /= 3.0
    counted = fitted_arms(frame, weights="w", weight_kind="frequency")
    repeated = fitted_arms(frame.loc[frame.index.repeat(frame["w"])])
    for arm in (None, "up"):
        tables = [fit.overlap(arm=arm, propensity=known) for fit in (counted, repeated)]
        pd.testing.assert_frame_equal(*tables)


def test_doses_of_arms_that_have_none_are_refused():
    with pytest.raises(ArgumentError, match="arm= shows the doses of an arm, and the treatment is"):
        fitted(frame_of(100)).overlap(arm=1)
    frame = dosed_arms(200)
    fit = fitted_arms(frame.assign(t=frame["t"].where(frame["arm"] == "up")))
    with pytest.raises(ArgumentError) as caught:
        fit.overlap(arm="down")
    assert str(caught.value) == (
        "arm='down' takes no dose, so that there is nothing to show of its doses; arms with a "
        "dose: 'up'."
    )
    with pytest.raises(ArgumentError, match=r"arm='left' is no arm of 'arm'; name one of 'up'"):
        fit.overlap(arm="left")


@pytest.mark.parametrize("propensity", ["auto", 0.4])
def test_treatments_without_one_propensity_are_refused(propensity):
    frame = frame_of(100).assign(s=np.arange(100) % 7)
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment=["s", "t"], kinds=("continuous", "binary"), covariates=["p"]
    )
    with pytest.raises(IdentificationError, match="for arms or for one dose"):
        ck.TransTEE(**SMALL | {"max_epochs": 1}).fit(data).overlap(propensity=propensity)
