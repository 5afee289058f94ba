"""Strength of identification beside the usual first stage, for instruments of any kind."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS
from sklearn.linear_model import LinearRegression

import causalkit as ck

PLAIN = {"method": "debiased", "learners": "linear", "basis": None, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def frame(seed, n=2000):
    """Two instruments that move the mean of the treatment, and of which one moves its spread."""
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, n))
    z1, z2 = 0.5 * x + rng.uniform(-1.0, 1.0, (2, n))
    a = z1 - 0.5 * z2 + x + np.exp(0.4 * z1) * rng.normal(size=n)
    return pd.DataFrame({"y": a + x + noise, "a": a, "x": x, "z1": z1, "z2": z2})


def fit(table, instruments, **arguments):
    data = ck.CausalData.from_frame(
        table, outcome="y", treatment="a", covariates="x", instruments=instruments
    )
    return ck.InvalidIV(**(PLAIN | arguments)).fit(data)


@pytest.mark.parametrize("instruments", [["z1"], ["z1", "z2"]])
def test_the_first_stage_is_the_joint_robust_f_of_all_residual_instruments(instruments):
    table = frame(0)
    found = fit(table, instruments, ssc="none")
    rows, folds = found.fit_.sample.rows, found.fit_.folds.fold_ids()[0]
    left = np.empty((len(table), 1 + len(instruments)))
    target, x = table[["a", *instruments]].to_numpy()[rows], table[["x"]].to_numpy()[rows]
    for fold in np.unique(folds):
        test = folds == fold
        learned = LinearRegression().fit(x[~test], target[~test])
        left[test] = target[test] - learned.predict(x[test])
    theirs = sm.OLS(left[:, 0], left[:, 1:]).fit(cov_type="HC0", use_t=True)
    ours = found.strength().mean_f.test
    assert ours.statistic == pytest.approx(float(theirs.fvalue), rel=1e-8)
    usual = IV2SLS.from_formula(f"y ~ 1 + x + [a ~ {' + '.join(instruments)}]", table).fit()
    whole = usual.first_stage.diagnostics["f.stat"]["a"] / len(instruments)
    assert ours.statistic == pytest.approx(whole, rel=0.05)


def test_the_summary_tells_of_the_same_first_stage():
    found = fit(frame(1), ["z1", "z2"])
    strong = found.strength()
    assert found.estimate().glance()["first_stage_f"].iloc[0] == strong.mean_f.test.statistic
    rows = strong.frame.set_index("figure")["value"]
    assert rows["F, mean of the treatment moves"] == strong.mean_f.test.statistic > 100.0


def test_an_instrument_that_others_determine_adds_nothing_to_the_first_stage():
    table = frame(2).assign(both=lambda row: row["z1"] + row["z2"])
    two, three = (fit(table, names).strength() for names in (["z1", "z2"], ["z1", "z2", "both"]))
    assert three.mean_f.test.statistic == pytest.approx(two.mean_f.test.statistic, rel=1e-6)


def test_the_mean_move_of_the_variance_is_twice_its_spread_given_the_covariates():
    # V = 3 + 1.8 Z with Z uniform on (-1, 1) given x: 2 sd(V | x) = 3.6/sqrt(3).
    rng = np.random.default_rng(3)
    x, noise = rng.normal(size=(2, 20_000))
    z = 0.5 * x + (drawn := rng.uniform(-1.0, 1.0, x.size))
    a = x + np.sqrt(3.0 + 1.8 * drawn) * rng.normal(size=x.size)
    table = pd.DataFrame({"y": a + noise, "a": a, "x": x, "z": z})
    mean, error = fit(table, "z").strength().average
    assert mean == pytest.approx(3.6 / np.sqrt(3.0), abs=3.0 * error)
    assert 0.0 < error < 0.2


@pytest.mark.parametrize("calibrate", [True, False])
def test_the_mean_move_of_the_variance_is_never_negative(calibrate):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        z, x = rng.normal(size=(2, 300))
        a = z + x + rng.normal(size=300)
        table = pd.DataFrame({"y": a + rng.normal(size=300), "a": a, "x": x, "z": z})
        for binary in (False, True):
            used = table.assign(z=(z > 0).astype(float)) if binary else table
            assert fit(used, "z", calibrate=calibrate).strength().average[0] >= 0.0
