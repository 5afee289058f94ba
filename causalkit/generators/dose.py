"""Treatments with more than two values: doses, and several arms."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.responses import UnitResponse, check_ranges, mean_name, rows_for_test
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Floats

# E[4 max(x₁, x₆)³ / (1 + 2 x₃²) · sin x₄] for independent uniforms.
_SLOPE = 1.6 * math.atan(math.sqrt(2.0)) / math.sqrt(2.0) * (1.0 - math.cos(1.0))


@generator(
    "dose_synthetic",
    version=1,
    estimands=("E[Y(0.3)]", "E[Y(0.5)]", "E[Y(0.8)]"),
    cite="Nie, Ye, Liu & Nicolae (2021), ICLR (VCNet), synthetic data",
)
def dose_synthetic(
    rng: np.random.Generator | int,
    *,
    n: int = 700,
    h: float = 1.0,
    h_train: float | None = None,
    h_test: float | None = None,
    n_test: int = 0,
    effect: float = 1.0,
    overlap: bool = True,
) -> CausalData:
    r"""Continuous dose t in (0, h) that depends on six uniform covariates.

    .. math::

        \tilde t &= \frac{10 \sin \max(x_1, x_2, x_3) + \max(x_3, x_4, x_5)^3}{1 + (x_1 + x_5)^2}
            + \sin(.5 x_3)(1 + e^{x_4 - .5 x_3}) + x_3^2 + 2 \sin x_4 + 2 x_5 - 6.5 + N(0, .25) \\
        Y &= \cos(2π(t/h - .5)) [(t/h)^2 + \frac{4 \max(x_1, x_6)^3}{1 + 2 x_3^2} \sin x_4]
            + N(0, .25)

    with t = h / (1 + exp(−t̃)). Where training and test doses differ, t = h_train / (1 + exp(−t̃))
    for training rows, t = h_test / (1 + exp(−t̃)) for test rows, and h is the larger of the two. The
    published designs are 500 and 200 rows with h = 1 (VCNet), and 5000 and 200 rows with 4 and 5
    (TransTEE): ``dose_synthetic(seed, n=5200, n_test=200, h_train=4.0, h_test=5.0)``.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 700
        All rows, those of the test included.
    h : float, default 1
        Largest dose.
    h_train, h_test : float, optional
        Largest dose of training and of test rows; by default ``h``.
    n_test : int, default 0
        The last rows, for which an extra column ``test`` is 1. Without any there is no such column.
    effect : float, default 1
        Multiplies the curve; 0 is the null design, in which no dose matters.
    overlap : bool, default True
        False removes the noise of the dose and makes it ten times as steep in the covariates, so
        that each unit could have had one dose only.

    Returns
    -------
    CausalData
        Columns ``y, t, x1, ..., x6``. ``truth.dose_response`` is the mean outcome at any dose, in
        closed form; the estimands are its values at 0.3, 0.5 and 0.8 of h, as ``"E[Y(dose)]"``.
        ``truth.unit_response`` is the curve of each unit.

    Raises
    ------
    ArgumentError
        If a largest dose is not positive, or ``n`` leaves fewer than 2 training rows.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.dose_synthetic(0, n=50)
    >>> round(data.truth.estimands["E[Y(0.5)]"], 4)
    0.7468
    """
    rng = as_rng(rng, "dose_synthetic")
    check_count("n", n, least=2)
    if not h > 0:
        raise ArgumentError(f"h must be positive, got {h!r}.")
    test = np.arange(n) >= n - rows_for_test(n_test, n=n)
    low, high = (h if top is None else top for top in (h_train, h_test))
    h = check_ranges(low, high)
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
    t = np.where(test, high, low) * expit(pull + noise_t if overlap else 10.0 * pull)
    slope = 4.0 * x[:, [0, 5]].max(axis=1) ** 3 / (1.0 + 2.0 * x[:, 2] ** 2) * np.sin(x[:, 3])
    y = effect * _curve(t / h, slope) + noise_y
    names = [f"x{j + 1}" for j in range(6)]
    frame = pd.DataFrame({"y": y, "t": t}).join(pd.DataFrame(x, columns=names))
    response = partial(_mean_curve, h=h, effect=effect)
    if n_test:
        frame["test"] = test.astype(np.int64)

    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=names,
        extra="test" if n_test else (),
        kinds=("dose",),
        truth=Truth(
            {mean_name(part * h): float(response(part * h)) for part in (0.3, 0.5, 0.8)},
            dose_response=response,
            unit_response=UnitResponse(
                partial(_parts, h=h), effect * np.column_stack([np.ones(n), slope])
            ),
        ),
    )


def _curve(share: Floats, slope: Floats | float) -> Floats:
    """Mean outcome at a share of the largest dose."""
    return np.asarray(np.cos(2.0 * np.pi * (share - 0.5)) * (share**2 + slope))


def _mean_curve(dose: Any, *, h: float, effect: float) -> Floats:
    """Mean outcome at a dose, in closed form."""
    return np.asarray(effect * _curve(np.asarray(dose, dtype=np.float64) / h, _SLOPE))


def _parts(dose: Any, *, h: float) -> Floats:
    """The two functions of the dose that the curves of units mix, ``(2, ...)``."""
    share = np.asarray(dose, dtype=np.float64) / h
    wave = np.cos(2.0 * np.pi * (share - 0.5))
    return np.stack([wave * share**2, wave])


@generator(
    "multi_arm",
    version=1,
    estimands=("ate[t=1]", "ate[t=2]"),
    cite="design of this library",
)
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
        Columns ``y, t, x1, ..., xp``. Estimands ``"ate[t=k]"``: arm k against arm 0. These effects
        of every unit are ``truth.cate`` ``(n, n_arms - 1)``, of two arms ``(n,)``.

    Raises
    ------
    ArgumentError
        If a count is too small.

    Examples
    --------
    >>> import causalkit as ck
    >>> ck.generators.multi_arm(0, n=50).truth.estimands
    {'ate[t=1]': 1.0, 'ate[t=2]': 2.0}
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
    effects = effect * (1.0 + 0.5 * x[:, [0]]) * np.arange(1, arms)
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=names,
        kinds=("multi",),
        truth=Truth(
            {f"ate[t={k}]": float(k * effect) for k in range(1, arms)},
            cate=effects if arms > 2 else effects[:, 0],
        ),
    )
