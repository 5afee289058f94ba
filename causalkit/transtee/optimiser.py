"""AdamW on a matrix of parameters: every row is a network of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(slots=True)
class AdamW:
    """State of the optimiser of M networks.

    Attributes
    ----------
    first, second : (M, P) tensors
        Running means of gradients and their squares.
    step : int
        Updates done.
    """

    first: "Tensor"
    second: "Tensor"
    step: int = 0

    @classmethod
    def of(cls, flat: "Tensor") -> "AdamW":
        """State before the first update."""
        import torch

        return cls(torch.zeros_like(flat), torch.zeros_like(flat))

    def update(
        self,
        flat: "Tensor",
        gradient: "Tensor",
        *,
        lr: "Tensor | float",
        decay: "Tensor",
        clip: float = 0.0,
    ) -> "Tensor":
        """Change the parameters in place; returns the norm of each member's gradient, ``(M,)``.

        Parameters
        ----------
        flat, gradient : (M, P) tensors
        lr : (M, 1) tensor or float
        decay : (P,) tensor
            Decoupled weight decay of each value.
        clip : float
            Largest norm of a member's gradient; 0 does not clip.

        References
        ----------
        Loshchilov & Hutter (2019), ICLR, algorithm 2.
        """
        size = gradient.norm(dim=1, keepdim=True)
        if clip:
            gradient = gradient * (clip / size.clamp(min=clip))
        self.step += 1
        self.first.lerp_(gradient, 1.0 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1.0 - BETAS[1])
        root = (self.second / (1.0 - BETAS[1] ** self.step)).sqrt_().add_(EPSILON)
        flat.sub_(lr * decay * flat)
        flat.sub_(lr / (1.0 - BETAS[0] ** self.step) * self.first / root)
        norm: Tensor = size[:, 0]
        return norm

    def kept(self, members: "Tensor | slice") -> "AdamW":
        """State of some members, views if they are a slice, with its own count of updates."""
        return AdamW(self.first[members], self.second[members], self.step)

    def copied(self) -> "AdamW":
        """An independent copy."""
        return AdamW(self.first.clone(), self.second.clone(), self.step)
