"""Instruments: strength of the first stage and over-identification."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from causalkit.errors import (
    ArgumentError,
    IdentificationError,
    WeakInstrumentWarning,
)
from causalkit.inference.hypotheses import HypothesisTest, wald
from causalkit.inference.solve import solve_linear
from causalkit.inference.variance import Ssc, degrees_of_freedom, sandwich
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_RANK = 1e-10


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Strength of the instruments of one treatment.

    Attributes
    ----------
    test : HypothesisTest
        Cluster-robust F test that no instrument matters.
    effective_f : float
        Effective F of Montiel Olea and Pflueger; the robust F itself if there is one instrument.
    critical_value : float
        The effective F above which a bias of more than 10 % of the worst case is rejected at
        5 %, by their simplified, conservative rule; 23.1 for one instrument.
    coefficients : (L,) array
        Of the instrument residuals.
    """

    test: HypothesisTest
    effective_f: float
    critical_value: float
    coefficients: Floats

    @property
    def weak(self) -> bool:
        """Whether the effective F is below its critical value."""
        return self.effective_f < self.critical_value

    def __repr__(self) -> str:
        verdict = "weak" if self.weak else "strong"
        return (
            f"{self.test}; effective F {self.effective_f:.4g} ({verdict}: critical value "
            f"{self.critical_value:.4g})"
        )


def first_stage_f(
    d_res: Floats,
    z_res: Floats,
    *,
    clusters: Sequence[Ints] = (),
    weights: Floats | None = None,
    multiplicity: Floats | Ints | None = None,
    ssc: Ssc = "G/(G-1)",
    df: float | None = None,
    n_absorbed: int = 0,
) -> FirstStage:
    """First-stage F of treatment residuals on instrument residuals.

    With several treatments a large F of each does not rule out weak identification.

    Parameters
    ----------
    d_res : (n,) array
        Residuals of one treatment.
    z_res : (n, L) array
        Residuals of the instruments.
    clusters, multiplicity, ssc
        As in :func:`~causalkit.inference.variance.sandwich`.
    weights : (n,) array, optional
        Row weights.
    df : float, optional
        Denominator degrees of freedom; default a chi-squared test.
    n_absorbed : int, default 0
        Coefficients that were estimated to make the residuals, such as unit effects.

    Raises
    ------
    IdentificationError
        If the instrument residuals are collinear.

    References
    ----------
    Montiel Olea & Pflueger (2013), sections 4.2 and 4.3.
    """
    coefficients, vcov = reduced_form(
        d_res[:, None],
        z_res,
        clusters,
        weights=weights,
        multiplicity=multiplicity,
        ssc=ssc,
        n_absorbed=n_absorbed,
    )
    test = wald(
        coefficients,
        vcov,
        df=df,
        name="First stage",
        null="no instrument moves the treatment",
    )
    gram = (z_res if weights is None else z_res * weights[:, None]).T @ z_res
    spread: Floats = gram @ vcov
    values = np.asarray(np.linalg.eigvals(spread).real, dtype=np.float64)
    return FirstStage(
        test=test,
        effective_f=float(coefficients @ gram @ coefficients / np.trace(spread)),
        critical_value=_effective_critical(values),
        coefficients=coefficients,
    )


def instrumented_estimand(treatments: Floats, instruments: Floats) -> str:
    """Name what instruments identify: an effect on compliers only if both sides are two arms.

    Parameters
    ----------
    treatments, instruments : arrays (n, k), (n, l)
    """
    one_each = treatments.shape[1] == instruments.shape[1] == 1
    arms = one_each and np.isin(treatments, (0.0, 1.0)).all() and np.unique(instruments).size == 2
    return "late" if arms else "iv-slope"


def warn_if_weak(first_stage: FirstStage, *, treatment: str, alone: bool = True) -> None:
    """Warn where instruments are too weak for a Wald interval; robust sets need one treatment."""
    mend = "Read anderson_rubin() of the estimator" if alone else "Name stronger ones"
    if first_stage.weak:
        warn(
            f"weak instruments for {treatment!r}: effective first-stage F "
            f"{first_stage.effective_f:.3g}, below {first_stage.critical_value:.3g}; the estimate "
            f"may be badly biased and its interval wrong. {mend}.",
            WeakInstrumentWarning,
        )


def _effective_critical(values: Floats, *, tau: float = 0.1, size: float = 0.05) -> float:
    """Critical value of the effective F from the eigenvalues of its variance matrix."""
    x, total = 1.0 / tau, float(values.sum())
    spread = float(values @ values) + 2.0 * x * total * float(values.max())
    effective = total**2 * (1.0 + 2.0 * x) / spread
    return float(stats.ncx2.ppf(1.0 - size, effective, x * effective) / effective)


def reduced_form(
    targets: Floats,
    z_res: Floats,
    clusters: Sequence[Ints],
    *,
    weights: Floats | None,
    multiplicity: Floats | Ints | None,
    ssc: Ssc,
    n_absorbed: int,
) -> tuple[Floats, Floats]:
    """Coefficients of the instruments for each target, stacked, and their joint variance."""
    solutions = []
    for target in targets.T:
        score = LinearScore(z_res[:, None], z_res[:, None], target[:, None])
        try:
            solutions += solve_linear(score, weights=weights)
        except IdentificationError as error:
            raise IdentificationError(
                "the instruments are collinear given the covariates, or fully explained by them; "
                "leave one out."
            ) from error
    influence = np.hstack([solution.influence for solution in solutions])
    vcov = sandwich(
        influence,
        clusters,
        ssc=ssc,
        multiplicity=multiplicity,
        n_params=z_res.shape[1] + n_absorbed,
    )
    return np.concatenate([solution.theta for solution in solutions]), vcov


def hansen_j(
    y_res: Floats,
    d_res: Floats,
    z_res: Floats,
    *,
    clusters: Sequence[Ints] = (),
    weights: Floats | None = None,
    multiplicity: Floats | Ints | None = None,
) -> HypothesisTest:
    """Test whether all instruments agree on one effect (over-identifying restrictions).

    Two-step efficient GMM on residuals; cluster-robust weights from two-stage least squares.

    Parameters
    ----------
    y_res : (n,) array
    d_res : (n, k) array
    z_res : (n, L) array, L > k
    clusters, weights, multiplicity
        As in :func:`first_stage_f`.

    Raises
    ------
    ArgumentError, IdentificationError
        If there are no more instruments than treatments, or no more clusters than instruments.

    References
    ----------
    Hansen (1982).
    """
    n_treatments, n_instruments = d_res.shape[1], z_res.shape[1]
    if n_instruments <= n_treatments:
        raise ArgumentError(
            f"{n_instruments} instruments and {n_treatments} treatments leave nothing to test; "
            "the J test needs more instruments than treatments."
        )
    zw = z_res if weights is None else z_res * weights[:, None]
    mean_y, mean_d = zw.T @ y_res / y_res.size, zw.T @ d_res / y_res.size

    def gap(weight: Floats) -> tuple[Floats, Floats]:
        """Minimiser of the weighted moments, and the moments left there."""
        theta = np.linalg.solve(mean_d.T @ weight @ mean_d, mean_d.T @ weight @ mean_y)
        return np.asarray(theta, dtype=np.float64), mean_y - mean_d @ theta

    first, _ = gap(np.asarray(np.linalg.pinv(zw.T @ z_res, hermitian=True), dtype=np.float64))
    moments = zw * (y_res - d_res @ first)[:, None]
    variance = sandwich(moments, clusters, ssc="none", multiplicity=multiplicity)
    size = np.sqrt(np.diag(variance))
    rank = np.linalg.matrix_rank(variance / np.outer(size, size), tol=_RANK, hermitian=True)
    if min(rank, degrees_of_freedom(clusters, y_res.size)) < n_instruments:
        raise IdentificationError(
            f"the variance of {n_instruments} moments needs more independent clusters than moments "
            "and moments that are not collinear; cluster finer, or leave instruments out."
        )
    weight = np.asarray(np.linalg.inv(variance), dtype=np.float64)
    _, left = gap(weight)
    statistic, spare = float(left @ weight @ left), float(n_instruments - n_treatments)
    null, p = "all instruments are valid for one common effect", stats.chi2.sf(statistic, spare)
    return HypothesisTest("Hansen J", null, statistic, (spare,), "chi2", float(p))
