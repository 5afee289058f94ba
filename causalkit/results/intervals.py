"""Confidence limits and p-values of one record, for every kind of interval."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

from causalkit.errors import ArgumentError, CausalKitWarning, check_choice
from causalkit.inference.bootstrap import multiplier_bootstrap
from causalkit.inference.variance import sandwich
from causalkit.rng import stream
from causalkit.typing import Floats, Ints

KINDS = ("normal", "t", "bootstrap", "uniform")


def check_kind(kind: str | None, *, df: float, influence: Floats | None) -> str:
    """Kind of interval to use; ``None`` means t where degrees of freedom are finite."""
    if kind is None:
        return "t" if math.isfinite(df) else "normal"
    check_choice("kind of interval", kind, KINDS)
    if kind in ("bootstrap", "uniform") and influence is None:
        raise ArgumentError(
            f"kind={kind!r} resamples influence values, and this result stores none; "
            "use kind='t' or kind='normal'."
        )
    return kind


def bootstrap_t(
    influence: Floats, *, clusters: Sequence[Ints], n_boot: int, seed: int, largest: bool
) -> Floats:
    """Absolute multiplier-bootstrap t-ratios, each column sorted from large to small.

    Each draw is divided by the standard error of the draws themselves, so that intervals use the
    reported standard error with its small-sample factor and spread over repeated splits.

    Parameters
    ----------
    influence : (n, k) array
    clusters : sequence of (n,) int arrays
    n_boot : int
        Draws.
    seed : int
        The same seed gives the same draws, so intervals nest over levels.
    largest : bool
        Replace every column by the largest over the k terms (simultaneous inference).

    Returns
    -------
    (n_boot, k) array
    """
    rng = stream(seed, "multiplier-bootstrap")
    with warnings.catch_warnings():
        # Said when the variance was computed; the result carries it.
        warnings.simplefilter("ignore", CausalKitWarning)
        draws = multiplier_bootstrap(influence, clusters=clusters, n_boot=n_boot, rng=rng)
        scale = np.sqrt(np.diag(sandwich(influence, clusters, ssc="none")))
    ratios = np.abs(draws) / np.where(scale > 0, scale, 1.0)
    if largest:
        ratios = np.repeat(ratios.max(axis=1, keepdims=True), ratios.shape[1], axis=1)
    return -np.sort(-ratios, axis=0)


def quantile_value(kind: str, *, level: float, df: float) -> float:
    """Two-sided quantile of the normal or the t distribution."""
    tail = 0.5 * (1.0 + level)
    return float(stats.norm.ppf(tail) if kind == "normal" else stats.t.ppf(tail, df))


def order_value(ratios: Floats, *, level: float) -> Floats:
    """Critical value per column, exact for ``p = (1 + #{draws ≥ |t|}) / (n_boot + 1)``.

    The returned order statistic makes ``p < 1 - level`` hold precisely for ``|t|`` above it
    (Davison & Hinkley 1997, section 4.2).

    Raises
    ------
    ArgumentError
        If the level is so high that no p-value of this many draws can reach it.
    """
    n_boot = ratios.shape[0]
    # Rounded: 1 - 0.95 exceeds 0.05 by a rounding error, which would admit one draw more.
    rank = math.ceil(round((1.0 - level) * (n_boot + 1), 6)) - 1
    if rank < 1:
        least = math.ceil(round(2.0 / (1.0 - level), 6))
        raise ArgumentError(
            f"{n_boot} bootstrap draws cannot give a {100 * level:g} % interval; "
            f"pass n_boot={least} or more, or use kind='t'."
        )
    critical: Floats = ratios[rank - 1]
    return critical


def normal_p(ratios: Floats, *, kind: str, df: float) -> Floats:
    """Two-sided p-values of t-ratios under the normal or the t distribution."""
    size = np.abs(ratios)
    tail = stats.norm.sf(size) if kind == "normal" else stats.t.sf(size, df)
    return np.asarray(2.0 * tail, dtype=np.float64)


def order_p(ratios: Floats, drawn: Floats) -> Floats:
    """Two-sided bootstrap p-values, never zero: the sample itself counts as a draw."""
    above = (drawn >= np.abs(ratios)).sum(axis=0)
    return np.asarray((1.0 + above) / (drawn.shape[0] + 1.0), dtype=np.float64)


def t_ratios(estimates: Floats, errors: Floats, null: float) -> Floats:
    """``(estimate - null) / std_error``; zero over zero is zero, other ratios to zero infinite."""
    gap = estimates - null
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = gap / errors
    return np.where((errors == 0) & (gap == 0), 0.0, ratios)
