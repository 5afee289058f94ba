"""Weights from elsewhere: all of them or an error, and never for other bands."""

import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from causalkit import CausalData, ImageEffectClusters, ImageEncoder, embed_images, generators
from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    DataError,
    MissingDependencyError,
)
from causalkit.images.pretrained import Flat


def build(bands, width=4):
    return nn.Sequential(nn.Conv2d(bands, width, 3), nn.ReLU())


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    module = build(3)
    path = tmp_path / "mine.pt"
    torch.save(module.state_dict(), path)
    return module, path


@pytest.fixture(scope="module")
def images():
    return generators.image_rct(0, n_images=6, size=10).arrays["image"]


def test_weights_of_a_file_give_what_the_module_that_saved_them_gives(weights, images):
    module, path = weights
    found = embed_images(images, ImageEncoder.from_file(path, build=build))
    direct = embed_images(images, ImageEncoder.of(module, name="mine"))
    torch.testing.assert_close(torch.tensor(found.values), torch.tensor(direct.values))
    assert found.attrs["encoder"] == "mine"


@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_checkpoints_that_hold_more_than_weights_are_read(weights, tmp_path, images, name):
    module, path = weights
    torch.save({name: module.state_dict(), "epoch": 3}, tmp_path / "more.pt")
    found = embed_images(images, ImageEncoder.from_file(tmp_path / "more.pt", build=build))
    assert (found.values == embed_images(images, ImageEncoder.from_file(path, build=build))).all()


def test_weights_of_another_module_are_refused_by_name_and_shape(weights, tmp_path, images):
    _, path = weights
    with pytest.raises(ArgumentError, match=r"0.weight is \(4, 3, 3, 3\) in place of \(5, 3"):
        embed_images(images, ImageEncoder.from_file(path, build=lambda n: build(n, 5)))
    deeper = ImageEncoder.from_file(path, build=lambda n: build(n).append(nn.Conv2d(4, 4, 1)))
    with pytest.raises(ArgumentError, match=r"2 absent \(first: 2.weight, 2.bias\)"):
        embed_images(images, deeper)
    with pytest.raises(ArgumentError, match="no file of weights"):
        embed_images(images, ImageEncoder.from_file(tmp_path / "none.pt", build=build))
    torch.save(["not", "weights"], tmp_path / "list.pt")
    with pytest.raises(ArgumentError, match="holds a list, not a state dict"):
        embed_images(images, ImageEncoder.from_file(tmp_path / "list.pt", build=build))


def test_a_file_with_code_in_it_is_not_run(tmp_path, images):
    torch.save(build(3), tmp_path / "module.pt")
    with pytest.raises(ArgumentError, match="cannot be read as weights"):
        embed_images(images, ImageEncoder.from_file(tmp_path / "module.pt", build=build))


def test_other_bands_are_refused(weights, images):
    _, path = weights
    encoder = ImageEncoder.from_file(path, build=build, bands=["red", "green", "blue"])
    with pytest.raises(ArgumentError, match="made for the bands red, green, blue"):
        embed_images(images, encoder)


def test_images_are_resized_as_torch_does_with_antialiasing(weights, images):
    module, _ = weights
    encoder = ImageEncoder.of(module, name="mine", size=6, mean=[0, 0, 0], sd=[1, 1, 1])
    pixels = torch.as_tensor(images.values, dtype=torch.float32)
    small = nn.functional.interpolate(pixels, (6, 6), mode="bilinear", antialias=True)
    expected = module(small).mean(dim=(2, 3)).detach()
    found = torch.tensor(embed_images(images, encoder).values, dtype=torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("factor", [255.0, 1.0 / 255.0])
def test_pixels_in_other_units_than_those_of_the_weights_are_refused(images, factor):
    """Bytes where shares of one are expected, and the other way round."""
    shares = 0.4 + 0.1 * images
    mean, sd = factor * np.full(3, 0.45), factor * np.full(3, 0.2)
    encoder = ImageEncoder.of(build(3), name="mine", mean=mean, sd=sd)
    with pytest.raises(ArgumentError, match=r"expects band 'b1' with mean .* other units"):
        embed_images(shares, encoder)
    embed_images(factor * shares, encoder)
    data = generators.image_rct(0, n_images=520, size=10).blind()
    small = data.arrays.assign(image=0.4 + 0.1 * data.arrays["image"])
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    trial = CausalData.from_frame(data.frame, arrays=small, **roles)
    with pytest.raises(ArgumentError, match="other units"):
        ImageEffectClusters(encoder=encoder, random_state=0).fit(trial)


def test_means_for_another_number_of_bands_are_refused(images):
    encoder = ImageEncoder.of(build(3), name="mine", mean=[0.0, 0.0], sd=[1.0, 1.0])
    with pytest.raises(ArgumentError, match="means of 2 bands, and 'image' has 3: b1, b2, b3"):
        embed_images(images, encoder)


@pytest.fixture
def timm(monkeypatch):
    stub = ModuleType("timm")
    stub.made = []

    def create_model(name, *, pretrained, num_classes, in_chans):
        stub.made.append((name, pretrained, num_classes, in_chans))
        return build(in_chans)

    stub.create_model = create_model
    stub.get_pretrained_cfg = lambda _: SimpleNamespace(
        mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), input_size=(3, 8, 8)
    )
    monkeypatch.setitem(sys.modules, "timm", stub)
    return stub


def test_timm_is_asked_for_an_encoder_of_these_bands(timm, weights, images):
    module, path = weights
    found = embed_images(images, ImageEncoder.timm("resnet18", checkpoint=path))
    assert timm.made == [("resnet18", False, 0, 3)]
    direct = embed_images(images, ImageEncoder.of(module, name="mine"))
    assert (found.values == direct.values).all()


def test_weights_of_timm_bring_their_normalisation_and_are_for_three_bands(timm, images):
    with pytest.raises(ArgumentError, match="red, green and blue"):
        ImageEncoder.timm("resnet18", pretrained=True)
    encoder = ImageEncoder.timm("resnet18", pretrained=True, bands=["b1", "b2", "b3"])
    assert (encoder.mean, encoder.sd, encoder.size) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 8)
    assert embed_images(images, encoder).attrs["band_mean"] == [0.4, 0.5, 0.6]


@pytest.fixture
def torchgeo(monkeypatch):
    package, models = ModuleType("torchgeo"), ModuleType("torchgeo.models")
    package.models = models
    entry = SimpleNamespace(meta={"bands": ["B4", "B3", "B2"]})
    models.get_weight = lambda _: entry
    models.get_model = lambda _, *, in_chans, **__: build(in_chans)
    monkeypatch.setitem(sys.modules, "torchgeo", package)
    monkeypatch.setitem(sys.modules, "torchgeo.models", models)
    return entry


UNITLESS = pytest.mark.filterwarnings("ignore:the weights of torchgeo's")


@UNITLESS
def test_an_entry_of_torchgeo_brings_its_bands(torchgeo, images):
    encoder = ImageEncoder.torchgeo("resnet18", "ResNet18_Weights.LANDSAT")
    assert encoder.bands == ("B4", "B3", "B2")
    with pytest.raises(ArgumentError, match="made for the bands B4, B3, B2"):
        embed_images(images, encoder)
    torchgeo.meta.clear()
    with pytest.raises(ArgumentError, match="do not say for which bands"):
        ImageEncoder.torchgeo("resnet18", torchgeo)


def test_weights_of_torchgeo_without_units_say_so(torchgeo, images):
    del torchgeo
    with pytest.warns(CausalKitWarning, match="is standardised by the training images"):
        ImageEncoder.torchgeo("resnet18", "ResNet18_Weights.LANDSAT")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageEncoder.torchgeo("resnet18")
        known = {"mean": [0.0] * 3, "sd": [1e4] * 3}
        encoder = ImageEncoder.torchgeo("resnet18", "ResNet18_Weights.LANDSAT", **known)
    named = images.assign_coords(band=["B4", "B3", "B2"])
    with pytest.raises(ArgumentError, match="units"):
        embed_images(named, encoder)


@UNITLESS
def test_a_file_for_torchgeo_needs_its_bands_named(torchgeo, weights, images):
    module, path = weights
    with pytest.raises(ArgumentError, match="name them in order"):
        ImageEncoder.torchgeo("resnet18", path)
    encoder = ImageEncoder.torchgeo("resnet18", path, bands=["b1", "b2", "b3"])
    direct = embed_images(images, ImageEncoder.of(module, name="mine"))
    assert (embed_images(images, encoder).values == direct.values).all()


def test_absent_packages_are_named(monkeypatch, images):
    for name in ("timm", "torchgeo", "torchgeo.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="'timm'"):
        embed_images(images, ImageEncoder.timm("resnet18"))
    with pytest.raises(MissingDependencyError, match="torchgeo"):
        embed_images(images, ImageEncoder.torchgeo("resnet18"))


def test_bands_with_numbers_for_names_are_matched_and_advised_as_numbers(images):
    numbered = images.assign_coords(band=[1, 2, 3])
    expected = embed_images(images, ImageEncoder.of(build(3), name="m", bands=["b1", "b2", "b3"]))
    module = build(3)
    for bands in ([1, 2, 3], np.array([1, 2, 3]), ["1", "2", "3"]):
        found = embed_images(numbered, ImageEncoder.of(module, name="m", bands=bands))
        assert found.shape == expected.shape
    with pytest.raises(ArgumentError, match=r"ds\.sel\(band=\[3, 1, 2\]\)"):
        embed_images(numbered, ImageEncoder.of(module, name="m", bands=["3", "1", "2"]))
    with pytest.raises(ArgumentError, match=r"ds\.sel\(band=\['b3', 'b1', 'b2'\]\)"):
        embed_images(images, ImageEncoder.of(module, name="m", bands=["b3", "b1", "b2"]))
    flat = numbered.copy(deep=True)
    flat[:, 1] = 0.0
    with pytest.raises(DataError, match=r"ds\.drop_sel\(band=2\)"):
        embed_images(flat, ImageEncoder.random(n_filters=2, size=3))


def test_a_module_for_another_number_of_bands_says_how_many(images):
    four = xr.concat([images, images.isel(band=[0]).assign_coords(band=["b4"])], "band")
    with pytest.raises(ArgumentError, match=r"images of 4 bands.*It is made for 3 bands"):
        embed_images(four, ImageEncoder.of(build(3), name="mine"))
    own = ImageEncoder.of(build(3), name="mine", bands=["b1", "b2", "b3"])
    with pytest.raises(ArgumentError, match=r"one of them nan_policy's mask.*nan_policy='mean'"):
        embed_images(images, own, nan_policy="mask")
    made = ImageEncoder.of(build, name="mine", bands=["b1", "b2", "b3"])
    assert embed_images(images, made, nan_policy="mask").sizes["feature"] == 4


class Buffered(nn.Module):
    """No parameters; a buffer that may lie elsewhere."""

    def __init__(self, device):
        super().__init__()
        self.register_buffer("scale", torch.ones((), device=device))

    def forward(self, image):
        assert image.device == self.scale.device
        return image.mean(dim=(2, 3)) * self.scale


def test_a_module_is_measured_where_its_buffers_are():
    """On a device without memory, which stands for a GPU."""
    assert Flat(Buffered("meta")).measure((3, 4, 4)).n_features == 3


def test_fits_leave_the_global_generator_and_the_module_as_they_were():
    data = generators.image_rct(0, n_images=520, size=8).blind()
    module = build(3).train()
    settings = {"epochs": 1, "inference": "map", "n_ensemble": 1, "random_state": 0}
    for encoder in ("cnn", ImageEncoder.of(module, name="mine")):
        before = torch.random.get_rng_state()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ImageEffectClusters(encoder=encoder, **settings).fit(data)
        assert torch.equal(before, torch.random.get_rng_state())
    assert module.training
