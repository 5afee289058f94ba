"""Orthogonal scores: every one here has the form ψ(W; θ) = z (y − x'θ)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from causalkit.errors import ArgumentError, IdentificationError, check_choice
from causalkit.typing import Floats

Target = Literal["ate", "att", "atc"]

# Residuals below this share of the treatment's spread are rounding, not variation.
_ROUNDING = 1e-8


@dataclass(frozen=True, slots=True)
class LinearScore:
    """A score that is linear in θ, evaluated at cross-fitted nuisances, for every repeat.

    Attributes
    ----------
    instrument : (n, n_rep, k) array
        z, what the residual must be orthogonal to.
    regressor : (n, n_rep, k) array
        x, what θ multiplies.
    response : (n, n_rep) array
        y.
    """

    instrument: Floats
    regressor: Floats
    response: Floats


def partialling_out(
    y: Floats,
    d: Floats,
    *,
    outcome_hat: Floats | None = None,
    treatment_hat: Floats | None = None,
) -> LinearScore:
    """Robinson score (Y − ℓ − θ'(D − m))(D − m) of the partially linear model.

    Parameters
    ----------
    y : (n,) array, or (n, n_rep) residuals
        Outcome.
    d : (n,) or (n, k) array, or (n, n_rep, k) residuals
        One or several treatments; several have a joint θ.
    outcome_hat : (n, n_rep) array, optional
        Cross-fitted ℓ = E[Y | F]. None: ``y`` holds residuals already, as after a transformation
        of the residuals; the same for the treatment.
    treatment_hat : (n, n_rep) or (n, n_rep, k) array, optional
        Cross-fitted m = E[D | F].

    Raises
    ------
    ArgumentError
        If shapes disagree.
    IdentificationError
        If the residuals of a treatment are numerically zero.

    References
    ----------
    Robinson (1988); Chernozhukov et al. (2018), eq. 4.4.
    """
    y_res = y if outcome_hat is None else _outcome_residual(y, outcome_hat)
    if treatment_hat is None:
        return LinearScore(d, d, y_res)
    d_res = _residual(_columns(d), treatment_hat, "treatment_hat")
    _check_variation(d, d_res)
    return LinearScore(d_res, d_res, y_res)


def iv_type(
    y: Floats,
    d: Floats,
    *,
    outcome_hat: Floats | None = None,
    treatment_hat: Floats | None = None,
    treatment_residual: Floats | None = None,
) -> LinearScore:
    """Score (Y − g − θ'D)(D − m) of the partially linear model.

    Parameters
    ----------
    y : (n,) array, or (n, n_rep) differences Y − g
        Outcome.
    d : (n,) or (n, k) array, or (n, n_rep, k) array
        One or several treatments.
    outcome_hat : (n, n_rep) array, optional
        Cross-fitted g: predictions of Y − θ'D at a first-round θ, not of Y. None: ``y`` holds
        Y − g already.
    treatment_hat : (n, n_rep) or (n, n_rep, k) array, optional
        Cross-fitted m = E[D | F].
    treatment_residual : (n, n_rep, k) array, optional
        D − m in place of ``treatment_hat``, as after a transformation of the residuals.

    Raises
    ------
    ArgumentError
        If shapes disagree.
    IdentificationError
        If the residuals of a treatment are numerically zero.

    References
    ----------
    Chernozhukov et al. (2018), eq. 4.3.
    """
    y_res = y if outcome_hat is None else _outcome_residual(y, outcome_hat)
    if (treatment_hat is None) == (treatment_residual is None):
        raise ArgumentError("give either treatment_hat or treatment_residual.")
    if treatment_hat is None:
        d_res = np.asarray(treatment_residual)
    else:
        d_res = _residual(_columns(d), treatment_hat, "treatment_hat")
        _check_variation(d, d_res)
    regressor = d if d.ndim == 3 else np.broadcast_to(_columns(d)[:, None, :], d_res.shape)
    return LinearScore(d_res, regressor, y_res)


def pliv(
    y: Floats,
    d: Floats,
    z: Floats,
    *,
    outcome_hat: Floats | None = None,
    treatment_hat: Floats | None = None,
    instrument_hat: Floats | None = None,
    weights: Floats | None = None,
) -> LinearScore:
    """Score (Y − ℓ − θ'(D − r)) Π(Z − m) of the partially linear IV model.

    With as many instruments as treatments their residuals enter as they are. With more, what
    enters is the pooled first stage: treatment residuals projected on instrument residuals over
    all rows, so that θ̂ is two-stage least squares on residuals.

    Parameters
    ----------
    y : (n,) array, or (n, n_rep) residuals
        Outcome.
    d : (n,) or (n, k) array, or (n, n_rep, k) residuals
        Treatments.
    z : (n,) or (n, L) array, or (n, n_rep, L) residuals
        Instruments, L ≥ k.
    outcome_hat : (n, n_rep) array, optional
        Cross-fitted E[Y | F]. None: ``y`` holds residuals already, as after a transformation of
        the residuals; the same for the two others.
    treatment_hat : (n, n_rep) or (n, n_rep, k) array, optional
    instrument_hat : (n, n_rep) or (n, n_rep, L) array, optional
    weights : (n,) array, optional
        Row weights of the first stage.

    Raises
    ------
    ArgumentError
        If there are fewer instruments than treatments, or shapes disagree.

    References
    ----------
    Chernozhukov et al. (2018), section 4.2.
    """
    y_res = y if outcome_hat is None else _outcome_residual(y, outcome_hat)
    d_res = d if treatment_hat is None else _residual(_columns(d), treatment_hat, "treatment_hat")
    z_res = (
        z if instrument_hat is None else _residual(_columns(z), instrument_hat, "instrument_hat")
    )
    if z_res.shape[2] < d_res.shape[2]:
        raise ArgumentError(
            f"{d_res.shape[2]} treatments need at least as many instruments, got "
            f"{z_res.shape[2]}; add instruments or leave a treatment out."
        )
    if z_res.shape[2] == d_res.shape[2]:
        return LinearScore(z_res, d_res, y_res)
    w = np.ones(len(y_res)) if weights is None else weights
    fitted = np.empty_like(d_res)
    for repeat in range(y_res.shape[1]):
        instruments = z_res[:, repeat]
        weighted = instruments * w[:, None]
        gram, cross = weighted.T @ instruments, weighted.T @ d_res[:, repeat]
        fitted[:, repeat] = instruments @ np.linalg.lstsq(gram, cross, rcond=None)[0]
    return LinearScore(fitted, d_res, y_res)


def aipw(
    y: Floats,
    d: Floats,
    *,
    mu0: Floats,
    mu1: Floats,
    propensity: Floats,
    target: Target = "ate",
) -> LinearScore:
    """Augmented inverse-probability score of a binary treatment.

    Parameters
    ----------
    y : (n,) array
        Outcome.
    d : (n,) array
        Treatment, coded 0/1.
    mu0, mu1, propensity : (n, n_rep) arrays
        Cross-fitted E[Y | D = 0, F], E[Y | D = 1, F] and P(D = 1 | F). ``mu1`` is not used by
        ``"att"``, nor ``mu0`` by ``"atc"``.
    target : {"ate", "att", "atc"}
        Average over everyone, the treated or the untreated.

    Raises
    ------
    ArgumentError
        If the treatment is not 0/1, a propensity lies outside [0, 1], or shapes disagree.
    IdentificationError
        If someone received what their propensity excludes.

    Notes
    -----
    "ate": z = x = 1, y = μ₁ − μ₀ + D(Y − μ₁)/e − (1 − D)(Y − μ₀)/(1 − e).
    "att": z = 1, x = D, y = D(Y − μ₀) − (1 − D)(Y − μ₀) e/(1 − e).
    "atc": z = 1, x = 1 − D, y = D(Y − μ₁)(1 − e)/e − (1 − D)(Y − μ₁).

    References
    ----------
    Robins, Rotnitzky & Zhao (1994); Chernozhukov et al. (2018), eqs. 5.3 and 5.4.
    """
    check_choice("target", target, ("ate", "att", "atc"))
    _check_binary(d, propensity)
    treated = np.broadcast_to(d[:, None] == 1.0, propensity.shape)
    # Each row is divided only by the probability of what it received, which is not zero.
    inverse_treated = np.divide(1.0, propensity, out=np.zeros(propensity.shape), where=treated)
    inverse_control = np.divide(
        1.0, 1.0 - propensity, out=np.zeros(propensity.shape), where=~treated
    )
    y1, y0 = _outcome_residual(y, mu1), _outcome_residual(y, mu0)
    ones = np.ones((*propensity.shape, 1))
    if target == "ate":
        response = mu1 - mu0 + inverse_treated * y1 - inverse_control * y0
        return LinearScore(ones, ones, response)
    if target == "att":
        response = np.where(treated, y0, -inverse_control * propensity * y0)
        return LinearScore(ones, treated[:, :, None].astype(np.float64), response)
    response = np.where(treated, inverse_treated * (1.0 - propensity) * y1, -y1)
    return LinearScore(ones, (~treated)[:, :, None].astype(np.float64), response)


def effect_projection(d_res: Floats, y_res: Floats, basis: Floats) -> LinearScore:
    """Score b Ṽ (Ũ − Ṽ b'β) of the projection of the conditional effect on a basis.

    Parameters
    ----------
    d_res, y_res : (n, n_rep) arrays
        Residuals Ṽ of one treatment and Ũ of the outcome.
    basis : (n, q) array
        b(z): a constant and moderators (best linear predictor), or group indicators (GATE).

    References
    ----------
    Semenova & Chernozhukov (2021); Semenova, Goldman, Chernozhukov & Taddy (2023).
    """
    if d_res.shape != y_res.shape or basis.ndim != 2 or basis.shape[0] != y_res.shape[0]:
        raise ArgumentError(
            f"residuals of shapes {d_res.shape} and {y_res.shape} and a basis of shape "
            f"{basis.shape} do not belong together; expected (n, n_rep) twice and (n, q)."
        )
    moved = d_res[:, :, None] * basis[:, None, :]
    return LinearScore(moved, moved, y_res)


def _columns(values: Floats) -> Floats:
    """Values as ``(n, k)``."""
    return values[:, None] if values.ndim == 1 else values


def _residual(values: Floats, hats: Floats, name: str) -> Floats:
    """``(n, k)`` values minus ``(n, n_rep)`` or ``(n, n_rep, k)`` predictions."""
    stacked = hats[:, :, None] if hats.ndim == 2 else hats
    if stacked.ndim != 3 or (stacked.shape[0], stacked.shape[2]) != values.shape:
        raise ArgumentError(
            f"{name} has shape {hats.shape}; expected (n, n_rep, k) with n = {values.shape[0]} and "
            f"k = {values.shape[1]} (the last axis may be left out when k = 1)."
        )
    return values[:, None, :] - stacked


def _outcome_residual(y: Floats, hats: Floats) -> Floats:
    """``(n,)`` outcome minus ``(n, n_rep)`` predictions."""
    if hats.ndim != 2 or hats.shape[0] != y.shape[0]:
        raise ArgumentError(
            f"predictions of the outcome have shape {hats.shape}; expected (n, n_rep) with "
            f"n = {y.shape[0]}."
        )
    return y[:, None] - hats


def _check_variation(d: Floats, d_res: Floats) -> None:
    """Refuse treatments whose residuals are rounding error."""
    columns = _columns(d)
    spread = columns.std(axis=0) + 1e-5 * np.abs(columns).max(axis=0)
    left = np.sqrt((d_res**2).mean(axis=0)).min(axis=0)
    for column in np.flatnonzero(left <= _ROUNDING * spread):
        raise IdentificationError(
            f"treatment {column} is fully explained by the covariates: its residuals are "
            "numerically zero. Remove the covariates that determine it."
        )


def _check_binary(d: Floats, propensity: Floats) -> None:
    """Refuse treatments that are not 0/1 and propensities that exclude what happened."""
    odd = np.flatnonzero((d != 0.0) & (d != 1.0))
    if odd.size:
        raise ArgumentError(
            f"the treatment must be coded 0/1; row {odd[0]} holds {float(d[odd[0]])!r}."
        )
    if propensity.ndim != 2 or propensity.shape[0] != d.shape[0]:
        raise ArgumentError(
            f"propensity has shape {propensity.shape}; expected (n, n_rep) with n = {d.shape[0]}."
        )
    if not ((propensity >= 0.0) & (propensity <= 1.0)).all():
        raise ArgumentError("propensities must lie in [0, 1]; use a learner of probabilities.")
    excluded = np.where(d[:, None] == 1.0, propensity == 0.0, propensity == 1.0).any(axis=1)
    if excluded.any():
        raise IdentificationError(
            f"{int(excluded.sum())} rows received what their propensity of exactly 0 or 1 "
            f"excludes (first: row {int(np.flatnonzero(excluded)[0])}); trim the propensities, or "
            "use a smoother learner for the treatment."
        )
