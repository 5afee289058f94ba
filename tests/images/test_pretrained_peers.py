"""Encoders of timm and torchgeo themselves, where they are installed, with weights made here."""

import pytest
import torch

import causalkit as ck

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
BANDS = ("b1", "b2", "b3")


@pytest.fixture(scope="module")
def images():
    return ck.generators.image_rct(0, n_images=6, size=32).arrays["image"]


def straight(module, images):
    """What the module gives for images whose bands have mean 0 and deviation 1."""
    pixels = torch.tensor(images.values)
    dims = (0, 2, 3)
    mean, sd = pixels.mean(dims, keepdim=True), pixels.std(dims, keepdim=True, correction=0)
    with torch.no_grad():
        return module.eval()((pixels - mean) / sd)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "efficientnet_b0"])
def test_timm_gives_what_its_own_module_gives(tmp_path, images, name):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0, in_chans=3)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    encoder = ck.ImageEncoder.timm(name, checkpoint=tmp_path / "weights.pt", bands=BANDS)
    found = torch.tensor(ck.embed_images(images, encoder).values).float()
    torch.testing.assert_close(found, straight(module, images), rtol=1e-3, atol=1e-4)


def test_a_file_of_torchgeo_gives_what_its_own_module_gives(tmp_path, images):
    models = pytest.importorskip("torchgeo.models", reason="torchgeo is not installed")
    torch.manual_seed(0)
    module = models.get_model("resnet18", in_chans=3, num_classes=0)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    encoder = ck.ImageEncoder.torchgeo("resnet18", tmp_path / "weights.pt", bands=BANDS)
    found = torch.tensor(ck.embed_images(images, encoder).values).float()
    torch.testing.assert_close(found, straight(module, images), rtol=1e-3, atol=1e-4)


def test_an_entry_of_torchgeo_brings_its_bands(monkeypatch, images):
    models = pytest.importorskip("torchgeo.models", reason="torchgeo is not installed")
    entry = models.get_weight("ResNet18_Weights.SENTINEL2_RGB_MOCO")
    torch.manual_seed(0)
    module = models.get_model("resnet18", in_chans=3, num_classes=0)
    # In place of a download.
    monkeypatch.setattr(type(entry), "get_state_dict", lambda *_, **__: module.state_dict())
    named = images.assign_coords(band=["B4", "B3", "B2"])
    encoder = ck.ImageEncoder.torchgeo("resnet18", "ResNet18_Weights.SENTINEL2_RGB_MOCO")
    found = torch.tensor(ck.embed_images(named, encoder).values).float()
    torch.testing.assert_close(found, straight(module, images), rtol=1e-3, atol=1e-4)
    with pytest.raises(ck.errors.CausalKitError, match="B4"):
        ck.embed_images(images, encoder)
