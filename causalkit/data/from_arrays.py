"""Data from arrays, whose columns get names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.alignment import check_one_order
from causalkit.data.build import from_frame
from causalkit.data.dataset import CausalData
from causalkit.errors import ArgumentError


def from_arrays(
    Y: Any,
    T: Any,
    X: Any = None,
    Z: Any = None,
    *,
    names: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    unit: Any = None,
    time: Any = None,
    cluster: Any = None,
    weights: Any = None,
    strata: Any = None,
    **arguments: Any,
) -> CausalData:
    """Data from arrays.

    Parameters
    ----------
    Y, T : (n,) or (n, k) arrays
        Outcome and treatment, named ``y`` and ``d`` (``y1``, ``y2``, ... if there are several).
        Rows go by position; pandas objects that have the same row labels must be in one order.
    X, Z : (n, p), (n, L) arrays, optional
        Covariates and instruments, named ``x1``, ... and ``z1``, ...; tables keep their names.
    names : list of str, or mapping of role to list of str, optional
        Names of the covariates, or of the columns of several roles.
    unit, time, cluster, weights, strata : (n,) arrays, optional
        Named as their role.
    **arguments
        Options of :func:`from_frame`, such as ``weight_kind``, ``missing`` and ``truth``.

    Raises
    ------
    ArgumentError
        If lengths differ, or row labels say that the orders do.
    DataError
        Once, with every problem found.

    Examples
    --------
    >>> data = from_arrays([1.0, 2.0, 4.0], [0, 1, 1], [[0.5], [0.1], [0.9]])
    >>> data.roles.covariates
    ('x1',)
    """
    chosen = dict(names) if isinstance(names, Mapping) else {"covariates": names}
    given = {"outcome": ("y", Y), "treatment": ("d", T)}
    given |= {"covariates": ("x", X), "instruments": ("z", Z)}
    unknown = set(chosen) - set(given)
    if unknown:
        raise ArgumentError(f"names takes {', '.join(given)}, got {min(unknown)!r}.")
    ids = {"unit": unit, "time": time, "cluster": cluster, "weights": weights, "strata": strata}
    by_row = {"Y": Y, "T": T, "X": X, "Z": Z, **ids}
    check_one_order(**by_row)
    columns: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    n = len(_columns("outcome", Y)[0])
    for role, (letter, values) in given.items():
        if values is None:
            continue
        parts = _columns(role, values)
        made = _names(role, letter, values, len(parts), chosen.get(role))
        columns |= {name: _of_length(name, part, n) for name, part in zip(made, parts, strict=True)}
        roles[role] = made
    for role, values in ids.items():
        if values is not None:
            columns[role] = _of_length(role, values, n)
            roles[role] = role
    return from_frame(pd.DataFrame(columns, index=_labels(by_row)), **roles, **arguments)


def _labels(by_row: Mapping[str, Any]) -> Any:
    """Row labels of those that have some, where they agree."""
    found = [one.index for one in by_row.values() if isinstance(one, pd.Series | pd.DataFrame)]
    return found[0] if found and all(one.equals(found[0]) for one in found) else None


def _columns(role: str, values: Any) -> list[Any]:
    """Columns of an array; those of a table keep their types."""
    if isinstance(values, pd.DataFrame):
        return [values.iloc[:, j] for j in range(values.shape[1])]
    array = np.asarray(values)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ArgumentError(
            f"{role} has shape {array.shape}; expected one or two dimensions. Images come through "
            "from_xarray."
        )
    return list(array.T)


def _of_length(name: str, values: Any, n: int) -> Any:
    plain: Any = values.array if isinstance(values, pd.Series | pd.Index) else values
    if np.ndim(plain) != 1 or len(plain) != n:
        raise ArgumentError(f"{name} has shape {np.shape(plain)}; expected {n} rows.")
    return plain


def _names(
    role: str, letter: str, values: Any, width: int, chosen: Sequence[str] | None
) -> list[str]:
    if chosen is not None:
        found = [chosen] if isinstance(chosen, str) else list(chosen)
    elif isinstance(values, pd.DataFrame):
        found = [str(name) for name in values.columns]
    elif width == 1 and role in ("outcome", "treatment"):
        found = [letter]
    else:
        found = [f"{letter}{j + 1}" for j in range(width)]
    if len(found) != width:
        raise ArgumentError(f"names has {len(found)} entries for {width} columns of {role}.")
    return found
