"""Numbers as text: as many decimals as their standard error supports."""

import math
from collections.abc import Iterable

STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))
STARS_NOTE = "*** p < 0.01, ** p < 0.05, * p < 0.1."


def decimals(errors: Iterable[float]) -> int:
    """Decimals that show three significant digits of the smallest positive standard error."""
    positive = [error for error in errors if error > 0 and math.isfinite(error)]
    if not positive:
        return 4
    return min(max(2 - math.floor(math.log10(min(positive))), 0), 6)


def number(value: float | None, places: int = 4) -> str:
    """Fixed decimals; scientific where that would show only zeros or a very long number."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    large, small = abs(value) >= 1e8, 0 < abs(value) < 0.5 * 10.0**-places
    if large or (small and places >= 6):
        return f"{value:.3e}"
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def p_text(p: float) -> str:
    """p-value with three decimals."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def count(value: int | None) -> str:
    """Count with thousands separated; empty where there is none."""
    return "" if value is None else f"{value:,}"


def stars(p: float) -> str:
    """Significance stars at the 10, 5 and 1 % levels."""
    return next((mark for bound, mark in STARS if p < bound), "")


def percent(level: float) -> str:
    """Confidence level in words: ``95%``."""
    return f"{100 * level:g}%"


def interval(low: float, high: float, places: int) -> str:
    """Confidence interval in brackets."""
    return f"[{number(low, places)}, {number(high, places)}]"
