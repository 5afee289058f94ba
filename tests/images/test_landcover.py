"""Predicted effects on land cover: against closed forms and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.images import cate_by_landcover

NAMES = ["forest", "crops", "built"]


@pytest.fixture(scope="module")
def places():
    """200 places whose effect is 1, 2, 4 by class, with noise; 25 villages."""
    rng = np.random.default_rng(0)
    shares = pd.DataFrame(rng.dirichlet([2.0, 1.0, 1.0], 200), columns=NAMES)
    village = np.arange(200) // 8
    cate = shares.to_numpy() @ [1.0, 2.0, 4.0] + 0.3 * rng.normal(size=25)[village]
    return cate + 0.1 * rng.normal(size=200), shares, village


def test_shares_that_sum_to_one_have_no_constant(places):
    cate, shares, _ = places
    result = cate_by_landcover(cate, shares)
    peer = sm.OLS(cate, shares).fit(cov_type="HC1")
    assert result.terms == tuple(NAMES)
    np.testing.assert_allclose(result.estimates, peer.params, rtol=1e-10)
    np.testing.assert_allclose(result.std_errors, peer.bse, rtol=1e-10)
    assert any("no constant" in note for note in result.notes)
    assert any("Associational" in note for note in result.notes)


def test_a_base_class_gives_differences_with_clustered_errors(places):
    cate, shares, village = places
    result = cate_by_landcover(cate, shares, base="crops", clusters=village)
    x = sm.add_constant(shares[["forest", "built"]])
    groups = {"groups": village, "use_correction": True, "df_correction": False}
    peer = sm.OLS(cate, x).fit(cov_type="cluster", cov_kwds=groups)
    assert result.terms == ("all crops", "forest", "built")
    np.testing.assert_allclose(result.estimates, peer.params, rtol=1e-9)
    # statsmodels' factor is G/(G-1) (n-1)/(n-k); ours is G/(G-1).
    np.testing.assert_allclose(result.std_errors, peer.bse / np.sqrt(199 / 197), rtol=1e-9)
    assert result.n_clusters == 25
    assert "'crops' is left out as the base" in result.notes[0]
    plain = cate_by_landcover(cate, shares)
    np.testing.assert_allclose(
        result.estimates,
        plain.estimates[[1, 0, 2]] - np.array([0.0, 1.0, 1.0]) * plain.estimates[1],
    )


def test_shares_of_some_classes_only_come_with_a_constant(places):
    cate, shares, _ = places
    some = shares[["forest", "crops"]]
    result = cate_by_landcover(xr.DataArray(cate, dims="obs", name="effect"), some)
    assert result.terms == ("none of these", "forest", "crops")
    peer = sm.OLS(cate, sm.add_constant(some)).fit(cov_type="HC1")
    np.testing.assert_allclose(result.std_errors, peer.bse, rtol=1e-9)
    array = xr.DataArray(some.to_numpy(), dims=("obs", "cover"), coords={"cover": list(some)})
    again = cate_by_landcover(cate, array)
    np.testing.assert_array_equal(again.estimates, result.estimates)
    with pytest.raises(ArgumentError, match="the base is the rest of each place"):
        cate_by_landcover(cate, some, base="forest")


def test_what_does_not_fit_is_refused(places):
    cate, shares, village = places
    cases = {
        "give one effect and one row": (cate[:9], shares),
        "missing or infinite at 1 places": (np.where(np.arange(200) == 3, np.nan, cate), shares),
        r"shares must lie in \[0, 1\]; 'forest' is": (cate, 100.0 * shares),
        "sum to more than one at 200 places": (cate, shares.assign(more=0.5)),
        "no place has any 'water'": (cate, shares.assign(water=0.0)),
        "different indexes": (pd.Series(cate, index=np.arange(200) + 1), shares),
        "must be a DataFrame or a DataArray": (cate, shares.to_numpy()),
    }
    for message, (effect, given) in cases.items():
        with pytest.raises(ArgumentError, match=message):
            cate_by_landcover(effect, given)
    with pytest.raises(ArgumentError, match="base must be one of forest, crops, built; got 'sea'"):
        cate_by_landcover(cate, shares, base="sea")
    with pytest.raises(ArgumentError, match="one label per place"):
        cate_by_landcover(cate, shares, clusters=village[:5])
    half = pd.DataFrame({"forest": shares["forest"] / 2, "crops": shares["forest"] / 2})
    with pytest.raises(IdentificationError, match="collinear"):
        cate_by_landcover(cate, half)


def test_it_takes_what_a_fit_predicts(motif_rct, motif_fit):
    rows = motif_fit.parts_.evaluate
    cate = motif_fit.predict_cate(motif_rct)[rows]
    motif = (motif_rct.truth.cluster_labels[rows] == 1).astype(float)
    shares = pd.DataFrame({"with": motif, "without": 1 - motif}, index=rows)
    result = ck.images.cate_by_landcover(cate, shares)
    np.testing.assert_allclose(
        result.estimates, [cate[motif == 1].mean(), cate[motif == 0].mean()], rtol=1e-10
    )
    scores = cate_by_landcover(
        motif_fit.evaluation_.score, pd.DataFrame({"with": motif, "without": 1 - motif})
    )
    # Doubly robust scores: within 3.5 standard errors of the true effects.
    assert (np.abs(scores.estimates - [1.5, -0.5]) < 3.5 * scores.std_errors).all()


def test_places_are_matched_by_key_in_whatever_order(places):
    cate, shares, village = places
    keys = [f"v{number:03d}" for number in range(200)]
    array = xr.DataArray(cate, dims="place", coords={"place": keys}, name="effect")
    mixed = np.random.default_rng(1).permutation(200)
    expected = cate_by_landcover(cate, shares, clusters=village)
    keyed = shares.set_axis(keys).iloc[mixed]
    series = pd.Series(village, index=keys).iloc[mixed[::-1]]
    cover = xr.DataArray(keyed, dims=("place", "cover"))
    for effect in (array, array.to_series()):
        for given in (keyed, cover):
            found = cate_by_landcover(effect, given, clusters=series)
            np.testing.assert_allclose(found.estimates, expected.estimates)
            np.testing.assert_allclose(found.std_errors, expected.std_errors)
    with pytest.raises(ArgumentError, match=r"indexes \(first that fractions lack: 'v000'\)"):
        cate_by_landcover(array, shares)
    with pytest.raises(ArgumentError, match="cate and clusters have different indexes"):
        cate_by_landcover(array, keyed, clusters=pd.Series(village))


def test_its_summary_says_what_it_is(places):
    cate, shares, _ = places
    text = cate_by_landcover(cate, shares).summary()
    assert "Association of the effect with land cover" in text
    assert "Effect of  on" not in text
    assert "Of doubly robust scores nothing hangs on the model." in text.replace("\n", " ")
