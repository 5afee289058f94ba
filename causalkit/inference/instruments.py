"""Instruments: strength of the first stage, weak-instrument-robust sets, over-identification."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import linalg, stats

from causalkit.errors import (
    ArgumentError,
    IdentificationError,
    WeakInstrumentWarning,
    check_level,
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

    Raises
    ------
    IdentificationError
        If the instrument residuals are collinear.

    References
    ----------
    Montiel Olea & Pflueger (2013), sections 4.2 and 4.3.
    """
    coefficients, vcov = _reduced_form(
        d_res[:, None], z_res, clusters, weights=weights, multiplicity=multiplicity, ssc=ssc
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


def warn_if_weak(first_stage: FirstStage, *, treatment: str) -> None:
    """Warn where instruments are too weak for a Wald interval."""
    if first_stage.weak:
        warn(
            f"weak instruments for {treatment!r}: effective first-stage F "
            f"{first_stage.effective_f:.3g}, below {first_stage.critical_value:.3g}; the estimate "
            "may be badly biased and its interval wrong. Read the Anderson-Rubin interval.",
            WeakInstrumentWarning,
        )


def _effective_critical(values: Floats, *, tau: float = 0.1, size: float = 0.05) -> float:
    """Critical value of the effective F from the eigenvalues of its variance matrix."""
    x, total = 1.0 / tau, float(values.sum())
    spread = float(values @ values) + 2.0 * x * total * float(values.max())
    effective = total**2 * (1.0 + 2.0 * x) / spread
    return float(stats.ncx2.ppf(1.0 - size, effective, x * effective) / effective)


@dataclass(frozen=True, slots=True)
class AndersonRubin:
    """Inference on an instrumented effect that is valid however weak the instruments are.

    Attributes
    ----------
    test : HypothesisTest
        Of the null value.
    intervals : tuple of (low, high)
        All values that are not rejected: disjoint, in order, with infinite ends where the
        instruments cannot exclude anything. Empty if every value is rejected, which says that
        the instruments contradict each other.
    level : float
    """

    test: HypothesisTest
    intervals: tuple[tuple[float, float], ...]
    level: float

    @property
    def shape(self) -> str:
        """Shape of the set: "empty", "interval", "half-line", "line" or "disjoint"."""
        if len(self.intervals) != 1:
            return "disjoint" if self.intervals else "empty"
        infinite = sum(bool(np.isinf(end)) for end in self.intervals[0])
        return ("interval", "half-line", "line")[infinite]

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    def __repr__(self) -> str:
        closed = " or ".join(f"[{low:.4g}, {high:.4g}]" for low, high in self.intervals)
        words = closed.replace("[-inf", "(-inf").replace("inf]", "inf)")
        if self.shape == "line":
            words += " (no value is rejected)"
        words = words or "empty (the instruments contradict each other)"
        return f"Anderson-Rubin {100 * self.level:g} % confidence set: {words}. {self.test}"


def anderson_rubin(
    y_res: Floats,
    d_res: Floats,
    z_res: Floats,
    *,
    clusters: Sequence[Ints] = (),
    weights: Floats | None = None,
    multiplicity: Floats | Ints | None = None,
    ssc: Ssc = "G/(G-1)",
    df: float | None = None,
    null: float = 0.0,
    level: float = 0.95,
) -> AndersonRubin:
    """Anderson–Rubin test and confidence set for one instrumented treatment.

    θ₀ is rejected if the instruments explain Y − θ₀D: a robust Wald test of their coefficients
    π_y − θ₀π_d. The set is exact, not searched: its ends are the roots of a polynomial in θ₀,
    a quadratic with one instrument.

    Parameters
    ----------
    y_res, d_res : (n,) arrays
        Residuals of the outcome and of the treatment.
    z_res : (n, L) array
        Residuals of the instruments.
    clusters, multiplicity, ssc
        As in :func:`~causalkit.inference.variance.sandwich`.
    weights : (n,) array, optional
        Row weights.
    df : float, optional
        Denominator degrees of freedom; default a chi-squared test.
    null : float, default 0
        Value for the test.
    level : float, default 0.95
        Confidence level of the set.

    Raises
    ------
    IdentificationError
        If the instrument residuals are collinear.

    References
    ----------
    Anderson & Rubin (1949); Chernozhukov & Hansen (2008) for the robust regression form.
    """
    check_level(level)
    pair = np.column_stack([y_res, d_res])
    coefficients, vcov = _reduced_form(
        pair, z_res, clusters, weights=weights, multiplicity=multiplicity, ssc=ssc
    )
    size = z_res.shape[1]
    pi_y, pi_d = coefficients[:size], coefficients[size:]
    cross = vcov[:size, size:] + vcov[size:, :size]
    curve = _Curve(pi_y, pi_d, vcov[:size, :size], cross, vcov[size:, size:])
    if df is None or np.isinf(df):
        critical = float(stats.chi2.ppf(level, size))
    else:
        critical = size * float(stats.f.ppf(level, size, df))
    test = wald(
        *curve.at(null),
        df=df,
        name="Anderson-Rubin",
        null=f"the effect is {null:g} and the instruments are valid",
    )
    return AndersonRubin(test, _accepted(curve, critical), level)


@dataclass(frozen=True, slots=True)
class _Curve:
    """Coefficients of the instruments for Y − θD and their variance, as functions of θ."""

    pi_y: Floats
    pi_d: Floats
    v_yy: Floats
    v_cross: Floats
    v_dd: Floats

    def at(self, theta: float) -> tuple[Floats, Floats]:
        variance = self.v_yy - theta * self.v_cross + theta**2 * self.v_dd
        return self.pi_y - theta * self.pi_d, variance

    def statistic(self, theta: float) -> float:
        gap, variance = self.at(theta)
        return float(gap @ np.linalg.solve(variance, gap))


def _accepted(curve: _Curve, critical: float) -> tuple[tuple[float, float], ...]:
    """Values of θ whose statistic is at most the critical value."""
    roots = _crossings(curve, critical)
    ends = [-np.inf, *roots.tolist(), np.inf]
    found: list[tuple[float, float]] = []
    for low, high in pairwise(ends):
        if curve.statistic(_between(low, high)) > critical:
            continue
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)


def _between(low: float, high: float) -> float:
    """Some number inside an interval that may be unbounded."""
    if np.isinf(low) and np.isinf(high):
        return 0.0
    if np.isinf(low):
        return high - 1.0 - abs(high)
    return low + 1.0 + abs(low) if np.isinf(high) else 0.5 * (low + high)


def _crossings(curve: _Curve, critical: float) -> Floats:
    """Real θ at which the statistic equals the critical value.

    They are the roots of det [[V(θ), π(θ)], [π(θ)', c]] = det V(θ) (c − π(θ)'V(θ)⁻¹π(θ)), the
    eigenvalues of a quadratic matrix polynomial.
    """
    # In units of instruments and θ in which all variances are about one.
    of_y, of_d = np.diag(curve.v_yy), np.diag(curve.v_dd)
    unit = float(np.sqrt(np.mean(of_y / of_d)))
    each = np.sqrt(of_y + unit**2 * of_d)
    square = np.outer(each, each)
    size = each.size + 1
    parts = np.zeros((3, size, size))
    parts[0, :-1, :-1] = curve.v_yy / square
    parts[1, :-1, :-1] = -unit * curve.v_cross / square
    parts[2, :-1, :-1] = unit**2 * curve.v_dd / square
    parts[0, :-1, -1] = parts[0, -1, :-1] = curve.pi_y / each
    parts[1, :-1, -1] = parts[1, -1, :-1] = -unit * curve.pi_d / each
    parts[0, -1, -1] = critical
    eye, zero = np.eye(size), np.zeros((size, size))
    left = np.block([[zero, eye], [-parts[0], -parts[1]]])
    right = np.block([[eye, zero], [zero, parts[2]]])
    top, bottom = linalg.eigvals(left, right, homogeneous_eigvals=True)
    finite = np.abs(bottom) > _RANK * np.abs(top)
    values = top[finite] / bottom[finite]
    real = np.abs(values.imag) <= 1e-7 * (1.0 + np.abs(values.real))
    return np.asarray(np.unique(values[real].real) * unit, dtype=np.float64)


def _reduced_form(
    targets: Floats,
    z_res: Floats,
    clusters: Sequence[Ints],
    *,
    weights: Floats | None,
    multiplicity: Floats | Ints | None,
    ssc: Ssc,
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
        influence, clusters, ssc=ssc, multiplicity=multiplicity, n_params=z_res.shape[1]
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
