"""Keep the state of an encoder's training, so that it goes on exactly where it was."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from causalkit.images.batches import Rows
from causalkit.images.encoder_digest import encoder_digest
from causalkit.tensorfile import bytes_of, of_part, read_checkpoint, write_tensors

if TYPE_CHECKING:
    from causalkit.images.training import Loop

SCHEMA = 1
_OF_GROUPS = ("lr", "betas")  # what the schedule changes


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Folder for the trainings of a fit, each in a folder of its own within.

    Attributes
    ----------
    folder : Path
    facts : mapping
        What tells this fit from another beside what a training itself knows.
    """

    folder: Path
    facts: Mapping[str, Any]

    def within(self, name: str) -> "Checkpoint":
        """For a part of the fit."""
        return replace(self, folder=self.folder / name)

    def keeper(self, loop: "Loop", select: Rows) -> "Keeper":
        """For the training that a fresh loop is about to begin."""
        return Keeper(self.folder, _facts(loop, select) | dict(self.facts))


@dataclass(frozen=True, slots=True, eq=False)
class Keeper:
    """Folder of one training, and what tells it from another."""

    folder: Path
    facts: dict[str, Any]

    def save(self, loop: "Loop") -> None:
        """Write the state after an epoch; the former stays until the new is whole.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        adam = loop.adam.state_dict()
        tensors = {f"network.{name}": part for name, part in loop.network.state_dict().items()}
        for number, moments in adam["state"].items():
            tensors |= {f"adam.{number}.{name}": part for name, part in moments.items()}
        tensors |= {
            "weights": loop.weights,
            "scalars": loop.scalars,
            "generator": loop.generator.get_state(),
            "random": torch.get_rng_state(),
            "history": torch.as_tensor(np.array(loop.history)),
        }
        if loop.device.type == "cuda":
            tensors["random on device"] = torch.cuda.get_rng_state(loop.device)
        where = {
            "schema": SCHEMA,
            "of": self.facts,
            "n_steps": loop.n_steps,
            "n_parts": loop.n_parts,
            "order": loop.order.bit_generator.state,
            "groups": [{name: one[name] for name in _OF_GROUPS} for one in adam["param_groups"]],
        }
        write_tensors(self.folder, tensors, where)

    def restore(self, loop: "Loop") -> None:
        """Bring a fresh loop to the state that was kept, if one was.

        Raises
        ------
        StorageError
            If the checkpoint belongs to another training, or cannot be read.
        """
        kept = read_checkpoint(self.folder, self.facts, schema=SCHEMA)
        if kept is not None:
            _load(loop, *kept)


def _load(loop: "Loop", tensors: dict[str, Any], where: dict[str, Any]) -> None:
    loop.network.load_state_dict(of_part(tensors, "network"))
    with torch.no_grad():
        loop.weights.copy_(tensors["weights"])
        loop.scalars.copy_(tensors["scalars"])
    fresh = loop.adam.state_dict()
    moments: dict[int, dict[str, Any]] = {}
    for name, part in of_part(tensors, "adam").items():
        number, which = name.split(".")
        moments.setdefault(int(number), {})[which] = part
    groups = [
        group | {"lr": kept["lr"], "betas": tuple(kept["betas"])}
        for group, kept in zip(fresh["param_groups"], where["groups"], strict=True)
    ]
    loop.adam.load_state_dict({"state": moments, "param_groups": groups})
    # The schedule knows all else by the number of the step.
    loop.schedule.last_epoch = loop.n_steps = where["n_steps"]
    loop.n_parts = where["n_parts"]
    loop.order.bit_generator.state = where["order"]
    loop.history = [(fitted, score) for fitted, score in tensors["history"].tolist()]
    loop.generator.set_state(tensors["generator"])
    torch.set_rng_state(tensors["random"])
    if "random on device" in tensors:
        torch.cuda.set_rng_state(tensors["random on device"], loop.device)


def _facts(loop: "Loop", select: Rows) -> dict[str, Any]:
    """What a training is, by what may differ: its seed, the model, how, the encoder, the data."""
    start = hashlib.sha256()
    for name, values in loop.network.state_dict().items():
        start.update(name.encode() + bytes_of(values))
    trial = loop.trial
    data = hashlib.sha256(repr(np.asarray(trial.images.store.keys).tolist()).encode())
    for values in (
        *(trial.outcome, trial.treatment, trial.covariates),
        *(trial.lens.bands.mean, trial.lens.bands.sd),
        *(part for rows in (loop.rows, select) for part in (rows.images, rows.order)),
    ):
        data.update(np.ascontiguousarray(values).tobytes() + b"|")
    recipe = asdict(loop.recipe)
    return {
        "random_state": loop.seed,
        "model": asdict(loop.model),
        **(recipe | {"precision": str(recipe["precision"])}),
        "device": loop.device.type,
        "encoder": f"{encoder_digest(loop.network, weights=False)} {start.hexdigest()}",
        "data": data.hexdigest(),
    }
