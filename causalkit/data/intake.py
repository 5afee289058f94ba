"""From any table to a pandas frame of one's own, with plain column types."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.parquet import ParquetColumns
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.optional import require

# pandas 3 copies on write: sharing columns with the user's frame is safe there, and free.
_COPIES_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3


def to_pandas(df: Any, wanted: Collection[str] | None = None) -> pd.DataFrame:
    """Columns of a table as a pandas frame with a plain index, independent of the original.

    Parameters
    ----------
    df : DataFrame, LazyFrame, Table or relation
        Anything that narwhals reads. Lazy tables are read for the wanted columns only.
    wanted : collection of str, optional
        Columns to take, as far as they exist; all by default.

    Raises
    ------
    ArgumentTypeError
        If ``df`` is no table.
    ArgumentError
        If a pandas frame has a MultiIndex.
    """
    if isinstance(df, pd.DataFrame):
        return _plain(_without_arrow(_from_pandas(df, wanted)))
    if isinstance(df, ParquetColumns):
        return _plain(_sorted_levels(df.read(wanted)))
    table = _narwhal(df)
    names = table.collect_schema().names()
    table = table.select([name for name in names if wanted is None or name in wanted])
    table = table.collect() if hasattr(table, "collect") else table
    return _plain(_sorted_levels(table.to_pandas().reset_index(drop=True)))


def column_names(df: Any) -> list[str]:
    """Names of all columns of a table, without reading it."""
    if isinstance(df, pd.DataFrame):
        return [str(name) for name in df.columns]
    if isinstance(df, ParquetColumns):
        return df.names
    names: list[str] = _narwhal(df).collect_schema().names()
    return names


def row_labels(df: Any, on_duplicate: str) -> "pd.Index[Any] | None":
    """Row labels of a pandas frame; None where rows are averages, which have none of their own."""
    return df.index if isinstance(df, pd.DataFrame) and on_duplicate == "raise" else None


def _narwhal(df: Any) -> Any:
    import narwhals as nw

    try:
        return nw.from_native(df)
    except TypeError as error:
        hint = "CausalData.from_arrays"
        if isinstance(df, str) or hasattr(df, "__fspath__"):
            hint = "CausalData.scan"
        raise ArgumentTypeError(
            f"expected a pandas, polars or pyarrow table, got {type(df).__name__}; use {hint}, or "
            "make a pandas DataFrame of it."
        ) from error


def own(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame that does not change when the given one does."""
    return frame.copy(deep=not _COPIES_ON_WRITE)


def _from_pandas(df: pd.DataFrame, wanted: Collection[str] | None) -> pd.DataFrame:
    if isinstance(df.index, pd.MultiIndex):
        names = ", ".join(str(name) for name in df.index.names)
        raise ArgumentError(
            f"the table has a MultiIndex ({names}); row labels are ignored here, so make them "
            "columns first: df.reset_index()."
        )
    if isinstance(df.columns, pd.MultiIndex):
        raise ArgumentError(
            "the table has columns of several levels; give each column one name: df.columns = [...]"
        )
    kept = [name for name in df.columns if wanted is None or name in wanted]
    if not df.columns.is_unique:
        return own(df.loc[:, df.columns.isin(kept)]).reset_index(drop=True)
    # One series each, not df[kept], which would copy the values.
    found = pd.DataFrame({name: df[name] for name in kept}, index=df.index, copy=False)
    return own(found).reset_index(drop=True)


def _without_arrow(frame: pd.DataFrame) -> pd.DataFrame:
    """Dates and dictionaries in columns of Arrow's types as columns of pandas' own."""
    changed: dict[str, Any] = {}
    for name, dtype in frame.dtypes.items() if frame.columns.is_unique else ():
        if isinstance(dtype, pd.ArrowDtype):
            pa, kind = require("pyarrow", extra="", needed_by="its types"), dtype.pyarrow_dtype
            if pa.types.is_temporal(kind) or pa.types.is_dictionary(kind):
                changed[str(name)] = pa.array(frame[name]).to_pandas(date_as_object=False)
    made: dict[Any, Any] = dict(_sorted_levels(pd.DataFrame(changed)).items())
    return frame.assign(**made) if made else frame


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Objects that are booleans, numbers or dates in columns of that type; the rest as it is."""
    if not frame.columns.is_unique:
        return frame
    changed: dict[Any, Any] = {}
    for name, dtype in frame.dtypes.items():
        if not pd.api.types.is_object_dtype(dtype):
            continue
        kind = pd.api.types.infer_dtype(frame[name], skipna=True)
        if kind == "boolean":
            changed[name] = frame[name].astype("boolean")
        elif kind == "integer":
            with suppress(OverflowError):  # numbers too large for a column of whole numbers
                changed[name] = frame[name].astype("Int64")
        elif kind in ("decimal", "floating", "mixed-integer-float"):
            there = frame[name].notna()
            changed[name] = frame[name].where(there, np.nan).astype("float64")
        elif kind in ("date", "datetime"):
            changed[name] = pd.to_datetime(frame[name])
    return frame.assign(**changed) if changed else frame


def _sorted_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Unordered categories in sorted order: other libraries keep them by first appearance."""
    changed: dict[str, Any] = {}
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype) and not dtype.ordered:
            changed[str(name)] = frame[name].cat.reorder_categories(sorted(dtype.categories))
    return frame.assign(**changed) if changed else frame
