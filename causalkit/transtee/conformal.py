"""Conformal intervals for potential outcomes and unit effects, weighted by inverse propensities.

Lei & Candès (2021, JRSS B 83:911): residuals of held-out rows that received arm a, weighted by
1/e_a(x), have the distribution of residuals of Y(a) over everyone. The interval of an effect is the
difference of two intervals, each at level 1 − α/2, and so covers at least as often as it says.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.fitting import Coded
from causalkit.transtee.model import Asked, Model
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    import xarray as xr

CLIP = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """Held-out residuals.

    Attributes
    ----------
    residual : (n,) array
        |y − μ(x, a)| at the arm received.
    arm : (n,) int array
    propensity : (n, K) array
        Of every arm.
    """

    residual: Floats
    arm: Ints
    propensity: Floats


def half_widths(calibration: Calibration, arm: int, weight: Floats, *, level: float) -> Floats:
    """Half-width of the interval of Y(arm) for every row asked about.

    Parameters
    ----------
    calibration : Calibration
    arm : int
    weight : (m,) array
        1/e_arm(x) of those rows.
    level : float

    Returns
    -------
    (m,) array
        Smallest r such that held-out weight of residuals up to r reaches ``level`` of all held-out
        weight plus the row's own; infinite where that is not reached.
    """
    mine = calibration.arm == arm
    if not mine.any():
        raise ArgumentError(f"no held-out row received arm {arm}; raise validation_fraction.")
    order = np.argsort(calibration.residual[mine])
    residual = calibration.residual[mine][order]
    own = 1.0 / np.clip(calibration.propensity[mine, arm], CLIP, 1.0)[order]
    reached = np.cumsum(own)
    wanted = level * (reached[-1] + weight)
    place = np.searchsorted(reached, wanted - 1e-12 * wanted)
    return np.asarray(np.append(residual, np.inf)[place])


def effect_bounds(
    mean: tuple[Floats, Floats],
    calibration: Calibration,
    arms: tuple[int, int],
    propensity: Floats,
    *,
    level: float,
) -> tuple[Floats, Floats]:
    """Interval of Y(arms[0]) − Y(arms[1]) for every row.

    Parameters
    ----------
    mean : pair of (m,) arrays
        Predicted outcomes under both arms.
    calibration : Calibration
    arms : pair of int
    propensity : (m, K) array
    level : float
        Each outcome's interval has 1 − (1 − level)/2.
    """
    each = 1.0 - (1.0 - level) / 2.0
    half = [
        half_widths(calibration, arm, 1.0 / np.clip(propensity[:, arm], CLIP, 1.0), level=each)
        for arm in arms
    ]
    middle = mean[0] - mean[1]
    return middle - half[0] - half[1], middle + half[0] + half[1]


def outcome_bounds(
    mean: Floats, calibration: Calibration, arm: int, propensity: Floats, *, level: float
) -> tuple[Floats, Floats]:
    """Interval of Y(arm) for every row; arguments as in :func:`effect_bounds`."""
    weight = 1.0 / np.clip(propensity[:, arm], CLIP, 1.0)
    half = half_widths(calibration, arm, weight, level=level)
    return mean - half, mean + half


@dataclass(frozen=True, slots=True)
class Propensity:
    """Multinomial logistic model of the arm.

    Attributes
    ----------
    centre, spread : (p,) arrays
        Of the features.
    slope : (p, K) array
    intercept : (K,) array
    """

    centre: Floats
    spread: Floats
    slope: Floats
    intercept: Floats

    @classmethod
    def of(cls, features: Floats, arm: Ints, n_arms: int) -> "Propensity":
        """Fit to features ``(n, p)`` and arms ``(n,)``."""
        from sklearn.linear_model import LogisticRegression

        spread = features.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        centre = features.mean(axis=0)
        found = LogisticRegression(max_iter=1000).fit((features - centre) / spread, arm)
        slope, intercept = found.coef_, found.intercept_
        if len(slope) == 1:
            slope, intercept = np.vstack([0.0 * slope, slope]), np.append(0.0, intercept)
        full = np.full(n_arms, -np.inf)
        wide = np.zeros((features.shape[1], n_arms))
        full[found.classes_], wide[:, found.classes_] = intercept, slope.T
        return cls(centre, spread, wide, full)

    def __call__(self, features: Floats) -> Floats:
        """Probabilities ``(m, K)``; 0 for an arm that no training row has."""
        from scipy.special import softmax

        index = (features - self.centre) / self.spread @ self.slope + self.intercept
        return np.asarray(softmax(index, axis=1))


def flat_features(covariates: Covariates, levels: "tuple[int, ...]") -> Floats:
    """Covariates ``(n, p)`` for a model of a table.

    Missing numbers are means, levels are indicators, sequences their mean step and graphs their
    mean node.
    """
    numeric = covariates.numeric.astype(np.float64)
    if np.isnan(numeric).any():
        numeric = np.where(np.isnan(numeric), np.nanmean(numeric, axis=0), numeric)
    parts = [numeric]
    for column, count in enumerate(levels):
        parts.append((covariates.codes[:, [column]] == np.arange(1, count + 1)).astype(np.float64))
    seen = [*zip(covariates.sequences, covariates.masks, strict=True)]
    if covariates.graphs is not None:
        seen.append((covariates.graphs.nodes, covariates.graphs.mask))
    for steps, mask in seen:
        total = (steps * mask[..., None]).sum(axis=1, dtype=np.float64)
        parts.append(total / mask.sum(axis=1, keepdims=True))
    return np.hstack(parts)


@dataclass(frozen=True, slots=True)
class Conformal:
    """Held-out residuals and the propensities that weight them."""

    calibration: Calibration
    propensity: Propensity

    @classmethod
    def of(cls, model: Model, coded: Coded) -> "Conformal":
        """From the validation rows, which all networks of the model share.

        Raises
        ------
        ArgumentError
            If the treatment has no arms.
        """
        code = model.coding.actions
        if code.kind not in ("binary", "multi"):
            raise ArgumentError(
                f"interval='conformal' needs a treatment with arms; this one is {code.kind}. Use "
                "interval='ensemble'."
            )
        member = model.stacks[0].members[0]
        levels = model.coding.covariates.shape.levels
        features = flat_features(coded.covariates, levels)
        arm = coded.actions.arms[:, 0]
        train = np.unique(member.train)
        propensity = Propensity.of(features[train], arm[train], len(code.arms))
        valid = member.valid
        received = ActionArrays(
            coded.actions.arms[valid], coded.actions.doses[valid], coded.actions.active[valid]
        )
        asked = Asked(coded.covariates.rows(valid), valid.size, None)
        mean = model.outcomes(asked, [received]).mean(axis=0)[:, 0]
        found = Calibration(np.abs(coded.y[valid] - mean), arm[valid], propensity(features[valid]))
        return cls(found, propensity)

    def chances(self, model: Model, asked: Asked) -> Floats:
        """Propensities ``(m, K)`` of the rows asked about."""
        levels = model.coding.covariates.shape.levels
        return self.propensity(flat_features(asked.covariates, levels))


def conformal_outcome(
    conformal: Conformal, model: Model, asked: Asked, treatment: Any, *, level: float
) -> "xr.Dataset":
    """``outcome, conf_low, conf_high (obs)``: intervals for Y under one action."""
    import xarray as xr

    action = model.action(treatment, asked)
    mean = model.outcomes(asked, [action]).mean(axis=0)[:, 0]
    low, high = outcome_bounds(
        mean,
        conformal.calibration,
        int(action.arms[0, 0]),
        conformal.chances(model, asked),
        level=level,
    )
    return xr.Dataset(
        {"outcome": ("obs", mean), "conf_low": ("obs", low), "conf_high": ("obs", high)},
        coords={"obs": np.arange(asked.n)},
    )


def conformal_effect(
    conformal: Conformal,
    found: "xr.Dataset",
    model: Model,
    asked: Asked,
    treatment: Any,
    baseline: Any,
    *,
    level: float,
) -> "xr.Dataset":
    """The same effects with conformal intervals for the difference of a unit's two outcomes."""
    treatment, baseline = model.contrasts(treatment, baseline)
    several = treatment if isinstance(treatment, list) else [treatment]
    against = int(model.action(baseline, asked).arms[0, 0])
    chances = conformal.chances(model, asked)
    lows, highs = [], []
    for place, one in enumerate(several):
        arm = int(model.action(one, asked).arms[0, 0])
        mean = found["effect"].values.reshape(asked.n, -1)[:, place]
        low, high = effect_bounds(
            (mean, np.zeros_like(mean)),
            conformal.calibration,
            (arm, against),
            chances,
            level=level,
        )
        lows.append(low)
        highs.append(high)
    shape = found["effect"].shape
    return found.assign(
        conf_low=(found["effect"].dims, np.stack(lows, axis=1).reshape(shape)),
        conf_high=(found["effect"].dims, np.stack(highs, axis=1).reshape(shape)),
    )
