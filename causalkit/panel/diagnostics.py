"""What a reader should know about a panel fit before believing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.data.panel import unit_means
from causalkit.errors import IdentificationWarning
from causalkit.inference.hypotheses import HypothesisTest, p_words, wald
from causalkit.inference.regression import independent_columns
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import sandwich
from causalkit.nuisance import CrossFit, Quality, quality
from causalkit.panel.design import Design
from causalkit.panel.residuals import Residuals, labels
from causalkit.panel.sample import PanelSample, adjacent_rows
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_SMALL_VARIATION = 0.01
_ROUNDING = 1e-12  # unit sums beside those of absolute values that are zero
_SMALL_SHARE = 0.01  # of a residual's variance, between units
_OUTCOME_LEFT = "outcome residual"
_LARGE_SHARE = 0.2  # where healthy fits leave a fraction of a percent


@dataclass(frozen=True, slots=True)
class Variation:
    """Where the identifying variation of a treatment is.

    Attributes
    ----------
    residual_share : float
        Var(treatment residual) / Var(treatment).
    between_share : float
        Share of the residual's variance that lies between units; large means that unit
        heterogeneity was not removed.
    largest_cluster : float
        Largest share of the residual sum of squares that one unit holds.
    autocorrelation : float
        Lag-1 correlation, within units, of residual scores (NaN without periods).
    """

    residual_share: float
    between_share: float
    largest_cluster: float
    autocorrelation: float


def variation(sample: PanelSample, d: Floats, d_res: Floats, scores: Floats) -> Variation:
    """Describe the residual variation of one treatment in the first repeat.

    Parameters
    ----------
    sample : PanelSample
        Rows, sorted by unit.
    d, d_res, scores : (n,) arrays
        Treatment, its residual, and residual times outcome residual.
    """
    w = np.ones(sample.n) if sample.weights is None else sample.weights
    total = np.bincount(sample.unit, weights=w)
    mean = np.bincount(sample.unit, weights=w * d_res) / total
    squares = np.bincount(sample.unit, weights=w * d_res**2)
    within = float(w @ (d_res - mean[sample.unit]) ** 2)
    centre = float(w @ d_res) / float(w.sum())
    between = float(total @ (mean - centre) ** 2)
    spread = float(w @ (d - np.average(d, weights=w)) ** 2)
    return Variation(
        residual_share=float(squares.sum()) / spread if spread > 0 else float("nan"),
        between_share=between / (between + within) if between + within > 0 else float("nan"),
        largest_cluster=float(squares.max() / squares.sum()) if squares.any() else float("nan"),
        autocorrelation=_lag_correlation(sample, scores),
    )


def _lag_correlation(sample: PanelSample, values: Floats) -> float:
    later = adjacent_rows(sample)
    if later.size < 3:
        return float("nan")
    now, before = values[later] - values.mean(), values[later - 1] - values.mean()
    size = np.sqrt((now @ now) * (before @ before))
    return float(now @ before / size) if size > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Whether a residual still follows the unit means of treatment and covariates.

    Attributes
    ----------
    share : float
        Share of the residual's variance that the unit means explain.
    test : HypothesisTest
        Cluster-robust test that they explain nothing. With Mundlak terms a treatment residual
        has next to no variance between units, so the test can reject over a negligible share.
    """

    share: float
    test: HypothesisTest

    def __repr__(self) -> str:
        explained = f"unit means explain {self.share:.2%} of its variance"
        # Over a share that is next to nothing the test rejects, and alarms, for no reason.
        p = "" if self.share < _SMALL_SHARE else f", {p_words(self.test.p_value)}"
        return explained + p


def leftover_heterogeneity(
    sample: PanelSample, residual: Floats, clusters: tuple[Ints, ...], name: str
) -> Leftover | None:
    """Regress a residual on the unit means of d and x; None if nothing can be tested.

    That is if no mean varies, or if the residual has mean zero in every unit, as deviations do.
    Works on sums by unit: the regressors are constant within units.

    Parameters
    ----------
    sample : PanelSample
        Rows, sorted by unit.
    residual : (n,) array
        Treatment or outcome residual.
    clusters : tuple of (n,) int arrays
        Clusters of the fit; the first is used if units nest in it, else the unit.
    name : str
        Name of the test.
    """
    means = np.hstack(
        [unit_means(part, sample.unit, weights=sample.weights) for part in (sample.d, sample.x)]
    )
    # Covariates that a unit never shows say nothing of it; the typical unit stands in.
    means = np.where(np.isnan(means), np.nanmean(means, axis=0), means)
    w = np.ones(sample.n) if sample.weights is None else sample.weights
    total = np.bincount(sample.unit, weights=w)
    centred = means - total @ means / total.sum()
    kept = independent_columns(centred)
    sums = np.bincount(sample.unit, weights=w * residual)
    size = np.bincount(sample.unit, weights=w * np.abs(residual))
    between = np.linalg.norm(sums) > _ROUNDING * np.linalg.norm(size)
    if kept.size == 0 or kept.size >= sample.n_units - 1 or not between:
        return None
    centred = centred[:, kept]
    score = LinearScore(
        instrument=centred[:, None, :],
        regressor=(centred * total[:, None])[:, None, :],
        response=(sums - total * sums.sum() / total.sum())[:, None],
    )
    solution = solve_linear(score)[0]
    vcov = sandwich(solution.influence, _unit_clusters(sample, clusters))
    explained = float(total @ (centred @ solution.theta) ** 2)
    spread = float(w @ (residual - sums.sum() / total.sum()) ** 2)
    test = wald(solution.theta, vcov, name=name)
    return Leftover(explained / spread if spread > 0 else float("nan"), test)


def warn_of_leftovers(found: Mapping[str, Leftover | None]) -> None:
    """Warn where a residual that identifies the effect still follows the unit means."""
    for name, left in found.items():
        if name == _OUTCOME_LEFT or left is None or left.share < _LARGE_SHARE:
            continue
        if left.test.p_value < 0.05:
            warn(
                f"unit means explain {left.share:.0%} of the variance of the {name}: unit "
                'heterogeneity is left in it and may confound the estimate. approach="hybrid" '
                "takes unit means off the residuals.",
                IdentificationWarning,
            )


def _unit_clusters(sample: PanelSample, clusters: tuple[Ints, ...]) -> tuple[Ints, ...]:
    for codes in clusters:
        if sample.nests_in(codes):
            return (np.unique(codes[sample.starts], return_inverse=True)[1],)
    return ()


def nuisance_quality(design: Design, hats: CrossFit) -> dict[str, Quality]:
    """Out-of-fold fit of every nuisance of a partially linear model."""
    sample = design.sample
    targets = {"outcome": design.y}
    targets |= dict(zip(labels("treatment", sample.treatment_names), design.d.T, strict=True))
    if design.z.shape[1]:
        targets |= dict(zip(labels("instrument", sample.instrument_names), design.z.T, strict=True))
    return {
        name: quality(target, hats[name], unit=sample.unit, weights=sample.weights)
        for name, target in targets.items()
        if name in hats.predictions
    }


def spread(per_repeat: Floats) -> dict[str, Any]:
    """Estimates of each repeat ``(n_rep, k)``, and how much the split moves them."""
    sd = per_repeat.std(axis=0, ddof=1) if len(per_repeat) > 1 else None
    return {"theta_by_repeat": per_repeat, "sd_over_repeats": sd}


def panel_diagnostics(
    design: Design,
    hats: CrossFit,
    residuals: Residuals,
    clusters: tuple[Ints, ...],
    per_repeat: Floats,
) -> Mapping[str, Any]:
    """Everything of the kind for one fit of a partially linear model.

    Parameters
    ----------
    design, hats, residuals
        The fit.
    clusters : tuple of (n,) int arrays
        Clusters of the variance.
    per_repeat : (n_rep, k) array
        Estimates of each repeat.
    """
    sample = design.sample
    y_res, d_res = residuals.y[:, 0], residuals.d[:, 0]
    error = y_res - d_res @ per_repeat[0]
    found: dict[str, Any] = {
        "nuisances": nuisance_quality(design, hats),
        "learners": dict(hats.chosen),
        **spread(per_repeat),
        "variation": {},
    }
    for column, name in enumerate(sample.treatment_names):
        facts = variation(sample, design.d[:, column], d_res[:, column], d_res[:, column] * error)
        found["variation"][name] = facts
        if facts.residual_share < _SMALL_VARIATION:
            warn(
                f"only {facts.residual_share:.2%} of the variance of {name!r} is left after "
                "conditioning; the estimate rests on little variation and is sensitive to the "
                "nuisance fits.",
                IdentificationWarning,
            )
    found["leftover"] = _leftovers(sample, residuals, error, clusters)
    return found


def _leftovers(
    sample: PanelSample, residuals: Residuals, error: Floats, clusters: tuple[Ints, ...]
) -> dict[str, Leftover | None]:
    """Of the treatment and outcome residuals or, where they identify θ, the instrument residuals.

    With instruments the unit effect may stay in the other residuals without harm.
    """
    names, columns = sample.treatment_names, residuals.d[:, 0].T
    if residuals.z.shape[2]:
        names, columns = sample.instrument_names, residuals.z[:, 0].T
    kept = {f"{name} residual": values for name, values in zip(names, columns, strict=True)}
    if not residuals.z.shape[2]:
        kept[_OUTCOME_LEFT] = error
    return {
        name: leftover_heterogeneity(sample, values, clusters, f"{name} unrelated to unit means")
        for name, values in kept.items()
    }
