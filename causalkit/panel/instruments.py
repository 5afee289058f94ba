"""Instruments in a panel: strength, over-identification and weak-instrument-robust inference."""

from collections.abc import Sequence
from typing import Any

from causalkit.errors import ArgumentError, CausalKitWarning, IdentificationError
from causalkit.inference.anderson_rubin import AndersonRubin, anderson_rubin
from causalkit.inference.instruments import first_stage_f, hansen_j, warn_if_weak
from causalkit.inference.variance import Ssc, degrees_of_freedom
from causalkit.panel.models import ModelFit
from causalkit.typing import Floats, Ints
from causalkit.warn import warn


def strength(
    model: ModelFit, clusters: Sequence[Ints], *, ssc: Ssc, use_t: bool
) -> dict[str, dict[str, Any]]:
    """First stage of each treatment and, if there are instruments to spare, the J test.

    Residuals are averaged over repeated splits. Warns where instruments are weak.

    Parameters
    ----------
    model : ModelFit
        Of ``model="iv"``.
    clusters : sequence of (n,) int arrays
        Of the variance.
    ssc, use_t
        Settings of the fit.
    """
    y, d, z = _averaged(model)
    how: dict[str, Any] = {"clusters": clusters, **_weighting(model)}
    small = _small_sample(model, clusters, ssc=ssc, use_t=use_t)
    names = model.design.sample.treatment_names
    found: dict[str, dict[str, Any]] = {"first_stage": {}}
    for name, column in zip(names, d.T, strict=True):
        stage = first_stage_f(column, z, **small, **how)
        warn_if_weak(stage, treatment=name, alone=len(names) == 1)
        found["first_stage"][name] = stage
    if z.shape[1] > d.shape[1]:
        try:
            found["overidentification"] = {"": hansen_j(y, d, z, **how)}
        except IdentificationError as error:
            warn(f"the over-identification test is left out: {error}", CausalKitWarning)
    return found


def glance_facts(strength_of: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Entries of ``glance()``: the smallest first-stage F, and the J test."""
    stages = strength_of["first_stage"].values()
    facts = {"first_stage_f": min(stage.test.statistic for stage in stages)}
    if "overidentification" in strength_of:
        test = strength_of["overidentification"][""]
        facts |= {"j_stat": test.statistic, "j_p": test.p_value}
    return facts


def weak_robust(
    model: ModelFit,
    clusters: Sequence[Ints],
    *,
    ssc: Ssc,
    use_t: bool,
    null: float,
    level: float,
) -> AndersonRubin:
    """Anderson-Rubin test and confidence set from the fit's residuals.

    Residuals are averaged over repeated splits.

    Raises
    ------
    ArgumentError
        If the fit has no instruments or several treatments.
    """
    if model.residuals is None or not model.residuals.z.shape[2]:
        raise ArgumentError(
            'the Anderson-Rubin set is for model="iv"; this fit has no instruments.'
        )
    y, d, z = _averaged(model)
    if d.shape[1] != 1:
        raise ArgumentError(
            f"the Anderson-Rubin set is for one treatment; this fit has {d.shape[1]}: "
            f"{', '.join(model.design.sample.treatment_names)}."
        )
    return anderson_rubin(
        y,
        d[:, 0],
        z,
        clusters=clusters,
        null=null,
        level=level,
        **_small_sample(model, clusters, ssc=ssc, use_t=use_t),
        **_weighting(model),
    )


def _small_sample(
    model: ModelFit, clusters: Sequence[Ints], *, ssc: Ssc, use_t: bool
) -> dict[str, Any]:
    """Factor and degrees of freedom, which count the effects that were absorbed."""
    sample = model.design.sample
    absorbed = model.design.absorbed(clusters)
    n_params = model.design.z.shape[1] + absorbed
    df = degrees_of_freedom(clusters, sample.n_observations, n_params=n_params) if use_t else None
    return {"ssc": ssc, "df": df, "n_absorbed": absorbed}


def _averaged(model: ModelFit) -> tuple[Floats, Floats, Floats]:
    residuals = model.residuals
    assert residuals is not None
    return residuals.y.mean(axis=1), residuals.d.mean(axis=1), residuals.z.mean(axis=1)


def _weighting(model: ModelFit) -> dict[str, Any]:
    sample = model.design.sample
    return {"weights": sample.weights, "multiplicity": sample.multiplicity}
