"""Shape and priors of the mixture of effect types, whatever computes it."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from causalkit.typing import Floats

Likelihood = Literal["student_t", "normal", "bernoulli"]
LatentLevel = Literal["unit", "image"]
LIKELIHOODS = get_args(Likelihood)
LATENT_LEVELS = get_args(LatentLevel)

TAIL_FLOOR = 2.0  # the variance of a Student-t needs more than two degrees of freedom
TYPE_NOISE_SD = 0.1
BASE_SD = 0.5
DESIGN_SD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Shape and priors of the model.

    Attributes
    ----------
    n_types : int
        K.
    n_features : int
        d, length of the representation h.
    n_covariates : int
        p, covariates of the baseline.
    n_design : int
        The last of them that stand for blocks and propensities. Their weights hardly shrink: what
        is left of blocks is taken for an effect.
    likelihood : {"student_t", "normal", "bernoulli"}
        F. Effects of ``"bernoulli"`` act on the logit.
    latent_level : {"unit", "image"}
        Whether each unit draws its own type, or all units of an image share one. The latter comes
        with a normal effect of the place, without which a shock that neighbours share would look
        like a type.
    cluster_sigma : bool
        Whether the noise of the treated may differ between types.
    centre : float
        Prior mean of τ₁: the difference in means (of the logit if ``"bernoulli"``).
    """

    n_types: int
    n_features: int
    n_covariates: int = 0
    n_design: int = 0
    likelihood: Likelihood = "normal"
    latent_level: LatentLevel = "unit"
    cluster_sigma: bool = False
    centre: float = 0.0

    def sizes(self) -> dict[str, int]:
        """Length of every part of θ, in order; weights first, then the few scalars."""
        k = self.n_types
        noisy = self.likelihood != "bernoulli"
        return {
            "type_weight": (k - 1) * self.n_features,
            "base_weight": self.n_features + self.n_covariates,
            "type_bias": k - 1,
            "base_bias": 1,
            "first_effect": 1,
            "gap": k - 1,
            "log_noise": 2 if noisy else 0,
            "type_noise": k if noisy and self.cluster_sigma else 0,
            "tail": 1 if self.likelihood == "student_t" else 0,
            "log_place": 1 if self.latent_level == "image" else 0,
        }

    @property
    def type_sd(self) -> float:
        """Prior standard deviation of the weights of types.

        One for up to four features; with more, the logit as a whole keeps the spread that it has
        with four. Otherwise the many features that do not matter would swamp those that do.
        """
        return min(1.0, 2.0 / math.sqrt(self.n_features))

    @property
    def base_sd(self) -> float:
        """Prior standard deviation of the weights of the baseline, tempered likewise."""
        return BASE_SD * self.type_sd

    @property
    def base_sds(self) -> Floats:
        """Prior standard deviation of each weight of the baseline."""
        n_plain = self.n_features + self.n_covariates - self.n_design
        return np.repeat([self.base_sd, DESIGN_SD], [n_plain, self.n_design])

    @property
    def n_weights(self) -> int:
        """Length of the weights that lead θ; what follows are the scalars."""
        sizes = self.sizes()
        return sizes["type_weight"] + sizes["base_weight"]

    @property
    def size(self) -> int:
        """P, length of θ."""
        return sum(self.sizes().values())

    def arrays(self, theta: Floats) -> dict[str, Floats]:
        """Views of draws ``(S, P)`` by name; weights of types as ``(S, d, K − 1)``."""
        sizes = self.sizes()
        cuts = np.cumsum(list(sizes.values()))[:-1]
        found = dict(zip(sizes, np.split(theta, cuts, axis=-1), strict=True))
        found["type_weight"] = found["type_weight"].reshape(
            theta.shape[0], self.n_features, self.n_types - 1
        )
        return found
