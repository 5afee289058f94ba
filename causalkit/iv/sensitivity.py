"""How far the covariance that the confounder leaves may differ between the arms of the instrument.

If ρ_1(L) ≠ ρ_0(L), then C_z = βV_z + ρ_z and the estimate is off by E[(ρ_1 − ρ_0)/ΔV]. The bound
is on |ρ_1 − ρ_0| in units of sd(A − μ_Z) sd(Y − η_Z): 0 is the model, 1 a perfect correlation in
one arm and none in the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, CausalKitError, check_level
from causalkit.estimator import Refit
from causalkit.inference.arguments import check_number
from causalkit.iv.nuisances import away_from_zero
from causalkit.iv.result import IVFit
from causalkit.iv.settings import Settings
from causalkit.iv.terms import is_term_of
from causalkit.results import EffectResult
from causalkit.results.intervals import quantile_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class DepartureBounds:
    """Bounds on the effect when ρ differs between the arms by at most a given amount.

    Attributes
    ----------
    estimate, std_error, df : float
        Of the fit.
    unit : float
        Largest bias per unit of departure: sd(Ã) sd(Ỹ) E[1/|ΔV|].
    departure : float
        Bound on |ρ_1 − ρ_0| in units of sd(Ã) sd(Ỹ).
    null, level : float
    """

    estimate: float
    std_error: float
    df: float
    unit: float
    departure: float
    null: float
    level: float

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest estimate under the departure."""
        reach = self.departure * self.unit
        return self.estimate - reach, self.estimate + reach

    @property
    def conf_int(self) -> tuple[float, float]:
        """Interval that covers under any departure up to the bound."""
        low, high = self.bounds
        reach = self._critical * self.std_error
        return low - reach, high + reach

    @property
    def robustness_value(self) -> float:
        """Departure that brings the estimate to the null."""
        return abs(self.estimate - self.null) / self.unit

    @property
    def robustness_value_ci(self) -> float:
        """Departure that brings the interval to the null; 0 if it holds the null already."""
        gap = abs(self.estimate - self.null) - self._critical * self.std_error
        return max(gap, 0.0) / self.unit

    @property
    def _critical(self) -> float:
        return float(quantile_value("t", level=self.level, df=self.df))

    def curve(self, most: float | None = None) -> pd.DataFrame:
        """Bounds over a grid of departures: ``departure, low, high, conf_low, conf_high``."""
        top = 2.0 * max(self.robustness_value, self.departure) if most is None else most
        grid = np.linspace(0.0, top, 51)
        reach = grid * self.unit
        error = self._critical * self.std_error
        return pd.DataFrame(
            {
                "departure": grid,
                "low": self.estimate - reach,
                "high": self.estimate + reach,
                "conf_low": self.estimate - reach - error,
                "conf_high": self.estimate + reach + error,
            }
        )

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Bounds and interval against the departure, with the value that reaches the null."""
        from causalkit.iv.plots import plot_departure

        return plot_departure(self, ax=ax)

    def __repr__(self) -> str:
        low, high = self.bounds
        return (
            f"Estimate {self.estimate:.4g}. If the covariance that the confounder leaves differs "
            f"between the arms by up to {self.departure:g} sd(Ã)sd(Ỹ), it lies between {low:.4g} "
            f"and {high:.4g}. To reach {self.null:g} it must differ by "
            f"{self.robustness_value:.3g} ({self.robustness_value_ci:.3g} for the "
            f"{100 * self.level:g} % interval)."
        )


def departure_bounds(
    fit: IVFit, result: EffectResult, *, departure: float, null: float, level: float
) -> DepartureBounds:
    """Bounds for the average effect, from the nuisances of the first repeat."""
    if check_number("departure", departure) < 0.0:
        raise ArgumentError(f"departure must be at least 0, got {departure!r}.")
    sample, hats, rows = fit.sample, fit.fitted.hats, fit.used
    a_res = (sample.a - hats.mu[:, 0])[rows]
    y_res = (sample.y - hats.omega[:, 0] - hats.beta[:, 0] * hats.mu[:, 0])[rows]
    w = None if sample.weights is None else sample.weights[rows]

    def mean(values: np.ndarray) -> float:
        return float(np.average(values, weights=w))

    spread = np.sqrt(mean(a_res**2) * mean(y_res**2))
    return DepartureBounds(
        estimate=float(result.estimates[0]),
        std_error=float(result.std_errors[0]),
        df=float(result.df),
        # As the estimate divides: a selected candidate may be below the bound of the population.
        unit=float(spread * mean(1.0 / np.abs(away_from_zero(hats.delta_v[rows, 0], fit.least)))),
        departure=float(departure),
        null=check_number("null", null),
        level=check_level(level),
    )


def hidden_covariates(
    refit: Refit, fit: IVFit, bounds: DepartureBounds, data: CausalData, settings: Settings
) -> pd.DataFrame:
    """Departure that hiding each observed covariate would have amounted to.

    Returns
    -------
    DataFrame
        ``covariate, estimate, change, departure, failure``: the estimate without it, the change,
        the departure that would cause such a change, and why there is no estimate without it.
    """
    if "given" in fit.fitted.chosen.values():
        raise ArgumentError(
            "benchmark() learns every nuisance again without each covariate, and predictions from "
            "elsewhere cannot be; fit without predictions=."
        )
    if not data.roles.covariates:
        raise ArgumentError("benchmark() hides one covariate at a time, and the data have none.")
    rows = []
    for name in data.roles.covariates:
        estimate, failure = np.nan, ""
        try:
            short = _without(refit, data, settings, name).estimate("ate")
            estimate = float(short.estimates[0])
        except CausalKitError as error:
            failure = str(error)
        change = estimate - bounds.estimate
        rows.append(
            {
                "covariate": name,
                "estimate": estimate,
                "change": change,
                "departure": abs(change) / bounds.unit,
                "failure": failure,
            }
        )
    return pd.DataFrame(rows)


def _without(refit: Refit, data: CausalData, settings: Settings, hidden: str) -> Any:
    """The same fit without a covariate, which is in no working model either."""

    def shorter(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
        if names is None:
            return None
        listed = (names,) if isinstance(names, str) else names
        return tuple(term for term in listed if not is_term_of(term, hidden))

    left = tuple(column for column in data.roles.covariates if column != hidden)
    modifiers = tuple(column for column in data.roles.modifiers if column != hidden)
    return refit.fit(
        data.with_roles(covariates=left, modifiers=modifiers),
        effect_terms=shorter(settings.effect_terms),
        confounding_terms=shorter(settings.confounding_terms),
    )
