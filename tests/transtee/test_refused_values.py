"""Values that networks cannot take: refused with the row, never filled in."""

import numpy as np
import pytest
import xarray as xr
from sklearn.impute import SimpleImputer
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.errors import ArgumentError, DataError

SHORT = SMALL | {"max_epochs": 1}


@pytest.mark.parametrize(
    ("family", "value", "said"),
    [
        ("bernoulli", 1.2, r"between 0 and 1, and 1 rows have others \(first: row 7 with 1.2\)"),
        ("bernoulli", -0.1, "between 0 and 1"),
        ("poisson", -3.0, r"of at least 0, and 1 rows have others \(first: row 7 with -3\)"),
    ],
)
def test_outcomes_that_a_family_cannot_have(family, value, said):
    frame = arms_frame().assign(y=np.arange(240) % 2)
    good = arms_data().assign(y=frame["y"].to_numpy())
    assert ck.TransTEE(**SHORT, outcome=family).fit(good).effect(good).sizes["obs"] == 240
    bad = good.assign(y=frame["y"].astype(float).where(frame.index != 7, value).to_numpy())
    with pytest.raises(ArgumentError, match=said):
        ck.TransTEE(**SHORT, outcome=family).fit(bad)


def visits(place=None, value=None, **more):
    steps = np.random.default_rng(0).standard_normal((240, 4, 2))
    steps[3, 2:] = np.nan
    if place is not None:
        steps[place] = value
    arrays = xr.Dataset({"visits": (("obs", "step", "feature"), steps)} | more)
    return arms_data(sequence="visits", arrays=arrays)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, r"feature 1 of sequence 'visits' is missing in 1 steps \(first: row 5, step 2\)"),
        (np.inf, r"feature 1 of sequence 'visits' is infinite in 1 steps \(first: row 5, step 2\)"),
    ],
)
def test_steps_that_are_there_in_part(value, said):
    fit = ck.TransTEE(**SHORT).fit(visits())
    bad = visits((5, 2, 1), value)
    with pytest.raises(DataError, match=said):
        ck.TransTEE(**SHORT).fit(bad)
    with pytest.raises(DataError, match=said):
        fit.effect(bad)


def test_what_a_mask_hides_may_be_anything():
    mask = np.ones((240, 4), dtype=bool)
    mask[5, 2] = False
    hidden = visits((5, 2, 1), np.inf, visits_mask=(("obs", "step"), mask))
    assert ck.TransTEE(**SHORT).fit(hidden).effect(hidden).notnull()["effect"].all()


@pytest.mark.parametrize("policy", ["indicator", SimpleImputer()])
def test_values_that_are_to_be_filled_in(policy):
    frame = arms_frame()
    frame.loc[11, "b"] = np.nan
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], missing=policy
    )
    said = r"'b' is missing in row 11, and missing=.*is not what networks can do.*\"native\""
    with pytest.raises(DataError, match=said):
        ck.TransTEE(**SHORT).fit(data)


def test_modifiers_are_covariates_of_the_network():
    rng = np.random.default_rng(0)
    frame = arms_frame().assign(z=rng.standard_normal(240))
    frame["y"] = frame["t"] * frame["z"]
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b"], modifiers=["z", "a"]
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data)
    assert fit.feature_names_in_.tolist() == ["a", "b", "z"]
    assert np.corrcoef(fit.effect(data)["effect"], frame["z"])[0, 1] > 0.7
    plain = data.with_roles(modifiers=())
    with pytest.raises(DataError, match=r"trained on a, b, z, and these data lack z"):
        fit.effect(plain)
