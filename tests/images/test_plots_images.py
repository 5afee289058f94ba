"""Pictures of a fit: what is drawn are the numbers and images that it has."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, ArgumentTypeError, ExtrapolationWarning
from causalkit.images import plot_salience
from causalkit.images.honest import Evaluation
from causalkit.images.plots import _typical, plot_clusters
from causalkit.images.plots_maps import plot_transport
from causalkit.images.thumbnails import bands_in_words, thumbnails

pytestmark = pytest.mark.usefixtures("close_figures")


def store_of(pixels, bands):
    dims = ("place", *(("time",) if pixels.ndim == 5 else ()), "band", "y", "x")
    return ImageStore.bare(xr.DataArray(pixels, dims=dims, coords={"band": bands}, name="image"))


def test_bands_become_colours_stretched_alike_over_the_images():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(100, 900, (3, 4, 5, 5))
    pixels[1] /= 2  # darker, and stays so
    pixels[0, 1, 0, 0] = np.nan
    store = store_of(pixels, ["B1", "B2", "B3", "B4"])
    found = thumbnails(store, np.array([0, 1]), rgb=("B4", "B3", "B2"))
    shown = pixels[:2, [3, 2, 1]]
    low, high = np.nanpercentile(shown, [2, 98], axis=(0, 2, 3), keepdims=True)
    wanted = np.moveaxis(np.clip((shown - low) / (high - low), 0, 1), 1, -1)
    wanted[np.isnan(wanted)] = 0.0
    np.testing.assert_allclose(found, wanted)
    assert found[1].mean() < found[0].mean()
    plain = thumbnails(store, np.array([0]))
    np.testing.assert_array_equal(plain, thumbnails(store, np.array([0]), rgb=("B1", "B2", "B3")))
    assert thumbnails(store, np.array([2]), rgb=["B2"]).shape == (1, 5, 5)
    assert thumbnails(store_of(pixels[:, :2], ["a", "b"]), np.array([0])).shape == (1, 5, 5)
    with pytest.raises(ArgumentError, match=r"one or three of the bands B1, B2, B3, B4"):
        thumbnails(store, np.array([0]), rgb=("B9", "B3", "B2"))


def test_a_caption_names_the_bands_that_are_shown():
    store = store_of(np.zeros((1, 4, 2, 2)), ["B1", "B2", "B3", "B4"])
    assert bands_in_words(store) == "B1, B2, B3 as red, green, blue"
    assert bands_in_words(store, ("B4", "B3", "B2")) == "B4, B3, B2 as red, green, blue"
    assert bands_in_words(store, "B2") == "band B2"


def test_of_a_sequence_the_last_frame_is_shown():
    pixels = np.random.default_rng(0).normal(size=(2, 3, 1, 4, 4))
    last = store_of(pixels[:, -1], ["v"])
    np.testing.assert_array_equal(
        thumbnails(store_of(pixels, ["v"]), np.arange(2)), thumbnails(last, np.arange(2))
    )


def test_clusters_are_shown_by_their_most_typical_evaluation_images(motif_rct, motif_fit):
    figure = motif_fit.plot_clusters(motif_rct.blind(), n_images=3)
    frame = figure.plot_data
    rows = motif_fit.evaluation_.rows
    places = motif_rct.frame["place"].to_numpy()[rows]
    for number, keys in enumerate(frame["images"]):
        chance = motif_fit.evaluation_.types[:, number]
        assert keys == places[np.argsort(-chance)[:3]].tolist()
    pictures = [ax for ax in figure.axes if ax.images]
    assert len(pictures) == 6
    bars = next(ax for ax in figure.axes if not ax.images)
    honest = next(line for line in bars.lines if line.get_label().startswith("honest"))
    np.testing.assert_allclose(honest.get_xdata(), motif_fit.cluster_effects()["estimate"])
    segments = bars.collections[0].get_segments()
    np.testing.assert_allclose([s[0, 0] for s in segments], frame["conf_low"])
    assert bars.get_xlabel() == "Effect on y"
    assert figure.get_supxlabel() == "Images: b1, b2, b3 as red, green, blue"


def test_clusters_without_images_are_bars_and_other_data_are_refused(motif_fit):
    figure = motif_fit.plot_clusters()
    assert len(figure.axes) == 1
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    shares = motif_fit.cluster_effects()["share"]
    assert labels == [f"cluster {k + 1}\n{share:.0%}" for k, share in enumerate(shares)]
    with pytest.raises(ArgumentError, match="differ from those"):
        motif_fit.plot_clusters(ck.generators.image_rct(5, n_images=1200))


def test_types_that_differ_in_brightness_are_shown_so():
    """Stretched each by itself, both rows would run from black to white."""
    rng = np.random.default_rng(0)
    bright = np.repeat([0.0, 100.0], 3)
    pixels = bright[:, None, None, None] + rng.uniform(0.0, 10.0, (6, 1, 4, 4))
    types = np.where(np.arange(6) < 3, 0.9, 0.1)[:, None] * [1.0, -1.0] + [0.0, 1.0]
    found = Evaluation(np.arange(6), np.zeros(6), np.zeros(6), np.zeros(6), types, None)
    table = pd.DataFrame({"cluster": ["cluster 1", "cluster 2"], "share": [0.435, 0.565]})
    table[["estimate", "conf_low", "conf_high"]] = 0.0
    table[["model_effect", "model_conf_low", "model_conf_high"]] = 0.0
    figure = plot_clusters(table, found, store_of(pixels, ["v"]), n_images=3, rgb=None, outcome="y")
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert max(picture.max() for picture in shown[:3]) < 0.2
    assert min(picture.min() for picture in shown[3:]) > 0.8
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == ["cluster 1\n44%", "cluster 2\n56%"]  # as the report's table has them


def test_an_image_that_units_share_is_shown_once():
    store = store_of(np.zeros((4, 1, 2, 2)), ["v"])
    object.__setattr__(store, "of_row", np.array([3, 3, 3, 1, 0, 2]))
    types = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    rows = np.arange(6)
    found = Evaluation(rows, np.zeros(6), np.zeros(6), np.zeros(6), types, None)
    shown = [positions.tolist() for positions in _typical(found, store, 2)]
    assert shown == [[3, 1], [2, 0]]


def test_calibration_bins_hold_means_of_scores(motif_fit):
    ax = motif_fit.plot_calibration(n_bins=4)
    frame, found = ax.plot_data, motif_fit.evaluation_
    assert frame["n"].sum() == found.rows.size
    order = np.argsort(found.cate)
    first = order[: frame["n"][0]]
    assert frame["estimate"][0] == pytest.approx(found.score[first].mean())
    assert frame["predicted"][0] == pytest.approx(found.cate[first].mean())
    # The robust variance of a mean within a bin, times n / (n - k).
    n = found.rows.size
    size = found.score[first].std() / np.sqrt(first.size) * np.sqrt(n / (n - 4))
    assert frame["std_error"][0] == pytest.approx(size)
    slope = motif_fit.estimate("calibration").estimates[1]
    line = next(one for one in ax.lines if one.get_label().startswith("slope"))
    x, y = line.get_data()
    assert np.diff(y) / np.diff(x) == pytest.approx(slope)


def test_salience_is_laid_over_the_images_asked_for(motif_rct, motif_fit):
    found = motif_fit.salience(motif_rct, images=[3, 9, 20, 50], occlusion=True)
    figure = plot_salience(found, motif_rct, images=[20, 3])
    frame = figure.plot_data
    assert frame["place"].tolist() == [20, 3]
    assert figure.get_supxlabel() == "Images: b1, b2, b3 as red, green, blue"
    size = found["magnitude"].sel(place=20).values
    assert size[frame["peak_y"][0], frame["peak_x"][0]] == size.max()
    layers = [ax.images for ax in figure.axes if len(ax.images) == 2]
    np.testing.assert_array_equal(layers[0][1].get_array(), size)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles[0] == f"20: {found['probability'].sel(place=20).item():.2f}"
    likely = plot_salience(found, motif_rct.arrays["image"], value="occlusion").plot_data
    assert plot_salience(found, motif_rct.arrays, value="occlusion").plot_data.equals(likely)
    assert likely["probability"].is_monotonic_decreasing
    with pytest.raises(ArgumentError, match="unknown value 'segment'"):
        plot_salience(found, motif_rct, value="segment")
    with pytest.raises(ArgumentError, match=r"no images \[4\]"):
        plot_salience(found, motif_rct, images=[3, 4])
    with pytest.raises(ArgumentError, match=r"no image 'image' .variables: tile.; rename it"):
        plot_salience(found, motif_rct.arrays.rename(image="tile"))


def test_of_the_salience_of_a_sequence_the_last_frame_is_drawn():
    rng = np.random.default_rng(0)
    pixels = xr.DataArray(
        rng.normal(size=(2, 3, 1, 4, 4)), dims=("place", "time", "band", "y", "x")
    )
    heat = rng.uniform(size=(2, 3, 4, 4))
    found = xr.Dataset(
        {"magnitude": (("place", "time", "y", "x"), heat), "probability": ("place", [0.2, 0.9])},
        coords={"place": [0, 1]},
        attrs={"image": "image", "cluster": "cluster 2"},
    )
    figure = plot_salience(found, pixels)
    layers = [ax.images[1] for ax in figure.axes if len(ax.images) == 2]
    np.testing.assert_array_equal(layers[0].get_array(), heat[1, -1])


@pytest.mark.parametrize(("signed", "name"), [(False, "inferno"), (True, "RdBu_r")])
def test_salience_has_the_colours_of_its_bar_on_dark_and_bright_pictures(signed, name):
    """Laid over at one opacity they were darker on dark pictures."""
    heat = np.zeros((2, 4, 4))
    heat[:, 0], heat[:, 1] = 1.0, -1.0 if signed else 0.6
    pixels = np.stack([np.full((1, 4, 4), 0.0), np.full((1, 4, 4), 9.0)])
    value = "direction" if signed else "magnitude"
    found = xr.Dataset(
        {value: (("place", "y", "x"), heat), "probability": ("place", [0.2, 0.9])},
        coords={"place": [0, 1]},
        attrs={"image": "image", "cluster": "cluster 2"},
    )
    given = xr.DataArray(pixels, dims=("place", "band", "y", "x"), name="image")
    figure = plot_salience(found, given, value=value)
    layers = [ax.images[1] for ax in figure.axes if len(ax.images) == 2]
    full = plt.get_cmap(name)
    for layer in layers:
        shown = layer.cmap(layer.norm(heat[0, :3, 0]))
        wanted = [full(1.0), full(0.0) if signed else full(0.6), (*full(0.5 * signed)[:3], 0.0)]
        np.testing.assert_allclose(shown, wanted, atol=0.02)
        assert layer.get_alpha() is None


def test_maps_mark_places_outside_the_training_images(motif_fit):
    shifted = ck.generators.image_rct(1, n_images=120, design="shifted").arrays["image"]
    with pytest.warns(ExtrapolationWarning):
        shown = motif_fit.transport(shifted)
    ax = shown.plot(title="target")
    frame = ax.plot_data
    out = frame["extrapolating"].to_numpy()
    near, far = ax.collections[:2]
    np.testing.assert_allclose(near.get_offsets(), frame.loc[~out, ["lon", "lat"]])
    np.testing.assert_allclose(far.get_offsets(), frame.loc[out, ["lon", "lat"]])
    np.testing.assert_allclose(far.get_array(), frame.loc[out, "effect"])
    assert near.get_clim() == far.get_clim()
    with pytest.warns(ExtrapolationWarning):
        blind = motif_fit.transport(shifted.drop_vars(["lon", "lat"]))
    grid = blind.plot(value="support")
    assert {"row", "column"} <= set(grid.plot_data)
    assert grid.get_xlabel() == "Places in their order, row by row"
    figure, given = plt.subplots()
    assert blind.plot(ax=given) is given
    assert figure.axes[0] is given


@pytest.mark.parametrize("given", [None, 1.0, np.ones(3)])
def test_pictures_of_something_else_are_refused(given, motif_rct):
    with pytest.raises(ArgumentTypeError, match=r"draws what salience\(\) gives; got"):
        plot_salience(given, motif_rct)
    with pytest.raises(ArgumentTypeError, match=r"draws what transport\(\) gives; got"):
        plot_transport(given)
