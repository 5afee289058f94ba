"""Results of a study as files for other software: records with their names, and the summary."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.study.design import canonical_json
from causalkit.study.results import Results
from causalkit.study.store_write import write_file, write_output
from causalkit.study.summary import summarise

SUMMARY = "summary.parquet"
FORMATS = (".csv", ".parquet")


def check_format(path: Path) -> None:
    """Raise unless the ending of a path names a format.

    Raises
    ------
    ArgumentError
    """
    if path.suffix not in FORMATS:
        raise ArgumentError(f"{path.name!r} must end in {' or '.join(FORMATS)}.")


def records_table(results: Results) -> pd.DataFrame:
    """Every record with the label of its estimator and the parameters of its cell.

    A parameter that has the name of another column gets ``param_`` before it.
    """
    frame = results.records.merge(results.estimators[["est_id", "label"]], on="est_id", how="left")
    taken = set(frame.columns) - {"cell_id"}
    params = {name: f"param_{name}" for name in results.cells if name in taken}
    return frame.merge(results.cells.rename(columns=params), on="cell_id", how="left")


def export(results: Results, path: Path) -> int:
    """Write the records to a .csv or .parquet file and return their number.

    Raises
    ------
    ArgumentError
        If the path has another ending.
    StorageError
        If the disk refuses.
    """
    check_format(path)
    frame = records_table(results)
    content = frame.to_csv(index=False).encode() if path.suffix == ".csv" else _parquet(frame)
    write_output(path, content)
    return len(frame)


def write_summary(folder: Path, results: Results) -> None:
    """Put every measure beside the records, for readers without causalkit."""
    write_file(folder / SUMMARY, _parquet(summarise(results)))


def drop_summary(folder: Path) -> None:
    """Remove the summary: it would not be that of the records which are about to come."""
    (folder / SUMMARY).unlink(missing_ok=True)


def _parquet(frame: pd.DataFrame) -> bytes:
    """Bytes of a parquet file that any reader opens; mixed values and lists become JSON text."""
    sink = BytesIO()
    frame.assign(**{str(name): _even(frame[name]) for name in frame}).to_parquet(sink, index=False)
    return sink.getvalue()


def _even(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Column whose values are of one plain type."""
    if column.dtype != object:
        return column
    kinds = {type(value) for value in column.dropna()}
    if len(kinds) <= 1 and not kinds & {list, tuple, dict}:
        return column
    return column.map(
        lambda value: value if isinstance(value, str) else canonical_json(value),
        na_action="ignore",
    )
