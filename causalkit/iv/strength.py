"""How strongly the instrument moves the variance of the treatment, and what that allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import WeakIdentificationWarning
from causalkit.inference.anderson_rubin import AndersonRubin, anderson_rubin
from causalkit.inference.instruments import FirstStage, first_stage_f
from causalkit.inference.regression import independent_columns
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import Ssc, sandwich
from causalkit.iv.influence import Nuisances, Products
from causalkit.iv.sample import IVSample
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_WEAK_F = 10.0
_SMALL = 0.02
_MANY = 0.2


@dataclass(frozen=True, slots=True)
class Strength:
    """Strength of identification through the variance of the treatment.

    Attributes
    ----------
    variance_f : FirstStage
        Robust F test that V(Z, L) does not move with the instrument: slope of Ã² − E[Ã² | L] on
        the out-of-fold prediction of how it moves, (Z − π)ΔV or V − E[V | L].
    mean_f : FirstStage
        The usual first stage, a joint robust F test: A − E[A | L] on every Z − E[Z | L] that the
        others do not determine. Neither needed nor enough here.
    average : tuple of (estimate, standard error)
        E|ΔV|, by the sign of the out-of-fold ΔV, or for other instruments E[2 sd(V | L)]; zero if
        the squared residuals of the treatment move against the prediction.
    root_mean_square : float
        √E[ΔV²] of the predictions.
    bound : float
        What counts as a small |ΔV|: 0.02, for a treatment that is not 0/1 times four variances.
    small_share : float
        Share of rows with |ΔV| below the bound.
    variance : float
        Var(A − μ_Z), beside which ΔV is large or small.
    """

    variance_f: FirstStage
    mean_f: FirstStage
    average: tuple[float, float]
    root_mean_square: float
    bound: float
    small_share: float
    variance: float

    @property
    def weak(self) -> bool:
        """Whether intervals that assume strong identification are not to be trusted."""
        return self.variance_f.test.statistic < _WEAK_F or self.variance_f.coefficients[0] <= 0

    @property
    def frame(self) -> pd.DataFrame:
        """One row per figure: ``figure, value, std_error``."""
        mean, error = self.average
        rows: list[tuple[str, float, float]] = [
            ("F, variance of the treatment moves", self.variance_f.test.statistic, np.nan),
            ("F, mean of the treatment moves", self.mean_f.test.statistic, np.nan),
            ("E|ΔV|", mean, error),
            ("√E[ΔV²]", self.root_mean_square, np.nan),
            (f"share with |ΔV| < {self.bound:.3g}", self.small_share, np.nan),
            ("variance of the treatment residual", self.variance, np.nan),
        ]
        return pd.DataFrame(rows, columns=["figure", "value", "std_error"])

    def __repr__(self) -> str:
        verdict = "weak: read the Anderson-Rubin interval" if self.weak else "strong"
        mean, error = self.average
        return (
            f"Identification through the variance of the treatment is {verdict} "
            f"(F = {self.variance_f.test.statistic:.4g}; E|ΔV| = {mean:.3f} ({error:.3f}); "
            f"|ΔV| < {self.bound:.3g} in {self.small_share:.1%} of rows). First stage in the mean: "
            f"F = {self.mean_f.test.statistic:.4g}, neither needed nor enough."
        )


@dataclass(frozen=True, slots=True)
class Inference:
    """How variances are taken: clusters, weights, small-sample factor, degrees of freedom."""

    clusters: tuple[Ints, ...]
    weights: Floats | None
    multiplicity: Floats | None
    ssc: Ssc
    df: float | None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keywords of the shared tests on residuals."""
        return {
            "clusters": self.clusters,
            "weights": self.weights,
            "multiplicity": self.multiplicity,
            "ssc": self.ssc,
            "df": self.df,
        }


def strength(
    sample: IVSample,
    products: Products,
    hats: Nuisances,
    *,
    instruments: Floats,
    inference: Inference,
) -> Strength:
    """Measure identification, on the first repeat.

    Parameters
    ----------
    sample : IVSample
    products : Products
        Residual products.
    hats : Nuisances
        Out of fold.
    instruments : (n, L) array
        Z − E[Z | L].
    inference : Inference
    """
    treatment, instrument = products.treatment[:, 0], products.instrument[:, 0]
    delta_v, bound = hats.delta_v[:, 0], sample.least_delta_v(_SMALL)
    if sample.binary_instrument:
        swing = instrument * delta_v
        # The slope of Ã² on sign(ΔV)(Z − π) is E|ΔV| weighted by the variance of the instrument.
        regressor, response = instrument * np.where(delta_v < 0.0, -1.0, 1.0), treatment
    else:
        swing = instrument
        # Its mean is E[2 sd(V | L)], and small errors of V and of the spread do not move it.
        steer = hats.direction[:, 0]
        regressor = np.ones(sample.n)
        response = delta_v * (0.5 + steer * treatment - (steer * delta_v) ** 2 / 8.0)
    score = LinearScore(regressor[:, None, None], regressor[:, None, None], response[:, None])
    solution = solve_linear(score, weights=inference.weights)[0]
    variance = sandwich(
        solution.influence,
        inference.clusters,
        ssc=inference.ssc,
        multiplicity=inference.multiplicity,
    )
    return Strength(
        variance_f=first_stage_f(treatment, swing[:, None], **inference.arguments),
        mean_f=first_stage_f(
            sample.a - hats.share[:, 0],
            instruments[:, independent_columns(instruments)],
            **inference.arguments,
        ),
        average=(max(float(solution.theta[0]), 0.0), float(np.sqrt(variance[0, 0]))),
        root_mean_square=float(np.sqrt(sample.mean(delta_v**2))),
        bound=bound,
        small_share=float(sample.mean((np.abs(delta_v) < bound).astype(np.float64))),
        variance=float(sample.mean((sample.a - hats.mu[:, 0]) ** 2)),
    )


def weak_robust(
    products: Products, inference: Inference, *, null: float, level: float
) -> AndersonRubin:
    """Anderson–Rubin test and set for the variance-weighted effect, on the first repeat.

    There is one direction, however many instruments: the set holds the root of its moment and is
    never empty.
    """
    found = anderson_rubin(
        products.outcome[:, 0],
        products.treatment[:, 0],
        products.instrument[:, :1],
        null=null,
        level=level,
        **inference.arguments,
    )
    # The general null also says that instruments are valid; here they need not be.
    return replace(
        found, test=replace(found.test, null=f"the variance-weighted effect is {null:g}")
    )


def warn_if_weak(found: Strength, accepted: AndersonRubin, instruments: Sequence[str]) -> None:
    """Warn where the variance of the treatment hardly moves with the instrument."""
    name = ", ".join(instruments)
    if found.weak:
        warn(
            f"{name} hardly moves the variance of the treatment (F = "
            f"{found.variance_f.test.statistic:.3g}, below {_WEAK_F:g}): estimates may be badly "
            "biased and Wald intervals wrong. Read conf_int(kind='anderson-rubin') of the "
            "estimator.",
            WeakIdentificationWarning,
        )
    elif accepted.shape in ("half-line", "line", "disjoint"):
        warn(
            "the Anderson-Rubin set of the variance-weighted effect is unbounded though "
            f"{name} moves the variance of the treatment: up in some rows and down in others, and "
            "that effect divides by the mean of these moves. Read estimate('ate').",
            WeakIdentificationWarning,
        )
    if found.small_share > _MANY:
        share = "100%" if found.small_share == 1.0 else f"{min(found.small_share, 0.99):.0%}"
        warn(
            f"|ΔV| is below {found.bound:.3g} in {share} of rows, where {name} "
            "says nothing about the effect. estimate('variance-weighted') gives such rows little "
            "weight.",
            WeakIdentificationWarning,
        )
