"""Confidence limits and p-values of one record, for every kind of interval."""

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from causalkit.errors import check_choice, check_count
from causalkit.inference.bands import absolute_ratios
from causalkit.inference.bootstrap import normal_draws
from causalkit.rng import stream
from causalkit.typing import Floats

if TYPE_CHECKING:
    from causalkit.results.effect import EffectResult

KINDS = ("normal", "t", "bootstrap", "uniform")


def check_kind(kind: str | None, *, df: float) -> str:
    """Kind of interval to use; ``None`` means t where degrees of freedom are finite."""
    if kind is None:
        return "t" if math.isfinite(df) else "normal"
    return check_choice("kind of interval", kind, KINDS)


def drawn(result: "EffectResult", kind: str, n_boot: int) -> Floats:
    """Sorted bootstrap t-ratios ``(n_boot, k)`` of a result."""
    own = result.df_by_term
    df = result.df if own is None or bool((own == result.df).all()) else own
    seed, joint = result.seed or 0, kind == "uniform"
    return bootstrap_t(result.vcov, n_boot=n_boot, seed=seed, joint=joint, df=df)


def bootstrap_t(
    vcov: Floats, *, n_boot: int, seed: int, joint: bool, df: float | Floats = math.inf
) -> Floats:
    """Absolute t-ratios of multiplier-bootstrap draws, each column sorted from large to small.

    With normal multipliers of clusters a draw is exactly normal given the data, with the variance
    matrix of the result, so it is drawn from that in one step. Joint ratios are those of the
    multivariate t: a band over one term is then its t interval, and one over all differences of
    independent means is Tukey's. Where terms have degrees of freedom of their own, the band of
    each is that of the multivariate t with these (Hasler & Hothorn 2008): a term whose error is
    hardly known does not widen the bands of the others.

    Parameters
    ----------
    vcov : (k, k) array
    n_boot : int
        Draws.
    seed : int
        The same seed gives the same draws, so intervals nest over levels.
    joint : bool
        The largest of the k ratios of each draw in every column (simultaneous inference).
    df : float or (k,) array, default inf
        Degrees of freedom of joint ratios, of all terms or of each.

    Returns
    -------
    (n_boot, k) array

    References
    ----------
    Hasler & Hothorn (2008), Biometrical Journal 50:793.
    """
    count = check_count("n_boot", n_boot, least=1)
    rng = stream(seed, "multiplier-bootstrap")
    draws = normal_draws(vcov, n_boot=count, rng=rng)
    scale = np.sqrt(np.diag(vcov))
    if joint and isinstance(df, np.ndarray):
        return absolute_ratios(draws, scale, joint=True, spread=_error_draws(df, rng.random(count)))
    if joint and math.isfinite(df):
        draws /= np.sqrt(rng.chisquare(df, (count, 1)) / df)
    return absolute_ratios(draws, scale, joint=joint)


def _error_draws(df: Floats, chance: Floats) -> Floats:
    """Estimated over true standard error ``(n_boot, k)``, at the same quantile for all terms."""
    half = 0.5 * np.where(np.isfinite(df), df, 1.0)
    found = np.sqrt(special.gammaincinv(half, chance[:, None]) / half)
    return np.where(np.isfinite(df), found, 1.0)


def quantile_value(kind: str, *, level: float, df: float | Floats = math.inf) -> Floats:
    """Two-sided quantile of the normal or the t distribution, one per degree of freedom."""
    tail = 0.5 * (1.0 + level)
    return np.asarray(special.ndtri(tail) if kind == "normal" else special.stdtrit(df, tail))


def normal_p(ratios: float | Floats, *, kind: str, df: float | Floats = math.inf) -> Floats:
    """Two-sided p-values of t-ratios under the normal or the t distribution; NaN stays NaN."""
    size = np.abs(ratios)
    tail = special.ndtr(-size) if kind == "normal" else special.stdtr(df, -size)
    return np.asarray(2.0 * tail, dtype=np.float64)


def t_ratios(estimates: Floats, errors: Floats, null: float) -> Floats:
    """``(estimate - null) / std_error``; zero over zero is zero, other ratios to zero infinite."""
    gap = estimates - null
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = gap / errors
    return np.where((errors == 0) & (gap == 0), 0.0, ratios)
