"""How accurate TransTEE is on the designs of its papers; writes docs/evidence/transtee.md.

    python benchmarks/transtee_evidence.py t1 t2 t4              # curves, minutes
    python benchmarks/transtee_evidence.py shift recipes         # other networks, twenty minutes
    python benchmarks/transtee_evidence.py settings              # ranges of doses, half an hour
    python benchmarks/transtee_evidence.py ranges synthetic      # others there and on T4, an hour
    python benchmarks/transtee_evidence.py released              # the rival of T1, half an hour
    python benchmarks/transtee_evidence.py bands t7 trials       # coverage of intervals
    python benchmarks/transtee_evidence.py t8                    # forgetting the treatment
    python benchmarks/transtee_evidence.py t3 --splits FILE      # binary IHDP, 100 replications
    python benchmarks/transtee_evidence.py binary --splits FILE  # the recipe on some, an hour
    python benchmarks/transtee_evidence.py econml --splits FILE  # its learners, a quarter of one
    python benchmarks/transtee_evidence.py econml_doses          # its learners, dose as in T1

FILE is the table of published IHDP splits (``test_idx (75, 100)``); without it the splits are the
generator's own, and the page says so. Every finished part is kept in
``benchmarks/results/transtee_evidence.json``; the page is written from all that are there.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transtee_averages as averages
import transtee_econml as learners
import transtee_released as released
import transtee_released_rivals as rivals
from transtee_evidence_page import N_BANDS, page
from transtee_forgetting import forgotten
from transtee_others_page import N_OTHERS, N_SHIFT, RANGES, SETTINGS
from transtee_summary import summary

import causalkit as ck
from causalkit.generators.replications import ihdp_split
from causalkit.registry import ESTIMATORS, load

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "transtee.md"
KEPT = Path(__file__).parent / "results" / "transtee_evidence.json"
TUNED_ON = range(101, 111)
RATES = (5e-4, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
TOGETHER = 20
NETWORKS: dict[str, dict[str, Any]] = {
    "five on bootstrap rows": {"n_ensemble": 5, "bootstrap": True},
    "four that leave out a fifth each, the default": {},
}


def curve_errors(datasets: list[Any], cls: Any = ck.TransTEE, **arguments: Any) -> dict[str, Any]:
    """AMSE on data sets with a column ``test``, by both populations."""
    tests = [data.frame["test"].to_numpy() == 1 for data in datasets]
    parts = [data.blind() for data in datasets]
    started = time.process_time()
    fits = cls.fit_many(
        [part.subset(~test) for part, test in zip(parts, tests, strict=True)],
        random_state=0,
        **arguments,
    )
    seconds = (time.process_time() - started) / len(datasets)
    errors: dict[str, list[float]] = {"all": [], "test": []}
    for data, part, test, fit in zip(datasets, parts, tests, fits, strict=True):
        doses = data.column("treatment")[test]
        held = part.subset(test)
        hat = fit.dose_response(held, grid=doses)["individual"].values
        truth = data.truth.unit_response(doses)
        for population in errors:
            errors[population].append(ck.metrics.amse(hat, truth, population=population, test=test))
    epochs = [fit.diagnostics_["epochs trained"][0] for fit in fits]
    return {
        "all": summary(errors["all"]),
        "test": summary(errors["test"]),
        "errors": errors["all"],
        "seconds": seconds,
        "epochs": float(np.mean(epochs)),
        "loss": float(np.mean([fit.diagnostics_["validation loss"] for fit in fits])),
        "n": len(datasets),
    }


def infants(setting: str, count: int = 20) -> list[Any]:
    """Splits of IHDP with a dose."""
    return [ck.generators.ihdp_continuous(0, split=k, **RANGES[setting]) for k in range(count)]


def t1(_: argparse.Namespace) -> dict[str, Any]:
    return {"h = 1": curve_errors(infants("h = 1"))}


def released_recipe(_: argparse.Namespace) -> dict[str, Any]:
    """The released recipe on the data sets of T1; kept after each, since all take half an hour."""
    design, errors, seconds = "ihdp_continuous", [], 0.0
    for number in range(1, 21):
        started = time.process_time()
        errors.append(released.released_error(design, released.draw(design, number)))
        seconds += time.process_time() - started
        found = {"errors": errors, "seconds": seconds / number}
        write(read() | {"released": found})
    return found


def binary(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ours and the released recipe on the first replications of binary IHDP, ten after ten."""
    found: dict[str, Any] = read().get("binary", {"ours": [], "recipe": []})
    for start in range(len(found["recipe"]), arguments.count, 10):
        numbers = range(start + 1, start + 11)
        drawn = [released.draw("binary", number, arguments.splits) for number in numbers]
        fits = ck.TransTEE.fit_many([released.parts(d)[0] for d in drawn], random_state=start)
        found["ours"] += released.binary_errors(fits, drawn)
        found["recipe"] += [released.released_error("binary", data) for data in drawn]
        write(read() | {"binary": found})
        print(f"binary {len(found['ours'])}", flush=True)
    return found


def t2(_: argparse.Namespace) -> dict[str, Any]:
    return {"1.9 to 2.0": curve_errors(infants("1.9 to 2.0"))}


def shift(_: argparse.Namespace) -> dict[str, Any]:
    """Other networks on the first splits of T1 and T2, at the rates of least validation loss."""
    return others("shift", {setting: partial(infants, setting, N_SHIFT) for setting in SETTINGS})


def ranges(_: argparse.Namespace) -> dict[str, Any]:
    """The same where the training doses are others, beside ``settings``."""
    wide = [setting for setting in RANGES if setting not in SETTINGS]
    return others("ranges", {setting: partial(infants, setting, N_SHIFT) for setting in wide})


def synthetic(_: argparse.Namespace) -> dict[str, Any]:
    """The same on the data sets of T4, of which the large ones are fewer."""
    return others("synthetic", {rows: partial(draws, rows, N_OTHERS[rows]) for rows in N_OTHERS})


def others(part: str, designs: dict[str, Callable[[], list[Any]]]) -> dict[str, Any]:
    """Errors of the other networks by design; kept after each, since each takes minutes."""
    found = read().get(part, {})
    for name in ("drnet", "vcnet", "tarnet"):
        cls = load("estimator", name, ESTIMATORS)
        for design, datasets in designs.items():
            one = best_rate(cls, datasets())
            found[cls.__name__] = found.get(cls.__name__, {}) | {design: one}
            write(read() | {part: found})
            print(cls.__name__, design, one["rate"], one["all"], flush=True)
    return found


def best_rate(cls: Any, datasets: list[Any]) -> dict[str, Any]:
    """Errors of a network at the rate of least validation loss, and that rate.

    Rates are doubled beyond the largest, or halved below the smallest, as long as that is the best.
    """
    tried: dict[float, dict[str, Any]] = {}
    rates = list(RATES)
    while rates:
        tried |= {rate: curve_errors(datasets, cls, lr=rate) for rate in rates}
        best = min(tried, key=lambda one: tried[one]["loss"])
        rates = {max(tried): [2.0 * best], min(tried): [best / 2.0]}.get(best, [])
    return tried[best] | {"rate": best}


def recipes(_: argparse.Namespace) -> dict[str, Any]:
    """The same networks by the recipe of their own."""
    return {
        setting: {
            name: rivals.best_amse(name, infants(setting, N_SHIFT), h=ends.get("h_test", 1.0))
            for name in rivals.NETWORKS
        }
        for setting, ends in SETTINGS.items()
    }


def settings(_: argparse.Namespace) -> dict[str, Any]:
    """TransTEE with each regulariser, where the test has doses of the training range or others."""
    return {
        f"{setting}|{regularizer}": curve_errors(infants(setting, N_SHIFT), regularizer=regularizer)
        for setting in RANGES
        for regularizer in (None, "tr", "ptr")
    }


def draws(rows: str, count: int = 20) -> list[Any]:
    """Data sets of the synthetic design, with 200 rows to test."""
    first, n = {"500 rows": (0, 700), "5,000 rows": (100, 5200)}[rows]
    return [ck.generators.dose_synthetic(first + k, n=n, n_test=200) for k in range(count)]


def t4(_: argparse.Namespace) -> dict[str, Any]:
    return {rows: curve_errors(draws(rows)) for rows in N_OTHERS}


def bands(_: argparse.Namespace) -> dict[str, Any]:
    """How often bands over networks and intervals of averages hold the truth."""
    doses = np.linspace(0.1, 0.9, 9)
    datasets = [ck.generators.dose_synthetic(200 + k, n=500) for k in range(N_BANDS)]
    parts = [data.blind() for data in datasets]
    held: dict[str, list[float]] = {}

    def holds(name: str, low: Any, high: Any, truth: Any, *, whole: bool = False) -> None:
        inside = (np.asarray(low) <= truth) & (truth <= np.asarray(high))
        held.setdefault(name, []).append(float(inside.all() if whole else inside.mean()))

    for rows, arguments in NETWORKS.items():
        fits = ck.TransTEE.fit_many(parts, **arguments, random_state=0)
        for data, part, fit in zip(datasets, parts, fits, strict=True):
            truth = data.truth.unit_response(doses)
            psi, tau = truth.mean(axis=0), truth[:, 6] - truth[:, 2]
            curve = fit.dose_response(part, grid=doses, individual=False)
            effect = fit.effect(part, treatment=0.7, baseline=0.3)
            holds(f"curve, at a dose; {rows}", curve["conf_low"], curve["conf_high"], psi)
            band = (curve["band_low"], curve["band_high"])
            holds(f"curve, all nine doses; {rows}", *band, psi, whole=True)
            ends = (effect["conf_low"], effect["conf_high"])
            holds(f"effect of a unit, .7 against .3; {rows}", *ends, tau)
            if not arguments:
                found = fit.estimate(doses=doses)
                ends = found.bounds()
                holds("estimate(), at a dose", *ends, data.truth.dose_response(doses))
    return {name: summary(values) for name, values in held.items()}


def t7(_: argparse.Namespace) -> dict[str, Any]:
    """Intervals of the average effect of an arm."""
    return averages.of_rows()


def trials(_: argparse.Namespace) -> dict[str, Any]:
    """The same in trials of clusters."""
    return averages.of_clusters()


def t8(_: argparse.Namespace) -> dict[str, Any]:
    """Rows that are not kept; those of one design take some minutes."""
    return forgotten(read().get("t8", {}), lambda found: write(read() | {"t8": found}))


def unit_errors(
    cls: Any, replications: range, table: str | None, *, tell: Any = None, **arguments: Any
) -> tuple[dict[str, Any], float]:
    """Errors of unit effects on the test rows of published replications; mean validation loss."""
    errors: dict[str, list[float]] = {name: [] for name in ("out", "in", "eps_ate", "scaled")}
    losses: list[float] = []
    seconds = 0.0
    for start in range(0, len(replications), TOGETHER):
        numbers = replications[start : start + TOGETHER]
        datasets = [ck.generators.ihdp_published(0, replication=k) for k in numbers]
        splits = [ihdp_split(k, table=table if k <= 100 else None) for k in numbers]
        started = time.process_time()
        fits = cls.fit_many(
            [data.blind().subset(train) for data, (train, _) in zip(datasets, splits, strict=True)],
            random_state=start,
            **arguments,
        )
        seconds += time.process_time() - started
        for data, (train, test), fit in zip(datasets, splits, fits, strict=True):
            error = fit.effect(data.blind())["effect"].values - data.truth.cate
            errors["out"].append(np.sqrt((error[test] ** 2).mean()))
            errors["in"].append(np.sqrt((error[train] ** 2).mean()))
            errors["eps_ate"].append(abs(error[test].mean()))
            errors["scaled"].append(errors["out"][-1] / data.truth.cate.std())
        losses += [loss for fit in fits for loss in fit.diagnostics_["validation loss"]]
        found: dict[str, Any] = {name: summary(values) for name, values in errors.items()}
        done = len(errors["out"])
        found |= {"seconds": seconds / done, "n": done}
        if tell is not None:
            tell(found)
    return found, float(np.mean(losses))


def t3(arguments: argparse.Namespace) -> dict[str, Any]:
    """TransTEE by its defaults, rivals at the rate of least validation loss; kept ones stay."""
    found = read().get("t3", {"published split": arguments.splits is not None})

    def fitted(label: str, cls: Any, **settings: Any) -> None:
        """All replications; kept after every twenty, since they take half an hour."""

        def keep(part: dict[str, Any]) -> None:
            found[label] = part
            write(read() | {"t3": found})
            print(f"{label}, {part['n']}: median {part['out']['median']:.3f}", flush=True)

        if found.get(label, {}).get("n", 0) < 100:
            unit_errors(cls, range(1, 101), arguments.splits, tell=keep, **settings)

    fitted("TransTEE", ck.TransTEE)
    for name in ("tarnet", "dragonnet"):
        cls = load("estimator", name, ESTIMATORS)
        losses = {rate: unit_errors(cls, TUNED_ON, None, lr=rate)[1] for rate in RATES}
        rate = min(losses, key=lambda key: losses[key])
        print(cls.__name__, losses, flush=True)
        fitted(f"{cls.__name__}, lr {rate:g}", cls, lr=rate)
    return found


def econml(arguments: argparse.Namespace) -> dict[str, Any]:
    """Learners of EconML on the replications of T3, those that are not kept."""
    split = {"published split": arguments.splits is not None}
    found = read().get("econml", split | {"errors": {}})

    def keep(errors: dict[str, Any]) -> None:
        write(read() | {"econml": split | {"errors": errors}})
        print("econml", len(next(iter(errors.values()))["out"]), flush=True)

    errors = learners.infants(found["errors"], arguments.count, arguments.splits, keep)
    return split | {"errors": errors}


def econml_doses(_: argparse.Namespace) -> dict[str, Any]:
    """Those that admit a dose, on the splits that other networks had."""
    return learners.doses(range(N_SHIFT), {})


PARTS = {
    "t1": t1,
    "released": released_recipe,
    "t2": t2,
    "shift": shift,
    "recipes": recipes,
    "settings": settings,
    "ranges": ranges,
    "t3": t3,
    "binary": binary,
    "econml": econml,
    "econml_doses": econml_doses,
    "t4": t4,
    "synthetic": synthetic,
    "bands": bands,
    "t7": t7,
    "trials": trials,
    "t8": t8,
}


def read() -> dict[str, Any]:
    """All parts that are kept."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return kept


def write(kept: dict[str, Any]) -> None:
    """Keep all parts, and write the page of them."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1))
    PAGE.write_text(page(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--splits", default=None)
    parser.add_argument("--count", type=int, default=50, help="replications of binary and econml")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in arguments.parts or ("t1", "t2", "t4"):
        found = PARTS[name](arguments)
        write(read() | {name: found})
        print(name, json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
