"""The loops that were released with TransTEE: raw outcomes, a network at a time.

Zhang et al. (2022), arXiv:2202.01336; no line of their code is used.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.items import Library
from causalkit.transtee.released_graphs import GraphTensors, ReleasedGraphs
from causalkit.transtee.released_network import (
    Released,
    ReleasedDosage,
    ReleasedNetwork,
    ReleasedTexts,
)
from causalkit.transtee.released_recipes import DOSAGE, GRAPHS, NUMBERS, TEXTS, Recipe

MOMENTUM = 0.9
DECAY = 5e-3
MAX_STEPS = 32
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a network is asked about.

    Attributes
    ----------
    by_row : tuple of tensor
    shared : tuple
        What all rows have in common.
    """

    by_row: tuple[Tensor, ...]
    shared: tuple[GraphTensors, ...] = ()

    def at(self, rows: Any) -> tuple[Any, ...]:
        """Of some rows."""
        return (*(values[rows] for values in self.by_row), *self.shared)


@dataclass(frozen=True, slots=True)
class Losses:
    """By epoch: of the last batch, and of validation rows, if there are any."""

    train: list[float]
    valid: list[float]


def numbers(x: Any, t: Any) -> Inputs:
    """Of covariates ``(n, p)`` and one number for everyone, or one for each."""
    x = _floats(x)
    return Inputs((x, _floats(t).expand(len(x))))


def inputs_of(
    recipe: Recipe, covariates: Covariates, actions: ActionArrays, library: Library | None
) -> Inputs:
    """Of rows under one action for everyone, or one for each."""
    if recipe.takes == GRAPHS:
        assert library is not None
        x = _floats(covariates.numeric)
        items = torch.as_tensor(np.array(actions.items)).expand(len(x))
        graphs = GraphTensors(
            _floats(library.features),
            torch.as_tensor(np.array(library.edges)),
            torch.as_tensor(np.array(library.owner)),
        )
        return Inputs((x, items), (graphs,))
    arms, doses = _floats(actions.arms[:, 0]), _floats(actions.doses[:, 0])
    if recipe.takes == TEXTS:
        tokens = _floats(covariates.sequences[0][:, :MAX_STEPS])
        there = torch.as_tensor(covariates.masks[0][:, :MAX_STEPS].copy())
        return Inputs((tokens, there, arms.expand(len(tokens))))
    x = _floats(covariates.numeric)
    if recipe.takes == DOSAGE:
        return Inputs((x, arms.expand(len(x)), doses.expand(len(x))))
    return numbers(x, arms + doses)


def _floats(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.to(torch.float32)
    return torch.as_tensor(np.array(values), dtype=torch.float32)


def network_for(recipe: Recipe, inputs: Inputs) -> ReleasedNetwork:
    """An untrained network of the sizes of its inputs."""
    width = inputs.by_row[0].shape[-1]
    if recipe.takes == NUMBERS:
        return Released(width, recipe)
    if recipe.takes == DOSAGE:
        return ReleasedDosage(width, recipe)
    if recipe.takes == TEXTS:
        return ReleasedTexts(replace(recipe, width=width))
    return ReleasedGraphs(width, inputs.shared[0].features.shape[1], recipe)


def train(
    inputs: Inputs,
    y: Any,
    recipe: Recipe,
    *,
    seed: int,
    epochs: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[ReleasedNetwork, Losses]:
    """Train on all rows given; ``epochs`` cuts the recipe short without changing its schedule.

    Batches are cut from a permutation, which is faster than the released data loader. Where the
    recipe stops by validation rows, it also stops at an error of these that is not finite.
    """
    y, losses = _floats(y), Losses([], [])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = network_for(recipe, inputs)
        optimiser = _optimiser(network, recipe)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs)
        rows, valid = _parts(len(y), recipe)
        for epoch in range(recipe.epochs if epochs is None else epochs):
            losses.train.append(_epoch(network, optimiser, inputs, y, rows, recipe))
            if recipe.cosine:
                cosine.step()
            if recipe.stopping is not None:
                losses.valid.append(_error(network.eval(), inputs.at(valid), y[valid]))
            if tell is not None:
                words = f", validation {losses.valid[-1]:.4f}" if losses.valid else ""
                tell(f"epoch {epoch + 1}: training {losses.train[-1]:.4f}{words}")
            if ended(losses.valid, recipe):
                break
    return network.eval(), losses


def _optimiser(network: ReleasedNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.adam:
        return torch.optim.Adam(network.parameters(), lr=recipe.lr)
    return torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )


def _parts(n: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Rows to train on, and those for validation."""
    if recipe.stopping is None:
        return torch.arange(n), torch.arange(0)
    order, count = torch.randperm(n), int(recipe.stopping.fraction * n)
    return order[count:], order[:count]


def _epoch(
    network: ReleasedNetwork,
    optimiser: torch.optim.Optimizer,
    inputs: Inputs,
    y: Tensor,
    rows: Tensor,
    recipe: Recipe,
) -> float:
    """Loss of the last batch; gradients of batches without a step stay for the next one."""
    network.train()
    order = rows[torch.randperm(len(rows))]
    for number, start in enumerate(range(0, len(order), recipe.batch), start=1):
        part = order[start : start + recipe.batch]
        loss = network.loss(inputs.at(part), y[part])
        (loss / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
        if number % recipe.accumulate == 0:
            optimiser.step()
            optimiser.zero_grad()
    return loss.item()


@torch.no_grad()
def _error(network: ReleasedNetwork, inputs: tuple[Any, ...], y: Tensor) -> float:
    return float(((network(*inputs) - y) ** 2).mean())


def ended(errors: list[float], recipe: Recipe) -> bool:
    """Whether training ends after epochs with these errors on validation rows."""
    if recipe.stopping is None:
        return False
    watched = errors[recipe.stopping.least - 1 :]
    if not math.isfinite(errors[-1]):
        return True
    if not watched:
        return False
    waited = len(watched) - 1 - watched.index(min(watched))
    return waited > recipe.stopping.patience and errors[-1] < recipe.stopping.below


@torch.no_grad()
def answers(network: ReleasedNetwork, inputs: Inputs) -> Tensor:
    """Outcomes ``(n,)``."""
    starts = range(0, len(inputs.by_row[0]), _PIECE)
    return torch.cat([network(*inputs.at(slice(k, k + _PIECE))) for k in starts])
