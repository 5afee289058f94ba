"""Anderson-Rubin: a test and a confidence set that hold however weak the instruments are."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import linalg, stats

from causalkit.errors import check_level
from causalkit.inference.hypotheses import HypothesisTest, wald
from causalkit.inference.instruments import reduced_form
from causalkit.inference.variance import Ssc
from causalkit.typing import Floats, Ints

_FINITE = 1e-10  # an eigenvalue whose inverse is smaller is infinite


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
    n_absorbed: int = 0,
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
    weights, df, n_absorbed
        As in :func:`~causalkit.inference.instruments.first_stage_f`.
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
    coefficients, vcov = reduced_form(
        pair,
        z_res,
        clusters,
        weights=weights,
        multiplicity=multiplicity,
        ssc=ssc,
        n_absorbed=n_absorbed,
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
    finite = np.abs(bottom) > _FINITE * np.abs(top)
    values = top[finite] / bottom[finite]
    real = np.abs(values.imag) <= 1e-7 * (1.0 + np.abs(values.real))
    return np.asarray(np.unique(values[real].real) * unit, dtype=np.float64)
