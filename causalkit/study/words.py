"""Cells, measures and replications of a study in words, for tables and pictures alike."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from causalkit.study.results import CELL_COLUMNS


def cell_labels(cells: pd.DataFrame) -> list[str]:
    """Names of cells by what varies: ``n=100, rho=0.5``; the generator's where nothing does."""
    varying = factors(cells)
    labels = []
    for _, row in cells.iterrows():
        parts = [
            str(row[name]) if name == "generator" else f"{name}={level_text(row[name])}"
            for name in varying
            if not is_absent(row[name])
        ]
        labels.append(", ".join(parts) or str(row["generator"]))
    return labels


def factors(cells: pd.DataFrame) -> list[str]:
    """Columns of the cells that vary: the generator if there are several, then parameters."""
    named = ["generator", *(name for name in cells.columns if name not in (*CELL_COLUMNS, "label"))]
    if cells.groupby("generator")["version"].nunique().max() > 1:
        named.insert(1, "version")
    return [name for name in named if cells[name].map(level_text).nunique() > 1]


def levels(values: Iterable[Any]) -> list[Any]:
    """Distinct levels of a factor: numbers by size, else in order of appearance; absent last."""
    seen: dict[str, Any] = {}
    for value in values:
        seen.setdefault(level_text(value), value)
    present = [value for value in seen.values() if not is_absent(value)]
    if all(isinstance(value, int | float | np.number) for value in present):
        present.sort()
    return present + [value for value in seen.values() if is_absent(value)]


def level_text(value: Any) -> str:
    """Level of a factor as text; a dash where the generator has no such parameter."""
    if is_absent(value):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:.12g}"
    return str(value)


def is_absent(value: Any) -> bool:
    """Whether the generator of a cell has no such parameter."""
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def words(measure: str) -> str:
    """Name of a measure in words."""
    known = {
        "empirical_se": "Empirical SE",
        "model_se": "Model SE",
        "rmse": "RMSE",
        "mse": "MSE",
        "mae": "Mean absolute error",
        "relative_se_error": "Error of the model SE, %",
        "relative_precision": "Relative precision, %",
        "mean_wall_s": "Mean wall time, seconds",
        "mean_cpu_s": "Mean CPU time, seconds",
        "mean_peak_rss_mb": "Mean peak memory, MB",
    }
    return known.get(measure, measure.replace("_", " ").capitalize())


def span(counts: Iterable[int]) -> str:
    """Replications in words: ``R = 1,000``, or the least and the most."""
    found = sorted(set(counts))
    if not found:
        return "R = 0"
    low, high = found[0], found[-1]
    return f"R = {low:,}" if low == high else f"R = {low:,} to {high:,}"
