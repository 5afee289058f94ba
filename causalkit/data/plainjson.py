"""Facts about data as JSON, and back to the values that they were."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError


def to_plain(value: Any, *, what: str) -> Any:
    """Value as JSON can hold it; what JSON lacks is tagged with a name that begins with ``$``.

    Parameters
    ----------
    value : None, bool, number, str, timestamp, period, interval, list, tuple, or mapping by str
        numpy scalars become Python's.
    what : str
        Where it stands, for the message.

    Raises
    ------
    ArgumentError
        If there is no way to write it that keeps it as it is.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, list | tuple):
        made = [to_plain(item, what=what) for item in plain]
        return made if isinstance(plain, list) else {"$tuple": made}
    if isinstance(plain, Mapping):
        odd = [key for key in plain if not isinstance(key, str) or key.startswith("$")]
        if odd:
            raise ArgumentError(f"{what} has the key {odd[0]!r}, which JSON cannot hold.")
        return {key: to_plain(item, what=what) for key, item in plain.items()}
    if plain is None or isinstance(plain, bool | int | str):
        return plain
    if isinstance(plain, float):
        return float(plain) if np.isfinite(plain) else {"$float": repr(float(plain))}
    return _tagged(plain, what)


def _tagged(value: Any, what: str) -> dict[str, Any]:
    """Pandas scalar under its tag."""
    if value is pd.NA or value is pd.NaT:
        return {"$missing": str(value)}
    if isinstance(value, pd.Timestamp):
        zone = None if value.tz is None else str(value.tz)
        return {"$timestamp": [int(value.asm8.astype(np.int64)), value.unit, zone]}
    if isinstance(value, pd.Period):
        return {"$period": [value.ordinal, value.freqstr]}
    if isinstance(value, pd.Interval):
        ends = [to_plain(end, what=what) for end in (value.left, value.right)]
        return {"$interval": [*ends, value.closed]}
    raise ArgumentError(
        f"{what} holds {value!r} ({type(value).__name__}), which JSON cannot hold; make it a "
        "number, text, date or period."
    )


def from_plain(plain: Any) -> Any:
    """Value that :func:`to_plain` wrote."""
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    tag = next(iter(plain), "")
    if tag.startswith("$"):
        return _UNTAGGED[tag](plain[tag])
    return {key: from_plain(item) for key, item in plain.items()}


def _timestamp(parts: Any) -> pd.Timestamp:
    count, unit, zone = parts
    moment = pd.Timestamp(np.datetime64(count, unit))
    return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)


_UNTAGGED: dict[str, Callable[[Any], Any]] = {
    "$tuple": lambda items: tuple(from_plain(item) for item in items),
    "$float": float,
    "$missing": {"<NA>": pd.NA, "NaT": pd.NaT}.__getitem__,
    "$timestamp": _timestamp,
    "$interval": lambda parts: pd.Interval(*map(from_plain, parts)),
    "$period": lambda parts: pd.Period(ordinal=parts[0], freq=parts[1]),
}
