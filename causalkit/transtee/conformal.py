"""Conformal intervals for potential outcomes and unit effects, weighted by inverse propensities.

Lei & Candès (2021, JRSS B 83:911): residuals of held-out rows that received arm a, weighted by
1/e_a(x), have the distribution of residuals of Y(a) over everyone. The interval of an effect is the
difference of two intervals, each at level 1 − α/2, and so covers at least as often as it says.
Sampling weights multiply 1/e_a(x); a held-out row with a frequency is there as often as it says.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.coding import Coded
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.flat_features import flat_features, means_of
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.propensities import least_chances
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr


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
    weight : (n,) array
        Sampling weights or frequencies; one without.
    unit : () array
        Weight of a row asked about that has no sampling weight: the mean sampling weight of the
        data of the fit, or one.
    """

    residual: Floats
    arm: Ints
    propensity: Floats
    weight: Floats
    unit: Floats

    def weights_of(self, asked: Asked) -> Floats:
        """Weights ``(m,)`` of rows that are asked about, beside those of the held-out rows."""
        if asked.weight is None or asked.weight_kind != "sampling":
            return np.full(asked.n, float(self.unit))
        return asked.weight

    def bounded(self, chances: Floats, arm: int) -> Floats:
        """Propensities of an arm, the smallest raised to the least that count."""
        least = least_chances(self.arm, self.propensity.shape[1], self.weight)
        return np.clip(chances, least[arm], 1.0)


def half_widths(calibration: Calibration, arm: int, weight: Floats, *, level: float) -> Floats:
    """Half-width of the interval of Y(arm) for every row asked about.

    Parameters
    ----------
    calibration : Calibration
    arm : int
    weight : (m,) array
        Of those rows, divided by e_arm(x).
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
    own = calibration.weight[mine] / calibration.bounded(calibration.propensity[mine, arm], arm)
    reached = np.cumsum(own[order])
    wanted = level * (reached[-1] + weight)
    place = np.searchsorted(reached, wanted - 1e-12 * wanted)
    return np.asarray(np.append(residual, np.inf)[place])


def widths_by_row(
    calibration: Calibration, arms: Ints, propensity: Floats, weight: Floats, *, level: float
) -> Floats:
    """Half-width of the interval of Y(arm) for every row, each under an arm of its own.

    Parameters
    ----------
    calibration : Calibration
    arms : (m,) int array
    propensity : (m, K) array
    weight : (m,) array
        Beside those of the held-out rows.
    level : float
    """
    found = np.empty(arms.size)
    for arm in np.unique(arms):
        rows = arms == arm
        own = weight[rows] / calibration.bounded(propensity[rows, arm], arm)
        found[rows] = half_widths(calibration, int(arm), own, level=level)
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
        cls,
        covariates: Covariates,
        levels: tuple[int, ...],
        arm: Ints,
        n_arms: int,
        weight: Floats | None = None,
    ) -> "Propensity":
        """Fit to covariates, arms and weights ``(n,)`` of training rows."""
        from sklearn.linear_model import LogisticRegression

        fill = means_of(covariates)
        features = flat_features(covariates, levels, fill)
        spread = features.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        centre = features.mean(axis=0)
        found = LogisticRegression(max_iter=1000).fit(
            (features - centre) / spread, arm, sample_weight=weight
        )
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
        weight, unit = _weights(coded)
        propensity = Propensity.of(
            coded.covariates.rows(train),
            levels,
            arm[train],
            len(code.arms),
            None if coded.weight is None else weight[train] / unit,
        )
        valid = member.valid
        asked = Asked(coded.covariates.rows(valid))
        mean = model.averaged(asked, [coded.actions.rows(valid)])[:, 0]
        chances = propensity(asked.covariates, levels)
        residual = np.abs(coded.y[valid] - mean)
        return cls(Calibration(residual, arm[valid], chances, weight[valid], unit), propensity)

    def chances(self, model: Model, asked: Asked) -> Floats:
        """Propensities ``(m, K)`` of the rows asked about."""
        return self.propensity(asked.covariates, model.coding.covariates.shape.levels)


def _weights(coded: Coded) -> tuple[Floats, Floats]:
    """Weights of all rows, and that of a further row."""
    if coded.weight is None:
        return np.ones(coded.n), np.ones(())
    sampled = coded.weight_kind == "sampling"
    return coded.weight, np.asarray(coded.weight.mean() if sampled else 1.0)


def conformal_outcome(
    conformal: Conformal, model: Model, asked: Asked, treatment: Any, *, level: float
) -> "xr.Dataset":
    """``outcome, conf_low, conf_high (obs)``: intervals for Y under one action."""
    import xarray as xr

    action = model.action(treatment, asked)
    mean = model.averaged(asked, [action])[:, 0]
    chances = conformal.chances(model, asked)
    calibration = conformal.calibration
    half = widths_by_row(
        calibration,
        _arm_of_rows(action, asked.n),
        chances,
        calibration.weights_of(asked),
        level=level,
    )
    _warn_of_unbounded(half, calibration, level=level, each=level)
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
    calibration, chances = conformal.calibration, conformal.chances(model, asked)
    weight = calibration.weights_of(asked)
    # Each outcome errs in half of the cases in which their difference may.
    each = 1.0 - (1.0 - level) / 2.0

    def widths(action: Any) -> Floats:
        arms = _arm_of_rows(model.action(action, asked), asked.n)
        return widths_by_row(calibration, arms, chances, weight, level=each)

    against = widths(baseline)
    half = np.stack([widths(one) + against for one in several], axis=1)
    _warn_of_unbounded(half, calibration, level=level, each=each)
    middle = found["effect"]
    half = half.reshape(middle.shape)
    return found.assign(conf_low=middle - half, conf_high=middle + half)


def _warn_of_unbounded(
    half: Floats, calibration: Calibration, *, level: float, each: float
) -> None:
    """Say how many intervals have no end, and what it takes for all to have one.

    Parameters
    ----------
    half : (m,) or (m, G) array
        Half-widths.
    calibration : Calibration
    level : float
        Of the intervals.
    each : float
        Of the interval of one outcome.
    """
    rows = np.isinf(half).reshape(len(half), -1).any(axis=1)
    if not rows.any():
        return
    held = np.bincount(calibration.arm, minlength=calibration.propensity.shape[1])
    halved = f" (each of the two outcomes is held at {each:.4g})" if each != level else ""
    warn(
        f"the conformal intervals of {rows.sum()} of {rows.size} rows are unbounded: at "
        f"level {level:g}{halved} an arm needs at least {np.ceil(each / (1.0 - each) - 1e-9):.0f} "
        f"held-out rows, more where it is rare, and the arms have {', '.join(map(str, held))}. "
        "Fit with a larger validation_fraction, or ask for a lower level.",
        CausalKitWarning,
    )
