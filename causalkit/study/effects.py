"""Effects that an estimator predicts by row, judged by the true ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError
from causalkit.metrics import (
    autoc,
    calibration,
    cate_bias,
    cate_correlation,
    cate_coverage,
    pehe,
    policy_regret,
    qini,
)
from causalkit.typing import Floats

EFFECT_METRICS = (
    "pehe",
    "cate_bias",
    "cate_correlation",
    "autoc",
    "qini",
    "calibration_intercept",
    "calibration_slope",
    "policy_regret",
)
COVERAGE = "cate_coverage"
_PARTS = ("effect", "conf_low", "conf_high")
# Of these a number that is there is finite, so that NaN tells of a failure.
_NEVER_UNDEFINED = "pehe"


@dataclass(frozen=True, slots=True)
class Judged:
    """Metrics of predicted effects.

    Attributes
    ----------
    numbers : mapping of str to float
        NaN for what failed.
    notes : tuple of str
        What was left out, and why.
    """

    numbers: Mapping[str, float]
    notes: tuple[str, ...] = ()


def judges_effects(fitted: Any, truth: Truth | None) -> bool:
    """Whether there are predicted effects and true ones of every row, or row and arm."""
    return truth is not None and truth.cate is not None and hasattr(fitted, "effect")


def without_effects() -> dict[str, float]:
    """Metrics of a fit whose effects could not be had."""
    return dict.fromkeys(EFFECT_METRICS, np.nan)


def effect_metrics(
    fitted: Any,
    truth: Truth,
    blind: CausalData,
    *,
    treatment_cost: float = 0.0,
    level: float = 0.95,
) -> Judged:
    """Effects by row against the true ones: errors, calibration, ranking, policy and intervals.

    Parameters
    ----------
    fitted : object
        Fitted estimator whose ``effect`` predicts: an array or Series, or a frame, mapping or
        Dataset with ``effect`` and, if there are intervals, ``conf_low`` and ``conf_high``. Of
        several arms these are ``(n, arms)``, and ``treatment`` names the arms.
    truth : Truth
        Its ``cate`` is an array, or a function of the matrix of covariates.
    blind : CausalData
        What the estimator saw.
    treatment_cost : float
        Of treating a unit: a policy treats where the effect is larger.
    level : float
        Of the intervals, where ``effect`` takes it.

    Returns
    -------
    Judged
        Of several arms every number by arm, as ``"pehe[1]"``.

    Raises
    ------
    ArgumentError
        If the effects are not one finite number for each row, and arm.
    """
    asked = {"level": level} if "level" in signature(fitted.effect).parameters else {}
    predicted = fitted.effect(blind, **asked)
    columns = predicted if _has_columns(predicted) else {"effect": predicted}
    if "effect" not in columns:
        raise ArgumentError(
            f"effect() gives {', '.join(map(str, columns))}; call the column of effects 'effect'."
        )
    effects = _true_effects(truth, blind)
    if effects.ndim == 1:
        return _judged(columns, effects, treatment_cost)
    numbers: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    for place, arm in enumerate(_arms(columns, effects.shape)):
        ends = {name: np.asarray(columns[name])[:, place] for name in _PARTS if name in columns}
        one = _judged(ends, effects[:, place], treatment_cost)
        numbers |= {f"{name}[{arm}]": value for name, value in one.numbers.items()}
        notes += tuple(f"{arm}: {note}" for note in one.notes)
    return Judged(numbers, notes)


def _arms(columns: Mapping[str, Any], shape: tuple[int, ...]) -> list[Any]:
    """Names of the arms of predicted effects, which are as many as the true ones have."""
    found = np.shape(columns["effect"])
    if found != shape or "treatment" not in columns:
        raise ArgumentError(
            f"effect has shape {found}, and the true effects {shape}: give one number for each row "
            "and arm, and the names of the arms as 'treatment'."
        )
    return list(np.asarray(columns["treatment"]).tolist())


def _judged(columns: Mapping[str, Any], effects: Floats, treatment_cost: float) -> Judged:
    """Metrics of effects ``(n,)``, and of their intervals if they have both ends."""
    n = effects.size
    hat = _of_rows("effect", columns["effect"], n)
    # True effects are what doubly robust scores estimate, and noise of the data is not in them.
    line = calibration(effects, hat)
    gains = np.column_stack([np.zeros(effects.size), effects - treatment_cost])
    values = (
        pehe(hat, effects),
        cate_bias(hat, effects),
        cate_correlation(hat, effects),
        autoc(hat, effects),
        qini(hat, effects),
        line.intercept,
        line.slope,
        policy_regret(hat > treatment_cost, gains),
    )
    found = dict(zip(EFFECT_METRICS, values, strict=True))
    if "conf_low" not in columns or "conf_high" not in columns:
        return Judged(found)
    try:
        low, high = (
            _of_rows(name, columns[name], n, infinite=True) for name in ("conf_low", "conf_high")
        )
    except ArgumentError as error:
        return Judged(found | {COVERAGE: np.nan}, (f"no {COVERAGE}: {error}",))
    return Judged(found | {COVERAGE: cate_coverage(effects, low, high)})


def failed_effects(metrics: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a metric with ``status``: ``"failed"`` where effects or intervals could not be had.

    A fit without effects does not know whether it would have had intervals, or which arms. Where
    others of the same estimator have them, it counts as a failure of these as well.

    Parameters
    ----------
    metrics : DataFrame
        Metrics of a study.
    name : str
        Metric.
    """
    rows = metrics[metrics["metric"] == name]
    of_arm = "[" in name
    if name.partition("[")[0] not in (*EFFECT_METRICS, COVERAGE):
        return rows.assign(status="ok")
    key = ["cell_id", "est_id", "estimand", "rep"]
    base = metrics[metrics["metric"] == _NEVER_UNDEFINED]
    lost = base[base["value"].isna()]
    if of_arm or name == COVERAGE:
        offered = pd.MultiIndex.from_frame(rows[key[:2]])
        known = pd.MultiIndex.from_frame(lost[key[:2]]).isin(offered)
        rows = pd.concat([rows, lost[known].assign(metric=name)], ignore_index=True)
    failed = pd.MultiIndex.from_frame(rows[key]).isin(pd.MultiIndex.from_frame(lost[key]))
    if name.startswith(COVERAGE):
        failed |= rows["value"].isna().to_numpy()
    return rows.assign(status=np.where(failed, "failed", "ok"))


def _has_columns(predicted: Any) -> bool:
    """Whether effects come with a name: in a frame, mapping or xarray Dataset."""
    return isinstance(predicted, pd.DataFrame | Mapping)


def _true_effects(truth: Truth, blind: CausalData) -> Floats:
    """True effect of every row, or row and arm."""
    known: Any = truth.cate(blind.matrix("covariates")) if callable(truth.cate) else truth.cate
    if np.ndim(known) == 2 and np.shape(known)[1] > 1:
        return np.asarray(known, dtype=np.float64)
    return _of_rows("Truth.cate", known, len(blind))


def _of_rows(name: str, values: Any, n: int, *, infinite: bool = False) -> Floats:
    """One number for each row, or an error that says what is there instead."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape == (n, 1):
        array = array[:, 0]
    if array.shape != (n,):
        raise ArgumentError(
            f"{name} has shape {array.shape} for {n} rows of data; give one number for each row."
        )
    bad = np.isnan(array) if infinite else ~np.isfinite(array)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ArgumentError(
            f"{name} is {array[first]} in {int(bad.sum())} of {n} rows (first: row {first})."
        )
    return array
