"""Doses as tokens: waves scaled by the arm, or a learned vector where an arm takes none."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from causalkit.transtee.layout import apply_linear
from causalkit.transtee.shapes import N_WAVES, ActionShape

if TYPE_CHECKING:
    from torch import Tensor


def rows_of(table: "Tensor", codes: "Tensor") -> "Tensor":
    """Rows of each member's table ``(M, K, d)`` by codes ``(M, ...)``."""
    import torch

    members = torch.arange(table.shape[0], device=codes.device)
    return table[members.view(-1, *([1] * (codes.dim() - 1))), codes]


def takes_dose(shape: ActionShape, arms: "Tensor") -> "Tensor":
    """Whether each of some arms takes a dose; "nothing" takes none."""
    import torch

    return torch.tensor([*shape.dosed, False], device=arms.device)[arms]


def dose_token(
    p: "Mapping[str, Tensor]", shape: ActionShape, arms: "Tensor", doses: "Tensor"
) -> "Tensor":
    """Encoded doses ``(M, B, G, m, d)``, scaled by arm.

    An arm without a dose has the null dose, if arms with one share its slot, or else a zero for
    one.
    """
    import torch
    from torch.nn.functional import gelu

    angle = doses[..., None] * (
        0.5 * math.pi * torch.arange(1, N_WAVES + 1, device=doses.device, dtype=doses.dtype)
    )
    waves = torch.cat([doses[..., None], angle.sin(), angle.cos()], dim=-1)
    encoded = apply_linear(p, "dose.out", gelu(apply_linear(p, "dose.in", waves)))
    if "dose.null" in p:
        null = p["dose.null"][:, None, None, None]
        encoded = torch.where(takes_dose(shape, arms)[..., None], encoded, null)
    return encoded * rows_of(p["dose.scale"], arms)
