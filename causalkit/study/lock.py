"""One run at a time in a results folder: a lock file that a dead run does not hold."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from causalkit.errors import ArgumentError
from causalkit.folder_turns import one_by_one
from causalkit.study.store_write import refused

FILE = "run.lock"

# Two readings of when a process started may differ by the rounding of the clock of the machine.
_CLOCK_S = 2.0


@contextmanager
def locked(folder: Path) -> Iterator[list[str]]:
    """Hold a folder for this process.

    Parameters
    ----------
    folder : Path
        Existing results folder.

    Yields
    ------
    list of str
        What had to be done, as sentences: empty, or that the lock of a dead run was taken over.

    Raises
    ------
    ArgumentError
        If another run holds the folder, or may hold it from another machine.
    """
    mine = _self()
    said = _acquire(folder, mine)
    try:
        yield said
    finally:
        holder = _holder(folder)
        if holder is not None and holder.get("token") == mine["token"]:
            (folder / FILE).unlink(missing_ok=True)


def refuse_if_locked(folder: Path) -> None:
    """Raise unless nobody, or a dead run of this machine, holds the folder."""
    holder = _holder(folder)
    if holder is not None and not _is_dead(holder):
        raise _held(folder, holder)


def _acquire(folder: Path, mine: Mapping[str, Any]) -> list[str]:
    """Create the lock file, or replace that of a dead process."""
    path, text = folder / FILE, json.dumps(mine).encode()
    try:
        # Only a process of this machine is ever taken over, so that turns need not reach further.
        with one_by_one(folder):
            with suppress(FileExistsError):
                _create(path, text)
                return []
            holder = _holder(folder) or {}
            if not _is_dead(holder):
                raise _held(folder, holder)
            # Never absent, so that no other machine slips in.
            beside = path.with_name(f".{FILE}.{mine['token'][:12]}.tmp")
            _create(beside, text)
            beside.replace(path)
    except OSError as error:
        raise refused(path, error) from error
    return [
        f"The run of process {holder['pid']} of {holder['since']} ended without giving up the "
        "folder; this run took it over."
    ]


def _create(path: Path, text: bytes) -> None:
    """Write a file that must not exist."""
    file = path.open("xb")
    try:
        with file:
            file.write(text)
    except OSError:
        path.unlink()
        raise


def _self() -> dict[str, Any]:
    """Who takes the lock."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": psutil.Process().create_time(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "token": uuid4().hex,
    }


def _holder(folder: Path) -> dict[str, Any] | None:
    """Who holds the folder: None if nobody, empty if the file does not say."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    whole = isinstance(found, dict) and {"pid", "host", "started", "since", "token"} <= set(found)
    return found if whole else {}


def _is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone."""
    if not holder or holder["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(holder["pid"])
        # Numbers of processes are used again; a zombie has ended.
        is_other = abs(process.create_time() - holder["started"]) > _CLOCK_S
        return is_other or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _held(folder: Path, holder: Mapping[str, Any]) -> ArgumentError:
    """Error for a folder that another run holds."""
    path = folder / FILE
    if not holder:
        return ArgumentError(
            f"{str(folder)!r} is locked, and {path} does not say by whom. If no run is at work "
            "there, delete that file and run again."
        )
    if holder["host"] != socket.gethostname():
        return ArgumentError(
            f"{str(folder)!r} is held by process {holder['pid']} on machine {holder['host']!r} "
            f"since {holder['since']}, which cannot be looked at from here. If it is no longer "
            f"at work, delete {path} and run again."
        )
    who = "this Python session" if holder["pid"] == os.getpid() else f"process {holder['pid']}"
    return ArgumentError(
        f"{str(folder)!r} is held by {who}, which runs since {holder['since']}. Wait for it or "
        "end it, or give the study another name or another folder (run.out)."
    )
