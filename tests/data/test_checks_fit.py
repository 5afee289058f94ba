"""Checks that estimators call, images against rows, and what an estimator requires."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import causalkit as ck
from causalkit.data import CausalData, Requires
from causalkit.data.checks_fit import overlap, single_arm_fold, unit_in_clusters
from causalkit.errors import ArgumentTypeError, CausalKitWarning, DataError
from causalkit.inference.variance import warn_if_few


def people(n=6):
    """A row a person, in an order that is not that of the images."""
    return pd.DataFrame(
        {
            "y": np.arange(n) ** 1.5,
            "d": np.arange(n) % 2,
            "x": np.cos(np.arange(n)),
            "key": [f"k{i}" for i in reversed(range(n))],
        }
    )


def images(n=6):
    """An image for each key, filled with the number of the key."""
    values = np.ones((n, 1, 2, 5)) * np.arange(n)[:, None, None, None]
    return xr.Dataset(
        {"tile": (("obs", "band", "y", "x"), values)}, coords={"obs": [f"k{i}" for i in range(n)]}
    )


def with_images(frame, arrays, **more):
    """Data whose unit is the key of the images."""
    return CausalData.from_frame(
        frame, outcome="y", treatment="d", unit="key", image="tile", arrays=arrays, **more
    )


def test_e11_counts_the_rows_of_the_only_arm():
    assert single_arm_fold(np.array([0.0, 1.0, 1.0]), fold=2) is None
    message = single_arm_fold(np.ones(7), fold=2)
    assert message.startswith("[E11-single-arm-fold]")
    assert "fold 2" in message
    assert "7 rows with 1" in message
    assert "stratified by the treatment of the unit" in message


def test_e13_units_within_clusters_pass_and_torn_units_are_counted():
    unit = np.array([0, 0, 1, 1, 2])
    assert unit_in_clusters(unit, np.array([0, 0, 1, 1, 0])) is None
    problem = unit_in_clusters(unit, np.array([0, 1, 1, 0, 0]), labels=["ann", "bo", "cy"])
    assert problem.code == "E13-unit-split-across-clusters"
    assert problem.rows == (0, 1)
    assert "2 units lie in several clusters" in problem.message
    assert "'ann' in 2" in problem.message


def test_e14_images_follow_the_keys_of_the_rows_whatever_their_order():
    data = with_images(people(), images())
    shown = data.arrays["tile"].values[:, 0, 0, 0]
    assert shown.tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def test_e14_a_panel_repeats_the_image_of_a_unit():
    frame = pd.concat([people().assign(t=1), people().assign(t=2, y=1.0)], ignore_index=True)
    data = with_images(frame, images(), time="t")
    assert data.arrays["tile"].values[:, 0, 0, 0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0] * 2


def test_e14_counts_keys_without_a_partner_both_ways():
    arrays = images().isel(obs=slice(1, 6)).assign_coords(obs=["k1", "k2", "k3", "new", "newer"])
    with pytest.raises(DataError) as caught:
        with_images(people(), arrays)
    assert caught.value.code == "E14-image-key-mismatch"
    assert caught.value.rows == (0, 1, 5)
    message = str(caught.value)
    assert "3 values of 'key' have no entry in the arrays (first: 'k5', 'k4', 'k0')" in message
    assert "2 entries have no row (first: 'new', 'newer')" in message


def test_e14_without_a_unit_the_key_is_the_row_number():
    roles = {"outcome": "y", "treatment": "d", "image": "tile"}
    numbered = images().assign_coords(obs=[5, 4, 3, 2, 1, 0])
    data = CausalData.from_frame(people(), **roles, arrays=numbered)
    assert data.arrays["tile"].values[:, 0, 0, 0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    with pytest.raises(
        DataError, match=r"6 row numbers have no entry in the arrays \(first: 0, 1, 2\).*drop_vars"
    ):
        CausalData.from_frame(people(), **roles, arrays=images())
    CausalData.from_frame(people(), **roles, arrays=images().drop_vars("obs"))


def test_e14_keys_of_images_are_not_repeated():
    arrays = images().assign_coords(obs=["k0", "k0", "k2", "k3", "k4", "k5"])
    with pytest.raises(DataError, match=r"E14.*repeats keys \(\['k0'\]\).*its own key"):
        with_images(people(), arrays)


def test_e14_without_keys_the_entries_follow_the_rows():
    bare = images().drop_vars("obs")
    data = with_images(people(), bare)
    assert data.arrays["tile"].values[:, 0, 0, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    with pytest.raises(DataError, match=r"E14.*5 entries along 'obs' for 6 rows"):
        with_images(people(), bare.isel(obs=slice(5)))


def test_images_follow_the_rows_that_are_left():
    frame = people()
    frame.loc[1, "y"] = np.nan
    data = with_images(frame, images(), missing="drop")
    assert data.arrays["tile"].values[:, 0, 0, 0].tolist() == [5.0, 3.0, 2.0, 1.0, 0.0]
    assert data.subset([4, 0]).arrays["tile"].values[:, 0, 0, 0].tolist() == [0.0, 5.0]


def test_e15_too_many_pixels_that_are_not_finite():
    arrays = images()
    arrays["tile"].values[0, 0, 0, :3] = np.nan
    arrays["tile"].values[1, 0, 0, 0] = np.inf
    # 4 of 6 · 2 · 5 = 60 values.
    with pytest.raises(DataError, match=r"E15.*6\.7% of the values of 'tile'.*at most 5%"):
        with_images(people(), arrays)
    data = with_images(people(), arrays, max_nan_pixels=0.07)
    assert int((~data.arrays["tile_mask"]).sum()) == 4


def test_e15_finite_images_get_no_mask():
    assert list(with_images(people(), images()).arrays.data_vars) == ["tile"]


def test_e01_an_image_that_the_arrays_lack():
    with pytest.raises(DataError, match=r"E01.*no variable 'tile' with dimension 'obs'. Known: a"):
        with_images(people(), images().rename(tile="a"))
    with pytest.raises(DataError, match=r"E01.*'tile' is named as image.*pass arrays="):
        with_images(people(), None)


def test_e18_few_clusters_name_their_number_and_what_to_do():
    with pytest.warns(match=r"E18-few-clusters.*only 12 clusters.*finer"):
        warn_if_few([np.arange(12)])
    warn_if_few([np.arange(50)])


def test_e19_the_share_beyond_the_bounds_is_reported_and_nothing_is_clipped():
    propensity = np.array([0.005, 0.01, 0.5, 0.99, 0.995])
    message = overlap(propensity, 0.01)
    assert message.startswith("[E19-overlap] 40.0% of propensities (2 rows)")
    assert "[0.01, 0.99]" in message
    assert "Trim these rows" in message
    assert overlap(propensity[1:4], 0.01) is None
    assert propensity.tolist() == [0.005, 0.01, 0.5, 0.99, 0.995]


class NeedsMuch:
    """Estimator by declaration only."""

    requires = Requires(
        roles=("unit", "instruments"),
        treatment_kinds=("binary",),
        weight_kinds=("sampling",),
        max_outcomes=1,
        max_treatments=1,
    )


def test_require_collects_everything_that_an_estimator_lacks():
    frame = people(8).assign(z=np.sin(np.arange(8.0)), w=1.0)
    data = CausalData.from_frame(
        frame,
        outcome=["y", "x"],
        treatment=["d", "z"],
        weights="w",
        weight_kind="precision",
    )
    with pytest.raises(DataError) as caught:
        data.require(NeedsMuch.requires, by="NeedsMuch")
    messages = [problem.message for problem in caught.value.problems]
    assert [problem.code[:3] for problem in caught.value.problems] == [
        *("E01", "E01", "E24", "E02", "E02", "E16")
    ]
    assert "NeedsMuch needs the role 'unit'" in messages[0]
    assert 'CausalData.from_frame(..., unit="...")' in messages[0]
    assert "'instruments'" in messages[1]
    assert "a treatment that is binary; 'z' is continuous" in messages[2]
    assert "takes 1 outcome, got 2: y, x" in messages[3]
    assert "takes 1 treatment, got 2: d, z" in messages[4]
    assert "does not honour precision weights (only sampling)" in messages[5]


def test_require_refuses_missing_covariates_unless_a_policy_asked_to_keep_them():
    frame = people()
    frame.loc[[2, 4], "x"] = np.nan
    roles = {"outcome": "y", "treatment": "d", "covariates": "x"}
    asked = CausalData.from_frame(frame, **roles, missing="native")
    asked.require(Requires(), by="Est")
    # A changed policy is not checked again, so only an estimator sees these holes.
    unasked = replace(asked, missing="raise")
    with pytest.raises(DataError, match=r"E07.*'x' is missing in 2 rows \(first: 2\) and Est"):
        unasked.require(Requires(), by="Est")
    unasked.require(Requires(allows_nan=True), by="Est")


def test_validate_takes_an_estimator_or_its_class_and_nothing_else():
    data = CausalData.from_frame(people(), outcome="y", treatment="d")
    data.validate()
    for given in (NeedsMuch, NeedsMuch()):
        with pytest.raises(DataError, match="NeedsMuch needs the role 'unit'"):
            data.validate(for_=given)
    with pytest.raises(ArgumentTypeError, match="dict does not say what it requires"):
        data.validate(for_={})


def noted(n=160):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((n, 3)), columns=["y", "d", "x"])
    frame["note"] = [f"text {k}" for k in range(n)]
    frame["unit"], frame["year"] = np.arange(n) // 4, np.arange(n) % 4
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates="x", text="note", unit="unit", time="year"
    )


@pytest.mark.parametrize(
    "estimator",
    [
        ck.TransTEE(d_model=8, max_epochs=1, n_ensemble=1),
        ck.PanelDML(learner="linear", n_folds=2),
    ],
)
def test_texts_that_an_estimator_does_not_read_are_named(estimator):
    data = noted()
    with pytest.warns(CausalKitWarning, match=r"does not read text 'note'.*embed_texts"):
        estimator.fit(data)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not read")
        estimator.fit(data.with_roles(text=None))


def test_instruments_that_an_estimator_does_not_read_are_named():
    data = ck.generators.invalid_iv(0, n=100).blind()
    told = r"does not read instruments .*InvalidIV and PanelDML\(model='iv'\) read them"
    with pytest.warns(CausalKitWarning, match=told):
        data.require(ck.TransTEE.requires, by="TransTEE")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not read")
        data.require(ck.InvalidIV.requires, by="InvalidIV")


def test_blocks_that_an_estimator_does_not_read_are_named():
    data = ck.generators.invalid_iv(0, n=100).blind()
    blocks = data.assign(block=np.arange(100) % 4).with_roles(strata="block")
    with pytest.warns(CausalKitWarning, match=r"does not read strata 'block'.*the covariates"):
        blocks.require(ck.InvalidIV.requires, by="InvalidIV")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not read strata")
        for reads in (ck.ImageEffectClusters, ck.EmbeddingEffectClusters, ck.ImageCausalForest):
            blocks.with_roles(instruments=None).require(replace(reads.requires, roles=()), by="")


def test_arrays_that_no_role_names_are_refused():
    values = xr.DataArray(np.zeros((4, 3, 2)), dims=("obs", "step", "feature"))
    frame = pd.DataFrame({"y": np.arange(4.0), "t": [0, 1, 0, 1], "x": [1.0, 5.0, 2.0, 2.0]})
    how = {"outcome": "y", "treatment": "t", "covariates": "x", "arrays": {"visits": values}}
    with pytest.raises(DataError, match=r"nothing reads the arrays 'visits'.*sequence='visits'"):
        ck.CausalData.from_frame(frame, **how)
    assert ck.CausalData.from_frame(frame, **how, sequence="visits").roles.sequence


def test_texts_beside_a_sequence_that_is_read_are_told_by_it():
    data = ck.generators.text_concept(0, n=60).blind()
    assert data.roles.text
    assert data.roles.sequence
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not read")
        data.require(ck.TransTEE.requires, by="TransTEE")
    with pytest.warns(CausalKitWarning, match="does not read (text|sequence)"):
        data.require(replace(ck.TransTEE.requires, reads=()), by="NoReader")
