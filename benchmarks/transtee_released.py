"""The recipe that was released with TransTEE, written anew from its description, as the rival.

    python benchmarks/transtee_released.py                           # a few epochs of each design
    python benchmarks/transtee_released.py ihdp_continuous --full    # whole, with its error

One network for each data set, an eager loop over batches, raw outcomes, no validation rows, the
weights of the last epoch. One embedding shared by all covariates; post-norm with batch norms whose
channels are the covariates; a decoder without norms; SGD with Nesterov momentum and a cosine by
epoch. Batches are cut from a permutation, which is faster than the released data loader. Training
of binary IHDP is not in the release; it takes the recipe of IHDP with doses.

Sources: Zhang et al. (2022), arXiv:2202.01336, and how its released code behaves. No line of it is
used; at 25 covariates and width 10 there are 3,597 parameters, as there.
"""

import argparse
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import causalkit as ck
from causalkit.metrics import amse, pehe


@dataclass(frozen=True)
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
    "binary": Recipe(),
    "ihdp_continuous": Recipe(),
    "synthetic": Recipe(lr=0.01, batch=500, epochs=1600, dropout=0.1),
}


def attention(width: int, heads: int, dropout: float) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
    )


def token(width: int, sd: float) -> nn.Linear:
    """A number becomes a token; the same map for every number."""
    made = nn.Linear(1, width)
    nn.init.normal_(made.weight, 0.0, sd)
    nn.init.zeros_(made.bias)
    return made


class Encoder(nn.Module):
    """Attention, sum, norm, feed-forward, sum, norm."""

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        self.attention = attention(recipe.width, recipe.heads, recipe.dropout)
        self.feed = feed_forward(recipe.width, recipe.feed_forward, recipe.dropout)
        self.drop = nn.Dropout(recipe.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_covariates) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](x + self.drop(self.attention(x, x, x)[0]))
        return self.norms[1](x + self.drop(self.feed(x)))


class Decoder(nn.Module):
    """Attention within the one token, then to the memory, then feed-forward; norms stand by."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.within = attention(recipe.width, recipe.heads, recipe.dropout)
        self.across = attention(recipe.width, recipe.heads, recipe.dropout)
        self.feed = feed_forward(recipe.width, recipe.feed_forward, recipe.dropout)
        self.drop = nn.Dropout(recipe.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(1) for _ in range(3))

    def forward(self, t: Tensor, memory: Tensor) -> Tensor:
        t = t + self.drop(self.within(t, t, t)[0])
        t = t + self.drop(self.across(t, memory, memory)[0])
        return t + self.drop(self.feed(t))


class Released(nn.Module):
    """E[Y | x, t] from covariates ``(n, p)`` and numbers t ``(n,)``; arms are 0 and 1."""

    def __init__(self, n_covariates: int, recipe: Recipe) -> None:
        super().__init__()
        self.covariate = token(recipe.width, 0.1)
        self.treatment = token(recipe.width, 0.2)
        self.encoder = Encoder(n_covariates, recipe)
        self.decoder = Decoder(recipe)
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        memory = self.encoder(self.covariate(x[:, :, None]))
        return self.head(self.decoder(self.treatment(t[:, None, None]), memory))[:, 0, 0]


def train(x, t, y, recipe: Recipe, *, seed: int, epochs: int | None = None) -> Released:
    """Train on all rows given; ``epochs`` cuts the recipe short without changing its schedule."""
    torch.manual_seed(seed)
    x, t, y = (torch.as_tensor(np.array(values), dtype=torch.float32) for values in (x, t, y))
    model = Released(x.shape[1], recipe)
    sgd = torch.optim.SGD(
        model.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=5e-3, nesterov=True
    )
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, recipe.epochs)
    model.train()
    for _ in range(recipe.epochs if epochs is None else epochs):
        for rows in torch.randperm(len(x)).split(recipe.batch):
            sgd.zero_grad()
            loss = ((model(x[rows], t[rows]) - y[rows]) ** 2).mean()
            loss.backward()
            sgd.step()
        cosine.step()
    return model


@torch.no_grad()
def predict(model: Released, x, t) -> np.ndarray:
    """Outcomes of all rows: one pass for each treatment asked about, as there."""
    model.eval()
    x = torch.as_tensor(np.array(x), dtype=torch.float32)
    passes = [model(x, torch.full((len(x),), float(value))) for value in np.atleast_1d(t)]
    return torch.stack(passes, dim=1).double().numpy()


def parts(data: ck.CausalData) -> tuple[ck.CausalData, ck.CausalData]:
    """Training rows without the truth, and test rows with it."""
    test = data.frame["test"].to_numpy() == 1
    return data.subset(~test).blind(), data.subset(test)


def draw(design: str, number: int, splits: str | None = None) -> ck.CausalData:
    """One data set of a design; ``splits`` is a table of the published splits of binary IHDP."""
    if design == "binary":
        return ck.generators.ihdp_published(0, replication=number, split_table=splits)
    if design == "ihdp_continuous":
        return ck.generators.ihdp_continuous(0, split=number - 1)
    return ck.generators.dose_synthetic(number, n=700, n_test=200)


def fitted(design: str, data: ck.CausalData, *, epochs: int | None = None) -> Released:
    """The recipe on the training rows of a data set."""
    training, _ = parts(data)
    name = training.roles.treatment[0]
    x, t = training.matrix("covariates"), training.frame[name].to_numpy(dtype=float)
    return train(x, t, training.column("outcome"), RECIPES[design], seed=0, epochs=epochs)


def error(design: str, data: ck.CausalData, answer) -> float:
    """√PEHE of arms or AMSE of doses on test rows; ``answer(test, treatments)`` predicts."""
    _, test = parts(data)
    if design == "binary":
        mu = answer(test, np.array([0.0, 1.0]))
        tau = mu[:, 1] - mu[:, 0]
        return pehe(tau, test.truth.cate) if np.isfinite(tau).all() else float("nan")
    doses = test.frame[test.roles.treatment[0]].to_numpy()
    mu = answer(test, doses)
    if not np.isfinite(mu).all():
        return float("nan")
    return amse(mu, data.truth.unit_response(doses), population="all")


def binary_errors(estimators, datasets) -> list[float]:
    """√PEHE of fitted estimators of causalkit on the test rows of binary IHDP."""
    return [
        error("binary", data, lambda test, arms, est=est: est.predict(test, treatment=list(arms)))
        for est, data in zip(estimators, datasets, strict=True)
    ]


def released_error(design: str, data: ck.CausalData) -> float:
    """Error of the whole recipe; NaN where it diverged."""
    model = fitted(design, data)
    return error(design, data, lambda test, t: predict(model, test.matrix("covariates"), t))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("designs", nargs="*", default=list(RECIPES), metavar="design")
    parser.add_argument("--full", action="store_true", help="all epochs, and the error")
    parser.add_argument("--epochs", type=int, default=10, help="how many to time")
    parser.add_argument("--numbers", type=int, nargs="*", default=[1], help="data sets, from 1")
    parser.add_argument("--splits", help="table of the published splits of binary IHDP")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for design in arguments.designs:
        recipe = RECIPES[design]
        fitted(design, draw(design, 1), epochs=1)  # what only the first call pays
        for number in arguments.numbers:
            data = draw(design, number, arguments.splits)
            work = (
                partial(released_error, design, data)
                if arguments.full
                else partial(fitted, design, data, epochs=arguments.epochs)
            )
            started, used = time.perf_counter(), time.process_time()
            found = work()
            wall, used = time.perf_counter() - started, time.process_time() - used
            epochs = recipe.epochs if arguments.full else arguments.epochs
            facts = f"error {found:.4f}" if arguments.full else f"{epochs} epochs"
            print(
                f"{design} {number}: {facts}, {wall / epochs:.4f} s per epoch "
                f"({used / epochs:.4f} of the processor), {recipe.epochs} in the recipe",
                flush=True,
            )


if __name__ == "__main__":
    main()
