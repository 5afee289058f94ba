"""Columns of other data in the encoding of a fit, whose categories have levels of their own."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.candidate import is_category
from causalkit.errors import DataError, Problem
from causalkit.typing import Floats, Ints

Levels = Mapping[str, tuple[str, ...]]


def levels_of(data: CausalData, role: str) -> dict[str, tuple[str, ...]]:
    """Levels, as text, of the columns of a role that are categories; the first has no column."""
    columns = {name: data.frame[name] for name in data.roles.columns(role)}
    return {
        name: tuple(map(str, values.cat.categories))
        for name, values in columns.items()
        if is_category(values)
    }


def columns_of_fit(
    data: CausalData, role: str, names: tuple[str, ...], levels: Levels, *, need: str
) -> Floats:
    """Encoded columns ``(n, p)`` of other data by the names and levels of the fit.

    A target may lack a level that the fit had, the first as well.

    Parameters
    ----------
    data : CausalData
    role : str
    names : tuple of str
        Encoded columns of the fit.
    levels : mapping
        From :func:`levels_of` the data of the fit.
    need : str
        What the fit needs a column for, for the message.

    Raises
    ------
    DataError
        If a column is absent, or has a level that the fit did not have.
    """
    of_level = {
        f"{column}={level}": (column, level)
        for column, known in levels.items()
        for level in known[1:]
    }
    have = data.roles.columns(role)
    plain = data.matrix_names(role)
    lost = [
        name
        for name in names
        if (of_level[name][0] not in have if name in of_level else name not in plain)
    ]
    if lost:
        message = f"the data lack {', '.join(map(repr, lost))}, {need}."
        raise DataError(Problem("E01-missing-column", message, lost[0]))
    matrix = data.matrix(role)
    place = {name: number for number, name in enumerate(plain)}
    columns = dict.fromkeys(of_level[name][0] for name in names if name in of_level)
    codes = {column: _codes(data, column, levels[column]) for column in columns}
    found = np.empty((data.n, len(names)))
    for number, name in enumerate(names):
        if name in of_level:
            column, level = of_level[name]
            code = levels[column].index(level)
            found[:, number] = np.where(codes[column] < 0, np.nan, codes[column] == code)
        else:
            found[:, number] = matrix[:, place[name]]
    return found


def _codes(data: CausalData, column: str, known: tuple[str, ...]) -> Ints:
    """Number of each row's level among those of the fit; -1 where it is missing."""
    codes, distinct = pd.factorize(data.frame[column])
    text = list(map(str, distinct.astype(object)))
    new = sorted(set(text) - set(known))
    if new:
        message = (
            f"column {column!r} has levels that the data of the fit lack: "
            f"{', '.join(map(repr, new[:3]))}. Leave these rows out, or fit to data with them."
        )
        raise DataError(Problem("E03-non-numeric", message, column))
    return np.array([*map(known.index, text), -1], dtype=np.int64)[codes]
