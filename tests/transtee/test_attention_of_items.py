"""Attention and importance of several arms, and of items of another library than training had."""

import numpy as np
import pandas as pd
import pytest
from test_item_tables import MOLS, data_of, vectors
from test_own_modules import MeanStep, steps, visits
from transtee_designs import SMALL

import causalkit as ck

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def wider():
    """The items of training after one that was not there and so moves all others."""
    return pd.concat([pd.DataFrame({"mol": ["a0"], "f": [5.0], "g": [-5.0]}), vectors()])


@pytest.fixture(scope="module")
def data():
    return data_of(mol_vectors=vectors())


@pytest.fixture(scope="module")
def fitted(data):
    return ck.TransTEE(**SMALL).fit(data)


def test_attention_of_an_item_is_its_own_whatever_else_the_table_holds(fitted, data):
    more = data_of(mol_vectors=wider())
    for mol in MOLS:
        here, there = (fitted.attention(one, treatment=mol) for one in (data, more))
        np.testing.assert_allclose(here, there, atol=1e-6, err_msg=mol)
    new = fitted.attention(more, treatment="a0")
    assert np.abs(new - fitted.attention(data, treatment="m0")).max() > 1e-4


def test_importance_is_the_same_whatever_else_the_table_holds(fitted, data):
    found = [
        fitted.permutation_importance(one, treatment="m3", baseline="m1", n_repeats=2)
        for one in (data, data_of(mol_vectors=wider()))
    ]
    pd.testing.assert_frame_equal(*found, atol=1e-5)


def test_importance_for_several_arms_is_over_all_of_them():
    data = ck.generators.multi_arm(0, n=120, n_arms=3).blind()
    fit = ck.TransTEE(**SMALL).fit(data)
    every = fit.permutation_importance(data, n_repeats=2).set_index("covariate")
    one, two = (
        fit.permutation_importance(data, treatment=arm, n_repeats=2).set_index("covariate")
        for arm in (1, 2)
    )
    np.testing.assert_allclose(every["attention"], (one["attention"] + two["attention"]) / 2)
    np.testing.assert_allclose(every["loss_increase"], one["loss_increase"], atol=1e-6)
    # Two draws of one square each: the mean over draws of the root of the mean over arms.
    squares = fit.permutation_importance(data, n_repeats=1).set_index("covariate")["effect_change"]
    each = [
        fit.permutation_importance(data, treatment=arm, n_repeats=1).set_index("covariate")
        for arm in (1, 2)
    ]
    mean = (each[0]["effect_change"] ** 2 + each[1]["effect_change"] ** 2) / 2
    np.testing.assert_allclose(squares, np.sqrt(mean), rtol=1e-5)


def test_importance_needs_no_tokens_of_its_own():
    data = visits(steps())
    fit = ck.TransTEE(**SMALL, covariate_encoder=MeanStep()).fit(data)
    found = fit.permutation_importance(data, n_repeats=1)
    assert found["attention"].isna().all()
    assert found["loss_increase"].notna().all()
