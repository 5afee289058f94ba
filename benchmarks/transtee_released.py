"""The recipe that was released with TransTEE, written anew from its description, as the rival.

    python benchmarks/transtee_released.py                           # a few epochs of each design
    python benchmarks/transtee_released.py ihdp_continuous --full    # whole, with its error

One network for each data set and an eager loop over batches; the network and the loop are those of
``causalkit.transtee.released_training``. Training of binary IHDP is not in the release; it takes
the recipe of IHDP with doses.

Sources: Zhang et al. (2022), arXiv:2202.01336, and how its released code behaves.
"""

import argparse
import time
from functools import partial

import numpy as np
import torch

import causalkit as ck
from causalkit.metrics import amse, pehe
from causalkit.transtee.released_network import ReleasedNetwork
from causalkit.transtee.released_recipes import RECIPES as shipped
from causalkit.transtee.released_training import answers, numbers, train

RECIPES = {
    "binary": shipped["ihdp"],
    "ihdp_continuous": shipped["ihdp"],
    "synthetic": shipped["synthetic"],
}


def predict(model: ReleasedNetwork, x, t) -> np.ndarray:
    """Outcomes of all rows: one pass for each treatment asked about, as there."""
    passes = [answers(model, numbers(x, float(value))) for value in np.atleast_1d(t)]
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


def fitted(design: str, data: ck.CausalData, *, epochs: int | None = None) -> ReleasedNetwork:
    """The recipe on the training rows of a data set."""
    training, _ = parts(data)
    name = training.roles.treatment[0]
    x, t = training.matrix("covariates"), training.frame[name].to_numpy(dtype=float)
    y = training.column("outcome")
    return train(numbers(x, t), y, RECIPES[design], seed=0, epochs=epochs)[0]


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
