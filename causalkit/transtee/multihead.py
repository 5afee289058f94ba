"""Multi-head attention of M networks: four ways to the same numbers, the cheapest is taken.

Shapes: M members, B rows, Q queries and S tokens of a row, d width, H heads.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from causalkit.transtee.layout import apply_linear

if TYPE_CHECKING:
    from torch import Tensor

SHORT = 64


class Looked:
    """Attention weights ``(M, B, H, Q, S)`` of one pass, by block, when somebody asks for them."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}


def self_attention(
    p: "Mapping[str, Tensor]",
    name: str,
    tokens: "Tensor",
    mask: "Tensor | None",
    n_heads: int,
    looked: Looked | None = None,
) -> "Tensor":
    """Attention of tokens ``(M, B, S, d)`` to each other, same shape; nothing is normed here.

    Parameters
    ----------
    p : mapping
        Parameters; the blocks are ``{name}.query``, ``.memory`` and ``.out``.
    mask : (M, B, S) bool tensor or None
        True where a token is there.
    n_heads : int
    looked : Looked, optional
        Keeps the weights.
    """
    import torch
    from torch.nn.functional import pad

    n_members, n_rows, n_tokens, d = tokens.shape
    joint = {
        "all.weight": torch.cat([p[f"{name}.query.weight"], p[f"{name}.memory.weight"]], dim=2),
        "all.bias": pad(p[f"{name}.query.bias"], (0, 2 * d)),
    }
    mixed = apply_linear(joint, "all", tokens).view(n_members * n_rows, n_tokens, 3 * d)
    q, kv = torch.split(mixed, [d, 2 * d], dim=2)
    joined = _joined(q, kv, mask, n_heads, looked, name, n_members)
    return apply_linear(p, f"{name}.out", joined.view(tokens.shape))


def attention(
    p: "Mapping[str, Tensor]",
    name: str,
    query: "Tensor",
    memory: "Tensor",
    mask: "Tensor | None",
    n_heads: int,
    looked: Looked | None = None,
) -> "Tensor":
    """Attention of ``(M, B or 1, Q, d)`` to ``(M, B, S, d)``; gives ``(M, B, Q, d)``.

    Parameters are those of :func:`self_attention`; nothing is normed here.
    """
    n_members, n_rows, n_tokens, d = memory.shape
    n_queries = query.shape[2]
    q = apply_linear(p, f"{name}.query", query)
    if _few(n_queries, n_tokens, d, n_heads):
        joined = _carried(p, name, q, memory, mask, n_heads, looked)
    elif query.shape[1] == 1 and looked is None and query.device.type == "cpu":
        joined = _shared(q[:, 0], apply_linear(p, f"{name}.memory", memory), mask, n_heads)
    else:
        q = q.expand(-1, n_rows, -1, -1).reshape(n_members * n_rows, n_queries, d)
        kv = apply_linear(p, f"{name}.memory", memory).view(-1, n_tokens, 2 * d)
        joined = _joined(q, kv, mask, n_heads, looked, name, n_members)
    return apply_linear(p, f"{name}.out", joined.view(n_members, n_rows, n_queries, d))


def _few(n_queries: int, n_tokens: int, d: int, n_heads: int) -> bool:
    """Whether keys and values of all tokens take more products than queries carried to them."""
    return n_queries * (d + (n_heads - 1) * n_tokens) < n_tokens * d


def _carried(
    p: "Mapping[str, Tensor]",
    name: str,
    q: "Tensor",
    memory: "Tensor",
    mask: "Tensor | None",
    n_heads: int,
    looked: Looked | None,
) -> "Tensor":
    """Attention without keys and values of all tokens: q'(Wx) is (W'q)'x, Σ w (Vx) is V Σ w x."""
    import torch

    from causalkit.transtee.products import member_products

    n_members, n_rows, n_tokens, d = memory.shape
    n_queries, size = q.shape[2], d // n_heads
    keys, values = torch.split(p[f"{name}.memory.weight"], d, dim=2)
    by_head = zip(torch.split(q, size, dim=3), torch.split(keys, size, dim=2), strict=True)
    carried = torch.stack(
        [
            member_products(part.reshape(n_members, -1, size), key.transpose(1, 2))
            .view(n_members, -1, n_queries, d)
            .expand(-1, n_rows, -1, -1)
            for part, key in by_head
        ],
        dim=2,
    ).view(n_members * n_rows, n_heads * n_queries, d)
    tokens = memory.reshape(n_members * n_rows, n_tokens, d)
    weights = _weights(carried / math.sqrt(size), tokens, mask)
    if looked is not None:
        looked.weights[name] = weights.view(n_members, n_rows, n_heads, n_queries, n_tokens)
    seen = torch.bmm(weights, tokens).view(n_members, n_rows, n_heads, n_queries, d)
    return torch.cat(
        [
            member_products(part.reshape(n_members, -1, d), value)
            for part, value in zip(
                seen.unbind(dim=2), torch.split(values, size, dim=2), strict=True
            )
        ],
        dim=2,
    )


def _shared(q: "Tensor", kv: "Tensor", mask: "Tensor | None", n_heads: int) -> "Tensor":
    """Heads ``(M B, Q, d)`` of queries ``(M, Q, d)`` of all rows: one product with every key."""
    import torch

    from causalkit.transtee.products import member_products

    n_members, n_rows, n_tokens, _ = kv.shape
    n_queries, size = q.shape[1], q.shape[2] // n_heads
    parts = torch.split(kv.view(n_members, n_rows * n_tokens, -1), size, dim=2)
    heads = []
    for part, key, value in zip(
        torch.split(q / math.sqrt(size), size, dim=2),
        parts[:n_heads],
        parts[n_heads:],
        strict=True,
    ):
        scores = member_products(key, part.transpose(1, 2)).view(-1, n_tokens, n_queries)
        if mask is not None:
            scores = scores.masked_fill(~mask.reshape(-1, n_tokens, 1), -math.inf)
        values = value.reshape(-1, n_tokens, size)
        heads.append(torch.bmm(scores.softmax(dim=1).transpose(1, 2), values))
    return torch.cat(heads, dim=2)


def _joined(
    q: "Tensor",
    kv: "Tensor",
    mask: "Tensor | None",
    n_heads: int,
    looked: Looked | None,
    name: str,
    n_members: int,
) -> "Tensor":
    """Heads ``(M B, Q, d)`` of queries of that shape and keys beside values ``(M B, S, 2d)``."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    n_rows, n_queries, d = q.shape
    size = d // n_heads
    # On a processor the fused kernel is slow for many short rows of queries.
    short = q.device.type == "cpu" and mask is None and n_queries <= SHORT
    if looked is None and not short:
        split = kv.view(n_rows, -1, 2, n_heads, size).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask.reshape(n_rows, 1, 1, -1)
        heads = q.view(n_rows, n_queries, n_heads, size).transpose(1, 2)
        out = scaled_dot_product_attention(heads, split[0], split[1], attn_mask=seen)
        return out.transpose(1, 2).reshape(n_rows, n_queries, d)
    parts = torch.split(kv, size, dim=2)
    weights = [
        _weights(part, key, mask)
        for part, key in zip(torch.split(q / math.sqrt(size), size, dim=2), parts, strict=False)
    ]
    if looked is not None:
        kept = torch.stack(weights, dim=1)
        looked.weights[name] = kept.view(n_members, -1, n_heads, n_queries, kept.shape[-1])
    return torch.cat(
        [torch.bmm(w, value) for w, value in zip(weights, parts[n_heads:], strict=True)], dim=2
    )


def _weights(scaled: "Tensor", keys: "Tensor", mask: "Tensor | None") -> "Tensor":
    """Softmax over tokens that are there of scaled queries' products with keys."""
    import torch

    scores = torch.bmm(scaled, keys.transpose(1, 2))
    if mask is not None:
        scores = scores.masked_fill(~mask.reshape(scores.shape[0], 1, -1), -math.inf)
    return scores.softmax(dim=-1)
