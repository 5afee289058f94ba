"""From coded data sets to stacks of trained networks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from causalkit.device import autocast_type
from causalkit.errors import CausalKitWarning
from causalkit.rng import seed_of
from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.adversary import adversary_of
from causalkit.transtee.checkpoint import facts_of, restored, saver
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.covariate_graphs import joined_graphs
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.device_rows import Store, make_store
from causalkit.transtee.families import STANDARDISED, check_outcome
from causalkit.transtee.items import ItemScales
from causalkit.transtee.layout import Layout
from causalkit.transtee.linear_start import with_linear_start
from causalkit.transtee.membership import with_validation
from causalkit.transtee.objective import NetObjective, Network
from causalkit.transtee.own_modules import OwnModule
from causalkit.transtee.scales import Scales, learn_scales, origin_of
from causalkit.transtee.settings import Settings
from causalkit.transtee.shapes import NetShape
from causalkit.transtee.stack import Member, Stack
from causalkit.transtee.training import State, train
from causalkit.typing import Ints
from causalkit.warn import warn


def fit_members(
    coding: Coding,
    data: Sequence[Coded],
    members: Sequence[Member],
    settings: Settings,
    *,
    tell: Callable[[str], None] | None = None,
    checkpoint: Path | None = None,
) -> list[Stack]:
    """Train all members; those with parts of one size, and one rate, are trained together.

    Returns
    -------
    list of Stack
        One for each size and rate, members in their order within it; after an interruption those
        that had begun.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted before a data set had any network.
    """
    for one in data:
        check_outcome(settings.outcome, one.y)
    alike: dict[tuple[int, int, float | None], list[Member]] = {}
    for member in members:
        alike.setdefault((member.train.size, member.valid.size, member.lr), []).append(member)
    stacks = []
    for number, ((*_, rate), group) in enumerate(alike.items()):
        where = None if checkpoint is None else checkpoint / f"stack{number}"
        own = settings if rate is None else settings.at(rate)
        stacks.append(_fit_stack(coding, data, group, own, tell=tell, checkpoint=where))
        if stacks[-1].partial:
            break
    begun = [member for stack in stacks for member in stack.members]
    if {member.data for member in begun} < {member.data for member in members}:
        raise KeyboardInterrupt
    if len(begun) < len(members):
        warn(
            f"{len(members) - len(begun)} of {len(members)} networks had not begun to train at the "
            "interruption, and are left out.",
            CausalKitWarning,
        )
    return stacks


def _fit_stack(
    coding: Coding,
    data: Sequence[Coded],
    members: Sequence[Member],
    settings: Settings,
    *,
    tell: Callable[[str], None] | None,
    checkpoint: Path | None,
) -> Stack:
    """Train members with parts of one size; with ``refit`` again, on all of their rows."""
    network, scales, state = _trained(
        coding, data, members, settings, tell=tell, checkpoint=checkpoint
    )
    if state.partial:
        warn(
            f"training was interrupted in epoch {state.epoch + 1}; the networks are the best up to "
            "there.",
            CausalKitWarning,
        )
    stack = Stack(
        network=network,
        flat=state.best,
        scales=scales,
        members=tuple(members),
        history=state.history,
        best_loss=state.best_loss,
        best_epoch=state.best_epoch,
        last_epoch=state.last_epoch,
        partial=state.partial,
    )
    if not settings.refit or state.partial:
        return stack
    network, scales, state = _trained(
        coding,
        data,
        [with_validation(member, settings) for member in members],
        settings,
        tell=tell,
        checkpoint=None if checkpoint is None else checkpoint / "refit",
        until=stack.best_epoch,
        batch_size=state.batch_size,
    )
    if state.partial:
        warn(
            "training on all rows was interrupted; the networks are those that were validated.",
            CausalKitWarning,
        )
        return replace(stack, partial=True)
    return replace(stack, network=network, flat=state.best, scales=scales)


def _trained(
    coding: Coding,
    data: Sequence[Coded],
    members: Sequence[Member],
    settings: Settings,
    *,
    tell: Callable[[str], None] | None,
    checkpoint: Path | None,
    until: Ints | None = None,
    batch_size: int = 0,
) -> tuple[Network, Scales, State]:
    """Train networks from their starting parameters to the best ones, or for given epochs."""
    import torch

    device = settings.device
    used = sorted({member.data for member in members})
    offsets = dict(zip(used, np.cumsum([0] + [data[k].n for k in used])[:-1].tolist(), strict=True))
    standardise = settings.outcome in STANDARDISED
    store = _joined([data[k] for k in used], device, standardise=standardise)
    scales = _scales(data, members, settings)
    network = _network(coding, data, members, settings)
    layout = network.layout
    generators = [
        torch.Generator().manual_seed(seed_of(member.seed, "initial")) for member in members
    ]
    flat = layout.initial(generators).to(device)
    scales = with_linear_start(flat, network, scales, data, members)
    valid = np.stack([member.valid + offsets[member.data] for member in members])
    objective = NetObjective(
        network=network,
        store=store,
        scales=scales,
        valid=torch.as_tensor(valid, device=device),
        seeds=[member.seed for member in members],
        adversary=adversary_of(network.shape, settings, members, device),
        hsic_weight=settings.regularizer_weight
        if settings.regularizer and coding.library is not None
        else 0.0,
        autocast=autocast_type(settings.precision, device, network.shape.width),
    )
    facts = facts_of(network, data, members, settings) if checkpoint is not None else {}
    fresh = State.of(flat, until, batch_size)
    state = train(
        restored(checkpoint, fresh, facts, objective.adversary),
        objective,
        [member.train + offsets[member.data] for member in members],
        [member.seed for member in members],
        settings.plan,
        layout.decay_mask(),
        tell=tell,
        save=None if checkpoint is None else saver(checkpoint, facts),
    )
    return network, scales, state


def _joined(data: Sequence[Coded], device: Any, *, standardise: bool) -> Store:
    """All rows of several data sets, one after the other, each seen from its origin."""

    def rows(values: Iterable[Any]) -> Any:
        first, *others = values
        return first if first is None or not others else np.concatenate([first, *others])

    covariates = [one.covariates for one in data]
    actions = zip(*(one.actions.arrays() for one in data), strict=True)
    return make_store(
        Covariates(
            rows(one.numeric - origin_of(one.numeric) for one in covariates),
            rows(one.codes for one in covariates),
            tuple(map(rows, zip(*(one.sequences for one in covariates), strict=True))),
            tuple(map(rows, zip(*(one.masks for one in covariates), strict=True))),
            joined_graphs([one.graphs for one in covariates]),
        ),
        device,
        actions=ActionArrays(*map(rows, actions)),
        y=rows(one.y - (origin_of(one.y) if standardise else 0.0) for one in data),
        weight=rows(one.weight for one in data),
    )


def _scales(data: Sequence[Coded], members: Sequence[Member], settings: Settings) -> Scales:
    import torch

    parts = [
        learn_scales(
            data[member.data],
            member.train,
            standardise=settings.outcome in STANDARDISED,
            support=settings.support,
            raw_steps=settings.covariate_encoder is not None,
            device=settings.device,
        )
        for member in members
    ]
    return Scales(*(torch.cat([getattr(p, name) for p in parts]) for name in Scales.__slots__))


def _network(
    coding: Coding, data: Sequence[Coded], members: Sequence[Member], settings: Settings
) -> Network:
    n = data[min(member.data for member in members)].n
    shape = settings.net_shape(coding.covariates.shape, coding.action_shape, n)
    library, item_scales = coding.library, None
    if library is not None:
        seen = [np.asarray(data[member.data].actions.items)[member.train] for member in members]
        item_scales = ItemScales.of(library, seen, settings.device)
        library.place_on(settings.device)
    own = (settings.action_encoder, settings.covariate_encoder)
    return Network(
        shape,
        layout_of(shape, own),
        settings.outcome,
        library,
        item_scales,
        *own,
        compile=settings.compiles,
    )


def layout_of(shape: NetShape, own: Sequence[OwnModule | None]) -> Layout:
    """Blocks of the network and of the user's modules."""
    blocks = dict(shape.layout().blocks)
    for module in own:
        blocks |= {} if module is None else module.blocks()
    return Layout(blocks)
