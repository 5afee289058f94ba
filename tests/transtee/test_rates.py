"""Learning rates to choose from: the choice, and that nothing else differs from the one chosen."""

import numpy as np
import pytest
import torch
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import ArgumentError, TrainingError
from causalkit.transtee import rates
from causalkit.transtee.settings import Settings

BRIEF = SMALL | {"max_epochs": 4, "n_ensemble": 2}


def flat(fit):
    return torch.cat([stack.flat for stack in fit.model_.stacks])


@pytest.fixture(scope="module")
def data():
    return arms_data()


def alone(data, rate, **more):
    return ck.TransTEE(**(BRIEF | more), lr=rate).fit(data)


def test_the_rate_with_the_least_validation_loss_is_taken_for_all_networks(data):
    given = (1e-4, 3e-2, 1e-3)
    pilots = {rate: alone(data, rate, n_ensemble=1) for rate in given}
    best = min(given, key=lambda rate: pilots[rate].diagnostics_["validation loss"])
    assert best != given[0], "the first is taken by one who does not look"
    fit = alone(data, given)
    assert fit.config_["lr"] == best
    assert torch.equal(flat(fit), flat(alone(data, best)))


def test_auto_stands_for_three_rates():
    assert Settings.of(ck.TransTEE(lr="auto"), seed=0).rates == (1e-3, 4e-3, 1.6e-2)
    assert Settings.of(ck.TransTEE(lr=0.01), seed=0).rates == (0.01,)
    assert Settings.of(ck.TransTEE(lr=np.array([0.01, 0.02])), seed=0).rates == (0.01, 0.02)


@pytest.mark.parametrize("lr", ["fast", [], [0.01, 0.01], 0.0, [0.1, -1.0], [0.1, "slow"]])
def test_other_rates_are_refused(lr, data):
    with pytest.raises(ArgumentError, match="lr"):
        ck.TransTEE(**SMALL, lr=lr).fit(data)


def test_data_sets_that_train_together_choose_for_themselves(data):
    noise = data.assign(y=np.random.default_rng(3).standard_normal(len(data)))
    given = (0.03, 0.3)
    both = ck.TransTEE.fit_many([data, noise], **(BRIEF | {"random_state": 0}), lr=given)
    found = [fit.config_["lr"] for fit in both]
    assert found == [0.3, 0.03]
    own = [
        ck.TransTEE(**(BRIEF | {"random_state": seed}), lr=given).fit(one)
        for seed, one in enumerate([data, noise])
    ]
    for together, fit in zip(both, own, strict=True):
        assert torch.equal(flat(together), flat(fit))


def test_a_rate_at_which_training_breaks_down_is_not_chosen(data, monkeypatch):
    real, broken = rates.fit_members, {0.02}

    def breaks(coding, coded, members, settings, **more):
        if members[0].lr in broken:
            raise TrainingError("not finite")
        return real(coding, coded, members, settings, **more)

    monkeypatch.setattr(rates, "fit_members", breaks)
    assert alone(data, (0.02, 1e-3)).config_["lr"] == 1e-3
    broken.add(1e-3)
    with pytest.raises(TrainingError, match="not finite"):
        alone(data, (0.02, 1e-3))


def test_averages_choose_in_every_fold_by_the_rows_of_its_own(data, monkeypatch):
    fit = alone(data, (1e-5, 3e-2)).set_params(n_folds=2)
    same = alone(data, fit.config_["lr"]).set_params(n_folds=2).estimate()
    real, trained = rates.fit_members, []

    def spy(coding, coded, members, settings, **more):
        trained.append([(m.lr, {*m.train, *m.valid}) for m in members])
        return real(coding, coded, members, settings, **more)

    monkeypatch.setattr(rates, "fit_members", spy)
    assert fit.estimate().estimates == pytest.approx(same.estimates)
    *trials, whole = trained
    assert [[lr for lr, _ in pilots] for pilots in trials] == [[1e-5] * 2, [3e-2] * 2]
    for pilots in (*trials, whole[::2]):
        (_, one), (_, other) = pilots
        assert not one & other
        assert len(one | other) == len(data)


def test_trials_are_told_and_go_on_from_their_checkpoint(data, tmp_path):
    lines = []
    arguments = {"lr": (1e-4, 1e-2), "checkpoint": tmp_path / "kept"}
    first = ck.TransTEE(**BRIEF, **arguments, progress=lines.append).fit(data)
    assert lines[0].startswith("learning rate 0.0001 on trial, epoch 1/4")
    assert sum("on trial" in line for line in lines) == 8
    lines.clear()
    again = ck.TransTEE(**BRIEF, **arguments, progress=lines.append).fit(data)
    assert not lines
    assert torch.equal(flat(first), flat(again))


def test_a_saved_fit_knows_its_rate(data, tmp_path):
    fit = alone(data, (1e-4, 1e-2))
    fit.save(tmp_path / "fit")
    loaded = ck.TransTEE.load(tmp_path / "fit")
    assert loaded.config_["lr"] == fit.config_["lr"]
    assert loaded.get_params()["lr"] in ((1e-4, 1e-2), [1e-4, 1e-2])


def test_interruption_on_trial_leaves_no_fit(data):
    def stop(line):
        raise KeyboardInterrupt

    est = ck.TransTEE(**BRIEF, lr=(1e-4, 1e-2), progress=stop)
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        est.fit(data)
    assert not hasattr(est, "model_")
