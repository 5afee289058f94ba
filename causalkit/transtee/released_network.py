"""The networks that were released with TransTEE, written anew from their description.

One embedding shared by all covariates; post-norm with batch norms whose channels are the
covariates; a decoder whose norms stand by where the treatment is a number, and are used elsewhere.
At 25 covariates and width 10 there are 3,597 parameters, as there. Zhang et al. (2022),
arXiv:2202.01336; no line of their code is used.
"""

import torch
from torch import Tensor, nn

from causalkit.transtee.released_recipes import Recipe

N_TOKENS = 100
"""What covariates become beside arms with a dose, however many they are."""


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


def token(width: int, sd: float, mean: float = 0.0) -> nn.Linear:
    """A number becomes a token; the same map for every number."""
    made = nn.Linear(1, width)
    nn.init.normal_(made.weight, mean, sd)
    nn.init.zeros_(made.bias)
    return made


def perceptron(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """One hidden layer, with the first weights of Glorot and Bengio."""
    first, last = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out)
    for layer in (first, last):
        nn.init.xavier_uniform_(layer.weight)
    return nn.Sequential(first, nn.ReLU(), last)


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
    """Attention within the one token, then to the memory, then feed-forward."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.within = _attention(recipe)
        self.across = _attention(recipe)
        self.feed = _feed_forward(recipe)
        self.drop = nn.Dropout(recipe.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(1) for _ in range(3))
        self.uses_norms = recipe.norms

    def forward(self, t: Tensor, memory: Tensor, there: Tensor | None = None) -> Tensor:
        """Token ``(n, 1, d)`` of the treatment after the memory, of which some tokens are there."""
        absent = None if there is None else ~there
        t = self._normed(0, t + self.drop(self.within(t, t, t)[0]))
        across = self.across(t, memory, memory, key_padding_mask=absent)[0]
        t = self._normed(1, t + self.drop(across))
        return self._normed(2, t + self.drop(self.feed(t)))

    def _normed(self, place: int, t: Tensor) -> Tensor:
        out: Tensor = self.norms[place](t) if self.uses_norms else t
        return out


class ReleasedNetwork(nn.Module):
    """A network of the release; called, it says E[Y | x, t] ``(n,)``."""

    def loss(self, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        """Squared error of the raw outcome."""
        found: Tensor = ((self(*inputs) - y) ** 2).mean()
        return found


class Released(ReleasedNetwork):
    """Of covariates ``(n, p)`` and numbers t ``(n,)``; arms are 0, 1, ..."""

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        self.covariate = token(recipe.width, 0.1)
        self.treatment = token(recipe.width, 0.2)
        self.encoder = Encoder(n_covariates, recipe)
        self.decoder = Decoder(recipe)
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Outcomes ``(n,)``."""
        memory = self.encoder(self.covariate(x[:, :, None]))
        out: Tensor = self.head(self.decoder(self.treatment(t[:, None, None]), memory))
        return out[:, 0, 0]


class ReleasedDosage(ReleasedNetwork):
    """Of covariates ``(n, p)``, arms 0, 1, ... ``(n,)`` as numbers and doses ``(n,)``.

    Covariates are mixed to 100 numbers, each a token. Tokens of the arm and of the dose, side by
    side, become one; it ends in a ReLU. First weights of all tokens have mean −.1, for there the
    lower end of a range was given as the mean.
    """

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        d = recipe.width
        self.mix = nn.Linear(n_covariates, N_TOKENS)
        self.covariate, self.arm, self.dose = (token(d, 0.1, -0.1) for _ in range(3))
        self.pair = perceptron(2 * d, d, d)
        self.encoder = Encoder(N_TOKENS, recipe)
        self.decoder = Decoder(recipe)
        self.head = perceptron(d, d, 1)

    def forward(self, x: Tensor, arm: Tensor, dose: Tensor) -> Tensor:
        """Outcomes ``(n,)``."""
        memory = self.encoder(self.covariate(self.mix(x)[:, :, None]))
        both = torch.cat([self.arm(arm[:, None]), self.dose(dose[:, None])], dim=1)
        query = torch.relu(self.pair(both))[:, None]
        out: Tensor = self.head(self.decoder(query, memory))
        return out[:, 0, 0]


class ReleasedTexts(ReleasedNetwork):
    """Of token embeddings ``(n, L, d)``, which are there ``(n, L)``, and arms as numbers ``(n,)``.

    The embeddings are the memory as they are. Outcomes are classes 0 and 1.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.treatment = token(recipe.width, 0.2)
        self.decoder = Decoder(recipe)
        self.head = nn.Linear(recipe.width, 2)

    def logits(self, tokens: Tensor, there: Tensor, arm: Tensor) -> Tensor:
        """Of both classes, ``(n, 2)``."""
        query = self.treatment(arm[:, None, None])
        out: Tensor = self.head(self.decoder(query, tokens, there))
        return out[:, 0]

    def forward(self, tokens: Tensor, there: Tensor, arm: Tensor) -> Tensor:
        """Probabilities ``(n,)`` of class 1."""
        return self.logits(tokens, there, arm).softmax(dim=1)[:, 1]

    def loss(self, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(self.logits(*inputs), y.long())
