"""Members of a fit: an encoder with the posterior of the mixture on its features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from causalkit.images.batches import Rows
from causalkit.images.mixture import (
    Sample,
    log_joint,
    log_likelihood,
    log_prior,
    parts_of,
    prior_shift,
    start,
)
from causalkit.images.model import Mixture
from causalkit.images.outcomes import Design
from causalkit.images.posterior import Posterior
from causalkit.images.settings import Plan
from causalkit.images.training import Recipe, Trained, Trial, train
from causalkit.images.variational import Gaussian, curvature_root, fit_full_rank, maximum
from causalkit.rng import seed_of
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from causalkit.images.checkpoint import Checkpoint

_FLAT_FEATURE = 1e-8
_DRAWS_AT_ONCE = 50


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One encoder and its posterior.

    Attributes
    ----------
    network : Module or None
        None where features come from elsewhere.
    posterior : Posterior
    score : float
        Mean log predictive density of the selection rows, standardised outcome.
    place_gains : (n_select,) array
        What knowing the place adds to the log predictive density of each of these rows, or of each
        image where units share types: 0 on average or less if types do not differ by place.
    history : tuple
        Of training.
    sampling : mapping or None
        Whether chains agree, where there are some.
    mode : (P,) array or None
        θ on standardised features at which the encoder was trained; where it was not, the mode.
    """

    network: Any
    posterior: Posterior
    score: float
    place_gains: Floats
    history: tuple[tuple[float, float], ...] = ()
    sampling: Mapping[str, Any] | None = None
    mode: Floats | None = None


def from_pixels(
    make: Callable[[], nn.Module],
    mixture: Callable[[int], Mixture],
    trial: Trial,
    parts: tuple[Rows, Rows],
    design: Design,
    recipe: Recipe,
    plan: Plan,
    *,
    advance: Callable[[str], None] | None = None,
    checkpoint: "Checkpoint | None" = None,
) -> tuple[Member, ...]:
    """Train an encoder with the effects, from several starts.

    Parameters
    ----------
    make : callable
        Builds the encoder.
    mixture : callable
        Number of features to the model.
    trial, parts, design, recipe, plan
        Sample, training and selection rows, arrays, and how to.
    advance : callable, optional
        Told of every epoch.
    checkpoint : Checkpoint, optional
    """
    with torch.random.fork_rng(devices=[]):
        model = mixture(int(make().n_features))  # type: ignore[arg-type]
    trained: list[Trained] = [
        train(
            make,
            model,
            trial,
            parts,
            recipe,
            seed=seed_of(plan.seed, "restart", number),
            advance=advance,
            checkpoint=None if checkpoint is None else checkpoint.within(f"start{number}"),
        )
        for number in range(plan.n_restarts)
    ]
    trained.sort(key=lambda one: -one.score)
    members = []
    for number, one in enumerate(trained[: plan.n_ensemble]):
        features = [recipe.features(one.network, trial, part.images) for part in parts]
        members.append(
            member_on(
                (features[0], features[1]),
                parts,
                design,
                model,
                plan,
                number=number,
                network=one.network,
                theta=one.theta.cpu().to(torch.float64),
                history=one.history,
            )
        )
    return tuple(members)


def member_on(
    features: tuple[Floats, Floats],
    parts: tuple[Rows, Rows],
    design: Design,
    model: Mixture,
    plan: Plan,
    *,
    number: int = 0,
    network: Any = None,
    theta: Tensor | None = None,
    history: tuple[tuple[float, float], ...] = (),
) -> Member:
    """Posterior of the mixture on features that are given.

    Parameters
    ----------
    features : pair of (m, d) arrays
        Of the training and the selection images.
    parts : (Rows, Rows)
    design : Design
    model : Mixture
    plan : Plan
    number : int
        Of the member.
    network : Module, optional
        That made the features.
    theta : (P,) Tensor, optional
        Mode on the raw features, from training; else several starts are tried.
    history : tuple
    """
    mean, sd = features[0].mean(axis=0), features[0].std(axis=0)
    sd = np.where(sd > _FLAT_FEATURE * (1.0 + np.abs(mean)), sd, 1.0)
    samples = [
        sample_of((raw - mean) / sd, part, design)
        for raw, part in zip(features, parts, strict=True)
    ]
    generator = torch.Generator().manual_seed(seed_of(plan.seed, "posterior", number))

    def density(values: Tensor) -> Tensor:
        return log_joint(model, values, samples[0])

    if theta is None:
        starts = [start(model, generator, dtype=torch.float64)[0] for _ in range(plan.n_restarts)]
        modes = [maximum(density, one) for one in starts]
        begin = max(modes, key=lambda one: float(density(one[None])[0]))
    else:
        begin = on_standardised(model, theta, mean, sd)
    sampling = None
    if plan.inference == "nuts":
        draws, sampling = _chains(model, samples[0], density, begin, plan, generator)
    elif plan.inference == "map":
        draws = maximum(density, begin)[None]
    else:
        posterior_of_theta = fit_full_rank(density, begin, generator=generator)
        draws = posterior_of_theta.draw(max(2, plan.n_draws // plan.n_ensemble), generator)
    scores = predictive(model, draws, samples[1])
    gains = scores - predictive(model, draws, samples[1], blind=True)
    if plan.inference == "map" and plan.n_ensemble > 1 and theta is None:
        # Members share their features, and so their mode: without this they would not differ.
        groups = entry_groups(parts[0], design, model.latent_level)
        draws = perturbed_mode(model, samples[0], draws[0], groups, generator)[None]
    posterior = Posterior(model, draws.numpy(), mean, sd, design.centre, design.scale)
    per_row = float(scores.sum()) / parts[1].order.size
    return Member(network, posterior, per_row, gains, history, sampling, begin.numpy())


@torch.no_grad()
def predictive(model: Mixture, draws: Tensor, sample: Sample, *, blind: bool = False) -> Floats:
    """Log predictive density of every row, or image, over draws ``(S, P)``."""
    rows = torch.cat(
        [
            log_likelihood(model, part, sample, blind=blind)
            for part in draws.split(_DRAWS_AT_ONCE)  # type: ignore[no-untyped-call]
        ]
    )
    found: Floats = (torch.logsumexp(rows, dim=0) - np.log(draws.shape[0])).numpy()
    return found


def perturbed_mode(
    model: Mixture, sample: Sample, mode: Tensor, groups: Ints, generator: torch.Generator
) -> Tensor:
    """Mode ``(P,)`` under random weights of the groups and random centres of the priors.

    About a draw from the posterior, and exactly one where likelihood and prior are normal: groups
    weigh as in a Bayesian bootstrap, and the priors are perturbed too since with many features it
    is they that hold the weights.

    Parameters
    ----------
    model : Mixture
    sample : Sample
    mode : (P,) Tensor
        Where the search begins.
    groups : (n,) or (m,) int array
        Group of each entry of the log-likelihood; its entries weigh alike.
    generator : torch.Generator

    References
    ----------
    Newton, Polson & Xu (2021). Weighted Bayesian bootstrap for scalable posterior distributions.
    Canadian Journal of Statistics 49.
    """
    by_group = torch.empty(int(groups.max()) + 1, dtype=torch.float64)
    by_group.exponential_(generator=generator)
    weights = (by_group / by_group.mean())[torch.as_tensor(groups)]
    shift = prior_shift(model, generator)

    def density(theta: Tensor) -> Tensor:
        weighted = (log_likelihood(model, theta, sample) * weights).sum(dim=1)
        return log_prior(model, theta - shift) + weighted

    return maximum(density, mode)


def entry_groups(rows: Rows, design: Design, level: str) -> Ints:
    """Group of every entry of the log-likelihood, from 0: of a row, or of an image as a whole."""
    entries = rows.order if level == "unit" else rows.order[rows.starts[:-1]]
    codes = np.unique(design.groups[entries], return_inverse=True)[1]
    return np.asarray(codes, dtype=np.int64)


def _chains(
    model: Mixture,
    sample: Sample,
    density: Callable[[Tensor], Tensor],
    begin: Tensor,
    plan: Plan,
    generator: torch.Generator,
) -> tuple[Tensor, Mapping[str, Any]]:
    """Chains that start about the mode, twice as spread out as the posterior there."""
    from causalkit.images.embedding_model import Arrays, sample_posterior

    mode = maximum(density, begin)
    spread = Gaussian(mode, 2.0 * curvature_root(density, mode))
    found = sample_posterior(
        model,
        Arrays(*(getattr(sample, name).numpy() for name in Arrays.__slots__)),
        spread.draw(plan.n_chains, generator).numpy(),
        n_draws=plan.n_draws,
        n_tune=plan.n_tune,
        seed=plan.seed,
        progress=plan.progress,
    )
    return torch.as_tensor(found.theta), found.diagnostics


def sample_of(features: Floats, rows: Rows, design: Design) -> Sample:
    """Rows of a part with their features, in float64 on the processor."""
    _, inverse = rows.having(rows.images)

    def put(values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64)

    return Sample(
        features=put(features),
        image=torch.as_tensor(inverse),
        outcome=put(design.outcome[rows.order]),
        treatment=put(design.treatment[rows.order]),
        covariates=put(design.covariates[rows.order]),
    )


def on_standardised(model: Mixture, theta: Tensor, mean: Floats, sd: Floats) -> Tensor:
    """The same function of raw features, as θ on standardised ones."""
    parts = {name: values.clone() for name, values in parts_of(model, theta[None]).items()}
    centre, unit = torch.as_tensor(mean), torch.as_tensor(sd)
    d = model.n_features
    parts["type_bias"] += torch.einsum("d,sdk->sk", centre, parts["type_weight"])
    parts["type_weight"] *= unit[None, :, None]
    parts["base_bias"] += parts["base_weight"][:, :d] @ centre[:, None]
    parts["base_weight"][:, :d] *= unit
    return torch.cat([values.reshape(1, -1) for values in parts.values()], dim=1)[0]
