"""Speed and memory of TransTEE: many networks at once, blocks of doses, and a GPU if there is one.

    python benchmarks/transtee.py                    # all parts; the rival for some of its epochs
    python benchmarks/transtee.py ihdp --full        # the rival whole, with the errors of both

Rival and causalkit are measured in one run, on as many threads. Seconds are of the wall clock and
of the processor; on a machine that others use, the second is the one to compare. Every measurement
is appended to ``benchmarks/results/transtee.jsonl``, and the latest ones are written to
``docs/evidence/transtee_speed.md``.
"""

import argparse
import json
import os
import platform
import threading
import time
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
import transtee_released as released
from transtee_page import page

import causalkit as ck

RESULTS = Path(__file__).parent / "results" / "transtee.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "transtee_speed.md"
N_REPLICATIONS = 10
EPOCHS = 15
N_ROWS, N_COVARIATES, N_NUMBERS = 672, 25, 6
# What the goal counts on from a GPU of a data centre, and the dense peaks of an H100 and an H200.
BOUND_FLOPS = 20e12
PEAK_FLOPS = {"float32": 67e12, "bf16": 989e12}


@contextmanager
def meter():
    """Wall and processor seconds, and peak resident bytes above the start."""
    process, found, done = psutil.Process(), {}, threading.Event()
    start = process.memory_info().rss
    peak = [start]

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wall, used = time.perf_counter(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield found
    finally:
        found["seconds"] = time.perf_counter() - wall
        found["processor_s"] = time.process_time() - used
        done.set()
        watcher.join()
        found["peak_bytes"] = peak[0] - start


def note(part: str, facts: dict) -> None:
    """Print one measurement and keep it."""
    record = {
        "part": part,
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "versions": ck.info()["versions"],
        **facts,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(record, default=float) + "\n")
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in facts.items()}
    print(f"{part}: " + ", ".join(f"{key}={value}" for key, value in shown.items()), flush=True)


def replications(count: int, splits: str | None) -> list[ck.CausalData]:
    """Published replications of binary IHDP, from the first."""
    return [released.draw("binary", k, splits) for k in range(1, count + 1)]


def training(datasets) -> list[ck.CausalData]:
    return [released.parts(data)[0] for data in datasets]


def ihdp(arguments) -> None:
    """Ten replications of binary IHDP: all together, beside the released recipe on each."""
    datasets = replications(N_REPLICATIONS, arguments.splits)
    recipe = released.RECIPES["binary"]
    ck.TransTEE(max_epochs=1, random_state=0).fit(training(datasets)[0])  # what only a first pays
    released.fitted("binary", datasets[0], epochs=1)
    with meter() as us:
        estimators = ck.TransTEE.fit_many(training(datasets), random_state=0)
    ours = released.binary_errors(estimators, datasets)
    facts = {
        "replications": N_REPLICATIONS,
        "published_splits": arguments.splits is not None,
        "whole": arguments.full,
        "ours_errors": ours,
        "epochs": [est.diagnostics_["epochs trained"][0] for est in estimators],
    }
    with meter() as them:
        if arguments.full:
            facts["released_errors"] = [released.released_error("binary", d) for d in datasets]
        else:
            released.fitted("binary", datasets[0], epochs=arguments.epochs)
    share = 1.0 if arguments.full else arguments.epochs / (recipe.epochs * N_REPLICATIONS)
    for unit in ("seconds", "processor_s"):
        facts[f"ours_{unit}"], facts[f"released_{unit}"] = us[unit], them[unit] / share
        facts[f"ratio_{unit}"] = them[unit] / share / us[unit]
    note("ihdp", facts)


def alone(arguments) -> None:
    """Networks trained together and each on its own."""
    datasets = training(replications(4, arguments.splits))
    sizes = {"max_epochs": 20, "n_ensemble": 1, "device": "cpu"}
    ck.TransTEE(**sizes, random_state=0).fit(datasets[0])
    with meter() as both:
        together = ck.TransTEE.fit_many(datasets, **sizes, random_state=0)
    with meter() as each:
        apart = [ck.TransTEE(**sizes, random_state=k).fit(data) for k, data in enumerate(datasets)]
    gaps = [
        float(np.abs(a.effect(d).effect - b.effect(d).effect).max() / d.column("outcome").std())
        for a, b, d in zip(together, apart, datasets, strict=True)
    ]
    note(
        "alone",
        {
            "networks": len(datasets),
            "largest_gap_sd": max(gaps),
            "together_processor_s": both["processor_s"],
            "apart_processor_s": each["processor_s"],
        },
    )


def doses(n: int) -> ck.CausalData:
    """Rows with covariates as many as IHDP has, and one dose."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, N_COVARIATES)).astype(np.float32)
    t = rng.random(n)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(N_COVARIATES)])
    frame = frame.assign(t=t, y=x[:, 0] + np.sin(3.0 * t))
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=list(frame.columns[:N_COVARIATES])
    )


def curves(_arguments) -> None:
    """A curve for each of 1,000 rows at 100 doses: one block, or a pass for each dose."""
    data, grid = doses(1000), np.linspace(0.01, 0.99, 100)
    est = ck.TransTEE(max_epochs=1, n_ensemble=1, random_state=0).fit(data)
    est.dose_response(data, grid=grid)
    blocks, turns = [], []
    for _ in range(5):
        with meter() as found:
            block = est.dose_response(data, grid=grid).individual.to_numpy()
        blocks.append(found)
        with meter() as found:
            passes = np.stack([est.predict(data, treatment=float(dose)) for dose in grid], axis=1)
        turns.append(found)
    model = released.Released(N_COVARIATES, released.RECIPES["binary"])
    with meter() as eager:
        released.predict(model, data.matrix("covariates"), grid)
    best, apart = (min(runs, key=lambda run: run["processor_s"]) for runs in (blocks, turns))
    note(
        "curves",
        {
            "block_processor_s": best["processor_s"],
            "passes_processor_s": apart["processor_s"],
            "released_processor_s": eager["processor_s"],
            "ratio": apart["processor_s"] / best["processor_s"],
            "largest_gap": float(np.abs(block - passes).max()),
            "covariates": N_COVARIATES,
            "width": est.model_.stacks[0].network.shape.width,
            "released_width": released.RECIPES["binary"].width,
        },
    )


def memory(arguments) -> None:
    """Curves of 100,000 rows at 100 doses: resident memory above the data."""
    data = doses(int(arguments.rows))
    est = ck.TransTEE(max_epochs=1, n_ensemble=1, random_state=0).fit(doses(1000))
    for individual in (False, True):
        with meter() as found:
            answer = est.dose_response(data, grid=100, individual=individual)
        facts = {"rows": len(data), "doses": 100, "individual": individual}
        note("memory", facts | found | {"result_bytes": answer.nbytes})
        del answer


def synchronised(work) -> float:
    """Seconds until the device is done."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def flops_per_row(shape) -> float:
    """Of one training step: 6 for each multiply-add of a forward pass with one action."""
    tokens, d, f = shape.table.n_columns, shape.width, shape.width_ff
    encoder = 4 * tokens * d * d + 2 * tokens**2 * d + 2 * tokens * d * f
    decoder = 2 * tokens * d * d + 4 * d * d + 2 * tokens * d + 2 * d * f
    return 6.0 * (shape.n_encoder_layers * encoder + shape.n_decoder_layers * decoder)


def compiled_gap(data: ck.CausalData, sizes: dict) -> float:
    """Largest difference of effects between compiled and not, in sd of the outcome."""
    apart = [
        ck.TransTEE(**sizes, compile=fused, random_state=0).fit(data).effect(data)["effect"]
        for fused in (False, True)
    ]
    return float(np.abs(apart[0] - apart[1]).max() / data.column("outcome").std())


def shaped(count: int) -> list[ck.CausalData]:
    """Arms with as many rows, numbers and indicators as the training rows of IHDP have."""
    datasets = []
    for k in range(count):
        rng = np.random.default_rng(k)
        x = rng.standard_normal((N_ROWS, N_COVARIATES)).astype(np.float32)
        x[:, N_NUMBERS:] = x[:, N_NUMBERS:] > 0.0
        t = (rng.random(N_ROWS) < 0.2).astype(int)
        frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(N_COVARIATES)])
        frame = frame.assign(t=t, y=x[:, 0] + t * (4.0 + x[:, 1]) + rng.standard_normal(N_ROWS))
        covariates = list(frame.columns[:N_COVARIATES])
        datasets.append(
            ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=covariates)
        )
    return datasets


def gpu(_arguments) -> None:
    """On CUDA: 100 replications against one, compiled too, and the share of the peak."""
    if not torch.cuda.is_available():
        print("gpu: no CUDA device here; nothing measured")
        return
    sizes = {"device": "cuda", "max_epochs": 30, "patience": 30, "n_ensemble": 1}
    datasets = shaped(100)
    ck.TransTEE.fit_many(datasets[:2], **sizes, random_state=0)
    one = synchronised(lambda: ck.TransTEE.fit_many(datasets[:1], **sizes, random_state=0))
    hundred = partial(ck.TransTEE.fit_many, datasets, **sizes, random_state=0)
    many = synchronised(hundred)
    ck.TransTEE.fit_many(
        datasets, **sizes | {"max_epochs": 1}, compile=True, random_state=0
    )  # compiles
    fused = synchronised(partial(hundred, compile=True))
    name = torch.cuda.get_device_name()
    facts = {
        "one_s": one,
        "hundred_s": many,
        "compiled_s": fused,
        "ratio": many / one,
        "compiled_gap_sd": compiled_gap(datasets[0], sizes),
    }
    note("together", {"gpu": name} | facts)
    large = doses(4096 * 20)
    for precision in ("float32", "bf16"):
        wide = sizes | {"d_model": 128, "batch_size": 4096, "precision": precision}
        est = ck.TransTEE(**wide | {"max_epochs": 1}, random_state=0).fit(large)
        fits = [
            synchronised(partial(ck.TransTEE(**wide | {"max_epochs": epochs}).fit, large))
            for epochs in (2, 12)
        ]
        network = est.model_.stacks[0].network
        rows = 0.8 * len(large) * 10
        rate = rows * flops_per_row(network.shape) / (fits[1] - fits[0])
        note(
            "throughput",
            {
                "gpu": name,
                "precision": precision,
                "rows_per_s": rows / (fits[1] - fits[0]),
                "flops": rate,
                "share": rate / BOUND_FLOPS,
                "share_of_peak": rate / PEAK_FLOPS[precision],
            },
        )


PARTS = {"ihdp": ihdp, "alone": alone, "curves": curves, "memory": memory, "gpu": gpu}


def main() -> None:
    """Measure the parts named on the command line and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part")
    parser.add_argument("--full", action="store_true", help="the released recipe whole")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the recipe, if not whole")
    parser.add_argument("--rows", type=float, default=1e5, help="of the curves whose memory counts")
    parser.add_argument("--splits", help="table of the published splits of binary IHDP")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for part in arguments.parts:
        PARTS[part](arguments)
    records = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    PAGE.write_text(page(records))


if __name__ == "__main__":
    main()
