"""Rounds of messages, by which the nodes of a graph learn of each other."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from causalkit.transtee.layout import apply_linear
from causalkit.transtee.shapes import N_ROUNDS

if TYPE_CHECKING:
    from torch import Tensor


def passed_messages(
    p: "Mapping[str, Tensor]",
    name: str,
    nodes: "Tensor",
    summed: "Callable[[Tensor], Tensor]",
) -> "Tensor":
    """Features ``(M, ..., f)`` of nodes, and sums over their neighbours, as ``(M, ..., d)``.

    Parameters
    ----------
    p : mapping of str to tensors ``(M, ...)``
    name : str
        Of the blocks.
    nodes : tensor
    summed : callable
        Of what nodes send ``(M, ..., N, d)``, the sum over the neighbours of each. Where edges have
        R types, of what nodes send along each, type after type, ``(M, ..., R·N, d)``.

    References
    ----------
    Hu, Liu, Gomes, Zitnik, Liang, Pande & Leskovec (2020), ICLR, arXiv:1905.12265, appendix A:
    types of edges as vectors that each round learns and adds to the neighbour's; the relu around
    the sum, without which they would only be counted, is that of later implementations (GINE).
    """
    from torch.nn.functional import gelu

    hidden = apply_linear(p, f"{name}.in", nodes)
    for step in range(N_ROUNDS):
        hidden = hidden + gelu(
            apply_linear(p, f"{name}.own{step}", hidden)
            + apply_linear(p, f"{name}.near{step}", summed(_sent(p, f"{name}.type{step}", hidden)))
        )
    return hidden


def _sent(p: "Mapping[str, Tensor]", name: str, hidden: "Tensor") -> "Tensor":
    """What nodes send: what they hold, or relu(h + e_r) along edges of type r, type after type."""
    from torch.nn.functional import relu

    types = p.get(name)
    if types is None:
        return hidden
    n_members, n_types, d = types.shape
    shape = (n_members, *[1] * (hidden.dim() - 3), n_types, 1, d)
    return relu(hidden.unsqueeze(-3) + types.view(shape)).flatten(-3, -2)
