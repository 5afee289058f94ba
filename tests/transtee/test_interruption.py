"""Ctrl-C while networks of several sizes train one stack after another."""

from dataclasses import replace

import numpy as np
import pytest
from transtee_designs import SMALL, arms_data, uneven

import causalkit as ck
from causalkit.errors import CausalKitWarning, StorageError

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


class Stop:
    """Progress that interrupts at one of its lines."""

    def __init__(self, line):
        self.line, self.told = line, 0

    def __call__(self, text):
        self.told += 1
        if self.told == self.line:
            raise KeyboardInterrupt


ARGUMENTS = SMALL | {"n_ensemble": 4, "max_epochs": 3}


def test_an_interruption_ends_all_training_and_keeps_what_had_begun(tmp_path):
    data = uneven()
    whole = ck.TransTEE(**ARGUMENTS).fit(data)
    sizes = [len(stack.members) for stack in whole.model_.stacks]
    assert len(sizes) > 2
    stop = Stop(5)
    with pytest.warns(CausalKitWarning, match=r"networks had not begun to train"):
        part = ck.TransTEE(**ARGUMENTS, progress=stop, checkpoint=tmp_path).fit(data)
    assert stop.told == 5
    assert part.partial_
    assert part.diagnostics_["networks"] == sum(sizes[:2])
    # The first stack was done: its networks are those of the whole.
    found = [fit.model_.stacks[0].flat.numpy() for fit in (part, whole)]
    np.testing.assert_array_equal(*found)
    assert part.effect(data).sizes["obs"] == 240
    again = ck.TransTEE(**ARGUMENTS, checkpoint=tmp_path).fit(data)
    np.testing.assert_array_equal(again.effect(data)["effect"], whole.effect(data)["effect"])


def test_an_interruption_is_raised_where_a_data_set_would_have_no_network():
    with pytest.raises(KeyboardInterrupt):
        ck.TransTEE.fit_many([arms_data(), arms_data(n=180)], **SMALL, progress=Stop(2))


def test_a_checkpoint_that_is_not_whole_is_to_be_removed(tmp_path):
    arguments = SMALL | {"max_epochs": 1}
    ck.TransTEE(**arguments, checkpoint=tmp_path).fit(uneven())
    for weights in tmp_path.rglob("weights-*.pt"):
        weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(StorageError, match="not whole; remove it, or name another folder"):
        ck.TransTEE(**arguments, checkpoint=tmp_path).fit(uneven())


@pytest.mark.parametrize("dosed", [False, True])
def test_averages_say_whether_the_networks_of_a_fold_were_interrupted(dosed):
    data = ck.generators.dose_synthetic(0, n=240).blind() if dosed else arms_data()
    fit = ck.TransTEE(**SMALL, n_folds=2, n_rep=2).fit(data)
    assert fit.estimate().provenance["partial"] is False
    fit.set_params(n_folds=3)
    # Of the second split: one interrupted split makes the whole so.
    fit._settings = replace(fit._settings, progress=Stop(SMALL["max_epochs"] + 4))
    part = fit.estimate()
    assert part.provenance["partial"] is True
    assert any("interrupted" in text for text in part.warnings)
    # What was interrupted is not kept.
    assert fit.estimate().provenance["partial"] is False
