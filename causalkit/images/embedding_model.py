"""The mixture of effect types in PyMC, sampled by the No-U-Turn sampler: types are summed out.

Same model, priors and parameters as :mod:`causalkit.images.mixture`: what PyMC moves in is θ.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ConvergenceWarning
from causalkit.images.model import TAIL_FLOOR, TYPE_NOISE_SD, Mixture
from causalkit.optional import require
from causalkit.rng import seed_of
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

MOST_FEATURES = 64
MOST_ROWS = 20_000
MOST_RHAT = 1.01
LEAST_ESS = 400.0
_TARGET_ACCEPT = 0.9  # the corner between effects and probabilities diverges at less


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Rows as PyMC takes them.

    Attributes
    ----------
    features : (m, d) array
        Standardised, one row per image.
    image : (n,) int array
        Position in ``features``.
    outcome, treatment : (n,) arrays
    covariates : (n, p) array
    """

    features: Floats
    image: Ints
    outcome: Floats
    treatment: Floats
    covariates: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """Draws of θ and whether the chains agree.

    Attributes
    ----------
    theta : (chains · draws, P) array
    diagnostics : mapping
        ``max_rhat``, ``min_ess_bulk``, ``divergences``, ``n_chains``, ``n_draws`` of each.
    """

    theta: Floats
    diagnostics: Mapping[str, Any]


def bayes(name: str) -> Any:
    """PyMC or a module under it, without what these say about the future of each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require(name, extra="bayes", needed_by="EmbeddingEffectClusters(inference='nuts')")


def check_feasible(n_features: int, n: int) -> None:
    """Refuse samples for which the sampler takes days, before anything is fitted to them.

    Raises
    ------
    ArgumentError
    MissingDependencyError
        If PyMC is not there.
    """
    bayes("pymc")
    if n_features > MOST_FEATURES:
        raise ArgumentError(
            f"inference='nuts' takes at most {MOST_FEATURES} features, got {n_features}; "
            f"lower n_components, or use inference='svi_fullrank'."
        )
    if n > MOST_ROWS:
        raise ArgumentError(
            f"inference='nuts' takes at most {MOST_ROWS:,} training rows, got {n:,}; use "
            "inference='svi_fullrank'."
        )


def build(model: Mixture, data: Arrays) -> Any:
    """PyMC model whose unconstrained variables are the parts of θ, in the same scale.

    Effects of places, which :mod:`causalkit.images.mixture` integrates out, are sampled here, as
    multiples of their standard deviation.

    Parameters
    ----------
    model : Mixture
    data : Arrays

    Returns
    -------
    pymc.Model
    """
    pm, pt = bayes("pymc"), bayes("pytensor.tensor")
    with pm.Model() as made:
        theta = _priors(pm, model)
        control = (
            pt.dot(data.features, theta["base_weight"][: model.n_features])[data.image]
            + theta["base_bias"][0]
        )
        if model.n_covariates:
            control = control + pt.dot(data.covariates, theta["base_weight"][model.n_features :])
        if model.latent_level == "image":
            shock = pm.Normal("place", 0.0, 1.0, shape=data.features.shape[0])
            control = control + (theta["log_place"][0] * shock)[data.image]
        located = control[:, None] + data.treatment[:, None] * _effects(pt, model, theta)
        dense = _log_density(pm, pt, model, theta, data, located)
        log_probs = _type_log_probs(pt, model, theta, data.features)
        if model.latent_level == "image":
            sums = pt.inc_subtensor(pt.zeros(log_probs.shape)[data.image], dense)
            of_places = pt.logsumexp(log_probs + sums, axis=1)
        else:
            of_places = pt.logsumexp(log_probs[data.image] + dense, axis=1)
        pm.Potential("likelihood", of_places.sum())
    return made


def _priors(pm: Any, model: Mixture) -> dict[str, Any]:
    """Variables by the name of the part of θ that their unconstrained value is.

    Positive ones come back on their natural scale: gaps between effects, noise, degrees of
    freedom, size of the effects of places.
    """
    log_exp_m1 = bayes("pymc.distributions.transforms").log_exp_m1
    sizes = model.sizes()
    # One number where there is one: a vector of it would move the chains by its rounding.
    base_sd = model.base_sds if model.n_design else model.base_sd
    found = {
        "type_weight": pm.Normal("type_weight", 0.0, model.type_sd, shape=sizes["type_weight"]),
        "base_weight": pm.Normal("base_weight", 0.0, base_sd, shape=sizes["base_weight"]),
        "type_bias": pm.Normal("type_bias", 0.0, 1.0, shape=sizes["type_bias"]),
        "base_bias": pm.Normal("base_bias", 0.0, 1.0, shape=1),
        "first_effect": pm.Normal("first_effect", model.centre, 1.0, shape=1),
        "gap": pm.HalfNormal(
            "gap", 1.0, shape=sizes["gap"], transform=log_exp_m1, default_transform=None
        ),
    }
    if sizes["log_noise"]:
        found["log_noise"] = pm.HalfNormal("log_noise", 1.0, shape=2)
    if sizes["type_noise"]:
        found["type_noise"] = pm.Normal("type_noise", 0.0, TYPE_NOISE_SD, shape=model.n_types)
    if sizes["tail"]:
        degrees = pm.Gamma.dist(alpha=2.0, beta=0.1)
        found["tail"] = pm.Truncated("tail", degrees, lower=TAIL_FLOOR, shape=1)
    if sizes["log_place"]:
        found["log_place"] = pm.HalfNormal("log_place", 1.0, shape=1)
    return found


def _effects(pt: Any, model: Mixture, theta: dict[str, Any]) -> Any:
    """τ of every type, ``(K,)``."""
    first = theta["first_effect"]
    if model.n_types == 1:
        return first
    return pt.concatenate([first, first + pt.cumsum(theta["gap"])])


def _type_log_probs(pt: Any, model: Mixture, theta: dict[str, Any], features: Floats) -> Any:
    """Log π of every image, ``(m, K)``."""
    zero = pt.zeros((features.shape[0], 1))
    if model.n_types == 1:
        return zero
    weight = theta["type_weight"].reshape((model.n_features, model.n_types - 1))
    logits = pt.concatenate([zero, pt.dot(features, weight) + theta["type_bias"]], axis=1)
    return logits - pt.logsumexp(logits, axis=1, keepdims=True)


def _log_density(
    pm: Any, pt: Any, model: Mixture, theta: dict[str, Any], data: Arrays, located: Any
) -> Any:
    """Log F of every row at every type's location, ``(n, K)``."""
    outcome = data.outcome[:, None]
    if model.likelihood == "bernoulli":
        return -pt.softplus(pt.where(outcome > 0.5, -located, located))
    noise = theta["log_noise"]
    treated = noise[1] * pt.exp(theta["type_noise"]) if model.cluster_sigma else noise[1]
    scale = pt.where(data.treatment[:, None] > 0.5, treated, noise[0])
    family = (
        pm.Normal.dist(located, scale)
        if model.likelihood == "normal"
        else pm.StudentT.dist(nu=theta["tail"][0], mu=located, sigma=scale)
    )
    return pm.logp(family, pt.broadcast_to(outcome, located.shape))


def sample_posterior(
    model: Mixture,
    data: Arrays,
    starts: Floats,
    *,
    n_draws: int,
    n_tune: int,
    seed: int,
    progress: bool = False,
) -> Chains:
    """Chains of the No-U-Turn sampler, one per start.

    Parameters
    ----------
    model : Mixture
    data : Arrays
    starts : (chains, P) array
        Of θ; more spread out than the posterior, so that agreement of the chains means something.
    n_draws, n_tune : int
        Kept and discarded draws of each chain.
    seed : int
    progress : bool

    Warns
    -----
    ConvergenceWarning
        If the largest R-hat exceeds 1.01, or the least bulk effective sample size is below 400.
    """
    pm = bayes("pymc")
    with build(model, data) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pm.sample(
            draws=n_draws,
            tune=n_tune,
            chains=starts.shape[0],
            cores=1,
            init="adapt_diag",
            initvals=[_initial(model, one, made) for one in starts],
            target_accept=_TARGET_ACCEPT,
            random_seed=[seed_of(seed, "chain", number) for number in range(starts.shape[0])],
            progressbar=progress,
            quiet=not progress,
            compute_convergence_checks=False,
        )
    theta = _as_theta(model, found.posterior)
    diagnostics = _agreement(theta) | {
        "divergences": int(found.sample_stats["diverging"].sum()),
        "n_chains": theta.shape[0],
        "n_draws": theta.shape[1],
    }
    _warn_of_disagreement(diagnostics)
    return Chains(theta.reshape(-1, model.size), diagnostics)


def natural(model: Mixture, theta: Floats) -> dict[str, Floats]:
    """Parts of θ ``(..., P)`` as PyMC names them, on their natural scale."""
    cuts = np.cumsum(list(model.sizes().values()))[:-1]
    found = dict(zip(model.sizes(), np.split(theta, cuts, axis=-1), strict=True))
    found["gap"] = np.logaddexp(0.0, found["gap"])
    found["tail"] = TAIL_FLOOR + np.exp(found["tail"])
    for name in ("log_noise", "log_place"):
        found[name] = np.exp(found[name])
    return {name: values for name, values in found.items() if values.shape[-1]}


def _initial(model: Mixture, theta: Floats, made: Any) -> dict[Any, Floats]:
    start = natural(model, theta)
    return {variable: start[variable.name] for variable in made.free_RVs if variable.name in start}


def _as_theta(model: Mixture, posterior: Any) -> Floats:
    """θ of every draw, ``(chains, draws, P)``."""
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    inverse: dict[str, Any] = {
        "gap": lambda gap: gap + np.log(-np.expm1(-gap)),
        "tail": lambda degrees: np.log(degrees - TAIL_FLOOR),
        "log_noise": np.log,
        "log_place": np.log,
    }
    parts = []
    for name, size in model.sizes().items():
        values = posterior[name].values if size else np.zeros((*shape, 0))
        parts.append(inverse[name](values) if size and name in inverse else values)
    return np.concatenate(parts, axis=2)


def _agreement(theta: Floats) -> dict[str, float]:
    arviz = bayes("arviz")
    data = arviz.convert_to_dataset({"theta": theta})
    rhat = arviz.rhat(data)["theta"].values
    ess = arviz.ess(data, method="bulk")["theta"].values
    return {"max_rhat": float(rhat.max()), "min_ess_bulk": float(ess.min())}


def _warn_of_disagreement(found: Mapping[str, Any]) -> None:
    if found["max_rhat"] <= MOST_RHAT and found["min_ess_bulk"] >= LEAST_ESS:
        return
    warn(
        f"the chains have not converged: the largest R-hat is {found['max_rhat']:.3f} (at most "
        f"{MOST_RHAT}) and the least bulk effective sample size {found['min_ess_bulk']:.0f} (at "
        f"least {LEAST_ESS:.0f}) with {found['n_chains']} chains of {found['n_draws']} draws and "
        f"{found['divergences']} divergences. Raise n_draws and n_tune, or use "
        "inference='svi_fullrank'.",
        ConvergenceWarning,
    )
