"""Linear companions, the Mundlak test and compare(), against linearmodels and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS
from linearmodels.panel import FirstDifferenceOLS, PanelOLS, PooledOLS

import causalkit as ck
from causalkit.errors import IdentificationError

COVARIATES = ["x1", "x2"]


def table(*, balanced=True, seed=0):
    rng = np.random.default_rng(seed)
    n_units, n_periods = 120, 5
    unit = np.repeat(np.arange(n_units), n_periods)
    time = np.tile(np.arange(n_periods), n_units)
    level = rng.standard_normal(n_units)[unit]
    x1, x2 = level + rng.standard_normal((2, unit.size))
    z = level + rng.standard_normal((2, unit.size))
    d = x1 + level + z.sum(axis=0) + rng.standard_normal(unit.size) + 0.3 * time
    y = d + x1 - x2 + level + rng.standard_normal(unit.size) * (1 + (d > 0)) + np.sqrt(time)
    frame = pd.DataFrame(
        {"y": y, "d": d, "x1": x1, "x2": x2, "z1": z[0], "z2": z[1], "unit": unit, "time": time}
    )
    frame["firm"] = frame["unit"] // 3
    if not balanced:
        frame = frame.loc[rng.random(len(frame)) > 0.2]
        frame = frame.groupby("unit").filter(lambda rows: len(rows) > 1)
    return frame.reset_index(drop=True)


def compared(frame, *, roles=None, **arguments):
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=COVARIATES,
        unit="unit",
        time="time",
        **(roles or {}),
    )
    fitted = ck.PanelDML(learner="linear", random_state=0, ssc="none", **arguments).fit(data)
    return fitted.compare()


def by_name(shown):
    return dict(zip(shown.names, shown.results, strict=True))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("time_effects", [None, "dummies"])
def test_linear_companions_equal_linearmodels(balanced, time_effects):
    frame = table(balanced=balanced)
    found = by_name(compared(frame, time_effects=time_effects))
    indexed = frame.set_index(["unit", "time"])
    regressors = indexed[["d", *COVARIATES]]
    dummies = pd.get_dummies(indexed.index.get_level_values(1), drop_first=True, dtype=float)
    dummies.index = indexed.index
    with_time = regressors if time_effects is None else pd.concat([regressors, dummies], axis=1)
    how = {
        "cov_type": "clustered",
        "cluster_entity": True,
        "debiased": False,
        "group_debias": False,
    }
    peers = {
        "pooled OLS": PooledOLS(indexed["y"], sm.add_constant(with_time)).fit(**how),
        "fixed effects": PanelOLS(
            indexed["y"], regressors, entity_effects=True, time_effects=time_effects is not None
        ).fit(auto_df=False, count_effects=False, **how),
    }
    for name, peer in peers.items():
        assert found[name].estimate == pytest.approx(peer.params["d"], rel=1e-9)
        assert found[name].std_error == pytest.approx(peer.std_errors["d"], rel=1e-9)
    assert found["Mundlak OLS"].estimate == pytest.approx(found["fixed effects"].estimate, rel=1e-9)


def test_first_differences_equal_linearmodels_and_count_their_own_rows():
    frame = table()
    indexed = frame.set_index(["unit", "time"])
    # linearmodels takes no constant here; a trend's difference is one.
    regressors = indexed[["d", *COVARIATES]].assign(trend=frame["time"].to_numpy(dtype=float))
    peer = FirstDifferenceOLS(indexed["y"], regressors).fit(
        cov_type="clustered", cluster_entity=True, debiased=False, group_debias=False
    )
    found = by_name(compared(frame))["first differences"]
    assert found.estimate == pytest.approx(peer.params["d"], rel=1e-9)
    assert found.std_error == pytest.approx(peer.std_errors["d"], rel=1e-9)
    assert found.n == peer.nobs == 480
    assert found.dropped == {"no adjacent earlier period": 120}


def test_differences_are_never_taken_across_a_gap():
    frame = table()
    gappy = frame[frame["time"] != 2].reset_index(drop=True)
    gappy["time"] = gappy["time"].astype(int)
    data = ck.CausalData.from_frame(
        gappy, outcome="y", treatment="d", covariates=COVARIATES, unit="unit", time="time", freq=1
    )
    estimator = ck.PanelDML(approach="fd", mundlak_terms="means", learner="linear", n_folds=1)
    with pytest.warns(ck.errors.DroppedRowsWarning, match="120 gaps"):
        result = estimator.fit(data).estimate()
    wide = gappy.set_index(["unit", "time"])[["y", "d", *COVARIATES]].unstack("time")
    parts = []
    for now, before in ((1, 0), (4, 3)):
        changes = {name: wide[name][now] - wide[name][before] for name in ("y", "d")}
        for name in COVARIATES:
            changes |= {f"{name}_now": wide[name][now], f"{name}_was": wide[name][before]}
        parts.append(pd.DataFrame(changes))
    stacked = pd.concat(parts)
    peer = sm.OLS(stacked["y"], sm.add_constant(stacked.drop(columns="y"))).fit()
    assert result.estimate == pytest.approx(peer.params["d"], rel=1e-9)
    assert result.n == len(stacked) == 240


def test_fixed_effects_2sls_companion_equals_linearmodels():
    frame = table(balanced=False)
    found = by_name(compared(frame, roles={"instruments": ["z1", "z2"]}, model="iv"))[
        "fixed effects 2SLS"
    ]
    columns = ["y", "d", "z1", "z2", *COVARIATES]
    within = frame[columns] - frame.groupby("unit")[columns].transform("mean")
    peer = IV2SLS(within["y"], within[COVARIATES], within["d"], within[["z1", "z2"]]).fit(
        cov_type="clustered", clusters=frame["unit"], debiased=False
    )
    assert found.estimate == pytest.approx(peer.params["d"], rel=1e-9)
    assert found.std_error == pytest.approx(peer.std_errors["d"], rel=1e-9)


@pytest.mark.parametrize("cluster", ["unit", "firm"])
def test_mundlak_test_is_the_clustered_wald_test_of_the_means(cluster):
    frame = table(balanced=False)
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=COVARIATES,
        unit="unit",
        time="time",
        cluster=None if cluster == "unit" else cluster,
    )
    test = ck.PanelDML(learner="linear", ssc="none", random_state=0).fit(data).mundlak_test()
    names = ["d", *COVARIATES]
    means = frame.groupby("unit")[names].transform("mean").add_suffix("_mean")
    design = sm.add_constant(pd.concat([frame[names], means], axis=1))
    peer = sm.OLS(frame["y"], design).fit(
        cov_type="cluster",
        cov_kwds={"groups": frame[cluster], "use_correction": False},
        use_t=False,
    )
    wald = peer.wald_test([f"{name}_mean = 0" for name in names], use_f=False, scalar=True)
    assert test.statistic == pytest.approx(float(wald.statistic), rel=1e-8)
    assert test.p_value == pytest.approx(float(wald.pvalue), rel=1e-6)


def test_compare_shows_every_approach_once_with_the_fit_itself():
    frame = table()
    shown = compared(frame)
    names = list(shown.names)
    linear = ["OLS, d only", "pooled OLS", "FE, d only", "fixed effects", "first differences"]
    assert names[:6] == [*linear, "Mundlak OLS"]
    # Unit dummies cannot be predicted for held-out units; the notes say so.
    assert len(names) == len(set(names)) == 16
    assert any("DML dummies not available" in note for note in shown.notes)


def test_compare_says_why_an_approach_is_missing():
    data = ck.CausalData.from_frame(
        table(), outcome="y", treatment="d", covariates=COVARIATES, unit="unit"
    )
    shown = ck.PanelDML(learner="linear", random_state=0).fit(data).compare()
    assert "DML differences" not in shown.names
    assert any("DML differences not available" in note and "time=" in note for note in shown.notes)


def test_compare_takes_a_dictionary_where_there_is_one():
    names = compared(table(), basis="spline").names
    assert {"DML CRE, basis", "DML CRE, means", "DML Chamberlain"} < set(names)


@pytest.mark.parametrize(
    "arguments",
    [
        {"approach": "hybrid"},
        {"approach": "cre", "mundlak_terms": "means+std"},
        {"approach": "chamberlain"},
        {"approach": "dummies", "split": "observation"},
    ],
)
@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
def test_compare_always_holds_the_fit_itself(arguments):
    data = ck.CausalData.from_frame(
        table(), outcome="y", treatment="d", covariates=COVARIATES, unit="unit", time="time"
    )
    fitted = ck.PanelDML(learner="ridge", random_state=0, **arguments).fit(data)
    assert fitted.estimate() in fitted.compare().results


def test_missing_covariates_cost_the_linear_rows_but_not_the_table():
    frame = table()
    frame.loc[3, "x1"] = np.nan
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=COVARIATES,
        unit="unit",
        time="time",
        missing="indicator",
    )
    fitted = ck.PanelDML(learner="ridge", random_state=0).fit(data)
    shown = fitted.compare()
    assert "DML CRE, basis" in shown.names
    assert any("pooled OLS not available: covariates are missing" in note for note in shown.notes)
    with pytest.raises(IdentificationError, match=r"missing in some rows.*missing='drop'"):
        fitted.mundlak_test()
