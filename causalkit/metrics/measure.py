"""A number with its Monte-Carlo error, and the forms of which every measure is made."""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    check_choice,
    check_count,
    check_level,
)
from causalkit.typing import Floats

Kind = Literal["mean", "share", "sd", "ratio", "quantile"]
KINDS: tuple[Kind, ...] = ("mean", "share", "sd", "ratio", "quantile")

LEAST_REPLICATIONS = 30
# Below 4 % relative error in the bootstrap's own spread; the cost does not grow with R.
_DRAWS = 400
# Half-width of a 95 % interval in standard errors.
Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Measure:
    """A performance measure and its Monte-Carlo standard error (MCSE).

    Attributes
    ----------
    value : float
        The measure; NaN if there are too few replications for it.
    mcse : float
        Standard deviation that ``value`` would have over repetitions of the whole study.
    low, high : float or None
        95 % interval of the measure where it is not ``value`` ± 1.96 ``mcse``: Wilson's for
        shares.
    """

    value: float
    mcse: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the measure itself."""
        low = self.value - Z95 * self.mcse if self.low is None else self.low
        high = self.value + Z95 * self.mcse if self.high is None else self.high
        return low, high


def as_values(name: str, values: Any, *, infinite: bool = False) -> Floats:
    """Return one number per replication as float64, or say what is wrong with them.

    Parameters
    ----------
    name : str
        For messages.
    values : (R,) array
        Any real or boolean array.
    infinite : bool
        Whether infinite values have a meaning, as they have for interval bounds.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the array is not one-dimensional or holds values that cannot be used.
    """
    array = as_numbers(name, values)
    if array.ndim != 1:
        raise ArgumentError(
            f"{name} must hold one number per replication, shape (R,), got shape {array.shape}."
        )
    bad = np.isnan(array) if infinite else ~np.isfinite(array)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ArgumentError(
            f"{name} is {array[rows[0]]} in {rows.size} of {array.size} replications (first: "
            f"position {rows[0]}); leave them out and count them, no measure can use them."
        )
    return array


def as_numbers(name: str, values: Any) -> Floats:
    """Numbers of any shape as float64, or an ArgumentTypeError for what is none."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{name} must hold numbers, and cannot be read as such: {error}."
        ) from error


def check_together(**arrays: Floats) -> None:
    """Raise unless all arrays have one length."""
    sizes = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ArgumentError(f"lengths differ: {told}; pass the same replications, in one order.")


def spread(values: Floats) -> float:
    """Standard deviation with divisor R - 1; NaN for fewer than two values."""
    if values.size < 2:
        return math.nan
    # Rounding in the mean would give equal values a spread, and all that is divided by it sense.
    return 0.0 if is_constant(values) else float(values.std(ddof=1))


def spreads(rows: Floats) -> Floats:
    """Standard deviation of each row, as :func:`spread` has it for one, ``(G,)``."""
    if rows.shape[1] < 2:
        return np.full(rows.shape[0], np.nan)
    return np.where((rows == rows[:, :1]).all(axis=1), 0.0, rows.std(axis=1, ddof=1))


def is_constant(values: Floats) -> bool:
    """Whether all values are the same number."""
    return bool((values == values[:1]).all())


def mean_of(values: Any) -> Measure:
    """Mean over replications, with MCSE sd/√R.

    Every error of an effect curve, ranking or clustering is one number per replication, and is
    summarised so. An infinite value (the width of an unbounded interval) makes the mean
    infinite and its MCSE NaN; no replication at all makes both NaN.

    Parameters
    ----------
    values : (R,) array
        One number per replication.

    Raises
    ------
    ArgumentError
        If a value is NaN.

    Examples
    --------
    >>> mean_of([1.0, 2.0, 3.0, 6.0]).value
    3.0
    """
    x = as_values("values", values, infinite=True)
    if not x.size:
        return Measure(math.nan, math.nan)
    if not np.isfinite(x).all():
        signs = set(np.sign(x[np.isinf(x)]))
        return Measure(math.nan if len(signs) > 1 else signs.pop() * math.inf, math.nan)
    return Measure(float(x.mean()), spread(x) / math.sqrt(x.size))


def share_of(count: float, n: int) -> Measure:
    """Share ``count``/``n`` with MCSE √(p(1 − p)/n) and Wilson's 95 % interval.

    Parameters
    ----------
    count : float
        Replications in which the event happened.
    n : int
        Replications, R; zero gives NaN.

    Raises
    ------
    ArgumentError
        If ``count`` is not between 0 and ``n``.

    References
    ----------
    Morris, White & Crowther (2019), table 6; Wilson (1927).
    """
    if not 0 <= count <= n:
        raise ArgumentError(f"a count must lie between 0 and {n}, got {count}.")
    if n == 0:
        return Measure(math.nan, math.nan)
    p = float(count) / n
    low, high = wilson(p, n)
    return Measure(p, math.sqrt(p * (1.0 - p) / n), low, high)


def wilson(p: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share ``p`` seen in ``n`` replications.

    Raises
    ------
    ArgumentError
        If ``p`` is no share, ``n`` no positive count or ``level`` not inside (0, 1).

    References
    ----------
    Wilson (1927), JASA 22:209.
    """
    check_count("n", n, least=1)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"a share must lie between 0 and 1, got {p}.")
    low, high = wilsons(np.array([p]), np.array([float(n)]), level=level)
    return float(low[0]), float(high[0])


def wilsons(p: Floats, n: Floats, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's intervals of shares seen in ``n`` replications each, whole numbers or not."""
    z2 = NormalDist().inv_cdf(0.5 + check_level(level) / 2.0) ** 2 / n
    middle = (p + z2 / 2.0) / (1.0 + z2)
    half = np.sqrt(z2 * p * (1.0 - p) + z2**2 / 4.0) / (1.0 + z2)
    # The ends are exact at p = 0 and p = 1, which rounding would miss.
    return np.where(p == 0.0, 0.0, middle - half), np.where(p == 1.0, 1.0, middle + half)


def median_of(values: Any, *, rng: np.random.Generator) -> Measure:
    """Median over replications with its bootstrap MCSE; see :func:`quantile_of`."""
    return quantile_of(values, 0.5, rng=rng)


def quantile_of(values: Any, q: float, *, rng: np.random.Generator) -> Measure:
    """Quantile over replications (linear interpolation) with its bootstrap MCSE.

    The j-th smallest value of a bootstrap sample is the ⌈R·U⌉-th smallest of the values, U being
    the j-th smallest of R uniform numbers: a Beta(j, R − j + 1) number. So 400 draws of the
    bootstrap quantile, exact in distribution, cost 400 Beta numbers and one sort, whatever R is.

    Parameters
    ----------
    values : (R,) array
        One number per replication. Infinite values are ordered as they are.
    q : float
        Between 0 and 1.
    rng : Generator
        Source of the bootstrap.

    Raises
    ------
    ArgumentError
        If a value is NaN or ``q`` is outside [0, 1].

    References
    ----------
    Efron (1979), Annals of Statistics 7:1; Maritz & Jarrett (1978), JASA 73:194.
    """
    x = as_values("values", values, infinite=True)
    value, mcse = quantiles_of(x[None, :], q, rng=rng)
    return Measure(float(value[0]), float(mcse[0]))


def quantiles_of(rows: Floats, q: float, *, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Quantile of each row and its bootstrap MCSE; all rows share one set of bootstrap draws.

    Parameters
    ----------
    rows : (G, R) array
        Replications of one group in each row, without NaN.
    q, rng
        As in :func:`quantile_of`, which is the case of one row.

    Returns
    -------
    value, mcse : (G,) arrays
        NaN without replications; the MCSE also with one, and where a draw is infinite.

    Raises
    ------
    ArgumentError
        If ``q`` is outside [0, 1].
    """
    if not 0.0 <= q <= 1.0:
        raise ArgumentError(f"q must lie between 0 and 1, got {q}.")
    size, n = rows.shape
    nothing = np.full(size, np.nan)
    if n == 0:
        return nothing, nothing
    x = np.sort(rows, axis=1)
    # Rounded: 0.95 * 100 must not interpolate towards the next value because of its last bit.
    position = round((n - 1) * q, 9)
    rank = min(math.floor(position), n - 1)
    part = position - rank
    value = np.asarray(_between(x[:, rank], x[:, min(rank + 1, n - 1)], part), dtype=np.float64)
    if n == 1:
        return value, nothing
    lower = rng.beta(rank + 1, n - rank, _DRAWS)
    drawn = x[:, _index(lower, n)]
    if part > 0.0:
        # Next order statistic given this one: the smallest of n - rank - 1 numbers above it.
        gap = -np.expm1(np.log1p(-rng.random(_DRAWS)) / (n - rank - 1))
        drawn = _between(drawn, x[:, _index(lower + (1.0 - lower) * gap, n)], part)
    finite = np.isfinite(drawn).all(axis=1)
    mcse = np.full(size, np.nan)
    mcse[finite] = spreads(drawn[finite])
    return value, mcse


def _between(low: Any, high: Any, part: float) -> Any:
    """Point between two values; an infinite one is not multiplied by zero."""
    return low if part == 0.0 else (1.0 - part) * low + part * high


def _index(uniform: Floats, n: int) -> Any:
    """Positions in the sorted values."""
    return np.minimum((uniform * n).astype(np.int64), n - 1)


def with_truth_error(measure: Measure, *, truth_mcse: float, slope: float = 1.0) -> Measure:
    """Add the error of a truth that was itself simulated, in quadrature.

    Parameters
    ----------
    measure : Measure
        Computed as if the truth were exact.
    truth_mcse : float
        Monte-Carlo standard error of the truth.
    slope : float
        Derivative of the measure with respect to the truth: 1 for bias, 2·bias for the MSE,
        bias/RMSE for the RMSE (signs do not matter).
    """
    if truth_mcse == 0.0:
        return measure
    return replace(measure, mcse=math.hypot(measure.mcse, slope * truth_mcse), low=None, high=None)


def rule_mcse(measure: Measure, *, kind: str, n: int) -> float:
    """MCSE as the stopping rule sees it: never zero, and never met by too few replications.

    A share of 0 or 1 has a binomial MCSE of zero, which says nothing about precision; the rule
    uses p = (x + 2)/(R + 4). Where the MCSE is NaN the rule sees infinity.

    Parameters
    ----------
    measure : Measure
        What is to become precise.
    kind : {"mean", "share", "sd", "ratio", "quantile"}
        Form of the measure, as in :class:`~causalkit.metrics.simulation.MeasureSpec`.
    n : int
        Replications, R.

    Raises
    ------
    ArgumentError
        If the kind is unknown or ``n`` negative.

    References
    ----------
    Agresti & Coull (1998), The American Statistician 52:119.

    Examples
    --------
    >>> round(rule_mcse(share_of(100, 100), kind="share", n=100), 4)
    0.0137
    """
    check_choice("kind of measure", kind, KINDS)
    check_count("n", n, least=0)
    if kind == "share" and n > 0 and not math.isnan(measure.value):
        p = (measure.value * n + 2.0) / (n + 4.0)
        return math.sqrt(p * (1.0 - p) / n)
    return math.inf if math.isnan(measure.mcse) else measure.mcse


def replications_for_share(mcse: float, *, p: float = 0.95) -> int:
    """Replications until a share near ``p`` has the given MCSE: p(1 − p)/MCSE².

    Examples
    --------
    >>> replications_for_share(0.005)
    1900
    """
    if not 0.0 < p < 1.0:
        raise ArgumentError(f"p must lie strictly between 0 and 1, got {p}.")
    return replications_for_mean(mcse, sd=math.sqrt(p * (1.0 - p)))


def replications_for_mean(mcse: float, *, sd: float) -> int:
    """Replications until a mean of values with spread ``sd`` has the given MCSE: (sd/MCSE)².

    Raises
    ------
    ArgumentError
        If ``mcse`` is not positive or ``sd`` negative.

    References
    ----------
    Morris, White & Crowther (2019), section 5.3.
    """
    if not (mcse > 0.0 and 0.0 <= sd < math.inf):
        raise ArgumentError(
            f"a target MCSE must be positive and a spread finite, got mcse={mcse}, sd={sd}."
        )
    # Rounded: 0.0475 / 0.005**2 exceeds 1900 by its last bit.
    return max(1, math.ceil(round((sd / mcse) ** 2, 6)))
