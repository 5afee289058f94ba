"""Effects at other places: support, the joint average, and what the map refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, DataError, ExtrapolationWarning, IdentificationError
from causalkit.images.model import Mixture
from causalkit.images.posterior import Posterior
from causalkit.images.predict import draws_by_place


@pytest.fixture(scope="module")
def target():
    return ck.generators.image_rct(1, n_images=600)


@pytest.fixture(scope="module")
def shown(motif_fit, target):
    return motif_fit.transport(target.arrays)


@pytest.mark.parametrize("seed", [0, 1])
def test_shifted_images_are_told_from_those_of_the_trial(motif_fit, seed):
    same = motif_fit.transport(ck.generators.image_rct(seed, n_images=600).arrays)
    assert same.share_outside <= 0.05  # one in a hundred by construction
    shifted = ck.generators.image_rct(seed, n_images=600, design="shifted")
    with pytest.warns(ExtrapolationWarning, match="of the places lie further"):
        found = motif_fit.transport(shifted.arrays)
    assert found.share_outside > 0.5


def test_the_average_covers_the_truth_and_comes_from_joint_draws(motif_fit, target, shown):
    average = shown.average()
    # One fit: its interval covers with probability .95, and four standard errors nearly always.
    assert abs(average["estimate"] - target.truth.cate.mean()) < 4 * average["std_error"]
    assert average["conf_low"] < average["estimate"] < average["conf_high"]
    draws = _draws(motif_fit, target)
    np.testing.assert_allclose(average["std_error"], draws.mean(axis=1).std(ddof=1), rtol=1e-5)
    np.testing.assert_allclose(shown.places["effect"], draws.mean(axis=0), rtol=1e-5)
    # Places taken one by one would make the average look far surer than it is.
    apart = np.sqrt((draws.std(axis=0, ddof=1) ** 2).sum()) / 600
    assert average["std_error"] > 3 * apart


def test_draws_are_taken_once_whatever_is_told_of_them(motif_fit, target, shown, monkeypatch):
    asked = {"types": 0, "cate": 0}

    def counted(name, real):
        def call(self, *args):
            asked[name] += len(args[-1])
            return real(self, *args)

        return call

    for name in asked:
        monkeypatch.setattr(Posterior, name, counted(name, getattr(Posterior, name)))
    # Blocks of rows that do not divide the number of places.
    monkeypatch.setattr("causalkit.images.predict._BLOCK", 77)
    again = motif_fit.transport(target.arrays)
    assert asked == {"types": 600, "cate": 600}
    xr.testing.assert_allclose(again.places, shown.places, rtol=1e-9)
    np.testing.assert_allclose(again.draws, shown.draws, rtol=1e-9)


def test_probabilities_have_the_spread_of_the_posterior_draws(motif_fit, target, shown):
    raw = motif_fit._fitted.features(_images(target), np.arange(600))[0]
    draws = motif_fit.members_[0].posterior.types(raw)
    places = shown.places
    for name, wanted in (
        ("probability", draws.mean(axis=0)),
        ("probability_std_error", draws.std(axis=0, ddof=1)),
        ("probability_conf_low", np.quantile(draws, 0.025, axis=0)),
        ("probability_conf_high", np.quantile(draws, 0.975, axis=0)),
    ):
        assert places[name].dims == ("place", "cluster")
        np.testing.assert_allclose(places[name], wanted, rtol=1e-5, atol=1e-9)
    frame = shown.to_frame()
    second = places["probability_conf_high"].sel(cluster="cluster 2")
    np.testing.assert_array_equal(frame["probability_conf_high cluster 2"], second)


def _draws(fit, target):
    """Effects at 600 places, ``(S, 600)``."""
    posterior = fit.members_[0].posterior
    raw = fit._fitted.features(_images(target), np.arange(600))[0]
    return posterior.cate(posterior.types(raw), raw, np.zeros((600, 0)))


def _images(data):
    from causalkit.images.batches import Images

    return Images.of(ImageStore.bare(data.arrays["image"]))


def test_sensitivity_shifts_every_place_by_its_own_posterior_deviation(shown):
    table = shown.sensitivity()
    assert table["delta"].tolist() == [-2, -1, 0, 1, 2]
    steps = np.diff(table["estimate"])
    np.testing.assert_allclose(steps, float(shown.places["std_error"].mean()))
    assert table["estimate"][2] == pytest.approx(float(shown.places["effect"].mean()))
    narrow = shown.average(level=0.5)
    assert narrow["conf_low"] > table["conf_low"][2]


def test_places_carry_what_a_map_needs(shown, target):
    images = target.arrays["image"]
    places = shown.places
    assert places["effect"].dims == ("place",)
    assert places["probability"].dims == ("place", "cluster")
    for name in ("place", "lon", "lat"):
        np.testing.assert_array_equal(places[name], images[name])
    best = places["cluster"].values[places["probability"].argmax("cluster")]
    assert (places["assigned"].values == best).all()
    assert ((places["support"] > 99) == places["extrapolating"]).all()
    frame = shown.to_frame()
    assert len(frame) == 600
    assert {"effect", "support", "lon", "probability cluster 2"} <= set(frame)
    text = " ".join(shown.summary().split())
    assert "Effects depend on place only through the image" in text
    assert "<table>" in shown._repr_html_()


def test_places_like_those_of_the_trial_have_an_average_of_their_own(motif_fit, shown, target):
    far = shown.places["extrapolating"].values
    assert 0 < far.sum() < 600
    draws = _draws(motif_fit, target)[:, ~far]
    like = shown.average(over="supported")
    assert like["estimate"] == pytest.approx(draws.mean(), rel=1e-5)
    rows = shown.tidy()
    assert rows.columns.tolist() == ["term", "estimate", "std_error", "conf_low", "conf_high"]
    assert rows["term"].tolist() == ["places", "supported"]
    assert rows["estimate"].tolist() == [shown.average()["estimate"], like["estimate"]]
    assert like["std_error"] == pytest.approx(draws.mean(axis=1).std(ddof=1), rel=1e-5)
    moved = shown.average(1.0, over="supported")["estimate"] - like["estimate"]
    assert moved == pytest.approx(shown.places["std_error"].values[~far].mean())
    text = " ".join(shown.summary().split())
    assert f"Like the trial's: {(~far).sum()}, over which the effect averages" in text
    with pytest.warns(ExtrapolationWarning):
        nowhere = motif_fit.transport(target.arrays["image"] + 100.0)
    with pytest.raises(IdentificationError, match="no place is like those of the trial"):
        nowhere.average(over="supported")


def test_places_of_data_are_its_images_each_once(motif_fit, target, shown):
    """Place number k has 1 + k mod 3 units, in no order."""
    rows = np.repeat(np.arange(600), 1 + np.arange(600) % 3)
    data = target.subset(np.random.default_rng(0).permutation(rows))
    found = motif_fit.transport(data)
    assert found.places["effect"].dims == ("place",)
    keys = found.places["place"].values
    assert sorted(keys) == sorted(target.frame["place"])
    for name in ("effect", "std_error", "support", "lon"):
        wanted = shown.places[name].sel(place=keys)
        np.testing.assert_allclose(found.places[name], wanted, rtol=1e-4, atol=1e-7)
    units = data.frame["place"].value_counts()
    np.testing.assert_array_equal(found.places["units"], units.loc[keys])
    np.testing.assert_allclose(found.average(), shown.average(), rtol=1e-5, atol=1e-7)
    by_unit = found.average(over="units")
    expected = np.average(found.places["effect"], weights=found.places["units"])
    assert by_unit["estimate"] == pytest.approx(expected)
    assert by_unit["estimate"] != pytest.approx(found.average()["estimate"], abs=1e-4)
    moved = found.average(1.0, over="units")["estimate"] - by_unit["estimate"]
    errors = found.places["std_error"]
    assert moved == pytest.approx(np.average(errors, weights=found.places["units"]))
    text = " ".join(found.summary().split())
    assert "Places: 600 Units: 1,200, over which" in text
    with pytest.raises(ArgumentError, match="unknown over 'rows'"):
        found.average(over="rows")


def test_the_effect_of_a_place_is_the_mean_of_its_units_whose_covariates_differ():
    """Risk differences hang on the baseline of the unit."""
    rng = np.random.default_rng(0)
    model = Mixture(n_types=2, n_features=1, n_covariates=1, likelihood="bernoulli")
    posterior = Posterior(
        model, rng.normal(size=(5, model.size)), np.zeros(1), np.ones(1), 0.0, 1.0
    )
    raw, x = rng.normal(size=(9, 1)), 2.0 * rng.normal(size=(40, 1))
    place = rng.permutation(np.r_[np.arange(9), rng.integers(0, 9, 31)])
    units = posterior.cate(posterior.types(raw[place]), raw[place], x)
    expected = np.stack([units[:, place == k].mean(axis=1) for k in range(9)], axis=1)
    for size in (1, 7, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("causalkit.images.predict._BLOCK", size)
            drawn = list(draws_by_place([posterior], [raw], x, place))
        np.testing.assert_allclose(np.hstack([one.effects for one in drawn]), expected)
        types = np.concatenate([one.types[0] for one in drawn], axis=1)
        np.testing.assert_allclose(types, posterior.types(raw))


def test_images_are_found_by_their_own_keys(motif_fit, target, shown):
    some = motif_fit.transport(target.arrays, images=[400, 7])
    for name in ("effect", "support", "lon"):
        wanted = shown.places[name].sel(place=[400, 7])
        np.testing.assert_allclose(some.places[name], wanted, rtol=1e-4)
    with pytest.raises(ArgumentError, match=r"1 images are not in 'image' \(first: 9999\)"):
        motif_fit.transport(target.arrays, images=[7, 9999])
    frame = pd.DataFrame({"village": [1, 2, 9999], "y": [0.0, 1.0, 2.0], "t": [0, 1, 0]})
    with pytest.raises(DataError, match="lacks"):
        ck.CausalData.from_frame(
            frame,
            outcome="y",
            treatment="t",
            arrays=target.arrays,
            image="image",
            image_key="village",
        )


def test_keys_that_are_repeated_or_absent_and_missing_pixels_are_refused(motif_fit, target):
    images = target.arrays["image"].isel(place=slice(0, 5))
    twice = images.assign_coords(place=[1, 2, 2, 3, 3])
    for use in (motif_fit.transport, motif_fit.effect, motif_fit.salience):
        with pytest.raises(DataError, match=r"have 2 keys more than once \(first: 2, 3\)"):
            use(twice)
        with pytest.raises(DataError, match="the images 'image' are none"):
            use(images[:0])
    for use in (motif_fit.transport, motif_fit.salience):
        with pytest.raises(ArgumentError, match=r"images=\[\] names no image"):
            use(images, images=[])
    gone = images.where(~images["place"].isin([2, 4]))
    for use in (motif_fit.transport, motif_fit.salience):
        with pytest.raises(DataError, match=r"missing or infinite \(images \[2, 4\] among others"):
            use(gone)


def test_images_of_another_reference_system_are_refused(motif_fit, target):
    images = target.arrays["image"].isel(place=slice(0, 3))
    by_attribute = images.assign_attrs(crs="EPSG:32636")
    wkt = xr.DataArray(0, attrs={"crs_wkt": "EPSG:4326"})
    by_coordinate = images.assign_coords(spatial_ref=wkt)
    layout = replace(motif_fit._fitted.layout, crs="EPSG:32636")
    for same in (images, by_attribute):
        layout.check(ImageStore.bare(same))
    with pytest.raises(DataError, match="'EPSG:4326' in place of 'EPSG:32636'; reproject"):
        layout.check(ImageStore.bare(by_coordinate))
    assert type(layout).of(ImageStore.bare(by_attribute)).crs == "EPSG:32636"
    motif_fit.transport(by_coordinate)


def test_pixels_are_read_in_the_units_of_training(motif_fit, target, shown):
    """Statistics of a target would undo a shift of all its images."""
    moved = target.arrays["image"].isel(place=slice(0, 100)) + 5.0
    with pytest.warns(ExtrapolationWarning):
        found = motif_fit.transport(moved)
    assert found.share_outside > 0.9


def test_a_single_mode_and_other_images_are_refused(motif_fit, target):
    single = ck.ImageEffectClusters(
        encoder=ck.ImageEncoder.random(n_filters=4),
        inference="map",
        n_restarts=1,
        n_ensemble=1,
        random_state=0,
    ).fit(target.blind())
    with pytest.raises(IdentificationError, match="a single mode has no uncertainty"):
        single.transport(target)
    with pytest.raises(DataError, match="differ from those of the fit"):
        motif_fit.transport(target.arrays["image"].isel(band=[0, 1]))
    with pytest.raises(ArgumentError, match="level"):
        motif_fit.transport(target, level=1.0)
