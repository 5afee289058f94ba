"""Doubly robust scores: a number per row whose mean is the average effect in any subgroup."""

from typing import Any

import numpy as np

from causalkit.data.alignment import check_one_order
from causalkit.errors import ArgumentError, IdentificationError, OverlapWarning
from causalkit.metrics.measure import as_numbers
from causalkit.scores import aipw
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

OVERLAP = (0.05, 0.95)
_SHOWN = 3


def dr_scores(y: Any, t: Any, mu0: Any, mu1: Any, propensity: Any) -> Floats:
    """Doubly robust (AIPW) score of the effect of a binary treatment, for every row.

    Γ = μ₁ − μ₀ + T(Y − μ₁)/e − (1 − T)(Y − μ₀)/(1 − e). Its mean over rows, or over any of them
    chosen without looking at Y or T, is their average effect if either (μ₀, μ₁) or e is right.

    Parameters
    ----------
    y : (n,) array
        Outcome.
    t : (n,) array
        Treatment, 0 or 1.
    mu0, mu1 : (n,) arrays
        Predictions of the outcome without and with treatment, from models that did not see the
        row: fitted on other rows, or cross-fitted.
    propensity : (n,) array or float
        Probability of treatment; one number in an experiment that drew all with one probability.

    Returns
    -------
    (n,) array
        In units of the outcome. Inputs are taken by position.

    Raises
    ------
    ArgumentError
        If lengths differ, a value is missing or infinite, the treatment is not 0/1, or two inputs
        have the same row labels in another order.
    IdentificationError
        If a propensity is 0 or 1, or all rows are in one arm.

    Warns
    -----
    OverlapWarning
        If a propensity lies outside [0.05, 0.95].

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), JASA 89:846.

    Examples
    --------
    >>> dr_scores([3.0, 1.0], [1, 0], mu0=[0.0, 1.5], mu1=[2.0, 2.0], propensity=0.5).tolist()
    [4.0, 1.5]
    """
    check_one_order(y=y, t=t, mu0=mu0, mu1=mu1, propensity=propensity)
    outcome = as_column("y", y)
    n = outcome.size
    treatment = as_treatment("t", t, n)
    untreated, treated = as_column("mu0", mu0, n), as_column("mu1", mu1, n)
    return scores_of(outcome, treatment, untreated, treated, as_propensity(propensity, n))


def scores_of(y: Floats, t: Floats, mu0: Floats, mu1: Floats, propensity: Floats) -> Floats:
    """Scores of :func:`dr_scores` from columns that have been checked."""
    score = aipw(y, t, mu0=mu0[:, None], mu1=mu1[:, None], propensity=propensity[:, None])
    return np.asarray(score.response[:, 0])


def as_column(name: str, values: Any, n: int | None = None) -> Floats:
    """Return one finite number per row as float64, or say what is wrong with them.

    Raises
    ------
    ArgumentTypeError
        If the values are no numbers.
    ArgumentError
        If they are not one-dimensional, not ``n``, missing or infinite.
    """
    column = as_numbers(name, values)
    if column.ndim != 1 or not column.size or (n is not None and column.size != n):
        wanted = "one number per row" if n is None else f"one number for each of {n} rows"
        raise ArgumentError(f"{name} must hold {wanted}, got shape {column.shape}.")
    bad = ~np.isfinite(column)
    if bad.any():
        raise ArgumentError(
            f"{name} is missing or infinite in {_rows(bad)}; leave these rows out of every "
            "argument, and report how many they are."
        )
    return column


def as_treatment(name: str, values: Any, n: int) -> Floats:
    """Return a treatment of zeros and ones, with both present."""
    column = as_column(name, values, n)
    odd = (column != 0.0) & (column != 1.0)
    if odd.any():
        value = float(column[np.flatnonzero(odd)[0]])
        raise ArgumentError(
            f"{name} must be coded 0/1, and is neither in {_rows(odd)}, such as {value!r}; recode "
            "it, or compare two arms at a time."
        )
    if column.min() == column.max():
        arm = "treated" if column[0] else "untreated"
        raise IdentificationError(f"all {n} rows are {arm} ({name}); an effect needs both arms.")
    return column


def as_propensity(values: Any, n: int) -> Floats:
    """Return propensities inside (0, 1), with a warning where overlap is poor."""
    single = np.ndim(values) == 0
    column = as_column("propensity", np.full(n, values) if single else values, n)
    odd = (column < 0.0) | (column > 1.0)
    if odd.any():
        value = float(column[np.flatnonzero(odd)[0]])
        raise ArgumentError(
            f"propensity must be a probability, and lies outside [0, 1] in {_rows(odd)}, such as "
            f"{value:g}; use a learner of probabilities."
        )
    certain = (column == 0.0) | (column == 1.0)
    if certain.any():
        raise IdentificationError(
            f"propensity is exactly 0 or 1 in {_rows(certain)}: nobody like them was in the other "
            "arm, and their effect cannot be learned. Leave them out, and say whom the effect is "
            "of."
        )
    warn_of_overlap(column)
    return column


def warn_of_overlap(propensity: Floats) -> None:
    """Warn of propensities outside of [0.05, 0.95]."""
    low, high = OVERLAP
    poor = (propensity < low) | (propensity > high)
    if poor.any():
        warn(
            f"[E19-overlap] propensity lies outside [{low:g}, {high:g}] in {_rows(poor)} (range "
            f"{propensity.min():.3g} to {propensity.max():.3g}); a few scores may decide all. "
            "Leave out these rows, and say whom the effect is of.",
            OverlapWarning,
        )


def _rows(bad: Bools) -> str:
    """How many rows, and the first three."""
    places = np.flatnonzero(bad)
    first = ", ".join(str(place) for place in places[:_SHOWN])
    more = ", ..." if places.size > _SHOWN else ""
    label = "row" if places.size == 1 else "rows"
    return f"{places.size} of {bad.size} rows ({label} {first}{more})"
