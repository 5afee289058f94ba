r"""Parametric multiply robust estimation: all estimating equations solved as one system.

Working models: π = expit(l'τ), μ = expit(m'α) (or m'α for a continuous treatment, with variance
exp(m'δ)), β = b'ψ, ω = w'ζ, ρ = r'ξ, with l = (1, L) and m = w = (1, L, Z, ZL) unless the caller
chooses other terms. Given π and μ,

    P_n b (Z − π) {(A − μ_Z)(Y − b'ψ A − w'ζ) − r'ξ} = 0,
    P_n w {Y − b'ψ A − w'ζ} = 0,
    P_n r {(A − μ_Z)(Y − b'ψ A − w'ζ) − r'ξ} = 0

are linear in (ψ, ζ, ξ). At the true β the first has mean zero if (μ or ω) and (π or ρ) are right,
so that one ψ̂ serves M2, M3 and M4, and under M1 any limit of ψ̂ will do: the average of the
influence function is right under each of M1 to M4 without being told which holds. The standard
error is the sandwich of the stacked system, right under each as well.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from causalkit.errors import IdentificationError
from causalkit.inference.generalised_linear import Regression, generalised_linear
from causalkit.inference.solve import Solution
from causalkit.iv.nuisances import received
from causalkit.scores import Target
from causalkit.typing import Bools, Floats


@dataclass(frozen=True, slots=True)
class Terms:
    """Regressors of the working models; ``mu`` and ``omega`` also at Z = 0 and Z = 1.

    Attributes
    ----------
    pi : (n, k) array
        l.
    mu : tuple of (n, k) arrays
        m at Z = 0 and at Z = 1.
    omega : tuple of (n, k) arrays
        w at Z = 0 and at Z = 1.
    beta, rho : (n, k) arrays
        b and r.
    """

    pi: Floats
    mu: tuple[Floats, Floats]
    omega: tuple[Floats, Floats]
    beta: Floats
    rho: Floats


@dataclass(frozen=True, slots=True)
class Data:
    """Arrays ``(n,)`` of one fit: outcome, treatment, instrument, weights with mean one."""

    y: Floats
    a: Floats
    z: Floats
    w: Floats
    binary: bool


@dataclass(frozen=True, slots=True)
class ParametricFit:
    """Solution of the system, with what later questions need.

    Attributes
    ----------
    nuisances : mapping of str to (n,) array
        As fitted: ``"instrument"`` (π, not clipped), ``"treatment:0"``, ``"treatment:1"`` and
        ``"treatment"`` (μ, and that of the own arm), ``"omega"``, ``"effect"`` (β),
        ``"confounding"`` (ρ), ``"variance:0"``, ``"variance:1"``, ``"delta_v"`` and ``"share"``
        (E[A | L]).
    psi : Solution
        Coefficients of β.
    solutions : mapping of target to Solution
        Average effects; rows of small |ΔV| are left out and have influence zero.
    """

    nuisances: dict[str, Floats]
    psi: Solution
    solutions: dict[str, Solution]


def fit_parametric(
    data: Data,
    terms: Terms,
    *,
    targets: tuple[Target, ...] = ("ate",),
    clip: float = 0.01,
    least_delta_v: float = 0.02,
) -> ParametricFit:
    """Solve the system and average the influence function.

    Parameters
    ----------
    data : Data
    terms : Terms
    targets : tuple of {"ate", "att", "atc"}
    clip : float
        π is kept inside [clip, 1 − clip].
    least_delta_v : float
        Rows with a smaller |ΔV| are left out of the averages.

    Returns
    -------
    ParametricFit
        With stacked influence values: those of every nuisance parameter are inside.
    """
    m, v = received(data.z, terms.mu), terms.mu
    pi_fit = generalised_linear(data.z, terms.pi, data.w, link="logit", what="the instrument")
    link = "logit" if data.binary else "identity"
    mu_fit = generalised_linear(data.a, m, data.w, link=link, what="the treatment")
    raw = expit(terms.pi @ pi_fit.coefficients)
    system = _System(data, terms, m, raw, pi_fit, mu_fit, clip)
    variance_fit = None if data.binary else system.variance()
    linear = system.solve()
    variance = system.variances(v, variance_fit)
    delta_v = variance[1] - variance[0]
    kept = np.abs(delta_v) >= least_delta_v
    final = _Average(system, linear, variance_fit, variance, kept)
    solutions: dict[str, Solution] = {}
    for target in targets:
        # Nobody of the target's population may be left, where ΔV is small nearly everywhere.
        if final.has(target):
            solutions[target] = final.solve(target)
    psi = Solution(linear.psi, linear.influence[:, : linear.psi.size])
    return ParametricFit(final.nuisances(), psi, solutions)


@dataclass(frozen=True, slots=True)
class _Linear:
    """Coefficients (ψ, ζ, ξ) and the influence of each row on them."""

    psi: Floats
    zeta: Floats
    xi: Floats
    influence: Floats


@dataclass(frozen=True, slots=True)
class _System:
    """Equations for ψ, ζ, ξ at fitted π and μ."""

    data: Data
    terms: Terms
    m: Floats
    raw: Floats
    pi_fit: Regression
    mu_fit: Regression
    clip: float

    @property
    def pi(self) -> Floats:
        return np.clip(self.raw, self.clip, 1.0 - self.clip)

    @property
    def pi_slope(self) -> Floats:
        """Derivative of π in its index; zero where it is clipped."""
        return np.where(self.pi == self.raw, self.raw * (1.0 - self.raw), 0.0)

    def mu(self, m: Floats) -> Floats:
        index = m @ self.mu_fit.coefficients
        return np.asarray(expit(index) if self.data.binary else index)

    def mu_slope(self, m: Floats) -> Floats:
        mu = self.mu(m)
        return mu * (1.0 - mu) if self.data.binary else np.ones(mu.size)

    @property
    def omega_terms(self) -> Floats:
        return received(self.data.z, self.terms.omega)

    def variance(self) -> Regression:
        """Variance of a continuous treatment: exp(m'δ) for squared residuals."""
        residual = self.data.a - self.mu(self.m)
        found = generalised_linear(
            residual**2, self.m, self.data.w, link="log", what="the variance of the treatment"
        )
        mean = np.exp(self.m @ found.coefficients)
        hessian = (self.m * (self.data.w * mean)[:, None]).T @ self.m / self.data.w.sum()
        moved = (self.m * (-2.0 * residual * self.data.w)[:, None]).T @ self.m / self.data.w.sum()
        through = self.mu_fit.influence @ np.linalg.solve(hessian, moved).T
        return Regression(found.coefficients, found.influence + through)

    def variances(self, v: tuple[Floats, Floats], fit: Regression | None) -> tuple[Floats, Floats]:
        """V_0 and V_1 at every row."""
        if fit is None:
            low, high = (self.mu(m) for m in v)
            return low * (1.0 - low), high * (1.0 - high)
        return np.exp(v[0] @ fit.coefficients), np.exp(v[1] @ fit.coefficients)

    def solve(self) -> _Linear:
        """Solve the linear equations, and stack their influence values."""
        data, b, r, w = self.data, self.terms.beta, self.terms.rho, self.omega_terms
        a_res, z_res = data.a - self.mu(self.m), data.z - self.pi
        of_b = b * z_res[:, None]
        left = np.hstack([of_b * a_res[:, None], w, r * a_res[:, None]])
        plain = np.hstack([of_b, np.zeros_like(w), r])
        right = np.hstack([b * data.a[:, None], w])
        total = data.w.sum()
        jacobian = np.hstack([(left * data.w[:, None]).T @ right, (plain * data.w[:, None]).T @ r])
        moments = left.T @ (data.w * data.y)
        solved = _solve_general(jacobian, moments)
        psi, zeta, xi = np.split(solved, np.cumsum([b.shape[1], w.shape[1]]))
        error = data.y - right @ np.concatenate([psi, zeta])
        gap = r @ xi
        rows = left * error[:, None] - plain * gap[:, None]
        # First-stage errors move the equations: π those of ψ, μ those of ψ and ξ.
        by_pi = np.zeros((solved.size, self.terms.pi.shape[1]))
        by_pi[: b.shape[1]] = (
            -(b * (data.w * self.pi_slope * (a_res * error - gap))[:, None]).T @ self.terms.pi
        )
        by_mu = -(plain * (data.w * self.mu_slope(self.m) * error)[:, None]).T @ self.m
        inverse = np.linalg.inv(jacobian / total)
        moved = (
            rows * data.w[:, None]
            + self.pi_fit.influence @ (by_pi / total).T
            + self.mu_fit.influence @ (by_mu / total).T
        )
        return _Linear(psi, zeta, xi, moved @ inverse.T)


def _solve_general(jacobian: Floats, moments: Floats) -> Floats:
    size = np.linalg.norm(jacobian, axis=1)
    width = np.linalg.norm(jacobian / np.where(size > 0, size, 1.0)[:, None], axis=0)
    scaled = jacobian / np.where(size > 0, size, 1.0)[:, None] / np.where(width > 0, width, 1.0)
    if np.linalg.svd(scaled, compute_uv=False)[-1] < 1e-12:
        raise IdentificationError(
            "the equations for the effect are singular: the instrument does not move the variance "
            "of the treatment in some direction of the effect terms, or terms are collinear. Use "
            "fewer effect_terms or confounding_terms."
        )
    solved = np.linalg.solve(scaled, moments / np.where(size > 0, size, 1.0))
    return np.asarray(solved / np.where(width > 0, width, 1.0))


@dataclass(frozen=True, slots=True)
class _Average:
    """Average of the influence function, with the influence of every parameter stacked."""

    system: _System
    linear: _Linear
    variance_fit: Regression | None
    variance: tuple[Floats, Floats]
    kept: Bools

    def nuisances(self) -> dict[str, Floats]:
        """Fitted nuisances at every row, by name."""
        system, terms = self.system, self.system.terms
        low, high = (system.mu(m) for m in terms.mu)
        pi, delta_v = system.pi, self.variance[1] - self.variance[0]
        return {
            "instrument": system.raw,
            "treatment:0": low,
            "treatment:1": high,
            "treatment": system.mu(system.m),
            "omega": system.omega_terms @ self.linear.zeta,
            "effect": terms.beta @ self.linear.psi,
            "confounding": terms.rho @ self.linear.xi,
            "variance:0": self.variance[0],
            "variance:1": self.variance[1],
            "delta_v": delta_v,
            "share": pi * high + (1.0 - pi) * low,
        }

    def has(self, target: Target) -> bool:
        """Whether rows of the target's population are averaged over."""
        who = self._population(target, self.nuisances()["share"])[0]
        return bool((who[self.kept] * self.system.data.w[self.kept]).sum() > 0)

    def solve(self, target: Target) -> Solution:
        """Average effect and its influence values."""
        system, data, terms = self.system, self.system.data, self.system.terms
        w = np.where(self.kept, data.w, 0.0)
        found = self.nuisances()
        a_res = data.a - found["treatment"]
        error = data.y - found["effect"] * data.a - found["omega"]
        gap = a_res * error - found["confounding"]
        received = np.where(data.z == 1.0, system.pi, 1.0 - system.pi)
        sign = 2.0 * data.z - 1.0
        delta_v = np.where(self.kept, found["delta_v"], 1.0)
        turn = sign / (received * delta_v)
        who, chance, chance_slope = self._population(target, found["share"])
        share = float(np.average(who, weights=w))
        theta = float(np.average(who * found["effect"] + chance * turn * gap, weights=w)) / share
        own = who * (found["effect"] - theta) + chance * turn * gap

        def average(values: Floats) -> Floats:
            return np.asarray(values.T @ w / w.sum())

        pull = chance * turn
        by_linear = np.concatenate(
            [
                average(terms.beta * (who - pull * a_res * data.a)[:, None]),
                average(-system.omega_terms * (pull * a_res)[:, None]),
                average(-terms.rho * pull[:, None]),
            ]
        )
        high, low = found["treatment:1"], found["treatment:0"]
        fall = -pull * gap * sign / received + chance_slope * turn * gap * (high - low)
        by_pi = average(terms.pi * (system.pi_slope * fall)[:, None])
        by_mu = average(-system.m * (pull * error * system.mu_slope(system.m))[:, None])
        by_arm = chance_slope * turn * gap
        for m, weight in zip(terms.mu, (1.0 - system.pi, system.pi), strict=True):
            by_mu = by_mu + average(m * (by_arm * weight * system.mu_slope(m))[:, None])
        moved = own * w * (w.size / w.sum())
        moved = moved + self.linear.influence @ by_linear + system.pi_fit.influence @ by_pi
        scale = -pull * gap / delta_v
        for m, slope in zip(terms.mu, (-1.0, 1.0), strict=True):
            if self.variance_fit is None:
                mu = system.mu(m)
                bend = (1.0 - 2.0 * mu) * mu * (1.0 - mu)
                by_mu = by_mu + average(m * (slope * scale * bend)[:, None])
            else:
                change = slope * np.exp(m @ self.variance_fit.coefficients)
                moved = moved + self.variance_fit.influence @ average(m * (scale * change)[:, None])
        moved = moved + system.mu_fit.influence @ by_mu
        return Solution(np.array([theta]), moved[:, None] / share)

    def _population(self, target: Target, share: Floats) -> tuple[Floats, Floats, float]:
        """Who is averaged over, the chance of it given L, and how that moves with E[A | L]."""
        a = self.system.data.a
        if target == "att":
            return a, share, 1.0
        if target == "atc":
            return 1.0 - a, 1.0 - share, -1.0
        return np.ones(a.size), np.ones(a.size), 0.0
