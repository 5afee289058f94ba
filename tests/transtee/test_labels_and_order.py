"""Neither the order of arms nor that of columns means anything."""

import numpy as np
import pandas as pd
import torch
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.transtee.networks import Actions, Rows, decode, encode
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape


def test_arms_are_rows_of_a_table_and_no_numbers():
    shape = NetShape(TableShape(n_numeric=2), ActionShape(3, (False,) * 3, 1), width=8, n_heads=2)
    layout = shape.layout()
    p = layout.unpack(layout.initial([torch.Generator().manual_seed(0)]))
    x = Rows(numeric=torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(1)))
    every = Actions(torch.arange(3)[None, None, :, None], torch.zeros(1, 1, 3, 1))
    memory = encode(p, shape, x)
    before = decode(p, shape, memory, every)
    turned = [2, 0, 1]
    p["arm"] = p["arm"][:, [*turned, 3]]
    torch.testing.assert_close(decode(p, shape, memory, every), before[:, :, turned])


def test_effects_that_do_not_go_with_the_order_of_arms_are_learned():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(300), "t": rng.integers(0, 3, 300)})
    frame["y"] = frame["x"] + np.array([0.0, 2.0, -2.0])[frame["t"]]
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", kinds=("multi",), covariates="x"
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 15, "lr": 2e-2, "batch_size": 60})).fit(data)
    found = fit.effect(data, treatment=[1, 2], baseline=0)["effect"].mean("obs")
    np.testing.assert_allclose(found, [2.0, -2.0], atol=0.3)


def test_a_column_is_its_own_parameters_and_no_position():
    shape = NetShape(TableShape(n_numeric=4), ActionShape(2, (False,) * 2, 1), width=8, n_heads=2)
    layout = shape.layout()
    p = layout.unpack(layout.initial([torch.Generator().manual_seed(0)]))
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(1))
    every = Actions(torch.arange(2)[None, None, :, None], torch.zeros(1, 1, 2, 1))
    before = decode(p, shape, encode(p, shape, Rows(numeric=x)), every)
    order = [2, 0, 3, 1]
    alone = decode(p, shape, encode(p, shape, Rows(numeric=x[..., order])), every)
    assert (alone - before).abs().max() > 0.01
    for name in ("table.weight", "table.bias"):
        p[name] = p[name][:, order]
    turned = decode(p, shape, encode(p, shape, Rows(numeric=x[..., order])), every)
    torch.testing.assert_close(turned, before)


def test_columns_in_another_order_make_no_more_difference_than_another_seed():
    frame, size = arms_frame(160), 4

    def outcomes(columns):
        data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=columns)
        fit = ck.TransTEE(**(SMALL | {"n_ensemble": size, "lr": 2e-2, "batch_size": 32})).fit(data)
        asked = fit.model_.asked(data)
        return fit.model_.outcomes(asked, [fit.model_.action(arm, asked) for arm in (0, 1)])

    there, back = outcomes(["a", "b", "c"]), outcomes(["c", "b", "a"])
    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    seeds, orders = (
        np.mean([((there[i] - other[j]) ** 2).mean() for i, j in pairs]) for other in (there, back)
    )
    assert not np.array_equal(there, back)
    assert 0.4 * seeds < orders < 2.0 * seeds
