"""TARNet, DRNet and VCNet by the recipe that was released with VCNet and TransTEE.

Covariates and outcomes as they are, SGD with Nesterov momentum at a fixed rate, no validation rows,
to the last of 1,500 epochs. Two layers of 50 for the covariates, one of 50 in the heads: a head for
each fifth of the dose range, to whose first (TARNet) or every layer (DRNet) the dose is added, or
one whose weights follow the dose (VCNet). All data sets are trained at once, each with weights of
its own. Here because these networks do worse when they are trained as TransTEE is.

Sources: Nie et al. (2021), ICLR; Schwab et al. (2020), AAAI; how the released code behaves.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

import causalkit as ck
from causalkit.transtee.baseline_networks import log_density, power_basis, stratum

NETWORKS = ("TARNet", "DRNet", "VCNet")
RATES = (5e-3, 1e-3, 5e-4)
# Spread of the first weights, of the covariates' layers and of the heads'. With those of torch all
# three do far worse on IHDP.
BODY_START, HEAD_START = 0.01, 1.0
WIDTH, STRATA, DEGREE, KNOTS, CELLS = 50, 5, 2, 2, 10
EPOCHS, BATCH, MOMENTUM, DECAY, DENSITY_WEIGHT = 1500, 128, 0.9, 5e-3, 0.5
Params = dict[str, Tensor]


def first_weights(name: str, members: int, n_covariates: int) -> Params:
    """Weights ``(M, n_in, n_out)`` of every layer, and biases ``(M, 1, n_out)``."""
    rng = torch.Generator().manual_seed(0)
    heads = DEGREE + 1 + KNOTS if name == "VCNet" else STRATA
    dosed = {"TARNet": (1, 0), "DRNet": (1, 1), "VCNet": (0, 0)}[name]
    layers = {
        "body0": (n_covariates, WIDTH, BODY_START),
        "body1": (WIDTH, WIDTH, BODY_START),
        "head0": (WIDTH + dosed[0], heads * WIDTH, HEAD_START),
        "head1": (heads * (WIDTH + dosed[1]), 1, HEAD_START),
    }
    if name == "VCNet":
        layers["density"] = (WIDTH, CELLS + 1, BODY_START)
    p = {}
    for layer, (n_in, n_out, spread) in layers.items():
        p[layer] = torch.randn(members, n_in, n_out, generator=rng) * spread
        p[f"{layer}.bias"] = torch.zeros(members, 1, n_out)
    p["head1.bias"] = torch.zeros(members, 1, heads)
    return {key: value.requires_grad_() for key, value in p.items()}


def answers(p: Params, name: str, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
    """Outcomes ``(M, B)`` of doses in [0, 1], and what the density of the dose rests on."""
    r = x
    for layer in ("body0", "body1"):
        r = torch.relu(r @ p[layer] + p[f"{layer}.bias"])
    if name == "VCNet":
        by = power_basis(t, DEGREE, KNOTS)
    else:
        by = torch.nn.functional.one_hot(stratum(t, STRATA), STRATA).to(x.dtype)
    dose = t[..., None]
    inputs = r if name == "VCNet" else torch.cat([r, dose], dim=-1)
    wide = (inputs @ p["head0"] + p["head0.bias"]).unflatten(-1, (by.shape[-1], WIDTH))
    hidden = torch.relu((by[..., None] * wide).sum(dim=-2))
    if name == "DRNet":
        hidden = torch.cat([hidden, dose], dim=-1)
    last = p["head1"].unflatten(1, (by.shape[-1], -1))[..., 0]
    out = (by * (hidden @ last.mT + p["head1.bias"])).sum(dim=-1)
    return out, r @ p["density"] + p["density.bias"] if "density" in p else None


def train(name: str, x: Tensor, t: Tensor, y: Tensor, *, rate: float) -> Params:
    """Networks of M data sets, of ``x`` (M, n, p), ``t`` and ``y`` (M, n)."""
    p = first_weights(name, len(x), x.shape[2])
    sgd = torch.optim.SGD(p.values(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True)
    rng = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(x.shape[1], generator=rng).split(BATCH):
            out, density = answers(p, name, x[:, rows], t[:, rows])
            loss = (out - y[:, rows]) ** 2
            if density is not None:
                loss = loss - DENSITY_WEIGHT * log_density(density, t[:, rows])
            sgd.zero_grad()
            loss.mean(dim=1).sum().backward()
            sgd.step()
    return {key: value.detach() for key, value in p.items()}


def amse(name: str, datasets: list[ck.CausalData], *, h: float, rate: float) -> list[float]:
    """AMSE of each data set with a column ``test``, population ``all``; NaN where it diverged."""
    tests = np.stack([data.frame["test"].to_numpy() == 1 for data in datasets])
    x = np.stack([data.matrix("covariates") for data in datasets])
    t = np.stack([data.column("treatment") for data in datasets]) / h
    y = np.stack([data.column("outcome") for data in datasets])

    def part(values: np.ndarray, rows: np.ndarray) -> Tensor:
        chosen = [one[some] for one, some in zip(values, rows, strict=True)]
        return torch.as_tensor(np.stack(chosen), dtype=torch.float32)

    p = train(name, part(x, ~tests), part(t, ~tests), part(y, ~tests), rate=rate)
    held, doses = part(x, tests), part(t, tests)
    with torch.no_grad():
        passes = [
            answers(p, name, held, doses[:, [k]].expand(-1, held.shape[1]))[0]
            for k in range(doses.shape[1])
        ]
    found = torch.stack(passes, dim=2).double().numpy()
    return [
        float(ck.metrics.amse(hat, data.truth.unit_response(at * h), population="all"))
        if np.isfinite(hat).all()
        else float("nan")
        for data, hat, at in zip(datasets, found, t[tests].reshape(len(t), -1), strict=True)
    ]


def best_amse(name: str, datasets: list[ck.CausalData], *, h: float) -> dict[str, Any]:
    """Errors at the rate of the least mean error, which favours the rival."""
    tried = {rate: amse(name, datasets, h=h, rate=rate) for rate in RATES}
    rate = min(tried, key=lambda key: np.nan_to_num(tried[key], nan=np.inf).mean())
    return {"errors": tried[rate], "rate": rate}
