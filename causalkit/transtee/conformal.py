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
from causalkit.transtee.flat_features import flat_features, means_of
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


def widths_by_row(
    calibration: Calibration, arms: Ints, propensity: Floats, *, level: float
) -> Floats:
    """Half-width of the interval of Y(arm) for every row, each under an arm of its own.

    Parameters
    ----------
    calibration : Calibration
    arms : (m,) int array
    propensity : (m, K) array
    level : float
    """
    found = np.empty(arms.size)
    for arm in np.unique(arms):
        rows = arms == arm
        weight = 1.0 / np.clip(propensity[rows, arm], CLIP, 1.0)
        found[rows] = half_widths(calibration, int(arm), weight, level=level)
    return found


@dataclass(frozen=True, slots=True)
class Propensity:
    """Multinomial logistic model of the arm.

    Attributes
    ----------
    fill : (q,) array
        What stands for a missing number of each numeric covariate: its mean over training rows.
    centre, spread : (p,) arrays
        Of the features.
    slope : (p, K) array
    intercept : (K,) array
    """

    fill: Floats
    centre: Floats
    spread: Floats
    slope: Floats
    intercept: Floats

    @classmethod
    def of(
        cls, covariates: Covariates, levels: tuple[int, ...], arm: Ints, n_arms: int
    ) -> "Propensity":
        """Fit to covariates and arms ``(n,)`` of training rows."""
        from sklearn.linear_model import LogisticRegression

        fill = means_of(covariates)
        features = flat_features(covariates, levels, fill)
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
        return cls(fill, centre, spread, wide, full)

    def __call__(self, covariates: Covariates, levels: tuple[int, ...]) -> Floats:
        """Probabilities ``(m, K)``; 0 for an arm that no training row has."""
        from scipy.special import softmax

        features = flat_features(covariates, levels, self.fill)
        index = (features - self.centre) / self.spread @ self.slope + self.intercept
        return np.asarray(softmax(index, axis=1))


@dataclass(frozen=True, slots=True)
class Conformal:
    """Held-out residuals and the propensities that weight them."""

    calibration: Calibration
    propensity: Propensity

    @classmethod
    def of(cls, model: Model, coded: Coded) -> "Conformal":
        """From the validation rows, which all networks of the model share; of arms."""
        code = model.coding.actions
        member = model.stacks[0].members[0]
        levels = model.coding.covariates.shape.levels
        arm = coded.actions.arms[:, 0]
        train = np.unique(member.train)
        propensity = Propensity.of(coded.covariates.rows(train), levels, arm[train], len(code.arms))
        valid = member.valid
        asked = Asked(coded.covariates.rows(valid))
        mean = model.outcomes(asked, [coded.actions.rows(valid)]).mean(axis=0)[:, 0]
        chances = propensity(asked.covariates, levels)
        return cls(Calibration(np.abs(coded.y[valid] - mean), arm[valid], chances), propensity)

    def chances(self, model: Model, asked: Asked) -> Floats:
        """Propensities ``(m, K)`` of the rows asked about."""
        return self.propensity(asked.covariates, model.coding.covariates.shape.levels)


def conformal_outcome(
    conformal: Conformal, model: Model, asked: Asked, treatment: Any, *, level: float
) -> "xr.Dataset":
    """``outcome, conf_low, conf_high (obs)``: intervals for Y under one action."""
    import xarray as xr

    action = model.action(treatment, asked)
    mean = model.outcomes(asked, [action]).mean(axis=0)[:, 0]
    chances = conformal.chances(model, asked)
    half = widths_by_row(conformal.calibration, _arm_of_rows(action, asked.n), chances, level=level)
    return xr.Dataset(
        {
            "outcome": ("obs", mean),
            "conf_low": ("obs", mean - half),
            "conf_high": ("obs", mean + half),
        },
        coords={"obs": np.arange(asked.n)},
    )


def _arm_of_rows(action: ActionArrays, n: int) -> Ints:
    """Arm ``(n,)`` of every row, of actions for each or of one for all."""
    return np.broadcast_to(action.arms[:, 0], n)


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
    chances = conformal.chances(model, asked)

    def widths(action: Any) -> Floats:
        arms = _arm_of_rows(model.action(action, asked), asked.n)
        # Each outcome errs in half of the cases in which their difference may.
        each = 1.0 - (1.0 - level) / 2.0
        return widths_by_row(conformal.calibration, arms, chances, level=each)

    against = widths(baseline)
    half = np.stack([widths(one) + against for one in several], axis=1)
    middle = found["effect"]
    half = half.reshape(middle.shape)
    return found.assign(conf_low=middle - half, conf_high=middle + half)
