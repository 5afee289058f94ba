"""Train an encoder and the mixture's parameters together, at the posterior mode."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from causalkit.errors import CausalKitWarning, TrainingError
from causalkit.images.batches import Batch, Images, Lens, Rows, batches
from causalkit.images.mixture import Sample, log_likelihood, log_prior, start
from causalkit.images.model import Mixture
from causalkit.images.represent import forward, represent
from causalkit.rng import seed_of, stream
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    from causalkit.images.checkpoint import Checkpoint

_WEIGHT_DECAY = 1e-4
_SCALAR_RATE = 10.0  # effects and noise move on the scale of the outcome, not that of weights
_MOST_HALVINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    epochs, batch_size : int
        Batches are counted in images.
    learning_rate : float
        Highest of a one-cycle schedule; effects and noise have ten times as much.
    augment : bool
        Flips and quarter turns, the same for every frame. Never brightness: it may be what
        effects depend on.
    precision : torch dtype or None
        Of the encoder's forward pass, below float32.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    augment: bool
    precision: Any = None

    def features(self, network: nn.Module, trial: "Trial", positions: Ints) -> Floats:
        """Features of some images, ``(m, d)`` in ascending order of ``positions``.

        Raises
        ------
        DataError, TrainingError
            As :func:`represent`.
        """
        return represent(
            network,
            trial.lens,
            trial.images,
            positions,
            batch_size=2 * self.batch_size,
            precision=self.precision,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The sample as the training sees it.

    Attributes
    ----------
    images : Images
    lens : Lens
    outcome, treatment : (n,) arrays
        Over all rows; standardised outcome, treatment 0/1.
    covariates : (n, p) array
        Standardised.
    """

    images: Images
    lens: Lens
    outcome: Floats
    treatment: Floats
    covariates: Floats

    def sample(self, features: Tensor, rows: Ints, inverse: Ints) -> Sample:
        """Rows with the features of their images, in the type of the features."""

        def put(values: Any) -> Tensor:
            return torch.as_tensor(values, dtype=features.dtype, device=features.device)

        return Sample(
            features=features,
            image=torch.as_tensor(inverse, device=features.device),
            outcome=put(self.outcome[rows]),
            treatment=put(self.treatment[rows]),
            covariates=put(self.covariates[rows]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained encoder with the mixture's mode.

    Attributes
    ----------
    network : Module
        In evaluation mode.
    theta : (P,) Tensor
        On features as the network gives them.
    score : float
        Mean log predictive density of the selection rows.
    history : tuple of (float, float)
        Mean log-likelihood of the training rows, and score, after every epoch.
    """

    network: nn.Module
    theta: Tensor
    score: float
    history: tuple[tuple[float, float], ...]


def train(
    make: Callable[[], nn.Module],
    model: Mixture,
    trial: Trial,
    parts: tuple[Rows, Rows],
    recipe: Recipe,
    *,
    seed: int,
    advance: Callable[[str], None] | None = None,
    checkpoint: "Checkpoint | None" = None,
) -> Trained:
    """Train one network from one start, to the end of the schedule.

    Which epoch is best is not looked for: the scores of a few hundred selection rows differ by
    more than the epochs do, and early ones win by chance.

    Parameters
    ----------
    make : callable
        Builds the encoder, called with torch's generator seeded.
    model : Mixture
    trial : Trial
    parts : (Rows, Rows)
        Training and selection rows, on different images.
    recipe : Recipe
    seed : int
    advance : callable, optional
        Told of every epoch.
    checkpoint : Checkpoint, optional
        Where the state is kept after every epoch, and taken up again.

    Raises
    ------
    TrainingError
        If the loss is not finite; names step and images.
    StorageError
        If the checkpoint is of another training, or its folder cannot be used.
    """
    device = trial.lens.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Layers that draw random numbers in training, as dropout does, go on from this seed.
        torch.manual_seed(seed_of(seed, "weights") % 2**63)
        loop = Loop(make().to(device), model, trial, parts[0], recipe, seed)
        keeper = None if checkpoint is None else checkpoint.keeper(loop, parts[1])
        if keeper is not None:
            keeper.restore(loop)
        for epoch in range(recipe.epochs):
            if epoch >= len(loop.history):
                loop.epoch(parts[1])
                if keeper is not None:
                    keeper.save(loop)
            if advance is not None:
                advance(f"epoch {epoch + 1}: selection {loop.history[epoch][1]:.4f}")
    loop.network.eval()
    score = loop.history[-1][1]
    return Trained(loop.network, loop.theta.detach()[0], score, tuple(loop.history))


@dataclass(slots=True, eq=False)
class Loop:
    """Parameters, optimiser and schedule of one training, and how far it is.

    Attributes
    ----------
    network : Module
    model : Mixture
    trial : Trial
    rows : Rows
        Of the training.
    recipe : Recipe
    seed : int
    generator : torch.Generator
        Of starts and augmentation.
    order : Generator
        Of batches.
    weights, scalars : Parameter
        Of the mixture.
    adam, schedule
    n_parts : int
        Into which a batch is cut to fit the device.
    n_steps : int
        So far.
    history : list of (float, float)
        Mean log-likelihood of the training rows, and score of the selection rows, by epoch.
    """

    network: nn.Module
    model: Mixture
    trial: Trial
    rows: Rows
    recipe: Recipe
    seed: int
    generator: torch.Generator = field(init=False)
    order: np.random.Generator = field(init=False)
    weights: nn.Parameter = field(init=False)
    scalars: nn.Parameter = field(init=False)
    adam: Any = field(init=False)
    schedule: Any = field(init=False)
    n_parts: int = field(default=1, init=False)
    n_steps: int = field(default=0, init=False)
    history: list[tuple[float, float]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(seed_of(self.seed, "augment") % 2**63)
        self.order = stream(self.seed, "order")
        theta = start(self.model, self.generator).to(self.device)
        self.weights = nn.Parameter(theta[:, : self.model.n_weights].clone())
        self.scalars = nn.Parameter(theta[:, self.model.n_weights :].clone())
        rate = self.recipe.learning_rate
        groups = [
            {"params": list(self.network.parameters()), "weight_decay": _WEIGHT_DECAY},
            {"params": [self.weights], "weight_decay": 0.0},
            {"params": [self.scalars], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, lr=rate)
        per_epoch = -(-self.rows.images.size // self.recipe.batch_size)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.adam,
            [rate, rate, _SCALAR_RATE * rate],
            total_steps=self.recipe.epochs * per_epoch,
        )

    @property
    def device(self) -> Any:
        """Of network and parameters."""
        return self.trial.lens.device

    @property
    def theta(self) -> Tensor:
        """Parameters of the mixture ``(1, P)``."""
        return torch.cat([self.weights, self.scalars], dim=1)

    def epoch(self, select: Rows) -> None:
        """One pass over the training images, then the score of the selection rows."""
        self.network.train()
        size = self.recipe.batch_size
        shuffled = batches(self.trial.images, self.rows, size=size, rng=self.order)
        fitted = [self.step(batch) for batch in shuffled]
        self.network.eval()
        self.history.append((float(np.sum(fitted)) / self.rows.order.size, self.score(select)))

    def step(self, batch: Batch) -> float:
        """One step; a batch that does not fit the device is halved, with the same gradient."""
        while (fitted := self._in_parts(batch)) is None:
            # Only after the except block, as the error holds on to the tensors that it met.
            torch.cuda.empty_cache()
            warn(
                f"a batch of {batch.images.size} images does not fit the device; it is "
                f"worked on in {self.n_parts} parts.",
                CausalKitWarning,
            )
        self.adam.step()
        self.schedule.step()
        self.n_steps += 1
        return fitted

    def _in_parts(self, batch: Batch) -> float | None:
        """Backward pass; None, and twice as many parts from now on, if one does not fit."""
        try:
            self.adam.zero_grad(set_to_none=True)
            return sum(self._backward(part) for part in _split(batch, self.n_parts))
        except torch.cuda.OutOfMemoryError:
            if self.n_parts >= 2**_MOST_HALVINGS:
                raise
            self.n_parts *= 2
            return None

    def _backward(self, part: Batch) -> float:
        pixels = self.trial.lens.pixels(part.pixels)
        if self.recipe.augment:
            pixels = turned(pixels, self.generator)
        features = self._features(pixels)
        sample = self.trial.sample(features, part.rows, part.inverse)
        fitted = log_likelihood(self.model, self.theta, sample).sum()
        # Images are drawn alike, so that this is unbiased for the sum over all rows.
        share = part.images.size / self.rows.images.size
        objective = fitted / share + log_prior(self.model, self.theta)[0]
        loss = -objective * share / self.rows.order.size
        if not torch.isfinite(loss):
            keys = np.asarray(self.trial.images.store.keys)[part.images[:3]].tolist()
            raise TrainingError(
                f"the loss is not finite at step {self.n_steps} (images {keys} and others); look "
                "for extreme outcomes, or lower learning_rate."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return float(fitted.detach())

    def _features(self, pixels: Tensor) -> Tensor:
        return forward(self.network, pixels, self.recipe.precision)

    @torch.no_grad()
    def score(self, rows: Rows) -> float:
        """Mean log predictive density of some rows."""
        total = 0.0
        for batch in batches(self.trial.images, rows, size=2 * self.recipe.batch_size):
            features = self._features(self.trial.lens.pixels(batch.pixels))
            sample = self.trial.sample(features, batch.rows, batch.inverse)
            total += float(log_likelihood(self.model, self.theta, sample).sum())
        return total / rows.order.size


def turned(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each image flipped and turned at random, all its frames alike; turns need square images."""

    def coin() -> Tensor:
        drawn = torch.rand(pixels.shape[0], generator=generator) < 0.5
        return drawn.to(pixels.device).reshape(-1, *(1,) * (pixels.dim() - 1))

    found = torch.where(coin(), pixels.flip(-1), pixels)
    found = torch.where(coin(), found.flip(-2), found)
    if pixels.shape[-1] == pixels.shape[-2]:
        found = torch.where(coin(), found.transpose(-1, -2), found)
    return found


def _split(batch: Batch, parts: int) -> Iterator[Batch]:
    """A batch in parts of whole images."""
    if parts == 1:
        yield batch
        return
    for places in np.array_split(np.arange(batch.images.size), parts):
        if places.size:
            mine = (batch.inverse >= places[0]) & (batch.inverse <= places[-1])
            yield Batch(
                batch.images[places],
                batch.pixels[places],
                batch.rows[mine],
                batch.inverse[mine] - places[0],
            )
