"""Does the treatment look randomised? A test of whether images and covariates predict it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from causalkit.errors import CausalKitWarning, RandomizationWarning
from causalkit.images.assignment import propensity_strata
from causalkit.images.units import Units
from causalkit.rng import stream
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_FOLDS = 5
_RIDGE = 0.1  # of the trace of the second moments, per column
_LEAST_ALIKE = 10  # groups that are permuted among each other
UNBALANCED = 0.01
_LEAST_MOVED = 0.5
_BLOCK = 2**20  # numbers per array of permuted treatments


@dataclass(frozen=True, slots=True)
class Balance:
    """Held-out correlation of treatment and its prediction, and how often chance does as well.

    Attributes
    ----------
    correlation, p_value : float
    n_permutations : int
    moved : float
        Share of the rows whose group has others to change places with.
    """

    correlation: float
    p_value: float
    n_permutations: int
    moved: float


def checked_balance(units: Units, rows: Ints, features: Floats, *, seed: int) -> dict[str, Any]:
    """Test the treatment of some rows, and warn if it is predicted or could not be tested.

    Parameters
    ----------
    units : Units
    rows : (n,) int array
    features : (n, d) array
        Of the images of these rows.
    seed : int

    Returns
    -------
    dict
        Fields of :class:`Balance`.
    """
    mates = None
    if units.assigned is not None:
        codes = np.unique(units.assigned[rows], return_inverse=True)[1]
        mates = stream(seed, "balance mates").permutation(int(codes.max()) + 1)[codes]
    found = balance_test(
        np.hstack([features, units.covariates[rows]]),
        units.treatment[rows],
        units.groups[rows],
        propensity=units.propensity[rows],
        mates=mates,
        rng=stream(seed, "balance"),
    )
    if found.moved < _LEAST_MOVED:
        warn(
            f"whether images and covariates predict the treatment could not be tested: only "
            f"{found.moved:.0%} of the evaluation rows belong to groups of which others have about "
            "their propensity. Look at the balance of the covariates yourself.",
            CausalKitWarning,
        )
    elif found.p_value < UNBALANCED:
        warn(
            f"images and covariates predict the treatment (held-out correlation "
            f"{found.correlation:.2f}, p = {found.p_value:.3f}): it does not look randomised. "
            "If its probability varied by design pass propensity=; for observational data "
            "these estimators do not apply.",
            RandomizationWarning,
        )
    return asdict(found)


def balance_test(
    features: Floats,
    treatment: Floats,
    groups: Ints,
    *,
    propensity: Floats,
    mates: Ints | None = None,
    n_permutations: int = 199,
    rng: np.random.Generator,
) -> Balance:
    """Predict the treatment from features by ridge regression on other groups, and permute.

    Parameters
    ----------
    features : (n, d) array
    treatment : (n,) array
        0 or 1.
    groups : (n,) int array
        Rows that are predicted together and permuted together, as they were assigned.
    propensity : (n,) array
        Known probability of treatment. What is predicted is the treatment less this, and groups
        are permuted among those with about the same probability and about as many rows.
    mates : (n,) int array, optional
        Order within groups of what was assigned as one there, by lot: if the treated come first in
        every block, treatments that change places in the order of the rows stay as they are.
    n_permutations : int
    rng : Generator

    Notes
    -----
    The treatments of groups are permuted whole, so that under assignment by group the permutations
    are draws of the design, whatever the sizes. Of groups that were assigned row by row the shares
    of treated differ more the smaller they are; hence the groups of about one size, which are those
    of one size where ten or more have it.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(codes)
    surprise = treatment - propensity
    kinds = _kinds(counts, propensity_strata(np.bincount(codes, propensity) / counts))
    order = np.argsort(codes, kind="stable") if mates is None else np.lexsort((mates, codes))
    fold = rng.permutation(counts.size)[codes] % _FOLDS
    predictor = _Predictor.of(features, fold)
    found = [predictor.correlation(surprise[:, None])]
    together = max(1, _BLOCK // codes.size)
    for first in range(0, n_permutations, together):
        drawn = [
            _permuted(surprise, order, counts, kinds, rng)
            for _ in range(first, min(first + together, n_permutations))
        ]
        found.append(predictor.correlation(np.stack(drawn, axis=1)))
    correlation = np.concatenate(found)
    as_well = int((correlation[1:] >= correlation[0]).sum())
    moved = float(counts[np.bincount(kinds)[kinds] > 1].sum() / codes.size)
    p_value = (1 + as_well) / (1 + n_permutations)
    return Balance(float(correlation[0]), p_value, n_permutations, moved)


@dataclass(frozen=True, slots=True, eq=False)
class _Predictor:
    """Ridge regression on other folds, ready for any outcome.

    Attributes
    ----------
    x : (n, d) array
        Standardised features, row after row of one fold, so that a fold is a slice.
    order : (n,) int array
        Rows of the data that these are.
    folds : list of slice
    penalised : list of (d, d) arrays
        Second moments of the rows outside of each fold, with the penalty.
    """

    x: Floats
    order: Ints
    folds: list[slice]
    penalised: list[Floats]

    @classmethod
    def of(cls, features: Floats, fold: Ints) -> "_Predictor":
        order = np.argsort(fold, kind="stable")
        x = features[order]
        x -= x.mean(axis=0)
        x /= np.maximum(np.sqrt(_products(x, x) / len(x)), 1e-12)
        ends = np.cumsum(np.bincount(fold, minlength=_FOLDS)).tolist()
        folds = [slice(low, high) for low, high in zip([0, *ends[:-1]], ends, strict=True)]
        own = [x[rows].T @ x[rows] for rows in folds]
        penalised = [_penalised(np.sum(own, axis=0) - mine) for mine in own]
        return cls(x, order, folds, penalised)

    def correlation(self, outcomes: Floats) -> Floats:
        """Held-out correlation ``(m,)`` of outcomes ``(n, m)`` with their predictions."""
        y = outcomes[self.order]
        total, products = y.sum(axis=0), [self.x[rows].T @ y[rows] for rows in self.folds]
        fitted = np.empty_like(y)
        for rows, penalised, own in zip(self.folds, self.penalised, products, strict=True):
            centre = (total - y[rows].sum(axis=0)) / (len(y) - (rows.stop - rows.start))
            # Features sum to zero over all rows.
            moments = np.sum(products, axis=0) - own + np.outer(self.x[rows].sum(axis=0), centre)
            fitted[rows] = self.x[rows] @ np.linalg.solve(penalised, moments) + centre
        y -= y.mean(axis=0)
        fitted -= fitted.mean(axis=0)
        size = np.sqrt(_products(y, y) * _products(fitted, fitted))
        return np.divide(_products(y, fitted), size, out=np.zeros(size.size), where=size > 0)


def _penalised(gram: Floats) -> Floats:
    return np.asarray(gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)))


def _products(left: Floats, right: Floats) -> Floats:
    """Inner product of each column of one array with that of the other, without a third."""
    return np.asarray(np.einsum("ij,ij->j", left, right))


def _kinds(counts: Ints, strata: Ints) -> Ints:
    """Kind of each group: those of one stratum and about one size, at least ten if there are."""
    found = np.empty(counts.size, dtype=np.int64)
    n_strata = int(strata.max()) + 1
    for stratum in range(n_strata):
        mine = np.flatnonzero(strata == stratum)
        sizes, of_size, many = np.unique(counts[mine], return_inverse=True, return_counts=True)
        first = _merged(many)
        found[mine] = sizes[first[of_size]] * n_strata + stratum
    return found


def _merged(many: Ints) -> Ints:
    """First of the neighbours that each size joins, so that together they have ten groups."""
    first = np.arange(many.size)
    start = held = 0
    for number, count in enumerate(many.tolist()):
        first[number] = start
        held += count
        if held >= _LEAST_ALIKE and many[number + 1 :].sum() >= _LEAST_ALIKE:
            start, held = number + 1, 0
    return first


def _permuted(
    treatment: Floats, order: Ints, counts: Ints, kinds: Ints, rng: np.random.Generator
) -> Floats:
    """Treatments moved between groups of one kind, whole groups at a time.

    Those of a larger or smaller group are thinned or repeated evenly.
    """
    starts = np.cumsum(counts) - counts
    source = np.arange(counts.size)
    for value in np.unique(kinds):
        mine = np.flatnonzero(kinds == value)
        source[mine] = rng.permutation(mine)
    found = np.empty(treatment.size)
    within = np.arange(treatment.size) - np.repeat(starts, counts)
    within = within * np.repeat(counts[source], counts) // np.repeat(counts, counts)
    found[order] = treatment[order[np.repeat(starts[source], counts) + within]]
    return found
