"""Propensities of arms: small ones, rare arms, and arms that a learner excludes."""

import numpy as np
import pytest
from normalised_averages import effect_among
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from test_inference import FAST, linear_design

import causalkit as ck
from causalkit.errors import OverlapWarning
from causalkit.inference.solve import solve_linear
from causalkit.nuisance.crossfit import CrossFit
from causalkit.transtee import arm_averages
from causalkit.transtee.arm_averages import _score_among
from causalkit.transtee.propensities import clipped, least_chances


@pytest.fixture(scope="module")
def four():
    return ck.TransTEE(**FAST | {"max_epochs": 3}, random_state=0).fit(linear_design(2, levels=4))


def test_a_propensity_is_raised_to_a_hundredth_or_a_tenth_of_the_share_of_its_arm():
    arm = np.repeat([0, 1, 2], [990, 6, 4])
    np.testing.assert_allclose(least_chances(arm, 3, None), [0.01, 0.0006, 0.0004])
    weight = np.where(arm == 2, 4.0, 1.0)
    np.testing.assert_allclose(least_chances(arm, 3, weight)[2], 0.1 * 16 / 1012)
    chances = np.tile([0.9985, 0.001, 0.0005], (1000, 1))
    np.testing.assert_array_equal(clipped(chances, arm), chances)
    chances[arm == 1, 1] = [0.0001, 0.0007, 0.001, 0.001, 0.001, 0.001]
    with pytest.warns(OverlapWarning, match=r"0\.1% .*bound \(0\.0006\).*raised.*biased"):
        found = clipped(chances, arm)
    np.testing.assert_allclose(found[990:992, 1], [0.0006, 0.0007])
    chances[0, 0] = 0.002
    with pytest.warns(OverlapWarning, match=r"0\.2% .*\(0\.0006 to 0\.01 by arm\)"):
        clipped(chances, arm)


def test_arms_are_as_alike_when_both_are_rare():
    """Only the ratio counts among two arms, whatever share of all rows they have."""
    rng = np.random.default_rng(0)
    y, arm, mu = rng.standard_normal(300), rng.integers(0, 3, 300), rng.standard_normal((300, 3))
    e = rng.uniform(0.2, 0.8, 300)
    chances = np.column_stack([0.004 * (1.0 - e), 0.004 * e, np.full(300, 0.996)])
    pair = arm < 2
    for target in ("att", "atc"):
        how = {"mu": mu, "target": target, "names": range(3)}
        found, _ = _score_among(y, arm, (1, 0), chances=chances, **how)
        common = np.column_stack([1.0 - e, e, np.zeros(300)])
        peer, _ = _score_among(y, arm, (1, 0), chances=common, **how)
        np.testing.assert_allclose(found.response, peer.response, rtol=1e-9)
        assert not found.response[~pair].any()


@pytest.mark.filterwarnings("ignore:.*once weighted by inverse")
@pytest.mark.parametrize("target", ["att", "atc"])
def test_the_ratio_of_two_arms_is_kept_away_from_zero(target):
    rng = np.random.default_rng(1)
    y, arm, mu = rng.standard_normal(200), np.arange(200) % 2, rng.standard_normal((200, 2))
    e = np.where(np.arange(200) < 4, [0.0, 1.0] * 100, 0.5)
    e[:2] = [1.0, 0.0]  # what rows 0 and 1 received is excluded
    both = np.column_stack([1.0 - e, e])
    bounded = np.clip(both, 0.01, 1.0)
    how = {"mu": mu, "target": target, "names": range(2)}
    with pytest.warns(OverlapWarning, match=r"1\.0% of the rows"):
        score, _ = _score_among(y, arm, (1, 0), chances=both, **how)
    own, other, sign = (1, 0, 1.0) if target == "att" else (0, 1, -1.0)
    ratio = bounded[:, own] / bounded[:, other]
    peer = sign * effect_among(y, arm == own, arm == other, mu[:, other], ratio, np.ones(200))
    assert solve_linear(score)[0].theta[0] == pytest.approx(peer, rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*once weighted by inverse")
@pytest.mark.parametrize("estimand", ["ate", "gate", "calibration"])
def test_averages_divide_by_no_less_than_the_bound(four, monkeypatch, estimand):
    arm = four._data.column("treatment").astype(int)
    chances = np.full((arm.size, 4), 0.25)
    chances[np.arange(20), arm[:20]] = 1e-5
    groups = np.resize(["x", "y"], arm.size) if estimand == "gate" else None
    ask = {"estimand": estimand, "groups": groups, "propensity": LogisticRegression()}
    monkeypatch.setattr(arm_averages, "arm_chances", lambda *_: (chances, {}))
    with pytest.warns(OverlapWarning, match=r"4\.0% of the rows"):
        found = four.estimate(**ask)
    monkeypatch.setattr(arm_averages, "arm_chances", lambda *_: (np.maximum(chances, 0.01), {}))
    peer = four.estimate(**ask)
    np.testing.assert_array_equal(found.estimates, peer.estimates)
    np.testing.assert_array_equal(found.vcov, peer.vcov)
    assert found.diagnostics["range of propensities"] == (1e-5, 0.25)


@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_an_arm_whose_average_few_rows_carry_is_named(four, monkeypatch, estimand):
    arm = four._data.column("treatment").astype(int)
    chances = np.full((arm.size, 4), 0.25)
    chances[arm == 0, 0] = 0.9
    chances[np.flatnonzero(arm == 0)[:2], 0] = 0.01
    monkeypatch.setattr(arm_averages, "arm_chances", lambda *_: (chances, {}))
    rows = (arm == 0).sum()
    with pytest.warns(OverlapWarning, match=rf"the {rows} rows of arm 0 count for .*='linear'"):
        found = four.estimate(estimand, propensity=LogisticRegression())
    monkeypatch.setattr(arm_averages, "arm_chances", lambda *_: (np.full((arm.size, 4), 0.25), {}))
    plain = four.estimate(estimand, propensity=LogisticRegression())
    assert sum("once weighted" in told for told in found.warnings) >= 1
    assert not any("once weighted" in told for told in plain.warnings)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("estimand", ["ate", "att", "atc"])
def test_a_tree_that_excludes_every_arm_gives_numbers(four, estimand):
    """One-vs-rest trees give 0 to all four arms of some rows: no propensity can be made of that."""
    found = four.estimate(estimand, propensity=DecisionTreeClassifier(random_state=0))
    assert np.isfinite(found.estimates).all()
    table = four.overlap(propensity=DecisionTreeClassifier(random_state=0))
    assert np.isfinite(table.to_numpy(dtype=float)).all()
    assert any("E19-overlap" in told for told in found.warnings)


def test_where_every_arm_is_excluded_the_shares_of_the_arms_stand_in(monkeypatch):
    """What a learner leaves undecided is as likely as among everybody."""
    from causalkit.transtee import propensities

    class Nothing:
        def __init__(self, **_):
            pass

        def run(self, nuisances, _):
            zeros = {one.name: np.zeros((8, 1)) for one in nuisances}
            return CrossFit(zeros, dict.fromkeys(zeros, "nothing"))

    class Bunch:
        def __init__(self, **given):
            self.__dict__.update(given)

    arm = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    monkeypatch.setattr(propensities, "Fitter", Nothing)
    monkeypatch.setattr(propensities, "flat_features", lambda *_: np.zeros((8, 1)))
    shape = Bunch(shape=Bunch(levels=()))
    found, _ = propensities.arm_chances(
        Bunch(actions=Bunch(arms="abc", labels="abc"), covariates=shape),
        Bunch(actions=Bunch(arms=arm[:, None]), covariates=None, weight=None, weight_kind=None),
        Bunch(seed=0),
        None,
        "linear",
    )
    np.testing.assert_allclose(found, np.tile([0.5, 0.25, 0.25], (8, 1)))
