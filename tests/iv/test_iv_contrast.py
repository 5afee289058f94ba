"""What an estimate compares: the levels of the treatment, by name."""

import warnings

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.data.levels import contrasts
from causalkit.errors import CausalKitWarning, IdentificationError


def data_of(treatment, kinds=None):
    frame = ck.generators.invalid_iv(0, n=3000).blind().frame
    frame = frame.assign(a=treatment(frame["a"]))
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates=["l1", "l2"], kinds=kinds
    )


def fitted(treatment, kinds=None):
    est = ck.InvalidIV(method="debiased", learners="linear", random_state=0)
    return est.fit(data_of(treatment, kinds)).estimate()


def test_text_is_compared_in_its_order_and_says_so():
    plain = fitted(lambda a: a)
    with pytest.warns(CausalKitWarning, match="If 'placebo' is the control, say so"):
        text = fitted(lambda a: np.where(a == 1, "drug", "placebo"))
    assert plain.contrast == ("1 vs 0",)
    assert text.contrast == ("placebo vs drug",)
    assert text.estimate == pytest.approx(-plain.estimate, rel=1e-9)
    assert "placebo vs drug" in text.summary()


def test_two_numbers_declared_binary_are_compared_like_zero_and_one():
    plain, coded = fitted(lambda a: a), fitted(lambda a: 1 + 2 * a, "binary")
    assert coded.contrast == ("3 vs 1",)
    assert (coded.estimate, coded.std_error) == (plain.estimate, plain.std_error)


@pytest.mark.parametrize(
    ("treatment", "told"),
    [
        (lambda a: pd.Categorical(np.where(a == 1, "b", "a"), categories=["b", "a"]), "a vs b"),
        (lambda a: a == 1, "1 vs 0"),
        (lambda a: 2.0 * a, "dY/dD"),
    ],
)
def test_categories_keep_their_order_and_numbers_their_unit(treatment, told):
    assert contrasts(data_of(treatment)) == (told,)


def test_no_average_effect_is_that_of_a_handful_of_rows():
    est = ck.InvalidIV(method="debiased", learners="linear", trim_delta_v=0.02, random_state=0)
    size = np.sort(np.abs(est.fit(data_of(lambda a: a)).fit_.fitted.hats.delta_v).ravel())[-3]
    few = est.set_params(trim_delta_v=float(size) - 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        found = few.fit(data_of(lambda a: a))
    assert found.estimate("variance-weighted").estimand == found.result_.estimand
    assert found.result_.n == 3000
    with pytest.raises(IdentificationError, match=r"below .* in all but 3 rows.*variance-weighted"):
        found.estimate("ate")


def test_a_small_sample_whose_rows_are_all_used_has_an_average_effect():
    rng = np.random.default_rng(0)
    z = np.tile([0, 1], 20)
    a = np.where(z == 1, rng.integers(0, 2, 40), np.arange(40) % 8 == 0).astype(int)
    frame = pd.DataFrame({"y": a + rng.normal(size=40), "a": a, "z": z})
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="a", instruments="z")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        found = ck.InvalidIV(method="parametric", random_state=0).fit(data)
    assert found.estimate("ate").n == 40
