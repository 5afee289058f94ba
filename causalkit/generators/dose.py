"""Treatments with more than two values: doses, several arms, and arms with doses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Floats

# E[4 max(x₁, x₆)³ / (1 + 2 x₃²) · sin x₄] for independent uniforms.
_SLOPE = 1.6 * math.atan(math.sqrt(2.0)) / math.sqrt(2.0) * (1.0 - math.cos(1.0))


@generator(
    "dose_synthetic",
    version=1,
    estimands=("adrf[0.3]", "adrf[0.5]", "adrf[0.8]"),
    cite="Nie, Ye, Liu & Nicolae (2021), ICLR (VCNet), synthetic data",
)
def dose_synthetic(
    rng: np.random.Generator | int,
    *,
    n: int = 700,
    h: float = 1.0,
    effect: float = 1.0,
    overlap: bool = True,
) -> CausalData:
    r"""Continuous dose t in (0, h) that depends on six uniform covariates.

    .. math::

        \tilde t &= \frac{10 \sin \max(x_1, x_2, x_3) + \max(x_3, x_4, x_5)^3}{1 + (x_1 + x_5)^2}
            + \sin(.5 x_3)(1 + e^{x_4 - .5 x_3}) + x_3^2 + 2 \sin x_4 + 2 x_5 - 6.5 + N(0, .25) \\
        Y &= \cos(2π(t/h - .5)) [(t/h)^2 + \frac{4 \max(x_1, x_6)^3}{1 + 2 x_3^2} \sin x_4]
            + N(0, .25)

    with t = h / (1 + exp(−t̃)).

    Parameters
    ----------
    rng : Generator or int
    n : int, default 700
    h : float, default 1
        Largest dose.
    effect : float, default 1
        Multiplies the curve; 0 is the null design, in which no dose matters.
    overlap : bool, default True
        False removes the noise of the dose and makes it ten times as steep in the covariates, so
        that each unit could have had one dose only.

    Returns
    -------
    CausalData
        Columns ``y, t, x1, ..., x6``. ``truth.dose_response`` is the mean outcome at any dose, in
        closed form; the estimands are its values at 0.3, 0.5 and 0.8 of h.

    Raises
    ------
    ArgumentError
        If ``h`` is not positive or ``n`` is less than 2.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.dose_synthetic(0, n=50)
    >>> round(data.truth.estimands["adrf[0.5]"], 4)
    0.7468
    """
    rng = as_rng(rng, "dose_synthetic")
    check_count("n", n, least=2)
    if not h > 0:
        raise ArgumentError(f"h must be positive, got {h!r}.")
    x = rng.random((n, 6))
    noise_t, noise_y = 0.5 * rng.standard_normal((2, n))
    pull = (
        (10.0 * np.sin(x[:, :3].max(axis=1)) + x[:, 2:5].max(axis=1) ** 3)
        / (1.0 + (x[:, 0] + x[:, 4]) ** 2)
        + np.sin(0.5 * x[:, 2]) * (1.0 + np.exp(x[:, 3] - 0.5 * x[:, 2]))
        + x[:, 2] ** 2
        + 2.0 * np.sin(x[:, 3])
        + 2.0 * x[:, 4]
        - 6.5
    )
    t = h * expit(pull + noise_t if overlap else 10.0 * pull)
    slope = 4.0 * x[:, [0, 5]].max(axis=1) ** 3 / (1.0 + 2.0 * x[:, 2] ** 2) * np.sin(x[:, 3])
    y = effect * _curve(t / h, slope) + noise_y
    names = [f"x{j + 1}" for j in range(6)]
    frame = pd.DataFrame({"y": y, "t": t}).join(pd.DataFrame(x, columns=names))

    def response(dose: Any) -> Floats:
        return np.asarray(effect * _curve(np.asarray(dose, dtype=np.float64) / h, _SLOPE))

    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=names,
        kinds=("dose",),
        truth=Truth(
            {f"adrf[{part}]": float(response(part * h)) for part in (0.3, 0.5, 0.8)},
            dose_response=response,
        ),
    )


def _curve(share: Floats, slope: Floats | float) -> Floats:
    """Mean outcome at a share of the largest dose."""
    return np.asarray(np.cos(2.0 * np.pi * (share - 0.5)) * (share**2 + slope))


@generator("multi_arm", version=1, estimands=("ate[1]", "ate[2]"), cite="design of this library")
def multi_arm(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_arms: int = 3,
    p: int = 5,
    effect: float = 1.0,
    selection: float = 1.0,
    overlap: bool = True,
) -> CausalData:
    r"""Several arms that covariates choose between.

    .. math::

        P(T = k | x) \propto \exp(selection · x_{k+1}), \quad
        Y = x'β + effect · T (1 + .5 x_1) + N(0, 1)

    with β_j = 1/j and x standard normal, arms 0, ..., K − 1.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 1000
    n_arms : int, default 3
        At least 2.
    p : int, default 5
        Covariates, at least as many as arms.
    effect : float, default 1
        Arm k has the average effect ``k * effect``; 0 is the null design.
    selection : float, default 1
        0 is a randomised trial.
    overlap : bool, default True
        False gives every unit the arm of its largest selection score.

    Returns
    -------
    CausalData
        Columns ``y, t, x1, ..., xp``. Estimands ``"ate[k]"``: arm k against arm 0.

    Raises
    ------
    ArgumentError
        If a count is too small.

    Examples
    --------
    >>> import causalkit as ck
    >>> ck.generators.multi_arm(0, n=50).truth.estimands
    {'ate[1]': 1.0, 'ate[2]': 2.0}
    """
    rng = as_rng(rng, "multi_arm")
    check_count("n", n, least=2)
    arms = check_count("n_arms", n_arms, least=2)
    check_count("p", p, least=arms)
    x = rng.standard_normal((n, p))
    gumbel = rng.gumbel(size=(n, arms))
    noise = rng.standard_normal(n)
    score = selection * x[:, :arms]
    t = (score + gumbel if overlap else score).argmax(axis=1)
    y = x @ (1.0 / np.arange(1, p + 1)) + effect * t * (1.0 + 0.5 * x[:, 0]) + noise
    names = [f"x{j + 1}" for j in range(p)]
    frame = pd.DataFrame({"y": y, "t": t}).join(pd.DataFrame(x, columns=names))
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=names,
        kinds=("multi",),
        truth=Truth({f"ate[{k}]": float(k * effect) for k in range(1, arms)}),
    )


@generator(
    "dosage",
    version=1,
    estimands=("outcome[arm 2, dose 0.5]",),
    cite="Schwab et al. (2020), AAAI (DRNet), TCGA dosage, on simulated expression",
)
def dosage(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_genes: int = 200,
    selection: float = 2.0,
    dose_selection: float = 2.0,
    noise_sd: float = 0.2,
    effect: float = 1.0,
    overlap: bool = True,
) -> CausalData:
    r"""Three arms with a dose u in [0, 1], and covariates like gene expression.

    Outcome surfaces of the TCGA dosage benchmark, with unit vectors v of each arm and C = 10:

    .. math::

        y_0 &= C (v_0'x + 12 u (u - .75 r)^2), \quad r = v_1'x / v_2'x \\
        y_1 &= C (v_0'x + \sin(π u r)) \\
        y_2 &= C (v_0'x + 12 (u v_1'x - u^2 v_2'x))

    The covariates are exp of a low-rank normal matrix, scaled to [0, 1] by gene and to unit length
    by row, since the original counts may not be passed on.

    Parameters
    ----------
    rng : Generator or int
    n, n_genes : int, default 1000 and 200
    selection : float, default 2
        κ of the softmax by which arms are chosen.
    dose_selection : float, default 2
        α ≥ 1 of the Beta distribution of the dose around its best value; 1 is uniform.
    noise_sd : float, default 0.2
    effect : float, default 1
        Multiplies everything that depends on arm and dose; 0 is the null design.
    overlap : bool, default True
        False gives every unit the arm with its highest outcome.

    Returns
    -------
    CausalData
        Columns ``y, arm, dose, x1, ...``. ``truth.dose_response(arm, dose)`` is the mean outcome of
        these units (``scope="sample"``); the estimand is the mean outcome of arm 2 at dose 0.5.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range.

    References
    ----------
    Schwab, Linhardt, Bauer, Buhmann & Karlen (2020), AAAI 34, 5612-5619.
    """
    rng = as_rng(rng, "dosage")
    check_count("n", n, least=2)
    check_count("n_genes", n_genes, least=10)
    if not dose_selection >= 1.0:
        raise ArgumentError(f"dose_selection must be at least 1, got {dose_selection!r}.")
    x = _expression(rng, n, n_genes)
    vectors = rng.uniform(0.0, 10.0, (3, 3, n_genes))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    scores = np.einsum("kvj,ij->kvi", vectors, x)
    best = _best_doses(scores)
    second = np.where(best > 0.001, (dose_selection - 1.0) / np.maximum(best, 0.001), 1.0)
    second = np.where(best >= 1.0, 1.0, second + (2.0 - dose_selection) * (best > 0.001))
    doses = rng.beta(dose_selection, np.maximum(second, 1e-3))
    doses[1:] = np.where(best[1:] <= 0.001, 1.0 - doses[1:], doses[1:])
    surfaces = np.stack([_surface(scores, k, doses[k], effect) for k in range(3)])
    pull = selection * surfaces / np.abs(surfaces).max()
    gumbel = rng.gumbel(size=(3, n))
    arm = (pull + gumbel if overlap else surfaces).argmax(axis=0)
    rows = np.arange(n)
    y = surfaces[arm, rows] + noise_sd * rng.standard_normal(n)
    names = [f"x{j + 1}" for j in range(n_genes)]
    frame = pd.DataFrame({"y": y, "arm": arm, "dose": doses[arm, rows]}).join(
        pd.DataFrame(x, columns=names)
    )
    response = _mean_response(scores, effect)
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment=["arm", "dose"],
        covariates=names,
        kinds=("multi", "dose"),
        truth=Truth(
            {"outcome[arm 2, dose 0.5]": float(response(2, 0.5))},
            dose_response=response,
            scope="sample",
        ),
    )


def _expression(rng: np.random.Generator, n: int, n_genes: int) -> Floats:
    """Non-negative covariates of low rank with heavy tails, rows of unit length."""
    factors = rng.standard_normal((n, 10)) @ rng.standard_normal((10, n_genes)) / math.sqrt(10.0)
    raw = np.exp(factors + 0.5 * rng.standard_normal((n, n_genes)))
    raw = (raw - raw.min(axis=0)) / np.ptp(raw, axis=0)
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float64)


def _best_doses(scores: Floats) -> Floats:
    """Dose at which each arm does best for each unit, (3, n)."""
    ratio = 0.75 * scores[0, 1] / scores[0, 2]
    first = np.where(ratio >= 0.75, ratio / 3.0, 1.0)
    others = [scores[1, 2] / (2.0 * scores[1, 1]), scores[2, 1] / (2.0 * scores[2, 2])]
    best: Floats = np.clip(np.stack([first, *others]), 0.0, 1.0)
    return best


def _surface(scores: Floats, arm: int, u: Floats | float, effect: float) -> Floats:
    """Mean outcome of each unit under an arm and dose."""
    zero, one, two = scores[arm]
    part = {
        0: lambda: 12.0 * u * (u - 0.75 * one / two) ** 2,
        1: lambda: np.sin(np.pi * u * one / two),
        2: lambda: 12.0 * (u * one - u**2 * two),
    }[arm]()
    base = scores[0, 0] if effect == 0.0 else zero
    return np.asarray(10.0 * (base + effect * part))


def _mean_response(scores: Floats, effect: float) -> Callable[[int, float], float]:
    """Mean outcome over the units as a function of arm and dose."""

    def response(arm: int, dose: float) -> float:
        return float(_surface(scores, arm, dose, effect).mean())

    return response
