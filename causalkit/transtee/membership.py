"""Which rows each network trains on, and which judge it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from causalkit.errors import DataError, Problem
from causalkit.rng import seed_of, stream
from causalkit.transtee.coding import Coded
from causalkit.transtee.settings import Settings
from causalkit.transtee.split import (
    split_groups,
    split_rows,
    strata_of,
    strata_of_groups,
)
from causalkit.transtee.stack import Member
from causalkit.typing import Ints

T = TypeVar("T")
N_DRAWS = 20
N_RESAMPLES = 100


def members_of(coded: Coded, place: int, settings: Settings, seed: int, rows: Ints) -> list[Member]:
    """Networks of one data set, each with a seed, a split and, by bootstrap, rows of its own."""
    found = []
    for index in range(settings.n_ensemble):
        own = seed_of(seed, "member", index)
        # Conformal intervals calibrate on rows that no network of the ensemble trained on.
        parted = seed_of(seed, "split") if settings.interval == "conformal" else own
        train, valid = _parts(coded, rows, settings.validation_fraction, parted)
        if settings.bootstrap and settings.n_ensemble > 1:
            train = _resampled(coded, train, own)
        _check_weight(coded, train, valid)
        found.append(Member(place, own, train, valid))
    return found


def _check_weight(coded: Coded, *parts: Ints) -> None:
    """Refuse to train or to judge by rows none of which counts."""
    if coded.weight is None or all(not rows.size or coded.weight[rows].any() for rows in parts):
        return
    share = np.mean(coded.weight > 0)
    raise DataError(
        Problem(
            "E16-weights",
            f"only {share:.1%} of the rows have a weight above zero, and no row of a network's "
            "training or validation part is among them; leave out the rows of weight zero "
            "(data.filter), or hold out more (validation_fraction).",
        )
    )


def _parts(coded: Coded, rows: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Rows to train on, among which are all arms, and rows to validate on."""
    arms, doses = coded.actions.arms[rows], coded.doses_taken[rows]
    if coded.groups is not None:
        groups = np.unique(coded.groups[rows], return_inverse=True)[1]
        strata = strata_of_groups(arms, doses, groups)
        if strata.size < 2:
            raise _one_group(int(np.unique(coded.groups).size))

    def draw(seed: int) -> tuple[Ints, Ints]:
        if coded.groups is None:
            train, valid = split_rows(strata_of(arms, doses), fraction, seed)
        else:
            train, valid = split_groups(groups, strata, fraction, seed)
        return rows[train], rows[valid]

    return drawn_with_arms(coded, rows, draw, lambda parts: [parts[0]], seed)


def _one_group(total: int) -> DataError:
    """Error for rows to learn from of which no unit or cluster is left to validate on."""
    what = "all rows belong to one unit or cluster, so that none is left to validate on."
    if total > 1:
        mend = f"use more folds, up to n_folds={total}" if total > 2 else "two are too few for that"
        what = (
            f"a training fold holds one of the {total} units or clusters alone, so that none is "
            f"left to validate on; {mend}."
        )
    return DataError(Problem("E18-few-clusters", what))


def drawn_with_arms(
    coded: Coded,
    rows: Ints,
    draw: Callable[[int], T],
    trained: Callable[[T], list[Ints]],
    seed: int,
    *,
    n_draws: int = N_DRAWS,
) -> T:
    """What is drawn from a seed, anew from another while a training part lacks an arm of the rows.

    Parameters
    ----------
    coded : Coded
    rows : (n,) int array
    draw : callable
        From a seed to the parts.
    trained : callable
        Training rows of the parts.
    seed : int
    n_draws : int

    Raises
    ------
    DataError
        If an arm is lacking in the last draw as well; names it.
    """
    for attempt in range(n_draws):
        made = draw(seed if attempt == 0 else seed_of(seed, "again", attempt))
        absent = [arm for part in trained(made) for arm in _absent(coded, rows, part)]
        if not absent:
            return made
    together = "" if coded.groups is None else " Rows of a unit or cluster stay together."
    raise DataError(
        Problem(
            "E11-single-arm-fold",
            f"no row of {absent[0]} is left to train on once others are held out, in {n_draws} "
            f"draws.{together} Leave the arm out, merge it with another, or hold out less "
            "(validation_fraction, and for estimate() more n_folds).",
        )
    )


def _absent(coded: Coded, rows: Ints, train: Ints) -> list[str]:
    """Arms that some rows have and those to train on have not."""
    code, found = coded.code, []
    columns = [n for n, kind in zip(code.columns, code.kinds, strict=True) if kind != "structured"]
    for slot in range(coded.actions.arms.shape[1]):
        arms = coded.actions.arms[:, slot]
        for arm in np.setdiff1d(arms[rows], arms[train]).tolist():
            if arm < len(code.arms):
                found.append(f"arm {code.arms[arm]}")
                continue
            # An empty slot is the first level of its column.
            found.append(f"arm {columns[slot]}={code.levels[columns[slot]][0]}")
    return found


def _resampled(coded: Coded, train: Ints, seed: int) -> Ints:
    """As many rows, or groups with all of their rows, drawn with replacement."""

    def draw(seed: int) -> Ints:
        rng = stream(seed, "bootstrap")
        if coded.groups is None:
            return train[rng.integers(0, train.size, train.size)]
        groups = np.unique(coded.groups[train], return_inverse=True)[1]
        order = np.argsort(groups, kind="stable")
        of_group = np.split(train[order], np.cumsum(np.bincount(groups))[:-1])
        drawn = rng.integers(0, len(of_group), len(of_group))
        return np.concatenate([of_group[group] for group in drawn])

    return drawn_with_arms(coded, train, draw, lambda rows: [rows], seed, n_draws=N_RESAMPLES)


def with_validation(member: Member, settings: Settings) -> Member:
    """The member with its validation rows among those to train on."""
    rows = np.union1d(member.train, member.valid)
    if settings.bootstrap and settings.n_ensemble > 1:
        rows = np.concatenate([member.train, member.valid])
    return replace(member, train=rows)
