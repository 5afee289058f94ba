"""Keep the state of training, so that it goes on exactly where it was."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.tensorfile import bytes_of, read_checkpoint, write_tensors
from causalkit.transtee.optimiser import AdamW
from causalkit.transtee.training import State

if TYPE_CHECKING:
    from causalkit.transtee.adversary import Adversary
    from causalkit.transtee.coding import Coded
    from causalkit.transtee.objective import Network
    from causalkit.transtee.settings import Settings
    from causalkit.transtee.stack import Member

SCHEMA = 4
_ARRAYS = ("best_loss", "best_epoch", "last_epoch", "stopped", "lr_scale")


def saver(folder: Path, facts: dict[str, Any]) -> Callable[[State, Any], None]:
    """Function that writes the state after an epoch; the former stays until the new is whole."""

    def save(state: State, objective: Any) -> None:
        import torch

        adversary: Adversary | None = objective.adversary
        tensors = {
            "members": state.members,
            "flat": state.flat,
            "mean": state.mean,
            "first": state.adam.first,
            "second": state.adam.second,
            "best": state.best,
            **{name: torch.as_tensor(getattr(state, name)) for name in _ARRAYS},
            "epochs": torch.as_tensor([epoch for epoch, _, _ in state.history]),
            "history": torch.as_tensor(np.array([[a, b] for _, a, b in state.history])),
        }
        where = {
            "schema": SCHEMA,
            "epoch": state.epoch,
            "step": state.adam.step,
            "batch_size": state.batch_size,
            "of": facts,
        }
        if adversary is not None:
            tensors |= {
                "adversary": adversary.flat,
                "adversary.seen": adversary.seen,
                "adversary.rows": adversary.rows,
            }
            where["adversary_batches"] = adversary.n_batches
        write_tensors(folder, tensors, where)

    return save


def restored(
    folder: Path | None, fresh: State, facts: dict[str, Any], adversary: "Adversary | None"
) -> State:
    """State of a checkpoint, or ``fresh`` if there is none; the adversary is changed in place.

    Raises
    ------
    StorageError
        If the checkpoint belongs to another training, or is not whole.
    """
    kept = None if folder is None else read_checkpoint(folder, facts, schema=SCHEMA)
    if kept is None:
        return fresh
    tensors, where = kept
    device = fresh.flat.device
    if adversary is not None:
        adversary.flat.copy_(tensors["adversary"])
        adversary.seen.copy_(tensors["adversary.seen"])
        adversary.rows.copy_(tensors["adversary.rows"])
        adversary.n_batches = where["adversary_batches"]
    history = tensors["history"].numpy()
    return State(
        members=tensors["members"].to(device),
        flat=tensors["flat"].to(device),
        mean=tensors["mean"].to(device),
        adam=AdamW(tensors["first"].to(device), tensors["second"].to(device), where["step"]),
        best=tensors["best"].to(device),
        **{name: tensors[name].numpy().copy() for name in _ARRAYS},
        until=fresh.until,
        batch_size=where["batch_size"],
        epoch=where["epoch"],
        history=[
            (int(epoch), pair[0], pair[1])
            for epoch, pair in zip(tensors["epochs"], history, strict=True)
        ],
    )


def facts_of(
    network: "Network",
    data: "Sequence[Coded]",
    members: "Sequence[Member]",
    settings: "Settings",
) -> dict[str, Any]:
    """What tells one training from another: how, on which rows, of which data."""
    digest = hashlib.sha256()
    for one in data:
        for values in (*one.covariates.arrays(), *one.actions.arrays(), one.y, one.weight):
            if values is not None:
                digest.update(np.ascontiguousarray(values).tobytes())
    for member in members:
        digest.update(member.train.tobytes() + member.valid.tobytes())
    if network.library is not None:
        digest.update(repr((list(network.library.place), network.library.names)).encode())
        for values in network.library.arrays().values():
            digest.update(np.ascontiguousarray(values).tobytes())
    for module in (network.action_encoder, network.covariate_encoder):
        if module is not None:
            digest.update(module.digest.encode())
            for name, values in module.state().items():
                digest.update(name.encode() + bytes_of(values))
    plan = settings.plan
    return {
        **{name: getattr(plan, name) for name in plan.__slots__},
        "random_state": [member.seed for member in members],
        "data": digest.hexdigest(),
        "network": f"{network.shape} {network.family} {settings.precision} {settings.support}",
        "regularizer": [
            settings.regularizer,
            settings.regularizer_weight,
            settings.density,
            settings.adversary_steps,
        ],
    }
