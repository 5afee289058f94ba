"""Blocks of a results folder: their columns, their names, and how they are read."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import StorageError, unknown_name
from causalkit.optional import require
from causalkit.study.ranges import Range

_TEXT, _WHOLE, _REAL = "string", "int64", "float64"
_KEY = {"cell_id": _TEXT, "est_id": _TEXT, "estimand": _TEXT, "rep": _WHOLE}

TABLES: Mapping[str, Mapping[str, str]] = {
    "records": {
        **_KEY,
        "estimate": _REAL,
        "std_error": _REAL,
        "conf_low": _REAL,
        "conf_high": _REAL,
        "p_value": _REAL,
        "level": _REAL,
        "truth": _REAL,
        "truth_mcse": _REAL,
        "status": _TEXT,
        "n_obs": _WHOLE,
        "wall_s": _REAL,
        "cpu_s": _REAL,
        "peak_rss_mb": _REAL,
        "peak_gpu_mb": _REAL,
        "worker": _TEXT,
        "warnings_digest": _TEXT,
        "attempt": _WHOLE,
    },
    "metrics": {**_KEY, "metric": _TEXT, "value": _REAL},
    "failures": {
        "cell_id": _TEXT,
        "est_id": _TEXT,
        "rep": _WHOLE,
        "status": _TEXT,
        "exception": _TEXT,
        "message": _TEXT,
        "traceback_digest": _TEXT,
        "seed_address": _TEXT,
    },
}

# Key of the facts in the footer of a block.
FOOTER = b"causalkit"

Share = tuple["BlockName", np.ndarray | None]

NEEDED_BY = "the results folder of a study"
_NAME = re.compile(
    r"cell=([0-9a-f]{16})/est=([0-9a-f]{16})/block-(\d{7,})-(\d{7,})(?:-(\d+))?\.parquet"
)


@dataclass(frozen=True, slots=True, order=True)
class BlockName:
    """Address of a block: replications ``first`` to ``last`` of a cell and estimator."""

    cell_id: str
    est_id: str
    first: int
    last: int
    attempt: int = 1

    @property
    def reps(self) -> Range:
        """First and last replication."""
        return self.first, self.last

    @property
    def path(self) -> str:
        """Path below the folder of a table; the attempt is part of it from the second on."""
        again = f"-{self.attempt}" if self.attempt > 1 else ""
        return (
            f"cell={self.cell_id}/est={self.est_id}/"
            f"block-{self.first:07d}-{self.last:07d}{again}.parquet"
        )


def parsed(path: str) -> BlockName | None:
    """Address that a path below the folder of a table says, if it is that of a block."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    cell_id, est_id, first, last, attempt = match.groups()
    name = BlockName(cell_id, est_id, int(first), int(last), int(attempt or 1))
    return name if name.path == path and name.first <= name.last else None


def block_names(
    root: Path,
    *,
    cells: Collection[str] | None = None,
    estimators: Collection[str] | None = None,
) -> list[BlockName]:
    """Blocks in the folder of a table, sorted; None means whatever is there."""
    names = []
    for cell in _subfolders(root, "cell=", cells):
        for est in _subfolders(root / cell, "est=", estimators):
            found = _entries(root / cell / est)
            names += [name for file in found if (name := parsed(f"{cell}/{est}/{file}"))]
    return sorted(names)


def _subfolders(root: Path, prefix: str, wanted: Collection[str] | None) -> list[str]:
    if wanted is not None:
        return [prefix + key for key in dict.fromkeys(wanted)]
    return [name for name in _entries(root) if name.startswith(prefix)]


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_blocks(
    folder: Path,
    table: str,
    *,
    cells: Collection[str] | None = None,
    estimators: Collection[str] | None = None,
    first: int | None = None,
    last: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows of a table, by cell, estimator and replication; of several attempts only the last.

    A row of ``metrics`` or ``failures`` counts if it comes from the same block as the records of
    its replication, so that the failure of a first attempt is gone once the second succeeds.

    Parameters
    ----------
    folder : Path
        Results folder.
    table : {"records", "metrics", "failures"}
    cells, estimators : collection of str, optional
        Ids; None reads whatever is there.
    first, last : int, optional
        Replications, both included.
    columns : sequence of str, optional

    Raises
    ------
    ArgumentError
        If a column does not exist.
    StorageError
        If a block is damaged.
    """
    layout = TABLES[table]
    wanted = list(layout) if columns is None else list(columns)
    for column in wanted:
        if column not in layout:
            raise unknown_name(f"column of {table}", column, layout)
    names = block_names(folder / "records", cells=cells, estimators=estimators)
    low, high = first or 0, np.inf if last is None else last
    shares = [
        (name, reps)
        for name, reps in _shares(names)
        if name.first <= high and name.last >= low and (reps is None or reps.size)
    ]
    if table != "records":
        there = set(block_names(folder / table, cells=cells, estimators=estimators))
        shares = [share for share in shares if share[0] in there]
    needed = [name for name in layout if name in wanted or name == "rep"]
    # Reading all of a file is faster than naming all of its columns.
    chosen = None if len(needed) == len(layout) else needed
    # One thread: with files this small, several mostly wait for each other.
    parts = [_rows(folder, table, share, columns=chosen, low=low, high=high) for share in shares]
    pa = require("pyarrow", extra="", needed_by=NEEDED_BY)
    whole = pa.concat_tables([schema(table, *needed).empty_table(), *parts])
    if any(reps is not None for _, reps in shares):
        whole = whole.take(_order(whole, parts, shares))
    frame: pd.DataFrame = whole.select(wanted).to_pandas()
    return frame


def _shares(names: Sequence[BlockName]) -> Iterator[Share]:
    """Blocks with the replications for which each is the last attempt; None stands for all."""
    for _, group in groupby(names, key=lambda name: (name.cell_id, name.est_id)):
        blocks = list(group)
        if all(a.last < b.first for a, b in pairwise(blocks)):
            for name in blocks:
                yield name, None
            continue
        start = blocks[0].first
        owner = np.empty(max(name.last for name in blocks) + 1 - start, dtype=np.int64)
        for place in sorted(range(len(blocks)), key=lambda i: (blocks[i].attempt, blocks[i])):
            name = blocks[place]
            owner[name.first - start : name.last + 1 - start] = place
        for place, name in enumerate(blocks):
            own = np.arange(name.first, name.last + 1)
            yield name, own[owner[own - start] == place]


def _rows(
    folder: Path, table: str, share: Share, *, columns: list[str] | None, low: float, high: float
) -> Any:
    """Arrow table of the rows of one block that count."""
    name, reps = share
    try:
        content, _ = load_block(folder, table, name, columns=columns)
    except Fault as fault:
        raise StorageError(
            f"{folder / table / name.path} {fault}. Run the study again: a run begins by setting "
            "damaged blocks aside, and then computes what is missing."
        ) from fault
    if reps is None and low <= name.first and name.last <= high:
        return content
    rep = content["rep"].to_numpy()
    keep = (low <= rep) & (rep <= high)
    return content.filter(keep if reps is None else keep & np.isin(rep, reps))


def _order(whole: Any, parts: Sequence[Any], shares: Sequence[Share]) -> np.ndarray:
    """Places of the rows by cell and estimator, and then by replication."""
    groups = [(name.cell_id, name.est_id) for name, _ in shares]
    codes, _ = pd.factorize(pd.Index(groups))
    group = np.repeat(codes, [part.num_rows for part in parts])
    return np.lexsort((whole["rep"].to_numpy(), group))


class Fault(Exception):
    """Why a file is not the block that its name says; the message completes "the file ..."."""


def load_block(
    folder: Path, table: str, name: BlockName, *, columns: Sequence[str] | None = None
) -> tuple[Any, bytes]:
    """Arrow table of a block, and the facts in its footer.

    Raises
    ------
    Fault
        If the file cannot be read, or has other columns.
    """
    pa = require("pyarrow", extra="", needed_by=NEEDED_BY)
    parquet = require("pyarrow.parquet", extra="", needed_by=NEEDED_BY)
    try:
        with open(f"{folder}/{table}/{name.path}", "rb") as stream:
            source = pa.BufferReader(stream.read())
        file = parquet.ParquetFile(source, page_checksum_verification=True)
        content = file.read(columns=columns, use_threads=False)
        footer = (file.metadata.metadata or {}).get(FOOTER, b"")
    except (OSError, pa.ArrowException, ValueError) as error:
        said = str(error).splitlines()
        raise Fault(f"cannot be read ({said[0] if said else type(error).__name__})") from error
    if not content.schema.equals(schema(table, *(columns or ()))):
        raise Fault(f"does not have the columns of {table}")
    return content, footer


@cache
def schema(table: str, *columns: str) -> Any:
    """Arrow schema of a table, or of some of its columns in their order there."""
    pa = require("pyarrow", extra="", needed_by=NEEDED_BY)
    layout = TABLES[table]
    kept = [name for name in layout if not columns or name in columns]
    return pa.schema([(name, pa.type_for_alias(layout[name])) for name in kept])


def read_texts(folder: Path) -> dict[str, str]:
    """Texts of a folder by digest."""
    files = sorted(name for name in _entries(folder) if re.fullmatch(r"[0-9a-z]+\.txt", name))
    return {name[:-4]: (folder / name).read_text(encoding="utf-8") for name in files}
