"""Trained networks, and which rows each was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from causalkit.transtee.objective import Network
from causalkit.transtee.scales import Scales
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Member:
    """One network to train: on which data set, with which rows and seed, and how fast.

    ``lr`` is None where there is one learning rate for all.
    """

    data: int
    seed: int
    train: Ints
    valid: Ints
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """Trained networks.

    Attributes
    ----------
    network : Network
    flat : (M, P) tensor
    scales : Scales
    members : tuple of Member
    history : list of (epoch, training loss (M,), validation loss (M,))
    best_loss : (M,) array
        Least validation loss.
    best_epoch, last_epoch : (M,) int arrays
    partial : bool
        Whether training was interrupted.
    """

    network: Network
    flat: "Tensor"
    scales: Scales
    members: tuple[Member, ...]
    history: list[tuple[int, Floats, Floats]]
    best_loss: Floats
    best_epoch: Ints
    last_epoch: Ints
    partial: bool = False

    def kept(self, places: Sequence[int]) -> "Stack":
        """Of some members."""
        import torch

        index = torch.as_tensor(list(places), device=self.flat.device)
        return replace(
            self,
            network=self.network.kept(index),
            flat=self.flat[index],
            scales=self.scales.kept(index),
            members=tuple(self.members[place] for place in places),
            history=[(epoch, a[list(places)], b[list(places)]) for epoch, a, b in self.history],
            best_loss=self.best_loss[list(places)],
            best_epoch=self.best_epoch[list(places)],
            last_epoch=self.last_epoch[list(places)],
        )


def stacks_of(ensemble: Sequence[Member], stacks: Sequence[Stack]) -> tuple[Stack, ...]:
    """Networks of one ensemble, of the stacks that hold some."""
    own = {(member.data, member.seed) for member in ensemble}
    parts = []
    for stack in stacks:
        places = [k for k, m in enumerate(stack.members) if (m.data, m.seed) in own]
        parts += [stack.kept(places)] if places else []
    return tuple(parts)
