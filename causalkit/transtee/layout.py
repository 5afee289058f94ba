"""Parameters of M networks of one shape, as one matrix with a row for each network.

Replications and ensemble members train together: every operation of the network carries a leading
axis of members, the optimiser works on the matrix, and a member's row is all that there is of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor

Fill = Literal["constant", "uniform", "normal", "given"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named block of parameters.

    Attributes
    ----------
    shape : tuple of int
        Without the axis of members.
    fill : {"constant", "uniform", "normal", "given"}
        How it starts: at scale, ``"uniform"`` in ±scale, ``"normal"`` with standard deviation
        scale.
    scale : float
    decays : bool
        Whether weight decay pulls it to zero: weights do; biases, norms and embeddings do not.
    values : tensor, optional
        Start of a block that is given.
    """

    shape: tuple[int, ...]
    fill: Fill = "constant"
    scale: float = 0.0
    decays: bool = False
    values: Any = field(default=None, compare=False)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of the matrix hold which block."""

    blocks: Mapping[str, Parameter]

    @property
    def size(self) -> int:
        """Parameters of one network."""
        return sum(block.size for block in self.blocks.values())

    def unpack(self, flat: "Tensor") -> "dict[str, Tensor]":
        """Blocks ``(M, *shape)`` of a parameter matrix ``(M, size)``, as views."""
        import torch

        parts = torch.split(flat, [block.size for block in self.blocks.values()], dim=1)
        return {
            name: part.view(-1, *block.shape)
            for (name, block), part in zip(self.blocks.items(), parts, strict=True)
        }

    def pack(self, blocks: "Mapping[str, Tensor]") -> "Tensor":
        """Parameter matrix ``(M, size)`` of blocks ``(M, *shape)``."""
        import torch

        return torch.cat([blocks[name].flatten(1) for name in self.blocks], dim=1)

    def initial(self, generators: "Sequence[Generator]") -> "Tensor":
        """Starting values ``(M, size)``, each row from its own generator."""
        import torch

        return torch.stack(
            [
                torch.cat([_filled(block, generator) for block in self.blocks.values()])
                for generator in generators
            ]
        )

    def decay_mask(self) -> "Tensor":
        """1 for values that decay, else 0, ``(size,)``."""
        import torch

        return torch.cat(
            [
                torch.full((block.size,), float(block.decays), dtype=torch.float32, device="cpu")
                for block in self.blocks.values()
            ]
        )


def _filled(block: Parameter, generator: "Generator") -> "Tensor":
    import torch

    # Whatever the user's defaults are: generators of starting values live on the processor.
    values = torch.full((block.size,), block.scale, dtype=torch.float32, device="cpu")
    if block.fill == "uniform":
        values.uniform_(-block.scale, block.scale, generator=generator)
    elif block.fill == "normal":
        values.normal_(0.0, block.scale, generator=generator)
    elif block.fill == "given":
        values.copy_(block.values.reshape(-1))
    return values


def linear(
    name: str, n_in: int, n_out: int, *, bias: bool = True, sd: float = 1.0 / math.sqrt(3.0)
) -> dict[str, Parameter]:
    """Weight and bias of a linear map; ``sd`` is of the first outputs if inputs have variance 1."""
    bound = sd * math.sqrt(3.0 / n_in)
    found = {f"{name}.weight": Parameter((n_in, n_out), "uniform", bound, decays=True)}
    return found | {f"{name}.bias": Parameter((n_out,))} if bias else found


def norm(name: str, width: int, start: float = 1.0) -> dict[str, Parameter]:
    """Scale, which is ``start`` at first, and shift of a layer norm."""
    return {
        f"{name}.scale": Parameter((width,), scale=start),
        f"{name}.shift": Parameter((width,)),
    }


def apply_linear(p: "Mapping[str, Tensor]", name: str, x: "Tensor") -> "Tensor":
    """Linear map of the last axis of ``(M, ..., n_in)``, each member by its own weights."""
    from causalkit.transtee.products import member_products

    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    out = member_products(flat, weight, bias)
    return out.view(*x.shape[:-1], -1)


def fold_norm(p: "dict[str, Tensor]", norm: str, name: str) -> None:
    """Move scale and shift of a norm into the linear map that alone takes its result."""
    from causalkit.transtee.products import member_products

    scale, shift = p.pop(f"{norm}.scale"), p.pop(f"{norm}.shift")
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    p[f"{name}.weight"] = weight * scale[:, :, None]
    p[f"{name}.bias"] = member_products(shift[:, None], weight, bias)[:, 0]


def apply_norm(p: "Mapping[str, Tensor]", name: str, x: "Tensor") -> "Tensor":
    """Layer norm of the last axis of ``(M, ..., width)``; a folded one only standardises."""
    from torch.nn.functional import layer_norm

    shape = (x.shape[0], *([1] * (x.dim() - 2)), x.shape[-1])
    plain = layer_norm(x, (x.shape[-1],))
    if f"{name}.scale" not in p:
        return plain
    return plain * p[f"{name}.scale"].view(shape) + p[f"{name}.shift"].view(shape)
