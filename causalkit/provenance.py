"""Versions, device and thread facts that a result carries."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_PACKAGES = (
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "lightgbm",
    "xarray",
    "econml",
    "pymc",
    "torch",
)


def versions() -> dict[str, str]:
    """Versions of causalkit, Python and the installed packages that decide numbers."""
    found = {"causalkit": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def info() -> dict[str, Any]:
    """Facts to put in a bug report: versions, processor count, thread settings.

    Examples
    --------
    >>> import causalkit as ck
    >>> sorted(ck.info())[:3]
    ['cpus', 'platform', 'thread_settings']
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "thread_settings": {name: os.environ[name] for name in names if name in os.environ},
    }


def record(*, seed: int, wall_s: float) -> dict[str, Any]:
    """Provenance of one fit."""
    found: dict[str, Any] = {"versions": versions(), "seed": seed, "wall_s": wall_s}
    commit = revision()
    return found if commit is None else found | {"revision": commit}


def revision() -> str | None:
    """Commit of the git repository that the working directory is in; None if there is none.

    Read from the files of git, without running it: whether files were changed since, it cannot say.
    """
    try:
        here = Path.cwd()
        git = next(
            folder / ".git" for folder in (here, *here.parents) if (folder / ".git").exists()
        )
        if git.is_file():  # of a second working tree, or of a submodule
            git = git.parent / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        shared = git / "commondir"
        shared = git / shared.read_text().strip() if shared.is_file() else git
        if (shared / name).is_file():
            return (shared / name).read_text().strip()
        packed = (shared / "packed-refs").read_text().splitlines()
        return next(line.split()[0] for line in packed if line.endswith(f" {name}"))
    except (OSError, StopIteration, UnicodeDecodeError):
        return None
