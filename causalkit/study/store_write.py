"""Writing side of a results folder: files appear whole or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pandas as pd

from causalkit.errors import StorageError
from causalkit.optional import require
from causalkit.study.design import SCHEMA
from causalkit.study.store_read import FOOTER, NEEDED_BY, TABLES, BlockName, schema

if TYPE_CHECKING:
    from causalkit.study.block import Block

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_block(folder: Path, block: "Block") -> None:
    """Write what a job found, one file per estimator and table; a kill leaves whole files only.

    The records come last, and only with them do the other tables count.

    Parameters
    ----------
    folder : Path
        Results folder.
    block : Block

    Raises
    ------
    StorageError
        If the disk is full or refuses; nothing of the estimator concerned counts then.
    """
    for kind, texts in (("tracebacks", block.tracebacks), ("warnings", block.warnings)):
        for digest, text in texts.items():
            path = folder / kind / f"{digest}.txt"
            if not path.exists():
                write_file(path, text.encode("utf-8", "backslashreplace"))
    job = block.job
    found = {"metrics": block.metrics, "failures": block.failures, "records": block.records}
    tables = {kind: _table(kind, frame) for kind, frame in found.items()}
    for spec in job.estimators:
        name = BlockName(job.cell.id, spec.id, job.first, job.last, job.attempt)
        own = {kind: _of(table, name.est_id) for kind, table in tables.items()}
        facts = {
            "schema": SCHEMA,
            "seed": job.study_seed,
            "level": job.level,
            "null": job.null,
            "treatment_cost": job.treatment_cost,
            "attempt": job.attempt,
            "rows": {kind: table.num_rows for kind, table in own.items()},
        }
        files = {
            folder / kind / name.path: _parquet(kind, table, facts)
            if table.num_rows or kind == "records"
            else None
            for kind, table in own.items()
        }
        _replace(files)


def _table(kind: str, frame: pd.DataFrame) -> Any:
    """Arrow table by replication; missing numbers become nulls."""
    pa = require("pyarrow", extra="", needed_by=NEEDED_BY)
    if frame.empty:
        return schema(kind).empty_table()
    if not frame["rep"].is_monotonic_increasing:
        frame = frame.sort_values("rep", kind="stable")
    table = pa.Table.from_pandas(frame, schema=schema(kind), preserve_index=False)
    return table.replace_schema_metadata(None)


def _of(table: Any, est_id: str) -> Any:
    """Rows of an estimator."""
    compute = require("pyarrow.compute", extra="", needed_by=NEEDED_BY)
    return table.filter(compute.equal(table["est_id"], est_id)) if table.num_rows else table


def _parquet(kind: str, table: Any, facts: Mapping[str, Any]) -> Any:
    """Bytes of a parquet file that any reader opens, with facts in its footer."""
    pa = require("pyarrow", extra="", needed_by=NEEDED_BY)
    parquet = require("pyarrow.parquet", extra="", needed_by=NEEDED_BY)
    sink = pa.BufferOutputStream()
    with parquet.ParquetWriter(
        sink,
        table.schema,
        use_dictionary=[name for name, dtype in TABLES[kind].items() if dtype == "string"],
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER: json.dumps(facts)})
    return sink.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there; raises StorageError if the disk refuses."""
    _replace({path: content})


def write_output(path: Path, content: bytes) -> None:
    """Write a picture, a report or an export, whole or not at all; its folder is made.

    Raises
    ------
    StorageError
        If the disk refuses; the results that it was made of stay as they are.
    """
    try:
        _replace({path: content})
    except StorageError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
        raise StorageError(
            f"cannot write {path}: {reason or error}. Name another place (--out), or make room "
            "or writable what is there; the results of the study are untouched."
        ) from error


def _replace(contents: Mapping[Path, Any]) -> None:
    """Write all files beside their places, then rename each; None removes what is there."""
    beside: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                beside[path] = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
                with beside[path].open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
        for path in contents:
            if path in beside:
                beside[path].replace(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        for left in beside.values():
            left.unlink(missing_ok=True)


def refused(path: Path, error: OSError) -> StorageError:
    """Error for a disk that takes no more, or nothing at all."""
    reason = error.strerror or str(error)
    if error.errno not in _FULL:
        return StorageError(
            f"cannot write {path}: {reason}. Make the folder writable, or name another one "
            "(run.out); finished blocks stay, and running again computes only what is missing."
        )
    there = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(there).free
    return StorageError(
        f"cannot write {path}: {reason}; {free / 1e6:,.1f} MB are free on that disk. Make room, "
        "raise the limit, or move the results folder to another disk and name it in run.out. "
        "Finished blocks stay, and running again computes only what is missing."
    )
