"""Calendar positions of periods: adjacent means one step apart, not next in the table."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.typing import Ints


def positions(time: "pd.Series[Any]", freq: str | int | float | None) -> Ints:
    """Position of each value on the calendar grid, from 0.

    Parameters
    ----------
    time : (n,) Series
        Numbers, dates, periods or sortable labels.
    freq : str, number or None
        Step of the grid: a pandas offset alias for dates (``"M"``, ``"Q"``, ``"Y"``, ``"D"``), a
        number for numbers. Without it whole numbers have step 1, periods their own frequency, and
        dates and labels are placed by order among those observed.

    Raises
    ------
    ArgumentError
        If the step does not fit the values.
    """
    if isinstance(time.dtype, pd.PeriodDtype):
        return _from_zero(time.array.asi8)
    if pd.api.types.is_datetime64_any_dtype(time):
        if freq is None:
            return _by_order(time)
        if not isinstance(freq, str):
            raise ArgumentError(
                f"freq={freq!r} is a number but {time.name!r} holds dates; use a pandas alias such "
                "as 'M', 'Q', 'Y' or 'D'."
            )
        naive = time.dt.tz_localize(None) if time.dt.tz is not None else time
        return _from_zero(naive.dt.to_period(freq).array.asi8)
    if pd.api.types.is_numeric_dtype(time):
        return _numeric(time, freq)
    return _by_order(time)


def _numeric(time: "pd.Series[Any]", freq: str | int | float | None) -> Ints:
    values = time.to_numpy(dtype=np.float64)
    if isinstance(freq, str):
        raise ArgumentError(
            f"freq={freq!r} is a calendar alias but {time.name!r} holds numbers; use the step "
            "between periods, such as 1 or 5."
        )
    if freq is None and (values != np.round(values)).any():
        return _by_order(time)
    step = 1.0 if freq is None else float(freq)
    if step <= 0:
        raise ArgumentError(f"freq must be positive, got {freq!r}.")
    exact = (values - values.min()) / step
    place = np.round(exact)
    off = np.abs(exact - place) > 1e-6
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise ArgumentError(
            f"freq={freq!r} does not fit {time.name!r}: row {row} has {values[row]:g}, which is "
            f"not a whole number of steps from {values.min():g}."
        )
    return place.astype(np.int64)


def _from_zero(values: Any) -> Ints:
    whole = np.asarray(values, dtype=np.int64)
    return whole - whole.min() if whole.size else whole


def _by_order(time: "pd.Series[Any]") -> Ints:
    codes, _ = pd.factorize(time, sort=True)
    return np.asarray(codes, dtype=np.int64)
