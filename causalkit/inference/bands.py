"""Critical values and p-values from draws of t-ratios, for one term or for all at once."""

import math

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.typing import Floats


def absolute_ratios(
    draws: Floats, scale: Floats, *, joint: bool, spread: Floats | None = None
) -> Floats:
    """Absolute t-ratios of draws, each column sorted from large to small.

    Parameters
    ----------
    draws : (n_boot, k) array
        Draws of θ̂* − θ̂.
    scale : (k,) array
        Standard errors of the draws themselves, not those reported: intervals then keep the
        small-sample factors and the spread over repeated splits that these have.
    joint : bool
        Replace every column by the largest ratio of each draw, for statements on all k terms.
    spread : (n_boot, k) array, optional
        What ratios are divided by after that, such as draws of the error of each term.

    Returns
    -------
    (n_boot, k) array
        Zero for a term whose draws never vary: it decides nothing.
    """
    ratios = np.abs(draws) / np.where(scale > 0, scale, 1.0)
    if joint:
        ratios = np.repeat(ratios.max(axis=1, keepdims=True), ratios.shape[1], axis=1)
    if spread is not None:
        ratios = ratios / spread
    return -np.sort(-ratios, axis=0)


def critical_values(ratios: Floats, *, level: float) -> Floats:
    """Critical value of each column, exact for ``p = (1 + #{draws ≥ |t|}) / (n_boot + 1)``.

    The order statistic returned makes ``p < 1 - level`` hold precisely for ``|t|`` above it
    (Davison & Hinkley 1997, section 4.2). Of joint ratios it is the half-width, in standard
    errors, of a simultaneous band.

    Parameters
    ----------
    ratios : (n_boot, k) array
        From :func:`absolute_ratios`.
    level : float
        Probability that the interval, or the whole band, covers.

    Raises
    ------
    ArgumentError
        If the level is so high that no p-value of this many draws can reach it.

    References
    ----------
    Chernozhukov, Chetverikov & Kato (2013); Montiel Olea & Plagborg-Møller (2019).
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


def p_values(statistics: Floats, ratios: Floats) -> Floats:
    """Two-sided p-values of t-ratios, never zero: the sample itself counts as a draw.

    Of joint ratios they are adjusted for looking at all k terms (single-step max-t).
    """
    above = (ratios >= np.abs(statistics)).sum(axis=0)
    return np.asarray((1.0 + above) / (ratios.shape[0] + 1.0), dtype=np.float64)
