"""Files that are at their path once they are whole; what was there before stays until then."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Path to write to, which takes its place after the block, and is gone if that fails.

    Parameters
    ----------
    path : Path
        What is there is replaced, in one step.
    """
    # On the same disk, hidden, and with the same ending, by which some writers choose a format.
    beside = path.with_name(f".{uuid4().hex[:12]}.{path.name}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write text to a file that is there once it is whole."""
    with whole_file(path) as file:
        file.write_text(text, encoding="utf-8")
