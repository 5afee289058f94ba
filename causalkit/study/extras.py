"""Numbers of a replication beside the estimate: what an estimator reports, and errors of CATEs."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.metrics import cate_bias, cate_correlation, pehe
from causalkit.results import EffectResult


def extra_metrics(
    results: Sequence[EffectResult], fitted: Any, data: CausalData, blind: CausalData
) -> dict[str, float]:
    """Metrics of one fit by name.

    An estimator reports its own under ``diagnostics["metrics"]``. Where the truth holds effects by
    row and the estimator predicts them, their error is measured as well.

    Parameters
    ----------
    results : sequence of EffectResult
    fitted : object
        Fitted estimator, or None for a function.
    data : CausalData
        With the truth.
    blind : CausalData
        What the estimator saw.
    """
    found: dict[str, float] = {}
    for result in results:
        own = result.diagnostics.get("metrics")
        if isinstance(own, Mapping):
            found |= {str(k): float(v) for k, v in own.items() if isinstance(v, Real)}
    truth = data.truth
    if truth is None or truth.cate is None or callable(truth.cate) or not hasattr(fitted, "effect"):
        return found
    predicted = np.asarray(fitted.effect(blind)["effect"], dtype=np.float64)
    effects = np.asarray(truth.cate, dtype=np.float64)
    if predicted.shape == effects.shape:
        found["pehe"] = pehe(predicted, effects)
        found["cate_bias"] = cate_bias(predicted, effects)
        found["cate_correlation"] = cate_correlation(predicted, effects)
    return found
