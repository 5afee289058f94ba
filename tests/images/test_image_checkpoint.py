"""Training that was interrupted goes on exactly where it was, and only where it is the same."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import causalkit as ck
from causalkit.errors import ArgumentTypeError, StorageError
from causalkit.images import ImageEncoder, training
from causalkit.images.checkpoint import Keeper

SHORT = {"epochs": 4, "n_restarts": 2, "inference": "map", "n_ensemble": 1, "random_state": 3}


@pytest.fixture(scope="module")
def rct():
    return ck.generators.image_rct(1, n_images=520, size=16).blind()


@pytest.fixture(scope="module")
def kept(rct, tmp_path_factory):
    """Folder of a training that is done, and all that the fit says."""
    folder = tmp_path_factory.mktemp("kept")
    return folder, everything(estimator(checkpoint=folder).fit(rct))


class Wavering(nn.Module):
    """Few filters, and dropout, which draws random numbers in training."""

    n_features = 4

    def __init__(self, bands=3):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(bands, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.5)
        )

    def forward(self, image):
        return self.layers(image).mean(dim=(-2, -1))


def estimator(**more):
    encoder = ImageEncoder.of(Wavering, name="wavering", trained=True)
    return ck.ImageEffectClusters(**(SHORT | {"encoder": encoder} | more))


def everything(fit):
    """All that a fit says, and weights of its encoder."""
    weights = [part.clone() for part in fit.members_[0].network.state_dict().values()]
    return fit.result_.estimate, fit.result_.vcov, fit.members_[0].history, weights


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert one[2] == other[2]
    assert all(torch.equal(a, b) for a, b in zip(one[3], other[3], strict=True))


def interrupt_after(monkeypatch, n_epochs):
    """Ctrl-C in the middle of the epoch after so many."""
    real, done = training.Loop.step, []

    def step(self, batch):
        if len(done) and len(self.history) + done[0] * SHORT["epochs"] >= n_epochs:
            raise KeyboardInterrupt
        return real(self, batch)

    fresh = training.Loop.__post_init__

    def begin(self):
        done[:] = [done[0] + 1 if done else 0]
        fresh(self)

    monkeypatch.setattr(training.Loop, "step", step)
    monkeypatch.setattr(training.Loop, "__post_init__", begin)


@pytest.mark.parametrize("n_epochs", [1, 4, 6])
def test_an_interrupted_fit_goes_on_to_the_same_numbers(rct, tmp_path, kept, monkeypatch, n_epochs):
    with monkeypatch.context() as patched:
        interrupt_after(patched, n_epochs)
        with pytest.raises(KeyboardInterrupt):
            estimator(checkpoint=tmp_path).fit(rct)
    steps = []
    real = training.Loop.step
    monkeypatch.setattr(
        training.Loop, "step", lambda self, batch: steps.append(1) or real(self, batch)
    )
    same(everything(estimator(checkpoint=tmp_path).fit(rct)), kept[1])
    per_epoch = 5  # 260 images in batches of 64
    assert len(steps) == (2 * SHORT["epochs"] - n_epochs) * per_epoch


def test_keeping_the_state_changes_nothing(rct, kept):
    same(everything(estimator().fit(rct)), kept[1])


def test_a_finished_training_is_not_done_again(rct, kept, monkeypatch):
    told = []
    folder, whole = kept
    monkeypatch.setattr(training.Loop, "step", None)
    same(everything(estimator(checkpoint=folder, progress=told.append).fit(rct)), whole)
    assert sum("epoch" in text for text in told) == 2 * SHORT["epochs"]


def test_each_number_of_clusters_and_encoder_has_its_own(rct, tmp_path):
    fit = estimator(
        checkpoint=tmp_path,
        encoder=[ImageEncoder.of(Wavering, name="wavering", trained=True), "filters"],
        n_clusters="auto",
        max_clusters=2,
        n_restarts=1,
        epochs=1,
    ).fit(rct)
    assert len(fit.diagnostics_["encoders"]) == 2
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("config.json")}
    assert found == {f"encoder{e}/clusters{k}/start0" for e in (0, 1) for k in (1, 2)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"random_state": 4}, "random_state"),
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"epochs": 5}, "epochs"),
        ({"augment": False}, "augment"),
        ({"likelihood": "normal"}, "model"),
        ({"nan_policy": "mean"}, "nan_policy"),
        ({"encoder": "cnn"}, "encoder"),
    ],
)
def test_a_checkpoint_of_other_arguments_is_refused(rct, kept, change, named):
    with pytest.raises(StorageError, match=r"what differs: .*" + named) as told:
        estimator(checkpoint=kept[0], **change).fit(rct)
    assert ("must be a number" in str(told.value)) == (named == "random_state")


def test_a_checkpoint_of_other_data_is_refused(rct, kept):
    outcome = rct.frame["y"].to_numpy(copy=True)
    outcome[0] += 1.0
    with pytest.raises(StorageError, match="what differs: data"):
        estimator(checkpoint=kept[0]).fit(rct.assign(y=outcome))


def test_a_checkpoint_of_other_pixels_is_refused(rct, kept):
    fit = estimator(checkpoint=kept[0]).fit(rct)
    # One pixel of a place that is evaluated: nothing that training has seen.
    pixels = rct.arrays["image"].copy(deep=True)
    place = fit.parts_.evaluate[0]
    pixels[{"place": place, "band": 0, "y": 0, "x": 0}] += 1.0
    other = rct.arrays.assign(image=pixels)
    moved = ck.CausalData.from_frame(
        rct.frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=other,
    )
    with pytest.raises(StorageError, match="what differs: pixels"):
        estimator(checkpoint=kept[0]).fit(moved)


def test_a_checkpoint_of_another_schema_is_refused(rct, kept, tmp_path):
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 0}))
    with pytest.raises(StorageError, match="schema"):
        estimator(checkpoint=tmp_path).fit(rct)


def test_a_state_that_is_cut_short_leaves_the_former(rct, tmp_path, kept, monkeypatch):
    """A kill while the state is written loses the last epoch, and no more."""
    saves = []
    real = Keeper.save

    def save(self, loop):
        saves.append(1)
        if len(saves) == 3:
            monkeypatch.setattr(torch, "save", None)
        real(self, loop)

    monkeypatch.setattr(Keeper, "save", save)
    with pytest.raises(TypeError):
        estimator(checkpoint=tmp_path).fit(rct)
    monkeypatch.undo()
    same(everything(estimator(checkpoint=tmp_path).fit(rct)), kept[1])


def test_the_folder_is_a_path(rct, tmp_path):
    with pytest.raises(ArgumentTypeError, match="checkpoint must be the path of a folder"):
        estimator(checkpoint=3).fit(rct)


def test_dropout_is_seeded(rct):
    fits = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        fits.append(everything(estimator(n_restarts=1, epochs=1).fit(rct)))
    same(*fits)


def test_a_saved_fit_keeps_the_name_of_the_folder(rct, tmp_path):
    fit = estimator(checkpoint=tmp_path / "kept", encoder="filters", epochs=1).fit(rct)
    fit.save(tmp_path / "fit")
    assert ck.ImageEffectClusters.load(tmp_path / "fit").checkpoint == str(tmp_path / "kept")


def test_a_checkpoint_that_is_not_whole_is_refused_with_the_mend(rct, kept, tmp_path):
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("weights-*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="is not whole; remove it, or name another folder"):
        estimator(checkpoint=tmp_path).fit(rct)
