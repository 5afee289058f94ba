"""Speed and memory of PanelDML beside DoubleML, in one run.

    python benchmarks/panel.py                     # everything but the 10^7-row fit
    python benchmarks/panel.py lasso --rows 1e6    # one part
    python benchmarks/panel.py scaling --rows 1e7
    python benchmarks/panel.py boosting variance import

Each part prints what it measured and the ratio, appends a JSON line to
``benchmarks/results/panel.jsonl``, and writes the latest measurements to
``docs/evidence/panel_speed.md``. Peak memory is the rise of the process's resident set above
what it held with the data in place, sampled every 5 ms.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

import causalkit as ck

RESULTS = Path(__file__).parent / "results" / "panel.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "panel_speed.md"
N_PERIODS = 10
# Both nuisances see the same features and the treatment residual has unit means of zero, so the
# estimate is insensitive to the penalty. With "cre_normal", which has the treatment mean in one
# nuisance only, LassoCV's default grid, which ends at a thousandth of the largest penalty, is too
# coarse at 10^6 rows and moves the peer's estimate by more than a standard error.
APPROACH = "cre_general"


@contextmanager
def meter():
    """Wall and CPU seconds, and peak resident bytes above the start."""
    process, found, done = psutil.Process(), {}, threading.Event()
    start = process.memory_info().rss
    peak = [start]

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began, worked = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found["seconds"] = time.perf_counter() - began
        found["cpu_seconds"] = time.process_time() - worked
        done.set()
        watcher.join()
        found["peak_bytes"] = peak[0] - start


def simulate(rows: int, n_covariates: int) -> pd.DataFrame:
    """A panel of ten periods with linear confounding through covariates and a unit effect."""
    rng = np.random.default_rng(0)
    units = rows // N_PERIODS
    n = units * N_PERIODS
    unit = np.repeat(np.arange(units), N_PERIODS)
    effect = rng.standard_normal(units)[unit]
    frame = np.empty((n, n_covariates + 2))
    for column in range(n_covariates):
        frame[:, column + 2] = rng.standard_normal(n) + 0.3 * effect
    slopes = np.zeros(n_covariates)
    slopes[:10] = 0.5 / np.arange(1, 11)[: min(10, n_covariates)]
    index = frame[:, 2:] @ slopes
    frame[:, 1] = index + effect + rng.standard_normal(n)
    frame[:, 0] = 0.5 * frame[:, 1] + index + effect + rng.standard_normal(n)
    names = ["y", "d", *(f"x{j + 1}" for j in range(n_covariates))]
    table = pd.DataFrame(frame, columns=names)
    table["unit"] = unit
    table["time"] = np.tile(np.arange(N_PERIODS), units)
    return table


def roles(frame: pd.DataFrame) -> dict:
    covariates = [name for name in frame if name.startswith("x")]
    return {
        "outcome": "y",
        "treatment": "d",
        "covariates": covariates,
        "unit": "unit",
        "time": "time",
    }


def ours(frame, learner, *, folds=None, n_jobs=1):
    """Time from the frame to the estimate."""
    with meter() as found:
        data = ck.CausalData.from_frame(frame, **roles(frame))
        est = ck.PanelDML(
            approach=APPROACH,
            mundlak_terms="means",
            learner=learner,
            n_jobs=n_jobs,
            ssc="none",
            random_state=0,
        )
        result = est.fit(data, folds=folds).estimate()
    return found | {"theta": result.estimate, "se": result.std_error}


def peer(frame, make_learner):
    """DoubleML's PLPR from the frame to the estimate, and its folds."""
    from doubleml import DoubleMLPanelData, DoubleMLPLPR

    with warnings.catch_warnings(), meter() as found:
        warnings.simplefilter("ignore")
        np.random.seed(0)  # noqa: NPY002 - the peer has no other door to its random splits
        data = DoubleMLPanelData(
            frame,
            y_col="y",
            d_cols="d",
            t_col="time",
            id_col="unit",
            x_cols=roles(frame)["covariates"],
            static_panel=True,
        )
        model = DoubleMLPLPR(
            data, make_learner(), make_learner(), n_folds=5, approach=APPROACH
        ).fit()
    return found | {"theta": model.coef[0], "se": model.se[0]}, [list(model.smpls[0])]


def note(part: str, facts: dict) -> None:
    """Print one measurement and keep it."""
    import doubleml

    record = {
        "part": part,
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "doubleml": doubleml.__version__,
        "versions": ck.info()["versions"],
        **facts,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(record, default=float) + "\n")
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in facts.items()}
    print(f"{part}: " + ", ".join(f"{key}={value}" for key, value in shown.items()), flush=True)


def versus(part: str, frame, us: dict, them: dict, more: dict) -> None:
    width = 2 * (frame.shape[1] - 4)
    design = len(frame) * width * 8
    note(
        part,
        more
        | {
            "rows": len(frame),
            "causalkit_s": us["seconds"],
            "peer_s": them["seconds"],
            "ratio": them["seconds"] / us["seconds"],
            "theta": us["theta"],
            "theta_gap_in_se": abs(us["theta"] - them["theta"]) / them["se"],
            "causalkit_peak_designs": us["peak_bytes"] / design,
            "peer_peak_designs": them["peak_bytes"] / design,
        },
    )


def lasso(rows: int) -> None:
    """Lasso with a cross-validated penalty, 30 covariates and their means, beside LassoCV."""
    from sklearn.linear_model import LassoCV, LinearRegression, RidgeCV

    frame = simulate(rows, 30)
    small = simulate(5_000, 30)
    peer(small, LinearRegression)  # what only the first call pays: imports, caches
    ours(small, "lasso")
    for name, make in (
        ("lasso", LassoCV),
        ("ridge", lambda: RidgeCV(alphas=np.logspace(-7, 1, 40) * rows)),
        ("linear", LinearRegression),
    ):
        them, folds = peer(frame, make)
        us = ours(frame, name, folds=folds)
        versus(name, frame, us, them, {"peer": getattr(make, "__name__", "RidgeCV")})


def scaling(rows: int) -> None:
    """Seconds and memory of the lasso fit as rows grow tenfold."""
    ours(simulate(5_000, 30), "lasso")  # what only the first call pays
    for size in (10**4, 10**5, 10**6, 10**7):
        if size > rows:
            break
        frame = simulate(size, 30)
        us = ours(frame, "lasso")
        note(
            "scaling",
            {
                "rows": size,
                "seconds": us["seconds"],
                "seconds_per_million_rows": us["seconds"] / size * 1e6,
                "peak_designs": us["peak_bytes"] / (size * 60 * 8),
            },
        )
        del frame


def best(runs) -> dict:
    """The fastest run, with the most memory of any: later runs reuse what earlier ones held."""
    peak = max(run["peak_bytes"] for run in runs)
    return min(runs, key=lambda run: run["seconds"]) | {"peak_bytes": peak}


def training(frame, folds, settings) -> dict:
    """What LightGBM takes to train the same models from ready bins, two at once."""
    import lightgbm

    x = frame[roles(frame)["covariates"]]
    features = np.hstack([x, x.groupby(frame["unit"]).transform("mean")])
    settings = settings | {"n_jobs": 1, "objective": "regression"}
    rounds = settings.pop("n_estimators")
    sets = [
        lightgbm.Dataset(features[train], frame[name].iloc[train], params=settings).construct()
        for train, _ in folds[0]
        for name in ("y", "d")
    ]
    with ThreadPoolExecutor(2) as pool, meter() as found:
        list(pool.map(lambda ready: lightgbm.train(settings, ready, rounds), sets))
    return found


def boosting(rows: int) -> None:
    """The same LightGBM settings on both sides, two cores for each; best of three in turn."""
    from lightgbm import LGBMRegressor

    settings = {"n_estimators": 200, "num_leaves": 15, "learning_rate": 0.1, "verbose": -1}
    for size in (5_000, 50_000, 500_000):
        if size > rows:
            break
        frame = simulate(size, 10)
        runs = []
        for _ in range(3):
            them, folds = peer(frame, lambda: LGBMRegressor(**settings, n_jobs=2))
            us = ours(frame, LGBMRegressor(**settings), folds=folds, n_jobs=2)
            runs.append((us, them, training(frame, folds, settings)))
        us, them, bare = (best(found) for found in zip(*runs, strict=True))
        sides = {"training": bare, "causalkit": us, "peer": them}
        more = {f"{side}_cpu_s": found["cpu_seconds"] for side, found in sides.items()}
        versus("boosting", frame, us, them, more | {"training_s": bare["seconds"]})


def variance(rows: int) -> None:
    """Cluster variance and multiplier bootstrap of 10^5 units."""
    from causalkit.inference.bootstrap import multiplier_bootstrap
    from causalkit.inference.variance import sandwich

    rng = np.random.default_rng(0)
    n = min(rows, 10**6)
    influence = rng.standard_normal((n, 1))
    clusters = (np.repeat(np.arange(n // 10), 10),)
    with meter() as cluster:
        sandwich(influence, clusters)
    with meter() as boot:
        multiplier_bootstrap(influence, clusters=clusters, n_boot=999, rng=rng)
    with meter() as signs:
        multiplier_bootstrap(influence, clusters=clusters, n_boot=999, kind="rademacher", rng=rng)
    note(
        "variance",
        {
            "rows": n,
            "units": n // 10,
            "variance_s": cluster["seconds"],
            "bootstrap_999_normal_s": boot["seconds"],
            "bootstrap_999_rademacher_s": signs["seconds"],
        },
    )


def import_time(_rows: int) -> None:
    """Best of five fresh interpreters."""
    code = "import time; t = time.perf_counter(); import causalkit; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        for _ in range(5)
    ]
    note("import", {"seconds": min(float(run.stdout) for run in runs)})


def bounds(records: list[dict]) -> list[str]:
    """How far boosting is from what LightGBM's training alone takes."""
    return [
        "## What bounds boosting",
        "",
        "Best of three in turn; seconds of wall clock, and of all cores in brackets.",
        "",
        "| rows | causalkit | DoubleML | training alone | DoubleML / training alone |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {r['rows']:,} | {r['causalkit_s']:.2f} ({r['causalkit_cpu_s']:.2f}) | "
            f"{r['peer_s']:.2f} ({r['peer_cpu_s']:.2f}) | "
            f"{r['training_s']:.2f} ({r['training_cpu_s']:.2f}) | "
            f"{r['peer_s'] / r['training_s']:.1f} ({r['peer_cpu_s'] / r['training_cpu_s']:.1f}) |"
            for r in records
        ),
        "",
        "Both sides grow the same trees with the same library. Training alone grows them from",
        "ready bins, two models at once on a thread each. The last column is what a wrapper would",
        "gain whose checks, bins, predictions and standard errors cost nothing.",
        "",
    ]


def page(records: list[dict]) -> str:
    """The latest measurement of each part and size, as a page."""
    latest = {(r["part"], r.get("rows")): r for r in records}
    peers = [r for r in latest.values() if "ratio" in r]
    text = [
        "# How fast PanelDML is",
        "",
        "Made by `python benchmarks/panel.py`, which measures DoubleML and causalkit in one run:",
        "from the data frame to the estimate, same folds, same covariates and unit means,",
        '`approach="cre_general"`. The gap is that of the two estimates in units of the standard',
        "error. A design is the matrix of covariates and unit means in double precision; memory is",
        "the rise above what the process held with the data in place.",
        "",
        "| learner | rows | causalkit, s | DoubleML, s | ratio | gap, SE | peak, designs (peer) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    text += [
        f"| {r['part']} | {r['rows']:,} | {r['causalkit_s']:.2f} | {r['peer_s']:.2f} | "
        f"{r['ratio']:.1f} | {r['theta_gap_in_se']:.4f} | {r['causalkit_peak_designs']:.2f} "
        f"({r['peer_peak_designs']:.2f}) |"
        for r in sorted(peers, key=lambda r: (r["part"], r["rows"]))
    ]
    text += [
        "",
        "Peers: LassoCV, RidgeCV over 40 penalties, LinearRegression, and LightGBM with the",
    ]
    text += ["same 200 trees of 15 leaves on both sides; two cores for each.", ""]
    bounded = sorted((r for r in peers if "training_s" in r), key=lambda r: r["rows"])
    text += bounds(bounded) if bounded else []
    text += ["## Growth with the number of rows", ""]
    text += ["Lasso, 30 covariates and their unit means.", ""]
    text += ["| rows | seconds | seconds per million rows | peak, designs |\n|---:|---:|---:|---:|"]
    text += [
        f"| {r['rows']:,} | {r['seconds']:.2f} | {r['seconds_per_million_rows']:.1f} | "
        f"{r['peak_designs']:.2f} |"
        for key, r in sorted(latest.items(), key=str)
        if key[0] == "scaling"
    ]
    for (part, _), r in latest.items():
        if part == "variance":
            text += [
                "",
                "## Variance and bootstrap",
                "",
                f"{r['rows']:,} rows, {r['units']:,} units: cluster variance "
                f"{r['variance_s']:.3f} s; 999 multiplier draws "
                f"{r['bootstrap_999_normal_s']:.3f} s (normal) and "
                f"{r['bootstrap_999_rademacher_s']:.2f} s (Rademacher).",
            ]
        if part == "import":
            text += ["", f"`import causalkit`: {r['seconds']:.3f} s, best of five interpreters."]
    where = records[-1]
    python, numpy = (where["versions"][name] for name in ("python", "numpy"))
    text += ["", f"Measured on {where['cores']} cores ({where['cpu']}), Python {python}, "]
    text[-1] += f"numpy {numpy}, DoubleML {where['doubleml']}."
    return "\n".join([*text, ""])


PARTS = {
    "lasso": lasso,
    "scaling": scaling,
    "boosting": boosting,
    "variance": variance,
    "import": import_time,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part")
    parser.add_argument("--rows", type=float, default=1e6)
    arguments = parser.parse_args()
    for part in arguments.parts:
        PARTS[part](int(arguments.rows))
    records = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    PAGE.write_text(page(records))


if __name__ == "__main__":
    main()
