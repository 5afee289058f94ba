"""torch.compile: the same numbers, no graph broken, and a word where it fails or is left out.

On a processor the library leaves it out. Here the networks are traced as they are on a GPU, with
batched products, by a compiler that needs no other tool.
"""

import numpy as np
import pytest
import torch
from edge_designs import covaried, rings
from torch._dynamo.utils import counters
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import ArgumentTypeError, CausalKitWarning
from causalkit.transtee import compiled, fitting, products


def batched(x, weight, bias=None):
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias[:, None], x, weight)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Networks that compile although they are on a processor."""
    make = fitting._network

    def made(coding, data, members, settings):
        network = make(coding, data, members, settings)
        return fitting.replace(network, compile=settings.compile)

    monkeypatch.setattr(fitting, "_network", made)
    monkeypatch.setattr(products, "member_products", batched)
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    compiled.compiled.cache_clear()
    torch._dynamo.reset()
    counters.clear()
    yield
    compiled.compiled.cache_clear()
    torch._dynamo.reset()


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:compile=True is left out", "ignore:The .grad attribute")
@pytest.mark.parametrize("make", [arms_data, lambda: covaried(*rings(100), rows=100)])
def test_compiled_and_not_say_the_same(make):
    data = make()
    plain, fused = (
        ck.TransTEE(**(SMALL | {"max_epochs": 4}), compile=on).fit(data) for on in (False, True)
    )
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    gap = np.abs(plain.effect(data)["effect"] - fused.effect(data)["effect"]).max()
    assert gap < 1e-3 * data.column("outcome").std()


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.filterwarnings("ignore:compile=True is left out", "ignore:The .grad attribute")
def test_what_cannot_be_compiled_goes_on_and_says_why(monkeypatch):
    def broken(_graph, _inputs):
        raise OSError("no compiler here")

    monkeypatch.setattr(compiled, "BACKEND", broken)
    data = arms_data()
    with pytest.warns(CausalKitWarning, match=r"torch\.compile failed .*no compiler") as said:
        fused = ck.TransTEE(**(SMALL | {"max_epochs": 2}), compile=True).fit(data)
    assert sum("compile failed" in str(one.message) for one in said) <= 2  # encoder and decoder
    plain = ck.TransTEE(**(SMALL | {"max_epochs": 2})).fit(data)
    np.testing.assert_array_equal(fused.effect(data)["effect"], plain.effect(data)["effect"])


def test_on_a_processor_it_is_left_out_with_a_word():
    with pytest.warns(CausalKitWarning, match="compile=True is left out on a processor"):
        fit = ck.TransTEE(**(SMALL | {"max_epochs": 1}), compile=True, device="cpu").fit(
            arms_data()
        )
    assert not fit.model_.stacks[0].network.compile
    with pytest.warns(CausalKitWarning, match="compile=True is left out with dropout"):
        ck.TransTEE(**(SMALL | {"max_epochs": 1}), compile=True, dropout=0.1).fit(arms_data())
    with pytest.raises(ArgumentTypeError, match="compile must be True or False, got 'auto'"):
        ck.TransTEE(**SMALL, compile="auto").fit(arms_data())
