"""Of several encoders the one is kept that tells outcomes of the selection rows best."""

import warnings

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.images.encoders import ImageEncoder, candidate_encoders

torch.set_num_threads(1)
FAST = {"n_restarts": 1, "n_draws": 40, "epochs": 12, "random_state": 0}


@pytest.fixture(scope="module")
def chosen(motif_rct):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ck.ImageEffectClusters(encoder=["random", "filters"], **FAST).fit(motif_rct.blind())


def alone(encoder, rct):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ck.ImageEffectClusters(encoder=encoder, **FAST).fit(rct.blind())


def test_the_best_by_the_selection_rows_is_kept_and_is_what_it_would_be_alone(chosen, motif_rct):
    fits = {name: alone(name, motif_rct) for name in ("random", "filters")}
    scores = {f.encoder_.name: f.diagnostics_["selection_score"] for f in fits.values()}
    assert chosen.diagnostics_["encoders"] == scores
    assert scores["filters-32x5"] > max(v for k, v in scores.items() if k != "filters-32x5")
    assert chosen.encoder_.name == "filters-32x5"
    assert chosen.diagnostics_["selection_score"] == scores["filters-32x5"]
    kept = fits["filters"]
    np.testing.assert_array_equal(chosen.evaluation_.cate, kept.evaluation_.cate)
    assert "filters-32x5" in chosen.estimate().estimator


def test_a_worse_encoder_is_not_kept_because_it_comes_last(motif_rct, chosen):
    turned = alone(["filters", "random"], motif_rct)
    assert turned.encoder_.name == chosen.encoder_.name


def test_a_saved_choice_comes_back_as_the_encoder_that_was_kept(chosen, motif_rct, tmp_path):
    chosen.save(tmp_path / "fit")
    again = ck.ImageEffectClusters.load(tmp_path / "fit")
    assert again.encoder_.name == "filters-32x5"
    np.testing.assert_array_equal(
        again.predict_cate(motif_rct.blind()), chosen.predict_cate(motif_rct.blind())
    )


def test_auto_is_both_that_are_trained():
    assert [one.name for one in candidate_encoders("auto")] == ["cnn-32", "filters-32x5"]
    assert [one.name for one in candidate_encoders("cnn")] == ["cnn-32"]
    own = ImageEncoder.cnn(width=8)
    assert candidate_encoders([own, "random"])[0] is own


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ([], "must name encoders, each once, got none"),
        (["cnn", "cnn"], "each once, got cnn-32, cnn-32"),
        ("resnet", "auto"),
        (["resnet"], "resnet"),
    ],
)
def test_a_list_that_is_none_is_refused(encoder, words):
    with pytest.raises(ArgumentError, match=words):
        candidate_encoders(encoder)


@pytest.mark.parametrize("encoder", [None, {"cnn"}, np.array(["cnn"])])
def test_what_is_neither_an_encoder_nor_a_list_is_refused(encoder):
    with pytest.raises(ArgumentError, match="must be a list, 'auto', 'cnn'"):
        candidate_encoders(encoder)


def test_auto_is_no_encoder_of_a_list():
    with pytest.raises(ArgumentError, match="'auto' stands alone"):
        candidate_encoders(["auto", "random"])


def test_every_start_trains_a_copy_of_the_users_module(motif_rct):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU())
    before = [values.clone() for values in module.parameters()]
    own = ImageEncoder.of(module, name="mine", trained=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ck.ImageEffectClusters(
            encoder=own, **(FAST | {"n_restarts": 2, "n_ensemble": 2, "epochs": 2})
        ).fit(motif_rct.blind())
    first, second = (member.network.module[0].weight for member in fit.members_)
    assert not torch.equal(first, second)
    assert all(map(torch.equal, before, module.parameters()))


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_an_encoder_that_has_seen_outcomes_of_the_trial_is_refused(motif_rct, trained, listed):
    """Of an evaluation row as well: its honest effect would not be."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.ReLU())
    seen = motif_rct.frame["place"].iloc[-1:].astype(str).tolist()
    own = ImageEncoder.of(module, name="mine", trained=trained, trained_on=seen)
    encoder = ["random", own] if listed else own
    with pytest.raises(ArgumentError, match=r"the encoder 'mine' was trained on the outcomes of 1"):
        ck.ImageEffectClusters(encoder=encoder, **FAST).fit(motif_rct.blind())


@pytest.mark.parametrize("size", [0, 2.5])
def test_the_side_that_images_are_resized_to_is_a_whole_number(size):
    with pytest.raises(ArgumentError, match="size must be"):
        ck.ImageEncoder.of(torch.nn.Conv2d(3, 4, 3), name="mine", size=size)
