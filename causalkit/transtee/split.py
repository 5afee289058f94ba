"""Training and validation rows: by unit or cluster if declared, stratified by treatment."""

import numpy as np

from causalkit.rng import stream
from causalkit.typing import Floats, Ints

N_DOSE_STRATA = 5


def strata_of(arms: Ints, doses: Floats) -> Ints:
    """Stratum of every row: its combination of arms, and the fifth of the doses it lies in.

    Doses are NaN where none is taken, which no fifth should count.
    """
    keys = [arms[:, j] for j in range(arms.shape[1])]
    for j in range(doses.shape[1]):
        taken = doses[~np.isnan(doses[:, j]), j]
        if taken.size and np.ptp(taken) > 0:
            edges = np.quantile(taken, np.linspace(0, 1, N_DOSE_STRATA + 1)[1:-1])
            keys.append(np.searchsorted(edges, doses[:, j]))
    if not keys:
        return np.zeros(len(arms), dtype=np.int64)
    return np.asarray(np.unique(np.column_stack(keys), axis=0, return_inverse=True)[1]).ravel()


def strata_of_groups(arms: Ints, doses: Floats, groups: Ints) -> Ints:
    """Stratum ``(G,)`` of every group 0..G-1: which arms its rows have, and its mean doses."""
    size = int(groups.max()) + 1
    has = np.zeros((size, arms.max(initial=0) + 1), dtype=np.int64)
    means = np.empty((size, doses.shape[1]))
    for j in range(arms.shape[1]):
        has[groups, arms[:, j]] = 1
    for j in range(doses.shape[1]):
        taken = ~np.isnan(doses[:, j])
        total = np.bincount(groups, weights=np.where(taken, doses[:, j], 0.0))
        with np.errstate(invalid="ignore"):
            means[:, j] = total / np.bincount(groups, weights=taken)
    return strata_of(has, means)


def split_rows(strata: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Training and validation rows, sorted.

    Parameters
    ----------
    strata : (n,) int array
    fraction : float
        Share of rows for validation: exactly round(fraction n), shared out among the strata by
        largest remainder, so that data sets of one size have parts of one size.
    seed : int
    """
    n = strata.size
    counts = np.bincount(strata)
    total = _count(fraction, n)
    exact = total * counts / n
    share = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - share), kind="stable")
    share[order[: total - share.sum()]] += 1
    rng = stream(seed, "validation")
    held_rows = [
        rng.permutation(np.flatnonzero(strata == k))[: share[k]] for k in range(counts.size)
    ]
    valid = np.sort(np.concatenate(held_rows))
    return np.setdiff1d(np.arange(n), valid), valid


def split_groups(groups: Ints, strata: Ints, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Training and validation rows, sorted; rows of a group stay together.

    Parameters
    ----------
    groups : (n,) int array
        Coded 0..G-1.
    strata : (G,) int array
        G is at least two.
    fraction : float
        Share of groups for validation.
    seed : int
    """
    # Strata of groups may be many and small. Equal steps from a random start through all groups,
    # stratum by stratum, hold out each with the same chance and of each stratum its share.
    rng, n, total = stream(seed, "validation"), strata.size, _count(fraction, strata.size)
    order = np.lexsort((rng.random(n), rng.random(n)[strata]))
    places = ((rng.random() + np.arange(total)) * n / total).astype(np.int64)
    held = np.isin(groups, order[places])
    return np.flatnonzero(~held), np.flatnonzero(held)


def deal_groups(groups: Ints, strata: Ints, n_folds: int, seed: int) -> Ints:
    """Fold ``(n,)`` of every row: groups of a stratum go to folds in turn."""
    order = np.lexsort((stream(seed, "fold").random(strata.size), strata))
    fold = np.empty(strata.size, dtype=np.int64)
    fold[order] = np.arange(strata.size) % n_folds
    return fold[groups]


def _count(fraction: float, n: int) -> int:
    """How many of n are held out, at least one and not all."""
    return min(max(1, round(fraction * n)), n - 1)
