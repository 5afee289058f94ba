"""Arguments that change how a network is made and computed, and not only what is said of it."""

import json

import numpy as np
import pytest
import torch
from test_training import flat
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import StorageError
from causalkit.transtee import fit_together
from causalkit.transtee.settings import Settings
from causalkit.transtee.shapes import ActionShape, TableShape

SHORT = SMALL | {"max_epochs": 2}


@pytest.mark.parametrize(
    ("n", "width"),
    [(60, 32), (4_999, 32), (5_000, 64), (49_999, 64), (50_000, 128), (10**6, 128)],
)
def test_the_width_follows_the_rows_if_it_may(n, width):
    table, actions = TableShape(n_numeric=3), ActionShape(2, (False, False), 1)
    settings = Settings.of(ck.TransTEE(d_model="auto"), seed=0)
    shape = settings.net_shape(table, actions, n)
    assert (shape.width, shape.width_ff) == (width, 2 * width)
    fixed = Settings.of(ck.TransTEE(d_model=16, d_ff=5), seed=0).net_shape(table, actions, n)
    assert (fixed.width, fixed.width_ff) == (16, 5)


@pytest.mark.parametrize("wanted", [True, False])
def test_networks_are_trained_by_deterministic_kernels_where_asked(monkeypatch, wanted):
    seen = []

    def spy(*arguments, **more):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return real(*arguments, **more)

    real = fit_together.fit_ensembles
    monkeypatch.setattr(fit_together, "fit_ensembles", spy)
    ck.TransTEE(**SHORT, deterministic=wanted).fit(arms_data())
    assert seen == [wanted]
    assert not torch.are_deterministic_algorithms_enabled()


def test_half_precision_is_of_the_forward_pass_and_leaves_parameters_in_single():
    half, single, auto = (
        flat(ck.TransTEE(**SHORT, precision=precision).fit(arms_data()))
        for precision in ("bf16", "float32", "auto")
    )
    assert half.dtype == torch.float32
    assert not torch.equal(half, single)
    # Two epochs are a few steps of a thousandth each.
    torch.testing.assert_close(half, single, atol=5e-3, rtol=0.0)
    assert torch.equal(auto, single), "a processor gains nothing by half precision"


def test_dropout_changes_training_and_not_what_is_asked():
    data = arms_data()
    plain, dropped = (ck.TransTEE(**SHORT, dropout=rate).fit(data) for rate in (0.0, 0.3))
    assert not torch.equal(flat(plain), flat(dropped))
    once, again = (dropped.predict(data, treatment=1) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_checkpoint_of_another_schema_is_refused(tmp_path):
    ck.TransTEE(**SHORT, checkpoint=tmp_path).fit(arms_data())
    (file,) = tmp_path.glob("*/config.json")
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"schema": facts["schema"] + 1}))
    with pytest.raises(StorageError, match=f"has schema {facts['schema'] + 1}, and this version"):
        ck.TransTEE(**SHORT, checkpoint=tmp_path).fit(arms_data())
