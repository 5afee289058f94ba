"""Rows that hang together through labels that they share."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from causalkit.typing import Ints


def joined_groups(labels: Sequence[Ints]) -> Ints:
    """Group ``(n,)`` of every row, 0..G-1: rows that share any label are in one."""
    ends = np.cumsum([0, *(int(one.max()) + 1 for one in labels)])
    first = np.tile(labels[0], len(labels) - 1)
    other = [one + start for one, start in zip(labels[1:], ends[1:-1], strict=True)]
    if not other:
        return np.unique(labels[0], return_inverse=True)[1]
    links = coo_array((np.ones(first.size), (first, np.concatenate(other))), (ends[-1], ends[-1]))
    part = connected_components(links, directed=False)[1]
    return np.unique(part[labels[0]], return_inverse=True)[1]
