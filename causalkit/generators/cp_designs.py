"""The pieces of Clarke & Polselli's designs: draws, nuisance functions, unit level."""

import numpy as np
from scipy.special import expit

from causalkit.typing import Floats

_A, _B = 0.25, 0.5

# Covariates (n_units, n_periods, p), level of D and part of the level of Y that is drawn
# (n_units, 1), errors of Y and D (n_units, n_periods).
Draws = tuple[Floats, Floats, Floats, Floats, Floats]


def doubleml_draws(
    rng: np.random.Generator, shape: tuple[int, int], n_covariates: int, *, sd: float
) -> Draws:
    """Draw in the order of DoubleML's ``make_plpr_CP2025``, so that equal draws give equal data."""
    n_units, _ = shape
    a = rng.normal(0.0, np.sqrt(0.95), (n_units, 1))
    c = rng.standard_normal((n_units, 1))
    x = rng.normal(0.0, sd, (*shape, n_covariates))
    u = rng.standard_normal(shape)
    v = rng.standard_normal(shape)
    return x, c, a, u, v


def xtdml_draws(
    rng: np.random.Generator, shape: tuple[int, int], n_covariates: int, *, rho: float
) -> Draws:
    """Draw as ``make_plpr_data`` of xtdml does: covariates carry the unit level A."""
    n_units, _ = shape
    level = rng.normal(3.0, 3.0, (n_units, 1))
    other = rng.standard_normal((n_units, 1))
    c = rng.normal(0.0, 5.0, (n_units, 1))
    x = level[:, :, None] + rng.normal(1.0, 5.0, (*shape, n_covariates))
    u = rng.standard_normal(shape)
    v = rng.standard_normal(shape)
    return x, c, rho * level + np.sqrt(1.0 - rho**2) * other, u, v


def nuisance_values(x1: Floats, x3: Floats, dgp: int, *, slides: bool) -> tuple[Floats, Floats]:
    """Return g₀ and m₀, each of the shape of ``x1``."""
    if dgp == 1:
        g0 = x1 + _A * x3 if slides else _A * x1 + x3
        return g0, g0
    if dgp == 2:
        return expit(x1) + _A * np.cos(x3), np.cos(x1) + _A * expit(x3)
    product = _B * x1 * x3
    return product + _A * np.maximum(x3, 0.0), _A * np.maximum(x1, 0.0) + product


def correlated_level(a: Floats, d: Floats, x_sum: Floats) -> Floats:
    """Return α = ¼(D̄ᵢ − D̄) + ¼ mean over t of (x₁ + x₃) + aᵢ, shape (n_units, 1)."""
    d_bar: Floats = d.mean(axis=1, keepdims=True)
    x_bar: Floats = x_sum.mean(axis=1, keepdims=True)
    d_mean = float(d.mean())
    return a + 0.25 * (d_bar - d_mean) + 0.25 * x_bar
