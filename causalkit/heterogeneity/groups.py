"""Groups of rows, whose effects are compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, IdentificationError, OverlapWarning
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

MOST_GROUPS = 50
FEW_OF_ARM = 10
_CUT = "to group a continuous column cut it first, such as pd.qcut(values, 4)"


def group_indicators(groups: Any, n: int, *, name: str) -> tuple[Floats, tuple[str, ...]]:
    """Indicator columns of groups and their labels, in sorted order.

    Parameters
    ----------
    groups : (n,) array-like
        Group of each row, without missing values.
    n : int
        Rows expected.
    name : str
        Name for labels.

    Raises
    ------
    ArgumentError
        If groups are not one label per row, a group is missing, or there is a single group or more
        than 50.
    """
    series = _labels(groups)
    if len(series) != n:
        raise ArgumentError(f"groups has {len(series)} entries; expected one per row ({n}).")
    if series.isna().any():
        row = int(np.flatnonzero(series.isna().to_numpy())[0])
        raise ArgumentError(f"groups is missing at row {row}; assign every row to a group.")
    codes, levels = pd.factorize(series, sort=True)
    if len(levels) < 2:
        raise ArgumentError(
            f"groups has the single value {levels[0]!r}; group effects need at least two groups."
        )
    if len(levels) > MOST_GROUPS:
        raise ArgumentError(
            f"{name!r} has {len(levels)} different values, which is too many for groups (the most "
            f"is {MOST_GROUPS}); {_CUT}."
        )
    indicators = np.zeros((n, len(levels)))
    indicators[np.arange(n), codes] = 1.0
    return indicators, tuple(f"{name}={level}" for level in levels)


def check_group_units(indicators: Floats, units: Any, terms: tuple[str, ...]) -> None:
    """Refuse groups that hold fewer than two units: their effects have no variance.

    Parameters
    ----------
    indicators : (n, k) array
        Of the rows used.
    units : (n,) int array
        Their units.
    terms : tuple of str
        Labels of the groups.
    """
    for column, term in zip(indicators.T, terms, strict=True):
        count = np.unique(units[column > 0]).size
        if count < 2:
            raise ArgumentError(
                f"group {term} holds rows of {count} unit, and a standard error needs at least "
                f"two; merge it with another group, and {_CUT}."
            )


def check_group_arms(
    indicators: Floats,
    terms: tuple[str, ...],
    arm: Ints,
    names: Sequence[str],
    *,
    multiplicity: Floats | None = None,
) -> None:
    """Refuse groups without a row of an arm, and warn of those with fewer than ten.

    What a missing arm would have given is predicted from other groups, whose effects may differ,
    and no residual of the group tells how wrong that is: the error would be too small.

    Parameters
    ----------
    indicators : (n, g) array
        Of the rows used.
    terms : (g,) tuple of str
        Labels of the groups.
    arm : (n,) int array
        Received, by place among ``names``.
    names : sequence of str
        Arms that are compared, in words.
    multiplicity : (n,) array, optional
        Rows that each row stands for.

    Raises
    ------
    IdentificationError
        If a group has no row of an arm.
    """
    times = np.ones(arm.size) if multiplicity is None else multiplicity
    counts = indicators.T @ (times[:, None] * (arm[:, None] == np.arange(len(names))))
    for term, row in zip(terms, counts.tolist(), strict=True):
        if 0.0 in row:
            raise IdentificationError(
                f"group {term} has no row of arm {names[row.index(0.0)]}, so that its effect would "
                "rest on what is predicted from other groups, with an error that does not know it; "
                "merge it with another group, or leave its rows out (data.subset)."
            )
    few = [
        f"{term} ({count:g} of arm {name})"
        for term, row in zip(terms, counts.tolist(), strict=True)
        for name, count in zip(names, row, strict=True)
        if count < FEW_OF_ARM
    ]
    if few:
        warn(
            f"[E19-overlap] groups with fewer than {FEW_OF_ARM} rows of an arm: {', '.join(few)}. "
            "Their effects rest on what is predicted from other groups, and their errors may be "
            "too small; merge them with others.",
            OverlapWarning,
        )


def _labels(groups: Any) -> "pd.Series[Any]":
    """Labels as a Series, with the order that a Categorical gives its levels."""
    if hasattr(groups, "to_pandas"):
        groups = groups.to_pandas()
    if isinstance(groups, pd.Series | pd.Categorical | pd.Index):
        return pd.Series(groups).reset_index(drop=True)
    values = groups if isinstance(groups, pd.DataFrame) else np.asarray(groups)
    if values.ndim != 1:
        raise ArgumentError(
            f"groups has shape {values.shape}; give one label per row, or the name of a column of "
            "the data."
        )
    return pd.Series(values)
