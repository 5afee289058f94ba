"""Training again on all rows, once the validation rows have chosen the epoch."""

import numpy as np
import pytest
import torch
from test_training import Breaks, flat
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.transtee.plan import Plan
from causalkit.transtee.training import State, train

QUICK = SMALL | {"max_epochs": 8}
TWO = QUICK | {"n_ensemble": 2}


def toy(until, save=None):
    rows = [np.arange(20), np.arange(20)]
    plan = Plan(lr=0.05, batch_size=10, max_epochs=12, patience=12)
    start = State.of(torch.zeros(2, 3), until)
    return train(start, Breaks(set()), rows, [0, 1], plan, torch.zeros(3), save=save)


def test_weights_are_those_after_the_epoch_that_is_named():
    means = {}
    toy(None, save=lambda state, _: means.update({state.epoch - 1: state.mean.clone()}))
    found = toy(np.array([3, 7]))
    assert torch.equal(found.best[0], means[3][0])
    assert torch.equal(found.best[1], means[7][1])
    assert found.last_epoch.max() == 7


def test_a_refit_learns_from_all_rows_for_as_long_as_the_validation_rows_said():
    data = arms_data()
    plain = ck.TransTEE(**TWO).fit(data)
    lines = []
    again = ck.TransTEE(**TWO, refit=True, progress=lines.append).fit(data)
    y = data.column("outcome")
    assert again.diagnostics_["best epoch"] == plain.diagnostics_["best epoch"]
    assert again.history_.equals(plain.history_)
    for fit, whole in ((plain, False), (again, True)):
        centre = fit.model_.stacks[0].scales.y_centre.numpy()
        assert (np.abs(centre - y.mean()) < 1e-6).all() == whole
    assert not torch.equal(flat(plain), flat(again))
    assert sum("on all rows" in line for line in lines) == max(plain.diagnostics_["best epoch"])
    assert again.diagnostics_["factual R², validation"] == []


def test_an_interrupted_refit_goes_on_exactly(tmp_path):
    arguments = QUICK | {"refit": True}
    whole = ck.TransTEE(**arguments).fit(arms_data())

    def stop(text):
        if "epoch 2/" in text and "on all rows" in text:
            raise KeyboardInterrupt

    with pytest.warns(CausalKitWarning, match="on all rows was interrupted"):
        part = ck.TransTEE(**arguments, checkpoint=tmp_path, progress=stop).fit(arms_data())
    assert part.partial_
    assert torch.equal(flat(part), flat(ck.TransTEE(**QUICK).fit(arms_data())))
    again = ck.TransTEE(**arguments, checkpoint=tmp_path).fit(arms_data())
    assert torch.equal(flat(again), flat(whole))


def test_conformal_intervals_need_rows_that_nobody_trained_on():
    with pytest.raises(ArgumentError, match="calibrates on them"):
        ck.TransTEE(**QUICK, refit=True, interval="conformal").fit(arms_data())
