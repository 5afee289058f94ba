"""Static panels with unit heterogeneity: the designs of Fuhr & Papies and of Clarke & Polselli."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.special import ndtri

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.cp_designs import (
    correlated_level,
    doubleml_draws,
    nuisance_values,
    xtdml_draws,
)
from causalkit.generators.rows import observed_rows, panel_data
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Floats

# The paper reports that a step function gave "similar" results without saying which one.
_FORMS: dict[str, Callable[[Floats], Floats]] = {
    "linear": lambda x: x,
    "u-shaped": np.square,
    "step": lambda x: (x > 0.0).astype(np.float64),
}

# Weight of the heterogeneity in the covariates, and in treatment and outcome.
_STRUCTURES = {"A": (0.0, 0.0), "B": (0.0, 1.0), "C": (1.0, 1.0)}


@generator("panel_fp2024", version=1, cite="Fuhr & Papies (2024), arXiv:2409.01266")
def panel_fp2024(
    rng: np.random.Generator | int,
    *,
    structure: Literal["A", "B", "C"] = "C",
    form: Literal["linear", "u-shaped", "step"] = "u-shaped",
    n_units: int = 500,
    n_periods: int = 10,
    theta: float = 1.0,
    gamma: float | Sequence[float] | None = None,
    delta: float | None = None,
    n_confounders: int = 1,
    error_covariance: Literal["auto", "identity", "random"] = "auto",
    time_heterogeneity: bool = False,
    ar: float = 0.0,
    treatment_sd: float = 1.0,
    missing_share: float = 0.0,
    late_entry: float = 0.0,
) -> CausalData:
    r"""Panel of Fuhr & Papies (2024): observed confounding h(x) and unobserved units' levels.

    .. math::

        X_{jit} &= α_{0j} + s_X δ (U_i + U_t) + e_{jit} \\
        D_{it} &= α_1 + \sum_j (γ_j/J) h(X_{jit}) + s δ (U_i + U_t) + η_{it} \\
        Y_{it} &= α_2 + θ D_{it} + \sum_j (γ_j/J) h(X_{jit}) + s δ (U_i + U_t) + μ_{it}

    with α, U, e, η standard normal, and :math:`U_t` only if ``time_heterogeneity``.

    Parameters
    ----------
    rng : Generator or int
        Source of randomness, or a seed.
    structure : {"A", "B", "C"}, default "C"
        Where the heterogeneity acts: nowhere, in D and Y (s = 1), or in X, D and Y (s_X = s = 1).
    form : {"linear", "u-shaped", "step"}, default "u-shaped"
        h(x) = x, x², or 1{x > 0}. The paper leaves its step function open; this one is ours.
    n_units, n_periods : int, default 500 and 10
        Size of the complete panel.
    theta : float, default 1
        Effect of D on Y; 0 is the null design.
    gamma : float or sequence of float, optional
        Strength of the observed confounding, one for all covariates or one each. Default: a fresh
        standard normal draw for each, as in the paper.
    delta : float, optional
        Strength of the heterogeneity, shared by all equations. Default: a standard normal draw.
    n_confounders : int, default 1
        Number J of covariates.
    error_covariance : {"auto", "identity", "random"}, default "auto"
        Covariance of :math:`(e_{1it}, ..., e_{Jit})`: the identity, or Σ = A'A with A standard
        normal and drawn anew in each call. "auto" is the identity for one covariate (the paper's
        baseline) and random for more. The paper's figure over J seems to use "random" at J = 1 too.
    time_heterogeneity : bool, default False
        Add period shocks :math:`δU_t`, U_t ~ N(0, 1), to every equation that has :math:`δU_i`.
    ar : float, default 0
        Serial correlation ρ of the outcome errors, :math:`μ_{it} = ρ μ_{i,t-1} + ν_{it}` with
        ν ~ N(0, 1), started from the stationary distribution (the paper does not say).
    treatment_sd : float, default 1
        Standard deviation of η. An extension: 0 leaves no variation of D within units given X, so
        that nothing identifies θ.
    missing_share, late_entry : float, default 0
        Unbalanced panels, an extension: see :func:`causalkit.generators.rows.observed_rows`.

    Returns
    -------
    CausalData
        Columns ``unit, time, y, d, x1, ..., xJ`` and the extra column ``g0``
        :math:`= \sum_j (γ_j/J) h(X_{jit})`. ``truth.estimands["ate"]`` is ``theta``.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range; the message names it.

    Notes
    -----
    Options other than ``n_units``, ``n_periods`` and ``n_confounders`` leave the draws that two
    calls share untouched: a thinned panel is a subset of the complete one with the same seed.

    With perfect learners, a double ML estimator that ignores the panel has the limit bias
    δ²/(1 + δ²) in (B) and δ²/(1 + 2δ²) in (C).

    References
    ----------
    Fuhr & Papies (2024), arXiv:2409.01266, eq. 7-9 and, for period shocks, eq. 13-15.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.panel_fp2024(0, n_units=50, gamma=1.0, delta=1.0)
    >>> len(data), data.truth.estimands["ate"]
    (500, 1.0)
    """
    rng = as_rng(rng, "panel_fp2024")
    _check_panel_size(n_units, n_periods)
    check_choice("form", form, _FORMS)
    weight_x, weight_dy = _STRUCTURES[check_choice("structure", structure, _STRUCTURES)]
    n_x = check_count("n_confounders", n_confounders, least=1)
    if not -1.0 < ar < 1.0:
        raise ArgumentError(f"ar must lie strictly between -1 and 1, got {ar!r}.")

    # What the options can leave out is drawn all the same, or last, so that it shifts nothing else.
    intercept_x = rng.standard_normal(n_x)
    intercept_d, intercept_y = rng.standard_normal(2)
    gammas = _given(gamma, rng.standard_normal(n_x), name="gamma")
    (strength,) = _given(delta, rng.standard_normal(1), name="delta")
    u = rng.standard_normal((n_units, 1))
    e = rng.standard_normal((n_units, n_periods, n_x))
    eta = treatment_sd * rng.standard_normal((n_units, n_periods))
    mu = _stationary_ar(rng.standard_normal((n_units, n_periods)), ar)
    mixing = rng.standard_normal((n_x, n_x))
    period_shocks = rng.standard_normal(n_periods)

    if _is_random(error_covariance, n_x):
        e = e @ mixing
    shared = strength * (u + period_shocks if time_heterogeneity else np.tile(u, (1, n_periods)))
    x = intercept_x + weight_x * shared[:, :, None] + e  # (n_units, n_periods, n_x)
    g0 = _FORMS[form](x) @ (gammas / n_x)
    d = intercept_d + g0 + weight_dy * shared + eta
    y = intercept_y + theta * d + g0 + weight_dy * shared + mu
    seen = observed_rows(
        rng,
        n_units=n_units,
        n_periods=n_periods,
        missing_share=missing_share,
        late_entry=late_entry,
    )
    return panel_data(y=y, d=d, x=x, g0=g0, seen=seen, estimands={"ate": float(theta)})


def fp2024_grid(n_points: int = 6) -> Floats:
    """Stratified strengths (γ, δ) that stand for the random ones of :func:`panel_fp2024`.

    Means over random γ and δ are noisy; this is every pair of the normal quantiles
    Φ⁻¹((k − ½) / ``n_points``), k = 1, ..., ``n_points``.

    Parameters
    ----------
    n_points : int, default 6
        Quantiles per parameter.

    Returns
    -------
    (n_points², 2) array
        Columns γ and δ.

    Examples
    --------
    >>> from causalkit.generators import fp2024_grid
    >>> fp2024_grid(2).round(3).tolist()
    [[-0.674, -0.674], [-0.674, 0.674], [0.674, -0.674], [0.674, 0.674]]
    """
    n = check_count("n_points", n_points, least=1)
    quantiles = ndtri((np.arange(1, n + 1) - 0.5) / n)
    pairs = np.stack(np.meshgrid(quantiles, quantiles, indexing="ij"), axis=-1)
    return np.asarray(pairs.reshape(-1, 2), dtype=np.float64)


@generator("panel_cp2025", version=2, cite="Clarke & Polselli (2026), Econometrics Journal 29(1)")
def panel_cp2025(
    rng: np.random.Generator | int,
    *,
    dgp: Literal[1, 2, 3] = 1,
    variant: Literal["doubleml", "slides", "xtdml"] = "doubleml",
    n_units: int = 250,
    n_periods: int = 10,
    theta: float = 0.5,
    n_covariates: int = 30,
    rho: float = 0.8,
    treatment_sd: float = 1.0,
    missing_share: float = 0.0,
    late_entry: float = 0.0,
) -> CausalData:
    r"""Panel of Clarke & Polselli: two of many covariates matter, ever less linearly.

    .. math::

        D_{it} = m_0(X_{it}) + c_i + V_{it}, \quad
        Y_{it} = θ D_{it} + g_0(X_{it}) + α_i + U_{it}, \quad U, V \sim N(0, 1)

    with a = 0.25, b = 0.5 and Λ the logistic function, where

    ====  =======================================  =======================================
    dgp   g₀                                       m₀
    ====  =======================================  =======================================
    1     a x₁ + x₃                                a x₁ + x₃
    2     Λ(x₁) + a cos(x₃)                        cos(x₁) + a Λ(x₃)
    3     b x₁x₃ + a x₃ 1{x₃ > 0}                  a x₁ 1{x₁ > 0} + b x₁x₃
    ====  =======================================  =======================================

    * ``variant="doubleml"``: x ~ N(0, variance 5) independently, c ~ N(0, 1) and
      :math:`α_i = ¼(\bar D_i - \bar D) + ¼\,\text{mean}_t(x_{it1} + x_{it3}) + a_i`,
      a ~ N(0, variance 0.95).
    * ``variant="slides"``: the same with x₁ + a x₃ in dgp 1 and x ~ N(0, sd 5), inferred: the
      slides' least squares in dgp 3 has the bias 0.99 at every size, and its limit is 0.993 with
      standard deviation 5, as in the authors' xtdml, and 0.858 with variance 5.
    * ``variant="xtdml"`` (dgp 3 only): A ~ N(3, sd 3), x = A + N(1, sd 5), c ~ N(0, sd 5),
      :math:`α_i = ρ A_i + \sqrt{1 - ρ^2} B_i`, B ~ N(0, 1), and Y has the intercept 1. Its own
      defaults are ``n_covariates=20, n_units=500``.

    Parameters
    ----------
    rng : Generator or int
        Source of randomness, or a seed.
    dgp : {1, 2, 3}, default 1
        Linear, smooth, or not smooth.
    variant : {"doubleml", "slides", "xtdml"}, default "doubleml"
        Whose version of the design.
    n_units, n_periods : int, default 250 and 10
        Size of the complete panel.
    theta : float, default 0.5
        Effect of D on Y; 0 is the null design.
    n_covariates : int, default 30
        Number of covariates, at least 3.
    rho : float, default 0.8
        Share of A in α, in [0, 1]; for ``variant="xtdml"`` alone.
    treatment_sd : float, default 1
        Standard deviation of V. An extension: 0 leaves no variation of D within units given X.
    missing_share, late_entry : float, default 0
        Unbalanced panels, an extension: see :func:`causalkit.generators.rows.observed_rows`. Rows
        go after α has been formed from the complete panel.

    Returns
    -------
    CausalData
        Columns ``unit, time, y, d, x1, ...`` and the extra column ``g0``.
        ``truth.estimands["ate"]`` is ``theta``.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range; the message names it.

    References
    ----------
    Clarke & Polselli (2026), Econometrics Journal 29(1), arXiv:2312.08174; the first variant as in
    ``doubleml.plm.datasets.make_plpr_CP2025``, the last as in ``make_plpr_data`` of xtdml for R.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.panel_cp2025(0, dgp=3, n_units=20, n_covariates=4)
    >>> len(data), data.truth.estimands["ate"]
    (200, 0.5)
    """
    rng = as_rng(rng, "panel_cp2025")
    _check_panel_size(n_units, n_periods)
    check_count("n_covariates", n_covariates, least=3)
    check_choice("variant", variant, ("doubleml", "slides", "xtdml"))
    _check_dgp(dgp, variant, rho)
    shape = (n_units, n_periods)
    if variant == "xtdml":
        x, c, level, u, v = xtdml_draws(rng, shape, n_covariates, rho=rho)
    else:
        sd = 5.0 if variant == "slides" else float(np.sqrt(5.0))
        x, c, level, u, v = doubleml_draws(rng, shape, n_covariates, sd=sd)
    x1, x3 = x[:, :, 0], x[:, :, 2]
    g0, m0 = nuisance_values(x1, x3, dgp, slides=variant == "slides")
    d = m0 + c + treatment_sd * v
    alpha = 1.0 + level if variant == "xtdml" else correlated_level(level, d, x1 + x3)
    y = theta * d + g0 + alpha + u
    seen = observed_rows(
        rng,
        n_units=n_units,
        n_periods=n_periods,
        missing_share=missing_share,
        late_entry=late_entry,
    )
    return panel_data(y=y, d=d, x=x, g0=g0, seen=seen, estimands={"ate": float(theta)})


def _check_panel_size(n_units: int, n_periods: int) -> None:
    """Refuse panels in which nothing varies within or between units."""
    check_count("n_units", n_units, least=2)
    check_count("n_periods", n_periods, least=2)


def _check_dgp(dgp: int, variant: str, rho: float) -> None:
    """Refuse designs that do not exist."""
    if dgp not in (1, 2, 3):
        raise ArgumentError(f"dgp must be 1, 2 or 3, got {dgp!r}.")
    if variant == "xtdml" and dgp != 3:
        raise ArgumentError(f"variant 'xtdml' exists for dgp=3 only, got dgp={dgp}.")
    if not 0.0 <= rho <= 1.0:
        raise ArgumentError(f"rho must lie in [0, 1], got {rho!r}.")


def _given(value: float | Sequence[float] | None, drawn: Floats, *, name: str) -> Floats:
    """Return what the caller fixed, one number or one per entry, else what was drawn."""
    if value is None:
        return drawn
    fixed = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if fixed.size not in (1, drawn.size):
        raise ArgumentError(
            f"{name} has {fixed.size} values; give one, or one for each of {drawn.size}."
        )
    return np.broadcast_to(fixed, drawn.shape)


def _is_random(error_covariance: str, n_confounders: int) -> bool:
    """Whether the covariates' errors get a random covariance."""
    check_choice("error_covariance", error_covariance, ("auto", "identity", "random"))
    return error_covariance == "random" or (error_covariance == "auto" and n_confounders > 1)


def _stationary_ar(innovations: Floats, ar: float) -> Floats:
    """First-order autoregression along the last axis, its first value from the stationary law."""
    # A loop over periods: scipy.signal.lfilter does the same and takes two seconds to import.
    errors = innovations.copy()
    errors[:, 0] /= np.sqrt(1.0 - ar**2)
    for t in range(1, errors.shape[1]):
        errors[:, t] += ar * errors[:, t - 1]
    return errors
