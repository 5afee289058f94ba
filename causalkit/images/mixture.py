"""Mixture of effect types: log-likelihood with the types summed out, priors, parameters by name.

    Y | T = 0 ~ F(μ₀, σ₀),   Y | T = 1 ~ Σ_k π_k F(μ₀ + τ_k, σ₁)
    μ₀ = b'(h, X),   π = softmax(a'h),   τ₁ < τ₂ < ... by τ_k = τ_{k-1} + softplus(δ_k)

with h the representation of the image. Everything is on the scale of a standardised outcome. θ is
one vector, so that a posterior of it is one matrix; functions take ``(S, P)``, S values at once.

Sources: the image-type effect cluster model of Jerzak, Johansson & Daoud (2023), CLeaR, with the
types summed out exactly.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from causalkit.images.model import TAIL_FLOOR, TYPE_NOISE_SD, Mixture

_NODES = 5  # of the Gauss-Hermite rule for the effect of a place
_NEWTON_STEPS = 5  # to where that rule is centred
_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of which the likelihood is asked.

    Attributes
    ----------
    features : (m, d) Tensor
        Representation of each image.
    image : (n,) int Tensor
        Position in ``features`` of each row's image.
    outcome, treatment : (n,) Tensors
        Standardised outcome (0/1 if Bernoulli); treatment 0/1.
    covariates : (n, p) Tensor
        Standardised.
    """

    features: Tensor
    image: Tensor
    outcome: Tensor
    treatment: Tensor
    covariates: Tensor


def parts_of(model: Mixture, theta: Tensor) -> dict[str, Tensor]:
    """Views of ``(S, P)`` by name; weights of types as ``(S, d, K − 1)``."""
    sizes = model.sizes()
    found = dict(zip(sizes, torch.split(theta, list(sizes.values()), dim=-1), strict=True))
    found["type_weight"] = found["type_weight"].reshape(
        theta.shape[0], model.n_features, model.n_types - 1
    )
    return found


def start(
    model: Mixture, generator: torch.Generator, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Where training begins, ``(1, P)``: small weights, types about the difference in means.

    Restarts differ in weights, and in how far apart types are at first.
    """
    sizes = model.sizes()
    theta = {name: torch.zeros(size, dtype=dtype) for name, size in sizes.items()}
    for name in ("type_weight", "base_weight"):
        theta[name] = 0.01 * torch.randn(sizes[name], generator=generator, dtype=dtype)
    gaps = model.n_types - 1
    spread = 0.5 + torch.rand(1, generator=generator, dtype=dtype)
    theta["first_effect"] += model.centre - spread * gaps / 2
    theta["gap"] += torch.log(torch.expm1(spread))
    theta["log_noise"] += math.log(0.7)
    theta["tail"] += math.log(10.0)
    theta["log_place"] += math.log(0.3)
    return torch.cat(list(theta.values()))[None]


def effects(model: Mixture, theta: Tensor) -> Tensor:
    """τ of every type, ascending, ``(S, K)``."""
    parts = parts_of(model, theta)
    first = parts["first_effect"]
    return torch.cat([first, first + torch.cumsum(softplus(parts["gap"]), dim=-1)], dim=-1)


def type_log_probs(model: Mixture, theta: Tensor, features: Tensor) -> Tensor:
    """Log π of every image and type, ``(S, m, K)``; the first type has logit 0."""
    parts = parts_of(model, theta)
    logits = torch.einsum("md,sdk->smk", features, parts["type_weight"])
    logits = logits + parts["type_bias"][:, None, :]
    first = logits.new_zeros((*logits.shape[:2], 1))
    return torch.log_softmax(torch.cat([first, logits], dim=-1), dim=-1)


def baseline(model: Mixture, theta: Tensor, sample: Sample) -> Tensor:
    """μ₀ of every row, ``(S, n)``."""
    parts = parts_of(model, theta)
    weight = parts["base_weight"]
    by_image = weight[:, : model.n_features] @ sample.features.T
    found = by_image[:, sample.image] + parts["base_bias"]
    if model.n_covariates:
        found = found + weight[:, model.n_features :] @ sample.covariates.T
    return found


def log_likelihood(model: Mixture, theta: Tensor, sample: Sample, *, blind: bool = False) -> Tensor:
    """Log-likelihood of every row, or of every image where its units share a type.

    Parameters
    ----------
    model : Mixture
    theta : (S, P) Tensor
    sample : Sample
    blind : bool
        Give every image the mean probabilities of all of them, as if nobody knew which place has
        which type.

    Returns
    -------
    (S, n) or (S, m) Tensor
        Types, and the effect of the place if there is one, are summed out.
    """
    located = baseline(model, theta, sample)[:, :, None] + (
        sample.treatment[None, :, None] * effects(model, theta)[:, None, :]
    )
    log_probs = type_log_probs(model, theta, sample.features)
    if blind:
        log_probs = log_probs.exp().mean(dim=1, keepdim=True).log().expand_as(log_probs)
    if model.latent_level == "unit":
        dense = _log_density(model, theta, sample, located)
        return torch.logsumexp(log_probs[:, sample.image] + dense, dim=-1)
    dense = _without_place(model, theta, sample, located)
    return torch.logsumexp(log_probs + dense, dim=-1)


def _without_place(model: Mixture, theta: Tensor, sample: Sample, located: Tensor) -> Tensor:
    """Log ∫ Π F(y − u) N(u; 0, s²) du of every image and type, ``(S, m, K)``.

    Gauss-Hermite about the place's own mean and spread given the type, which is exact for normal
    outcomes, however many units an image has.
    """
    size = parts_of(model, theta)["log_place"].exp()[:, :, None]
    zero = located.new_zeros((located.shape[0], sample.features.shape[0], model.n_types))

    def by_image(values: Tensor) -> Tensor:
        return zero.index_add(1, sample.image, values)

    centre = zero
    # Where the nodes lie moves the integral by nothing that counts, so no gradient goes there.
    with torch.no_grad():
        for _ in range(1 if model.likelihood == "normal" else _NEWTON_STEPS):
            moved = located + centre[:, sample.image]
            slope, weight = _slope_and_weight(model, theta, sample, moved)
            precision = size**-2 + by_image(weight)
            centre = centre + (by_image(slope) - centre * size**-2) / precision
        spread = precision.rsqrt()
    nodes, shares = np.polynomial.hermite_e.hermegauss(_NODES)
    terms = []
    for node, share in zip(nodes.tolist(), (shares / shares.sum()).tolist(), strict=True):
        shock = centre + spread * node
        dense = _log_density(model, theta, sample, located + shock[:, sample.image])
        ratio = torch.log(spread / size) - 0.5 * ((shock / size).square() - node**2)
        terms.append(by_image(dense) + ratio + math.log(share))
    return torch.logsumexp(torch.stack(terms, dim=-1), dim=-1)


def _slope_and_weight(
    model: Mixture, theta: Tensor, sample: Sample, located: Tensor
) -> tuple[Tensor, Tensor]:
    """First derivative of log F by a shift, and its expected curvature, ``(S, n, K)`` each."""
    residual = sample.outcome[None, :, None] - located
    if model.likelihood == "bernoulli":
        chance = torch.sigmoid(located)
        return sample.outcome[None, :, None] - chance, chance * (1.0 - chance)
    weight = torch.exp(-2.0 * _log_scale(model, theta, sample)).expand_as(residual)
    if model.likelihood == "normal":
        return residual * weight, weight
    degrees = (TAIL_FLOOR + parts_of(model, theta)["tail"].exp())[:, :, None]
    pull = (degrees + 1) / (degrees + residual.square() * weight)
    return residual * weight * pull, weight * (degrees + 1) / (degrees + 3)


def log_prior(model: Mixture, theta: Tensor) -> Tensor:
    """Log prior density of θ up to a constant, ``(S,)``, with the Jacobians of its transforms.

    Weights of types N(0, 1), of the baseline N(0, 0.5²), both narrower with more than four
    features (:attr:`Mixture.type_sd`), but those of blocks and propensities N(0, 2²);
    τ₁ ~ N(difference in means, 1); gaps and noise half-normal(1); degrees of freedom
    Gamma(2, 0.1) above 2.
    """
    parts = parts_of(model, theta)
    found = -0.5 * (parts["type_weight"] / model.type_sd).square().sum(dim=(1, 2))
    base = parts["base_weight"]
    base_sd = torch.as_tensor(model.base_sds, dtype=base.dtype, device=base.device)
    found = found - 0.5 * (base / base_sd).square().sum(dim=1)
    found = found - 0.5 * parts["type_bias"].square().sum(dim=1)
    found = found - 0.5 * parts["base_bias"].square().sum(dim=1)
    found = found - 0.5 * (parts["first_effect"] - model.centre).square().sum(dim=1)
    gap = parts["gap"]
    found = found + (logsigmoid(gap) - 0.5 * softplus(gap).square()).sum(dim=1)
    for name in ("log_noise", "log_place"):
        found = found + (parts[name] - 0.5 * torch.exp(2.0 * parts[name])).sum(dim=1)
    found = found - 0.5 * (parts["type_noise"] / TYPE_NOISE_SD).square().sum(dim=1)
    degrees = TAIL_FLOOR + parts["tail"].exp()
    return found + (torch.log(degrees) - 0.1 * degrees + parts["tail"]).sum(dim=1)


def prior_shift(model: Mixture, generator: torch.Generator) -> Tensor:
    """How far a draw from the normal priors lies from their means, ``(P,)``; 0 elsewhere in θ."""
    spread: dict[str, Any] = {"type_weight": model.type_sd}
    spread |= {"base_weight": torch.as_tensor(model.base_sds)}
    spread |= dict.fromkeys(("type_bias", "base_bias", "first_effect"), 1.0)
    return torch.cat(
        [
            spread.get(name, 0.0) * torch.randn(size, generator=generator, dtype=torch.float64)
            for name, size in model.sizes().items()
        ]
    )


def log_joint(model: Mixture, theta: Tensor, sample: Sample) -> Tensor:
    """Log prior plus log-likelihood of a whole sample, ``(S,)``."""
    return log_prior(model, theta) + log_likelihood(model, theta, sample).sum(dim=1)


def _log_density(model: Mixture, theta: Tensor, sample: Sample, located: Tensor) -> Tensor:
    """Log F of every row at every type's location, ``(S, n, K)``."""
    outcome = sample.outcome[None, :, None]
    if model.likelihood == "bernoulli":
        return logsigmoid(torch.where(outcome > 0.5, located, -located))
    log_scale = _log_scale(model, theta, sample)
    squared = ((outcome - located) * torch.exp(-log_scale)).square()
    if model.likelihood == "normal":
        return -0.5 * (squared + _LOG_2PI) - log_scale
    degrees = (TAIL_FLOOR + parts_of(model, theta)["tail"].exp())[:, :, None]
    constant = torch.lgamma((degrees + 1) / 2) - torch.lgamma(degrees / 2)
    constant = constant - 0.5 * torch.log(math.pi * degrees)
    return constant - log_scale - (degrees + 1) / 2 * torch.log1p(squared / degrees)


def _log_scale(model: Mixture, theta: Tensor, sample: Sample) -> Tensor:
    """Log σ of every row, and of every type if it may differ, ``(S, n, 1 or K)``."""
    parts = parts_of(model, theta)
    treated = sample.treatment.to(torch.bool)[None, :, None]
    log_noise = parts["log_noise"][:, None, :]
    second = log_noise[:, :, 1:]
    if model.cluster_sigma:
        second = second + parts["type_noise"][:, None, :]
    return torch.where(treated, second, log_noise[:, :, :1])
