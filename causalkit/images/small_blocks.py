"""Small blocks with a set number of treated units, which are kept whole.

Where half of each block of B units was treated, a unit's treatment is less likely the more of its
block-mates are treated: their correlation is −1 / (B − 1). A baseline that was learned from some
units of a block and evaluated on the others then knows of their treatment, and doubly robust scores
count up to 1 / (B − 1) of what sets the effect in the block apart from the average twice: all of it
in matched pairs. So small blocks lie in one part of the split, and cluster standard errors. Of
larger ones the mean by other rows is worth more than the trace that is left.
"""

from dataclasses import dataclass

import numpy as np

from causalkit.errors import SplitWarning
from causalkit.images.assignment import propensity_strata
from causalkit.images.splits import connected
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

SMALL = 20  # units, or clusters that were assigned as one: 1 / (B - 1) is about .05 from here on
_LEVEL = -1.645  # one in twenty: where it errs it costs precision, and bias where it does not ask
_MOST = 0.1  # of the rows, in one group


@dataclass(frozen=True, slots=True, eq=False)
class WholeBlocks:
    """What small blocks change.

    Attributes
    ----------
    groups : (n,) int array
        Rows that stay in one part of the split.
    clusters : (n,) int array or None
        Within which errors may be dependent. None: blocks change nothing.
    strata : (n,) int array
        Those of which means can be learned: small blocks of about one propensity are one.
    """

    groups: Ints
    clusters: Ints | None
    strata: Ints


def whole_blocks(
    strata: Ints, assigned: Ints, propensity: Floats, treatment: Floats, groups: Ints, name: str
) -> WholeBlocks | None:
    """Groups and clusters that hold small blocks whole; None if there are none that need it.

    Those do in which treatments depend on each other: their counts vary less between blocks than
    those of units that were treated one by one.

    Parameters
    ----------
    strata : (n,) int array
    assigned : (n,) int array
        Number of what was treated as one: the row, or the cluster.
    propensity, treatment : (n,) arrays
    groups : (n,) int array
        Rows that stay in one part of the split whatever their blocks.
    name : str
        Of the column of strata, for messages.
    """
    pairs = np.stack([strata, assigned], axis=1)
    cells, cell = np.unique(pairs, axis=0, return_inverse=True)
    cell = cell.ravel()
    block = cells[:, 0]
    small = np.bincount(block) < SMALL
    surprise = np.bincount(cell, treatment - propensity) / np.bincount(cell)
    mine = small[block]
    if not _counts_are_set(block[mine], surprise[mine]):
        return None
    n, first = strata.size, int(strata.max()) + 1
    rows = small[strata]
    learned = np.where(rows, first + propensity_strata(propensity), strata)
    label = np.where(rows, strata, first + np.arange(n))
    whole = connected(groups, label)
    share, before = (np.bincount(found).max() / n for found in (whole, groups))
    if share > max(_MOST, before):
        warn(
            f"blocks of {name!r} with fewer than {SMALL} units and a set number of treated ones "
            f"should lie whole in one part of the split, and through images or clusters they hang "
            f"together: {share:.0%} of the rows would lie in one. So they are divided, and the "
            "baseline does not learn their means. Honest effects are sound unless images or "
            "covariates tell which block a unit is in; name strata that share no images or "
            "clusters if there are some.",
            SplitWarning,
        )
        return WholeBlocks(groups, None, learned)
    return WholeBlocks(whole, label, learned)


def _counts_are_set(block: Ints, surprise: Floats) -> bool:
    """Whether sums of T − e by block are closer to zero than those of independent draws.

    The sum of products of two different units of a block has expectation zero if they were drawn
    apart, whatever their propensities, and the sum of products of their squares as its variance.
    """
    total, squares, fourth = (np.bincount(block, surprise**power) for power in (1, 2, 4))
    products = float((total**2 - squares).sum())
    variance = 2.0 * float((squares**2 - fourth).sum())
    return products < _LEVEL * float(np.sqrt(max(variance, 0.0)))
