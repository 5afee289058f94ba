"""Images on a GPU: images per second, loader stalls, bf16, and batches that do not fit.

    python benchmarks/image_gpu.py            # everything; docs/evidence/image_gpu.md
    python benchmarks/image_gpu.py --small    # the same on any machine, to see that it runs

A residual network as deep as ResNet-18 and a vision transformer as wide as ViT-S/16, both written
here with random weights: what is measured is time, which does not depend on weights.
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.device import resolve_device
from causalkit.images.batches import Images, Lens, Rows
from causalkit.images.survey import Bands

PAGE = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "image_gpu.md"
KEPT = Path(__file__).parent / "results" / "image_gpu.json"
BANDS, BATCH = 3, 128


class Block(nn.Module):
    """Two convolutions with a way around them."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        around = [nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)]
        same = stride == 1 and width_in == width
        self.around = nn.Identity() if same else nn.Sequential(*around)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.around(x))


def resnet() -> nn.Module:
    """Four stages of two blocks, as ResNet-18."""
    stem = [nn.Conv2d(BANDS, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    stages = []
    for width_in, width, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        stages += [Block(width_in, width, stride), Block(width, width, 1)]
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *stages)


class Vit(nn.Module):
    """Patches of 16 pixels, twelve layers of width 384 and six heads, as ViT-S/16."""

    def __init__(self, side: int, layers: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(BANDS, 384, 16, 16)
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // 16) ** 2, 384))
        layer = nn.TransformerEncoderLayer(384, 6, 1536, 0.0, "gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.layers(self.patches(x).flatten(2).mT + self.places)
        return tokens


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    side: int
    images: int
    on_cpu: int


def trial(sizes: Sizes) -> ck.CausalData:
    """Images of noise in uint16, one unit each."""
    rng = np.random.default_rng(0)
    n = sizes.images
    pixels = rng.integers(0, 10_000, (n, BANDS, sizes.side, sizes.side), dtype=np.uint16)
    frame = pd.DataFrame(
        {"y": rng.normal(size=n), "t": rng.integers(0, 2, n), "place": np.arange(n)}
    )
    image = xr.DataArray(pixels, dims=("place", "band", "y", "x"), name="image")
    arrays = image.assign_coords(place=np.arange(n)).to_dataset()
    roles = {"outcome": "y", "treatment": "t", "image": "image", "image_key": "place"}
    return ck.CausalData.from_frame(frame, **roles, arrays=arrays)


def done(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def embedded(data: ck.CausalData, module: nn.Module, device: str, precision: str) -> Any:
    """Vectors of all images, and images per second after one run that warms up."""
    encoder = ck.ImageEncoder.of(module, name="measured")
    asked = {"batch_size": BATCH, "device": device, "precision": precision}
    ck.embed_images(data.subset(np.arange(min(BATCH, data.n))), encoder, **asked)
    started = time.perf_counter()
    found = ck.embed_images(data, encoder, **asked)
    return found, data.n / (time.perf_counter() - started)


def stalls(data: ck.CausalData, module: nn.Module, device: torch.device, *, held: bool) -> Any:
    """Seconds of a training epoch with the loader, and of as many steps on one batch that waits."""
    store = ImageStore.of(data)
    images = Images.of(store) if held else Images.of(store, most_bytes=0)
    rows = Rows.of(store, np.arange(data.n))
    lens = Lens(Bands(np.full(BANDS, 5e3), np.full(BANDS, 3e3)), "error", device)
    network = module.to(device).train()
    adam = torch.optim.AdamW(network.parameters())

    def step(pixels: torch.Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = network(pixels).float().square().mean()
        loss.backward()
        adam.step()

    ready = lens.pixels(images.take(np.arange(min(BATCH, data.n))))
    step(ready)
    done(device)
    seconds = []
    for loads in (True, False):
        started, n_steps = time.perf_counter(), 0
        for _, raw in images.shuffled(rows.images, BATCH, np.random.default_rng(0)):
            if loads:
                step(lens.pixels(raw))
            n_steps += 1
        if not loads:
            started = time.perf_counter()
            for _ in range(n_steps):
                step(ready)
        done(device)
        seconds.append(time.perf_counter() - started)
    return {"with_loader_s": seconds[0], "without_s": seconds[1]}


def halved(sizes: Sizes, module: nn.Module) -> dict[str, Any]:
    """A fit with less memory than its batches need: what it warned of, and whether it ended."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 3 * 2**30) / total)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ck.ImageEffectClusters(
                encoder=ck.ImageEncoder.of(module, name="measured", trained=True),
                batch_size=1024,
                epochs=1,
                n_restarts=1,
                split=(0.6, 0.2, 0.2),
                device="cuda",
                random_state=0,
            ).fit(trial(sizes))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    told = [str(w.message) for w in caught if "does not fit the device" in str(w.message)]
    return {"halvings": len(told), "last": told[-1] if told else ""}


def measured(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """All numbers of the page."""
    data = trial(sizes)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    found: dict[str, Any] = {"device": name, "threads": torch.get_num_threads()}
    found |= {"side": sizes.side, "images": sizes.images, "batch": BATCH}
    for word, make in (("resnet", resnet), ("vit", lambda: Vit(sizes.side))):
        torch.manual_seed(0)
        module = make()
        few = data.subset(np.arange(sizes.on_cpu))
        _, on_cpu = embedded(few, module, "cpu", "float32")
        full, rate = embedded(data, module, str(device), "float32")
        low, rate_low = embedded(data, module, str(device), "bf16")
        a, b = (values.to_numpy() for values in (full, low))
        found[word] = {
            "cpu_images_per_s": on_cpu,
            "images_per_s": rate,
            "bf16_images_per_s": rate_low,
            "bf16_gap_sd": float(np.sqrt(np.mean((a - b) ** 2)) / a.std()),
            "held": stalls(data, make(), device, held=True),
            "streamed": stalls(data, make(), device, held=False),
        }
        print(word, json.dumps(found[word], indent=1), flush=True)
    if device.type == "cuda":
        found["halved"] = halved(sizes, resnet())
        print(json.dumps(found["halved"]), flush=True)
    return found


def page(found: dict[str, Any]) -> str:
    """The numbers in a table."""
    lines = [
        "# Images on a GPU",
        "",
        f"Made by `python benchmarks/image_gpu.py` on {found['device']}: {found['images']:,} "
        f"images of {found['side']} by {found['side']} pixels and three bands in uint16, batches "
        f"of {found['batch']}. Networks have random weights. The processor beside it used "
        f"{found['threads']} threads.",
        "",
        "| | residual network (ResNet-18) | vision transformer (ViT-S/16) | goal |",
        "|---|---|---|---|",
    ]
    both = [found["resnet"], found["vit"]]

    def row(name: str, cells: list[str], goal: str = "") -> str:
        return f"| {name} | {' | '.join(cells)} | {goal} |"

    lines += [
        row("embedding, bf16, images/s", [f"{r['bf16_images_per_s']:,.0f}" for r in both]),
        row("embedding, float32, images/s", [f"{r['images_per_s']:,.0f}" for r in both]),
        row("embedding, processor, images/s", [f"{r['cpu_images_per_s']:,.1f}" for r in both]),
        row(
            "bf16 over the processor",
            [f"{r['bf16_images_per_s'] / r['cpu_images_per_s']:,.1f} times" for r in both],
            "3 times",
        ),
        row("bf16 against float32, RMS, sd", [f"{r['bf16_gap_sd']:.4f}" for r in both]),
    ]
    for kind, word in (("held", "held in memory"), ("streamed", "streamed")):
        shares = [1.0 - r[kind]["without_s"] / r[kind]["with_loader_s"] for r in both]
        lines.append(
            row(f"training waits for the loader, images {word}", [f"{s:.0%}" for s in shares])
        )
    if "halved" in found:
        lines += [
            "",
            f"A fit with batches of 1,024 images and 3 GiB of memory ended after "
            f"{found['halved']['halvings']} halvings: “{found['halved']['last']}”",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="on any machine; writes nothing")
    small = parser.parse_args().small
    device = resolve_device("auto")
    if device.type != "cuda" and not small:
        print("no CUDA device here; nothing measured (--small runs anywhere)")
        return
    sizes = Sizes(32, 320, 64) if small else Sizes(224, 8192, 256)
    found = measured(sizes, device)
    if small:
        print(page(found))
        return
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(page(found))
    print(PAGE)


if __name__ == "__main__":
    main()
