"""Hypothesis tests: small records that state their null."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from causalkit.errors import ArgumentError
from causalkit.typing import Floats

_RANK = 1e-10


def p_words(p: float) -> str:
    """p-value in words; nothing is so unlikely that its probability is zero."""
    return "p < 1e-16" if p < 1e-16 else f"p = {p:.4g}"


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

    def __repr__(self) -> str:
        freedom = ", ".join(f"{value:g}" for value in self.df)
        return (
            f"{self.name}: {self.distribution}({freedom}) = {self.statistic:.4g}, "
            f"{p_words(self.p_value)}. Null: {self.null}."
        )


def wald(
    theta: Floats,
    vcov: Floats,
    *,
    R: Floats | None = None,
    q: Floats | None = None,
    df: float | None = None,
    name: str = "Wald test",
    null: str = "",
) -> HypothesisTest:
    """Joint test that Rθ = q; by default that all coefficients are zero.

    Parameters
    ----------
    theta : (k,) array
        Estimates.
    vcov : (k, k) array
        Their variance, of any kind. Where R V R' is singular (more restrictions than clusters,
        say) its pseudo-inverse is used, and its rank counts the restrictions.
    R : (r, k) array, optional
        Restrictions, one per row. Default: the identity.
    q : (r,) array, optional
        Their values. Default: zeros.
    df : float, optional
        Denominator degrees of freedom, such as G − 1, for an F test of the statistic divided by
        the number of restrictions. Default or infinite: chi-squared.
    name, null : str
        Words for the record.

    Raises
    ------
    ArgumentError
        If shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> print(wald(np.array([1.96]), np.eye(1)))
    Wald test: chi2(1) = 3.842, p = 0.05. Null: all coefficients are zero.
    """
    k = theta.size
    restrictions = np.eye(k) if R is None else np.atleast_2d(R)
    values = np.zeros(restrictions.shape[0]) if q is None else np.atleast_1d(q)
    if restrictions.shape[1] != k or values.shape != restrictions.shape[:1]:
        raise ArgumentError(
            f"R of shape {restrictions.shape} and q of shape {values.shape} do not restrict {k} "
            "coefficients; R has one row per restriction and one column per coefficient, q one "
            "value per row of R."
        )
    words = null or ("all coefficients are zero" if R is None and q is None else "Rθ = q")
    gap, variance = restrictions @ theta - values, restrictions @ vcov @ restrictions.T
    # As correlations, so that the units of the coefficients do not decide on their rank.
    size = np.sqrt(np.diag(variance))
    units = np.where(size > 0, size, 1.0)
    scaled = variance / np.outer(units, units)
    rank = int(np.linalg.matrix_rank(scaled, tol=_RANK, hermitian=True))
    if rank == 0:
        raise ArgumentError(f"{name}: the variance is zero, so there is nothing to test against.")
    ratio = gap / units
    statistic = float(ratio @ np.linalg.pinv(scaled, rcond=_RANK, hermitian=True) @ ratio)
    if df is None or np.isinf(df):
        p = float(special.chdtrc(rank, statistic))
        return HypothesisTest(name, words, statistic, (float(rank),), "chi2", p)
    p = float(special.fdtrc(rank, df, statistic / rank))
    return HypothesisTest(name, words, statistic / rank, (float(rank), float(df)), "F", p)
