"""Modules made elsewhere, wrapped so that they give one vector per image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from causalkit.errors import ArgumentError


class Flat(nn.Module):
    """A module whose answer is averaged to ``(b, d)``, whatever it gives.

    Feature maps ``(b, d, [time,] y, x)`` are averaged over places and frames, token sequences
    ``(b, tokens, d)`` over tokens; of several outputs the first is taken, as is
    ``last_hidden_state`` of a record.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.n_features = -1

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image."""
        return flat(self.module(image))

    def measure(self, shape: tuple[int, ...]) -> "Flat":
        """Find the length of the vector by one blank image of ``shape`` ``([time,] band, y, x)``.

        Raises
        ------
        ArgumentError
            If the module gives no vector.
        """
        self.eval()
        held = (tensor.device for tensor in (*self.parameters(), *self.buffers()))
        where = next(held, torch.device("cpu"))
        with torch.no_grad():
            answer = self(torch.zeros((1, *shape), device=where))
        if answer.shape[0] != 1 or answer.shape[1] == 0:
            raise ArgumentError(
                f"the module of an encoder must give a vector for each image; for one image of "
                f"{tuple(shape)} it gave {tuple(answer.shape)}."
            )
        self.n_features = int(answer.shape[1])
        return self


def flat(answer: Any) -> Tensor:
    """One vector per image from what a module returned.

    Raises
    ------
    ArgumentError
        If it is no tensor with an entry per image.
    """
    if hasattr(answer, "last_hidden_state"):
        answer = answer.last_hidden_state
    while isinstance(answer, list | tuple):
        answer = answer[0]
    if isinstance(answer, dict):
        answer = next(iter(answer.values()))
    if not isinstance(answer, Tensor) or answer.dim() < 2:
        what = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ArgumentError(
            f"the module of an encoder must give a vector for each image, (b, d); it gave {what}."
        )
    found: Tensor = answer
    if found.dim() in (4, 5):
        return found.flatten(2).mean(dim=2)
    if found.dim() == 3:
        return found.mean(dim=1)
    return found.flatten(1)


class Crops(nn.Module):
    """Centred crops of several sides, each through an encoder of its own; vectors are joined."""

    def __init__(self, encoders: Sequence[nn.Module], sides: Sequence[int]) -> None:
        super().__init__()
        self.encoders, self.sides = nn.ModuleList(encoders), tuple(sides)

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image, or sequence."""
        found = []
        for encoder, side in zip(self.encoders, self.sides, strict=True):
            rows, columns = ((size - side) // 2 for size in image.shape[-2:])
            found.append(encoder(image[..., rows : rows + side, columns : columns + side]))
        return torch.cat(found, dim=1)


class Resized(nn.Module):
    """An encoder whose images are resized first, bilinear with antialiasing."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder, self.size = encoder, size
        self.n_features = int(encoder.n_features)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Side of the images, by which encoders are told apart."""
        return f"size={self.size}"

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image."""
        side = (self.size, self.size)
        whole = nn.functional.interpolate(
            image.flatten(0, -4), size=side, mode="bilinear", antialias=True, align_corners=False
        )
        found: Tensor = self.encoder(whole.reshape(*image.shape[:-2], *side))
        return found
