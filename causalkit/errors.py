"""Errors and warnings: each says what was seen, what was expected and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from pathlib import Path
from typing import Any


class CausalKitError(Exception):
    """Anything that causalkit refuses to do."""


class ArgumentError(CausalKitError, ValueError):
    """An argument has a value that cannot be used."""


class NonFiniteError(ArgumentError):
    """A number that must be finite is not: an estimate or its variance."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument is of the wrong kind."""


class IdentificationError(CausalKitError, ValueError):
    """The data cannot identify the estimand, whatever the learner."""


class NotFittedError(CausalKitError, RuntimeError):
    """A result was asked for before ``fit``."""


class TrainingError(CausalKitError, RuntimeError):
    """A network cannot be trained: its loss is not finite; the message says where."""


class StudyError(CausalKitError, RuntimeError):
    """A simulation study cannot go on as it is."""


class StorageError(StudyError):
    """Results could not be written or read; the message names the path and the mend."""


class MissingDependencyError(CausalKitError, ImportError):
    """An optional package is needed and absent; the message names the command to type."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a data check.

    Attributes
    ----------
    code : str
        Stable identifier such as ``"E12-duplicate-unit-time"``.
    message : str
        What was seen, and the mend.
    column : str or None
        Column concerned.
    rows : tuple of int
        First ten row positions concerned.
    """

    code: str
    message: str
    column: str | None = None
    rows: tuple[int, ...] = ()


class DataError(CausalKitError, ValueError):
    """The data cannot be used as they are; lists every problem found, not only the first.

    Attributes
    ----------
    problems : tuple of Problem
        All findings. ``code``, ``column`` and ``rows`` are those of the first.
    """

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        first = self.problems[0]
        self.code, self.column, self.rows = first.code, first.column, first.rows
        lines = [f"[{p.code}] {p.message}" for p in self.problems]
        text = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} problems:", *lines])
        super().__init__(text)

    def __reduce__(self) -> tuple[type["DataError"], tuple[tuple[Problem, ...]]]:
        """Rebuild from the problems: the default would pass the text to the constructor."""
        return type(self), (self.problems,)


class CausalKitWarning(UserWarning):
    """Base of all warnings; each is also stored on the result that it concerns."""


class OverlapWarning(CausalKitWarning):
    """Some units are almost certain to be treated, or not to be."""


class WeakInstrumentWarning(CausalKitWarning):
    """The instruments say little about the treatment."""


class WeakIdentificationWarning(CausalKitWarning):
    """The instruments say little about the effect, whatever they say about the treatment."""


class FewClustersWarning(CausalKitWarning):
    """Too few clusters for the cluster-robust normal approximation."""


class ConvergenceWarning(CausalKitWarning):
    """An iterative fit stopped before its criterion was met."""


class DroppedRowsWarning(CausalKitWarning):
    """Rows or columns were left out; the result counts them."""


class SplitWarning(CausalKitWarning):
    """The sample split does not support the standard errors that are reported."""


class ExtrapolationWarning(CausalKitWarning):
    """A prediction is asked for where there were no training data."""


class RandomizationWarning(CausalKitWarning):
    """A treatment that was said to be randomised is predictable."""


class IdentificationWarning(CausalKitWarning):
    """The estimate rests on little variation, or on leftover heterogeneity."""


def did_you_mean(name: object, known: Sequence[str], *, otherwise: str = "") -> str:
    """Question after the nearest of some names, or other words where none is near."""
    close = get_close_matches(str(name), known, n=1)
    return f"Did you mean {close[0]!r}?" if close else otherwise


def unknown_name(kind: str, value: object, known: Iterable[str]) -> ArgumentError:
    """Error for a name that is not in a table: lists the table and the nearest entry."""
    names = sorted(known)
    hint = did_you_mean(value, names)
    return ArgumentError(
        f"unknown {kind} {value!r}.{' ' if hint else ''}{hint} Known: {', '.join(names)}"
    )


def check_choice(kind: str, value: str, known: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``known``; else raise with the list and nearest match."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise unknown_name(kind, value, names)
    return value


def check_count(name: str, value: object, *, least: int) -> int:
    """Return ``value`` as an int of at least ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(
            f"{name} must be a whole number of at least {least}, got {value!r} "
            f"({type(value).__name__})."
        )
    count = int(value.__index__())
    if count < least:
        raise ArgumentError(f"{name} must be at least {least}, got {count}.")
    return count


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} must be True or False, got {value!r}.")
    return value


def check_folder(name: str, value: object) -> Path | None:
    """Return the path of a folder that need not be there, or None."""
    if value is None or isinstance(value, str | Path):
        return None if value is None else Path(value)
    raise ArgumentTypeError(f"{name} must be the path of a folder or None, got {value!r}.")


def check_jobs(value: object) -> int:
    """Return a number of processes as an int: any but 0, for negative ones count from all."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() == 0:
        raise ArgumentTypeError(f"n_jobs must be a whole number, not 0, got {value!r}.")
    return int(value.__index__())


def cannot_write(where: object, error: OSError) -> StorageError:
    """Error for a file that the system refuses, with its reason."""
    return StorageError(f"cannot write {where}: {error.strerror or error}.")


def check_level(level: Any) -> float:
    """Return a confidence level strictly between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real):
        raise ArgumentTypeError(
            f"the confidence level must be one number, got {type(level).__name__}; use 0.95 for a "
            "95 % interval."
        )
    share = float(level)
    if not 0.0 < share < 1.0:
        raise ArgumentError(
            f"the confidence level must lie strictly between 0 and 1, got {share!r}; "
            "use 0.95 for a 95 % interval."
        )
    return share
