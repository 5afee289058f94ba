"""Training against a treatment model: weights, too little memory, interruption, resumption."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from test_training import flat
from transtee_designs import SMALL, arms_data, arms_frame, weighted_arms

import causalkit as ck
from causalkit.errors import CausalKitWarning, StorageError
from causalkit.transtee.adversary import Adversary
from causalkit.transtee.objective import NetObjective


def test_a_treatment_model_forgets_what_it_saw_in_an_epoch_that_failed(monkeypatch):
    held, calls = [], []
    gradient, remember = NetObjective.gradient, Adversary.remember

    def once(self, flat, rows):
        calls.append(rows)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gradient(self, flat, rows)

    def watched(self, r, rows):
        found = remember(self, r, rows)
        held.append(found[1].shape[1] // rows.shape[1])
        return found

    monkeypatch.setattr(NetObjective, "gradient", once)
    monkeypatch.setattr(Adversary, "remember", watched)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ck.TransTEE(**SMALL, batch_size=64, regularizer="tr").fit(arms_data())
    assert any("out of memory with batches of 64" in str(one.message) for one in said)
    assert held[:10] == [1, 2, 3, 4, 4, 1, 2, 3, 4, 4]


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_resumed_is_as_if_never_interrupted_where_some_have_stopped(tmp_path):
    arguments = SMALL | {"n_ensemble": 4, "patience": 1, "max_epochs": 40, "batch_size": 40}
    arguments |= {"regularizer": "tr", "lr": 2e-2, "dropout": 0.2}
    whole = ck.TransTEE(**arguments).fit(arms_data())
    assert min(whole.diagnostics_["epochs trained"]) < 40
    assert max(whole.diagnostics_["epochs trained"]) == 40

    def stop(text):
        if text.startswith("epoch 40/"):
            raise KeyboardInterrupt

    ck.TransTEE(**arguments, checkpoint=tmp_path, progress=stop).fit(arms_data())
    again = ck.TransTEE(**arguments, checkpoint=tmp_path).fit(arms_data())
    torch.testing.assert_close(flat(again), flat(whole), atol=0, rtol=0)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize(
    "change",
    [{"outcome": "huber"}, {"dropout": 0.1}, {"n_heads": 4}, {"adversary_steps": 2}, "weights"],
    ids=str,
)
def test_a_checkpoint_of_a_training_by_other_arguments_is_refused(tmp_path, change):
    arguments = SMALL | {"max_epochs": 2, "regularizer": "tr"}
    ck.TransTEE(**arguments, checkpoint=tmp_path).fit(arms_data())
    data = arms_data()
    if change == "weights":
        data = weighted_arms()
        change = {}
    with pytest.raises(StorageError, match="training with other arguments or data"):
        ck.TransTEE(**(arguments | change), checkpoint=tmp_path).fit(data)


def test_row_weights_reach_the_treatment_model(monkeypatch):
    seen = []
    learn = Adversary.learn

    def watched(self, r, actions, weight):
        seen.append(weight)
        learn(self, r, actions, weight)

    monkeypatch.setattr(Adversary, "learn", watched)
    with pytest.warns(CausalKitWarning, match="forget the treatment"):
        ck.TransTEE(**(SMALL | {"max_epochs": 1}), regularizer="tr").fit(weighted_arms())
    for weight in seen:
        torch.testing.assert_close(weight.sum(dim=1), torch.ones(1))
        assert weight.max() > 1.2 * weight.min()


def drugs(drug, weight, **treatments):
    """Rows of one of six drugs with two features, and perhaps of other treatments."""
    rng = np.random.default_rng(1)
    features = pd.DataFrame(rng.standard_normal((6, 2)), columns=["f", "g"])
    frame = arms_frame().drop(columns="t").assign(drug=drug, w=weight, **treatments)
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["drug", *treatments],
        kinds=("structured", *["binary"] * len(treatments)),
        covariates=["a", "b", "c"],
        weights="w",
        weight_kind="sampling",
        tables={"drug_vectors": features.assign(drug=range(6))},
    )


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_structured_treatments_of_rows_without_weight_push_nothing():
    drug = np.arange(240) % 6
    nobody = np.arange(240) % 5 == 0
    weight = np.where(nobody, 0.0, 1.0)
    parts = {"regularizer": "ptr", "regularizer_weight": 2.0}
    fits = [
        ck.TransTEE(**SMALL, **parts).fit(drugs(one, weight))
        for one in (drug, np.where(nobody, (drug + 1) % 6, drug))
    ]
    torch.testing.assert_close(flat(fits[1]), flat(fits[0]))
