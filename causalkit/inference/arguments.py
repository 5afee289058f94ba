"""Numbers that a caller passes to an inference function, checked by name."""

import math
from numbers import Real
from typing import Any

from causalkit.errors import ArgumentError, ArgumentTypeError


def check_number(name: str, value: Any) -> float:
    """Return one finite number as a float.

    Raises
    ------
    ArgumentTypeError
        If the value is text, an array, a truth value or nothing.
    ArgumentError
        If it is missing or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        shape = f" of shape {value.shape}" if hasattr(value, "shape") else f" {value!r}"
        raise ArgumentTypeError(
            f"{name} must be one number, got {type(value).__name__}{shape}; for several values "
            "call once for each."
        )
    number = float(value)
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be a finite number, got {number!r}.")
    return number


def check_between(
    name: str, value: Any, low: float, high: float, *, start: bool = True, end: bool = True
) -> float:
    """Return a number between two ends, which belong to the range unless it is said.

    Raises
    ------
    ArgumentError
        If it is none, or outside; the message shows the range.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if (
        not number
        or not (low <= value <= high)
        or (value == low and not start)
        or (value == high and not end)
    ):
        ends = f"{'[' if start else '('}{low:g}, {high:g}{']' if end else ')'}"
        raise ArgumentError(f"{name} must be a number in {ends}, got {value!r}.")
    return float(value)


def check_share(name: str, value: Any) -> float:
    """Return a share of variance in [0, 1)."""
    share = check_number(name, value)
    if not 0.0 <= share < 1.0:
        raise ArgumentError(f"{name} is a share of variance in [0, 1), got {value!r}.")
    return share
