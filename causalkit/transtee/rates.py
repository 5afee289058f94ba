"""Learning rates, and the choice among several by the validation rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from causalkit.errors import TrainingError
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.fitting import fit_members
from causalkit.transtee.settings import Settings
from causalkit.transtee.stack import Member, Stack


def fit_ensembles(
    coding: Coding,
    data: Sequence[Coded],
    ensembles: Sequence[Sequence[Member]],
    settings: Settings,
    *,
    tell: Callable[[str], None] | None = None,
    checkpoint: Path | None = None,
) -> list[Stack]:
    """Train ensembles as :func:`~causalkit.transtee.fitting.fit_members` does.

    Where the settings have several learning rates, the first network of every ensemble is trained
    at each of them, and the ensemble at the one with the least validation loss.
    """
    if len(settings.rates) > 1:
        ensembles = _at_best_rates(coding, data, ensembles, settings, tell, checkpoint)
    members = [member for ensemble in ensembles for member in ensemble]
    return fit_members(coding, data, members, settings, tell=tell, checkpoint=checkpoint)


def _at_best_rates(
    coding: Coding,
    data: Sequence[Coded],
    ensembles: Sequence[Sequence[Member]],
    settings: Settings,
    tell: Callable[[str], None] | None,
    checkpoint: Path | None,
) -> list[list[Member]]:
    first = [ensemble[0] for ensemble in ensembles]
    losses = []
    failure: TrainingError | None = None
    for rate in settings.rates:
        say = None if tell is None else partial(_told, tell, rate)
        where = None if checkpoint is None else checkpoint / f"rate_{rate:g}"
        pilots = [replace(member, lr=rate) for member in first]
        try:
            losses.append(_losses(coding, data, pilots, settings, say, where))
        except TrainingError as error:
            # A rate at which training breaks down is not chosen.
            losses.append([np.inf] * len(first))
            failure = error
    if failure is not None and not np.isfinite(losses).any():
        raise failure
    best = np.argmin(losses, axis=0)
    return [
        [replace(member, lr=settings.rates[place]) for member in ensemble]
        for ensemble, place in zip(ensembles, best.tolist(), strict=True)
    ]


def _losses(
    coding: Coding,
    data: Sequence[Coded],
    pilots: Sequence[Member],
    settings: Settings,
    tell: Callable[[str], None] | None,
    checkpoint: Path | None,
) -> list[float]:
    """Least validation loss of every network, trained once."""
    once = replace(settings, refit=False)
    stacks = fit_members(coding, data, pilots, once, tell=tell, checkpoint=checkpoint)
    if any(stack.partial for stack in stacks):
        raise KeyboardInterrupt
    found = {
        (member.data, member.seed): float(loss)
        for stack in stacks
        for member, loss in zip(stack.members, stack.best_loss, strict=True)
    }
    return [found[pilot.data, pilot.seed] for pilot in pilots]


def _told(tell: Callable[[str], None], rate: float, line: str) -> None:
    tell(f"learning rate {rate:g} on trial, {line}")
