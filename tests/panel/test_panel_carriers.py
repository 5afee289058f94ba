"""A treatment that moves in few units: told where errors are too small, refused where none is."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import causalkit as ck
from causalkit.errors import IdentificationError, IdentificationWarning
from causalkit.panel.carriers import carriers

ROLES = {"outcome": "y", "treatment": "d", "covariates": "x", "unit": "unit", "time": "time"}


def frame(n_treated, seed=0, n_units=60):
    """Panel without an effect, in which some units are treated from the fourth period on."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(n_units), 6), np.tile(np.arange(6), n_units)
    x = rng.standard_normal(unit.size)
    y = x + rng.standard_normal(n_units)[unit] + rng.standard_normal(unit.size)
    d = ((unit < n_treated) & (time >= 3)).astype(int)
    return pd.DataFrame({"y": y, "d": d, "x": x, "unit": unit, "time": time})


def fit(table, *, roles=None, **arguments):
    data = ck.CausalData.from_frame(table, **(ROLES | (roles or {})))
    return ck.PanelDML(**({"learner": "ridge", "random_state": 0} | arguments)).fit(data)


def test_shares_of_four_equal_clusters_and_an_idle_one_make_four():
    found = carriers(np.array([1.0, -1.0, 1.0, -1.0, 0.0]), np.arange(5))
    assert (found.effective, found.largest, found.n_clusters) == (4.0, 0.25, 5)


@pytest.mark.parametrize("approach", ["cre", "within", "fd", "hybrid"])
def test_a_treatment_of_one_unit_is_refused(approach):
    with pytest.raises(IdentificationError) as caught:
        fit(frame(1), approach=approach)
    for word in ("'d'", "'unit'", "from 1 of 60", "near zero", "synthetic control"):
        assert word in str(caught.value)


@pytest.mark.filterwarnings("ignore::causalkit.errors.FewClustersWarning")
def test_the_one_treated_state_of_the_organ_donations_is_refused():
    data = ck.load_dataset("organ_donations")
    with pytest.raises(IdentificationError, match=r"'active_choice' comes from few .*'State'"):
        ck.PanelDML(time_effects="dummies", learner="lasso", random_state=0).fit(data)


def test_a_treatment_of_three_units_is_told_with_the_degrees_of_freedom_that_it_has():
    with pytest.warns(IdentificationWarning) as caught:
        found = fit(frame(3), approach="hybrid")
    words = "'d' comes from few clusters of 'unit': in effect from 3 of 60"
    assert words in str(caught[0].message)
    assert "t with 2 degrees of freedom in place of 59" in str(caught[0].message)
    assert any(words in told for told in found.result_.warnings)
    assert found.diagnostics_["carriers"]["d"].effective == pytest.approx(3.0, rel=0.02)


def test_errors_by_row_of_one_treated_unit_are_told_and_not_refused():
    with pytest.warns(IdentificationWarning, match="few units: .*errors by row do not show"):
        fit(frame(1), approach="hybrid", cov_type="robust")


def test_an_instrument_that_moves_in_few_units_is_told_whatever_moves_the_treatment():
    table = frame(4).rename(columns={"d": "z"})
    noise = np.random.default_rng(1).standard_normal(len(table))
    table["d"] = 3 * table["z"] + noise
    with pytest.warns(IdentificationWarning, match="in effect from 4.1 of 60"):
        fit(table, roles={"instruments": "z"}, model="iv", approach="hybrid")


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_two_way_clusters_are_counted_in_each_dimension():
    found = fit(frame(30), cov_type="two-way").diagnostics_["carriers"]
    assert found["d, by unit"].n_clusters == 60
    assert found["d, by time"].n_clusters == 6


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_two_way_errors_beside_periods_named_as_clusters_are_by_unit_too():
    table = frame(30).assign(noise=np.random.default_rng(1).standard_normal(360))
    table["y"] += table["noise"]
    plain = fit(table, cov_type="two-way").result_
    named = fit(table, roles={"cluster": "time"}, cov_type="two-way").result_
    assert "(time, 6 clusters; unit, 60 clusters)" in named.inference
    assert named.std_error == pytest.approx(plain.std_error, rel=1e-12)


@pytest.mark.parametrize("kind", ["frequency", "precision"])
def test_rows_that_stand_for_several_weigh_as_these_do(kind):
    once = frame(20).assign(w=1 + np.arange(360) // 6 % 3)
    times = once.loc[once.index.repeat(once["w"])]
    weighted = fit(
        once, roles={"weights": "w", "weight_kind": kind}, approach="within", learner="linear"
    )
    own = times["d"] - times.groupby("unit")["d"].transform("mean")
    by_hand = carriers(own.to_numpy(), times["unit"].to_numpy()).effective
    assert weighted.diagnostics_["carriers"]["d"].effective == pytest.approx(by_hand, rel=0.05)


@pytest.mark.parametrize("treated", [20, 30])
def test_treatments_of_many_units_are_not_told_of(treated):
    with warnings.catch_warnings():
        warnings.simplefilter("error", IdentificationWarning)
        fit(frame(treated), time_effects="dummies")


def test_unit_means_left_in_the_treatment_residual_are_told():
    # Without its own unit in training, nothing says that only one unit has a treatment mean.
    with pytest.warns(IdentificationWarning) as caught:
        fit(frame(1), cov_type="robust", time_effects="dummies")
    told = [str(warning.message) for warning in caught]
    assert any(re.search(r"explain (49|50)% of the variance of the d residual", t) for t in told)


@pytest.mark.parametrize("learner", ["linear", "ridge"])
def test_predictions_that_fail_in_one_unit_are_told_with_the_mend(learner):
    # A unit seen once: its number of rows and the means of its terms lie far from all others.
    table = frame(60).assign(d=lambda f: f["x"] + np.random.default_rng(2).standard_normal(len(f)))
    with pytest.warns(IdentificationWarning, match=r"predictions that are far off.*'lasso'"):
        fit(table[(table["unit"] > 0) | (table["time"] == 0)], learner=learner)


@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
@pytest.mark.parametrize(("treated", "least", "most"), [(2, 0.3, 0.5), (5, 0.1, 0.2), (12, 0, 0.1)])
def test_tests_reject_too_often_where_few_units_carry_and_not_with_their_degrees_of_freedom(
    treated, least, most
):
    ratios, freedom = [], []
    for seed in range(200):
        found = fit(frame(treated, seed), approach="within", learner="linear", n_folds=1)
        result = found.estimate()
        ratios.append(abs(result.estimate) / result.std_error)
        freedom.append(found.diagnostics_["carriers"]["d"].effective - 1.0)
    # Binomial bounds at a hundredth: 200 samples put a size of 5 % between 1.5 and 9.5 %.
    assert least <= np.mean(np.array(ratios) > stats.t.ppf(0.975, 59)) <= most
    assert np.mean(np.array(ratios) > stats.t.ppf(0.975, freedom)) <= 0.12
