"""Speed and memory of the image estimators, each beside what it is to be compared with.

    python benchmarks/image.py                        # fit, loader, embed, page
    python benchmarks/image.py fit                    # base design, seconds
    python benchmarks/image.py loader [--gib 1]       # reading beside training, images per second
    python benchmarks/image.py stream --gib 20        # resident memory over epochs of a large store
    python benchmarks/image.py embed                  # images are encoded once, not once per unit
    python benchmarks/image.py page                   # write docs/evidence/image_speed.md

What ranking effects costs is in benchmarks/rate.py. On a machine with a GPU ``fit`` and ``loader``
use it, and say so.
"""

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
import xarray as xr

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.device import resolve_device
from causalkit.images.batches import Images, Lens, Rows
from causalkit.images.networks import ConvEncoder
from causalkit.images.survey import Bands, survey

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).parent / "results" / "image.jsonl"
PAGE = ROOT / "docs" / "evidence" / "image_speed.md"
MIB, GIB = 2**20, 2**30
SIDE, BANDS = 128, 3


class Watch:
    """Largest resident memory of the process while it runs, sampled every 50 ms."""

    def __enter__(self) -> "Watch":
        self.process = psutil.Process()
        self.start = self.peak = self.process.memory_info().rss
        self.going = True
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def _look(self) -> None:
        while self.going:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.going = False
        self.thread.join()

    @property
    def raised(self) -> float:
        """MiB above the start."""
        return (self.peak - self.start) / MIB


class Thumbnail(torch.nn.Module):
    """The cheapest encoder that still trains: the image at 4 by 4 pixels, then a linear map."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.n_features = 8
        self.line = torch.nn.Linear(16 * bands, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(image, 4)
        return self.line(small.flatten(1))


def keep(name: str, found: dict[str, Any]) -> None:
    """Add a record, and print it."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    record = {
        "name": name,
        "device": device,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        **found,
    }
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record, indent=1), flush=True)


def fit(_: argparse.Namespace) -> None:
    """Base design: 2,000 images train, 400 select, 1,600 evaluate."""
    data = ck.generators.image_rct(0, n_images=4000)
    started, used = time.perf_counter(), time.process_time()
    found = ck.ImageEffectClusters(random_state=0).fit(data.blind())
    keep(
        "fit",
        {
            "seconds": time.perf_counter() - started,
            "processor_s": time.process_time() - used,
            "effects": found.cluster_effects()["estimate"].tolist(),
        },
    )


def written(folder: Path, gib: float, chunk: int = 128) -> tuple[Path, int]:
    """A zarr store of that size: noise in uint16, which nothing compresses, chunk by chunk."""
    import zarr

    one = SIDE * SIDE * BANDS * 2
    n = int(gib * GIB / one) // chunk * chunk
    path = folder / "store.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    pixels = root.create_array(
        "image",
        shape=(n, BANDS, SIDE, SIDE),
        chunks=(chunk, BANDS, SIDE, SIDE),
        dtype="uint16",
        compressors=None,
    )
    pixels.attrs["_ARRAY_DIMENSIONS"] = ["place", "band", "y", "x"]
    rng = np.random.default_rng(0)
    block = rng.integers(0, 10_000, (chunk, BANDS, SIDE, SIDE), dtype=np.uint16)
    for at in range(0, n, chunk):
        block += np.uint16(1)
        block[:, 0, 0, 0] = np.arange(at, at + chunk) % 65_536
        pixels[at : at + chunk] = block
    return path, n


def trial(path: Path, n: int) -> ck.CausalData:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"y": rng.normal(size=n), "t": rng.integers(0, 2, n), "place": np.arange(n)}
    )
    images = xr.open_zarr(path, chunks=None, consolidated=False, mask_and_scale=False)[["image"]]
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=images.assign_coords(place=np.arange(n)),
    )


def stream(arguments: argparse.Namespace) -> None:
    """Fit on a store that is larger than memory; peak resident memory, epoch by epoch."""
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        path, n = written(folder, arguments.gib)
        data = trial(path, n)
        peaks: list[float] = []
        process = psutil.Process()

        def told(text: str) -> None:
            if text.startswith("epoch"):
                peaks.append(process.memory_info().rss / MIB)
                print(text, f"{peaks[-1]:.0f} MiB", flush=True)

        estimator = ck.ImageEffectClusters(
            encoder=ck.ImageEncoder.of(Thumbnail, name="thumbnail", trained=True),
            epochs=3,
            n_restarts=1,
            random_state=0,
            progress=told,
        )
        with Watch() as watch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.perf_counter()
            estimator.fit(data)
            seconds = time.perf_counter() - started
        keep(
            "stream",
            {
                "gib": n * SIDE * SIDE * BANDS * 2 / GIB,
                "images": n,
                "raised_mib": watch.raised,
                "after_epochs_mib": peaks,
                "growth_epochs": peaks[-1] / peaks[0] - 1.0,
                "seconds": seconds,
                # The survey, three epochs of half the images and their selection rows, features.
                "mib_per_s": (1.0 + 3 * 0.6 + 1.0) * n * SIDE * SIDE * BANDS * 2 / MIB / seconds,
            },
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def loader(arguments: argparse.Namespace) -> None:
    """Images per second that reading gives, and that training the default encoder takes."""
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        path, n = written(folder, arguments.gib)
        store = ImageStore.of(trial(path, n))
        images = Images.of(store, most_bytes=0)
        rows = Rows.of(store, np.arange(n))
        started = time.perf_counter()
        seen = sum(
            part.size for part, _ in images.shuffled(rows.images, 64, np.random.default_rng(0))
        )
        reading = seen / (time.perf_counter() - started)
        device = resolve_device("auto")
        network = ConvEncoder(BANDS).to(device)
        adam = torch.optim.AdamW(network.parameters())
        lens = Lens(Bands(np.full(BANDS, 5e3), np.full(BANDS, 3e3)), "error", device)
        raw = images.take(np.arange(64))
        steps = 0
        started = time.perf_counter()
        while time.perf_counter() - started < 10.0:
            adam.zero_grad()
            network(lens.pixels(raw)).square().mean().backward()
            adam.step()
            steps += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        training = 64 * steps / (time.perf_counter() - started)
        keep("loader", {"reading": reading, "training": training, "ratio": reading / training})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def embed(_: argparse.Namespace) -> None:
    """Six units per image: encoding images, and encoding every unit's image."""
    data = ck.generators.image_rct(0, design="shared", n_images=2000, size=32)
    store = ImageStore.of(data)
    started = time.perf_counter()
    ck.embed_images(data, "random")
    ours = time.perf_counter() - started
    encoder = ck.ImageEncoder.random().build(BANDS)
    bands = survey(store).bands(store.used())
    lens = Lens(bands, "error", torch.device("cpu"))
    started = time.perf_counter()
    with torch.no_grad():
        for at in range(0, data.n, 256):
            encoder(lens.pixels(store.read(store.of_row[at : at + 256])))
    per_unit = time.perf_counter() - started
    keep(
        "embed",
        {
            "images": store.used().size,
            "units": data.n,
            "ours": ours,
            "per_unit": per_unit,
            "ratio": per_unit / ours,
        },
    )


def page(_: argparse.Namespace) -> None:
    """The latest record of each kind."""
    frame = pd.DataFrame([json.loads(line) for line in KEPT.open()])
    latest = {name: part.iloc[-1] for name, part in frame.groupby("name")}
    lines = [
        "# Speed and memory of the image estimators",
        "",
        "Made by `python benchmarks/image.py page` from the latest run of each part. What ranking",
        "effects costs is in [rate_speed.md](rate_speed.md).",
        "",
        "| what | measured | goal | device, threads, load |",
        "|---|---|---|---|",
    ]
    words = {
        "fit": lambda r: (
            "fit of the base design (4,000 images of 32x32x3, two starts)",
            f"{r.seconds:.1f} s ({r.processor_s:.1f} s of the processor)",
            "30 s on 2 cores",
        ),
        "stream": lambda r: (
            f"fit on a store of {r.gib:.1f} GiB, {int(r.images):,} images, {r.mib_per_s:.0f} MiB/s",
            f"resident memory {r.raised_mib:.0f} MiB above the start; "
            f"{100 * r.growth_epochs:+.1f}% over three epochs",
            "2,048 MiB; 5%",
        ),
        "loader": lambda r: (
            "reading and shuffling a store, over training the default encoder, images per second",
            f"{r.reading:.0f} over {r.training:.0f}: {r.ratio:.1f}",
            "1.5",
        ),
        "embed": lambda r: (
            f"{int(r.images):,} images of {int(r.units):,} units: encoded once, and once per unit",
            f"{r.ours:.2f} s, {r.per_unit:.2f} s: {r.ratio:.1f} times",
            "once per image",
        ),
    }
    for name, word in words.items():
        if name in latest:
            r = latest[name]
            where = f"{r.device}, {int(r.threads)}, {r.load:.1f}"
            lines.append(f"| {' | '.join(word(r))} | {where} |")
    lines += [
        "",
        "Streaming: noise in uint16 that nothing compresses, chunks of 128 images, an encoder that",
        "costs almost nothing, so that reading is what is measured. No GPU was at hand: what a GPU",
        "takes, bf16 and batch halving there are not measured.",
        "",
    ]
    PAGE.write_text("\n".join(lines))
    print(PAGE)


PARTS = {"fit": fit, "loader": loader, "stream": stream, "embed": embed, "page": page}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--folder", default=None, help="where stores are written")
    arguments = parser.parse_args()
    # A store of the size that the page tells of takes most of an hour: `stream` must be named.
    for part in arguments.parts or ("fit", "loader", "embed", "page"):
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
