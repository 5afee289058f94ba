"""Mean outcome of every unit as a function of what it gets, for the truth of simulated data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_count
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class UnitResponse:
    r"""Outcomes :math:`y_i(a) = \sum_f w_{if} b_f(a)`: few functions of the action, mixed by unit.

    The curves of the usual designs factor in this way, so that a thousand curves at a thousand
    doses are one matrix product.

    Attributes
    ----------
    basis : callable
        Maps an array of actions of any shape to ``(f, *shape)``. A function of a module, or a
        :func:`functools.partial` of one, so that the truth can be pickled.
    weights : (n, f) array

    Examples
    --------
    >>> import numpy as np
    >>> line = UnitResponse(lambda t: np.stack([np.ones_like(t), t]), np.array([[1.0, 2.0]]))
    >>> line([0.0, 1.0])
    array([[1., 3.]])
    """

    basis: Callable[[Any], Floats]
    weights: Floats

    def __call__(self, action: Any, *, rows: Any = None) -> Floats:
        """Outcomes ``(n, m)`` under actions ``(m,)`` for all units or ``(n, m)`` of each."""
        weights = self.weights if rows is None else self.weights[rows]
        given = np.asarray(action)
        if given.ndim > 2 or (given.ndim == 2 and len(given) != len(weights)):
            raise ArgumentError(
                f"actions must have shape (m,), or (n, m) with a row for each of {len(weights)} "
                f"units; got {given.shape}."
            )
        values = self.basis(given)
        if given.ndim < 2:
            return np.asarray(weights @ values)
        mixed: Floats = np.einsum("nf,fnm->nm", weights, values)
        return mixed


@dataclass(frozen=True, slots=True, eq=False)
class MeanResponse:
    """Mean outcome over the units of a :class:`UnitResponse`, at actions of any shape."""

    units: UnitResponse

    def __call__(self, action: Any) -> Floats:
        """Mean outcomes, of the shape of the actions."""
        basis = self.units.basis(np.asarray(action))
        return np.asarray(np.tensordot(self.units.weights.mean(axis=0), basis, axes=1))


def mean_name(dose: float) -> str:
    """Name of the mean outcome at a dose, as estimators along a dose call it.

    Examples
    --------
    >>> mean_name(0.3)
    'E[Y(0.3)]'
    """
    return f"E[Y({dose:.4g})]"


def random_split(rng: np.random.Generator, n: int, n_test: int) -> Ints:
    """Draw who is a test unit: 0 or 1 by row, ``n_test`` of them 1."""
    test = np.zeros(n, dtype=np.int64)
    test[rng.permutation(n)[:n_test]] = 1
    return test


def check_ranges(h_train: float, h_test: float) -> float:
    """Return the larger of two largest doses, after a look at both."""
    for name, value in (("h_train", h_train), ("h_test", h_test)):
        if not 0.0 < value < np.inf:
            raise ArgumentError(f"{name} must be positive and finite, got {value!r}.")
    return max(float(h_train), float(h_test))


def rows_for_test(n_test: int | None, *, n: int, default: int = 0) -> int:
    """Return a number of test rows that leaves at least two for training."""
    rows = default if n_test is None else check_count("n_test", n_test, least=0)
    if rows > n - 2:
        raise ArgumentError(
            f"n_test must lie between 0 and n - 2 = {n - 2}, to leave training rows; got {rows}."
        )
    return rows


def dosed_units(
    x: Floats,
    names: list[str],
    t: Floats,
    curves: UnitResponse,
    *,
    noise: Floats,
    test: Ints,
    at: Sequence[float],
) -> CausalData:
    """Units with a dose, a curve of their own and noise; test units are marked.

    Parameters
    ----------
    x : (n, p) array
    names : list of str
        Of the covariates.
    t, noise : (n,) arrays
        Doses, and what is added to the curves.
    curves : UnitResponse
    test : (n,) int array
    at : sequence of float
        Doses whose mean outcome is an estimand.
    """
    mean = MeanResponse(curves)
    columns = pd.DataFrame({"y": curves(t[:, None])[:, 0] + noise, "t": t})
    return CausalData.from_frame(
        columns.join(pd.DataFrame(x, columns=names)).assign(test=test),
        outcome="y",
        treatment="t",
        covariates=names,
        extra="test",
        kinds=("dose",),
        truth=Truth(
            {mean_name(dose): float(mean(dose)) for dose in at},
            dose_response=mean,
            unit_response=curves,
            scope="sample",
        ),
    )
