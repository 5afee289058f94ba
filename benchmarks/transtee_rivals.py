"""TransTEE beside other networks: doses of arms, articles with a dose, texts, graphs.

    python benchmarks/transtee_rivals.py dosage      # three arms with a dose, some fifty minutes
    python benchmarks/transtee_rivals.py news        # word counts and a dose, ten minutes
    python benchmarks/transtee_rivals.py texts       # sentences on people, eight minutes
    python benchmarks/transtee_rivals.py graphs      # small-world graphs, half an hour
    python benchmarks/transtee_rivals.py molecules   # molecules, half an hour

All but the release are trained alike: standardised outcomes, AdamW, four networks, early stopping
on rows of their own. Rates and decays of the rivals, but on graphs, are chosen by validation loss
on a draw that is not used for anything else; TransTEE has its defaults, and but on graphs stands
there a second time with ``lr="auto"``, which chooses among three rates anew on every draw. The
release is one network by the
recipe of the design. Every network of a draw is kept in
``benchmarks/results/transtee_rivals.json``, what is there is not run again, and the page
``docs/evidence/transtee_rivals.md`` is written from all of it.
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
from transtee_graph_rivals import DRAWN, epochs_of, graphs
from transtee_rivals_page import AUTO, OURS, RELEASE, TUNED_ON, page

import causalkit as ck
from causalkit.registry import ESTIMATORS, load
from causalkit.transtee.released import ReleasedTransTEE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "transtee_rivals.md"
KEPT = Path(__file__).parent / "results" / "transtee_rivals.json"
DOSES = np.linspace(0.01, 0.99, 65)
DRAWS = {"dosage": 5, "news": 3, "texts": 20, "graphs": 6, "molecules": 4}
RATES, DECAYS = (5e-4, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2), (1e-2, 1.0)


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
        Of all networks but the release.
    recipe : str
        Of the release; none if it is not among the rivals.
    """

    drawn: Callable[[int], ck.CausalData]
    test: Callable[[ck.CausalData], np.ndarray]
    errors: Callable[[Any, ck.CausalData, np.ndarray], dict[str, float]]
    rivals: tuple[str, ...]
    arguments: dict[str, Any]
    recipe: str = ""


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
        recipe="tcga",
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
        recipe="texts",
    ),
}


def networks(design: Design, chosen: dict[str, Any]) -> dict[str, Any]:
    """Unfitted, by label: TransTEE, the rivals with the settings chosen, and the release."""
    found: dict[str, Any] = {
        OURS: ck.TransTEE(random_state=0, **design.arguments),
        AUTO: ck.TransTEE(random_state=0, **design.arguments, lr="auto"),
    }
    for name, settings in chosen.items():
        cls = load("estimator", name, ESTIMATORS)
        found[cls.__name__] = cls(random_state=0, **design.arguments, **settings)
    if design.recipe:
        found[RELEASE] = ReleasedTransTEE(recipe=design.recipe, random_state=0)
    return found


def compared(design: Design, draw: int, estimators: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Errors, seconds and epochs of each network on one draw."""
    data = design.drawn(draw)
    held = design.test(data)
    train, found = data.blind().subset(~held), {}
    for label, estimator in estimators.items():
        started = time.process_time()
        fit = estimator.fit(train)
        took = {"seconds": time.process_time() - started, "epochs": epochs_of(fit)}
        errors = design.errors(fit, data, held)
        found[label] = {by: float(one) for by, one in errors.items()} | took
    return found


def completed(part: str, draw: int, chosen: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """What was not kept yet of a draw."""
    if part in DRAWN:
        return graphs(part, draw, kept)
    ways = networks(DESIGNS[part], chosen)
    wanted = {label: way for label, way in ways.items() if label not in kept}
    return compared(DESIGNS[part], draw, wanted) if wanted else {}


def tuned(design: Design, known: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Rate and decay of each rival with the least validation loss, of those not known yet."""
    if known.keys() >= set(design.rivals):
        return known
    data = design.drawn(TUNED_ON)
    train = data.blind().subset(~design.test(data))
    best = dict(known)
    for name in (name for name in design.rivals if name not in known):
        cls = load("estimator", name, ESTIMATORS)
        losses = {}
        for lr, decay in product(RATES, DECAYS):
            own = {"lr": lr, "weight_decay": decay, "n_ensemble": 1, "random_state": 0}
            fit = cls(**own, **design.arguments).fit(train)
            losses[lr, decay] = np.mean(fit.diagnostics_["validation loss"])
            print(name, lr, decay, f"{losses[lr, decay]:.4f}", flush=True)
        lr, decay = min(losses, key=lambda key: losses[key])
        best[name] = {"lr": lr, "weight_decay": decay}
        print(name, best[name], flush=True)
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
    parser.add_argument("--draws", type=int, help="complete only the first so many")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for part in arguments.parts or DRAWS:
        chosen = kept.setdefault("tuned", {})
        if part in DESIGNS:
            chosen[part] = tuned(DESIGNS[part], chosen.get(part, {}))
        draws = kept.setdefault(part, {})
        for draw in range(DRAWS[part] if arguments.draws is None else arguments.draws):
            known = draws.get(str(draw), {})
            found = completed(part, draw, chosen.get(part, {}), known)
            if found:
                draws[str(draw)] = known | found
                write(kept)
                print(part, draw, json.dumps(found), flush=True)
    write(kept)


if __name__ == "__main__":
    main()
