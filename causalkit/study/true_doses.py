"""At which doses an estimator of a study is asked, where it does not say so itself."""

import inspect
import re
from dataclasses import replace
from typing import Any

from causalkit.data.truth import Truth
from causalkit.study.design import EstimatorSpec
from causalkit.study.resolve import estimator_of

_MEAN = re.compile(r"E\[Y\(([^,()]+)\)\]")


def at_true_doses(spec: EstimatorSpec, truth: Truth | None) -> EstimatorSpec:
    """The same estimator, asked for the mean outcomes that the truth names.

    Quartiles of a sample, the default of estimators along a dose, are other doses in every
    replication, for which there is no truth. Only names are told, no values.

    Parameters
    ----------
    spec : EstimatorSpec
        One that takes ``doses`` and has none gets those of the estimands ``"E[Y(dose)]"``.
    truth : Truth or None
    """
    doses = () if truth is None else _doses(truth)
    if not doses:
        return spec
    found = estimator_of(spec)
    if hasattr(found, "fit") and not inspect.isclass(found):
        return _instance(spec, found, doses)
    taken = "doses" in inspect.signature(found).parameters
    if not taken or "doses" in spec.args or spec.target is not None:
        return spec
    return replace(spec, args={**spec.args, "doses": doses})


def _instance(spec: EstimatorSpec, found: Any, doses: tuple[float, ...]) -> EstimatorSpec:
    from sklearn.base import clone

    if found.get_params(deep=False).get("doses", doses) is not None:
        return spec
    return replace(spec, target=clone(found).set_params(doses=doses))


def _doses(truth: Truth) -> tuple[float, ...]:
    found = []
    for name in truth.estimands:
        matched = _MEAN.fullmatch(name)
        try:
            found.append(float(matched.group(1) if matched else ""))
        except ValueError:
            continue
    return tuple(found)
