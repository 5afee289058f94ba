"""How strong an omitted confounder would have to be: bounds and robustness values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from causalkit.errors import ArgumentError, check_level
from causalkit.inference.variance import sandwich
from causalkit.typing import Floats, Ints

_MOST = 0.9999


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
        Strength assumed: share of residual outcome variance, share of residual treatment
        variance, correlation of the two errors.
    robustness_value : float
        Equal cf_y = cf_d at which the bound reaches ``null``.
    robustness_value_ci : float
        The same for the confidence limit.
    null, level : float
    sigma2, nu2 : float
        Residual outcome variance and 1 / residual treatment variance.
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

    def __str__(self) -> str:
        return (
            f"Estimate {self.estimate:.4g}. A time-varying omitted confounder that explains "
            f"{self.cf_y:.1%} of the residual variance of the outcome and {self.cf_d:.1%} of that "
            f"of the treatment moves it to between {self.low:.4g} and {self.high:.4g} "
            f"({self.level:.0%} one-sided limits {self.conf_low:.4g}, {self.conf_high:.4g}). To "
            f"reach {self.null:g} it must explain {self.robustness_value:.1%} of both "
            f"({self.robustness_value_ci:.1%} for the confidence limit)."
        )


@dataclass(frozen=True, slots=True)
class _Repeat:
    """Sensitivity elements of one repeat."""

    theta: float
    max_bias: float
    influence: Floats  # (n,) of θ̂
    bias_influence: Floats  # (n,) of max_bias
    sigma2: float
    nu2: float


def _elements(
    y_res: Floats, d_res: Floats, theta: float, influence: Floats, weights: Floats | None
) -> _Repeat:
    """|bias| ≤ C sqrt(σ² ν²); influence of its square root by the delta method."""
    w = np.ones(y_res.size) if weights is None else weights * (y_res.size / weights.sum())
    error2 = (y_res - theta * d_res) ** 2
    sigma2 = float((w * error2).mean())
    nu2 = 1.0 / float((w * d_res**2).mean())
    psi_sigma2 = w * (error2 - sigma2)
    psi_nu2 = w * (nu2 - d_res**2 * nu2**2)
    max_bias = float(np.sqrt(sigma2 * nu2))
    bias_influence = (sigma2 * psi_nu2 + nu2 * psi_sigma2) / (2.0 * max_bias)
    return _Repeat(theta, max_bias, influence, bias_influence, sigma2, nu2)


def _share(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise ArgumentError(f"{name} is a share of variance in [0, 1), got {value!r}.")
    return value


def omitted_variable_bounds(
    y_res: Floats,
    d_res: Floats,
    theta: Floats,
    influence: Floats,
    *,
    clusters: Sequence[Ints] = (),
    weights: Floats | None = None,
    cf_y: float = 0.03,
    cf_d: float = 0.03,
    rho: float = 1.0,
    null: float = 0.0,
    level: float = 0.95,
    ssc: str = "G/(G-1)",
) -> Sensitivity:
    """Bounds of the partially linear model under an omitted confounder.

    |bias| ≤ |ρ| sqrt(σ² ν² cf_y cf_d / (1 − cf_d)), σ² = E[(Ũ − θṼ)²], ν² = 1/E[Ṽ²]
    (Chernozhukov, Cinelli, Newey, Sharma & Syrgkanis 2022, theorem 2 and section 4).

    Parameters
    ----------
    y_res, d_res : (n, n_rep) arrays
        Cross-fitted residuals.
    theta : (n_rep,) array
        Estimates by repeat.
    influence : (n, n_rep) array
        Influence values by repeat.
    clusters, weights, ssc
        As in the variance of the estimate.
    cf_y, cf_d : float
        Shares in [0, 1).
    rho : float
        In [-1, 1].
    null : float
        For the robustness values.
    level : float
        Of each one-sided confidence limit.

    Returns
    -------
    Sensitivity
        Medians over repeats.
    """
    _share("cf_y", cf_y)
    _share("cf_d", cf_d)
    check_level(level)
    if not -1.0 <= rho <= 1.0:
        raise ArgumentError(f"rho is a correlation in [-1, 1], got {rho!r}.")
    repeats = [
        _elements(y_res[:, r], d_res[:, r], float(theta[r]), influence[:, r], weights)
        for r in range(y_res.shape[1])
    ]

    def bounds(y_share: float, d_share: float) -> tuple[float, float, float, float]:
        strength = abs(rho) * np.sqrt(y_share * d_share / (1.0 - d_share))
        return _bounds(repeats, strength, clusters, level, ssc)

    low, high, conf_low, conf_high = bounds(cf_y, cf_d)
    estimate = float(np.median(theta))
    above = null <= estimate
    return Sensitivity(
        estimate=estimate,
        low=low,
        high=high,
        conf_low=conf_low,
        conf_high=conf_high,
        cf_y=cf_y,
        cf_d=cf_d,
        rho=rho,
        robustness_value=_robustness(lambda s: bounds(s, s)[0 if above else 1] - null),
        robustness_value_ci=_robustness(lambda s: bounds(s, s)[2 if above else 3] - null),
        null=null,
        level=level,
        sigma2=float(np.median([repeat.sigma2 for repeat in repeats])),
        nu2=float(np.median([repeat.nu2 for repeat in repeats])),
    )


def _bounds(
    repeats: Sequence[_Repeat], strength: float, clusters: Sequence[Ints], level: float, ssc: str
) -> tuple[float, float, float, float]:
    quantile = float(stats.norm.ppf(level))
    found = []
    for repeat in repeats:
        low = repeat.theta - strength * repeat.max_bias
        high = repeat.theta + strength * repeat.max_bias
        se_low, se_high = (
            np.sqrt(sandwich(influence[:, None], clusters, ssc=ssc)[0, 0])
            for influence in (
                repeat.influence - strength * repeat.bias_influence,
                repeat.influence + strength * repeat.bias_influence,
            )
        )
        found.append((low, high, low - quantile * se_low, high + quantile * se_high))
    low, high, conf_low, conf_high = np.median(np.asarray(found), axis=0)
    return float(low), float(high), float(conf_low), float(conf_high)


def _robustness(distance: Callable[[float], float]) -> float:
    """Smallest strength at which a bound reaches the null; 0 if it is there already."""
    start, end = distance(0.0), distance(_MOST)
    if start == 0.0 or np.sign(start) == np.sign(end):
        return 0.0 if abs(start) <= abs(end) else _MOST
    return float(optimize.brentq(distance, 0.0, _MOST, xtol=1e-10))


def benchmark_gains(
    sigma2_long: float,
    nu2_long: float,
    theta_long: float,
    sigma2_short: float,
    nu2_short: float,
    theta_short: float,
) -> dict[str, float]:
    """Strength of left-out covariates, by comparing a fit with them (long) and without (short).

    Returns
    -------
    dict
        ``cf_y``, ``cf_d``, ``rho`` and ``change`` (short minus long estimate).

    References
    ----------
    Chernozhukov et al. (2022), section 5.
    """
    # Gains relative to what the long fit leaves, so that a confounder "as strong as" the one left
    # out is judged against the residuals that a latent confounder would face.
    cf_y = min(max((sigma2_short - sigma2_long) / sigma2_long, 0.0), 1.0)
    cf_d = min(max((nu2_long - nu2_short) / nu2_short, 0.0), 1.0)
    change = theta_short - theta_long
    size = float(np.sqrt(max(sigma2_short - sigma2_long, 0.0) * max(nu2_long - nu2_short, 0.0)))
    rho = float(np.clip(change / size, -1.0, 1.0)) if size > 0 else float(np.sign(change))
    return {"cf_y": cf_y, "cf_d": cf_d, "rho": rho, "change": change}
