"""Embeddings: once per image, by key, normalised as told, kept under a digest of everything."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from causalkit import CausalData, ImageEncoder, embed_images, generators
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    CausalKitWarning,
    DataError,
    StorageError,
    TrainingError,
)
from causalkit.images.embedding_source import check_alike
from causalkit.images.encoder_digest import encoder_digest, untold_parts
from causalkit.images.untrained import principal


class Counted(nn.Module):
    """Means of the bands; counts the images that it has seen."""

    def __init__(self):
        super().__init__()
        self.counts = []

    @property
    def seen(self):
        return sum(self.counts)

    def forward(self, image):
        self.counts.append(len(image))
        return image.mean(dim=(2, 3))


def encoder(module=None, **more):
    return ImageEncoder.of(module or Counted(), name="means", **more)


@pytest.fixture(scope="module")
def rct():
    return generators.image_rct(0, n_images=12, size=12, design="shared").blind()


def test_an_image_is_encoded_once_however_many_units_share_it(rct):
    counted = Counted()
    found = embed_images(rct, encoder(lambda _: counted))
    assert rct.n > 12
    assert counted.seen == 12 + 1  # and one blank image, which tells the length of the vector
    assert found.dims == ("place", "feature")
    np.testing.assert_array_equal(found["place"], rct.arrays["place"])


def test_vectors_are_those_of_normalised_pixels(rct):
    pixels = rct.arrays["image"].transpose("place", "band", "y", "x").values.astype(float)
    mean, sd = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    found = embed_images(rct, encoder())
    np.testing.assert_allclose(found, (pixels.mean(axis=(2, 3)) - mean) / sd, atol=1e-5)
    np.testing.assert_allclose(found.attrs["band_mean"], mean)
    np.testing.assert_allclose(found.attrs["band_sd"], sd)


def test_a_target_is_normalised_as_its_source(rct):
    source = embed_images(rct, encoder())
    brighter = rct.arrays["image"] + 3.0
    own = embed_images(brighter.rename("image"), encoder())
    as_source = embed_images(brighter.rename("image"), encoder(), bands=source)
    np.testing.assert_allclose(own, source, atol=1e-4)
    shift = 3.0 / np.array(source.attrs["band_sd"])
    np.testing.assert_allclose(as_source - source, np.tile(shift, (12, 1)), atol=1e-4)


def test_statistics_of_other_bands_are_refused(rct):
    source = embed_images(rct, encoder())
    two = rct.arrays["image"].isel(band=[1, 0])
    with pytest.raises(ArgumentError, match="select and order them"):
        embed_images(two, encoder(), bands=source)
    with pytest.raises(ArgumentTypeError, match="bands must be an embedding"):
        embed_images(rct, encoder(), bands=3)


def test_crops_are_centred_and_their_vectors_joined(rct):
    whole = embed_images(rct, encoder())
    found = embed_images(rct, encoder(), crop_sizes=(4, 12))
    inner = embed_images(rct.arrays["image"][..., 4:8, 4:8], encoder(), bands=whole)
    np.testing.assert_allclose(found.values, np.hstack([inner, whole]), atol=1e-5)
    with pytest.raises(ArgumentError, match="at most 12"):
        embed_images(rct, encoder(), crop_sizes=(13,))
    with pytest.raises(ArgumentTypeError, match=r"several sides, such as \(32,\); got 4"):
        embed_images(rct, encoder(), crop_sizes=4)


def test_sequences_follow_the_rule_over_time():
    data = generators.image_sequence_rct(0, n_images=6, frames=3, size=8)
    every = embed_images(data, encoder(), temporal="concat").values.reshape(6, 3, -1)
    last = embed_images(data, encoder(), temporal="last")
    change = embed_images(data, encoder(), temporal="difference")
    np.testing.assert_allclose(last, every[:, -1], atol=1e-5)
    years = 2.0 * 365.25 / (365.0 + 365.0) if "time" in data.arrays["image"].coords else 2.0
    step = (every[:, 2] - every[:, 0]) / 2.0
    assert change.shape == (6, 6)
    np.testing.assert_allclose(change[:, 3:], step * (years if years < 2 else 1.0), rtol=2e-3)


def test_a_store_is_read_run_by_run(tmp_path):
    pytest.importorskip("zarr")
    memory = generators.image_rct(0, n_images=40, size=8)
    lazy = generators.image_rct(0, n_images=40, size=8, to_zarr=tmp_path / "s.zarr", chunk=16)
    np.testing.assert_allclose(
        embed_images(lazy, encoder(), batch_size=7), embed_images(memory, encoder()), atol=1e-6
    )


def test_what_is_kept_is_read_again_if_equal_and_made_again_if_not(rct, tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "kept.zarr"
    first = embed_images(rct, encoder(), cache=path)
    again = Counted()
    found = embed_images(rct, encoder(lambda _: again), cache=path)
    assert again.seen == 1
    assert found.identical(first)
    other = rct.arrays["image"].copy(deep=True)
    other[3, 0, 0, 0] += 1.0
    with pytest.warns(CausalKitWarning, match="made again and replaced"):
        changed = embed_images(other, encoder(), cache=path)
    assert changed.attrs["digest"] != first.attrs["digest"]
    assert embed_images(other, encoder(), cache=path).identical(changed)


def test_a_cache_that_cannot_be_written_is_said_and_a_folder_named_alike_is_left(rct, tmp_path):
    pytest.importorskip("zarr")
    (tmp_path / "kept.part").mkdir()
    (tmp_path / "kept.part" / "thesis.txt").write_text("mine")
    embed_images(rct, encoder(), cache=tmp_path / "kept")
    assert (tmp_path / "kept.part" / "thesis.txt").read_text() == "mine"
    with pytest.raises(StorageError, match="cannot write"):
        embed_images(rct, encoder(), cache=tmp_path / "kept.part" / "thesis.txt" / "kept")


def test_weights_and_arguments_are_part_of_the_digest(rct):
    def digest(seed=0, **more):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return embed_images(rct, encoder(module), **more).attrs["digest"]

    assert digest() == digest()
    assert len({digest(), digest(1), digest(crop_sizes=(8,)), digest(nan_policy="mean")}) == 4


def tops():
    """A module without weights that has the name of another, and other code."""

    class Counted(nn.Module):
        def forward(self, image):
            return image.amax(dim=(2, 3))

    return Counted()


class Scaled(nn.Module):
    """A number that is no weight."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, image):
        return self.factor * image.mean(dim=(2, 3))


def layers(last, **more):
    """The same weights, whatever follows them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, **more), last)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        pytest.param(Counted(), tops(), id="code"),
        pytest.param(Scaled(1.0), Scaled(2.0), id="attributes"),
        pytest.param(layers(nn.Tanh()), layers(nn.ReLU()), id="layers"),
        pytest.param(layers(nn.Tanh()), layers(nn.Tanh(), stride=2), id="arguments"),
    ],
)
def test_another_module_of_the_same_name_is_told_apart(rct, tmp_path, first, other):
    pytest.importorskip("zarr")
    made = embed_images(rct, encoder(first), cache=tmp_path / "kept.zarr")
    with pytest.warns(CausalKitWarning, match="made again and replaced"):
        found = embed_images(rct, encoder(other), cache=tmp_path / "kept.zarr")
    xr.testing.assert_identical(found, embed_images(rct, encoder(other)))
    with pytest.raises(ArgumentError, match="in encoder_digest"):
        check_alike(made.attrs, found.attrs)


class Held(nn.Module):
    """Attributes that are no weights, and a map that hangs on them."""

    def __init__(self, held):
        super().__init__()
        self.held = held

    def forward(self, image):
        return image.mean(dim=(2, 3))


class Bag:
    def __init__(self, inside):
        self.inside = inside


def times(factor):
    return lambda values: factor * values


HELD = {
    "list": ([1.0, 2.0], [1.0, 3.0]),
    "kind of list": ([1.0, 2.0], (1.0, 2.0)),
    "dict": ({"a": [1]}, {"a": [2]}),
    "array": (np.zeros(3), np.ones(3)),
    "type of array": (np.zeros(3), np.zeros(3, dtype="float32")),
    "tensor": (torch.tensor(1.0), torch.tensor(5.0)),
    "module in a list": ([nn.Linear(2, 2)], [nn.Linear(2, 2)]),
    "closure": (times(2.0), times(3.0)),
    "code": (lambda x: x + 1, lambda x: x + 2),
    "default": (partial(np.add, 1), partial(np.add, 2)),
    "library": (torch.relu, torch.tanh),
    "object": (Bag([1]), Bag([2])),
    "set": ({"a", "b"}, {"a", "c"}),
    "generator": (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)),
}


@pytest.mark.parametrize(("one", "other"), HELD.values(), ids=HELD)
def test_whatever_a_module_holds_is_part_of_the_digest(one, other):
    assert encoder_digest(Held(one)) == encoder_digest(copy.deepcopy(Held(one)))
    assert encoder_digest(Held(one)) != encoder_digest(Held(other))
    assert not untold_parts(Held(one))


def test_a_hook_and_an_attribute_that_leads_back_are_no_trouble():
    module = Held(None)
    module.held = [module]
    plain = encoder_digest(module)
    module.register_forward_hook(lambda _module, _inputs, output: 2.0 * output)
    assert encoder_digest(module) != plain


def test_the_size_that_images_are_resized_to_is_part_of_the_digest(rct, tmp_path):
    pytest.importorskip("zarr")
    module = layers(nn.Tanh())

    def sized(size):
        return ImageEncoder.of(module, name="mine", size=size)

    first = embed_images(rct, sized(6), cache=tmp_path / "kept")
    with pytest.warns(CausalKitWarning, match="made again and replaced"):
        found = embed_images(rct, sized(12), cache=tmp_path / "kept")
    assert not np.allclose(first, found)


def test_what_no_digest_sees_into_is_not_cached(rct, tmp_path):
    secret = encoder(lambda _: Held(iter([1])))
    with pytest.raises(ArgumentError, match=r"holds Held.held \(list_iterator\), whose content no"):
        embed_images(rct, secret, cache=tmp_path / "kept")
    assert embed_images(rct, secret).shape == (12, 3)


def test_keys_of_the_training_come_back_from_a_cache_as_numbers(rct, tmp_path):
    pytest.importorskip("zarr")
    keys = np.arange(500, 503)
    own = ImageEncoder.of(layers(nn.Tanh()), name="mine", trained_on=keys)
    made = embed_images(rct, own, cache=tmp_path / "kept")
    assert made.attrs["trained_on"] == [500, 501, 502]
    assert embed_images(rct, own, cache=tmp_path / "kept").identical(made)


def test_the_users_module_is_left_in_its_mode_and_where_it_is(rct):
    module = layers(nn.Tanh()).train()
    embed_images(rct, ImageEncoder.of(module, name="mine"))
    assert module.training
    assert module[0].training


def test_weights_of_half_precision_and_scalars_are_part_of_the_digest():
    halves = [nn.Linear(2, 1, bias=False, dtype=torch.bfloat16) for _ in range(2)]
    for half, value in zip(halves, (1.0, 2.0), strict=True):
        nn.init.constant_(half.weight, value)
        half.register_buffer("hidden", torch.tensor(0.5), persistent=False)
    one, two = (encoder_digest(half) for half in halves)
    nn.init.constant_(halves[1].weight, 1.0)
    assert one != two
    assert one == encoder_digest(halves[1])
    halves[1].hidden += 1.0
    assert one != encoder_digest(halves[1])


def test_a_path_with_something_else_is_left_alone(rct, tmp_path):
    pytest.importorskip("zarr")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ArgumentError, match="is no embedding"):
        embed_images(rct, encoder(), cache=tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_encoders_that_need_outcomes_are_refused(rct):
    with pytest.raises(ArgumentError, match="trained with the effects"):
        embed_images(rct, "cnn")
    with pytest.raises(ArgumentError, match="'transformer' is trained"):
        embed_images(rct, temporal="transformer")
    with pytest.raises(ArgumentTypeError, match="got int"):
        embed_images(3)


class Answer(nn.Module):
    """What a function makes of the images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


@pytest.mark.parametrize(
    ("function", "gave"),
    [
        (lambda image: image.mean(), r"it gave \(\)"),
        (lambda _: {"mean": "none"}, "it gave str"),
        (
            lambda image: image.new_ones((len(image), 0)),
            r"one image of \(3, 12, 12\) it gave \(1, 0",
        ),
        (lambda image: image.new_ones((7, 2)), r"it gave \(7, 2\)"),
    ],
)
def test_modules_that_give_no_vector_for_each_image_are_refused(rct, function, gave):
    with pytest.raises(ArgumentError, match=f"a vector for each image.*{gave}"):
        embed_images(rct, encoder(Answer(function)))


def test_vectors_that_are_not_finite_name_their_images(rct):
    dark = rct.arrays["image"].copy(deep=True)
    dark[[3, 8]] -= 100.0
    with pytest.raises(TrainingError, match=r"not finite \(images \[4, 9\] among others\)"):
        embed_images(dark, encoder(Answer(lambda image: (image.mean((2, 3)) + 2.0).log())))


def test_keys_that_are_repeated_are_refused(rct):
    twice = rct.arrays["image"].assign_coords(place=np.arange(12) // 11)
    with pytest.raises(DataError, match=r"1 keys more than once \(first: 0\)"):
        embed_images(twice, encoder())


def test_images_are_found_by_name_and_nothing_else_is_taken_for_them(rct):
    named = rct.arrays.rename(image="tile")
    found = embed_images(named, encoder(), image="tile")
    xr.testing.assert_equal(found, embed_images(rct, encoder()))
    with pytest.raises(ArgumentError, match=r"no image 'image' \(variables: tile\); pass image="):
        embed_images(named, encoder())
    with pytest.raises(ArgumentTypeError, match="allow_later_frames must be True or False, got 1"):
        embed_images(named, encoder(), image="tile", allow_later_frames=1)
    with pytest.raises(ArgumentTypeError, match=r"embed_images needs .* of images; got ndarray"):
        embed_images(named["tile"].values, encoder())


def test_pixels_that_are_no_real_numbers_are_refused(rct):
    with pytest.raises(DataError, match="pixels of 'image' are of type complex64"):
        embed_images(rct.arrays["image"].astype("complex64"), encoder())


def test_an_encoder_that_tells_no_images_apart_is_refused():
    with pytest.raises(DataError, match="the same vector for every training image"):
        principal(np.ones((9, 3)), 2)


def test_a_data_set_without_shared_images_has_one_vector_per_row():
    pixels = generators.image_rct(0, n_images=5, size=8).arrays["image"]
    frame = {"y": np.arange(5.0), "t": [0, 1, 0, 1, 0]}
    import pandas as pd

    images = pixels.drop_vars(["lon", "lat", "place"]).rename(place="obs")
    data = CausalData.from_frame(
        pd.DataFrame(frame), outcome="y", treatment="t", arrays=images.to_dataset(), image="image"
    )
    assert embed_images(data, encoder()).dims == ("obs", "feature")
