"""Folders that are at their path once they are whole, and nowhere before."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

from causalkit.errors import ArgumentError, cannot_write


def free_folder(to_zarr: Any) -> Path:
    """Where a new folder may be written, absolute.

    Parameters
    ----------
    to_zarr : path

    Raises
    ------
    ArgumentError
        If something is there, and be it a file in a folder.
    """
    path = Path(to_zarr).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArgumentError(
            f"to_zarr={str(to_zarr)!r} exists and is not an empty folder; nothing is overwritten. "
            "Remove it, or name a new one."
        )
    return path


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Empty folder to write to, which gets its name after the block, and is gone if that fails.

    Parameters
    ----------
    path : Path
        Name that it gets; an empty folder there gives way.
    replace : bool
        Whether a folder with something in it does too. It goes only once the new one is whole.

    Raises
    ------
    StorageError
        If the system refuses, or something is there that may not be replaced.
    """
    path = path.absolute()
    # Beside the path, and so on the same disk; no other process takes the name.
    folder = _beside(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield folder
        _put_in_place(folder, path, replace=replace)
    except OSError as error:
        if _is_elsewhere(error, folder, path):
            raise
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_aside(path: Path) -> Path | None:
    """What stood at a path until somebody who replaced it was killed before the new was there.

    It is not put back here: another process may be about to put the new one there.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path or None
        Folder beside, the newest if there are several; None if something is at the path.
    """
    path = path.absolute()
    if path.exists():
        return None
    left = path.parent.glob(f".{escape(path.name)}.old-*")
    return max(left, key=lambda folder: folder.stat().st_mtime, default=None)


def _beside(path: Path, purpose: str) -> Path:
    return path.with_name(f".{path.name}.{purpose}-{uuid4().hex[:8]}")


def _is_elsewhere(error: OSError, *ours: Path) -> bool:
    """Whether an error names another file, such as one that was read for what is written."""
    named = error.filename
    return isinstance(named, str) and not named.startswith(tuple(map(str, ours)))


def _put_in_place(folder: Path, path: Path, *, replace: bool) -> None:
    if not replace:
        if path.is_dir():
            path.rmdir()  # of an empty one: systems differ in whether a rename does that
        folder.rename(path)
        return
    former = _beside(path, "old")
    try:
        if path.exists():
            path.rename(former)
        folder.rename(path)
    except BaseException:
        if former.exists():
            former.rename(path)
        raise
    shutil.rmtree(former, ignore_errors=True)
