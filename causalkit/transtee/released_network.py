"""The network and the loop that were released with TransTEE, written anew from their description.

One embedding shared by all covariates; post-norm with batch norms whose channels are the
covariates; a decoder whose norms stand by; SGD with Nesterov momentum and a cosine by epoch, on raw
outcomes, with no validation rows, to the last epoch. At 25 covariates and width 10 there are 3,597
parameters, as there. Zhang et al. (2022), arXiv:2202.01336; no line of their code is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOMENTUM = 0.9
DECAY = 5e-3
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyper-parameters of one design."""

    lr: float = 5e-4
    batch: int = 128
    epochs: int = 1500
    dropout: float = 0.0
    width: int = 10
    heads: int = 2
    feed_forward: int = 50


RECIPES = {
    "ihdp": Recipe(),
    "news": Recipe(lr=0.01, batch=500),
    "synthetic": Recipe(lr=0.01, batch=500, epochs=1600, dropout=0.1),
}


def _attention(recipe: Recipe) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(
        recipe.width, recipe.heads, dropout=recipe.dropout, batch_first=True
    )


def _feed_forward(recipe: Recipe) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(recipe.width, recipe.feed_forward),
        nn.ReLU(),
        nn.Dropout(recipe.dropout),
        nn.Linear(recipe.feed_forward, recipe.width),
    )


def _token(width: int, sd: float) -> nn.Linear:
    """A number becomes a token; the same map for every number."""
    made = nn.Linear(1, width)
    nn.init.normal_(made.weight, 0.0, sd)
    nn.init.zeros_(made.bias)
    return made


class Encoder(nn.Module):
    """Attention, sum, norm, feed-forward, sum, norm."""

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        self.attention = _attention(recipe)
        self.feed = _feed_forward(recipe)
        self.drop = nn.Dropout(recipe.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_covariates) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Memory ``(n, p, d)`` of tokens of that shape."""
        x = self.norms[0](x + self.drop(self.attention(x, x, x)[0]))
        out: Tensor = self.norms[1](x + self.drop(self.feed(x)))
        return out


class Decoder(nn.Module):
    """Attention within the one token, then to the memory, then feed-forward; norms stand by."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.within = _attention(recipe)
        self.across = _attention(recipe)
        self.feed = _feed_forward(recipe)
        self.drop = nn.Dropout(recipe.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(1) for _ in range(3))

    def forward(self, t: Tensor, memory: Tensor) -> Tensor:
        """Token ``(n, 1, d)`` of the treatment after the memory."""
        t = t + self.drop(self.within(t, t, t)[0])
        t = t + self.drop(self.across(t, memory, memory)[0])
        out: Tensor = t + self.drop(self.feed(t))
        return out


class Released(nn.Module):
    """E[Y | x, t] from covariates ``(n, p)`` and numbers t ``(n,)``; arms are 0, 1, ..."""

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        self.covariate = _token(recipe.width, 0.1)
        self.treatment = _token(recipe.width, 0.2)
        self.encoder = Encoder(n_covariates, recipe)
        self.decoder = Decoder(recipe)
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Outcomes ``(n,)``."""
        memory = self.encoder(self.covariate(x[:, :, None]))
        out: Tensor = self.head(self.decoder(self.treatment(t[:, None, None]), memory))
        return out[:, 0, 0]


def train(
    x: Any,
    t: Any,
    y: Any,
    recipe: Recipe,
    *,
    seed: int,
    epochs: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Released, list[float]]:
    """Train on all rows given; ``epochs`` cuts the recipe short without changing its schedule.

    Batches are cut from a permutation, which is faster than the released data loader.

    Returns
    -------
    network : Released
    losses : list of float
        Of the last batch of every epoch.
    """
    losses = []
    x, t, y = (torch.as_tensor(np.array(values), dtype=torch.float32) for values in (x, t, y))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Released(x.shape[1], recipe)
        sgd = torch.optim.SGD(
            model.parameters(), lr=recipe.lr, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
        )
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, recipe.epochs)
        model.train()
        for epoch in range(recipe.epochs if epochs is None else epochs):
            order = torch.randperm(len(x))
            for start in range(0, len(x), recipe.batch):
                rows = order[start : start + recipe.batch]
                sgd.zero_grad()
                loss = ((model(x[rows], t[rows]) - y[rows]) ** 2).mean()
                loss.backward()
                sgd.step()
            cosine.step()
            losses.append(loss.item())
            if tell is not None:
                tell(f"epoch {epoch + 1}: training {losses[-1]:.4f}")
    return model.eval(), losses


@torch.no_grad()
def answers(model: Released, x: Any, t: Any) -> Tensor:
    """Outcomes ``(n,)`` of rows under one treatment for everyone, or one for each of them."""
    x = torch.as_tensor(np.array(x), dtype=torch.float32)
    t = torch.as_tensor(np.array(t), dtype=torch.float32).expand(len(x))
    starts = range(0, len(x), _PIECE)
    return torch.cat([model(x[k : k + _PIECE], t[k : k + _PIECE]) for k in starts])
