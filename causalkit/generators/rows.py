"""Which rows of a simulated panel are observed, and how they become a data set."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError
from causalkit.typing import Bools, Floats

# A unit with one row says nothing about a within-unit effect, so omission leaves two of each.
_LEAST_ROWS = 2


def observed_rows(
    rng: np.random.Generator,
    *,
    n_units: int,
    n_periods: int,
    missing_share: float = 0.0,
    late_entry: float = 0.0,
) -> Bools:
    """Draw which cells of a units-by-periods panel are observed.

    First a share ``late_entry`` of the units enters late: the first period of each is uniform on
    2, ..., ``n_periods`` − 1. Then a share ``missing_share`` of the rows left is removed at random.
    Two rows of each unit, themselves drawn at random, are out of reach of this second step. Nothing
    depends on the data, so the effect does not change and every unit keeps at least two rows.

    Parameters
    ----------
    rng : Generator
        Source of randomness; untouched if both shares are 0.
    n_units, n_periods : int
        Size of the complete panel.
    missing_share : float, default 0
        Share of rows removed, in [0, 1).
    late_entry : float, default 0
        Share of units that enter late, in [0, 1].

    Returns
    -------
    (n_units, n_periods) array of bool
        True where the row is observed.

    Raises
    ------
    ArgumentError
        If a share is outside its range, or cannot be had with two rows left per unit.
    """
    if not 0.0 <= missing_share < 1.0:
        raise ArgumentError(f"missing_share must lie in [0, 1), got {missing_share!r}.")
    if not 0.0 <= late_entry <= 1.0:
        raise ArgumentError(f"late_entry must lie in [0, 1], got {late_entry!r}.")
    seen = np.ones((n_units, n_periods), dtype=np.bool_)
    if late_entry > 0.0:
        seen = _late_entrants(rng, n_units, n_periods, late_entry)
    if missing_share > 0.0:
        seen = _thinned(rng, seen, missing_share)
    return seen


def _late_entrants(rng: np.random.Generator, n_units: int, n_periods: int, share: float) -> Bools:
    """Cells left when a share of the units enters in period 2 or later."""
    if n_periods <= _LEAST_ROWS:
        raise ArgumentError(
            f"late_entry needs at least {_LEAST_ROWS + 1} periods, got n_periods={n_periods}."
        )
    late = rng.permutation(n_units)[: round(share * n_units)]
    first = np.zeros(n_units, dtype=np.int64)
    first[late] = rng.integers(1, n_periods - _LEAST_ROWS + 1, size=late.size)
    return np.arange(n_periods) >= first[:, None]


def _thinned(rng: np.random.Generator, seen: Bools, share: float) -> Bools:
    """Cells left when a share of the observed rows is removed, two per unit being safe."""
    lottery = np.where(seen, rng.random(seen.shape), np.inf)
    order = np.argsort(lottery, axis=1)
    reachable = seen.copy()
    np.put_along_axis(reachable, order[:, :_LEAST_ROWS], values=False, axis=1)
    candidates = np.flatnonzero(reachable)
    wanted = round(share * int(seen.sum()))
    if wanted > candidates.size:
        raise ArgumentError(
            f"missing_share={share} would remove {wanted} of {int(seen.sum())} rows, but each unit "
            f"keeps {_LEAST_ROWS}, so at most {candidates.size} can go. Lower missing_share or "
            "raise n_periods."
        )
    left = seen.copy()
    left.flat[rng.permutation(candidates)[:wanted]] = False
    return left


def panel_data(
    *, y: Floats, d: Floats, x: Floats, g0: Floats, seen: Bools, estimands: Mapping[str, float]
) -> CausalData:
    """Make a data set of the observed cells, sorted by unit and time.

    Parameters
    ----------
    y, d, g0 : (n_units, n_periods) array
        Outcome, treatment and the confounding part of the outcome, which goes along as an extra
        column for oracle estimates.
    x : (n_units, n_periods, p) array
        Covariates, named ``x1``, ..., ``xp``.
    seen : (n_units, n_periods) array of bool
        Observed cells.
    estimands : mapping of str to float
        True values.
    """
    units, periods = np.nonzero(seen)
    names = [f"x{j + 1}" for j in range(x.shape[2])]
    columns: dict[str, np.ndarray] = {
        "unit": units + 1,
        "time": periods + 1,
        "y": y[seen],
        "d": d[seen],
    }
    covariates = x[seen]
    columns |= {name: covariates[:, j] for j, name in enumerate(names)}
    columns["g0"] = g0[seen]
    return CausalData.from_frame(
        pd.DataFrame(columns),
        outcome="y",
        treatment="d",
        covariates=names,
        unit="unit",
        time="time",
        extra=("g0",),
        kinds=("continuous",),
        truth=Truth(estimands=estimands),
    )
