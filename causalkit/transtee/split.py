"""Training and validation rows: by unit or cluster if declared, stratified by treatment."""

import numpy as np

from causalkit.errors import DataError, Problem
from causalkit.rng import stream
from causalkit.typing import Floats, Ints

N_DOSE_STRATA = 5


def strata_of(arms: Ints, doses: Floats) -> Ints:
    """Stratum of every row: its combination of arms, and the fifth of the doses it lies in."""
    keys = [arms[:, j] for j in range(arms.shape[1])]
    for j in range(doses.shape[1]):
        if np.ptp(doses[:, j]) > 0:
            edges = np.quantile(doses[:, j], np.linspace(0, 1, N_DOSE_STRATA + 1)[1:-1])
            keys.append(np.searchsorted(edges, doses[:, j]))
    if not keys:
        return np.zeros(len(arms), dtype=np.int64)
    return np.asarray(np.unique(np.column_stack(keys), axis=0, return_inverse=True)[1]).ravel()


def split_rows(
    strata: Ints, fraction: float, seed: int, *, groups: Ints | None = None
) -> tuple[Ints, Ints]:
    """Training and validation rows, sorted.

    Parameters
    ----------
    strata : (n,) int array
    fraction : float
        Share of rows (or of groups) for validation. Without groups exactly round(fraction n) rows,
        shared out among the strata by largest remainder, so that data sets of one size have
        parts of one size.
    seed : int
    groups : (n,) int array, optional
        Rows of a group stay together.

    Raises
    ------
    DataError
        If there are fewer than two groups.
    """
    rng = stream(seed, "validation")
    if groups is not None:
        labels = np.unique(groups)
        if labels.size < 2:
            raise DataError(
                Problem(
                    "E18-few-clusters",
                    "all rows belong to one unit or cluster, so that none is left to validate on.",
                )
            )
        size = min(max(1, round(fraction * labels.size)), labels.size - 1)
        held = np.isin(groups, rng.permutation(labels)[:size])
        return np.flatnonzero(~held), np.flatnonzero(held)
    n = strata.size
    counts = np.bincount(strata)
    total = min(max(1, round(fraction * n)), n - 1)
    exact = total * counts / n
    share = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - share), kind="stable")
    share[order[: total - share.sum()]] += 1
    held_rows = [
        rng.permutation(np.flatnonzero(strata == k))[: share[k]] for k in range(counts.size)
    ]
    valid = np.sort(np.concatenate(held_rows))
    return np.setdiff1d(np.arange(n), valid), valid
