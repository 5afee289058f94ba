"""Products of every member's rows with its own weights, the same whoever else is in the stack.

A batched product is free to round otherwise for another number of members, and training makes much
of little: on a processor every member has a product of its own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

ALIGNMENT = 64


def member_products(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x[m] @ weight[m] + bias[m]`` of ``(M, R, n)``, ``(M, n, k)`` and ``(M, k)``."""
    if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        made: Tensor = _Products.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return made
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias[:, None], x, weight)


def member_inverses(gram: Tensor) -> Tensor:
    """Inverses of positive definite matrices ``(M, n, n)``."""
    if gram.device.type != "cpu":
        return torch.cholesky_inverse(torch.linalg.cholesky_ex(gram)[0])
    # A copy begins at an aligned address, wherever the member is in the stack.
    factors = (torch.linalg.cholesky_ex(one.clone())[0] for one in gram)
    return torch.stack([torch.cholesky_inverse(factor) for factor in factors])


class _Products(Function):
    """The product and its derivatives, written member by member into one tensor each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        out = x.new_empty(*x.shape[:2], weight.shape[2])
        for m in range(len(x)):
            _write_product(x[m], weight[m], out[m], None if bias is None else bias[m])
        return out

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (grad,) = outer
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        to_bias = grad.new_empty(len(x), grad.shape[2]) if ctx.needs_input_grad[2] else None
        for m in range(len(x)):
            if to_x is not None:
                _write_product(grad[m], weight[m].T, to_x[m])
            if to_weight is not None:
                _write_product(x[m].T, grad[m], to_weight[m])
            if to_bias is not None:
                torch.sum(grad[m], dim=0, out=to_bias[m])
        return to_x, to_weight, to_bias


def _write_product(left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None) -> None:
    """Write ``left @ right + bias`` to ``out``; all may begin anywhere in larger tensors.

    A product of the same numbers may be rounded otherwise where one of them does not begin at an
    aligned address, and where a member's do depends on its place in the stack.
    """
    left, right = _aligned(left), _aligned(right)
    place = out if _is_aligned(out) else None
    if bias is None:
        made = torch.mm(left, right, out=place)
    else:
        made = torch.addmm(bias, left, right, out=place)
    if place is None:
        out.copy_(made)


def _is_aligned(values: Tensor) -> bool:
    return values.data_ptr() % ALIGNMENT == 0


def _aligned(values: Tensor) -> Tensor:
    return values if _is_aligned(values) else values.clone()
