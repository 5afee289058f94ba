"""Results as plain Python values and back: dictionaries, JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, unknown_name
from causalkit.inference.hypotheses import HypothesisTest

if TYPE_CHECKING:
    from causalkit.results.effect import EffectResult

SCHEMA = 1
LONG = ("influence", "clusters", "draws")


def plain(value: Any) -> Any:
    """Value with numpy, pandas and dataclass parts turned into built-in ones.

    Whatever has no plain counterpart (an estimator among the diagnostics) becomes its ``str``.
    """
    if isinstance(value, np.generic):
        return plain(value.item())  # before float: np.float64 is one
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict("list"))
    if isinstance(value, pd.Series):
        return plain(value.to_dict())
    if isinstance(value, np.ndarray | pd.Index):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, date) else str(value)


def from_result(result: "EffectResult", *, arrays: bool) -> dict[str, Any]:
    """Fields of a result as plain values, with the schema version first."""
    record: dict[str, Any] = {"schema": SCHEMA}
    for item in fields(result):
        value = getattr(result, item.name)
        if item.name not in LONG:
            record[item.name] = plain(value)
        elif arrays:
            record[item.name] = value.to_dict() if hasattr(value, "to_dict") else plain(value)
    return record


def to_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments from a record.

    Raises
    ------
    ArgumentError
        If the record was written by a later schema, or lacks a field or has one that is unknown.
    """
    from causalkit.results.effect import EffectResult

    values = dict(record)
    schema = values.pop("schema", None)
    if schema != SCHEMA:
        raise ArgumentError(
            f"the record has schema {schema!r}, this version of causalkit reads {SCHEMA}; "
            "read it with the version in its provenance."
        )
    known = {item.name: item for item in fields(EffectResult)}
    for name in values:
        if name not in known:
            raise unknown_name("field of a result", name, known)
    lost = [
        name
        for name, item in known.items()
        if item.default is MISSING and item.default_factory is MISSING and name not in values
    ]
    if lost:
        raise ArgumentError(
            f"the record lacks {', '.join(lost)}; give all that EffectResult.to_dict() wrote."
        )
    values["df"] = math.inf if values.get("df") is None else values["df"]
    for name in ("df_by_term", "df_combined"):
        if values.get(name) is not None:
            values[name] = [math.inf if df is None else df for df in values[name]]
    values["diagnostics"] = _with_tests(values.get("diagnostics", {}))
    values["clusters"] = tuple(np.asarray(c, dtype=np.int64) for c in values.get("clusters", ()))
    if values.get("draws") is not None:
        import xarray as xr

        values["draws"] = xr.Dataset.from_dict(values["draws"])
    return values


def _with_tests(value: Any) -> Any:
    """Diagnostics with the hypothesis tests among them as such again; other records stay plain."""
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {item.name for item in fields(HypothesisTest)}:
        df = tuple(math.inf if part is None else float(part) for part in value["df"])
        return HypothesisTest(**{**value, "df": df})
    return {key: _with_tests(part) for key, part in value.items()}


def to_json(record: Any, *, indent: int | None = None) -> str:
    """JSON text; NaN and infinities, which JSON lacks, become null."""
    return json.dumps(_finite(record), indent=indent, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    """Value with floats that are not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
