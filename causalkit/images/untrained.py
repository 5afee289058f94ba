"""Encoders that are not trained: their features once, reduced to principal components."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causalkit.errors import DataError, Problem
from causalkit.images.batches import Rows
from causalkit.images.choose import FromFeatures
from causalkit.images.training import Recipe, Trial
from causalkit.rng import seed_of
from causalkit.typing import Floats

_FLAT = 1e-8


class Projected(nn.Module):
    """An encoder followed by a linear map: principal components of standardised features."""

    def __init__(self, encoder: nn.Module, centre: Floats, components: Floats) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        # In one order of memory, on which the last bits of a product hang.
        kept = torch.as_tensor(components, dtype=torch.float32).contiguous()
        self.register_buffer("components", kept)
        self.n_features = int(components.shape[1])

    def forward(self, image: Tensor) -> Tensor:
        """Components of each image."""
        found: Tensor = self.encoder(image) - self.get_buffer("centre")
        return found @ self.get_buffer("components")


def projected(
    make: Callable[[], Any],
    trial: Trial,
    parts: tuple[Rows, Rows],
    n_components: int,
    recipe: Recipe,
    seed: int,
) -> FromFeatures:
    """Features of training and selection images by an encoder that has not seen the outcome.

    Parameters
    ----------
    make : callable
        Builds the encoder.
    trial : Trial
    parts : (Rows, Rows)
    n_components : int
        Most that are kept; learned from the training images.
    recipe : Recipe
        Batch size and precision.
    seed : int
        Of what in the encoder is random.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        encoder = make().to(trial.lens.device)
    train = recipe.features(encoder, trial, parts[0].images)
    centre, components = principal(train, n_components)
    network = Projected(encoder, centre, components).to(trial.lens.device)
    select = recipe.features(network, trial, parts[1].images)
    return FromFeatures((train - centre) @ components, select, network)


def principal(features: Floats, most: int) -> tuple[Floats, Floats]:
    """Centre ``(d,)`` and map ``(d, q)`` to principal components of standardised features.

    Components have variance one on these rows. Features that do not vary stay out.

    Raises
    ------
    DataError
        If none varies.
    """
    centre, sd = features.mean(axis=0), features.std(axis=0)
    moves = sd > _FLAT * (1.0 + np.abs(centre))
    if not moves.any():
        message = (
            "the encoder gives the same vector for every training image; look at its weights, and "
            "at the images."
        )
        raise DataError(Problem("E15-image-nonfinite", message))
    unit = np.where(moves, sd, 1.0)
    scaled = (features - centre) / unit * moves
    _, sizes, axes = np.linalg.svd(scaled, full_matrices=False)
    kept = min(most, int((sizes > _FLAT * sizes[0]).sum()))
    weights = axes[:kept].T / (sizes[:kept] / np.sqrt(features.shape[0]))
    return centre, np.asarray((weights.T / unit * moves).T)
