"""Columns of other data in the encoding of the fit, whatever levels they have."""

import numpy as np
import pandas as pd
import pytest

from causalkit import CausalData, EmbeddingEffectClusters, ImageEffectClusters, generators
from causalkit.errors import DataError
from causalkit.images.encoded import columns_of_fit, levels_of

REGIONS = pd.Categorical(list("abcabc") * 100, categories=list("abc"))
NEED = "covariates of the fit; name them as covariates"


def trial(**columns):
    n = 600
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=n), "t": np.arange(n) // 3 % 2, **columns})
    return CausalData.from_frame(frame, outcome="y", treatment="t", covariates=list(columns))


def some(data, chosen):
    """Rows of some regions only, and no word of the other regions."""
    frame = data.frame[data.frame["region"].isin(list(chosen))].reset_index(drop=True)
    frame["region"] = frame["region"].cat.remove_unused_categories()
    return CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=list(data.roles.covariates)
    )


def test_the_same_data_are_encoded_as_they_were():
    data = trial(x=np.arange(600.0), region=REGIONS)
    names = data.matrix_names("covariates")
    found = columns_of_fit(data, "covariates", names, levels_of(data, "covariates"), need=NEED)
    np.testing.assert_array_equal(found, data.matrix("covariates"))


@pytest.mark.parametrize("chosen", ["ab", "bc", "c", "a"])
def test_rows_without_some_levels_are_what_they_are_among_all(chosen):
    """Without ``a`` the first level is another, and its indicator would be left out."""
    data = trial(x=np.arange(600.0), region=REGIONS)
    names = data.matrix_names("covariates")
    levels = levels_of(data, "covariates")
    found = columns_of_fit(some(data, chosen), "covariates", names, levels, need=NEED)
    rows = data.frame["region"].isin(list(chosen)).to_numpy()
    np.testing.assert_array_equal(found, data.matrix("covariates")[rows])


def test_a_level_that_the_fit_did_not_have_and_a_column_that_is_absent_are_refused():
    data = trial(x=np.arange(600.0), region=REGIONS)
    few = some(data, "ab")
    names, levels = few.matrix_names("covariates"), levels_of(few, "covariates")
    with pytest.raises(DataError, match=r"'region' has levels that the data of the fit lack: 'c'"):
        columns_of_fit(data, "covariates", names, levels, need=NEED)
    with pytest.raises(DataError, match=r"the data lack 'region=b', covariates of the fit"):
        columns_of_fit(trial(x=np.arange(600.0)), "covariates", names, levels, need=NEED)
    with pytest.raises(DataError, match="the data lack 'x'"):
        columns_of_fit(trial(region=REGIONS), "covariates", names, levels, need=NEED)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_predictions_of_some_regions_are_those_among_all(tmp_path):
    """Of types that differ by region, and of a baseline that does in a fit on images."""
    data = trial(x=np.random.default_rng(1).normal(size=600), region=REGIONS)
    modes = {"inference": "map", "n_ensemble": 1, "random_state": 0}
    fit = EmbeddingEffectClusters(**modes).fit(data)
    whole = fit.predict_cate(data).values
    for chosen in ("ab", "bc"):
        rows = data.frame["region"].isin(list(chosen)).to_numpy()
        np.testing.assert_allclose(fit.predict_cate(some(data, chosen)).values, whole[rows])

    rct = generators.image_rct(0, n_images=600, size=8)
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    frame = rct.frame.assign(region=REGIONS, y=(rct.frame["y"] > 0).astype(int))
    full = CausalData.from_frame(frame, arrays=rct.arrays, covariates=["region"], **roles)
    encoder = {"encoder": "random", "n_components": 4, "likelihood": "bernoulli"}
    ImageEffectClusters(**modes, **encoder).fit(full).save(tmp_path / "fit")
    images = ImageEffectClusters.load(tmp_path / "fit")
    rows = (frame["region"] != "a").to_numpy()
    part = frame[rows].reset_index(drop=True)
    part["region"] = part["region"].cat.remove_unused_categories()
    less = CausalData.from_frame(part, arrays=rct.arrays, covariates=["region"], **roles)
    np.testing.assert_allclose(
        images.predict_cate(less).values, images.predict_cate(full).values[rows], rtol=1e-6
    )


def test_a_level_that_is_missing_stays_missing():
    frame = trial(x=np.arange(600.0), region=REGIONS).frame
    frame = frame.assign(region=frame["region"].mask(frame.index % 7 == 0))
    data = CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["x", "region"], missing="native"
    )
    names, levels = data.matrix_names("covariates"), levels_of(data, "covariates")
    found = columns_of_fit(data, "covariates", names, levels, need=NEED)
    np.testing.assert_array_equal(found, data.matrix("covariates"))
    assert np.isnan(found).any(axis=1).sum() == 86
