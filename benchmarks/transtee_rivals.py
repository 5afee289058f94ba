"""TransTEE beside other networks: doses of arms, articles with a dose, texts, and graphs.

    python benchmarks/transtee_rivals.py dosage      # three arms with a dose, some ten minutes
    python benchmarks/transtee_rivals.py news        # word counts and a dose, over an hour
    python benchmarks/transtee_rivals.py texts       # sentences on people, six minutes
    python benchmarks/transtee_rivals.py graphs      # small-world graphs, twenty minutes

All are trained alike: standardised outcomes, AdamW, four networks, early stopping on rows of their
own. Rates and decays of the rivals, but on graphs, are chosen by validation loss on a draw that is
not used for anything else; TransTEE has its defaults. Every finished draw is kept in
``benchmarks/results/transtee_rivals.json``, and the page ``docs/evidence/transtee_rivals.md`` is
written from all that are there.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transtee_graph_rivals import epochs_of, graphs
from transtee_rivals_page import TUNED_ON, page

import causalkit as ck
from causalkit.registry import ESTIMATORS, load

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "transtee_rivals.md"
KEPT = Path(__file__).parent / "results" / "transtee_rivals.json"
DOSES = np.linspace(0.01, 0.99, 65)
DRAWS = {"dosage": 5, "news": 5, "texts": 20, "graphs": 3}
RATES, DECAYS = (2e-3, 5e-4), (1e-2, 1.0)


@dataclass(frozen=True, slots=True)
class Design:
    """Data of a draw, who is held out, and errors of a fit on these.

    Attributes
    ----------
    drawn : callable
        Data of a draw.
    test : callable
        Boolean test rows of the data.
    errors : callable
        Errors by measure, of a fit on the test rows of the data.
    rivals : tuple of str
        Registered names.
    arguments : dict
        Of all networks.
    """

    drawn: Callable[[int], ck.CausalData]
    test: Callable[[ck.CausalData], np.ndarray]
    errors: Callable[[Any, ck.CausalData, np.ndarray], dict[str, float]]
    rivals: tuple[str, ...]
    arguments: dict[str, Any]


def marked(data: ck.CausalData) -> np.ndarray:
    return data.frame["test"].to_numpy() == 1


def dosage_errors(fit: Any, data: ck.CausalData, held: np.ndarray) -> dict[str, float]:
    """Of curves, of the best dose and of the best arm and dose."""
    test = data.blind().subset(held)
    hat = np.stack(
        [fit.dose_response(test, grid=DOSES, arm=arm)["individual"].to_numpy() for arm in range(3)],
        axis=1,
    )
    truth = np.stack([data.truth.unit_response(arm, DOSES)[held] for arm in range(3)], axis=1)
    return {
        "root MISE": ck.metrics.root_mise(hat, truth, dose=DOSES),
        "DPE": ck.metrics.dose_policy_error(hat, truth),
        "PE": ck.metrics.policy_error(hat, truth),
    }


def news_errors(fit: Any, data: ck.CausalData, held: np.ndarray) -> dict[str, float]:
    """Of the average curve at the doses of test articles, and of the curve of each."""
    test, at = data.blind().subset(held), data.column("treatment")[held]
    hat = fit.dose_response(test, grid=np.concatenate([at, DOSES]))["individual"].to_numpy()
    truth, unit = data.truth.unit_response(at), data.truth.unit_response(DOSES)[held]
    return {
        "AMSE, all": ck.metrics.amse(hat[:, : at.size], truth, population="all", test=held),
        "AMSE, test": ck.metrics.amse(hat[:, : at.size], truth, population="test", test=held),
        "root MISE": ck.metrics.root_mise(hat[:, at.size :], unit, dose=DOSES),
    }


def text_errors(fit: Any, data: ck.CausalData, held: np.ndarray) -> dict[str, float]:
    """Of the change that the concept makes to the probability of anger."""
    hat = np.ravel(fit.effect(data.blind().subset(held))["effect"].to_numpy())
    true = data.truth.cate[held]
    return {"√PEHE": ck.metrics.pehe(hat, true), "ε_ATE": abs(float((hat - true).mean()))}


DESIGNS = {
    "dosage": Design(
        drawn=lambda draw: ck.generators.dosage(draw, n=1500),
        test=lambda data: data.frame["part"].to_numpy() == 2,
        errors=dosage_errors,
        rivals=("tarnet", "drnet", "vcnet"),
        arguments={},
    ),
    "news": Design(
        drawn=lambda draw: ck.generators.news_like(draw),
        test=marked,
        errors=news_errors,
        rivals=("tarnet", "drnet", "vcnet"),
        arguments={},
    ),
    "texts": Design(
        drawn=lambda draw: ck.generators.text_concept(
            draw, n=1250, n_test=250, confounding="aggressive", sharpness=2.0, effect=1.5, target=0
        ),
        test=marked,
        errors=text_errors,
        rivals=("tarnet", "dragonnet"),
        arguments={"outcome": "bernoulli"},
    ),
}


def compared(design: Design, draw: int, chosen: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Errors, seconds and epochs of each network on one draw."""
    data = design.drawn(draw)
    held = design.test(data)
    train, found = data.blind().subset(~held), {}
    for name, settings in {"transtee": {}, **chosen}.items():
        started = time.process_time()
        estimator = load("estimator", name, ESTIMATORS)(
            random_state=0, **design.arguments, **settings
        )
        fit = estimator.fit(train)
        took = {"seconds": time.process_time() - started, "epochs": epochs_of(fit)}
        errors = design.errors(fit, data, held)
        found[type(fit).__name__] = {by: float(one) for by, one in errors.items()} | took
    return found


def tuned(design: Design) -> dict[str, dict[str, float]]:
    """Rate and decay of each rival with the least validation loss."""
    data = design.drawn(TUNED_ON)
    train = data.blind().subset(~design.test(data))
    best: dict[str, dict[str, float]] = {}
    for name in design.rivals:
        cls = load("estimator", name, ESTIMATORS)
        losses = {}
        for lr, decay in product(RATES, DECAYS):
            own = {"lr": lr, "weight_decay": decay, "n_ensemble": 1, "random_state": 0}
            fit = cls(**own, **design.arguments).fit(train)
            losses[lr, decay] = np.mean(fit.diagnostics_["validation loss"])
        lr, decay = min(losses, key=lambda key: losses[key])
        best[name] = {"lr": lr, "weight_decay": decay}
    return best


def write(kept: dict[str, Any]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1))
    PAGE.write_text(page(kept))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*DRAWS, []], default=[])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for part in arguments.parts or ("dosage", "texts", "graphs"):
        chosen = kept.setdefault("tuned", {})
        if part in DESIGNS and part not in chosen:
            chosen[part] = tuned(DESIGNS[part])
            print(part, chosen[part], flush=True)
        draws = kept.setdefault(part, {})
        for draw in range(DRAWS[part]):
            if str(draw) not in draws:
                found = graphs(draw) if part == "graphs" else None
                draws[str(draw)] = found or compared(DESIGNS[part], draw, chosen[part])
                write(kept)
                print(part, draw, json.dumps(draws[str(draw)]), flush=True)
    write(kept)


if __name__ == "__main__":
    main()
