"""How strong an omitted confounder would have to be: bounds and robustness values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from causalkit.errors import ArgumentError, IdentificationError, check_choice, check_level
from causalkit.inference.arguments import check_number, check_share
from causalkit.inference.repeats import AGGREGATIONS
from causalkit.inference.variance import Ssc, sandwich
from causalkit.typing import Floats, Ints

_STRONGEST = 1.0 - 1e-12
_OF_TREATMENT = "that of the treatment"
_OF_WEIGHTS = "the variance of inverse-propensity weights"


@dataclass(frozen=True, slots=True)
class Confounding:
    """What a fit says about the bias that a confounder could cause, by repeat.

    Attributes
    ----------
    theta, sigma2, nu2 : (n_rep,) arrays
        Estimate, variance σ² of its residual, and mean square ν² of its Riesz representer α: one
        over the variance of the treatment residual, or that of inverse-probability weights.
    vcov : (n_rep, 2, 2) array
        Joint variance of θ̂ and of the largest bias √(σ²ν²).
    aggregation : {"median", "mean", "bounds"}
        How the estimate combines repeats, and so the bounds: the mean, or else the median.
    """

    theta: Floats
    sigma2: Floats
    nu2: Floats
    vcov: Floats
    aggregation: str = "median"

    def over_repeats(self, values: Floats) -> Floats:
        """Combine values whose last axis is the repeats."""
        combine = np.mean if self.aggregation == "mean" else np.median
        return np.asarray(combine(values, axis=-1))

    @property
    def largest_bias(self) -> Floats:
        """Bias ``(n_rep,)`` per unit of confounding strength, √(σ²ν²)."""
        return np.asarray(np.sqrt(self.sigma2 * self.nu2))

    def bounds(self, strength: float | Floats) -> tuple[Floats, Floats]:
        """Lower and upper bound on θ, over repeats, for strengths of any shape."""
        bias = np.asarray(strength)[..., None] * self.largest_bias
        return self.over_repeats(self.theta - bias), self.over_repeats(self.theta + bias)

    def limits(self, strength: float, quantile: float) -> tuple[float, float]:
        """One-sided confidence limits of the two bounds, over repeats."""
        bias = strength * self.largest_bias
        errors = []
        for sign in (-1.0, 1.0):
            direction = np.array([1.0, sign * strength])
            errors.append(np.sqrt(np.einsum("i,sij,j->s", direction, self.vcov, direction)))
        low = self.over_repeats(self.theta - bias - quantile * errors[0])
        high = self.over_repeats(self.theta + bias + quantile * errors[1])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Bounds on an effect under an omitted confounder.

    Attributes
    ----------
    estimate : float
        θ̂ without the confounder.
    low, high : float
        Bounds on θ with it.
    conf_low, conf_high : float
        One-sided confidence limits of the bounds, each at ``level``.
    cf_y, cf_d, rho : float
        Strength assumed: share of the residual outcome variance, share of the residual treatment
        variance, and correlation of the two errors.
    robustness_value : float
        Equal cf_y = cf_d at which a bound reaches ``null`` (RV); 1 if none does.
    robustness_value_ci : float
        The same for the confidence limit (RVa); 0 if ``null`` is inside it already.
    null, level : float
    sigma2, nu2 : float
        σ² and ν² of :class:`Confounding` over repeats.
    confounding : Confounding
        The same by repeat, with sampling variances.
    share_of : str
        What ``cf_d`` is a share of.
    """

    estimate: float
    low: float
    high: float
    conf_low: float
    conf_high: float
    cf_y: float
    cf_d: float
    rho: float
    robustness_value: float
    robustness_value_ci: float
    null: float
    level: float
    sigma2: float
    nu2: float
    confounding: Confounding
    share_of: str = _OF_TREATMENT

    def bounds(self, cf_y: Floats, cf_d: Floats) -> tuple[Floats, Floats]:
        """Bounds for other strengths, arrays that broadcast; for contour plots."""
        return self.confounding.bounds(confounding_strength(cf_y, cf_d, self.rho))

    def __repr__(self) -> str:
        return (
            f"Estimate {self.estimate:.4g}. An omitted confounder that explains {self.cf_y:.1%} of "
            f"the residual variance of the outcome and {self.cf_d:.1%} of {self.share_of} "
            f"moves it to between {self.low:.4g} and {self.high:.4g} ({100 * self.level:g} % "
            f"one-sided limits {self.conf_low:.4g} and {self.conf_high:.4g}). To reach "
            f"{self.null:g} it must explain {self.robustness_value:.1%} of both "
            f"({self.robustness_value_ci:.1%} for the confidence limit)."
        )


def confounding_strength(cf_y: float | Floats, cf_d: float | Floats, rho: float) -> float | Floats:
    """|ρ| √(cf_y cf_d / (1 − cf_d)), by which the largest bias is multiplied."""
    return np.asarray(abs(rho) * np.sqrt(np.asarray(cf_y) * cf_d / (1.0 - np.asarray(cf_d))))


def omitted_variable_bounds(
    y_res: Floats,
    d_res: Floats,
    theta: Floats,
    influence: Floats,
    *,
    clusters: Sequence[Ints] = (),
    weights: Floats | None = None,
    multiplicity: Floats | Ints | None = None,
    cf_y: float = 0.03,
    cf_d: float = 0.03,
    rho: float = 1.0,
    null: float = 0.0,
    level: float = 0.95,
    ssc: Ssc = "G/(G-1)",
    n_params: int = 1,
    df: float | None = None,
    aggregation: str = "median",
    nu2_parts: Floats | None = None,
) -> Sensitivity:
    """Bounds on an effect under an omitted confounder.

    |bias| ≤ |ρ| √(σ²ν² cf_y cf_d / (1 − cf_d)). In the partially linear model σ² = E(Ũ − θṼ)² and
    ν² = 1/E Ṽ²; in the interactive one, Y − g(D) = Ũ − θṼ and ν² = E α².

    Parameters
    ----------
    y_res, d_res : (n, n_rep) arrays
        Cross-fitted residuals Ũ, Ṽ. For the IV-type score, Ũ is Y − g − θ(D − Ṽ); where Ũ has the
        effect taken off, as in the interactive model, Ṽ is zero.
    theta : (n_rep,) array
        Estimates by repeat.
    influence : (n, n_rep) array
        Their influence values.
    clusters, multiplicity, ssc, n_params
        As in :func:`~causalkit.inference.variance.sandwich`.
    weights : (n,) array, optional
        Row weights, as in the estimate.
    cf_y : float
        Share of the residual outcome variance that the confounder explains, in [0, 1).
    cf_d : float
        Share of the residual treatment variance that it explains, in [0, 1).
    rho : float
        Correlation, in [-1, 1], of its errors in the two; 1 is the worst case.
    null : float
        Value for the robustness values.
    level : float
        Of each one-sided confidence limit.
    df : float, optional
        Degrees of freedom for t quantiles; default normal, as in DoubleML.
    aggregation : {"median", "mean", "bounds"}
        How the estimate combines repeats: bounds and limits are means over repeats, or else
        medians.
    nu2_parts : (n, n_rep) array, optional
        Values whose mean is ν² for another α than Ṽ/E Ṽ²: see :func:`interactive_nu2`.

    Returns
    -------
    Sensitivity

    Notes
    -----
    DoubleML 0.11 gives the same bounds and robustness value, but its limits differ: it takes the
    influence of θ̂ with the opposite sign, so the standard errors of its two bounds change places.

    Raises
    ------
    ArgumentError
        If a strength, rho, the level or the null is not one number, or is out of range.
    IdentificationError
        If ν² is not positive.

    References
    ----------
    Chernozhukov, Cinelli, Newey, Sharma & Syrgkanis (2022), Long story short: omitted variable
    bias in causal machine learning, theorem 2 and section 4; Cinelli & Hazlett (2020) for
    robustness values.
    """
    cf_y, cf_d = check_share("cf_y", cf_y), check_share("cf_d", cf_d)
    if not -1.0 <= check_number("rho", rho) <= 1.0:
        raise ArgumentError(f"rho is a correlation in [-1, 1], got {rho!r}.")
    null, level = check_number("null", null), check_level(level)
    check_choice("aggregation", aggregation, AGGREGATIONS)
    w = np.ones(y_res.shape[0]) if weights is None else weights * (len(weights) / weights.sum())
    residual = y_res - theta * d_res
    sigma2, nu2, bias_influence = _variances(residual, d_res, w[:, None], nu2_parts)
    how: dict[str, Any] = {"ssc": ssc, "multiplicity": multiplicity, "n_params": n_params}
    vcov = [
        sandwich(np.column_stack(pair), clusters, **how)
        for pair in zip(influence.T, bias_influence.T, strict=True)
    ]
    found = Confounding(np.asarray(theta), sigma2, nu2, np.stack(vcov), aggregation)
    quantile = float(stats.t.ppf(level, np.inf if df is None else df))
    strength = float(confounding_strength(cf_y, cf_d, rho))
    low, high = found.bounds(strength)
    conf_low, conf_high = found.limits(strength, quantile)
    estimate = float(found.over_repeats(found.theta))
    side = 0 if null <= estimate else 1

    def bound(share: float) -> float:
        ends = found.bounds(confounding_strength(share, share, rho))
        return (1 - 2 * side) * (float(ends[side]) - null)

    def limit(share: float) -> float:
        ends = found.limits(float(confounding_strength(share, share, rho)), quantile)
        return (1 - 2 * side) * (ends[side] - null)

    return Sensitivity(
        estimate=estimate,
        low=float(low),
        high=float(high),
        conf_low=conf_low,
        conf_high=conf_high,
        cf_y=cf_y,
        cf_d=cf_d,
        rho=rho,
        robustness_value=_root(bound),
        robustness_value_ci=_root(limit),
        null=null,
        level=level,
        sigma2=float(found.over_repeats(sigma2)),
        nu2=float(found.over_repeats(nu2)),
        confounding=found,
        share_of=_OF_TREATMENT if nu2_parts is None else _OF_WEIGHTS,
    )


def interactive_nu2(d: Floats, propensity: Floats) -> Floats:
    """Values ``(n, n_rep)`` whose mean is ν² of the average effect: 2 {1/e + 1/(1 − e)} − α².

    α = D/e − (1 − D)/(1 − e). Unlike α² alone, they are insensitive to small errors of e.

    Parameters
    ----------
    d : (n,) array
        Treatment, coded 0/1.
    propensity : (n, n_rep) array
        Inside (0, 1).

    References
    ----------
    Chernozhukov et al. (2022), sections 3 and 4.
    """
    treated = d[:, None] == 1.0
    alpha = np.where(treated, 1.0 / propensity, -1.0 / (1.0 - propensity))
    return np.asarray(2.0 / (propensity * (1.0 - propensity)) - alpha**2)


def _variances(
    residual: Floats, d_res: Floats, w: Floats, nu2_parts: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """σ², ν² and the influence ``(n, n_rep)`` of √(σ²ν²), by the delta method."""
    sigma2 = (w * residual**2).mean(axis=0)
    psi_sigma2 = w * (residual**2 - sigma2)
    if nu2_parts is None:
        nu2 = 1.0 / (w * d_res**2).mean(axis=0)
        psi_nu2 = w * (nu2 - d_res**2 * nu2**2)
    else:
        nu2 = (w * nu2_parts).mean(axis=0)
        psi_nu2 = w * (nu2_parts - nu2)
        if (nu2 <= 0.0).any():
            raise IdentificationError(
                "the propensities are too far from the shares treated to bound what a confounder "
                "could do; use another learner for the treatment, or a larger trim."
            )
    bias = np.sqrt(sigma2 * nu2)
    numerator = sigma2 * psi_nu2 + nu2 * psi_sigma2
    influence = np.divide(numerator, 2.0 * bias, out=np.zeros_like(numerator), where=bias > 0)
    return sigma2, nu2, influence


def _root(distance: Callable[[float], float]) -> float:
    """Share at which a distance that falls from its value at 0 becomes zero; 1 if it never does."""
    if distance(0.0) <= 0.0:
        return 0.0
    if distance(_STRONGEST) > 0.0:
        return 1.0
    return float(optimize.brentq(distance, 0.0, _STRONGEST, xtol=1e-13))


def benchmark_gains(
    sigma2_long: float | Floats,
    nu2_long: float | Floats,
    theta_long: float | Floats,
    sigma2_short: float | Floats,
    nu2_short: float | Floats,
    theta_short: float | Floats,
) -> dict[str, float]:
    """Strength of observed covariates as confounders: a fit with them (long), one without (short).

    Parameters
    ----------
    sigma2_long, nu2_long, theta_long : float or (n_rep,) arrays
        Of the fit with all covariates, as in :class:`Confounding`.
    sigma2_short, nu2_short, theta_short : float or (n_rep,) arrays
        Of the fit without the covariates in question.

    Returns
    -------
    dict
        Medians over repeats of ``cf_y``, ``cf_d`` (gains relative to what the long fit leaves,
        which is what a latent confounder faces), of ``rho``, and of ``change``, the short minus
        the long estimate.

    References
    ----------
    Chernozhukov et al. (2022), section 5.
    """
    gain_y = np.atleast_1d(np.asarray(sigma2_short) - sigma2_long)
    gain_d = np.atleast_1d(np.asarray(nu2_long) - nu2_short)
    change = np.atleast_1d(np.asarray(theta_short) - theta_long)
    size = np.sqrt(np.maximum(gain_y, 0.0) * np.maximum(gain_d, 0.0))
    adversity = np.divide(np.abs(change), size, out=np.ones_like(size), where=size > 0)
    found = {
        "cf_y": np.clip(gain_y / sigma2_long, 0.0, 1.0),
        "cf_d": np.clip(gain_d / nu2_short, 0.0, 1.0),
        "rho": np.minimum(adversity, 1.0) * np.sign(change),
        "change": change,
    }
    return {name: float(np.median(values)) for name, values in found.items()}
