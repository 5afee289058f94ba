"""Averages of several splits into folds, and what is told of all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from causalkit.inference.solve import Solution
from causalkit.transtee.by_row import ByRow
from causalkit.transtee.crossfit import Split
from causalkit.warn import news_only

Averages = tuple[tuple[str, ...], Solution, dict[str, Any]]


def over_splits(
    splits: Iterable[Split], averages: Callable[[Split], Averages]
) -> tuple[tuple[str, ...], list[Solution], dict[str, Any]]:
    """Names of the averages, their solution for every split, and facts of all."""
    found: list[Averages] = []
    for split in splits:
        with news_only() if found else nullcontext():
            found.append(averages(split))
    solutions = [solution for _, solution, _ in found]
    return found[0][0], solutions, _joined([facts for *_, facts in found], solutions)


def _joined(told: Sequence[dict[str, Any]], solutions: Sequence[Solution]) -> dict[str, Any]:
    """Facts of the first, with the fewest degrees of freedom and the diagnostics of all."""
    facts = dict(told[0])
    if len(told) == 1:
        return facts
    for name in ("df_by_term", "df_combined"):
        if name in facts:
            facts[name] = np.min([one[name] for one in told], axis=0)
    facts["by_row"] = ByRow.joined([one["by_row"] for one in told])
    diagnostics = [one["diagnostics"] for one in told]
    joined = dict(diagnostics[0])
    if "range of propensities" in joined:
        ends = np.array([one["range of propensities"] for one in diagnostics])
        joined["range of propensities"] = (float(ends[:, 0].min()), float(ends[:, 1].max()))
    if "propensity" in joined:
        joined["propensity"] = {
            arm: "; ".join(dict.fromkeys(one["propensity"][arm] for one in diagnostics))
            for arm in joined["propensity"]
        }
    if "plug-in" in joined:
        joined["plug-in"] = _means([one["plug-in"] for one in diagnostics])
    joined["theta_by_repeat"] = np.stack([solution.theta for solution in solutions])
    joined["sd_over_repeats"] = joined["theta_by_repeat"].std(axis=0, ddof=1)
    return facts | {"diagnostics": joined}


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in values])) for name in values[0]}
