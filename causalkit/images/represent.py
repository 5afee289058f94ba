"""Features of images by encoders, batch after batch."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causalkit.errors import DataError, Problem, TrainingError
from causalkit.images.batches import Images, Lens
from causalkit.typing import Floats, Ints


def forward(network: nn.Module, pixels: Tensor, precision: Any) -> Tensor:
    """Features in float32, computed below it if ``precision`` says so."""
    lower = (
        nullcontext() if precision is None else torch.autocast(pixels.device.type, dtype=precision)
    )
    with lower:
        features: Tensor = network(pixels)
    return features.to(torch.float32)


def represent(
    network: nn.Module,
    lens: Lens,
    images: Images,
    positions: Ints,
    *,
    batch_size: int,
    precision: Any = None,
) -> Floats:
    """Features of some images, ``(m, d)`` in ascending order of ``positions``.

    Raises
    ------
    TrainingError
        As :func:`represent_all`.
    """
    return represent_all(
        [network], lens, images, positions, batch_size=batch_size, precision=precision
    )[0]


@torch.no_grad()
def represent_all(
    networks: Sequence[nn.Module],
    lens: Lens,
    images: Images,
    positions: Ints,
    *,
    batch_size: int,
    precision: Any = None,
) -> list[Floats]:
    """As :func:`represent`, by several networks that share one reading of the images.

    Raises
    ------
    DataError
        If pixels are missing, and the fit has no rule for that.
    TrainingError
        If a network gives values that are not finite of pixels that are.
    """
    for network in networks:
        network.eval()
    parts: list[list[Floats]] = [[] for _ in networks]
    for which, raw in images.in_order(positions, batch_size):
        refused = lens.refused(raw)
        if refused.any():
            raise not_finite(images, which[refused], raw[refused])
        pixels = lens.pixels(raw)
        for found, network in zip(parts, networks, strict=True):
            values = forward(network, pixels, precision).cpu().numpy().astype(np.float64)
            wrong = ~np.isfinite(values).all(axis=1)
            if wrong.any():
                raise not_finite(images, which[wrong], raw[wrong])
            found.append(values)
    return [np.concatenate(found) for found in parts]


def not_finite(images: Images, positions: Ints, pixels: Any) -> DataError | TrainingError:
    """Why some features are not finite: the pixels are not, or the encoder makes them so."""
    keys = np.asarray(images.store.keys)[positions[:3]].tolist()
    if np.isfinite(pixels).all():
        return TrainingError(
            f"the encoder gives values that are not finite (images {keys} among others); look at "
            "its weights, and at what it expects of the bands."
        )
    message = (
        f"pixels of {images.store.name!r} are missing or infinite (images {keys} among others); "
        "fill them, or fit with nan_policy='mean' or 'mask'."
    )
    return DataError(Problem("E15-image-nonfinite", message, images.store.name))
