"""Versions, device and thread facts that a result carries."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
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
    return {"versions": versions(), "seed": seed, "wall_s": wall_s}
