"""Rows of a trial as arrays, and covariates and places that would spoil it."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit import CausalData
from causalkit.data.images import ImageStore
from causalkit.errors import (
    CausalKitWarning,
    DataError,
    IdentificationError,
    OverlapWarning,
    RandomizationWarning,
)
from causalkit.images.effect_map import evaluated
from causalkit.images.units import take_units

N = 60
T = np.arange(N) % 2


def trial(**columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=N), "t": T, "place": np.arange(N) // 2, **columns})
    places = np.arange(N // 2)
    images = xr.DataArray(
        rng.normal(size=(N // 2, 1, 2, 2)),
        dims=("place", "band", "y", "x"),
        coords={"place": places, "lon": ("place", places / 10), "lat": ("place", places / 10)},
        name="image",
    )
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=list(columns),
        image="image",
        image_key="place",
        arrays=images.to_dataset(),
    )


def taken(data, store=None, **more):
    found = ImageStore.of(data) if store is None else store
    options = {"twins": None, "propensity": 0.5, "spatial_block_km": None} | more
    return take_units(data, image=found.of_row, store=found, **options)


@pytest.mark.parametrize(("arm", "word"), [(1, "zero"), (0, "one")])
def test_covariates_that_are_zero_in_one_arm_are_refused(arm, word):
    x = np.where(arm == T, np.arange(N) + 1.0, 0.0)
    with pytest.raises(DataError, match=f"'x' is zero wherever the treatment is {word}: a post-tr"):
        taken(trial(x=x))


@pytest.mark.parametrize("code", [T - 0.5, T - T.mean() + 0.1, T + 1.0])
def test_products_with_a_treatment_coded_otherwise_are_refused_beside_their_factor(code):
    z = np.random.default_rng(1).normal(1e3, 50.0, size=N)
    with pytest.raises(DataError, match="'x' and 'z' are multiples of each other within each arm"):
        taken(trial(x=code * z, z=z))


def test_multiples_and_large_offsets_and_rare_dummies_are_no_products():
    rng = np.random.default_rng(1)
    z = 1e6 + rng.normal(size=(2, N))
    few = np.zeros((2, N))
    few[:, [0, 1, 2]] = [[1.0, 1.0, 1.0], [1.0, 2.0, 1.0]]
    data = trial(a=z[0], b=3.0 * z[0], c=z[1], e=few[0], f=few[1], dummy=rng.random(N) < 0.5)
    assert len(taken(data).covariate_names) == 6


def test_a_rare_dummy_of_one_arm_is_taken():
    x = np.zeros(N)
    x[[1, 3, 5]] = 1.0
    assert taken(trial(x=x)).covariate_names == ("x",)


def test_images_without_coordinates_are_named_where_blocks_need_them():
    data = trial()
    store = ImageStore.of(data)
    assert taken(data, spatial_block_km=50.0).groups.max() < N // 2 - 1
    store.pixels["lat"][[4, 7]] = np.nan
    with pytest.raises(DataError, match=r"2 images have no lon or lat.*\(first: 4, 7\)"):
        taken(data, store, spatial_block_km=50.0)


@pytest.mark.parametrize(("name", "value", "most"), [("lon", 500e3, 360), ("lat", 4.1e6, 90)])
def test_metres_of_a_projection_are_refused_where_degrees_are_meant(name, value, most):
    data = trial()
    store = ImageStore.of(data)
    taken(data, store, spatial_block_km=50.0)
    store.pixels[name][3:] = value
    told = rf"'{name}' is no angle .* at 27 of 30 images \(first: .* at 3, beyond {most}\)"
    with pytest.raises(DataError, match=told):
        taken(data, store, spatial_block_km=50.0)


def test_images_and_clusters_stay_together_and_images_cluster_errors():
    found = taken(trial())
    np.testing.assert_array_equal(found.groups, np.arange(N) // 2)
    assert found.cluster_name == "image"
    np.testing.assert_array_equal(found.clusters, np.arange(N) // 2)


def test_modifiers_that_are_zero_in_one_arm_are_refused_too():
    """Types are read from them where no embeddings are given."""
    data = trial(x=T * (np.arange(N) + 1.0), z=np.arange(N) * 1.0)
    with pytest.raises(DataError, match=r"modifier 'x' is zero .*or treatment-coded modifier"):
        taken(data.with_roles(covariates=("z",), modifiers=("x",)))
    with pytest.raises(DataError) as told:
        taken(data.with_roles(modifiers=("x", "z")))
    assert [problem.column for problem in told.value.problems] == ["x"]


def test_an_image_that_no_row_has_moves_no_block():
    data = trial()
    store = ImageStore.of(data)
    pixels = store.pixels
    far = pixels.isel(place=[0]).assign_coords(place=[99], lon=("place", [50.0]))
    expected = taken(data, spatial_block_km=50.0).groups
    for lat in (np.nan, 80.0):
        more = xr.concat([pixels, far.assign_coords(lat=("place", [lat]))], dim="place")
        longer = ImageStore("image", more, more["place"].values, store.of_row, 8)
        found = taken(data, longer, spatial_block_km=50.0).groups
        np.testing.assert_array_equal(found, expected)


def test_rows_of_twins_are_one_cluster():
    """Whether rows have images of their own, or none at all."""
    data = trial()
    place = np.arange(N) // 6
    twins = taken(data, twins=place)
    np.testing.assert_array_equal(twins.clusters, place)
    assert twins.cluster_name == "image"
    alone = CausalData.from_frame(data.frame[["y", "t"]], outcome="y", treatment="t")
    options = {"store": None, "propensity": 0.5, "spatial_block_km": None}
    rows = np.arange(N)
    found = take_units(alone, image=rows, twins=place, **options)
    np.testing.assert_array_equal(found.clusters, place)
    assert take_units(alone, image=rows, twins=None, **options).clusters is None
    assert take_units(alone, image=rows, twins=rows, **options).clusters is None


def with_propensity(values):
    data = trial(e=values)
    return data.with_roles(covariates=(), modifiers=(), extra=("e",))


def test_poor_overlap_is_told_of_all_rows_by_their_numbers_in_the_data():
    """Numbers within the evaluation part would be those of other rows."""
    data = with_propensity(np.where(np.arange(N) < 6, 0.02, 0.5))
    with pytest.warns(OverlapWarning, match=r"in 6 of 60 rows \(rows 0, 1, 2, \.\.\.\)"):
        units = taken(data, propensity="e")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluated(
            units,
            np.arange(4, N),
            control_mean=np.zeros(N - 4),
            cate=np.zeros(N - 4),
            types=np.ones((N - 4, 1)),
        )


def test_a_propensity_that_the_treatment_contradicts_is_told():
    """Half of the rows are treated."""
    taken(trial(), propensity=0.45)
    with pytest.warns(RandomizationWarning, match=r"\(60\) 50.0% .* says 15.0%"):
        taken(trial(), propensity=0.15)


def test_the_first_three_rows_that_could_not_be_in_both_arms_are_named():
    data = with_propensity(np.where(np.arange(N) % 10 == 3, 1.0, 0.5))
    told = "6 rows do not .first: row 3 with 1, row 13 with 1, row 23 with 1.; leave"
    with pytest.raises(IdentificationError, match=told):
        taken(data, propensity="e")


def test_the_share_of_each_stratum_is_its_propensity():
    """Five of twenty in one, thirty of forty in the other."""
    block = np.array(["a"] * 20 + ["b"] * 40)
    t = np.concatenate([np.arange(20) < 5, np.arange(40) < 30]).astype(int)
    mixed = np.random.default_rng(0).permutation(N)
    frame = pd.DataFrame({"y": np.arange(N) * 1.0, "t": t, "block": block}).iloc[mixed]
    frame = frame.reset_index(drop=True)
    data = CausalData.from_frame(frame, outcome="y", treatment="t", strata="block")
    options = {"twins": None, "store": None, "spatial_block_km": None}
    with pytest.warns(CausalKitWarning, match="treated share of each 'block'"):
        found = take_units(data, image=np.arange(N), propensity=None, **options)
    np.testing.assert_allclose(found.propensity, np.where(frame["block"] == "a", 0.25, 0.75))
    plain = take_units(data.with_roles(strata=None), image=np.arange(N), propensity=None, **options)
    np.testing.assert_allclose(plain.propensity, 35 / 60)
