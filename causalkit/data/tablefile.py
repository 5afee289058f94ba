"""Tables in parquet files that come back bit for bit, with the types that parquet does not know."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_category
from causalkit.errors import ArgumentError
from causalkit.optional import require

_KEY = b"causalkit"


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table to a parquet file that any reader can open; row labels are left out.

    Categories whose levels are not text are stored as codes, with the levels in a folder beside
    the file.

    Raises
    ------
    ArgumentError
        If a column cannot be kept as it is.
    """
    pa = require("pyarrow", extra="", needed_by="CausalData.save")
    parquet = require("pyarrow.parquet", extra="", needed_by="CausalData.save")
    _check_names(frame, path)
    frame = frame.reset_index(drop=True)
    stored = frame.copy(deep=False)
    for place, name in enumerate(frame):
        if is_category(frame[name]):
            levels = frame[name].cat.categories
            _levels_path(path, place).parent.mkdir(exist_ok=True)
            write_table(pd.DataFrame({"level": levels}), _levels_path(path, place))
            if not pd.api.types.is_string_dtype(levels):
                stored[name] = frame[name].cat.codes
    try:
        table = pa.Table.from_pandas(stored, preserve_index=False)
    except (pa.lib.ArrowException, TypeError) as error:
        raise _unkept(frame, str(error).splitlines()[0]) from error
    for place, name in enumerate(stored):
        # pandas' own conversion turns NaN into null, and back into a NaN of other bits.
        if _is_float(stored[name]):
            exact = pa.array(stored[name].to_numpy(), from_pandas=False)
            table = table.set_column(place, table.schema.field(place), exact)
    types = json.dumps([_type_record(frame[name]) for name in frame]).encode()
    table = table.replace_schema_metadata({**table.schema.metadata, _KEY: types})
    # A dictionary of values could merge zeros, or NaNs, that differ in bits.
    shared = [name for name in stored if not _is_float(stored[name])]
    parquet.write_table(table, path, use_dictionary=shared)
    for name in _changed(frame, read_table(path)):
        raise _unkept(frame[[name]], "it would not come back as it is")


def read_table(path: Path) -> pd.DataFrame:
    """Read what :func:`write_table` wrote."""
    parquet = require("pyarrow.parquet", extra="", needed_by="CausalData.load")
    types = json.loads(parquet.read_schema(path).metadata[_KEY])
    frame = pd.read_parquet(path, engine="pyarrow")
    restored = {
        name: _restored(frame[name], record, _levels_path(path, place))
        for place, (name, record) in enumerate(zip(frame, types, strict=True))
    }
    return pd.DataFrame(restored, index=frame.index, copy=False)


def _check_names(frame: pd.DataFrame, path: Path) -> None:
    """Parquet names columns by text, each once."""
    odd = [name for name in frame if not isinstance(name, str)]
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if odd or twice:
        seen = f"{odd[0]!r}, which is no text" if odd else f"{twice[0]!r} twice"
        raise ArgumentError(
            f"table {path.stem!r} has a column named {seen}; rename it before saving."
        )


def _levels_path(path: Path, place: int) -> Path:
    return path.with_suffix(".levels") / f"{place}.parquet"


def _is_float(values: "pd.Series[Any]") -> bool:
    return isinstance(values.dtype, np.dtype) and values.dtype.kind == "f"


def _type_record(values: "pd.Series[Any]") -> dict[str, Any]:
    """What is needed to restore the type of a column."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return {"type": "category", "ordered": dtype.ordered}
    if isinstance(dtype, pd.StringDtype):
        return {"type": "string", "storage": dtype.storage, "nan": dtype.na_value is not pd.NA}
    if isinstance(dtype, pd.ArrowDtype):
        return {"type": "arrow"}
    if pd.api.types.is_object_dtype(dtype):
        return {"type": "object", "none": any(value is None for value in values)}
    return {"type": str(dtype)}


def _restored(values: "pd.Series[Any]", record: dict[str, Any], levels: Path) -> "pd.Series[Any]":
    """Column with the type that it had."""
    kind = record["type"]
    if kind == "category":
        known = pd.Index(read_table(levels)["level"]).rename(None)
        if is_category(values):
            return values.cat.set_categories(known, ordered=record["ordered"])
        made = pd.Categorical.from_codes(values.to_numpy(), known, ordered=record["ordered"])
        return pd.Series(made, index=values.index, name=values.name)
    if kind == "string":
        missing = np.nan if record["nan"] else pd.NA
        return values.astype(pd.StringDtype(record["storage"], na_value=missing))
    if kind == "arrow":
        return values.convert_dtypes(dtype_backend="pyarrow")
    if kind == "object":
        # Readers differ in what they make of a gap.
        plain = values.astype(object)
        return plain.where(plain.notna(), None if record["none"] else np.nan)
    return values if str(values.dtype) == kind else values.astype(kind)


def _changed(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[str]:
    """Columns that differ in type or in a value."""
    for name in before:
        old, new = before[name], after[name]
        same = old.dtype == new.dtype and old.equals(new)
        if same and _is_float(old):
            same = old.to_numpy().tobytes() == new.to_numpy().tobytes()
        elif same and pd.api.types.is_object_dtype(old.dtype):
            same = list(map(type, old)) == list(map(type, new))
        if not same:
            yield str(name)


def _unkept(frame: pd.DataFrame, reason: str) -> ArgumentError:
    """Error for a table that parquet cannot keep, with the column that is in the way."""
    pa = require("pyarrow", extra="", needed_by="CausalData.save")
    for name in frame:
        try:
            pa.Table.from_pandas(frame[[name]], preserve_index=False)
        except (pa.lib.ArrowException, TypeError):
            frame = frame[[name]]
            break
    name = frame.columns[0]
    return ArgumentError(
        f"column {name!r} ({frame[name].dtype}) cannot be saved to parquet: {reason}. Convert it "
        f"first, for example to text: data.assign({name}=lambda df: df[{name!r}].astype(str))."
    )
