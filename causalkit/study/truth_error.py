"""The error of a truth that was itself simulated, in every measure that is held against it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from causalkit.metrics import Measure, MeasureSpec, with_truth_error
from causalkit.study.evaluate import Setting, Table
from causalkit.study.grouped import Batch, Groups
from causalkit.typing import Bools, Floats

# Columns that the slopes are made of.
READS = ("estimate", "truth", "conf_low", "conf_high")


def truth_slope(name: str, columns: Mapping[str, Any], *, step: float, level: float) -> float:
    """Derivative of a measure with respect to a truth that all replications share.

    Parameters
    ----------
    name : str
        Measure. The slope is 0 for those that a shift of the truth leaves alone.
    columns : mapping of str to (R,) array
        ``estimate`` and ``truth``; for measures of intervals also ``conf_low`` and ``conf_high``.
    step : float
        Shift of the truth over which the slope of coverage and misses is taken: these are steps
        themselves, so theirs is a central difference.
    level : float
        Of the intervals.
    """
    if name in _SLOPES:
        e = columns["estimate"] - columns["truth"]
        return float(_SLOPES[name](e, np.asarray(columns["truth"])))
    if name not in ("coverage", "lower_miss", "upper_miss", "interval_score"):
        return 0.0
    low, high, truth = columns["conf_low"], columns["conf_high"], columns["truth"]
    if name == "interval_score":
        misses = float((truth > high).mean() - (truth < low).mean())
        return 2.0 / (1.0 - level) * misses
    events: dict[str, Callable[[Any], Any]] = {
        "coverage": lambda t: (low <= t) & (t <= high),
        "lower_miss": lambda t: t < low,
        "upper_miss": lambda t: t > high,
    }
    event = events[name]
    return float(event(truth + step).mean() - event(truth - step).mean()) / (2.0 * step)


# Of e = estimate − truth, with respect to the truth: de/dt = −1.
_SLOPES: dict[str, Callable[[Floats, Floats], Any]] = {
    "bias": lambda e, t: -1.0,  # noqa: ARG005
    "median_bias": lambda e, t: -1.0,  # noqa: ARG005
    "relative_bias": lambda e, t: -((e + t) / t**2).mean(),
    "standardised_bias": lambda e, t: -1.0 / e.std(ddof=1),  # noqa: ARG005
    "mse": lambda e, t: -2.0 * e.mean(),  # noqa: ARG005
    # Without any error it is the size of the shift.
    "rmse": lambda e, t: -e.mean() / np.sqrt((e**2).mean()) if e.any() else -1.0,  # noqa: ARG005
    "mae": lambda e, t: -np.sign(e).mean(),  # noqa: ARG005
}


def add_truth_error(
    table: Table,
    specs: Sequence[MeasureSpec],
    *,
    groups: Groups,
    rows: Bools,
    truth_mcse: Floats,
    weight: Floats,
    setting: Setting,
) -> None:
    """Add the error of a simulated truth to the MCSEs, in quadrature.

    Parameters
    ----------
    table : Table
        Changed in place.
    truth_mcse : (G,) array
        Zero where the truth is exact.
    weight : (G, M) array
        Share of each measure that the rows make up: below one where failures are counted too.
    """
    for g in np.flatnonzero(truth_mcse > 0.0):
        own = np.arange(groups.starts[g], groups.starts[g + 1])
        own = own[rows[own]]
        columns = {name: groups.columns[name][own] for name in READS if name in groups.columns}
        for m, spec in enumerate(specs):
            if not np.isfinite(table.mcse[g, m]) or own.size == 0:
                continue
            step = float(truth_mcse[g])
            slope = truth_slope(spec.name, columns, step=step, level=setting.level)
            if slope != 0.0:
                found = Measure(float(table.value[g, m]), float(table.mcse[g, m]))
                slope *= float(weight[g, m])
                table.put((g, m), with_truth_error(found, truth_mcse=step, slope=slope))


def add_to_difference(
    mcse: Floats,
    m: int,
    spec: MeasureSpec,
    pair: tuple[Batch, Batch],
    *,
    ok: Bools,
    truth_mcse: Floats,
    setting: Setting,
) -> None:
    """Add the error of the truth to the MCSE of differences of two estimators.

    Both are held against the same truth, so that the difference of their slopes counts.
    """
    for i in np.flatnonzero(truth_mcse[pair[0].ids] > 0.0):
        g = pair[0].ids[i]
        if not np.isfinite(mcse[g, m]):
            continue
        step = float(truth_mcse[g])
        slopes = []
        for batch in pair:
            good = ok[batch.index[i]]
            columns = {name: x[good] for name, x in batch.row(int(i), READS).items()}
            slope = truth_slope(spec.name, columns, step=step, level=setting.level)
            slopes.append(slope * float(good.mean()))
        mcse[g, m] = np.hypot(mcse[g, m], (slopes[0] - slopes[1]) * step)
