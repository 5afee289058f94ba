"""What each member knows of the scale of its data, learned from its training rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.transtee.coding import Coded
from causalkit.transtee.covariate_graphs import Graphs
from causalkit.transtee.unknown import holes_of
from causalkit.typing import Bools, Floats, Ints, Singles

if TYPE_CHECKING:
    from torch import Tensor

FAR = 1e3


@dataclass(frozen=True, slots=True)
class Scales:
    """Centres and ranges that each member learned from its own training rows.

    Attributes
    ----------
    origin : (M, p) tensor
        What is taken from numeric covariates in double precision, of all rows of the data set the
        same; see :func:`origin_of`.
    centre, spread : (M, p) tensors
        Of numeric covariates, seen from there.
    y_origin : (M,) tensor
        Likewise of the outcome.
    y_centre, y_spread : (M,) tensors
        Of the outcome; 0 and 1 if its family is not standardised. Where it has a linear part, the
        spread is what the start of that leaves; see :mod:`causalkit.transtee.linear_start`.
    low, width : (M, K + 1) tensors
        Range of the doses of each arm; 0 and 1 where it takes none.
    step_centre, step_spread : (M, F) tensors
        Of the features of the steps of all sequences, one sequence after the other; F is 0 if
        they are left as they are.
    node_centre, node_spread : (M, f) tensors
        Of the features of nodes of graphs.
    holes : (M, p + c) tensor
        1 for columns of the table with a missing value in the data set of the member, else 0.
    """

    origin: "Tensor"
    centre: "Tensor"
    spread: "Tensor"
    y_origin: "Tensor"
    y_centre: "Tensor"
    y_spread: "Tensor"
    low: "Tensor"
    width: "Tensor"
    step_centre: "Tensor"
    step_spread: "Tensor"
    node_centre: "Tensor"
    node_spread: "Tensor"
    holes: "Tensor"

    def kept(self, members: "Tensor") -> "Scales":
        """Of some members."""
        return Scales(*(getattr(self, name)[members] for name in self.__slots__))


def origin_of(values: Floats) -> Floats:
    """Where to see numbers from that lie far from zero for their spread, by column; else zero.

    Single precision holds about seven digits. Of a year in seconds, or of an outcome of 1e8 with a
    spread of one, it would leave nothing that varies. The origin itself is exact in it.
    """
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / count)
    far = (spread > 0) & (np.abs(mean) > FAR * spread)
    return np.where(far, mean, 0.0).astype(np.float32).astype(np.float64)


def learn_scales(
    coded: Coded,
    rows: Ints,
    *,
    standardise: bool,
    support: "tuple[float, float] | None",
    raw_steps: bool,
    device: Any,
) -> Scales:
    """Centres, spreads and dose ranges ``(1, ...)`` of one member, from its training rows only.

    With ``raw_steps`` sequences are left as they are. Origins are those of all rows: they cancel,
    but for what rounding leaves.
    """
    import torch

    covariates, y = coded.covariates, coded.y
    origin = origin_of(covariates.numeric)
    y_origin = origin_of(y) if standardise else np.zeros(())
    seen = (covariates.numeric[rows] - origin).astype(np.float32)
    numeric = seen.astype(np.float64)
    spread = np.nanstd(numeric, axis=0)
    outcome = y[rows] - y_origin
    deviation = outcome.std()
    low, width = _ranges(coded, rows, support)
    steps = [] if raw_steps else zip(covariates.sequences, covariates.masks, strict=True)
    ends = [_step_scales(values, mask, rows) for values, mask in steps]
    node_centre, node_spread = np.empty(0), np.empty(0)
    if covariates.graphs is not None:
        node_centre, node_spread = _node_scales(covariates.graphs, rows)
    found = {
        "origin": origin,
        "centre": np.nan_to_num(np.nanmean(numeric, axis=0)),
        "spread": np.where(spread > 0, spread, 1.0),
        "y_origin": y_origin,
        "y_centre": outcome.mean() if standardise else 0.0,
        "y_spread": deviation if standardise and deviation > 0 else 1.0,
        "low": low,
        "width": width,
        "step_centre": np.concatenate([np.empty(0), *(centre for centre, _ in ends)]),
        "step_spread": np.concatenate([np.empty(0), *(spread for _, spread in ends)]),
        "node_centre": node_centre,
        "node_spread": node_spread,
        "holes": holes_of(covariates),
    }
    return Scales(
        **{
            name: torch.as_tensor(values, dtype=torch.float32, device=device)[None]
            for name, values in found.items()
        }
    )


def _node_scales(graphs: Graphs, rows: Ints) -> tuple[Floats, Floats]:
    """As of steps; what is the same for all nodes stays, for sums over neighbours to count it."""
    centre, spread = _step_scales(graphs.nodes, graphs.mask, rows)
    seen = graphs.nodes[rows][graphs.mask[rows]]
    return np.where(np.ptp(seen, axis=0) > 0, centre, 0.0), spread


def _step_scales(values: Singles, mask: Bools, rows: Ints) -> tuple[Floats, Floats]:
    """Mean and standard deviation ``(f,)`` of the steps ``(n, L, f)`` that are there."""
    times = mask * np.bincount(rows, minlength=len(mask))[:, None]
    weight = times / times.sum()
    centre = np.einsum("nlf,nl->f", values, weight)
    square = np.einsum("nlf,nlf,nl->f", values, values, weight) - centre**2
    # By the range: what sums of squares leave by rounding is no spread to divide by.
    there = (times > 0)[..., None]
    low = values.min(axis=(0, 1), where=there, initial=np.inf)
    varies = values.max(axis=(0, 1), where=there, initial=-np.inf) > low
    spread = np.sqrt(np.maximum(square, 0.0))
    return centre, np.where(varies & (spread > 0), spread, 1.0)


def _ranges(
    coded: Coded, rows: Ints, support: "tuple[float, float] | None"
) -> tuple[Floats, Floats]:
    """Lowest dose and range of every arm, and of "nothing"."""
    actions, dosed = coded.actions.rows(rows), coded.code.dosed
    low, width = np.zeros(len(dosed) + 1), np.ones(len(dosed) + 1)
    for arm, takes in enumerate(dosed):
        if not takes:
            continue
        doses = actions.doses[(actions.arms == arm) & actions.active]
        ends = support or ((float(doses.min()), float(doses.max())) if doses.size else (0.0, 1.0))
        low[arm] = ends[0]
        width[arm] = ends[1] - ends[0] if ends[1] > ends[0] else 1.0
    return low, width
