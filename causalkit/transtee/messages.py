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
        Of what nodes hold, the sum over the neighbours of each.
    """
    from torch.nn.functional import gelu

    hidden = apply_linear(p, f"{name}.in", nodes)
    for step in range(N_ROUNDS):
        hidden = hidden + gelu(
            apply_linear(p, f"{name}.own{step}", hidden)
            + apply_linear(p, f"{name}.near{step}", summed(hidden))
        )
    return hidden
