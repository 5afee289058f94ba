"""Numbers of pages on TransTEE: summaries of errors, and how tables print them."""

from typing import Any

import numpy as np


def summary(values: Any) -> dict[str, float]:
    """Mean with its Monte-Carlo error, and median."""
    values = np.asarray(values, dtype=float)
    return {
        "mean": float(values.mean()),
        "mcse": float(values.std(ddof=1) / np.sqrt(values.size)),
        "median": float(np.median(values)),
        "worst": float(values.max()),
        "not_finite": int((~np.isfinite(values)).sum()),
    }


def cell(one: dict[str, float]) -> str:
    return f"{one['mean']:.3f} ({one['mcse']:.3f}) | {one['median']:.3f} | {one['worst']:.3f}"


def spread(values: Any) -> str:
    """Mean with its Monte-Carlo error, and median."""
    error = values.std(ddof=1) / np.sqrt(values.size) if values.size > 1 else np.nan
    return f"{values.mean():.3f} ({error:.3f}), {np.median(values):.3f}"


def unit_cells(one: dict[str, Any]) -> str:
    """Row of a table of errors of unit effects, after its name."""
    others = " | ".join(
        f"{one[by]['mean']:.3f} ({one[by]['mcse']:.3f})" for by in ("in", "scaled", "eps_ate")
    )
    return (
        f"{one['n']} | {cell(one['out'])} | {others} | {one['out']['not_finite']} | "
        f"{one['seconds']:.1f}"
    )
