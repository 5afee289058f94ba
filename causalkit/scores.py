"""Orthogonal scores: every one here has the form ψ(W; θ) = z (y − x'θ)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from causalkit.errors import ArgumentError, IdentificationError, check_choice
from causalkit.typing import Floats

Target = Literal["ate", "att", "atc"]
TARGETS: tuple[Target, ...] = ("ate", "att", "atc")


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
    leverage : (n, n_rep) array, optional
        What influence values add to y: a residual from a mean that its row has a part in is less
        than the row's error.
    """

    instrument: Floats
    regressor: Floats
    response: Floats
    leverage: Floats | None = None


def partialling_out(y_res: Floats, d_res: Floats) -> LinearScore:
    """Robinson score (Ũ − θ'Ṽ)Ṽ of the partially linear model, with residuals Ũ and Ṽ.

    Parameters
    ----------
    y_res : (n, n_rep) array
        Outcome residuals Y − E[Y | F].
    d_res : (n, n_rep, k) array
        Residuals D − E[D | F] of one or several treatments, which have a joint θ.

    Raises
    ------
    ArgumentError
        If shapes disagree.

    References
    ----------
    Robinson (1988); Chernozhukov et al. (2018), eq. 4.4.
    """
    _check_together(y_res, d_res)
    return LinearScore(d_res, d_res, y_res)


def iv_type(y_left: Floats, d: Floats, *, treatment_residual: Floats) -> LinearScore:
    """Score (Y − g − θ'D)Ṽ of the partially linear model.

    Parameters
    ----------
    y_left : (n, n_rep) array
        Y − g, with g = E[Y − θ'D | F] learned at a first-round θ.
    d : (n, n_rep, k) array
        Treatments themselves, transformed as the outcome is.
    treatment_residual : (n, n_rep, k) array
        Ṽ = D − E[D | F].

    Raises
    ------
    ArgumentError
        If shapes disagree.

    References
    ----------
    Chernozhukov et al. (2018), eq. 4.3.
    """
    _check_together(y_left, d, treatment_residual)
    return LinearScore(treatment_residual, d, y_left)


def pliv(
    y_res: Floats, d_res: Floats, z_res: Floats, *, weights: Floats | None = None
) -> LinearScore:
    """Score (Ũ − θ'Ṽ) Π Z̃ of the partially linear IV model, in residuals.

    With as many instruments as treatments their residuals enter as they are. With more, what
    enters is the pooled first stage: treatment residuals projected on instrument residuals over
    all rows, so that θ̂ is two-stage least squares on residuals.

    Parameters
    ----------
    y_res : (n, n_rep) array
        Outcome residuals.
    d_res : (n, n_rep, k) array
        Treatment residuals.
    z_res : (n, n_rep, L) array
        Instrument residuals, L ≥ k.
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
    _check_together(y_res, d_res, z_res)
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
    check_choice("target", target, TARGETS)
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


def late(
    y: Floats,
    d: Floats,
    z: Floats,
    *,
    outcome: tuple[Floats, Floats],
    treatment: tuple[Floats, Floats],
    propensity: Floats,
) -> LinearScore:
    """Score of the local average treatment effect with one binary instrument.

    The ratio of two augmented inverse-probability contrasts over the instrument: of the outcome
    and of the treatment.

    Parameters
    ----------
    y, d, z : (n,) arrays
        Outcome, treatment, and instrument coded 0/1.
    outcome, treatment : pairs of (n, n_rep) arrays
        Cross-fitted E[Y | Z = z, F] and E[D | Z = z, F] at z = 0 and z = 1.
    propensity : (n, n_rep) array
        Cross-fitted P(Z = 1 | F).

    Raises
    ------
    ArgumentError, IdentificationError
        As :func:`aipw`.

    References
    ----------
    Frölich (2007); Chernozhukov et al. (2018), eq. 5.8.
    """
    reduced, first = (
        aipw(target, z, mu0=arms[0], mu1=arms[1], propensity=propensity)
        for target, arms in ((y, outcome), (d, treatment))
    )
    return LinearScore(reduced.instrument, first.response[:, :, None], reduced.response)


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


def _check_together(y: Floats, *others: Floats) -> None:
    """Refuse residuals whose rows or repeats differ."""
    if y.ndim != 2 or any(part.ndim != 3 or part.shape[:2] != y.shape for part in others):
        shapes = ", ".join(str(part.shape) for part in (y, *others))
        raise ArgumentError(
            f"residuals of shapes {shapes} do not belong together; expected (n, n_rep) for the "
            "outcome and (n, n_rep, k) for each of the others."
        )


def _outcome_residual(y: Floats, hats: Floats) -> Floats:
    """``(n,)`` outcome minus ``(n, n_rep)`` predictions."""
    if hats.ndim != 2 or hats.shape[0] != y.shape[0]:
        raise ArgumentError(
            f"predictions of the outcome have shape {hats.shape}; expected (n, n_rep) with "
            f"n = {y.shape[0]}."
        )
    return y[:, None] - hats


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
