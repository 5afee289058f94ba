"""Warnings that are shown once and kept on the result that they concern."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from causalkit.errors import CausalKitWarning

_kept: ContextVar[list[str] | None] = ContextVar("causalkit_kept_warnings", default=None)
_known: ContextVar[frozenset[str]] = ContextVar("causalkit_known_warnings", default=frozenset())


def warn(message: str, category: type[CausalKitWarning]) -> None:
    """Show a warning at the user's line, and keep its text if a fit is collecting."""
    if _without_decimals(message) in _known.get():
        return
    kept = _kept.get()
    if kept is not None:
        if message in kept:
            return
        kept.append(message)
    warnings.warn(message, category, stacklevel=_levels_to_user())


def _levels_to_user() -> int:
    """Stack level of the first caller outside of this package."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("causalkit."):
        level, frame = level + 1, frame.f_back
    return level


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the texts of causalkit warnings raised inside; each is shown once."""
    kept: list[str] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def n_collected() -> int:
    """Warnings that are kept so far."""
    return len(_kept.get() or ())


@contextmanager
def news_only() -> Iterator[None]:
    """Leave out warnings that differ by decimals alone from those kept, as of another split."""
    token = _known.set(frozenset(map(_without_decimals, _kept.get() or ())))
    try:
        yield
    finally:
        _known.reset(token)


def _without_decimals(message: str) -> str:
    return re.sub(r"\d+\.\d+", "#", message)
