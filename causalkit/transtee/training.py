"""Train M networks side by side: batches, validation, early stopping, recovery, interruption.

The loop knows neither treatments nor covariates: an :class:`Objective` turns parameters and rows
into a loss per member. What a member sees depends on its own seed and rows alone, never on who
trains beside it; a member that has stopped leaves the stack.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from causalkit.errors import CausalKitWarning, TrainingError
from causalkit.rng import stream
from causalkit.transtee.crew import Crew, crew
from causalkit.transtee.optimiser import AdamW
from causalkit.transtee.plan import Plan
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 0.98  # of the running mean, less in the first updates
_SHRINK = 0.75  # the stack is made smaller when fewer than this share of it still train


class Objective(Protocol):
    """What is trained."""

    @property
    def apart(self) -> bool:
        """Whether shares of the members may be trained by threads of their own."""

    def part(self, members: "Tensor") -> "Objective":
        """Some members, for a thread of their own during one epoch."""

    def joined(self, parts: "Sequence[Any]") -> None:
        """Called after an epoch with what :meth:`part` gave."""

    def undone(self) -> None:
        """Called after an epoch that came to nothing."""

    def kept(self, members: "Tensor") -> "Objective":
        """The same for some members of the stack."""

    def start_epoch(self, epoch: int, progress: float) -> None:
        """Called before each epoch, with the share of all epochs that is done."""

    def gradient(self, flat: "Tensor", rows: "Tensor") -> "tuple[Tensor, Tensor]":
        """Training loss ``(M,)`` on rows ``(M, B)``, and its gradient ``(M, P)``."""

    def validation(self, flat: "Tensor") -> "Tensor":
        """Factual loss ``(M,)`` on the validation rows."""

    def largest_outcome(self) -> float:
        """Largest |y|, for messages."""


@dataclass(slots=True)
class State:
    """Everything that training needs to go on, of the members that still train.

    Attributes
    ----------
    members : (A,) integer tensor
        Their places in the whole stack.
    flat : (A, P) tensor
    mean : (A, P) tensor
        Running mean of the parameters over some 50 updates, which validation judges and training
        returns: the last update of a noisy gradient says less than the mean of many.
    adam : AdamW
    best : (M, P) tensor
        Best parameters of all members.
    best_loss : (M,) array
    best_epoch, last_epoch : (M,) int arrays
    stopped : (M,) bool array
        Whose patience is over; they may stay in the stack for a while, unheard.
    lr_scale : (M,) array
        1, or a half after a loss that was not finite.
    until : (M,) int array, optional
        Epoch after which each member is done, whatever the validation rows say.
    batch_size : int
        Rows of a batch if they were halved for want of memory, else 0.
    epoch : int
        Next epoch.
    history : list of (epoch, train (M,), validation (M,))
        NaN for members that have stopped.
    partial : bool
        Whether training was interrupted.
    """

    members: "Tensor"
    flat: "Tensor"
    mean: "Tensor"
    adam: AdamW
    best: "Tensor"
    best_loss: Floats
    best_epoch: Ints
    last_epoch: Ints
    stopped: Bools
    lr_scale: Floats
    until: Ints | None = None
    batch_size: int = 0
    epoch: int = 0
    history: list[tuple[int, Floats, Floats]] = field(default_factory=list)
    partial: bool = False

    @classmethod
    def of(cls, flat: "Tensor", until: Ints | None = None, batch_size: int = 0) -> "State":
        """State before the first epoch."""
        import torch

        m = flat.shape[0]
        return cls(
            members=torch.arange(m, device=flat.device),
            flat=flat.clone(),
            mean=flat.clone(),
            adam=AdamW.of(flat),
            best=flat.clone(),
            best_loss=np.full(m, np.inf),
            best_epoch=np.zeros(m, dtype=np.int64),
            last_epoch=np.zeros(m, dtype=np.int64),
            stopped=np.zeros(m, dtype=bool),
            lr_scale=np.ones(m),
            until=until,
            batch_size=batch_size,
        )


def train(
    state: State,
    objective: Objective,
    rows: Sequence[Ints],
    seeds: Sequence[int],
    plan: Plan,
    decay: "Tensor",
    *,
    tell: Callable[[str], None] | None = None,
    save: Callable[[State, Any], None] | None = None,
) -> State:
    """Train from ``state`` until every member has stopped.

    Parameters
    ----------
    state : State
    objective : Objective
        Of all members of the stack.
    rows : sequence of (n,) int arrays
        Training rows of every member; all of one length.
    seeds : sequence of int
        One per member; with an epoch they decide its batches.
    plan : Plan
    decay : (P,) tensor
        1 where weight decay applies.
    tell : callable, optional
        Told a line after every epoch.
    save : callable, optional
        Given the state and the objective after every epoch.

    Raises
    ------
    TrainingError
        If a member's loss is not finite again after its learning rate was halved, or memory does
        not suffice after the batches were.
    """
    import torch

    objective = objective.kept(state.members)
    mask = decay.to(state.flat) * plan.weight_decay
    started = time.perf_counter()
    first = state.epoch
    try:
        with crew(state.flat.device, len(state.members), apart=objective.apart) as workers:
            while state.epoch < plan.max_epochs and len(state.members):
                if state.batch_size:
                    plan = replace(plan, batch_size=state.batch_size)
                batches = _batches(state, rows, seeds, plan)
                try:
                    state, objective = _epoch(state, objective, batches, plan, mask, workers)
                except torch.OutOfMemoryError:
                    objective.undone()
                    state.batch_size = _smaller(batches.shape[-1], halved=state.batch_size > 0)
                    continue
                if tell is not None:
                    seconds = time.perf_counter() - started
                    tell(_line(state, plan, len(batches), seconds, first))
                if save is not None:
                    save(state, objective)
    except KeyboardInterrupt:
        state.partial = True
    state.members = torch.arange(0, device=state.flat.device)
    return state


def _epoch(
    state: State,
    objective: Any,
    batches: Ints,
    plan: Plan,
    mask: "Tensor",
    workers: Crew,
) -> tuple[State, Any]:
    """One pass over the training rows of the members that still train, and what follows from it."""
    import torch

    members = state.members.cpu().numpy()
    before = (state.flat.clone(), state.mean.clone(), state.adam.copied())
    try:
        losses, gradients, found = _side_by_side(state, objective, batches, plan, mask, workers)
    except torch.OutOfMemoryError:
        state.flat, state.mean, state.adam = before
        raise
    bad = ~(np.isfinite(losses).all(axis=0) & np.isfinite(gradients).all(axis=0))
    bad &= ~state.stopped[members]
    if bad.any():
        _recover(state, objective, before, bad, members, losses, gradients)
        return state, objective
    trains = ~state.stopped[members]
    judged = state.until is None and state.epoch >= plan.settled
    better = trains & (found < state.best_loss[members]) if judged else trains
    train_loss = np.full(len(state.best_loss), np.nan)
    valid_loss = train_loss.copy()
    train_loss[members[trains]] = losses.mean(axis=0)[trains]
    valid_loss[members[trains]] = found[trains]
    state.history.append((state.epoch, train_loss, valid_loss))
    for place in np.flatnonzero(better):
        state.best[members[place]] = state.mean[place]
    state.best_loss[members[better]] = found[better] if judged else np.inf
    state.best_epoch[members[better]] = state.epoch
    state.last_epoch[members[trains]] = state.epoch
    state.epoch += 1
    return _without_stopped(state, objective, members, plan)


def _side_by_side(
    state: State, objective: Any, batches: Ints, plan: Plan, mask: "Tensor", workers: Crew
) -> tuple[Floats, Floats, Floats]:
    """One pass over all batches, a share of the members for each worker.

    Returns
    -------
    losses, gradient norms : (steps, A) arrays
    validation losses : (A,) array
        NaN where training ends after given epochs.
    """
    import torch

    device, n_members = state.flat.device, len(state.members)
    index = torch.as_tensor(batches, device=device)
    ends = np.linspace(0, n_members, min(workers.size, n_members) + 1).astype(int).tolist()
    places = [slice(low, high) for low, high in pairwise(ends)]
    parts = [objective.part(torch.arange(n_members, device=device)[own]) for own in places]
    shares = workers.run(
        [
            partial(_pass, state, own, part, index[:, own], plan, mask, workers)
            for own, part in zip(places, parts, strict=True)
        ]
    )
    state.adam.step += len(batches)
    objective.joined(parts)
    losses, sizes, found = (
        torch.cat(parts, dim=-1).cpu().double().numpy() for parts in zip(*shares, strict=True)
    )
    return losses, sizes, found


def _pass(
    state: State,
    own: slice,
    objective: Any,
    batches: "Tensor",
    plan: Plan,
    mask: "Tensor",
    workers: Crew,
) -> "tuple[Tensor, Tensor, Tensor]":
    """All batches for the members of a share, whose rows of the state change in place."""
    import torch

    # By .data, so that torch counts a share's changes in place apart from those of the others.
    flat, mean, adam = state.flat.data[own], state.mean.data[own], state.adam.kept(own)
    scale = state.lr_scale[state.members[own].cpu().numpy()]
    scale = torch.as_tensor(scale, device=flat.device, dtype=flat.dtype)[:, None]
    objective.start_epoch(state.epoch, state.epoch / plan.max_epochs)
    losses, sizes = [], []
    n_steps = len(batches)
    for step, rows in enumerate(batches):
        if workers.leave.is_set():
            raise KeyboardInterrupt
        loss, gradient = objective.gradient(flat, rows)
        lr = plan.rate(state.epoch * n_steps + step, n_steps)
        with torch.no_grad():
            size = adam.update(flat, gradient, lr=lr * scale, decay=mask, clip=plan.clip)
        mean.lerp_(flat, 1.0 - min(MEMORY, (1 + adam.step) / (10 + adam.step)))
        losses.append(loss)
        sizes.append(size)
    judged = (
        torch.full_like(loss, math.nan) if state.until is not None else objective.validation(mean)
    )
    return torch.stack(losses), torch.stack(sizes), judged


def _smaller(size: int, *, halved: bool) -> int:
    """Half the batch, once: what does not fit then is too large for other reasons."""
    if halved or size < 2:
        raise TrainingError(
            f"the device is out of memory with batches of {size} rows"
            f"{', after they were halved' if halved else ''}. Take a smaller d_model or "
            "batch_size, fewer networks at once, or device='cpu'."
        )
    warn(
        f"the device is out of memory with batches of {size} rows; training goes on with "
        f"{size // 2}.",
        CausalKitWarning,
    )
    return size // 2


def _batches(state: State, rows: Sequence[Ints], seeds: Sequence[int], plan: Plan) -> Ints:
    """Rows ``(steps, A, B)`` of an epoch; up to steps − 1 rows sit out, other ones each time."""
    n_steps, size = plan.n_steps(len(rows[0])), plan.rows_per_batch(len(rows[0]))
    drawn = [
        rows[m][
            stream(seeds[m], "batches", state.epoch).permutation(len(rows[m]))[: size * n_steps]
        ]
        for m in state.members.tolist()
    ]
    return np.stack(drawn).reshape(len(drawn), n_steps, size).swapaxes(0, 1)


def _recover(
    state: State,
    objective: Any,
    before: "tuple[Tensor, Tensor, AdamW]",
    bad: Any,
    members: Ints,
    losses: Floats,
    gradients: Floats,
) -> None:
    """Go back to the start of the epoch with half the learning rate for those that diverged."""
    again = [int(m) for m in members[bad] if state.lr_scale[m] < 1.0]
    if again:
        place = int(np.flatnonzero(members == again[0])[0])
        broken = ~(np.isfinite(losses[:, place]) & np.isfinite(gradients[:, place]))
        seen = gradients[:, place][np.isfinite(gradients[:, place])]
        raise TrainingError(
            f"the loss of network {again[0]} is not finite at epoch {state.epoch + 1}, batch "
            f"{int(np.argmax(broken)) + 1}, although its learning rate was halved before. Largest "
            f"|outcome| {objective.largest_outcome():.4g}, largest gradient norm "
            f"{seen.max() if seen.size else float('nan'):.4g}. Lower lr, or look for outliers in "
            "the outcome and the covariates."
        )
    state.flat, state.mean, state.adam = before
    state.lr_scale[members[bad]] = 0.5
    objective.undone()


def _without_stopped(state: State, objective: Any, members: Ints, plan: Plan) -> tuple[State, Any]:
    """Members whose patience is over stop; the stack shrinks when enough of them have."""
    import torch

    if state.until is None:
        waited = state.epoch - 1 - state.best_epoch[members]
        state.stopped[members] |= waited >= plan.patience
    else:
        state.stopped[members] |= state.epoch > state.until[members]
    active = ~state.stopped[members]
    if active.all() or (active.mean() > _SHRINK and state.epoch < plan.max_epochs):
        return state, objective
    keep = torch.as_tensor(np.flatnonzero(active), device=state.flat.device)
    state.members, state.flat = state.members[keep], state.flat[keep]
    state.mean = state.mean[keep]
    state.adam = state.adam.kept(keep)
    return state, objective.kept(keep)


def _line(state: State, plan: Plan, n_steps: int, seconds: float, first: int) -> str:
    """Progress in one line."""
    done = max(1, state.epoch - first)
    left = seconds / done * (plan.max_epochs - state.epoch)
    _, train_loss, valid_loss = state.history[-1] if state.history else (0, np.nan, np.nan)
    lr = plan.rate(state.epoch * n_steps - 1, n_steps)
    judged = "on all rows"
    if state.until is None:
        best = int(np.median(state.best_epoch)) + 1
        judged = f"validation {np.nanmean(valid_loss):.4f}, best epoch {best}"
    return (
        f"epoch {state.epoch}/{plan.max_epochs}: training {np.nanmean(train_loss):.4f}, {judged}, "
        f"learning rate {lr:.2g}, {len(state.members)} training, at most {left:.0f} s left"
    )
