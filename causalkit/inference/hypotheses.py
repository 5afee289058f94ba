"""Hypothesis tests: small records that state their null."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from causalkit.typing import Floats


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """A test statistic with its null hypothesis and reference distribution.

    Attributes
    ----------
    name, null : str
        What is tested, and the hypothesis in words.
    statistic : float
    df : tuple of float
        One number for chi-squared, two for F.
    distribution : {"chi2", "F"}
    p_value : float
    """

    name: str
    null: str
    statistic: float
    df: tuple[float, ...]
    distribution: str
    p_value: float

    def __str__(self) -> str:
        freedom = ", ".join(f"{value:g}" for value in self.df)
        return (
            f"{self.name}: {self.distribution}({freedom}) = {self.statistic:.4g}, "
            f"p = {self.p_value:.4g}. Null: {self.null}."
        )


def wald(
    theta: Floats,
    vcov: Floats,
    *,
    df_denominator: float | None = None,
    name: str = "Wald test",
    null: str = "all coefficients are zero",
) -> HypothesisTest:
    """Joint test that all coefficients are zero.

    Parameters
    ----------
    theta, vcov : arrays (k,), (k, k)
        Estimates and their variance.
    df_denominator : float, optional
        Denominator degrees of freedom for an F test; default a chi-squared test.
    name, null : str
        Words for the record.
    """
    k = float(theta.size)
    quadratic = float(theta @ np.linalg.pinv(vcov, hermitian=True) @ theta)
    if df_denominator is None:
        p = float(stats.chi2.sf(quadratic, k))
        return HypothesisTest(name, null, quadratic, (k,), "chi2", p)
    p = float(stats.f.sf(quadratic / k, k, df_denominator))
    return HypothesisTest(name, null, quadratic / k, (k, df_denominator), "F", p)
