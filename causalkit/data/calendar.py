"""Calendar positions of periods: adjacent means one step apart, not next in the table."""

import re
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.typing import Ints

Freq = str | int | float | None

# Offsets that name the start or end of a period, and the period that they mean.
_PERIODS = {"MS": "M", "ME": "M", "QS": "Q", "QE": "Q", "YS": "Y", "YE": "Y", "AS": "Y", "A": "Y"}
_PERIODS |= {"BME": "M", "BMS": "M", "BQE": "Q", "BQS": "Q", "BYE": "Y", "BYS": "Y"}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def positions(time: "pd.Series[Any]", freq: Freq) -> Ints:
    """Position of each value on the calendar grid, from 0.

    Parameters
    ----------
    time : (n,) Series
        Numbers, dates, periods, an ordered category, or text that sorts as time.
    freq : str, number or None
        Step of the grid: a pandas offset alias for dates (``"M"``, ``"Q"``, ``"Y"``, ``"5D"``), a
        number for numbers. Without it whole numbers have step 1, periods their own frequency,
        ordered categories a step per level, and dates and text a step per observed value.

    Returns
    -------
    (n,) int array

    Raises
    ------
    ArgumentError
        If the step does not fit the values.

    Examples
    --------
    >>> positions(pd.Series([2000, 2010, 2005]), freq=5).tolist()
    [0, 2, 1]
    """
    if isinstance(time.dtype, pd.CategoricalDtype):
        if time.dtype.ordered:
            return _on_grid(time, time.cat.codes.to_numpy(), 1.0, freq)
        time = time.astype(time.dtype.categories.dtype)
    if isinstance(time.dtype, pd.PeriodDtype):
        return _on_grid(time, time.array.asi8, float(time.dtype.freq.n), freq)
    if pd.api.types.is_datetime64_any_dtype(time):
        return _by_order(time) if freq is None else _dates(time, freq)
    if pd.api.types.is_integer_dtype(time) and freq is None:
        whole = time.to_numpy(dtype=np.int64)
        return whole - whole.min() if whole.size else whole
    if pd.api.types.is_numeric_dtype(time):
        return _numbers(time, time.to_numpy(dtype=np.float64), freq)
    return _text(time, freq)


def sorts_as_time(labels: "pd.Series[Any]") -> bool:
    """Whether the alphabetical order of text labels is their order in time.

    That holds for whole numbers, and for labels that differ in digits only: ``"2020-01"``,
    ``"2020Q1"``, ``"wave3"``. Month names, or ``"wave9"`` beside ``"wave10"``, do not qualify.
    """
    if whole_numbers(labels) is not None:
        return True
    shapes = labels.astype(str).str.replace(r"\d", "0", regex=True)
    return bool(shapes.nunique() <= 1)


def whole_numbers(labels: "pd.Series[Any]") -> Ints | None:
    """Values of text labels that are all whole numbers written plainly, else None."""
    text = labels.astype(str)
    if not text.str.fullmatch(r"-?(?:0|[1-9]\d{0,17})").all():
        return None
    return text.to_numpy(dtype=np.int64)


def _text(time: "pd.Series[Any]", freq: Freq) -> Ints:
    """Positions of text labels: whole numbers as numbers, others by order."""
    codes, found = pd.factorize(time, sort=True)
    labels = pd.Series(found, name=time.name)
    whole = whole_numbers(labels)
    if whole is not None:
        return _numbers(labels, whole.astype(np.float64), freq)[codes]
    if freq is not None:
        raise ArgumentError(
            f"freq={freq!r} needs numbers or dates, but {time.name!r} holds text; convert it with "
            "pd.to_datetime or pd.PeriodIndex."
        )
    return np.asarray(codes, dtype=np.int64)


def _dates(time: "pd.Series[Any]", freq: str | int | float) -> Ints:
    if not isinstance(freq, str):
        raise ArgumentError(
            f"freq={freq!r} is a number but {time.name!r} holds dates; use a pandas alias such as "
            "'M', 'Q', 'Y' or 'D'."
        )
    naive = time.dt.tz_localize(None) if time.dt.tz is not None else time
    # Read here, since pandas takes the names of periods ("M") and of offsets ("ME") apart.
    read = re.fullmatch(r"((?:[1-9]\d*)?)([A-Za-z]+)((?:-[A-Z]+)?)", freq)
    count, name, anchor = read.groups() if read else ("", "", "")
    try:
        if name.endswith("S") and anchor:
            # Offsets name the month that starts a year or quarter, periods the one that ends it.
            anchor = "-" + _MONTHS[_MONTHS.index(anchor[1:]) - 1]
        if name == "B":
            days = naive.to_numpy().astype("datetime64[D]")
            ordinals = np.busday_count(days.min(), days)
        else:
            ordinals = naive.dt.to_period(_PERIODS.get(name, name) + anchor).array.asi8
    except ValueError as error:
        raise ArgumentError(
            f"freq={freq!r} is no step of a calendar for {time.name!r}; use a pandas alias such as "
            "'M', 'Q', 'Y', 'W' or 'D'."
        ) from error
    return _on_grid(time, ordinals, float(count or 1), None, shown=freq)


def _numbers(time: "pd.Series[Any]", values: Any, freq: Freq) -> Ints:
    if isinstance(freq, str):
        raise ArgumentError(
            f"freq={freq!r} is a calendar alias but {time.name!r} holds numbers; use the step "
            "between periods, such as 1 or 5."
        )
    if freq is None and (values != np.round(values)).any():
        return _by_order(time)
    step = 1.0 if freq is None else float(freq)
    if not step > 0:
        raise ArgumentError(f"freq must be positive, got {freq!r}.")
    return _on_grid(time, values, step, None, shown=freq)


def _on_grid(
    time: "pd.Series[Any]", values: Any, step: float, freq: Freq, *, shown: Freq = None
) -> Ints:
    """Whole number of steps from the earliest value."""
    if freq is not None:
        raise ArgumentError(
            f"{time.name!r} has a calendar of its own ({time.dtype}); leave out freq={freq!r}."
        )
    if not len(values):
        return np.empty(0, dtype=np.int64)
    exact = (values - values.min()) / step
    place = np.round(exact)
    off = np.abs(exact - place) > 1e-6
    if off.any():
        row, first = int(np.flatnonzero(off)[0]), int(np.argmin(values))
        raise ArgumentError(
            f"freq={shown!r} does not fit {time.name!r}: row {row} has {time.iloc[row]!s}, which "
            f"is not a whole number of steps from {time.iloc[first]!s}."
        )
    made: Ints = place.astype(np.int64)
    return made


def _by_order(time: "pd.Series[Any]") -> Ints:
    codes, _ = pd.factorize(time, sort=True)
    return np.asarray(codes, dtype=np.int64)
