"""Dates of the frames of image sequences."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, CausalKitWarning, DataError, Problem
from causalkit.inference.arguments import check_number
from causalkit.warn import warn

_MOST_SHOWN = 12
_CODE = "E21-time-order"


def check_times(store: ImageStore, treatment_date: Any, *, allow_later: bool) -> None:
    """Refuse frames that are unsorted, repeated, or not from before the treatment.

    Parameters
    ----------
    store : ImageStore
    treatment_date : date, str or None
    allow_later : bool
        Accept frames from the treatment date on.

    Raises
    ------
    ArgumentError
        If the treatment date is no date, or is given where the frames have none.
    DataError
    """
    if "time" not in store.pixels.dims:
        return
    if "time" not in store.pixels.coords:
        if treatment_date is not None:
            raise ArgumentError(
                f"the frames of {store.name!r} have no dates to compare with treatment_date; add "
                "them: ds.assign_coords(time=[...])."
            )
        return
    times = pd.Index(store.pixels["time"].values)
    if times.dtype.kind not in "Miuf":
        message = (
            f"the times of {store.name!r} are {times.inferred_type} (first: {times[0]!r}); give "
            "dates or numbers: ds.assign_coords(time=pd.to_datetime([...]))."
        )
        raise DataError(Problem(_CODE, message, "time"))
    steps = np.diff(times.to_numpy())
    order = steps > np.zeros(1, dtype=steps.dtype)
    if not order.all():
        where = int(np.flatnonzero(~order)[0])
        what = "repeated" if times[where] == times[where + 1] else "not in order"
        message = (
            f"the times of {store.name!r} are {what} (first: {times[where]} before "
            f'{times[where + 1]}); sort and thin them: ds.sortby("time").drop_duplicates("time").'
        )
        raise DataError(Problem(_CODE, message, "time"))
    if treatment_date is None or allow_later:
        return
    late = times[times >= _comparable(treatment_date, times)]
    if len(late):
        message = (
            f"{len(late)} frames of {store.name!r} are not from before treatment_date="
            f"{treatment_date} (first: {late[0]}): what the treatment changed cannot explain its "
            "effect. Select the earlier ones: ds.sel(time=ds.time < ...), or say "
            "allow_later_frames=True."
        )
        raise DataError(Problem(_CODE, message, "time"))


def _comparable(date: Any, times: "pd.Index[Any]") -> Any:
    """The treatment date in the type of the times."""
    if times.dtype.kind != "M":
        return check_number("treatment_date", date)
    try:
        if isinstance(date, bool | int | float):
            raise TypeError("a number")
        found: Any = pd.Timestamp(date)
        if found is pd.NaT:
            raise ValueError("it is missing")
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"treatment_date={date!r} is no date ({error}); give one such as '2015-06-30'."
        ) from error
    return found if found.tz is None else found.tz_convert(None)


def times_of(store: ImageStore) -> tuple[str, ...]:
    """Dates of the frames; their numbers where they have none, and nothing for single images."""
    if "time" not in store.pixels.dims:
        return ()
    if "time" not in store.pixels.coords:
        return tuple(f"frame {number + 1}" for number in range(store.pixels.sizes["time"]))
    return tuple(map(str, pd.Index(store.pixels["time"].values).astype(str)))


def compare_times(fitted: tuple[str, ...], given: tuple[str, ...], what: str) -> None:
    """Refuse sequences of another length than those of the fit, and warn of other dates.

    Parameters
    ----------
    fitted, given : tuple of str
        From :func:`times_of`.
    what : str
        Is given, such as "the images 'image'".

    Raises
    ------
    DataError
    """
    both = f"{what} have {_counted(given)}, and the fit saw {_counted(fitted)}"
    if len(given) != len(fitted):
        message = f"{both}; select frames like those of the fit: ds.sel(time=[...])."
        raise DataError(Problem(_CODE, message, "time"))
    if given != fitted:
        warn(
            f"{both}: what it learned of change between its dates is carried over to others.",
            CausalKitWarning,
        )


def _counted(times: tuple[str, ...]) -> str:
    """How many frames, and which; of many the first and the last."""
    if not times:
        return "single images"
    shown = times
    if len(times) > _MOST_SHOWN:
        half = _MOST_SHOWN // 2
        shown = (*times[:half], "...", *times[-half:])
    return f"{len(times)} frames ({', '.join(shown)})"
