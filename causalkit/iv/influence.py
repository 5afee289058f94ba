r"""The multiply robust influence function of the average effect with an invalid instrument.

With V_z(L) = Var(A | Z = z, L), ΔV = V_1 − V_0, f(z | L) the law of a binary instrument, and
ω_z = E[Y − β(L)A | Z = z, L],

    φ(O) = β(L) + (2Z − 1) / (f(Z | L) ΔV(L)) {(A − μ_Z)(Y − β(L)A − ω_Z) − ρ(L)}

is unbiased for E[β(L)] if any of {π, μ}, {π, β, ω}, {β, ρ, μ}, {β, ρ, ω} is right
(Sun, Cui & Tchetgen Tchetgen 2022). For other instruments (2Z − 1)/(f ΔV) becomes
(V_Z − E[V_Z | L]) / Var(V_Z | L), which is the same for a binary one.
"""

from dataclasses import dataclass, replace

import numpy as np

from causalkit.errors import check_choice
from causalkit.scores import TARGETS, LinearScore, Target, pliv
from causalkit.typing import Bools, Floats


@dataclass(frozen=True, slots=True)
class Nuisances:
    """What the influence function needs, at every row and repeat: arrays ``(n, n_rep)``.

    Attributes
    ----------
    mu : E[A | Z, L]
    omega : E[Y − β(L)A | Z, L]
    beta : conditional effect β(L)
    rho : covariance ρ(L) that the unmeasured confounder leaves
    direction : (2Z − 1)/(f ΔV), or its form for other instruments
    delta_v : ΔV(L); for other instruments 2 sd(V | L), which is |ΔV| for a fair coin
    share : E[A | L]
    """

    mu: Floats
    omega: Floats
    beta: Floats
    rho: Floats
    direction: Floats
    delta_v: Floats
    share: Floats

    def rows(self, kept: Bools) -> "Nuisances":
        """The same for some rows."""
        return replace(self, **{name: getattr(self, name)[kept] for name in self.__slots__})


def binary_direction(z: Floats, pi: Floats, delta_v: Floats) -> Floats:
    """(2Z − 1) / (f(Z | L) ΔV), ``(n, n_rep)``.

    Parameters
    ----------
    z : (n,) array
        Instrument, 0/1.
    pi, delta_v : (n, n_rep) arrays
        P(Z = 1 | L), inside (0, 1), and ΔV(L), not zero.
    """
    received = np.where(z[:, None] == 1.0, pi, 1.0 - pi)
    return (2.0 * z - 1.0)[:, None] / (received * delta_v)


def correction(y: Floats, a: Floats, hats: Nuisances) -> Floats:
    """Second term of the influence function, ``(n, n_rep)``: mean zero at the truth."""
    residual = (a[:, None] - hats.mu) * (y[:, None] - hats.beta * a[:, None] - hats.omega)
    return np.asarray(hats.direction * (residual - hats.rho))


def multiply_robust(
    y: Floats, a: Floats, hats: Nuisances, *, target: Target = "ate"
) -> LinearScore:
    """Score whose solution is the average effect over everyone, the treated or the untreated.

    Parameters
    ----------
    y, a : (n,) arrays
        Outcome and treatment (0/1 for ``"att"`` and ``"atc"``).
    hats : Nuisances
    target : {"ate", "att", "atc"}
        The ATT is E[e(L)β(L)]/E[A] with e(L) = E[A | L]: its score is Aβ + e(L) times the
        correction, less A θ; the ATC likewise with 1 − A.

    References
    ----------
    Sun, Cui & Tchetgen Tchetgen (2022); the influence function for the treated is derived in
    docs/invalid_iv.md.
    """
    check_choice("target", target, TARGETS)
    ones = np.ones((*hats.beta.shape, 1))
    moved = correction(y, a, hats)
    if target == "ate":
        return LinearScore(ones, ones, hats.beta + moved)
    treated = np.repeat(a[:, None], hats.beta.shape[1], axis=1)
    who, chance = (treated, hats.share) if target == "att" else (1.0 - treated, 1.0 - hats.share)
    return LinearScore(ones, who[:, :, None], who * hats.beta + chance * moved)


@dataclass(frozen=True, slots=True)
class Products:
    """Residual products and what is partialled out of them: arrays ``(n, n_rep)``.

    The effect is the coefficient of an instrumental-variable regression of the outcome product
    P = ÃỸ on the treatment product Q = Ã² with the instrument residual, all free of L: GENIUS
    (Tchetgen Tchetgen, Sun & Walter 2021) in the form of a partially linear IV model.

    Attributes
    ----------
    outcome : P − E[P | L], with Ã = A − μ_Z and Ỹ = Y − η_Z
    treatment : Q − E[Q | L]
    instrument : Z − π(L), or V_Z − E[V_Z | L]
    """

    outcome: Floats
    treatment: Floats
    instrument: Floats


def modelled_products(
    y_res: Floats, a_res: Floats, hats: Nuisances, mean_square: Floats, instrument: Floats
) -> Products:
    """Products whose means given L are those of the model: E[P | L] = β E[Q | L] + ρ.

    Parameters
    ----------
    y_res, a_res : (n, n_rep) arrays
        Y − η_Z and A − μ_Z.
    hats : Nuisances
        For β and ρ.
    mean_square : (n, n_rep) array
        E[Q | L].
    instrument : (n, n_rep) array
        Z − π(L).
    """
    mean_product = hats.beta * mean_square + hats.rho
    return Products(a_res * y_res - mean_product, a_res**2 - mean_square, instrument)


def variance_weighted(products: Products) -> LinearScore:
    """Score of Δ_w = E[ΔV π(1 − π) β]/E[ΔV π(1 − π)], which needs no division by ΔV(L).

    Equal to the average effect where β does not vary. Orthogonal in every nuisance.
    """
    treatment, instrument = (
        values[:, :, None] for values in (products.treatment, products.instrument)
    )
    return pliv(products.outcome, treatment, instrument)
