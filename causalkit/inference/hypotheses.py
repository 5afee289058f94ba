"""Hypothesis tests: small records that state their null."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from causalkit.errors import ArgumentError
from causalkit.typing import Floats

_RANK = 1e-10
_ROUNDING = 1e-9


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
    hotelling: bool = False,
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
        the number of restrictions r, as in Stata and in linearmodels. Default or infinite:
        chi-squared.
    hotelling : bool, default False
        The F test of Hotelling: W (df − r + 1)/(r df) has F(r, df − r + 1), W the statistic, where
        the whole variance of the restrictions was estimated with df degrees of freedom, not only
        its scale. F(r, df) rejects too often where r is no small part of df: with 10 clusters and
        5 restrictions in 27 %.
    name, null : str
        Words for the record.

    Raises
    ------
    ArgumentError
        If shapes disagree, or Hotelling's test has fewer degrees of freedom than restrictions.

    References
    ----------
    Hotelling (1931); Anderson (2003), An Introduction to Multivariate Statistical Analysis, 5.2.

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
    left = float(df)
    if hotelling:
        check_restrictions(rank, left, name=name)
        left, statistic = left - rank + 1.0, statistic * (left - rank + 1.0) / left
    p = float(special.fdtrc(rank, left, statistic / rank))
    return HypothesisTest(name, words, statistic / rank, (float(rank), left), "F", p)


def check_restrictions(count: int, df: float, *, name: str) -> None:
    """Refuse more restrictions than degrees of freedom: their variance cannot be told.

    Raises
    ------
    ArgumentError
    """
    if count > df:
        raise ArgumentError(
            f"{name}: {count} restrictions at once, and their variance has {df:.4g} degrees of "
            "freedom, such as clusters less one, of all or of the smallest group; no joint test "
            "has its size then. Test fewer terms, or merge small groups."
        )


def is_certain(theta: Floats, vcov: Floats, *, R: Floats, q: Floats) -> bool:
    """Whether Rθ differs from q in a combination that has no variance: no chance explains that.

    Parameters
    ----------
    theta, vcov, R, q : arrays
        As in :func:`wald`, which passes over such combinations.
    """
    gap, variance = R @ theta - q, R @ vcov @ R.T
    size = np.sqrt(np.diag(variance))
    units = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(variance / np.outer(units, units))
    without = vectors[:, values <= _RANK]
    found = np.abs(without.T @ (gap / units))
    # Of the size of the numbers that cancel: less than this is their rounding.
    rounding = _ROUNDING * np.abs(without).T @ ((np.abs(R) @ np.abs(theta) + np.abs(q)) / units)
    return bool((found > rounding).any())
