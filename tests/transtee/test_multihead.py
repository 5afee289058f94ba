"""Attention beside torch's own module, by each of the ways in which it is computed."""

import pytest
import torch
from torch import nn

from causalkit.transtee import multihead
from causalkit.transtee.layout import Layout
from causalkit.transtee.multihead import Looked, attention, self_attention
from causalkit.transtee.shapes import _attention_blocks

WIDTH, HEADS, MEMBERS, ROWS, TOKENS = 8, 2, 3, 5, 7


@pytest.fixture
def layer():
    """Parameters of three networks, none at its starting value, and a module for each."""
    layout = Layout(_attention_blocks("a", WIDTH))
    flat = torch.randn(MEMBERS, layout.size, generator=torch.Generator().manual_seed(0)).double()
    p, peers = layout.unpack(flat), []
    for m in range(MEMBERS):
        module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            mixed = torch.cat([p["a.query.weight"][m], p["a.memory.weight"][m]], dim=1)
            module.in_proj_weight.copy_(mixed.T)
            module.in_proj_bias.zero_()[:WIDTH].copy_(p["a.query.bias"][m])
            module.out_proj.weight.copy_(p["a.out.weight"][m].T)
            module.out_proj.bias.copy_(p["a.out.bias"][m])
        peers.append(module)
    return p, peers


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def masked(share):
    """Which tokens are there; the first always is."""
    if share is None:
        return None
    mask = torch.rand(MEMBERS, ROWS, TOKENS, generator=torch.Generator().manual_seed(2)) < share
    mask[:, :, 0] = True
    return mask


def way(monkeypatch, name):
    """Leave one way to attend."""
    monkeypatch.setattr(multihead, "SHORT", 0 if name == "fused" else 64)
    monkeypatch.setattr(multihead, "_few", lambda *_: name == "carried")


@pytest.mark.parametrize("share", [None, 0.6])
@pytest.mark.parametrize("name", ["fused", "by head"])
def test_self_attention_is_that_of_torch(layer, monkeypatch, name, share):
    p, peers = layer
    way(monkeypatch, name)
    x, mask = drawn(MEMBERS, ROWS, TOKENS, WIDTH), masked(share)
    found = self_attention(p, "a", x, mask, HEADS)
    for m, module in enumerate(peers):
        absent = None if mask is None else ~mask[m]
        expected = module(x[m], x[m], x[m], key_padding_mask=absent)[0]
        torch.testing.assert_close(found[m], expected)


@pytest.mark.parametrize("share", [None, 0.6])
@pytest.mark.parametrize("n_queries", [1, 4])
@pytest.mark.parametrize("name", ["fused", "by head", "carried"])
def test_attention_to_a_memory_is_that_of_torch(layer, monkeypatch, name, n_queries, share):
    p, peers = layer
    way(monkeypatch, name)
    memory, mask = drawn(MEMBERS, ROWS, TOKENS, WIDTH), masked(share)
    for n_rows in (ROWS, 1):
        query, looked = drawn(MEMBERS, n_rows, n_queries, WIDTH, seed=3), Looked()
        plain = attention(p, "a", query, memory, mask, HEADS)
        seen = attention(p, "a", query, memory, mask, HEADS, looked)
        for m, module in enumerate(peers):
            absent = None if mask is None else ~mask[m]
            expected, weights = module(
                query[m].expand(ROWS, -1, -1),
                memory[m],
                memory[m],
                key_padding_mask=absent,
                average_attn_weights=False,
            )
            for found in (plain, seen):
                torch.testing.assert_close(found[m], expected)
            torch.testing.assert_close(looked.weights["a"][m], weights)


def test_queries_that_rows_share_are_not_copied_for_each_row(layer, monkeypatch):
    p, _ = layer
    way(monkeypatch, "by head")
    memory, query = drawn(MEMBERS, ROWS, TOKENS, WIDTH), drawn(MEMBERS, 1, 4, WIDTH, seed=3)
    apart = attention(p, "a", query.expand(-1, ROWS, -1, -1), memory, None, HEADS)
    monkeypatch.delattr(multihead, "_joined")
    torch.testing.assert_close(attention(p, "a", query, memory, None, HEADS), apart)


def test_the_way_taken_is_the_one_of_fewer_products():
    assert multihead._few(1, 25, 32, 2)
    assert not multihead._few(100, 25, 32, 2)
