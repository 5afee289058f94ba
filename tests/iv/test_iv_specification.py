"""Specification tests that cannot be made are left out with their reason; the others stay."""

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning, IdentificationError
from causalkit.inference.instruments import hansen_j

LINEAR = {"method": "debiased", "learners": "linear", "basis": None, "n_folds": 2}


def fit(data):
    return ck.InvalidIV(**LINEAR, random_state=0).fit(data)


def continuous(n=800):
    return ck.generators.invalid_iv(1, n=n, exposure="continuous").blind()


def same(left, right):
    assert (left.name, left.null, left.df) == (right.name, right.null, right.df)
    assert left.statistic == pytest.approx(right.statistic, rel=1e-9)


def few_clusters(n_clusters):
    """Thirteen moments for an effect linear in six covariates, seven for a constant one."""
    data = ck.generators.invalid_iv(2, n=1500, p=6).blind()
    return data.assign(g=np.arange(1500) % n_clusters).with_roles(cluster="g")


@pytest.mark.filterwarnings("ignore::causalkit.errors.FewClustersWarning")
def test_moments_of_few_clusters_are_left_out_with_the_reason():
    fitted = fit(few_clusters(10))
    words = "linear effect is left out: .* more independent clusters than moments"
    with pytest.warns(CausalKitWarning, match=words):
        (constant,) = fitted.specification()
    assert constant.null == "a constant effect fits at every covariate"
    assert len(fit(few_clusters(40)).specification()) == 2
    with pytest.raises(
        IdentificationError, match=r"no specification test can be made\. .*clusters"
    ):
        fit(few_clusters(5)).specification()


def test_hansen_j_refuses_a_variance_without_full_rank():
    rng = np.random.default_rng(0)
    z, d = rng.standard_normal((60, 4)), rng.standard_normal((60, 1))
    y = rng.standard_normal(60)
    for codes in (np.arange(60) % 3, np.arange(60) % 4):
        with pytest.raises(IdentificationError, match="more independent clusters than moments"):
            hansen_j(y, d, z, clusters=[codes])
    with pytest.raises(IdentificationError, match="moments that are not collinear"):
        hansen_j(y, d, np.column_stack([z, z[:, 0]]))


def test_a_covariate_with_a_missing_value_is_named_and_the_others_are_tested():
    data = continuous()
    frame = data.frame.copy()
    frame.loc[frame.index[::20], "l2"] = np.nan
    roles = {"outcome": "y", "treatment": "a", "instruments": "z", "covariates": ["l1", "l2"]}
    holed = ck.CausalData.from_frame(frame, **roles, missing="indicator")
    fitted = fit(holed)
    with pytest.warns(CausalKitWarning, match="leave out covariates missing in some rows: l2"):
        found = fitted.specification()
    assert [test.df for test in found] == [(1.0,), (1.0,), (1.0,)]


def test_a_constant_covariate_changes_no_test():
    plain = fit(continuous()).specification()
    more = continuous().assign(l3=1.0).with_roles(covariates=("l1", "l2", "l3"))
    fitted = fit(more)
    with pytest.warns(CausalKitWarning, match="leave out covariates constant: l3"):
        found = fitted.specification()
    assert len(found) == len(plain) == 3
    for left, right in zip(found, plain, strict=True):
        same(left, right)


def test_without_covariates_there_is_nothing_to_test():
    fitted = fit(continuous().with_roles(covariates=()))
    with pytest.raises(ArgumentError, match="nothing to test"):
        fitted.specification()
