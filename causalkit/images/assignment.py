"""Whether the treatment agrees with how it is said to have been assigned."""

from collections.abc import Iterator
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
    cells = list(_cells(given))
    p_values = [_p_value(given, mine) for _, mine in cells]
    least = int(np.argmin(p_values))
    words, mine = cells[least]
    return Disagreement(
        p_value=min(1.0, len(cells) * p_values[least]),
        rows=words,
        n=int(mine.sum()),
        share=float(given.treatment[mine].mean()),
        propensity=float(given.propensity[mine].mean()),
    )


def _cells(given: Assignment) -> Iterator[tuple[str, Bools]]:
    propensity = given.propensity
    yield "all rows", np.ones(propensity.size, dtype=bool)
    fifth = propensity_strata(propensity)
    if fifth.max() > 0:
        for number in np.unique(fifth):
            mine = fifth == number
            low, high = propensity[mine].min(), propensity[mine].max()
            bounds = f"{low:.3g}" if high - low < _ROUNDING else f"{low:.3g} to {high:.3g}"
            yield f"the rows with a propensity of {bounds}", np.asarray(mine)
    if given.strata is not None:
        for number in np.unique(given.strata):
            mine = np.asarray(given.strata == number)
            yield f"the rows that share {given.stratum} with row {int(mine.argmax())}", mine


def _p_value(given: Assignment, mine: Bools) -> float:
    propensity = given.propensity[mine]
    total = np.bincount(given.groups[mine], given.treatment[mine] - propensity)
    apart = float((propensity * (1.0 - propensity)).sum())
    variance = max(float((total**2).sum()), apart)
    return float(2.0 * norm.sf(abs(total.sum()) / np.sqrt(variance)))


def warn_if_assigned_by_image(image: Ints, treatment: Floats, propensity: Floats) -> None:
    """Images whose units are treated alike more often than by lot point to assignment by place.

    Parameters
    ----------
    image : (n,) int array
    treatment, propensity : (n,) arrays
    """
    codes = np.unique(image, return_inverse=True)[1]
    counts = np.bincount(codes)
    several = counts > 1
    if not several.any():
        return
    treated = np.bincount(codes, treatment)
    alike = ((treated == 0) | (treated == counts))[several]
    chance = np.exp(np.bincount(codes, np.log(propensity)))
    chance = (chance + np.exp(np.bincount(codes, np.log1p(-propensity))))[several]
    spread = float(np.sqrt((chance * (1.0 - chance)).sum()))
    beyond = float(alike.sum() - chance.sum() - 0.5)
    if alike.mean() > _MOSTLY and beyond > float(norm.isf(_LEVEL)) * spread:
        warn(
            f"the treatment is the same for all units in {alike.mean():.0%} of the images with "
            f"several units, where units treated apart would be in {chance.mean():.0%}; if it was "
            "assigned to groups of units name them as cluster. Standard errors are clustered by "
            "image.",
            SplitWarning,
        )
