"""Posterior of a parameter vector as a Gaussian with a full covariance matrix.

A mean-field Gaussian understates uncertainty where parameters trade off, as effects and type
probabilities do; here the whole covariance is learned.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from causalkit.errors import TrainingError

LogDensity = Callable[[Tensor], Tensor]

_STEPS = 500
_DRAWS = 4
_RATE = 0.02
_POLISH = 200
_SEARCHES = 3
_LEAST_CURVATURE = 0.1
_HESSIAN_ROWS = 16
_MOST_FOR_CURVATURE = 600  # above this many parameters the Hessian is not formed


@dataclass(frozen=True, slots=True)
class Gaussian:
    """N(mean, root root').

    Attributes
    ----------
    mean : (P,) Tensor
    root : (P, P) Tensor
        Of the covariance.
    """

    mean: Tensor
    root: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent draws, ``(count, P)``."""
        noise = torch.randn((count, self.mean.shape[0]), generator=generator, dtype=self.mean.dtype)
        return self.mean + noise @ self.root.T


def maximum(log_density: LogDensity, start: Tensor) -> Tensor:
    """Mode near ``start`` ``(P,)`` of a density of ``(S, P)``, by L-BFGS.

    A line search can leap to where the density is no number; the search then begins anew at the
    best point that it saw.
    """
    theta = start.detach().clone()
    for _ in range(_SEARCHES):
        found, best = _search(log_density, theta)
        with torch.no_grad():
            before, after = log_density(torch.stack([theta, found]))
        if torch.isfinite(after) and not after < before:
            return found
        theta = best
    return theta


def _search(log_density: LogDensity, start: Tensor) -> tuple[Tensor, Tensor]:
    """Where L-BFGS ends, and the best point that it tried."""
    theta = start.clone().requires_grad_()
    search = torch.optim.LBFGS(
        [theta], max_iter=_POLISH, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    least, best = math.inf, start

    def lost() -> float:
        nonlocal least, best
        search.zero_grad()
        loss = -log_density(theta[None])[0]
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if value < least:
            least, best = value, theta.detach().clone()
        return value

    search.step(lost)  # type: ignore[no-untyped-call]
    return theta.detach(), best


def curvature_root(log_density: LogDensity, mode: Tensor) -> Tensor:
    """Root of the Laplace covariance at a mode, ``(P, P)``; flat directions get a floor."""
    count = mode.shape[0]
    if count > _MOST_FOR_CURVATURE:
        return 0.05 * torch.eye(count, dtype=mode.dtype)
    hessian = _hessian(lambda theta: -log_density(theta[None])[0], mode)
    values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
    root: Tensor = vectors / values.clamp(min=_LEAST_CURVATURE).sqrt()
    return root


def _hessian(function: LogDensity, at: Tensor) -> Tensor:
    """Second derivatives ``(P, P)``, some rows at a time: all at once hold P times the data."""
    theta = at.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(theta), theta, create_graph=True)
    parts = [
        torch.autograd.grad(slope, theta, some, retain_graph=True, is_grads_batched=True)[0]
        for some in torch.split(torch.eye(at.shape[0], dtype=at.dtype), _HESSIAN_ROWS)
    ]
    return torch.cat(parts)


def fit_full_rank(
    log_density: LogDensity, start: Tensor, *, generator: torch.Generator, steps: int = _STEPS
) -> Gaussian:
    """Gaussian nearest to a posterior in KL(q‖p), begun at the Laplace approximation.

    Parameters
    ----------
    log_density : callable
        Log joint density of values ``(S, P)``, as ``(S,)``.
    start : (P,) Tensor
        From which the mode is sought.
    generator : torch.Generator
        Source of draws.
    steps : int
        Of Adam, four reparameterised draws each.

    Raises
    ------
    TrainingError
        If the bound is not finite.

    Notes
    -----
    Steps are taken in the coordinates of the Laplace approximation, where the posterior is about
    standard normal, so that one rate suits all parameters. The mean of the last half of the
    iterates is kept: it has less of the noise of the draws.
    """
    mode = maximum(log_density, start)
    frame = curvature_root(log_density, mode)
    count = mode.shape[0]
    shift = torch.zeros(count, dtype=mode.dtype, requires_grad=True)
    below = torch.zeros((count, count), dtype=mode.dtype, requires_grad=True)
    log_diagonal = torch.zeros(count, dtype=mode.dtype, requires_grad=True)
    adam = torch.optim.Adam([shift, below, log_diagonal], lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.1, total_iters=steps)
    kept = [torch.zeros_like(part) for part in (shift, below, log_diagonal)]
    for step in range(steps):
        noise = torch.randn((_DRAWS, count), generator=generator, dtype=mode.dtype)
        root = torch.tril(below, -1) + torch.diag(log_diagonal.exp())
        theta = mode + (shift + noise @ root.T) @ frame.T
        bound = log_density(theta).mean() + log_diagonal.sum()
        if not torch.isfinite(bound):
            raise TrainingError(
                f"the evidence bound is not finite at step {step} of the variational fit; look "
                "for extreme outcomes or covariates."
            )
        adam.zero_grad()
        (-bound).backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
        if step >= steps // 2:
            for total, part in zip(kept, (shift, below, log_diagonal), strict=True):
                total += part.detach() / (steps - steps // 2)
    root = torch.tril(kept[1], -1) + torch.diag(kept[2].exp())
    return Gaussian(mode + frame @ kept[0], frame @ root)
