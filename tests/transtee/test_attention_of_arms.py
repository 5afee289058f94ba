"""Attention under several actions, and under those that nobody named."""

import numpy as np
import pytest

from causalkit.errors import ArgumentError


@pytest.mark.parametrize("which", ["cross", "encoder", "rollout"])
def test_attention_is_under_every_arm_by_default(arms, arms_fit, which):
    found = arms_fit.attention(arms, which=which)
    assert found.dims[:2] == ("obs", "treatment")
    assert found["treatment"].values.tolist() == [0, 1]
    np.testing.assert_allclose(found.sum("covariate"), 1.0, atol=1e-5)
    for arm in (0, 1):
        alone = arms_fit.attention(arms, treatment=arm, which=which)
        assert found.sel(treatment=arm).drop_vars("treatment").equals(alone)


def test_attention_of_a_list_keeps_heads(arms, arms_fit):
    found = arms_fit.attention(arms, treatment=[1], average=())
    assert found.dims == ("obs", "treatment", "head", "covariate")


def test_a_dose_must_be_named_for_attention(doses, dose_fit):
    with pytest.raises(ArgumentError, match="treatment is continuous: say under which action"):
        dose_fit.attention(doses)
    assert dose_fit.attention(doses, treatment=0.5).dims == ("obs", "covariate")
