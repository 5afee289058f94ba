"""Whether the treatment agrees with how it is said to have been assigned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from causalkit.errors import RandomizationWarning, SplitWarning
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn

_LEVEL = 0.001
_AGREES = 0.05
_FIFTHS = 5
_MOSTLY = 0.5
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Rows whose treated share is furthest from their propensity.

    Attributes
    ----------
    p_value : float
        Of the least likely of all cells, times their number (Bonferroni).
    rows : str
        Which, in words.
    n : int
    share, propensity : float
        Treated, and as the propensity has it.
    """

    p_value: float
    rows: str
    n: int
    share: float
    propensity: float


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Treatment and what is said of it.

    Attributes
    ----------
    treatment, propensity : (n,) arrays
    groups : (n,) int array
        Within which units may have been assigned together.
    strata : (n,) int array or None
    stratum : str
        Name of their column.
    """

    treatment: Floats
    propensity: Floats
    groups: Ints
    strata: Ints | None = None
    stratum: str = "stratum"


def propensity_strata(propensity: Floats) -> Ints:
    """Stratum of each row or group: those of its propensity, or of its fifth if there are many."""
    values, codes = np.unique(propensity.round(9), return_inverse=True)
    if values.size > _FIFTHS:
        inner = np.linspace(0.0, 1.0, _FIFTHS + 1)[1:-1]
        codes = np.searchsorted(np.quantile(propensity, inner), propensity)
    return np.asarray(codes, dtype=np.int64)


def check_propensity(given: Assignment) -> None:
    """Warn of a propensity that the treatment contradicts."""
    found = disagreement(given)
    if found.p_value >= _LEVEL:
        return
    other = replace(given, propensity=1.0 - given.propensity)
    swapped = disagreement(other).p_value > _AGREES
    mend = "pass that of the design, as a column where it differs between blocks"
    if swapped:
        mend = "1 - propensity agrees with the treatment, so it may be that of the other arm"
    warn(
        f"the treatment contradicts the propensity: of {found.rows} ({found.n:,}) "
        f"{found.share:.1%} are treated, and propensity= says {found.propensity:.1%} "
        f"(p = {found.p_value:.1g}). All honest effects rest on it: {mend}.",
        RandomizationWarning,
    )


def disagreement(given: Assignment) -> Disagreement:
    """Treated shares against a propensity: of all rows, by fifth of it, and by stratum.

    Rows of a group may have been assigned together: the variance of a sum of T − e is that of sums
    by group, and no less than that of rows apart, which holds where a cell has few groups.
    """
    cells, worst = 0, []
    for codes, words in _parts(given):
        p_values = _p_values(given, codes)
        least = int(np.argmin(p_values))
        worst.append((float(p_values[least]), codes == least, words))
        cells += p_values.size
    p_value, mine, words = min(worst, key=lambda cell: cell[0])
    return Disagreement(
        p_value=min(1.0, cells * p_value),
        rows=words(mine),
        n=int(mine.sum()),
        share=float(given.treatment[mine].mean()),
        propensity=float(given.propensity[mine].mean()),
    )


def _parts(given: Assignment) -> Iterator[tuple[Ints, Callable[[Bools], str]]]:
    """Divisions of the rows: the cell of each row, from 0 on, and words for the rows of a cell."""
    propensity = given.propensity

    def bounds(mine: Bools) -> str:
        low, high = propensity[mine].min(), propensity[mine].max()
        within = f"{low:.3g}" if high - low < _ROUNDING else f"{low:.3g} to {high:.3g}"
        return f"the rows with a propensity of {within}"

    yield np.zeros(propensity.size, dtype=np.int64), lambda _: "all rows"
    fifth = np.unique(propensity_strata(propensity), return_inverse=True)[1]
    if fifth.max() > 0:
        yield fifth, bounds
    if given.strata is not None:
        yield (
            np.unique(given.strata, return_inverse=True)[1],
            lambda mine: f"the rows that share {given.stratum} with row {int(mine.argmax())}",
        )


def _p_values(given: Assignment, codes: Ints) -> Floats:
    """Of each cell, ``(cells,)``, from the treatment's share in it."""
    width = int(given.groups.max()) + 1
    pairs, pair = np.unique(codes * width + given.groups, return_inverse=True)
    away = np.bincount(pair, given.treatment - given.propensity)
    together = np.bincount(pairs // width, away**2)
    apart = np.bincount(codes, given.propensity * (1.0 - given.propensity))
    total = np.bincount(pairs // width, away)
    return np.asarray(2.0 * norm.sf(np.abs(total) / np.sqrt(np.maximum(together, apart))))


def warn_if_assigned_by_image(image: Ints, treatment: Floats, propensity: Floats) -> None:
    """Images whose units are treated alike more often than by lot point to assignment by place.

    Parameters
    ----------
    image : (n,) int array
    treatment, propensity : (n,) arrays
    """
    found = _alike(image, treatment, propensity)
    if found is not None and found.beyond_chance:
        warn(
            f"the treatment is the same for all units in {found.share:.0%} of the images with "
            f"several units, where units treated apart would be in {found.chance:.0%}; if it was "
            "assigned to groups of units name them as cluster. Standard errors are clustered by "
            "image.",
            SplitWarning,
        )


def treated_share(treatment: Floats, strata: Ints | None, assigned: Ints | None) -> Floats:
    """Treated share of each row's stratum, where what was assigned as one counts once.

    In a pair of villages of which one was drawn half the villages are treated, whatever the share
    of their units is. A cluster in which some are treated counts by their share.

    Parameters
    ----------
    treatment : (n,) array
    strata : (n,) int array or None
    assigned : (n,) int array or None
        Number of what was treated as one; None: rows apart.
    """
    rows = np.zeros(treatment.size, dtype=np.int64) if strata is None else strata
    if assigned is None:
        return np.asarray((np.bincount(rows, treatment) / np.bincount(rows))[rows])
    _, first, cell = np.unique(
        rows * (assigned.max() + 1) + assigned, return_index=True, return_inverse=True
    )
    share = np.bincount(cell, treatment) / np.bincount(cell)
    of_cell = rows[first]
    return np.asarray((np.bincount(of_cell, share) / np.bincount(of_cell))[rows])


def is_assigned_as_one(labels: Ints, treatment: Floats, strata: Ints | None) -> bool:
    """Whether units that share a label were treated alike: all of them, or more than by lot."""
    apart = treated_share(treatment, strata, None).clip(_ROUNDING, 1.0 - _ROUNDING)
    found = _alike(labels, treatment, apart)
    return found is not None and (found.share == 1.0 or found.beyond_chance)


@dataclass(frozen=True, slots=True)
class _Alike:
    """Share of labels of several rows that are all treated or all not, and that by chance."""

    share: float
    chance: float
    beyond_chance: bool


def _alike(labels: Ints, treatment: Floats, propensity: Floats) -> _Alike | None:
    """None where no label has several rows."""
    codes = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(codes)
    several = counts > 1
    if not several.any():
        return None
    treated = np.bincount(codes, treatment)
    alike = ((treated == 0) | (treated == counts))[several]
    chance = np.exp(np.bincount(codes, np.log(propensity)))
    chance = (chance + np.exp(np.bincount(codes, np.log1p(-propensity))))[several]
    spread = float(np.sqrt((chance * (1.0 - chance)).sum()))
    beyond = float(alike.sum() - chance.sum() - 0.5)
    surely = alike.mean() > _MOSTLY and beyond > float(norm.isf(_LEVEL)) * spread
    return _Alike(float(alike.mean()), float(chance.mean()), bool(surely))
