"""Which rows each network trains on, and which judge it."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from causalkit.rng import seed_of, stream
from causalkit.transtee.settings import Settings
from causalkit.transtee.split import split_rows, strata_of
from causalkit.transtee.stack import Member
from causalkit.typing import Ints

if TYPE_CHECKING:
    from causalkit.transtee.fitting import Coded


def members_of(
    coded: "Coded", place: int, settings: Settings, seed: int, rows: Ints
) -> list[Member]:
    """Members of one data set: one, or an ensemble with seeds, splits, perhaps rows of its own."""
    found = []
    actions = coded.actions
    strata = strata_of(actions.arms[rows], actions.doses[rows])
    groups = None if coded.groups is None else coded.groups[rows]
    for index in range(settings.n_ensemble):
        own = seed_of(seed, "member", index)
        # Conformal intervals calibrate on rows that no network of the ensemble trained on.
        parted = seed_of(seed, "split") if settings.interval == "conformal" else own
        train_rows, valid_rows = split_rows(
            strata, settings.validation_fraction, parted, groups=groups
        )
        if settings.bootstrap and settings.n_ensemble > 1:
            draw = stream(own, "bootstrap").integers(0, train_rows.size, train_rows.size)
            train_rows = train_rows[draw]
        found.append(Member(place, own, rows[train_rows], rows[valid_rows]))
    return found


def with_validation(member: Member, settings: Settings) -> Member:
    """The member with its validation rows among those to train on."""
    rows = np.union1d(member.train, member.valid)
    if settings.bootstrap and settings.n_ensemble > 1:
        rows = np.concatenate([member.train, member.valid])
    return replace(member, train=rows)
