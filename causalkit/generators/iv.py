"""Instruments that may be invalid: one with a direct effect, or many of which some are valid."""

import math
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Bools, Floats

_EFFECTS = ("linear", "constant", "null")
_NUISANCES = ("linear", "nonlinear", "sparse")
_VALID = ("all", "majority", "plurality", "none")


@generator(
    "invalid_iv",
    version=1,
    cite="design of this library for Sun, Cui & Tchetgen Tchetgen (2022), JMLR 23",
)
def invalid_iv(
    rng: np.random.Generator | int,
    *,
    n: int = 2000,
    p: int = 2,
    direct: float = 0.7,
    confounding: float = 1.5,
    effect: Literal["linear", "constant", "null"] = "linear",
    nuisance: Literal["linear", "nonlinear", "sparse"] = "linear",
    exposure: Literal["binary", "continuous"] = "binary",
    weak: float = 0.0,
    interaction: float = 0.0,
    one_sided: bool = False,
    overlap: bool = True,
) -> CausalData:
    r"""One binary instrument that affects the outcome directly, and an unmeasured confounder.

    .. math::

        π(L) &= \mathrm{expit}(.5 L_1 - .4 L_2), \quad U ~ U(-1, 1) \\
        P(A = 1 | Z, L, U) &= .5 - .38 (1 - weak) Z + .05 \tanh(L_2) (1 + Z)/2 + .07 U \\
        Y &= β(L) A + direct · Z (1 + \tfrac{4}{7} L_2) + .5 L_2 + confounding · U + .3 ε

    so that the variance of A given L, not only its mean, moves with Z: what identifies the effect
    is V₁(L) − V₀(L). Two-stage least squares and adjustment for L are both biased.

    Parameters
    ----------
    rng : Generator or int
        Source of randomness, or a seed.
    n : int, default 2000
        Rows.
    p : int, default 2
        Covariates, standard normal; at least five for ``nuisance="sparse"``.
    direct : float, default 0.7
        Direct effect of the instrument; 0 makes it valid.
    confounding : float, default 1.5
        Effect of U on the outcome; 0 means none.
    effect : {"linear", "constant", "null"}
        β(L) = 1 + L₁/2, 1, or 0.
    nuisance : {"linear", "nonlinear", "sparse"}
        Whether sines, products and steps of L replace L, or five of many covariates act.
    exposure : {"binary", "continuous"}
        A continuous exposure is 1 + .5 L₂ + .5 U + σ_Z ε with σ_Z = 1 + .8 (1 − weak) Z.
    weak : float in [0, 1], default 0
        1 leaves V₁ = V₀: the effect is not identified.
    interaction : float in [0, 1], default 0
        Makes U act on the exposure by ``1 - interaction`` where Z = 1, against the assumption that
        U and Z do not interact.
    one_sided : bool, default False
        Nobody with Z = 0 is exposed, and U does not act on the exposure.
    overlap : bool, default True
        False makes Z a function of L₁ where |L₁| > 1.

    Returns
    -------
    CausalData
        Columns ``y, a, z, l1, ..., lp`` and the extra column ``u``. The truth holds the average
        effect, β(L) by row, and for a binary exposure P(A = 1 | Z, L).

    Raises
    ------
    ArgumentError
        If a parameter is outside its range; the message names it.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.invalid_iv(0, n=500)
    >>> len(data), data.truth.estimands["ate"]
    (500, 1.0)
    """
    rng = as_rng(rng, "invalid_iv")
    check_count("n", n, least=2)
    check_choice("effect", effect, _EFFECTS)
    check_choice("nuisance", nuisance, _NUISANCES)
    check_choice("exposure", exposure, ("binary", "continuous"))
    check_count("p", p, least=5 if nuisance == "sparse" else 2)
    for name, value in (("weak", weak), ("interaction", interaction)):
        if not 0.0 <= value <= 1.0:
            raise ArgumentError(f"{name} must lie in [0, 1], got {value!r}.")
    if one_sided and exposure == "continuous":
        raise ArgumentError('one_sided needs exposure="binary": it is about who is exposed.')

    covariates = rng.standard_normal((n, p))
    u = rng.uniform(-1.0, 1.0, n)
    coin_z, coin_a = rng.random((2, n))
    noise_y, noise_a = rng.standard_normal((2, n))

    first, second, extra = _nuisance_terms(covariates, nuisance)
    instrument_share = expit(0.5 * first - 0.4 * second)
    if not overlap:
        certain = np.abs(covariates[:, 0]) > 1.0
        instrument_share = np.where(certain, covariates[:, 0] > 0.0, instrument_share)
    z = (coin_z < instrument_share).astype(np.float64)
    share = None
    if exposure == "binary":
        mean, push = _exposure_share(z, second, weak=weak, one_sided=one_sided)
        share = mean
        a = (coin_a < mean + push * (1.0 - interaction * z) * u).astype(np.float64)
    else:
        shift = 0.5 * (1.0 - interaction * z) * u
        a = 1.0 + 0.5 * second + shift + (1.0 + 0.8 * (1.0 - weak) * z) * noise_a
    beta = {"linear": 1.0 + 0.5 * covariates[:, 0], "constant": np.ones(n), "null": np.zeros(n)}[
        effect
    ]
    path = direct * z * (1.0 + 4.0 / 7.0 * second)
    y = beta * a + path + 0.5 * second + extra + confounding * u + 0.3 * noise_y

    names = [f"l{j + 1}" for j in range(p)]
    frame = pd.DataFrame({"y": y, "a": a, "z": z, "u": u}).join(
        pd.DataFrame(covariates, columns=names)
    )
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="a",
        covariates=names,
        instruments="z",
        extra="u",
        kinds=(exposure,),
        truth=Truth(
            {"ate": 0.0 if effect == "null" else 1.0},
            cate=beta,
            propensity=share,
            valid_instruments=np.array([direct == 0.0]),
        ),
    )


def _nuisance_terms(covariates: Floats, nuisance: str) -> tuple[Floats, Floats, Floats]:
    """The two terms that act everywhere, and what acts on the outcome alone."""
    one, two = covariates[:, 0], covariates[:, 1]
    if nuisance == "nonlinear":
        return np.sin(2.0 * one) + 0.5 * one * two, np.cos(two) + (one > 0.5) - 1.0, 0.5 * one * two
    if nuisance == "sparse":
        return one + 0.6 * covariates[:, 2], two, 0.5 * covariates[:, 3] - 0.4 * covariates[:, 4]
    return one, two, np.zeros(one.size)


def _exposure_share(
    z: Floats, second: Floats, *, weak: float, one_sided: bool
) -> tuple[Floats, float]:
    """P(A = 1 | Z, L), and the coefficient of U."""
    if one_sided:
        return z * (0.5 + 0.05 * np.tanh(second)), 0.0
    return 0.5 - 0.38 * (1.0 - weak) * z + 0.025 * np.tanh(second) * (1.0 + z), 0.07


@generator(
    "iv_many",
    version=1,
    cite="Kang, Zhang, Cai & Small (2016), JASA 111; Guo, Kang, Cai & Small (2018), JRSS B 80",
)
def iv_many(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_instruments: int = 10,
    valid: Literal["all", "majority", "plurality", "none"] = "majority",
    theta: float = 1.0,
    strength: float = 0.3,
    many_weak: bool = False,
    heteroskedastic: bool = False,
    confounding: float = 0.5,
) -> CausalData:
    r"""Many candidate instruments, some of which affect the outcome directly.

    .. math:: A = \sum_j γ_j Z_j + c U + v, \quad Y = θ A + \sum_j α_j Z_j + c U + ε

    with Z, U, v, ε standard normal. Instrument j is valid if α_j = 0.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 1000
    n_instruments : int, default 10
        At least 3; 5 for a plurality below half.
    valid : {"majority", "plurality", "all", "none"}
        More than half are valid; fewer than half, but more than share any other ratio α_j/γ_j; all;
        none, with all ratios different.
    theta : float, default 1
        Effect; 0 is the null design.
    strength : float, default 0.3
        γ_j; divided by √(n/1000) if ``many_weak``, so that instruments stay weak as n grows.
    many_weak, heteroskedastic : bool
        The latter scales ε by |Z₁|.
    confounding : float, default 0.5
        c.

    Returns
    -------
    CausalData
        Columns ``y, a, z1, ..., zL``; ``truth.valid_instruments`` is the mask.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.iv_many(0, n=100, n_instruments=5, valid="majority")
    >>> data.truth.valid_instruments.tolist()
    [True, True, True, False, False]
    """
    rng = as_rng(rng, "iv_many")
    check_count("n", n, least=2)
    check_choice("valid", valid, _VALID)
    least = 5 if valid == "plurality" else 3
    count = check_count("n_instruments", n_instruments, least=least)
    z = rng.standard_normal((n, count))
    u, v, e = rng.standard_normal((3, n))
    gamma = np.full(count, strength / (math.sqrt(n / 1000.0) if many_weak else 1.0))
    mask, ratios = _direct_ratios(count, valid)
    if heteroskedastic:
        e = e * np.abs(z[:, 0])
    a = z @ gamma + confounding * u + v
    y = theta * a + z @ (ratios * gamma) + confounding * u + e
    names = [f"z{j + 1}" for j in range(count)]
    frame = pd.DataFrame({"y": y, "a": a}).join(pd.DataFrame(z, columns=names))
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="a",
        instruments=names,
        kinds=("continuous",),
        truth=Truth({"ate": float(theta)}, valid_instruments=mask),
    )


def _direct_ratios(count: int, valid: str) -> tuple[Bools, Floats]:
    """Mask of the valid instruments, and α_j/γ_j of all."""
    n_valid = {
        "all": count,
        "majority": count // 2 + 1,
        "plurality": max(2, math.ceil(count / 2) - 1),
        "none": 0,
    }[valid]
    mask = np.arange(count) < n_valid
    # Invalid instruments have different ratios, so that no larger group agrees on a wrong effect.
    ratios = np.where(mask, 0.0, 0.5 + 0.5 * (np.arange(count) - n_valid))
    return mask, ratios
