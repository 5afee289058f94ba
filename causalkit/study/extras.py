"""Numbers of a replication beside the estimate: what an estimator reports, and what truth judges.

An estimator never sees the truth. What it found about rows, instruments or doses is held against
it here, under the names that the truth has for them.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.metrics import (
    adjusted_rand,
    autoc,
    calibration,
    cate_bias,
    cate_correlation,
    cate_coverage,
    dose_response_ise,
    nmi,
    pehe,
    policy_regret,
    qini,
    selection_precision,
    selection_recall,
)
from causalkit.results import EffectResult
from causalkit.typing import Floats

Numbers = dict[str, float]


def reported_metrics(results: Sequence[EffectResult], data: CausalData) -> Numbers:
    """Metrics of the results of one fit by name.

    An estimator reports its own under ``diagnostics["metrics"]``. Judged by the truth, as far as
    it holds them, are of the diagnostics ``cluster_labels`` (by row), ``valid_instruments`` (one
    flag per instrument) and ``dose_response`` (``{"dose": ..., "outcome": ...}``: a curve over the
    range to be judged).

    Parameters
    ----------
    results : sequence of EffectResult
    data : CausalData
        With the truth.
    """
    found: Numbers = {}
    for result in results:
        own = result.diagnostics.get("metrics")
        if isinstance(own, Mapping):
            found |= {str(k): float(v) for k, v in own.items() if isinstance(v, Real)}
    if data.truth is None:
        return found
    for result in results:
        for name, judge in JUDGES.items():
            said = result.diagnostics.get(name)
            known = getattr(data.truth, name)
            if said is not None and known is not None:
                found |= judge(said, known)
    return found


def _of_labels(said: Any, known: Any) -> Numbers:
    """Effect clusters against the true ones, whatever their names."""
    return {"ari": adjusted_rand(said, known), "nmi": nmi(said, known)}


def _of_instruments(said: Any, known: Any) -> Numbers:
    """Instruments taken to be valid against those that are."""
    precision, recall = selection_precision(said, known), selection_recall(said, known)
    found = {"selection_precision": precision, "selection_recall": recall}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _of_doses(said: Any, known: Any) -> Numbers:
    """Mean squared error of a dose-response curve over the doses that it was given for."""
    dose = np.asarray(said["dose"], dtype=np.float64)
    error = dose_response_ise(
        said["outcome"],
        known(dose),
        dose=dose,
        dose_range=(float(dose[0]), float(dose[-1])),
        weight="uniform",
    )
    return {"dose_response_mse": error}


# By the name that both the diagnostics and the truth have.
JUDGES = {
    "cluster_labels": _of_labels,
    "valid_instruments": _of_instruments,
    "dose_response": _of_doses,
}


def effect_metrics(
    fitted: Any, truth: Truth, blind: CausalData, *, treatment_cost: float = 0.0
) -> Numbers:
    """Effects by row against the true ones: errors, calibration, ranking, policy and intervals.

    Parameters
    ----------
    fitted : object
        Fitted estimator whose ``effect`` predicts; None for a function.
    truth : Truth
    blind : CausalData
        What the estimator saw.
    treatment_cost : float
        Of treating a unit: a policy treats where the effect is larger.

    Returns
    -------
    mapping of str to float
        Of several arms, whose effects are ``(n, arms)``, each number by arm, as ``"pehe[1]"``.
    """
    if truth.cate is None or callable(truth.cate) or not hasattr(fitted, "effect"):
        return {}
    predicted = fitted.effect(blind)
    hat = np.asarray(predicted["effect"], dtype=np.float64)
    effects = np.asarray(truth.cate, dtype=np.float64)
    if hat.shape != effects.shape:
        return {}
    bounds = tuple(
        np.asarray(predicted[name]) for name in ("conf_low", "conf_high") if name in predicted
    )
    if effects.ndim == 1:
        return _of_effects(hat, effects, bounds, treatment_cost)
    found: Numbers = {}
    for place, arm in enumerate(np.asarray(predicted["treatment"]).tolist()):
        ends = tuple(end[:, place] for end in bounds)
        own = _of_effects(hat[:, place], effects[:, place], ends, treatment_cost)
        found |= {f"{name}[{arm}]": value for name, value in own.items()}
    return found


def _of_effects(
    hat: Floats, effects: Floats, bounds: tuple[Floats, ...], treatment_cost: float
) -> Numbers:
    """Metrics of effects ``(n,)``, and of their intervals if they have both ends."""
    # True effects are what doubly robust scores estimate, and noise of the data is not in them.
    line = calibration(effects, hat)
    gains = np.column_stack([np.zeros(effects.size), effects - treatment_cost])
    found = {
        "pehe": pehe(hat, effects),
        "cate_bias": cate_bias(hat, effects),
        "cate_correlation": cate_correlation(hat, effects),
        "autoc": autoc(hat, effects),
        "qini": qini(hat, effects),
        "calibration_intercept": line.intercept,
        "calibration_slope": line.slope,
        "policy_regret": policy_regret(hat > treatment_cost, gains),
    }
    # A network without others has no interval: NaN at both ends.
    if len(bounds) == 2 and not np.isnan(bounds).all():
        found["cate_coverage"] = cate_coverage(effects, *bounds)
    return found
