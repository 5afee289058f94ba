"""Designs with an invalid instrument in which every nuisance is known, and exact populations."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

import causalkit as ck
from causalkit.iv.influence import Nuisances, binary_direction
from causalkit.iv.parametric import Data, Terms

ATE = 1.0
PUSH = 0.07  # of U on the exposure
SWAY = 1.5  # of U on the outcome


@dataclass(frozen=True)
class Truth:
    """Nuisances at covariates ``l``; logistic and linear ones are exactly so."""

    pi: np.ndarray
    mu: tuple[np.ndarray, np.ndarray]
    beta: np.ndarray
    rho: np.ndarray
    omega: tuple[np.ndarray, np.ndarray]

    @property
    def variance(self):
        return tuple(mu * (1 - mu) for mu in self.mu)

    @property
    def delta_v(self):
        return self.variance[1] - self.variance[0]

    @property
    def eta(self):
        return tuple(o + self.beta * m for o, m in zip(self.omega, self.mu, strict=True))


def truth_at(l1, l2):
    return Truth(
        pi=expit(0.5 * l1 - 0.4 * l2),
        mu=tuple(expit(0.1 + 0.3 * l2 + z * (-1.8 + 0.2 * l1)) for z in (0, 1)),
        beta=1.0 + 0.5 * l1,
        rho=PUSH * SWAY / 3.0 * (1.0 + 0.5 * l2),
        omega=tuple(0.7 * z + 0.4 * z * l2 + 0.5 * l2 for z in (0, 1)),
    )


def draw(rng, n):
    """Sample of l1, l2, z, a, y."""
    l1, l2, u = rng.uniform(-1.0, 1.0, (3, n))
    true = truth_at(l1, l2)
    z = (rng.random(n) < true.pi).astype(float)
    a = (rng.random(n) < received(z, true.mu) + PUSH * u).astype(float)
    y = true.beta * a + received(z, true.omega) + SWAY * u * (1.0 + 0.5 * l2)
    return l1, l2, z, a, y + 0.3 * rng.standard_normal(n)


def received(z, arms):
    return np.where(z == 1.0, arms[1], arms[0])


def as_data(l1, l2, z, a, y, **roles):
    """The sample as a data set; ``roles`` adds columns by role."""
    import pandas as pd

    frame = pd.DataFrame({"y": y, "a": a, "z": z, "l1": l1, "l2": l2})
    named = {role: role for role in roles if role in ("cluster", "weights")}
    for role in named:
        frame[role] = roles[role]
    more = {name: value for name, value in roles.items() if name not in named}
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="a",
        instruments="z",
        covariates=["l1", "l2"],
        **named,
        **more,
    )


def population(size=12):
    """Every (l, z, a) of the law of :func:`draw` with its probability, and E[Y | a, z, l].

    L on a Gauss-Legendre grid. Every equation is linear in the outcome given (A, Z, L), so that a
    weighted mean over these rows is an expectation without Monte-Carlo error.
    """
    nodes, mass = np.polynomial.legendre.leggauss(size)
    grid = np.meshgrid(nodes, nodes, [0.0, 1.0], [0.0, 1.0], indexing="ij")
    l1, l2, z, a = (axis.ravel() for axis in grid)
    w = np.outer(mass, mass)[:, :, None, None] / 4.0 * np.ones((1, 1, 2, 2))
    true = truth_at(l1, l2)
    mu = received(z, true.mu)
    w = w.ravel() * np.where(z == 1.0, true.pi, 1.0 - true.pi) * np.where(a == 1.0, mu, 1.0 - mu)
    # E[U | A, Z, L] by Bayes: the mean of U is zero and its variance 1/3.
    u = PUSH / 3.0 * np.where(a == 1.0, 1.0 / mu, -1.0 / (1.0 - mu))
    y = true.beta * a + received(z, true.omega) + SWAY * u * (1.0 + 0.5 * l2)
    return l1, l2, z, a, y, w


def hats(z, true):
    """The record that the influence function takes."""

    def wide(values):
        return np.asarray(values, dtype=float)[:, None]

    return Nuisances(
        mu=wide(received(z, true.mu)),
        omega=wide(received(z, true.omega)),
        beta=wide(true.beta),
        rho=wide(true.rho),
        direction=binary_direction(z, wide(true.pi), wide(true.delta_v)),
        delta_v=wide(true.delta_v),
        share=wide(true.pi * true.mu[1] + (1 - true.pi) * true.mu[0]),
    )


def terms(l1, l2, wrong=""):
    """Right working models, but for the letters of p(i), m(u), o(mega), b(eta), r(ho)."""
    one = np.ones_like(l1)
    plain = np.column_stack([one, l1, l2])
    # Squares and a product say little about what is linear on (-1, 1).
    bent = np.column_stack([one, l1**2, l1 * l2])
    flat = np.column_stack([one])

    def arms(base):
        return np.hstack([base, np.zeros_like(base)]), np.hstack([base, base])

    def without_instrument(base):
        return base, base

    return Terms(
        pi=flat if "p" in wrong else plain,
        mu=arms(bent) if "m" in wrong else arms(plain),
        omega=without_instrument(bent) if "o" in wrong else arms(plain),
        beta=flat if "b" in wrong else plain,
        rho=bent if "r" in wrong else plain,
    )


def arrays(sample, w=None):
    _, _, z, a, y = sample
    return Data(y=y, a=a, z=z, w=np.ones(z.size) if w is None else w, binary=True)


# All but the members of a sufficient set wrong; and sets that are not sufficient.
INSIDE = {"M1": "obr", "M2": "mr", "M3": "po", "M4": "pm"}
OUTSIDE = {"pi and beta": "pb", "pi and rho": "pr", "mu and omega": "mo", "beta and mu": "bm"}
