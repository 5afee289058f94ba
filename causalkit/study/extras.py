"""Numbers of a replication beside the estimate: what an estimator reports, and what truth judges.

An estimator never sees the truth. What it found about rows, instruments or doses is held against
it here, under the names that the truth has for them.
"""

import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import CausalKitWarning
from causalkit.metrics import (
    MEASURES,
    adjusted_rand,
    dose_response_ise,
    nmi,
    selection_precision,
    selection_recall,
)
from causalkit.study.attempt import Result

Numbers = dict[str, float]


def reported_metrics(results: Sequence[Result], data: CausalData) -> Numbers:
    """Metrics of the results of one fit by name.

    An estimator reports its own under ``diagnostics["metrics"]``. Judged by the truth, as far as
    it holds them, are of the diagnostics ``cluster_labels`` (by row), ``valid_instruments`` (one
    flag per instrument) and ``dose_response`` (``{"dose": ..., "outcome": ...}``: a curve over the
    range to be judged).

    Parameters
    ----------
    results : sequence of EffectResult or PointEstimate
    data : CausalData
        With the truth.
    """
    found: Numbers = {}
    for result in results:
        found |= _own_metrics(result.diagnostics.get("metrics"))
    if data.truth is None:
        return found
    for result in results:
        for name, judge in JUDGES.items():
            said = result.diagnostics.get(name)
            known = getattr(data.truth, name)
            if said is not None and known is not None:
                found |= judge(said, known)
    return found


def _own_metrics(own: Any) -> Numbers:
    """Numbers that an estimator reports itself; a warning for what is none."""
    if not isinstance(own, Mapping):
        return {}
    found = {str(name): float(value) for name, value in own.items() if isinstance(value, Real)}
    for name, value in own.items():
        if not isinstance(value, Real):
            _tell(f"{name!r} is {value!r}, which is no number; it is left out.")
        elif name in MEASURES:
            _tell(f"{name!r} is the name of a measure; the summary shows it as '{name}_metric'.")
    return found


def _tell(what: str) -> None:
    warnings.warn(f'diagnostics["metrics"]: {what}', CausalKitWarning, stacklevel=4)


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
