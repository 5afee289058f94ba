"""A row with a frequency weight of two is that row twice, in averages and their errors."""

from dataclasses import replace

import numpy as np
import pytest
from normalised_averages import effect_among, left_out
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.errors import OverlapWarning
from causalkit.inference.arm_means import arm_means
from causalkit.transtee import diagnostics
from causalkit.transtee.coding import code_data
from causalkit.transtee.crossfit import Split
from causalkit.transtee.diagnostics import factual_r2, treatment_left

COLUMNS = ["a", "b", "c"]
BRIEF = SMALL | {"max_epochs": 2}


class KnownChance(ClassifierMixin, BaseEstimator):
    """P(t = 1 | x) by the first covariate, whatever it is shown."""

    def __init__(self, slope=1.0):
        self.slope = slope

    def fit(self, x, y, sample_weight=None):
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict_proba(self, x):
        chance = 1.0 / (1.0 + np.exp(-self.slope * x[:, 0]))
        return np.column_stack([1.0 - chance, chance])

    def predict(self, x):
        return (self.predict_proba(x)[:, 1] > 0.5).astype(float)


class KnownMean(RegressorMixin, BaseEstimator):
    """Half of the first covariate, whatever it is shown."""

    def fit(self, x, y, sample_weight=None):
        self.fitted_ = True
        return self

    def predict(self, x):
        return 0.5 * x[:, 0]


def dosed(frame):
    rng = np.random.default_rng(3)
    return frame.assign(t=0.5 * frame["a"] + rng.standard_normal(len(frame)))


def data_of(frame, **roles):
    return ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=COLUMNS, **roles)


def pair(frame, **roles):
    """The same rows with counts, and as often as those say."""
    counts = np.random.default_rng(7).integers(1, 4, len(frame))
    frame = frame.assign(n=counts)
    weighted = data_of(frame, weights="n", weight_kind="frequency", **roles)
    repeated = data_of(frame.loc[np.repeat(frame.index, counts)].reset_index(drop=True), **roles)
    return weighted, repeated


@pytest.fixture
def one_network(monkeypatch):
    """Every fold is answered by the networks of a fit, so that no training differs."""

    def use(fit):
        monkeypatch.setattr(
            Split, "networks", lambda split: [(fit.model_, np.arange(split.coded.n))]
        )

    return use


def both(frame, one_network, learner, *, ask=(), **roles):
    """Results of the two forms of the data."""
    weighted, repeated = pair(frame, **roles)
    fit = ck.TransTEE(**BRIEF).fit(weighted)
    one_network(fit)
    mine = fit.estimate(propensity=learner, **dict(ask))
    fit._data, fit._digest = repeated, repeated.digest()
    return mine, fit.estimate(propensity=learner, **dict(ask))


@pytest.mark.parametrize("made", [arms_frame, lambda: dosed(arms_frame())], ids=["arms", "doses"])
@pytest.mark.parametrize("roles", [{}, {"cluster": "who"}], ids=["rows", "clusters"])
def test_averages_with_counts_are_those_of_the_rows_repeated(made, roles, one_network):
    frame = made().assign(who=np.arange(240) // 3)
    learner = KnownChance() if set(frame["t"]) == {0, 1} else KnownMean()
    counted, repeated = both(frame, one_network, learner, **roles)
    assert counted.terms == repeated.terms
    assert counted.n == repeated.n > 400
    assert counted.df == pytest.approx(repeated.df, rel=1e-12)
    np.testing.assert_allclose(counted.estimates, repeated.estimates, rtol=1e-6)
    np.testing.assert_allclose(counted.vcov, repeated.vcov, rtol=1e-5)


@pytest.mark.parametrize("roles", [{}, {"cluster": "who"}], ids=["rows", "clusters"])
@pytest.mark.parametrize("estimand", ["att", "atc", "gate", "calibration"])
def test_other_averages_with_counts_are_those_of_the_rows_repeated(estimand, roles, one_network):
    frame = arms_frame().assign(who=np.arange(240) // 3)
    frame["side"] = np.where(frame["b"] > 0.8, "high", "low")
    ask = {"estimand": estimand} | ({"groups": "side"} if estimand == "gate" else {})
    counted, repeated = both(frame, one_network, KnownChance(), ask=ask, extra="side", **roles)
    np.testing.assert_allclose(counted.estimates, repeated.estimates, rtol=1e-6)
    np.testing.assert_allclose(counted.vcov, repeated.vcov, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(counted._freedom, repeated._freedom, rtol=1e-12)


@pytest.mark.parametrize("estimand", ["att", "atc", "gate"])
def test_sampling_weights_are_those_of_weighted_means(estimand, one_network):
    """Normalised weighted means by hand, and what a row moves them by."""
    frame = arms_frame()
    frame["w"] = np.exp(0.5 * frame["c"])
    labels = np.where(frame["b"] > 0.8, "high", "low")
    groups = labels if estimand == "gate" else None
    data = data_of(frame, weights="w", weight_kind="sampling")
    fit = ck.TransTEE(**BRIEF).fit(data)
    one_network(fit)
    found = fit.estimate(estimand, groups=groups, propensity=KnownChance())
    chance = np.clip(KnownChance().predict_proba(frame[COLUMNS].to_numpy()), 0.01, 1.0)
    mu = np.column_stack([np.asarray(fit.predict(data, treatment=k)) for k in (0, 1)])
    y, t, w = (frame[name].to_numpy(dtype=float) for name in ("y", "t", "w"))
    n = t.size
    if estimand != "gate":
        own, other = (1, 0) if estimand == "att" else (0, 1)
        sign = 1.0 if estimand == "att" else -1.0

        def among(share):
            ratio = chance[:, own] / chance[:, other]
            return sign * effect_among(y, t == own, t == other, mu[:, other], ratio, share)

        assert found.estimate == pytest.approx(among(w), rel=1e-5)
        variance = n / (n - 1) * (left_out(among, w, np.arange(n)) ** 2).sum()
        assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-5)
        return
    for place, rows in enumerate([labels == "high", labels == "low"]):
        mine = {"mu": mu[rows], "propensity": chance[rows], "weight": w[rows]}
        each, leverage = arm_means(y[rows], t[rows].astype(int), **mine)
        score = each[:, 1] - each[:, 0]
        mean = np.average(score, weights=w[rows])
        assert found.estimates[place] == pytest.approx(mean, rel=1e-5)
        told = score - mean + leverage[:, 1] - leverage[:, 0]
        own = rows.sum() * w[rows] * told / w[rows].sum()
        variance = (own**2).sum() / rows.sum() / (rows.sum() - 1)
        assert found.std_errors[place] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_sampling_weights_of_two_for_all_change_nothing(one_network):
    frame = arms_frame()
    found = []
    for weight in (1.0, 2.0):
        data = data_of(frame.assign(w=weight), weights="w", weight_kind="sampling")
        if not found:
            fit = ck.TransTEE(**BRIEF).fit(data)
            one_network(fit)
        fit._data, fit._digest = data, data.digest()
        found.append(fit.estimate(propensity=KnownChance()))
    assert found[0].n == found[1].n == 240
    np.testing.assert_allclose(found[0].vcov, found[1].vcov, rtol=1e-10)


def test_an_average_of_arms_counts_rows_by_their_weights(one_network):
    frame = arms_frame()
    fit = ck.TransTEE(**BRIEF).fit(data_of(frame))
    one_network(fit)
    plain = fit.estimate(propensity=KnownChance())
    # Rows with a large c, and so with a large effect, count nine times as much.
    heavy = data_of(
        frame.assign(w=np.where(frame["c"] > 0, 9.0, 1.0)), weights="w", weight_kind="sampling"
    )
    fit._data, fit._digest = heavy, heavy.digest()
    assert fit.estimate(propensity=KnownChance()).estimate > plain.estimate + 0.3


def test_little_overlap_of_arms_is_warned_of_with_the_share_of_observations(one_network):
    frame = arms_frame()
    small = KnownChance(slope=6.0).predict_proba(frame[COLUMNS].to_numpy())
    rare = small[np.arange(240), frame["t"]] < 0.01
    weighted, _ = pair(frame)
    share = np.average(rare, weights=weighted.weights())
    fit = ck.TransTEE(**BRIEF).fit(weighted)
    one_network(fit)
    with pytest.warns(
        OverlapWarning, match=rf"\[E19-overlap\] {share:.1%} of the rows received an"
    ):
        found = fit.estimate(propensity=KnownChance(slope=6.0))
    assert any("E19-overlap" in words for words in found.warnings)
    assert share != pytest.approx(rare.mean(), abs=1e-3)


def test_a_dose_that_nobody_like_that_gets_is_warned_of(one_network):
    frame = dosed(arms_frame()).assign(w=1.0)
    # By its small weight the row says little of how common such doses are.
    frame.loc[0, ["t", "w"]] = [20.0, 1e-3]
    data = data_of(frame, weights="w", weight_kind="sampling")
    fit = ck.TransTEE(**BRIEF).fit(data)
    one_network(fit)
    with pytest.warns(OverlapWarning, match=r"\[E19-overlap\] 0.4% of the rows received a dose"):
        fit.estimate(propensity=KnownMean())


@pytest.mark.parametrize("kind", ["frequency", "sampling"])
def test_fit_and_balance_with_counts_are_those_of_the_rows_repeated(kind, monkeypatch):
    counts = np.random.default_rng(7).integers(1, 4, 240)
    data = data_of(arms_frame().assign(n=counts), weights="n", weight_kind=kind)
    model = ck.TransTEE(**BRIEF).fit(data).model_
    coded = code_data(model.coding, data)
    plain = replace(coded, weight=None, weight_kind=None)
    (stack,) = model.stacks
    members = [
        replace(
            m, train=np.repeat(m.train, counts[m.train]), valid=np.repeat(m.valid, counts[m.valid])
        )
        for m in stack.members
    ]
    repeated = replace(model, stacks=(replace(stack, members=tuple(members)),))
    np.testing.assert_allclose(factual_r2(model, coded), factual_r2(repeated, plain), rtol=1e-5)
    if kind == "frequency":  # leaving one out leaves out one of the repeated, so of one penalty
        monkeypatch.setattr(diagnostics, "PENALTIES", np.ones(1))
        mine, theirs = treatment_left(model, coded), treatment_left(repeated, plain)
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
