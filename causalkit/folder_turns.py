"""Turns at a folder: what processes of a machine do there is done by one after the other."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import ModuleType


@contextmanager
def one_by_one(folder: Path) -> Iterator[None]:
    """Wait until no other process or thread is in this block for the folder, and hold it.

    The system ends it with the process. Where a system or a disk knows no such locks, or the
    folder cannot be opened, nobody waits.

    Parameters
    ----------
    folder : Path
        Nothing is written there.
    """
    system = _fcntl()
    with ExitStack() as held:
        if system is not None:
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                held.callback(os.close, descriptor)
                system.flock(descriptor, system.LOCK_EX)
                # Closing alone would leave it to a process that was forked meanwhile.
                held.callback(system.flock, descriptor, system.LOCK_UN)
        yield


def _fcntl() -> ModuleType | None:
    """Module of POSIX file locks, where there is one."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return None
    return fcntl
