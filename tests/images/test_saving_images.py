"""A fit in a folder: the same numbers to the bit, or an error that says what is wrong."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import causalkit as ck
from causalkit.errors import ArgumentError, NotFittedError, StorageError

torch.set_num_threads(1)
FAST = {"n_restarts": 1, "n_draws": 40, "random_state": 0}


def alike(one, two, data):
    """Everything that a fit tells is the same, to the bit."""
    xr.testing.assert_identical(one.effect(data), two.effect(data))
    xr.testing.assert_identical(one.predict_proba(data), two.predict_proba(data))
    for estimand in ("clusters", "ate", "calibration"):
        assert one.estimate(estimand).to_dict(arrays=True) == two.estimate(estimand).to_dict(
            arrays=True
        )
    assert one.summary() == two.summary()
    assert one.rate().toc.equals(two.rate().toc)
    pd.testing.assert_frame_equal(one.cluster_effects(), two.cluster_effects())
    image = data.arrays["image"]
    some = image.isel({image.dims[0]: slice(0, 12)})
    xr.testing.assert_identical(
        one.salience(some, occlusion=True), two.salience(some, occlusion=True)
    )
    xr.testing.assert_identical(one.transport(some).places, two.transport(some).places)


@pytest.fixture(scope="module")
def folder(motif_fit, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "clusters"
    motif_fit.save(path)
    return path


def test_a_loaded_fit_is_saved_again(folder, motif_rct, tmp_path):
    ck.ImageEffectClusters.load(folder).save(tmp_path / "again")
    one, two = (ck.ImageEffectClusters.load(path) for path in (folder, tmp_path / "again"))
    xr.testing.assert_identical(one.effect(motif_rct), two.effect(motif_rct))
    assert np.array_equal(one.members_[0].mode, two.members_[0].mode)


@pytest.fixture(scope="module")
def sequences():
    return ck.generators.image_sequence_rct(0, n_images=520, size=8)


def test_a_trained_encoder_comes_back_to_the_bit(folder, motif_rct, motif_fit):
    loaded = ck.ImageEffectClusters.load(folder)
    alike(motif_fit, loaded, motif_rct)
    soft = [one.estimate("soft").to_dict(arrays=True) for one in (motif_fit, loaded)]
    assert soft[0] == soft[1]
    for name in ("train", "select", "evaluate"):
        assert np.array_equal(getattr(loaded.parts_, name), getattr(motif_fit.parts_, name))
    image = motif_rct.arrays["image"]
    some = image.isel({image.dims[0]: slice(0, 3)})
    modes = [one.salience(some, at="mode") for one in (motif_fit, loaded)]
    xr.testing.assert_identical(*modes)
    assert loaded.epochs == 15
    assert loaded.get_params()["encoder"].name == "cnn-32"
    frame = loaded.plot_clusters(motif_rct.blind(), n_images=2).plot_data
    assert frame["images"].map(len).tolist() == [2, 2]


def test_files_are_tensors_and_text(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "weights.pt"]
    tensors = torch.load(folder / "weights.pt", weights_only=True)
    facts = json.loads((folder / "config.json").read_text())
    assert facts["class"] == "ImageEffectClusters"
    assert facts["versions"]["torch"] == torch.__version__
    assert {"network.0.layers.0.weight", "member.0.draws", "evaluation.score"} <= set(tensors)


def test_sequences_with_random_filters_and_a_chosen_number(sequences, tmp_path):
    fit = ck.ImageEffectClusters(
        n_clusters="auto",
        max_clusters=2,
        encoder=ck.ImageEncoder.random(n_filters=8, seed=3),
        inference="map",
        n_ensemble=2,
        treatment_date=sequences.arrays["image"]["time"].values[-1] + 1,
        **FAST,
    ).fit(sequences.blind())
    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit")
    assert loaded.n_clusters_ == fit.n_clusters_
    pd.testing.assert_frame_equal(loaded.choice_, fit.choice_)
    xr.testing.assert_identical(loaded.effect(sequences), fit.effect(sequences))
    assert loaded.summary() == fit.summary()
    years = fit.members_[0].network.encoder.years
    assert torch.equal(loaded.members_[0].network.encoder.years, years)
    assert loaded.members_[0].network is loaded.members_[1].network


@pytest.mark.filterwarnings("ignore:cluster:causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize(
    "encoder",
    [
        ck.ImageEncoder.random(n_filters=4, size=3, seed=2, centred=True),
        ck.ImageEncoder.filters(n_filters=4, size=3),
    ],
    ids=lambda encoder: encoder.name,
)
def test_filters_come_back(sequences, tmp_path, encoder):
    fit = ck.ImageEffectClusters(encoder=encoder, inference="map", n_ensemble=1, **FAST)
    fit.set_params(epochs=2).fit(sequences.blind()).save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit")
    xr.testing.assert_identical(loaded.predict_cate(sequences), fit.predict_cate(sequences))
    assert loaded.get_params()["encoder"].name == encoder.name


def test_a_module_of_ones_own_is_passed_again(tmp_path):
    data = ck.generators.image_rct(3, n_images=520, size=8)

    def module():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU())

    def own(name="mine"):
        return ck.ImageEncoder.of(module(), name=name)

    fit = ck.ImageEffectClusters(encoder=own(), **FAST).fit(data.blind())
    fit.save(tmp_path / "fit")
    with pytest.raises(ArgumentError, match=r"an encoder of your own, 'mine'.*pass it"):
        ck.ImageEffectClusters.load(tmp_path / "fit")
    with pytest.raises(ArgumentError, match="has the encoder 'mine', got 'yours'"):
        ck.ImageEffectClusters.load(tmp_path / "fit", encoder=own("yours"))
    blank = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU())
    before = blank[0].weight.clone()
    loaded = ck.ImageEffectClusters.load(
        tmp_path / "fit", encoder=ck.ImageEncoder.of(blank, name="mine")
    )
    alike(fit, loaded, data)
    assert torch.equal(blank[0].weight, before)


def test_what_is_not_a_whole_fit_is_refused(folder, tmp_path):
    with pytest.raises(NotFittedError):
        ck.ImageEffectClusters().save(tmp_path / "none")
    with pytest.raises(StorageError, match=r"lacks config\.json"):
        ck.ImageEffectClusters.load(tmp_path / "none")

    def changed(name, **facts):
        path = tmp_path / name
        path.mkdir()
        held = json.loads((folder / "config.json").read_text()) | facts
        (path / "config.json").write_text(json.dumps(held))
        (path / "weights.pt").write_bytes((folder / "weights.pt").read_bytes())
        return path

    for name, facts, message in (
        ("schema", {"schema": 99}, "reads schema 3"),
        ("class", {"class": "TransTEE"}, "holds 'TransTEE'"),
        ("encoder", {"encoder": {"name": "cnn-64", "own": False}}, "does not fit together"),
        ("members", {"members": [{}]}, "does not fit together"),
        ("layout", {"layout": None}, "does not fit together"),
    ):
        with pytest.raises(StorageError, match=message):
            ck.ImageEffectClusters.load(changed(name, **facts))
    cut = changed("cut")
    whole = (folder / "weights.pt").read_bytes()
    (cut / "weights.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="cannot be read"):
        ck.ImageEffectClusters.load(cut)
    lost = changed("lost")
    tensors = torch.load(folder / "weights.pt", weights_only=True)
    del tensors["member.0.draws"]
    torch.save(tensors, lost / "weights.pt")
    with pytest.raises(StorageError, match="does not fit together"):
        ck.ImageEffectClusters.load(lost)
