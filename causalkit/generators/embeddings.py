"""Randomised trial whose units have four numbers where images would be."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from causalkit.data import CausalData, Truth
from causalkit.errors import check_count
from causalkit.generators.image_trials import (
    Noise,
    checked_effects,
    checked_spreads,
    drawn_trial,
    source,
)
from causalkit.generators.spec import generator

_LOGIT = (-0.3, 2.0, -1.0)


@generator("embedding_rct", version=1, cite="design of this library")
def embedding_rct(
    rng: np.random.Generator | int | None = None,
    *,
    n: int = 800,
    tau: Sequence[float] = (-0.5, 1.5),
    sigma: float = 1.0,
    noise: Noise = "normal",
    overlap: bool = True,
    seed: int | None = None,
) -> CausalData:
    r"""Randomised trial with two types of units that four standard normal numbers tell apart.

    .. math::

        P(Z = 1 | E) &= 1/(1 + \exp(.3 - 2 E_1 + E_2)) \\
        Y &= .6 E_3 + T τ_Z + σ ε, \quad T \sim \mathrm{Bernoulli}(.5)

    for mixtures of effects without the burden of images: E is an embedding that is known.

    Parameters
    ----------
    rng : Generator or int, optional
    n : int, default 800
    tau : sequence of float, default (-.5, 1.5)
        Effects of the two types; equal ones are the null design.
    sigma : float, default 1
        Standard deviation of the noise.
    noise : {"normal", "exponential", "student_t"}, default "normal"
        Exponential noise is centred, with skewness 2; Student's t has 3 degrees of freedom, scaled
        to variance 1, and no kurtosis.
    overlap : bool, default True
        False treats units with E₃ > 0 and no other, so that propensities are 0 and 1 and treatment
        is confounded.
    seed : int, optional
        The same as an integer ``rng``.

    Returns
    -------
    CausalData
        Columns ``y, t, E1, ..., E4``. ``truth`` has, by row, ``cate`` and ``mu0`` given E, and
        ``cluster_labels`` Z.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range.

    Examples
    --------
    >>> import causalkit as ck
    >>> round(ck.generators.embedding_rct(seed=0).truth.estimands["ate"], 4)
    0.4154
    """
    rng = source(rng, seed, "embedding_rct")
    check_count("n", n, least=2)
    checked_spreads(sigma=sigma)
    low, high = checked_effects(tau, 2)
    e = rng.standard_normal((n, 4))
    trial = drawn_trial(rng, n, rule=None if overlap else e[:, 2], noise=noise)
    constant, *slopes = _LOGIT
    chance = expit(constant + e[:, :2] @ slopes)
    labels = (trial.lottery < chance).astype(np.int64)
    mu0, cate = 0.6 * e[:, 2], low + chance * (high - low)
    y = mu0 + trial.treated * np.where(labels == 1, high, low) + sigma * trial.noise
    names = [f"E{j + 1}" for j in range(4)]
    frame = pd.DataFrame({"y": y, "t": trial.treated}).join(pd.DataFrame(e, columns=names))
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates=names,
        kinds=("binary",),
        truth=Truth(
            {"ate": float(low + _share() * (high - low))},
            cate=cate,
            mu0=mu0,
            mu1=mu0 + cate,
            propensity=trial.propensity,
            cluster_labels=labels,
        ),
    )


def _share() -> float:
    """Share of the second type: its probability, averaged over the normal logit."""
    constant, *slopes = _LOGIT
    spread = math.hypot(*slopes)
    value, _ = quad(lambda z: expit(constant + spread * z) * norm.pdf(z), -12.0, 12.0)
    return float(value)
