"""A fit in a folder: the same numbers to the bit, or an error that says what is wrong."""

import json
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import causalkit as ck
from causalkit.errors import ArgumentError, NotFittedError, StorageError
from causalkit.images.encoder_digest import own_parts
from causalkit.images.pretrained import Flat
from causalkit.images.saving import SCHEMA
from causalkit.module_digest import differing_parts
from causalkit.tensorfile import read_tensors, save_fit

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
    facts = json.loads((folder / "config.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"config.json", facts["weights"]}
    tensors = torch.load(folder / facts["weights"], weights_only=True)
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


class Powered(torch.nn.Module):
    """Means of powers, which are no weights; remembers what it has seen."""

    def __init__(self, powers):
        super().__init__()
        self.powers, self.seen = powers, 0

    def forward(self, image):
        self.seen += len(image)
        return torch.cat([(image**power).mean(dim=(2, 3)) for power in self.powers], dim=1)


@pytest.fixture(scope="module")
def small():
    return ck.generators.image_rct(3, n_images=520, size=8)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_another_module_of_the_same_name_is_refused(small, tmp_path):
    def own(powers=(1, 2), **more):
        return ck.ImageEncoder.of(Powered(powers), name="mine", **more)

    bands = small.arrays["image"]["band"].values
    fit = ck.ImageEffectClusters(encoder=own(size=6, bands=bands), **FAST).fit(small.blind())
    fit.save(tmp_path / "fit")
    read = ck.ImageEffectClusters.load
    loaded = read(tmp_path / "fit", encoder=own(size=6, bands=bands))
    xr.testing.assert_identical(fit.effect(small), loaded.effect(small))
    for other, words in (
        (own(size=8, bands=bands), "with size 6, got 8"),
        (own(size=6), "with bands .*, got None"),
        (own((1, 3), size=6, bands=bands), r"in powers, which is \(1, 3\) and was \(1, 2\), w"),
        (own(torch.tensor([1, 2]), size=6, bands=bands), "which is absent and was"),
    ):
        with pytest.raises(ArgumentError, match=words):
            read(tmp_path / "fit", encoder=other)


class Listed(torch.nn.Module):
    """A filter that torch does not know of, unless it is registered."""

    def __init__(self, seed, holder=list):
        super().__init__()
        torch.manual_seed(seed)
        self.parts = holder([torch.nn.Conv2d(3, 4, 3)])

    def forward(self, image):
        return self.parts[0](image).relu().mean(dim=(2, 3))


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_weights_that_are_not_stored_must_be_those_of_the_fit(small, tmp_path):
    def read(folder, *module):
        encoder = ck.ImageEncoder.of(Listed(*module), name="mine")
        return ck.ImageEffectClusters.load(tmp_path / folder, encoder=encoder)

    for folder, holder in (("listed", list), ("known", torch.nn.ModuleList)):
        encoder = ck.ImageEncoder.of(Listed(0, holder), name="mine")
        fit = ck.ImageEffectClusters(encoder=encoder, **FAST).fit(small.blind())
        fit.save(tmp_path / folder)
        xr.testing.assert_identical(fit.effect(small), read(folder, 0, holder).effect(small))
    # What is stored takes the place of what is passed.
    xr.testing.assert_identical(
        fit.effect(small), read("known", 1, torch.nn.ModuleList).effect(small)
    )
    with pytest.raises(ArgumentError, match="plain list or dict are not stored and so must be"):
        read("listed", 1)


class Within(torch.nn.Module):
    """A filter and powers, one inside of the other."""

    def __init__(self, size, powers, table):
        super().__init__()
        self.filters, self.means = torch.nn.Conv2d(3, 4, size), Powered(powers)
        self.table = table

    def forward(self, image):
        return self.means(self.filters(image))


def test_the_layer_or_attribute_that_differs_is_named():
    table = torch.tensor([1.0])

    def parts(*given):
        return own_parts(Flat(Within(*given)))

    fitted = parts(3, (1, 2), table)
    wanted = "means.powers, which is (1, 3) and was (1, 2)"
    assert differing_parts(fitted, parts(3, (1, 3), table)) == wanted
    layer = differing_parts(fitted, parts(5, (1, 2), table))
    assert layer.startswith("layer filters, which is Conv2d(3, 4, kernel_size=(5, 5)")
    assert "not in layers or plain values" in differing_parts(fitted, parts(3, (1, 2), 2 * table))


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_arguments_of_numpy_and_lists_come_back(small, tmp_path):
    given = {
        "n_clusters": np.int64(2),
        "n_components": np.int64(4),
        "batch_size": np.int32(32),
        "learning_rate": np.float32(0.002),
        "split": [0.5, np.float32(0.125), 0.375],
        "device": torch.device("cpu"),
        "encoder": replace(ck.ImageEncoder.random(n_filters=4, size=3), size=6),
    }
    fit = ck.ImageEffectClusters(**(FAST | given)).fit(small.blind())
    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit")
    xr.testing.assert_identical(fit.effect(small), loaded.effect(small))
    for name in ("n_clusters", "n_components", "batch_size", "learning_rate"):
        assert loaded.get_params()[name] == given[name]
    assert loaded.split == (0.5, 0.125, 0.375)
    assert loaded.device == "cpu"
    resized = ck.ImageEncoder.of(Powered((1, 2)), name="mine", size=np.int64(6))
    fit.set_params(split=np.array([0.5, 0.125, 0.375]), encoder=resized, inference="map")
    fit.fit(small.blind())
    fit.save(tmp_path / "arrays")
    loaded = ck.ImageEffectClusters.load(tmp_path / "arrays", encoder=resized)
    xr.testing.assert_identical(fit.effect(small), loaded.effect(small))
    assert loaded.split == (0.5, 0.125, 0.375)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_arms_clusters_and_levels_that_json_lacks_come_back(small, tmp_path):
    town = np.arange(520) % 260
    pairs = pd.Index([("a", 1), ("b", 2)], tupleize_cols=False)
    dates = pd.to_datetime(["2020-01-01", "2021-06-01"])
    frame = small.frame.assign(
        t=pd.Categorical.from_codes(small.frame["t"], pairs),
        town=pd.Timestamp("2020-01-01") + pd.to_timedelta(town, "D"),
        wave=pd.Categorical.from_codes(town % 2, dates),
    )
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    data = ck.CausalData.from_frame(
        frame, arrays=small.arrays, cluster="town", covariates=["wave"], **roles
    )
    encoder = ck.ImageEncoder.random(n_filters=4, size=3)
    fit = ck.ImageEffectClusters(encoder=encoder, inference="map", **FAST).fit(data)
    fit.save(tmp_path / "fit")
    loaded = ck.ImageEffectClusters.load(tmp_path / "fit")
    xr.testing.assert_identical(fit.effect(data), loaded.effect(data))
    assert loaded.result_.contrast == ("('b', 2) vs ('a', 1)",) * 2
    for estimand in ("clusters", "ate"):
        one, two = (each.estimate(estimand).to_dict(arrays=True) for each in (fit, loaded))
        assert one == two


def _powered(_bands):
    return Powered((1, 2))


ENCODERS = {
    "filters": ck.ImageEncoder.filters(n_filters=4, size=3),
    "cnn": ck.ImageEncoder.cnn(width=8),
    "random": ck.ImageEncoder.random(n_filters=4, size=3),
    "module": ck.ImageEncoder.of(Powered((1, 2)), name="mine"),
    "function": ck.ImageEncoder.of(_powered, name="mine"),
}


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_a_fit_can_be_pickled(small, tmp_path, encoder):
    settings = FAST | {"encoder": encoder, "epochs": 1, "inference": "map", "n_ensemble": 1}
    fit = ck.ImageEffectClusters(**settings).fit(small.blind())
    joblib.dump(fit, tmp_path / "fit.joblib")
    for again in (pickle.loads(pickle.dumps(fit)), joblib.load(tmp_path / "fit.joblib")):
        xr.testing.assert_identical(fit.predict_cate(small), again.predict_cate(small))
        assert again.encoder_.name == encoder.name
        assert again.summary() == fit.summary()


def test_what_is_not_a_whole_fit_is_refused(folder, tmp_path):
    with pytest.raises(NotFittedError):
        ck.ImageEffectClusters().save(tmp_path / "none")
    with pytest.raises(StorageError, match=r"lacks config\.json"):
        ck.ImageEffectClusters.load(tmp_path / "none")

    (weights,) = folder.glob("weights-*.pt")

    def changed(name, **facts):
        path = tmp_path / name
        path.mkdir()
        held = json.loads((folder / "config.json").read_text()) | facts
        (path / "config.json").write_text(json.dumps(held))
        (path / weights.name).write_bytes(weights.read_bytes())
        return path

    for name, facts, message in (
        ("schema", {"schema": 99}, f"reads schema {SCHEMA}"),
        ("class", {"class": "TransTEE"}, "holds 'TransTEE'"),
        ("seed", {"seed": 1}, "was changed: its files are not those that were saved"),
        ("digest", {"digest": "0"}, "was changed"),
    ):
        with pytest.raises(StorageError, match=message):
            ck.ImageEffectClusters.load(changed(name, **facts))
    cut = changed("cut")
    whole = weights.read_bytes()
    (cut / weights.name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="cannot be read"):
        ck.ImageEffectClusters.load(cut)
    moved = changed("moved")
    tensors, facts = read_tensors(folder)
    torch.save(tensors | {"member.0.mode": tensors["member.0.mode"] + 1.0}, moved / weights.name)
    with pytest.raises(StorageError, match="was changed"):
        ck.ImageEffectClusters.load(moved)
    for name, lost, more in (
        ("encoder", "", {"encoder": facts["encoder"] | {"name": "cnn-64"}}),
        ("members", "", {"members": [{}]}),
        ("layout", "", {"layout": None}),
        ("draws", "member.0.draws", {}),
    ):
        fewer = {key: values for key, values in tensors.items() if key != lost}
        plain = {key: value for key, value in facts.items() if key != "digest"}
        save_fit(tmp_path / name, "ImageEffectClusters", fewer, plain | more, schema=SCHEMA)
        with pytest.raises(StorageError, match="does not fit together"):
            ck.ImageEffectClusters.load(tmp_path / name)


@pytest.mark.parametrize("name", ["config.json", "weights.pt", "notes.txt"])
def test_nothing_of_the_user_is_overwritten_by_a_fit(motif_fit, tmp_path, name):
    path = tmp_path / "fit"
    path.mkdir()
    if name == "notes.txt":
        motif_fit.save(path)
    (path / name).write_text('{"schema": 1, "mine": true}')
    with pytest.raises(StorageError, match=f"holds {name}, which is no part of a fit"):
        motif_fit.save(path)
    assert (path / name).read_text() == '{"schema": 1, "mine": true}'
    motif_fit.save(tmp_path / "new")
    motif_fit.save(tmp_path / "new")
