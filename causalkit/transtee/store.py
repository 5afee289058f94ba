"""All rows on the device once, and what each member knows of their scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.covariate_graphs import Graphs, GraphStore
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.networks import Actions, Rows
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
        Of the outcome; 0 and 1 if its family is not standardised.
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


@dataclass(frozen=True, slots=True)
class Store:
    """Covariates, actions, outcomes and weights of all rows, as tensors with leading axis N."""

    numeric: "Tensor"
    missing: "Tensor | None"
    codes: "Tensor | None"
    sequences: "tuple[Tensor, ...]"
    masks: "tuple[Tensor, ...]"
    arms: "Tensor | None" = None
    doses: "Tensor | None" = None
    active: "Tensor | None" = None
    items: "Tensor | None" = None
    y: "Tensor | None" = None
    weight: "Tensor | None" = None
    graphs: GraphStore | None = None

    def rows(self, index: "Tensor", scales: Scales) -> Rows:
        """Standardised covariates of rows ``(M, B)``, or ``(1, B)`` for every member."""
        import torch

        numeric = (self.numeric[index] - scales.centre[:, None]) / scales.spread[:, None]
        missing = None
        if self.missing is not None:
            missing = self.missing[index].expand(numeric.shape)
            numeric = torch.where(missing, 0.0, numeric)
        return Rows(
            numeric=numeric,
            missing=missing,
            codes=None if self.codes is None else self.codes[index].expand(len(numeric), -1, -1),
            sequences=self._steps(index, scales),
            masks=tuple(mask[index].expand(len(numeric), -1, -1) for mask in self.masks),
            graph=None
            if self.graphs is None
            else self.graphs.rows(index, scales.node_centre, scales.node_spread),
        )

    def _steps(self, index: "Tensor", scales: Scales) -> "tuple[Tensor, ...]":
        """Sequences of rows, standardised if there are scales for them."""
        import torch

        found = [values[index].expand(len(scales.low), -1, -1, -1) for values in self.sequences]
        if scales.step_centre.shape[1] == 0:
            return tuple(found)
        sizes = [values.shape[-1] for values in found]
        scaled = zip(
            found,
            torch.split(scales.step_centre[:, None, None], sizes, dim=-1),
            torch.split(scales.step_spread[:, None, None], sizes, dim=-1),
            strict=True,
        )
        return tuple((values - centre) / spread for values, centre, spread in scaled)

    def actions(self, index: "Tensor", scales: Scales) -> Actions:
        """What each row ``(M, B)`` received, as one action (G = 1)."""
        if self.arms is None or self.doses is None or self.active is None:
            return Actions()
        members = len(scales.low)
        index = index.expand(members, -1)
        return scaled_actions(
            self.arms[index][:, :, None],
            self.doses[index][:, :, None],
            self.active[index][:, :, None],
            scales,
        )


def scaled_actions(arms: "Tensor", doses: "Tensor", active: "Tensor", scales: Scales) -> Actions:
    """Actions with doses on the range of their arm; all tensors ``(M, B, G, m)``."""
    import torch

    members = torch.arange(len(scales.low), device=arms.device).view(-1, 1, 1, 1)
    low, width = scales.low[members, arms], scales.width[members, arms]
    return Actions(
        arms=arms,
        doses=(doses - low) / width,
        active=active if arms.shape[-1] > 1 else None,
    )


def make_store(
    covariates: Covariates,
    device: Any,
    *,
    actions: ActionArrays | None = None,
    y: Floats | None = None,
    weight: Floats | None = None,
) -> Store:
    """Tensors of a data set on a device; numbers as seen from their origin."""
    import torch

    def put(values: Any, dtype: Any = torch.float32) -> "Tensor":
        return torch.as_tensor(np.array(values), dtype=dtype, device=device)

    holes = np.isnan(covariates.numeric)
    store = Store(
        numeric=put(np.where(holes, 0.0, covariates.numeric)),
        missing=put(holes, torch.bool) if holes.any() else None,
        codes=put(covariates.codes, torch.int64) if covariates.codes.shape[1] else None,
        sequences=tuple(put(values) for values in covariates.sequences),
        masks=tuple(put(mask, torch.bool) for mask in covariates.masks),
        y=None if y is None else put(y),
        weight=None if weight is None else put(weight),
        graphs=None if covariates.graphs is None else GraphStore.of(covariates.graphs, device),
    )
    if actions is None:
        return store
    return replace(
        store,
        arms=put(actions.arms, torch.int64) if actions.arms.shape[1] else None,
        doses=put(actions.doses) if actions.arms.shape[1] else None,
        active=put(actions.active, torch.bool) if actions.arms.shape[1] else None,
        items=None if actions.items is None else put(actions.items, torch.int64),
    )


def learn_scales(
    covariates: Covariates,
    actions: ActionArrays,
    y: Floats,
    rows: Ints,
    *,
    dosed: Sequence[bool],
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

    origin = origin_of(covariates.numeric)
    y_origin = origin_of(y) if standardise else np.zeros(())
    seen = (covariates.numeric[rows] - origin).astype(np.float32)
    numeric = seen.astype(np.float64)
    spread = np.nanstd(numeric, axis=0) if len(rows) else np.ones(numeric.shape[1])
    outcome = y[rows] - y_origin
    deviation = outcome.std()
    low, width = _ranges(actions, rows, dosed, support)
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
    spread = np.sqrt(np.maximum(square, 0.0))
    return centre, np.where(spread > 0, spread, 1.0)


def _ranges(
    actions: ActionArrays, rows: Ints, dosed: Sequence[bool], support: "tuple[float, float] | None"
) -> tuple[Floats, Floats]:
    """Lowest dose and range of every arm, and of "nothing"."""
    low, width = np.zeros(len(dosed) + 1), np.ones(len(dosed) + 1)
    for arm, takes in enumerate(dosed):
        if not takes:
            continue
        doses = actions.doses[rows][(actions.arms[rows] == arm) & actions.active[rows]]
        ends = support or ((float(doses.min()), float(doses.max())) if doses.size else (0.0, 1.0))
        low[arm] = ends[0]
        width[arm] = ends[1] - ends[0] if ends[1] > ends[0] else 1.0
    return low, width
