"""Sets aside what a results folder holds and should not: damaged, foreign and unfinished files."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from causalkit.study import lock
from causalkit.study.design import SCHEMA
from causalkit.study.store_read import TABLES, BlockName, Fault, load_block, parsed
from causalkit.study.store_write import refused

ASIDE, MANIFEST = "damaged", "manifest.json"
IDENTITY = ("seed", "level", "null", "treatment_cost")
_FOOTER = {"schema", *IDENTITY, "attempt", "rows"}
_SIDE = tuple(name for name in TABLES if name != "records")


def repaired(folder: Path, study: Mapping[str, Any] | None) -> list[str]:
    """Clean a results folder and say what was done, a sentence each.

    A block is whole if its file can be read to the last page, comes from this study (seed, level,
    null, cost of treatment), and holds the cell, the estimator and the replications that its name
    says; and if the other tables have the rows that it counted. Everything else moves to
    ``damaged/``.

    Parameters
    ----------
    folder : Path
    study : mapping or None
        Facts of the study; None if no run began.
    """
    said = list(_unfinished(folder))
    names: dict[str, set[BlockName]] = {}
    for table in TABLES:
        names[table], strangers = _sorted_out(folder, table)
        said += [_moved(folder, path, "is not named like a block") for path in strangers]
    for name in sorted(names["records"]):
        fault = _fault(folder, name, study, [t for t in _SIDE if name in names[t]])
        if fault is not None:
            said.append(_moved(folder, Path("records", name.path), fault, name))
            names["records"].discard(name)
    for table in _SIDE:
        said += [
            _moved(folder, Path(table, name.path), "has no whole block of records beside it")
            for name in sorted(names[table] - names["records"])
        ]
    return said


def _unfinished(folder: Path) -> Iterator[str]:
    """Remove what a killed process had begun to write."""
    places = [folder, *(folder / name for name in (*TABLES, "tracebacks", "warnings"))]
    left = {path for place in places[1:] for path in place.rglob(".*.tmp")}
    left |= set(folder.glob(".*.tmp"))
    for path in left:
        path.unlink(missing_ok=True)
    if left:
        plural = "files" if len(left) > 1 else "file"
        yield f"Removed {len(left)} unfinished {plural} of a run that was cut off."


def _sorted_out(folder: Path, table: str) -> tuple[set[BlockName], list[Path]]:
    """Blocks of a table by their names, and the paths of other files there."""
    names, strangers = set(), []
    root = folder / table
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        name = parsed(path.relative_to(root).as_posix())
        if name is None:
            strangers.append(path.relative_to(folder))
        else:
            names.add(name)
    return names, strangers


def _fault(
    folder: Path, name: BlockName, study: Mapping[str, Any] | None, side: list[str]
) -> str | None:
    """What is wrong with a block or with its other tables; None if nothing is."""
    try:
        content, footer = load_block(folder, "records", name)
        counted = _counted(footer, study, name.attempt)
        _check_address(content, name)
        _check_rows(content, name)
        _check_count("records", content.num_rows, counted)
        for table in _SIDE:
            _check_side(folder, table, name, counted, present=table in side)
    except Fault as fault:
        return str(fault)
    return None


def _counted(footer: bytes, study: Mapping[str, Any] | None, attempt: int) -> dict[str, int]:
    """Rows by table that a footer states, if it is that of a block of this study."""
    try:
        facts = json.loads(footer)
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or _FOOTER - set(facts):
        raise Fault("does not say which study it comes from")
    if facts["schema"] != SCHEMA:
        raise Fault(f"has layout version {facts['schema']!r} instead of {SCHEMA}")
    if facts["attempt"] != attempt:
        raise Fault(f"is of attempt {facts['attempt']!r} and not of {attempt}")
    for key in IDENTITY:
        if study is not None and facts[key] != study[key]:
            raise Fault(f"comes from another study, whose {key} is {facts[key]!r}")
    return dict(facts["rows"])


def _check_address(content: Any, name: BlockName) -> None:
    for column, expected in (("cell_id", name.cell_id), ("est_id", name.est_id)):
        found = content[column].unique().to_pylist()
        if found != [expected] and content.num_rows:
            other = next(value for value in found if value != expected)
            raise Fault(f"holds rows whose {column} is {other!r}")


def _check_rows(content: Any, name: BlockName) -> None:
    reps = np.unique(content["rep"].to_numpy())
    if not np.array_equal(reps, np.arange(name.first, name.last + 1)):
        span = f"{reps[0]} to {reps[-1]}, {reps.size} in all" if reps.size else "none"
        raise Fault(f"does not hold the replications of its name ({span})")
    keys = list(zip(content["estimand"].to_pylist(), content["rep"].to_pylist(), strict=True))
    if len(set(keys)) < len(keys):
        raise Fault("holds a replication of an estimand twice")


def _check_count(table: str, found: int, counted: Mapping[str, int]) -> None:
    if found != counted.get(table):
        raise Fault(f"counted {counted.get(table)} rows of {table}, of which {found} are there")


def _check_side(
    folder: Path, table: str, name: BlockName, counted: Mapping[str, int], *, present: bool
) -> None:
    """Other tables of a block are as whole as its records."""
    n_rows = 0
    if present:
        try:
            content, _ = load_block(folder, table, name)
            _check_address(content, name)
        except Fault as fault:
            raise Fault(f"belongs to a file of {table} that {fault}") from fault
        n_rows = content.num_rows
    _check_count(table, n_rows, counted)


def _moved(folder: Path, path: Path, why: str, name: BlockName | None = None) -> str:
    """Move a file to ``damaged/``, under its own path, and say so."""
    target = folder / ASIDE / path
    n = 1
    while target.exists():
        n += 1
        target = target.with_name(f"{path.name}.{n}")
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / path).rename(target)
    again = ""
    if name is not None:
        again = f"; replications {name.first} to {name.last} are missing until the study is run"
    return f"{path.as_posix()} {why}: moved to {target.relative_to(folder).as_posix()}{again}."


def set_aside(folder: Path) -> tuple[str, ...]:
    """Rename a results folder and say so; nothing where there is none."""
    if not (folder / MANIFEST).exists():
        return ()
    lock.refuse_if_locked(folder)
    stem = f"{folder.name}.old-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    aside, n = folder.with_name(stem), 1
    while aside.exists():
        n += 1
        aside = folder.with_name(f"{stem}-{n}")
    try:
        folder.rename(aside)
    except OSError as error:
        raise refused(folder, error) from error
    return (f"The earlier results were moved to {aside}.",)
